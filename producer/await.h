/* Following the results topic to the final answer, for --wait and `sluice wait`. */
#ifndef SLUICE_AWAIT_H
#define SLUICE_AWAIT_H

#include "answer.h"
#include "kafka.h"

struct await {
    struct asker asker;
    struct kafka_reader *reader;
    struct arena arenas[2]; /* of the last answer and the one before, in turn */
    struct answer answers[2];
    size_t count;                       /* of answers so far; the last one is answers[(count - 1) % 2] */
    bool *ended;                        /* by partition number from `first`: its end was reached once */
    uint32_t first, partitions, behind; /* those that are followed, and how many of them have not ended */
    int64_t refused_at;                 /* since when a broker says that it has not got what is asked for; 0: it does not */
};

/* Takes the place in the results topic: its end as it is now, or, with `from_start`, all that is still kept. Of the project's
 * home partition, or without a project of all. What is published after this returned will be seen. Returns 0 or -1; release in
 * either case. */
int await_init(struct await *await, const struct kafka_options *options, const struct asker *asker, bool from_start,
               struct error *error);
void await_release(struct await *await);

/* Follows until the final answer, `timeout` (microseconds) or Ctrl-C, and says on stderr meanwhile what is waited for. Returns
 * the exit status; of EXIT_COULD_NOT_TELL the reason is in `error`. */
int await_final(struct await *await, int64_t timeout, struct error *error);

/* The last answer, or NULL. */
const struct answer *await_last(const struct await *await);

#endif
