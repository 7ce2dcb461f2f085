/* The publisher when nothing fails: what it takes, what it publishes, and when it lets go. */
#include "publish_world.h"

static void results_come_out_once_and_in_order(void **state) {
    (void)state;
    for (uint32_t shard = 0; shard < SHARDS; shard++) take(shard, NULL);
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_READY], SHARDS);
    for (int i = 0; i < 30; i++) {
        commit_rows((uint32_t)i % SHARDS, 7);
        steps(1);
    }
    steps(3);
    for (uint32_t shard = 0; shard < SHARDS; shard++) assert_published(shard);
    assert_int_equal(pipeline.freed, pipeline.handed);
    assert_int_equal(pipeline.settled[0][OUTPUT_RESULTS], world.ledger[0]);
    assert_int_equal(pipeline.settled[0][OUTPUT_DEAD_LETTER], world.ledger[0]);
}

static void a_backlog_is_published_though_its_trees_would_not_fit_at_once(void **state) {
    (void)state;
    char *decision = malloc(300000);
    int n = sprintf(decision, "{\"project\":\"acme/shop\",\"list\":[");
    for (int i = 0; i < 100000 - 10; i++) n += sprintf(decision + n, i ? ",1" : "1");
    (void)sprintf(decision + n, "]}");
    world.decision = decision;
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        world.ledger[shard] = 12;
        take(shard, NULL);
    }
    steps(6);
    for (uint32_t shard = 0; shard < SHARDS; shard++) assert_published(shard);
    assert_int_equal(pipeline.counts[REPORT_BROKEN], 0);
    free(decision);
}

static void a_row_with_a_nul_in_its_decision_can_be_made_again(void **state) {
    (void)state;
    world.decision = "{\"project\":\"acme/shop\",\"path\":\"/x\\u0000y\"}";
    world.ledger[0] = 4;
    take(0, NULL);
    steps(3);
    assert_published(0);
}

static void what_was_published_before_need_not_be_readable(void **state) {
    (void)state;
    world.ledger[0] = 9;
    for (uint64_t sequence = 1; sequence <= 9; sequence++) {
        struct log *log = &world.logs[topic_of(sequence)][0];
        if (topic_of(sequence) == OUTPUT_RESULTS) log->committed[log->committed_count++] = sequence;
    }
    world.decision = "redacted"; /* only the dead letter of row 5 is missing, and its decision is a header as it is */
    take(0, NULL);
    steps(3);
    assert_published(0);
    assert_int_equal(pipeline.counts[REPORT_BROKEN], 0);
}

static void a_tail_that_the_ledger_does_not_have_stops_the_shard(void **state) {
    (void)state;
    world.logs[OUTPUT_RESULTS][0].committed[0] = 3;
    world.logs[OUTPUT_RESULTS][0].committed_count = 1;
    world.ledger[0] = 2;
    take(0, NULL);
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_STOPPED], 1);
    world.ledger[0] = 3;
    world.foreign_hash = true;
    take(0, NULL);
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_STOPPED], 2);
    assert_int_equal(pipeline.counts[REPORT_READY], 0);
}

/* Retention has deleted the results, so that no tail can show them. */
static void a_shard_that_settled_more_than_its_ledger_has_stops(void **state) {
    (void)state;
    world.ledger[0] = 2;
    world.settled = 3;
    take(0, NULL);
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_STOPPED], 1);
    assert_int_equal(pipeline.counts[REPORT_READY], 0);
}

static void a_shard_of_another_owner_is_lost(void **state) {
    (void)state;
    world.other_owner = true;
    take(0, NULL);
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_LOST], 1);
    commit_rows(0, 2);
    steps(2);
    assert_int_equal(world.logs[OUTPUT_RESULTS][0].committed_count, 0);
    assert_int_equal(pipeline.freed, 1);
}

static void an_unstable_tail_holds_up_its_own_shard_only(void **state) {
    (void)state;
    world.unstable[0] = true;
    take(0, NULL);
    take(1, NULL);
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_READY], 1);
    commit_rows(1, 3);
    steps(2);
    assert_published(1);
    world.now += 60000;
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_UNSTABLE], 1);
    world.unstable[0] = false;
    world.now += 1000;
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_READY], 2);
}

/* Shard 1 has a backlog, so nothing is taken from memory; meanwhile Postgres loses what was committed for shard 0. */
static void a_batch_of_an_epoch_that_is_over_is_not_published(void **state) {
    (void)state;
    take(0, NULL);
    world.ledger[1] = 1400;
    take(1, NULL);
    steps(1);
    world.project = "acme/lost";
    commit_rows(0, 2);
    steps(1);
    world.ledger[0] = 0;
    world.epoch++;
    handoff_order(handoff, &(struct order){.kind = ORDER_FORGET, .shard = 0});
    take(0, NULL);
    steps(1);
    assert_int_equal(pipeline.freed, 0);
    world.project = "acme/shop";
    commit_rows(0, 2);
    steps(8);
    assert_int_equal(world.lost, 0);
    assert_int_equal(pipeline.freed, 2);
    assert_published(0);
    assert_published(1);
}

static void what_is_settled_is_not_published_again_though_the_topic_has_forgotten_it(void **state) {
    (void)state;
    struct order order = {.kind = ORDER_TAKE, .shard = 0};
    world.ledger[0] = 9;
    arena_init(&order.arena, 1 << 20);
    order.row = ARENA_NEW(&order.arena, struct shard_row);
    *order.row = (struct shard_row){.epoch = EPOCH, .sequence = 9, .settled = {{7, -1}, {4, -1}}};
    assert_true(handoff_order(handoff, &order));
    steps(3);
    const struct log *results = &world.logs[OUTPUT_RESULTS][0], *dead = &world.logs[OUTPUT_DEAD_LETTER][0];
    assert_int_equal(results->committed_count, 2);
    assert_int_equal(results->committed[0], 8);
    assert_int_equal(dead->committed_count, 1);
    assert_int_equal(dead->committed[0], 5);
}

static void each_foreign_id_is_fenced_once(void **state) {
    (void)state;
    for (uint32_t shard = 0; shard < SHARDS; shard++) take(shard, "dead-0");
    steps(2);
    assert_int_equal(world.fences, 1);
    assert_int_equal(pipeline.counts[REPORT_READY], SHARDS);
}

static void a_shard_is_drained_only_when_all_of_it_is_published(void **state) {
    (void)state;
    take(0, NULL);
    steps(2);
    world.fail_every = 1;
    commit_rows(0, 3);
    handoff_order(handoff, &(struct order){.kind = ORDER_DRAIN, .shard = 0});
    steps(1);
    assert_int_equal(pipeline.counts[REPORT_DRAINED], 0);
    world.fail_every = 0;
    world.now += 10000;
    steps(5);
    assert_int_equal(pipeline.counts[REPORT_DRAINED], 1);
    assert_published(0);
}

/* After a database was restored an epoch's number may come again: the process that drew it is another. */
static void an_epoch_of_another_process_is_lost(void **state) {
    (void)state;
    world.other_process = true;
    take(0, NULL);
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_LOST], 1);
    assert_int_equal(pipeline.counts[REPORT_READY], 0);
}

static void a_result_without_a_row_stops_the_shard(void **state) {
    (void)state;
    world.logs[OUTPUT_RESULTS][0].committed[0] = 0;
    world.logs[OUTPUT_RESULTS][0].committed_count = 1;
    world.ledger[0] = 2;
    take(0, NULL);
    steps(2);
    assert_int_equal(pipeline.counts[REPORT_STOPPED], 1);
    assert_non_null(strstr(pipeline.reason, "has row 0 of shard 0"));
}

static void a_row_that_is_published_nowhere_is_passed_over(void **state) {
    (void)state;
    world.resumed = 2;
    world.ledger[0] = 4;
    take(0, NULL);
    steps(3);
    const struct log *log = &world.logs[OUTPUT_RESULTS][0];
    assert_int_equal(log->committed_count, 3);
    assert_int_equal(log->committed[1], 3);
    assert_int_equal(pipeline.settled[0][OUTPUT_RESULTS], 4);
}

static void a_transaction_takes_so_many_rows_and_no_more(void **state) {
    (void)state;
    for (uint32_t shard = 0; shard < SHARDS; shard++) take(shard, NULL);
    steps(2);
    for (uint32_t shard = 0; shard < SHARDS; shard++) commit_rows(shard, 1500);
    steps(1);
    assert_published(0);
    assert_published(1);
    assert_int_equal(world.logs[OUTPUT_RESULTS][2].committed_count, 0);
    steps(1);
    assert_published(2);
    assert_int_equal(pipeline.freed, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(results_come_out_once_and_in_order),
        TEST(a_backlog_is_published_though_its_trees_would_not_fit_at_once),
        TEST(a_row_with_a_nul_in_its_decision_can_be_made_again),
        TEST(what_was_published_before_need_not_be_readable),
        TEST(a_tail_that_the_ledger_does_not_have_stops_the_shard),
        TEST(a_shard_that_settled_more_than_its_ledger_has_stops),
        TEST(a_shard_of_another_owner_is_lost),
        TEST(an_unstable_tail_holds_up_its_own_shard_only),
        TEST(a_batch_of_an_epoch_that_is_over_is_not_published),
        TEST(what_is_settled_is_not_published_again_though_the_topic_has_forgotten_it),
        TEST(each_foreign_id_is_fenced_once),
        TEST(a_shard_is_drained_only_when_all_of_it_is_published),
        TEST(an_epoch_of_another_process_is_lost),
        TEST(a_result_without_a_row_stops_the_shard),
        TEST(a_row_that_is_published_nowhere_is_passed_over),
        TEST(a_transaction_takes_so_many_rows_and_no_more),
    };
    return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
