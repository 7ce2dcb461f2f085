/* The store's port over the simulated database: refused, answered late or never, done without anybody knowing, done later. */
#include "check.h"
#include "policies.h"
#include "ports.h"
#include "store_sim.h"

#include <string.h>

enum { AWAY_WAIT = 300 * MS };

static struct sim_lane *lane_of(struct store *store) { return ((struct sim_store *)(void *)store)->lane; }

static int is_away(struct error *error) {
    return error_set(error, ERROR_UNAVAILABLE, "database-lost", "the database does not answer");
}

static int nobody_knows(struct error *error) {
    return error_set(error, ERROR_UNKNOWN, "database-lost", "the connection was lost before the answer");
}

/* ---- reads ---- */

/* 0: to be done. */
static int begin_read(struct sim_lane *lane, enum op op, struct armed **ret_fault, struct error *error) {
    struct armed *fault = *ret_fault = op_begin(lane, op);
    if (store_sim_is_away()) {
        fleet_sleep(AWAY_WAIT);
        return is_away(error);
    }
    return armed_fails(fault) ? is_away(error) : 0;
}

/* ---- writes ---- */

static int apply(struct sim_lane *lane, enum op op, struct write *write, struct error *error) {
    struct armed *fault = op_begin(lane, op);
    enum armed_kind kind = fault ? fault->kind : ARMED_STALL_AFTER; /* which changes nothing here */
    if (store_sim_is_away()) {
        fleet_sleep(AWAY_WAIT);
        return random_chance(&world.store, 70) ? is_away(error) : nobody_knows(error);
    }
    write->lane = lane->number;
    if (kind >= ARMED_REFUSE && kind <= ARMED_LATER) armed_took(fault);
    switch (kind) {
    case ARMED_REFUSE:
        return is_away(error);
    case ARMED_LOSE:
        return nobody_knows(error);
    case ARMED_LATER:
        write_apply_later(write, fault->time);
        fleet_sleep(random_between(&world.store, 0, 200 * MS));
        return nobody_knows(error);
    default:
        break;
    }
    struct error problem = {0};
    int result = write_apply(write, &problem);
    trace("lane%u %s shard%u: %s", lane->number, op_text(op), write->shard, result ? problem.message : "done");
    op_end(lane, op, fault);
    if (kind == ARMED_DONE_UNKNOWN) return nobody_knows(error);
    if (result) *error = problem;
    return result;
}

static struct write *by_owner(enum write_kind kind, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER]) {
    struct write *write = KEEP_NEW(struct write);
    write->kind = kind;
    write->shard = shard;
    write->epoch = epoch;
    memcpy(write->owner, owner, STORE_OWNER);
    return write;
}

static void put_ids(struct write *write, const struct slice *ids, size_t count) {
    for (size_t i = 0; i < count && i < IDS_MAX; i++) write->ids[write->id_count++] = keep_slice(ids[i]);
}

static int sim_installation(struct store *store, unsigned char ret_uuid[16], uint32_t *ret_shards, struct error *error) {
    (void)store, (void)error;
    memcpy(ret_uuid, store_sim_installation, 16);
    *ret_shards = world.shard_count;
    return 0;
}

static int sim_take(struct store *store, uint32_t shard, const unsigned char owner[STORE_OWNER], const struct slice *ids,
                    size_t id_count, struct arena *arena, struct shard_row *ret_row, struct error *error) {
    struct sim_lane *lane = lane_of(store);
    struct write *write = by_owner(WRITE_TAKE, shard, 0, owner);
    put_ids(write, ids, id_count);
    if (apply(lane, OP_TAKE, write, error)) return -1;
    const struct db_shard *row = &write->taken;
    struct shard_row answer = {.shard = shard,
                               .epoch = row->epoch,
                               .fence_id_count = row->id_count,
                               .sequence = row->sequence,
                               .head = row->head,
                               .now_at = row->now_at,
                               .control_version = row->control_version,
                               .crash_topic = row->crash_topic,
                               .crash_position = row->crash_position,
                               .crash_count = row->crash_count};
    memcpy(answer.owner, owner, STORE_OWNER);
    memcpy(answer.position, row->position, sizeof answer.position);
    memcpy(answer.settled, row->settled, sizeof answer.settled);
    answer.fence_ids = ARENA_ARRAY(arena, struct slice, row->id_count);
    for (size_t i = 0; i < row->id_count; i++) answer.fence_ids[i] = arena_copy(arena, row->ids[i]);
    if (row->stopped.p) answer.stopped = arena_copy(arena, row->stopped);
    *ret_row = answer;
    return 0;
}

static int sim_drop_ids(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                        const struct slice *ids, size_t id_count, struct error *error) {
    struct write *write = by_owner(WRITE_DROP_IDS, shard, epoch, owner);
    put_ids(write, ids, id_count);
    return apply(lane_of(store), OP_DROP_IDS, write, error);
}

static int sim_release(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                       const struct slice *ids, size_t id_count, const struct settled settled[OUTPUT_TOPICS],
                       struct error *error) {
    struct write *write = by_owner(WRITE_RELEASE, shard, epoch, owner);
    put_ids(write, ids, id_count);
    memcpy(write->settled, settled, sizeof write->settled);
    return apply(lane_of(store), OP_RELEASE, write, error);
}

static int sim_suspect(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                       enum input_topic topic, uint64_t offset, struct error *error) {
    struct write *write = by_owner(WRITE_SUSPECT, shard, epoch, owner);
    write->topic = topic;
    write->offset = offset;
    return apply(lane_of(store), OP_SUSPECT, write, error);
}

static int sim_stop(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                    struct slice reason, struct error *error) {
    struct write *write = by_owner(WRITE_STOP, shard, epoch, owner);
    write->reason = keep_slice(reason);
    return apply(lane_of(store), OP_STOP, write, error);
}

static int sim_commit(struct store *store, const struct commit *commit, struct error *error) {
    struct write *write = write_copy_commit(commit);
    if (commit->shard_count) write->shard = commit->shards[0].shard;
    write->knowledge = check_knowledge(lane_of(store)->number);
    return apply(lane_of(store), OP_COMMIT, write, error);
}

/* ---- answers to reads ---- */

static int sim_epochs(struct store *store, struct store_epoch *shards, size_t count, struct error *error) {
    struct armed *fault;
    if (begin_read(lane_of(store), OP_EPOCHS, &fault, error)) return -1;
    for (size_t i = 0; i < count; i++) {
        const struct db_shard *row = &db.shards[shards[i].shard];
        shards[i].ret_epoch = row->epoch;
        memcpy(shards[i].ret_owner, row->owner, STORE_OWNER);
        shards[i].ret_sequence = row->sequence;
        shards[i].ret_head = row->head;
        shards[i].ret_stopped = row->stopped.p != NULL;
        shards[i].ret_control_version = row->control_version;
        memcpy(shards[i].ret_position, row->position, sizeof shards[i].ret_position);
        for (int topic = 0; topic < OUTPUT_TOPICS; topic++) shards[i].ret_settled[topic] = row->settled[topic].sequence;
    }
    op_end(lane_of(store), OP_EPOCHS, fault);
    return 0;
}

static struct promotion_row copy_promotion(struct arena *arena, const struct promotion_row *row) {
    struct promotion_row copy = *row;
    copy.project = arena_copy(arena, row->project);
    copy.git_sha = arena_copy(arena, row->git_sha);
    copy.environment = arena_copy(arena, row->environment);
    copy.requester = arena_copy(arena, row->requester);
    copy.source = arena_copy(arena, row->source);
    copy.event_id = arena_copy(arena, row->event_id);
    copy.conditions = row->conditions.p ? arena_copy(arena, row->conditions) : (struct slice){0};
    return copy;
}

/* load_seen.sql */
static void answer_seen(struct arena *arena, struct store_seen *asked) {
    for (size_t i = 0; i < db.seen_count; i++) {
        const struct commit_seen *seen = &db.seen[i].row;
        if (seen->shard != asked->shard || memcmp(seen->key, asked->key, STORE_KEY) != 0) continue;
        uint64_t last = seen->sequence;
        for (size_t k = 0; k < db.promotion_count; k++) {
            const struct promotion_row *row = &db.promotions[k];
            if (row->shard == asked->shard && row->opened_sequence == last && memcmp(row->id, asked->key, STORE_KEY) == 0)
                last = row->answered_sequence;
        }
        const struct ledger_row *row = &db.ledger[asked->shard][last - 1];
        asked->ret_found = true;
        asked->ret_content = seen->content;
        asked->ret_last = (struct ledger_row){
            .shard = asked->shard, .sequence = last, .kind = row->kind, .decision = arena_copy(arena, row->decision)};
        return;
    }
}

static void answer_release(struct arena *arena, struct store_release *asked) {
    const struct db_release *found = db_release(asked->project, asked->git_sha);
    if (!found) return;
    asked->ret_found = true;
    asked->ret_attestation_enabled = found->row.attestation_enabled;
    asked->ret_manifest_digest = found->row.manifest_digest;
    asked->ret_artifact_count = found->row.artifact_count;
    asked->ret_artifacts = ARENA_ARRAY(arena, struct artifact, found->row.artifact_count);
    for (size_t i = 0; i < found->row.artifact_count; i++) {
        const struct artifact *from = &found->row.artifacts[i];
        asked->ret_artifacts[i] =
            (struct artifact){arena_copy(arena, from->name), arena_copy(arena, from->type), arena_copy(arena, from->digest),
                              from->uri.p ? arena_copy(arena, from->uri) : (struct slice){0}};
    }
}

/* load_promoted.sql */
static bool was_promoted(const struct store_promoted *asked) {
    for (size_t i = 0; i < db.promotion_count; i++) {
        const struct promotion_row *row = &db.promotions[i];
        if (row->outcome == PROMOTION_PROMOTED && slice_equal(row->project, asked->project) &&
            slice_equal(row->git_sha, asked->git_sha) && slice_equal(row->environment, asked->environment))
            return true;
    }
    return false;
}

static int sim_load(struct store *store, struct arena *arena, struct store_facts *facts, struct error *error) {
    struct armed *fault;
    struct sim_lane *lane = lane_of(store);
    if (begin_read(lane, OP_LOAD, &fault, error)) return -1;
    facts->ret_now = world_store_now();
    facts->ret_control_version = policies_version();
    for (size_t i = 0; i < facts->seen_count; i++) answer_seen(arena, &facts->seen[i]);
    for (size_t i = 0; i < facts->release_count; i++) answer_release(arena, &facts->releases[i]);
    for (size_t i = 0; i < facts->environment_count; i++) {
        struct store_environment *asked = &facts->environments[i];
        const struct commit_environment *found = db_environment(asked->project, asked->environment);
        if (!found) continue;
        asked->ret_found = true;
        asked->ret_git_sha = arena_copy(arena, found->git_sha);
        memcpy(asked->ret_promotion, found->promotion, STORE_KEY);
    }
    for (size_t i = 0; i < facts->promoted_count; i++) facts->promoted[i].ret_found = was_promoted(&facts->promoted[i]);
    for (size_t i = 0; i < facts->waiting_count; i++) {
        struct store_waiting *asked = &facts->waiting[i];
        const struct promotion_row *found = db_open_promotion(asked->project, asked->git_sha, asked->environment);
        asked->ret_row = found ? ARENA_NEW(arena, struct promotion_row) : NULL;
        if (found) *asked->ret_row = copy_promotion(arena, found);
    }
    check_loaded(lane->number);
    op_end(lane, OP_LOAD, fault);
    return 0;
}

/* promotions_due.sql */
static int sim_due(struct store *store, struct arena *arena, const uint32_t *shards, size_t shard_count, instant until,
                   size_t limit, struct promotion_row **ret_rows, size_t *ret_count, struct error *error) {
    struct armed *fault;
    if (begin_read(lane_of(store), OP_DUE, &fault, error)) return -1;
    struct promotion_row *rows = ARENA_ARRAY(arena, struct promotion_row, db.promotion_count);
    size_t count = 0;
    for (size_t i = 0; i < db.promotion_count; i++) {
        const struct promotion_row *row = &db.promotions[i];
        bool asked = false;
        for (size_t k = 0; k < shard_count; k++) asked |= shards[k] == row->shard;
        if (!asked || row->outcome != PROMOTION_WAITING) continue;
        if (row->wake_at > until && row->wake_at > db.shards[row->shard].now_at) continue;
        size_t at = count++;
        for (; at && rows[at - 1].wake_at > row->wake_at; at--) rows[at] = rows[at - 1];
        rows[at] = copy_promotion(arena, row);
    }
    *ret_rows = rows;
    *ret_count = count < limit ? count : limit;
    op_end(lane_of(store), OP_DUE, fault);
    return 0;
}

static int sim_control(struct store *store, struct arena *arena, struct store_control *ret_control, struct error *error) {
    struct armed *fault;
    if (begin_read(lane_of(store), OP_CONTROL, &fault, error)) return -1;
    struct slice text = policies_text();
    *ret_control = (struct store_control){.version = policies_version(),
                                          .policy = text.p ? arena_copy(arena, text) : (struct slice){0},
                                          .policy_digest = digest_of(text),
                                          .policy_version = policies_version()};
    op_end(lane_of(store), OP_CONTROL, fault);
    return 0;
}

static int sim_ledger(struct store *store, struct arena *arena, uint32_t shard, uint64_t after, uint64_t through, size_t limit,
                      struct ledger_row **ret_rows, size_t *ret_count, struct error *error) {
    struct armed *fault;
    if (begin_read(lane_of(store), OP_LEDGER, &fault, error)) return -1;
    if (through > db.ledger_count[shard]) through = db.ledger_count[shard];
    size_t count = through > after ? (size_t)(through - after) : 0;
    if (count > limit) count = limit;
    if (count > 5) count = 5; /* pages are small here */
    struct ledger_row *rows = ARENA_ARRAY(arena, struct ledger_row, count);
    for (size_t i = 0; i < count; i++) {
        rows[i] = db.ledger[shard][after + i];
        rows[i].input = arena_copy(arena, rows[i].input);
        rows[i].decision = arena_copy(arena, rows[i].decision);
    }
    *ret_rows = rows;
    *ret_count = count;
    op_end(lane_of(store), OP_LEDGER, fault);
    return 0;
}

static void sim_free(struct store *store) { (void)store; }

const struct store_operations sim_store_operations = {.installation = sim_installation,
                                                      .take = sim_take,
                                                      .drop_ids = sim_drop_ids,
                                                      .release = sim_release,
                                                      .suspect = sim_suspect,
                                                      .stop = sim_stop,
                                                      .epochs = sim_epochs,
                                                      .load = sim_load,
                                                      .due = sim_due,
                                                      .control = sim_control,
                                                      .commit = sim_commit,
                                                      .ledger = sim_ledger,
                                                      .free = sim_free};
