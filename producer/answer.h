/* One answer of Sluice, as it stands on the results topic: what it says to whom, and what a command makes of it. */
#ifndef SLUICE_ANSWER_H
#define SLUICE_ANSWER_H

#include "arena.h"
#include "json.h"
#include "kafka.h"
#include "ledger.h"

#include <stdio.h>

struct answer {
    struct slice type;       /* of the event, in the arena */
    const struct json *data; /* in the arena */
    bool final;              /* a duplicate's: that of its original */
};

/* Whose answers are looked for. Either an event's own (source and id, and the promotion that it opened), or a promotion's. */
struct asker {
    struct slice project;    /* a NULL `p`: any */
    struct slice source, id; /* a NULL `p`: any event of the promotion */
    struct slice promotion;  /* its id; a NULL `p` for a build */
    /* What was asked; NULL `p`s: not known. The same id may have been used for something else before, which still waits and
     * is answered too: those answers name another release, environment or requester. */
    struct slice git_sha, environment, requester;
};

/* Reads a record of the results topic: 1 when it is an answer to the asker, 0 when it is not, -1 without memory. Everything is
 * copied into the arena. */
int answer_read(struct arena *arena, const struct kafka_record *record, const struct asker *asker, struct answer *ret_answer,
                struct error *error);

/* Is it event.refused? An event that was answered otherwise before is never refused after that: it is another's, whose id is the
 * same. */
bool answer_is_refusal(const struct answer *answer);

/* The exit status that a final answer means. */
int answer_status(const struct answer *answer);

/* For a promotion that waits: what it waits for, or what has changed since `before` (or NULL). */
void answer_print_waiting(FILE *to, const struct answer *answer, const struct answer *before);
/* What was decided, and why. */
void answer_print_final(FILE *to, const struct answer *answer);

#endif
