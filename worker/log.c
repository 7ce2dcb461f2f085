#include "log.h"

#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

static enum log_level threshold = LOG_INFO;
static char speaker[64] = "worker";
static const char *const names[] = {"debug", "info", "warn", "error"};

void log_open(enum log_level level, const char *who) {
    threshold = level;
    (void)snprintf(speaker, sizeof speaker, "%s", who);
}

bool log_level_parse(const char *text, enum log_level *ret_level) {
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *ret_level = (enum log_level)i;
        return true;
    }
    return false;
}

void log_line(enum log_level level, const char *event, const char *format, ...) {
    if (level < threshold) return;
    struct timeval now;
    (void)gettimeofday(&now, NULL);
    char at[TEXT_INSTANT], line[2048];
    text_instant(at, (instant)now.tv_sec * 1000000 + now.tv_usec);
    int head =
        snprintf(line, sizeof line, "at=%.*s level=%s who=\"%s\" event=%s ", TEXT_INSTANT, at, names[level], speaker, event);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line + head, sizeof line - (size_t)head - 1, format, arguments);
    va_end(arguments);
    size_t length = strlen(line);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < ' ') line[i] = ' ';
    line[length] = '\n';
    if (write(STDERR_FILENO, line, length + 1) < 0) return; /* nobody left to tell */
}

struct log_quoted log_quoted(const char *text) {
    struct log_quoted quoted;
    (void)snprintf(quoted.text, sizeof quoted.text, "%s", text);
    for (char *c = quoted.text; *c; c++)
        if (*c == '"') *c = '\'';
    return quoted;
}

void log_error(enum log_level level, const char *event, const struct error *error) {
    log_line(level, event, "code=%s message=\"%s\"", error->code[0] ? error->code : "-", LOG_QUOTED(error->message));
}
