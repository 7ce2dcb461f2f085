/* How a shard comes to a lane, is owned, and goes. */
#include "fault.h"
#include "lane.h"
#include "log.h"

#include <assert.h>
#include <stdio.h>

enum { DRAIN_MS = 5000, RETRY_MS = 200, STOPPED_LOOK_MS = 5000, DEATHS_UNTIL_CAUTION = 3 };

/* Every way from state to state; no other is taken. */
static const struct transition {
    enum shard_state from, to;
    const char *event;
} transitions[] = {
    {SHARD_AWAY, SHARD_WANTED, "assigned"},          /* the group gives it to this lane */
    {SHARD_WANTED, SHARD_AWAY, "revoked"},           /* and takes it back before it was taken over */
    {SHARD_WANTED, SHARD_TAKEN, "taken"},            /* takeover: epoch + 1, own ids listed */
    {SHARD_WANTED, SHARD_STOPPED, "stopped"},        /* its row says so */
    {SHARD_TAKEN, SHARD_OWNED, "ready"},             /* others are fenced, tails are read */
    {SHARD_TAKEN, SHARD_FORGETTING, "forgotten"},    /* revoked, or the store refused something, meanwhile */
    {SHARD_TAKEN, SHARD_STOPPED, "stopped"},         /* a tail is ahead of the ledger */
    {SHARD_TAKEN, SHARD_WANTED, "lost"},             /* another lane has taken it over */
    {SHARD_OWNED, SHARD_DRAINING, "draining"},       /* revoked, or the lane ends */
    {SHARD_OWNED, SHARD_FORGETTING, "forgotten"},    /* a commit of unknown or refused outcome; the epoch is another's */
    {SHARD_OWNED, SHARD_WANTED, "lost"},             /* the publisher has found another owner */
    {SHARD_OWNED, SHARD_STOPPED, "stopped"},         /* its position is not in the log; a tail is ahead of the ledger */
    {SHARD_DRAINING, SHARD_WANTED, "released"},      /* all is published, own ids are removed; to be taken again if assigned */
    {SHARD_DRAINING, SHARD_FORGETTING, "forgotten"}, /* not published in time */
    {SHARD_DRAINING, SHARD_STOPPED, "stopped"},      /* recovery has found a tail ahead of the ledger */
    {SHARD_FORGETTING, SHARD_WANTED, "let-go"},      /* nothing of it is in flight; to be taken again if assigned */
    {SHARD_FORGETTING, SHARD_STOPPED, "stopped"},
    {SHARD_STOPPED, SHARD_WANTED, "resumed"}, /* an operator has decided */
    {SHARD_STOPPED, SHARD_AWAY, "revoked"},
};

static const struct transition *transition(enum shard_state from, enum shard_state to) {
    for (size_t i = 0; i < sizeof transitions / sizeof *transitions; i++)
        if (transitions[i].from == from && transitions[i].to == to) return &transitions[i];
    return NULL;
}

/* The one place where a shard's state changes. */
static void enter(struct lane *lane, uint32_t shard, enum shard_state to, const char *why) {
    struct lane_shard *s = &lane->shards[shard];
    const struct transition *taken = transition(s->state, to);
    assert(taken);
    if (s->state == SHARD_OWNED || to == SHARD_OWNED) lane->reassign = true;
    if (s->state == SHARD_OWNED) metrics_subtract(lane->options.metrics, METRIC_SHARDS_OWNED, 1);
    if (to == SHARD_OWNED) metrics_add(lane->options.metrics, METRIC_SHARDS_OWNED, 1);
    if (s->state == SHARD_STOPPED) metrics_subtract(lane->options.metrics, METRIC_SHARDS_STOPPED, 1);
    if (to == SHARD_STOPPED) metrics_add(lane->options.metrics, METRIC_SHARDS_STOPPED, 1);
    s->state = to;
    log_line(to == SHARD_STOPPED ? LOG_ERROR : LOG_INFO, "shard", "shard=%u is=%s epoch=%llu sequence=%llu why=\"%s\"", shard,
             taken->event, (unsigned long long)s->epoch, (unsigned long long)s->sequence, LOG_QUOTED(why));
    if ((to == SHARD_WANTED || to == SHARD_STOPPED) && !s->assigned) enter(lane, shard, SHARD_AWAY, "not assigned to this lane");
}

static void order(struct lane *lane, struct order *order) {
    if (handoff_order(lane->options.handoff, order)) return;
    arena_release(&order->arena);
    lane_starve(lane, "handoff-failed");
}

static void forget(struct lane *lane, uint32_t shard, const char *why) {
    enter(lane, shard, SHARD_FORGETTING, why);
    order(lane, &(struct order){.kind = ORDER_FORGET, .shard = shard});
}

/* ---- coming ---- */

void shard_assign(struct lane *lane, const uint32_t *shards, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (shards[i] >= lane->options.shards) {
            log_line(LOG_ERROR, "shards-differ", "partition=%u shards=%u", shards[i], lane->options.shards);
            lane->failed = true; /* a topic got more partitions: the next start says what to do */
            return;
        }
        struct lane_shard *s = &lane->shards[shards[i]];
        s->assigned = true;
        s->not_before = lane_now_ms(lane);
        if (s->state == SHARD_AWAY) enter(lane, shards[i], SHARD_WANTED, "assigned by the group");
    }
    lane->revoking = false;
}

static bool is_own_id(const struct lane *lane, struct slice id) {
    return slice_equal(id, lane->options.ids[0]) || slice_equal(id, lane->options.ids[1]);
}

/* Others' ids, kept for the time when they are fenced. */
static int keep_ids(struct lane *lane, struct lane_shard *s, const struct shard_row *row) {
    arena_release(&s->ids);
    arena_init(&s->ids, 1024 * 1024);
    s->fence_id_count = 0;
    s->fence_ids = ARENA_ARRAY(&s->ids, struct slice, row->fence_id_count);
    if (!s->fence_ids) return -1;
    for (size_t i = 0; i < row->fence_id_count; i++) {
        if (is_own_id(lane, row->fence_ids[i])) continue;
        struct slice copy = arena_copy(&s->ids, row->fence_ids[i]);
        if (!copy.p) return -1;
        s->fence_ids[s->fence_id_count++] = copy;
    }
    return 0;
}

void shard_stored(struct lane_shard *s, const uint64_t position[INPUT_TOPICS + 1], const struct settled settled[OUTPUT_TOPICS]) {
    memcpy(s->position, position, sizeof s->position);
    memcpy(s->position_stored, position, sizeof s->position_stored);
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++) s->settled_stored[topic] = settled[topic].sequence;
}

static int take_row(struct lane *lane, struct lane_shard *s, const struct shard_row *row) {
    if (keep_ids(lane, s, row)) return -1;
    s->epoch = row->epoch;
    s->sequence = row->sequence;
    s->head = row->head;
    s->control_version = row->control_version;
    s->now_at = row->now_at;
    shard_stored(s, row->position, row->settled);
    memcpy(s->settled, row->settled, sizeof s->settled);
    s->crash_topic = row->crash_topic;
    s->crash_position = row->crash_position;
    s->crash_count = row->crash_count;
    s->skipped = false;
    /* The killer may be any record of the batch that died. */
    bool died = row->crash_topic != INPUT_NONE || row->crash_count >= DEATHS_UNTIL_CAUTION;
    s->cautious = died ? lane->options.batch_records : 0;
    return 0;
}

static void take(struct lane *lane, uint32_t shard) {
    struct lane_shard *s = &lane->shards[shard];
    struct store *store = lane->options.store;
    struct error error = {0};
    struct order taken = {.kind = ORDER_TAKE, .shard = shard};
    lane_turn(lane);
    arena_init(&taken.arena, 1024 * 1024);
    taken.row = ARENA_NEW(&taken.arena, struct shard_row);
    if (!taken.row ? error_memory(&error)
                   : store->operations->take(store, shard, lane->options.owner, lane->options.ids, OUTPUT_PRODUCERS, &taken.arena,
                                             taken.row, &error)) {
        s->not_before = lane_now_ms(lane) + RETRY_MS + lane_random(lane, RETRY_MS);
        lane_pause(lane, "takeover-failed", &error);
        arena_release(&taken.arena);
        return;
    }
    fault_point("take-update");
    metrics_add(lane->options.metrics, METRIC_TAKEOVERS, 1);
    if (take_row(lane, s, taken.row)) {
        lane_starve(lane, "takeover-failed");
        arena_release(&taken.arena);
        return;
    }
    if (taken.row->stopped.p) {
        char why[300];
        (void)snprintf(why, sizeof why, "%.*s", (int)(taken.row->stopped.n < 250 ? taken.row->stopped.n : 250),
                       taken.row->stopped.p);
        arena_release(&taken.arena);
        s->not_before = lane_now_ms(lane) + STOPPED_LOOK_MS;
        enter(lane, shard, SHARD_STOPPED, why);
        return;
    }
    enter(lane, shard, SHARD_TAKEN, s->cautious ? "taken over; lanes died here, so one record at a time" : "taken over");
    order(lane, &taken);
}

/* The others' ids are fenced: only now are they removed. */
static void ready(struct lane *lane, uint32_t shard) {
    struct lane_shard *s = &lane->shards[shard];
    struct store *store = lane->options.store;
    struct error error = {0};
    if (s->fence_id_count &&
        store->operations->drop_ids(store, shard, s->epoch, lane->options.owner, s->fence_ids, s->fence_id_count, &error)) {
        log_error(LOG_WARN, "takeover-failed", &error);
        shard_retake(lane, shard, RETRY_MS, "the fenced ids could not be removed");
        return;
    }
    fault_point("take-drop-ids");
    s->fence_id_count = 0;
    enter(lane, shard, SHARD_OWNED, "others are fenced and the tails are read");
    lane->next_due = 0;
    fault_point("take-ready");
}

/* ---- going ---- */

void shard_retake(struct lane *lane, uint32_t shard, uint64_t delay_ms, const char *why) {
    struct lane_shard *s = &lane->shards[shard];
    s->not_before = lane_now_ms(lane) + delay_ms;
    if (s->state == SHARD_TAKEN || s->state == SHARD_OWNED || s->state == SHARD_DRAINING) forget(lane, shard, why);
}

void shard_stop(struct lane *lane, uint32_t shard, const char *reason) {
    struct lane_shard *s = &lane->shards[shard];
    struct store *store = lane->options.store;
    struct error error = {0};
    if (store->operations->stop(store, shard, s->epoch, lane->options.owner, slice_str(reason), &error))
        log_error(LOG_WARN, "stop-failed", &error); /* the next owner finds the same */
    bool publishing = s->state == SHARD_TAKEN || s->state == SHARD_OWNED || s->state == SHARD_DRAINING;
    if (publishing) order(lane, &(struct order){.kind = ORDER_FORGET, .shard = shard});
    s->not_before = lane_now_ms(lane) + STOPPED_LOOK_MS;
    if (s->state != SHARD_STOPPED) enter(lane, shard, SHARD_STOPPED, reason);
}

void shard_revoke_all(struct lane *lane) {
    lane->revoking = true;
    for (uint32_t n = 0; n < lane->options.shards; n++) {
        struct lane_shard *s = &lane->shards[n];
        s->assigned = false;
        s->deadline = lane_now_ms(lane) + DRAIN_MS;
        if (s->state == SHARD_WANTED || s->state == SHARD_STOPPED)
            enter(lane, n, SHARD_AWAY, "given back to the group");
        else if (s->state == SHARD_TAKEN)
            forget(lane, n, "given back to the group");
        else if (s->state == SHARD_OWNED) {
            enter(lane, n, SHARD_DRAINING, "given back to the group");
            order(lane, &(struct order){.kind = ORDER_DRAIN, .shard = n});
        }
    }
}

static void drained(struct lane *lane, uint32_t shard, const struct settled settled[OUTPUT_TOPICS]) {
    struct lane_shard *s = &lane->shards[shard];
    struct store *store = lane->options.store;
    struct error error = {0};
    /* Without it the next owner fences instead. */
    if (!lane_is_paused(lane) && store->operations->release(store, shard, s->epoch, lane->options.owner, lane->options.ids,
                                                            OUTPUT_PRODUCERS, settled, &error))
        lane_pause(lane, "release-failed", &error);
    enter(lane, shard, SHARD_WANTED, "everything is published and the shard is released");
}

bool shard_all_away(const struct lane *lane) {
    for (uint32_t n = 0; n < lane->options.shards; n++)
        if (lane->shards[n].state != SHARD_AWAY) return false;
    return true;
}

bool shard_any_in_motion(const struct lane *lane) {
    for (uint32_t n = 0; n < lane->options.shards; n++) {
        enum shard_state state = lane->shards[n].state;
        if (state != SHARD_AWAY && state != SHARD_OWNED && state != SHARD_STOPPED) return true;
    }
    return false;
}

/* ---- the publisher's reports ---- */

/* Of an epoch that is over: an answer to an order that was overtaken by events. */
static bool is_late(const struct lane_shard *s, const struct report *report) {
    return report->epoch != s->epoch && report->kind != REPORT_FORGOTTEN;
}

void shard_report(struct lane *lane, const struct report *report) {
    struct lane_shard *s = &lane->shards[report->shard];
    if (is_late(s, report)) return;
    bool publishing = s->state == SHARD_TAKEN || s->state == SHARD_OWNED || s->state == SHARD_DRAINING;
    switch (report->kind) {
    case REPORT_READY:
        memcpy(s->settled, report->settled, sizeof s->settled);
        if (s->state == SHARD_TAKEN) ready(lane, report->shard);
        break;
    case REPORT_PUBLISHED:
        if (publishing) memcpy(s->settled, report->settled, sizeof s->settled);
        break;
    case REPORT_DRAINED:
        if (s->state == SHARD_DRAINING) drained(lane, report->shard, report->settled);
        break;
    case REPORT_FORGOTTEN:
        if (s->state == SHARD_FORGETTING) enter(lane, report->shard, SHARD_WANTED, "nothing of it is in flight");
        break;
    case REPORT_LOST:
        s->not_before = lane_now_ms(lane) + 100 + lane_random(lane, 900);
        if (publishing) enter(lane, report->shard, SHARD_WANTED, "another lane has taken it over");
        break;
    case REPORT_UNSTABLE:
        log_line(LOG_WARN, "shard-waits", "shard=%u why=\"%s\"", report->shard, LOG_QUOTED(report->reason));
        break;
    case REPORT_STOPPED:
        if (publishing) shard_stop(lane, report->shard, report->reason);
        break;
    case REPORT_FREED:
    case REPORT_BROKEN:
    case REPORT_FAILED:
        break; /* the lane's */
    }
}

/* ---- from time to time ---- */

void shard_tend(struct lane *lane) {
    uint64_t now = lane_now_ms(lane);
    for (uint32_t n = 0; n < lane->options.shards; n++) {
        struct lane_shard *s = &lane->shards[n];
        if (s->state == SHARD_WANTED && now >= s->not_before && !lane_is_paused(lane)) take(lane, n);
        if (s->state == SHARD_DRAINING && now >= s->deadline) forget(lane, n, "its answers could not be published in time");
    }
}

/* Commits without rows, which a restoration may lose alone, betray nothing in the ledger. */
static bool is_as_left(const struct lane_shard *s, const struct store_epoch *row) {
    if (row->ret_sequence != s->sequence || !digest_equal(&row->ret_head, &s->head)) return false;
    if (s->state != SHARD_OWNED) return true;
    if (row->ret_control_version != s->control_version) return false;
    return memcmp(row->ret_position, s->position_stored, sizeof s->position_stored) == 0 &&
           memcmp(row->ret_settled, s->settled_stored, sizeof s->settled_stored) == 0;
}

void shard_look(struct lane *lane) {
    struct store *store = lane->options.store;
    struct error error = {0};
    struct arena arena;
    size_t count = 0;
    arena_init(&arena, 16 * 1024 * 1024);
    struct store_epoch *epochs = ARENA_ARRAY(&arena, struct store_epoch, lane->options.shards);
    for (uint32_t n = 0; epochs && n < lane->options.shards; n++) {
        enum shard_state state = lane->shards[n].state;
        if (state == SHARD_OWNED || state == SHARD_TAKEN || state == SHARD_STOPPED) epochs[count++].shard = n;
    }
    if (!epochs ? error_memory(&error) : count && store->operations->epochs(store, epochs, count, &error)) {
        lane_pause(lane, "look-failed", &error);
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        struct lane_shard *s = &lane->shards[epochs[i].shard];
        bool own = epochs[i].ret_epoch == s->epoch && memcmp(epochs[i].ret_owner, lane->options.owner, STORE_OWNER) == 0;
        if (s->state == SHARD_STOPPED) {
            if (!epochs[i].ret_stopped) enter(lane, epochs[i].shard, SHARD_WANTED, "an operator has resumed it");
        } else if (!own) {
            shard_retake(lane, epochs[i].shard, 100 + lane_random(lane, 900), "another lane has taken it over");
        } else if (!is_as_left(s, &epochs[i])) { /* nothing of ours is in flight here: Postgres is not what it was */
            shard_retake(lane, epochs[i].shard, 100, "the store is not as this lane left it");
        }
    }
    arena_release(&arena);
}

void shard_pass(struct lane *lane, const struct input_end *ends, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct lane_shard *s = &lane->shards[ends[i].shard];
        /* What was given and not processed is fetched again. */
        if (lane->reassign || s->state != SHARD_OWNED || s->skipped) continue;
        if (ends[i].offset > s->position[ends[i].topic]) s->position[ends[i].topic] = ends[i].offset;
    }
}
