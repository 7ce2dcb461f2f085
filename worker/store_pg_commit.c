/* The store on Postgres: one transaction a batch. */
#include "store_pg.h"

PG_STATEMENT(seen_periods);
PG_STATEMENT(copy_ledger);
PG_STATEMENT(copy_seen);
PG_STATEMENT(copy_opened);
PG_STATEMENT(commit_fence);
PG_STATEMENT(commit_ledger);
PG_STATEMENT(commit_seen);
PG_STATEMENT(commit_releases);
PG_STATEMENT(commit_artifacts);
PG_STATEMENT(commit_changed);
PG_STATEMENT(commit_opened);
PG_STATEMENT(commit_environments);
PG_STATEMENT(commit_wakes);
PG_STATEMENT(commit_wake_all);

/* From so many rows on a COPY costs less than an INSERT, though each waits twice for the server. */
enum { COPY_ROWS = 100 };
enum { PERIOD_DAYS = 10 };
static const instant day_us = (instant)24 * 3600 * 1000000, hour_us = (instant)3600 * 1000000, minute_us = (instant)60 * 1000000;

/* One array parameter: an expression over `item`, an element of `items`. Columns of integers, texts and so on follow. */
#define COLUMN(parameters, type, items, count, put)                                                                              \
    do {                                                                                                                         \
        pg_array(parameters, type, count);                                                                                       \
        for (size_t column_i = 0; column_i < (count); column_i++) {                                                              \
            const __typeof__(*(items)) *item = &(items)[column_i];                                                               \
            put;                                                                                                                 \
        }                                                                                                                        \
    } while (0)
#define COLUMN_INT(p, type, items, count, expression) COLUMN(p, type, items, count, pg_int(p, type, (int64_t)(expression)))
#define COLUMN_BYTES(p, type, items, count, expression) COLUMN(p, type, items, count, pg_bytes(p, type, expression))
#define COLUMN_DIGEST(p, items, count, expression) COLUMN(p, PG_BYTEA, items, count, pg_digest(p, &(expression)))
#define COLUMN_UUID(p, items, count, expression) COLUMN(p, PG_UUID, items, count, pg_uuid(p, expression))
#define COLUMN_INSTANT(p, items, count, expression) COLUMN(p, PG_INSTANT, items, count, pg_instant(p, expression))

static int32_t period_of(instant at) {
    instant length = PERIOD_DAYS * day_us, number = at / length - (at % length < 0);
    return (int32_t)number * PERIOD_DAYS;
}

/* The period that a batch writes to must exist before it; the hourly call also drops old ones. */
static int see_to_periods(struct store_pg *self, instant at, struct error *error) {
    bool known = self->maintain_at && (period_of(at) == self->period || period_of(at) == self->period + PERIOD_DAYS);
    if (known && at < self->maintain_at) return 0;
    struct store_batch batch = {.store = self};
    pg_instant(store_pg_add(&batch, &seen_periods), at);
    struct error problem;
    if (pg_run(self->pg, PG_WRITE, batch.calls, batch.count, &problem) == 0) {
        pg_results_free(batch.calls, batch.count);
        self->period = period_of(at);
        self->maintain_at = at + hour_us;
        return 0;
    }
    if (known) { /* not needed now; perhaps somebody holds a lock */
        self->maintain_at = at + minute_us;
        return 0;
    }
    /* Nothing of the batch was sent, so whatever became of the periods, it did not happen; and nothing of it is at fault. */
    if (problem.kind == ERROR_UNKNOWN) problem.kind = ERROR_UNAVAILABLE;
    if (problem.kind == ERROR_INPUT) problem.kind = ERROR_INTERNAL;
    if (error) *error = problem;
    return -1;
}

/* A table that gets many rows: `put` writes one, its fields in the order of both statements. */
struct table {
    const struct pg_statement *insert, *copy;
    size_t fields, size;
    void (*put)(struct pg_parameters *p, const void *row, const void *commit);
};

static struct pg_parameters *put_columns(struct store_batch *batch, const struct table *table, const void *rows, size_t n,
                                         const struct commit *commit) {
    struct pg_parameters *p = store_pg_add(batch, table->insert);
    for (size_t column = 0; column < table->fields; column++) {
        pg_column(p, column, table->fields, n);
        for (size_t i = 0; i < n; i++) table->put(p, (const char *)rows + i * table->size, commit);
    }
    return p;
}

static void put_rows(struct store_batch *batch, const struct table *table, const void *rows, size_t n,
                     const struct commit *commit) {
    if (n < COPY_ROWS) {
        (void)put_columns(batch, table, rows, n, commit);
        return;
    }
    struct pg_parameters *room = store_pg_add(batch, table->copy);
    batch->calls[batch->count - 1].rows = (struct pg_rows){rows, n, table->size, table->fields, table->put, commit, room};
}

static void put_fence(struct store_batch *batch, const struct commit *commit) {
    struct pg_parameters *p = store_pg_add(batch, &commit_fence);
    const struct commit_shard *shards = commit->shards;
    size_t n = commit->shard_count;
    pg_uuid(p, commit->owner);
    COLUMN_INT(p, PG_INT4, shards, n, item->shard);
    COLUMN_INT(p, PG_INT8, shards, n, item->epoch);
    COLUMN_INT(p, PG_INT8, shards, n, item->sequence);
    COLUMN_DIGEST(p, shards, n, item->head);
    COLUMN_INT(p, PG_INT8, shards, n, item->new_sequence);
    COLUMN_DIGEST(p, shards, n, item->new_head);
    COLUMN_INT(p, PG_INT8, shards, n, item->new_position[INPUT_BUILDS]);
    COLUMN_INT(p, PG_INT8, shards, n, item->new_position[INPUT_REQUESTS]);
    COLUMN_INSTANT(p, shards, n, item->now_at);
    COLUMN_INT(p, PG_INT8, shards, n, item->control_version);
    for (size_t topic = 0; topic < OUTPUT_TOPICS; topic++) {
        COLUMN_INT(p, PG_INT8, shards, n, item->settled[topic].sequence);
        COLUMN_INT(p, PG_INT8, shards, n, item->settled[topic].offset);
    }
    COLUMN(p, PG_BOOL, shards, n, pg_bool(p, item->wake_all));
}

static void put_ledger(struct pg_parameters *p, const void *row, const void *commit) {
    const struct ledger_row *r = row;
    (void)commit;
    pg_int(p, PG_INT8, (int64_t)r->sequence);
    pg_instant(p, r->at);
    pg_int(p, PG_INT8, (int64_t)r->offset);
    pg_int(p, PG_INT8, (int64_t)r->control_version);
    pg_int(p, PG_INT4, r->shard);
    pg_int(p, PG_INT4, r->engine);
    pg_int(p, PG_INT2, r->kind);
    pg_int(p, PG_INT2, r->topic);
    pg_digest(p, &r->input_digest);
    pg_digest(p, &r->decision_digest);
    pg_digest(p, &r->hash);
    /* a row that no record caused has an empty input, whatever it is called */
    pg_bytes(p, PG_BYTEA, r->input.p ? r->input : SLICE(""));
    pg_bytes(p, PG_BYTEA, r->decision.p ? r->decision : SLICE(""));
}

/* All shards of a batch have its `now`. */
static void put_seen(struct pg_parameters *p, const void *row, const void *context) {
    const struct commit_seen *r = row;
    const struct commit *commit = context;
    pg_int(p, PG_INT8, (int64_t)r->sequence);
    pg_date(p, period_of(commit->shards[0].now_at));
    pg_int(p, PG_INT4, r->shard);
    pg_uuid(p, r->key);
    pg_digest(p, &r->content);
}

/* An array of JSON texts, each built in the store's scratch. */
static void put_artifact_lists(struct store_batch *batch, struct pg_parameters *p, const struct commit_release *releases,
                               size_t n) {
    struct buf *scratch = &batch->store->scratch;
    pg_array(p, PG_TEXT, n);
    for (size_t i = 0; i < n; i++) {
        buf_reset(scratch);
        manifest_write_artifacts(scratch, releases[i].artifacts, releases[i].artifact_count);
        p->bytes.failed |= scratch->failed;
        pg_bytes(p, PG_TEXT, buf_slice(scratch));
    }
}

static void put_releases(struct store_batch *batch, const struct commit_release *releases, size_t n) {
    struct pg_parameters *p = store_pg_add(batch, &commit_releases);
    COLUMN_INT(p, PG_INT8, releases, n, item->sequence);
    COLUMN_INSTANT(p, releases, n, item->at);
    COLUMN_INT(p, PG_INT4, releases, n, item->shard);
    COLUMN(p, PG_BOOL, releases, n, pg_bool(p, item->attestation_enabled));
    COLUMN_BYTES(p, PG_TEXT, releases, n, item->project);
    COLUMN_BYTES(p, PG_TEXT, releases, n, item->git_sha);
    COLUMN_DIGEST(p, releases, n, item->manifest_digest);
    COLUMN_BYTES(p, PG_BYTEA, releases, n, item->manifest);
    put_artifact_lists(batch, p, releases, n);
}

/* One array over the artifacts of all releases. */
#define ARTIFACTS(p, type, releases, n, total, put)                                                                              \
    do {                                                                                                                         \
        pg_array(p, type, total);                                                                                                \
        for (size_t r = 0; r < (n); r++)                                                                                         \
            for (size_t a = 0; a < (releases)[r].artifact_count; a++) {                                                          \
                const struct commit_release *release = &(releases)[r];                                                           \
                const struct artifact *artifact = &release->artifacts[a];                                                        \
                (void)release, (void)artifact;                                                                                   \
                put;                                                                                                             \
            }                                                                                                                    \
    } while (0)

static void put_artifacts(struct store_batch *batch, const struct commit_release *releases, size_t n) {
    size_t total = 0;
    for (size_t i = 0; i < n; i++) total += releases[i].artifact_count;
    if (!total) return;
    struct pg_parameters *p = store_pg_add(batch, &commit_artifacts);
    ARTIFACTS(p, PG_INT2, releases, n, total, pg_int(p, PG_INT2, (int64_t)a));
    ARTIFACTS(p, PG_TEXT, releases, n, total, pg_bytes(p, PG_TEXT, release->project));
    ARTIFACTS(p, PG_TEXT, releases, n, total, pg_bytes(p, PG_TEXT, release->git_sha));
    ARTIFACTS(p, PG_TEXT, releases, n, total, pg_bytes(p, PG_TEXT, artifact->name));
    ARTIFACTS(p, PG_TEXT, releases, n, total, pg_bytes(p, PG_TEXT, artifact->type));
    ARTIFACTS(p, PG_TEXT, releases, n, total, pg_bytes(p, PG_TEXT, artifact->digest));
    ARTIFACTS(p, PG_TEXT, releases, n, total, pg_bytes(p, PG_TEXT, artifact->uri));
}

/* What only a waiting promotion has, and what only a decided one has, is NULL otherwise. */
static void put_promotion(struct pg_parameters *p, const void *row, const void *commit) {
    const struct promotion_row *r = row;
    bool waits = r->outcome == PROMOTION_WAITING;
    (void)commit;
    pg_int(p, PG_INT8, (int64_t)r->opened_sequence);
    pg_int(p, PG_INT8, (int64_t)r->answered_sequence);
    if (waits)
        pg_null(p, PG_INT8);
    else
        pg_int(p, PG_INT8, (int64_t)r->decided_sequence);
    pg_instant(p, r->opened_at);
    pg_instant(p, r->expires_at);
    if (waits)
        pg_instant(p, r->wake_at);
    else
        pg_null(p, PG_INSTANT);
    pg_int(p, PG_INT4, r->shard);
    pg_int(p, PG_INT4, r->revision);
    pg_int(p, PG_INT2, r->outcome);
    pg_uuid(p, r->id);
    pg_bytes(p, PG_TEXT, r->project);
    pg_bytes(p, PG_TEXT, r->git_sha);
    pg_bytes(p, PG_TEXT, r->environment);
    pg_bytes(p, PG_TEXT, r->requester);
    pg_bytes(p, PG_TEXT, r->source);
    pg_bytes(p, PG_TEXT, r->event_id);
    pg_bytes(p, PG_TEXT, waits ? r->conditions : (struct slice){0});
}

static const struct table ledger = {&commit_ledger, &copy_ledger, 13, sizeof(struct ledger_row), put_ledger};
static const struct table seen = {&commit_seen, &copy_seen, 5, sizeof(struct commit_seen), put_seen};
static const struct table opened = {&commit_opened, &copy_opened, 17, sizeof(struct promotion_row), put_promotion};
static const struct table changed = {&commit_changed, NULL, 17, sizeof(struct promotion_row), put_promotion};

static void put_environments(struct store_batch *batch, const struct commit_environment *rows, size_t n) {
    struct pg_parameters *p = store_pg_add(batch, &commit_environments);
    COLUMN_INT(p, PG_INT8, rows, n, item->sequence);
    COLUMN_INSTANT(p, rows, n, item->since);
    COLUMN_UUID(p, rows, n, item->promotion);
    COLUMN_BYTES(p, PG_TEXT, rows, n, item->project);
    COLUMN_BYTES(p, PG_TEXT, rows, n, item->environment);
    COLUMN_BYTES(p, PG_TEXT, rows, n, item->git_sha);
}

static void put_wakes(struct store_batch *batch, const struct commit_wake *wakes, size_t n) {
    struct pg_parameters *p = store_pg_add(batch, &commit_wakes);
    COLUMN_BYTES(p, PG_TEXT, wakes, n, item->project);
    COLUMN_BYTES(p, PG_TEXT, wakes, n, item->git_sha);
    COLUMN_INSTANT(p, wakes, n, item->at);
}

static void put_wake_all(struct store_batch *batch, const struct commit *commit) {
    size_t count = 0, i;
    for (i = 0; i < commit->shard_count; i++) count += commit->shards[i].wake_all;
    if (!count) return;
    struct pg_parameters *p = store_pg_add(batch, &commit_wake_all);
    pg_array(p, PG_INT4, count);
    for (i = 0; i < commit->shard_count; i++)
        if (commit->shards[i].wake_all) pg_int(p, PG_INT4, commit->shards[i].shard);
    pg_array(p, PG_INSTANT, count);
    for (i = 0; i < commit->shard_count; i++)
        if (commit->shards[i].wake_all) pg_instant(p, commit->shards[i].now_at);
}

int store_pg_commit(struct store *store, const struct commit *commit, struct error *error) {
    struct store_batch batch = {.store = store_pg_of(store)};
    if (!commit->shard_count) return 0;
    if (commit->seen_count && see_to_periods(batch.store, commit->shards[0].now_at, error)) return -1;
    put_fence(&batch, commit);
    /* What ends makes room for what opens: there is one open promotion of a release and environment. */
    if (commit->changed_count)
        pg_int(put_columns(&batch, &changed, commit->changed, commit->changed_count, commit), PG_INT8,
               (int64_t)commit->changed_count);
    if (commit->row_count) put_rows(&batch, &ledger, commit->rows, commit->row_count, commit);
    if (commit->seen_count) put_rows(&batch, &seen, commit->seen, commit->seen_count, commit);
    if (commit->opened_count) put_rows(&batch, &opened, commit->opened, commit->opened_count, commit);
    if (commit->release_count) {
        put_releases(&batch, commit->releases, commit->release_count);
        put_artifacts(&batch, commit->releases, commit->release_count);
    }
    if (commit->environment_count) put_environments(&batch, commit->environments, commit->environment_count);
    if (commit->wake_count) put_wakes(&batch, commit->wakes, commit->wake_count);
    put_wake_all(&batch, commit);
    if (pg_run(batch.store->pg, PG_COMMIT, batch.calls, batch.count, error)) return -1;
    pg_results_free(batch.calls, batch.count);
    return 0;
}
