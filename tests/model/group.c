/* The consumer group, which only assigns, and death. */
#include "world.h"

#include <string.h>

static void assign(struct model *model, const struct world *now, unsigned shard) {
    bool dead = now->lanes[now->assigned[shard]].state == LANE_DEAD;
    bool limit = model->rebalances >= 0 && now->rebalances >= model->rebalances;
    if (!dead && (!model->fault[FAULT_REBALANCE] || limit)) return;
    for (unsigned lane = 0; lane < model->lanes; lane++) {
        if (lane == now->assigned[shard] || now->lanes[lane].state == LANE_DEAD) continue;
        struct world next = *now;
        struct lane_shard *s = &next.lanes[lane].shards[shard];
        next.assigned[shard] = (uint8_t)lane;
        if (!dead && model->rebalances >= 0) next.rebalances++;
        s->assigned = 1; /* shard_assign */
        if (s->state == SHARD_AWAY) s->state = SHARD_WANTED;
        offer(model, &next, dead ? FAULT_NONE : FAULT_REBALANCE, "group: shard %u is assigned to %c", shard, lane_name(lane));
    }
}

/* What is on its way to Postgres outlives the lane. The last lane alive stays: nobody would be left to go on. */
static void crash(struct model *model, const struct world *now, unsigned lane) {
    unsigned alive = 0;
    for (unsigned other = 0; other < model->lanes; other++) alive += now->lanes[other].state != LANE_DEAD;
    if (!model->fault[FAULT_CRASH] || alive < 2) return;
    struct world next = *now;
    memset(&next.lanes[lane], 0, sizeof next.lanes[lane]);
    for (unsigned shard = 0; shard < model->shards; shard++)
        next.lanes[lane].shards[shard].commit_late = now->lanes[lane].shards[shard].commit_late;
    offer(model, &next, FAULT_CRASH, "%c: DIES", lane_name(lane));
}

void group_steps(struct model *model, const struct world *now) {
    for (unsigned shard = 0; shard < model->shards; shard++) assign(model, now, shard);
    for (unsigned lane = 0; lane < model->lanes; lane++)
        if (now->lanes[lane].state != LANE_DEAD) crash(model, now, lane);
}
