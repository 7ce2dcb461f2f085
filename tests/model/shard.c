/* The pipeline's part: how a shard comes to a lane, is owned, and goes. Each function is one of worker/shard.c or process.c.
 *
 * Orders to the publisher and its reports take no time here: an order only waits while a transaction is put together, as the
 * publisher takes orders between two of its steps. A later order or report is the same as a slower lane. */
#include "world.h"

#include <string.h>

/* REPORT_FORGOTTEN, REPORT_LOST, or a release that is over: to be taken again if it is assigned. */
void shard_let_go(const struct model *model, struct world *world, unsigned lane, unsigned shard) {
    struct lane_shard *s = &world->lanes[lane].shards[shard];
    bool assigned = s->assigned && !model->deviation[NO_RETAKE];
    if (world->lanes[lane].active && model->deviation[DIRTY_RELEASE]) { /* what it has begun goes on */
        s->state = assigned ? SHARD_WANTED : SHARD_AWAY;
        return;
    }
    *s = (struct lane_shard){.state = assigned ? SHARD_WANTED : SHARD_AWAY, .assigned = assigned, .commit_late = s->commit_late};
}

/* forget(): ORDER_FORGET, which the publisher obeys when its transaction has ended. */
void shard_forget(const struct model *model, struct world *world, unsigned lane, unsigned shard) {
    struct lane_shard *s = &world->lanes[lane].shards[shard];
    if (world->lanes[lane].active)
        s->state = SHARD_FORGETTING;
    else
        shard_let_go(model, world, lane, shard);
}

/* take(), one UPDATE: epoch + 1, own ids listed. ORDER_TAKE. */
static void take(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    bool fenced_before = model->deviation[FENCE_FIRST];
    if (s->state != SHARD_WANTED || s->publish != (fenced_before ? PUBLISH_CONFIRM : PUBLISH_NONE)) return;
    if (now->lanes[lane].state != LANE_RUNNING && !model->deviation[LATE_INIT]) return;
    struct world next = *now;
    struct lane_shard *after = &next.lanes[lane].shards[shard];
    store_take(model, &next, lane, shard);
    after->state = SHARD_TAKEN;
    after->publish = after->to_fence ? PUBLISH_FENCE : publisher_after_fence(model);
    offer(model, &next, FAULT_NONE, "%c: takes shard %u over (take)", lane_name(lane), shard);
}

/* Only with FENCE_FIRST: the ids are read and fenced before the takeover. */
static void read_ids_first(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    if (!model->deviation[FENCE_FIRST] || s->state != SHARD_WANTED || s->publish != PUBLISH_NONE) return;
    if (now->lanes[lane].state != LANE_RUNNING) return;
    struct world next = *now;
    struct lane_shard *after = &next.lanes[lane].shards[shard];
    after->to_fence = (uint8_t)(now->rows[shard].fence_ids & ~own_ids(lane));
    after->publish = after->to_fence ? PUBLISH_FENCE : PUBLISH_CONFIRM;
    offer(model, &next, FAULT_NONE, "%c: reads which ids shard %u lists, to fence them before it takes over", lane_name(lane),
          shard);
}

/* ready(), on REPORT_READY: drops the fenced ids; from now on it commits. */
static void ready(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    if (s->state != SHARD_TAKEN || s->publish != PUBLISH_READY) return;
    struct world next = *now;
    struct lane_shard *after = &next.lanes[lane].shards[shard];
    if (s->drop && !store_drop_ids(&next, lane, shard)) {
        shard_forget(model, &next, lane, shard);
        offer(model, &next, FAULT_NONE, "%c: may not drop ids of shard %u, forgets it (ready, shard_retake)", lane_name(lane),
              shard);
        return;
    }
    after->drop = 0;
    after->state = SHARD_OWNED;
    offer(model, &next, FAULT_NONE, "%c: drops fenced ids of shard %u and owns it (ready)", lane_name(lane), shard);
}

/* commit() and committed(), or fail(): the shard is taken over anew. ORDER_ROWS is known. */
static void commit(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    if (s->state != SHARD_OWNED || now->rows[shard].sequence >= model->rows) return;
    struct world next = *now;
    if (store_commit(model, &next, lane, shard)) {
        offer(model, &next, FAULT_NONE, "%c: commits row %u of shard %u (commit)", lane_name(lane), next.rows[shard].sequence,
              shard);
        return;
    }
    shard_forget(model, &next, lane, shard);
    offer(model, &next, FAULT_NONE, "%c: a commit is refused, forgets shard %u (fail, shard_retake)", lane_name(lane), shard);
}

/* The connection is lost behind COMMIT. */
static void commit_unknown(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    bool reread = model->deviation[REREAD];
    if (!model->fault[FAULT_LATE_COMMIT] || s->state != SHARD_OWNED || now->rows[shard].sequence >= model->rows) return;
    if (!s->current || s->commit_late || (s->known != now->rows[shard].sequence && !model->deviation[REREAD])) return;
    struct world next = *now;
    next.lanes[lane].shards[shard].commit_late = (uint8_t)(s->known + 1);
    if (!reread) shard_forget(model, &next, lane, shard);
    offer(model, &next, FAULT_LATE_COMMIT, "%c: nobody knows whether a commit for shard %u happened, %s", lane_name(lane), shard,
          reread ? "goes on" : "forgets it (fail, shard_retake)");
}

/* Only with REREAD: the row is read again instead of being taken over again. */
static void reread(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    if (!model->deviation[REREAD] || s->state != SHARD_OWNED || !s->current || s->known == now->rows[shard].sequence) return;
    struct world next = *now;
    next.lanes[lane].shards[shard].known = now->rows[shard].sequence;
    offer(model, &next, FAULT_NONE, "%c: reads shard %u's row again", lane_name(lane), shard);
}

/* shard_look(): compares epochs every second. */
static void look(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    if ((s->state != SHARD_TAKEN && s->state != SHARD_OWNED) || s->current || model->deviation[NO_LOOK]) return;
    struct world next = *now;
    shard_forget(model, &next, lane, shard);
    offer(model, &next, FAULT_NONE, "%c: finds shard %u taken by another, forgets it (shard_look)", lane_name(lane), shard);
}

/* process_quiet(): a commit without rows. Without retention nobody would see a difference. */
static void settle(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    if (!model->fault[FAULT_RETENTION] || s->state != SHARD_OWNED || s->publish != PUBLISH_READY) return;
    struct world next = *now;
    store_settle(model, &next, lane, shard);
    if (!memcmp(&next.rows[shard], &now->rows[shard], sizeof next.rows[shard])) return;
    offer(model, &next, FAULT_NONE, "%c: writes how far shard %u is settled (process_quiet)", lane_name(lane), shard);
}

/* shard_revoke_all(): the lane hears that the shard is another's. ORDER_DRAIN, or ORDER_FORGET. */
static void revoke(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    if (!s->assigned || now->assigned[shard] == lane) return;
    struct world next = *now;
    struct lane_shard *after = &next.lanes[lane].shards[shard];
    after->assigned = 0;
    if (s->state == SHARD_WANTED)
        shard_let_go(model, &next, lane, shard);
    else if (s->state == SHARD_TAKEN && (model->deviation[RELEASE_FLAG] || model->deviation[RELEASE_ALL_IDS])) {
        after->state = SHARD_DRAINING; /* released at once */
        after->publish = PUBLISH_NONE;
        after->to_fence = 0;
    } else if (s->state == SHARD_TAKEN)
        shard_forget(model, &next, lane, shard);
    else if (s->state == SHARD_OWNED)
        after->state = SHARD_DRAINING;
    offer(model, &next, FAULT_NONE, "%c: gives shard %u back to the group (shard_revoke_all)", lane_name(lane), shard);
}

/* drained(), on REPORT_DRAINED: own ids are removed. */
static void release(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    if (s->state != SHARD_DRAINING || s->publish != PUBLISH_NONE) return;
    struct world next = *now;
    store_release(model, &next, lane, shard);
    shard_let_go(model, &next, lane, shard);
    offer(model, &next, FAULT_NONE, "%c: releases shard %u%s (drained)", lane_name(lane), shard,
          s->current ? "" : ", without effect: the epoch is another's");
}

/* shard_tend(): what could not be published in time is let go as it is. */
static void late(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    if (!model->fault[FAULT_FORGET] || now->lanes[lane].shards[shard].state != SHARD_DRAINING) return;
    struct world next = *now;
    shard_forget(model, &next, lane, shard);
    offer(model, &next, FAULT_FORGET, "%c: shard %u is not published in time, forgets it (shard_tend)", lane_name(lane), shard);
}

void shard_steps(struct model *model, const struct world *now, unsigned lane) {
    static void (*const steps[])(struct model *, const struct world *, unsigned, unsigned) = {
        read_ids_first, take, ready, commit, commit_unknown, reread, look, settle, revoke, release, late};
    for (unsigned shard = 0; shard < model->shards; shard++)
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) steps[i](model, now, lane, shard);
}
