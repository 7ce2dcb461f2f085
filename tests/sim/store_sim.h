/* The simulated database: its tables, with the constraints and the fence of sql/, and what is written to them as one transaction.
 * store_port.c is the lanes' way to it. */
#ifndef SIM_STORE_SIM_H
#define SIM_STORE_SIM_H

#include "store.h"
#include "world.h"

enum { IDS_MAX = 64 };

struct db_shard {
    uint64_t epoch;
    unsigned char owner[STORE_OWNER];
    struct slice ids[IDS_MAX];
    size_t id_count;
    uint64_t position[INPUT_TOPICS + 1], sequence;
    struct digest head;
    instant now_at;
    uint64_t control_version;
    struct settled settled[OUTPUT_TOPICS];
    enum input_topic crash_topic;
    uint64_t crash_position;
    unsigned crash_count;
    struct slice stopped;
};

/* `period`: its first day, counted in tens from 1970-01-01. */
struct db_seen {
    struct commit_seen row;
    int64_t period;
};

struct db_release {
    struct commit_release row;
};

/* Rows of a shard stand in the order of their sequences, from 1. Whatever they point to never changes. */
struct db {
    struct db_shard shards[SHARDS_MAX];
    struct ledger_row *ledger[SHARDS_MAX];
    size_t ledger_count[SHARDS_MAX], ledger_room[SHARDS_MAX];
    struct db_seen *seen;
    size_t seen_count, seen_room;
    struct db_release *releases;
    size_t release_count, release_room;
    struct promotion_row *promotions;
    size_t promotion_count, promotion_room;
    struct commit_environment *environments;
    size_t environment_count, environment_room;
};

extern struct db db;
extern const unsigned char store_sim_installation[16];

/* A write, copied out of the lane's memory: it may come to pass after the lane has died. */
enum write_kind { WRITE_TAKE, WRITE_DROP_IDS, WRITE_RELEASE, WRITE_SUSPECT, WRITE_STOP, WRITE_COMMIT };

struct write {
    enum write_kind kind;
    unsigned lane;
    uint32_t shard;
    uint64_t epoch;
    unsigned char owner[STORE_OWNER];
    struct slice ids[IDS_MAX];
    size_t id_count;
    struct settled settled[OUTPUT_TOPICS];
    enum input_topic topic;
    uint64_t offset;
    struct slice reason;
    struct commit commit;
    const void *knowledge; /* of WRITE_COMMIT: check.h */
    struct db_shard taken; /* of WRITE_TAKE: the row as it is right after it */
    unsigned generation;   /* of the server that got it */
};

void store_sim_begin(void);
struct write *write_copy_commit(const struct commit *commit);
/* Does it, now. 0, or -1 with what the database would say. */
int write_apply(struct write *write, struct error *error);
/* Does it at some later time, unless the server that got it is gone by then. */
void write_apply_later(struct write *write, micros delay);
/* How many are still to come to pass. */
unsigned writes_pending(void);

/* `sluice shard resume N --accept-loss`: an operator lets a stopped shard go on, whatever was lost. */
void store_sim_resume(uint32_t shard);

/* The server is away for a while; what it knows may be what it knew `back` before. */
void store_sim_fail_over(micros away, micros back);
bool store_sim_is_away(void);
/* Keeps what the database knows now, for a fail-over that loses what comes after. */
void store_sim_remember(void);
void store_sim_heal(void);
/* Up to which row a topic is settled, whatever may still be restored: what retention, which takes days, may delete. */
uint64_t store_sim_settled(uint32_t shard, enum output_topic topic);

/* The events that the database refuses, whatever is decided on them (for their data). */
bool store_sim_refuses(const struct commit *commit);

const struct promotion_row *db_open_promotion(struct slice project, struct slice git_sha, struct slice environment);
const struct commit_environment *db_environment(struct slice project, struct slice environment);
const struct db_release *db_release(struct slice project, struct slice git_sha);

#endif
