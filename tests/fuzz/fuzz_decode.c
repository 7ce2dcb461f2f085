/* Any Kafka record (fuzz.h says how it stands in the input) as an event, structured or binary, through decode to its answer: one
 * answer for each record, to the letter of its schema, and from its ledger row the same record and the same result again.
 *
 * Covers: common/cloudevent.c worker/decode.c */
#include "answer.h"
#include "decode.h"
#include "fuzz.h"
#include "output_tail.h"
#include "result.h"
#include "schema.h"
#include "schemas.h"

#define TIME "2026-03-01T10:00:00Z"
#define SOURCE SLICE("/sluice/00000000-0000-0000-0000-000000000000")

static const char policy_text[] = "version: 1\n"
                                  "projects:\n"
                                  "- match: \"acme/*\"\n"
                                  "  unsigned: allow\n"
                                  "  unchecked-types: [binary]\n"
                                  "  environments:\n"
                                  "    dev: {}\n"
                                  "    staging: {after: [dev]}\n";

static struct decoder *decoder;
static const struct policy *policy;
static struct schema *schemas[RESULT_SHARD_RESUMED + 1];
static instant now;

/* "dev.sluice.event.refused.v1" has the schema event-refused.v1. */
static struct schema *compile(const char *type) {
    struct schema *schema = NULL;
    struct error error = {0};
    char name[64];
    (void)snprintf(name, sizeof name, "%s", type[0] ? type + strlen("dev.sluice.") : "dead-letter-error");
    char *point = strchr(name, '.');
    if (point) *point = '-';
    struct slice text = schemas_find(slice_str(name));
    REQUIRE(text.p && schema_compile(text, NULL, &schema, &error) == 0);
    return schema;
}

static void prepare(void) {
    static struct arena forever;
    struct error error = {0};
    if (decoder) return;
    arena_init(&forever, 1 << 20);
    decoder_free(decoder_new(&error));
    decoder = decoder_new(&error);
    REQUIRE(decoder && policy_parse(&forever, slice_str(policy_text), &policy, &error) == 0);
    REQUIRE(text_parse_instant(SLICE(TIME), &now));
    for (int kind = RESULT_NONE + 1; kind < RESULT_SHARD_RESUMED; kind++)
        schemas[kind] = compile(result_type((enum result_kind)kind));
}

/* ---- a store that knows nothing, and a registry that has everything ---- */

static int load_nothing(struct store *store, struct arena *arena, struct store_facts *facts, struct error *error) {
    (void)store, (void)arena, (void)error;
    facts->ret_now = now;
    facts->ret_control_version = 1;
    return 0;
}

static void find_everything(struct registry *registry, struct arena *arena, struct registry_question *questions, size_t count,
                            instant at, int wait_ms) {
    (void)registry, (void)arena, (void)wait_ms;
    for (size_t i = 0; i < count; i++) {
        questions[i].answer = REGISTRY_FOUND;
        questions[i].status = 200;
        questions[i].checked_at = at;
    }
}

static const struct store_operations store_operations = {.load = load_nothing};
static const struct registry_operations registry_operations = {.ask = find_everything};

/* ---- what must hold ---- */

static void check_item(const struct item *item, const struct record *record) {
    const struct cloudevent *event = &item->event;
    if (item->state == ITEM_DEAD) {
        REQUIRE(item->code == CODE_NOT_CLOUDEVENT && item->message.n);
        return;
    }
    REQUIRE(event->id.n && event->id.n <= CLOUDEVENT_NAME_MAX && event->source.n && event->source.n <= CLOUDEVENT_NAME_MAX);
    REQUIRE(text_is_utf8(event->id) && text_is_utf8(event->source) && text_is_project(event->subject));
    REQUIRE(!event->traceparent.p || text_is_utf8(event->traceparent));
    if (item->state == ITEM_REFUSED) {
        REQUIRE(item->code != CODE_NONE && code_use(item->code) == CODE_REFUSAL && item->message.n);
        REQUIRE(!item->path.p || !item->path.n || item->path.p[0] == '/');
        return;
    }
    REQUIRE(record->key.n + record->value.n <= CLOUDEVENT_RECORD_MAX && event->json && is_inside(event->json->raw, event->data));
    if (item->state == ITEM_BUILD) {
        REQUIRE(record->topic == INPUT_BUILDS && slice_is(event->type, "dev.sluice.build.complete.v1"));
        REQUIRE(text_is_git_sha(item->manifest.git_sha) && item->manifest.artifact_count);
    } else {
        const struct request *request = &item->request;
        REQUIRE(item->state == ITEM_REQUEST && record->topic == INPUT_REQUESTS);
        REQUIRE(text_is_git_sha(request->git_sha) && text_is_environment(request->environment) && request->requester.n);
        REQUIRE(request->reason.n <= 1024);
    }
}

static void check_decision(struct arena *arena, const struct ledger_row *row) {
    static const struct json_limits limits = {.bytes = 4 * 1024 * 1024, .depth = 32, .values = 100000};
    const struct json *decision;
    struct error error = {0};
    REQUIRE(json_read_strict(arena, row->decision, &limits, &decision, NULL) == 0);
    if (schema_validate(schemas[row->kind], decision, NULL, NULL, &error) == 0) return;
    fprintf(stderr, "the answer breaks its schema: %s: %s\n%.*s\n", error.path, error.message, SLICE_ARG(row->decision));
    abort();
}

static void require_same_bytes(struct slice a, struct slice b) { REQUIRE(!a.p == !b.p && slice_equal(a, b)); }

static void require_same_headers(const struct record_header *a, size_t a_count, const struct record_header *b, size_t b_count) {
    REQUIRE(a_count == b_count);
    for (size_t i = 0; i < a_count; i++) {
        require_same_bytes(a[i].name, b[i].name);
        require_same_bytes(a[i].value, b[i].value);
    }
}

/* The row holds the record as it came, and makes the same result again: its place in the ledger stands in that. */
static void check_row(struct arena *arena, const struct answer *answer, const struct record *record) {
    const struct ledger_row *row = &answer->row;
    struct record back = {0};
    struct output_record result, again;
    struct answer recalled;
    uint64_t sequence;
    struct digest hash;
    REQUIRE(ledger_read_input(arena, row->input, &back) == 0);
    require_same_bytes(back.key, record->key);
    require_same_bytes(back.value, record->value);
    require_same_headers(back.headers, back.header_count, record->headers, record->header_count);
    REQUIRE(result_record(arena, answer, SOURCE, &result) == 0);
    REQUIRE(result_recall(arena, row, &recalled) == 0 && result_record(arena, &recalled, SOURCE, &again) == 0);
    REQUIRE(result.topic == again.topic && result.shard == again.shard);
    require_same_bytes(result.key, again.key);
    require_same_bytes(result.value, again.value);
    require_same_headers(result.headers, result.header_count, again.headers, again.header_count);
    const struct kafka_record published = {
        .partition = result.shard, .headers = result.headers, .header_count = result.header_count};
    REQUIRE(output_tail_position(&published, &sequence, &hash) && sequence == row->sequence && digest_equal(&hash, &row->hash));
}

/* Twice in one batch: the second is the first's duplicate when that was accepted, and else is refused as that was. */
static void run(struct batch *batch, const struct record *record) {
    struct error error = {0};
    struct store store = {&store_operations};
    struct registry registry = {&registry_operations};
    struct arena arena;
    REQUIRE(decode(batch, &error) == 0);
    check_item(&batch->items[0], record);
    REQUIRE(batch->items[0].state == batch->items[1].state && batch->items[0].code == batch->items[1].code);
    REQUIRE(load(batch, &store, &error) == 0 && gather(batch, &registry, 500, &error) == 0 && decide(batch, &error) == 0);
    REQUIRE(batch->answer_count == 2);
    arena_init(&arena, 64 * 1024 * 1024);
    for (size_t i = 0; i < 2; i++) {
        check_decision(&arena, &batch->answers[i].row);
        check_row(&arena, &batch->answers[i], record);
    }
    enum result_kind first = batch->answers[0].row.kind, second = batch->answers[1].row.kind;
    bool same = first == RESULT_EVENT_REFUSED || first == RESULT_DEAD_LETTER || first == RESULT_PROMOTION_EVALUATED;
    REQUIRE(same ? second == first || first == RESULT_PROMOTION_EVALUATED : second == RESULT_EVENT_DUPLICATE);
    arena_release(&arena);
}

/* A record of somebody else in an output topic: it names a row of its own shard, or is none of ours. */
static void check_foreign(const struct record *record) {
    struct kafka_record foreign = {.partition = record->shard, .headers = record->headers, .header_count = record->header_count};
    uint64_t sequence;
    struct digest hash;
    if (!output_tail_position(&foreign, &sequence, &hash)) return;
    REQUIRE(sequence <= INT64_MAX);
    foreign.partition++;
    REQUIRE(!output_tail_position(&foreign, &sequence, &hash));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_record input;
    struct item items[2] = {{0}};
    struct shard_batch shard = {.sequence = 40, .first_sequence = 40};
    struct batch batch;
    prepare();
    fuzz_record_read(slice_of(data, size), &input);
    check_foreign(&input.record);
    batch_init(&batch, 64 * 1024 * 1024);
    batch.decoder = decoder;
    batch.installation_shards = input.shards;
    batch.policy = policy;
    batch.control_version = batch.policy_version = 1;
    batch.topics[INPUT_BUILDS] = "release.builds";
    batch.topics[INPUT_REQUESTS] = "release.requests";
    batch.items = items;
    batch.item_count = 2;
    batch.shards = &shard;
    batch.shard_count = 1;
    for (size_t i = 0; i < 2; i++) items[i] = (struct item){.shard = &shard, .record = &input.record};
    run(&batch, &input.record);
    batch_release(&batch);
    return 0;
}
