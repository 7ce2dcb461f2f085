#include "fleet.h"

#include "broker.h"
#include "check.h"
#include "decode.h"
#include "group.h"
#include "ports.h"
#include "store_sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { PIPELINE_WAIT_MS = 400, PUBLISHER_WAIT_MS = 800, POINT_SLEEP = 300 };

struct sim_lane fleet[LANES_MAX];

static struct decoder *decoder; /* compiled once for all runs; read-only */
static struct sim_thread *current;

static struct decoder *shared_decoder(void) {
    struct error error;
    if (!decoder && !(decoder = decoder_new(&error))) {
        (void)fprintf(stderr, "sluice-sim: %s\n", error.message);
        exit(2);
    }
    return decoder;
}

void fleet_prepare(void) {
    struct arena arena;
    struct manifest manifest;
    (void)shared_decoder();
    arena_init(&arena, 1024 * 1024);
    (void)manifest_read(&arena, SLICE("{}"), NULL, NULL, &manifest, NULL); /* compiles its schema, which stays */
    arena_release(&arena);
}

/* ---- a lane's two threads ---- */

static void run_publisher(void *argument) {
    struct sim_lane *lane = argument;
    while (publisher_step(lane->publisher, PUBLISHER_WAIT_MS)) continue;
}

static int start(struct sim_lane *lane) {
    struct error error = {0};
    lane->handoff = handoff_new();
    lane->found = registry_cache_new(64);
    struct publisher_options publisher = {.handoff = lane->handoff,
                                          .output = &lane->output,
                                          .store = &lane->stores[PUBLISHER].store,
                                          .clock = &lane->clock,
                                          .shards = world.shard_count};
    memcpy(publisher.owner, lane->owner, STORE_OWNER);
    memcpy(publisher.installation, store_sim_installation, sizeof publisher.installation);
    lane->publisher = publisher_new(&publisher);
    struct random random = random_of(world.spec->seed, 1000 + lane->number * 1000 + lane->incarnation);
    struct lane_options options = {.input = &lane->input,
                                   .store = &lane->stores[PIPELINE].store,
                                   .registry = &lane->registry,
                                   .clock = &lane->clock,
                                   .handoff = lane->handoff,
                                   .metrics = &lane->metrics,
                                   .decoder = shared_decoder(),
                                   .topics = {"", "release.builds", "release.requests"},
                                   .ids = {slice_str(lane->ids[0]), slice_str(lane->ids[1])},
                                   .shards = world.shard_count,
                                   .batch_records = 8,
                                   .batch_bytes = 4000000,
                                   .registry_wait_ms = 500,
                                   .random = random_next(&random) | 1};
    memcpy(options.owner, lane->owner, STORE_OWNER);
    lane->lane = lane_new(&options);
    return publisher_start(lane->publisher, &error);
}

/* The process, as lane_main has it. */
static void run_pipeline(void *argument) {
    struct sim_lane *lane = argument;
    if (start(lane)) {
        trace("lane%u could not start", lane->number);
        fleet_crash_here("it could not start");
    }
    fiber_start(&lane->threads[PUBLISHER].fiber, run_publisher, lane);
    lane->threads[PUBLISHER].wake = world.now;
    while (lane_step(lane->lane, PIPELINE_WAIT_MS))
        if (lane->ending) lane_end(lane->lane);
    bool failed = lane->lane->failed;
    (void)handoff_order(lane->handoff, &(struct order){.kind = ORDER_END});
    while (lane->threads[PUBLISHER].fiber.alive) fleet_sleep(2 * MS);
    fleet_crash_here(failed ? "its process gave up" : "its process ended as asked");
}

/* ---- life and death ---- */

static void come_up(struct sim_lane *lane) {
    unsigned char drawn[16];
    struct random random = random_of(world.spec->seed, 500 + lane->number * 7919 + lane->incarnation);
    lane->incarnation++;
    lane->up = true;
    lane->ending = false;
    lane->paused_until = 0;
    lane->metrics = (struct lane_metrics){0};
    memset(lane->breakers, 0, sizeof lane->breakers);
    lane->clock_offset_ms = random_between(&random, 1000, 100000);
    for (size_t i = 0; i < sizeof drawn; i++) drawn[i] = (unsigned char)random_next(&random);
    memcpy(lane->owner, drawn, STORE_OWNER);
    for (int which = 0; which < OUTPUT_PRODUCERS; which++) {
        (void)snprintf(lane->ids[which], sizeof lane->ids[which], "lane%u-%u%c", lane->number, lane->incarnation, "ab"[which]);
        lane->producers[which] = (struct sim_producer){0};
    }
    heap_init(&lane->heap);
    ports_open(lane);
    group_join(lane->number);
    trace("lane%u starts, incarnation %u", lane->number, lane->incarnation);
    for (int i = 0; i < THREADS; i++) {
        lane->threads[i].lane = lane;
        lane->threads[i].wake = world.now;
        lane->threads[i].waits_for = NULL;
        lane->threads[i].fiber.alive = false;
    }
    fiber_start(&lane->threads[PIPELINE].fiber, run_pipeline, lane);
}

static void go_down(struct sim_lane *lane, const char *why) {
    trace("lane%u dies: %s", lane->number, why);
    world.result.crashes++;
    lane->up = false;
    lane->lane = NULL;
    for (int i = 0; i < THREADS; i++) fiber_abandon(&lane->threads[i].fiber);
    group_leave(lane->number);
    check_lane_died(lane->number);
    /* As the supervisor does it; sometimes its host is gone for longer than its session. */
    lane->starts_at = world.now + random_between(&world.schedule, 5 * MS, 400 * MS);
    if (!world.healed && random_chance(&world.schedule, 10))
        lane->starts_at += random_between(&world.schedule, SECOND, 15 * SECOND);
}

void fleet_crash(struct sim_lane *lane, const char *why) {
    if (!lane->up) return;
    go_down(lane, why);
    heap_release(&lane->heap);
}

_Noreturn void fleet_crash_here(const char *why) {
    go_down(current->lane, why);
    fiber_yield(); /* never resumed; fleet_step frees the memory */
    abort();
}

void fleet_pause(struct sim_lane *lane, micros time) {
    if (!lane->up) return;
    trace("lane%u is stopped for %lld ms", lane->number, (long long)(time / MS));
    if (lane->paused_until < world.now + time) lane->paused_until = world.now + time;
}

void fleet_ask_to_end(struct sim_lane *lane) {
    if (lane->up) trace("lane%u is asked to end", lane->number);
    lane->ending = true;
}

void fleet_begin(void) {
    for (unsigned i = 0; i < LANES_MAX; i++) {
        struct sim_lane *lane = &fleet[i];
        lane->number = i;
        lane->up = lane->ending = false;
        lane->incarnation = 0;
        lane->armed = NULL;
        lane->lane = NULL;
        lane->random = random_of(world.spec->seed, SUBJECT_LANE + 100 + i);
        lane->starts_at = random_between(&lane->random, 0, 50 * MS);
        heap_init(&lane->heap);
    }
}

void fleet_end(void) {
    for (unsigned i = 0; i < world.lane_count; i++) {
        for (int k = 0; k < THREADS; k++) fiber_abandon(&fleet[i].threads[k].fiber);
        heap_release(&fleet[i].heap);
        fleet[i].up = false;
    }
}

void fleet_heal(void) {
    for (unsigned i = 0; i < world.lane_count; i++) {
        struct sim_lane *lane = &fleet[i];
        lane->paused_until = 0;
        lane->armed = NULL;
        if (!lane->up && lane->starts_at > world.now + SECOND) lane->starts_at = world.now + SECOND;
        for (int k = 0; k < THREADS; k++)
            if (lane->threads[k].wake > world.now + SECOND) lane->threads[k].wake = world.now + SECOND;
    }
}

/* ---- taking turns ---- */

static bool can_run(const struct sim_lane *lane, const struct sim_thread *thread) {
    return lane->up && thread->fiber.alive && lane->paused_until <= world.now && thread->wake <= world.now;
}

static void resume(struct sim_thread *thread) {
    struct sim_lane *lane = thread->lane;
    current = thread;
    struct heap *before = heap_enter(&lane->heap);
    fiber_resume(&thread->fiber);
    (void)heap_enter(before);
    current = NULL;
    if (!lane->up) heap_release(&lane->heap);
}

bool fleet_step(void) {
    struct sim_thread *ready[LANES_MAX * THREADS];
    size_t count = 0;
    for (unsigned i = 0; i < world.lane_count; i++) {
        struct sim_lane *lane = &fleet[i];
        if (!lane->up && lane->starts_at <= world.now) come_up(lane);
        for (int k = 0; k < THREADS; k++)
            if (can_run(lane, &lane->threads[k])) ready[count++] = &lane->threads[k];
    }
    if (!count) return false;
    resume(ready[random_below(&world.schedule, count)]);
    return true;
}

micros fleet_next(void) {
    micros next = -1;
    for (unsigned i = 0; i < world.lane_count; i++) {
        const struct sim_lane *lane = &fleet[i];
        for (int k = 0; k < THREADS; k++) {
            micros at = lane->up ? lane->threads[k].wake : lane->starts_at;
            if (lane->up && !lane->threads[k].fiber.alive) continue;
            if (lane->up && at < lane->paused_until) at = lane->paused_until;
            if (next < 0 || at < next) next = at;
        }
    }
    return next;
}

struct sim_lane *fleet_current(void) {
    return current ? current->lane : NULL;
}

void fleet_sleep(micros time) {
    current->wake = world.now + time;
    fiber_yield();
}

void fleet_wait(const void *condition, micros time) {
    current->waits_for = condition;
    fleet_sleep(time);
    current->waits_for = NULL;
}

void fleet_signal(const void *condition) {
    for (unsigned i = 0; i < world.lane_count; i++)
        for (int k = 0; k < THREADS; k++) {
            struct sim_thread *thread = &fleet[i].threads[k];
            if (fleet[i].up && thread->waits_for == condition && thread->wake > world.now) thread->wake = world.now + 20;
        }
}

/* ---- operations ---- */

/* Mostly short; now and then as long as a hiccup of a server. */
static micros duration(void) {
    uint64_t kind = random_below(&world.schedule, 1000);
    if (kind < 900 || world.healed) return random_between(&world.schedule, 20, 1500);
    if (kind < 990) return random_between(&world.schedule, MS, 30 * MS);
    return random_between(&world.schedule, 30 * MS, 900 * MS);
}

static struct armed *disarm(struct sim_lane *lane, enum op op) {
    for (struct armed **at = &lane->armed; *at; at = &(*at)->next) {
        if ((*at)->op != op) continue;
        struct armed *found = *at;
        *at = found->next;
        return found;
    }
    return NULL;
}

struct armed *op_begin(struct sim_lane *lane, enum op op) {
    struct armed *fault = disarm(lane, op);
    if (fault) trace("fault %d: lane%u %s: %s", fault->fault, lane->number, op_text(op), effect_text((enum effect)fault->kind));
    fleet_sleep(duration());
    if (!fault) return NULL;
    if (fault->kind == ARMED_CRASH_BEFORE || fault->kind == ARMED_STALL_BEFORE) armed_took(fault);
    if (fault->kind == ARMED_CRASH_BEFORE) fleet_crash_here("as the plan says");
    if (fault->kind == ARMED_STALL_BEFORE) fleet_sleep(fault->time);
    return fault;
}

void op_end(struct sim_lane *lane, enum op op, struct armed *fault) {
    (void)op;
    bool comes = fault && (fault->kind == ARMED_CRASH_AFTER || fault->kind == ARMED_PAUSE || fault->kind == ARMED_STALL_AFTER);
    if (comes) armed_took(fault);
    if (fault && fault->kind == ARMED_CRASH_AFTER) fleet_crash_here("as the plan says");
    if (fault && fault->kind == ARMED_PAUSE) fleet_pause(lane, fault->time);
    fleet_sleep(duration());
    if (fault && fault->kind == ARMED_STALL_AFTER) fleet_sleep(fault->time);
}
