/* commit: everything that the batch has decided, as one transaction of the store. */
#include "batch.h"

static int shards_of(struct batch *batch, struct commit *commit) {
    struct commit_shard *shards = ARENA_ARRAY(&batch->arena, struct commit_shard, batch->shard_count);
    if (!shards) return -1;
    for (size_t i = 0; i < batch->shard_count; i++) {
        const struct shard_batch *from = &batch->shards[i];
        struct commit_shard *to = &shards[i];
        *to = (struct commit_shard){.shard = from->shard,
                                    .epoch = from->epoch,
                                    .sequence = from->first_sequence,
                                    .head = from->first_head,
                                    .new_sequence = from->sequence,
                                    .new_head = from->head,
                                    .now_at = batch->now,
                                    .control_version = batch->control_version,
                                    .wake_all = from->control_version != batch->control_version};
        memcpy(to->new_position, from->position, sizeof to->new_position);
        memcpy(to->settled, from->settled, sizeof to->settled);
    }
    commit->shards = shards;
    commit->shard_count = batch->shard_count;
    return 0;
}

static int rows_of(struct batch *batch, struct commit *commit) {
    struct ledger_row *rows = ARENA_ARRAY(&batch->arena, struct ledger_row, batch->answer_count);
    if (!rows) return -1;
    for (size_t i = 0; i < batch->answer_count; i++) rows[i] = batch->answers[i].row;
    commit->rows = rows;
    commit->row_count = batch->answer_count;
    return 0;
}

static int promotions_of(struct batch *batch, struct commit *commit) {
    struct promotion_row *rows = ARENA_ARRAY(&batch->arena, struct promotion_row, batch->promotion_count);
    if (!rows) return -1;
    size_t opened = 0, changed = batch->promotion_count; /* opened from the front, changed from the back */
    for (const struct promotion *p = batch->promotions; p; p = p->next) rows[p->is_new ? opened++ : --changed] = p->row;
    commit->opened = rows;
    commit->opened_count = opened;
    commit->changed = rows + changed;
    commit->changed_count = batch->promotion_count - changed;
    return 0;
}

static int environments_of(struct batch *batch, struct commit *commit) {
    struct commit_environment *rows = ARENA_ARRAY(&batch->arena, struct commit_environment, batch->changed_environment_count);
    if (!rows) return -1;
    size_t count = 0;
    for (const struct environment *e = batch->changed_environments; e; e = e->next_changed) {
        struct commit_environment *row = &rows[count++];
        *row = (struct commit_environment){
            .project = e->project, .environment = e->name, .git_sha = e->git_sha, .since = e->since, .sequence = e->sequence};
        memcpy(row->promotion, e->promotion, STORE_KEY);
    }
    commit->environments = rows;
    commit->environment_count = count;
    return 0;
}

int commit(struct batch *batch, struct store *store, const unsigned char owner[STORE_OWNER], struct error *error) {
    struct commit commit = {.seen = batch->claims,
                            .seen_count = batch->claim_count,
                            .releases = batch->new_releases,
                            .release_count = batch->new_release_count,
                            .wakes = batch->wakes,
                            .wake_count = batch->wake_count};
    memcpy(commit.owner, owner, STORE_OWNER);
    if (shards_of(batch, &commit) || rows_of(batch, &commit) || promotions_of(batch, &commit) || environments_of(batch, &commit))
        return error_memory(error);
    return store->operations->commit(store, &commit, error);
}
