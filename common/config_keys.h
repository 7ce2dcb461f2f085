/* The table of configuration keys, for config.c and for whoever lists them. */
#ifndef SLUICE_CONFIG_KEYS_H
#define SLUICE_CONFIG_KEYS_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_kind {
    CONFIG_TEXT,     /* const char *: at most `maximum` bytes, and `fits` when there is one */
    CONFIG_NUMBER,   /* uint32_t: from `minimum` to `maximum` */
    CONFIG_DURATION, /* int64_t: from `minimum` to `maximum` microseconds */
    CONFIG_CHOICE    /* const char *: one of the words of `form` */
};

struct config_key {
    const char *name;
    enum config_kind kind;
    size_t offset;        /* of its member in struct config */
    const char *standard; /* the default as text; NULL: none, or computed */
    /* Writes the default that depends on the machine. */
    void (*compute)(char *to, size_t room);
    int64_t minimum, maximum;
    bool (*fits)(struct slice text);
    const char *form; /* for a person: what it must look like; of a choice the words, separated by ", " */
    bool secret;
    const char *help;
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* Reads a value of that key into its member; `text` is terminated and outlives the config. The message of a refusal says what
 * is wanted and does not repeat a secret. Returns 0 or -1. */
int config_key_set(const struct config_key *key, void *config, struct slice text, struct error *error);
/* "a number from 1 to 256": what the key takes. */
void config_key_form(const struct config_key *key, char *to, size_t room);

/* Why that librdkafka property may not be set here, or NULL when it may. */
const char *config_property_refusal(struct slice name);
/* The i-th of those that may not be set, for lists; false behind the last. */
bool config_property_kept(size_t i, const char **ret_name, const char **ret_why);
bool config_property_is_secret(struct slice name);

#endif
