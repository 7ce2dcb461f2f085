/* A small Kafka and a small ledger for the publisher: logs of committed results, transactions whose end may stay unknown, and
 * rows that are a function of their sequence. The test is the pipeline. */
#ifndef PUBLISH_WORLD_H
#define PUBLISH_WORLD_H

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

enum operation { NO_OPERATION, INIT, FENCE, BEGIN, PRODUCE, COMMIT, TAILS, EPOCHS, LEDGER, OPERATIONS };

struct log { /* one partition of one output topic */
    uint64_t committed[ROWS], open[ROWS];
    size_t committed_count, open_count;
};

static struct {
    struct log logs[OUTPUT_TOPICS][SHARDS];
    uint64_t ledger[SHARDS]; /* the last committed row */
    uint64_t epoch;
    bool foreign_hash, other_owner, other_process, damaged, unstable[SHARDS];
    uint64_t settled; /* of both topics, as a takeover finds it */
    uint64_t resumed; /* the row of an operator's decision, which is published nowhere */
    const char *decision, *project;
    size_t lost;            /* records of rows that the ledger has lost */
    int fail_every;         /* a commit of unknown outcome every so many, at random */
    enum operation failing; /* at its call number `fails_at`, once */
    unsigned fails_at;
    bool failed, gap; /* gap: the store says that there is one row more than there is */
    uint64_t rare;    /* the only dead letter, if it is not 0 */
    bool happens;     /* a commit that fails has happened */
    int inits, fences;
    size_t former;     /* so many results a broker that no longer leads leaves out of the tails */
    bool misplaced;    /* a record of the transaction is not where it must be */
    bool committed[2]; /* by that producer, since it was initialised */
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
static enum output_topic topic_of(uint64_t sequence) {
    bool dead = world.rare ? sequence == world.rare : sequence % 5 == 0;
    return dead ? OUTPUT_DEAD_LETTER : OUTPUT_RESULTS;
}
static enum result_kind kind_of(uint64_t sequence) {
    if (sequence == world.resumed) return RESULT_SHARD_RESUMED;
    return topic_of(sequence) == OUTPUT_DEAD_LETTER ? RESULT_DEAD_LETTER : RESULT_EVENT_REFUSED;
}

static struct ledger_row row_of(uint32_t shard, uint64_t sequence) {
    static const char no_header[12] = "\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff";
    struct ledger_row row = {
        .shard = shard, .sequence = sequence, .kind = kind_of(sequence), .decision = slice_str(world.decision)};
    if (row.kind == RESULT_DEAD_LETTER) {
        row.topic = INPUT_REQUESTS;
        row.input = slice_of(no_header, sizeof no_header - world.damaged);
    }
    row.hash = digest_of(slice_of(&sequence, sizeof sequence));
    return row;
}

/* ---- the ports ---- */

static int fails(enum operation operation, struct error *error) {
    if (world.failing != operation || world.failed || --world.fails_at) return 0;
    world.failed = true;
    return error_set(error, ERROR_UNAVAILABLE, "test", "as the test says");
}

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
    (void)output;
    end(false);
    world.inits++;
    world.committed[which] = false;
    return fails(INIT, error);
}

static int fake_fence(struct output *output, struct slice id, struct error *error) {
    (void)output;
    assert_false(slice_starts(id, SLICE("own-")));
    if (fails(FENCE, error)) return -1;
    world.fences++;
    return 0;
}

static int fake_begin(struct output *output, int which, struct error *error) {
    world.misplaced = false;
    return (void)output, (void)which, fails(BEGIN, error);
}

static int fake_produce(struct output *output, int which, const struct output_record *record, struct error *error) {
    (void)output, (void)which;
    char text[24] = {0};
    if (fails(PRODUCE, error)) return -1;
    for (size_t i = 0; i < record->header_count; i++)
        if (slice_is(record->headers[i].name, "ce_ledgersequence"))
            memcpy(text, record->headers[i].value.p, record->headers[i].value.n);
    if (slice_is(record->key, "acme/lost")) world.lost++;
    struct log *log = &world.logs[record->topic][record->shard];
    assert_true(log->committed_count + log->open_count < ROWS);
    world.misplaced |= record->placed && record->at != (int64_t)(log->committed_count + log->open_count);
    log->open[log->open_count++] = strtoull(text, NULL, 10);
    return 0;
}

static int fake_commit(struct output *output, int which, struct error *error) {
    (void)output;
    if (fails(COMMIT, error)) {
        if (world.happens) end(true);
        return -1;
    }
    if (world.misplaced) {
        if (world.former) assert_false(world.committed[which]); /* a copy of that EndTxn would commit this one */
        return error_set(error, ERROR_UNKNOWN, "kafka-stale-leader", "the log goes on elsewhere");
    }
    world.committed[which] = true;
    bool unknown = world.fail_every && draw((uint64_t)world.fail_every) == 0;
    end(!unknown || draw(2)); /* an unknown commit has happened as often as not */
    return unknown ? error_set(error, ERROR_UNKNOWN, "kafka-timeout", "nobody knows") : 0;
}

static int fake_tails(struct output *output, struct output_tail *tails, size_t count, struct error *error) {
    (void)output;
    if (fails(TAILS, error)) return -1;
    for (size_t i = 0; i < count; i++) {
        tails[i].ret_stable = !world.unstable[tails[i].shard];
        for (int topic = 0; topic < OUTPUT_TOPICS; topic++) {
            const struct log *log = &world.logs[topic][tails[i].shard];
            size_t there = log->committed_count > world.former ? log->committed_count - world.former : 0;
            tails[i].ret_found[topic] = there > 0;
            tails[i].ret_end[topic] = (int64_t)there;
            if (!there) continue;
            tails[i].ret_sequence[topic] = log->committed[there - 1];
            tails[i].ret_hash[topic] = row_of(tails[i].shard, tails[i].ret_sequence[topic]).hash;
            if (world.foreign_hash) tails[i].ret_hash[topic].bytes[0] ^= 1;
        }
    }
    return 0;
}

static int fake_epochs(struct store *store, struct store_epoch *shards, size_t count, struct error *error) {
    (void)store;
    if (fails(EPOCHS, error)) return -1;
    for (size_t i = 0; i < count; i++) {
        shards[i].ret_epoch = world.epoch + world.other_owner;
        memcpy(shards[i].ret_owner, owner, STORE_OWNER);
        shards[i].ret_owner[STORE_OWNER - 1] = world.other_process;
        shards[i].ret_sequence = world.ledger[shards[i].shard] + world.gap;
    }
    return 0;
}

static int fake_ledger(struct store *store, struct arena *arena, uint32_t shard, uint64_t after, uint64_t through, size_t limit,
                       struct ledger_row **ret_rows, size_t *ret_count, struct error *error) {
    (void)store;
    if (fails(LEDGER, error)) return -1;
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
    int64_t floor[SHARDS][OUTPUT_TOPICS]; /* that goes with it */
    char reason[512];                     /* of the last report that has one */
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
        if (*report->reason) memcpy(pipeline.reason, report->reason, sizeof pipeline.reason);
        for (int topic = 0; topic < OUTPUT_TOPICS; topic++) {
            if (report->kind == REPORT_PUBLISHED) pipeline.settled[report->shard][topic] = report->settled[topic].sequence;
            if (report->kind == REPORT_PUBLISHED || report->kind == REPORT_READY)
                pipeline.floor[report->shard][topic] = report->settled[topic].offset;
        }
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

/* Nothing is in the ledger, published or reported; the publisher and its epoch stay. */
static inline void empty_world(void) {
    memset(world.logs, 0, sizeof world.logs);
    memset(world.ledger, 0, sizeof world.ledger);
    memset(&pipeline, 0, sizeof pipeline);
}

static inline void steps(int count) {
    for (int i = 0; i < count; i++) {
        assert_true(publisher_step(publisher, 0));
        take_reports();
    }
}

static inline void take(uint32_t shard, const char *foreign_id) {
    struct order order = {.kind = ORDER_TAKE, .shard = shard};
    arena_init(&order.arena, 1 << 20);
    order.row = ARENA_NEW(&order.arena, struct shard_row);
    order.row->epoch = world.epoch;
    order.row->sequence = world.ledger[shard];
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++)
        order.row->settled[topic] = (struct settled){.sequence = world.settled, .offset = -1};
    order.row->fence_ids = ARENA_ARRAY(&order.arena, struct slice, 2);
    order.row->fence_ids[order.row->fence_id_count++] = SLICE("own-0");
    if (foreign_id) order.row->fence_ids[order.row->fence_id_count++] = slice_str(foreign_id);
    assert_true(handoff_order(handoff, &order));
}

/* A batch of `count` rows of the shard: in the ledger, and handed over. */
static inline void commit_rows(uint32_t shard, size_t count) {
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
static inline void assert_published(uint32_t shard) {
    size_t at[OUTPUT_TOPICS] = {0};
    for (uint64_t sequence = 1; sequence <= world.ledger[shard]; sequence++) {
        const struct log *log = &world.logs[topic_of(sequence)][shard];
        size_t *next = &at[topic_of(sequence)];
        assert_true(*next < log->committed_count);
        assert_int_equal(log->committed[(*next)++], sequence);
    }
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++) assert_int_equal(world.logs[topic][shard].committed_count, at[topic]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
