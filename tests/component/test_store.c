/* The store against a real Postgres. */
#include "ledger.h"
#include "store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "database.h"
#include "store_world.h"

static void follow(struct shard_row *row, const struct commit_shard *change) {
    row->sequence = change->new_sequence;
    row->head = change->new_head;
    memcpy(row->position, change->new_position, sizeof row->position);
}

/* Commits one row that changes nothing else. */
static int commit_row(struct world *world, struct shard_row *shard, struct error *error) {
    instant now = clock_of(world);
    struct ledger_row row = make_row(shard->shard, shard->sequence + 1, RESULT_EVENT_REFUSED, "{}", now, &shard->head);
    struct commit_shard change = make_change(shard, &row, now);
    struct commit commit = {.shards = &change, .shard_count = 1, .rows = &row, .row_count = 1};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    if (world->store->operations->commit(world->store, &commit, error)) return -1;
    follow(shard, &change);
    return 0;
}

/* ---- shards ---- */

static void a_new_installation_has_genesis_heads(void **state) {
    struct world *world = *state;
    unsigned char id[16];
    uint32_t shards = 0;
    assert_int_equal(world->store->operations->installation(world->store, id, &shards, &world->error), 0);
    assert_int_equal(shards, 4);
    assert_memory_equal(id, world->installation.id, 16);
    struct shard_row row = take(world, 3);
    struct digest genesis = ledger_genesis(id, 3);
    assert_true(digest_equal(&row.head, &genesis));
    assert_int_equal(row.sequence, 0);
    assert_int_equal(row.settled[OUTPUT_RESULTS].offset, -1);
    assert_null(row.stopped.p);
}

static void takeover_increments_the_epoch_and_lists_all_ids(void **state) {
    struct world *world = *state;
    struct shard_row row = take(world, 1);
    assert_int_equal(row.epoch, 1);
    assert_int_equal(row.fence_id_count, 2);
    row = take(world, 1); /* again, by itself: the same ids once */
    assert_int_equal(row.epoch, 2);
    assert_int_equal(row.fence_id_count, 2);
    assert_int_equal(row.crash_count, 0);
    memset(world->owner, 0xb2, STORE_OWNER);
    assert_int_equal(
        world->store->operations->take(world->store, 1, world->owner, other_ids, 2, &world->arena, &row, &world->error), 0);
    assert_int_equal(row.epoch, 3);
    assert_int_equal(row.fence_id_count, 4);
    assert_true(slice_equal(row.fence_ids[0], ids[0]));
    assert_true(slice_equal(row.fence_ids[3], other_ids[1]));
    assert_memory_equal(row.owner, world->owner, STORE_OWNER);
    /* those of the dead lane are fenced, and go */
    assert_int_equal(world->store->operations->drop_ids(world->store, 1, 3, world->owner, ids, 2, &world->error), 0);
    row = (struct shard_row){0};
    assert_int_equal(
        world->store->operations->take(world->store, 1, world->owner, other_ids, 2, &world->arena, &row, &world->error), 0);
    assert_int_equal(row.fence_id_count, 2);
    assert_true(slice_equal(row.fence_ids[0], other_ids[0]));
}

static void what_an_old_owner_says_of_a_shard_is_fenced(void **state) {
    struct world *world = *state;
    const struct store_operations *do_ = world->store->operations;
    const struct settled settled[OUTPUT_TOPICS] = {{5, 6}, {7, 8}};
    unsigned char old[STORE_OWNER];
    struct shard_row row = take(world, 0);
    memcpy(old, world->owner, sizeof old);
    memset(world->owner, 0xb2, STORE_OWNER);
    uint64_t epoch = take(world, 0).epoch;
    assert_int_not_equal(do_->drop_ids(world->store, 0, row.epoch, old, ids, 2, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_FENCED);
    assert_int_not_equal(do_->settle(world->store, 0, row.epoch, old, settled, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_FENCED);
    /* the number alone is not enough: a restored database hands the same ones out again */
    assert_int_not_equal(do_->settle(world->store, 0, epoch, old, settled, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_FENCED);
    assert_int_not_equal(do_->stop(world->store, 0, epoch, old, SLICE("no"), &world->error), 0);
    assert_int_not_equal(do_->suspect(world->store, 0, epoch, old, INPUT_BUILDS, 1, &world->error), 0);
    assert_int_not_equal(do_->release(world->store, 0, epoch, old, ids, 2, settled, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_FENCED);
    assert_int_equal(do_->settle(world->store, 0, epoch, world->owner, settled, &world->error), 0);
    row = take(world, 0);
    assert_int_equal(row.settled[OUTPUT_RESULTS].sequence, 5);
    assert_int_equal(row.settled[OUTPUT_RESULTS].offset, 6);
    assert_int_equal(row.settled[OUTPUT_DEAD_LETTER].sequence, 7);
    assert_int_equal(row.settled[OUTPUT_DEAD_LETTER].offset, 8);
    assert_null(row.stopped.p);
}

static void a_released_shard_is_clean_and_counts_no_death(void **state) {
    struct world *world = *state;
    const struct settled settled[OUTPUT_TOPICS] = {{1, 2}, {3, 4}};
    for (unsigned i = 0; i < 4; i++) {
        memset(world->owner, (int)(0xc0 + i), STORE_OWNER);
        struct shard_row row = take(world, 2);
        assert_int_equal(row.fence_id_count, 2);
        assert_int_equal(row.crash_count, 0);
        assert_int_equal(
            world->store->operations->release(world->store, 2, row.epoch, world->owner, ids, 2, settled, &world->error), 0);
    }
}

static void deaths_are_counted_where_they_happen(void **state) {
    struct world *world = *state;
    struct shard_row row = {0};
    for (unsigned deaths = 0; deaths < 4; deaths++) {
        memset(world->owner, (int)(0xd0 + deaths), STORE_OWNER);
        row = take(world, 2);
        assert_int_equal(row.crash_count, deaths);
        assert_int_equal(row.crash_topic, INPUT_NONE);
    }
    /* it comes further, and dies there */
    assert_int_equal(commit_row(world, &row, &world->error), 0);
    memset(world->owner, 0xe0, STORE_OWNER);
    row = take(world, 2);
    assert_int_equal(row.crash_count, 1);
    assert_int_equal(row.crash_position, 1);
    /* a record is noted before it is read with caution: the count is that record's */
    assert_int_equal(
        world->store->operations->suspect(world->store, 2, row.epoch, world->owner, INPUT_REQUESTS, 1, &world->error), 0);
    for (unsigned deaths = 1; deaths < 3; deaths++) {
        memset(world->owner, (int)(0xe0 + deaths), STORE_OWNER);
        row = take(world, 2);
        assert_int_equal(row.crash_topic, INPUT_REQUESTS);
        assert_int_equal(row.crash_position, 1);
        assert_int_equal(row.crash_count, deaths);
        assert_int_equal(
            world->store->operations->suspect(world->store, 2, row.epoch, world->owner, INPUT_REQUESTS, 1, &world->error), 0);
    }
    /* the next record may be behind offsets that have none */
    assert_int_equal(
        world->store->operations->suspect(world->store, 2, row.epoch, world->owner, INPUT_REQUESTS, 2, &world->error), 0);
    memset(world->owner, 0xe3, STORE_OWNER);
    row = take(world, 2);
    assert_int_equal(row.crash_topic, INPUT_REQUESTS);
    assert_int_equal(row.crash_position, 2);
    assert_int_equal(row.crash_count, 1);
    /* past it, the count is over */
    assert_int_equal(commit_row(world, &row, &world->error), 0);
    assert_int_equal(commit_row(world, &row, &world->error), 0);
    row = take(world, 2);
    assert_int_equal(row.crash_count, 0);
    assert_int_equal(row.crash_topic, INPUT_NONE);
}

static void a_stopped_shard_says_why_and_commits_nothing(void **state) {
    struct world *world = *state;
    struct shard_row row = take(world, 1);
    assert_int_equal(
        world->store->operations->stop(world->store, 1, row.epoch, world->owner, SLICE("the log was lost"), &world->error), 0);
    assert_int_not_equal(commit_row(world, &row, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_FENCED);
    row = take(world, 1);
    assert_true(slice_is(row.stopped, "the log was lost"));
    struct store_epoch epoch = {.shard = 1};
    assert_int_equal(world->store->operations->epochs(world->store, &epoch, 1, &world->error), 0);
    assert_true(epoch.ret_stopped);
    assert_int_equal(epoch.ret_epoch, row.epoch);
}

static void a_shard_that_does_not_exist_is_an_error(void **state) {
    struct world *world = *state;
    struct shard_row row = {.epoch = 42};
    assert_int_not_equal(
        world->store->operations->take(world->store, 4, world->owner, ids, 2, &world->arena, &row, &world->error), 0);
    assert_string_equal(world->error.code, "no-such-shard");
    assert_int_equal(row.epoch, 42);
}

/* ---- the fence ---- */

static void a_commit_that_believes_otherwise_changes_nothing(void **state) {
    struct world *world = *state;
    struct shard_row good = take(world, 1);
    assert_int_equal(commit_row(world, &good, &world->error), 0);
    struct shard_row wrong[5] = {good, good, good, good, good};
    unsigned char owner[STORE_OWNER];
    memcpy(owner, world->owner, sizeof owner);
    wrong[0].epoch++;
    wrong[1].sequence++;
    wrong[2].sequence--;
    wrong[3].head.bytes[31] ^= 1;
    for (size_t i = 0; i < 5; i++) {
        if (i == 4) world->owner[0] ^= 1;
        assert_int_not_equal(commit_row(world, &wrong[i], &world->error), 0);
        assert_int_equal(world->error.kind, ERROR_FENCED);
        assert_string_equal(world->error.code, "sql-SL001");
    }
    memcpy(world->owner, owner, sizeof owner);
    assert_int_equal(database_number(&world->options, "SELECT count(*) FROM ledger"), 1);
    assert_int_equal(database_number(&world->options, "SELECT requests_position FROM shard WHERE shard = 1"), 1);
    /* and the connection goes on as if nothing had been */
    assert_int_equal(commit_row(world, &good, &world->error), 0);
    assert_int_equal(database_number(&world->options, "SELECT count(*) FROM ledger"), 2);
}

static void one_foreign_shard_spoils_the_whole_batch(void **state) {
    struct world *world = *state;
    struct shard_row shards[2] = {take(world, 0), take(world, 3)};
    instant now = clock_of(world);
    struct ledger_row rows[2];
    struct commit_shard changes[2];
    for (size_t i = 0; i < 2; i++) {
        rows[i] = make_row(shards[i].shard, 1, RESULT_EVENT_REFUSED, "{}", now, &shards[i].head);
        changes[i] = make_change(&shards[i], &rows[i], now);
    }
    struct commit commit = {.shards = changes, .shard_count = 2, .rows = rows, .row_count = 2};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    memset(world->owner, 0xb2, STORE_OWNER);
    (void)take(world, 3);
    assert_int_not_equal(world->store->operations->commit(world->store, &commit, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_FENCED);
    assert_int_equal(database_number(&world->options, "SELECT count(*) FROM ledger"), 0);
    assert_int_equal(database_number(&world->options, "SELECT sum(sequence) FROM shard"), 0);
}

static void of_two_stores_that_race_for_a_shard_one_writes(void **state) {
    struct world *world = *state;
    struct world other = *world;
    other.store = store_pg_new(&world->options);
    assert_non_null(other.store);
    arena_init(&other.arena, world->arena.maximum);
    memset(other.owner, 0xb2, STORE_OWNER);
    struct shard_row mine = take(world, 1);
    for (unsigned round = 0; round < 20; round++) {
        struct world *winner = round % 2 ? world : &other, *loser = round % 2 ? &other : world;
        struct shard_row stale = mine;
        mine = take(winner, 1);
        assert_int_not_equal(commit_row(loser, &stale, &loser->error), 0);
        assert_int_equal(loser->error.kind, ERROR_FENCED);
        assert_int_equal(commit_row(winner, &mine, &winner->error), 0);
    }
    assert_int_equal(database_number(&world->options, "SELECT count(*) FROM ledger"), 20);
    other.store->operations->free(other.store);
    arena_release(&other.arena);
}

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
    assert_int_equal(again.control_version, 3);
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
    instant base = clock_of(world);
    (void)open_waiting(world, &one, "prod", base + 300);
    (void)open_waiting(world, &one, "staging", base + 100);
    (void)open_waiting(world, &two, "qa", base + 200);
    (void)open_waiting(world, &two, "eu", base + 400);
    const uint32_t both[2] = {1, 2};
    struct promotion_row *rows;
    assert_int_equal(due(world, both, 2, base + 300, 10, &rows), 3);
    assert_true(slice_is(rows[0].environment, "staging"));
    assert_true(slice_is(rows[1].environment, "qa"));
    assert_true(slice_is(rows[2].environment, "prod"));
    assert_int_equal(due(world, both, 2, base + 400, 2, &rows), 2);
    assert_int_equal(due(world, both + 1, 1, base + 400, 10, &rows), 2);
    assert_int_equal(due(world, both, 2, base + 99, 10, &rows), 0);
    assert_int_equal(due(world, both, 0, base + 999, 10, &rows), 0);
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
    change.wake_all = true; /* without a row of the ledger */
    struct commit commit = {.shards = &change, .shard_count = 1};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    assert_int_equal(world->store->operations->commit(world->store, &commit, &world->error), 0);
    const uint32_t both[2] = {1, 2};
    struct promotion_row *rows;
    assert_int_equal(due(world, both, 2, base + 100, 10, &rows), 1);
    assert_int_equal(rows[0].shard, 1);
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
        {embedded_promotions_due_sql, "(NULL, NULL, NULL)", "((shard = q.shard) AND (wake_at <= $2))"},
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

/* ---- rights ---- */

static void the_worker_cannot_change_what_is_written(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    assert_int_equal(commit_row(world, &shard, &world->error), 0);
    static const char *const forbidden[] = {
        "UPDATE ledger SET decision = ''",
        "DELETE FROM ledger",
        "TRUNCATE ledger",
        "DELETE FROM seen",
        "DELETE FROM promotion",
        "UPDATE release SET manifest = ''",
        "INSERT INTO control VALUES (1, now(), 'policy', '', '', sha256(''), sha256(''), 'me')",
        "UPDATE installation SET shards = 1",
        "INSERT INTO shard (shard, head_hash) VALUES (99, sha256(''))",
        "DROP TABLE seen",
        "CREATE TABLE mine (x int)"};
    struct pg *pg = pg_new(&world->options, PG_WORKER);
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        if (pg_script(pg, forbidden[i], &world->error) == 0) fail_msg("a worker may: %s", forbidden[i]);
        if (strcmp(world->error.code, "sql-42501") != 0) fail_msg("%s: %s", forbidden[i], world->error.message);
        assert_int_equal(world->error.kind, ERROR_INTERNAL);
    }
    pg_free(pg);
    pg = pg_new(&world->options, PG_READER);
    assert_int_not_equal(pg_script(pg, "UPDATE shard SET epoch = 0", &world->error), 0);
    assert_int_equal(pg_script(pg, "SELECT * FROM ledger", &world->error), 0);
    pg_free(pg);
}

/* ---- connections ---- */

static void kill_backends(struct world *world) {
    char query[300];
    (void)snprintf(
        query, sizeof query,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '%s' AND pid <> pg_backend_pid()",
        world->schema);
    (void)database_number(&world->options, query);
}

static void a_killed_connection_is_made_again(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    assert_int_equal(commit_row(world, &shard, &world->error), 0);
    struct store_facts facts = {0};
    kill_backends(world);
    (void)usleep(100000);
    assert_int_not_equal(world->store->operations->load(world->store, &world->arena, &facts, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_UNAVAILABLE);
    assert_int_equal(world->store->operations->load(world->store, &world->arena, &facts, &world->error), 0);
    kill_backends(world);
    (void)usleep(100000);
    struct shard_row before = shard;
    instant now = facts.ret_now;
    struct ledger_row row = make_row(1, 2, RESULT_EVENT_REFUSED, "{}", now, &shard.head);
    struct commit_shard change = make_change(&shard, &row, now);
    struct commit commit = {.shards = &change, .shard_count = 1, .rows = &row, .row_count = 1};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    assert_int_not_equal(world->store->operations->commit(world->store, &commit, &world->error), 0);
    assert_true(world->error.kind == ERROR_UNKNOWN || world->error.kind == ERROR_UNAVAILABLE);
    /* the answer to either is to take the shard over again */
    shard = take(world, 1);
    assert_int_equal(shard.sequence, before.sequence);
    assert_int_equal(commit_row(world, &shard, &world->error), 0);
}

static void a_commit_that_dies_before_its_end_did_not_happen(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    /* somebody holds the row: the fence waits, and is killed there */
    struct pg *holder = pg_new(&world->options, PG_LOGIN);
    assert_int_equal(pg_script(holder, "BEGIN; SELECT FROM shard FOR UPDATE", &world->error), 0);
    char command[600];
    (void)snprintf(
        command, sizeof command,
        "(sleep 0.5; psql -qAt '%s' -c \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s' "
        "AND wait_event_type = 'Lock'\" >/dev/null) &",
        database_url, world->schema);
    assert_int_equal(system(command), 0);
    assert_int_not_equal(commit_row(world, &shard, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_UNAVAILABLE);
    assert_string_equal(world->error.code, "sql-57P01");
    pg_free(holder);
    assert_int_equal(commit_row(world, &shard, &world->error), 0);
}

static void a_lock_that_is_held_too_long_is_no_refusal_of_the_data(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    struct pg_options hasty = world->options;
    hasty.lock_ms = 100;
    struct world other = *world;
    other.store = store_pg_new(&hasty);
    assert_non_null(other.store);
    struct pg *holder = pg_new(&world->options, PG_LOGIN);
    assert_int_equal(pg_script(holder, "BEGIN; SELECT FROM shard FOR UPDATE", &world->error), 0);
    assert_int_not_equal(commit_row(&other, &shard, &other.error), 0);
    assert_int_equal(other.error.kind, ERROR_UNAVAILABLE);
    assert_string_equal(other.error.code, "sql-55P03");
    pg_free(holder);
    assert_int_equal(commit_row(&other, &shard, &other.error), 0);
    other.store->operations->free(other.store);
}

static void a_server_that_does_not_answer_is_given_up(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    struct pg_options hasty = world->options;
    hasty.call_ms = 200;
    struct world other = *world;
    other.store = store_pg_new(&hasty);
    struct pg *holder = pg_new(&world->options, PG_LOGIN);
    assert_int_equal(clock_of(&other) > 0, 1);
    assert_int_equal(pg_script(holder, "BEGIN; SELECT FROM shard FOR UPDATE", &world->error), 0);
    assert_int_not_equal(commit_row(&other, &shard, &other.error), 0);
    assert_int_equal(other.error.kind, ERROR_UNKNOWN);
    assert_string_equal(other.error.code, "database-slow");
    pg_free(holder);
    other.store->operations->free(other.store);
}

static void no_server_is_unavailable(void **state) {
    (void)state;
    struct pg_options options = {.url = "postgresql://127.0.0.1:1/none", .schema = "none"};
    struct store *store = store_pg_new(&options);
    struct store_facts facts = {0};
    struct arena arena;
    struct error error;
    arena_init(&arena, 1024 * 1024);
    assert_non_null(store);
    assert_int_not_equal(store->operations->load(store, &arena, &facts, &error), 0);
    assert_int_equal(error.kind, ERROR_UNAVAILABLE);
    assert_string_equal(error.code, "database-unreachable");
    store->operations->free(store);
    arena_release(&arena);
}

#define IN_A_WORLD(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(a_new_installation_has_genesis_heads),
        IN_A_WORLD(takeover_increments_the_epoch_and_lists_all_ids),
        IN_A_WORLD(what_an_old_owner_says_of_a_shard_is_fenced),
        IN_A_WORLD(a_released_shard_is_clean_and_counts_no_death),
        IN_A_WORLD(deaths_are_counted_where_they_happen),
        IN_A_WORLD(a_stopped_shard_says_why_and_commits_nothing),
        IN_A_WORLD(a_shard_that_does_not_exist_is_an_error),
        IN_A_WORLD(a_commit_that_believes_otherwise_changes_nothing),
        IN_A_WORLD(one_foreign_shard_spoils_the_whole_batch),
        IN_A_WORLD(of_two_stores_that_race_for_a_shard_one_writes),
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
        IN_A_WORLD(the_worker_cannot_change_what_is_written),
        IN_A_WORLD(a_killed_connection_is_made_again),
        IN_A_WORLD(a_commit_that_dies_before_its_end_did_not_happen),
        IN_A_WORLD(a_lock_that_is_held_too_long_is_no_refusal_of_the_data),
        IN_A_WORLD(a_server_that_does_not_answer_is_given_up),
        cmocka_unit_test(no_server_is_unavailable),
    };
    return cmocka_run_group_tests(tests, database_start, database_stop);
}
