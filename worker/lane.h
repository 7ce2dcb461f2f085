/* A lane: one process that owns some shards. Its pipeline thread takes inputs through the stages and commits them; its
 * publisher thread (publish.h) publishes what was committed.
 *
 *   lane.c     the loop, and what is done from time to time
 *   shard.c    how a shard comes, is owned, and goes: one table of transitions
 *   process.c  one batch through the stages, and what to do when a stage fails
 *
 * A lane reaches the world only through its ports. */
#ifndef SLUICE_LANE_H
#define SLUICE_LANE_H

#include "batch.h"
#include "clock.h"
#include "handoff.h"
#include "input.h"
#include "metrics.h"
#include "output.h"
#include "registry.h"
#include "store.h"

/* Batches: one in the pipeline, the others at the publisher. While they are small there may be more of them there, so that what
 * comes during a transaction is decided and committed meanwhile and goes into the next one together. */
enum { LANE_BATCHES = 8, LANE_BATCHES_LARGE = 3, LANE_SMALL_BYTES = 1024 * 1024 };

struct lane_options {
    struct input *input;
    struct store *store;
    struct registry *registry;
    struct lane_clock *clock;
    struct handoff *handoff;
    struct lane_metrics *metrics;
    const struct decoder *decoder;
    const char *topics[INPUT_TOPICS + 1]; /* names, by enum input_topic */
    unsigned char owner[STORE_OWNER];     /* drawn per process */
    struct slice ids[OUTPUT_PRODUCERS];   /* the transactional ids */
    uint32_t shards;                      /* of the installation */
    size_t batch_records, batch_bytes;
    int registry_wait_ms;
    uint64_t random; /* seed for random delays */
};

enum shard_state {
    SHARD_AWAY,       /* not this lane's */
    SHARD_WANTED,     /* assigned; to be taken over at `not_before` */
    SHARD_TAKEN,      /* the store's row is ours; the publisher fences and reads the tails */
    SHARD_OWNED,      /* its inputs are processed */
    SHARD_DRAINING,   /* its last answers are being published */
    SHARD_FORGETTING, /* the publisher is letting go of it as it is */
    SHARD_STOPPED     /* an operator has to decide */
};

struct lane_shard {
    enum shard_state state;
    bool assigned;                 /* by the group */
    size_t cautious;               /* lanes died here: so many records are still to go one at a time */
    uint64_t not_before, deadline; /* by the lane's clock, ms */
    uint64_t epoch, sequence, control_version;
    struct digest head;
    uint64_t position[INPUT_TOPICS + 1], position_stored[INPUT_TOPICS + 1];
    instant now_at;
    struct settled settled[OUTPUT_TOPICS];  /* as the publisher has reported */
    uint64_t settled_stored[OUTPUT_TOPICS]; /* sequences as the store has them */
    struct slice *fence_ids;                /* others' ids, to be removed once they are fenced; in `ids` */
    size_t fence_id_count;
    struct arena ids;
    enum input_topic crash_topic;
    uint64_t crash_position;
    unsigned crash_count;
    bool skipped;                 /* records that came while the noted one was ahead of them */
    size_t lately;                /* records in the last batch that was not hurried */
    struct shard_batch *in_batch; /* while a batch is put together */
};

struct lane {
    struct lane_options options;
    struct lane_shard *shards; /* by number */
    struct batch batches[LANE_BATCHES];
    struct batch *free[LANE_BATCHES];
    size_t free_count;
    size_t kept_bytes; /* of the batches that the publisher has */
    struct arena policy_arena;
    const struct policy *policy;
    uint64_t control_version, policy_version;
    struct digest policy_digest;
    size_t batch_records; /* as many as the next batch may have, if the options allow them */
    bool reassign;        /* the set of owned shards, or a position, has changed: tell the input */
    bool quiet;           /* nothing is fetched while a server is away */
    bool revoking;        /* the group waits until all shards are let go */
    bool ending, failed;
    uint64_t pause_until; /* after a failure of a server */
    unsigned pause_ms;
    unsigned looks_outside; /* in a row at which brokers answered, and the lane was not in the group */
    bool outage;            /* brokers were away since it was last taken in */
    uint64_t collect_until; /* records that come before then may wait for more, while the publisher is busy or it is crowded */
    bool crowded;           /* the last batch had several records, and so will the next; */
    bool lopsided;          /* most of them were of shards that had several each */
    bool hurried;           /* the last batch was taken before its time, as a neighbour of the crowd was in it */
    bool asking;            /* a registry is still asked */
    uint64_t next_look, next_due, next_report, next_settle; /* by the lane's clock, ms */
    instant store_now;                                      /* the store's clock when it was last read, */
    uint64_t store_now_ms;                                  /* and the lane's then, or when it began */
    struct input_position *positions;                       /* scratch, room for all shards */
    uint32_t *numbers;                                      /* the same */
};

/* NULL without memory. The ports stay the caller's. */
struct lane *lane_new(const struct lane_options *options);
void lane_free(struct lane *lane);

struct config;
/* The process of a lane: makes the real ports, runs both threads until SIGTERM or a failure that only a new process mends.
 * Returns the exit status. */
int lane_main(const struct config *config, unsigned number, struct lane_metrics *metrics);

/* Does what the publisher's reports ask for; waits up to `wait_ms` for one. False when there was none. */
bool lane_hear(struct lane *lane, int wait_ms);
/* How long the next records may wait for more, for all of them to be one commit. */
int lane_collect_ms(const struct lane *lane);
/* One turn of the loop. False when the lane has ended: `lane->failed` says whether it should not have. */
bool lane_step(struct lane *lane, int wait_ms);
/* Finish, publish, release, end. */
void lane_end(struct lane *lane);

uint64_t lane_now_ms(const struct lane *lane);
/* A number from 0 to `below` - 1. */
uint64_t lane_random(struct lane *lane, uint64_t below);
bool lane_is_paused(const struct lane *lane);
/* Ends the lane: only a new process helps. */
void lane_fail(struct lane *lane, const char *what, const struct error *error);
/* The same for want of memory. */
void lane_starve(struct lane *lane, const char *what);
/* Rests after a failure, a little longer each time. */
void lane_pause(struct lane *lane, const char *what, const struct error *error);

/* Tells the supervisor that the lane goes on: before whatever may take long. */
void lane_turn(struct lane *lane);
/* Acts on a report of the publisher and frees it. */
void lane_report(struct lane *lane, struct report *report);

/* ---- shard.c ---- */

void shard_assign(struct lane *lane, const uint32_t *shards, size_t count);
void shard_revoke_all(struct lane *lane);
void shard_report(struct lane *lane, const struct report *report);
/* Takes over what is wanted, forgets what could not be drained in time. */
void shard_tend(struct lane *lane);
/* The outcome of a commit is unknown or was refused: the shard is taken over anew, after `delay_ms`. */
void shard_retake(struct lane *lane, uint32_t shard, uint64_t delay_ms, const char *why);
void shard_stop(struct lane *lane, uint32_t shard, const char *reason);
/* Compares shards with the store's rows; finds lost ones, and stopped ones that an operator has resumed. */
void shard_look(struct lane *lane);
/* The store's row has these now: it was read, or a commit has written them. */
void shard_stored(struct lane_shard *s, const uint64_t position[INPUT_TOPICS + 1], const struct settled settled[OUTPUT_TOPICS]);
/* Moves positions to the ends of logs behind which no record is left but offsets are: aborted records, and what ends
 * transactions. Once retention has removed those, a position before them would look as if records were lost. */
void shard_pass(struct lane *lane, const struct input_end *ends, size_t count);
bool shard_all_away(const struct lane *lane);
/* Some shard waits for the publisher or for its turn to be taken over. */
bool shard_any_in_motion(const struct lane *lane);

/* ---- process.c ---- */

/* Takes the records and due promotions through the stages, in as many batches as it needs. */
void process_records(struct lane *lane, struct record *records, size_t count);
void process_due(struct lane *lane);
/* Looks whether the records for which others were skipped are still there. */
void process_skipped(struct lane *lane);
/* A new control version concerns every waiting promotion: notes it in all owned shards. */
void process_control(struct lane *lane);
/* Writes how far quiet shards are read and their results settled, if they have come further than the store knows. One commit for
 * all: when it is refused, all of them are taken over again. */
void process_quiet(struct lane *lane);

#endif
