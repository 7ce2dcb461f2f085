/* Any bytes as the configuration: an environment, one variable a line, up to an empty line, then the file. It is read or refused,
 * and what is read is within its ranges. "SLUICE_DATABASE_URL_FILE=@" names a file that holds the lines behind "---".
 *
 * Covers: common/config.c common/config_keys.c */
#include "config.h"
#include "config_keys.h"
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

enum { VARIABLES_MAX = 24 };

/* A file of those bytes at /proc/self/fd/<the number that is returned>. */
static int file_of(struct slice bytes, char *path, size_t room) {
    int file = memfd_create("config", 0);
    REQUIRE(file >= 0 && (!bytes.n || write(file, bytes.p, bytes.n) == (ssize_t)bytes.n));
    (void)snprintf(path, room, "/proc/self/fd/%d", file);
    return file;
}

/* Terminated copies of the lines up to the empty one. */
static void read_environment(struct arena *arena, struct slice *text, const char *secret_path, char **environment) {
    size_t count = 0;
    for (;;) {
        struct slice line = fuzz_line(text);
        if (!line.n || count == VARIABLES_MAX) break;
        if (line.n > 7 && memcmp(line.p + line.n - 7, "_FILE=@", 7) == 0) {
            environment[count++] = (char *)(uintptr_t)arena_print(arena, "%.*s%s", (int)line.n - 1, line.p, secret_path).p;
        } else
            environment[count++] = (char *)(uintptr_t)arena_copy(arena, line).p;
        REQUIRE(environment[count - 1]);
    }
    environment[count] = NULL;
}

static void check_config(const struct config *config) {
    REQUIRE(config->worker.lanes >= 1 && config->worker.lanes <= 256 && config->registry.wait > 0 && config->topic_prefix);
    REQUIRE(config->registry.per_registry >= 1 && config->registry.total >= 1 && config->worker.batch_records >= 1);
    for (const char *c = config->topic_prefix; *c; c++) REQUIRE(*c > ' ' && *c < 0x7f && *c != '/');
    for (size_t i = 0; i < config->kafka.property_count; i++) {
        const struct config_property *property = &config->kafka.properties[i];
        REQUIRE(property->name[0] && property->value && !config_property_refusal(slice_str(property->name)));
    }
    REQUIRE(config->value_count == config_key_count + config->kafka.property_count);
    for (size_t i = 0; i < config->value_count; i++) {
        const struct config_value *value = &config->values[i];
        REQUIRE(value->key && value->origin && (value->text || strcmp(value->origin, "default") == 0));
        if (strstr(value->key, "password") || strcmp(value->key, "database.url") == 0) REQUIRE(value->secret);
    }
    struct error error = {0};
    REQUIRE((config_require(config->database.url, "database.url", &error) == 0) == (config->database.url != NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *environment[VARIABLES_MAX + 1];
    char path[64], secret_path[64];
    struct slice text = slice_of(data, size), secret = SLICE("s3cret\n");
    const char *marker = text.n ? memmem(text.p, text.n, "\n---\n", 5) : NULL;
    if (marker) {
        secret = slice_of(marker + 5, text.n - (size_t)(marker - text.p) - 5);
        text.n = (size_t)(marker - text.p) + 1;
    }
    struct arena arena;
    struct config config;
    struct error error = {0};
    arena_init(&arena, 1 << 24);
    int secret_file = file_of(secret, secret_path, sizeof secret_path);
    read_environment(&arena, &text, secret_path, environment);
    int file = file_of(text, path, sizeof path);
    if (config_load(&config, path, environment, &error) == 0) {
        check_config(&config);
        config_release(&config);
    } else {
        require_error(&error);
        config_release(&config); /* harmless */
    }
    const char *stray;
    for (size_t at = 0; (stray = config_stray(environment, &at));) REQUIRE(strncmp(stray, "SLUICE_", 7) == 0);
    (void)close(file);
    (void)close(secret_file);
    arena_release(&arena);
    return 0;
}
