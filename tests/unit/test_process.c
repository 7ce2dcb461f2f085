/* One batch through the stages when something is unusual: nothing that is dropped is passed over, and nobody else pays for it. */
#include "lane_world.h"

#include <stdio.h>

static struct record list[16];

static void junk(size_t count) {
    for (size_t i = 0; i < count; i++)
        list[i] = (struct record){.topic = INPUT_REQUESTS, .offset = 10 + i, .value = SLICE("junk")};
}

/* An event of a project, which a refusal can be addressed to. */
static void event(struct record *record, const char *id) {
    static char values[4][300];
    static const struct record_header headers[] = {{SLICE("content-type"), SLICE("application/cloudevents+json")}};
    char *value = values[record - list];
    int n = snprintf(value, sizeof *values,
                     "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/ci\",\"subject\":\"acme/shop\",\"type\":"
                     "\"nobody.knows.v1\",\"time\":\"2026-03-01T10:00:00Z\",\"data\":{}}",
                     id);
    record->shard = text_murmur2(SLICE("acme/shop")) % SHARDS;
    record->value = slice_of(value, (size_t)n);
    record->headers = headers;
    record->header_count = 1;
}

static void process(size_t count) {
    process_records(lane, list, count);
    publisher();
    assert_true(step());
}

static void a_batch_of_many_answers_is_committed_whole(void **state) {
    (void)state;
    own_all();
    junk(10);
    process(10);
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.rows, 10);
    assert_int_equal(lane->shards[0].position[INPUT_REQUESTS], 20);
}

static void records_that_are_not_this_lanes_or_were_read_before_are_left_out(void **state) {
    (void)state;
    own_all();
    junk(4);
    list[0].shard = SHARDS;
    list[1].offset = 9;
    process(2);
    assert_int_equal(world.rows, 0);
    shard_retake(lane, 0, 1000, "test");
    process(4);
    assert_int_equal(world.rows, 0);
    assert_int_equal(lane->free_count, LANE_BATCHES);
}

/* The publisher keeps all batches: what has come is dropped and fetched again, and the group is served meanwhile. */
static void without_a_free_batch_records_are_fetched_again(void **state) {
    (void)state;
    own_all();
    junk(1);
    world.publisher_sleeps = true;
    for (unsigned i = 0; i < LANE_BATCHES; i++) {
        list[0].offset = 10 + i;
        process_records(lane, list, 1);
    }
    assert_int_equal(world.commits, LANE_BATCHES);
    assert_int_equal(lane->free_count, 0);
    lane->reassign = false;
    list[0].offset = 10 + LANE_BATCHES;
    world.tick = 600;
    process_records(lane, list, 1);
    world.tick = 0;
    assert_int_equal(world.commits, LANE_BATCHES);
    assert_true(lane->reassign);
    world.publisher_sleeps = false;
    publisher();
    assert_true(step());
    assert_int_equal(lane->free_count, LANE_BATCHES);
    process_records(lane, list, 1);
    assert_int_equal(world.commits, LANE_BATCHES + 1);
}

/* And one that comes back in time is used. */
static void a_batch_that_comes_back_in_time_is_used(void **state) {
    (void)state;
    own_all();
    junk(1);
    world.publisher_sleeps = true;
    for (unsigned i = 0; i < LANE_BATCHES; i++) {
        list[0].offset = 10 + i;
        process_records(lane, list, 1);
    }
    world.publisher_sleeps = false;
    publisher(); /* reports, which nobody has taken yet */
    list[0].offset = 10 + LANE_BATCHES;
    process_records(lane, list, 1);
    assert_int_equal(world.commits, LANE_BATCHES + 1);
}

static void a_lane_that_has_failed_commits_nothing_more(void **state) {
    (void)state;
    own_all();
    junk(1);
    lane->failed = true;
    process_records(lane, list, 1);
    assert_int_equal(world.commits, 0);
    lane->failed = lane->reassign = false;
    world.publisher_sleeps = true;
    for (unsigned i = 0; i < LANE_BATCHES; i++) {
        list[0].offset = 10 + i;
        process_records(lane, list, 1);
    }
    handoff_report(lane->options.handoff, &(struct report){.kind = REPORT_FAILED}); /* while it waits for a batch */
    lane->reassign = false;
    list[0].offset = 10 + LANE_BATCHES;
    process_records(lane, list, 1);
    assert_true(lane->failed);
    assert_int_equal(world.commits, LANE_BATCHES);
    world.publisher_sleeps = false;
}

/* An event that names its project is answered on the results topic, and its neighbours are as they would have been. */
static void an_event_that_cannot_be_committed_is_answered_so(void **state) {
    (void)state;
    own_all();
    junk(3);
    event(&list[0], "good");
    event(&list[1], "poison");
    event(&list[2], "better");
    uint32_t shard = list[0].shard;
    lane->shards[shard].position[INPUT_REQUESTS] = 10;
    world.refuses = "poison";
    process(3);
    assert_int_equal(world.rows, 3);
    assert_true(world.commits > 1);
    assert_int_equal(metrics_get(&metrics, METRIC_REFUSED), 3);
    assert_true(metrics_get(&metrics, METRIC_BISECTIONS) > 0);
    assert_int_equal(lane->shards[shard].position[INPUT_REQUESTS], 13);
    assert_string_equal(world.stopped, "");
}

/* Not even the refusal can be written: somebody has to look. */
static void a_record_that_cannot_even_be_refused_stops_its_shard(void **state) {
    (void)state;
    own_all();
    junk(1);
    world.refuses = "junk";
    world.refuses_all = true;
    process_records(lane, list, 1);
    publisher();
    assert_int_equal(world.rows, 0);
    assert_int_equal(lane->shards[0].state, SHARD_STOPPED);
    assert_string_equal(world.stopped, "as the test says");
    assert_int_equal(lane->shards[1].state, SHARD_OWNED);
}

static void too_much_for_one_transaction_is_cut(void **state) {
    (void)state;
    own_all();
    junk(4);
    world.commit_fails = ERROR_INTERNAL;
    world.commit_code = "sql-SL002";
    process(4);
    assert_int_equal(world.commits, 2);
    assert_int_equal(world.rows, 4);
    assert_false(lane_is_paused(lane));
    world.commit_fails = ERROR_INTERNAL; /* any other defect is none of the data */
    world.commit_code = "sql-XX000";
    list[0].offset = 14;
    process_records(lane, list, 1);
    assert_true(lane_is_paused(lane));
    assert_int_equal(world.rows, 4);
}

/* ---- a record on which lanes died ---- */

static void what_has_killed_too_often_is_not_read_again(void **state) {
    (void)state;
    own_all();
    junk(1);
    event(&list[0], "killer");
    died_on(&lane->shards[list[0].shard], 10, 2, 10);
    process(1);
    assert_int_equal(metrics_get(&metrics, METRIC_CRASHES_WORKER), 1);
    assert_int_equal(metrics_get(&metrics, METRIC_DEAD_LETTERS), 1); /* though it has a project: nobody has read it */
    assert_int_equal(world.suspects, 0);
    assert_int_equal(world.rows, 1);
    assert_int_equal(lane->shards[list[0].shard].position[INPUT_REQUESTS], 11);
}

static void what_has_killed_once_is_read_with_care(void **state) {
    (void)state;
    own_all();
    junk(2);
    died_on(&lane->shards[0], 10, 1, 10);
    process(2);
    assert_int_equal(metrics_get(&metrics, METRIC_CRASHES_WORKER), 0);
    assert_int_equal(world.suspects, 1); /* the second: the first is noted already */
    assert_int_equal(world.commits, 2);
    assert_int_equal(world.rows, 2);
}

static void nothing_is_read_with_care_while_a_server_is_away(void **state) {
    (void)state;
    own_all();
    junk(1);
    died_on(&lane->shards[0], 10, 1, 10);
    lane->pause_until = world.now + 1000;
    process_records(lane, list, 1);
    assert_int_equal(world.rows, 0);
    assert_true(lane->reassign);
}

/* ---- policies and promotions ---- */

static void a_batch_that_meets_a_new_policy_is_loaded_again_with_it(void **state) {
    (void)state;
    own_all();
    junk(1);
    world.control_version = 3;
    world.fails_at_load = world.loads + 2;
    process_records(lane, list, 1);
    assert_int_equal(world.control_reads, 1);
    assert_int_equal(world.commits, 0);
    assert_true(lane_is_paused(lane));
    world.now += 10000;
    lane->reassign = false;
    process_records(lane, list, 1);
    publisher();
    assert_int_equal(world.commits, 1);
    assert_int_equal(lane->shards[0].control_version, 3);
}

static void a_policy_that_needs_too_much_memory_is_not_the_records_fault(void **state) {
    (void)state;
    own_all();
    junk(2);
    world.control_version = 3;
    world.control_overflows = true;
    process_records(lane, list, 2);
    assert_int_equal(world.control_reads, 1); /* nothing is cut in halves */
    assert_int_equal(world.commits, 0);
    assert_true(lane_is_paused(lane));
}

static void only_shards_that_are_behind_note_a_new_policy(void **state) {
    (void)state;
    own_all();
    world.control_version = 3;
    lane->shards[0].control_version = 3;
    process_control(lane);
    publisher();
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.commit_shards, 1);
    assert_int_equal(lane->shards[1].control_version, 3);
}

static void more_promotions_than_one_look_takes_are_looked_for_at_once(void **state) {
    (void)state;
    static struct promotion_row rows[100];
    static char environments[100][16];
    own_all();
    world.now += 1000;
    assert_true(step());
    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(environments[i], sizeof environments[i], "env-%zu", i);
        rows[i] = expired(i + 1, environments[i]);
    }
    world.due = rows;
    world.due_count = 100;
    world.now += 1000;
    lane->next_look = world.now + 1000;
    process_due(lane);
    publisher();
    assert_int_equal(world.rows, 100);
    assert_int_equal(lane->next_due, world.now);
    world.due_count = 1;
    process_due(lane);
    publisher();
    assert_true(lane->next_due > world.now);
    world.due_count = 0;
    assert_int_equal(metrics_get(&metrics, METRIC_EXPIRED), 101);
}

/* Memory: as many batches as there are may be on their way only while they are small. */
static void of_large_batches_fewer_are_on_their_way(void **state) {
    (void)state;
    own_all();
    junk(16);
    lane->kept_bytes = LANE_SMALL_BYTES;
    for (unsigned i = 0; i < LANE_BATCHES_LARGE; i++) {
        list[0].offset = 10 + i;
        process_records(lane, list, 1);
    }
    assert_false(lane->reassign);
    list[0].offset = 10 + LANE_BATCHES_LARGE;
    world.publisher_sleeps = true;
    world.tick = 600;
    process_records(lane, list, 1);
    world.tick = 0;
    world.publisher_sleeps = false;
    assert_int_equal(world.commits, LANE_BATCHES_LARGE);
    assert_true(lane->reassign);
    publisher();
    assert_true(step());
    assert_int_equal(lane->free_count, LANE_BATCHES);
    assert_int_equal(lane->kept_bytes, LANE_SMALL_BYTES);
}

static void how_far_quiet_shards_are_is_committed_once_and_without_rows(void **state) {
    (void)state;
    own_all();
    process_quiet(lane);
    assert_int_equal(world.commits, 0);
    lane->shards[0].settled[OUTPUT_RESULTS].sequence = 40;
    process_quiet(lane);
    publisher();
    assert_true(step());
    process_quiet(lane);
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.first_shard.settled[OUTPUT_RESULTS].sequence, 40);
    lane->shards[0].position[INPUT_BUILDS] += 3;
    process_quiet(lane);
    publisher();
    assert_true(step());
    process_quiet(lane);
    assert_int_equal(world.commits, 2);
    assert_int_equal(world.rows, 0);
    assert_int_equal(world.commit_shards, 1);
    assert_int_equal(world.first_shard.new_position[INPUT_BUILDS], lane->shards[0].position[INPUT_BUILDS]);
    assert_int_equal(world.first_shard.new_sequence, world.first_shard.sequence);
    assert_int_equal(lane->free_count, LANE_BATCHES);
}

static void how_far_quiet_shards_are_is_committed_later_when_the_store_is_away(void **state) {
    (void)state;
    own_all();
    lane->shards[1].settled[OUTPUT_DEAD_LETTER].sequence = 7;
    world.commit_fails = ERROR_UNAVAILABLE;
    process_quiet(lane);
    assert_true(lane_is_paused(lane));
    world.now += 60000;
    process_quiet(lane);
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.first_shard.shard, 1);
    lane->shards[1].settled[OUTPUT_DEAD_LETTER].sequence = 8;
    world.commit_fails = ERROR_FENCED;
    process_quiet(lane);
    assert_int_equal(lane->shards[1].state, SHARD_FORGETTING);
    assert_int_equal(lane->shards[0].state, SHARD_OWNED);
}

/* The shard went while they were looked for. */
static void a_promotion_of_a_shard_that_is_gone_stays_due(void **state) {
    (void)state;
    static struct promotion_row row;
    own_all();
    world.now += 1000;
    assert_true(step());
    row = expired(1, "dev");
    row.shard = 1;
    shard_retake(lane, 1, 1000, "test");
    world.due = &row;
    world.due_count = 1;
    world.now += 1000;
    process_due(lane);
    assert_int_equal(world.rows, 0);
    assert_int_equal(lane->free_count, LANE_BATCHES);
    publisher();
    world.due_count = 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_batch_of_many_answers_is_committed_whole),
        TEST(records_that_are_not_this_lanes_or_were_read_before_are_left_out),
        TEST(without_a_free_batch_records_are_fetched_again),
        TEST(a_batch_that_comes_back_in_time_is_used),
        TEST(a_lane_that_has_failed_commits_nothing_more),
        TEST(an_event_that_cannot_be_committed_is_answered_so),
        TEST(a_record_that_cannot_even_be_refused_stops_its_shard),
        TEST(too_much_for_one_transaction_is_cut),
        TEST(more_promotions_than_one_look_takes_are_looked_for_at_once),
        TEST(what_has_killed_too_often_is_not_read_again),
        TEST(what_has_killed_once_is_read_with_care),
        TEST(nothing_is_read_with_care_while_a_server_is_away),
        TEST(a_batch_that_meets_a_new_policy_is_loaded_again_with_it),
        TEST(a_policy_that_needs_too_much_memory_is_not_the_records_fault),
        TEST(only_shards_that_are_behind_note_a_new_policy),
        TEST(of_large_batches_fewer_are_on_their_way),
        TEST(how_far_quiet_shards_are_is_committed_once_and_without_rows),
        TEST(how_far_quiet_shards_are_is_committed_later_when_the_store_is_away),
        TEST(a_promotion_of_a_shard_that_is_gone_stays_due),
    };
    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
