#include "pg_schema.h"

PG_STATEMENT(installation);

static int not_migrated(struct error *error) {
    return error_set(error, ERROR_INTERNAL, "not-migrated",
                     "the database holds no installation of Sluice; run sluice db migrate");
}

int pg_installation(struct pg *pg, struct pg_installation *ret_installation, struct error *error) {
    struct error problem;
    struct pg_result *result = pg_query(pg, PG_READ, &installation, NULL, &problem);
    if (!result) {
        /* undefined table; a missing schema is none too, as it is only a search path */
        if (strcmp(problem.code, "sql-42P01") == 0) return not_migrated(error);
        if (error) *error = problem;
        return -1;
    }
    int outcome = -1;
    struct pg_installation found = {0};
    if (pg_rows(result) != 1) {
        (void)not_migrated(error);
        goto cleanup;
    }
    pg_get_uuid(found.id, result, 0, 0);
    found.shards = (uint32_t)pg_get_int(result, 0, 1);
    found.schema_version = (int)pg_get_int(result, 0, 2);
    found.min_program = (int)pg_get_int(result, 0, 3);
    if (found.schema_version < PG_SCHEMA_NEEDED) {
        (void)error_set(error, ERROR_INTERNAL, "schema-too-old",
                        "the schema is of version %d and this program needs %d; run sluice db migrate", found.schema_version,
                        PG_SCHEMA_NEEDED);
        goto cleanup;
    }
    if (found.min_program > PG_PROGRAM) {
        (void)error_set(error, ERROR_INTERNAL, "program-too-old",
                        "the schema is for programs of generation %d and later, and this one is of %d; install a newer sluice",
                        found.min_program, PG_PROGRAM);
        goto cleanup;
    }
    *ret_installation = found;
    outcome = 0;
cleanup:
    pg_result_free(result);
    return outcome;
}
