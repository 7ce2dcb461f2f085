#include "store_sim.h"

#include "check.h"
#include "group.h"
#include "plan.h"
#include "policies.h"
#include "workload.h"

#include <string.h>

struct db db;
const unsigned char store_sim_installation[16] = {0x51, 0x1c, 0xe0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};

static const instant DAY = 86400 * (instant)SECOND;

static struct db remembered;
static bool has_remembered;
static micros away_until, away_counted;
static unsigned generation, pending;

void store_sim_begin(void) {
    db = (struct db){0};
    has_remembered = false;
    away_until = away_counted = 0;
    generation = pending = 0;
    for (uint32_t n = 0; n < world.shard_count; n++) {
        db.shards[n].head = ledger_genesis(store_sim_installation, n);
        for (int topic = 0; topic < OUTPUT_TOPICS; topic++) db.shards[n].settled[topic].offset = -1;
    }
}

unsigned writes_pending(void) { return pending; }

/* ---- what a batch brings, copied ---- */

static void *copy(const void *from, size_t count, size_t size) {
    void *to = keep(count * size);
    if (count) memcpy(to, from, count * size);
    return to;
}

#define COPY(from, count) copy((from), (count), sizeof *(from))

static void keep_row(struct ledger_row *row) {
    row->input = keep_slice(row->input);
    row->decision = keep_slice(row->decision);
}

static void keep_promotion(struct promotion_row *row) {
    struct slice *slices[] = {&row->project, &row->git_sha,  &row->environment, &row->requester,
                              &row->source,  &row->event_id, &row->conditions};
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) *slices[i] = keep_slice(*slices[i]);
}

static void keep_release(struct commit_release *release) {
    release->project = keep_slice(release->project);
    release->git_sha = keep_slice(release->git_sha);
    release->manifest = keep_slice(release->manifest);
    struct artifact *artifacts = COPY(release->artifacts, release->artifact_count);
    for (size_t i = 0; i < release->artifact_count; i++)
        artifacts[i] = (struct artifact){keep_slice(artifacts[i].name), keep_slice(artifacts[i].type),
                                         keep_slice(artifacts[i].digest), keep_slice(artifacts[i].uri)};
    release->artifacts = artifacts;
}

struct write *write_copy_commit(const struct commit *from) {
    struct write *write = KEEP_NEW(struct write);
    write->kind = WRITE_COMMIT;
    write->commit = *from;
    struct commit *to = &write->commit;
    struct ledger_row *rows = COPY(from->rows, from->row_count);
    struct commit_release *releases = COPY(from->releases, from->release_count);
    struct promotion_row *opened = COPY(from->opened, from->opened_count), *changed = COPY(from->changed, from->changed_count);
    struct commit_environment *environments = COPY(from->environments, from->environment_count);
    struct commit_wake *wakes = COPY(from->wakes, from->wake_count);
    for (size_t i = 0; i < from->row_count; i++) keep_row(&rows[i]);
    for (size_t i = 0; i < from->release_count; i++) keep_release(&releases[i]);
    for (size_t i = 0; i < from->opened_count; i++) keep_promotion(&opened[i]);
    for (size_t i = 0; i < from->changed_count; i++) keep_promotion(&changed[i]);
    for (size_t i = 0; i < from->environment_count; i++) {
        environments[i].project = keep_slice(environments[i].project);
        environments[i].environment = keep_slice(environments[i].environment);
        environments[i].git_sha = keep_slice(environments[i].git_sha);
    }
    for (size_t i = 0; i < from->wake_count; i++) {
        wakes[i].project = keep_slice(wakes[i].project);
        wakes[i].git_sha = keep_slice(wakes[i].git_sha);
    }
    to->shards = COPY(from->shards, from->shard_count);
    to->rows = rows;
    to->seen = COPY(from->seen, from->seen_count);
    to->releases = releases;
    to->opened = opened;
    to->changed = changed;
    to->environments = environments;
    to->wakes = wakes;
    return write;
}

/* ---- the shard's row ---- */

static bool has_id(const struct slice *ids, size_t count, struct slice id) {
    for (size_t i = 0; i < count; i++)
        if (slice_equal(ids[i], id)) return true;
    return false;
}

static void remove_ids(struct db_shard *shard, const struct slice *ids, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < shard->id_count; i++)
        if (!has_id(ids, count, shard->ids[i])) shard->ids[kept++] = shard->ids[i];
    shard->id_count = kept;
}

static uint64_t crash_place(const struct db_shard *shard) {
    switch (shard->crash_topic) {
    case INPUT_BUILDS:
    case INPUT_REQUESTS:
        return shard->position[shard->crash_topic];
    case INPUT_NONE:
        break;
    }
    return shard->position[INPUT_BUILDS] + shard->position[INPUT_REQUESTS];
}

/* shard_take.sql */
static void apply_take(struct write *write) {
    struct db_shard *shard = &db.shards[write->shard], was = *shard;
    bool here = was.crash_position >= crash_place(&was);
    bool died = was.id_count && memcmp(was.owner, write->owner, STORE_OWNER) != 0 && !was.stopped.p;
    shard->epoch++;
    memcpy(shard->owner, write->owner, STORE_OWNER);
    for (size_t i = 0; i < write->id_count && !was.stopped.p; i++)
        if (!has_id(shard->ids, shard->id_count, write->ids[i]) && shard->id_count < IDS_MAX)
            shard->ids[shard->id_count++] = write->ids[i];
    shard->crash_topic = here ? was.crash_topic : INPUT_NONE;
    shard->crash_position = here ? was.crash_position : was.position[INPUT_BUILDS] + was.position[INPUT_REQUESTS];
    shard->crash_count = (here ? was.crash_count : 0) + died;
    write->taken = *shard;
    world.result.takeovers++;
    check_taken(write->lane, write->shard, died);
}

static bool is_owner(const struct write *write) {
    const struct db_shard *shard = &db.shards[write->shard];
    return shard->epoch == write->epoch && memcmp(shard->owner, write->owner, STORE_OWNER) == 0;
}

static int apply_by_owner(const struct write *write, struct error *error) {
    struct db_shard *shard = &db.shards[write->shard];
    if (!is_owner(write)) return error_set(error, ERROR_FENCED, "fenced", "shard %u has another owner now", write->shard);
    if (write->kind == WRITE_DROP_IDS || write->kind == WRITE_RELEASE) remove_ids(shard, write->ids, write->id_count);
    if (write->kind == WRITE_RELEASE) {
        check_settled(write->shard, write->settled);
        memcpy(shard->settled, write->settled, sizeof shard->settled);
    }
    if (write->kind == WRITE_SUSPECT) {
        bool same = shard->crash_topic == write->topic && shard->crash_position == write->offset;
        if (!same) shard->crash_count = 0;
        shard->crash_topic = write->topic;
        shard->crash_position = write->offset;
        check_suspected(write->shard, write->topic, write->offset);
    }
    if (write->kind == WRITE_STOP) {
        shard->stopped = write->reason;
        check_stopped(write->shard, write->reason);
    }
    return 0;
}

/* ---- commit ---- */

/* fence() */
static bool passes_fence(const struct commit *commit) {
    for (size_t i = 0; i < commit->shard_count; i++) {
        const struct commit_shard *b = &commit->shards[i];
        const struct db_shard *s = &db.shards[b->shard];
        bool same = s->epoch == b->epoch && memcmp(s->owner, commit->owner, STORE_OWNER) == 0 && s->sequence == b->sequence &&
                    digest_equal(&s->head, &b->head) && s->position[INPUT_BUILDS] <= b->new_position[INPUT_BUILDS] &&
                    s->position[INPUT_REQUESTS] <= b->new_position[INPUT_REQUESTS] && !s->stopped.p;
        if (!same) return false;
        if (s->control_version != b->control_version && !b->wake_all) return false;
    }
    return true;
}

const struct promotion_row *db_open_promotion(struct slice project, struct slice git_sha, struct slice environment) {
    for (size_t i = 0; i < db.promotion_count; i++) {
        const struct promotion_row *row = &db.promotions[i];
        if (row->outcome == PROMOTION_WAITING && slice_equal(row->project, project) && slice_equal(row->git_sha, git_sha) &&
            slice_equal(row->environment, environment))
            return row;
    }
    return NULL;
}

const struct commit_environment *db_environment(struct slice project, struct slice environment) {
    for (size_t i = 0; i < db.environment_count; i++)
        if (slice_equal(db.environments[i].project, project) && slice_equal(db.environments[i].environment, environment))
            return &db.environments[i];
    return NULL;
}

const struct db_release *db_release(struct slice project, struct slice git_sha) {
    for (size_t i = 0; i < db.release_count; i++)
        if (slice_equal(db.releases[i].row.project, project) && slice_equal(db.releases[i].row.git_sha, git_sha))
            return &db.releases[i];
    return NULL;
}

static struct promotion_row *stored(const struct promotion_row *row) {
    for (size_t i = 0; i < db.promotion_count; i++)
        if (db.promotions[i].shard == row->shard && db.promotions[i].opened_sequence == row->opened_sequence)
            return &db.promotions[i];
    return NULL;
}

static bool was_seen(const struct commit_seen *seen) {
    for (size_t i = 0; i < db.seen_count; i++)
        if (db.seen[i].row.shard == seen->shard && memcmp(db.seen[i].row.key, seen->key, STORE_KEY) == 0) return true;
    return false;
}

/* seen_periods(), which a worker calls before a commit that uses an id, at least hourly. */
static void drop_old_periods(void) {
    int64_t today = world_store_now() / DAY;
    size_t kept = 0;
    for (size_t i = 0; i < db.seen_count; i++)
        if (db.seen[i].period + 10 + 31 >= today) db.seen[kept++] = db.seen[i];
    if (kept < db.seen_count) trace("database: drops %zu used ids", db.seen_count - kept);
    db.seen_count = kept;
}

static void write_seen(const struct commit *commit) {
    for (size_t i = 0; i < commit->seen_count; i++)
        *KEEP_ADD(db.seen, db.seen_count, db.seen_room) =
            (struct db_seen){commit->seen[i], commit->shards[0].now_at / (10 * DAY) * 10};
}

static int refused(const char *what, const struct commit *commit, struct error *error) {
    world_violate("constraints", (int)commit->shards[0].shard, 0, -1, "a commit that passed the fence breaks a constraint: %s",
                  what);
    return error_set(error, ERROR_INPUT, "sql-23505", "%s", what);
}

/* The constraints of migrations/0001, of which a right lane breaks none. */
static int compare_constraints(const struct commit *commit, struct error *error) {
    for (size_t i = 0; i < commit->seen_count; i++)
        if (was_seen(&commit->seen[i])) return refused("an event id is claimed twice", commit, error);
    for (size_t i = 0; i < commit->release_count; i++)
        if (db_release(commit->releases[i].project, commit->releases[i].git_sha))
            return refused("a release is verified twice", commit, error);
    for (size_t i = 0; i < commit->changed_count; i++) {
        const struct promotion_row *row = stored(&commit->changed[i]);
        if (!row || row->outcome != PROMOTION_WAITING) return refused("a promotion changes that does not wait", commit, error);
    }
    for (size_t i = 0; i < commit->opened_count; i++)
        if (stored(&commit->opened[i])) return refused("a promotion is opened twice", commit, error);
    return 0;
}

static void write_promotions(const struct commit *commit) {
    for (size_t i = 0; i < commit->changed_count; i++) {
        const struct promotion_row *from = &commit->changed[i];
        struct promotion_row *to = stored(from);
        to->outcome = from->outcome;
        to->revision = from->revision;
        to->conditions = from->conditions;
        to->answered_sequence = from->answered_sequence;
        to->decided_sequence = from->outcome == PROMOTION_WAITING ? 0 : from->decided_sequence;
        to->wake_at = from->outcome == PROMOTION_WAITING ? from->wake_at : 0;
    }
    for (size_t i = 0; i < commit->opened_count; i++) {
        const struct promotion_row *from = &commit->opened[i];
        if (from->outcome == PROMOTION_WAITING && db_open_promotion(from->project, from->git_sha, from->environment))
            (void)refused("two promotions are open for one release and environment", commit, NULL);
        *KEEP_ADD(db.promotions, db.promotion_count, db.promotion_room) = *from;
    }
}

static void write_environments(const struct commit *commit) {
    for (size_t i = 0; i < commit->environment_count; i++) {
        const struct commit_environment *from = &commit->environments[i];
        struct commit_environment *to = (struct commit_environment *)(uintptr_t)db_environment(from->project, from->environment);
        if (!to) to = KEEP_ADD(db.environments, db.environment_count, db.environment_room);
        *to = *from;
    }
}

static void wake(struct promotion_row *row, instant at) {
    if (row->outcome == PROMOTION_WAITING && row->wake_at > at) row->wake_at = at;
}

static void write_wakes(const struct commit *commit) {
    for (size_t i = 0; i < db.promotion_count; i++) {
        struct promotion_row *row = &db.promotions[i];
        for (size_t k = 0; k < commit->wake_count; k++)
            if (slice_equal(row->project, commit->wakes[k].project) && slice_equal(row->git_sha, commit->wakes[k].git_sha))
                wake(row, commit->wakes[k].at);
        for (size_t k = 0; k < commit->shard_count; k++)
            if (commit->shards[k].wake_all && commit->shards[k].shard == row->shard) wake(row, commit->shards[k].now_at);
    }
}

static void write_shards(const struct commit *commit) {
    for (size_t i = 0; i < commit->shard_count; i++) {
        const struct commit_shard *b = &commit->shards[i];
        struct db_shard *s = &db.shards[b->shard];
        s->sequence = b->new_sequence;
        s->head = b->new_head;
        memcpy(s->position, b->new_position, sizeof s->position);
        s->now_at = b->now_at;
        s->control_version = b->control_version;
        memcpy(s->settled, b->settled, sizeof s->settled);
    }
}

static int apply_commit(const struct write *write, struct error *error) {
    const struct commit *commit = &write->commit;
    if (commit->seen_count) drop_old_periods();
    if (!passes_fence(commit)) return error_set(error, ERROR_FENCED, "sql-SL001", "a shard is not as this lane left it");
    if (store_sim_refuses(commit)) return error_set(error, ERROR_INPUT, "sql-22000", "the database cannot hold this");
    if (compare_constraints(commit, error)) return -1;
    check_commit(write);
    write_shards(commit);
    for (size_t i = 0; i < commit->row_count; i++) {
        uint32_t n = commit->rows[i].shard;
        *KEEP_ADD(db.ledger[n], db.ledger_count[n], db.ledger_room[n]) = commit->rows[i];
        world.result.rows++;
    }
    write_seen(commit);
    for (size_t i = 0; i < commit->release_count; i++)
        *KEEP_ADD(db.releases, db.release_count, db.release_room) = (struct db_release){.row = commit->releases[i]};
    write_promotions(commit);
    write_environments(commit);
    write_wakes(commit);
    return 0;
}

int write_apply(struct write *write, struct error *error) {
    switch (write->kind) {
    case WRITE_TAKE:
        apply_take(write);
        return 0;
    case WRITE_COMMIT:
        return apply_commit(write, error);
    default:
        return apply_by_owner(write, error);
    }
}

static void arrive(void *argument) {
    struct write *write = argument;
    pending--;
    if (write->generation != generation) return;
    struct error error = {0};
    int result = write_apply(write, &error);
    trace("database: a write of lane%u for shard%u whose answer was lost arrives: %s", write->lane, write->shard,
          result ? error.message : "done");
}

void write_apply_later(struct write *write, micros delay) {
    write->generation = generation;
    pending++;
    world_at(world.now + delay, arrive, write);
}

/* ---- resumption, as producer/shard_resume.c has it ---- */

/* The last result of a topic behind what is settled is the ledger's, and what is settled is not ahead of it. */
static bool knows_results(uint32_t n, enum output_topic topic) {
    const struct db_shard *s = &db.shards[n];
    const struct out_log *log = &out_logs[topic][n];
    int64_t settled = s->settled[topic].offset, start = (int64_t)log->start;
    if (s->settled[topic].sequence > s->sequence) return false;
    for (size_t at = log->visible; (int64_t)at-- > (settled > start ? settled : start);) {
        const struct entry *entry = &log->entries[at];
        if (entry->state != ENTRY_COMMITTED) continue;
        uint64_t sequence = entry->record->sequence;
        return sequence && sequence <= db.ledger_count[n] && digest_equal(&db.ledger[n][sequence - 1].hash, &entry->record->hash);
    }
    return true;
}

void store_sim_resume(uint32_t n) {
    struct db_shard *s = &db.shards[n];
    instant now = world_store_now();
    struct ledger_row row = {.shard = n,
                             .sequence = s->sequence + 1,
                             .at = now > s->now_at ? now : s->now_at,
                             .kind = RESULT_SHARD_RESUMED,
                             .control_version = s->control_version,
                             .engine = 1,
                             .input = SLICE(""),
                             .decision = SLICE("{}")};
    row.input_digest = digest_of(row.input);
    row.decision_digest = digest_of(row.decision);
    row.hash = ledger_hash(&row, &s->head);
    for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++) {
        const struct in_log *log = &in_logs[topic][n];
        if (s->position[topic] < log->start || s->position[topic] > log->count) s->position[topic] = log->start;
    }
    for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++) {
        if (knows_results(n, topic)) continue;
        s->settled[topic] = (struct settled){row.sequence, (int64_t)out_logs[topic][n].count};
        check_accepted(n, topic, row.sequence);
    }
    s->epoch++;
    s->sequence = row.sequence;
    s->head = row.hash;
    s->now_at = row.at;
    s->crash_topic = INPUT_NONE;
    s->crash_count = 0;
    s->crash_position = s->position[INPUT_BUILDS] + s->position[INPUT_REQUESTS];
    s->stopped = (struct slice){0};
    *KEEP_ADD(db.ledger[n], db.ledger_count[n], db.ledger_room[n]) = row;
    trace("operator: shard%u is resumed by row %u-%llu", n, n, (unsigned long long)row.sequence);
    check_resumed(n);
}

/* ---- fail-over ---- */

bool store_sim_is_away(void) {
    if (world.now >= away_until) return false;
    plan_met(away_until, &away_counted, EFFECT_DATABASE_AWAY);
    return true;
}

static struct db copy_of(const struct db *from) {
    struct db to = *from;
    to.seen = COPY(from->seen, from->seen_count);
    to.releases = COPY(from->releases, from->release_count);
    to.promotions = COPY(from->promotions, from->promotion_count);
    to.environments = COPY(from->environments, from->environment_count);
    to.seen_room = from->seen_count;
    to.release_room = from->release_count;
    to.promotion_room = from->promotion_count;
    to.environment_room = from->environment_count;
    for (uint32_t n = 0; n < SHARDS_MAX; n++) {
        to.ledger[n] = COPY(from->ledger[n], from->ledger_count[n]);
        to.ledger_room[n] = from->ledger_count[n];
    }
    return to;
}

void store_sim_remember(void) {
    remembered = copy_of(&db);
    has_remembered = true;
}

void store_sim_fail_over(micros away, micros back) {
    away_until = world.now + away;
    generation++;
    if (!back || !has_remembered) return;
    trace("database: restored to an older state");
    struct db lost = db;
    db = remembered;
    has_remembered = false;
    check_restored(&lost);
}

void store_sim_heal(void) { away_until = 0; }

uint64_t store_sim_settled(uint32_t shard, enum output_topic topic) {
    uint64_t now = db.shards[shard].settled[topic].sequence, then = remembered.shards[shard].settled[topic].sequence;
    return has_remembered && then < now ? then : now;
}

bool store_sim_refuses(const struct commit *commit) {
    for (size_t i = 0; i < commit->row_count; i++) {
        const struct ledger_row *row = &commit->rows[i];
        if (row->topic == INPUT_NONE || row->kind == RESULT_EVENT_REFUSED || row->kind == RESULT_DEAD_LETTER) continue;
        if (workload_is_refused_by_store(row->shard, row->topic, row->offset)) return true;
    }
    return false;
}
