/* The publisher over a small Kafka and a small ledger: logs of committed results, transactions whose end may stay unknown, and
 * rows that are a function of their sequence. */
#include "publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

enum { SHARDS = 3, ROWS = 2000, EPOCH = 5 };

/* ---- the world ---- */

struct log { /* one partition of one output topic */
    uint64_t committed[ROWS], open[ROWS];
    size_t committed_count, open_count;
};

static struct {
    struct log logs[OUTPUT_TOPICS][SHARDS];
    uint64_t ledger[SHARDS]; /* the last committed row */
    uint64_t epoch;
    bool foreign_hash, other_owner, unstable[SHARDS];
    const char *decision, *project;
    size_t lost;    /* records of rows that the ledger has lost */
    int fail_every; /* a commit of unknown outcome every so many, at random */
    int inits, fences;
    uint64_t now, random;
} world;

static unsigned char owner[STORE_OWNER] = {1};
static struct handoff *handoff;
static struct publisher *publisher;

static uint64_t draw(uint64_t below) {
    world.random = world.random * 6364136223846793005u + 1442695040888963407u;
    return (world.random >> 33) % below;
}

/* Every fifth row is a dead letter. */
static enum result_kind kind_of(uint64_t sequence) { return sequence % 5 == 0 ? RESULT_DEAD_LETTER : RESULT_EVENT_REFUSED; }
static enum output_topic topic_of(uint64_t sequence) { return sequence % 5 == 0 ? OUTPUT_DEAD_LETTER : OUTPUT_RESULTS; }

static struct ledger_row row_of(uint32_t shard, uint64_t sequence) {
    static const char no_header[12] = "\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff";
    struct ledger_row row = {
        .shard = shard, .sequence = sequence, .kind = kind_of(sequence), .decision = slice_str(world.decision)};
    if (row.kind == RESULT_DEAD_LETTER) {
        row.topic = INPUT_REQUESTS;
        row.input = slice_of(no_header, sizeof no_header);
    }
    row.hash = digest_of(slice_of(&sequence, sizeof sequence));
    return row;
}

/* ---- the ports ---- */

static struct slice fake_id(struct output *output, int which) { return (void)output, which ? SLICE("own-1") : SLICE("own-0"); }

static void end(bool commit) {
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++)
        for (int shard = 0; shard < SHARDS; shard++) {
            struct log *log = &world.logs[topic][shard];
            for (size_t i = 0; commit && i < log->open_count; i++) log->committed[log->committed_count++] = log->open[i];
            log->open_count = 0;
        }
}

static int fake_init(struct output *output, int which, struct error *error) {
    (void)output, (void)which, (void)error;
    end(false);
    world.inits++;
    return 0;
}

static int fake_fence(struct output *output, struct slice id, struct error *error) {
    (void)output, (void)error;
    assert_false(slice_starts(id, SLICE("own-")));
    world.fences++;
    return 0;
}

static int fake_begin(struct output *output, int which, struct error *error) { return (void)output, (void)which, (void)error, 0; }

static int fake_produce(struct output *output, int which, const struct output_record *record, struct error *error) {
    (void)output, (void)which, (void)error;
    char text[24] = {0};
    for (size_t i = 0; i < record->header_count; i++)
        if (slice_is(record->headers[i].name, "ce_ledgersequence"))
            memcpy(text, record->headers[i].value.p, record->headers[i].value.n);
    if (slice_is(record->key, "acme/lost")) world.lost++;
    struct log *log = &world.logs[record->topic][record->shard];
    assert_true(log->committed_count + log->open_count < ROWS);
    log->open[log->open_count++] = strtoull(text, NULL, 10);
    return 0;
}

static int fake_commit(struct output *output, int which, struct error *error) {
    (void)output, (void)which;
    bool unknown = world.fail_every && draw((uint64_t)world.fail_every) == 0;
    end(!unknown || draw(2)); /* an unknown commit has happened as often as not */
    return unknown ? error_set(error, ERROR_UNKNOWN, "kafka-timeout", "nobody knows") : 0;
}

static int fake_tails(struct output *output, struct output_tail *tails, size_t count, struct error *error) {
    (void)output, (void)error;
    for (size_t i = 0; i < count; i++) {
        tails[i].ret_stable = !world.unstable[tails[i].shard];
        for (int topic = 0; topic < OUTPUT_TOPICS; topic++) {
            const struct log *log = &world.logs[topic][tails[i].shard];
            tails[i].ret_found[topic] = log->committed_count > 0;
            if (!log->committed_count) continue;
            tails[i].ret_sequence[topic] = log->committed[log->committed_count - 1];
            tails[i].ret_hash[topic] = row_of(tails[i].shard, tails[i].ret_sequence[topic]).hash;
            if (world.foreign_hash) tails[i].ret_hash[topic].bytes[0] ^= 1;
        }
    }
    return 0;
}

static int fake_epochs(struct store *store, struct store_epoch *shards, size_t count, struct error *error) {
    (void)store, (void)error;
    for (size_t i = 0; i < count; i++) {
        shards[i].ret_epoch = world.epoch + world.other_owner;
        memcpy(shards[i].ret_owner, owner, STORE_OWNER);
        shards[i].ret_sequence = world.ledger[shards[i].shard];
    }
    return 0;
}

static int fake_ledger(struct store *store, struct arena *arena, uint32_t shard, uint64_t after, uint64_t through, size_t limit,
                       struct ledger_row **ret_rows, size_t *ret_count, struct error *error) {
    (void)store;
    if (through > world.ledger[shard]) through = world.ledger[shard];
    size_t count = through > after ? through - after : 0;
    if (count > limit) count = limit;
    struct ledger_row *rows = ARENA_ARRAY(arena, struct ledger_row, count);
    for (size_t i = 0; rows && i < count; i++) {
        rows[i] = row_of(shard, after + 1 + i);
        rows[i].decision = arena_copy(arena, rows[i].decision);
        if (!rows[i].decision.p) return error_memory(error);
    }
    *ret_rows = rows;
    *ret_count = count;
    return rows ? 0 : error_memory(error);
}

static uint64_t fake_now(struct lane_clock *clock) { return (void)clock, world.now += 5; }

static const struct output_operations output_operations = {.id = fake_id,
                                                           .init = fake_init,
                                                           .fence = fake_fence,
                                                           .begin = fake_begin,
                                                           .produce = fake_produce,
                                                           .commit = fake_commit,
                                                           .tails = fake_tails};
static const struct store_operations store_operations = {.epochs = fake_epochs, .ledger = fake_ledger};
static struct output output = {&output_operations};
static struct store store = {&store_operations};
static struct lane_clock lane_clock = {fake_now};

/* ---- the pipeline's side ---- */

static struct {
    size_t freed, handed;
    unsigned counts[REPORT_FAILED + 1];
    uint64_t settled[SHARDS][OUTPUT_TOPICS];
} pipeline;

static int set_up(void **state) {
    (void)state;
    struct error error;
    memset(&world, 0, sizeof world);
    memset(&pipeline, 0, sizeof pipeline);
    world.decision = "{\"project\":\"acme/shop\"}";
    world.project = "acme/shop";
    world.epoch = EPOCH;
    world.random = 1;
    handoff = handoff_new();
    struct publisher_options options = {
        .handoff = handoff, .output = &output, .store = &store, .clock = &lane_clock, .shards = SHARDS};
    memcpy(options.owner, owner, sizeof owner);
    publisher = publisher_new(&options);
    assert_int_equal(publisher_start(publisher, &error), 0);
    return 0;
}

static void take_reports(void) {
    for (struct report *report = handoff_reports(handoff, 0), *next; report; report = next) {
        next = report->next;
        pipeline.counts[report->kind]++;
        if (report->kind == REPORT_PUBLISHED)
            for (int topic = 0; topic < OUTPUT_TOPICS; topic++)
                pipeline.settled[report->shard][topic] = report->settled[topic].sequence;
        if (report->kind == REPORT_FREED) {
            pipeline.freed++;
            batch_release(report->batch);
            free(report->batch);
        }
        free(report);
    }
}

static int tear_down(void **state) {
    (void)state;
    handoff_order(handoff, &(struct order){.kind = ORDER_END});
    assert_false(publisher_step(publisher, 0));
    take_reports();
    publisher_free(publisher);
    handoff_free(handoff);
    return 0;
}

static void steps(int count) {
    for (int i = 0; i < count; i++) {
        assert_true(publisher_step(publisher, 0));
        take_reports();
    }
}

static uint64_t settled_at_takeover;

static void take(uint32_t shard, const char *foreign_id) {
    struct order order = {.kind = ORDER_TAKE, .shard = shard};
    arena_init(&order.arena, 1 << 20);
    order.row = ARENA_NEW(&order.arena, struct shard_row);
    order.row->epoch = world.epoch;
    order.row->sequence = world.ledger[shard];
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++)
        order.row->settled[topic] = (struct settled){.sequence = settled_at_takeover, .offset = -1};
    order.row->fence_ids = ARENA_ARRAY(&order.arena, struct slice, 2);
    order.row->fence_ids[order.row->fence_id_count++] = SLICE("own-0");
    if (foreign_id) order.row->fence_ids[order.row->fence_id_count++] = slice_str(foreign_id);
    assert_true(handoff_order(handoff, &order));
}

/* A batch of `count` rows of the shard: in the ledger, and handed over. */
static void commit_rows(uint32_t shard, size_t count) {
    struct batch *batch = malloc(sizeof *batch);
    batch_init(batch, 1 << 24);
    batch->shards = ARENA_NEW(&batch->kept, struct shard_batch);
    batch->shard_count = 1;
    *batch->shards = (struct shard_batch){
        .shard = shard, .epoch = world.epoch, .first_sequence = world.ledger[shard], .sequence = world.ledger[shard] + count};
    batch->answers = ARENA_ARRAY(&batch->kept, struct answer, count);
    for (size_t i = 0; i < count; i++)
        batch->answers[batch->answer_count++] =
            (struct answer){.row = row_of(shard, world.ledger[shard] + 1 + i), .project = slice_str(world.project)};
    world.ledger[shard] += count;
    pipeline.handed++;
    assert_true(handoff_order(handoff, &(struct order){.kind = ORDER_ROWS, .batch = batch}));
}

/* Each row of the ledger once, in order, in its own topic, and nothing else. */
static void assert_published(uint32_t shard) {
    size_t at[OUTPUT_TOPICS] = {0};
    for (uint64_t sequence = 1; sequence <= world.ledger[shard]; sequence++) {
        const struct log *log = &world.logs[topic_of(sequence)][shard];
        size_t *next = &at[topic_of(sequence)];
        assert_true(*next < log->committed_count);
        assert_int_equal(log->committed[(*next)++], sequence);
    }
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++) assert_int_equal(world.logs[topic][shard].committed_count, at[topic]);
}

/* ---- the tests ---- */

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
    settled_at_takeover = 3;
    take(0, NULL);
    steps(2);
    settled_at_takeover = 0;
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(results_come_out_once_and_in_order),
        TEST(commits_of_unknown_outcome_neither_lose_nor_double),
        TEST(batches_committed_during_recovery_are_freed),
        TEST(a_backlog_is_published_though_its_trees_would_not_fit_at_once),
        TEST(a_row_with_a_nul_in_its_decision_can_be_made_again),
        TEST(what_was_published_before_need_not_be_readable),
        TEST(a_tail_that_the_ledger_does_not_have_stops_the_shard),
        TEST(a_shard_that_settled_more_than_its_ledger_has_stops),
        TEST(a_shard_of_another_owner_is_lost),
        TEST(an_unstable_tail_holds_up_its_own_shard_only),
        TEST(a_batch_of_an_epoch_that_is_over_is_not_published),
        TEST(each_foreign_id_is_fenced_once),
        TEST(a_shard_is_drained_only_when_all_of_it_is_published),
    };
    return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
