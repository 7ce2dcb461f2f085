/* The publisher when calls fail, or nobody knows how they ended: nothing is lost, nothing is there twice. */
#include "publish_world.h"

/* Every third commit fails, and half of those have happened all the same. */
static void commits_of_unknown_outcome_neither_lose_nor_double(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        memset(world.logs, 0, sizeof world.logs);
        memset(world.ledger, 0, sizeof world.ledger);
        world.random = seed;
        world.fail_every = 3;
        for (uint32_t shard = 0; shard < SHARDS; shard++) take(shard, NULL);
        for (int i = 0; i < 60; i++) {
            if (pipeline.counts[REPORT_READY]) commit_rows((uint32_t)draw(SHARDS), 1 + draw(9));
            steps(1 + (int)draw(3));
        }
        world.fail_every = 0;
        world.now += 10000;
        steps(20);
        for (uint32_t shard = 0; shard < SHARDS; shard++) assert_published(shard);
        assert_int_equal(pipeline.freed, pipeline.handed);
    }
    assert_true(pipeline.counts[REPORT_BROKEN] > 40);
}

/* The pipeline has few batches: what is committed while the publisher recovers must come back to it. */
static void batches_committed_during_recovery_are_freed(void **state) {
    (void)state;
    take(0, NULL);
    steps(2);
    world.fail_every = 1;
    commit_rows(0, 3);
    steps(1);
    world.fail_every = 0;
    for (int i = 0; i < 3; i++) commit_rows(0, 2);
    world.now += 10000;
    steps(10);
    assert_published(0);
    assert_int_equal(pipeline.freed, 4);
}

/* Whatever fails, at whichever call: afterwards each row is there once. */
static void a_call_that_fails_neither_loses_nor_doubles(void **state) {
    (void)state;
    unsigned fired[OPERATIONS] = {0};
    for (int operation = INIT + 1; operation < OPERATIONS; operation++) /* init comes only after another failure */
        for (unsigned n = 1; n <= 12; n++) {
            empty_world();
            world.ledger[2] = 20; /* left behind by another owner */
            for (uint32_t shard = 0; shard < SHARDS; shard++) take(shard, "dead-0");
            world.failing = (enum operation)operation;
            world.fails_at = n;
            world.failed = false;
            for (int i = 0; i < 9; i++) {
                steps(1);
                commit_rows((uint32_t)i % SHARDS, 3);
            }
            world.now += 10000;
            steps(6);
            fired[operation] += world.failed;
            assert_int_equal(pipeline.counts[REPORT_BROKEN], world.failed);
            for (uint32_t shard = 0; shard < SHARDS; shard++) assert_published(shard);
            assert_int_equal(pipeline.freed, pipeline.handed);
        }
    for (int operation = INIT + 1; operation < OPERATIONS; operation++) assert_true(fired[operation] > 0);
}

static void after_a_recovery_that_fails_both_producers_are_made_again(void **state) {
    (void)state;
    take(0, NULL);
    steps(2);
    world.fail_every = 1;
    commit_rows(0, 3);
    steps(1);
    world.fail_every = 0;
    world.failing = INIT;
    world.fails_at = 2; /* the second of the two */
    world.inits = 0;
    world.now += 10000;
    steps(1);
    assert_int_equal(world.inits, 2);
    world.now += 10000;
    steps(5);
    assert_int_equal(world.inits, 4);
    assert_int_equal(pipeline.counts[REPORT_BROKEN], 2);
    assert_published(0);
}

static void producers_that_cannot_be_made_keep_the_publisher_from_starting(void **state) {
    (void)state;
    struct error error;
    world.failing = INIT;
    world.fails_at = 2;
    assert_int_equal(publisher_start(publisher, &error), -1);
    assert_string_equal(error.code, "test");
    assert_int_equal(publisher_start(publisher, &error), 0);
}

/* After a failure it rests, and obeys meanwhile. */
static void a_shard_can_be_forgotten_while_the_publisher_rests(void **state) {
    (void)state;
    take(0, "dead-0");
    world.failing = FENCE;
    world.fails_at = 1;
    steps(1);
    assert_int_equal(pipeline.counts[REPORT_BROKEN], 1);
    assert_true(handoff_order(handoff, &(struct order){.kind = ORDER_FORGET, .shard = 0}));
    assert_true(handoff_order(handoff, &(struct order){.kind = ORDER_DRAIN, .shard = 1})); /* it has none such */
    steps(1);
    assert_int_equal(pipeline.counts[REPORT_FORGOTTEN], 2);
    assert_int_equal(world.fences, 0);
    assert_int_equal(world.inits, 2);
}

static void a_takeover_replaces_one_that_was_not_finished(void **state) {
    (void)state;
    take(0, "dead-0");
    take(0, "dead-1");
    steps(2);
    assert_int_equal(world.fences, 1);
    assert_int_equal(pipeline.counts[REPORT_READY], 1);
}

/* Postgres says that it has a row and does not give it: nothing is published beyond it, and the message says so. */
static void a_gap_in_the_ledger_is_not_passed_over(void **state) {
    (void)state;
    world.ledger[0] = 3;
    take(0, NULL);
    world.gap = true;
    steps(2);
    assert_int_equal(world.logs[OUTPUT_RESULTS][0].committed_count, 3);
    for (int i = 0; i < 4; i++) {
        steps(1);
        world.now += 10000;
    }
    assert_true(pipeline.counts[REPORT_BROKEN] > 1);
    assert_non_null(strstr(pipeline.reason, "has no row behind 3"));
    assert_int_equal(world.logs[OUTPUT_RESULTS][0].committed_count, 3);
    world.gap = false;
    world.ledger[0] = 4;
    world.now += 10000;
    steps(4);
    assert_published(0);
}

static void a_row_that_cannot_be_made_into_a_record_says_which_it_is(void **state) {
    (void)state;
    world.ledger[0] = 2;
    world.decision = "redacted";
    take(0, NULL);
    steps(2);
    assert_non_null(strstr(pipeline.reason, "row 1 of shard 0 is not of a form"));
    assert_int_equal(world.logs[OUTPUT_RESULTS][0].committed_count, 0);
}

/* Commits were lost: what was known is more than there is. */
static void a_ledger_that_is_shorter_than_it_was_loses_the_shard(void **state) {
    (void)state;
    world.ledger[0] = 5;
    take(0, NULL);
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_READY], 1);
    world.failing = COMMIT;
    world.fails_at = 1;
    commit_rows(0, 2);
    steps(1);
    world.ledger[0] = 5;
    world.now += 10000;
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_LOST], 1);
}

/* A dead letter whose original cannot be read any more: neither from memory nor from the ledger. */
static void a_dead_letter_without_its_original_is_published_by_nobody(void **state) {
    (void)state;
    take(0, NULL);
    steps(2);
    world.damaged = true;
    commit_rows(0, 5);
    steps(1);
    assert_non_null(strstr(pipeline.reason, "row 5 of shard 0 cannot be made into a record"));
    world.now += 10000;
    steps(3);
    assert_int_equal(world.logs[OUTPUT_DEAD_LETTER][0].committed_count, 0);
    world.damaged = false;
    world.now += 10000;
    steps(3);
    assert_published(0);
}

/* After a recovery one shard's tail cannot be read yet: it waits, the other goes on, and the end of waiting ends its draining. */
static void a_shard_that_waits_for_its_tail_holds_up_no_other(void **state) {
    (void)state;
    take(0, NULL);
    take(1, NULL);
    steps(2);
    world.failing = COMMIT;
    world.fails_at = 1;
    commit_rows(0, 3);
    steps(1);
    world.unstable[0] = true;
    world.now += 10000;
    assert_true(handoff_order(handoff, &(struct order){.kind = ORDER_DRAIN, .shard = 0}));
    steps(2);
    commit_rows(0, 2);
    commit_rows(1, 3);
    steps(3);
    assert_published(1);
    assert_int_equal(world.logs[OUTPUT_RESULTS][0].committed_count, 0);
    assert_int_equal(pipeline.counts[REPORT_DRAINED], 0);
    world.unstable[0] = false;
    world.now += 1000;
    steps(4);
    assert_published(0);
    assert_int_equal(pipeline.counts[REPORT_DRAINED], 1);
    assert_int_equal(pipeline.freed, pipeline.handed);
}

/* It waits no longer than until the next try, however long it may. */
static void a_wait_ends_when_the_rest_does(void **state) {
    (void)state;
    take(0, "dead-0");
    world.failing = FENCE;
    world.fails_at = 1;
    assert_true(publisher_step(publisher, 0));
    for (int i = 0; i < 20 && !world.fences; i++) assert_true(publisher_step(publisher, 60000));
    assert_int_equal(world.fences, 1);
    take_reports();
}

/* Another lane, whose results a broker that no longer leads has not got, and that one is asked for the tail. */
static void a_tail_of_a_broker_that_no_longer_leads_is_found_out(void **state) {
    (void)state;
    for (size_t former = 1; former <= 8; former++) {
        empty_world();
        world.former = 0;
        take(0, NULL);
        take(1, NULL);
        steps(2);
        commit_rows(0, 7);
        steps(2);
        commit_rows(1, 4); /* the other producer has had a transaction too */
        steps(2);
        assert_int_equal(pipeline.counts[REPORT_BROKEN], 0);
        world.former = former;
        world.epoch++;
        for (uint32_t shard = 0; shard < 2; shard++) {
            assert_true(handoff_order(handoff, &(struct order){.kind = ORDER_FORGET, .shard = shard}));
            take(shard, NULL);
        }
        for (int i = 0; i < 3; i++) {
            steps(1);
            world.now += 10000;
        }
        assert_true(pipeline.counts[REPORT_BROKEN] > 0);
        assert_string_equal(pipeline.reason, "the log goes on elsewhere");
        commit_rows(0, 5);
        world.former = 0;
        world.now += 10000;
        steps(6);
        assert_published(0);
        assert_published(1);
        assert_int_equal(pipeline.freed, pipeline.handed);
    }
}

/* What was published is all there is: who takes over has nothing to find out, and its producers stay as they are. */
static void a_shard_that_is_taken_clean_needs_no_new_producer(void **state) {
    (void)state;
    take(0, NULL);
    steps(2);
    commit_rows(0, 4);
    steps(2);
    commit_rows(0, 1); /* now both producers have committed, the last of each topic */
    steps(2);
    world.settled = 5;
    take(0, NULL);
    steps(2);
    commit_rows(0, 7);
    steps(2);
    assert_published(0);
    assert_int_equal(world.inits, 2);
    assert_int_equal(pipeline.counts[REPORT_BROKEN], 0);
}

/* The first dead letter comes late, and its topic has a record more than at the takeover. */
static void a_record_that_somebody_else_wrote_is_only_noticed(void **state) {
    (void)state;
    for (int turn = 0; turn < 2; turn++) { /* of either producer */
        empty_world();
        world.epoch++;
        take(0, NULL);
        steps(2);
        for (int i = 0; i < 1 + turn; i++) {
            commit_rows(0, 2);
            steps(2);
        }
        commit_rows(0, 2 - 2 * (size_t)turn);
        steps(2);
        struct log *log = &world.logs[OUTPUT_DEAD_LETTER][0];
        log->committed[log->committed_count++] = 4; /* it passes for the result of a row that was published before */
        commit_rows(0, 1);
        steps(2);
        assert_int_equal(pipeline.counts[REPORT_BROKEN], 1);
        world.now += 10000;
        steps(3);
        assert_int_equal(log->committed_count, 2);
        assert_int_equal(log->committed[1], 5);
        assert_int_equal(pipeline.counts[REPORT_BROKEN], 1);
    }
}

/* Far behind, and nobody has tried any of it: page after page, the first dead letter behind several, without new producers. */
static void a_backlog_that_nobody_tried_is_worked_off_without_new_producers(void **state) {
    (void)state;
    world.rare = 1400;
    take(0, NULL);
    steps(2);
    world.failing = COMMIT;
    world.fails_at = 1;
    commit_rows(0, 1);
    steps(1);
    for (int i = 0; i < 18; i++) commit_rows(0, 80);
    world.inits = 0;
    world.now += 10000;
    steps(8);
    assert_published(0);
    assert_int_equal(world.inits, 2);
    assert_int_equal(pipeline.counts[REPORT_BROKEN], 1);
}

/* The same backlog was in a transaction that has happened, though nobody said so, and who is asked for the tail has less of it:
 * its dead letter waits for new producers, however many pages come before. */
static void what_was_tried_stays_doubted_behind_pages_of_it(void **state) {
    (void)state;
    world.rare = 1400;
    take(0, NULL);
    steps(2);
    for (int i = 0; i < 18; i++) commit_rows(0, 80);
    world.failing = COMMIT;
    world.fails_at = 1;
    world.happens = true;
    steps(1);
    assert_int_equal(pipeline.counts[REPORT_BROKEN], 1);
    assert_int_equal(world.logs[OUTPUT_DEAD_LETTER][0].committed_count, 1);
    struct log *results = &world.logs[OUTPUT_RESULTS][0];
    results->committed_count = 0; /* as if only the dead letter were hidden */
    world.former = 1;
    for (int i = 0; i < 12; i++) {
        world.now += 10000;
        steps(1);
    }
    assert_true(pipeline.counts[REPORT_BROKEN] > 1);
    world.former = 0;
    world.now += 10000;
    steps(8);
    assert_published(0);
}

/* What a tail says of the log's end is kept only once a record has come to lie there. */
static void a_floor_is_the_end_that_was_proved(void **state) {
    (void)state;
    world.ledger[0] = 4;
    for (uint64_t sequence = 1; sequence <= 4; sequence++) {
        struct log *log = &world.logs[OUTPUT_RESULTS][0];
        log->committed[log->committed_count++] = sequence;
    }
    take(0, NULL);
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_READY], 1);
    assert_int_equal(pipeline.floor[0][OUTPUT_RESULTS], -1);
    commit_rows(0, 1); /* a dead letter */
    steps(2);
    assert_int_equal(pipeline.floor[0][OUTPUT_RESULTS], -1);
    assert_int_equal(pipeline.floor[0][OUTPUT_DEAD_LETTER], 0);
    commit_rows(0, 1);
    steps(2);
    assert_int_equal(pipeline.floor[0][OUTPUT_RESULTS], 4);
    commit_rows(0, 3);
    steps(2);
    assert_int_equal(pipeline.floor[0][OUTPUT_RESULTS], 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(commits_of_unknown_outcome_neither_lose_nor_double),
        TEST(batches_committed_during_recovery_are_freed),
        TEST(a_call_that_fails_neither_loses_nor_doubles),
        TEST(after_a_recovery_that_fails_both_producers_are_made_again),
        TEST(producers_that_cannot_be_made_keep_the_publisher_from_starting),
        TEST(a_shard_can_be_forgotten_while_the_publisher_rests),
        TEST(a_takeover_replaces_one_that_was_not_finished),
        TEST(a_gap_in_the_ledger_is_not_passed_over),
        TEST(a_row_that_cannot_be_made_into_a_record_says_which_it_is),
        TEST(a_ledger_that_is_shorter_than_it_was_loses_the_shard),
        TEST(a_dead_letter_without_its_original_is_published_by_nobody),
        TEST(a_shard_that_waits_for_its_tail_holds_up_no_other),
        TEST(a_wait_ends_when_the_rest_does),
        TEST(a_tail_of_a_broker_that_no_longer_leads_is_found_out),
        TEST(a_shard_that_is_taken_clean_needs_no_new_producer),
        TEST(a_record_that_somebody_else_wrote_is_only_noticed),
        TEST(a_backlog_that_nobody_tried_is_worked_off_without_new_producers),
        TEST(what_was_tried_stays_doubted_behind_pages_of_it),
        TEST(a_floor_is_the_end_that_was_proved),
    };
    return cmocka_run_group_tests_name("publish_failures", tests, NULL, NULL);
}
