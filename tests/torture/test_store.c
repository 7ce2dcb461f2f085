/* The store on a real Postgres under exhausted memory: every call either happens or says that it did not; a commit that says
 * neither is unknown. SLUICE_DATABASE_URL names the server. */
#include "alloc.h"
#include "operation.h"

#include <stdlib.h>

#define assert_int_equal(a, b) ((a) == (b) ? (void)0 : abort())
#define fail_msg(...) abort()
#include "../component/store_world.h"

static struct world *world;

struct use {
    struct store *store;
    struct arena arena;
    struct buf said;
    uint64_t sequence; /* of the shard, as far as it is known; UINT64_MAX: not */
};

static void *set_up(void) {
    struct use *u = calloc(1, sizeof *u);
    if (!u) abort();
    u->store = store_pg_new(&world->options);
    u->sequence = UINT64_MAX;
    arena_init(&u->arena, 64 * 1024 * 1024);
    buf_init(&u->said, 4096);
    if (!u->store || !buf_reserve(&u->said, 1024)) abort();
    return u;
}

static void tear_down(void *state) {
    struct use *u = state;
    u->store->operations->free(u->store);
    arena_release(&u->arena);
    buf_release(&u->said);
    free(u);
}

static void tell(void *state, struct buf *to) { buf_append(to, buf_slice(&((struct use *)state)->said)); }

/* Everything that a batch may change, under names that were never used before. */
static int commit_all(struct use *u, const struct shard_row *from, const char *sha, instant now, struct error *error) {
    static const struct artifact artifact = {{"app", 3}, {"other", 5}, {sha_b, 40}, {NULL, 0}};
    struct ledger_row row =
        make_row(0, from->sequence + 1, RESULT_PROMOTION_WAITING, "{\"project\":\"acme/shop\"}", now, &from->head);
    struct commit_shard change = make_change(from, &row, now);
    struct commit_seen seen = {.shard = 0, .content = row.hash, .sequence = row.sequence};
    struct commit_release release = {.shard = 0,
                                     .project = SLICE("acme/shop"),
                                     .git_sha = slice_str(sha),
                                     .manifest_digest = row.hash,
                                     .manifest =
                                         SLICE("{\"artifacts\":[{\"name\":\"app\",\"type\":\"other\",\"digest\":\"d\"}]}"),
                                     .artifacts = &artifact,
                                     .artifact_count = 1,
                                     .sequence = row.sequence,
                                     .at = now};
    struct promotion_row opened = make_promotion(0, row.sequence, "dev", PROMOTION_WAITING, now);
    struct commit_environment environment = {.project = SLICE("acme/shop"),
                                             .environment = SLICE("dev"),
                                             .git_sha = slice_str(sha_a),
                                             .since = now,
                                             .sequence = row.sequence};
    struct commit_wake wake = {.project = SLICE("acme/shop"), .git_sha = slice_str(sha), .at = now};
    memcpy(seen.key, row.hash.bytes, sizeof seen.key);
    memcpy(opened.id, row.hash.bytes, sizeof opened.id);
    opened.git_sha = slice_str(sha);
    opened.expires_at = now + 60000000;
    struct commit commit = {.shards = &change,
                            .shard_count = 1,
                            .rows = &row,
                            .row_count = 1,
                            .seen = &seen,
                            .seen_count = 1,
                            .releases = &release,
                            .release_count = 1,
                            .opened = &opened,
                            .opened_count = 1,
                            .environments = &environment,
                            .environment_count = 1,
                            .wakes = &wake,
                            .wake_count = 1};
    memcpy(commit.owner, world->owner, STORE_OWNER);
    int result = u->store->operations->commit(u->store, &commit, error);
    u->sequence = result == 0 ? row.sequence : error->kind == ERROR_UNKNOWN ? UINT64_MAX : from->sequence;
    return result;
}

static int look(struct use *u, const struct shard_row *row, const char *sha, struct store_facts *facts, struct error *error) {
    struct store_seen *seen = ARENA_NEW(&u->arena, struct store_seen);
    struct store_release *release = ARENA_NEW(&u->arena, struct store_release);
    struct store_environment *environment = ARENA_NEW(&u->arena, struct store_environment);
    struct store_promoted *promoted = ARENA_NEW(&u->arena, struct store_promoted);
    struct store_waiting *waiting = ARENA_NEW(&u->arena, struct store_waiting);
    if (!seen || !release || !environment || !promoted || !waiting) return error_memory(error);
    memcpy(seen->key, row->head.bytes, sizeof seen->key);
    release->project = environment->project = promoted->project = waiting->project = SLICE("acme/shop");
    release->git_sha = promoted->git_sha = waiting->git_sha = slice_str(sha);
    environment->environment = promoted->environment = waiting->environment = SLICE("dev");
    *facts = (struct store_facts){.seen = seen,
                                  .seen_count = 1,
                                  .releases = release,
                                  .release_count = 1,
                                  .environments = environment,
                                  .environment_count = 1,
                                  .promoted = promoted,
                                  .promoted_count = 1,
                                  .waiting = waiting,
                                  .waiting_count = 1};
    return u->store->operations->load(u->store, &u->arena, facts, error);
}

/* What a lane asks of it, from takeover to release. */
static int use(void *state, struct error *error) {
    static unsigned number;
    static const uint32_t shard = 0;
    struct use *u = state;
    const struct store_operations *do_ = u->store->operations;
    struct shard_row row, other;
    struct store_facts facts;
    struct store_control control;
    struct store_epoch epoch = {.shard = 0};
    struct promotion_row *due;
    struct ledger_row *rows;
    size_t due_count, row_count;
    char sha[41];
    (void)snprintf(sha, sizeof sha, "%040x", ++number);
    arena_reset(&u->arena);
    buf_reset(&u->said);
    if (do_->take(u->store, 0, world->owner, ids, 2, &u->arena, &row, error)) return -1;
    EXPECT(u->sequence == UINT64_MAX || u->sequence == row.sequence);
    if (look(u, &row, sha, &facts, error) || commit_all(u, &row, sha, facts.ret_now, error)) return -1;
    if (do_->epochs(u->store, &epoch, 1, error)) return -1;
    row.head = epoch.ret_head;
    if (look(u, &row, sha, &facts, error) || do_->control(u->store, &u->arena, &control, error) ||
        do_->due(u->store, &u->arena, &shard, 1, facts.ret_now + 1000000, 1, &due, &due_count, error) ||
        do_->ledger(u->store, &u->arena, 0, row.sequence, row.sequence + 1, 10, &rows, &row_count, error) ||
        do_->suspect(u->store, 0, row.epoch, world->owner, INPUT_BUILDS, 5, error) ||
        do_->drop_ids(u->store, 0, row.epoch, world->owner, other_ids, 2, error) ||
        do_->take(u->store, 3, world->owner, ids, 2, &u->arena, &other, error) ||
        do_->stop(u->store, 3, other.epoch, world->owner, SLICE("a test"), error) ||
        do_->release(u->store, 0, row.epoch, world->owner, ids, 2, row.settled, error))
        return -1;
    int n = snprintf(u->said.p, 1000,
                     "seen %d, release %d with %zu, environment %d, promoted %d, waiting %d; %zu due, %zu rows of %.*s; own %d",
                     facts.seen->ret_found, facts.releases->ret_found, facts.releases->ret_artifact_count,
                     facts.environments->ret_found, facts.promoted->ret_found, facts.waiting->ret_row != NULL, due_count,
                     row_count, SLICE_ARG(rows->decision), epoch.ret_sequence == row.sequence + 1);
    u->said.n = (size_t)n;
    return 0;
}

int main(int argc, char **argv) {
    static const struct operation operations[] = {{"use the store", set_up, use, tell, tear_down, false}};
    void *state;
    if (digest_prepare(NULL) || database_start(NULL) || make_world(&state)) return 2;
    world = state;
    (void)take(world, 0);
    (void)clock_of(world);
    int result = operations_run(operations, 1, argc, argv);
    (void)end_world(&state);
    return database_stop(NULL) ? 2 : result;
}
