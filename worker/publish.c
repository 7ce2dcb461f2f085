#include "publish.h"

#include "fault.h"
#include "metrics.h"
#include "result.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TRANSACTION_ROWS = 4000, /* from memory; from the ledger a page */
    LEDGER_PAGE = 500,
    SCRATCH_MAX = 64 * 1024 * 1024, /* of a page of the ledger, and of one row */
    TAIL_AGAIN_MS = 100,
    UNSTABLE_MS = 30000,
    RETRY_FIRST_MS = 50,
    RETRY_LAST_MS = 2000
};

enum publish_state {
    PUBLISH_NONE,  /* not this publisher's */
    PUBLISH_FENCE, /* other ids are to be fenced */
    PUBLISH_TAIL,  /* its epoch is to be confirmed and its tails read */
    PUBLISH_READY  /* publishes */
};

struct published_shard {
    enum publish_state state;
    uint64_t epoch;
    uint64_t known;                 /* the last row known to be committed */
    uint64_t through;               /* everything up to here is published, whatever its topic */
    uint64_t cursor[OUTPUT_TOPICS]; /* the last published row of each topic, or later */
    struct settled settled[OUTPUT_TOPICS];
    uint64_t tried;             /* the last row that anybody may have put into a transaction */
    int64_t end[OUTPUT_TOPICS]; /* of the log, as the tail said */
    bool placed[OUTPUT_TOPICS]; /* the end is proved, once the transaction at hand is committed */
    uint64_t next;              /* while a transaction is put together: the last row taken into it, */
    bool current;               /* and whether the batch at hand is of this epoch */
    bool draining;
    uint64_t unstable_at; /* when to complain, by the clock, that its tail cannot be read */
    struct order *take;   /* while it is PUBLISH_FENCE: the ids */
};

struct published_batch {
    struct batch *batch;
    struct published_batch *next;
};

struct publisher {
    struct publisher_options options;
    struct published_shard *shards;                /* by number */
    uint32_t *numbers;                             /* scratch: numbers of some of them */
    struct published_batch *batches, **last_batch; /* handed over and not yet published, the oldest first */
    struct arena scratch;                          /* of a page of the ledger, or of a look at tails */
    struct arena row;                              /* of one row: its record, which produce copies */
    char source[64];                               /* ce_source */
    int which;                                     /* the producer whose turn it is */
    bool used[OUTPUT_PRODUCERS];                   /* has committed since it was initialised */
    bool renews;                                   /* publish has failed only for want of new producers */
    bool broken;                                   /* recover before anything else */
    int retry_ms;                                  /* how long to wait after the next failure */
    uint64_t tail_at;                              /* by the clock, when tails that were not stable are read again */
    uint64_t retry_at;                             /* by the clock, after a failure */
    bool ended, failed;
};

struct publisher *publisher_new(const struct publisher_options *options) {
    struct publisher *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->options = *options;
    p->shards = calloc(options->shards, sizeof *p->shards);
    p->numbers = calloc(options->shards, sizeof *p->numbers);
    p->last_batch = &p->batches;
    p->retry_ms = RETRY_FIRST_MS;
    arena_init(&p->scratch, SCRATCH_MAX);
    arena_init(&p->row, SCRATCH_MAX);
    if (!p->shards || !p->numbers) {
        publisher_free(p);
        return NULL;
    }
    char hex[32];
    text_hex(hex, options->installation, 16);
    (void)snprintf(p->source, sizeof p->source, "/sluice/%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    return p;
}

void publisher_free(struct publisher *p) {
    if (!p) return;
    for (struct published_batch *b = p->batches, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    for (uint32_t i = 0; p->shards && i < p->options.shards; i++)
        if (p->shards[i].take) order_free(p->shards[i].take);
    arena_release(&p->scratch);
    arena_release(&p->row);
    free(p->numbers);
    free(p->shards);
    free(p);
}

static uint64_t now_ms(const struct publisher *p) { return p->options.clock->now_ms(p->options.clock); }

/* Tells the supervisor that the publisher goes on: before whatever may take long. */
static void turn(const struct publisher *p) {
    if (p->options.metrics) metrics_set(p->options.metrics, METRIC_PUBLISHER_TURN_MS, now_ms(p));
}

/* ---- reports ---- */

static void report(struct publisher *p, const struct report *report) {
    if (!handoff_report(p->options.handoff, report)) p->failed = true;
}

static void report_shard(struct publisher *p, enum report_kind kind, uint32_t shard, const char *reason) {
    const struct published_shard *s = &p->shards[shard];
    struct report said = {.kind = kind, .shard = shard, .epoch = s->epoch};
    memcpy(said.settled, s->settled, sizeof said.settled);
    if (reason) (void)snprintf(said.reason, sizeof said.reason, "%.500s", reason);
    report(p, &said);
}

/* Nothing more is published for it; `kind` says why. */
static void let_go(struct publisher *p, uint32_t shard, enum report_kind kind, const char *reason) {
    struct published_shard *s = &p->shards[shard];
    report_shard(p, kind, shard, reason);
    if (s->take) order_free(s->take);
    *s = (struct published_shard){0};
}

static void free_first_batch(struct publisher *p) {
    struct published_batch *first = p->batches;
    report(p, &(struct report){.kind = REPORT_FREED, .batch = first->batch});
    p->batches = first->next;
    if (!p->batches) p->last_batch = &p->batches;
    free(first);
}

/* Recovery comes next. What is in memory is dropped, the ledger has it. */
static void start_over(struct publisher *p) {
    p->broken = true;
    p->renews = false;
    p->tail_at = 0;
    while (p->batches) free_first_batch(p);
    for (uint32_t i = 0; i < p->options.shards; i++)
        if (p->shards[i].state == PUBLISH_READY) p->shards[i].state = PUBLISH_TAIL;
}

/* Any error, any unknown outcome. */
static void broken(struct publisher *p, const struct error *error) {
    struct report said = {.kind = REPORT_BROKEN};
    (void)snprintf(said.reason, sizeof said.reason, "%.500s", error->message);
    report(p, &said);
    start_over(p);
}

/* ---- orders ---- */

static void take_rows(struct publisher *p, struct batch *batch) {
    for (size_t i = 0; i < batch->shard_count; i++) {
        const struct shard_batch *from = &batch->shards[i];
        struct published_shard *s = &p->shards[from->shard];
        if (s->state != PUBLISH_NONE && s->epoch == from->epoch && from->sequence > s->known) s->known = from->sequence;
    }
    struct published_batch *kept = p->broken ? NULL : malloc(sizeof *kept);
    if (!kept) { /* recovery reads them from the ledger */
        if (!p->broken) broken(p, &(struct error){.message = "memory is exhausted"});
        report(p, &(struct report){.kind = REPORT_FREED, .batch = batch});
        return;
    }
    *kept = (struct published_batch){.batch = batch};
    *p->last_batch = kept;
    p->last_batch = &kept->next;
}

static void take_shard(struct publisher *p, struct order *order) {
    struct published_shard *s = &p->shards[order->shard];
    if (s->take) order_free(s->take);
    uint64_t sequence = order->row->sequence;
    *s = (struct published_shard){PUBLISH_FENCE, .epoch = order->row->epoch, .known = sequence, .tried = sequence, .take = order};
    memcpy(s->settled, order->row->settled, sizeof s->settled);
}

static void obey(struct publisher *p, struct order *order) {
    switch (order->kind) {
    case ORDER_TAKE:
        take_shard(p, order);
        return; /* keeps the order */
    case ORDER_ROWS:
        take_rows(p, order->batch);
        break;
    case ORDER_DRAIN:
        if (p->shards[order->shard].state == PUBLISH_NONE)
            let_go(p, order->shard, REPORT_FORGOTTEN, NULL);
        else
            p->shards[order->shard].draining = true;
        break;
    case ORDER_FORGET:
        let_go(p, order->shard, REPORT_FORGOTTEN, NULL);
        break;
    case ORDER_END:
        p->ended = true;
        break;
    }
    order_free(order);
}

/* ---- take: fence, confirm, tail ---- */

static int fence_shard(struct publisher *p, struct published_shard *s, struct error *error) {
    struct output *output = p->options.output;
    const struct shard_row *row = s->take->row;
    for (size_t i = 0; i < row->fence_id_count; i++) {
        struct slice id = row->fence_ids[i];
        if (!id.n) continue; /* fenced with another shard */
        bool own = slice_equal(id, output->operations->id(output, 0)) || slice_equal(id, output->operations->id(output, 1));
        if (own) continue;
        turn(p);
        if (output->operations->fence(output, id, error)) return -1;
        for (uint32_t n = 0; n < p->options.shards; n++) { /* once per id, not per shard */
            struct order *other = p->shards[n].state == PUBLISH_FENCE ? p->shards[n].take : NULL;
            for (size_t k = 0; other && k < other->row->fence_id_count; k++)
                if (slice_equal(other->row->fence_ids[k], id) && &other->row->fence_ids[k] != &row->fence_ids[i])
                    other->row->fence_ids[k].n = 0;
        }
        row->fence_ids[i].n = 0;
        fault_point("take-fence");
    }
    order_free(s->take);
    s->take = NULL;
    s->state = PUBLISH_TAIL;
    return 0;
}

static int fence(struct publisher *p, struct error *error) {
    for (uint32_t n = 0; n < p->options.shards; n++)
        if (p->shards[n].state == PUBLISH_FENCE && fence_shard(p, &p->shards[n], error)) return -1;
    return 0;
}

/* Those in PUBLISH_TAIL, as numbers. */
static size_t to_tail(struct publisher *p) {
    size_t count = 0;
    for (uint32_t n = 0; n < p->options.shards; n++)
        if (p->shards[n].state == PUBLISH_TAIL) p->numbers[count++] = n;
    return count;
}

/* Which of the shards are still this lane's; the others are let go. */
static int confirm(struct publisher *p, size_t count, struct store_epoch **ret_epochs, struct error *error) {
    struct store *store = p->options.store;
    struct store_epoch *epochs = ARENA_ARRAY(&p->scratch, struct store_epoch, count);
    if (!epochs) return error_memory(error);
    for (size_t i = 0; i < count; i++) epochs[i].shard = p->numbers[i];
    if (store->operations->epochs(store, epochs, count, error)) return -1;
    for (size_t i = 0; i < count; i++) {
        struct published_shard *s = &p->shards[epochs[i].shard];
        bool own = epochs[i].ret_epoch == s->epoch && memcmp(epochs[i].ret_owner, p->options.owner, STORE_OWNER) == 0;
        if (!own)
            let_go(p, epochs[i].shard, REPORT_LOST, NULL);
        else if (epochs[i].ret_sequence < s->known)
            let_go(p, epochs[i].shard, REPORT_LOST, NULL); /* commits were lost: the takeover finds out */
        else
            s->known = epochs[i].ret_sequence;
    }
    *ret_epochs = epochs;
    return 0;
}

/* The last committed result of a topic must be the ledger's row by sequence and hash. 1: it is not, and why. */
static int compare_tail(struct publisher *p, const struct output_tail *tail, int topic, char *ret_why, size_t room,
                        struct error *error) {
    struct store *store = p->options.store;
    struct ledger_row *rows;
    size_t count;
    uint64_t sequence = tail->ret_sequence[topic], known = p->shards[tail->shard].known;
    uint64_t settled = p->shards[tail->shard].settled[topic].sequence;
    const char *name = topic == OUTPUT_RESULTS ? "results" : "dead-letter";
    if (settled > known) { /* the results themselves may be deleted already */
        (void)snprintf(ret_why, room,
                       "row %llu of shard %u is settled on the %s topic, and the ledger ends at %llu: Postgres has lost commits",
                       (unsigned long long)settled, tail->shard, name, (unsigned long long)known);
        return 1;
    }
    if (!tail->ret_found[topic]) return 0;
    arena_reset(&p->row); /* all tails' rows together may be more than an arena holds */
    if (sequence && store->operations->ledger(store, &p->row, tail->shard, sequence - 1, sequence, 1, &rows, &count, error))
        return -1;
    if (!sequence || !count) {
        (void)snprintf(ret_why, room,
                       "the %s topic has row %llu of shard %u, which the ledger has not: Postgres has lost commits", name,
                       (unsigned long long)sequence, tail->shard);
        return 1;
    }
    if (digest_equal(&rows[0].hash, &tail->ret_hash[topic])) return 0;
    (void)snprintf(ret_why, room,
                   "row %llu of shard %u has another hash in the %s topic than in the ledger: Postgres or Kafka has lost commits",
                   (unsigned long long)sequence, tail->shard, name);
    return 1;
}

static int take_tail(struct publisher *p, const struct output_tail *tail, struct error *error) {
    struct published_shard *s = &p->shards[tail->shard];
    char why[sizeof(((struct report *)0)->reason)];
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++) {
        int result = compare_tail(p, tail, topic, why, sizeof why, error);
        if (result < 0) return -1;
        if (result) {
            let_go(p, tail->shard, REPORT_STOPPED, why);
            return 0;
        }
        uint64_t found = tail->ret_found[topic] ? tail->ret_sequence[topic] : 0;
        s->cursor[topic] = found > s->settled[topic].sequence ? found : s->settled[topic].sequence;
        s->settled[topic].sequence = s->cursor[topic]; /* its offset follows once the end is proved */
        s->end[topic] = tail->ret_end[topic];
        s->placed[topic] = false;
    }
    s->through = s->cursor[0] < s->cursor[1] ? s->cursor[0] : s->cursor[1];
    s->state = PUBLISH_READY;
    s->unstable_at = 0;
    fault_point("take-tail");
    report_shard(p, REPORT_READY, tail->shard, NULL);
    return 0;
}

/* Some transaction is open in the shard's partitions; the others do not wait for it. */
static void wait_for_tail(struct publisher *p, uint32_t shard) {
    struct published_shard *s = &p->shards[shard];
    uint64_t now = now_ms(p);
    p->tail_at = now + TAIL_AGAIN_MS;
    if (!s->unstable_at) s->unstable_at = now + UNSTABLE_MS;
    if (now < s->unstable_at) return;
    s->unstable_at = now + UNSTABLE_MS;
    report_shard(
        p, REPORT_UNSTABLE, shard,
        "a transaction that nobody ends is open in its partition of an output topic; find its producer, or abort it with "
        "Kafka's kafka-transactions tool");
}

static int tail(struct publisher *p, struct error *error) {
    struct output *output = p->options.output;
    struct store_epoch *epochs;
    size_t count = now_ms(p) < p->tail_at ? 0 : to_tail(p);
    if (!count) return 0;
    arena_reset(&p->scratch);
    if (confirm(p, count, &epochs, error)) return -1;
    count = to_tail(p);
    struct output_tail *tails = ARENA_ARRAY(&p->scratch, struct output_tail, count);
    if (!tails) return error_memory(error);
    for (size_t i = 0; i < count; i++) {
        tails[i].shard = p->numbers[i];
        for (int topic = 0; topic < OUTPUT_TOPICS; topic++)
            tails[i].floor[topic] = p->shards[p->numbers[i]].settled[topic].offset;
    }
    turn(p);
    if (count && output->operations->tails(output, tails, count, error)) return -1;
    for (size_t i = 0; i < count; i++) {
        if (!tails[i].ret_stable)
            wait_for_tail(p, tails[i].shard);
        else if (take_tail(p, &tails[i], error))
            return -1;
    }
    return 0;
}

/* ---- publish ---- */

/* A row that is published nowhere, or was before, need not even be readable. */
static bool is_unpublished(const struct published_shard *s, const struct ledger_row *row) {
    enum output_topic topic;
    return result_topic(row->kind, &topic) && row->sequence > s->cursor[topic];
}

/* Was the tail told by a broker that no longer leads? The leader's offset of the first record behind it says so; the transaction
 * is left then. A late copy of an EndTxn before would commit it, so where the row may be out already it has to be the first of
 * its epoch. False: it is not, p->renews. */
static bool place(struct publisher *p, uint64_t sequence, struct output_record *record) {
    struct published_shard *s = &p->shards[record->shard];
    record->placed = !s->placed[record->topic];
    record->at = s->end[record->topic];
    s->placed[record->topic] = true;
    p->renews = record->placed && sequence <= s->tried && p->used[p->which];
    if (sequence > s->tried) s->tried = sequence;
    return !p->renews;
}

static int produce(struct publisher *p, const struct answer *answer, size_t *count, struct error *error) {
    struct output *output = p->options.output;
    struct output_record record;
    struct published_shard *s = &p->shards[answer->row.shard];
    s->next = answer->row.sequence;
    if (!is_unpublished(s, &answer->row)) return 0;
    if (result_record(&p->row, answer, slice_str(p->source), &record))
        return error_set(error, ERROR_INTERNAL, "unpublishable",
                         "row %llu of shard %u cannot be made into a record: memory is exhausted or the row is damaged",
                         (unsigned long long)answer->row.sequence, answer->row.shard);
    if (!place(p, answer->row.sequence, &record)) return -1;
    if (!*count && output->operations->begin(output, p->which, error)) return -1;
    if (output->operations->produce(output, p->which, &record, error)) return -1;
    ++*count;
    fault_point("during-publish");
    return 0;
}

/* The first row of the shard that is in memory, or the one behind the last known. */
static uint64_t first_in_memory(const struct publisher *p, uint32_t shard) {
    const struct published_shard *s = &p->shards[shard];
    for (const struct published_batch *b = p->batches; b; b = b->next)
        for (size_t i = 0; i < b->batch->shard_count; i++) {
            const struct shard_batch *in = &b->batch->shards[i];
            if (in->shard == shard && in->epoch == s->epoch && in->sequence > in->first_sequence) return in->first_sequence + 1;
        }
    return s->known + 1;
}

/* Rows that only the ledger has: left behind by an earlier owner, or dropped by recovery. */
static int produce_from_ledger(struct publisher *p, uint32_t shard, uint64_t end, size_t *count, struct error *error) {
    struct store *store = p->options.store;
    struct ledger_row *rows;
    size_t row_count;
    const struct published_shard *s = &p->shards[shard];
    arena_reset(&p->scratch);
    turn(p);
    if (store->operations->ledger(store, &p->scratch, shard, s->through, end, LEDGER_PAGE, &rows, &row_count, error)) return -1;
    if (!row_count)
        return error_set(error, ERROR_INTERNAL, "ledger-gap",
                         "the ledger of shard %u has no row behind %llu, which it should have", shard,
                         (unsigned long long)s->through);
    for (size_t i = 0; i < row_count; i++) {
        struct answer answer = {.row = rows[i]};
        arena_reset(&p->row);
        if (is_unpublished(s, &rows[i]) && result_recall(&p->row, &rows[i], &answer))
            return error_set(error, ERROR_INTERNAL, "unpublishable",
                             "row %llu of shard %u is not of a form that can be published", (unsigned long long)rows[i].sequence,
                             shard);
        if (produce(p, &answer, count, error)) return -1;
    }
    return 0;
}

/* *ret_lagging: some shard has rows that only the ledger has; then nothing is taken from memory. */
static int produce_lagging(struct publisher *p, size_t *count, bool *ret_lagging, struct error *error) {
    bool lagging = false;
    for (uint32_t n = 0; n < p->options.shards; n++) {
        struct published_shard *s = &p->shards[n];
        if (s->state != PUBLISH_READY || s->through >= s->known) continue;
        uint64_t first = first_in_memory(p, n);
        if (first <= s->through + 1) continue;
        lagging = true;
        if (*count < TRANSACTION_ROWS && produce_from_ledger(p, n, first - 1, count, error)) return -1;
    }
    *ret_lagging = lagging;
    return 0;
}

/* A batch of an epoch that is over may have rows that Postgres has lost since; those that it has are read from the ledger. */
static void mark_current(struct publisher *p, const struct batch *batch) {
    for (size_t i = 0; i < batch->shard_count; i++) {
        struct published_shard *s = &p->shards[batch->shards[i].shard];
        s->current = s->state == PUBLISH_READY && s->epoch == batch->shards[i].epoch;
    }
}

static int produce_batches(struct publisher *p, size_t *count, size_t *ret_batches, struct error *error) {
    size_t taken = 0, batches = 0;
    for (const struct published_batch *b = p->batches; b && (!taken || taken + b->batch->answer_count <= TRANSACTION_ROWS);
         b = b->next) {
        mark_current(p, b->batch);
        for (size_t i = 0; i < b->batch->answer_count; i++) {
            const struct answer *answer = &b->batch->answers[i];
            const struct published_shard *s = &p->shards[answer->row.shard];
            if (!s->current || answer->row.sequence != s->next + 1 || answer->row.sequence > s->known) continue;
            arena_reset(&p->row);
            if (produce(p, answer, count, error)) return -1;
        }
        taken += b->batch->answer_count;
        batches++;
    }
    *ret_batches = batches;
    return 0;
}

/* The transaction's commit has returned: cursors forward, the other producer's turn. */
static void advance(struct publisher *p, size_t count) {
    if (count) p->used[p->which] = true, p->which = (p->which + 1) % OUTPUT_PRODUCERS;
    for (uint32_t n = 0; n < p->options.shards; n++) {
        struct published_shard *s = &p->shards[n];
        if (s->state != PUBLISH_READY || s->next <= s->through) continue;
        s->through = s->next;
        for (int topic = 0; topic < OUTPUT_TOPICS; topic++) {
            if (s->cursor[topic] < s->through) s->cursor[topic] = s->through;
            s->settled[topic].sequence = s->cursor[topic];
            if (s->placed[topic]) s->settled[topic].offset = s->end[topic];
        }
        struct report said = {.kind = REPORT_PUBLISHED, .shard = n, .epoch = s->epoch, .count = count};
        memcpy(said.settled, s->settled, sizeof said.settled);
        report(p, &said);
        count = 0;
    }
}

static bool has_unpublished(const struct publisher *p) {
    for (uint32_t n = 0; n < p->options.shards; n++)
        if (p->shards[n].state == PUBLISH_READY && p->shards[n].through < p->shards[n].known) return true;
    return false;
}

/* One transaction with everything between cursor and last known commit, as far as it fits. */
static int publish(struct publisher *p, struct error *error) {
    struct output *output = p->options.output;
    size_t count = 0, batches = 0;
    bool lagging;
    arena_reset(&p->scratch);
    for (uint32_t n = 0; n < p->options.shards; n++) p->shards[n].next = p->shards[n].through;
    if (produce_lagging(p, &count, &lagging, error)) return -1;
    if (!lagging && produce_batches(p, &count, &batches, error)) return -1;
    if (count) {
        fault_point("before-end-transaction");
        turn(p);
        if (output->operations->commit(output, p->which, error)) return -1;
        fault_point("after-end-transaction");
    }
    advance(p, count);
    for (; batches; batches--) free_first_batch(p);
    return 0;
}

/* ---- recover ---- */

/* Both producers with the same ids, then all shards in the store, then tails (which confirm first). */
static int recover(struct publisher *p, struct error *error) {
    struct output *output = p->options.output;
    for (int which = 0; which < OUTPUT_PRODUCERS; which++) {
        turn(p);
        if (output->operations->init(output, which, error)) return -1;
        p->used[which] = false;
    }
    p->broken = false;
    return 0;
}

int publisher_start(struct publisher *p, struct error *error) {
    if (recover(p, error)) return -1;
    fault_point("take-init");
    return 0;
}

static void drain(struct publisher *p) {
    for (uint32_t n = 0; n < p->options.shards; n++) {
        const struct published_shard *s = &p->shards[n];
        if (s->draining && s->state == PUBLISH_READY && s->through >= s->known) let_go(p, n, REPORT_DRAINED, NULL);
    }
}

static int work(struct publisher *p, struct error *error) {
    if (p->broken && recover(p, error)) return -1;
    if (fence(p, error) || tail(p, error)) return -1;
    if (has_unpublished(p)) {
        if (!publish(p, error)) return 0;
        if (!p->renews) return -1;
        start_over(p);
        return recover(p, error) || tail(p, error) ? -1 : 0;
    }
    while (p->batches) free_first_batch(p); /* published from the ledger, or of shards that were let go */
    return 0;
}

static void take_orders(struct publisher *p, int wait_ms) {
    for (struct order *order = handoff_orders(p->options.handoff, wait_ms), *next; order; order = next) {
        next = order->next;
        obey(p, order);
    }
}

/* Orders are obeyed while it waits to try again: the pipeline may want a shard forgotten meanwhile. */
static void work_or_wait(struct publisher *p) {
    struct error error = {0};
    if (now_ms(p) < p->retry_at) return;
    if (!work(p, &error)) {
        p->retry_ms = RETRY_FIRST_MS;
        drain(p);
        return;
    }
    broken(p, &error);
    p->retry_at = now_ms(p) + (uint64_t)p->retry_ms;
    p->retry_ms = p->retry_ms * 2 < RETRY_LAST_MS ? p->retry_ms * 2 : RETRY_LAST_MS;
}

bool publisher_step(struct publisher *p, int wait_ms) {
    uint64_t now = now_ms(p);
    turn(p);
    bool busy = !p->broken && has_unpublished(p);
    if (now < p->retry_at && p->retry_at - now < (uint64_t)wait_ms) wait_ms = (int)(p->retry_at - now);
    take_orders(p, busy ? 0 : wait_ms);
    if (p->ended) return false;
    work_or_wait(p);
    if (!p->failed) return !p->ended;
    (void)handoff_report(p->options.handoff, &(struct report){.kind = REPORT_FAILED, .reason = "memory is exhausted"});
    return false;
}
