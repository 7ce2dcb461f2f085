/* The lanes: each a process with the real lane's two threads, which run as fibers, over simulated ports. A lane pauses at every
 * operation of a port, before and after its effect, and there it may be stopped, delayed or killed. */
#ifndef SIM_FLEET_H
#define SIM_FLEET_H

#include "breaker.h"
#include "fiber.h"
#include "heap.h"
#include "input.h"
#include "lane.h"
#include "output.h"
#include "plan.h"
#include "policies.h"
#include "publish.h"
#include "registry.h"
#include "registry_cache.h"
#include "store.h"
#include "world.h"

enum { PIPELINE, PUBLISHER, THREADS };

struct sim_thread {
    struct sim_lane *lane;
    struct fiber fiber;
    micros wake;
    const void *waits_for; /* a condition variable, or NULL */
    bool woken;
};

struct sim_store {
    struct store store;
    struct sim_lane *lane;
    bool is_pipelines;
};

struct sim_producer {
    bool ready, in_transaction;
    bool has_committed; /* in this epoch: a copy of that EndTxn may be late */
    bool misplaced;     /* a record of the transaction is not where it must be */
    int id;             /* of the broker */
    unsigned epoch;
    bool added[OUTPUT_TOPICS][SHARDS_MAX];
    struct sim_record *queue; /* not sent yet, in the order in which it was produced */
};

struct sim_lane {
    unsigned number;
    bool up, ending, was_ended;
    unsigned incarnation;
    micros paused_until, starts_at;
    int64_t clock_offset_ms;
    struct heap heap;
    struct sim_thread threads[THREADS];
    /* the real thing; in its own heap */
    struct lane *lane;
    struct publisher *publisher;
    struct handoff *handoff;
    struct lane_metrics metrics;
    char ids[OUTPUT_PRODUCERS][32];
    unsigned char owner[STORE_OWNER];
    /* its ports */
    struct lane_clock clock;
    struct sim_store stores[THREADS];
    struct input input;
    struct output output;
    struct registry registry;
    struct breaker breakers[HOSTS];
    struct registry_cache *found;
    struct sim_producer producers[OUTPUT_PRODUCERS];
    bool misled[OUTPUT_TOPICS]
               [SHARDS_MAX]; /* the log goes on behind the end that it was told of; it finds out when it writes there */
    struct armed *armed;     /* faults that wait for its next operation of a kind */
    struct random random;
};

extern struct sim_lane fleet[LANES_MAX];

/* Once a process: makes what all lanes share and never changes. */
void fleet_prepare(void);
void fleet_begin(void);
void fleet_end(void);
/* Lets one thread run that could; false when none can now. */
bool fleet_step(void);
/* When one can, or -1. */
micros fleet_next(void);

/* The lane whose thread runs now; NULL outside. */
struct sim_lane *fleet_current(void);
/* The thread sleeps; the others and the world go on. */
void fleet_sleep(micros time);

void fleet_crash(struct sim_lane *lane, const char *why);
/* From inside: the process dies here, and does not return. */
_Noreturn void fleet_crash_here(const char *why);
void fleet_pause(struct sim_lane *lane, micros time);
/* As by SIGTERM. */
void fleet_ask_to_end(struct sim_lane *lane);
/* The faults are over: nobody is paused any more, and who is down starts. */
void fleet_heal(void);

/* Every operation of a port begins and ends with these. Both let others run, for as long as an operation takes; a crash may come
 * at either. Returns the fault that is to befall the operation, or NULL. */
struct armed *op_begin(struct sim_lane *lane, enum op op);
void op_end(struct sim_lane *lane, enum op op, struct armed *fault);

/* A condition variable is waited for, at most `time`; for the seams of handoff.c. */
void fleet_wait(const void *condition, micros time);
void fleet_signal(const void *condition);

#endif
