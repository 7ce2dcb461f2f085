/* How shards come to a lane, are owned, and go, over a store that does what the test says. The test is the publisher, too. */
#include "lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

enum { SHARDS = 3, OWN_EPOCH = 8 };

static struct lane_metrics metrics;
static struct lane *lane;

static struct {
    uint64_t now;
    enum error_kind fails; /* the next call of the store, whichever it is */
    const char *ids[4];    /* that a takeover finds listed */
    const char *stopped;   /* why the row is stopped */
    enum input_topic crash_topic;
    unsigned crash_count;
    unsigned takes, releases, stops, looks;
    size_t dropped;         /* ids */
    struct settled settled; /* of the results topic, as released last */
    char reason[300];
    struct store_epoch row; /* what a look finds in every shard */
} world;

/* ---- the store ---- */

static int outcome(struct error *error) {
    enum error_kind kind = world.fails;
    world.fails = ERROR_NONE;
    return kind == ERROR_NONE ? 0 : error_set(error, kind, "test", "as the test says");
}

static int fake_take(struct store *store, uint32_t shard, const unsigned char owner[STORE_OWNER], const struct slice *ids,
                     size_t id_count, struct arena *arena, struct shard_row *ret_row, struct error *error) {
    (void)store, (void)owner;
    if (outcome(error)) return -1;
    *ret_row = (struct shard_row){.shard = shard,
                                  .epoch = OWN_EPOCH + world.takes++,
                                  .sequence = 40,
                                  .crash_topic = world.crash_topic,
                                  .crash_count = world.crash_count,
                                  .stopped = {world.stopped, world.stopped ? strlen(world.stopped) : 0}};
    ret_row->fence_ids = ARENA_ARRAY(arena, struct slice, 8);
    for (size_t i = 0; i < 4 && world.ids[i]; i++) ret_row->fence_ids[ret_row->fence_id_count++] = slice_str(world.ids[i]);
    for (size_t i = 0; i < id_count; i++) ret_row->fence_ids[ret_row->fence_id_count++] = ids[i];
    return 0;
}

static int fake_drop_ids(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                         const struct slice *ids, size_t count, struct error *error) {
    (void)store, (void)shard, (void)epoch, (void)owner;
    if (outcome(error)) return -1;
    for (size_t i = 0; i < count; i++) assert_true(slice_starts(ids[i], SLICE("dead-"))); /* never its own */
    world.dropped += count;
    return 0;
}

static int fake_release(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                        const struct slice *ids, size_t count, const struct settled settled[OUTPUT_TOPICS], struct error *error) {
    (void)store, (void)shard, (void)owner;
    if (outcome(error)) return -1;
    assert_int_equal(epoch, OWN_EPOCH);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) assert_true(slice_starts(ids[i], SLICE("own-"))); /* no others */
    world.settled = settled[OUTPUT_RESULTS];
    world.releases++;
    return 0;
}

static int fake_stop(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                     struct slice reason, struct error *error) {
    (void)store, (void)shard, (void)epoch, (void)owner;
    world.stops++;
    (void)snprintf(world.reason, sizeof world.reason, "%.*s", SLICE_ARG(reason));
    return outcome(error);
}

static int fake_epochs(struct store *store, struct store_epoch *shards, size_t count, struct error *error) {
    (void)store;
    world.looks++;
    if (outcome(error)) return -1;
    for (size_t i = 0; i < count; i++) {
        uint32_t shard = shards[i].shard;
        shards[i] = world.row;
        shards[i].shard = shard;
    }
    return 0;
}

static uint64_t fake_now(struct lane_clock *clock) { return (void)clock, world.now; }

static const struct store_operations operations = {
    .take = fake_take, .drop_ids = fake_drop_ids, .release = fake_release, .stop = fake_stop, .epochs = fake_epochs};
static struct store store = {&operations};
static struct lane_clock lane_clock = {fake_now};

static int set_up(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    memset(&metrics, 0, sizeof metrics);
    world.now = 1000;
    const struct lane_options options = {.store = &store,
                                         .clock = &lane_clock,
                                         .handoff = handoff_new(),
                                         .metrics = &metrics,
                                         .owner = {1},
                                         .ids = {SLICE("own-0"), SLICE("own-1")},
                                         .shards = SHARDS,
                                         .batch_records = 5};
    lane = lane_new(&options);
    world.row = (struct store_epoch){.ret_epoch = OWN_EPOCH, .ret_owner = {1}, .ret_sequence = 40};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    struct handoff *handoff = lane->options.handoff;
    lane_free(lane);
    handoff_free(handoff);
    return 0;
}

/* ---- what the test does ---- */

static size_t orders(enum order_kind kind) {
    size_t count = 0;
    for (struct order *order = handoff_orders(lane->options.handoff, 0), *next; order; order = next) {
        next = order->next;
        count += order->kind == kind;
        order_free(order);
    }
    return count;
}

static struct report *report_of(enum report_kind kind, uint32_t shard) {
    struct report *report = calloc(1, sizeof *report);
    *report = (struct report){.kind = kind, .shard = shard, .epoch = lane->shards[shard].epoch};
    return report;
}

static void say(enum report_kind kind, uint32_t shard) { lane_report(lane, report_of(kind, shard)); }

static enum shard_state state_of(uint32_t shard) { return lane->shards[shard].state; }

static void assign(uint32_t shard) { shard_assign(lane, &shard, 1); }

static void later(uint64_t ms) {
    world.now += ms;
    shard_tend(lane);
}

static void own(uint32_t shard) {
    assign(shard);
    shard_tend(lane);
    assert_int_equal(orders(ORDER_TAKE), 1);
    say(REPORT_READY, shard);
    assert_int_equal(state_of(shard), SHARD_OWNED);
}

/* ---- coming ---- */

static void others_ids_are_dropped_only_when_the_publisher_is_ready(void **state) {
    (void)state;
    world.ids[0] = "dead-0";
    world.ids[1] = "dead-1";
    assign(1);
    assert_int_equal(state_of(1), SHARD_WANTED);
    assert_true(shard_any_in_motion(lane));
    shard_tend(lane);
    assert_int_equal(state_of(1), SHARD_TAKEN);
    assert_int_equal(orders(ORDER_TAKE), 1);
    assert_int_equal(world.dropped, 0);
    lane->reassign = false;
    say(REPORT_READY, 1);
    assert_int_equal(state_of(1), SHARD_OWNED);
    assert_int_equal(world.dropped, 2);
    assert_true(lane->reassign);
    assert_false(shard_any_in_motion(lane));
    assert_int_equal(metrics_get(&metrics, METRIC_SHARDS_OWNED), 1);
    say(REPORT_READY, 1); /* after a recovery: nothing is dropped twice */
    assert_int_equal(world.dropped, 2);
}

static void a_shard_whose_ids_cannot_be_dropped_is_taken_again(void **state) {
    (void)state;
    world.ids[0] = "dead-0";
    assign(1);
    shard_tend(lane);
    world.fails = ERROR_FENCED;
    say(REPORT_READY, 1);
    assert_int_equal(state_of(1), SHARD_FORGETTING);
    assert_int_equal(orders(ORDER_FORGET), 1);
    say(REPORT_FORGOTTEN, 1);
    assert_int_equal(state_of(1), SHARD_WANTED);
    shard_tend(lane);
    assert_int_equal(state_of(1), SHARD_WANTED); /* not at once */
    later(1000);
    assert_int_equal(state_of(1), SHARD_TAKEN);
}

static void a_takeover_that_fails_is_tried_again_after_a_pause(void **state) {
    (void)state;
    assign(0);
    world.fails = ERROR_UNAVAILABLE;
    shard_tend(lane);
    assert_int_equal(state_of(0), SHARD_WANTED);
    assert_true(lane_is_paused(lane));
    shard_tend(lane);
    assert_int_equal(world.takes, 0);
    later(10000);
    assert_int_equal(state_of(0), SHARD_TAKEN);
}

static void where_lanes_died_records_go_one_at_a_time(void **state) {
    (void)state;
    world.crash_topic = INPUT_BUILDS;
    own(0);
    assert_int_equal(lane->shards[0].cautious, 5);
    world.crash_topic = INPUT_NONE;
    world.crash_count = 2;
    own(1);
    assert_int_equal(lane->shards[1].cautious, 0);
    world.crash_count = 3;
    own(2);
    assert_int_equal(lane->shards[2].cautious, 5);
}

static void a_stopped_shard_is_not_given_to_the_publisher_and_comes_back_when_resumed(void **state) {
    (void)state;
    world.stopped = "records were lost";
    assign(0);
    shard_tend(lane);
    assert_int_equal(state_of(0), SHARD_STOPPED);
    assert_int_equal(orders(ORDER_TAKE), 0);
    assert_int_equal(metrics_get(&metrics, METRIC_SHARDS_STOPPED), 1);
    world.row.ret_stopped = true;
    shard_look(lane);
    assert_int_equal(state_of(0), SHARD_STOPPED);
    world.row.ret_stopped = false;
    world.stopped = NULL;
    shard_look(lane);
    assert_int_equal(state_of(0), SHARD_WANTED);
    assert_int_equal(metrics_get(&metrics, METRIC_SHARDS_STOPPED), 0);
    later(10000);
    assert_int_equal(state_of(0), SHARD_TAKEN);
}

static void a_very_long_reason_is_cut(void **state) {
    (void)state;
    char reason[1000];
    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    world.stopped = reason;
    assign(0);
    shard_tend(lane);
    assert_int_equal(state_of(0), SHARD_STOPPED);
}

/* ---- going ---- */

static void a_shard_that_is_given_back_is_published_released_and_away(void **state) {
    (void)state;
    own(0);
    shard_revoke_all(lane);
    assert_int_equal(state_of(0), SHARD_DRAINING);
    assert_int_equal(orders(ORDER_DRAIN), 1);
    assert_false(shard_all_away(lane));
    struct report *report = report_of(REPORT_DRAINED, 0);
    report->settled[OUTPUT_RESULTS].sequence = 40;
    lane_report(lane, report);
    assert_int_equal(world.releases, 1);
    assert_int_equal(world.settled.sequence, 40);
    assert_int_equal(state_of(0), SHARD_AWAY);
    assert_true(shard_all_away(lane));
    assert_int_equal(metrics_get(&metrics, METRIC_SHARDS_OWNED), 0);
}

static void what_is_not_published_in_time_is_let_go_unreleased(void **state) {
    (void)state;
    own(0);
    shard_revoke_all(lane);
    later(4999);
    assert_int_equal(state_of(0), SHARD_DRAINING);
    later(1);
    assert_int_equal(state_of(0), SHARD_FORGETTING);
    assert_int_equal(orders(ORDER_FORGET), 1);
    say(REPORT_DRAINED, 0); /* too late */
    assert_int_equal(world.releases, 0);
    say(REPORT_FORGOTTEN, 0);
    assert_int_equal(state_of(0), SHARD_AWAY);
}

static void a_release_that_fails_holds_nobody_up(void **state) {
    (void)state;
    own(0);
    shard_revoke_all(lane);
    world.fails = ERROR_UNKNOWN;
    say(REPORT_DRAINED, 0);
    assert_int_equal(world.releases, 0);
    assert_int_equal(state_of(0), SHARD_AWAY);
    assert_true(lane_is_paused(lane));
    world.now += 10000;
    own(1);
    lane->pause_until = world.now + 1000; /* the store is away: nothing is tried */
    shard_revoke_all(lane);
    say(REPORT_DRAINED, 1);
    assert_int_equal(world.releases, 0);
    assert_int_equal(state_of(1), SHARD_AWAY);
}

static void a_shard_that_comes_back_while_it_goes_is_taken_anew(void **state) {
    (void)state;
    own(0);
    shard_revoke_all(lane);
    assign(0);
    say(REPORT_DRAINED, 0);
    assert_int_equal(state_of(0), SHARD_WANTED);
    shard_tend(lane);
    assert_int_equal(state_of(0), SHARD_TAKEN);
    assert_int_equal(lane->shards[0].epoch, OWN_EPOCH + 1);
}

static void what_was_not_owned_yet_is_given_back_at_once(void **state) {
    (void)state;
    assign(0);
    shard_tend(lane);
    world.stopped = "lost";
    assign(1);
    shard_tend(lane);
    assign(2);
    (void)orders(ORDER_TAKE);
    shard_revoke_all(lane);
    assert_int_equal(state_of(0), SHARD_FORGETTING);
    assert_int_equal(state_of(1), SHARD_AWAY);
    assert_int_equal(state_of(2), SHARD_AWAY);
    assert_int_equal(orders(ORDER_FORGET), 1);
    say(REPORT_READY, 0); /* the publisher had not heard of it */
    assert_int_equal(state_of(0), SHARD_FORGETTING);
    say(REPORT_FORGOTTEN, 0);
    assert_true(shard_all_away(lane));
}

static void only_what_the_publisher_has_is_forgotten(void **state) {
    (void)state;
    shard_retake(lane, 0, 0, "test");
    assert_int_equal(state_of(0), SHARD_AWAY);
    assert_int_equal(orders(ORDER_FORGET), 0);
    assign(0);
    shard_tend(lane);
    shard_retake(lane, 0, 100000, "test");
    assert_int_equal(state_of(0), SHARD_FORGETTING);
    say(REPORT_FORGOTTEN, 0);
    (void)orders(ORDER_TAKE);
    own(1);
    shard_revoke_all(lane);
    (void)orders(ORDER_DRAIN);
    shard_retake(lane, 1, 0, "test");
    assert_int_equal(state_of(1), SHARD_FORGETTING);
    assert_int_equal(orders(ORDER_FORGET), 1);
}

static void a_shard_can_be_stopped_wherever_it_stands(void **state) {
    (void)state;
    assign(0);
    shard_tend(lane);
    (void)orders(ORDER_TAKE);
    say(REPORT_STOPPED, 0);
    assert_int_equal(state_of(0), SHARD_STOPPED);
    own(1);
    shard_revoke_all(lane);
    (void)orders(ORDER_DRAIN);
    say(REPORT_STOPPED, 1); /* the group does not wait for it */
    assert_int_equal(state_of(1), SHARD_AWAY);
    assert_true(shard_all_away(lane));
    assert_int_equal(orders(ORDER_FORGET), 1);
    assert_int_equal(world.stops, 2);
}

/* ---- what the publisher reports ---- */

static void reports_of_an_epoch_that_is_over_say_nothing(void **state) {
    (void)state;
    static const enum report_kind kinds[] = {REPORT_LOST, REPORT_STOPPED, REPORT_DRAINED, REPORT_PUBLISHED, REPORT_READY};
    own(0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct report *report = report_of(kinds[i], 0);
        report->epoch--;
        report->settled[OUTPUT_RESULTS].sequence = 39;
        lane_report(lane, report);
        assert_int_equal(state_of(0), SHARD_OWNED);
        assert_int_equal(lane->shards[0].settled[OUTPUT_RESULTS].sequence, 0);
    }
    say(REPORT_FORGOTTEN, 0); /* nobody has asked for that */
    assert_int_equal(state_of(0), SHARD_OWNED);
}

static void a_lost_shard_is_taken_back_after_a_while(void **state) {
    (void)state;
    own(0);
    say(REPORT_LOST, 0);
    assert_int_equal(state_of(0), SHARD_WANTED);
    shard_tend(lane);
    assert_int_equal(state_of(0), SHARD_WANTED);
    later(1100);
    assert_int_equal(state_of(0), SHARD_TAKEN);
    say(REPORT_LOST, 0);
    say(REPORT_LOST, 0); /* WANTED already */
    assert_int_equal(state_of(0), SHARD_WANTED);
}

static void a_shard_that_the_publisher_stops_is_stopped_in_the_store(void **state) {
    (void)state;
    own(0);
    struct report *report = report_of(REPORT_STOPPED, 0);
    (void)snprintf(report->reason, sizeof report->reason, "a tail is ahead");
    world.fails = ERROR_UNAVAILABLE; /* the next owner finds the same */
    lane_report(lane, report);
    assert_int_equal(world.stops, 1);
    assert_string_equal(world.reason, "a tail is ahead");
    assert_int_equal(state_of(0), SHARD_STOPPED);
    assert_int_equal(orders(ORDER_FORGET), 1);
    say(REPORT_STOPPED, 0); /* once is enough */
    assert_int_equal(world.stops, 1);
    shard_stop(lane, 0, "again");
    assert_int_equal(state_of(0), SHARD_STOPPED);
    assert_int_equal(orders(ORDER_FORGET), 0);
}

static void published_rows_move_settled_while_the_shard_is_published(void **state) {
    (void)state;
    own(0);
    struct report *report = report_of(REPORT_PUBLISHED, 0);
    report->settled[OUTPUT_RESULTS].sequence = 41;
    report->count = 3;
    lane_report(lane, report);
    assert_int_equal(lane->shards[0].settled[OUTPUT_RESULTS].sequence, 41);
    assert_int_equal(metrics_get(&metrics, METRIC_RESULTS_PUBLISHED), 3);
    shard_retake(lane, 0, 0, "test");
    report = report_of(REPORT_PUBLISHED, 0);
    report->settled[OUTPUT_RESULTS].sequence = 42;
    lane_report(lane, report);
    assert_int_equal(lane->shards[0].settled[OUTPUT_RESULTS].sequence, 41);
    say(REPORT_UNSTABLE, 0);
    assert_int_equal(state_of(0), SHARD_FORGETTING);
}

static void a_publisher_that_cannot_go_on_ends_the_lane(void **state) {
    (void)state;
    lane_report(lane, report_of(REPORT_BROKEN, 0));
    assert_int_equal(metrics_get(&metrics, METRIC_RECOVERIES), 1);
    assert_false(lane->failed);
    lane_report(lane, report_of(REPORT_FAILED, 0));
    assert_true(lane->failed);
}

/* ---- from time to time ---- */

static void a_look_finds_what_another_lane_has_taken(void **state) {
    (void)state;
    shard_look(lane);
    assert_int_equal(world.looks, 0); /* nothing to look at */
    own(0);
    shard_look(lane);
    assert_int_equal(state_of(0), SHARD_OWNED);
    world.row.ret_epoch++;
    shard_look(lane);
    assert_int_equal(state_of(0), SHARD_FORGETTING);
    say(REPORT_FORGOTTEN, 0);
    later(2000);
    world.row.ret_epoch = lane->shards[0].epoch;
    world.row.ret_owner[0] = 2; /* the same number by chance */
    shard_look(lane);
    assert_int_equal(state_of(0), SHARD_FORGETTING);
}

/* Postgres was restored to an older state: epoch and owner may be the same. */
static void a_look_finds_that_the_ledger_is_another(void **state) {
    (void)state;
    own(0);
    world.row.ret_sequence = 39;
    shard_look(lane);
    assert_int_equal(state_of(0), SHARD_FORGETTING);
    world.row.ret_sequence = 40;
    world.row.ret_epoch++;
    own(1);
    world.row.ret_head.bytes[5] = 1;
    shard_look(lane);
    assert_int_equal(state_of(1), SHARD_FORGETTING);
}

/* A restoration may have lost nothing but a commit without rows. */
static void a_look_finds_that_a_position_or_what_was_settled_is_lost(void **state) {
    (void)state;
    own(0);
    own(1);
    lane->shards[1].settled_stored[OUTPUT_RESULTS] = 40;
    shard_look(lane);
    assert_int_equal(state_of(1), SHARD_FORGETTING);
    lane->shards[0].position[INPUT_BUILDS] = 3; /* not written yet */
    shard_look(lane);
    assert_int_equal(state_of(0), SHARD_OWNED);
    lane->shards[0].position_stored[INPUT_BUILDS] = 3;
    shard_look(lane);
    assert_int_equal(state_of(0), SHARD_FORGETTING);
}

static void a_look_that_fails_changes_nothing(void **state) {
    (void)state;
    own(0);
    world.row.ret_epoch++;
    world.fails = ERROR_UNAVAILABLE;
    shard_look(lane);
    assert_int_equal(state_of(0), SHARD_OWNED);
    assert_true(lane_is_paused(lane));
}

/* Behind the last record there may be what ends a transaction. */
static void the_end_of_a_log_is_a_position(void **state) {
    (void)state;
    own(0);
    lane->reassign = false;
    uint64_t first = lane->shards[0].position[INPUT_BUILDS];
    const struct input_end ends[] = {{0, INPUT_BUILDS, first + 3}, {0, INPUT_REQUESTS, 0}, {1, INPUT_BUILDS, first + 5}};
    shard_pass(lane, ends, 3);
    assert_int_equal(lane->shards[0].position[INPUT_BUILDS], first + 3);
    assert_int_equal(lane->shards[1].position[INPUT_BUILDS], 0);          /* not owned */
    shard_pass(lane, &(struct input_end){0, INPUT_BUILDS, first + 1}, 1); /* never back */
    assert_int_equal(lane->shards[0].position[INPUT_BUILDS], first + 3);
}

static void an_end_says_nothing_while_records_before_it_are_to_be_fetched_again(void **state) {
    (void)state;
    own(0);
    uint64_t first = lane->shards[0].position[INPUT_BUILDS];
    const struct input_end end = {0, INPUT_BUILDS, first + 3};
    lane->reassign = true;
    shard_pass(lane, &end, 1);
    lane->reassign = false;
    lane->shards[0].skipped = true;
    shard_pass(lane, &end, 1);
    assert_int_equal(lane->shards[0].position[INPUT_BUILDS], first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(others_ids_are_dropped_only_when_the_publisher_is_ready),
        TEST(a_shard_whose_ids_cannot_be_dropped_is_taken_again),
        TEST(a_takeover_that_fails_is_tried_again_after_a_pause),
        TEST(where_lanes_died_records_go_one_at_a_time),
        TEST(a_stopped_shard_is_not_given_to_the_publisher_and_comes_back_when_resumed),
        TEST(a_very_long_reason_is_cut),
        TEST(a_shard_that_is_given_back_is_published_released_and_away),
        TEST(what_is_not_published_in_time_is_let_go_unreleased),
        TEST(a_release_that_fails_holds_nobody_up),
        TEST(a_shard_that_comes_back_while_it_goes_is_taken_anew),
        TEST(what_was_not_owned_yet_is_given_back_at_once),
        TEST(only_what_the_publisher_has_is_forgotten),
        TEST(a_shard_can_be_stopped_wherever_it_stands),
        TEST(reports_of_an_epoch_that_is_over_say_nothing),
        TEST(a_lost_shard_is_taken_back_after_a_while),
        TEST(a_shard_that_the_publisher_stops_is_stopped_in_the_store),
        TEST(published_rows_move_settled_while_the_shard_is_published),
        TEST(a_publisher_that_cannot_go_on_ends_the_lane),
        TEST(a_look_finds_what_another_lane_has_taken),
        TEST(a_look_finds_that_the_ledger_is_another),
        TEST(a_look_finds_that_a_position_or_what_was_settled_is_lost),
        TEST(a_look_that_fails_changes_nothing),
        TEST(the_end_of_a_log_is_a_position),
        TEST(an_end_says_nothing_while_records_before_it_are_to_be_fetched_again),
    };
    return cmocka_run_group_tests_name("shard", tests, NULL, NULL);
}
