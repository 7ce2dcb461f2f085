/* What is committed is what is found again, in a real Postgres. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "store_world.h"

/* ---- facts ---- */

static void what_a_batch_commits_is_what_later_batches_load(void **state) {
    struct world *world = *state;
    const struct store_operations *do_ = world->store->operations;
    struct shard_row shard = take(world, 1);
    instant now = clock_of(world);
    struct ledger_row rows[3];
    rows[0] = make_row(1, 1, RESULT_RELEASE_VERIFIED, "{\"a\":1}", now, &shard.head);
    rows[0].topic = INPUT_BUILDS;
    rows[0].hash = ledger_hash(&rows[0], &shard.head);
    rows[1] = make_row(1, 2, RESULT_PROMOTION_WAITING, "{\"b\":2}", now, &rows[0].hash);
    rows[2] = make_row(1, 3, RESULT_PROMOTION_PROMOTED, "{\"c\":3}", now, &rows[1].hash);
    struct promotion_row opened[2] = {make_promotion(1, 2, "prod", PROMOTION_WAITING, now),
                                      make_promotion(1, 3, "dev", PROMOTION_PROMOTED, now)};
    const struct artifact artifacts[2] = {
        {SLICE("z-first"), SLICE("docker-image"), SLICE("sha256:77"), SLICE("ghcr.io/acme/shop")},
        {SLICE("a-second"), SLICE("binary"), SLICE("sha256:88"), {0}}};
    const struct slice manifest = SLICE(
        "{\"artifacts\":[{\"name\":\"z-first\",\"type\":\"docker-image\",\"digest\":\"sha256:77\",\"uri\":\"ghcr.io/acme/shop\"},"
        "{\"name\":\"a-second\",\"type\":\"binary\",\"digest\":\"sha256:88\"}]}");
    struct commit_release release = {.shard = 1,
                                     .project = SLICE("acme/shop"),
                                     .git_sha = slice_str(sha_a),
                                     .manifest = manifest,
                                     .manifest_digest = digest_of(manifest),
                                     .attestation_enabled = true,
                                     .artifacts = artifacts,
                                     .artifact_count = 2,
                                     .sequence = 1,
                                     .at = now};
    struct commit_release bare = release;
    bare.git_sha = slice_str(sha_b);
    bare.artifact_count = 0;
    bare.manifest = SLICE("{\"artifacts\":[]}");
    struct commit_release releases[2] = {release, bare};
    struct commit_seen seen[2] = {{.shard = 1, .content = digest_of(SLICE("x")), .sequence = 1},
                                  {.shard = 1, .content = digest_of(SLICE("y")), .sequence = 2}};
    memset(seen[0].key, 1, STORE_KEY);
    memset(seen[1].key, 2, STORE_KEY); /* the id of the promotion of row 2 */
    struct commit_environment environment = {
        .project = SLICE("acme/shop"), .environment = SLICE("dev"), .git_sha = slice_str(sha_a), .since = now, .sequence = 3};
    memset(environment.promotion, 3, STORE_KEY);
    struct commit_shard change = make_change(&shard, &rows[2], now);
    struct commit commit = {.shards = &change,
                            .shard_count = 1,
                            .rows = rows,
                            .row_count = 3,
                            .seen = seen,
                            .seen_count = 2,
                            .releases = releases,
                            .release_count = 2,
                            .opened = opened,
                            .opened_count = 2,
                            .environments = &environment,
                            .environment_count = 1};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    if (do_->commit(world->store, &commit, &world->error)) fail_msg("%s: %s", world->error.code, world->error.message);
    follow(&shard, &change);

    struct store_seen asked_seen[3] = {{.shard = 1}, {.shard = 1}, {.shard = 1}};
    memset(asked_seen[0].key, 9, STORE_KEY);
    memset(asked_seen[1].key, 2, STORE_KEY);
    memset(asked_seen[2].key, 1, STORE_KEY);
    struct store_release asked_releases[3] = {{.project = SLICE("acme/other"), .git_sha = slice_str(sha_a)},
                                              {.project = SLICE("acme/shop"), .git_sha = slice_str(sha_a)},
                                              {.project = SLICE("acme/shop"), .git_sha = slice_str(sha_b)}};
    struct store_environment asked_environments[2] = {{.project = SLICE("acme/shop"), .environment = SLICE("prod")},
                                                      {.project = SLICE("acme/shop"), .environment = SLICE("dev")}};
    struct store_promoted asked_promoted[3] = {
        {.project = SLICE("acme/shop"), .git_sha = slice_str(sha_a), .environment = SLICE("prod")},
        {.project = SLICE("acme/shop"), .git_sha = slice_str(sha_a), .environment = SLICE("dev")},
        {.project = SLICE("acme/shop"), .git_sha = slice_str(sha_b), .environment = SLICE("dev")}};
    struct store_waiting asked_waiting[2] = {
        {.project = SLICE("acme/shop"), .git_sha = slice_str(sha_a), .environment = SLICE("dev")},
        {.project = SLICE("acme/shop"), .git_sha = slice_str(sha_a), .environment = SLICE("prod")}};
    struct store_facts facts = {.seen = asked_seen,
                                .seen_count = 3,
                                .releases = asked_releases,
                                .release_count = 3,
                                .environments = asked_environments,
                                .environment_count = 2,
                                .promoted = asked_promoted,
                                .promoted_count = 3,
                                .waiting = asked_waiting,
                                .waiting_count = 2};
    if (do_->load(world->store, &world->arena, &facts, &world->error))
        fail_msg("%s: %s", world->error.code, world->error.message);
    assert_false(asked_seen[0].ret_found);
    assert_true(asked_seen[1].ret_found);
    assert_int_equal(asked_seen[1].ret_last.sequence, 2);
    assert_int_equal(asked_seen[1].ret_last.kind, RESULT_PROMOTION_WAITING);
    assert_true(slice_is(asked_seen[1].ret_last.decision, "{\"b\":2}"));
    assert_true(asked_seen[2].ret_found);
    assert_int_equal(asked_seen[2].ret_last.kind, RESULT_RELEASE_VERIFIED);
    assert_true(digest_equal(&asked_seen[2].ret_content, &seen[0].content));
    assert_false(asked_releases[0].ret_found);
    assert_true(asked_releases[1].ret_found);
    assert_true(asked_releases[1].ret_attestation_enabled);
    assert_true(digest_equal(&asked_releases[1].ret_manifest_digest, &release.manifest_digest));
    assert_int_equal(asked_releases[1].ret_artifact_count, 2); /* in the manifest's order, not the names' */
    assert_true(slice_is(asked_releases[1].ret_artifacts[0].name, "z-first"));
    assert_true(slice_is(asked_releases[1].ret_artifacts[0].uri, "ghcr.io/acme/shop"));
    assert_true(slice_is(asked_releases[1].ret_artifacts[1].digest, "sha256:88"));
    assert_null(asked_releases[1].ret_artifacts[1].uri.p);
    assert_true(asked_releases[2].ret_found);
    assert_int_equal(asked_releases[2].ret_artifact_count, 0);
    assert_false(asked_environments[0].ret_found);
    assert_true(asked_environments[1].ret_found);
    assert_true(slice_is(asked_environments[1].ret_git_sha, sha_a));
    assert_memory_equal(asked_environments[1].ret_promotion, environment.promotion, STORE_KEY);
    assert_false(asked_promoted[0].ret_found);
    assert_true(asked_promoted[1].ret_found);
    assert_false(asked_promoted[2].ret_found);
    assert_null(asked_waiting[0].ret_row);
    const struct promotion_row *waiting = asked_waiting[1].ret_row;
    assert_non_null(waiting);
    assert_memory_equal(waiting->id, opened[0].id, STORE_KEY);
    assert_int_equal(waiting->shard, 1);
    assert_true(slice_is(waiting->requester, "github:1011"));
    assert_true(slice_is(waiting->source, "https://ci.acme.example/run/81"));
    assert_true(slice_is(waiting->event_id, "81-1-prod"));
    assert_true(slice_is(waiting->conditions, "[{\"type\":\"release\"}]"));
    assert_int_equal(waiting->opened_at, now);
    assert_int_equal(waiting->opened_sequence, 2);
    assert_int_equal(waiting->answered_sequence, 2);
    assert_int_equal(waiting->decided_sequence, 0);
    assert_int_equal(waiting->expires_at, opened[0].expires_at);
    assert_int_equal(waiting->wake_at, opened[0].wake_at);
    assert_int_equal(waiting->outcome, PROMOTION_WAITING);
    assert_int_equal(waiting->revision, 1);

    /* the shard's row and the ledger say the same */
    struct shard_row again = take(world, 1);
    assert_int_equal(again.sequence, 3);
    assert_true(digest_equal(&again.head, &rows[2].hash));
    assert_int_equal(again.now_at, now);
    assert_int_equal(again.position[INPUT_REQUESTS], 1);
    assert_int_equal(again.settled[OUTPUT_RESULTS].offset, 77);
    struct ledger_row *read = NULL;
    size_t count = 0;
    assert_int_equal(do_->ledger(world->store, &world->arena, 1, 0, UINT64_MAX, SIZE_MAX, &read, &count, &world->error), 0);
    assert_int_equal(count, 3);
    struct digest previous = ledger_genesis(world->installation.id, 1);
    for (size_t i = 0; i < count; i++) {
        struct digest hash = ledger_hash(&read[i], &previous), input = digest_of(read[i].input);
        assert_true(digest_equal(&hash, &read[i].hash) && digest_equal(&hash, &rows[i].hash));
        assert_true(digest_equal(&input, &read[i].input_digest));
        assert_true(slice_equal(read[i].decision, rows[i].decision));
        previous = hash;
    }
}

/* Commits a waiting promotion as the shard's next row. */
static struct promotion_row open_waiting(struct world *world, struct shard_row *shard, const char *environment, instant wake_at) {
    instant now = clock_of(world);
    uint64_t sequence = shard->sequence + 1;
    struct ledger_row row = make_row(shard->shard, sequence, RESULT_PROMOTION_WAITING, "{}", now, &shard->head);
    struct promotion_row opened = make_promotion(shard->shard, sequence, environment, PROMOTION_WAITING, now);
    opened.wake_at = wake_at;
    opened.id[0] = (unsigned char)shard->shard;
    struct commit_shard change = make_change(shard, &row, now);
    struct commit commit = {
        .shards = &change, .shard_count = 1, .rows = &row, .row_count = 1, .opened = &opened, .opened_count = 1};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    if (world->store->operations->commit(world->store, &commit, &world->error))
        fail_msg("%s: %s", world->error.code, world->error.message);
    follow(shard, &change);
    return opened;
}

static size_t due(struct world *world, const uint32_t *shards, size_t count, instant until, size_t limit,
                  struct promotion_row **ret_rows) {
    size_t found = 0;
    if (world->store->operations->due(world->store, &world->arena, shards, count, until, limit, ret_rows, &found, &world->error))
        fail_msg("%s: %s", world->error.code, world->error.message);
    return found;
}

static void due_promotions_come_in_the_order_of_their_time(void **state) {
    struct world *world = *state;
    struct shard_row one = take(world, 1), two = take(world, 2);
    const instant second = 1000000;
    instant base = clock_of(world);
    (void)open_waiting(world, &one, "prod", base + 300 * second);
    (void)open_waiting(world, &one, "staging", base + 100 * second);
    (void)open_waiting(world, &two, "qa", base + 200 * second);
    (void)open_waiting(world, &two, "eu", base + 400 * second);
    const uint32_t both[2] = {1, 2};
    struct promotion_row *rows;
    assert_int_equal(due(world, both, 2, base + 300 * second, 10, &rows), 3);
    assert_true(slice_is(rows[0].environment, "staging"));
    assert_true(slice_is(rows[1].environment, "qa"));
    assert_true(slice_is(rows[2].environment, "prod"));
    assert_int_equal(due(world, both, 2, base + 400 * second, 2, &rows), 2);
    assert_int_equal(due(world, both + 1, 1, base + 400 * second, 10, &rows), 2);
    assert_int_equal(due(world, both, 2, base + 99 * second, 10, &rows), 0);
    assert_int_equal(due(world, both, 0, base + 999 * second, 10, &rows), 0);
    /* The clock was set back: until it has caught up with a shard's time, that time counts. */
    database_do(&world->options, "UPDATE shard SET now_at = now_at + interval '1 hour' WHERE shard = 1");
    assert_int_equal(due(world, both, 2, base, 10, &rows), 2);
}

static void a_wake_concerns_exactly_the_waiting_of_its_release(void **state) {
    struct world *world = *state;
    struct shard_row one = take(world, 1), two = take(world, 2);
    instant base = clock_of(world), far = base + 3600000000, wake = base + 50;
    (void)open_waiting(world, &one, "prod", far);
    (void)open_waiting(world, &one, "staging", base + 10);
    (void)open_waiting(world, &two, "qa", far); /* another shard; the same release, which no project ever has */
    struct commit_wake wakes[2] = {{SLICE("acme/shop"), slice_str(sha_b), wake}, {SLICE("acme/none"), slice_str(sha_a), wake}};
    struct ledger_row row = make_row(1, one.sequence + 1, RESULT_EVENT_REFUSED, "{}", base, &one.head);
    struct commit_shard change = make_change(&one, &row, base + 60);
    struct commit commit = {.shards = &change, .shard_count = 1, .rows = &row, .row_count = 1, .wakes = wakes, .wake_count = 2};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    const uint32_t both[2] = {1, 2};
    struct promotion_row *rows;
    assert_int_equal(world->store->operations->commit(world->store, &commit, &world->error), 0);
    follow(&one, &change);
    assert_int_equal(due(world, both, 2, base + 100, 10, &rows), 1); /* none of them was meant */
    wakes[0].git_sha = slice_str(sha_a);
    row = make_row(1, one.sequence + 1, RESULT_EVENT_REFUSED, "{}", base, &one.head);
    change = make_change(&one, &row, base + 60);
    assert_int_equal(world->store->operations->commit(world->store, &commit, &world->error), 0);
    follow(&one, &change);
    assert_int_equal(due(world, both, 2, base + 100, 10, &rows), 3);
    assert_int_equal(rows[0].wake_at, base + 10); /* what is to be looked at earlier stays */
    assert_int_equal(rows[1].wake_at, wake);
}

static void a_new_control_version_wakes_all_of_a_shard(void **state) {
    struct world *world = *state;
    struct shard_row one = take(world, 1), two = take(world, 2);
    instant base = clock_of(world), far = base + 3600000000;
    (void)open_waiting(world, &one, "prod", far);
    (void)open_waiting(world, &two, "qa", far);
    struct commit_shard change = make_change(&one, &(struct ledger_row){.sequence = one.sequence, .hash = one.head}, base + 60);
    change.control_version = 3; /* without a row of the ledger */
    struct commit commit = {.shards = &change, .shard_count = 1};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    /* the commit that woke them was lost by a restoration, say */
    assert_int_equal(world->store->operations->commit(world->store, &commit, &world->error), -1);
    assert_int_equal(world->error.kind, ERROR_FENCED);
    change.wake_all = true;
    assert_int_equal(world->store->operations->commit(world->store, &commit, &world->error), 0);
    const uint32_t both[2] = {1, 2};
    struct promotion_row *rows;
    assert_int_equal(due(world, both, 2, base + 100, 10, &rows), 1);
    assert_int_equal(rows[0].shard, 1);
    assert_int_equal(take(world, 1).control_version, 3);
}

static void a_changed_promotion_makes_room_for_its_successor(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    instant now = clock_of(world);
    struct promotion_row old = open_waiting(world, &shard, "prod", now + 1000);
    struct ledger_row rows[2];
    rows[0] = make_row(1, 2, RESULT_PROMOTION_SUPERSEDED, "{\"old\":1}", now, &shard.head);
    rows[1] = make_row(1, 3, RESULT_PROMOTION_WAITING, "{\"new\":1}", now, &rows[0].hash);
    old.outcome = PROMOTION_SUPERSEDED;
    old.revision = 2;
    old.answered_sequence = old.decided_sequence = 2;
    struct promotion_row next = make_promotion(1, 3, "prod", PROMOTION_WAITING, now);
    struct commit_seen seen = {.shard = 1, .sequence = old.opened_sequence};
    memcpy(seen.key, old.id, STORE_KEY);
    struct commit_shard change = make_change(&shard, &rows[1], now);
    struct commit commit = {.shards = &change,
                            .shard_count = 1,
                            .rows = rows,
                            .row_count = 2,
                            .seen = &seen,
                            .seen_count = 1,
                            .opened = &next,
                            .opened_count = 1,
                            .changed = &old,
                            .changed_count = 1};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    if (world->store->operations->commit(world->store, &commit, &world->error))
        fail_msg("%s: %s", world->error.code, world->error.message);
    follow(&shard, &change);
    assert_int_equal(database_number(&world->options, "SELECT count(*) FROM promotion WHERE outcome = 1 AND opened_sequence = 3"),
                     1);
    assert_int_equal(database_number(&world->options,
                                     "SELECT count(*) FROM promotion WHERE outcome = 4 AND conditions IS NULL AND revision = 2"),
                     1);
    /* a duplicate of the first request is told its last answer, not its first */
    struct store_seen asked = {.shard = 1};
    memcpy(asked.key, old.id, STORE_KEY);
    struct store_facts facts = {.seen = &asked, .seen_count = 1};
    assert_int_equal(world->store->operations->load(world->store, &world->arena, &facts, &world->error), 0);
    assert_true(asked.ret_found);
    assert_int_equal(asked.ret_last.sequence, 2);
    assert_int_equal(asked.ret_last.kind, RESULT_PROMOTION_SUPERSEDED);
    /* what has ended does not change again: the whole batch is refused */
    struct ledger_row row = make_row(1, 4, RESULT_PROMOTION_EXPIRED, "{}", now, &shard.head);
    change = make_change(&shard, &row, now);
    commit =
        (struct commit){.shards = &change, .shard_count = 1, .rows = &row, .row_count = 1, .changed = &old, .changed_count = 1};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    assert_int_not_equal(world->store->operations->commit(world->store, &commit, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_INTERNAL);
    assert_string_equal(world->error.code, "sql-SL002");
    assert_int_equal(database_number(&world->options, "SELECT count(*) FROM ledger"), 3);
}

static void two_open_promotions_of_one_release_and_environment_are_refused(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    instant now = clock_of(world);
    (void)open_waiting(world, &shard, "prod", now + 1000);
    struct ledger_row row = make_row(1, 2, RESULT_PROMOTION_WAITING, "{}", now, &shard.head);
    struct promotion_row second = make_promotion(1, 2, "prod", PROMOTION_WAITING, now);
    struct commit_shard change = make_change(&shard, &row, now);
    struct commit commit = {
        .shards = &change, .shard_count = 1, .rows = &row, .row_count = 1, .opened = &second, .opened_count = 1};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    assert_int_not_equal(world->store->operations->commit(world->store, &commit, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_INPUT);
    assert_string_equal(world->error.code, "sql-23505");
    assert_int_equal(commit_row(world, &shard, &world->error), 0);
}

static void the_ledger_is_read_in_pages(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    for (unsigned i = 0; i < 7; i++) assert_int_equal(commit_row(world, &shard, &world->error), 0);
    struct ledger_row *rows;
    size_t count;
    assert_int_equal(world->store->operations->ledger(world->store, &world->arena, 1, 2, 6, 3, &rows, &count, &world->error), 0);
    assert_int_equal(count, 3);
    assert_int_equal(rows[0].sequence, 3);
    assert_int_equal(rows[2].sequence, 5);
    assert_int_equal(world->store->operations->ledger(world->store, &world->arena, 1, 5, 6, 3, &rows, &count, &world->error), 0);
    assert_int_equal(count, 1);
    assert_int_equal(rows[0].offset, 106);
    assert_int_equal(rows[0].engine, 1);
    assert_int_equal(
        world->store->operations->ledger(world->store, &world->arena, 1, 7, UINT64_MAX, 3, &rows, &count, &world->error), 0);
    assert_int_equal(count, 0);
}

static void large_rows_come_in_smaller_pages(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    instant now = clock_of(world);
    size_t size = 3 * 1024 * 1024;
    char *large = arena_alloc(&world->arena, size);
    assert_non_null(large);
    struct ledger_row rows[5];
    struct digest previous = shard.head;
    for (unsigned i = 0; i < 5; i++) {
        rows[i] = make_row(1, i + 1, RESULT_EVENT_REFUSED, "{}", now, &previous);
        rows[i].input = slice_of(large, size);
        previous = rows[i].hash;
    }
    struct commit_shard change = make_change(&shard, &rows[4], now);
    struct commit commit = {.shards = &change, .shard_count = 1, .rows = rows, .row_count = 5};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    assert_int_equal(world->store->operations->commit(world->store, &commit, &world->error), 0);
    struct ledger_row *read;
    size_t count, total = 0;
    for (uint64_t after = 0; after < 5; after = read[count - 1].sequence) {
        assert_int_equal(
            world->store->operations->ledger(world->store, &world->arena, 1, after, 5, 100, &read, &count, &world->error), 0);
        assert_in_range(count, 1, 3);
        total += count;
    }
    assert_int_equal(total, 5);
}

static void the_newest_policy_and_control_version_are_found(void **state) {
    struct world *world = *state;
    struct store_control control;
    assert_int_equal(world->store->operations->control(world->store, &world->arena, &control, &world->error), 0);
    assert_int_equal(control.version, 0);
    assert_null(control.policy.p);
    database_do(&world->options,
                "INSERT INTO control SELECT n, now(), k, '', convert_to(b, 'UTF8'), sha256(convert_to(b, 'UTF8')), "
                "sha256(''), 'me' FROM (VALUES (1, 'policy', 'old'), (2, 'policy', 'version: 1'), (3, 'hold', 'h')) v (n, k, b)");
    assert_int_equal(world->store->operations->control(world->store, &world->arena, &control, &world->error), 0);
    assert_int_equal(control.version, 3);
    assert_int_equal(control.policy_version, 2);
    assert_true(slice_is(control.policy, "version: 1"));
    struct digest digest = digest_of(SLICE("version: 1"));
    assert_true(digest_equal(&digest, &control.policy_digest));
    struct store_facts facts = {0};
    assert_int_equal(world->store->operations->load(world->store, &world->arena, &facts, &world->error), 0);
    assert_int_equal(facts.ret_control_version, 3);
}

/* A plan of the worker's, made while all tables are empty: it may stay for as long as the connection. */
static void plans_made_on_empty_tables_use_the_whole_index(void **state) {
    struct world *world = *state;
    extern const unsigned char embedded_load_seen_sql[], embedded_load_waiting_sql[], embedded_load_releases_sql[],
        embedded_load_environments_sql[], embedded_load_promoted_sql[], embedded_promotions_due_sql[];
    static const struct {
        const unsigned char *text;
        const char *arguments, *condition;
    } cases[] = {
        {embedded_load_seen_sql, "(NULL, NULL)", "((shard = q.shard) AND (key = q.key))"},
        {embedded_load_seen_sql, "(NULL, NULL)", "(opened_sequence = seen.sequence))"},
        {embedded_load_seen_sql, "(NULL, NULL)", "(sequence = COALESCE(promotion.answered_sequence, seen.sequence)))"},
        {embedded_load_waiting_sql, "(NULL, NULL, NULL)",
         "((project = q.project) AND (git_sha = q.git_sha) AND (environment = q.environment))"},
        {embedded_load_releases_sql, "(NULL, NULL)", "using release_pkey"},
        {embedded_load_environments_sql, "(NULL, NULL)", "((project = q.project) AND (environment = q.environment))"},
        {embedded_load_promoted_sql, "(NULL, NULL, NULL)", "using promotion_promoted"},
        {embedded_promotions_due_sql, "(NULL, NULL, NULL)", "AND (wake_at <= GREATEST($2, s.now_at)))"},
    };
    database_do(&world->options, "SELECT seen_periods(now())");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pg *pg = pg_new(&world->options, PG_WORKER);
        char text[4000];
        bool found = false;
        (void)snprintf(text, sizeof text, "PREPARE plan%zu AS\n%s", i, (const char *)cases[i].text);
        if (pg_script(pg, text, &world->error)) fail_msg("%s", world->error.message);
        (void)snprintf(text, sizeof text, "EXPLAIN (COSTS OFF) EXECUTE plan%zu %s", i, cases[i].arguments);
        const struct pg_statement statement = {"explain", (const unsigned char *)text};
        struct pg_result *plan = pg_query(pg, PG_READ, &statement, NULL, &world->error);
        if (!plan) fail_msg("%s", world->error.message);
        for (size_t row = 0; row < pg_rows(plan); row++) {
            struct slice line = pg_get_bytes(plan, row, 0);
            found = found || strstr(line.p, cases[i].condition);
            if (strstr(line.p, "Join Filter") || strstr(line.p, "Seq Scan")) fail_msg("plan %zu: %s", i, line.p);
        }
        if (!found) fail_msg("plan %zu lacks %s", i, cases[i].condition);
        pg_result_free(plan);
        pg_free(pg);
    }
}

/* ---- deduplication ---- */

static void periods_are_made_ahead_and_old_ones_dropped(void **state) {
    struct world *world = *state;
    database_do(&world->options, "SELECT seen_periods(now() - interval '20 days')");
    database_do(&world->options, "CREATE TABLE seen_20200101 PARTITION OF seen FOR VALUES IN ('2020-01-01'); ALTER TABLE "
                                 "seen_20200101 OWNER TO sluice_owner");
    assert_int_equal(database_number(&world->options, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'seen'::regclass"), 5);
    struct pg *pg = pg_new(&world->options, PG_WORKER);
    if (pg_script(pg, "SELECT seen_periods(now())", &world->error)) fail_msg("%s", world->error.message);
    if (pg_script(pg, "SELECT seen_periods(now())", &world->error)) fail_msg("%s", world->error.message);
    assert_int_not_equal(pg_script(pg, "SELECT seen_periods(now() + interval '50 days')", &world->error), 0);
    assert_int_equal(database_number(&world->options, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'seen'::regclass"), 4);
    assert_int_equal(database_number(&world->options, "SELECT count(*) FROM pg_class WHERE relname = 'seen_20200101' "
                                                      "AND relnamespace = current_schema()::regnamespace"),
                     0);
    pg_free(pg);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(what_a_batch_commits_is_what_later_batches_load),
        IN_A_WORLD(due_promotions_come_in_the_order_of_their_time),
        IN_A_WORLD(a_wake_concerns_exactly_the_waiting_of_its_release),
        IN_A_WORLD(a_new_control_version_wakes_all_of_a_shard),
        IN_A_WORLD(a_changed_promotion_makes_room_for_its_successor),
        IN_A_WORLD(two_open_promotions_of_one_release_and_environment_are_refused),
        IN_A_WORLD(the_ledger_is_read_in_pages),
        IN_A_WORLD(large_rows_come_in_smaller_pages),
        IN_A_WORLD(the_newest_policy_and_control_version_are_found),
        IN_A_WORLD(plans_made_on_empty_tables_use_the_whole_index),
        IN_A_WORLD(periods_are_made_ahead_and_old_ones_dropped),
    };
    return cmocka_run_group_tests(tests, database_start, database_stop);
}
