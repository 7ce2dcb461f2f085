/* The output log's port: two transactional producers that take turns, and the tails of the output topics.
 * output_kafka.c is the real one.
 *
 * One thread. Both transactional ids are drawn once per process and never change in its life; a producer is made anew, with
 * the same id, by `init`. Any error of begin, produce or commit leads to recovery: `init` of both. */
#ifndef SLUICE_OUTPUT_H
#define SLUICE_OUTPUT_H

#include "arena.h"
#include "digest.h"
#include "error.h"
#include "record.h"

#include <stdint.h>

enum { OUTPUT_PRODUCERS = 2 };

struct output_record {
    enum output_topic topic;
    uint32_t shard;          /* the partition */
    struct slice key, value; /* a NULL `p` is Kafka's null */
    const struct record_header *headers;
    size_t header_count;
    bool placed; /* it must get the offset `at`: see `tails` */
    int64_t at;
};

/* The last committed result of one output partition. */
struct output_tail {
    uint32_t shard;
    int64_t floor[OUTPUT_TOPICS]; /* in: results known to be settled lie below this offset; -1 unknown */
    bool ret_stable;              /* no transaction is open there; otherwise nothing else is set: ask again */
    bool ret_found[OUTPUT_TOPICS];
    uint64_t ret_sequence[OUTPUT_TOPICS];  /* its ce_ledgersequence */
    struct digest ret_hash[OUTPUT_TOPICS]; /* its ce_ledgerhash */
    int64_t ret_end[OUTPUT_TOPICS];        /* the last stable offset, which has reached the high watermark */
};

struct output;

struct output_operations {
    /* The transactional id of a producer (0 or 1). */
    struct slice (*id)(struct output *output, int which);
    /* Drops the producer if there is one, makes it with the same id, and initialises its transactions. */
    int (*init)(struct output *output, int which, struct error *error);
    /* Ends whatever producer uses that id: initialises transactions with it, then drops the producer. */
    int (*fence)(struct output *output, struct slice transactional_id, struct error *error);
    int (*begin)(struct output *output, int which, struct error *error);
    /* Copies the record; waits while the local queue is full. */
    int (*produce)(struct output *output, int which, const struct output_record *record, struct error *error);
    /* Flushes and commits. 0: committed. Otherwise it may or may not be. With a `placed` record elsewhere than it must be
     * (kafka-stale-leader) this does not commit; that it stays so is certain for the first transaction of a producer since `init`
     * alone, as a late copy of an EndTxn before would commit it. */
    int (*commit)(struct output *output, int which, struct error *error);
    /* Waits a moment for the last stable offset of each partition to reach its high watermark as read at the start, then finds
     * the last committed result of those where it has. A broker that led before and does not know yet that it no longer does
     * answers as if it did, with an end below the leader's; but only the leader takes records, and gives them offsets. Whoever
     * writes what may be there already lets the first record of the partition be `placed` at `ret_end`. */
    int (*tails)(struct output *output, struct output_tail *tails, size_t count, struct error *error);
    void (*free)(struct output *output);
};

struct output {
    const struct output_operations *operations;
};

struct kafka_options;
/* Producers are not made yet. `ids` are copied. NULL with *error set. `options` must outlive it. */
struct output *output_kafka_new(const struct kafka_options *options, const struct slice ids[OUTPUT_PRODUCERS],
                                struct error *error);

#endif
