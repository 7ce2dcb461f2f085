/* The world of the model: brokers, database, consumer group and lanes, as far as takeover, publishing and release depend on them.
 *
 * Each field stands for something that exists: what Kafka holds, what a shard's row in Postgres holds, what a lane's two threads
 * remember. A lane is one life of a process: one that has crashed never comes back, its restart is another lane with ids of its
 * own. To be slow needs no step: any lane may take its next one as late as it likes. */
#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MAX_LANES = 3,
    MAX_SHARDS = 2,
    MAX_TOPICS = 2,
    MAX_ROWS = 6,
    LOG_ROOM = 8,
    PRODUCERS = 2,
    MAX_IDS = MAX_LANES * PRODUCERS
};

/* ---- Kafka ---- */

/* Of the transaction coordinator, for one transactional id. */
enum transaction_state { TX_EMPTY, TX_ONGOING, TX_PREPARE_COMMIT, TX_PREPARE_ABORT, TX_COMMITTED, TX_ABORTED };

struct transaction {
    uint8_t state;
    uint8_t valid;      /* the lane that the id belongs to has the current producer epoch */
    uint8_t end_late;   /* an EndTxn(commit) of that epoch is still under way */
    uint8_t partitions; /* those in the transaction that no marker has reached, one bit each (world_partition) */
};

/* A record of an output partition: a result, which is named by its ledger row. */
struct record {
    uint8_t row;  /* 0: no record */
    uint8_t open; /* 0: committed; else 1 + the id whose transaction is open */
};

struct partition {
    struct record log[LOG_ROOM];
    uint8_t gone; /* the last row that retention has removed */
};

/* ---- Postgres: a shard's row. The epoch is not counted: a lane whose takeover is still the newest has `current` set. ---- */

struct shard_row {
    uint8_t sequence;            /* ledger rows */
    uint8_t position;            /* inputs that they answer */
    uint8_t fence_ids;           /* a bit an id */
    uint8_t settled[MAX_TOPICS]; /* up to which row everything of the topic is published */
    uint8_t released;            /* only with the deviation release-flag */
};

/* ---- a lane ---- */

/* The pipeline's view of a shard: enum shard_state of worker/lane.h, without SHARD_STOPPED. */
enum shard_state { SHARD_AWAY, SHARD_WANTED, SHARD_TAKEN, SHARD_OWNED, SHARD_DRAINING, SHARD_FORGETTING };

/* The publisher's: enum publish_state of worker/publish.c. PUBLISH_TAIL is two here, because another lane may act between. */
enum publish_state { PUBLISH_NONE, PUBLISH_FENCE, PUBLISH_CONFIRM, PUBLISH_TAIL, PUBLISH_READY };

struct lane_shard {
    uint8_t state, publish;
    uint8_t assigned;    /* as the lane knows */
    uint8_t current;     /* epoch and owner in Postgres are those of this lane's takeover */
    uint8_t drop;        /* the takeover found others' ids, which `ready` will drop */
    uint8_t commit_late; /* a commit of unknown outcome may still be applied: the position it would write */
    uint8_t known;       /* the last ledger row that the lane knows to be committed */
    uint8_t to_fence;    /* ids */
    uint8_t cursor[MAX_TOPICS];
    /* while a transaction is put together */
    uint8_t until;            /* the last row that is to go into it, 0 when the shard has no part in it */
    uint8_t next[MAX_TOPICS]; /* the last row that is in it */
    uint8_t added;            /* the shard's partitions that are in it, a bit a topic */
    /* only with FAULT_FORMER; a bit a topic */
    uint8_t misled; /* the log goes on behind the end that the tail told */
    uint8_t placed; /* a record has followed the tail */
    uint8_t tried;  /* the last row that anybody may have put into a transaction */
};

enum lane_state { LANE_DEAD, LANE_STARTING, LANE_RUNNING };
/* The publisher runs, or which producer recovery initialises next. */
enum publisher_state { PUBLISHER_RUNS, RECOVER_FIRST, RECOVER_SECOND };

struct lane {
    uint8_t state;
    uint8_t publisher;
    uint8_t which;  /* the producer whose turn it is */
    uint8_t active; /* a transaction is put together */
    uint8_t doomed; /* a record of it is not where it must be: it is not committed */
    uint8_t used;   /* producers that have committed since they were initialised; only with FAULT_FORMER */
    struct lane_shard shards[MAX_SHARDS];
};

struct world {
    struct partition partitions[MAX_SHARDS][MAX_TOPICS];
    struct transaction transactions[MAX_IDS];
    struct shard_row rows[MAX_SHARDS];
    uint8_t assigned[MAX_SHARDS]; /* the lane that the group gives it to */
    uint8_t rebalances;           /* counted only when they are limited */
    struct lane lanes[MAX_LANES];
};

/* ---- what is explored ---- */

enum fault {
    FAULT_NONE,
    FAULT_CRASH,         /* a lane dies */
    FAULT_REBALANCE,     /* the group gives a shard to another lane */
    FAULT_DUPLICATE_END, /* a commit succeeds, and a copy of its EndTxn is still under way */
    FAULT_UNKNOWN,       /* a commit times out, its EndTxn is still under way */
    FAULT_LOST_ANSWER,   /* a commit happens, its answer is lost */
    FAULT_TIMEOUT,       /* the broker aborts a transaction that takes too long */
    FAULT_ERROR,         /* some call of the publisher fails */
    FAULT_FORGET,        /* a shard is not published in time, or its partitions were lost */
    FAULT_LATE_COMMIT,   /* a commit in Postgres is of unknown outcome, and may be applied later; off by default */
    FAULT_RETENTION,     /* a topic forgets what it holds; off by default */
    FAULT_FORMER,        /* a tail is told by a broker that no longer leads, and does not know; off by default */
    FAULTS
};

/* Each leaves out or swaps one thing. Names and what they show: deviations.c */
enum deviation {
    FENCE_FIRST,
    OVERWRITE_IDS,
    CONFIRM_FIRST,
    NO_CONFIRM,
    TAIL_FIRST,
    TAIL_UNSTABLE,
    LATE_INIT,
    DIRTY_RELEASE,
    RELEASE_FLAG,
    RELEASE_ALL_IDS,
    MEMORY_CURSOR,
    NO_VERIFICATION,
    REREAD,
    NO_RETAKE,
    ONE_CURSOR,
    EARLY_RETENTION,
    NO_FENCE,
    RESUME_RELEASED,
    NO_LOOK,
    NO_PLACE,
    OLD_EPOCH,
    DEVIATIONS
};

struct model {
    unsigned lanes, shards, rows, topics;
    int rebalances; /* at most; -1 without limit */
    bool fault[FAULTS], deviation[DEVIATIONS];
    bool merge; /* states that differ only in the names of lanes and shards are one */

    /* Is told each step that the world allows. */
    void (*visit)(struct model *model, const struct world *next, enum fault fault);
    void *visitor;
    bool telling;      /* `step` is wanted */
    char step[200];    /* what happens in it */
    bool log_overflow; /* LOG_ROOM was not enough */
};

/* ---- world.c ---- */

void world_init(const struct model *model, struct world *world);
/* Offers every step that is possible now. */
void world_expand(struct model *model, const struct world *now);
/* What the world breaks of the promises, or NULL. */
const char *world_violation(const struct model *model, const struct world *world, char *text, size_t room);
/* Everything is in the ledger and published. */
bool world_is_done(const struct model *model, const struct world *world);

/* Gives a step to the visitor; the text says who does what. */
void offer(struct model *model, const struct world *next, enum fault fault, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Row 1 goes to the first topic, row 2 to the second, and so on. */
unsigned world_topic(const struct model *model, unsigned row);
static inline unsigned world_partition(unsigned shard, unsigned topic) { return shard * MAX_TOPICS + topic; }
static inline unsigned own_ids(unsigned lane) { return 3u << (PRODUCERS * lane); }
static inline char lane_name(unsigned lane) { return (char)('A' + lane); }
static inline char producer_name(unsigned id) { return "xy"[id % PRODUCERS]; }

/* ---- brokers.c ---- */

enum init { INIT_BLOCKED, INIT_BEGUN, INIT_DONE };
/* InitProducerId: aborts what is open and waits for the markers, then the epoch is new. `own`: the id's lane asks. */
enum init brokers_init(struct world *world, unsigned id, bool own);
bool brokers_has_open(const struct world *world, unsigned shard, unsigned topic);
/* The last committed row before the last stable offset, 0 without one. */
unsigned brokers_tail(const struct world *world, unsigned shard, unsigned topic);
enum produce { PRODUCE_REFUSED, PRODUCE_BLOCKED, PRODUCE_DONE };
enum produce brokers_produce(struct model *model, struct world *world, unsigned id, unsigned shard, unsigned topic, unsigned row);
void brokers_steps(struct model *model, const struct world *now);

/* ---- store.c: what Postgres does to a shard's row ---- */

void store_take(const struct model *model, struct world *world, unsigned lane, unsigned shard);
bool store_drop_ids(struct world *world, unsigned lane, unsigned shard);
bool store_commit(const struct model *model, struct world *world, unsigned lane, unsigned shard);
void store_release(const struct model *model, struct world *world, unsigned lane, unsigned shard);
void store_settle(const struct model *model, struct world *world, unsigned lane, unsigned shard);
void store_steps(struct model *model, const struct world *now);

/* ---- group.c: rebalances and crashes ---- */

void group_steps(struct model *model, const struct world *now);

/* ---- shard.c: the pipeline, as in worker/shard.c ---- */

void shard_steps(struct model *model, const struct world *now, unsigned lane);
/* The shard is let go by the pipeline; at once, or when the open transaction has ended. */
void shard_forget(const struct model *model, struct world *world, unsigned lane, unsigned shard);
/* The publisher holds nothing of the shard any more. */
void shard_let_go(const struct model *model, struct world *world, unsigned lane, unsigned shard);

/* ---- publish.c: the publisher, as in worker/publish.c ---- */

void publisher_steps(struct model *model, const struct world *now, unsigned lane);
/* PUBLISH_CONFIRM, when nothing is left to fence. */
uint8_t publisher_after_fence(const struct model *model);
/* Some row up to `known` is not published. */
bool publisher_has_unpublished(const struct model *model, const struct lane_shard *s);

/* ---- state.c ---- */

enum { STATE_MAX = 160 };
size_t state_size(const struct model *model);
/* As bytes; of all states that count as the same, always the same one. */
void state_pack(const struct model *model, const struct world *world, unsigned char *ret_bytes);
void state_unpack(const struct model *model, const unsigned char *bytes, struct world *ret_world);

/* ---- deviations.c ---- */

struct deviation_row {
    const char *name, *what;      /* in words, and what is otherwise than in worker/ */
    const char *where;            /* the function that does it right */
    unsigned lanes, rows, topics; /* a small world that shows it */
    enum fault fault;             /* needed besides the usual ones, or FAULT_NONE */
};
extern const struct deviation_row deviations[DEVIATIONS];
extern const char *const fault_names[FAULTS];

#endif
