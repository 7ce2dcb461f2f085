/* A lane over an input and a store that do what the test says, and a publisher that does at once what it is told. */
#ifndef LANE_WORLD_H
#define LANE_WORLD_H

#include "decode.h"
#include "lane.h"
#include "memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

enum { SHARDS = 2, NOW_S = 1772359200, COMMITS = 64 };

static struct lane_metrics metrics;
static struct decoder *decoder;
static struct lane *lane;

static struct {
    uint64_t now;
    struct input_event event; /* of the next poll */
    enum error_kind poll_fails, assign_fails, load_fails, brokers_fail;
    unsigned polls, frees, keeps, assigns, looks, broker_looks, dues, reports, control_reads;
    size_t assigned, reported; /* shards */
    size_t limit;              /* of the last poll */
    uint64_t first_position;
    int wait_ms;
    bool registry_is_asked;                          /* something goes on that was not answered in time */
    int64_t known_end, log_end;                      /* of requests; known_end: as the last fetch has told */
    uint64_t control_version, lost_control_versions; /* the latter: so many that the shards have noted are not in the store */
    const char *policy;
    bool control_fails, control_overflows; /* the latter: its policy needs more memory than it may */
    uint64_t epoch;
    size_t commits, rows, commit_shards; /* commit_shards: of the last one */
    struct commit_shard first_shard;     /* the same */
    struct {
        enum result_kind kind;
        uint64_t offset;
    } first_rows[COMMITS]; /* of each commit that has rows */
    unsigned suspects, loads, fails_at_load;
    enum error_kind suspect_fails; /* once */
    uint64_t suspect_takes;        /* ms, when it does not fail */
    unsigned starves, overflows;   /* so many loads fail: the system has no memory, or they need more than a batch may have */
    size_t orders[ORDER_END + 1];  /* that the publisher was given, by kind */
    bool publisher_sleeps;         /* does nothing */
    uint64_t tick;                 /* how much time passes whenever somebody looks at the clock */
    struct promotion_row *due;
    size_t due_count;
    const char *refuses;     /* the store takes no row with this in its input, unless the answer says so, */
    bool refuses_all;        /* or not even then */
    uint64_t refuses_opened; /* nor the change of the promotion that was opened so */
    const char *commit_code;
    enum error_kind commit_fails; /* with that code, once */
    char stopped[300];
} world;

static bool fake_tend(struct registry *asked) {
    (void)asked;
    return world.registry_is_asked;
}

static const struct registry_operations registry_operations = {.tend = fake_tend};
static struct registry registry = {&registry_operations};

static int end_as(enum error_kind kind, struct error *error) {
    return kind == ERROR_NONE ? 0 : error_set(error, kind, "test", "as the test says");
}

/* ---- the input ---- */

static int fake_poll(struct input *input, int wait_ms, size_t limit, size_t bytes, struct input_event *ret_event,
                     struct error *error) {
    (void)input, (void)bytes;
    world.polls++;
    world.limit = limit;
    world.wait_ms = wait_ms;
    if (world.poll_fails) return end_as(world.poll_fails, error);
    *ret_event = world.event;
    world.event = (struct input_event){0};
    return 0;
}

static void fake_free_records(struct input *input) { (void)input, world.frees++; }

static void fake_keep_records(struct input *input) { (void)input, world.keeps++; }

static int fake_assign(struct input *input, const struct input_position *positions, size_t count, struct error *error) {
    (void)input;
    world.assigns++;
    if (world.assign_fails) return end_as(world.assign_fails, error);
    world.assigned = count;
    world.first_position = count ? positions[0].position[INPUT_REQUESTS] : 0;
    return 0;
}

static void fake_report(struct input *input, const struct input_position *positions, size_t count) {
    (void)input, (void)positions;
    world.reports++;
    world.reported = count;
}

static int64_t fake_known_end(struct input *input, uint32_t shard, enum input_topic topic) {
    return (void)input, (void)shard, topic == INPUT_REQUESTS ? world.known_end : -1;
}

static int fake_bounds(struct input *input, uint32_t shard, int64_t ret_start[INPUT_TOPICS + 1],
                       int64_t ret_end[INPUT_TOPICS + 1], struct error *error) {
    (void)input, (void)shard;
    if (world.brokers_fail) return end_as(world.brokers_fail, error);
    ret_start[INPUT_BUILDS] = ret_end[INPUT_BUILDS] = ret_start[INPUT_REQUESTS] = 0;
    ret_end[INPUT_REQUESTS] = world.log_end;
    return 0;
}

static int fake_partitions(struct input *input, enum input_topic topic, uint32_t *ret_count, struct error *error) {
    (void)input, (void)topic;
    world.broker_looks++;
    *ret_count = SHARDS;
    return end_as(world.brokers_fail, error);
}

/* ---- the store ---- */

static int fake_load(struct store *store, struct arena *arena, struct store_facts *facts, struct error *error) {
    (void)store, (void)arena;
    world.loads++;
    if (world.starves) memory_refused();
    if (world.starves ? world.starves-- : world.overflows ? world.overflows-- : 0) return error_memory(error);
    facts->ret_now = (instant)NOW_S * 1000000;
    facts->ret_control_version = world.control_version;
    if (world.loads == world.fails_at_load) return end_as(ERROR_UNAVAILABLE, error);
    return end_as(world.load_fails, error);
}

static int fake_control(struct store *store, struct arena *arena, struct store_control *control, struct error *error) {
    (void)store;
    world.control_reads++;
    *control = (struct store_control){.version = world.control_version};
    if (world.policy) control->policy = arena_copy(arena, slice_str(world.policy));
    if (world.control_overflows) return error_memory(error);
    return world.control_fails ? end_as(ERROR_UNAVAILABLE, error) : 0;
}

static int fake_suspect(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                        enum input_topic topic, uint64_t offset, struct error *error) {
    (void)store, (void)shard, (void)epoch, (void)owner, (void)topic, (void)offset;
    enum error_kind kind = world.suspect_fails;
    world.suspects++;
    world.suspect_fails = ERROR_NONE;
    if (kind == ERROR_NONE) world.now += world.suspect_takes;
    return end_as(kind, error);
}

static int fake_epochs(struct store *store, struct store_epoch *shards, size_t count, struct error *error) {
    (void)store, (void)error;
    world.looks++;
    for (size_t i = 0; i < count; i++) {
        const struct lane_shard *s = &lane->shards[shards[i].shard];
        shards[i] = (struct store_epoch){.shard = shards[i].shard,
                                         .ret_epoch = s->epoch,
                                         .ret_sequence = s->sequence,
                                         .ret_head = s->head,
                                         .ret_control_version = s->control_version - world.lost_control_versions};
        memcpy(shards[i].ret_owner, lane->options.owner, STORE_OWNER);
        memcpy(shards[i].ret_position, s->position_stored, sizeof shards[i].ret_position);
        memcpy(shards[i].ret_settled, s->settled_stored, sizeof shards[i].ret_settled);
    }
    return 0;
}

static int fake_due(struct store *store, struct arena *arena, const uint32_t *shards, size_t count, instant until, size_t limit,
                    struct promotion_row **ret_rows, size_t *ret_count, struct error *error) {
    (void)store, (void)arena, (void)shards, (void)until, (void)limit, (void)error;
    assert_true(count > 0);
    world.dues++;
    *ret_rows = world.due;
    *ret_count = world.due_count;
    return 0;
}

static int fake_take(struct store *store, uint32_t shard, const unsigned char owner[STORE_OWNER], const struct slice *ids,
                     size_t id_count, struct arena *arena, struct shard_row *ret_row, struct error *error) {
    (void)store, (void)owner, (void)ids, (void)id_count, (void)arena, (void)error;
    *ret_row = (struct shard_row){.shard = shard, .epoch = ++world.epoch};
    ret_row->position[INPUT_REQUESTS] = 10;
    return 0;
}

static int fake_release(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                        const struct slice *ids, size_t count, const struct settled settled[OUTPUT_TOPICS], struct error *error) {
    (void)store, (void)shard, (void)epoch, (void)owner, (void)ids, (void)count, (void)settled, (void)error;
    return 0;
}

static int fake_stop(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                     struct slice reason, struct error *error) {
    (void)store, (void)shard, (void)epoch, (void)owner, (void)error;
    memcpy(world.stopped, reason.p, reason.n < sizeof world.stopped ? reason.n : sizeof world.stopped - 1);
    return 0;
}

static bool contains(struct slice text, const char *what) { return memmem(text.p, text.n, what, strlen(what)) != NULL; }

static int fake_commit(struct store *store, const struct commit *commit, struct error *error) {
    (void)store;
    enum error_kind kind = world.commit_fails;
    world.commit_fails = ERROR_NONE;
    if (kind) return error_set(error, kind, world.commit_code, "as the test says");
    for (size_t i = 0; i < commit->row_count && world.refuses; i++)
        if (contains(commit->rows[i].input, world.refuses) &&
            (world.refuses_all || !contains(commit->rows[i].decision, "could not be committed")))
            return error_set(error, ERROR_INPUT, "sql-22021", "as the test says");
    for (size_t i = 0; i < commit->changed_count && world.refuses_opened; i++)
        if (commit->changed[i].opened_sequence == world.refuses_opened) return end_as(ERROR_INPUT, error);
    assert_true(world.commits < COMMITS);
    if (commit->row_count) {
        world.first_rows[world.commits].kind = commit->rows[0].kind;
        world.first_rows[world.commits].offset = commit->rows[0].offset;
    }
    world.commits++;
    world.commit_shards = commit->shard_count;
    world.first_shard = commit->shards[0];
    world.rows += commit->row_count;
    return 0;
}

static uint64_t fake_now(struct lane_clock *clock) { return (void)clock, world.now += world.tick; }

static const struct input_operations input_operations = {.poll = fake_poll,
                                                         .free_records = fake_free_records,
                                                         .keep_records = fake_keep_records,
                                                         .assign = fake_assign,
                                                         .report = fake_report,
                                                         .bounds = fake_bounds,
                                                         .known_end = fake_known_end,
                                                         .partitions = fake_partitions};
static const struct store_operations store_operations = {.take = fake_take,
                                                         .suspect = fake_suspect,
                                                         .release = fake_release,
                                                         .stop = fake_stop,
                                                         .epochs = fake_epochs,
                                                         .load = fake_load,
                                                         .control = fake_control,
                                                         .due = fake_due,
                                                         .commit = fake_commit};
static struct input input = {&input_operations};
static struct store store = {&store_operations};
static struct lane_clock lane_clock = {fake_now};

static int set_up(void **state) {
    (void)state;
    struct error error;
    memset(&world, 0, sizeof world);
    memset(&metrics, 0, sizeof metrics);
    world.now = 100000;
    world.commit_code = "test";
    decoder = decoder_new(&error);
    const struct lane_options options = {.input = &input,
                                         .store = &store,
                                         .registry = &registry,
                                         .clock = &lane_clock,
                                         .handoff = handoff_new(),
                                         .metrics = &metrics,
                                         .decoder = decoder,
                                         .topics = {"", "release.builds", "release.requests"},
                                         .shards = SHARDS,
                                         .batch_records = 10,
                                         .batch_bytes = 1000000};
    lane = lane_new(&options);
    return 0;
}

/* Lanes have died on the request at `offset`, which is noted; the shard is read with care, from `position` on. */
static inline void died_on(struct lane_shard *s, uint64_t offset, unsigned deaths, uint64_t position) {
    s->cautious = 10;
    s->crash_topic = INPUT_REQUESTS;
    s->crash_position = offset;
    s->crash_count = deaths;
    s->position[INPUT_REQUESTS] = position;
}

static int tear_down(void **state) {
    (void)state;
    struct handoff *handoff = lane->options.handoff;
    lane_free(lane);
    handoff_free(handoff);
    decoder_free(decoder);
    return 0;
}

/* The publisher does at once what it is told, and gives every batch back. */
static void publisher(void) {
    if (world.publisher_sleeps) return;
    for (struct order *order = handoff_orders(lane->options.handoff, 0), *next; order; order = next) {
        static const enum report_kind answers[] = {[ORDER_TAKE] = REPORT_READY,
                                                   [ORDER_ROWS] = REPORT_FREED,
                                                   [ORDER_DRAIN] = REPORT_DRAINED,
                                                   [ORDER_FORGET] = REPORT_FORGOTTEN};
        next = order->next;
        world.orders[order->kind]++;
        struct report report = {.kind = answers[order->kind], .shard = order->shard, .batch = order->batch};
        report.epoch = lane->shards[order->shard].epoch;
        handoff_report(lane->options.handoff, &report);
        order_free(order);
    }
}

static inline bool step(void) {
    bool goes_on = lane_step(lane, 250);
    publisher();
    return goes_on;
}

static inline void own_all(void) {
    static uint32_t all[] = {0, 1};
    world.event = (struct input_event){.kind = INPUT_ASSIGNED, .shards = all, .shard_count = 2};
    for (int i = 0; i < 3; i++) assert_true(step());
    assert_int_equal(lane->shards[0].state, SHARD_OWNED);
    assert_int_equal(lane->shards[1].state, SHARD_OWNED);
}

/* A waiting promotion whose time is over, on shard 0. */
static inline struct promotion_row expired(uint64_t opened_sequence, const char *environment) {
    return (struct promotion_row){.id = {(unsigned char)opened_sequence, (unsigned char)(opened_sequence >> 8)},
                                  .project = SLICE("acme/shop"),
                                  .git_sha = SLICE("0123456789abcdef0123456789abcdef01234567"),
                                  .environment = slice_str(environment),
                                  .requester = SLICE("r"),
                                  .source = SLICE("/ci"),
                                  .event_id = SLICE("1"),
                                  .outcome = PROMOTION_WAITING,
                                  .revision = 1,
                                  .conditions = SLICE("[]"),
                                  .opened_sequence = opened_sequence,
                                  .expires_at = (instant)NOW_S * 1000000 - 1};
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
