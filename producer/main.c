#include "command.h"

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

static int usage(FILE *to) {
    fputs("Usage: sluice NOUN [VERB] [OPTION...]\n\nCommands (each has --help):\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-10s %-10s %s\n", commands[i].noun, commands[i].verb, commands[i].help);
    fputs("\nExit status: 0 yes, 1 no, 2 could not tell, 3 timed out waiting, 130 interrupted.\n", to);
    return to == stderr ? EXIT_COULD_NOT_TELL : EXIT_YES;
}

int main(int argc, char **argv) {
    if (argc < 2) return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) return usage(stdout);
    if (strcmp(argv[1], "--version") == 0) return printf("sluice %s\n", SLUICE_VERSION) < 0;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        int words = commands[i].verb[0] ? 2 : 1;
        if (strcmp(argv[1], commands[i].noun) != 0) continue;
        if (words == 2 && (argc < 3 || strcmp(argv[2], commands[i].verb) != 0)) continue;
        return commands[i].function(argc - words, argv + words);
    }
    fprintf(stderr, "sluice: there is no command '%s%s%s'; see sluice --help\n", argv[1], argc > 2 ? " " : "",
            argc > 2 ? argv[2] : "");
    return EXIT_COULD_NOT_TELL;
}
