#include "config.h"

#include "config_keys.h"
#include "suggest.h"
#include "yaml_tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FILE_MAX = 1024 * 1024,
    ARENA_MAX = 16 * 1024 * 1024,
    PROPERTIES_MAX = 256,
    VARIABLE_MAX = 128,
};

extern char **environ;

struct loader {
    struct config *config;
    char *const *environment;
    struct config_value *values; /* room for every key, then PROPERTIES_MAX properties */
    size_t property_count;
    struct error *error;
};

static int invalid(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int invalid(struct error *error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)error_vset(error, ERROR_INPUT, "config-invalid", format, arguments);
    va_end(arguments);
    return -1;
}

/* Puts where it was before what was wrong. */
static int invalid_in(struct error *error, const char *where) {
    if (!error || error->kind != ERROR_INPUT) return -1;
    char message[sizeof error->message];
    (void)snprintf(message, sizeof message, "%s", error->message);
    return invalid(error, "%s: %s", where, message);
}

/* ---- the environment ---- */

static const char *variable(const struct loader *loader, const char *name) {
    size_t n = strlen(name);
    for (char *const *entry = loader->environment; entry && *entry; entry++)
        if (strncmp(*entry, name, n) == 0 && (*entry)[n] == '=') return (*entry)[n + 1] ? *entry + n + 1 : NULL;
    return NULL;
}

/* "worker.batch-records" -> "SLUICE_WORKER_BATCH_RECORDS", and the suffix. */
static void variable_name(char to[VARIABLE_MAX], const char *key, const char *suffix) {
    int n = snprintf(to, VARIABLE_MAX, "SLUICE_%s%s", key, suffix);
    for (int i = 0; i < n && i < VARIABLE_MAX - 1; i++) {
        if (to[i] == '.' || to[i] == '-') to[i] = '_';
        if (to[i] >= 'a' && to[i] <= 'z') to[i] = (char)(to[i] - 'a' + 'A');
    }
}

/* ---- values ---- */

static int note(struct loader *loader, struct config_value *value, struct slice text, const char *origin) {
    struct slice kept = arena_copy(&loader->config->arena, text);
    struct slice from = arena_copy(&loader->config->arena, slice_str(origin));
    if (!kept.p || !from.p) return error_memory(loader->error);
    value->text = kept.p;
    value->origin = from.p;
    return 0;
}

static int set_key(struct loader *loader, size_t i, struct slice text, const char *origin) {
    if (note(loader, &loader->values[i], text, origin) < 0) return -1;
    return config_key_set(&config_keys[i], loader->config, slice_of(loader->values[i].text, text.n), loader->error);
}

static int set_property(struct loader *loader, struct slice name, struct slice text, const char *origin) {
    const char *refusal = config_property_refusal(name);
    if (refusal)
        return invalid(loader->error, "kafka.%.*s must not be set: %s", (int)(name.n < 100 ? name.n : 100), name.p, refusal);
    struct config_value *properties = loader->values + config_key_count;
    size_t i = 0;
    while (i < loader->property_count && !slice_equal(slice_str(properties[i].key + strlen("kafka.")), name)) i++;
    if (i == PROPERTIES_MAX) return invalid(loader->error, "more than %d properties for Kafka", PROPERTIES_MAX);
    if (i == loader->property_count) {
        properties[i].key = arena_print(&loader->config->arena, "kafka.%.*s", SLICE_ARG(name)).p;
        if (!properties[i].key) return error_memory(loader->error);
        properties[i].secret = config_property_is_secret(name);
        loader->property_count++;
    }
    return note(loader, &properties[i], text, origin);
}

/* ---- the file ---- */

static int read_file(struct arena *arena, const char *path, size_t maximum, struct slice *ret_text, struct error *error) {
    struct buf buf;
    buf_init(&buf, maximum + 1);
    int status = -1;
    FILE *file = fopen(path, "re");
    if (!file) {
        (void)error_set(error, ERROR_INPUT, "config-invalid", "%s cannot be read: %s", path, strerror(errno));
        goto cleanup;
    }
    char part[8192];
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0 && buf.n <= maximum;) buf_append(&buf, slice_of(part, n));
    if (ferror(file)) {
        (void)invalid(error, "%s cannot be read: %s", path, strerror(errno));
        goto cleanup;
    }
    if (buf.failed && !buf.full) {
        (void)error_memory(error);
        goto cleanup;
    }
    if (buf.n > maximum || buf.failed) {
        (void)invalid(error, "%s has more than %zu bytes", path, maximum);
        goto cleanup;
    }
    struct slice text = arena_copy(arena, buf_slice(&buf));
    if (!text.p) {
        (void)error_memory(error);
        goto cleanup;
    }
    *ret_text = text;
    status = 0;
cleanup:
    if (file) (void)fclose(file);
    buf_release(&buf);
    return status;
}

static bool is_section(struct slice name) {
    for (size_t i = 0; i < config_key_count; i++) {
        const char *key = config_keys[i].name;
        if (strlen(key) > name.n && key[name.n] == '.' && strncmp(key, name.p, name.n) == 0) return true;
    }
    return false;
}

/* The index of the key, or config_key_count. */
static size_t find_key(const char *section, struct slice name) {
    size_t n = strlen(section), i = 0;
    for (; i < config_key_count; i++) {
        const char *key = config_keys[i].name;
        if (strncmp(key, section, n) == 0 && !strchr(key + n, '.') && slice_is(name, key + n)) break;
    }
    return i;
}

/* `section` ends with a point, or is empty. */
static int refuse_unknown(struct loader *loader, const struct yaml *member, const char *section) {
    const char *best = NULL;
    size_t n = strlen(section);
    for (size_t i = 0; i < config_key_count; i++) {
        const char *key = config_keys[i].name;
        if (strncmp(key, section, n) == 0) suggest_nearer(member->key, key + n, &best);
        char first[64];
        (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(key, "."), key);
        struct slice whole = slice_str(key);
        if (!n && is_section(slice_str(first)) && suggest_distance(member->key, slice_str(first)) <= 2)
            return yaml_key_error(loader->error, member, "config-invalid", "there is no key '%.*s'; did you mean '%s'?",
                                  SLICE_ARG(member->key), first);
        if (!n && slice_equal(whole, member->key))
            return yaml_key_error(loader->error, member, "config-invalid", "write '%s' as '%s:' and, indented below it, '%s:'",
                                  key, first, key + strlen(first) + 1);
    }
    int shown = (int)(member->key.n < 100 ? member->key.n : 100);
    if (best)
        return yaml_key_error(loader->error, member, "config-invalid", "there is no key '%s%.*s'; did you mean '%s'?", section,
                              shown, member->key.p, best);
    return yaml_key_error(loader->error, member, "config-invalid",
                          "there is no key '%s%.*s'; sluice config --reference lists all keys", section, shown, member->key.p);
}

static int read_member(struct loader *loader, const struct yaml *member, const char *section) {
    size_t i = find_key(section, member->key);
    bool property = i == config_key_count && strcmp(section, "kafka.") == 0;
    if (i == config_key_count && !property) return refuse_unknown(loader, member, section);
    if (member->kind != YAML_SCALAR || yaml_is_null(member))
        return yaml_error(loader->error, member, "config-invalid", "%s%.*s must be one text or number, not %s", section,
                          (int)(member->key.n < 100 ? member->key.n : 100), member->key.p, yaml_what(member));
    char origin[4200];
    (void)snprintf(origin, sizeof origin, "%s, line %zu", loader->config->file, member->line);
    int status = property ? set_property(loader, member->key, member->text, origin) : set_key(loader, i, member->text, origin);
    if (status == 0 || !loader->error || loader->error->kind != ERROR_INPUT) return status;
    char message[sizeof loader->error->message];
    (void)snprintf(message, sizeof message, "%s", loader->error->message);
    return yaml_error(loader->error, member, "config-invalid", "%s", message);
}

static int read_section(struct loader *loader, const struct yaml *section) {
    if (yaml_is_null(section)) return 0;
    char name[64];
    (void)snprintf(name, sizeof name, "%.*s.", SLICE_ARG(section->key));
    if (section->kind != YAML_MAPPING)
        return yaml_error(loader->error, section, "config-invalid", "'%.*s' must hold keys, indented below it, not %s",
                          SLICE_ARG(section->key), yaml_what(section));
    for (const struct yaml *member = section->first; member; member = member->next)
        if (read_member(loader, member, name) < 0) return -1;
    return 0;
}

static int read_document(struct loader *loader, struct slice text) {
    const struct yaml_limits limits = {.bytes = FILE_MAX, .values = 4096};
    const struct yaml *root;
    if (yaml_read(&loader->config->arena, text, &limits, &root, loader->error) < 0) return -1;
    if (yaml_is_null(root)) return 0;
    if (root->kind != YAML_MAPPING)
        return yaml_error(loader->error, root, "config-invalid", "the file must hold keys, as 'topic-prefix: release.', not %s",
                          yaml_what(root));
    for (const struct yaml *member = root->first; member; member = member->next) {
        int status = is_section(member->key) ? read_section(loader, member) : read_member(loader, member, "");
        if (status < 0) return -1;
    }
    return 0;
}

/* Which file to read; NULL: none. */
static const char *choose_file(const struct loader *loader, const char *path) {
    static const char *const usual[] = {"./sluice.yaml", "/etc/sluice/sluice.yaml"};
    if (path) return path;
    const char *named = variable(loader, "SLUICE_CONFIG");
    if (named) return named;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (access(usual[i], F_OK) == 0) return usual[i];
    return NULL;
}

static int load_file(struct loader *loader, const char *path) {
    path = choose_file(loader, path);
    if (!path) return 0;
    struct config *config = loader->config;
    config->file = arena_copy(&config->arena, slice_str(path)).p;
    if (!config->file) return error_memory(loader->error);
    struct slice text;
    if (read_file(&config->arena, path, FILE_MAX, &text, loader->error) < 0) return -1;
    return read_document(loader, text) < 0 ? invalid_in(loader->error, path) : 0;
}

/* ---- layers ---- */

static int load_defaults(struct loader *loader) {
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char text[512];
        loader->values[i] = (struct config_value){.key = key->name, .origin = "default", .secret = key->secret};
        if (!key->standard) continue;
        (void)snprintf(text, sizeof text, "%s", key->standard);
        if (key->compute) key->compute(text, sizeof text);
        if (set_key(loader, i, slice_str(text), "default") < 0) return -1;
    }
    return 0;
}

/* The text of a secret's file without the line's end. */
static int read_secret(struct loader *loader, const char *name, const char *path, struct slice *ret_text) {
    struct slice text;
    if (read_file(&loader->config->arena, path, 65536, &text, loader->error) < 0) return invalid_in(loader->error, name);
    if (text.n && text.p[text.n - 1] == '\n') text.n--;
    if (text.n && text.p[text.n - 1] == '\r') text.n--;
    if (!text.n || memchr(text.p, '\0', text.n)) return invalid(loader->error, "%s: %s is empty or no text", name, path);
    *ret_text = text;
    return 0;
}

/* Finds what the environment says for a key: NAME, or for a secret the file that NAME_FILE names. 1 found, 0 not, or -1. */
static int ask_environment(struct loader *loader, const char *key, bool secret, char name[VARIABLE_MAX], struct slice *ret_text) {
    char file_name[VARIABLE_MAX];
    variable_name(name, key, "");
    variable_name(file_name, key, "_FILE");
    const char *text = variable(loader, name), *path = secret ? variable(loader, file_name) : NULL;
    if (text && path) return invalid(loader->error, "%s and %s are both set; keep one of them", name, file_name);
    if (!text && !path) return 0;
    *ret_text = slice_str(text);
    if (!path) return 1;
    memcpy(name, file_name, sizeof file_name);
    return read_secret(loader, name, path, ret_text) < 0 ? -1 : 1;
}

static int load_keys(struct loader *loader) {
    for (size_t i = 0; i < config_key_count; i++) {
        char name[VARIABLE_MAX];
        struct slice text = {0};
        int found = ask_environment(loader, config_keys[i].name, config_keys[i].secret, name, &text);
        if (found < 0) return -1;
        if (found && set_key(loader, i, text, name) < 0) return invalid_in(loader->error, name);
    }
    return 0;
}

static bool is_key_variable(const char *entry) {
    for (size_t i = 0; i < config_key_count; i++) {
        char name[VARIABLE_MAX];
        variable_name(name, config_keys[i].name, "");
        size_t n = strlen(name);
        if (strncmp(entry, name, n) != 0) continue;
        if (entry[n] == '=' || (config_keys[i].secret && strncmp(entry + n, "_FILE=", 6) == 0)) return true;
    }
    return false;
}

/* SLUICE_KAFKA_SASL_PASSWORD is sasl.password; SLUICE_KAFKA_SASL_PASSWORD_FILE the file that holds it. */
static int load_property(struct loader *loader, const char *entry) {
    static const char prefix[] = "SLUICE_KAFKA_", suffix[] = "_FILE";
    size_t n = strcspn(entry, "="), head = sizeof prefix - 1, tail = sizeof suffix - 1;
    if (strncmp(entry, prefix, head) != 0 || is_key_variable(entry) || n <= head || !entry[n] || !entry[n + 1]) return 0;
    char variable_text[VARIABLE_MAX], key[VARIABLE_MAX];
    if (n >= VARIABLE_MAX) return invalid(loader->error, "%.60s...: no librdkafka property has such a long name", entry);
    (void)snprintf(variable_text, sizeof variable_text, "%.*s", (int)n, entry);
    bool from_file = n > head + tail && strcmp(variable_text + n - tail, suffix) == 0;
    (void)snprintf(key, sizeof key, "kafka.%.*s", (int)(n - head - (from_file ? tail : 0)), variable_text + head);
    for (char *c = key; *c; c++) {
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
        if (*c == '_') *c = '.';
    }
    struct slice property = slice_str(key + strlen("kafka."));
    bool secret = config_property_is_secret(property);
    if (from_file && !secret)
        return invalid(loader->error, "%s: only secrets are read from a file, and kafka.%s is none", variable_text, property.p);
    char name[VARIABLE_MAX];
    struct slice text = {0};
    if (ask_environment(loader, key, secret, name, &text) < 0) return -1;
    return set_property(loader, property, text, name) < 0 ? invalid_in(loader->error, name) : 0;
}

static int load_environment(struct loader *loader) {
    if (load_keys(loader) < 0) return -1;
    for (char *const *entry = loader->environment; entry && *entry; entry++)
        if (load_property(loader, *entry) < 0) return -1;
    return 0;
}

static int list_properties(struct loader *loader) {
    struct config *config = loader->config;
    size_t count = loader->property_count;
    struct config_property *properties = ARENA_ARRAY(&config->arena, struct config_property, count);
    if (!properties) return error_memory(loader->error);
    for (size_t i = 0; i < count; i++) {
        const struct config_value *value = &loader->values[config_key_count + i];
        properties[i] = (struct config_property){value->key + strlen("kafka."), value->text};
    }
    config->kafka.properties = properties;
    config->kafka.property_count = count;
    config->values = loader->values;
    config->value_count = config_key_count + count;
    return 0;
}

int config_load(struct config *config, const char *path, char *const *environment, struct error *error) {
    *config = (struct config){0};
    arena_init(&config->arena, ARENA_MAX);
    struct loader loader = {.config = config, .environment = environment ? environment : environ, .error = error};
    loader.values = ARENA_ARRAY(&config->arena, struct config_value, config_key_count + PROPERTIES_MAX);
    if (!loader.values) return error_memory(error);
    if (load_defaults(&loader) < 0 || load_file(&loader, path) < 0 || load_environment(&loader) < 0 ||
        list_properties(&loader) < 0) {
        config_release(config);
        return -1;
    }
    return 0;
}

void config_release(struct config *config) {
    arena_release(&config->arena);
    *config = (struct config){0};
}

int config_require(const char *value, const char *key, struct error *error) {
    if (value) return 0;
    char name[VARIABLE_MAX];
    variable_name(name, key, "");
    return error_set(error, ERROR_INPUT, "config-missing", "%s is not configured; set %s, or %s in sluice.yaml", key, name, key);
}

const char *config_stray(char *const *environment, size_t *at) {
    char *const *entries = environment ? environment : environ;
    while (entries && entries[*at]) {
        const char *entry = entries[(*at)++];
        if (is_key_variable(entry)) continue;
        for (size_t i = 0; i < config_key_count; i++) {
            char section[VARIABLE_MAX], prefix[VARIABLE_MAX];
            size_t n = strcspn(config_keys[i].name, ".");
            if (!config_keys[i].name[n] || strncmp(config_keys[i].name, "kafka.", 6) == 0) continue;
            (void)snprintf(section, sizeof section, "%.*s.", (int)n, config_keys[i].name);
            variable_name(prefix, section, "");
            if (strncmp(entry, prefix, strlen(prefix)) == 0) return entry;
        }
    }
    return NULL;
}
