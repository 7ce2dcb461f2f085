#include "check.h"

#include "fleet.h"
#include "group.h"
#include "model.h"
#include "plan.h"
#include "policies.h"
#include "registry_sim.h"

#include <string.h>

enum { KILLS_MAX = 20, NOTED_DEATHS_MAX = 2 };

/* A row as it was first produced. */
struct produced {
    uint64_t sequence;
    struct digest hash, bytes;
};

static struct {
    struct produced *produced;
    size_t produced_count, produced_room;
    uint64_t visible[OUTPUT_TOPICS]; /* the last row that a read_committed consumer has seen */
    size_t accepted[OUTPUT_TOPICS];  /* what lies below was accepted by an operator, whatever it is */
    bool restored;                   /* to a state in which rows or positions are missing, until it was resumed or came to rest */
    bool hopeless;                   /* what an earlier owner may still publish, nobody can know any more */
    struct digest *lost;             /* the hashes of the rows that restorations have undone */
    size_t lost_count, lost_room;
    enum input_topic suspected_topic; /* the record that was noted last before it was read */
    uint64_t suspected_offset;
    unsigned deaths[INPUT_TOPICS + 1][EVENTS_MAX]; /* while that record was noted */
    bool deaths_unknown;
} shards[SHARDS_MAX];

static struct {
    const struct told *told;
    bool has_loaded;
    uint64_t version;
} lanes[LANES_MAX];

static unsigned kills[EVENTS_MAX]; /* by event */

void check_begin(void) {
    memset(shards, 0, sizeof shards);
    memset(lanes, 0, sizeof lanes);
    memset(kills, 0, sizeof kills);
    model_begin();
}

/* ---- what a lane knows ---- */

void check_loaded(unsigned lane) {
    lanes[lane].told = NULL;
    if (!lanes[lane].has_loaded) lanes[lane].version = policies_version();
    lanes[lane].has_loaded = true;
}

void check_told(unsigned lane, struct slice host, struct slice digest, enum registry_answer answer) {
    struct told *told = KEEP_NEW(struct told);
    *told = (struct told){keep_slice(host), keep_slice(digest), answer, lanes[lane].told};
    lanes[lane].told = told;
}

const void *check_knowledge(unsigned lane) {
    struct knowledge *knowledge = KEEP_NEW(struct knowledge);
    *knowledge = (struct knowledge){lanes[lane].told, lanes[lane].version};
    lanes[lane].has_loaded = false;
    return knowledge;
}

void check_lane_died(unsigned lane) {
    lanes[lane].told = NULL;
    lanes[lane].has_loaded = false;
}

/* ---- the ledger ---- */

static unsigned char *put(unsigned char *at, uint64_t value, int size) {
    for (int i = size - 1; i >= 0; i--) *at++ = (unsigned char)(value >> (8 * i));
    return at;
}

/* The form that sql/README.md gives, written anew. */
static struct digest hash_of(const struct ledger_row *row, const struct digest *previous) {
    unsigned char form[200] = "sluice.ledger.v1", *at = form + 17;
    struct digest input = digest_of(row->input), decision = digest_of(row->decision);
    at = put(at, row->shard, 4);
    at = put(at, row->sequence, 8);
    memcpy(at, previous->bytes, DIGEST_SIZE);
    at = put(at + DIGEST_SIZE, (uint64_t)row->at, 8);
    at = put(at, row->kind, 1);
    at = put(at, row->topic, 1);
    at = put(at, row->offset, 8);
    at = put(at, row->control_version, 8);
    at = put(at, row->engine, 2);
    memcpy(at, input.bytes, DIGEST_SIZE);
    memcpy(at + DIGEST_SIZE, decision.bytes, DIGEST_SIZE);
    return digest_of(slice_of(form, (size_t)(at + 2 * DIGEST_SIZE - form)));
}

/* The number of a result that is out already must not be used again for another row. */
static bool was_published_otherwise(const struct ledger_row *row, const struct sim_lane *lane) {
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++) {
        if (lane->misled[topic][row->shard]) continue;
        const struct out_log *log = &out_logs[topic][row->shard];
        for (size_t i = shards[row->shard].accepted[topic]; i < log->count; i++) {
            const struct entry *entry = &log->entries[i];
            if (entry->state != ENTRY_COMMITTED && entry->state != ENTRY_OPEN) continue;
            if (entry->record->sequence == row->sequence && !digest_equal(&entry->record->hash, &row->hash)) return true;
        }
    }
    return false;
}

static void check_row(const struct write *write, const struct commit_shard *b, const struct ledger_row *row,
                      uint64_t position[INPUT_TOPICS + 1], uint64_t *sequence, struct digest *head) {
    const struct knowledge *knowledge = write->knowledge;
    const struct event *e = row->topic == INPUT_NONE ? NULL : workload_at(row->shard, row->topic, row->offset);
    int shard = (int)b->shard, number = e ? e->number : -1;
    if (e) trace("row %u-%llu is for e%d, kind %d", row->shard, (unsigned long long)row->sequence, e->number, row->kind);
    if (row->sequence != *sequence + 1)
        world_violate("order", shard, row->sequence, number, "row %llu follows row %llu", (unsigned long long)row->sequence,
                      (unsigned long long)*sequence);
    *sequence = row->sequence;
    struct digest hash = hash_of(row, head);
    if (!digest_equal(&hash, &row->hash))
        world_violate("chain", shard, row->sequence, number, "the hash of row %u-%llu is not right", row->shard,
                      (unsigned long long)row->sequence);
    *head = row->hash;
    if (row->topic != INPUT_NONE && row->offset != workload_next(row->shard, row->topic, position[row->topic]))
        world_violate("order", shard, row->sequence, number, "row %u-%llu is for offset %llu of topic %d; the next was %llu",
                      row->shard, (unsigned long long)row->sequence, (unsigned long long)row->offset, row->topic,
                      (unsigned long long)position[row->topic]);
    if (row->topic != INPUT_NONE) position[row->topic] = row->offset + 1;
    if (row->at != b->now_at || row->at < db.shards[b->shard].now_at)
        world_violate("order", shard, row->sequence, number, "the time of row %u-%llu goes back", row->shard,
                      (unsigned long long)row->sequence);
    if (row->control_version < knowledge->version)
        world_violate("decision", shard, row->sequence, number,
                      "row %u-%llu is decided by control version %llu, and the lane was told %llu", row->shard,
                      (unsigned long long)row->sequence, (unsigned long long)row->control_version,
                      (unsigned long long)knowledge->version);
    if (!shards[b->shard].hopeless && was_published_otherwise(row, &fleet[write->lane]))
        world_violate("loss", shard, row->sequence, number,
                      "row %u-%llu was lost and published; now there is another of its number", row->shard,
                      (unsigned long long)row->sequence);
    bool unknown = shards[b->shard].deaths_unknown || row->offset >= EVENTS_MAX;
    model_read(row, knowledge, unknown ? 99 : shards[b->shard].deaths[row->topic][row->offset]);
}

/* A new control version may decide whatever waits in the shard. */
static void check_control(const struct commit_shard *b, const struct db_shard *s) {
    if (b->control_version == s->control_version || b->wake_all) return;
    for (size_t i = 0; i < db.promotion_count; i++) {
        const struct promotion_row *row = &db.promotions[i];
        if (row->shard != b->shard || row->outcome != PROMOTION_WAITING || row->wake_at <= b->now_at) continue;
        world_violate("timers", (int)b->shard, row->opened_sequence, -1,
                      "control version %llu is noted, and the promotion that row %u-%llu has opened is not woken",
                      (unsigned long long)b->control_version, b->shard, (unsigned long long)row->opened_sequence);
    }
}

/* Behind what was decided only offsets without a record may be passed. */
static void check_position(uint32_t shard, enum input_topic topic, uint64_t decided, uint64_t position) {
    if (position >= decided && position <= workload_next(shard, topic, decided)) return;
    world_violate("positions", (int)shard, 0, -1, "the position of topic %d goes to %llu, and the rows to %llu", topic,
                  (unsigned long long)position, (unsigned long long)decided);
}

/* Which topic a row goes to, or -1. */
static int topic_of(const struct ledger_row *row) {
    return row->kind == RESULT_SHARD_RESUMED ? -1 : row->kind == RESULT_DEAD_LETTER ? OUTPUT_DEAD_LETTER : OUTPUT_RESULTS;
}

/* It only goes forward (a lane that lives through a restoration still says what it knew), and the last result that it names is in
 * the topic, or about to be. */
void check_settled(uint32_t shard, const struct settled settled[OUTPUT_TOPICS]) {
    if (shards[shard].restored || shards[shard].hopeless) return;
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++) {
        uint64_t sequence = settled[topic].sequence, before = db.shards[shard].settled[topic].sequence;
        if (sequence < before)
            world_violate("positions", (int)shard, sequence, -1, "row %llu is settled on topic %d, and now only row %llu",
                          (unsigned long long)before, topic, (unsigned long long)sequence);
        if (sequence > db.ledger_count[shard])
            world_violate("positions", (int)shard, sequence, -1, "row %llu is settled on topic %d, which the ledger has not",
                          (unsigned long long)sequence, topic);
        while (sequence > before && sequence <= db.ledger_count[shard] && topic_of(&db.ledger[shard][sequence - 1]) != topic)
            sequence--;
        if (sequence <= before || sequence > db.ledger_count[shard]) continue;
        const struct out_log *log = &out_logs[topic][shard];
        size_t i = log->count;
        while (i && !((log->entries[i - 1].state == ENTRY_COMMITTED || log->entries[i - 1].state == ENTRY_OPEN) &&
                      log->entries[i - 1].record->sequence == sequence))
            i--;
        if (!i)
            world_violate("results", (int)shard, sequence, -1, "row %llu counts as settled on topic %d, where it is not",
                          (unsigned long long)sequence, topic);
    }
}

void check_commit(const struct write *write) {
    for (size_t i = 0; i < write->commit.shard_count; i++) {
        const struct commit_shard *b = &write->commit.shards[i];
        const struct db_shard *s = &db.shards[b->shard];
        uint64_t sequence = s->sequence, position[INPUT_TOPICS + 1];
        struct digest head = s->head;
        memcpy(position, s->position, sizeof position);
        model_read_looks(&write->commit, b, write->knowledge);
        for (size_t k = 0; k < write->commit.row_count; k++)
            if (write->commit.rows[k].shard == b->shard) check_row(write, b, &write->commit.rows[k], position, &sequence, &head);
        model_read_all(b->shard);
        check_control(b, s);
        if (sequence != b->new_sequence || !digest_equal(&head, &b->new_head))
            world_violate("order", (int)b->shard, b->new_sequence, -1, "the shard's row and its ledger disagree");
        for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
            check_position(b->shard, topic, position[topic], b->new_position[topic]);
        check_settled(b->shard, b->settled);
    }
}

/* ---- poison ---- */

void check_taken(unsigned lane, uint32_t shard, bool died) {
    (void)lane;
    uint64_t offset = shards[shard].suspected_offset;
    if (died && offset < EVENTS_MAX) shards[shard].deaths[shards[shard].suspected_topic][offset]++;
}

void check_suspected(uint32_t shard, enum input_topic topic, uint64_t offset) {
    shards[shard].suspected_topic = topic;
    shards[shard].suspected_offset = offset;
}

void check_killed(unsigned lane, uint32_t shard, enum input_topic topic, uint64_t offset) {
    const struct event *e = workload_at(shard, topic, offset);
    /* Two are enough. An earlier owner, who knows of fewer or of none, may read it once more. */
    bool owns = memcmp(db.shards[shard].owner, fleet[lane].owner, STORE_OWNER) == 0;
    if (owns && offset < EVENTS_MAX && !shards[shard].deaths_unknown && shards[shard].deaths[topic][offset] > NOTED_DEATHS_MAX)
        world_violate("poison", (int)shard, 0, e ? e->number : -1, "a record is read on which %u lanes died while it was noted",
                      shards[shard].deaths[topic][offset]);
    if (!e || ++kills[e->number] <= KILLS_MAX) return;
    world_violate("poison", (int)shard, 0, e->number, "a record has killed %u lanes", kills[e->number]);
}

/* ---- loss ---- */

static bool is_input_lost(uint32_t shard) {
    for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++) {
        const struct in_log *log = &in_logs[topic][shard];
        uint64_t position = db.shards[shard].position[topic];
        if (position < log->start || position > log->count) return true;
    }
    return false;
}

static const struct ledger_row *row_at(uint32_t shard, uint64_t sequence) {
    return sequence && sequence <= db.ledger_count[shard] ? &db.ledger[shard][sequence - 1] : NULL;
}

static bool is_in_ledger(const struct sim_record *record) {
    const struct ledger_row *row = row_at(record->shard, record->sequence);
    return row && digest_equal(&row->hash, &record->hash);
}

/* The row was in the ledger before a restoration. */
static bool was_lost(const struct sim_record *record) {
    for (size_t i = 0; i < shards[record->shard].lost_count; i++)
        if (digest_equal(&shards[record->shard].lost[i], &record->hash)) return true;
    return false;
}

/* A committed result of which the ledger knows nothing. */
static bool is_commit_lost(uint32_t shard) {
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++)
        for (size_t i = shards[shard].accepted[topic]; i < out_logs[topic][shard].count; i++) {
            const struct entry *entry = &out_logs[topic][shard].entries[i];
            if (entry->state == ENTRY_COMMITTED && !is_in_ledger(entry->record)) return true;
        }
    return false;
}

void check_stopped(uint32_t shard, struct slice reason) {
    trace("shard%u is stopped: %.*s", shard, SLICE_ARG(reason));
    if (is_input_lost(shard) || shards[shard].restored || shards[shard].hopeless) return;
    world_violate("loss", (int)shard, 0, -1, "shard %u stops although nothing was lost: %.*s", shard, SLICE_ARG(reason));
}

void check_accepted(uint32_t shard, enum output_topic topic, uint64_t sequence) {
    shards[shard].accepted[topic] = out_logs[topic][shard].count;
    shards[shard].visible[topic] = sequence;
}

void check_resumed(uint32_t shard) {
    shards[shard].restored = false;
    shards[shard].deaths_unknown = true;
    memset(kills, 0, sizeof kills);
}

static bool has_same_owner(const struct db_shard *was, const struct db_shard *is) {
    bool same = was->epoch == is->epoch && was->id_count == is->id_count;
    for (size_t i = 0; same && i < is->id_count; i++) same &= slice_equal(was->ids[i], is->ids[i]);
    return same;
}

/* Whoever may have written for the shard may still be fenced by its row. */
static bool still_names(const struct db_shard *was, const struct db_shard *is) {
    bool all = true;
    for (size_t i = 0; i < was->id_count; i++) {
        bool found = false;
        for (size_t k = 0; k < is->id_count; k++) found |= slice_equal(was->ids[i], is->ids[k]);
        all &= found;
    }
    return all;
}

static bool has_same_rows(const struct db_shard *was, const struct db_shard *is) {
    return was->sequence == is->sequence && digest_equal(&was->head, &is->head) &&
           was->position[INPUT_BUILDS] == is->position[INPUT_BUILDS] &&
           was->position[INPUT_REQUESTS] == is->position[INPUT_REQUESTS];
}

static bool has_same_deaths(const struct db_shard *was, const struct db_shard *is) {
    return was->crash_topic == is->crash_topic && was->crash_position == is->crash_position &&
           was->crash_count == is->crash_count;
}

static void note_lost(const struct db *lost, uint32_t n) {
    for (size_t i = 0; i < lost->ledger_count[n]; i++)
        if (i >= db.ledger_count[n] || !digest_equal(&lost->ledger[n][i].hash, &db.ledger[n][i].hash))
            *KEEP_ADD(shards[n].lost, shards[n].lost_count, shards[n].lost_room) = lost->ledger[n][i].hash;
}

/* What the restoration has left as it was excuses nothing. */
void check_restored(const struct db *lost) {
    bool some = false;
    model_begin();
    for (uint32_t n = 0; n < world.shard_count; n++) {
        const struct db_shard *was = &lost->shards[n], *is = &db.shards[n];
        bool same_owner = has_same_owner(was, is), same_rows = has_same_rows(was, is), same_deaths = has_same_deaths(was, is);
        note_lost(lost, n);
        shards[n].restored |= !same_owner || !same_rows;
        shards[n].hopeless |= !still_names(was, is);
        shards[n].deaths_unknown |= !same_owner || !same_rows || !same_deaths;
        if (!same_deaths) memset(kills, 0, sizeof kills); /* the database has forgotten of them */
        some |= !same_owner || !same_rows;
        for (size_t i = 0; i < db.ledger_count[n]; i++) model_read(&db.ledger[n][i], NULL, 0);
        trace("shard%u is back at row %zu of %zu", n, db.ledger_count[n], lost->ledger_count[n]);
    }
    if (some) plan_took(EFFECT_DATABASE_OLDER);
}

/* ---- results ---- */

void check_produced(unsigned lane, const struct sim_record *record) {
    uint32_t n = record->shard;
    if (shards[n].hopeless) return;
    /* A lane that slept through a restoration still has what was lost. */
    if (!is_in_ledger(record) && !was_lost(record)) {
        world_violate("results", (int)n, record->sequence, -1, "lane%u publishes row %u-%llu, which is not committed", lane, n,
                      (unsigned long long)record->sequence);
        return;
    }
    for (size_t i = 0; i < shards[n].produced_count; i++) {
        const struct produced *p = &shards[n].produced[i];
        if (p->sequence != record->sequence || !digest_equal(&p->hash, &record->hash)) continue;
        if (!digest_equal(&p->bytes, &record->bytes))
            world_violate("results", (int)n, record->sequence, -1, "row %u-%llu is made into another record than before", n,
                          (unsigned long long)record->sequence);
        return;
    }
    *KEEP_ADD(shards[n].produced, shards[n].produced_count, shards[n].produced_room) =
        (struct produced){record->sequence, record->hash, record->bytes};
}

static void check_content(enum output_topic topic, const struct sim_record *record, const struct ledger_row *row) {
    uint32_t n = record->shard;
    bool right = topic_of(row) == (int)topic;
    if (topic == OUTPUT_RESULTS) {
        struct slice id = keep_print("%u-%llu", n, (unsigned long long)row->sequence);
        right &= slice_equal(record->value, row->decision) && slice_equal(record->id, id) &&
                 slice_is(record->type, result_type(row->kind)) &&
                 slice_is(record->source, "/sluice/511ce001-0203-0405-0607-08090a0b0c0d");
    } else {
        const struct event *e = workload_at(n, row->topic, row->offset);
        right &= e && slice_equal(record->value, e->record.value) && slice_equal(record->key, e->record.key);
    }
    if (!right)
        world_violate("results", (int)n, row->sequence, -1, "the result of row %u-%llu is not what the row says", n,
                      (unsigned long long)row->sequence);
}

/* The next row of the topic behind `sequence`, or 0. */
static uint64_t next_of(uint32_t shard, enum output_topic topic, uint64_t sequence) {
    while (++sequence <= db.ledger_count[shard])
        if (topic_of(&db.ledger[shard][sequence - 1]) == (int)topic) return sequence;
    return 0;
}

void check_visible(enum output_topic topic, const struct sim_record *record) {
    uint32_t n = record->shard;
    uint64_t *last = &shards[n].visible[topic];
    world.result.results++;
    trace("consumer sees row %u-%llu on topic %d", n, (unsigned long long)record->sequence, topic);
    if (shards[n].hopeless) return;
    const struct ledger_row *row = row_at(n, record->sequence);
    if (!row || !digest_equal(&row->hash, &record->hash)) {
        if (!shards[n].restored || !was_lost(record))
            world_violate("results", (int)n, record->sequence, -1, "a result of row %u-%llu is seen, which the ledger has not", n,
                          (unsigned long long)record->sequence);
        return;
    }
    uint64_t next = next_of(n, topic, *last);
    if (record->sequence <= *last)
        world_violate("results", (int)n, record->sequence, -1, "the result of row %u-%llu is seen %s", n,
                      (unsigned long long)record->sequence, record->sequence == *last ? "twice" : "again, out of order");
    else if (record->sequence != next)
        world_violate("results", (int)n, next, -1, "the result of row %u-%llu is lost: that of %llu is seen before it", n,
                      (unsigned long long)next, (unsigned long long)record->sequence);
    *last = record->sequence;
    check_content(topic, record, row);
}

/* ---- rest ---- */

static bool is_shard_at_rest(uint32_t n, char *ret_why, size_t room) {
    const struct db_shard *s = &db.shards[n];
    if (s->stopped.p) return true;
    for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
        if (s->position[topic] != in_logs[topic][n].count) {
            (void)snprintf(ret_why, room, "shard %u has read topic %d to %llu of %zu", n, topic,
                           (unsigned long long)s->position[topic], in_logs[topic][n].count);
            return false;
        }
    for (enum output_topic topic = OUTPUT_RESULTS; topic <= OUTPUT_DEAD_LETTER; topic++) {
        uint64_t next = next_of(n, topic, shards[n].visible[topic]);
        if (next && !shards[n].hopeless) {
            (void)snprintf(ret_why, room, "the result of row %u-%llu is not seen", n, (unsigned long long)next);
            return false;
        }
        if (broker_stable(topic, n) < out_logs[topic][n].count) {
            (void)snprintf(ret_why, room, "a transaction is open in topic %d of shard %u", topic, n);
            return false;
        }
    }
    if (s->control_version != policies_version()) {
        (void)snprintf(ret_why, room, "shard %u has not met control version %llu", n, (unsigned long long)policies_version());
        return false;
    }
    if (!shards[n].hopeless && (is_input_lost(n) || is_commit_lost(n))) {
        (void)snprintf(ret_why, room, "shard %u has lost something and does not stop", n);
        return false;
    }
    return true;
}

bool check_is_at_rest(char *ret_why, size_t room) {
    if (writes_pending() || broker_is_busy()) {
        (void)snprintf(ret_why, room, "something is on its way to a server");
        return false;
    }
    if (registry_sim_rests()) {
        (void)snprintf(ret_why, room, "a registry is left alone");
        return false;
    }
    for (uint32_t n = 0; n < world.shard_count; n++)
        if (!is_shard_at_rest(n, ret_why, room)) return false;
    for (size_t i = 0; i < db.promotion_count; i++) {
        const struct promotion_row *row = &db.promotions[i];
        /* The time of a shard is that of the clock, and never goes back. */
        instant now = world_store_now(), last = db.shards[row->shard].now_at;
        if (row->outcome != PROMOTION_WAITING || row->wake_at > (now > last ? now : last)) continue;
        if (db.shards[row->shard].stopped.p) continue;
        (void)snprintf(ret_why, room, "the promotion that row %u-%llu has opened is due", row->shard,
                       (unsigned long long)row->opened_sequence);
        return false;
    }
    return true;
}

void check_rested(void) {
    for (uint32_t n = 0; n < world.shard_count; n++) shards[n].restored = false;
}

void check_unrest(const char *why) { world_violate("liveness", -1, 0, -1, "the faults are long over, and %s", why); }

void check_waiting(void) {
    model_compare_waiting();
    model_compare();
}

void check_end(void) {
    for (size_t i = 0; i < db.promotion_count; i++) {
        const struct promotion_row *row = &db.promotions[i];
        if (row->outcome == PROMOTION_WAITING)
            world_violate("timers", (int)row->shard, row->opened_sequence, -1,
                          "the promotion that row %u-%llu has opened has no final answer", row->shard,
                          (unsigned long long)row->opened_sequence);
    }
    model_compare();
}
