/* The store on Postgres: one transaction a batch. */
#include "store_pg.h"

PG_STATEMENT(seen_periods);
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

static instant now_of(const struct commit *commit, uint32_t shard) {
    for (size_t i = 0; i < commit->shard_count; i++)
        if (commit->shards[i].shard == shard) return commit->shards[i].now_at;
    return commit->shards[0].now_at;
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
}

static void put_ledger(struct store_batch *batch, const struct ledger_row *rows, size_t n) {
    struct pg_parameters *p = store_pg_add(batch, &commit_ledger);
    COLUMN_INT(p, PG_INT8, rows, n, item->sequence);
    COLUMN_INSTANT(p, rows, n, item->at);
    COLUMN_INT(p, PG_INT8, rows, n, item->offset);
    COLUMN_INT(p, PG_INT8, rows, n, item->control_version);
    COLUMN_INT(p, PG_INT4, rows, n, item->shard);
    COLUMN_INT(p, PG_INT4, rows, n, item->engine);
    COLUMN_INT(p, PG_INT2, rows, n, item->kind);
    COLUMN_INT(p, PG_INT2, rows, n, item->topic);
    COLUMN_DIGEST(p, rows, n, item->input_digest);
    COLUMN_DIGEST(p, rows, n, item->decision_digest);
    COLUMN_DIGEST(p, rows, n, item->hash);
    /* a row that no record caused has an empty input, whatever it is called */
    COLUMN_BYTES(p, PG_BYTEA, rows, n, item->input.p ? item->input : SLICE(""));
    COLUMN_BYTES(p, PG_BYTEA, rows, n, item->decision.p ? item->decision : SLICE(""));
}

static void put_seen(struct store_batch *batch, const struct commit *commit) {
    struct pg_parameters *p = store_pg_add(batch, &commit_seen);
    const struct commit_seen *seen = commit->seen;
    size_t n = commit->seen_count;
    COLUMN_INT(p, PG_INT8, seen, n, item->sequence);
    COLUMN(p, PG_DATE, seen, n, pg_date(p, period_of(now_of(commit, item->shard))));
    COLUMN_INT(p, PG_INT4, seen, n, item->shard);
    COLUMN_UUID(p, seen, n, item->key);
    COLUMN_DIGEST(p, seen, n, item->content);
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
static void put_wake_at(struct pg_parameters *p, const struct promotion_row *row) {
    if (row->outcome == PROMOTION_WAITING)
        pg_instant(p, row->wake_at);
    else
        pg_null(p, PG_INSTANT);
}

static void put_decided(struct pg_parameters *p, const struct promotion_row *row) {
    if (row->outcome == PROMOTION_WAITING)
        pg_null(p, PG_INT8);
    else
        pg_int(p, PG_INT8, (int64_t)row->decided_sequence);
}

static struct slice conditions_of(const struct promotion_row *row) {
    return row->outcome == PROMOTION_WAITING ? row->conditions : (struct slice){0};
}

/* commit_opened and commit_changed take the same columns. */
static struct pg_parameters *put_promotions(struct store_batch *batch, const struct pg_statement *statement,
                                            const struct promotion_row *rows, size_t n) {
    struct pg_parameters *p = store_pg_add(batch, statement);
    COLUMN_INT(p, PG_INT8, rows, n, item->opened_sequence);
    COLUMN_INT(p, PG_INT8, rows, n, item->answered_sequence);
    COLUMN(p, PG_INT8, rows, n, put_decided(p, item));
    COLUMN_INSTANT(p, rows, n, item->opened_at);
    COLUMN_INSTANT(p, rows, n, item->expires_at);
    COLUMN(p, PG_INSTANT, rows, n, put_wake_at(p, item));
    COLUMN_INT(p, PG_INT4, rows, n, item->shard);
    COLUMN_INT(p, PG_INT4, rows, n, item->revision);
    COLUMN_INT(p, PG_INT2, rows, n, item->outcome);
    COLUMN_UUID(p, rows, n, item->id);
    COLUMN_BYTES(p, PG_TEXT, rows, n, item->project);
    COLUMN_BYTES(p, PG_TEXT, rows, n, item->git_sha);
    COLUMN_BYTES(p, PG_TEXT, rows, n, item->environment);
    COLUMN_BYTES(p, PG_TEXT, rows, n, item->requester);
    COLUMN_BYTES(p, PG_TEXT, rows, n, item->source);
    COLUMN_BYTES(p, PG_TEXT, rows, n, item->event_id);
    COLUMN_BYTES(p, PG_TEXT, rows, n, conditions_of(item));
    return p;
}

static void put_changed(struct store_batch *batch, const struct promotion_row *rows, size_t n) {
    pg_int(put_promotions(batch, &commit_changed, rows, n), PG_INT8, (int64_t)n);
}

static void put_opened(struct store_batch *batch, const struct promotion_row *rows, size_t n) {
    (void)put_promotions(batch, &commit_opened, rows, n);
}

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
    for (size_t i = 0; i < commit->shard_count && commit->seen_count; i++)
        if (see_to_periods(batch.store, commit->shards[i].now_at, error)) return -1;
    put_fence(&batch, commit);
    if (commit->row_count) put_ledger(&batch, commit->rows, commit->row_count);
    if (commit->seen_count) put_seen(&batch, commit);
    if (commit->release_count) {
        put_releases(&batch, commit->releases, commit->release_count);
        put_artifacts(&batch, commit->releases, commit->release_count);
    }
    /* What ends makes room for what opens: there is one open promotion of a release and environment. */
    if (commit->changed_count) put_changed(&batch, commit->changed, commit->changed_count);
    if (commit->opened_count) put_opened(&batch, commit->opened, commit->opened_count);
    if (commit->environment_count) put_environments(&batch, commit->environments, commit->environment_count);
    if (commit->wake_count) put_wakes(&batch, commit->wakes, commit->wake_count);
    put_wake_all(&batch, commit);
    if (pg_run(batch.store->pg, PG_COMMIT, batch.calls, batch.count, error)) return -1;
    pg_results_free(batch.calls, batch.count);
    return 0;
}
