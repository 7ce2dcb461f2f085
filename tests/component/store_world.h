/* What the tests of the store share: a migrated schema of four shards, a store on it, rows and commits. Include it behind
 * cmocka.h. */
#ifndef SLUICE_TESTS_STORE_WORLD_H
#define SLUICE_TESTS_STORE_WORLD_H

#include "database.h"
#include "ledger.h"
#include "store.h"

/* A migrated schema of four shards, a store on it, and one lane's owner and ids. */
struct world {
    char schema[64];
    struct pg_options options;
    struct pg_installation installation;
    struct store *store;
    struct arena arena;
    unsigned char owner[STORE_OWNER];
    struct error error;
};

static const struct slice ids[2] = {{"sluice-a-0", 10}, {"sluice-a-1", 10}};
static const struct slice other_ids[2] = {{"sluice-b-0", 10}, {"sluice-b-1", 10}};
static const char sha_a[] = "4f1c0000000000000000000000000000000000aa", sha_b[] = "4f1c0000000000000000000000000000000000bb";

static int make_world(void **state) {
    struct world *world = calloc(1, sizeof *world);
    if (!world) return -1;
    world->options = database_migrated(world->schema, 4, &world->installation);
    world->options.schema = world->schema;
    world->options.application = world->schema;
    world->store = store_pg_new(&world->options);
    arena_init(&world->arena, 64 * 1024 * 1024);
    memset(world->owner, 0xa1, sizeof world->owner);
    *state = world;
    return world->store ? 0 : -1;
}

static int end_world(void **state) {
    struct world *world = *state;
    world->store->operations->free(world->store);
    database_drop(&world->options);
    arena_release(&world->arena);
    free(world);
    return 0;
}

static instant clock_of(struct world *world) {
    struct store_facts facts = {0};
    assert_int_equal(world->store->operations->load(world->store, &world->arena, &facts, &world->error), 0);
    return facts.ret_now;
}

static struct shard_row take(struct world *world, uint32_t shard) {
    struct shard_row row = {0};
    if (world->store->operations->take(world->store, shard, world->owner, ids, 2, &world->arena, &row, &world->error))
        fail_msg("%s: %s", world->error.code, world->error.message);
    return row;
}

/* A row whose hash follows `previous`. */
static struct ledger_row make_row(uint32_t shard, uint64_t sequence, enum result_kind kind, const char *decision, instant at,
                                  const struct digest *previous) {
    struct ledger_row row = {.shard = shard,
                             .sequence = sequence,
                             .at = at,
                             .kind = kind,
                             .topic = INPUT_REQUESTS,
                             .offset = sequence + 100,
                             .control_version = 3,
                             .engine = 1,
                             .input = SLICE("input \0 with any byte \xff"),
                             .decision = slice_str(decision)};
    row.input_digest = digest_of(row.input);
    row.decision_digest = digest_of(row.decision);
    row.hash = ledger_hash(&row, previous);
    return row;
}

/* The change of a shard's row that one ledger row makes. */
static struct commit_shard make_change(const struct shard_row *from, const struct ledger_row *last, instant now) {
    return (struct commit_shard){.shard = from->shard,
                                 .epoch = from->epoch,
                                 .sequence = from->sequence,
                                 .head = from->head,
                                 .new_sequence = last->sequence,
                                 .new_head = last->hash,
                                 .new_position = {0, from->position[INPUT_BUILDS], from->position[INPUT_REQUESTS] + 1},
                                 .now_at = now,
                                 .control_version = from->control_version,
                                 .settled = {{from->sequence, 77}, {0, -1}}};
}

static inline struct promotion_row make_promotion(uint32_t shard, uint64_t sequence, const char *environment,
                                                  enum promotion_outcome outcome, instant now) {
    struct promotion_row row = {.shard = shard,
                                .project = SLICE("acme/shop"),
                                .git_sha = slice_str(sha_a),
                                .environment = slice_str(environment),
                                .requester = SLICE("github:1011"),
                                .source = SLICE("https://ci.acme.example/run/81"),
                                .event_id = SLICE("81-1-prod"),
                                .outcome = outcome,
                                .revision = 1,
                                .opened_at = now,
                                .opened_sequence = sequence,
                                .answered_sequence = sequence,
                                .expires_at = now + 1000000,
                                .conditions = SLICE("[{\"type\":\"release\"}]")};
    memset(row.id, (int)sequence, sizeof row.id);
    if (outcome == PROMOTION_WAITING)
        row.wake_at = now + 500000;
    else
        row.decided_sequence = sequence;
    return row;
}

/* The shard is as the commit has left it. */
static inline void follow(struct shard_row *row, const struct commit_shard *change) {
    row->sequence = change->new_sequence;
    row->head = change->new_head;
    row->control_version = change->control_version;
    memcpy(row->position, change->new_position, sizeof row->position);
}

/* Commits one row that changes nothing else. */
static inline int commit_row(struct world *world, struct shard_row *shard, struct error *error) {
    instant now = clock_of(world);
    struct ledger_row row = make_row(shard->shard, shard->sequence + 1, RESULT_EVENT_REFUSED, "{}", now, &shard->head);
    struct commit_shard change = make_change(shard, &row, now);
    struct commit commit = {.shards = &change, .shard_count = 1, .rows = &row, .row_count = 1};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    if (world->store->operations->commit(world->store, &commit, error)) return -1;
    follow(shard, &change);
    return 0;
}

#define IN_A_WORLD(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)

#endif
