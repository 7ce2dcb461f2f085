#include "command.h"
#include "digest.h"
#include "output.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct command {
    const char *noun, *verb;
    command_function *function;
    const char *help;
} commands[] = {
#define COMMAND_ROW(noun, verb, function, help) {noun, verb, function, help},
    COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

/* Of one noun, or of all. */
static int usage(FILE *to, const char *noun) {
    fprintf(to, "Usage: sluice %s %s [OPTION...]\n\nCommands (each has --help):\n", noun ? noun : "NOUN",
            noun ? "VERB" : "[VERB]");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!noun || strcmp(commands[i].noun, noun) == 0)
            fprintf(to, "  %-14s %-10s %s\n", commands[i].noun, commands[i].verb, commands[i].help);
    fputs("\nExit status: 0 yes, 1 no, 2 could not tell, 3 timed out waiting, 130 interrupted.\n", to);
    return to == stderr ? EXIT_COULD_NOT_TELL : EXIT_YES;
}

static bool asks_for_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static const struct command *find_command(const char *noun, const char *verb) {
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].noun, noun) == 0 && strcmp(commands[i].verb, verb) == 0) return &commands[i];
    return NULL;
}

static bool is_noun(const char *word) {
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].noun, word) == 0) return true;
    return false;
}

static int run(int argc, char **argv) {
    if (argc < 2) return usage(stderr, NULL);
    if (asks_for_help(argv[1])) return usage(stdout, NULL);
    if (strcmp(argv[1], "--version") == 0) return printf("sluice %s\n", SLUICE_VERSION), EXIT_YES;
    const struct command *command = argc > 2 ? find_command(argv[1], argv[2]) : NULL;
    if (command) return command->function(argc - 2, argv + 2);
    command = find_command(argv[1], "");
    if (command) return command->function(argc - 1, argv + 1);
    if (!is_noun(argv[1])) {
        output_error("there is no command '%s'; see sluice --help", argv[1]);
        return EXIT_COULD_NOT_TELL;
    }
    if (argc > 2 && asks_for_help(argv[2])) return usage(stdout, argv[1]);
    if (argc == 2) return usage(stderr, argv[1]);
    output_error("there is no command '%s %s'; see sluice %s --help", argv[1], argv[2], argv[1]);
    return EXIT_COULD_NOT_TELL;
}

/* What could not be written was not told, whatever it was. */
int main(int argc, char **argv) {
    struct error error = {0};
    int status = EXIT_COULD_NOT_TELL;
    if (digest_prepare(&error))
        output_failure(&error);
    else
        status = run(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    output_error("cannot write to standard output; is the disk full?");
    return EXIT_COULD_NOT_TELL;
}
