/* Shared by the pg*.c files only. */
#ifndef SLUICE_PG_INTERNAL_H
#define SLUICE_PG_INTERNAL_H

#include "pg.h"

#include <libpq-fe.h>

/* A struct pg_result is libpq's PGresult under a name that keeps libpq out of everybody else's sight. */
static inline PGresult *pg_inner(const struct pg_result *result) { return (PGresult *)(uintptr_t)result; }

#endif
