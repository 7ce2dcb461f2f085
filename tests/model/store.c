/* Postgres: one row a shard. Each function is one statement of sql/queries, atomic because it is one UPDATE. */
#include "world.h"

/* shard_take.sql. The UPDATE waits for a commit that still has the row, so none of an older epoch is applied behind it. */
void store_take(const struct model *model, struct world *world, unsigned lane, unsigned shard) {
    struct shard_row *row = &world->rows[shard];
    struct lane_shard *s = &world->lanes[lane].shards[shard];
    for (unsigned other = 0; other < model->lanes; other++)
        world->lanes[other].shards[shard].current = world->lanes[other].shards[shard].commit_late = 0;
    unsigned others = row->fence_ids & ~own_ids(lane);
    bool clean = model->deviation[RELEASE_FLAG] && row->released;
    bool overwrite = model->deviation[OVERWRITE_IDS] || model->deviation[FENCE_FIRST];
    s->current = 1;
    s->known = row->sequence;
    if (model->fault[FAULT_FORMER]) s->tried = row->sequence;
    s->to_fence = (uint8_t)(clean || model->deviation[NO_FENCE] || model->deviation[FENCE_FIRST] ? 0 : others);
    s->drop = others && !overwrite && !model->deviation[RELEASE_FLAG];
    for (unsigned topic = 0; topic < model->topics; topic++) s->cursor[topic] = row->settled[topic];
    row->fence_ids = (uint8_t)(own_ids(lane) | (overwrite ? 0 : row->fence_ids));
    row->released = 0;
}

/* shard_drop_ids.sql: false when the epoch is another's. */
bool store_drop_ids(struct world *world, unsigned lane, unsigned shard) {
    if (!world->lanes[lane].shards[shard].current) return false;
    world->rows[shard].fence_ids &= (uint8_t)own_ids(lane);
    return true;
}

/* Only retention makes it differ from what the tail says; without that, states that differ in it alone are not told apart. */
static void write_settled(const struct model *model, struct world *world, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &world->lanes[lane].shards[shard];
    for (unsigned topic = 0; topic < model->topics && model->fault[FAULT_RETENTION]; topic++)
        if (s->cursor[topic] > world->rows[shard].settled[topic]) world->rows[shard].settled[topic] = s->cursor[topic];
}

/* commit_fence.sql and the rest of a commit: false when epoch, owner, sequence or head are not what the lane believes. */
bool store_commit(const struct model *model, struct world *world, unsigned lane, unsigned shard) {
    struct lane_shard *s = &world->lanes[lane].shards[shard];
    struct shard_row *row = &world->rows[shard];
    if (!s->current) return false;
    /* Without REREAD a lane that is current knows the sequence. */
    if (s->known != row->sequence && !model->deviation[REREAD]) return false;
    row->sequence++;
    row->position = (uint8_t)(s->known + 1);
    s->known = row->sequence;
    write_settled(model, world, lane, shard);
    return true;
}

/* shard_release.sql: removes the lane's own ids, no others. Without effect when the epoch is another's. */
void store_release(const struct model *model, struct world *world, unsigned lane, unsigned shard) {
    struct shard_row *row = &world->rows[shard];
    if (!world->lanes[lane].shards[shard].current) return;
    if (model->deviation[RELEASE_FLAG])
        row->released = 1;
    else
        row->fence_ids &= (uint8_t)(model->deviation[RELEASE_ALL_IDS] ? 0 : ~own_ids(lane));
    write_settled(model, world, lane, shard);
}

/* commit_fence.sql, and nothing else of a commit. */
void store_settle(const struct model *model, struct world *world, unsigned lane, unsigned shard) {
    if (world->lanes[lane].shards[shard].current) write_settled(model, world, lane, shard);
}

/* A commit whose connection was lost is applied after all. A takeover in between has made it void. */
void store_steps(struct model *model, const struct world *now) {
    for (unsigned lane = 0; lane < model->lanes; lane++)
        for (unsigned shard = 0; shard < model->shards; shard++) {
            uint8_t position = now->lanes[lane].shards[shard].commit_late;
            if (!position) continue;
            struct world next = *now;
            struct shard_row *row = &next.rows[shard];
            next.lanes[lane].shards[shard].commit_late = 0;
            bool fits = position == row->sequence + 1 || model->deviation[REREAD];
            if (fits) {
                row->sequence++;
                row->position = position;
            }
            offer(model, &next, FAULT_NONE, "Postgres: a late commit of %c for shard %u is %s", lane_name(lane), shard,
                  fits ? "applied" : "refused");
        }
}
