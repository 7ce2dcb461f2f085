#include "pg_migrate.h"

#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>

PG_STATEMENT(migrate_server);
PG_STATEMENT(migrate_lock);
PG_STATEMENT(migrate_roles);
PG_STATEMENT(migrate_table);
PG_STATEMENT(migrate_list);
PG_STATEMENT(migrate_record);
PG_STATEMENT(migrate_version);
PG_STATEMENT(installation_add);
PG_STATEMENT(shard_add);

/* number, file without .sql, the oldest program generation (PG_PROGRAM) that works with the schema afterwards */
#define MIGRATIONS(X) X(1, 0001_initial, 1)

#define MIGRATION_DECLARE(number, file, min_program)                                                                             \
    extern const unsigned char embedded_##file##_sql[];                                                                          \
    extern const size_t embedded_##file##_sql_size;
MIGRATIONS(MIGRATION_DECLARE)
#undef MIGRATION_DECLARE

static const struct migration {
    int number;
    const char *name;
    int min_program;
    const unsigned char *text;
    const size_t *size;
} migrations[] = {
#define MIGRATION_ROW(number, file, min_program) {number, #file, min_program, embedded_##file##_sql, &embedded_##file##_sql_size},
    MIGRATIONS(MIGRATION_ROW)
#undef MIGRATION_ROW
};
enum { KNOWN = sizeof migrations / sizeof *migrations, SERVER_MIN = 150000, STATEMENT_MS = 600 * 1000, LOCK_MS = 60 * 1000 };

static struct digest checksum_of(const struct migration *migration) {
    return digest_of(slice_of(migration->text, *migration->size));
}

/* A statement whose result nobody needs. */
static int run(struct pg *pg, const struct pg_statement *statement, struct pg_parameters *parameters, struct error *error) {
    struct pg_result *result = pg_query(pg, PG_WRITE, statement, parameters, error);
    pg_parameters_reset(parameters);
    if (!result) return -1;
    pg_result_free(result);
    return 0;
}

/* ---- what there is ---- */

static struct pg_migration *find(struct pg_migrations *all, int number) {
    for (size_t i = 0; i < all->count; i++)
        if (all->rows[i].number == number) return &all->rows[i];
    return all->count < PG_MIGRATIONS_MAX ? &all->rows[all->count++] : NULL;
}

static int by_number(const void *a, const void *b) {
    int left = ((const struct pg_migration *)a)->number, right = ((const struct pg_migration *)b)->number;
    return (left > right) - (left < right);
}

int pg_migrations(struct pg *pg, struct pg_migrations *ret_migrations, struct error *error) {
    struct pg_migrations all = {0};
    struct error problem;
    for (size_t i = 0; i < KNOWN; i++) {
        struct pg_migration *row = find(&all, migrations[i].number);
        *row = (struct pg_migration){.number = migrations[i].number, .checksum = checksum_of(&migrations[i]), .known = true};
        (void)snprintf(row->name, sizeof row->name, "%s", migrations[i].name);
    }
    struct pg_result *result = pg_query(pg, PG_READ, &migrate_list, NULL, &problem);
    if (!result && strcmp(problem.code, "sql-42P01") != 0) {
        if (error) *error = problem;
        return -1;
    }
    for (size_t i = 0; result && i < pg_rows(result); i++) {
        struct pg_migration *row = find(&all, (int)pg_get_int(result, i, 0));
        if (!row) break;
        row->number = (int)pg_get_int(result, i, 0);
        row->applied = true;
        row->at = pg_get_instant(result, i, 3);
        struct slice name = pg_get_bytes(result, i, 1);
        (void)snprintf(row->name, sizeof row->name, "%.*s", SLICE_ARG(name));
        struct digest checksum = pg_get_digest(result, i, 2);
        if (row->known && !digest_equal(&checksum, &row->checksum)) {
            pg_result_free(result);
            return error_set(error, ERROR_INTERNAL, "migration-changed",
                             "migration %s was applied from another file than this program's; install the program that fits, or "
                             "restore the database",
                             row->name);
        }
        row->checksum = checksum;
    }
    pg_result_free(result);
    qsort(all.rows, all.count, sizeof *all.rows, by_number);
    *ret_migrations = all;
    return 0;
}

/* ---- roles and schema ---- */

/* A name between double quotes. False when it does not fit. */
static bool quote(char *to, size_t room, const char *name) {
    size_t n = 0;
    if (room < 3) return false;
    to[n++] = '"';
    for (; *name; name++) {
        if (n + 4 > room) return false;
        if (*name == '"') to[n++] = '"';
        to[n++] = *name;
    }
    to[n++] = '"';
    to[n] = '\0';
    return true;
}

static int make_roles(struct pg *pg, struct pg_parameters *parameters, const char *login, struct error *error) {
    struct error problem;
    if (run(pg, &migrate_roles, parameters, &problem) == 0) return 0;
    if (strcmp(problem.code, "sql-42501") == 0)
        return error_set(error, ERROR_INTERNAL, "roles-missing",
                         "%s may not make the roles; have an administrator run: CREATE ROLE sluice_owner NOLOGIN; CREATE ROLE "
                         "sluice_admin NOLOGIN; CREATE ROLE sluice_worker NOLOGIN; CREATE ROLE sluice_reader NOLOGIN; GRANT "
                         "sluice_owner TO %s",
                         login, login);
    if (error) *error = problem;
    return -1;
}

static int make_schema(struct pg *pg, const char *schema, const char *login, struct error *error) {
    char quoted[160], script[256];
    struct error problem;
    if (!quote(quoted, sizeof quoted, schema))
        return error_set(error, ERROR_INPUT, "database-schema", "the schema's name is too long; database.schema takes 63 bytes");
    (void)snprintf(script, sizeof script, "CREATE SCHEMA IF NOT EXISTS %s AUTHORIZATION sluice_owner", quoted);
    if (pg_script(pg, script, &problem) == 0) return 0;
    if (strcmp(problem.code, "sql-42501") == 0)
        return error_set(error, ERROR_INTERNAL, "schema-missing",
                         "%s may not make the schema; have an administrator run: CREATE SCHEMA %s AUTHORIZATION sluice_owner",
                         login, quoted);
    if (error) *error = problem;
    return -1;
}

/* Takes the lock, makes roles and schema, and goes on as the owner. */
static int prepare(struct pg *pg, const char *schema, struct pg_parameters *parameters, struct error *error) {
    char login[160];
    pg_bytes(parameters, PG_TEXT, slice_str(schema));
    struct pg_result *result = pg_query(pg, PG_READ, &migrate_server, parameters, error);
    pg_parameters_reset(parameters);
    if (!result) return -1;
    int64_t version = pg_get_int(result, 0, 0);
    struct slice encoding = pg_get_bytes(result, 0, 1), user = pg_get_bytes(result, 0, 3);
    bool is_utf8 = slice_is(encoding, "UTF8"), exists = pg_get_bool(result, 0, 2);
    (void)snprintf(login, sizeof login, "%.*s", SLICE_ARG(user));
    pg_result_free(result);
    if (version < SERVER_MIN)
        return error_set(error, ERROR_INTERNAL, "server-too-old", "Postgres is of version %d; 15 or later is needed",
                         (int)(version / 10000));
    if (!is_utf8) return error_set(error, ERROR_INTERNAL, "encoding", "the database's encoding is not UTF8; make one that is");
    pg_bytes(parameters, PG_TEXT, slice_str(schema));
    if (run(pg, &migrate_lock, parameters, error)) return -1;
    if (make_roles(pg, parameters, login, error)) return -1;
    if (!exists && make_schema(pg, schema, login, error)) return -1;
    if (pg_script(pg, "SET ROLE sluice_owner", error)) return -1;
    if (run(pg, &migrate_table, parameters, error)) return -1;
    return pg_script(pg, "GRANT SELECT ON migration TO sluice_admin, sluice_worker, sluice_reader", error);
}

/* ---- migrations ---- */

static int apply(struct pg *pg, const struct migration *migration, struct pg_parameters *parameters, struct error *error) {
    struct digest checksum = checksum_of(migration);
    if (pg_script(pg, "BEGIN", error) || pg_script(pg, (const char *)migration->text, error)) return -1;
    pg_int(parameters, PG_INT4, migration->number);
    pg_bytes(parameters, PG_TEXT, slice_str(migration->name));
    pg_digest(parameters, &checksum);
    pg_bytes(parameters, PG_TEXT, SLICE(SLUICE_VERSION));
    if (run(pg, &migrate_record, parameters, error)) return -1;
    pg_int(parameters, PG_INT4, migration->number);
    pg_int(parameters, PG_INT4, migration->min_program);
    if (run(pg, &migrate_version, parameters, error)) return -1;
    return pg_script(pg, "COMMIT", error);
}

static int install(struct pg *pg, uint32_t shards, struct pg_parameters *parameters, struct error *error) {
    unsigned char id[16];
    const struct migration *newest = &migrations[KNOWN - 1];
    digest_random(id, sizeof id);
    id[6] = (unsigned char)((id[6] & 0x0f) | 0x40); /* RFC 9562: version 4, variant 1 */
    id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
    if (pg_script(pg, "BEGIN", error)) return -1;
    pg_uuid(parameters, id);
    pg_int(parameters, PG_INT4, shards);
    pg_int(parameters, PG_INT4, newest->number);
    pg_int(parameters, PG_INT4, newest->min_program);
    if (run(pg, &installation_add, parameters, error)) return -1;
    pg_array(parameters, PG_INT4, shards);
    for (uint32_t shard = 0; shard < shards; shard++) pg_int(parameters, PG_INT4, shard);
    pg_array(parameters, PG_BYTEA, shards);
    for (uint32_t shard = 0; shard < shards; shard++) {
        struct digest genesis = ledger_genesis(id, shard);
        pg_digest(parameters, &genesis);
    }
    if (run(pg, &shard_add, parameters, error)) return -1;
    return pg_script(pg, "COMMIT", error);
}

static int migrate(struct pg *pg, const char *schema, uint32_t shards, struct pg_parameters *parameters,
                   struct pg_installation *ret_installation, size_t *ret_applied, struct error *error) {
    struct pg_migrations all = {0};
    struct error problem;
    size_t applied = 0;
    if (prepare(pg, schema, parameters, error) || pg_migrations(pg, &all, error)) return -1;
    for (size_t i = 0; i < KNOWN; i++) {
        if (find(&all, migrations[i].number)->applied) continue;
        if (apply(pg, &migrations[i], parameters, error)) return -1;
        applied++;
    }
    if (pg_installation(pg, ret_installation, &problem)) {
        if (strcmp(problem.code, "not-migrated") != 0) {
            if (error) *error = problem;
            return -1;
        }
        if (install(pg, shards ? shards : PG_SHARDS_DEFAULT, parameters, error) || pg_installation(pg, ret_installation, error))
            return -1;
    }
    if (pg_script(pg, "SELECT seen_periods(now())", error)) return -1; /* so that no worker begins with that */
    if (shards && ret_installation->shards != shards)
        return error_set(error, ERROR_INPUT, "shards-fixed",
                         "the installation has %u shards, and their number never changes; leave --shards out",
                         ret_installation->shards);
    *ret_applied = applied;
    return 0;
}

int pg_migrate(const struct pg_options *options, uint32_t shards, struct pg_installation *ret_installation, size_t *ret_applied,
               struct error *error) {
    struct pg_options patient = *options;
    struct pg_installation installation;
    struct pg_parameters parameters;
    patient.statement_ms = STATEMENT_MS;
    patient.lock_ms = LOCK_MS;
    patient.call_ms = STATEMENT_MS + LOCK_MS;
    patient.idle_in_block_ms = LOCK_MS;
    struct pg *pg = pg_new(&patient, PG_LOGIN);
    if (!pg) return error_memory(error);
    pg_parameters_init(&parameters);
    int outcome = migrate(pg, patient.schema, shards, &parameters, &installation, ret_applied, error);
    if (outcome == 0) *ret_installation = installation;
    pg_parameters_release(&parameters);
    pg_free(pg);
    return outcome;
}
