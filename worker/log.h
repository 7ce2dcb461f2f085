/* The worker's log: one line an event that matters, on stderr, as logfmt: at, level, lane, event and `key=value` pairs.
 * Only programs log: nothing below worker/ includes this. Safe from several threads. */
#ifndef SLUICE_LOG_H
#define SLUICE_LOG_H

#include "error.h"
#include "slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below `level` are dropped. `who` ("lane 0", "supervisor") is copied. */
void log_open(enum log_level level, const char *who);
bool log_level_parse(const char *text, enum log_level *ret_level);

/* `event` is a short stable name, as "shard-taken"; `format` gives the pairs, with quotes around values that hold
 * spaces (then LOG_QUOTED for what others have written). Control characters become spaces. */
void log_line(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A copy of a text that can stand between quotes: those inside become '. As an argument: LOG_QUOTED(message). */
struct log_quoted {
    char text[1024];
};
struct log_quoted log_quoted(const char *text);
#define LOG_QUOTED(string) (log_quoted(string).text)
/* The usual line for an error: code=... message="...". */
void log_error(enum log_level level, const char *event, const struct error *error);

#endif
