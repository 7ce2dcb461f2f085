#include "world.h"

#include "broker.h"
#include "check.h"
#include "fleet.h"
#include "group.h"
#include "heap.h"
#include "phases.h"
#include "plan.h"
#include "registry_sim.h"
#include "store_sim.h"
#include "workload.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 2000000, CHUNK = 256 * 1024 };

struct world world;
micros world_store_clock_offset;

/* ---- memory ---- */

struct chunk {
    struct chunk *next;
    size_t used, room;
};

static struct chunk *chunks;

void *keep(size_t size) {
    size = (size + 15) & ~(size_t)15;
    if (!chunks || chunks->room - chunks->used < size) {
        struct heap *before = heap_enter(NULL);
        size_t room = size > CHUNK ? size : CHUNK;
        struct chunk *chunk = malloc(sizeof *chunk + 16 + room);
        (void)heap_enter(before);
        if (!chunk) {
            (void)fprintf(stderr, "sluice-sim: no memory\n");
            exit(2);
        }
        *chunk = (struct chunk){chunks, 0, room};
        chunks = chunk;
    }
    char *memory = (char *)(((uintptr_t)(chunks + 1) + 15) & ~(uintptr_t)15) + chunks->used;
    chunks->used += size;
    memset(memory, 0, size);
    return memory;
}

static void forget_all(void) {
    for (struct chunk *chunk = chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    chunks = NULL;
}

struct slice keep_slice(struct slice slice) {
    if (!slice.p) return slice;
    char *copy = keep(slice.n + 1);
    memcpy(copy, slice.p, slice.n);
    return slice_of(copy, slice.n);
}

struct slice keep_print(const char *format, ...) {
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return keep_slice(slice_of(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

void *keep_grown(void *array, size_t count, size_t *room, size_t size) {
    if (count < *room) return array;
    *room = *room ? *room * 2 : 16;
    void *grown = keep(*room * size);
    if (count) memcpy(grown, array, count * size);
    return grown;
}

/* ---- what is going to happen ---- */

struct happening {
    micros at;
    uint64_t number; /* of equal times the first that was asked for comes first */
    void (*run)(void *);
    void *argument;
};

static struct happening *happenings; /* a binary heap */
static size_t happening_count, happening_room;
static uint64_t happening_number;

static bool comes_before(const struct happening *a, const struct happening *b) {
    return a->at < b->at || (a->at == b->at && a->number < b->number);
}

static void swap(size_t a, size_t b) {
    struct happening held = happenings[a];
    happenings[a] = happenings[b];
    happenings[b] = held;
}

void world_at(micros at, void (*run)(void *), void *argument) {
    struct happening *new = KEEP_ADD(happenings, happening_count, happening_room);
    *new = (struct happening){at > world.now ? at : world.now, happening_number++, run, argument};
    for (size_t i = happening_count - 1; i && comes_before(&happenings[i], &happenings[(i - 1) / 2]); i = (i - 1) / 2)
        swap(i, (i - 1) / 2);
}

static struct happening next_happening(void) {
    struct happening first = happenings[0];
    happenings[0] = happenings[--happening_count];
    for (size_t i = 0;;) {
        size_t child = 2 * i + 1;
        if (child >= happening_count) break;
        if (child + 1 < happening_count && comes_before(&happenings[child + 1], &happenings[child])) child++;
        if (!comes_before(&happenings[child], &happenings[i])) break;
        swap(i, child);
        i = child;
    }
    return first;
}

instant world_store_now(void) { return (instant)WORLD_BEGIN_S * SECOND + world.now + world_store_clock_offset; }

/* ---- the end ---- */

void world_violate(const char *invariant, int shard, uint64_t sequence, int event, const char *format, ...) {
    struct violation *v = &world.result.violation;
    if (v->invariant) return;
    *v = (struct violation){.invariant = invariant, .shard = shard, .sequence = sequence, .event = event};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(v->what, sizeof v->what, format, arguments);
    va_end(arguments);
    trace("VIOLATION of %s: %s", invariant, v->what);
    world.over = true;
}

/* ---- the trace ---- */

bool tracing(void) { return world.spec->trace != NULL; }

void trace(const char *format, ...) {
    FILE *to = world.spec->trace;
    if (!to) return;
    struct heap *before = heap_enter(NULL);
    va_list arguments;
    (void)fprintf(to, "%4lld.%06lld ", (long long)(world.now / SECOND), (long long)(world.now % SECOND));
    va_start(arguments, format);
    (void)vfprintf(to, format, arguments);
    va_end(arguments);
    (void)fputc('\n', to);
    (void)heap_enter(before);
}

/* ---- the run ---- */

static void begin(const struct run_spec *spec) {
    world = (struct world){.spec = spec,
                           .schedule = random_of(spec->seed, SUBJECT_SCHEDULE),
                           .broker = random_of(spec->seed, SUBJECT_BROKER),
                           .group = random_of(spec->seed, SUBJECT_GROUP),
                           .store = random_of(spec->seed, SUBJECT_STORE)};
    struct random shape = random_of(spec->seed, SUBJECT_SHAPE);
    world.lane_count = (unsigned)random_between(&shape, 2, LANES_MAX);
    world.shard_count = (unsigned)random_between(&shape, 1, SHARDS_MAX);
    world_store_clock_offset = 0;
    happenings = NULL;
    happening_count = happening_room = 0;
    happening_number = 0;
    trace("seed %llu: %u lanes, %u shards", (unsigned long long)spec->seed, world.lane_count, world.shard_count);
    store_sim_begin();
    broker_begin();
    group_begin();
    registry_sim_begin();
    check_begin();
    workload_begin();
    plan_begin();
    fleet_begin();
    phases_begin();
}

/* Whatever is due happens, then one thread of one lane runs to its next pause; when all of them sleep, time passes. */
static void step(void) {
    while (happening_count && happenings[0].at <= world.now && !world.over) {
        struct happening happening = next_happening();
        happening.run(happening.argument);
    }
    if (world.over) return;
    if (fleet_step()) {
        world.now += random_between(&world.schedule, 5, 150);
        return;
    }
    micros next = fleet_next();
    if (happening_count && (next < 0 || happenings[0].at < next)) next = happenings[0].at;
    if (next < 0) {
        world_violate("liveness", -1, 0, -1, "nothing is going to happen any more");
        return;
    }
    if (next > world.now) world.now = next;
}

void world_draw(const struct run_spec *spec, struct run_result *ret_result) {
    begin(spec);
    fleet_end();
    *ret_result = world.result;
    forget_all();
}

void world_run(const struct run_spec *spec, struct run_result *ret_result) {
    begin(spec);
    while (!world.over) {
        if (++world.steps > STEPS_MAX) world_violate("liveness", -1, 0, -1, "no end within %d steps", STEPS_MAX);
        step();
    }
    world.result.steps = world.steps;
    world.result.ended = world.now;
    fleet_end();
    *ret_result = world.result;
    trace("end after %llu steps: %s", (unsigned long long)world.steps,
          world.result.violation.invariant ? world.result.violation.invariant : "no violation");
    forget_all();
}
