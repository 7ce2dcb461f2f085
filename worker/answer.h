/* The answers: what is written into `decision` and published, to the letter of the contract, and the ledger rows that hold it.
 *
 * Each function adds one row to the shard's chain, with the item's record as its input or none. They return the answer, or NULL
 * when memory is exhausted. */
#ifndef SLUICE_ANSWER_H
#define SLUICE_ANSWER_H

#include "batch.h"
#include "gates.h"

/* A record without usable id, source and subject. */
struct answer *answer_dead_letter(struct batch *batch, const struct item *item, enum code code, struct slice message);

struct answer *answer_refused(struct batch *batch, const struct item *item, enum code code, struct slice message,
                              struct slice path);

/* The same event again: what became of the original. */
struct answer *answer_duplicate(struct batch *batch, const struct item *item, const struct seen *original);

/* `manifest_digest` is that of the release which stands, or of the one that is refused. */
struct answer *answer_release(struct batch *batch, const struct item *item, enum code code, struct slice message,
                              const struct digest *manifest_digest);

/* An answer of a promotion; `item` is its request, its due look, or NULL when another request supersedes it. */
struct promotion_answer {
    const struct item *item;
    struct shard_batch *shard;
    const struct promotion_row *row;      /* with the revision and outcome of this answer */
    bool evaluated;                       /* a dry run */
    enum code code;                       /* or CODE_NONE */
    const struct digest *manifest_digest; /* or NULL */
    const struct condition *conditions;
    size_t condition_count;
};
struct answer *answer_promotion(struct batch *batch, const struct promotion_answer *answer);

/* The JSON array of conditions, in the batch's arena; `p` is NULL without memory. */
struct slice answer_conditions(struct batch *batch, const struct condition *conditions, size_t count);

/* "waiting", "promoted", ... */
const char *promotion_outcome_text(enum promotion_outcome outcome);

#endif
