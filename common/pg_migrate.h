/* Migrations: numbered, forward only, each in a transaction, with checksums, under an advisory lock. They are the files of
 * sql/migrations, embedded. */
#ifndef SLUICE_PG_MIGRATE_H
#define SLUICE_PG_MIGRATE_H

#include "pg_schema.h"

enum { PG_SHARDS_DEFAULT = 64, PG_SHARDS_MAX = 65536, PG_MIGRATIONS_MAX = 64 };

struct pg_migration {
    int number;
    char name[64]; /* of the file, without .sql */
    struct digest checksum;
    bool known;   /* to this program */
    bool applied; /* to the schema */
    instant at;   /* when it was applied */
};

struct pg_migrations {
    struct pg_migration rows[PG_MIGRATIONS_MAX]; /* by number */
    size_t count;
};

/* Makes the roles, the schema and the installation where they are absent, and applies what is pending; nothing happens twice, and
 * two at once take turns. `shards` is how many a new installation gets; 0 stands for the default. Codes beside pg.h's:
 * "shards-fixed" when it has another number, "migration-changed" when a file is not what was applied, "roles-missing",
 * "server-too-old", "encoding". `ret_applied` is how many were applied now. */
int pg_migrate(const struct pg_options *options, uint32_t shards, struct pg_installation *ret_installation, size_t *ret_applied,
               struct error *error);

/* What this program knows and the schema has had, of a schema that may not exist yet (all are pending then). */
int pg_migrations(struct pg *pg, struct pg_migrations *ret_migrations, struct error *error);

#endif
