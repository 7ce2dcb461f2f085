/* One run: its time, what is going to happen in it, and its end. There is one world at a time; everything in it is drawn from the
 * seed, and nothing looks at the machine's clock, addresses or threads, so the same seed gives the same run. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "random.h"
#include "slice.h"
#include "text.h"

#include <stddef.h>
#include <stdio.h>

enum { LANES_MAX = 4, SHARDS_MAX = 4 };

typedef int64_t micros; /* since the world's beginning */

enum { MS = 1000, SECOND = 1000000 };

/* What stands in the streams of a seed. */
enum subject {
    SUBJECT_SHAPE,
    SUBJECT_WORKLOAD,
    SUBJECT_PLAN,
    SUBJECT_SCHEDULE,
    SUBJECT_BROKER,
    SUBJECT_GROUP,
    SUBJECT_STORE,
    SUBJECT_LANE,
    SUBJECT_UPSTREAM
};

enum { EVENTS_MAX = 128, FAULTS_MAX = 64, EFFECTS_MAX = 40 };

/* What is to be run. What shrinking has left out is left out of what the seed would give. */
struct run_spec {
    uint64_t seed;
    bool without_event[EVENTS_MAX], without_fault[FAULTS_MAX];
    FILE *trace; /* or NULL */
};

struct violation {
    const char *invariant; /* NULL: none was broken */
    char what[600];
    int shard;         /* -1: of no shard alone */
    uint64_t sequence; /* 0: of no row */
    int event;         /* -1: of no event of the workload */
};

struct run_result {
    struct violation violation;
    uint64_t steps, rows, results, crashes, takeovers, faults;
    uint64_t took[EFFECTS_MAX]; /* the faults by enum effect */
    micros ended;
    size_t event_count, fault_count;
};

struct world {
    const struct run_spec *spec;
    struct random schedule, broker, group, store;
    micros now;
    uint64_t steps;
    unsigned lane_count, shard_count;
    bool healed; /* the faults have stopped */
    bool over;
    struct run_result result;
};
extern struct world world;

void world_run(const struct run_spec *spec, struct run_result *ret_result);
/* Only draws it, and says how many events and faults there are. */
void world_draw(const struct run_spec *spec, struct run_result *ret_result);

/* Runs it at that time, outside of every lane. */
void world_at(micros at, void (*run)(void *), void *argument);
/* Notes the first violation, and ends the run. `shard` -1, `sequence` 0, `event` -1 when it concerns none. */
void world_violate(const char *invariant, int shard, uint64_t sequence, int event, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The clock of the database, which may jump. */
extern micros world_store_clock_offset;
instant world_store_now(void);
enum { WORLD_BEGIN_S = 1772359200 }; /* 2026-03-01T10:00:00Z */

/* ---- memory that lives until the end of the run ---- */

void *keep(size_t size);
struct slice keep_slice(struct slice slice);
struct slice keep_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Room for one element more of an array in such memory. */
void *keep_grown(void *array, size_t count, size_t *room, size_t size);
#define KEEP_NEW(type) ((type *)keep(sizeof(type)))
#define KEEP_ADD(array, count, room) ((array) = keep_grown((array), (count), &(room), sizeof *(array)), &(array)[(count)++])

/* ---- the trace: what happens, a line each ---- */

/* Words by which a story is picked out of it: "lane1", "shard2", "e17" (an event), "row 2-15". */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool tracing(void);

#endif
