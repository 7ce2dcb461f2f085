/* The stages of a batch, the records that are made of their answers, and what a lane is made of, under exhausted memory. */
#include "decode.h"
#include "gather.h"
#include "http.h"
#include "kafka.h"
#include "lane.h"
#include "operation.h"
#include "pg.h"
#include "publish.h"
#include "result.h"
#include "world.h"

#include <stdlib.h>

enum { ITEMS_MAX = 64 };
static const unsigned char owner[STORE_OWNER];

/* ---- a batch through the stages ---- */

struct stages {
    struct batch batch;
    struct decoder *decoder;
    struct arena arena; /* the policy's */
    const struct policy *policy;
    struct item items[ITEMS_MAX];
    size_t item_count;
    struct shard_batch shard;
    uint32_t number;
};

static void *set_up(void) {
    struct stages *s = calloc(1, sizeof *s);
    if (!s) abort();
    world_begin(NULL, 0);
    world_send();
    batch_init(&s->batch, 64 * 1024 * 1024);
    arena_init(&s->arena, 64 * 1024 * 1024);
    s->decoder = decoder_new(NULL);
    if (!s->decoder || policy_parse(&s->arena, slice_str(world.policy), &s->policy, NULL)) abort();
    return s;
}

static void *set_up_other_shard(void) {
    struct stages *s = set_up();
    s->number = 1;
    return s;
}

static void tear_down(void *state) {
    struct stages *s = state;
    batch_release(&s->batch);
    decoder_free(s->decoder);
    arena_release(&s->arena);
    free(s);
}

/* The batch as it is put together, without what may fail there: test_lane tries that. */
static void fill(struct stages *s) {
    struct batch *batch = &s->batch;
    batch_reset(batch);
    s->item_count = 0;
    const struct shard_row *row = &world.shards[s->number];
    s->shard = (struct shard_batch){.shard = s->number,
                                    .sequence = row->sequence,
                                    .first_sequence = row->sequence,
                                    .head = row->head,
                                    .first_head = row->head};
    for (int topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
        for (size_t i = 0; i < world.inputs[topic][s->number].count; i++)
            s->items[s->item_count++] = (struct item){.shard = &s->shard, .record = &world.inputs[topic][s->number].records[i]};
    batch->decoder = s->decoder;
    batch->installation_shards = SHARDS;
    batch->policy = s->policy;
    batch->control_version = batch->policy_version = 1;
    batch->topics[INPUT_BUILDS] = "release.builds";
    batch->topics[INPUT_REQUESTS] = "release.requests";
    batch->items = s->items;
    batch->item_count = s->item_count;
    batch->shards = &s->shard;
    batch->shard_count = 1;
}

/* `last`: the stage at which it ends, from 1. */
static int run_until(struct stages *s, int last, struct error *error) {
    struct batch *batch = &s->batch;
    fill(s);
    if (decode(batch, error)) return -1;
    if (last >= 2 && load(batch, &world_store, error)) return -1;
    if (last >= 3 && gather(batch, &world_registry, 500, error)) return -1;
    if (last >= 4 && decide(batch, error)) return -1;
    return last >= 5 ? commit(batch, &world_store, owner, error) : 0;
}

static int run_decode(void *state, struct error *error) { return run_until(state, 1, error); }
static int run_load(void *state, struct error *error) { return run_until(state, 2, error); }
static int run_gather(void *state, struct error *error) { return run_until(state, 3, error); }
static int run_decide(void *state, struct error *error) { return run_until(state, 4, error); }
static int run_commit(void *state, struct error *error) { return run_until(state, 5, error); }

static void tell_items(void *state, struct buf *to) {
    const struct stages *s = state;
    for (size_t i = 0; i < s->item_count; i++) {
        const struct item *item = &s->items[i];
        buf_print(to, "%d %s %.*s %.*s %.*s seen %d, release %d\n", (int)item->state, code_text(item->code),
                  SLICE_ARG(item->message), SLICE_ARG(item->path), SLICE_ARG(item->event.id), item->seen != NULL,
                  item->release != NULL);
    }
    buf_print(to, "%zu questions, %zu releases, %zu waiting\n", s->batch.questions.count, s->batch.facts.release_count,
              s->batch.facts.waiting_count);
}

static void tell_answers(void *state, struct buf *to) {
    const struct batch *batch = &((struct stages *)state)->batch;
    for (size_t i = 0; i < batch->answer_count; i++)
        buf_print(to, "%llu %.*s %.*s\n", (unsigned long long)batch->answers[i].row.sequence,
                  SLICE_ARG(batch->answers[i].row.decision), SLICE_ARG(batch->answers[i].traceparent));
    buf_print(to, "%zu promotions, %zu claims, %zu wakes, %zu environments\n", batch->promotion_count, batch->claim_count,
              batch->wake_count, batch->changed_environment_count);
}

static void tell_store(void *state, struct buf *to) {
    tell_answers(state, to);
    const struct shard_row *row = &world.shards[((struct stages *)state)->number];
    buf_print(to, "%llu rows, positions %llu %llu, %zu promotions, %zu releases, %zu seen\n", (unsigned long long)row->sequence,
              (unsigned long long)row->position[INPUT_BUILDS], (unsigned long long)row->position[INPUT_REQUESTS],
              world.promotion_count, world.release_count, world.seen_count);
}

/* ---- records from ledger rows ---- */

struct sent world_sent(const struct output_record *record);

struct recall {
    struct arena arena;
    struct buf said;
};

static void *set_up_recall(void) {
    struct error error;
    struct stages *s = set_up();
    struct recall *r = calloc(1, sizeof *r);
    if (!r || run_commit(s, &error)) abort();
    tear_down(s);
    arena_init(&r->arena, 16 * 1024 * 1024);
    buf_init(&r->said, 1024 * 1024);
    if (!buf_reserve(&r->said, 64 * 1024)) abort();
    return r;
}

static int recall(void *state, struct error *error) {
    struct recall *r = state;
    buf_reset(&r->said);
    for (uint64_t i = 0; i < world.shards[0].sequence; i++) {
        struct answer answer = {.row = world.rows[0][i]};
        struct output_record record;
        arena_reset(&r->arena);
        if (result_recall(&r->arena, &world.rows[0][i], &answer) ||
            result_record(&r->arena, &answer, SLICE("/sluice/test"), &record))
            return error_memory(error);
        struct sent sent = world_sent(&record);
        buf_append(&r->said, slice_of(&sent, sizeof sent));
    }
    return 0;
}

static void tell_recalled(void *state, struct buf *to) { buf_append(to, buf_slice(&((struct recall *)state)->said)); }

static void tear_down_recall(void *state) {
    arena_release(&((struct recall *)state)->arena);
    buf_release(&((struct recall *)state)->said);
    free(state);
}

/* ---- what a lane is made of ---- */

static void *set_up_nothing(void) {
    static int nothing;
    world_begin(NULL, 0);
    return &nothing;
}

static void tell_nothing(void *state, struct buf *to) { (void)state, buf_str(to, "made"); }
static void tear_down_nothing(void *state) { (void)state; }

static int make_decoder(void *state, struct error *error) {
    (void)state;
    struct decoder *decoder = decoder_new(error);
    decoder_free(decoder);
    return decoder ? 0 : -1;
}

static int make_handoff(void *state, struct error *error) {
    (void)state;
    struct handoff *handoff = handoff_new();
    bool done = handoff && handoff_order(handoff, &(struct order){.kind = ORDER_FORGET}) &&
                handoff_report(handoff, &(struct report){.kind = REPORT_READY});
    if (handoff) {
        EXPECT(handoff_order(handoff, &(struct order){.kind = ORDER_END}));
        EXPECT(handoff_report(handoff, &(struct report){.kind = REPORT_FAILED}));
    }
    handoff_free(handoff);
    return done ? 0 : error_memory(error);
}

static int make_lane(void *state, struct error *error) {
    (void)state;
    struct lane *lane = lane_new(&(struct lane_options){.shards = SHARDS, .clock = &world_clock});
    struct publisher *publisher = publisher_new(&(struct publisher_options){.shards = SHARDS, .clock = &world_clock});
    lane_free(lane);
    publisher_free(publisher);
    return lane && publisher ? 0 : error_memory(error);
}

static int make_ports(void *state, struct error *error) {
    static const struct pg_options pg = {.url = "postgresql://nobody@127.0.0.1:1/none", .schema = "s", .application = "a"};
    static const struct kafka_options kafka = {.bootstrap_servers = "127.0.0.1:1", .topic_prefix = "t.", .group = "g"};
    (void)state;
    struct store *store = store_pg_new(&pg);
    struct output *output = store ? output_kafka_new(&kafka, (struct slice[]){SLICE("a"), SLICE("b")}, error) : NULL;
    struct registry *registry =
        output ? registry_http_new(&(struct registry_options){.ca_bundle = "/dev/null", .per_registry = 4, .total = 8}, error)
               : NULL;
    if (!store) (void)error_memory(error);
    if (registry) registry->operations->free(registry);
    if (output) output->operations->free(output);
    if (store) store->operations->free(store);
    return registry ? 0 : -1;
}

int main(int argc, char **argv) {
    static const struct operation operations[] = {
        {"decode", set_up, run_decode, tell_items, tear_down, false},
        {"load", set_up, run_load, tell_items, tear_down, false},
        {"gather", set_up, run_gather, tell_items, tear_down, false},
        {"decide", set_up, run_decide, tell_answers, tear_down, false},
        {"commit", set_up, run_commit, tell_store, tear_down, false},
        {"commit of another shard", set_up_other_shard, run_commit, tell_store, tear_down, false},
        {"recall", set_up_recall, recall, tell_recalled, tear_down_recall, false},
        {"make a decoder", set_up_nothing, make_decoder, tell_nothing, tear_down_nothing, false},
        {"make a handoff", set_up_nothing, make_handoff, tell_nothing, tear_down_nothing, false},
        {"make a lane", set_up_nothing, make_lane, tell_nothing, tear_down_nothing, false},
        {"make ports", set_up_nothing, make_ports, tell_nothing, tear_down_nothing, false},
    };
    if (digest_prepare(NULL)) return 2;
    return operations_run(operations, sizeof operations / sizeof *operations, argc, argv);
}
