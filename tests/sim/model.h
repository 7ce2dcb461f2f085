/* What the ledger says, read row by row: which releases are verified, which promotions wait or how they ended, what each
 * environment has, which event ids are used. And an evaluation of its own of what is to become of each event: nothing of the
 * lane's decision is used here, so that it cannot agree with itself. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include "conditions.h"
#include "ledger.h"
#include "store_sim.h"
#include "workload.h"

/* What a lane knew when it decided. */
struct knowledge {
    const struct told *told;
    uint64_t version; /* of the control log, at least */
};

/* Everything is forgotten. */
void model_begin(void);
/* Reads a row. With `knowledge` it is judged, too; without, it is believed. `deaths`: lanes died at its record so often. */
void model_read(const struct ledger_row *row, const struct knowledge *knowledge, unsigned deaths);
/* A commit of these changes is going to be read: who only looked at a promotion, and does not answer, must have found its
 * conditions as they were last answered. */
void model_read_looks(const struct commit *commit, const struct commit_shard *shard, const struct knowledge *knowledge);
/* The rows of a commit are read. */
void model_read_all(uint32_t shard);
/* The tables must say the same. */
void model_compare(void);
/* Promotions that wait although they could be decided. */
void model_compare_waiting(void);

#endif
