/* A real Postgres for a component test: the one of SLUICE_TEST_DATABASE_URL or SLUICE_DATABASE_URL (a superuser's), else one of
 * the program's own by deploy/postgres.sh. Each test has a schema of its own. */
#ifndef SLUICE_TEST_DATABASE_H
#define SLUICE_TEST_DATABASE_H

#include "pg_migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DATABASE_SCRIPT SLUICE_SOURCE "/deploy/postgres.sh"

static char database_url[300], database_folder[200];

/* For cmocka_run_group_tests: 0, or -1 when there is no Postgres to be had. */
static inline int database_start(void **state) {
    (void)state;
    const char *given = getenv("SLUICE_TEST_DATABASE_URL");
    if (!given || !*given) given = getenv("SLUICE_DATABASE_URL");
    if (given && *given) return snprintf(database_url, sizeof database_url, "%s", given) < 0;
    char template[] = "/tmp/sluice-postgres-XXXXXX", command[1000];
    if (!mkdtemp(template)) return -1;
    (void)snprintf(database_folder, sizeof database_folder, "%s", template);
    (void)snprintf(command, sizeof command, "'%s' start '%.199s'", DATABASE_SCRIPT, database_folder);
    FILE *output = popen(command, "r");
    if (!output) return -1;
    bool told = fgets(database_url, sizeof database_url, output) != NULL;
    database_url[strcspn(database_url, "\n")] = '\0';
    return pclose(output) == 0 && told ? 0 : -1;
}

static inline int database_stop(void **state) {
    (void)state;
    char command[1000];
    if (!*database_folder) return 0;
    (void)snprintf(command, sizeof command, "'%s' purge '%.199s'", DATABASE_SCRIPT, database_folder);
    return system(command);
}

/* Options with a schema of their own that nothing was made in yet; `schema` gets its name. */
static inline struct pg_options database_options(char schema[64]) {
    static unsigned number;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(schema, 64, "test_%lx_%d_%u", (unsigned long)now.tv_nsec, (int)getpid(), number++);
    return (struct pg_options){.url = database_url, .schema = schema, .application = schema};
}

/* The same, migrated. Aborts the program on failure. */
static inline struct pg_options database_migrated(char schema[64], uint32_t shards, struct pg_installation *ret_installation) {
    struct pg_options options = database_options(schema);
    size_t applied;
    struct error error;
    if (pg_migrate(&options, shards, ret_installation, &applied, &error)) {
        (void)fprintf(stderr, "%s: %s\n", error.code, error.message);
        abort();
    }
    return options;
}

/* Statements by psql's rules, as the superuser, with the test's schema as search path. Aborts the program on failure. */
static inline void database_do(const struct pg_options *options, const char *script) {
    struct error error;
    struct pg *pg = pg_new(options, PG_LOGIN);
    if (!pg || pg_script(pg, script, &error)) {
        (void)fprintf(stderr, "%s\n%s: %s\n", script, error.code, error.message);
        abort();
    }
    pg_free(pg);
}

/* One number that a query gives. Aborts the program on failure. */
static inline int64_t database_number(const struct pg_options *options, const char *query) {
    char text[2000];
    struct error error;
    (void)snprintf(text, sizeof text, "SELECT (%s)::bigint", query);
    const struct pg_statement statement = {"test_number", (const unsigned char *)text};
    struct pg *pg = pg_new(options, PG_LOGIN);
    struct pg_result *result = pg ? pg_query(pg, PG_READ, &statement, NULL, &error) : NULL;
    if (!result || pg_rows(result) != 1) {
        (void)fprintf(stderr, "%s\n%s: %s\n", text, error.code, error.message);
        abort();
    }
    int64_t number = pg_get_int(result, 0, 0);
    pg_result_free(result);
    pg_free(pg);
    return number;
}

static inline void database_drop(const struct pg_options *options) {
    char script[200];
    (void)snprintf(script, sizeof script, "DROP SCHEMA IF EXISTS %s CASCADE", options->schema);
    database_do(options, script);
}

#endif
