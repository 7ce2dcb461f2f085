/* Shared by the store_pg*.c files only: one store on Postgres. */
#ifndef SLUICE_STORE_PG_H
#define SLUICE_STORE_PG_H

#include "pg.h"
#include "store.h"

enum { STORE_CALLS = 12 };

struct store_pg {
    struct store store;
    const struct pg_options *options;
    struct pg *pg;
    struct pg_parameters parameters[STORE_CALLS]; /* one for each statement of a pipeline; their memory is kept */
    struct buf scratch;                           /* in which a text is written before it becomes a parameter */
    int32_t period;                               /* of deduplication, in days: this one and the next are known to exist */
    instant maintain_at;                          /* when to see to the periods again; 0 before the first time */
};

/* The statements of one pipeline while it is put together. */
struct store_batch {
    struct store_pg *store;
    struct pg_call calls[STORE_CALLS];
    size_t count;
};

static inline struct store_pg *store_pg_of(struct store *store) { return (struct store_pg *)(void *)store; }

/* Adds a statement and returns its parameters, emptied. */
struct pg_parameters *store_pg_add(struct store_batch *batch, const struct pg_statement *statement);

/* store_pg_load.c */
int store_pg_load(struct store *store, struct arena *arena, struct store_facts *facts, struct error *error);
int store_pg_due(struct store *store, struct arena *arena, const uint32_t *shards, size_t shard_count, instant until,
                 size_t limit, struct promotion_row **ret_rows, size_t *ret_count, struct error *error);
int store_pg_control(struct store *store, struct arena *arena, struct store_control *ret_control, struct error *error);
int store_pg_ledger(struct store *store, struct arena *arena, uint32_t shard, uint64_t after, uint64_t through, size_t limit,
                    struct ledger_row **ret_rows, size_t *ret_count, struct error *error);

/* store_pg_commit.c */
int store_pg_commit(struct store *store, const struct commit *commit, struct error *error);

#endif
