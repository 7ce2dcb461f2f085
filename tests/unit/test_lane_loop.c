/* The lane's loop: who may fetch what, when the group may go on, when a lane rests, and when it ends. */
#include "lane_world.h"
#include "monotonic.h"

static void what_is_owned_is_fetched_from_where_it_is_committed(void **state) {
    (void)state;
    own_all();
    assert_int_equal(world.assigned, 2);
    assert_int_equal(world.first_position, 10);
    assert_int_equal(metrics_get(&metrics, METRIC_IN_GROUP), 1);
    unsigned assigns = world.assigns;
    assert_true(step());
    assert_int_equal(world.assigns, assigns); /* nothing has changed */
    assert_int_equal(world.wait_ms, 250);
}

static void an_empty_assignment_is_acknowledged(void **state) {
    (void)state;
    assert_true(step());
    assert_int_equal(world.assigns, 0);
    world.event = (struct input_event){.kind = INPUT_ASSIGNED};
    assert_true(step());
    assert_true(step());
    assert_int_equal(world.assigns, 1);
    assert_int_equal(world.assigned, 0);
}

static void records_are_committed_and_given_back(void **state) {
    (void)state;
    static struct record record = {.topic = INPUT_REQUESTS, .offset = 10, .value = {"junk", 4}};
    own_all();
    unsigned frees = world.frees;
    world.event = (struct input_event){.kind = INPUT_RECORDS, .records = &record, .record_count = 1};
    assert_true(step());
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.frees, frees + 1);
    assert_int_equal(lane->shards[0].position[INPUT_REQUESTS], 11);
}

/* An end counts only behind records that were processed. */
static void the_end_of_a_log_is_taken_behind_its_records(void **state) {
    (void)state;
    static struct record record = {.topic = INPUT_REQUESTS, .offset = 10, .value = {"junk", 4}};
    static const struct input_end end = {.topic = INPUT_REQUESTS, .offset = 12};
    const struct input_event event = {.kind = INPUT_RECORDS, .records = &record, .record_count = 1, .ends = &end, .end_count = 1};
    own_all();
    world.commit_fails = ERROR_UNAVAILABLE;
    world.event = event;
    assert_true(step());
    assert_int_equal(lane->shards[0].position[INPUT_REQUESTS], 10);
    world.now += 60000;
    assert_true(step());
    world.event = event;
    assert_true(step());
    assert_int_equal(lane->shards[0].position[INPUT_REQUESTS], 12);
}

static size_t limit_after(size_t records) {
    static struct record none[400]; /* of a shard that is not there: they are only counted */
    for (size_t i = 0; i < records; i++) none[i].shard = SHARDS;
    world.event = (struct input_event){.kind = INPUT_RECORDS, .records = none, .record_count = records};
    assert_true(step());
    world.event = (struct input_event){.kind = INPUT_RECORDS};
    assert_true(step());
    return world.limit;
}

/* The first results of a backlog do not wait for a large batch. */
static void batches_grow_while_they_are_full(void **state) {
    (void)state;
    lane->options.batch_records = 300;
    own_all();
    assert_int_equal(limit_after(0), 100);
    assert_int_equal(limit_after(99), 100);
    assert_int_equal(limit_after(100), 200);
    assert_int_equal(limit_after(200), 300);
    assert_int_equal(limit_after(300), 300);
    lane->reassign = true;
    assert_int_equal(limit_after(0), 100);
}

/* Only what could not be published at once waits for more. */
static void what_comes_while_the_publisher_is_busy_is_collected(void **state) {
    (void)state;
    static struct record record = {.topic = INPUT_REQUESTS, .offset = 10, .value = {"junk", 4}};
    own_all();
    assert_int_equal(lane_collect_ms(lane), 0); /* nothing has come */
    world.event = (struct input_event){.kind = INPUT_RECORDS, .records = &record, .record_count = 1};
    assert_true(lane_step(lane, 0));
    assert_true(lane->next_due > world.now);
    const int most = lane_collect_ms(lane);
    assert_in_range(most, 5, 20);
    world.now += 2;
    assert_int_equal(lane_collect_ms(lane), most - 2);
    lane->asking = true; /* a registry does not wait */
    assert_int_equal(lane_collect_ms(lane), 0);
    lane->asking = false;
    const uint64_t due = lane->next_due;
    lane->next_due = 0; /* nor does a promotion that was woken */
    assert_int_equal(lane_collect_ms(lane), 0);
    lane->next_due = due;
    world.now += (uint64_t)most - 2;
    assert_int_equal(lane_collect_ms(lane), 0);
    world.now -= (uint64_t)most;
    assert_int_equal(lane_collect_ms(lane), most);
    publisher();
    assert_true(lane_hear(lane, 0));
    assert_int_equal(lane_collect_ms(lane), 0); /* the publisher is idle */
}

/* The next poll gives one record of each of these shards, behind what was taken. True when they are taken, false when they are
 * kept. */
static bool takes(uint32_t first, uint32_t second) {
    static struct record records[2];
    const unsigned before = world.frees + world.keeps, frees = world.frees;
    for (int i = 0; i < 2; i++) records[i] = (struct record){.topic = INPUT_REQUESTS, .value = {"junk", 4}};
    records[0].shard = first;
    records[1].shard = second;
    for (int i = 0; i < 2; i++)
        if (records[i].shard < SHARDS) records[i].offset = lane->shards[records[i].shard].position[INPUT_REQUESTS];
    world.event = (struct input_event){.kind = INPUT_RECORDS, .records = records, .record_count = 2};
    publisher();
    assert_true(lane_step(lane, 0));
    assert_int_equal(world.frees + world.keeps, before + 1);
    return world.frees != frees;
}

/* A batch with so many records of either shard, and of none that is there. */
static void take_batch_of(size_t of_first, size_t of_second, size_t of_none) {
    static struct record records[100];
    size_t count = of_first + of_second + of_none;
    world.now += 100;
    for (size_t i = 0; i < count; i++) {
        uint32_t shard = i < of_first ? 0 : i < of_first + of_second ? 1 : SHARDS;
        uint64_t offset = shard < SHARDS ? lane->shards[shard].position[INPUT_REQUESTS] + (shard ? i - of_first : i) : i;
        records[i] = (struct record){.topic = INPUT_REQUESTS, .shard = shard, .offset = offset, .value = {"junk", 4}};
    }
    world.event = (struct input_event){.kind = INPUT_RECORDS, .records = records, .record_count = count};
    assert_true(lane_step(lane, 0));
    assert_true(lane->next_due > world.now);
}

/* Where several come at once more will, and each handful would take a commit and a transaction, however idle the publisher is. */
static void a_crowd_is_collected_past_reports(void **state) {
    (void)state;
    own_all();
    take_batch_of(1, 0, 2);
    assert_true(takes(SHARDS, 0)); /* three are no crowd */
    take_batch_of(1, 0, 3);
    const size_t commits = world.commits;
    const int most = lane_collect_ms(lane);
    assert_in_range(most, 5, 20);
    assert_false(takes(SHARDS, 0));
    world.now += (uint64_t)most - 1;
    assert_false(takes(SHARDS, 0));
    assert_int_equal(world.commits, commits);
    world.now += 1;
    assert_true(takes(SHARDS, 0));
    assert_int_equal(world.commits, commits + 1);
}

/* Looking all the time would take the processor from who is waited for; real milliseconds, never fewer than they should be. */
static void a_crowd_is_looked_at_from_time_to_time(void **state) {
    (void)state;
    own_all();
    take_batch_of(4, 0, 0);
    lane->collect_until = world.now + 120000;
    publisher();
    assert_true(lane_hear(lane, 0));
    uint64_t began = monotonic_ms();
    assert_false(takes(0, 0));
    assert_in_range(monotonic_ms() - began, 2, 60000);
}

/* Who shares the lane and not the shard with a crowd does not wait for it. */
static void a_neighbour_does_not_wait_for_a_crowd(void **state) {
    (void)state;
    own_all();
    take_batch_of(4, 0, 3);
    assert_false(takes(0, 0));
    assert_true(takes(0, 1));
    assert_false(takes(0, 1)); /* not twice in a row: the crowd has its turn */
    world.now += 20;
    assert_true(takes(0, 0));
    take_batch_of(4, 0, 0);
    world.event = (struct input_event){.kind = INPUT_RECORDS}; /* nothing has come: that is no batch */
    assert_true(lane_step(lane, 0));
    assert_false(takes(0, 0));
    assert_true(takes(0, 1));
    take_batch_of(4, 1, 0); /* it had one a moment ago */
    assert_false(takes(0, 1));
    take_batch_of(4, 0, 4); /* as many have come one by one: all are neighbours */
    assert_false(takes(0, 1));
    take_batch_of(3, 0, 0);
    assert_true(takes(0, 0)); /* no crowd, and the publisher is idle */
}

static void a_crowd_waits_for_no_more_than_a_full_batch(void **state) {
    (void)state;
    own_all();
    lane->options.batch_records = 2;
    take_batch_of(4, 0, 0);
    assert_int_equal(lane_collect_ms(lane), 0);
    lane->collect_until = world.now + 10;
    assert_int_equal(lane_collect_ms(lane), 10);
    assert_true(takes(0, 0));
    lane->options.batch_records = lane->batch_records = 10;
    take_batch_of(4, 0, 0);
    lane->next_due = 0;        /* a promotion was woken */
    assert_false(takes(0, 0)); /* which this very step has done */
    assert_true(lane->next_due > world.now);
    world.registry_is_asked = true;
    assert_true(takes(0, 0));
}

static void a_full_batch_is_not_waited_with(void **state) {
    (void)state;
    static struct record records[100] = {{.topic = INPUT_REQUESTS, .offset = 10, .value = {"junk", 4}}};
    own_all();
    for (int i = 1; i < 100; i++) records[i].shard = SHARDS; /* of one that is not there */
    world.event = (struct input_event){.kind = INPUT_RECORDS, .records = records, .record_count = 100};
    assert_true(lane_step(lane, 0));
    assert_int_equal(world.commits, 1);
    assert_int_equal(lane_collect_ms(lane), 0);
}

static void the_group_waits_until_all_shards_are_let_go(void **state) {
    (void)state;
    own_all();
    world.event = (struct input_event){.kind = INPUT_REVOKED};
    unsigned assigns = world.assigns, looks = world.looks;
    assert_true(lane_step(lane, 0)); /* the publisher has not answered yet */
    assert_true(lane->revoking);
    world.now += 3000;
    assert_true(lane_step(lane, 0));
    assert_int_equal(world.assigns, assigns);
    assert_int_equal(world.looks, looks); /* nothing else is done meanwhile */
    assert_int_equal(metrics_get(&metrics, METRIC_IN_GROUP), 0);
    publisher();
    world.assign_fails = ERROR_UNAVAILABLE; /* is said, and no more */
    assert_true(step());
    assert_false(lane->revoking);
    assert_int_equal(world.assigns, assigns + 1);
}

static void a_lane_that_is_asked_to_end_releases_first(void **state) {
    (void)state;
    own_all();
    unsigned polls = world.polls, assigns = world.assigns;
    lane->shards[1].position[INPUT_BUILDS] += 2; /* behind its last record */
    lane_end(lane);
    lane_end(lane); /* once is enough */
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.first_shard.shard, 1);
    assert_int_equal(world.rows, 0);
    assert_true(lane_step(lane, 0));
    publisher();
    assert_false(lane_step(lane, 0));
    assert_false(lane->failed);
    assert_int_equal(world.polls, polls);
    assert_int_equal(world.assigns, assigns); /* the group hears of it when the input is closed */
}

static void while_a_server_is_away_nothing_is_fetched_and_the_group_is_served(void **state) {
    (void)state;
    own_all();
    world.poll_fails = ERROR_UNAVAILABLE;
    assert_true(step());
    assert_true(lane_is_paused(lane));
    world.poll_fails = ERROR_NONE;
    unsigned polls = world.polls, assigns = world.assigns;
    lane->pause_until = world.now + 1000;
    assert_true(step());
    assert_int_equal(world.assigns, assigns + 1);
    assert_int_equal(world.assigned, 0);
    assert_true(step());
    assert_int_equal(world.assigns, assigns + 1); /* once */
    assert_int_equal(world.polls, polls + 2);
    assert_true(world.wait_ms < 250);
    world.now += 1000;
    assert_true(step());
    assert_int_equal(world.assigned, 2);
}

static void resting_goes_on_when_the_input_fails_too(void **state) {
    (void)state;
    own_all();
    world.assign_fails = ERROR_UNAVAILABLE;
    lane->pause_until = world.now + 100;
    assert_true(step());
    assert_true(lane->quiet);
    world.now += 100;
    assert_true(step()); /* and so does the assignment that follows it */
    assert_true(lane_is_paused(lane));
    world.assign_fails = ERROR_NONE;
    world.now += 10000;
    assert_true(step());
    assert_int_equal(world.assigned, 2);
}

static void pauses_grow_up_to_five_seconds(void **state) {
    (void)state;
    struct error error = {.kind = ERROR_UNAVAILABLE};
    for (int i = 0; i < 12; i++) lane_pause(lane, "test", &error);
    assert_true(lane->pause_until >= world.now + 2500);
    assert_true(lane->pause_until <= world.now + 7500);
}

static void an_input_that_is_broken_for_good_ends_the_lane(void **state) {
    (void)state;
    static const enum error_kind kinds[] = {ERROR_INTERNAL, ERROR_FENCED};
    for (size_t i = 0; i < 2; i++) {
        lane->failed = false;
        lane->pause_until = 0;
        world.poll_fails = kinds[i];
        assert_false(step());
        assert_true(lane->failed);
        assert_false(step());
    }
}

static void a_position_outside_the_log_stops_the_shard_and_says_where_the_log_is(void **state) {
    (void)state;
    static uint32_t shard = 1;
    struct input_event event = {
        .kind = INPUT_OUTSIDE_LOG, .shards = &shard, .shard_count = 1, .topic = INPUT_REQUESTS, .log_start = 20, .log_end = 30};
    world.event = event;
    assert_true(step());
    assert_string_equal(world.stopped, ""); /* not this lane's */
    own_all();
    world.event = event;
    assert_true(step());
    assert_int_equal(lane->shards[1].state, SHARD_STOPPED);
    assert_non_null(strstr(world.stopped, "position 10 of release.requests is not in the log, which holds 20 to 30"));
    assert_true(step());
    assert_int_equal(world.assigned, 1);
}

static void lag_is_counted_from_what_the_last_fetch_has_told(void **state) {
    (void)state;
    own_all();
    world.known_end = 25;
    world.now += 1000;
    assert_true(step());
    assert_int_equal(metrics_get(&metrics, METRIC_LAG), 30);
    world.known_end = 9; /* of before */
    world.now += 1000;
    assert_true(step());
    assert_int_equal(metrics_get(&metrics, METRIC_LAG), 0);
    world.known_end = -1;
    world.now += 1000;
    assert_true(step());
    assert_int_equal(metrics_get(&metrics, METRIC_LAG), 0);
}

static void positions_are_reported_and_settled_written_from_time_to_time(void **state) {
    (void)state;
    assert_true(step());
    assert_int_equal(world.reports, 0); /* of nothing */
    own_all();
    world.now += 1000;
    assert_true(step());
    assert_int_equal(world.reports, 1);
    assert_int_equal(world.reported, 2);
    lane->shards[0].settled[OUTPUT_RESULTS].sequence = 5;
    world.now += 30000;
    assert_true(step());
    assert_int_equal(world.commits, 1);
    assert_int_equal(world.rows, 0);
}

static void a_broker_is_asked_when_nothing_was_published_for_a_while(void **state) {
    (void)state;
    assert_true(step());
    assert_int_equal(world.broker_looks, 1);
    assert_int_equal(metrics_get(&metrics, METRIC_BROKER_OK_MS), world.now);
    world.now += 1000;
    metrics_set(&metrics, METRIC_BROKER_OK_MS, world.now - 1); /* something was published */
    assert_true(step());
    assert_int_equal(world.broker_looks, 1);
    world.brokers_fail = ERROR_UNAVAILABLE;
    world.now += 2000;
    uint64_t before = metrics_get(&metrics, METRIC_BROKER_OK_MS);
    assert_true(step());
    assert_int_equal(world.broker_looks, 2);
    assert_int_equal(metrics_get(&metrics, METRIC_BROKER_OK_MS), before);
    assert_false(lane_is_paused(lane));
}

static void positions_are_not_reported_while_brokers_are_away(void **state) {
    (void)state;
    own_all();
    world.brokers_fail = ERROR_UNAVAILABLE;
    for (unsigned i = 0; i < 3; i++) {
        world.now += 1000;
        assert_true(step());
    }
    assert_int_equal(world.reports, 0);
    world.brokers_fail = ERROR_NONE;
    world.now += 1000;
    assert_true(step());
    assert_int_equal(world.reports, 1);
}

static bool stays_for(unsigned seconds) {
    for (unsigned i = 0; i < seconds; i++) {
        world.now += 1000;
        if (!step()) return false;
    }
    return true;
}

/* The library that should join again may have forgotten to. */
static void a_lane_that_the_group_does_not_take_in_ends(void **state) {
    (void)state;
    world.brokers_fail = ERROR_UNAVAILABLE; /* there is no group to be in */
    assert_true(stays_for(120));
    world.brokers_fail = ERROR_NONE;
    assert_true(stays_for(18));
    world.event = (struct input_event){.kind = INPUT_ASSIGNED};
    assert_true(stays_for(120));
    world.event = (struct input_event){.kind = INPUT_REVOKED};
    assert_true(stays_for(80)); /* a rebalance without an outage may take that long */
    assert_false(stays_for(12));
    assert_true(lane->failed);
}

static void a_lane_that_cannot_reach_the_store_gives_its_shards_up(void **state) {
    (void)state;
    own_all();
    world.load_fails = ERROR_UNAVAILABLE;
    world.brokers_fail = ERROR_UNAVAILABLE; /* nobody can be reached: there is no better lane */
    assert_true(stays_for(120));
    world.load_fails = ERROR_NONE;
    assert_true(stays_for(10));
    world.load_fails = ERROR_UNAVAILABLE;
    world.brokers_fail = ERROR_NONE;
    assert_true(stays_for(55));
    assert_false(stays_for(20));
    assert_true(lane->failed);
}

static void a_lane_that_does_not_join_again_after_an_outage_ends_sooner(void **state) {
    (void)state;
    world.event = (struct input_event){.kind = INPUT_ASSIGNED};
    assert_true(stays_for(1));
    world.brokers_fail = ERROR_UNAVAILABLE;
    assert_true(stays_for(3));
    world.event = (struct input_event){.kind = INPUT_REVOKED};
    assert_true(stays_for(1));
    world.brokers_fail = ERROR_NONE;
    assert_true(stays_for(18));
    assert_false(stays_for(4));
    assert_true(lane->failed);
}

static void a_new_policy_is_noted_in_all_shards(void **state) {
    (void)state;
    own_all();
    world.control_version = 3;
    world.policy = "version: 1\nprojects:\n- match: \"*\"\n  environments:\n    dev: {}\n";
    world.now += 1000;
    assert_true(step());
    assert_int_equal(world.control_reads, 1);
    assert_int_equal(lane->control_version, 3);
    assert_int_equal(world.commits, 1);
    for (int i = 0; i < SHARDS; i++) assert_int_equal(lane->shards[i].control_version, 3);
    assert_non_null(lane->policy);
    world.now += 1000;
    assert_true(step());
    assert_int_equal(world.control_reads, 1); /* read once */
    assert_int_equal(world.commits, 1);
}

static void a_control_log_that_cannot_be_read_is_read_later(void **state) {
    (void)state;
    own_all();
    world.control_version = 3;
    world.control_fails = true;
    world.now += 1000;
    assert_true(step());
    assert_true(lane_is_paused(lane));
    assert_int_equal(lane->control_version, 0);
    world.control_fails = false;
    world.load_fails = ERROR_UNAVAILABLE;
    world.now += 10000;
    assert_true(step());
    assert_int_equal(lane->control_version, 0);
    world.load_fails = ERROR_NONE;
    world.now += 10000;
    assert_true(step());
    assert_int_equal(lane->control_version, 3);
    assert_null(lane->policy); /* there is none in it */
}

static void a_registry_that_is_still_asked_does_not_wait_for_records(void **state) {
    (void)state;
    own_all();
    assert_true(step());
    assert_int_equal(world.wait_ms, 250);
    world.registry_is_asked = true;
    assert_true(step());
    assert_in_range(world.wait_ms, 1, 10);
}

static void due_promotions_are_looked_for_once_a_second_when_the_clock_is_known(void **state) {
    (void)state;
    process_due(lane);
    assert_int_equal(world.dues, 0); /* the store's clock is not known */
    own_all();
    unsigned dues = world.dues;
    assert_true(step());
    assert_int_equal(world.dues, dues);
    world.now += 1000;
    assert_true(step());
    assert_int_equal(world.dues, dues + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_owned_is_fetched_from_where_it_is_committed),
        TEST(an_empty_assignment_is_acknowledged),
        TEST(records_are_committed_and_given_back),
        TEST(the_end_of_a_log_is_taken_behind_its_records),
        TEST(batches_grow_while_they_are_full),
        TEST(what_comes_while_the_publisher_is_busy_is_collected),
        TEST(a_crowd_is_collected_past_reports),
        TEST(a_crowd_is_looked_at_from_time_to_time),
        TEST(a_neighbour_does_not_wait_for_a_crowd),
        TEST(a_crowd_waits_for_no_more_than_a_full_batch),
        TEST(a_full_batch_is_not_waited_with),
        TEST(the_group_waits_until_all_shards_are_let_go),
        TEST(a_lane_that_is_asked_to_end_releases_first),
        TEST(while_a_server_is_away_nothing_is_fetched_and_the_group_is_served),
        TEST(resting_goes_on_when_the_input_fails_too),
        TEST(pauses_grow_up_to_five_seconds),
        TEST(an_input_that_is_broken_for_good_ends_the_lane),
        TEST(a_position_outside_the_log_stops_the_shard_and_says_where_the_log_is),
        TEST(lag_is_counted_from_what_the_last_fetch_has_told),
        TEST(positions_are_reported_and_settled_written_from_time_to_time),
        TEST(a_broker_is_asked_when_nothing_was_published_for_a_while),
        TEST(positions_are_not_reported_while_brokers_are_away),
        TEST(a_lane_that_the_group_does_not_take_in_ends),
        TEST(a_lane_that_cannot_reach_the_store_gives_its_shards_up),
        TEST(a_lane_that_does_not_join_again_after_an_outage_ends_sooner),
        TEST(a_new_policy_is_noted_in_all_shards),
        TEST(a_control_log_that_cannot_be_read_is_read_later),
        TEST(a_registry_that_is_still_asked_does_not_wait_for_records),
        TEST(due_promotions_are_looked_for_once_a_second_when_the_clock_is_known),
    };
    return cmocka_run_group_tests_name("lane_loop", tests, NULL, NULL);
}
