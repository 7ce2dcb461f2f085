/* The output's port over the simulated brokers, as librdkafka uses them: what is produced waits in a local queue and is sent now
 * or at the commit; a commit whose answer does not come is given up after a while, its request may still be on the way. */
#include "broker.h"
#include "check.h"
#include "ports.h"

#include <string.h>

enum {
    AWAY_WAIT = 400 * MS,
    ASK_AGAIN = 3 * MS,
    INIT_LONGEST = 15 * SECOND,
    STABLE_WAIT = 300 * MS,
    LEADER_AGAIN = 100 * MS,
    SEND_LONGEST = 10 * SECOND, /* a record that is not delivered by then fails */
    OFFSETS_LONGEST = 2 * SECOND
};

static struct sim_lane *lane_of(struct output *output) { return LANE_OF(output, output); }

static int unavailable(struct error *error) {
    return error_set(error, ERROR_UNAVAILABLE, "kafka-unreachable", "the brokers do not answer");
}

/* 0: to be done. */
static int begin(struct sim_lane *lane, enum op op, struct armed **ret_fault, struct error *error) {
    struct armed *fault = *ret_fault = op_begin(lane, op);
    for (int i = 0; broker_is_away(); i++) {
        if (i == 20) return unavailable(error);
        fleet_sleep(AWAY_WAIT);
    }
    if (!fault || (fault->kind != ARMED_REFUSE && fault->kind != ARMED_LOSE)) return 0;
    armed_took(fault);
    return unavailable(error);
}

static struct slice sim_id(struct output *output, int which) { return slice_str(lane_of(output)->ids[which]); }

/* Until nothing of the id's last transaction is left. */
static int init(struct sim_lane *lane, enum op op, struct slice name, unsigned *ret_epoch, int *ret_id, struct error *error) {
    struct armed *fault;
    micros deadline = world.now + INIT_LONGEST;
    if (begin(lane, op, &fault, error)) return -1;
    int id = broker_id(name);
    while (broker_init(id, ret_epoch) != BROKER_OK) {
        if (world.now > deadline) return unavailable(error);
        fleet_sleep(ASK_AGAIN);
    }
    trace("lane%u %s %.*s: epoch %u", lane->number, op_text(op), SLICE_ARG(name), *ret_epoch);
    op_end(lane, op, fault);
    if (armed_fails(fault)) return unavailable(error);
    *ret_id = id;
    return 0;
}

static int sim_init(struct output *output, int which, struct error *error) {
    struct sim_lane *lane = lane_of(output);
    struct sim_producer *producer = &lane->producers[which];
    *producer = (struct sim_producer){0};
    if (init(lane, OP_INIT, sim_id(output, which), &producer->epoch, &producer->id, error)) return -1;
    producer->ready = true;
    return 0;
}

static int sim_fence(struct output *output, struct slice id, struct error *error) {
    unsigned epoch;
    int number;
    return init(lane_of(output), OP_FENCE, id, &epoch, &number, error);
}

static int sim_begin(struct output *output, int which, struct error *error) {
    struct armed *fault;
    struct sim_lane *lane = lane_of(output);
    struct sim_producer *producer = &lane->producers[which];
    if (begin(lane, OP_BEGIN, &fault, error)) return -1;
    if (!producer->ready || producer->in_transaction)
        return error_set(error, ERROR_INTERNAL, "kafka-error", "producer %d cannot begin a transaction", which);
    producer->in_transaction = true;
    producer->misplaced = false;
    memset(producer->added, 0, sizeof producer->added);
    op_end(lane, OP_BEGIN, fault);
    return 0;
}

/* ---- sending ---- */

static struct slice header(const struct output_record *record, const char *name) {
    struct slice value = {0};
    for (size_t i = 0; i < record->header_count; i++)
        if (slice_is(record->headers[i].name, name)) value = record->headers[i].value;
    return value;
}

static struct sim_record *copy_record(const struct output_record *record) {
    struct sim_record *copy = KEEP_NEW(struct sim_record);
    struct digest parts[2 + 32];
    size_t count = 0;
    parts[count++] = digest_of(record->key);
    parts[count++] = digest_of(record->value);
    for (size_t i = 0; i < record->header_count && count < 34; i++)
        parts[count++] = digest_sha256((struct slice[]){record->headers[i].name, slice_of("", 1), record->headers[i].value}, 3);
    *copy = (struct sim_record){.topic = record->topic,
                                .shard = record->shard,
                                .placed = record->placed,
                                .at = record->at,
                                .bytes = digest_of(slice_of(parts, count * sizeof *parts)),
                                .key = keep_slice(record->key),
                                .value = keep_slice(record->value),
                                .id = keep_slice(header(record, "ce_id")),
                                .type = keep_slice(header(record, "ce_type")),
                                .source = keep_slice(header(record, "ce_source"))};
    (void)text_parse_number(header(record, "ce_ledgersequence"), UINT64_MAX / 2, &copy->sequence);
    (void)digest_parse(header(record, "ce_ledgerhash"), &copy->hash);
    return copy;
}

static int fail(enum broker_answer answer, struct error *error) {
    if (answer == BROKER_FENCED)
        return error_set(error, ERROR_FENCED, "kafka-fenced", "the producer was fenced; another lane has taken over");
    return error_set(error, ERROR_INTERNAL, "kafka-error", "the brokers find the transaction in another state");
}

/* The partitions of all that is queued are added to the transaction before any of it is sent. */
static int add_partitions(struct sim_producer *producer, struct error *error) {
    for (const struct sim_record *record = producer->queue; record; record = record->next) {
        bool *added = &producer->added[record->topic][record->shard];
        while (!*added) {
            enum broker_answer answer = broker_add_partition(producer->id, producer->epoch, record->topic, record->shard);
            if (answer == BROKER_OK)
                *added = true;
            else if (answer != BROKER_AGAIN)
                return fail(answer, error);
            fleet_sleep(random_between(&world.broker, 50, ASK_AGAIN));
        }
    }
    return 0;
}

static int send_one(struct sim_producer *producer, const struct sim_record *record, struct error *error) {
    enum broker_answer answer = BROKER_OK;
    while ((answer = broker_produce(producer->id, producer->epoch, record)) == BROKER_AGAIN) fleet_sleep(ASK_AGAIN);
    if (answer == BROKER_OK && record->placed)
        producer->misplaced |= record->at != (int64_t)out_logs[record->topic][record->shard].count - 1;
    return answer == BROKER_OK ? 0 : fail(answer, error);
}

/* Each partition has its own requests: only within one is the order that of producing. NULL: none of them has a leader now. */
static struct sim_record **next_to_send(struct sim_producer *producer) {
    struct sim_record **firsts[OUTPUT_TOPICS * SHARDS_MAX] = {0};
    size_t count = 0;
    for (struct sim_record **at = &producer->queue; *at; at = &(*at)->next) {
        bool is_first = true;
        for (size_t i = 0; i < count; i++) is_first &= (*firsts[i])->topic != (*at)->topic || (*firsts[i])->shard != (*at)->shard;
        if (is_first) firsts[count++] = at;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (broker_is_away() || broker_has_leader((*firsts[i])->topic, (*firsts[i])->shard)) firsts[kept++] = firsts[i];
    return kept ? firsts[random_below(&world.broker, kept)] : NULL;
}

static int send_some(struct sim_lane *lane, struct sim_producer *producer, bool all, struct error *error) {
    micros deadline = world.now + SEND_LONGEST;
    if (add_partitions(producer, error)) return -1;
    while (producer->queue && (all || random_chance(&world.broker, 70))) {
        struct armed *fault;
        struct sim_record **at = next_to_send(producer), *record = at ? *at : NULL;
        if (!at) { /* what is left waits for a leader */
            if (!all) return 0;
            if (world.now > deadline) return unavailable(error);
            fleet_sleep(LEADER_AGAIN);
            continue;
        }
        if (begin(lane, OP_SEND, &fault, error)) return -1;
        if (send_one(producer, record, error)) return -1;
        *at = record->next;
        op_end(lane, OP_SEND, fault);
    }
    return 0;
}

static int sim_produce(struct output *output, int which, const struct output_record *record, struct error *error) {
    struct armed *fault;
    struct sim_lane *lane = lane_of(output);
    struct sim_producer *producer = &lane->producers[which];
    struct sim_record *copy = copy_record(record);
    check_produced(lane->number, copy);
    if (begin(lane, OP_PRODUCE, &fault, error)) return -1;
    if (!producer->in_transaction) return error_set(error, ERROR_INTERNAL, "kafka-error", "no transaction was begun");
    struct sim_record **last = &producer->queue;
    while (*last) last = &(*last)->next;
    *last = copy;
    op_end(lane, OP_PRODUCE, fault);
    /* What goes wrong with it in the background is told at the commit. */
    return random_chance(&world.broker, 40) ? send_some(lane, producer, false, error) : 0;
}

/* ---- the end of a transaction ---- */

static int unknown(struct error *error) {
    return error_set(error, ERROR_UNKNOWN, "kafka-timeout", "nobody knows whether the transaction was committed");
}

static int end_transaction(struct sim_lane *lane, struct sim_producer *producer, struct error *error) {
    enum broker_answer answer;
    struct armed *fault = op_begin(lane, OP_END_TXN);
    enum armed_kind kind = fault ? fault->kind : ARMED_STALL_AFTER;
    if (broker_is_away()) {
        fleet_sleep(AWAY_WAIT);
        if (random_chance(&world.broker, 50))
            broker_end_later(producer->id, producer->epoch, random_between(&world.broker, MS, SECOND));
        return unknown(error);
    }
    if (kind >= ARMED_REFUSE && kind <= ARMED_TWICE) armed_took(fault);
    if (kind == ARMED_REFUSE || kind == ARMED_LOSE) return unknown(error);
    if (kind == ARMED_LATER || kind == ARMED_TWICE) broker_end_later(producer->id, producer->epoch, fault->time);
    if (kind == ARMED_LATER) {
        fleet_sleep(random_between(&world.broker, 0, 300 * MS));
        return unknown(error);
    }
    while ((answer = broker_end(producer->id, producer->epoch)) == BROKER_AGAIN) fleet_sleep(ASK_AGAIN);
    op_end(lane, OP_END_TXN, fault);
    if (kind == ARMED_DONE_UNKNOWN) return unknown(error);
    if (answer == BROKER_OK) return 0;
    (void)fail(answer, error);
    if (error->kind != ERROR_FENCED) error->kind = ERROR_UNKNOWN;
    return -1;
}

static int sim_commit(struct output *output, int which, struct error *error) {
    struct sim_lane *lane = lane_of(output);
    struct sim_producer *producer = &lane->producers[which];
    if (send_some(lane, producer, true, error)) {
        if (error->kind != ERROR_FENCED) error->kind = ERROR_UNKNOWN;
        return -1;
    }
    if (producer->misplaced)
        return error_set(error, ERROR_UNKNOWN, "kafka-stale-leader",
                         "the end of a log was told by a broker that no longer leads");
    if (end_transaction(lane, producer, error)) return -1;
    producer->in_transaction = false;
    producer->has_committed = true;
    for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++)
        for (uint32_t shard = 0; shard < world.shard_count; shard++)
            if (producer->added[topic][shard]) lane->misled[topic][shard] = false;
    trace("lane%u has committed a transaction of %s", lane->number, lane->ids[which]);
    return 0;
}

/* ---- tails ---- */

static void find_tail(struct output_tail *tail, enum output_topic topic, size_t end) {
    const struct out_log *log = &out_logs[topic][tail->shard];
    int64_t floor = tail->floor[topic] > (int64_t)end ? -1 : tail->floor[topic];
    size_t low = floor > (int64_t)log->start ? (size_t)floor : log->start;
    tail->ret_found[topic] = false;
    tail->ret_end[topic] = (int64_t)end;
    for (size_t at = end; at-- > low;) {
        if (log->entries[at].state != ENTRY_COMMITTED) continue;
        tail->ret_found[topic] = true;
        tail->ret_sequence[topic] = log->entries[at].record->sequence;
        tail->ret_hash[topic] = log->entries[at].record->hash;
        return;
    }
}

/* The end of one partition's log, by the broker that is asked. */
struct end {
    bool of_former;
    size_t stable, high;
};

static void ask_end(struct end *end, enum output_topic topic, uint32_t shard) {
    end->of_former = broker_asks_former(topic, shard, &end->stable, &end->high);
    if (!end->of_former) end->high = out_logs[topic][shard].count;
}

static bool is_stable(struct end ends[OUTPUT_TOPICS], uint32_t shard) {
    bool stable = true;
    for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++) {
        if (!ends[topic].of_former) ends[topic].stable = broker_stable(topic, shard);
        stable &= ends[topic].stable >= ends[topic].high;
    }
    return stable;
}

/* All are asked at once, and one that has no leader fails the question. */
static bool wait_for_leaders(const struct output_tail *tails, size_t count) {
    for (micros deadline = world.now + OFFSETS_LONGEST;; fleet_sleep(LEADER_AGAIN)) {
        bool all = true;
        for (size_t i = 0; i < count; i++)
            for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++)
                all &= broker_has_leader(topic, tails[i].shard);
        if (all || world.now > deadline) return all;
    }
}

/* The worst moment for a copy of the last EndTxn is the next transaction, which should not be committed. */
static void let_ends_be_late(const struct sim_lane *lane) {
    for (int which = 0; which < OUTPUT_PRODUCERS; which++) {
        const struct sim_producer *producer = &lane->producers[which];
        if (producer->has_committed) broker_end_during_next(producer->id, producer->epoch);
    }
}

/* The results themselves are asked for anew, and who answers may not have those before the end. */
static bool is_cut_short(enum output_topic topic, uint32_t shard, size_t end) {
    size_t stable, high;
    return broker_asks_former(topic, shard, &stable, &high) && stable < end;
}

static int sim_tails(struct output *output, struct output_tail *tails, size_t count, struct error *error) {
    struct armed *fault;
    struct sim_lane *lane = lane_of(output);
    struct end ends[SHARDS_MAX][OUTPUT_TOPICS];
    if (begin(lane, OP_TAILS, &fault, error)) return -1;
    if (armed_fails(fault)) return unavailable(error);
    if (!wait_for_leaders(tails, count)) return unavailable(error);
    for (size_t i = 0; i < count; i++)
        for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++)
            ask_end(&ends[i][topic], topic, tails[i].shard);
    fleet_sleep(random_between(&world.broker, 50, 3 * MS));
    for (micros waited = 0; waited < STABLE_WAIT; waited += 10 * MS) {
        bool all = true;
        for (size_t i = 0; i < count; i++) all &= is_stable(ends[i], tails[i].shard);
        if (all) break;
        fleet_sleep(10 * MS);
    }
    if (!wait_for_leaders(tails, count)) return unavailable(error);
    for (size_t i = 0; i < count; i++)
        for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++)
            if (is_cut_short(topic, tails[i].shard, ends[i][topic].stable)) return unavailable(error);
    for (size_t i = 0; i < count; i++) {
        tails[i].ret_stable = is_stable(ends[i], tails[i].shard);
        bool misled = false;
        for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++) {
            size_t stable = ends[i][topic].stable;
            if (!tails[i].ret_stable) continue;
            misled |= lane->misled[topic][tails[i].shard] = stable < broker_stable(topic, tails[i].shard);
        }
        if (misled) let_ends_be_late(lane);
        for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++) {
            find_tail(&tails[i], topic, ends[i][topic].stable);
            trace("lane%u reads the tail of topic %d of shard%u%s: %llu", lane->number, topic, tails[i].shard,
                  ends[i][topic].of_former ? " from one that no longer leads" : "",
                  tails[i].ret_found[topic] ? (unsigned long long)tails[i].ret_sequence[topic] : 0);
        }
    }
    op_end(lane, OP_TAILS, fault);
    return 0;
}

static void sim_free(struct output *output) { (void)output; }

const struct output_operations sim_output_operations = {.id = sim_id,
                                                        .init = sim_init,
                                                        .fence = sim_fence,
                                                        .begin = sim_begin,
                                                        .produce = sim_produce,
                                                        .commit = sim_commit,
                                                        .tails = sim_tails,
                                                        .free = sim_free};
