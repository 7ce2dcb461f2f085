/* What a batch of events becomes: in order, each from what is known, and from what stood before it in the same batch. */
#include "stages_world.h"

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

/* ---- what stood before in the same batch ---- */

static void the_last_release_of_a_batch_is_the_environments(void **state) {
    (void)state;
    release_found = true;
    add_request_of("1", SHA, "dev", "");
    add_request_of("2", "89abcdef0123456789abcdef0123456789abcdef", "dev", "");
    run();
    assert_int_equal(kind(0), RESULT_PROMOTION_PROMOTED);
    assert_int_equal(kind(1), RESULT_PROMOTION_PROMOTED);
    assert_int_equal(batch.changed_environment_count, 1);
    assert_true(slice_is(batch.changed_environments->git_sha, "89abcdef0123456789abcdef0123456789abcdef"));
    assert_int_equal(batch.changed_environments->sequence, 42);
    assert_int_equal(batch.wake_count, 2); /* dev is the gate of staging */
}

static void a_promotion_that_was_superseded_in_this_batch_is_not_looked_at(void **state) {
    (void)state;
    struct promotion *promotion;
    release_found = true;
    add_request("1", "dev", "");
    promotion = add_due(now + 1000000);
    waiting_row = &promotion->row;
    run();
    assert_int_equal(batch.answer_count, 2);
    assert_int_equal(kind(0), RESULT_PROMOTION_SUPERSEDED);
    assert_int_equal(kind(1), RESULT_PROMOTION_PROMOTED);
    assert_true(json_get_text(json_get(decision(0), "release"), "manifestDigest").p != NULL); /* the release was known by then */
}

/* Its id stands in the batch, but that event is refused: it has claimed nothing. */
static void a_duplicate_that_is_stale_is_told_nothing_of_the_look(void **state) {
    (void)state;
    struct promotion *promotion = add_due(now);
    ledger_event_key(promotion->row.id, SLICE("acme/shop"), SLICE("/ci"), SLICE("w"));
    add(INPUT_REQUESTS, "w", "dev.sluice.promotion.requested.v1", "2025-03-01T10:00:00Z",
        SLICE("{\"releaseRef\":\"" SHA "\",\"targetEnv\":\"dev\",\"requester\":\"r\"}"));
    run();
    assert_int_equal(kind(0), RESULT_PROMOTION_EXPIRED);
    assert_true(slice_is(member(1, "code"), "stale"));
    assert_int_equal(batch.claim_count, 0);
}

static struct slice original(size_t i, const char *name) { return json_get_text(json_get(decision(i), "original"), name); }

static void a_duplicate_tells_what_became_of_the_original(void **state) {
    (void)state;
    static const struct ledger_row rows[] = {
        {.shard = 0, .sequence = 9, .kind = RESULT_PROMOTION_REJECTED, .decision = {"{\"outcome\":\"rejected\"}", 22}},
        {.shard = 0, .sequence = 9, .kind = RESULT_RELEASE_REJECTED, .decision = {"{\"code\":\"not-signed\"}", 21}},
        {.shard = 0, .sequence = 9, .kind = RESULT_PROMOTION_REJECTED}}; /* archived */
    fake_content = &batch.items[0].content;
    for (size_t i = 0; i < 3; i++) {
        next_batch();
        seen_row = &rows[i];
        add_request("1", "dev", "");
        run();
        assert_int_equal(kind(0), RESULT_EVENT_DUPLICATE);
        assert_int_equal(original(0, "outcome").p != NULL, i == 0);
        assert_int_equal(original(0, "code").p != NULL, i == 1);
        assert_int_equal(original(0, "type").p != NULL, i != 2);
        assert_int_equal(batch.claim_count, 0);
    }
}

static void a_damaged_row_fails_the_batch_and_says_so(void **state) {
    (void)state;
    static const struct ledger_row damaged = {.kind = RESULT_PROMOTION_REJECTED, .decision = {"{\"outcome\":", 11}};
    struct error error = {0};
    seen_row = &damaged;
    fake_content = &batch.items[0].content;
    add_request("1", "dev", "");
    assert_int_equal(decode(&batch, &error), 0);
    assert_int_equal(load(&batch, &store, &error), 0);
    assert_int_equal(decide(&batch, &error), -1);
    assert_int_equal(error.kind, ERROR_INTERNAL);
    batch.items->seen->claimed = false;
    struct promotion *promotion = add_due(now);
    promotion->row.conditions = SLICE("{}");
    batch.items[0] = batch.items[--batch.item_count];
    assert_int_equal(load(&batch, &store, &error), 0);
    assert_int_equal(decide(&batch, &error), -1);
}

/* ---- policies and artifacts ---- */

static void a_build_needs_a_policy_that_allows_it(void **state) {
    (void)state;
    static const struct {
        const char *policy, *code;
    } cases[] = {
        {NULL, "unknown-project"},
        {"version: 1\nprojects:\n- match: \"other/*\"\n  environments: {dev: {}}\n", "unknown-project"},
        {"version: 1\nprojects:\n- match: \"acme/*\"\n  unsigned: refuse\n  environments: {dev: {}}\n", "unsigned"},
        {policy_text, "verified"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        next_batch();
        batch.policy = NULL;
        if (cases[i].policy) set_policy(cases[i].policy);
        add_build("b", DIGEST);
        run();
        assert_true(slice_is(member(0, "code"), cases[i].code));
        assert_int_equal(batch.new_release_count, i == 3);
    }
}

static void without_a_policy_a_request_waits_for_one(void **state) {
    (void)state;
    release_found = true;
    batch.policy = NULL;
    add_request("1", "dev", "");
    run();
    assert_int_equal(kind(0), RESULT_PROMOTION_WAITING);
}

static const struct json *condition_of(size_t answer, const char *type) {
    for (const struct json *node = json_get(decision(answer), "conditions")->first; node; node = node->next)
        if (slice_is(json_get_text(node, "type"), type)) return node;
    return NULL;
}

static void what_cannot_be_looked_up_is_told(void **state) {
    (void)state;
    static const struct {
        struct slice uri;
        const char *code;
    } cases[] = {{{NULL, 0}, "artifact-uncheckable"},
                 {{"not a reference", 15}, "artifact-uncheckable"},
                 {{"elsewhere.example/acme/shop", 27}, "registry-forbidden"},
                 {{"r:5000/acme/shop", 16}, "found"}};
    release_found = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        next_batch();
        artifact.uri = cases[i].uri;
        add_request("1", "dev", "");
        run();
        assert_true(slice_is(json_get_text(condition_of(0, "artifact"), "code"), cases[i].code));
    }
}

static void the_shortest_limit_of_waiting_counts(void **state) {
    (void)state;
    static const instant hour = 3600 * (instant)1000000;
    set_policy("version: 1\nprojects:\n- match: \"acme/*\"\n  unsigned: allow\n  waiting-limit: 2h\n  environments: {dev: {}}\n");
    add_request("1", "dev", "");
    add_request("2", "dev", ",\"expiresAt\":\"2026-03-01T11:00:00Z\"");
    add_request("3", "dev", ",\"expiresAt\":\"2026-03-05T11:00:00Z\"");
    run();
    static const instant hours[] = {2, 1, 2};
    size_t i = 0;
    for (const struct promotion *promotion = batch.promotions; promotion; promotion = promotion->next)
        if (i < 3) assert_int_equal(promotion->row.expires_at - now, hours[i++] * hour);
    assert_int_equal(i, 3);
    batch.policy = NULL;
    next_batch();
    add_request("4", "dev", "");
    run();
    assert_int_equal(batch.promotions->row.expires_at - now, 7 * 24 * hour);
}

/* Equal in whatever order; another name, type, digest or place is another release. */
static void artifacts_are_compared_member_by_member(void **state) {
    (void)state;
    static const char *const others[] = {
        ARTIFACT("a", "docker-image", DIGEST, "r:5000/a"),
        ARTIFACT("a", "docker-image", DIGEST, "r:5000/a") "," ARTIFACT("c", "archive", OTHER, "r:5000/b"),
        ARTIFACT("a", "docker-image", DIGEST, "r:5000/a") "," ARTIFACT("b", "docker-image", OTHER, "r:5000/b"),
        ARTIFACT("a", "docker-image", DIGEST, "r:5000/a") "," ARTIFACT("b", "archive", DIGEST, "r:5000/b"),
        ARTIFACT("a", "docker-image", DIGEST, "r:5000/a") "," ARTIFACT("b", "archive", OTHER, "r:5000/z"),
    };
    add_artifacts("0", ARTIFACT("a", "docker-image", DIGEST, "r:5000/a") "," ARTIFACT("b", "archive", OTHER, "r:5000/b"));
    add_artifacts("1", ARTIFACT("b", "archive", OTHER, "r:5000/b") "," ARTIFACT("a", "docker-image", DIGEST, "r:5000/a"));
    for (size_t i = 0; i < 5; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "other-%zu", i % 10);
        add_artifacts(id, others[i]);
    }
    run();
    assert_true(slice_is(member(0, "code"), "verified"));
    assert_true(slice_is(member(1, "code"), "already-built"));
    for (size_t i = 2; i < 7; i++) assert_true(slice_is(member(i, "code"), "manifest-conflict"));
}

/* Two lanes' clocks differ, and a shard's time does not go back. */
static void a_shards_time_does_not_go_back(void **state) {
    (void)state;
    batch.shards->now_at = now + 5000000;
    add_request("1", "dev", "");
    run();
    assert_int_equal(batch.now, now + 5000000);
    assert_int_equal(batch.answers[0].row.at, now + 5000000);
}

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
        TEST(the_last_release_of_a_batch_is_the_environments),
        TEST(a_promotion_that_was_superseded_in_this_batch_is_not_looked_at),
        TEST(a_duplicate_that_is_stale_is_told_nothing_of_the_look),
        TEST(a_duplicate_tells_what_became_of_the_original),
        TEST(a_damaged_row_fails_the_batch_and_says_so),
        TEST(a_build_needs_a_policy_that_allows_it),
        TEST(without_a_policy_a_request_waits_for_one),
        TEST(what_cannot_be_looked_up_is_told),
        TEST(the_shortest_limit_of_waiting_counts),
        TEST(artifacts_are_compared_member_by_member),
        TEST(a_shards_time_does_not_go_back),
    };
    return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
