/* Who may write what, in a real Postgres, and what becomes of a commit when the server or the connection fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "store_world.h"

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
    /* the number alone is not enough: a restored database hands the same ones out again */
    assert_int_not_equal(do_->stop(world->store, 0, epoch, old, SLICE("no"), &world->error), 0);
    assert_int_not_equal(do_->suspect(world->store, 0, epoch, old, INPUT_BUILDS, 1, &world->error), 0);
    assert_int_not_equal(do_->release(world->store, 0, epoch, old, ids, 2, settled, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_FENCED);
    assert_int_equal(do_->release(world->store, 0, epoch, world->owner, ids, 2, settled, &world->error), 0);
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

/* Waits until they are gone. */
static void kill_backends(struct world *world) {
    char query[300];
    (void)snprintf(query, sizeof query,
                   "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = '%s' AND pid "
                   "<> pg_backend_pid()",
                   world->schema);
    (void)database_number(&world->options, query);
}

static void a_killed_connection_is_made_again(void **state) {
    struct world *world = *state;
    struct shard_row shard = take(world, 1);
    assert_int_equal(commit_row(world, &shard, &world->error), 0);
    struct store_facts facts = {0};
    kill_backends(world);
    assert_int_not_equal(world->store->operations->load(world->store, &world->arena, &facts, &world->error), 0);
    assert_int_equal(world->error.kind, ERROR_UNAVAILABLE);
    assert_int_equal(world->store->operations->load(world->store, &world->arena, &facts, &world->error), 0);
    kill_backends(world);
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
        IN_A_WORLD(the_worker_cannot_change_what_is_written),
        IN_A_WORLD(a_killed_connection_is_made_again),
        IN_A_WORLD(a_commit_that_dies_before_its_end_did_not_happen),
        IN_A_WORLD(a_lock_that_is_held_too_long_is_no_refusal_of_the_data),
        IN_A_WORLD(a_server_that_does_not_answer_is_given_up),
        cmocka_unit_test(no_server_is_unavailable),
    };
    return cmocka_run_group_tests(tests, database_start, database_stop);
}
