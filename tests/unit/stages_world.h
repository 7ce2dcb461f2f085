/* Batches through decode, load, gather and decide, with a store and a registry that know what the test says. */
#ifndef STAGES_WORLD_H
#define STAGES_WORLD_H

#include "answer.h"
#include "batch.h"
#include "decode.h"
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define SHA "0123456789abcdef0123456789abcdef01234567"
#define DIGEST "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define TIME "2026-03-01T10:00:00Z"

static const char policy_text[] = "version: 1\n"
                                  "registries:\n"
                                  "  \"r:5000\": {plain-http: true}\n"
                                  "projects:\n"
                                  "- match: \"acme/*\"\n"
                                  "  unsigned: allow\n"
                                  "  environments:\n"
                                  "    dev: {}\n"
                                  "    staging: {after: [dev]}\n";

/* ---- the world as the test has it ---- */

static instant now;
static struct promotion_row *waiting_row; /* found by every look for an open promotion */
static bool release_found;
static struct artifact artifact;          /* of a release that is found */
static const struct ledger_row *seen_row; /* the last answer of every event, which was seen before */
static enum registry_answer registry_says;

static const struct digest *fake_content; /* with it */

static int fake_load(struct store *store, struct arena *arena, struct store_facts *facts, struct error *error) {
    (void)store, (void)error;
    for (size_t i = 0; i < facts->release_count; i++) {
        struct store_release *release = &facts->releases[i];
        release->ret_found = release_found;
        release->ret_artifact_count = 1;
        release->ret_artifacts = ARENA_NEW(arena, struct artifact);
        *release->ret_artifacts = artifact;
    }
    for (size_t i = 0; i < facts->seen_count && seen_row; i++) {
        facts->seen[i].ret_found = true;
        facts->seen[i].ret_content = *fake_content;
        facts->seen[i].ret_last = *seen_row;
    }
    for (size_t i = 0; i < facts->waiting_count; i++) facts->waiting[i].ret_row = waiting_row;
    facts->ret_now = now;
    facts->ret_control_version = 1;
    return 0;
}

static void fake_ask(struct registry *registry, struct arena *arena, struct registry_question *questions, size_t count,
                     instant at, int wait_ms) {
    (void)registry, (void)arena, (void)wait_ms;
    for (size_t i = 0; i < count; i++) {
        questions[i].answer = registry_says;
        questions[i].status = 200;
        questions[i].checked_at = at;
    }
}

static const struct store_operations store_operations = {.load = fake_load};
static struct store store = {&store_operations};
static const struct registry_operations registry_operations = {.ask = fake_ask};
static struct registry registry = {&registry_operations};

static struct arena arena; /* of the test */
static struct decoder *decoder;
static struct batch batch;
static struct record records[8];
static struct digest first_head;

static void set_policy(const char *text) {
    struct error error;
    const struct policy *policy;
    assert_int_equal(policy_parse(&arena, slice_str(text), &policy, &error), 0);
    batch.policy = policy;
}

static int set_up(void **state) {
    (void)state;
    struct error error;
    arena_init(&arena, 1 << 24);
    decoder = decoder_new(&error);
    assert_non_null(decoder);
    batch_init(&batch, 1 << 24);
    batch.decoder = decoder;
    batch.installation_shards = 1;
    set_policy(policy_text);
    batch.control_version = batch.policy_version = 1;
    batch.topics[INPUT_BUILDS] = "release.builds";
    batch.topics[INPUT_REQUESTS] = "release.requests";
    assert_true(text_parse_instant(SLICE(TIME), &now));
    batch.items = ARENA_ARRAY(&arena, struct item, 16);
    batch.shards = ARENA_NEW(&arena, struct shard_batch);
    batch.shard_count = 1;
    batch.shards->first_sequence = batch.shards->sequence = 40;
    first_head = batch.shards->head = batch.shards->first_head = digest_of(SLICE("head"));
    waiting_row = NULL;
    release_found = false;
    artifact = (struct artifact){SLICE("app"), SLICE("docker-image"), SLICE(DIGEST), SLICE("r:5000/acme/shop")};
    seen_row = NULL;
    fake_content = NULL;
    registry_says = REGISTRY_FOUND;
    return 0;
}

/* Another one, from the same beginning. */
static inline void next_batch(void) {
    struct item *items = batch.items;
    struct shard_batch *shards = batch.shards;
    batch_reset(&batch);
    memset(items, 0, 16 * sizeof *items);
    batch.items = items;
    batch.item_count = 0;
    batch.shards = shards;
    batch.shard_count = 1;
    shards->sequence = 40;
    shards->head = first_head;
}

static int tear_down(void **state) {
    (void)state;
    batch_release(&batch);
    decoder_free(decoder);
    arena_release(&arena);
    return 0;
}

static void add(enum input_topic topic, const char *id, const char *type, const char *time, struct slice data) {
    static const struct record_header headers[] = {{SLICE("content-type"), SLICE("application/cloudevents+json")}};
    struct slice value =
        arena_print(&arena,
                    "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/ci\",\"subject\":\"acme/shop\",\"type\":\"%s\","
                    "\"time\":\"%s\",\"data\":%.*s}",
                    id, type, time, SLICE_ARG(data));
    struct record *record = &records[batch.item_count];
    *record = (struct record){.topic = topic, .offset = batch.item_count, .value = value, .headers = headers, .header_count = 1};
    batch.items[batch.item_count++] = (struct item){.shard = batch.shards, .record = record};
}

/* A build of these artifacts: ARTIFACTs with commas between them. */
static inline void add_artifacts(const char *id, const char *artifacts) {
    struct slice manifest =
        arena_print(&arena,
                    "{\"schemaVersion\":\"1.0\",\"gitSha\":\"" SHA "\",\"buildTimestamp\":\"" TIME "\",\"artifacts\":[%s],"
                    "\"sbomReference\":{\"uri\":\"sbom.json\"},\"evidenceReference\":{\"uri\":\"evidence.json\"},"
                    "\"attestation\":{\"status\":\"disabled\",\"issueLink\":\"https://issues.example/1\"}}",
                    artifacts);
    struct buf data;
    buf_init(&data, 10000);
    buf_str(&data, "{\"manifest\":");
    json_write_string(&data, manifest);
    buf_char(&data, '}');
    add(INPUT_BUILDS, id, "dev.sluice.build.complete.v1", TIME, buf_slice(&data));
    buf_release(&data);
}

#define ARTIFACT(name, type, digest, uri)                                                                                        \
    "{\"name\":\"" name "\",\"type\":\"" type "\",\"digest\":\"" digest "\",\"uri\":\"" uri "\"}"

static inline void add_build(const char *id, const char *digest) {
    add_artifacts(id, arena_print(&arena, ARTIFACT("app", "docker-image", "%s", "r:5000/acme/shop"), digest).p);
}

/* `more`: members behind the others, each with its comma. */
static inline void add_request_of(const char *id, const char *sha, const char *environment, const char *more) {
    add(INPUT_REQUESTS, id, "dev.sluice.promotion.requested.v1", TIME,
        arena_print(&arena, "{\"releaseRef\":\"%s\",\"targetEnv\":\"%s\",\"requester\":\"github:1\"%s}", sha, environment, more));
}

static inline void add_request(const char *id, const char *environment, const char *more) {
    add_request_of(id, SHA, environment, more);
}

/* Through the stages; the answers must be a chain. */
static inline void run(void) {
    struct error error = {0};
    assert_int_equal(decode(&batch, &error), 0);
    assert_int_equal(load(&batch, &store, &error), 0);
    assert_int_equal(gather(&batch, &registry, 500, &error), 0);
    assert_int_equal(decide(&batch, &error), 0);
    struct digest head = first_head;
    for (size_t i = 0; i < batch.answer_count; i++) {
        const struct ledger_row *row = &batch.answers[i].row;
        assert_int_equal(row->sequence, 41 + i);
        struct digest hash = ledger_hash(row, &head);
        assert_memory_equal(hash.bytes, row->hash.bytes, DIGEST_SIZE);
        head = hash;
    }
    assert_memory_equal(batch.shards->head.bytes, head.bytes, DIGEST_SIZE);
}

static inline enum result_kind kind(size_t i) { return i < batch.answer_count ? batch.answers[i].row.kind : RESULT_NONE; }

/* What the i-th answer says. */
static inline const struct json *decision(size_t i) {
    const struct json *root;
    assert_int_equal(json_read_strict(&arena, batch.answers[i].row.decision, NULL, &root, NULL), 0);
    return root;
}

static inline struct slice member(size_t i, const char *name) { return json_get_text(decision(i), name); }

static inline struct promotion *add_due(instant expires_at) {
    struct promotion *promotion = ARENA_NEW(&arena, struct promotion);
    static const struct condition unmet[] = {
        {.type = {"policy", 6}, .subject = {"dev", 3}, .status = CONDITION_MET, .code_text = {"allowed", 7}},
        {.type = {"release", 7}, .subject = {SHA, 40}, .status = CONDITION_UNMET, .code_text = {"not-built-yet", 13}}};
    promotion->row = (struct promotion_row){.project = SLICE("acme/shop"),
                                            .git_sha = SLICE(SHA),
                                            .environment = SLICE("dev"),
                                            .requester = SLICE("r"),
                                            .source = SLICE("/ci"),
                                            .event_id = SLICE("w"),
                                            .outcome = PROMOTION_WAITING,
                                            .revision = 3,
                                            .conditions = answer_conditions(&batch, unmet, 2),
                                            .opened_at = now,
                                            .opened_sequence = 7,
                                            .expires_at = expires_at,
                                            .wake_at = now};
    batch.items[batch.item_count++] = (struct item){.state = ITEM_DUE, .shard = batch.shards, .promotion = promotion};
    return promotion;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
