/* A small world for one lane: an input log, an output log with transactions, a store, a registry, a clock, and a supervisor that
 * starts the lane's process again. All in one thread: a lane's turn, then its publisher's.
 *
 * Any operation of any port can be made to fail at its n-th call, before or after its effect. When the story is over,
 * world_check says whether every record was answered exactly once. */
#ifndef SLUICE_TORTURE_WORLD_H
#define SLUICE_TORTURE_WORLD_H

#include "buf.h"
#include "clock.h"
#include "input.h"
#include "ledger.h"
#include "metrics.h"
#include "output.h"
#include "registry.h"
#include "store.h"

enum { SHARDS = 2, RECORDS_MAX = 32, ROWS_MAX = 128, PROMOTIONS_MAX = 32, WRITERS_MAX = 256, IDS_MAX = 64 };

/* The ports' operations, X(name, port). */
/* clang-format off */
#define OPERATIONS(X) \
    X(poll, input) X(assign, input) X(partitions, input) X(bounds, input) \
    X(init, output) X(fence, output) X(begin, output) X(produce, output) X(commit, output) X(tails, output) \
    X(installation, store) X(take, store) X(drop_ids, store) X(release, store) X(suspect, store) \
    X(stop, store) X(epochs, store) X(load, store) X(due, store) X(control, store) X(write, store) X(ledger, store) \
    X(ask, registry)
/* clang-format on */

enum port_operation {
#define OPERATION_ENUM(name, port) DO_##port##_##name,
    OPERATIONS(OPERATION_ENUM)
#undef OPERATION_ENUM
        OPERATION_COUNT
};
extern const char *const operation_names[OPERATION_COUNT];

struct failure {
    enum port_operation operation;
    unsigned long nth, times; /* from 1; `times` calls in a row */
    enum error_kind kind;
    bool after;                  /* the effect happens all the same */
    enum registry_answer answer; /* of DO_registry_ask */
};

struct promoted_row {
    struct promotion_row row;
    unsigned finals; /* final answers so far */
};

struct partition { /* of an input topic */
    struct record records[RECORDS_MAX];
    size_t count;
};

struct sent { /* a result in an output partition */
    uint64_t sequence;
    struct digest hash, bytes; /* of the ledger row; of the record as it was sent */
};

struct results { /* an output partition */
    struct sent committed[ROWS_MAX];
    size_t count;
};

/* A transactional id that was ever used, and what its open transaction holds. */
struct writer {
    struct slice id;
    bool open, fenced;
    struct {
        int topic;
        uint32_t shard;
        struct sent sent;
    } held[ROWS_MAX];
    size_t held_count;
    unsigned epoch; /* of its producer */
};

struct seen_row {
    uint32_t shard;
    unsigned char key[STORE_KEY];
    struct digest content;
    uint64_t sequence;
};
struct environment_row {
    struct slice project, environment, git_sha;
    unsigned char promotion[STORE_KEY];
};
struct release_row {
    struct slice project, git_sha;
    struct digest digest;
    bool attested;
    struct artifact artifacts[4];
    size_t artifact_count;
};

struct world {
    uint64_t now;               /* ms */
    struct failure failures[2]; /* .times 0: none */
    unsigned long calls[OPERATION_COUNT];
    unsigned long fired;

    struct partition inputs[INPUT_TOPICS + 1][SHARDS];
    struct {
        enum input_topic topic; /* INPUT_NONE: none */
        uint32_t shard;
        uint64_t until;
    } slow; /* a partition that gives nothing before `until` */
    bool pending_assignment, pending_revocation;
    struct input_position fetched[SHARDS];
    size_t fetched_count;

    struct results outputs[OUTPUT_TOPICS][SHARDS];
    struct writer writers[WRITERS_MAX];
    size_t writer_count;

    struct shard_row shards[SHARDS];
    struct slice ids[SHARDS][IDS_MAX];
    struct ledger_row rows[SHARDS][ROWS_MAX];
    struct seen_row seen[ROWS_MAX];
    size_t seen_count;
    struct release_row releases[8];
    size_t release_count;
    struct environment_row environments[8];
    size_t environment_count;
    struct promoted_row promotions[PROMOTIONS_MAX];
    size_t promotion_count;
    uint64_t control_version;
    const char *policy;
    unsigned stops; /* how often a shard was stopped */

    unsigned lives; /* processes so far */
};
extern struct world world;
extern struct lane_metrics world_metrics;

/* Memory that lives until the next world_begin and is no part of what is counted or may fail. */
struct slice world_keep(struct slice bytes);

/* True when this call is the one that fails, with *error; `after` says on which side of the effect the caller stands. */
bool world_fails(enum port_operation operation, bool after, struct error *error);

/* ---- the ports, one of each; a life's output knows its ids ---- */

struct output *world_output(const struct slice ids[OUTPUT_PRODUCERS]);
extern struct input world_input;
extern struct store world_store;
extern struct registry world_registry;
extern struct lane_clock world_clock;
instant world_instant(void); /* the store's clock */

/* ---- the story ---- */

void world_begin(const struct failure *failures, size_t count);
/* Runs the story to its end, over as many lives as it takes. False when something never came to its end. */
bool world_run(void);
/* Only the records of the story's first two phases, for those who take them through the stages themselves. */
void world_send(void);
/* Every promise, by EXPECT. Appends what became of each record and promotion to `to`, in words that do not depend on the way. */
void world_check(struct buf *to);
void world_end(void);

#endif
