/* The consumer group and the input topics: who has which shards, what the logs hold, and what each lane has fetched. */
#ifndef SIM_GROUP_H
#define SIM_GROUP_H

#include "input.h"
#include "world.h"

struct in_log {
    struct record *records; /* by offset; a transaction's marker, which nobody is given, has no topic */
    size_t count, room;
    size_t start; /* what lies below was deleted */
};

extern struct in_log in_logs[INPUT_TOPICS + 1][SHARDS_MAX];

void group_begin(void);
/* A process of that static member starts; it dies or ends. */
void group_join(unsigned lane);
void group_leave(unsigned lane);
void group_heal(void);
/* Gives the shards out anew. False: there is no coordinator now. */
bool group_rebalance(const char *why);

/* The coordinator throws a member out, as after a long silence; it learns that later. False: there is no such member, or no
 * coordinator. */
bool group_throw_out(unsigned lane);

/* Appends; the offset and shard are set. */
void in_log_append(enum input_topic topic, uint32_t shard, struct record *record);
/* The markers of transactions upstream: an offset each, and no record. */
void in_log_append_marker(enum input_topic topic, uint32_t shard);
/* The log is lost and made anew, empty. */
void in_log_recreate(enum input_topic topic, uint32_t shard);
/* Retention has deleted what lies below. */
void in_log_delete(enum input_topic topic, uint32_t shard, size_t below);
/* It has no leader for a while, and nobody is given anything of it. What is sent to it meanwhile is found in it later. */
void in_log_lose_leader(enum input_topic topic, uint32_t shard, micros time);

#endif
