/* The input log's port: the consumer group that assigns partitions, and the records of builds and requests.
 * input_kafka.c is the real one. The position lives in the database; the group only assigns.
 *
 * One thread. Shards come and go by events that `poll` returns; after REVOKED the lane lets go of its shards, then calls
 * `assign` with none, and only then the group goes on. */
#ifndef SLUICE_INPUT_H
#define SLUICE_INPUT_H

#include "error.h"
#include "record.h"

#include <stdint.h>

enum input_event_kind {
    INPUT_RECORDS,    /* `records` and `ends`, possibly none */
    INPUT_ASSIGNED,   /* `shards`: the partitions of both topics that are now this lane's; nothing is fetched yet */
    INPUT_REVOKED,    /* all of them are to be given back */
    INPUT_OUTSIDE_LOG /* what was to be fetched of `shards[0]` is not in the log of `topic`, also by its leader: below its start
                         or above its end */
};

/* A partition has been read to its end: what is below `offset` was given, and may be more than its last record, as aborted
 * records and what ends a transaction have offsets too. */
struct input_end {
    uint32_t shard;
    enum input_topic topic;
    uint64_t offset;
};

struct input_event {
    enum input_event_kind kind;
    struct record *records; /* valid until the next `free_records` or `poll` */
    size_t record_count;
    const struct input_end *ends; /* of an INPUT_RECORDS: true once these records are processed; valid as long */
    size_t end_count;
    uint32_t *shards; /* valid until the next `poll` */
    size_t shard_count;
    enum input_topic topic;
    int64_t log_start, log_end; /* of an INPUT_OUTSIDE_LOG */
};

struct input_position {
    uint32_t shard;
    uint64_t position[INPUT_TOPICS + 1]; /* by enum input_topic: the next offset to read */
};

struct input;

struct input_operations {
    /* The number of partitions of the topic, or -1. */
    int (*partitions)(struct input *input, enum input_topic topic, uint32_t *ret_count, struct error *error);
    /* First and next offset of a shard's two partitions, by enum input_topic. */
    int (*bounds)(struct input *input, uint32_t shard, int64_t ret_start[INPUT_TOPICS + 1], int64_t ret_end[INPUT_TOPICS + 1],
                  struct error *error);
    /* The next offset of an assigned partition as the last fetch has told, without asking anybody; -1 when none has. */
    int64_t (*known_end)(struct input *input, uint32_t shard, enum input_topic topic);
    /* Waits up to `wait_ms` for a first record, takes at most `limit` records (one or more) and about `bytes` bytes, and never
     * waits to fill up. ERROR_UNAVAILABLE: try again later (the client reconnects by itself); ERROR_INTERNAL and ERROR_FENCED:
     * make the input anew; an error that ends the client for good is told by every poll from then on. */
    int (*poll)(struct input *input, int wait_ms, size_t limit, size_t bytes, struct input_event *ret_event, struct error *error);
    /* The records of the last `poll` are no longer needed. */
    void (*free_records)(struct input *input);
    /* The next `poll` gives the records and ends of the last one again, before what has come since, and in another place of
     * memory. What the group has to say, `assign`, and a poll that fails drop them. */
    void (*keep_records)(struct input *input);
    /* Fetches exactly these shards from exactly these positions; whatever was fetched before and not polled is dropped. */
    int (*assign)(struct input *input, const struct input_position *positions, size_t count, struct error *error);
    /* Tells the group how far the shards are, for lag tools only; does not wait, and forgets failures. */
    void (*report)(struct input *input, const struct input_position *positions, size_t count);
    /* Leaves the log; a static member leaves the group by its session's time-out or its own restart. */
    void (*free)(struct input *input);
};

struct input {
    const struct input_operations *operations;
};

struct kafka_options;
/* A consumer group member with group.instance.id "<member>". NULL with *error set. `options` must outlive it. */
struct input *input_kafka_new(const struct kafka_options *options, const char *member, struct error *error);

#endif
