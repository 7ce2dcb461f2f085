/* Migrations against a real Postgres. */
#include "ledger.h"
#include "pg_migrate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "database.h"

static void migrating_twice_does_nothing_the_second_time(void **state) {
    (void)state;
    char schema[64];
    struct pg_options options = database_options(schema);
    struct pg_installation first, second;
    struct error error;
    size_t applied = 99;
    assert_int_equal(pg_migrate(&options, 0, &first, &applied, &error), 0);
    assert_int_equal(applied, 1);
    assert_int_equal(first.shards, PG_SHARDS_DEFAULT);
    assert_int_equal(pg_migrate(&options, 0, &second, &applied, &error), 0);
    assert_int_equal(applied, 0);
    assert_memory_equal(first.id, second.id, 16);
    assert_int_equal(database_number(&options, "SELECT count(*) FROM shard"), PG_SHARDS_DEFAULT);
    database_drop(&options);
}

static void the_number_of_shards_never_changes(void **state) {
    (void)state;
    char schema[64];
    struct pg_installation installation;
    struct error error;
    size_t applied;
    struct pg_options options = database_migrated(schema, 3, &installation);
    assert_int_equal(installation.shards, 3);
    assert_int_equal(pg_migrate(&options, 3, &installation, &applied, &error), 0);
    assert_int_not_equal(pg_migrate(&options, 4, &installation, &applied, &error), 0);
    assert_string_equal(error.code, "shards-fixed");
    assert_int_equal(database_number(&options, "SELECT count(*) FROM shard"), 3);
    database_drop(&options);
}

static void migrations_at_the_same_moment_take_turns(void **state) {
    (void)state;
    enum { RUNNERS = 6 };
    char schema[64];
    struct pg_options options = database_options(schema);
    pid_t children[RUNNERS];
    int applied = 0, status;
    for (size_t i = 0; i < RUNNERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i]) continue;
        struct pg_installation installation;
        struct error error;
        size_t count;
        if (pg_migrate(&options, 5, &installation, &count, &error)) {
            (void)fprintf(stderr, "%s: %s\n", error.code, error.message);
            _exit(100);
        }
        _exit((int)count);
    }
    for (size_t i = 0; i < RUNNERS; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 100);
        applied += WEXITSTATUS(status);
    }
    assert_int_equal(applied, 1);
    assert_int_equal(database_number(&options, "SELECT count(*) FROM installation"), 1);
    assert_int_equal(database_number(&options, "SELECT count(*) FROM shard"), 5);
    database_drop(&options);
}

static void a_migration_that_was_edited_is_refused(void **state) {
    (void)state;
    char schema[64];
    struct pg_installation installation;
    struct pg_migrations migrations;
    struct error error;
    size_t applied;
    struct pg_options options = database_migrated(schema, 2, &installation);
    struct pg *pg = pg_new(&options, PG_READER);
    assert_int_equal(pg_migrations(pg, &migrations, &error), 0);
    assert_int_equal(migrations.count, 1);
    assert_true(migrations.rows[0].applied && migrations.rows[0].known);
    assert_string_equal(migrations.rows[0].name, "0001_initial");
    database_do(&options, "UPDATE migration SET checksum = sha256('another')");
    assert_int_not_equal(pg_migrations(pg, &migrations, &error), 0);
    assert_string_equal(error.code, "migration-changed");
    pg_free(pg);
    assert_int_not_equal(pg_migrate(&options, 0, &installation, &applied, &error), 0);
    assert_string_equal(error.code, "migration-changed");
    database_drop(&options);
}

static void programs_and_schemas_that_do_not_fit_say_so(void **state) {
    (void)state;
    char schema[64];
    struct pg_installation installation;
    struct error error;
    struct pg_options options = database_options(schema);
    struct pg *pg = pg_new(&options, PG_LOGIN);
    assert_int_not_equal(pg_installation(pg, &installation, &error), 0);
    assert_string_equal(error.code, "not-migrated");
    pg_free(pg);
    options = database_migrated(schema, 2, &installation);
    pg = pg_new(&options, PG_WORKER);
    assert_int_equal(pg_installation(pg, &installation, &error), 0);
    database_do(&options, "UPDATE installation SET min_program = 1000");
    assert_int_not_equal(pg_installation(pg, &installation, &error), 0);
    assert_string_equal(error.code, "program-too-old");
    database_do(&options, "UPDATE installation SET min_program = 1, schema_version = 1000"); /* a newer one that still takes us */
    assert_int_equal(pg_installation(pg, &installation, &error), 0);
    database_do(&options, "UPDATE installation SET schema_version = 0");
    assert_int_not_equal(pg_installation(pg, &installation, &error), 0);
    assert_string_equal(error.code, "schema-too-old");
    pg_free(pg);
    database_drop(&options);
}

static void a_schema_name_is_taken_as_it_is(void **state) {
    (void)state;
    struct pg_options options = {.url = database_url, .schema = "test \"odd'; Name"};
    struct pg_installation installation;
    struct error error;
    size_t applied;
    database_do(&options, "DROP SCHEMA IF EXISTS \"test \"\"odd'; Name\" CASCADE");
    if (pg_migrate(&options, 2, &installation, &applied, &error)) fail_msg("%s", error.message);
    struct pg *pg = pg_new(&options, PG_WORKER);
    if (pg_script(pg, "SELECT seen_periods(now())", &error)) fail_msg("%s", error.message);
    pg_free(pg);
    database_do(&options, "DROP SCHEMA \"test \"\"odd'; Name\" CASCADE");
}

static void a_login_without_the_right_to_make_roles_is_told_what_to_ask_for(void **state) {
    (void)state;
    char schema[64], text[400];
    struct pg_installation installation;
    struct error error;
    size_t applied;
    struct pg_options options = database_options(schema);
    (void)snprintf(text, sizeof text, "CREATE ROLE %s LOGIN PASSWORD 'poor'", schema);
    database_do(&options, text);
    (void)snprintf(text, sizeof text, "%s%suser=%s&password=poor", database_url, strchr(database_url, '?') ? "&" : "?", schema);
    struct pg_options poor = options;
    poor.url = text;
    assert_int_not_equal(pg_migrate(&poor, 2, &installation, &applied, &error), 0);
    assert_string_equal(error.code, "roles-missing");
    assert_non_null(strstr(error.message, "GRANT sluice_owner TO"));
    /* made by an administrator, it goes on */
    char script[600];
    (void)snprintf(script, sizeof script, "CREATE SCHEMA %s AUTHORIZATION sluice_owner; GRANT sluice_owner TO %s", schema,
                   schema);
    database_do(&options, script);
    if (pg_migrate(&poor, 2, &installation, &applied, &error)) fail_msg("%s: %s", error.code, error.message);
    assert_int_equal(installation.shards, 2);
    /* but may not act as a worker, as nobody said so */
    struct pg *pg = pg_new(&poor, PG_WORKER);
    assert_int_not_equal(pg_connect(pg, &error), 0);
    assert_string_equal(error.code, "database-role");
    pg_free(pg);
    database_drop(&options);
    (void)snprintf(script, sizeof script, "DROP ROLE %s", schema);
    database_do(&options, script);
}

static void what_the_server_warns_of_is_not_printed(void **state) {
    (void)state;
    char schema[64];
    struct pg_options options = database_options(schema);
    struct error error;
    struct pg *pg = pg_new(&options, PG_LOGIN);
    assert_int_equal(pg_connect(pg, &error), 0);
    FILE *printed = tmpfile();
    int before = dup(STDERR_FILENO);
    (void)fflush(stderr);
    assert_true(printed && before >= 0 && dup2(fileno(printed), STDERR_FILENO) >= 0);
    int result = pg_script(pg, "DO $$BEGIN RAISE WARNING 'as of a server that goes down'; END$$", &error);
    (void)fflush(stderr);
    (void)dup2(before, STDERR_FILENO);
    (void)close(before);
    assert_int_equal(result, 0);
    assert_int_equal(lseek(fileno(printed), 0, SEEK_END), 0);
    (void)fclose(printed);
    pg_free(pg);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(migrating_twice_does_nothing_the_second_time),
        cmocka_unit_test(the_number_of_shards_never_changes),
        cmocka_unit_test(migrations_at_the_same_moment_take_turns),
        cmocka_unit_test(a_migration_that_was_edited_is_refused),
        cmocka_unit_test(programs_and_schemas_that_do_not_fit_say_so),
        cmocka_unit_test(a_schema_name_is_taken_as_it_is),
        cmocka_unit_test(what_the_server_warns_of_is_not_printed),
        cmocka_unit_test(a_login_without_the_right_to_make_roles_is_told_what_to_ask_for),
    };
    return cmocka_run_group_tests(tests, database_start, database_stop);
}
