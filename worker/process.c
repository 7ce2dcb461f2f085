/* One batch through the stages, and what to do when a stage fails.
 *
 *   a server is away           the batch is dropped, the input starts again behind what is committed, and until it
 *                              does nothing of what it had fetched is processed
 *   the store refuses the data the batch is cut in halves until the culprit stands alone: it is answered internal-error;
 *                              so too when it needs more memory than a batch may have, but not when the system has none
 *   the commit was fenced, or   its shards are taken over again
 *   nobody knows how it ended */
#include "fault.h"
#include "lane.h"
#include "log.h"
#include "memory.h"

enum { DUE_LIMIT = 100, DUE_EVERY_MS = 1000, DEATHS_OF_KILLER = 2, LOGGED_ANSWERS = 8, BATCH_WAIT_MS = 1000 };

/* What goes through the stages as one batch. */
struct portion {
    struct record *records;
    size_t record_count;
    struct promotion_row *due;
    size_t due_count;
    bool control; /* no items: only the new control version, for all owned shards */
    bool quiet;   /* no items: how far shards have come since their last batch */
    bool refuse;  /* its one record could not be committed as it is */
    bool dead;    /* its one record kills lanes: it is not read */
};

static bool has_free_batch(const struct lane *lane) {
    bool few = LANE_BATCHES - lane->free_count < LANE_BATCHES_LARGE;
    return few || (lane->free_count && lane->kept_bytes < LANE_SMALL_BYTES);
}

/* NULL when the publisher keeps all of them for long: the group and the signals must not wait for it. */
static struct batch *take_batch(struct lane *lane) {
    uint64_t deadline = lane_now_ms(lane) + BATCH_WAIT_MS;
    while (!has_free_batch(lane) && !lane->failed && lane_now_ms(lane) < deadline) (void)lane_hear(lane, 100);
    return lane->failed || !has_free_batch(lane) ? NULL : lane->free[--lane->free_count];
}

static void give_back(struct lane *lane, struct batch *batch) {
    batch_reset(batch);
    lane->free[lane->free_count++] = batch;
}

/* ---- putting a batch together ---- */

/* The shard's part of the batch, made when it is first met; NULL for a shard that is not owned. */
static struct shard_batch *part_of(struct lane *lane, struct batch *batch, uint32_t shard) {
    struct lane_shard *s = &lane->shards[shard];
    if (s->state != SHARD_OWNED) return NULL;
    if (s->in_batch) return s->in_batch;
    struct shard_batch *part = &batch->shards[batch->shard_count++];
    *part = (struct shard_batch){.shard = shard,
                                 .epoch = s->epoch,
                                 .sequence = s->sequence,
                                 .first_sequence = s->sequence,
                                 .head = s->head,
                                 .first_head = s->head,
                                 .control_version = s->control_version,
                                 .now_at = s->now_at};
    memcpy(part->position, s->position, sizeof part->position);
    memcpy(part->settled, s->settled, sizeof part->settled);
    s->in_batch = part;
    return part;
}

static void add_due(struct lane *lane, struct batch *batch, const struct promotion_row *row) {
    struct shard_batch *part = part_of(lane, batch, row->shard);
    struct promotion *promotion = part ? ARENA_NEW(&batch->arena, struct promotion) : NULL;
    if (!promotion) return; /* it stays due */
    promotion->row = *row;
    batch->items[batch->item_count++] = (struct item){.state = ITEM_DUE, .shard = part, .promotion = promotion};
}

static void add_record(struct lane *lane, struct batch *batch, const struct record *record) {
    const struct lane_shard *s = &lane->shards[record->shard];
    struct shard_batch *part = part_of(lane, batch, record->shard);
    if (!part || record->offset < s->position[record->topic]) return; /* not ours any more, or done before */
    batch->items[batch->item_count++] = (struct item){.shard = part, .record = record};
}

static bool is_stored(const struct lane_shard *s) {
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++)
        if (s->settled[topic].sequence != s->settled_stored[topic]) return false;
    return memcmp(s->position, s->position_stored, sizeof s->position) == 0;
}

static int fill(struct lane *lane, struct batch *batch, const struct portion *portion, struct error *error) {
    memcpy(batch->topics, lane->options.topics, sizeof batch->topics);
    batch->installation_shards = lane->options.shards;
    batch->items = ARENA_ARRAY(&batch->arena, struct item, portion->due_count + portion->record_count);
    batch->shards = ARENA_ARRAY(&batch->kept, struct shard_batch, lane->options.shards);
    if (!batch->items || !batch->shards) return error_memory(error);
    for (size_t i = 0; i < portion->due_count; i++) add_due(lane, batch, &portion->due[i]);
    for (size_t i = 0; i < portion->record_count; i++) add_record(lane, batch, &portion->records[i]);
    for (uint32_t n = 0; portion->control && n < lane->options.shards; n++)
        if (lane->shards[n].control_version != lane->control_version) (void)part_of(lane, batch, n);
    for (uint32_t n = 0; portion->quiet && n < lane->options.shards; n++)
        if (!is_stored(&lane->shards[n])) (void)part_of(lane, batch, n);
    for (size_t i = 0; i < batch->shard_count; i++) lane->shards[batch->shards[i].shard].in_batch = NULL;
    return 0;
}

/* ---- the stages ---- */

static void take_control(const struct lane *lane, struct batch *batch) {
    batch->policy = lane->policy;
    batch->control_version = lane->control_version;
    batch->policy_version = lane->policy_version;
    batch->policy_digest = lane->policy_digest;
}

/* Reads the newest policy. */
static int read_control(struct lane *lane, struct error *error) {
    struct store *store = lane->options.store;
    struct store_control control;
    struct arena arena;
    const struct policy *policy = NULL;
    arena_init(&arena, POLICY_MEMORY_MAX);
    if (store->operations->control(store, &arena, &control, error) ||
        (control.policy.p && policy_parse(&arena, control.policy, &policy, error))) {
        arena_release(&arena);
        /* A policy that a newer program has applied, or that needs too much memory, says nothing of the records at hand. */
        if (error->kind == ERROR_INPUT || error->kind == ERROR_INTERNAL) {
            struct error cause = *error;
            (void)error_set(error, ERROR_UNAVAILABLE, "policy-unreadable", "the policy cannot be read: %s", cause.message);
        }
        return -1;
    }
    arena_release(&lane->policy_arena);
    lane->policy_arena = arena;
    lane->policy = policy;
    lane->control_version = control.version;
    lane->policy_version = control.policy_version;
    lane->policy_digest = control.policy_digest;
    log_line(LOG_INFO, "policy", "control-version=%llu policy-version=%llu", (unsigned long long)control.version,
             (unsigned long long)control.policy_version);
    return 0;
}

static int load_with_policy(struct lane *lane, struct batch *batch, struct error *error) {
    take_control(lane, batch);
    if (load(batch, lane->options.store, error)) return -1;
    if (batch->facts.ret_control_version != lane->control_version) {
        if (read_control(lane, error)) return -1;
        take_control(lane, batch);
        if (load(batch, lane->options.store, error)) return -1;
    }
    lane->store_now = batch->facts.ret_now;
    lane->store_now_ms = lane_now_ms(lane);
    return 0;
}

static void mark(struct batch *batch, const struct portion *portion) {
    for (size_t i = 0; i < batch->item_count && (portion->dead || portion->refuse); i++) {
        struct item *item = &batch->items[i];
        bool addressed = item->state != ITEM_DEAD && !portion->dead;
        item->state = addressed ? ITEM_REFUSED : ITEM_DEAD;
        item->code = portion->dead ? CODE_CRASHES_WORKER : addressed ? CODE_INTERNAL_ERROR : CODE_NOT_CLOUDEVENT;
        item->message = portion->dead ? SLICE("workers died on this record; it was not read again")
                                      : SLICE("the event could not be committed; this is a defect, please report it");
        item->path = (struct slice){0};
    }
}

static int run_stages(struct lane *lane, struct batch *batch, const struct portion *portion, struct error *error) {
    if (!portion->dead && decode(batch, error)) return -1;
    mark(batch, portion);
    fault_point("after-consume");
    if (load_with_policy(lane, batch, error) || gather(batch, lane->options.registry, lane->options.registry_wait_ms, error) ||
        decide(batch, error))
        return -1;
    fault_point("before-commit");
    uint64_t began = lane_now_ms(lane);
    if (commit(batch, lane->options.store, lane->options.owner, error)) return -1;
    metrics_add(lane->options.metrics, METRIC_COMMIT_MS, lane_now_ms(lane) - began);
    fault_point("after-commit");
    return 0;
}

/* ---- records on which lanes died ---- */

/* Asked of records that are not processed yet. */
static bool is_noted(const struct lane_shard *s, const struct record *record) {
    return s->crash_topic == record->topic && s->crash_position == record->offset;
}

/* Lanes died on the noted record, and it is still to be processed. Offsets before it may have no record. */
static bool has_killer_ahead(const struct lane_shard *s) {
    return s->crash_count && s->crash_topic != INPUT_NONE && s->position[s->crash_topic] <= s->crash_position;
}

/* A record on which lanes died goes before all others of its shard: noting another would forget its deaths, and there is no end
 * of records in the other topic. Its own topic going on without it shows that the log has lost it. Only those before it in its
 * own topic come first: after a restoration of the store they are to be done again. */
static bool must_wait(const struct lane *lane, const struct lane_shard *s, const struct record *record) {
    if (!has_killer_ahead(s) || is_noted(s, record)) return false;
    if (record->topic == s->crash_topic && record->offset < s->crash_position) return false;
    bool is_lost = record->topic == s->crash_topic && record->offset > s->crash_position && !lane->reassign;
    return !is_lost;
}

/* The log may have lost the record for which others wait and have nothing to show instead: it was made anew and ends before it.
 */
void process_skipped(struct lane *lane) {
    struct input *input = lane->options.input;
    for (uint32_t n = 0; n < lane->options.shards; n++) {
        struct lane_shard *s = &lane->shards[n];
        int64_t start[INPUT_TOPICS + 1], end[INPUT_TOPICS + 1];
        struct error error;
        if (s->state != SHARD_OWNED || !s->skipped || !has_killer_ahead(s)) continue;
        if (input->operations->bounds(input, n, start, end, &error)) return; /* the next look asks again */
        if ((uint64_t)end[s->crash_topic] > s->crash_position) continue;
        log_line(LOG_WARN, "killer-lost", "shard=%u topic=%s offset=%llu", n, lane->options.topics[s->crash_topic],
                 (unsigned long long)s->crash_position);
        s->crash_topic = INPUT_NONE;
        s->crash_count = 0;
        s->skipped = false;
        lane->reassign = true;
    }
}

static void skip(struct lane *lane, struct lane_shard *s, const struct record *record) {
    if (!s->skipped)
        log_line(LOG_WARN, "waits-for-killer", "shard=%u topic=%s offset=%llu", record->shard,
                 lane->options.topics[s->crash_topic], (unsigned long long)s->crash_position);
    s->skipped = true;
}

/* ---- afterwards ---- */

static void count_outcomes(struct lane *lane, const struct batch *batch) {
    static const enum metric of_kind[] = {
        [RESULT_RELEASE_VERIFIED] = METRIC_VERIFIED,   [RESULT_RELEASE_REJECTED] = METRIC_REJECTED,
        [RESULT_PROMOTION_WAITING] = METRIC_WAITING,   [RESULT_PROMOTION_PROMOTED] = METRIC_PROMOTED,
        [RESULT_PROMOTION_REJECTED] = METRIC_REJECTED, [RESULT_PROMOTION_SUPERSEDED] = METRIC_SUPERSEDED,
        [RESULT_PROMOTION_EXPIRED] = METRIC_EXPIRED,   [RESULT_PROMOTION_EVALUATED] = METRIC_EVALUATED,
        [RESULT_EVENT_REFUSED] = METRIC_REFUSED,       [RESULT_EVENT_DUPLICATE] = METRIC_DUPLICATES,
        [RESULT_DEAD_LETTER] = METRIC_DEAD_LETTERS};
    uint64_t counts[RESULT_SHARD_RESUMED + 1] = {0};
    for (size_t i = 0; i < batch->answer_count; i++) counts[batch->answers[i].row.kind]++;
    for (size_t kind = RESULT_NONE + 1; kind < RESULT_SHARD_RESUMED; kind++)
        if (counts[kind] && of_kind[kind]) metrics_add(lane->options.metrics, of_kind[kind], counts[kind]);
    metrics_add(lane->options.metrics, METRIC_BATCHES, 1);
}

/* A line an answer, under the id of its result; a full batch says how many more there are. */
static void log_answers(const struct batch *batch) {
    for (size_t i = 0; i < batch->answer_count && i < LOGGED_ANSWERS; i++) {
        const struct answer *answer = &batch->answers[i];
        const char *type = result_type(answer->row.kind);
        log_line(LOG_INFO, "answer", "id=%u-%llu type=%s project=%.*s environment=%.*s outcome=%.*s topic=%d offset=%llu",
                 answer->row.shard, (unsigned long long)answer->row.sequence, *type ? type : "dead-letter",
                 SLICE_ARG(answer->project), SLICE_ARG(answer->environment), SLICE_ARG(answer->outcome), (int)answer->row.topic,
                 (unsigned long long)answer->row.offset);
    }
    if (batch->answer_count > LOGGED_ANSWERS) log_line(LOG_INFO, "answers", "more=%zu", batch->answer_count - LOGGED_ANSWERS);
}

/* The store has the batch: the lane knows what its shards are now, and the publisher gets the answers. */
static void committed(struct lane *lane, struct batch *batch) {
    for (size_t i = 0; i < batch->shard_count; i++) {
        const struct shard_batch *part = &batch->shards[i];
        struct lane_shard *s = &lane->shards[part->shard];
        if (part->control_version != batch->control_version) lane->next_due = 0;
        bool read = memcmp(part->position, s->position, sizeof s->position) != 0;
        s->sequence = part->sequence;
        s->head = part->head;
        s->now_at = batch->now;
        s->control_version = batch->control_version;
        shard_stored(s, part->position, part->settled);
        if (s->skipped && !has_killer_ahead(s)) {
            s->skipped = false;
            lane->reassign = true;
        }
        if (s->cautious && read && --s->cautious == 0)
            log_line(LOG_INFO, "caution-over", "shard=%u sequence=%llu", part->shard, (unsigned long long)part->sequence);
    }
    if (batch->wake_count) lane->next_due = 0;
    lane->pause_ms = 0;
    count_outcomes(lane, batch);
    log_answers(batch);
    batch_forget_deciding(batch);
    lane->kept_bytes += batch->kept.used;
    if (!handoff_order(lane->options.handoff, &(struct order){.kind = ORDER_ROWS, .batch = batch}))
        lane_starve(lane, "handoff-failed");
}

static void retake_all(struct lane *lane, const struct batch *batch, const char *why) {
    for (size_t i = 0; i < batch->shard_count; i++) shard_retake(lane, batch->shards[i].shard, 100 + lane_random(lane, 400), why);
}

static void process(struct lane *lane, const struct portion *portion);

/* Two halves, each a batch of its own; what stands alone is refused; a due promotion that stands alone is left for later. */
static void bisect(struct lane *lane, const struct portion *portion, const struct error *error) {
    size_t records = portion->record_count, due = portion->due_count;
    log_error(LOG_ERROR, "batch-refused", error);
    metrics_add(lane->options.metrics, METRIC_BISECTIONS, 1);
    if (records > 1) {
        process(lane, &(struct portion){.records = portion->records, .record_count = records / 2});
        process(lane, &(struct portion){.records = portion->records + records / 2, .record_count = records - records / 2});
    } else if (due > 1) {
        process(lane, &(struct portion){.due = portion->due, .due_count = due / 2});
        process(lane, &(struct portion){.due = portion->due + due / 2, .due_count = due - due / 2});
    } else if (records && !portion->refuse) {
        process(lane, &(struct portion){.records = portion->records, .record_count = 1, .refuse = true});
    } else if (records) {
        shard_stop(lane, portion->records->shard, error->message);
    } /* a due promotion stays due; its neighbours are done */
}

/* Only the data itself, or too much of it, is worth cutting in halves; `starved` means that the system had no memory. */
static bool is_the_datas_fault(const struct error *error, bool starved) {
    if (strcmp(error->code, "out-of-memory") == 0) return !starved;
    return error->kind == ERROR_INPUT || strcmp(error->code, "sql-SL002") == 0;
}

/* The batch was not committed, or nobody knows: whatever was read is read again, unless it can be cut. */
static void fail(struct lane *lane, struct batch *batch, const struct portion *portion, const struct error *error, bool starved) {
    if (is_the_datas_fault(error, starved)) {
        give_back(lane, batch);
        bisect(lane, portion, error);
        return;
    }
    lane->reassign = true;
    if (error->kind == ERROR_FENCED) {
        log_error(LOG_WARN, "commit-fenced", error);
        retake_all(lane, batch, "a commit was refused: another lane writes here, or the store is not as it was");
    } else if (error->kind == ERROR_UNKNOWN) {
        log_error(LOG_WARN, "commit-unknown", error);
        retake_all(lane, batch, "nobody knows whether a commit happened");
    } else {
        lane_pause(lane, "batch-failed", error);
    }
    give_back(lane, batch);
}

static void process(struct lane *lane, const struct portion *portion) {
    struct error error = {0};
    lane_turn(lane);
    /* Records behind one that was dropped must not be committed: its position would be passed over. */
    if (lane->failed || lane_is_paused(lane) || (portion->record_count && lane->reassign)) {
        lane->reassign |= portion->record_count > 0;
        return;
    }
    struct batch *batch = take_batch(lane);
    if (!batch) {
        lane->reassign |= portion->record_count > 0;
        return;
    }
    unsigned long refusals = memory_refusals();
    if (fill(lane, batch, portion, &error)) {
        fail(lane, batch, portion, &error, memory_refusals() != refusals);
        return;
    }
    if (!batch->item_count && !batch->shard_count) {
        give_back(lane, batch);
        return;
    }
    uint64_t began = lane_now_ms(lane);
    if (run_stages(lane, batch, portion, &error) == 0) {
        committed(lane, batch);
        metrics_add(lane->options.metrics, METRIC_BATCH_MS, lane_now_ms(lane) - began);
        metrics_set(lane->options.metrics, METRIC_DATABASE_OK_MS, lane_now_ms(lane));
        return;
    }
    fail(lane, batch, portion, &error, memory_refusals() != refusals);
}

/* ---- the ways in ---- */

/* A record of a shard on which lanes died goes alone, and is noted before it is read. */
static void process_cautiously(struct lane *lane, struct record *record) {
    struct lane_shard *s = &lane->shards[record->shard];
    struct store *store = lane->options.store;
    struct error error = {0};
    struct portion portion = {.records = record, .record_count = 1};
    bool noted = is_noted(s, record);
    if (lane->reassign || lane_is_paused(lane)) { /* process would drop it: then it must not be noted either */
        lane->reassign = true;
        return;
    }
    if (noted && s->crash_count >= DEATHS_OF_KILLER) {
        portion.dead = true;
        metrics_add(lane->options.metrics, METRIC_CRASHES_WORKER, 1);
        log_line(LOG_ERROR, "crashes-worker", "shard=%u topic=%s offset=%llu", record->shard, lane->options.topics[record->topic],
                 (unsigned long long)record->offset);
    } else if (!noted && store->operations->suspect(store, record->shard, s->epoch, lane->options.owner, record->topic,
                                                    record->offset, &error)) {
        lane->reassign = true;
        if (error.kind == ERROR_FENCED)
            shard_retake(lane, record->shard, 100, "another lane has taken it over");
        else
            lane_pause(lane, "suspect-failed", &error);
        return;
    } else if (!noted) {
        s->crash_topic = record->topic;
        s->crash_position = record->offset;
        s->crash_count = 0;
    }
    process(lane, &portion);
}

/* The shard of a record that is to be processed; NULL for one that is not ours any more, or done before. */
static struct lane_shard *shard_of(struct lane *lane, const struct record *record) {
    struct lane_shard *s = record->shard < lane->options.shards ? &lane->shards[record->shard] : NULL;
    return s && s->state == SHARD_OWNED && record->offset >= s->position[record->topic] ? s : NULL;
}

/* None of the records before it is of the same topic and still to be processed. */
static bool is_next_of_topic(struct lane *lane, const struct record *records, size_t which) {
    for (size_t i = 0; i < which; i++)
        if (records[i].shard == records[which].shard && records[i].topic == records[which].topic && shard_of(lane, &records[i]))
            return false;
    return true;
}

/* What has to wait is skipped, and fetched again once that is committed which it waits for. */
void process_records(struct lane *lane, struct record *records, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct lane_shard *s = shard_of(lane, &records[i]);
        bool first = s && s->cautious && is_noted(s, &records[i]) && is_next_of_topic(lane, records, i);
        if (first) process_cautiously(lane, &records[i]);
    }
    for (size_t i = 0; i < count; i++) {
        struct lane_shard *s = shard_of(lane, &records[i]);
        if (!s) continue;
        if (!s->cautious)
            records[kept++] = records[i];
        else if (must_wait(lane, s, &records[i]))
            skip(lane, s, &records[i]);
        else
            process_cautiously(lane, &records[i]);
    }
    metrics_add(lane->options.metrics, METRIC_RECORDS_CONSUMED, count);
    if (kept) process(lane, &(struct portion){.records = records, .record_count = kept});
}

/* On a shard on which lanes died each goes alone; the others are a batch of their own. */
static void process_rows(struct lane *lane, struct promotion_row *rows, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (lane->shards[rows[i].shard].cautious)
            process(lane, &(struct portion){.due = &rows[i], .due_count = 1});
        else
            rows[kept++] = rows[i];
    }
    if (kept) process(lane, &(struct portion){.due = rows, .due_count = kept});
}

void process_due(struct lane *lane) {
    struct store *store = lane->options.store;
    struct error error = {0};
    struct promotion_row *rows;
    size_t row_count, shard_count = 0;
    struct arena arena;
    uint64_t now = lane_now_ms(lane);
    if (now < lane->next_due || !lane->store_now) return;
    lane->next_due = now + DUE_EVERY_MS;
    for (uint32_t n = 0; n < lane->options.shards; n++)
        if (lane->shards[n].state == SHARD_OWNED) lane->numbers[shard_count++] = n;
    if (!shard_count) return;
    arena_init(&arena, 128 * 1024 * 1024);
    instant until = lane->store_now + (instant)(now - lane->store_now_ms) * 1000;
    if (store->operations->due(store, &arena, lane->numbers, shard_count, until, DUE_LIMIT, &rows, &row_count, &error)) {
        lane_pause(lane, "due-failed", &error);
    } else if (row_count) {
        if (row_count == DUE_LIMIT) lane->next_due = now;
        process_rows(lane, rows, row_count);
    }
    arena_release(&arena);
}

/* An empty load tells the newest version and the store's clock. */
void process_control(struct lane *lane) {
    struct store *store = lane->options.store;
    struct store_facts facts = {0};
    struct error error = {0};
    struct arena arena;
    bool behind = false;
    arena_init(&arena, 1024 * 1024);
    int result = store->operations->load(store, &arena, &facts, &error);
    arena_release(&arena);
    if (result || (facts.ret_control_version != lane->control_version && read_control(lane, &error))) {
        lane_pause(lane, "control-failed", &error);
        return;
    }
    lane->store_now = facts.ret_now;
    lane->store_now_ms = lane_now_ms(lane);
    metrics_set(lane->options.metrics, METRIC_DATABASE_OK_MS, lane->store_now_ms);
    for (uint32_t n = 0; n < lane->options.shards; n++) {
        const struct lane_shard *s = &lane->shards[n];
        behind |= s->state == SHARD_OWNED && s->control_version != lane->control_version;
    }
    if (behind) process(lane, &(struct portion){.control = true});
}

void process_quiet(struct lane *lane) {
    bool behind = false;
    for (uint32_t n = 0; n < lane->options.shards; n++)
        behind |= lane->shards[n].state == SHARD_OWNED && !is_stored(&lane->shards[n]);
    if (behind) process(lane, &(struct portion){.quiet = true});
}
