/* The configuration of both programs: one YAML file, overridden by the environment.
 *
 * Key `a.b-c` stands in the file as `b-c` under `a`, and is also the variable SLUICE_A_B_C; a secret may come from the file
 * that SLUICE_A_B_C_FILE names. The environment goes before the file, the file before the default; an empty variable
 * counts as unset. config_keys.c holds the one table of keys; it gives parsing, ranges, defaults and the reference. */
#ifndef SLUICE_CONFIG_H
#define SLUICE_CONFIG_H

#include "arena.h"
#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One librdkafka property of the pass-through. */
struct config_property {
    const char *name, *value;
};

/* What was given for a key or a property, and by whom. */
struct config_value {
    const char *key;    /* "worker.lanes", "kafka.sasl.password" */
    const char *text;   /* as it was written; NULL: not given, and there is no default */
    const char *origin; /* "default", a variable's name, or "FILE, line N" */
    bool secret;        /* `text` is not to be shown */
};

/* Texts are terminated and live as long as the config; those without a default may be NULL. Durations are microseconds. */
struct config {
    struct {
        const char *bootstrap_servers; /* NULL when not given */
        const struct config_property *properties;
        size_t property_count;
    } kafka;
    const char *topic_prefix;
    struct {
        const char *url; /* a URI or keywords; a secret; NULL when not given */
        const char *schema;
    } database;
    struct {
        const char *name;
        const char *group;
        uint32_t lanes;
        const char *listen;
        uint32_t batch_records, batch_bytes;
        const char *log_level; /* debug, info, warn, error */
        int64_t drain_timeout;
    } worker;
    struct {
        const char *docker_config, *ca_bundle, *token_realms; /* NULL when not given */
        int64_t wait;
        uint32_t per_registry, total;
    } registry;

    const struct config_value *values; /* of every key in the table's order, then of every property */
    size_t value_count;
    const char *file; /* that was read, or NULL */
    struct arena arena;
};

/* Reads `path`, else SLUICE_CONFIG, ./sluice.yaml, /etc/sluice/sluice.yaml (the last two only when they exist), then the
 * environment (`environment` NULL: the process's). Code "config-invalid" with "FILE: line L, column C: ..." or the
 * variable's name in the message. Returns 0 or -1; release in either case is harmless. */
int config_load(struct config *config, const char *path, char *const *environment, struct error *error);
void config_release(struct config *config);

/* Fails with a message that says how to give the key, when its value is NULL: config_require(config.database.url,
 * "database.url", error). */
int config_require(const char *value, const char *key, struct error *error);

/* Variables that begin like a section's and name no key, one after the other: probably a mistake. `at` counts from 0; NULL
 * at the end. */
const char *config_stray(char *const *environment, size_t *at);

/* The reference of all keys, as Markdown or as text for a terminal. */
void config_reference(struct buf *to, bool markdown);

#endif
