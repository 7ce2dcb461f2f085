/* The arguments of a command as one table: it parses them, takes defaults from the environment, and prints --help.
 *
 *     const char *sha = NULL, *out = "release.json";
 *     const struct option options[] = {
 *         {"sha", "SHA", OPTION_TEXT, &sha, .help = "full git SHA", .environment = "GITHUB_SHA"},
 *         {"out", "FILE", OPTION_TEXT, &out, .help = "where to write it"},
 *     };
 *     const struct usage usage = {"manifest generate", "--sha SHA [OPTION...]", "Writes ...", "sluice ...", OPTIONS(options)};
 *     int status;
 *     if (!options_parse(&usage, argc, argv, &status)) return status;
 *
 * Long options only, as `--name value` or `--name=value`; `--` ends them; none is abbreviated; a value option that may not
 * be repeated is refused the second time. What a variable holds before is its default; help shows it of texts and durations. */
#ifndef SLUICE_OPTIONS_H
#define SLUICE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_TEXT,     /* const char *: points into argv or the environment */
    OPTION_LIST,     /* struct option_list: may be repeated */
    OPTION_FLAG,     /* bool: takes no value */
    OPTION_NUMBER,   /* uint64_t, within `minimum` and `maximum` (0: no maximum) */
    OPTION_DURATION, /* int64_t, microseconds: "500ms", "30s", "10m", "24h", "7d" */
    OPTION_POSITION, /* const char *: an argument without a name, in the table's order */
    OPTION_REST      /* struct option_list: all further arguments without a name */
};

/* The caller's array: `struct option_list files = {array, 0, sizeof array / sizeof *array};`. More is a usage error. */
struct option_list {
    const char **values;
    size_t count, room;
};

struct option {
    const char *name;  /* without the dashes; of a position what stands for it in messages, as "FILE" */
    const char *value; /* what stands for its value in help, as "SHA"; NULL for flags and positions */
    enum option_kind kind;
    void *to;         /* see option_kind */
    const char *help; /* what it is and what it is for; wrapped to the terminal */
    /* Variables that give the value when the option is absent, the first that is set and not empty: "A, B". Of a flag,
     * the value must be "true" or "false" (or 1 or 0). */
    const char *environment;
    bool required; /* by option or environment */
    uint64_t minimum, maximum;
};

struct usage {
    const char *command;  /* "manifest generate" */
    const char *synopsis; /* its arguments in one line */
    const char *about;    /* paragraphs, separated by empty lines: what it does, what it needs, what the exit status says */
    const char *examples; /* one a line */
    const struct option *options;
    size_t count;
};

enum { OPTIONS_MAX = 48 };
#define OPTIONS(table) (table), sizeof(table) / sizeof *(table)

/* True: go on. False: return *ret_status, as help was printed (0) or the arguments are wrong (2, with one line on stderr). */
bool options_parse(const struct usage *usage, int argc, char **argv, int *ret_status);

/* For what no table can say: prints "error: ...; see sluice COMMAND --help" on stderr and returns 2. */
int options_wrong(const struct usage *usage, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
