/* The store on Postgres: what a batch is decided on. */
#include "store_pg.h"

PG_STATEMENT(load_now);
PG_STATEMENT(load_seen);
PG_STATEMENT(load_releases);
PG_STATEMENT(load_environments);
PG_STATEMENT(load_promoted);
PG_STATEMENT(load_waiting);
PG_STATEMENT(promotions_due);
PG_STATEMENT(control_newest);
PG_STATEMENT(ledger_page);

static const int64_t ledger_page_bytes = 8 * 1024 * 1024;

/* "Without limit" is the highest number on either side. */
static int64_t clamp(uint64_t number) { return number > INT64_MAX ? INT64_MAX : (int64_t)number; }

/* A copy of a field; absent stays absent. False without memory. */
static bool copy_field(struct arena *arena, const struct pg_result *result, size_t row, int column, struct slice *ret) {
    struct slice field = pg_get_bytes(result, row, column);
    *ret = field.p ? arena_copy(arena, field) : (struct slice){0};
    return !field.p || ret->p;
}

/* An array parameter of one text member of an array of structs. */
#define PUT_TEXTS(parameters, items, count, member)                                                                              \
    do {                                                                                                                         \
        pg_array(parameters, PG_TEXT, count);                                                                                    \
        for (size_t put_i = 0; put_i < (count); put_i++) pg_bytes(parameters, PG_TEXT, (items)[put_i].member);                   \
    } while (0)

/* ---- putting the questions ---- */

static void ask_seen(struct store_batch *batch, const struct store_facts *facts) {
    struct pg_parameters *parameters = store_pg_add(batch, &load_seen);
    pg_array(parameters, PG_INT4, facts->seen_count);
    for (size_t i = 0; i < facts->seen_count; i++) pg_int(parameters, PG_INT4, facts->seen[i].shard);
    pg_array(parameters, PG_UUID, facts->seen_count);
    for (size_t i = 0; i < facts->seen_count; i++) pg_uuid(parameters, facts->seen[i].key);
}

static void ask_releases(struct store_batch *batch, const struct store_facts *facts) {
    struct pg_parameters *parameters = store_pg_add(batch, &load_releases);
    PUT_TEXTS(parameters, facts->releases, facts->release_count, project);
    PUT_TEXTS(parameters, facts->releases, facts->release_count, git_sha);
}

static void ask_environments(struct store_batch *batch, const struct store_facts *facts) {
    struct pg_parameters *parameters = store_pg_add(batch, &load_environments);
    PUT_TEXTS(parameters, facts->environments, facts->environment_count, project);
    PUT_TEXTS(parameters, facts->environments, facts->environment_count, environment);
}

static void ask_promoted(struct store_batch *batch, const struct store_facts *facts) {
    struct pg_parameters *parameters = store_pg_add(batch, &load_promoted);
    PUT_TEXTS(parameters, facts->promoted, facts->promoted_count, project);
    PUT_TEXTS(parameters, facts->promoted, facts->promoted_count, git_sha);
    PUT_TEXTS(parameters, facts->promoted, facts->promoted_count, environment);
}

static void ask_waiting(struct store_batch *batch, const struct store_facts *facts) {
    struct pg_parameters *parameters = store_pg_add(batch, &load_waiting);
    PUT_TEXTS(parameters, facts->waiting, facts->waiting_count, project);
    PUT_TEXTS(parameters, facts->waiting, facts->waiting_count, git_sha);
    PUT_TEXTS(parameters, facts->waiting, facts->waiting_count, environment);
}

/* ---- reading the answers ---- */

static bool read_seen(const struct pg_result *result, struct arena *arena, struct store_facts *facts) {
    for (size_t i = 0; i < facts->seen_count; i++) facts->seen[i].ret_found = false;
    for (size_t row = 0; row < pg_rows(result); row++) {
        struct store_seen *seen = &facts->seen[pg_get_int(result, row, 0) - 1];
        seen->ret_found = true;
        seen->ret_content = pg_get_digest(result, row, 1);
        /* without a row of the ledger it was archived, and only its shard is known */
        seen->ret_last = (struct ledger_row){.shard = seen->shard,
                                             .sequence = (uint64_t)pg_get_int(result, row, 2),
                                             .kind = (enum result_kind)pg_get_int(result, row, 3)};
        if (!copy_field(arena, result, row, 4, &seen->ret_last.decision)) return false;
    }
    return true;
}

static bool read_releases(const struct pg_result *result, struct arena *arena, struct store_facts *facts) {
    for (size_t i = 0; i < facts->release_count; i++) facts->releases[i].ret_found = false;
    for (size_t row = 0; row < pg_rows(result); row++) {
        struct store_release *release = &facts->releases[pg_get_int(result, row, 0) - 1];
        struct slice text; /* the artifacts point into it */
        if (!copy_field(arena, result, row, 3, &text) ||
            manifest_read_artifacts(arena, text, &release->ret_artifacts, &release->ret_artifact_count))
            return false;
        release->ret_found = true;
        release->ret_attestation_enabled = pg_get_bool(result, row, 1);
        release->ret_manifest_digest = pg_get_digest(result, row, 2);
    }
    return true;
}

static bool read_environments(const struct pg_result *result, struct arena *arena, struct store_facts *facts) {
    for (size_t i = 0; i < facts->environment_count; i++) facts->environments[i].ret_found = false;
    for (size_t row = 0; row < pg_rows(result); row++) {
        struct store_environment *environment = &facts->environments[pg_get_int(result, row, 0) - 1];
        environment->ret_found = true;
        if (!copy_field(arena, result, row, 1, &environment->ret_git_sha)) return false;
        pg_get_uuid(environment->ret_promotion, result, row, 2);
    }
    return true;
}

static bool read_promoted(const struct pg_result *result, struct store_facts *facts) {
    for (size_t i = 0; i < facts->promoted_count; i++) facts->promoted[i].ret_found = false;
    for (size_t row = 0; row < pg_rows(result); row++) facts->promoted[pg_get_int(result, row, 0) - 1].ret_found = true;
    return true;
}

/* The columns that load_waiting and promotions_due begin with. */
static bool read_promotion(const struct pg_result *result, size_t row, struct arena *arena, struct promotion_row *promotion) {
    pg_get_uuid(promotion->id, result, row, 0);
    promotion->shard = (uint32_t)pg_get_int(result, row, 1);
    promotion->outcome = (enum promotion_outcome)pg_get_int(result, row, 8);
    promotion->revision = (uint32_t)pg_get_int(result, row, 9);
    promotion->opened_at = pg_get_instant(result, row, 11);
    promotion->opened_sequence = (uint64_t)pg_get_int(result, row, 12);
    promotion->answered_sequence = (uint64_t)pg_get_int(result, row, 13);
    promotion->decided_sequence = (uint64_t)pg_get_int(result, row, 14);
    promotion->expires_at = pg_get_instant(result, row, 15);
    promotion->wake_at = pg_get_instant(result, row, 16);
    return copy_field(arena, result, row, 2, &promotion->project) && copy_field(arena, result, row, 3, &promotion->git_sha) &&
           copy_field(arena, result, row, 4, &promotion->environment) &&
           copy_field(arena, result, row, 5, &promotion->requester) && copy_field(arena, result, row, 6, &promotion->source) &&
           copy_field(arena, result, row, 7, &promotion->event_id) && copy_field(arena, result, row, 10, &promotion->conditions);
}

static bool read_waiting(const struct pg_result *result, struct arena *arena, struct store_facts *facts) {
    for (size_t i = 0; i < facts->waiting_count; i++) facts->waiting[i].ret_row = NULL;
    for (size_t row = 0; row < pg_rows(result); row++) {
        struct promotion_row *promotion = ARENA_NEW(arena, struct promotion_row);
        if (!promotion || !read_promotion(result, row, arena, promotion)) return false;
        facts->waiting[pg_get_int(result, row, 17) - 1].ret_row = promotion;
    }
    return true;
}

static bool read_now(const struct pg_result *result, struct store_facts *facts) {
    facts->ret_now = pg_get_instant(result, 0, 0);
    facts->ret_control_version = (uint64_t)pg_get_int(result, 0, 1);
    return true;
}

int store_pg_load(struct store *store, struct arena *arena, struct store_facts *facts, struct error *error) {
    struct store_batch batch = {.store = store_pg_of(store)};
    (void)store_pg_add(&batch, &load_now);
    if (facts->seen_count) ask_seen(&batch, facts);
    if (facts->release_count) ask_releases(&batch, facts);
    if (facts->environment_count) ask_environments(&batch, facts);
    if (facts->promoted_count) ask_promoted(&batch, facts);
    if (facts->waiting_count) ask_waiting(&batch, facts);
    if (pg_run(batch.store->pg, PG_READ, batch.calls, batch.count, error)) return -1;
    const struct pg_call *call = batch.calls;
    bool read = read_now((call++)->result, facts);
    if (facts->seen_count) read = read && read_seen((call++)->result, arena, facts);
    if (facts->release_count) read = read && read_releases((call++)->result, arena, facts);
    if (facts->environment_count) read = read && read_environments((call++)->result, arena, facts);
    if (facts->promoted_count) read = read && read_promoted((call++)->result, facts);
    if (facts->waiting_count) read = read && read_waiting(call->result, arena, facts);
    pg_results_free(batch.calls, batch.count);
    return read ? 0 : error_memory(error);
}

int store_pg_due(struct store *store, struct arena *arena, const uint32_t *shards, size_t shard_count, instant until,
                 size_t limit, struct promotion_row **ret_rows, size_t *ret_count, struct error *error) {
    struct store_batch batch = {.store = store_pg_of(store)};
    struct pg_parameters *parameters = store_pg_add(&batch, &promotions_due);
    pg_array(parameters, PG_INT4, shard_count);
    for (size_t i = 0; i < shard_count; i++) pg_int(parameters, PG_INT4, shards[i]);
    pg_instant(parameters, until);
    pg_int(parameters, PG_INT8, clamp(limit));
    if (pg_run(batch.store->pg, PG_READ, batch.calls, batch.count, error)) return -1;
    const struct pg_result *result = batch.calls[0].result;
    size_t count = pg_rows(result);
    struct promotion_row *rows = ARENA_ARRAY(arena, struct promotion_row, count);
    bool read = rows != NULL;
    for (size_t row = 0; row < count && read; row++) read = read_promotion(result, row, arena, &rows[row]);
    pg_results_free(batch.calls, batch.count);
    if (!read) return error_memory(error);
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}

int store_pg_control(struct store *store, struct arena *arena, struct store_control *ret_control, struct error *error) {
    struct store_batch batch = {.store = store_pg_of(store)};
    (void)store_pg_add(&batch, &control_newest);
    if (pg_run(batch.store->pg, PG_READ, batch.calls, batch.count, error)) return -1;
    const struct pg_result *result = batch.calls[0].result;
    struct store_control control = {.version = (uint64_t)pg_get_int(result, 0, 0),
                                    .policy_version = (uint64_t)pg_get_int(result, 0, 1),
                                    .policy_digest = pg_get_digest(result, 0, 3)};
    bool read = copy_field(arena, result, 0, 2, &control.policy);
    pg_results_free(batch.calls, batch.count);
    if (!read) return error_memory(error);
    *ret_control = control;
    return 0;
}

static bool read_ledger_row(const struct pg_result *result, size_t at, struct arena *arena, struct ledger_row *row) {
    row->sequence = (uint64_t)pg_get_int(result, at, 0);
    row->at = pg_get_instant(result, at, 1);
    row->kind = (enum result_kind)pg_get_int(result, at, 2);
    row->topic = (enum input_topic)pg_get_int(result, at, 3);
    row->offset = (uint64_t)pg_get_int(result, at, 4);
    row->control_version = (uint64_t)pg_get_int(result, at, 5);
    row->engine = (uint16_t)pg_get_int(result, at, 6);
    row->input_digest = pg_get_digest(result, at, 8);
    row->decision_digest = pg_get_digest(result, at, 10);
    row->hash = pg_get_digest(result, at, 11);
    return copy_field(arena, result, at, 7, &row->input) && copy_field(arena, result, at, 9, &row->decision);
}

int store_pg_ledger(struct store *store, struct arena *arena, uint32_t shard, uint64_t after, uint64_t through, size_t limit,
                    struct ledger_row **ret_rows, size_t *ret_count, struct error *error) {
    struct store_batch batch = {.store = store_pg_of(store)};
    struct pg_parameters *parameters = store_pg_add(&batch, &ledger_page);
    pg_int(parameters, PG_INT4, shard);
    pg_int(parameters, PG_INT8, clamp(after));
    pg_int(parameters, PG_INT8, clamp(through));
    pg_int(parameters, PG_INT8, clamp(limit));
    pg_int(parameters, PG_INT8, ledger_page_bytes);
    if (pg_run(batch.store->pg, PG_READ, batch.calls, batch.count, error)) return -1;
    const struct pg_result *result = batch.calls[0].result;
    size_t count = pg_rows(result);
    struct ledger_row *rows = ARENA_ARRAY(arena, struct ledger_row, count);
    bool read = rows != NULL;
    for (size_t row = 0; row < count && read; row++) {
        rows[row].shard = shard;
        read = read_ledger_row(result, row, arena, &rows[row]);
    }
    pg_results_free(batch.calls, batch.count);
    if (!read) return error_memory(error);
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}
