/* What most commands begin with: the configuration. */
#ifndef SLUICE_SETTINGS_H
#define SLUICE_SETTINGS_H

#include "config.h"
#include "options.h"

/* The row of the option table; `path` is a const char **. */
#define SETTINGS_OPTION(path)                                                                                                    \
    {                                                                                                                            \
        "config", "FILE", OPTION_TEXT, (path), .help = "the configuration; else ./sluice.yaml, /etc/sluice/sluice.yaml",         \
                                               .environment = "SLUICE_CONFIG"                                                    \
    }

/* Reads the configuration. Returns 0, or says on stderr why not and returns EXIT_COULD_NOT_TELL. */
int settings_load(struct config *config, const char *path);

#endif
