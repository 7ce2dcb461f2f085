/* Any bytes as the configuration file: it is read or refused, and what is read is within its ranges. */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *environment[] = {NULL};
    char path[64];
    int file = memfd_create("config", 0);
    if (file < 0 || (size && write(file, data, size) != (ssize_t)size)) abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    struct config config;
    struct error error = {0};
    if (config_load(&config, path, environment, &error) == 0) {
        if (config.worker.lanes < 1 || config.worker.lanes > 256 || config.registry.wait <= 0 || !config.topic_prefix) abort();
        for (size_t i = 0; i < config.kafka.property_count; i++)
            if (!config.kafka.properties[i].name[0] || !config.kafka.properties[i].value) abort();
        config_release(&config);
    } else if (!error.message[0])
        abort();
    (void)close(file);
    return 0;
}
