/* The schema that this program works with, and the installation that lives in it.
 *
 * A migration expands in one release of the program and contracts in a later one, so a program runs when the schema is at least
 * what it needs and it is at least what the schema asks for: workers are replaced one by one, before or after a migration. */
#ifndef SLUICE_PG_SCHEMA_H
#define SLUICE_PG_SCHEMA_H

#include "pg.h"

enum {
    PG_SCHEMA_NEEDED = 1, /* the oldest schema version that this program can work with */
    PG_PROGRAM = 1        /* this program's generation, which min_program is compared with */
};

struct pg_installation {
    unsigned char id[16];
    uint32_t shards;
    int schema_version, min_program;
};

/* Reads the installation's row and compares versions. Codes: "not-migrated" when there is none (or no such schema),
 * "schema-too-old", "program-too-old". */
int pg_installation(struct pg *pg, struct pg_installation *ret_installation, struct error *error);

#endif
