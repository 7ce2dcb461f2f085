#include "command.h"

int command_schema_list(int argc, char **argv) { return (void)argc, (void)argv, EXIT_COULD_NOT_TELL; }
int command_schema_print(int argc, char **argv) { return (void)argc, (void)argv, EXIT_COULD_NOT_TELL; }
int command_schema_validate(int argc, char **argv) { return (void)argc, (void)argv, EXIT_COULD_NOT_TELL; }
