/* The pipeline when things go wrong. Shards are owned from the start; the lane's loop does not run. */
#include "lane_world.h"

static int set_up_owned(void **state) {
    (void)set_up(state);
    for (uint32_t n = 0; n < SHARDS; n++) {
        lane->shards[n].state = SHARD_OWNED;
        lane->shards[n].assigned = true;
        lane->shards[n].position[INPUT_REQUESTS] = 10;
    }
    lane->store_now = (instant)NOW_S * 1000000;
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
    publisher();
}

/* ---- the tests ---- */

static void a_batch_moves_the_position(void **state) {
    (void)state;
    process(3);
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.rows, 3);
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
    assert_int_equal(world.commits, 0);
    assert_true(lane->reassign);
    assert_int_equal(lane->shards[0].position[INPUT_REQUESTS], 10);
}

static void records_that_come_while_a_server_is_away_are_fetched_again(void **state) {
    (void)state;
    world.commit_fails = ERROR_UNAVAILABLE;
    process(2);
    assert_true(lane_is_paused(lane));
    lane->reassign = false; /* as if the input had been told before these came */
    process(2);
    assert_true(lane->reassign);
    world.now += 60000;
    process(2); /* still of before: the input has not started again */
    assert_int_equal(world.commits, 0);
    lane->reassign = false;
    process(2);
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.first_rows[0].offset, 10);
}

static void what_the_store_refuses_is_refused_alone(void **state) {
    (void)state;
    struct record *list = records(6);
    list[2].value = SLICE("poison");
    world.refuses = "poison";
    process_records(lane, list, 3);
    publisher();
    process_records(lane, &list[3], 3);
    publisher();
    assert_string_equal(world.stopped, "");
    assert_int_equal(world.rows, 6);
    assert_true(world.commits > 2); /* it stood alone in the end */
    assert_int_equal(lane->shards[0].position[INPUT_REQUESTS], 16);
}

static void a_record_for_which_there_was_no_memory_is_read_again(void **state) {
    (void)state;
    world.starves = 1;
    process(1);
    assert_true(lane_is_paused(lane));
    assert_true(lane->reassign);
    assert_int_equal(world.commits, 0);
    world.now += 60000;
    lane->reassign = false;
    process(1);
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.first_rows[0].kind, RESULT_DEAD_LETTER);
    assert_string_equal(world.stopped, "");
}

static void a_batch_that_needs_too_much_is_cut_in_halves(void **state) {
    (void)state;
    world.overflows = 1;
    process(2);
    assert_false(lane_is_paused(lane));
    assert_int_equal(world.commits, 2);
    assert_int_equal(lane->shards[0].position[INPUT_REQUESTS], 12);
}

static void after_a_commit_of_unknown_outcome_the_shard_is_taken_anew(void **state) {
    (void)state;
    static const enum error_kind kinds[] = {ERROR_UNKNOWN, ERROR_FENCED};
    for (size_t i = 0; i < 2; i++) {
        world.commit_fails = kinds[i];
        process_records(lane, &(struct record){.shard = (uint32_t)i, .topic = INPUT_REQUESTS, .offset = 10, .value = SLICE("x")},
                        1);
        publisher();
        assert_int_equal(world.orders[ORDER_FORGET], i + 1);
        assert_int_equal(lane->shards[i].state, SHARD_FORGETTING);
        lane->reassign = false;
    }
    process(2);
    assert_int_equal(world.commits, 0); /* nothing more under the old epoch */
}

/* A newer command line has applied what this worker does not know. */
static void a_policy_that_cannot_be_read_stops_nothing(void **state) {
    (void)state;
    world.control_version = 7;
    world.policy = "version: 1\nprojects:\n- match: \"*\"\n  environments:\n    dev: {soak: {in: staging, for: 24h}}\n";
    process(2);
    assert_string_equal(world.stopped, "");
    assert_int_equal(world.commits, 0);
    assert_true(lane->reassign);
    assert_true(lane_is_paused(lane));
}

static void caution_lasts_for_a_whole_batch_of_records(void **state) {
    (void)state;
    lane->shards[0].cautious = 3;
    process(2);
    assert_int_equal(world.commits, 2);
    assert_int_equal(lane->shards[0].cautious, 1);
    process_records(lane, &records(5)[2], 3);
    assert_int_equal(world.commits, 4); /* one more alone, and then two at once */
    assert_int_equal(lane->shards[0].cautious, 0);
}

/* Another one, of the other topic, comes before it; noting that would forget the death. */
static void a_record_on_which_a_lane_died_goes_before_others(void **state) {
    (void)state;
    struct lane_shard *s = &lane->shards[0];
    struct record both[] = {{.topic = INPUT_BUILDS, .offset = 0, .value = SLICE("x")},
                            {.topic = INPUT_REQUESTS, .offset = 10, .value = SLICE("y")}};
    died_on(s, 10, 1, 8);           /* the marker of a transaction is at 9, say */
    process_records(lane, both, 1); /* it is not there yet */
    assert_int_equal(world.commits, 0);
    assert_false(lane->reassign); /* it comes when it comes: no sooner for being asked again and again */
    process_records(lane, both, 2);
    publisher();
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.first_rows[0].offset, 10);
    assert_true(lane->reassign); /* now what was skipped is fetched again */
    lane->reassign = false;
    process_records(lane, both, 2);
    publisher();
    assert_int_equal(world.commits, 2);
    assert_int_equal(world.first_rows[1].offset, 0);
    assert_false(lane->reassign);
    assert_int_equal(s->crash_topic, INPUT_BUILDS);
    assert_int_equal(s->crash_count, 0);
}

/* The store was restored: the record that was noted is no longer the next of its topic. */
static void a_noted_record_does_not_pass_those_before_it_in_its_topic(void **state) {
    (void)state;
    struct lane_shard *s = &lane->shards[0];
    struct record both[] = {{.topic = INPUT_REQUESTS, .offset = 10, .value = SLICE("x")},
                            {.topic = INPUT_REQUESTS, .offset = 11, .value = SLICE("y")}};
    died_on(s, 11, 1, 10);
    process_records(lane, both, 2);
    publisher();
    assert_int_equal(world.commits, 2);
    assert_int_equal(world.first_rows[0].offset, 10);
    assert_int_equal(world.first_rows[1].offset, 11);
}

/* Its topic goes on without it: the log has lost it, and nobody waits for ever. */
static void a_noted_record_that_is_lost_holds_nobody_up(void **state) {
    (void)state;
    struct lane_shard *s = &lane->shards[0];
    struct record next[] = {{.topic = INPUT_REQUESTS, .offset = 11, .value = SLICE("y")}};
    died_on(s, 10, 1, 10);
    lane->reassign = true; /* perhaps it was only dropped: it comes again */
    process_records(lane, next, 1);
    assert_int_equal(world.commits, 0);
    lane->reassign = false;
    process_records(lane, next, 1);
    publisher();
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.first_rows[0].offset, 11);
    assert_int_equal(s->crash_position, 11);
    assert_int_equal(s->crash_count, 0);
}

/* Its topic was made anew and is shorter: it will never come, and the other topic's records do not wait for it. */
static void a_noted_record_behind_the_end_of_its_log_holds_nobody_up(void **state) {
    (void)state;
    struct lane_shard *s = &lane->shards[0];
    struct record other[] = {{.topic = INPUT_BUILDS, .offset = 0, .value = SLICE("x")}};
    died_on(s, 10, 1, 10);
    process_records(lane, other, 1);
    world.log_end = 11; /* it is there, and on its way */
    process_skipped(lane);
    assert_false(lane->reassign);
    world.log_end = 10;
    world.brokers_fail = ERROR_UNAVAILABLE; /* nobody knows */
    process_skipped(lane);
    assert_false(lane->reassign);
    world.brokers_fail = ERROR_NONE;
    process_skipped(lane);
    assert_true(lane->reassign); /* what was skipped is fetched again */
    assert_int_equal(world.commits, 0);
    lane->reassign = false;
    process_records(lane, other, 1);
    publisher();
    assert_int_equal(world.commits, 1);
    assert_int_equal(s->crash_topic, INPUT_BUILDS);
}

static void due_promotions_of_a_cautious_shard_are_looked_at_and_end_no_caution(void **state) {
    (void)state;
    lane->shards[0].cautious = 3;
    struct promotion_row rows[] = {expired(1, "dev"), expired(2, "staging")};
    world.due = rows;
    world.due_count = 2;
    process_due(lane);
    assert_int_equal(world.commits, 2);
    assert_int_equal(world.first_rows[0].kind, RESULT_PROMOTION_EXPIRED);
    assert_int_equal(lane->shards[0].cautious, 3);
}

static void one_due_promotion_that_is_refused_stops_no_other(void **state) {
    (void)state;
    struct promotion_row rows[] = {expired(1, "dev"), expired(2, "staging"), expired(3, "prod")};
    world.due = rows;
    world.due_count = 3;
    world.refuses_opened = 1;
    process_due(lane);
    assert_int_equal(world.rows, 2);
    assert_false(lane_is_paused(lane));
    assert_string_equal(world.stopped, "");
}

/* Postgres was restored, and what it lost has no row of the ledger: promotions that waited for the new policy wait again. */
static void a_lost_control_version_is_found_by_looking(void **state) {
    (void)state;
    lane->shards[0].control_version = lane->shards[1].control_version = 7;
    shard_look(lane);
    publisher();
    assert_int_equal(world.orders[ORDER_FORGET], 0);
    world.lost_control_versions = 1;
    shard_look(lane);
    publisher();
    assert_int_equal(world.orders[ORDER_FORGET], 2);
}

static void a_partition_that_the_installation_does_not_have_ends_the_lane(void **state) {
    (void)state;
    shard_assign(lane, (const uint32_t[]){SHARDS}, 1);
    assert_true(lane->failed);
}

#define OWNED(name) cmocka_unit_test_setup_teardown(name, set_up_owned, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        OWNED(a_batch_moves_the_position),
        OWNED(a_record_that_could_not_be_noted_is_not_passed_over),
        OWNED(records_that_come_while_a_server_is_away_are_fetched_again),
        OWNED(what_the_store_refuses_is_refused_alone),
        OWNED(a_record_for_which_there_was_no_memory_is_read_again),
        OWNED(a_batch_that_needs_too_much_is_cut_in_halves),
        OWNED(after_a_commit_of_unknown_outcome_the_shard_is_taken_anew),
        OWNED(a_policy_that_cannot_be_read_stops_nothing),
        OWNED(caution_lasts_for_a_whole_batch_of_records),
        OWNED(a_record_on_which_a_lane_died_goes_before_others),
        OWNED(a_noted_record_does_not_pass_those_before_it_in_its_topic),
        OWNED(a_noted_record_that_is_lost_holds_nobody_up),
        OWNED(a_noted_record_behind_the_end_of_its_log_holds_nobody_up),
        OWNED(due_promotions_of_a_cautious_shard_are_looked_at_and_end_no_caution),
        OWNED(one_due_promotion_that_is_refused_stops_no_other),
        OWNED(a_lost_control_version_is_found_by_looking),
        OWNED(a_partition_that_the_installation_does_not_have_ends_the_lane),
    };
    return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
