/* A large batch goes into Postgres by COPY, and all promises of a commit hold for it too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "store_world.h"

enum { MANY = 500 };

/* A batch of MANY promoted requests in one shard. */
struct large {
    struct ledger_row rows[MANY];
    struct commit_seen seen[MANY];
    struct promotion_row opened[MANY];
    struct commit_shard change;
    struct commit commit;
};

static struct slice numbered_sha(struct world *world, unsigned number) { return arena_print(&world->arena, "%040x", number); }

static struct large *make_large(struct world *world, const struct shard_row *shard) {
    struct large *large = ARENA_NEW(&world->arena, struct large);
    instant now = clock_of(world);
    const struct digest *head = &shard->head;
    assert_non_null(large);
    for (unsigned i = 0; i < MANY; i++) {
        uint64_t sequence = shard->sequence + i + 1;
        large->rows[i] = make_row(shard->shard, sequence, RESULT_PROMOTION_PROMOTED, "{\"large\":true}", now, head);
        head = &large->rows[i].hash;
        large->opened[i] = make_promotion(shard->shard, sequence, "dev", i % 5 ? PROMOTION_PROMOTED : PROMOTION_WAITING, now);
        large->opened[i].git_sha = numbered_sha(world, i);
        struct digest key = digest_of(large->opened[i].git_sha);
        memcpy(large->opened[i].id, key.bytes, STORE_KEY);
        large->seen[i] = (struct commit_seen){.shard = shard->shard, .content = key, .sequence = sequence};
        memcpy(large->seen[i].key, key.bytes, STORE_KEY);
    }
    large->change = make_change(shard, &large->rows[MANY - 1], now);
    large->commit = (struct commit){.shards = &large->change,
                                    .shard_count = 1,
                                    .rows = large->rows,
                                    .row_count = MANY,
                                    .seen = large->seen,
                                    .seen_count = MANY,
                                    .opened = large->opened,
                                    .opened_count = MANY};
    memcpy(large->commit.owner, world->owner, STORE_OWNER);
    return large;
}

static int commit_large(struct world *world, struct large *large) {
    return world->store->operations->commit(world->store, &large->commit, &world->error);
}

static int64_t count(struct world *world, const char *table) {
    char query[200];
    (void)snprintf(query, sizeof query, "SELECT count(*) FROM %s.%s", world->schema, table);
    return database_number(&world->options, query);
}

static void check_nothing_happened(struct world *world, const struct shard_row *shard) {
    assert_int_equal(count(world, "ledger"), 0);
    assert_int_equal(count(world, "seen"), 0);
    assert_int_equal(count(world, "promotion"), 0);
    struct shard_row now = take(world, shard->shard);
    assert_int_equal(now.sequence, shard->sequence);
}

static void what_many_rows_commit_is_read_back(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    struct large *large = make_large(world, &shard);
    struct ledger_row *read;
    size_t read_count;
    if (commit_large(world, large)) fail_msg("%s: %s", world->error.code, world->error.message);
    assert_int_equal(world->store->operations->ledger(world->store, &world->arena, 1, 0, UINT64_MAX, SIZE_MAX, &read, &read_count,
                                                      &world->error),
                     0);
    assert_int_equal(read_count, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_true(digest_equal(&read[i].hash, &large->rows[i].hash));
        assert_true(digest_equal(&read[i].input_digest, &large->rows[i].input_digest));
        assert_true(digest_equal(&read[i].decision_digest, &large->rows[i].decision_digest));
        assert_true(slice_equal(read[i].input, large->rows[i].input) && slice_equal(read[i].decision, large->rows[i].decision));
        assert_int_equal(read[i].offset, large->rows[i].offset);
        assert_int_equal(read[i].at, large->rows[i].at);
        assert_int_equal(read[i].topic, INPUT_REQUESTS);
    }
    struct store_seen seen = {.shard = 1};
    memcpy(seen.key, large->seen[7].key, STORE_KEY);
    struct store_waiting waiting = {
        .project = SLICE("acme/shop"), .git_sha = large->opened[5].git_sha, .environment = SLICE("dev")};
    struct store_promoted promoted = {
        .project = SLICE("acme/shop"), .git_sha = large->opened[6].git_sha, .environment = SLICE("dev")};
    struct store_facts facts = {
        .seen = &seen, .seen_count = 1, .waiting = &waiting, .waiting_count = 1, .promoted = &promoted, .promoted_count = 1};
    assert_int_equal(world->store->operations->load(world->store, &world->arena, &facts, &world->error), 0);
    assert_true(seen.ret_found);
    assert_true(digest_equal(&seen.ret_content, &large->seen[7].content));
    assert_int_equal(seen.ret_last.sequence, 8);
    assert_true(promoted.ret_found);
    const struct promotion_row *row = waiting.ret_row, *opened = &large->opened[5];
    assert_non_null(row);
    assert_memory_equal(row->id, opened->id, STORE_KEY);
    assert_int_equal(row->opened_at, opened->opened_at);
    assert_int_equal(row->expires_at, opened->expires_at);
    assert_int_equal(row->wake_at, opened->wake_at);
    assert_int_equal(row->decided_sequence, 0);
    assert_true(slice_equal(row->conditions, opened->conditions) && slice_equal(row->requester, opened->requester));
    assert_true(slice_equal(row->source, opened->source) && slice_equal(row->event_id, opened->event_id));
}

static void many_rows_of_a_lost_shard_are_fenced(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    struct large *large = make_large(world, &shard);
    shard = take(world, 1); /* the epoch is another one now */
    assert_int_not_equal(commit_large(world, large), 0);
    assert_int_equal(world->error.kind, ERROR_FENCED);
    check_nothing_happened(world, &shard);
}

/* In each table that is copied: a duplicate, and what Postgres cannot hold. */
static void one_refused_row_takes_the_batch_with_it(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    struct large *large = make_large(world, &shard);
    const struct ledger_row row = large->rows[300];
    large->rows[300].sequence = large->rows[299].sequence;
    assert_int_not_equal(commit_large(world, large), 0);
    assert_int_equal(world->error.kind, ERROR_INPUT);
    assert_string_equal(world->error.code, "sql-23505");
    large->rows[300] = row;

    const struct commit_seen seen = large->seen[300];
    memcpy(large->seen[300].key, large->seen[299].key, STORE_KEY);
    assert_int_not_equal(commit_large(world, large), 0);
    assert_string_equal(world->error.code, "sql-23505");
    large->seen[300] = seen;

    const struct promotion_row opened = large->opened[300];
    large->opened[300].requester = SLICE("bytes \xff that are no UTF-8");
    assert_int_not_equal(commit_large(world, large), 0);
    assert_int_equal(world->error.kind, ERROR_INPUT);
    assert_string_equal(world->error.code, "sql-22021");
    large->opened[300] = opened;

    check_nothing_happened(world, &shard);
    shard = take(world, 1);
    large->change.epoch = shard.epoch;
    if (commit_large(world, large)) fail_msg("%s: %s", world->error.code, world->error.message);
    assert_int_equal(count(world, "ledger"), MANY);
}

/* More than any socket buffer holds: libpq says "not now", and the lane waits. */
static void rows_that_do_not_fit_a_socket_are_sent_in_pieces(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    struct large *large = make_large(world, &shard);
    struct slice decision = {ARENA_ARRAY(&world->arena, char, 100000), 100000};
    memset((char *)(uintptr_t)decision.p, 'x', decision.n);
    const struct digest *head = &shard.head;
    for (size_t i = 0; i < 250; i++) {
        large->rows[i].decision = decision;
        large->rows[i].decision_digest = digest_of(decision);
        large->rows[i].hash = ledger_hash(&large->rows[i], head);
        head = &large->rows[i].hash;
    }
    large->commit.row_count = 250;
    large->change.new_sequence = 250;
    large->change.new_head = *head;
    if (commit_large(world, large)) fail_msg("%s: %s", world->error.code, world->error.message);
    char query[200];
    (void)snprintf(query, sizeof query, "SELECT sum(octet_length(decision)) FROM %s.ledger", world->schema);
    assert_int_equal(database_number(&world->options, query), 25000000);
}

/* The COPY waits for a lock, and its backend is ended there: nothing has happened, and it is known. */
static void a_copy_whose_backend_ends_did_not_happen(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    struct large *large = make_large(world, &shard);
    char command[700];
    struct pg *holder = pg_new(&world->options, PG_LOGIN);
    assert_int_equal(pg_script(holder, "BEGIN; LOCK TABLE promotion IN EXCLUSIVE MODE", &world->error), 0);
    (void)snprintf(command, sizeof command,
                   "(for i in $(seq 100); do sleep 0.1; [ \"$(psql -qAt '%s' -c \"SELECT count(pg_terminate_backend(pid)) FROM "
                   "pg_stat_activity WHERE application_name = '%s' AND wait_event_type = 'Lock'\")\" = 0 ] || break; done) "
                   ">/dev/null &",
                   database_url, world->schema);
    assert_int_equal(system(command), 0);
    assert_int_not_equal(commit_large(world, large), 0);
    assert_int_equal(world->error.kind, ERROR_UNAVAILABLE);
    pg_free(holder);
    check_nothing_happened(world, &shard);
}

/* A lane that is stopped while it copies holds its shard's row, and no time-out of the server's ends it. */
static void a_lane_that_stopped_in_a_copy_does_not_hold_its_shard_for_ever(void **state) {
    struct world *world = *state;
    char command[900];
    struct shard_row row;
    world->options.lock_ms = 2000;
    (void)snprintf(
        command, sizeof command,
        "(printf 'BEGIN; UPDATE %s.shard SET now_at = now() WHERE shard = 1;\\nCOPY %s.control FROM STDIN;\\n'; sleep 60) | "
        "PGAPPNAME=%s timeout 60 psql -qAt '%s' >/dev/null 2>&1 &",
        world->schema, world->schema, world->schema, database_url);
    assert_int_equal(system(command), 0);
    char query[200];
    (void)snprintf(
        query, sizeof query,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '%s' AND wait_event = 'ClientRead' AND state = "
        "'active'",
        world->schema);
    for (int i = 0; i < 300 && !database_number(&world->options, query); i++) (void)system("sleep 0.1");
    int tries = 0, taken = -1;
    while (taken && tries++ < 20) {
        taken = world->store->operations->take(world->store, 1, world->owner, ids, 2, &world->arena, &row, &world->error);
        if (taken) assert_int_equal(world->error.kind, ERROR_UNAVAILABLE);
    }
    assert_int_equal(taken, 0);
    assert_true(tries > 1); /* it was locked at first */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(what_many_rows_commit_is_read_back),
        IN_A_WORLD(many_rows_of_a_lost_shard_are_fenced),
        IN_A_WORLD(one_refused_row_takes_the_batch_with_it),
        IN_A_WORLD(rows_that_do_not_fit_a_socket_are_sent_in_pieces),
        IN_A_WORLD(a_copy_whose_backend_ends_did_not_happen),
        IN_A_WORLD(a_lane_that_stopped_in_a_copy_does_not_hold_its_shard_for_ever),
    };
    return cmocka_run_group_tests(tests, database_start, database_stop);
}
