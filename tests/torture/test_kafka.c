/* The ports to Kafka on a real broker under exhausted memory: a member of the group from joining to leaving, the two producers
 * with their fences and tails, and what commands use. Whoever fails opens anew, as lanes do, and then has what there is: every
 * record once. SLUICE_KAFKA_BOOTSTRAP_SERVERS names the broker. */
#include "alloc.h"
#include "input.h"
#include "operation.h"
#include "output.h"

#include "../component/broker.h"

#include <sys/mman.h>

enum { SHARDS = 2, RECORDS = 120, HEADERS = 3, WAIT_MS = 60000 }; /* arrays of 64 records and 256 headers have to grow */

/* A topic prefix of an operation's own. */
struct place {
    char prefix[64];
    struct kafka_options options;
};
static struct place logs, results, letters;

/* What goes on from run to run; each try is a process of its own, as librdkafka keeps a little for as long as one lives. */
struct memory {
    unsigned number;                      /* of names */
    uint64_t committed, looked;           /* the last result, and the last that was looked at */
    bool unknown;                         /* whether three more are committed */
    int64_t offset;                       /* of the next to look at */
    char left_ids[OUTPUT_PRODUCERS][110]; /* who may have left a transaction open */
};
static struct memory *memory;

struct use {
    int (*once)(struct use *u, struct error *error);
    struct kafka_options options;
    char group[100];
    struct buf said;
};

/* Each run is a group of its own, as static members stay in theirs for a while. */
static const char *fresh_name(struct use *u) {
    (void)snprintf(u->group, sizeof u->group, "%s%u", u->options.topic_prefix, ++memory->number);
    return u->group;
}

static struct use *set_up_for(const struct place *place, int once(struct use *, struct error *)) {
    /* How soon a member hears that the group changes, and gets an answer while it fetches. */
    static const struct config_property soon[] = {{"heartbeat.interval.ms", "100"}, {"fetch.wait.max.ms", "10"}};
    struct use *u = calloc(1, sizeof *u);
    if (!u) abort();
    u->once = once;
    u->options = place->options;
    u->options.group = u->group;
    u->options.properties = soon;
    u->options.property_count = 2;
    buf_init(&u->said, 4096);
    if (!buf_reserve(&u->said, 1024)) abort();
    return u;
}

static void tear_down(void *state) {
    struct use *u = state;
    buf_release(&u->said);
    free(u);
}

static void tell(void *state, struct buf *to) { buf_append(to, buf_slice(&((struct use *)state)->said)); }

#define SAY(u, ...) ((u)->said.n = (size_t)snprintf((u)->said.p, 1000, __VA_ARGS__))

/* A broker that gets no time says all kinds of things, which are no failures of memory: the same again. Where memory fails from
 * then on, and nobody says so, that does not help. */
static int run(void *state, struct error *error) {
    struct use *u = state;
    int result = u->once(u, error);
    for (int again = 0; again < 3 && result && !strstr(error->message, "emory"); again++) {
        (void)sleep(1);
        result = u->once(u, error);
    }
    return result;
}

/* A failure that no memory explains. */
static int never_came(struct error *error, const char *what) {
    return error_set(error, ERROR_INTERNAL, "late", "%s did not come within %d s", what, WAIT_MS / 1000);
}

/* ---- a member of the group ---- */

/* Until an event of that kind; records that come before it are dropped. */
static int await(struct input *input, enum input_event_kind kind, struct input_event *event, struct error *error) {
    for (long end = broker_ms() + WAIT_MS; broker_ms() < end;) {
        if (input->operations->poll(input, 100, 1000, 1000000, event, error)) return -1;
        if (event->kind == kind) return 0;
    }
    return never_came(error, "an event");
}

struct seen {
    uint64_t next[INPUT_TOPICS + 1][SHARDS];
    unsigned records;
};

static void see(struct seen *seen, const struct record *record) {
    EXPECT(record->offset == seen->next[record->topic][record->shard]++);
    EXPECT(record->header_count == HEADERS && slice_is(record_header(record, "name"), "value") &&
           !record->headers[HEADERS - 1].value.p);
    EXPECT(slice_equal(record->key, record->value));
    seen->records++;
}

/* Everything, and then nothing more. */
static int read_all(struct input *input, struct seen *seen, struct error *error) {
    struct input_event event;
    for (long end = broker_ms() + WAIT_MS; seen->records < RECORDS * INPUT_TOPICS && broker_ms() < end;) {
        if (input->operations->poll(input, 100, 1000, 1000000, &event, error)) return -1;
        if (!EXPECT(event.kind == INPUT_RECORDS)) return never_came(error, "only records");
        for (size_t i = 0; i < event.record_count; i++) see(seen, &event.records[i]);
    }
    if (input->operations->poll(input, 20, 1000, 1000000, &event, error)) return -1;
    EXPECT(event.kind == INPUT_RECORDS && event.record_count == 0);
    return 0;
}

/* One position is outside of its log at first. */
static int consume(struct input *input, struct use *u, struct error *error) {
    const struct input_operations *do_ = input->operations;
    static const struct input_position outside[] = {{0, {0, RECORDS * 10, 0}}};
    struct input_position positions[SHARDS] = {{.shard = 0}, {.shard = 1}};
    struct input_event event;
    struct seen seen = {0};
    uint32_t partitions;
    int64_t start[INPUT_TOPICS + 1], end[INPUT_TOPICS + 1];
    if (do_->partitions(input, INPUT_BUILDS, &partitions, error) || await(input, INPUT_ASSIGNED, &event, error)) return -1;
    EXPECT(event.shard_count == SHARDS && partitions == SHARDS);
    if (do_->assign(input, outside, 1, error) || await(input, INPUT_OUTSIDE_LOG, &event, error)) return -1;
    EXPECT(event.shards[0] == 0 && event.topic == INPUT_BUILDS && event.log_start == 0 && event.log_end > 0);
    if (do_->assign(input, positions, SHARDS, error) || read_all(input, &seen, error)) return -1;
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        if (do_->bounds(input, shard, start, end, error)) return -1;
        for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++) {
            EXPECT(start[topic] == 0 && end[topic] == (int64_t)seen.next[topic][shard]);
            EXPECT(do_->known_end(input, shard, topic) == end[topic]);
            positions[shard].position[topic] = seen.next[topic][shard];
        }
    }
    do_->report(input, positions, SHARDS);
    SAY(u, "%u records, %llu of them builds of shard 1", seen.records, (unsigned long long)seen.next[INPUT_BUILDS][1]);
    return 0;
}

static int read_logs(struct use *u, struct error *error) {
    struct input *input = input_kafka_new(&u->options, fresh_name(u), error);
    if (!input) return -1;
    int result = consume(input, u, error);
    input->operations->free(input);
    return result;
}

/* Takes part for a moment; `held` is what it has now. */
static int take_part(struct input *input, size_t *held, bool *revoked, struct error *error) {
    struct input_position positions[SHARDS] = {{0}};
    struct input_event event;
    if (input->operations->poll(input, 20, 1000, 1000000, &event, error)) return -1;
    if (event.kind == INPUT_REVOKED) {
        *revoked = true;
        *held = 0;
        return input->operations->assign(input, NULL, 0, error);
    }
    if (event.kind != INPUT_ASSIGNED) return 0;
    for (size_t i = 0; i < event.shard_count; i++) positions[i].shard = event.shards[i];
    *held = event.shard_count;
    return input->operations->assign(input, positions, event.shard_count, error);
}

/* A second member comes, and each has half. */
static int share_logs(struct use *u, struct error *error) {
    struct input *inputs[2] = {input_kafka_new(&u->options, fresh_name(u), error), NULL};
    size_t held[2] = {0};
    bool revoked[2] = {false};
    int result = inputs[0] ? 0 : -1;
    for (long end = broker_ms() + WAIT_MS; !result && (held[0] != SHARDS / 2 || held[1] != SHARDS / 2);) {
        if (held[0] && !inputs[1] && !(inputs[1] = input_kafka_new(&u->options, "second", error))) result = -1;
        for (int i = 0; i < 2 && inputs[i] && !result; i++) result = take_part(inputs[i], &held[i], &revoked[i], error);
        if (!result && broker_ms() > end) result = never_came(error, "half of the shards");
    }
    EXPECT(result || revoked[0]);
    SAY(u, "%zu and %zu", held[0], held[1]);
    for (int i = 0; i < 2; i++)
        if (inputs[i]) inputs[i]->operations->free(inputs[i]);
    return result;
}

/* ---- producers ---- */

static int produce(struct output *output, int which, uint64_t sequence, struct error *error) {
    char number[24], hash[DIGEST_TEXT];
    struct digest digest = digest_of(slice_of((const char *)&sequence, sizeof sequence));
    digest_text(hash, &digest);
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)sequence);
    const struct record_header headers[] = {{SLICE("ce_ledgershard"), SLICE("1")},
                                            {SLICE("ce_ledgersequence"), slice_str(number)},
                                            {SLICE("ce_ledgerhash"), slice_of(hash, DIGEST_TEXT)}};
    const struct output_record record = {OUTPUT_RESULTS, 1, SLICE("acme/shop"), slice_str(number), headers, 3, false, 0};
    return output->operations->produce(output, which, &record, error);
}

/* The last result must be the one that was committed last. */
static int check_tail(struct output *output, struct error *error) {
    struct output_tail tails[SHARDS] = {{.shard = 1, .floor = {-1, -1}}, {.shard = 0, .floor = {-1, -1}}};
    for (long end = broker_ms() + WAIT_MS; !tails[0].ret_stable;) {
        if (output->operations->tails(output, tails, SHARDS, error)) return -1;
        if (broker_ms() > end) return never_came(error, "a stable tail");
    }
    if (memory->unknown && tails[0].ret_found[OUTPUT_RESULTS] && tails[0].ret_sequence[OUTPUT_RESULTS] != memory->committed)
        memory->committed += 3;
    memory->unknown = false;
    EXPECT(tails[0].ret_found[OUTPUT_RESULTS] == (memory->committed > 0) && !tails[1].ret_found[OUTPUT_RESULTS]);
    EXPECT(!memory->committed || tails[0].ret_sequence[OUTPUT_RESULTS] == memory->committed);
    return 0;
}

static int publish(struct output *output, int which, struct error *error) {
    if (output->operations->begin(output, which, error)) return -1;
    for (uint64_t i = 1; i <= 3; i++)
        if (produce(output, which, memory->committed + i, error)) return -1;
    memory->unknown = true;
    if (output->operations->commit(output, which, error)) return -1;
    memory->unknown = false;
    memory->committed += 3;
    return 0;
}

/* A transaction that somebody else ends must not be committed. */
static int be_fenced(struct output *output, struct error *error) {
    struct error fenced = {0};
    if (output->operations->begin(output, 1, error) || produce(output, 1, memory->committed + 1, error) ||
        output->operations->fence(output, output->operations->id(output, 1), error))
        return -1;
    EXPECT(output->operations->commit(output, 1, &fenced) == -1 && fenced.kind == ERROR_FENCED);
    return 0;
}

/* As a lane that takes over from the one before. */
static int take_over(struct output *output, struct error *error) {
    const struct output_operations *do_ = output->operations;
    for (int i = 0; i < OUTPUT_PRODUCERS; i++) {
        if (do_->init(output, i, error)) return -1;
        if (*memory->left_ids[i] && do_->fence(output, slice_str(memory->left_ids[i]), error)) return -1;
        *memory->left_ids[i] = '\0';
    }
    if (check_tail(output, error) || publish(output, 0, error) || publish(output, 1, error) || be_fenced(output, error) ||
        check_tail(output, error))
        return -1;
    if (do_->begin(output, 0, error) || produce(output, 0, memory->committed + 1, error)) return -1; /* and it is left open */
    /* librdkafka (2.0.2 at least) may assert when a producer is destroyed while its first answer of a transaction comes. */
    return nanosleep(&(struct timespec){0, 50000000}, NULL);
}

static int write_results(struct use *u, struct error *error) {
    char ids[OUTPUT_PRODUCERS][sizeof *memory->left_ids];
    for (int i = 0; i < OUTPUT_PRODUCERS; i++) (void)snprintf(ids[i], sizeof ids[i], "%s-%d", i ? u->group : fresh_name(u), i);
    struct output *output =
        output_kafka_new(&u->options, (struct slice[OUTPUT_PRODUCERS]){slice_str(ids[0]), slice_str(ids[1])}, error);
    if (!output) return -1;
    uint64_t before = memory->committed;
    int result = take_over(output, error);
    output->operations->free(output);
    SAY(u, "%s", memory->committed >= before + 6 ? "6 more" : "fewer");
    memcpy(memory->left_ids, ids, sizeof memory->left_ids);
    return result;
}

/* All results that can be seen: each once, in order. */
static void tear_down_results(void *state) {
    const struct kafka_position position = {KAFKA_RESULTS, 1, memory->offset};
    struct error error = {0};
    struct kafka_record record;
    struct kafka_reader *reader = kafka_reader_new(&results.options, KAFKA_TAILS, &error);
    if (!EXPECT(reader && !kafka_reader_start(reader, &position, &error))) operation_says("%s", error.message);
    for (long end = broker_ms() + WAIT_MS; reader && memory->looked < memory->committed && EXPECT(broker_ms() < end);) {
        if (kafka_reader_next(reader, 100, &record, &error) != KAFKA_READ_RECORD) continue;
        char number[24];
        (void)snprintf(number, sizeof number, "%llu", (unsigned long long)++memory->looked);
        EXPECT(slice_is(record.value, number));
        memory->offset = record.offset + 1;
    }
    kafka_reader_free(reader);
    tear_down(state);
}

/* ---- what commands use ---- */

static int read_back(struct kafka_reader *reader, struct slice value, uint32_t partition, int64_t offset, struct error *error) {
    struct kafka_position begin[SHARDS] = {{KAFKA_REQUESTS, 0, 0}, {KAFKA_REQUESTS, 1, 0}};
    struct kafka_record record;
    uint32_t partitions;
    if (kafka_reader_partitions(reader, KAFKA_REQUESTS, &partitions, error) ||
        kafka_reader_offsets(reader, KAFKA_BEGINNING, begin, SHARDS, error))
        return -1;
    EXPECT(partitions == SHARDS);
    for (uint32_t i = 0; i < SHARDS; i++)
        if (kafka_reader_start(reader, &begin[i], error)) return -1;
    for (long end = broker_ms() + WAIT_MS; broker_ms() < end;) {
        enum kafka_read read = kafka_reader_next(reader, 100, &record, error);
        if (read == KAFKA_READ_FAILED) return -1;
        if (read != KAFKA_READ_RECORD || record.partition != partition || record.offset != offset) continue;
        EXPECT(slice_equal(record.value, value) && record.header_count == 1 && slice_is(record.headers->name, "name"));
        kafka_reader_stop(reader, KAFKA_REQUESTS, partition);
        return 0;
    }
    return never_came(error, "the record");
}

static int send_and_read(struct use *u, struct error *error) {
    static const struct record_header header = {SLICE("name"), SLICE("value")};
    struct slice value = slice_str(fresh_name(u));
    struct kafka_topic_state topics[KAFKA_TOPICS];
    uint32_t partition;
    int64_t offset;
    if (kafka_topics_describe(&u->options, topics, error)) return -1;
    struct kafka_producer *producer = kafka_producer_new(&u->options, WAIT_MS, error);
    if (!producer) return -1;
    int result = kafka_producer_send(producer, KAFKA_REQUESTS, value, value, &header, 1, &partition, &offset, error);
    kafka_producer_free(producer);
    if (result) return -1;
    struct kafka_reader *reader = kafka_reader_new(&u->options, KAFKA_COMMITTED, error);
    if (!reader) return -1;
    result = read_back(reader, value, partition, offset, error);
    kafka_reader_free(reader);
    SAY(u, "topics of %u and %u shards", topics[KAFKA_BUILDS].partitions, topics[KAFKA_DEAD_LETTER].partitions);
    return result;
}

/* ---- all of it ---- */

static void *set_up_reading(void) { return set_up_for(&logs, read_logs); }
static void *set_up_sharing(void) { return set_up_for(&logs, share_logs); }
static void *set_up_writing(void) { return set_up_for(&results, write_results); }
static void *set_up_commands(void) { return set_up_for(&letters, send_and_read); }

static void make(struct place *place) { place->options = broker_topics(place->prefix, SHARDS); }

static void fill_logs(void) {
    static const struct record_header headers[HEADERS] = {
        {SLICE("name"), SLICE("value")}, {SLICE("empty"), SLICE("")}, {SLICE("null"), {0}}};
    char key[16];
    uint32_t partition;
    int64_t offset;
    struct kafka_producer *producer = kafka_producer_new(&logs.options, WAIT_MS, NULL);
    for (unsigned i = 0; i < RECORDS * INPUT_TOPICS; i++) {
        struct slice text = slice_of(key, (size_t)snprintf(key, sizeof key, "%u", i / INPUT_TOPICS));
        if (kafka_producer_send(producer, i % INPUT_TOPICS ? KAFKA_BUILDS : KAFKA_REQUESTS, text, text, headers, HEADERS,
                                &partition, &offset, NULL))
            abort();
    }
    kafka_producer_free(producer);
}

int main(int argc, char **argv) {
    static const struct operation operations[] = {
        {"join, read, report", set_up_reading, run, tell, tear_down, true},
        {"share with a second member", set_up_sharing, run, tell, tear_down, true},
        {"take over, publish, be fenced", set_up_writing, run, tell, tear_down_results, true},
        {"send and read", set_up_commands, run, tell, tear_down, true},
    };
    memory = mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || digest_prepare(NULL) || broker_start(NULL)) return 2;
    make(&logs);
    make(&results);
    make(&letters);
    fill_logs();
    int result = operations_run(operations, sizeof operations / sizeof *operations, argc, argv);
    return broker_stop(NULL) ? 2 : result;
}
