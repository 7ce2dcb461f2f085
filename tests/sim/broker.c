#include "broker.h"

#include "check.h"
#include "plan.h"
#include "store_sim.h"

#include <string.h>

enum { TRANSACTION_TIMEOUT = 10 * SECOND, MARKER_AGAIN = 100 * MS };

enum id_state { ID_EMPTY, ID_ONGOING, ID_PREPARE_COMMIT, ID_PREPARE_ABORT, ID_COMPLETE_COMMIT, ID_COMPLETE_ABORT };

struct transactional {
    struct slice name;
    enum id_state state;
    unsigned epoch, transaction; /* the number of the transaction, for its time-out */
    bool in[OUTPUT_TOPICS][SHARDS_MAX];
    unsigned markers; /* still to be written */
    bool late_end;    /* a request to commit is on its way, and waits for the next transaction */
    unsigned late_epoch;
};

struct out_log out_logs[OUTPUT_TOPICS][SHARDS_MAX];

static struct transactional *ids;
static size_t id_count, id_room;
static micros away_until, leaderless_until[OUTPUT_TOPICS][SHARDS_MAX];
static micros away_counted, leaderless_counted[OUTPUT_TOPICS][SHARDS_MAX]; /* plan_met */

/* The broker that led a partition before, and for a while does not know that it no longer does. */
static struct former {
    micros until, counted;
    size_t stable, high; /* of its log, which nobody writes to any more */
} formers[OUTPUT_TOPICS][SHARDS_MAX];

void broker_begin(void) {
    away_counted = 0;
    memset(leaderless_counted, 0, sizeof leaderless_counted);
    memset(formers, 0, sizeof formers);
    memset(out_logs, 0, sizeof out_logs);
    ids = NULL;
    id_count = id_room = 0;
    broker_heal();
}

int broker_id(struct slice name) {
    for (size_t i = 0; i < id_count; i++)
        if (slice_equal(ids[i].name, name)) return (int)i;
    struct transactional *id = KEEP_ADD(ids, id_count, id_room);
    *id = (struct transactional){.name = keep_slice(name)};
    return (int)id_count - 1;
}

/* ---- what a read_committed consumer sees ---- */

size_t broker_stable(enum output_topic topic, uint32_t shard) {
    const struct out_log *log = &out_logs[topic][shard];
    size_t at = log->visible;
    while (at < log->count && log->entries[at].state != ENTRY_OPEN) at++;
    return at;
}

static void show(enum output_topic topic, uint32_t shard) {
    struct out_log *log = &out_logs[topic][shard];
    size_t stable = broker_stable(topic, shard);
    for (; log->visible < stable; log->visible++)
        if (log->entries[log->visible].state == ENTRY_COMMITTED) check_visible(topic, log->entries[log->visible].record);
}

/* ---- markers ---- */

struct marker {
    int id;
    enum output_topic topic;
    uint32_t shard;
    bool commit;
};

static void write_marker(void *argument) {
    struct marker *marker = argument;
    struct transactional *id = &ids[marker->id];
    struct out_log *log = &out_logs[marker->topic][marker->shard];
    if (leaderless_until[marker->topic][marker->shard] > world.now) { /* the coordinator tries until there is one */
        world_at(world.now + MARKER_AGAIN, write_marker, marker);
        return;
    }
    for (size_t i = log->visible; i < log->count; i++)
        if (log->entries[i].state == ENTRY_OPEN && log->entries[i].id == marker->id)
            log->entries[i].state = marker->commit ? ENTRY_COMMITTED : ENTRY_ABORTED;
    *KEEP_ADD(log->entries, log->count, log->room) = (struct entry){.state = ENTRY_MARKER, .id = marker->id};
    trace("broker: the %s marker of %.*s is in topic %d of shard%u", marker->commit ? "commit" : "abort", SLICE_ARG(id->name),
          marker->topic, marker->shard);
    if (--id->markers == 0) id->state = marker->commit ? ID_COMPLETE_COMMIT : ID_COMPLETE_ABORT;
    show(marker->topic, marker->shard);
}

static micros marker_delay(void) {
    uint64_t kind = random_below(&world.broker, 100);
    if (kind < 70 || world.healed) return random_between(&world.broker, 50, 3 * MS);
    if (kind < 95) return random_between(&world.broker, 3 * MS, 60 * MS);
    return random_between(&world.broker, 60 * MS, 3 * SECOND);
}

static void prepare(int number, bool commit) {
    struct transactional *id = &ids[number];
    id->state = commit ? ID_PREPARE_COMMIT : ID_PREPARE_ABORT;
    for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++)
        for (uint32_t shard = 0; shard < world.shard_count; shard++) {
            if (!id->in[topic][shard]) continue;
            id->in[topic][shard] = false;
            id->markers++;
            struct marker *marker = KEEP_NEW(struct marker);
            *marker = (struct marker){number, topic, shard, commit};
            world_at(world.now + marker_delay(), write_marker, marker);
        }
    if (!id->markers) id->state = commit ? ID_COMPLETE_COMMIT : ID_COMPLETE_ABORT;
}

/* ---- requests ---- */

enum broker_answer broker_init(int number, unsigned *ret_epoch) {
    struct transactional *id = &ids[number];
    switch (id->state) {
    case ID_ONGOING:
        id->epoch++;
        trace("broker: %.*s is initialised: its open transaction is aborted first", SLICE_ARG(id->name));
        prepare(number, false);
        return BROKER_AGAIN;
    case ID_PREPARE_COMMIT:
    case ID_PREPARE_ABORT:
        return BROKER_AGAIN;
    default:
        id->state = ID_EMPTY;
        *ret_epoch = ++id->epoch;
        return BROKER_OK;
    }
}

struct timeout {
    int id;
    unsigned transaction;
};

static void time_out(void *argument) {
    const struct timeout *timeout = argument;
    struct transactional *id = &ids[timeout->id];
    if (id->state != ID_ONGOING || id->transaction != timeout->transaction) return;
    trace("broker: the transaction of %.*s has lasted too long and is aborted", SLICE_ARG(id->name));
    id->epoch++;
    prepare(timeout->id, false);
}

static void end_arrives(void *argument) {
    const struct timeout *request = argument;
    const struct transactional *id = &ids[request->id];
    bool ends = id->epoch == request->transaction && id->state == ID_ONGOING;
    trace("broker: a late EndTxn of %.*s arrives%s", SLICE_ARG(id->name), ends ? "" : ", in vain");
    if (ends) (void)broker_end(request->id, request->transaction);
}

void broker_end_later(int number, unsigned epoch, micros delay) {
    struct timeout *request = KEEP_NEW(struct timeout);
    *request = (struct timeout){number, epoch};
    if (random_chance(&world.broker, 50)) {
        world_at(world.now + delay, end_arrives, request);
        return;
    }
    broker_end_during_next(number, epoch); /* the worst moment */
}

void broker_end_during_next(int number, unsigned epoch) {
    ids[number].late_end = true;
    ids[number].late_epoch = epoch;
}

/* The request that waits arrives within `longest`, while a transaction is going on. */
static void let_late_end_arrive(int number, micros longest) {
    struct timeout *request = KEEP_NEW(struct timeout);
    *request = (struct timeout){number, ids[number].late_epoch};
    ids[number].late_end = false;
    world_at(world.now + random_between(&world.broker, 0, longest), end_arrives, request);
}

enum broker_answer broker_add_partition(int number, unsigned epoch, enum output_topic topic, uint32_t shard) {
    struct transactional *id = &ids[number];
    if (id->epoch != epoch) return BROKER_FENCED;
    if (id->state == ID_PREPARE_COMMIT || id->state == ID_PREPARE_ABORT) return BROKER_AGAIN;
    if (id->state != ID_ONGOING) {
        id->state = ID_ONGOING;
        struct timeout *timeout = KEEP_NEW(struct timeout);
        *timeout = (struct timeout){number, ++id->transaction};
        world_at(world.now + TRANSACTION_TIMEOUT, time_out, timeout);
        if (id->late_end && random_chance(&world.broker, 50)) let_late_end_arrive(number, 8 * MS);
    }
    id->in[topic][shard] = true;
    return BROKER_OK;
}

static bool has_open(const struct out_log *log, int id) {
    for (size_t i = log->visible; i < log->count; i++)
        if (log->entries[i].state == ENTRY_OPEN && log->entries[i].id == id) return true;
    return false;
}

/* The leader asks the coordinator only about the first record of a transaction. */
enum broker_answer broker_produce(int number, unsigned epoch, const struct sim_record *record) {
    struct transactional *id = &ids[number];
    struct out_log *log = &out_logs[record->topic][record->shard];
    if (!has_open(log, number)) {
        if (id->epoch != epoch) return BROKER_FENCED;
        if (id->state == ID_PREPARE_COMMIT || id->state == ID_PREPARE_ABORT) return BROKER_AGAIN;
        if (id->state != ID_ONGOING || !id->in[record->topic][record->shard]) return BROKER_INVALID;
    }
    *KEEP_ADD(log->entries, log->count, log->room) = (struct entry){ENTRY_OPEN, number, record};
    /* Worse still: results before it may be missing. */
    if (id->late_end && record->topic == OUTPUT_DEAD_LETTER) let_late_end_arrive(number, MS);
    trace("broker: row %u-%llu is in topic %d of shard%u at %zu, in a transaction of %.*s", record->shard,
          (unsigned long long)record->sequence, record->topic, record->shard, log->count - 1, SLICE_ARG(id->name));
    return BROKER_OK;
}

enum broker_answer broker_end(int number, unsigned epoch) {
    struct transactional *id = &ids[number];
    if (id->epoch != epoch) return BROKER_FENCED;
    switch (id->state) {
    case ID_ONGOING:
        trace("broker: the transaction of %.*s is to be committed", SLICE_ARG(id->name));
        prepare(number, true);
        return BROKER_OK;
    case ID_PREPARE_COMMIT:
        return BROKER_AGAIN;
    case ID_COMPLETE_COMMIT:
        return BROKER_OK;
    default:
        return BROKER_INVALID;
    }
}

/* ---- the rest ---- */

bool broker_is_busy(void) {
    for (size_t i = 0; i < id_count; i++)
        if (ids[i].state == ID_ONGOING || ids[i].markers) return true;
    return false;
}

bool broker_delete_settled(uint32_t shard) {
    bool some = false;
    for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++) {
        struct out_log *log = &out_logs[topic][shard];
        while (log->start < log->visible) {
            const struct entry *entry = &log->entries[log->start];
            if (entry->record && entry->record->sequence > store_sim_settled(shard, topic)) break;
            log->start++;
            some = true;
        }
        trace("broker: topic %d of shard%u now begins at %zu", topic, shard, log->start);
    }
    return some;
}

void broker_go_away(micros time) {
    if (away_until < world.now + time) away_until = world.now + time;
}

bool broker_is_away(void) {
    if (world.now >= away_until) return false;
    plan_met(away_until, &away_counted, EFFECT_BROKERS_AWAY);
    return true;
}

void broker_lose_leader(enum output_topic topic, uint32_t shard, micros time) {
    trace("broker: topic %d of shard%u has no leader for %lld ms", topic, shard, (long long)(time / MS));
    leaderless_until[topic][shard] = world.now + time;
    struct former *former = &formers[topic][shard];
    if (former->until > world.now) return; /* that one is away for longer */
    former->until = world.now + time + random_between(&world.broker, 0, 12 * SECOND);
    former->stable = broker_stable(topic, shard);
    former->high = out_logs[topic][shard].count;
}

bool broker_asks_former(enum output_topic topic, uint32_t shard, size_t *ret_stable, size_t *ret_high) {
    struct former *former = &formers[topic][shard];
    if (former->until <= world.now || !random_chance(&world.broker, 75)) return false;
    if (former->high < out_logs[topic][shard].count) plan_met(former->until, &former->counted, EFFECT_FORMER_LEADER);
    *ret_stable = former->stable;
    *ret_high = former->high;
    return true;
}

bool broker_has_leader(enum output_topic topic, uint32_t shard) {
    if (broker_is_away()) return false;
    bool has = leaderless_until[topic][shard] <= world.now;
    if (!has) plan_met(leaderless_until[topic][shard], &leaderless_counted[topic][shard], EFFECT_OUTPUT_LEADERLESS);
    return has;
}

void broker_heal(void) {
    away_until = 0;
    memset(leaderless_until, 0, sizeof leaderless_until);
    for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++)
        for (uint32_t shard = 0; shard < SHARDS_MAX; shard++) formers[topic][shard].until = 0;
}
