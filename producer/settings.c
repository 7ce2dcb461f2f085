#include "settings.h"

#include "command.h"
#include "output.h"

int settings_load(struct config *config, const char *path) {
    struct error error = {0};
    if (config_load(config, path, NULL, &error) == 0) return 0;
    output_failure(&error);
    return EXIT_COULD_NOT_TELL;
}
