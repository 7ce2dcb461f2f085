/* The publisher's part: fence, confirm, tail, publish, recover, drain. Each function is one of worker/publish.c. */
#include "world.h"

#include <string.h>

/* ---- recovery ---- */

static bool cursor_is_kept(const struct model *model) { return model->deviation[MEMORY_CURSOR] || model->deviation[TAIL_FIRST]; }

static void tail_into_cursor(const struct model *model, const struct world *world, struct lane_shard *s, unsigned shard) {
    unsigned highest = 0;
    for (unsigned topic = 0; topic < model->topics; topic++) {
        unsigned tail = brokers_tail(world, shard, topic);
        if (tail > s->cursor[topic]) s->cursor[topic] = (uint8_t)tail;
        if (s->cursor[topic] > highest) highest = s->cursor[topic];
    }
    for (unsigned topic = 0; topic < model->topics && model->deviation[ONE_CURSOR]; topic++) s->cursor[topic] = (uint8_t)highest;
}

static void end_transaction(const struct model *model, struct world *world, unsigned lane) {
    struct lane *l = &world->lanes[lane];
    l->active = l->doomed = 0;
    for (unsigned shard = 0; shard < model->shards; shard++) {
        struct lane_shard *s = &l->shards[shard];
        s->until = s->added = 0;
        memset(s->next, 0, sizeof s->next);
        if (s->state == SHARD_FORGETTING) shard_let_go(model, world, lane, shard);
    }
}

/* broken(): any error, any unknown outcome. What was in memory is dropped; epochs and tails are to be looked at again. */
static void broken(const struct model *model, struct world *world, unsigned lane) {
    struct lane *l = &world->lanes[lane];
    end_transaction(model, world, lane);
    l->publisher = RECOVER_FIRST;
    for (unsigned shard = 0; shard < model->shards; shard++) {
        struct lane_shard *s = &l->shards[shard];
        if (model->deviation[TAIL_FIRST] && s->publish == PUBLISH_READY) tail_into_cursor(model, world, s, shard);
        if (s->publish == PUBLISH_READY || (s->publish == PUBLISH_TAIL && !cursor_is_kept(model))) s->publish = PUBLISH_CONFIRM;
        if (!model->fault[FAULT_RETENTION] && !cursor_is_kept(model))
            memset(s->cursor, 0, sizeof s->cursor); /* the tail is higher */
    }
}

static bool any_to_confirm(const struct model *model, const struct lane *l) {
    for (unsigned shard = 0; shard < model->shards; shard++)
        if (l->shards[shard].publish == PUBLISH_CONFIRM) return true;
    return false;
}

/* recover(): both producers anew with the same ids, one after the other. */
static void recover(struct model *model, const struct world *now, unsigned lane) {
    const struct lane *l = &now->lanes[lane];
    if (l->publisher == PUBLISHER_RUNS || (model->deviation[CONFIRM_FIRST] && any_to_confirm(model, l))) return;
    struct world next = *now;
    struct lane *after = &next.lanes[lane];
    unsigned id = lane * PRODUCERS + (l->publisher == RECOVER_SECOND);
    enum init init = brokers_init(&next, id, true);
    if (init == INIT_BLOCKED) return;
    if (init == INIT_DONE) {
        after->publisher = l->publisher == RECOVER_SECOND ? PUBLISHER_RUNS : RECOVER_SECOND;
        after->used = (uint8_t)(after->used & ~(1u << id % PRODUCERS));
    }
    offer(model, &next, FAULT_NONE, "%c: initialises producer %c again%s (recover)", lane_name(lane), producer_name(id),
          init == INIT_DONE ? "" : ", which first aborts its transaction");
}

/* publisher_start(): before the first takeover. */
static void start(struct model *model, const struct world *now, unsigned lane) {
    if (now->lanes[lane].state != LANE_STARTING) return;
    struct world next = *now;
    for (unsigned which = 0; which < PRODUCERS; which++)
        if (brokers_init(&next, lane * PRODUCERS + which, true) != INIT_DONE)
            return; /* somebody fences it: only with LATE_INIT */
    next.lanes[lane].state = LANE_RUNNING;
    offer(model, &next, FAULT_NONE, "%c: initialises both its producers, x and y (publisher_start)", lane_name(lane));
}

static void fail(struct model *model, const struct world *now, unsigned lane) {
    bool runs = now->lanes[lane].publisher == PUBLISHER_RUNS;
    bool half = now->lanes[lane].publisher == RECOVER_SECOND;
    if (!model->fault[FAULT_ERROR] || !(runs || half)) return;
    struct world next = *now;
    broken(model, &next, lane);
    offer(model, &next, FAULT_ERROR, "%c: a call of the publisher fails (broken)", lane_name(lane));
}

/* ---- take: fence, confirm, tail ---- */

uint8_t publisher_after_fence(const struct model *model) { return model->deviation[LATE_INIT] ? PUBLISH_TAIL : PUBLISH_CONFIRM; }

/* fence(): once per id, whatever the number of shards that list it. */
static void fence(struct model *model, const struct world *now, unsigned lane) {
    unsigned ids = 0, id = 0;
    for (unsigned shard = 0; shard < model->shards; shard++) ids |= now->lanes[lane].shards[shard].to_fence;
    if (!ids) return;
    while (!(ids >> id & 1)) id++;
    struct world next = *now;
    enum init init = brokers_init(&next, id, false);
    if (init == INIT_BLOCKED) return;
    for (unsigned shard = 0; shard < model->shards && init == INIT_DONE; shard++) {
        struct lane_shard *s = &next.lanes[lane].shards[shard];
        s->to_fence = (uint8_t)(s->to_fence & ~(1u << id));
        if (s->publish == PUBLISH_FENCE && !s->to_fence) s->publish = publisher_after_fence(model);
    }
    offer(model, &next, FAULT_NONE, "%c: fences %c%c%s (fence)", lane_name(lane), lane_name(id / PRODUCERS), producer_name(id),
          init == INIT_DONE ? "" : ", which first aborts its transaction");
}

/* confirm(): is the epoch still this lane's? */
static void confirm(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    enum publisher_state when = model->deviation[CONFIRM_FIRST] && s->state != SHARD_TAKEN ? RECOVER_FIRST : PUBLISHER_RUNS;
    if (s->publish != PUBLISH_CONFIRM || s->state == SHARD_WANTED || now->lanes[lane].publisher != when) return;
    struct world next = *now;
    struct lane_shard *after = &next.lanes[lane].shards[shard];
    if (!s->current && !model->deviation[NO_CONFIRM]) {
        shard_let_go(model, &next, lane, shard);
        offer(model, &next, FAULT_NONE, "%c: finds shard %u taken by another, lets it go (confirm)", lane_name(lane), shard);
        return;
    }
    bool again = s->state != SHARD_TAKEN && cursor_is_kept(model);
    after->publish = again ? PUBLISH_READY : PUBLISH_TAIL;
    if (s->current) after->known = now->rows[shard].sequence;
    offer(model, &next, FAULT_NONE, "%c: %s shard %u's epoch (confirm)", lane_name(lane),
          s->current ? "confirms" : "does not look at", shard);
}

/* The same told by a broker that led before: its log ends with the record that it had last, and nothing is open in it. */
static void former_tail(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    unsigned last[MAX_TOPICS] = {0}, told[MAX_TOPICS];
    for (unsigned topic = 0; topic < model->topics; topic++)
        for (size_t i = 0; i < LOG_ROOM && now->partitions[shard][topic].log[i].row; i++)
            last[topic] = now->partitions[shard][topic].log[i].row; /* open or not */
    for (told[0] = 0; told[0] <= last[0]; told[0]++)
        for (told[1] = 0; told[1] <= last[1]; told[1]++) {
            struct world next = *now;
            struct lane_shard *after = &next.lanes[lane].shards[shard];
            after->misled = after->placed = 0;
            for (unsigned topic = 0; topic < model->topics; topic++) {
                unsigned tail = brokers_tail(now, shard, topic), end = told[topic] < tail ? told[topic] : tail;
                if (end > after->cursor[topic]) after->cursor[topic] = (uint8_t)end;
                if (told[topic] < last[topic]) after->misled |= (uint8_t)(1u << topic);
            }
            if (!after->misled) continue;
            after->publish = PUBLISH_READY;
            offer(model, &next, FAULT_FORMER,
                  "%c: reads the tails of shard %u of one that no longer leads; the cursors are %u and %u (tail)",
                  lane_name(lane), shard, after->cursor[0], after->cursor[1]);
        }
}

/* tail() and take_tail(): when the last stable offset has reached the high watermark, else later, from confirm on. */
static void tail(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    if (now->lanes[lane].shards[shard].publish != PUBLISH_TAIL) return;
    bool open = false;
    for (unsigned topic = 0; topic < model->topics; topic++) open |= brokers_has_open(now, shard, topic);
    if (model->fault[FAULT_FORMER]) former_tail(model, now, lane, shard);
    struct world next = *now;
    struct lane_shard *after = &next.lanes[lane].shards[shard];
    if (open && !model->deviation[TAIL_UNSTABLE]) {
        after->publish = PUBLISH_CONFIRM;
        offer(model, &next, FAULT_NONE, "%c: a transaction is open in shard %u, waits (wait_for_tail)", lane_name(lane), shard);
        return;
    }
    tail_into_cursor(model, now, after, shard);
    after->publish = PUBLISH_READY;
    after->misled = after->placed = 0;
    offer(model, &next, FAULT_NONE, "%c: reads the tails of shard %u; the cursors are %u and %u (tail)", lane_name(lane), shard,
          after->cursor[0], after->cursor[1]);
}

/* ---- publish ---- */

/* The next row behind `after` that goes to the topic, up to `until`; 0 without one. */
static unsigned next_row(const struct model *model, unsigned after, unsigned until, unsigned topic) {
    for (unsigned row = after + 1; row <= until; row++)
        if (world_topic(model, row) == topic) return row;
    return 0;
}

static unsigned first_unpublished(const struct model *model, const struct lane_shard *s) {
    for (unsigned row = 1; row <= s->known; row++)
        if (row > s->cursor[world_topic(model, row)]) return row;
    return 0;
}

bool publisher_has_unpublished(const struct model *model, const struct lane_shard *s) { return first_unpublished(model, s) != 0; }

static bool takes_part(const struct model *model, const struct lane_shard *s) {
    return s->publish == PUBLISH_READY && s->state != SHARD_WANTED && publisher_has_unpublished(model, s);
}

/* publish(): of each ready shard at most `limit` rows behind the cursor. False: it has nothing, or no more than with less. */
static bool begin(const struct model *model, struct world *world, unsigned lane, unsigned limit) {
    bool more = false;
    for (unsigned shard = 0; shard < model->shards; shard++) {
        struct lane_shard *s = &world->lanes[lane].shards[shard];
        if (!takes_part(model, s)) continue;
        unsigned first = first_unpublished(model, s), until = first + limit - 1;
        more |= limit == 1 || until <= s->known;
        s->until = (uint8_t)(until < s->known ? until : s->known);
        memcpy(s->next, s->cursor, sizeof s->next);
    }
    world->lanes[lane].active = 1;
    return more;
}

/* place(): the first record behind a tail. What may be out already waits for a new epoch; false then. */
static bool place(struct model *model, const struct world *now, unsigned lane, unsigned shard, unsigned topic, unsigned row) {
    const struct lane *l = &now->lanes[lane];
    const struct lane_shard *s = &l->shards[shard];
    if (!model->fault[FAULT_FORMER] || s->placed >> topic & 1 || row > s->tried || !(l->used >> l->which & 1)) return true;
    if (model->deviation[NO_PLACE] || model->deviation[OLD_EPOCH]) return true;
    struct world next = *now;
    broken(model, &next, lane);
    offer(model, &next, FAULT_NONE, "%c: row %u of shard %u may be out already, wants new producers (place, start_over)",
          lane_name(lane), row, shard);
    return false;
}

/* The leader's offset says whether the tail was told by one that no longer leads. */
static void note_place(const struct model *model, struct lane *l, unsigned shard, unsigned topic, unsigned row) {
    struct lane_shard *s = &l->shards[shard];
    if (!model->fault[FAULT_FORMER]) return;
    if (!(s->placed >> topic & 1) && s->misled >> topic & 1 && !model->deviation[NO_PLACE]) l->doomed = 1;
    s->placed |= (uint8_t)(1u << topic);
    if (row > s->tried) s->tried = (uint8_t)row;
}

/* produce(), a partition's first time: librdkafka adds it to the transaction. */
static void add_partition(struct model *model, const struct world *now, unsigned lane, unsigned shard, unsigned topic) {
    unsigned id = lane * PRODUCERS + now->lanes[lane].which;
    const struct transaction *t = &now->transactions[id];
    struct world next = *now;
    if (!t->valid) {
        broken(model, &next, lane);
        offer(model, &next, FAULT_NONE, "%c: shard %u, topic %u may not be added, %c is fenced (produce, broken)",
              lane_name(lane), shard, topic, producer_name(id));
        return;
    }
    if (t->state == TX_PREPARE_COMMIT || t->state == TX_PREPARE_ABORT) return; /* librdkafka asks again */
    next.transactions[id].state = TX_ONGOING;
    next.transactions[id].partitions |= (uint8_t)(1u << world_partition(shard, topic));
    next.lanes[lane].shards[shard].added |= (uint8_t)(1u << topic);
    offer(model, &next, FAULT_NONE, "%c: adds shard %u, topic %u to the transaction of %c (produce)", lane_name(lane), shard,
          topic, producer_name(id));
}

static void produce(struct model *model, const struct world *now, unsigned lane, unsigned shard, unsigned topic, unsigned row) {
    unsigned id = lane * PRODUCERS + now->lanes[lane].which;
    struct world next = *now;
    enum produce result = brokers_produce(model, &next, id, shard, topic, row);
    if (result == PRODUCE_BLOCKED) return;
    if (result == PRODUCE_REFUSED) {
        broken(model, &next, lane);
        offer(model, &next, FAULT_NONE, "%c: row %u of shard %u is refused (produce, broken)", lane_name(lane), row, shard);
        return;
    }
    next.lanes[lane].shards[shard].next[topic] = (uint8_t)row;
    note_place(model, &next.lanes[lane], shard, topic, row);
    offer(model, &next, FAULT_NONE, "%c: produces row %u of shard %u to topic %u with %c (produce)", lane_name(lane), row, shard,
          topic, producer_name(id));
}

/* advance(): cursors forward, the other producer's turn. */
static void advance(const struct model *model, struct world *world, unsigned lane) {
    struct lane *l = &world->lanes[lane];
    for (unsigned shard = 0; shard < model->shards; shard++) {
        struct lane_shard *s = &l->shards[shard];
        for (unsigned topic = 0; topic < model->topics; topic++)
            if (s->cursor[topic] < s->until) s->cursor[topic] = s->until;
    }
    if (model->fault[FAULT_FORMER]) l->used |= (uint8_t)(1u << l->which);
    l->which ^= 1;
    end_transaction(model, world, lane);
}

/* The ways in which a commit of an ongoing transaction may end; each sends one EndTxn. */
static void commit_ends(struct model *model, const struct world *now, unsigned lane, unsigned id) {
    struct world next = *now;
    next.transactions[id].state = TX_PREPARE_COMMIT;
    struct world lost = next, late = *now;
    advance(model, &next, lane);
    offer(model, &next, FAULT_NONE, "%c: commits the transaction of %c (publish, advance)", lane_name(lane), producer_name(id));
    if (model->fault[FAULT_DUPLICATE_END]) {
        next.transactions[id].end_late = 1;
        offer(model, &next, FAULT_DUPLICATE_END,
              "%c: commits the transaction of %c; a copy of its EndTxn is still under way (advance)", lane_name(lane),
              producer_name(id));
    }
    if (model->fault[FAULT_LOST_ANSWER]) {
        broken(model, &lost, lane);
        offer(model, &lost, FAULT_LOST_ANSWER, "%c: commits the transaction of %c, the answer is lost (broken)", lane_name(lane),
              producer_name(id));
    }
    if (model->fault[FAULT_UNKNOWN]) {
        late.transactions[id].end_late = 1;
        broken(model, &late, lane);
        offer(model, &late, FAULT_UNKNOWN, "%c: the commit of %c times out, its EndTxn is still under way (broken)",
              lane_name(lane), producer_name(id));
    }
}

static void commit(struct model *model, const struct world *now, unsigned lane) {
    unsigned id = lane * PRODUCERS + now->lanes[lane].which;
    const struct transaction *t = &now->transactions[id];
    struct world next = *now;
    if (now->lanes[lane].doomed) {
        broken(model, &next, lane);
        offer(model, &next, FAULT_NONE, "%c: a record of %c is not where it must be (deliver, broken)", lane_name(lane),
              producer_name(id));
        return;
    }
    if (t->valid && t->state == TX_PREPARE_COMMIT) return; /* librdkafka asks again */
    if (t->valid && t->state == TX_ONGOING) {
        commit_ends(model, now, lane, id);
    } else if (t->valid && t->state == TX_COMMITTED) { /* a late EndTxn was there before: the same answer */
        advance(model, &next, lane);
        offer(model, &next, FAULT_NONE, "%c: commits the transaction of %c, which is committed (advance)", lane_name(lane),
              producer_name(id));
    } else {
        broken(model, &next, lane);
        offer(model, &next, FAULT_NONE, "%c: the commit of %c is refused (publish, broken)", lane_name(lane), producer_name(id));
    }
}

static void go_on(struct model *model, const struct world *now, unsigned lane) {
    bool more = false;
    for (unsigned shard = 0; shard < model->shards; shard++)
        for (unsigned topic = 0; topic < model->topics; topic++) {
            const struct lane_shard *s = &now->lanes[lane].shards[shard];
            unsigned row = s->until ? next_row(model, s->next[topic], s->until, topic) : 0;
            if (!row) continue;
            more = true;
            if (!place(model, now, lane, shard, topic, row)) continue;
            if (s->added >> topic & 1)
                produce(model, now, lane, shard, topic, row);
            else
                add_partition(model, now, lane, shard, topic);
        }
    if (!more) commit(model, now, lane);
}

static void publish(struct model *model, const struct world *now, unsigned lane) {
    if (now->lanes[lane].active) {
        go_on(model, now, lane);
        return;
    }
    for (unsigned limit = 1; limit <= model->rows; limit++) {
        struct world next = *now;
        if (!begin(model, &next, lane, limit)) return;
        bool any = false;
        for (unsigned shard = 0; shard < model->shards; shard++) any |= next.lanes[lane].shards[shard].until > 0;
        if (!any) return;
        go_on(model, &next, lane);
    }
}

/* ---- drain ---- */

/* drain(): everything is published, no transaction is open: REPORT_DRAINED. */
static void drain(struct model *model, const struct world *now, unsigned lane, unsigned shard) {
    const struct lane_shard *s = &now->lanes[lane].shards[shard];
    bool dirty = model->deviation[DIRTY_RELEASE];
    if (s->state != SHARD_DRAINING || s->publish != PUBLISH_READY) return;
    if ((now->lanes[lane].active || publisher_has_unpublished(model, s)) && !dirty) return;
    struct world next = *now;
    struct lane_shard *after = &next.lanes[lane].shards[shard];
    if (model->deviation[RESUME_RELEASED]) {
        store_release(model, &next, lane, shard);
        after->state = SHARD_OWNED;
        after->assigned = 1;
        offer(model, &next, FAULT_NONE, "%c: releases shard %u, does not hear that it did, and goes on with it", lane_name(lane),
              shard);
    }
    next = *now;
    after->publish = PUBLISH_NONE; /* the cursors stay: they are `settled` of the report */
    if (!model->fault[FAULT_RETENTION]) memset(after->cursor, 0, sizeof after->cursor);
    if (!dirty) after->until = after->added = 0;
    offer(model, &next, FAULT_NONE, "%c: has published all of shard %u (drain)", lane_name(lane), shard);
}

void publisher_steps(struct model *model, const struct world *now, unsigned lane) {
    const struct lane *l = &now->lanes[lane];
    start(model, now, lane);
    if (l->state != LANE_RUNNING) return;
    fail(model, now, lane);
    recover(model, now, lane);
    for (unsigned shard = 0; shard < model->shards; shard++)
        if (!l->active) confirm(model, now, lane, shard);
    if (l->publisher != PUBLISHER_RUNS) return;
    if (!l->active) fence(model, now, lane);
    for (unsigned shard = 0; shard < model->shards; shard++) {
        if (!l->active) tail(model, now, lane, shard);
        drain(model, now, lane, shard);
    }
    publish(model, now, lane);
}
