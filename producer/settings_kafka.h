/* The brokers of the configuration, for commands that ask them. */
#ifndef SLUICE_SETTINGS_KAFKA_H
#define SLUICE_SETTINGS_KAFKA_H

#include "kafka.h"
#include "settings.h"

struct brokers {
    struct config config;
    struct kafka_options options;
};

/* Reads the configuration. Returns 0, or says on stderr why not and returns EXIT_COULD_NOT_TELL; closing is harmless then.
 * Nothing is connected yet. */
int brokers_open(struct brokers *brokers, const char *path);
void brokers_close(struct brokers *brokers);

#endif
