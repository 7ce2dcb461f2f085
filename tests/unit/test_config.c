#include "config.h"

#include "config_keys.h"
#include "suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static char folder[] = "/tmp/sluice-config-XXXXXX";
static struct error failure;

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state) {
    (void)state;
    static const char *const names[] = {"file.yaml", "secret"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[100];
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

/* The path is good until the next call. */
static const char *write_file(const char *name, const char *text) {
    static char path[100];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static char *no_environment[] = {NULL};

static const struct config_value *value_of(const struct config *config, const char *key) {
    for (size_t i = 0; i < config->value_count; i++)
        if (strcmp(config->values[i].key, key) == 0) return &config->values[i];
    return NULL;
}

static void every_default_is_within_its_range(void **state) {
    (void)state;
    struct config config;
    assert_int_equal(config_load(&config, write_file("file.yaml", ""), no_environment, &failure), 0);
    assert_string_equal(config.topic_prefix, "release.");
    assert_string_equal(config.database.schema, "sluice");
    assert_string_equal(config.worker.listen, "127.0.0.1:9464");
    assert_string_equal(config.worker.group, "sluice");
    assert_int_equal(config.worker.batch_records, 700);
    assert_int_equal(config.registry.wait, 500000);
    assert_true(config.worker.lanes >= 1);
    assert_true(config.worker.name[0] != '\0');
    assert_null(config.database.url);
    assert_null(config.kafka.bootstrap_servers);
    assert_int_equal(config.kafka.property_count, 0);
    assert_int_equal(config.value_count, config_key_count);
    config_release(&config);
}

static void the_environment_goes_before_the_file_and_the_file_before_the_default(void **state) {
    (void)state;
    char *environment[] = {"SLUICE_WORKER_LANES=7",           "SLUICE_DATABASE_SCHEMA=",
                           "SLUICE_KAFKA_SASL_PASSWORD=hush", "SLUICE_KAFKA_BOOTSTRAP_SERVERS=b:9092",
                           "SLUICE_KAFKA_LINGER_MS=5",        NULL};
    struct config config;
    const char *path = write_file("file.yaml", "worker: {lanes: 3, batch-records: 20}\ndatabase:\n  schema: mine\nkafka:\n"
                                               "  linger.ms: 1\n  bootstrap-servers: a:9092\n");
    assert_int_equal(config_load(&config, path, environment, &failure), 0);
    assert_int_equal(config.worker.lanes, 7);
    assert_int_equal(config.worker.batch_records, 20);
    assert_string_equal(config.database.schema, "mine");
    assert_string_equal(config.kafka.bootstrap_servers, "b:9092");
    assert_int_equal(config.kafka.property_count, 2);
    assert_string_equal(config.kafka.properties[0].name, "linger.ms");
    assert_string_equal(config.kafka.properties[0].value, "5");
    assert_string_equal(config.kafka.properties[1].name, "sasl.password");
    assert_string_equal(config.kafka.properties[1].value, "hush");
    assert_string_equal(value_of(&config, "worker.lanes")->origin, "SLUICE_WORKER_LANES");
    assert_non_null(strstr(value_of(&config, "database.schema")->origin, "file.yaml, line 3"));
    assert_string_equal(value_of(&config, "registry.total")->origin, "default");
    assert_true(value_of(&config, "kafka.sasl.password")->secret);
    assert_true(value_of(&config, "database.url")->secret);
    assert_false(value_of(&config, "kafka.linger.ms")->secret);
    config_release(&config);
}

/* Found by fuzzing: librdkafka refuses a name that is misspelt, but `sluice config` would have shown its value before. */
static void a_misspelt_password_is_a_secret_too(void **state) {
    (void)state;
    char *environment[] = {"SLUICE_KAFKA_SASL_PASSWORDS=hush", "SLUICE_KAFKA_SASL_OAUTHBEARER_CLIENT_SECRETS=hush", NULL};
    struct config config;
    assert_int_equal(config_load(&config, write_file("file.yaml", ""), environment, &failure), 0);
    assert_true(value_of(&config, "kafka.sasl.passwords")->secret);
    assert_true(value_of(&config, "kafka.sasl.oauthbearer.client.secrets")->secret);
    config_release(&config);
}

static void a_secret_may_come_from_a_file(void **state) {
    (void)state;
    char name[200], kafka[200];
    const char *path = write_file("secret", "postgresql://u:p@h/d\n");
    (void)snprintf(name, sizeof name, "SLUICE_DATABASE_URL_FILE=%s", path);
    (void)snprintf(kafka, sizeof kafka, "SLUICE_KAFKA_SSL_KEY_PASSWORD_FILE=%s", path);
    char *environment[] = {name, kafka, NULL};
    struct config config;
    assert_int_equal(config_load(&config, write_file("file.yaml", ""), environment, &failure), 0);
    assert_string_equal(config.database.url, "postgresql://u:p@h/d");
    assert_string_equal(value_of(&config, "database.url")->origin, "SLUICE_DATABASE_URL_FILE");
    assert_string_equal(config.kafka.properties[0].name, "ssl.key.password");
    assert_string_equal(config.kafka.properties[0].value, "postgresql://u:p@h/d");
    config_release(&config);

    char *both[] = {name, "SLUICE_DATABASE_URL=x", NULL};
    assert_int_equal(config_load(&config, write_file("file.yaml", ""), both, &failure), -1);
    assert_non_null(strstr(failure.message, "are both set"));
    char *absent[] = {"SLUICE_DATABASE_URL_FILE=/nonexistent/secret", NULL};
    assert_int_equal(config_load(&config, write_file("file.yaml", ""), absent, &failure), -1);
    assert_non_null(strstr(failure.message, "SLUICE_DATABASE_URL_FILE: /nonexistent/secret cannot be read"));
    char *open_value[] = {"SLUICE_KAFKA_LINGER_MS_FILE=/etc/hostname", NULL};
    assert_int_equal(config_load(&config, write_file("file.yaml", ""), open_value, &failure), -1);
    assert_non_null(strstr(failure.message, "only secrets are read from a file"));
}

static void what_is_wrong_in_the_file_is_refused_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"worker: {lanse: 2}\n", "line 1, column 10: there is no key 'worker.lanse'; did you mean 'lanes'?"},
        {"wroker: {lanes: 2}\n", "line 1, column 1: there is no key 'wroker'; did you mean 'worker'?"},
        {"topic-prefx: x\n", "did you mean 'topic-prefix'?"},
        {"worker.lanes: 2\n", "line 1, column 1: write 'worker.lanes' as 'worker:' and, indented below it, 'lanes:'"},
        {"worker: {colour: red}\n", "there is no key 'worker.colour'; sluice config --reference lists all keys"},
        {"worker:\n  lanes: 0\n", "line 2, column 10: worker.lanes must be a number from 1 to 256, not '0'"},
        {"worker:\n  lanes: 1.5\n", "must be a number from 1 to 256"},
        {"worker:\n  lanes: 99999999999999999999\n", "must be a number from 1 to 256"},
        {"worker:\n  lanes:\n", "worker.lanes must be one text or number, not nothing"},
        {"worker:\n  lanes: [1]\n", "worker.lanes must be one text or number, not a list"},
        {"worker: 3\n", "'worker' must hold keys, indented below it, not a text"},
        {"- worker\n", "the file must hold keys"},
        {"worker: {log-level: loud}\n", "must be one of debug, info, warn, error, not 'loud'"},
        {"worker: {drain-timeout: 20}\n", "must be a duration from 1s to 60m, as 500ms, 30s, 5m, not '20'"},
        {"worker: {listen: 9464}\n", "must be host:port"},
        {"worker: {listen: 'a:65536'}\n", "must be host:port"},
        {"worker: {name: a/b}\n", "worker.name must be letters"},
        {"database: {schema: Sluice}\n", "database.schema must be lower-case letters"},
        {"database: {schema: 'x; drop'}\n", "database.schema must be lower-case letters"},
        {"database: {schema: pg_x}\n", "not beginning with a digit or pg_"},
        {"worker: {lanes: 1, lanes: 2}\n", "line 1, column 20: the key 'lanes' stands in line 1 already"},
        {"kafka: {isolation.level: read_uncommitted}\n", "kafka.isolation.level must not be set: what was not committed"},
        {"kafka: {bootstrap.servers: x}\n", "kafka.bootstrap.servers must not be set: set kafka.bootstrap-servers"},
        {"kafka: {'a b': x}\n", "it is no name of a librdkafka property"},
        {"kafka: {linger.ms: {a: 1}}\n", "kafka.linger.ms must be one text or number, not a mapping"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config config;
        const char *path = write_file("file.yaml", cases[i].text);
        if (config_load(&config, path, no_environment, &failure) == 0) fail_msg("%s is accepted", cases[i].text);
        assert_string_equal(failure.code, "config-invalid");
        if (!strstr(failure.message, cases[i].message) || strncmp(failure.message, path, strlen(path)) != 0)
            fail_msg("%s\nsays: %s\nnot: %s", cases[i].text, failure.message, cases[i].message);
    }
}

static void what_is_wrong_in_the_environment_is_refused_with_its_name(void **state) {
    (void)state;
    static const struct {
        char *variable;
        const char *message;
    } cases[] = {
        {"SLUICE_WORKER_LANES=many", "SLUICE_WORKER_LANES: worker.lanes must be a number from 1 to 256, not 'many'"},
        {"SLUICE_KAFKA_ENABLE_IDEMPOTENCE=false", "SLUICE_KAFKA_ENABLE_IDEMPOTENCE: kafka.enable.idempotence must not be set"},
        {"SLUICE_KAFKA_GROUP_ID=x", "SLUICE_KAFKA_GROUP_ID: kafka.group.id must not be set: set worker.group"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config config;
        char *environment[] = {cases[i].variable, NULL};
        assert_int_equal(config_load(&config, write_file("file.yaml", ""), environment, &failure), -1);
        if (strncmp(failure.message, cases[i].message, strlen(cases[i].message)) != 0) fail_msg("%s", failure.message);
    }
}

static void a_message_never_repeats_a_secret(void **state) {
    (void)state;
    struct config config;
    static char variable[9000] = "SLUICE_DATABASE_URL=hush";
    memset(variable + strlen(variable), 'h', sizeof variable - strlen(variable) - 1);
    char *environment[] = {variable, NULL};
    assert_int_equal(config_load(&config, write_file("file.yaml", ""), environment, &failure), -1);
    assert_null(strstr(failure.message, "hush"));
}

static void a_named_file_must_exist(void **state) {
    (void)state;
    struct config config;
    assert_int_equal(config_load(&config, "/nonexistent/sluice.yaml", no_environment, &failure), -1);
    assert_non_null(strstr(failure.message, "/nonexistent/sluice.yaml cannot be read"));
    char *environment[] = {"SLUICE_CONFIG=/nonexistent/other.yaml", NULL};
    assert_int_equal(config_load(&config, NULL, environment, &failure), -1);
    assert_non_null(strstr(failure.message, "/nonexistent/other.yaml cannot be read"));
}

static void what_must_not_be_overridden_is_refused(void **state) {
    (void)state;
    static const char *const names[] = {"isolation.level",
                                        "transactional.id",
                                        "acks",
                                        "request.required.acks",
                                        "enable.idempotence",
                                        "enable.auto.commit",
                                        "auto.commit.enable",
                                        "auto.offset.reset",
                                        "group.protocol",
                                        "partition.assignment.strategy",
                                        "group.instance.id",
                                        "partitioner",
                                        "group.id"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_non_null(config_property_refusal(slice_str(names[i])));
    assert_null(config_property_refusal(SLICE("security.protocol")));
    assert_null(config_property_refusal(SLICE("queued.max.messages.kbytes")));
}

static void a_mistyped_variable_is_told(void **state) {
    (void)state;
    char *environment[] = {"SLUICE_WORKER_LANES=1",
                           "SLUICE_WORKER_LANE=1",
                           "SLUICE_LOCAL_DIR=x",
                           "SLUICE_DATABASE_URL_FILE=x",
                           "SLUICE_REGISTRY_WAIT_FILE=x",
                           "HOME=x",
                           NULL};
    size_t at = 0;
    assert_string_equal(config_stray(environment, &at), "SLUICE_WORKER_LANE=1");
    assert_string_equal(config_stray(environment, &at), "SLUICE_REGISTRY_WAIT_FILE=x");
    assert_null(config_stray(environment, &at));
}

static void the_reference_names_every_key(void **state) {
    (void)state;
    struct buf text;
    buf_init(&text, 100000);
    config_reference(&text, true);
    assert_false(text.failed);
    for (size_t i = 0; i < config_key_count; i++) assert_non_null(strstr(text.p, config_keys[i].name));
    assert_non_null(strstr(text.p, "SLUICE_DATABASE_URL_FILE"));
    assert_non_null(strstr(text.p, "isolation.level"));
    buf_release(&text);
}

static void a_missing_key_is_told_with_its_variable(void **state) {
    (void)state;
    assert_int_equal(config_require("x", "database.url", &failure), 0);
    assert_int_equal(config_require(NULL, "database.url", &failure), -1);
    assert_string_equal(failure.message,
                        "database.url is not configured; set SLUICE_DATABASE_URL, or database.url in sluice.yaml");
}

static void distances_count_edits(void **state) {
    (void)state;
    assert_int_equal(suggest_distance(SLICE("lanes"), SLICE("lanes")), 0);
    assert_int_equal(suggest_distance(SLICE("lanse"), SLICE("lanes")), 1);
    assert_int_equal(suggest_distance(SLICE("kitten"), SLICE("sitting")), 3);
    assert_int_equal(suggest_distance(SLICE(""), SLICE("abc")), 3);
    assert_int_equal(suggest_distance(SLICE("abc"), SLICE("")), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_is_within_its_range),
        cmocka_unit_test(the_environment_goes_before_the_file_and_the_file_before_the_default),
        cmocka_unit_test(a_misspelt_password_is_a_secret_too),
        cmocka_unit_test(a_secret_may_come_from_a_file),
        cmocka_unit_test(what_is_wrong_in_the_file_is_refused_with_its_place),
        cmocka_unit_test(what_is_wrong_in_the_environment_is_refused_with_its_name),
        cmocka_unit_test(a_message_never_repeats_a_secret),
        cmocka_unit_test(a_named_file_must_exist),
        cmocka_unit_test(what_must_not_be_overridden_is_refused),
        cmocka_unit_test(a_mistyped_variable_is_told),
        cmocka_unit_test(the_reference_names_every_key),
        cmocka_unit_test(a_missing_key_is_told_with_its_variable),
        cmocka_unit_test(distances_count_edits),
    };
    return cmocka_run_group_tests_name("config", tests, make_folder, drop_folder);
}
