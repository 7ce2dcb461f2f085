/* sluice db: makes and migrates the database, and says how it stands. */
#include "command.h"
#include "output.h"
#include "pg_migrate.h"
#include "settings.h"

#include <stdio.h>

enum { UUID_TEXT = 36 };

static const char about_migrate[] =
    "Makes what is absent, the roles, the schema, the installation and its shards, and applies the migrations that are pending. "
    "It may be run at any time and by several at once: nothing happens twice. Workers of the release before go on working.\n"
    "\n"
    "The login needs to be a superuser, or to have CREATEROLE and CREATE on the database, or to be a member of sluice_owner when "
    "an administrator has made roles and schema. Logins of workers and operators become members of the roles that they need: "
    "GRANT "
    "sluice_worker TO somebody, also sluice_admin and sluice_reader.\n"
    "\n"
    "Exit status: 0 the database is as this program wants it, 2 it is not, and why.";

static const char about_status[] =
    "Shows the installation and its migrations.\n"
    "\n"
    "Exit status: 0 up to date, 1 migrations are pending or program and schema do not fit, 2 could "
    "not tell.";

/* A uuid in its usual form (RFC 9562 section 4); terminated. */
static void uuid_text(char to[UUID_TEXT + 1], const unsigned char uuid[16]) {
    char digits[32];
    text_hex(digits, uuid, 16);
    (void)snprintf(to, UUID_TEXT + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", digits, digits + 8, digits + 12, digits + 16, digits + 20);
}

static int open_options(struct config *config, const char *path, struct pg_options *ret_options) {
    struct error error;
    if (settings_load(config, path)) return EXIT_COULD_NOT_TELL;
    if (config_require(config->database.url, "database.url", &error)) {
        output_failure(&error);
        return EXIT_COULD_NOT_TELL;
    }
    *ret_options =
        (struct pg_options){.url = config->database.url, .schema = config->database.schema, .application = "sluice db"};
    return 0;
}

/* ---- migrate ---- */

static void print_migrated(const char *schema, const struct pg_installation *installation, size_t applied, bool json) {
    char id[UUID_TEXT + 1];
    uuid_text(id, installation->id);
    if (!json) {
        printf("%s: %zu migration%s applied; version %d, %u shards, installation %s\n", schema, applied, applied == 1 ? "" : "s",
               installation->schema_version, installation->shards, id);
        return;
    }
    struct json_object *document = output_object();
    output_set_string(document, "schema", schema);
    output_set_string(document, "installation", id);
    output_set_number(document, "shards", installation->shards);
    output_set_number(document, "schemaVersion", installation->schema_version);
    output_set_number(document, "applied", (int64_t)applied);
    output_print(document);
}

int command_db_migrate(int argc, char **argv) {
    uint64_t shards = 0;
    bool json = false;
    const char *path = NULL;
    const struct option options[] = {
        {"shards", "N", OPTION_NUMBER, &shards,
         .help =
             "how many shards a new installation gets, which is how many partitions its topics have; never changes afterwards. "
             "64 when not given",
         .minimum = 1, .maximum = PG_SHARDS_MAX},
        SETTINGS_OPTION(&path),
        {"json", NULL, OPTION_FLAG, &json, .help = "print {schema, installation, shards, schemaVersion, applied}"},
    };
    const struct usage usage = {"db migrate", "[OPTION...]", about_migrate, "sluice db migrate --shards 64", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;

    struct config config = {0};
    struct pg_options pg_options;
    struct pg_installation installation;
    struct error error;
    size_t applied;
    status = open_options(&config, path, &pg_options);
    if (status == 0 && pg_migrate(&pg_options, (uint32_t)shards, &installation, &applied, &error)) {
        output_failure(&error);
        status = EXIT_COULD_NOT_TELL;
    } else if (status == 0) {
        print_migrated(pg_options.schema, &installation, applied, json);
    }
    config_release(&config);
    return status;
}

/* ---- status ---- */

static struct json_object *describe(const struct pg_migration *migration) {
    struct json_object *row = output_object();
    char at[TEXT_INSTANT], digest[DIGEST_TEXT];
    output_set_number(row, "number", migration->number);
    output_set_string(row, "name", migration->name);
    digest_text(digest, &migration->checksum);
    output_set_text(row, "checksum", slice_of(digest, DIGEST_TEXT));
    text_instant(at, migration->at);
    if (migration->applied) output_set_text(row, "at", slice_of(at, TEXT_INSTANT));
    return row;
}

static void print_status_json(const char *schema, const struct pg_installation *installation,
                              const struct pg_migrations *migrations, const struct error *problem) {
    char id[UUID_TEXT + 1];
    struct json_object *document = output_object(), *applied = output_array(), *pending = output_array();
    output_set_string(document, "schema", schema);
    if (installation) {
        uuid_text(id, installation->id);
        output_set_string(document, "installation", id);
        output_set_number(document, "shards", installation->shards);
        output_set_number(document, "schemaVersion", installation->schema_version);
        output_set_number(document, "minProgram", installation->min_program);
    }
    output_set_number(document, "program", PG_PROGRAM);
    output_set_number(document, "needs", PG_SCHEMA_NEEDED);
    for (size_t i = 0; i < migrations->count; i++)
        output_append(migrations->rows[i].applied ? applied : pending, describe(&migrations->rows[i]));
    output_set(document, "applied", applied);
    output_set(document, "pending", pending);
    if (problem) {
        struct json_object *said = output_object();
        output_set_string(said, "code", problem->code);
        output_set_string(said, "message", problem->message);
        output_set(document, "problem", said);
    }
    output_print(document);
}

static void print_status(const char *schema, const struct pg_installation *installation, const struct pg_migrations *migrations,
                         const struct error *problem) {
    char id[UUID_TEXT + 1], at[TEXT_INSTANT];
    if (installation) {
        uuid_text(id, installation->id);
        printf("%s: version %d, %u shards, installation %s\n", schema, installation->schema_version, installation->shards, id);
    }
    for (size_t i = 0; i < migrations->count; i++) {
        const struct pg_migration *row = &migrations->rows[i];
        text_instant(at, row->at);
        if (row->applied)
            printf("  %-40s applied %.*s%s\n", row->name, TEXT_INSTANT, at, row->known ? "" : ", by a newer program");
        else
            printf("  %-40s pending\n", row->name);
    }
    if (problem) output_failure(problem);
}

int command_db_status(int argc, char **argv) {
    bool json = false;
    const char *path = NULL;
    const struct option options[] = {
        SETTINGS_OPTION(&path),
        {"json", NULL, OPTION_FLAG, &json,
         .help = "print {schema, installation, shards, schemaVersion, minProgram, program, needs, applied [{number, name, "
                 "checksum, at}], pending [...], problem}"},
    };
    const struct usage usage = {"db status", "[OPTION...]", about_status, "sluice db status --json", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;

    struct config config = {0};
    struct pg_options pg_options;
    struct pg_migrations migrations;
    struct pg_installation installation;
    struct error error;
    struct pg *pg = NULL;
    bool problem, pending = false, fits;
    status = open_options(&config, path, &pg_options);
    if (status) goto cleanup;
    status = EXIT_COULD_NOT_TELL;
    /* As the login itself: before the first migration there is no other role. */
    pg = pg_new(&pg_options, PG_LOGIN);
    if (!pg || pg_migrations(pg, &migrations, &error)) {
        if (!pg) (void)error_memory(&error);
        output_failure(&error);
        goto cleanup;
    }
    for (size_t i = 0; i < migrations.count; i++) pending = pending || !migrations.rows[i].applied;
    problem = pg_installation(pg, &installation, &error) != 0;
    fits = !problem;
    if (problem && error.kind != ERROR_INTERNAL) {
        output_failure(&error);
        goto cleanup;
    }
    status = fits && !pending ? EXIT_YES : EXIT_NO;
    (json ? print_status_json : print_status)(pg_options.schema, fits ? &installation : NULL, &migrations,
                                              problem ? &error : NULL);
cleanup:
    pg_free(pg);
    config_release(&config);
    return status;
}
