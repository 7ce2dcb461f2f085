/* Kafka, as far as a lane sees it. */
#include "world.h"

#include "digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the input ---- */

static int fake_partitions(struct input *input, enum input_topic topic, uint32_t *ret_count, struct error *error) {
    (void)input, (void)topic;
    if (world_fails(DO_input_partitions, false, error)) return -1;
    *ret_count = SHARDS;
    return 0;
}

static int64_t fake_known_end(struct input *input, uint32_t shard, enum input_topic topic) {
    (void)input;
    return (int64_t)world.inputs[topic][shard].count;
}

static int fake_bounds(struct input *input, uint32_t shard, int64_t ret_start[INPUT_TOPICS + 1],
                       int64_t ret_end[INPUT_TOPICS + 1], struct error *error) {
    if (world_fails(DO_input_bounds, false, error)) return -1;
    for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++) {
        ret_start[topic] = 0;
        ret_end[topic] = fake_known_end(input, shard, topic);
    }
    return 0;
}

static bool is_slow(uint32_t shard, int topic) {
    return topic == (int)world.slow.topic && shard == world.slow.shard && world.now < world.slow.until;
}

/* At most `limit` records of the fetched shards. */
static void fetch(size_t limit, struct input_event *event) {
    static struct record records[64];
    event->kind = INPUT_RECORDS;
    event->records = records;
    event->record_count = 0;
    for (size_t i = 0; i < world.fetched_count; i++)
        for (int topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++) {
            struct input_position *at = &world.fetched[i];
            const struct partition *from = &world.inputs[topic][at->shard];
            if (is_slow(at->shard, topic)) continue;
            while (event->record_count < limit && at->position[topic] < from->count)
                records[event->record_count++] = from->records[at->position[topic]++];
        }
}

static int fake_poll(struct input *input, int wait_ms, size_t limit, size_t bytes, struct input_event *event,
                     struct error *error) {
    static uint32_t all[SHARDS] = {0, 1};
    (void)input, (void)wait_ms, (void)bytes;
    if (world_fails(DO_input_poll, false, error)) return -1;
    if (world.pending_revocation) {
        world.pending_revocation = false;
        world.pending_assignment = true;
        world.fetched_count = 0;
        event->kind = INPUT_REVOKED;
    } else if (world.pending_assignment) {
        world.pending_assignment = false;
        *event = (struct input_event){.kind = INPUT_ASSIGNED, .shards = all, .shard_count = SHARDS};
    } else {
        fetch(limit, event);
    }
    if (!world_fails(DO_input_poll, true, error)) return 0;
    /* Records that were polled are lost with it; what the group has to say it says again. */
    world.pending_revocation = event->kind == INPUT_REVOKED;
    world.pending_assignment = event->kind == INPUT_ASSIGNED;
    return -1;
}

static void fake_free_records(struct input *input) { (void)input; }

static int fake_assign(struct input *input, const struct input_position *positions, size_t count, struct error *error) {
    (void)input;
    if (world_fails(DO_input_assign, false, error)) return -1;
    if (count) memcpy(world.fetched, positions, count * sizeof *positions);
    world.fetched_count = count;
    return world_fails(DO_input_assign, true, error) ? -1 : 0;
}

static void fake_report(struct input *input, const struct input_position *positions, size_t count) {
    (void)input, (void)positions, (void)count;
}

static const struct input_operations input_operations = {.partitions = fake_partitions,
                                                         .bounds = fake_bounds,
                                                         .known_end = fake_known_end,
                                                         .poll = fake_poll,
                                                         .free_records = fake_free_records,
                                                         .assign = fake_assign,
                                                         .report = fake_report};
struct input world_input = {&input_operations};

/* ---- the output ---- */

static struct fake_output {
    struct output output;
    struct slice ids[OUTPUT_PRODUCERS];
    struct writer *writers[OUTPUT_PRODUCERS]; /* NULL: not made */
    unsigned epochs[OUTPUT_PRODUCERS];
} fake;

/* The writer of that id; its transaction is aborted, and whoever had it is fenced. */
static struct writer *writer_of(struct slice id) {
    struct writer *writer = NULL;
    for (size_t i = 0; i < world.writer_count; i++)
        if (slice_equal(world.writers[i].id, id)) writer = &world.writers[i];
    if (!writer) {
        if (world.writer_count == WRITERS_MAX) abort();
        writer = &world.writers[world.writer_count++];
        writer->id = world_keep(id);
    }
    writer->open = false;
    writer->held_count = 0;
    writer->epoch++;
    return writer;
}

static struct slice fake_id(struct output *output, int which) { return ((struct fake_output *)output)->ids[which]; }

static int fake_init(struct output *output, int which, struct error *error) {
    struct fake_output *o = (struct fake_output *)output;
    o->writers[which] = NULL; /* the old producer is dropped first */
    if (world_fails(DO_output_init, false, error)) return -1;
    struct writer *writer = writer_of(o->ids[which]);
    if (world_fails(DO_output_init, true, error)) return -1;
    o->writers[which] = writer;
    o->epochs[which] = writer->epoch;
    return 0;
}

static int fake_fence(struct output *output, struct slice id, struct error *error) {
    (void)output;
    if (world_fails(DO_output_fence, false, error)) return -1;
    (void)writer_of(id);
    return world_fails(DO_output_fence, true, error) ? -1 : 0;
}

/* The producer's writer while it may still write. */
static struct writer *mine(struct fake_output *o, int which, struct error *error) {
    struct writer *writer = o->writers[which];
    if (writer && writer->epoch == o->epochs[which]) return writer;
    (void)error_set(error, ERROR_FENCED, "test-fenced", "the producer is fenced or was not made");
    return NULL;
}

static int fake_begin(struct output *output, int which, struct error *error) {
    struct writer *writer = mine((struct fake_output *)output, which, error);
    if (world_fails(DO_output_begin, false, error) || !writer) return -1;
    if (writer->open) abort(); /* a programming error of the publisher */
    writer->open = true;
    return world_fails(DO_output_begin, true, error) ? -1 : 0;
}

static struct digest digest_of_record(const struct output_record *record) {
    struct digest digest = digest_sha256((struct slice[]){record->key, record->value}, 2);
    for (size_t i = 0; i < record->header_count; i++)
        digest = digest_sha256(
            (struct slice[]){slice_of(digest.bytes, DIGEST_SIZE), record->headers[i].name, SLICE("="), record->headers[i].value},
            4);
    return digest;
}

struct sent world_sent(const struct output_record *record);
struct sent world_sent(const struct output_record *record) {
    struct sent sent = {.bytes = digest_of_record(record)};
    for (size_t i = 0; i < record->header_count; i++) {
        struct slice value = record->headers[i].value;
        char text[24] = {0};
        if (slice_is(record->headers[i].name, "ce_ledgersequence") && value.n < sizeof text) {
            memcpy(text, value.p, value.n);
            sent.sequence = strtoull(text, NULL, 10);
        }
        if (slice_is(record->headers[i].name, "ce_ledgerhash") && !digest_parse(value, &sent.hash)) abort();
    }
    return sent;
}

static int fake_produce(struct output *output, int which, const struct output_record *record, struct error *error) {
    struct writer *writer = mine((struct fake_output *)output, which, error);
    if (world_fails(DO_output_produce, false, error) || !writer) return -1;
    if (!writer->open || writer->held_count == ROWS_MAX) abort();
    int64_t at = (int64_t)world.outputs[record->topic][record->shard].count;
    for (size_t i = 0; i < writer->held_count; i++)
        at += writer->held[i].topic == (int)record->topic && writer->held[i].shard == record->shard;
    if (record->placed && record->at != at) abort(); /* no tail here is one that a broker tells which no longer leads */
    writer->held[writer->held_count].topic = (int)record->topic;
    writer->held[writer->held_count].shard = record->shard;
    writer->held[writer->held_count++].sent = world_sent(record);
    return world_fails(DO_output_produce, true, error) ? -1 : 0;
}

static int fake_commit(struct output *output, int which, struct error *error) {
    struct writer *writer = mine((struct fake_output *)output, which, error);
    if (world_fails(DO_output_commit, false, error) || !writer) return -1;
    if (!writer->open) abort();
    for (size_t i = 0; i < writer->held_count; i++) {
        struct results *to = &world.outputs[writer->held[i].topic][writer->held[i].shard];
        if (to->count == ROWS_MAX) abort();
        to->committed[to->count++] = writer->held[i].sent;
    }
    writer->open = false;
    writer->held_count = 0;
    return world_fails(DO_output_commit, true, error) ? -1 : 0;
}

static bool is_stable(uint32_t shard) {
    for (size_t i = 0; i < world.writer_count; i++)
        for (size_t k = 0; world.writers[i].open && k < world.writers[i].held_count; k++)
            if (world.writers[i].held[k].shard == shard) return false;
    return true;
}

static int fake_tails(struct output *output, struct output_tail *tails, size_t count, struct error *error) {
    (void)output;
    if (world_fails(DO_output_tails, false, error)) return -1;
    for (size_t i = 0; i < count; i++) {
        tails[i].ret_stable = is_stable(tails[i].shard);
        for (int topic = 0; topic < OUTPUT_TOPICS && tails[i].ret_stable; topic++) {
            const struct results *from = &world.outputs[topic][tails[i].shard];
            tails[i].ret_end[topic] = (int64_t)from->count;
            tails[i].ret_found[topic] = from->count > 0;
            if (!from->count) continue;
            tails[i].ret_sequence[topic] = from->committed[from->count - 1].sequence;
            tails[i].ret_hash[topic] = from->committed[from->count - 1].hash;
        }
    }
    return world_fails(DO_output_tails, true, error) ? -1 : 0;
}

static const struct output_operations output_operations = {.id = fake_id,
                                                           .init = fake_init,
                                                           .fence = fake_fence,
                                                           .begin = fake_begin,
                                                           .produce = fake_produce,
                                                           .commit = fake_commit,
                                                           .tails = fake_tails};

struct output *world_output(const struct slice ids[OUTPUT_PRODUCERS]) {
    fake = (struct fake_output){.output = {&output_operations}, .ids = {ids[0], ids[1]}};
    return &fake.output;
}
