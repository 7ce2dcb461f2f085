/* The database of the configuration, for commands that ask it. */
#ifndef SLUICE_DATABASE_H
#define SLUICE_DATABASE_H

#include "pg_schema.h"
#include "settings.h"

struct database {
    struct config config;
    struct pg_options options;
    struct pg *pg;
    struct pg_installation installation;
};

/* Reads the configuration, makes a connection with that role, and looks whether program and schema fit. Returns 0, or says on
 * stderr why not and returns EXIT_COULD_NOT_TELL; closing is harmless then. */
int database_open(struct database *database, const char *path, enum pg_role role);
void database_close(struct database *database);

#endif
