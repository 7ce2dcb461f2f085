/* The store on Postgres: the instance, and what is done to a shard's row. */
#include "store_pg.h"

#include "pg_schema.h"

#include <assert.h>
#include <stdlib.h>

PG_STATEMENT(shard_take);
PG_STATEMENT(shard_unblock);
PG_STATEMENT(shard_drop_ids);
PG_STATEMENT(shard_release);
PG_STATEMENT(shard_suspect);
PG_STATEMENT(shard_stop);
PG_STATEMENT(shard_epochs);

struct pg_parameters *store_pg_add(struct store_batch *batch, const struct pg_statement *statement) {
    assert(batch->count < STORE_CALLS);
    struct pg_parameters *parameters = &batch->store->parameters[batch->count];
    pg_parameters_reset(parameters);
    batch->calls[batch->count++] = (struct pg_call){.statement = statement, .parameters = parameters};
    return parameters;
}

static int store_installation(struct store *store, unsigned char ret_uuid[16], uint32_t *ret_shards, struct error *error) {
    struct pg_installation installation;
    if (pg_installation(store_pg_of(store)->pg, &installation, error)) return -1;
    memcpy(ret_uuid, installation.id, 16);
    *ret_shards = installation.shards;
    return 0;
}

static void put_ids(struct pg_parameters *parameters, const struct slice *ids, size_t count) {
    pg_array(parameters, PG_TEXT, count);
    for (size_t i = 0; i < count; i++) pg_bytes(parameters, PG_TEXT, ids[i]);
}

static void put_settled(struct pg_parameters *parameters, const struct settled settled[OUTPUT_TOPICS]) {
    for (size_t i = 0; i < OUTPUT_TOPICS; i++) {
        pg_int(parameters, PG_INT8, (int64_t)settled[i].sequence);
        pg_int(parameters, PG_INT8, settled[i].offset);
    }
}

/* The row that shard_take returns, by its columns. */
static int read_shard(const struct pg_result *result, struct arena *arena, struct shard_row *row, struct error *error) {
    row->epoch = (uint64_t)pg_get_int(result, 0, 0);
    row->fence_id_count = pg_get_array_count(result, 0, 1);
    row->fence_ids = ARENA_ARRAY(arena, struct slice, row->fence_id_count);
    if (!row->fence_ids) return error_memory(error);
    for (size_t i = 0; i < row->fence_id_count; i++) {
        row->fence_ids[i] = arena_copy(arena, pg_get_array_text(result, 0, 1, i));
        if (!row->fence_ids[i].p) return error_memory(error);
    }
    row->position[INPUT_BUILDS] = (uint64_t)pg_get_int(result, 0, 2);
    row->position[INPUT_REQUESTS] = (uint64_t)pg_get_int(result, 0, 3);
    row->sequence = (uint64_t)pg_get_int(result, 0, 4);
    row->head = pg_get_digest(result, 0, 5);
    row->now_at = pg_get_instant(result, 0, 6);
    row->control_version = (uint64_t)pg_get_int(result, 0, 7);
    row->settled[OUTPUT_RESULTS] = (struct settled){(uint64_t)pg_get_int(result, 0, 8), pg_get_int(result, 0, 9)};
    row->settled[OUTPUT_DEAD_LETTER] = (struct settled){(uint64_t)pg_get_int(result, 0, 10), pg_get_int(result, 0, 11)};
    row->crash_topic = (enum input_topic)pg_get_int(result, 0, 12);
    row->crash_position = (uint64_t)pg_get_int(result, 0, 13);
    row->crash_count = (unsigned)pg_get_int(result, 0, 14);
    if (!pg_is_null(result, 0, 15)) {
        row->stopped = arena_copy(arena, pg_get_bytes(result, 0, 15));
        if (!row->stopped.p) return error_memory(error);
    }
    return 0;
}

/* The row is locked for longer than any living lane locks it: perhaps by one that has stopped in the middle of a COPY. What it
 * would have committed is fenced by this takeover anyway, which is tried again. */
static void unblock(struct store_pg *self) {
    struct pg *login = pg_new(self->options, PG_LOGIN);
    struct pg_parameters parameters;
    struct error ignored;
    if (!login) return;
    pg_parameters_init(&parameters);
    pg_result_free(pg_query(login, PG_READ, &shard_unblock, &parameters, &ignored));
    pg_parameters_release(&parameters);
    pg_free(login);
}

static int store_take(struct store *store, uint32_t shard, const unsigned char owner[STORE_OWNER], const struct slice *ids,
                      size_t id_count, struct arena *arena, struct shard_row *ret_row, struct error *error) {
    struct store_batch batch = {.store = store_pg_of(store)};
    struct pg_parameters *parameters = store_pg_add(&batch, &shard_take);
    pg_int(parameters, PG_INT4, shard);
    pg_uuid(parameters, owner);
    put_ids(parameters, ids, id_count);
    if (pg_run(batch.store->pg, PG_WRITE, batch.calls, batch.count, error)) {
        if (error && strcmp(error->code, "sql-55P03") == 0) unblock(batch.store);
        return -1;
    }
    int outcome = -1;
    struct shard_row row = {.shard = shard};
    memcpy(row.owner, owner, STORE_OWNER);
    if (pg_rows(batch.calls[0].result) != 1)
        (void)error_set(error, ERROR_INTERNAL, "no-such-shard",
                        "shard %u is not in the database; it was made for fewer shards than the topics have partitions", shard);
    else
        outcome = read_shard(batch.calls[0].result, arena, &row, error);
    pg_results_free(batch.calls, batch.count);
    if (outcome == 0) *ret_row = row;
    return outcome;
}

/* Begins an UPDATE of a shard's row by its owner. */
static struct pg_parameters *by_owner(struct store_batch *batch, const struct pg_statement *statement, uint32_t shard,
                                      uint64_t epoch, const unsigned char owner[STORE_OWNER]) {
    struct pg_parameters *parameters = store_pg_add(batch, statement);
    pg_int(parameters, PG_INT4, shard);
    pg_int(parameters, PG_INT8, (int64_t)epoch);
    pg_uuid(parameters, owner);
    return parameters;
}

static int run_by_owner(struct store_batch *batch, uint32_t shard, struct error *error) {
    if (pg_run(batch->store->pg, PG_WRITE, batch->calls, batch->count, error)) return -1;
    uint64_t touched = pg_touched(batch->calls[0].result);
    pg_results_free(batch->calls, batch->count);
    if (touched == 1) return 0;
    return error_set(error, ERROR_FENCED, "fenced", "shard %u has another owner now", shard);
}

static int store_drop_ids(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                          const struct slice *ids, size_t id_count, struct error *error) {
    struct store_batch batch = {.store = store_pg_of(store)};
    put_ids(by_owner(&batch, &shard_drop_ids, shard, epoch, owner), ids, id_count);
    return run_by_owner(&batch, shard, error);
}

static int store_release(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                         const struct slice *ids, size_t id_count, const struct settled settled[OUTPUT_TOPICS],
                         struct error *error) {
    struct store_batch batch = {.store = store_pg_of(store)};
    struct pg_parameters *parameters = by_owner(&batch, &shard_release, shard, epoch, owner);
    put_ids(parameters, ids, id_count);
    put_settled(parameters, settled);
    return run_by_owner(&batch, shard, error);
}

static int store_suspect(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                         enum input_topic topic, uint64_t offset, struct error *error) {
    struct store_batch batch = {.store = store_pg_of(store)};
    struct pg_parameters *parameters = by_owner(&batch, &shard_suspect, shard, epoch, owner);
    pg_int(parameters, PG_INT2, topic);
    pg_int(parameters, PG_INT8, (int64_t)offset);
    return run_by_owner(&batch, shard, error);
}

static int store_stop(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                      struct slice reason, struct error *error) {
    struct store_batch batch = {.store = store_pg_of(store)};
    pg_bytes(by_owner(&batch, &shard_stop, shard, epoch, owner), PG_TEXT, reason);
    return run_by_owner(&batch, shard, error);
}

static int store_epochs(struct store *store, struct store_epoch *shards, size_t count, struct error *error) {
    if (count == 0) return 0;
    struct store_batch batch = {.store = store_pg_of(store)};
    struct pg_parameters *parameters = store_pg_add(&batch, &shard_epochs);
    pg_array(parameters, PG_INT4, count);
    for (size_t i = 0; i < count; i++) pg_int(parameters, PG_INT4, shards[i].shard);
    if (pg_run(batch.store->pg, PG_READ, batch.calls, batch.count, error)) return -1;
    const struct pg_result *result = batch.calls[0].result;
    int outcome = 0;
    if (pg_rows(result) != count)
        outcome = error_set(error, ERROR_INTERNAL, "no-such-shard", "the database has rows for %zu of %zu shards",
                            pg_rows(result), count);
    for (size_t row = 0; row < pg_rows(result) && outcome == 0; row++) {
        struct store_epoch *shard = &shards[pg_get_int(result, row, 0) - 1];
        shard->ret_epoch = (uint64_t)pg_get_int(result, row, 1);
        pg_get_uuid(shard->ret_owner, result, row, 2);
        shard->ret_sequence = (uint64_t)pg_get_int(result, row, 3);
        shard->ret_head = pg_get_digest(result, row, 4);
        shard->ret_stopped = pg_get_bool(result, row, 5);
        shard->ret_control_version = (uint64_t)pg_get_int(result, row, 6);
        shard->ret_position[INPUT_BUILDS] = (uint64_t)pg_get_int(result, row, 7);
        shard->ret_position[INPUT_REQUESTS] = (uint64_t)pg_get_int(result, row, 8);
        shard->ret_settled[OUTPUT_RESULTS] = (uint64_t)pg_get_int(result, row, 9);
        shard->ret_settled[OUTPUT_DEAD_LETTER] = (uint64_t)pg_get_int(result, row, 10);
    }
    pg_results_free(batch.calls, batch.count);
    return outcome;
}

static void store_free(struct store *store) {
    struct store_pg *self = store_pg_of(store);
    pg_free(self->pg);
    for (size_t i = 0; i < STORE_CALLS; i++) pg_parameters_release(&self->parameters[i]);
    buf_release(&self->scratch);
    free(self);
}

static const struct store_operations operations = {
    .installation = store_installation,
    .take = store_take,
    .drop_ids = store_drop_ids,
    .release = store_release,
    .suspect = store_suspect,
    .stop = store_stop,
    .epochs = store_epochs,
    .load = store_pg_load,
    .due = store_pg_due,
    .control = store_pg_control,
    .commit = store_pg_commit,
    .ledger = store_pg_ledger,
    .free = store_free,
};

struct store *store_pg_new(const struct pg_options *options) {
    struct store_pg *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->store.operations = &operations;
    for (size_t i = 0; i < STORE_CALLS; i++) pg_parameters_init(&self->parameters[i]);
    buf_init(&self->scratch, 4 * 1024 * 1024);
    self->options = options;
    self->pg = pg_new(options, PG_WORKER);
    if (!self->pg) {
        free(self);
        return NULL;
    }
    return &self->store;
}
