/* The simulated brokers' output side: logs with open, committed and aborted records, transactional ids with their epochs, and the
 * requests about them, as Kafka's transaction coordinator treats those of every librdkafka (without KIP-890's second part, with
 * verification of partitions): EndTxn is answered before its markers are written, InitProducerId ends what is open and wants to
 * be asked again, and a late EndTxn may end the next transaction of the same epoch. */
#ifndef SIM_BROKER_H
#define SIM_BROKER_H

#include "output.h"
#include "world.h"

enum entry_state { ENTRY_OPEN, ENTRY_COMMITTED, ENTRY_ABORTED, ENTRY_MARKER };

/* A record as it came, and what its headers say of the ledger. */
struct sim_record {
    enum output_topic topic;
    uint32_t shard;
    uint64_t sequence;
    struct digest hash;
    struct digest bytes; /* of everything in it */
    struct slice key, value, id, type, source;
    bool placed; /* must lie at `at` */
    int64_t at;
    struct sim_record *next;
};

struct entry {
    enum entry_state state;
    int id; /* which transactional id's transaction it belongs to */
    const struct sim_record *record;
};

struct out_log {
    struct entry *entries;
    size_t count, room;
    size_t start;   /* what lies below was deleted */
    size_t visible; /* how far a read_committed consumer has come */
};

extern struct out_log out_logs[OUTPUT_TOPICS][SHARDS_MAX];

enum broker_answer {
    BROKER_OK,
    BROKER_AGAIN,  /* CONCURRENT_TRANSACTIONS: ask again */
    BROKER_FENCED, /* the epoch is over */
    BROKER_INVALID /* INVALID_TXN_STATE */
};

void broker_begin(void);
/* The number of an id. */
int broker_id(struct slice name);
/* InitProducerId; *ret_epoch is set when it is OK. */
enum broker_answer broker_init(int id, unsigned *ret_epoch);
enum broker_answer broker_add_partition(int id, unsigned epoch, enum output_topic topic, uint32_t shard);
enum broker_answer broker_produce(int id, unsigned epoch, const struct sim_record *record);
enum broker_answer broker_end(int id, unsigned epoch);
/* A request that is still on its way: ends whatever transaction that id has when it arrives. */
void broker_end_later(int id, unsigned epoch, micros delay);
void broker_end_during_next(int id, unsigned epoch);

/* The first offset that is not decided. */
size_t broker_stable(enum output_topic topic, uint32_t shard);
/* Some transaction is open or its markers are not written yet. */
bool broker_is_busy(void);
/* Deletes what is settled by the database's word. False: that is nothing. */
bool broker_delete_settled(uint32_t shard);
/* The brokers answer nobody for a while: neither clients' requests nor the group's. */
void broker_go_away(micros time);
bool broker_is_away(void);
/* One partition has no leader for a while: nothing is written to it, not even a marker, and nothing is read from it. */
void broker_lose_leader(enum output_topic topic, uint32_t shard, micros time);
bool broker_has_leader(enum output_topic topic, uint32_t shard);
/* True: who asks where the log ends is answered by the broker that led before, which believes that it still does. */
bool broker_asks_former(enum output_topic topic, uint32_t shard, size_t *ret_stable, size_t *ret_high);
void broker_heal(void);

#endif
