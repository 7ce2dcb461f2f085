/* Kafka, as in its TransactionCoordinator and with clients that speak transaction version 1, which every librdkafka does.
 *
 * EndTxn is answered before markers are written. InitProducerId waits through them. A new epoch makes requests of an older one
 * void, so epochs need not be counted. A partition verifies a producer's first record with the coordinator (KIP-890 part 1). */
#include "world.h"

static struct record *log_of(struct world *world, unsigned shard, unsigned topic) { return world->partitions[shard][topic].log; }

enum init brokers_init(struct world *world, unsigned id, bool own) {
    struct transaction *t = &world->transactions[id];
    if (t->state == TX_PREPARE_COMMIT || t->state == TX_PREPARE_ABORT) return INIT_BLOCKED;
    t->end_late = 0;
    if (t->state == TX_ONGOING) {
        t->state = TX_PREPARE_ABORT;
        t->valid = 0;
        return INIT_BEGUN;
    }
    t->state = TX_EMPTY;
    t->valid = own;
    return INIT_DONE;
}

bool brokers_has_open(const struct world *world, unsigned shard, unsigned topic) {
    const struct record *log = world->partitions[shard][topic].log;
    for (size_t i = 0; i < LOG_ROOM && log[i].row; i++)
        if (log[i].open) return true;
    return false;
}

unsigned brokers_tail(const struct world *world, unsigned shard, unsigned topic) {
    const struct record *log = world->partitions[shard][topic].log;
    unsigned last = 0;
    for (size_t i = 0; i < LOG_ROOM && log[i].row && !log[i].open; i++) last = log[i].row;
    return last;
}

static bool is_open_by(const struct record *log, unsigned id) {
    for (size_t i = 0; i < LOG_ROOM && log[i].row; i++)
        if (log[i].open == id + 1) return true;
    return false;
}

static void append(struct model *model, struct record *log, unsigned id, unsigned row) {
    size_t length = 0;
    while (length < LOG_ROOM && log[length].row) length++;
    if (length == LOG_ROOM)
        model->log_overflow = true;
    else
        log[length] = (struct record){.row = (uint8_t)row, .open = (uint8_t)(id + 1)};
}

/* A partition that has an open transaction of the producer takes its records, whatever the coordinator knows by now. */
enum produce brokers_produce(struct model *model, struct world *world, unsigned id, unsigned shard, unsigned topic,
                             unsigned row) {
    const struct transaction *t = &world->transactions[id];
    struct record *log = log_of(world, shard, topic);
    bool verified = is_open_by(log, id) || (model->deviation[NO_VERIFICATION] && t->valid);
    if (!verified) {
        if (!t->valid) return PRODUCE_REFUSED;
        if (t->state == TX_PREPARE_COMMIT || t->state == TX_PREPARE_ABORT) return PRODUCE_BLOCKED;
        if (t->state != TX_ONGOING || !(t->partitions >> world_partition(shard, topic) & 1)) return PRODUCE_REFUSED;
    }
    append(model, log, id, row);
    return PRODUCE_DONE;
}

/* ---- what the brokers do by themselves ---- */

static void write_marker(struct record *log, unsigned id, bool commit) {
    size_t kept = 0;
    for (size_t i = 0; i < LOG_ROOM; i++) {
        struct record record = log[i];
        if (record.open == id + 1 && !commit) continue;
        if (record.open == id + 1) record.open = 0;
        log[kept++] = record;
    }
    while (kept < LOG_ROOM) log[kept++] = (struct record){0};
}

static void marker(struct model *model, const struct world *now, unsigned id) {
    const struct transaction *t = &now->transactions[id];
    bool commit = t->state == TX_PREPARE_COMMIT;
    if (!commit && t->state != TX_PREPARE_ABORT) return;
    for (unsigned shard = 0; shard < model->shards; shard++)
        for (unsigned topic = 0; topic < model->topics; topic++) {
            unsigned bit = 1u << world_partition(shard, topic);
            if (!(t->partitions & bit)) continue;
            struct world next = *now;
            struct transaction *after = &next.transactions[id];
            write_marker(log_of(&next, shard, topic), id, commit);
            after->partitions = (uint8_t)(after->partitions & ~bit);
            if (!after->partitions) after->state = commit ? TX_COMMITTED : TX_ABORTED;
            offer(model, &next, FAULT_NONE, "Kafka: the %s marker of %c%c reaches shard %u, topic %u",
                  commit ? "COMMIT" : "ABORT", lane_name(id / PRODUCERS), producer_name(id), shard, topic);
        }
}

static void late_end(struct model *model, const struct world *now, unsigned id) {
    if (!now->transactions[id].end_late) return;
    struct world next = *now;
    bool ongoing = now->transactions[id].state == TX_ONGOING;
    next.transactions[id].end_late = 0;
    if (ongoing) next.transactions[id].state = TX_PREPARE_COMMIT;
    offer(model, &next, FAULT_NONE, "Kafka: a late EndTxn(commit) of %c%c arrives%s", lane_name(id / PRODUCERS),
          producer_name(id), ongoing ? ": its transaction commits" : ", without effect");
}

static void timeout(struct model *model, const struct world *now, unsigned id) {
    if (!model->fault[FAULT_TIMEOUT] || now->transactions[id].state != TX_ONGOING) return;
    struct world next = *now;
    struct transaction *t = &next.transactions[id];
    t->state = TX_PREPARE_ABORT;
    t->valid = t->end_late = 0;
    offer(model, &next, FAULT_TIMEOUT, "Kafka: the transaction of %c%c has taken too long and is aborted",
          lane_name(id / PRODUCERS), producer_name(id));
}

/* Only what is settled may go: retention is longer than settled is late. */
static void retention(struct model *model, const struct world *now, unsigned shard, unsigned topic) {
    const struct record *log = now->partitions[shard][topic].log;
    if (!model->fault[FAULT_RETENTION] || !log[0].row || brokers_has_open(now, shard, topic)) return;
    unsigned last = brokers_tail(now, shard, topic);
    if (now->rows[shard].settled[topic] < last && !model->deviation[EARLY_RETENTION]) return;
    struct world next = *now;
    next.partitions[shard][topic] = (struct partition){.gone = (uint8_t)last};
    offer(model, &next, FAULT_RETENTION, "Kafka: retention empties shard %u, topic %u", shard, topic);
}

void brokers_steps(struct model *model, const struct world *now) {
    for (unsigned id = 0; id < model->lanes * PRODUCERS; id++) {
        marker(model, now, id);
        late_end(model, now, id);
        timeout(model, now, id);
    }
    for (unsigned shard = 0; shard < model->shards; shard++)
        for (unsigned topic = 0; topic < model->topics; topic++) retention(model, now, shard, topic);
}
