/* The pipeline when things go wrong, over a store and an input that do what the test says. Shards are owned from the start; the
 * test plays the publisher. */
#include "decode.h"
#include "lane.h"
#include "memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

enum { SHARDS = 2, COMMITS = 64 };

static struct lane_metrics metrics;
static struct decoder *decoder;
static struct lane *lane;

static struct {
    uint64_t now;
    enum error_kind next[8]; /* how the next commits end, ERROR_NONE at the end */
    size_t next_at;
    enum error_kind suspect_fails; /* once */
    uint64_t suspect_takes;        /* ms */
    uint64_t poison;               /* the store refuses every batch with the record of this offset, and the due row so named */
    unsigned starves, overflows;   /* so many loads fail: the system has no memory, or they need more than a batch may have */
    uint64_t control_version;
    const char *policy;
    struct promotion_row due[3];
    size_t due_count;
    struct { /* what was committed */
        size_t rows;
        uint64_t position[INPUT_TOPICS + 1];
        enum result_kind kind;
        uint64_t offset;
    } commits[COMMITS];
    size_t commit_count;
    unsigned stops, assigns;
    uint64_t epochs_control_version;
    struct input_position assigned;
} world;

/* ---- the ports ---- */

static int end_as(enum error_kind kind, struct error *error) {
    return kind == ERROR_NONE ? 0 : error_set(error, kind, "test", "as the test says");
}

static int fake_suspect(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                        enum input_topic topic, uint64_t offset, struct error *error) {
    (void)store, (void)shard, (void)epoch, (void)owner, (void)topic, (void)offset;
    enum error_kind kind = world.suspect_fails;
    world.suspect_fails = ERROR_NONE;
    if (kind == ERROR_NONE) world.now += world.suspect_takes;
    return end_as(kind, error);
}

static int fake_epochs(struct store *store, struct store_epoch *shards, size_t count, struct error *error) {
    (void)store, (void)error;
    for (size_t i = 0; i < count; i++) {
        const struct lane_shard *s = &lane->shards[shards[i].shard];
        shards[i] = (struct store_epoch){.shard = shards[i].shard,
                                         .ret_epoch = s->epoch,
                                         .ret_sequence = s->sequence,
                                         .ret_head = s->head,
                                         .ret_control_version = world.epochs_control_version};
        memcpy(shards[i].ret_owner, lane->options.owner, STORE_OWNER);
    }
    return 0;
}

static int fake_load(struct store *store, struct arena *arena, struct store_facts *facts, struct error *error) {
    (void)store, (void)arena;
    if (world.starves) memory_refused();
    if (world.starves ? world.starves-- : world.overflows ? world.overflows-- : 0) return error_memory(error);
    facts->ret_now = 1772359200000000;
    facts->ret_control_version = world.control_version;
    return 0;
}

static int fake_control(struct store *store, struct arena *arena, struct store_control *control, struct error *error) {
    (void)store, (void)error;
    *control = (struct store_control){.version = world.control_version, .policy = arena_copy(arena, slice_str(world.policy))};
    return 0;
}

static bool is_poisoned(const struct commit *commit) {
    for (size_t i = 0; i < commit->row_count; i++)
        if (commit->rows[i].offset == world.poison && commit->rows[i].decision.n &&
            !strstr(commit->rows[i].decision.p, "could not be committed"))
            return true;
    for (size_t i = 0; i < commit->changed_count; i++)
        if (commit->changed[i].opened_sequence == world.poison) return true;
    return false;
}

static int fake_commit(struct store *store, const struct commit *commit, struct error *error) {
    (void)store;
    if (world.poison && is_poisoned(commit)) return end_as(ERROR_INPUT, error);
    enum error_kind kind = world.next_at < 8 ? world.next[world.next_at++] : ERROR_NONE;
    if (kind != ERROR_NONE) return end_as(kind, error);
    assert_true(world.commit_count < COMMITS);
    world.commits[world.commit_count].rows = commit->row_count;
    memcpy(world.commits[world.commit_count].position, commit->shards[0].new_position, sizeof commit->shards[0].new_position);
    if (commit->row_count) {
        world.commits[world.commit_count].kind = commit->rows[0].kind;
        world.commits[world.commit_count].offset = commit->rows[0].offset;
    }
    world.commit_count++;
    return 0;
}

static int fake_due(struct store *store, struct arena *arena, const uint32_t *shards, size_t count, instant until, size_t limit,
                    struct promotion_row **ret_rows, size_t *ret_count, struct error *error) {
    (void)store, (void)arena, (void)shards, (void)count, (void)until, (void)limit, (void)error;
    *ret_rows = world.due;
    *ret_count = world.due_count;
    return 0;
}

static int fake_stop(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                     struct slice reason, struct error *error) {
    (void)store, (void)shard, (void)epoch, (void)owner, (void)reason, (void)error;
    world.stops++;
    return 0;
}

static uint64_t fake_now(struct lane_clock *clock) { return (void)clock, world.now; }

static const struct store_operations store_operations = {.suspect = fake_suspect,
                                                         .epochs = fake_epochs,
                                                         .load = fake_load,
                                                         .control = fake_control,
                                                         .commit = fake_commit,
                                                         .due = fake_due,
                                                         .stop = fake_stop};
static struct store store = {&store_operations};
static struct lane_clock lane_clock = {fake_now};

static int set_up(void **state) {
    (void)state;
    struct error error;
    memset(&world, 0, sizeof world);
    world.now = 1000;
    decoder = decoder_new(&error);
    const struct lane_options options = {.store = &store,
                                         .clock = &lane_clock,
                                         .handoff = handoff_new(),
                                         .metrics = &metrics,
                                         .decoder = decoder,
                                         .topics = {"", "release.builds", "release.requests"},
                                         .shards = SHARDS,
                                         .batch_records = 3,
                                         .batch_bytes = 4000000};
    lane = lane_new(&options);
    for (uint32_t n = 0; n < SHARDS; n++) {
        lane->shards[n].state = SHARD_OWNED;
        lane->shards[n].assigned = true;
        lane->shards[n].position[INPUT_REQUESTS] = 10;
    }
    lane->store_now = 1772359200000000;
    return 0;
}

/* The publisher gives every batch back. */
static size_t take_orders(enum order_kind kind) {
    size_t count = 0;
    for (struct order *order = handoff_orders(lane->options.handoff, 0), *next; order; order = next) {
        next = order->next;
        count += order->kind == kind;
        if (order->kind == ORDER_ROWS)
            handoff_report(lane->options.handoff, &(struct report){.kind = REPORT_FREED, .batch = order->batch});
        order_free(order);
    }
    for (struct report *report = handoff_reports(lane->options.handoff, 0), *next; report; report = next) {
        next = report->next;
        lane_report(lane, report);
    }
    return count;
}

static int tear_down(void **state) {
    (void)state;
    take_orders(ORDER_ROWS);
    struct handoff *handoff = lane->options.handoff;
    lane_free(lane);
    handoff_free(handoff);
    decoder_free(decoder);
    return 0;
}

/* Records that are no events: each gets a dead letter. */
static struct record *records(size_t count) {
    static struct record list[16];
    for (size_t i = 0; i < count; i++)
        list[i] = (struct record){.shard = 0, .topic = INPUT_REQUESTS, .offset = 10 + i, .value = SLICE("junk")};
    return list;
}

static void process(size_t count) {
    process_records(lane, records(count), count);
    take_orders(ORDER_ROWS);
}

/* ---- the tests ---- */

static void a_batch_moves_the_position(void **state) {
    (void)state;
    process(3);
    assert_int_equal(world.commit_count, 1);
    assert_int_equal(world.commits[0].rows, 3);
    assert_int_equal(lane->shards[0].position[INPUT_REQUESTS], 13);
    assert_int_equal(lane->shards[0].sequence, 3);
}

/* The noting of record 10 fails, that of 11 takes longer than the pause: 11 must not be committed over it. */
static void a_record_that_could_not_be_noted_is_not_passed_over(void **state) {
    (void)state;
    lane->shards[0].cautious = 3;
    world.suspect_fails = ERROR_UNAVAILABLE;
    world.suspect_takes = 10000;
    process(2);
    assert_int_equal(world.commit_count, 0);
    assert_true(lane->reassign);
    assert_int_equal(lane->shards[0].position[INPUT_REQUESTS], 10);
}

static void records_that_come_while_a_server_is_away_are_fetched_again(void **state) {
    (void)state;
    world.next[0] = ERROR_UNAVAILABLE;
    process(2);
    assert_true(lane_is_paused(lane));
    lane->reassign = false; /* as if the input had been told before these came */
    process(2);
    assert_true(lane->reassign);
    world.now += 60000;
    process(2); /* still of before: the input has not started again */
    assert_int_equal(world.commit_count, 0);
    lane->reassign = false;
    process(2);
    assert_int_equal(world.commit_count, 1);
    assert_int_equal(world.commits[0].offset, 10);
}

static void what_the_store_refuses_is_refused_alone(void **state) {
    (void)state;
    world.poison = 12;
    process(3);
    process_records(lane, &records(6)[3], 3);
    take_orders(ORDER_ROWS);
    size_t rows = 0;
    for (size_t i = 0; i < world.commit_count; i++) rows += world.commits[i].rows;
    assert_int_equal(world.stops, 0);
    assert_int_equal(rows, 6);
    assert_true(world.commit_count > 2); /* it stood alone in the end */
    assert_int_equal(lane->shards[0].position[INPUT_REQUESTS], 16);
}

static void a_record_for_which_there_was_no_memory_is_read_again(void **state) {
    (void)state;
    world.starves = 1;
    process(1);
    assert_true(lane_is_paused(lane));
    assert_true(lane->reassign);
    assert_int_equal(world.commit_count, 0);
    world.now += 60000;
    lane->reassign = false;
    process(1);
    assert_int_equal(world.commit_count, 1);
    assert_int_equal(world.commits[0].kind, RESULT_DEAD_LETTER);
    assert_int_equal(world.stops, 0);
}

static void a_batch_that_needs_too_much_is_cut_in_halves(void **state) {
    (void)state;
    world.overflows = 1;
    process(2);
    assert_false(lane_is_paused(lane));
    assert_int_equal(world.commit_count, 2);
    assert_int_equal(lane->shards[0].position[INPUT_REQUESTS], 12);
}

static void after_a_commit_of_unknown_outcome_the_shard_is_taken_anew(void **state) {
    (void)state;
    static const enum error_kind kinds[] = {ERROR_UNKNOWN, ERROR_FENCED};
    for (size_t i = 0; i < 2; i++) {
        world.next[0] = kinds[i];
        world.next_at = 0;
        process_records(lane, &(struct record){.shard = (uint32_t)i, .topic = INPUT_REQUESTS, .offset = 10, .value = SLICE("x")},
                        1);
        assert_int_equal(take_orders(ORDER_FORGET), 1);
        assert_int_equal(lane->shards[i].state, SHARD_FORGETTING);
        lane->reassign = false;
    }
    process(2);
    assert_int_equal(world.commit_count, 0); /* nothing more under the old epoch */
}

/* A newer command line has applied what this worker does not know. */
static void a_policy_that_cannot_be_read_stops_nothing(void **state) {
    (void)state;
    world.control_version = 7;
    world.policy = "version: 1\nprojects:\n- match: \"*\"\n  environments:\n    dev: {soak: {in: staging, for: 24h}}\n";
    process(2);
    assert_int_equal(world.stops, 0);
    assert_int_equal(world.commit_count, 0);
    assert_true(lane->reassign);
    assert_true(lane_is_paused(lane));
}

static void caution_lasts_for_a_whole_batch_of_records(void **state) {
    (void)state;
    lane->shards[0].cautious = 3;
    process(2);
    assert_int_equal(world.commit_count, 2);
    assert_int_equal(lane->shards[0].cautious, 1);
    process_records(lane, &records(5)[2], 3);
    assert_int_equal(world.commit_count, 4); /* one more alone, and then two at once */
    assert_int_equal(lane->shards[0].cautious, 0);
}

/* Another one, of the other topic, comes before it; noting that would forget the death. */
static void a_record_on_which_a_lane_died_goes_before_others(void **state) {
    (void)state;
    struct lane_shard *s = &lane->shards[0];
    struct record both[] = {{.topic = INPUT_BUILDS, .offset = 0, .value = SLICE("x")},
                            {.topic = INPUT_REQUESTS, .offset = 10, .value = SLICE("y")}};
    s->cautious = 3;
    s->crash_topic = INPUT_REQUESTS;
    s->crash_position = 10;
    s->crash_count = 1;
    s->position[INPUT_REQUESTS] = 8; /* the marker of a transaction is at 9, say */
    process_records(lane, both, 1);  /* it is not there yet */
    assert_int_equal(world.commit_count, 0);
    assert_false(lane->reassign); /* it comes when it comes: no sooner for being asked again and again */
    process_records(lane, both, 2);
    take_orders(ORDER_ROWS);
    assert_int_equal(world.commit_count, 1);
    assert_int_equal(world.commits[0].offset, 10);
    assert_true(lane->reassign); /* now what was skipped is fetched again */
    lane->reassign = false;
    process_records(lane, both, 2);
    take_orders(ORDER_ROWS);
    assert_int_equal(world.commit_count, 2);
    assert_int_equal(world.commits[1].offset, 0);
    assert_false(lane->reassign);
    assert_int_equal(s->crash_topic, INPUT_BUILDS);
    assert_int_equal(s->crash_count, 0);
}

/* Its topic goes on without it: the log has lost it, and nobody waits for ever. */
static void a_noted_record_that_is_lost_holds_nobody_up(void **state) {
    (void)state;
    struct lane_shard *s = &lane->shards[0];
    struct record next[] = {{.topic = INPUT_REQUESTS, .offset = 11, .value = SLICE("y")}};
    s->cautious = 3;
    s->crash_topic = INPUT_REQUESTS;
    s->crash_position = 10;
    s->crash_count = 1;
    s->position[INPUT_REQUESTS] = 10;
    lane->reassign = true; /* perhaps it was only dropped: it comes again */
    process_records(lane, next, 1);
    assert_int_equal(world.commit_count, 0);
    lane->reassign = false;
    process_records(lane, next, 1);
    take_orders(ORDER_ROWS);
    assert_int_equal(world.commit_count, 1);
    assert_int_equal(world.commits[0].offset, 11);
    assert_int_equal(s->crash_position, 11);
    assert_int_equal(s->crash_count, 0);
}

static struct promotion_row waiting(uint64_t opened_sequence) {
    return (struct promotion_row){.id = {(unsigned char)opened_sequence},
                                  .project = SLICE("acme/shop"),
                                  .git_sha = SLICE("0123456789abcdef0123456789abcdef01234567"),
                                  .environment = SLICE("dev"),
                                  .requester = SLICE("r"),
                                  .source = SLICE("/ci"),
                                  .event_id = SLICE("1"),
                                  .outcome = PROMOTION_WAITING,
                                  .revision = 1,
                                  .conditions = SLICE("[]"),
                                  .opened_sequence = opened_sequence,
                                  .expires_at = 1772359100000000};
}

static void due_promotions_of_a_cautious_shard_are_looked_at_and_end_no_caution(void **state) {
    (void)state;
    lane->shards[0].cautious = 3;
    world.due[0] = waiting(1);
    world.due[1] = waiting(2);
    world.due[1].environment = SLICE("staging");
    world.due_count = 2;
    process_due(lane);
    assert_int_equal(world.commit_count, 2);
    assert_int_equal(world.commits[0].kind, RESULT_PROMOTION_EXPIRED);
    assert_int_equal(lane->shards[0].cautious, 3);
}

static void one_due_promotion_that_is_refused_stops_no_other(void **state) {
    (void)state;
    static const char *const environments[] = {"dev", "staging", "prod"};
    for (size_t i = 0; i < 3; i++) {
        world.due[i] = waiting(i + 1);
        world.due[i].environment = slice_str(environments[i]);
    }
    world.due_count = 3;
    world.poison = 1;
    process_due(lane);
    size_t rows = 0;
    for (size_t i = 0; i < world.commit_count; i++) rows += world.commits[i].rows;
    assert_int_equal(rows, 2);
    assert_false(lane_is_paused(lane));
    assert_int_equal(world.stops, 0);
}

/* Postgres was restored, and what it lost has no row of the ledger: promotions that waited for the new policy wait again. */
static void a_lost_control_version_is_found_by_looking(void **state) {
    (void)state;
    lane->shards[0].control_version = lane->shards[1].control_version = 7;
    world.epochs_control_version = 7;
    shard_look(lane);
    assert_int_equal(take_orders(ORDER_FORGET), 0);
    world.epochs_control_version = 6;
    shard_look(lane);
    assert_int_equal(take_orders(ORDER_FORGET), 2);
}

static void a_partition_that_the_installation_does_not_have_ends_the_lane(void **state) {
    (void)state;
    shard_assign(lane, (const uint32_t[]){SHARDS}, 1);
    assert_true(lane->failed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_batch_moves_the_position),
        TEST(a_record_that_could_not_be_noted_is_not_passed_over),
        TEST(records_that_come_while_a_server_is_away_are_fetched_again),
        TEST(what_the_store_refuses_is_refused_alone),
        TEST(a_record_for_which_there_was_no_memory_is_read_again),
        TEST(a_batch_that_needs_too_much_is_cut_in_halves),
        TEST(after_a_commit_of_unknown_outcome_the_shard_is_taken_anew),
        TEST(a_policy_that_cannot_be_read_stops_nothing),
        TEST(caution_lasts_for_a_whole_batch_of_records),
        TEST(a_record_on_which_a_lane_died_goes_before_others),
        TEST(a_noted_record_that_is_lost_holds_nobody_up),
        TEST(due_promotions_of_a_cautious_shard_are_looked_at_and_end_no_caution),
        TEST(one_due_promotion_that_is_refused_stops_no_other),
        TEST(a_lost_control_version_is_found_by_looking),
        TEST(a_partition_that_the_installation_does_not_have_ends_the_lane),
    };
    return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
