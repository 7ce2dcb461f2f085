/* Batches through decode, load, gather and decide, with a store and a registry that know what the test says. */
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
static enum registry_answer registry_says;

static int fake_load(struct store *store, struct arena *arena, struct store_facts *facts, struct error *error) {
    (void)store, (void)error;
    for (size_t i = 0; i < facts->release_count; i++) {
        struct store_release *release = &facts->releases[i];
        release->ret_found = release_found;
        release->ret_artifact_count = 1;
        release->ret_artifacts = ARENA_NEW(arena, struct artifact);
        *release->ret_artifacts =
            (struct artifact){SLICE("app"), SLICE("docker-image"), SLICE(DIGEST), SLICE("r:5000/acme/shop")};
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

static int set_up(void **state) {
    (void)state;
    struct error error;
    const struct policy *policy;
    arena_init(&arena, 1 << 24);
    decoder = decoder_new(&error);
    assert_non_null(decoder);
    assert_int_equal(policy_parse(&arena, slice_str(policy_text), &policy, &error), 0);
    batch_init(&batch, 1 << 24);
    batch.decoder = decoder;
    batch.installation_shards = 1;
    batch.policy = policy;
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
    registry_says = REGISTRY_FOUND;
    return 0;
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

static void add_build(const char *id, const char *digest) {
    struct slice manifest =
        arena_print(&arena,
                    "{\"schemaVersion\":\"1.0\",\"gitSha\":\"" SHA "\",\"buildTimestamp\":\"" TIME "\","
                    "\"artifacts\":[{\"name\":\"app\",\"type\":\"docker-image\",\"digest\":\"%s\",\"uri\":\"r:5000/acme/shop\"}],"
                    "\"sbomReference\":{\"uri\":\"sbom.json\"},\"evidenceReference\":{\"uri\":\"evidence.json\"},"
                    "\"attestation\":{\"status\":\"disabled\",\"issueLink\":\"https://issues.example/1\"}}",
                    digest);
    struct buf data;
    buf_init(&data, 10000);
    buf_str(&data, "{\"manifest\":");
    json_write_string(&data, manifest);
    buf_char(&data, '}');
    add(INPUT_BUILDS, id, "dev.sluice.build.complete.v1", TIME, buf_slice(&data));
    buf_release(&data);
}

static void add_request(const char *id, const char *environment, const char *more) {
    add(INPUT_REQUESTS, id, "dev.sluice.promotion.requested.v1", TIME,
        arena_print(&arena, "{\"releaseRef\":\"" SHA "\",\"targetEnv\":\"%s\",\"requester\":\"github:1\"%s}", environment, more));
}

/* Through the stages; the answers must be a chain. */
static void run(void) {
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

static enum result_kind kind(size_t i) { return i < batch.answer_count ? batch.answers[i].row.kind : RESULT_NONE; }

static struct slice member(size_t i, const char *name) {
    const struct json *root;
    assert_int_equal(json_read_strict(&arena, batch.answers[i].row.decision, NULL, &root, NULL), 0);
    return json_get_text(root, name);
}

/* ---- the tests ---- */

static void a_release_is_built_and_promoted_twice_in_one_batch(void **state) {
    (void)state;
    add_build("b", DIGEST);
    add_request("1", "dev", "");
    add_request("2", "staging", "");
    run();
    assert_int_equal(batch.answer_count, 3);
    assert_int_equal(kind(0), RESULT_RELEASE_VERIFIED);
    assert_int_equal(kind(1), RESULT_PROMOTION_PROMOTED);
    assert_int_equal(kind(2), RESULT_PROMOTION_PROMOTED);
    assert_int_equal(batch.new_release_count, 1);
    assert_int_equal(batch.promotion_count, 2);
    assert_int_equal(batch.changed_environment_count, 2);
    assert_int_equal(batch.claim_count, 3);
    assert_int_equal(batch.shards->position[INPUT_REQUESTS], 3);
}

static void the_order_of_the_batch_counts(void **state) {
    (void)state;
    add_request("2", "staging", "");
    add_build("b", DIGEST);
    run();
    assert_int_equal(kind(0), RESULT_PROMOTION_WAITING);
    assert_int_equal(kind(1), RESULT_RELEASE_VERIFIED);
    assert_int_equal(batch.wake_count, 1); /* the release that came wakes what waits for it */
}

static void the_same_event_again_has_no_effect(void **state) {
    (void)state;
    add_build("b", DIGEST);
    add_request("1", "dev", "");
    add_request("1", "dev", "");
    add_request("1", "staging", "");
    run();
    assert_int_equal(kind(2), RESULT_EVENT_DUPLICATE);
    assert_int_equal(kind(3), RESULT_EVENT_REFUSED);
    assert_true(slice_is(member(3, "code"), "event-id-conflict"));
    assert_int_equal(batch.promotion_count, 1);
    assert_int_equal(batch.claim_count, 2);
}

static void a_newer_request_supersedes_the_open_one_and_both_are_answered(void **state) {
    (void)state;
    add_request("1", "dev", "");
    add_request("2", "dev", "");
    run();
    assert_int_equal(batch.answer_count, 3);
    assert_int_equal(kind(0), RESULT_PROMOTION_WAITING);
    assert_int_equal(kind(1), RESULT_PROMOTION_SUPERSEDED);
    assert_int_equal(kind(2), RESULT_PROMOTION_WAITING);
    assert_int_equal(batch.answers[1].row.topic, INPUT_NONE);
    assert_int_equal(batch.answers[1].row.input.n, 0);
    assert_int_equal(batch.promotions->row.outcome, PROMOTION_SUPERSEDED);
    assert_int_equal(batch.promotions->row.revision, 2);
}

static void a_dry_run_changes_nothing(void **state) {
    (void)state;
    release_found = true;
    add_request("1", "dev", ",\"dryRun\":true");
    run();
    assert_int_equal(kind(0), RESULT_PROMOTION_EVALUATED);
    assert_true(slice_is(member(0, "wouldBe"), "promoted"));
    assert_int_equal(batch.promotion_count, 0);
    assert_int_equal(batch.changed_environment_count, 0);
    assert_int_equal(batch.claim_count, 1);
}

static void a_request_that_has_expired_is_answered_at_once(void **state) {
    (void)state;
    release_found = true;
    add_request("1", "dev", ",\"expiresAt\":\"2026-02-28T10:00:00Z\"");
    run();
    assert_int_equal(kind(0), RESULT_PROMOTION_EXPIRED);
    assert_int_equal(batch.changed_environment_count, 0);
}

static void a_sha_has_one_manifest_for_ever(void **state) {
    (void)state;
    add_build("b1", DIGEST);
    add_build("b2", DIGEST);
    add_build("b3", OTHER);
    run();
    assert_true(slice_is(member(0, "code"), "verified"));
    assert_true(slice_is(member(1, "code"), "already-built"));
    assert_true(slice_is(member(2, "code"), "manifest-conflict"));
    assert_int_equal(kind(2), RESULT_RELEASE_REJECTED);
    assert_int_equal(batch.new_release_count, 1);
}

static void an_events_time_has_bounds(void **state) {
    (void)state;
    struct slice data = SLICE("{\"releaseRef\":\"" SHA "\",\"targetEnv\":\"dev\",\"requester\":\"r\"}");
    const char *type = "dev.sluice.promotion.requested.v1";
    add(INPUT_REQUESTS, "1", type, "2026-01-30T10:00:00Z", data);
    add(INPUT_REQUESTS, "2", type, "2026-01-30T09:59:59Z", data);
    add(INPUT_REQUESTS, "3", type, "2026-03-01T10:05:00Z", data);
    add(INPUT_REQUESTS, "4", type, "2026-03-01T10:05:01Z", data);
    run();
    assert_int_equal(kind(0), RESULT_PROMOTION_WAITING);
    assert_true(slice_is(member(1, "code"), "stale"));
    assert_int_equal(kind(2), RESULT_PROMOTION_SUPERSEDED);
    assert_true(slice_is(member(4, "code"), "in-the-future"));
    assert_int_equal(batch.claim_count, 2);
}

static struct promotion *add_due(instant expires_at) {
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

static void a_look_that_finds_nothing_new_writes_no_row(void **state) {
    (void)state;
    struct promotion *promotion = add_due(now + 1000000);
    run();
    assert_int_equal(batch.answer_count, 0);
    assert_int_equal(batch.promotion_count, 1);
    assert_int_equal(promotion->row.wake_at, now + 1000000);
    assert_int_equal(promotion->row.revision, 3);
}

static void what_has_waited_too_long_expires(void **state) {
    (void)state;
    struct promotion *promotion = add_due(now);
    run();
    assert_int_equal(kind(0), RESULT_PROMOTION_EXPIRED);
    assert_int_equal(promotion->row.revision, 4);
    assert_int_equal(promotion->row.decided_sequence, 41);
}

static void what_was_missing_arrives_and_it_goes_through(void **state) {
    (void)state;
    release_found = true;
    struct promotion *promotion = add_due(now + 1000000);
    run();
    assert_int_equal(kind(0), RESULT_PROMOTION_PROMOTED);
    assert_int_equal(promotion->row.outcome, PROMOTION_PROMOTED);
    assert_int_equal(promotion->row.wake_at, 0);
    assert_int_equal(batch.changed_environment_count, 1);
}

/* One bad record among good ones: each gets its own answer, and nobody's position is lost. */
static void refusals_stand_beside_their_neighbours(void **state) {
    (void)state;
    release_found = true;
    add_request("1", "dev", "");
    add_request("2", "dev", ",\"surprise\":1");
    add(INPUT_BUILDS, "3", "dev.sluice.promotion.requested.v1", TIME, SLICE("{}"));
    add(INPUT_REQUESTS, "4", "nobody.knows.v1", TIME, SLICE("{}"));
    add(INPUT_REQUESTS, "5", "dev.sluice.promotion.requested.v1", "yesterday", SLICE("{}"));
    add(INPUT_REQUESTS, "", "dev.sluice.promotion.requested.v1", TIME, SLICE("{}"));
    run();
    assert_int_equal(batch.answer_count, 6);
    assert_int_equal(kind(0), RESULT_PROMOTION_PROMOTED);
    assert_true(slice_is(member(1, "code"), "unknown-member"));
    assert_true(slice_is(member(1, "path"), "/surprise"));
    assert_true(slice_is(member(2, "code"), "unknown-type"));
    assert_true(slice_is(member(3, "code"), "unknown-type"));
    assert_true(slice_is(member(4, "code"), "time-invalid"));
    assert_int_equal(kind(5), RESULT_DEAD_LETTER);
    assert_true(slice_is(member(5, "code"), "not-cloudevent"));
    assert_int_equal(batch.claim_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_release_is_built_and_promoted_twice_in_one_batch),
        TEST(the_order_of_the_batch_counts),
        TEST(the_same_event_again_has_no_effect),
        TEST(a_newer_request_supersedes_the_open_one_and_both_are_answered),
        TEST(a_dry_run_changes_nothing),
        TEST(a_request_that_has_expired_is_answered_at_once),
        TEST(a_sha_has_one_manifest_for_ever),
        TEST(an_events_time_has_bounds),
        TEST(a_look_that_finds_nothing_new_writes_no_row),
        TEST(what_has_waited_too_long_expires),
        TEST(what_was_missing_arrives_and_it_goes_through),
        TEST(refusals_stand_beside_their_neighbours),
    };
    return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
