#include "options.h"

#include "command.h"
#include "error.h"
#include "output.h"
#include "slice.h"
#include "suggest.h"
#include "text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- help ---- */

enum { HELP_WIDTH = 100, HELP_COLUMN = 26 };

/* Prints the words of `text` within HELP_WIDTH, further lines indented; a line that begins with a space stays as it is, for
 * examples of files. `column` is where the cursor stands. */
static void print_wrapped(const char *text, size_t indent, size_t column) {
    while (*text) {
        size_t word = strcspn(text, *text == ' ' && column == indent ? "\n" : " \n");
        if (column > indent && column + 1 + word > HELP_WIDTH) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        }
        if (column > indent && word) putchar(' '), column++;
        printf("%.*s", (int)word, text);
        column += word;
        text += word;
        if (*text == '\n') {
            if (text[1]) printf("\n%*s", text[1] == '\n' ? 0 : (int)indent, "");
            column = indent;
        }
        if (*text) text++;
    }
    putchar('\n');
}

static bool is_position(const struct option *option) { return option->kind == OPTION_POSITION || option->kind == OPTION_REST; }

static void print_option(const struct option *option) {
    int column = is_position(option)
                     ? printf("  %s%s", option->name, option->kind == OPTION_REST ? "..." : "")
                     : printf("  --%s%s%s", option->name, option->value ? " " : "", option->value ? option->value : "");
    if (column + 2 > HELP_COLUMN) putchar('\n'), column = 0;
    printf("%*s", HELP_COLUMN - column, "");
    char text[1200], duration[24];
    const char *preset = option->kind == OPTION_TEXT || option->kind == OPTION_POSITION ? *(const char **)option->to : NULL;
    if (option->kind == OPTION_DURATION) {
        text_duration(duration, sizeof duration, *(int64_t *)option->to);
        preset = duration;
    }
    snprintf(text, sizeof text, "%s%s%s%s%s%s%s%s%s", option->help, option->kind == OPTION_LIST ? " (may be repeated)" : "",
             option->required ? " (required)" : "", option->environment ? " [" : "",
             option->environment ? option->environment : "", option->environment ? "]" : "", preset ? " (default: " : "",
             preset ? preset : "", preset ? ")" : "");
    print_wrapped(text, HELP_COLUMN, HELP_COLUMN);
}

static void print_help(const struct usage *usage) {
    printf("Usage: sluice %s%s%s\n\n", usage->command, usage->synopsis[0] ? " " : "", usage->synopsis);
    print_wrapped(usage->about, 0, 0);
    for (int positions = 1; positions >= 0; positions--) {
        bool titled = false;
        for (size_t i = 0; i < usage->count; i++) {
            if (is_position(&usage->options[i]) != (positions == 1)) continue;
            if (!titled)
                puts(positions ? "\nArguments:"
                               : "\nOptions (a variable in brackets gives the value when the option is absent):");
            titled = true;
            print_option(&usage->options[i]);
        }
        if (!positions && !titled) puts("\nOptions:");
    }
    printf("  --help%*sprint this and do nothing\n", HELP_COLUMN - 8, "");
    if (!usage->examples || !usage->examples[0]) return;
    puts("\nExamples:");
    for (const char *line = usage->examples; *line;) {
        size_t n = strcspn(line, "\n");
        printf("  %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

int options_wrong(const struct usage *usage, const char *format, ...) {
    struct error line = {0};
    va_list arguments;
    va_start(arguments, format);
    (void)error_vset(&line, ERROR_INPUT, NULL, format, arguments);
    va_end(arguments);
    output_error("%s; see sluice %s --help", line.message, usage->command);
    return EXIT_COULD_NOT_TELL;
}

/* ---- values ---- */

static bool number_parse(const char *text, const struct option *option, uint64_t *ret_number) {
    uint64_t number;
    if (!text_parse_number(slice_str(text), option->maximum ? option->maximum : UINT64_MAX, &number)) return false;
    if (number < option->minimum) return false;
    *ret_number = number;
    return true;
}

/* A flag's value from the environment. */
static bool flag_parse(const char *text, bool *ret_flag) {
    bool yes = strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0;
    if (!yes && strcasecmp(text, "false") != 0 && strcmp(text, "0") != 0) return false;
    *ret_flag = yes;
    return true;
}

/* Stores a value; `from` names in the message where it came from. Returns 0 or the exit status. */
static int store(const struct usage *usage, const struct option *option, const char *from, const char *value) {
    switch (option->kind) {
    case OPTION_TEXT:
    case OPTION_POSITION:
        *(const char **)option->to = value;
        return 0;
    case OPTION_LIST:
    case OPTION_REST: {
        struct option_list *list = option->to;
        if (list->count == list->room) return options_wrong(usage, "%s is given more than %zu times", from, list->room);
        list->values[list->count++] = value;
        return 0;
    }
    case OPTION_FLAG:
        if (flag_parse(value, option->to)) return 0;
        return options_wrong(usage, "%s is '%s'; it must be true or false", from, value);
    case OPTION_NUMBER:
        if (number_parse(value, option, option->to)) return 0;
        if (option->maximum)
            return options_wrong(usage, "%s must be a whole number from %llu to %llu, not '%s'", from,
                                 (unsigned long long)option->minimum, (unsigned long long)option->maximum, value);
        return options_wrong(usage, "%s must be a whole number of at least %llu, not '%s'", from,
                             (unsigned long long)option->minimum, value);
    case OPTION_DURATION:
        if (text_parse_duration(slice_str(value), option->to)) return 0;
        return options_wrong(usage, "%s must be a duration as 500ms, 30s, 10m, 24h or 7d, not '%s'", from, value);
    }
    return options_wrong(usage, "%s has no kind", from);
}

/* The first variable of the list that is set and not empty; its name goes to `name`. */
static const char *environment_value(const char *list, char *name, size_t room) {
    while (list && *list) {
        size_t n = strcspn(list, ", ");
        snprintf(name, room, "%.*s", (int)n, list);
        const char *value = getenv(name);
        if (value && value[0]) return value;
        list += n + strspn(list + n, ", ");
    }
    return NULL;
}

/* ---- parsing ---- */

static const struct option *find_option(const struct usage *usage, struct slice name) {
    for (size_t i = 0; i < usage->count; i++)
        if (!is_position(&usage->options[i]) && slice_is(name, usage->options[i].name)) return &usage->options[i];
    return NULL;
}

static int no_option(const struct usage *usage, const char *argument, struct slice name) {
    const char *nearest = NULL;
    for (size_t i = 0; i < usage->count; i++)
        if (!is_position(&usage->options[i])) suggest_nearer(name, usage->options[i].name, &nearest);
    return options_wrong(usage, "there is no option '%.*s'%s%s%s", (int)strcspn(argument, "="), argument,
                         nearest ? " (did you mean --" : "", nearest ? nearest : "", nearest ? "?)" : "");
}

static const struct option *next_position(const struct usage *usage, const bool *given) {
    for (size_t i = 0; i < usage->count; i++) {
        if (usage->options[i].kind == OPTION_REST) return &usage->options[i];
        if (usage->options[i].kind == OPTION_POSITION && !given[i]) return &usage->options[i];
    }
    return NULL;
}

/* Takes the option at argv[*at], and its value. Returns 0 or the exit status. */
static int take_option(const struct usage *usage, int argc, char **argv, int *at, bool *given) {
    const char *argument = argv[*at], *equals = strchr(argument, '=');
    struct slice name = {argument + 2, equals ? (size_t)(equals - argument) - 2 : strlen(argument) - 2};
    const struct option *option = argument[1] == '-' ? find_option(usage, name) : NULL;
    if (!option) return no_option(usage, argument, argument[1] == '-' ? name : slice_str(argument + 1));
    size_t index = (size_t)(option - usage->options);
    char from[80];
    snprintf(from, sizeof from, "--%s", option->name);
    if (option->kind == OPTION_FLAG) {
        if (equals) return options_wrong(usage, "%s takes no value", from);
        given[index] = *(bool *)option->to = true;
        return 0;
    }
    if (given[index] && option->kind != OPTION_LIST) return options_wrong(usage, "%s is given twice", from);
    given[index] = true;
    if (!equals && *at + 1 >= argc) return options_wrong(usage, "%s needs a value: %s %s", from, from, option->value);
    return store(usage, option, from, equals ? equals + 1 : argv[++*at]);
}

static int take_position(const struct usage *usage, const char *argument, bool *given) {
    const struct option *option = next_position(usage, given);
    if (!option) return options_wrong(usage, "what is '%s'? No further argument is expected", argument);
    given[option - usage->options] = true;
    return store(usage, option, option->name, argument);
}

/* What the command line left open: the environment, then what is missing. */
static int complete(const struct usage *usage, const bool *given) {
    for (size_t i = 0; i < usage->count; i++) {
        const struct option *option = &usage->options[i];
        char name[80];
        const char *value = given[i] ? NULL : environment_value(option->environment, name, sizeof name);
        if (value) {
            int status = store(usage, option, name, value);
            if (status) return status;
        } else if (option->required && !given[i]) {
            if (is_position(option)) return options_wrong(usage, "%s is missing", option->name);
            if (!option->environment) return options_wrong(usage, "--%s %s is missing", option->name, option->value);
            return options_wrong(usage, "--%s %s is missing (or set %s)", option->name, option->value, option->environment);
        }
    }
    return 0;
}

bool options_parse(const struct usage *usage, int argc, char **argv, int *ret_status) {
    assert(usage->count <= OPTIONS_MAX);
    bool given[OPTIONS_MAX] = {false}, ended = false;
    int status = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) break;
        if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0) continue;
        print_help(usage);
        *ret_status = EXIT_YES;
        return false;
    }
    for (int i = 1; i < argc && status == 0; i++) {
        if (!ended && strcmp(argv[i], "--") == 0)
            ended = true;
        else if (!ended && argv[i][0] == '-' && argv[i][1])
            status = take_option(usage, argc, argv, &i, given);
        else
            status = take_position(usage, argv[i], given);
    }
    if (status == 0) status = complete(usage, given);
    if (status) *ret_status = status;
    return status == 0;
}
