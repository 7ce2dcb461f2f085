/* The input's port over a simulated consumer group: eager, static members, sessions that time out; and the input logs. A member
 * whose session is over learns that late, and until then goes on with what it has fetched. */
#include "group.h"

#include "broker.h"
#include "ports.h"

#include <string.h>

enum { TAKE_MAX = 16, CROWD_MAX = 6 /* a crowd, and no full batch */, AWAY_WAIT = 400 * MS };

enum member_state {
    MEMBER_GONE,      /* not in the group */
    MEMBER_STABLE,    /* has its shards, or none yet */
    MEMBER_TO_REVOKE, /* is to be told to give them back */
    MEMBER_REVOKING,  /* was told, and has not given them back */
    MEMBER_JOINED,    /* waits for the next generation */
    MEMBER_TO_ASSIGN  /* is to be told what it has */
};

struct member {
    enum member_state state;
    bool up;
    bool was_assigned; /* this process was told of shards, or of none */
    bool revoked;      /* and to give them back, which it has not answered */
    bool shards[SHARDS_MAX];
    micros last_seen; /* heartbeats come while its process runs */
    micros learns_at; /* that it was thrown out */
    /* what its process fetches */
    bool fetches[SHARDS_MAX];
    uint64_t next[INPUT_TOPICS + 1][SHARDS_MAX];
    struct record taken[TAKE_MAX];
    size_t given, given_ends; /* by the last poll: of `taken` and of `ends` */
    size_t kept, kept_ends;   /* and are to be given again */
    uint32_t told[SHARDS_MAX];
    struct input_end ends[2 * INPUT_TOPICS * SHARDS_MAX]; /* fewer than a batch are kept, and all may come anew */
    uint64_t told_end[INPUT_TOPICS + 1][SHARDS_MAX];      /* and one: 0 is none */
};

struct in_log in_logs[INPUT_TOPICS + 1][SHARDS_MAX];

static struct member members[LANES_MAX];
static bool rebalancing;
static micros rebalance_until;
static micros missed_since; /* the coordinator: the brokers are away; or -1 */
static micros leaderless_until[INPUT_TOPICS + 1][SHARDS_MAX], leaderless_counted[INPUT_TOPICS + 1][SHARDS_MAX];
static micros session, rebalance_longest; /* drawn: the shorter, the more often somebody works on what another has now */

static const char *topic_text(enum input_topic topic) { return topic == INPUT_BUILDS ? "builds" : "requests"; }

/* ---- logs ---- */

static void signal_fetchers(uint32_t shard) {
    for (unsigned i = 0; i < world.lane_count; i++)
        if (members[i].fetches[shard]) fleet_signal(&members[i]);
}

void in_log_append(enum input_topic topic, uint32_t shard, struct record *record) {
    struct in_log *log = &in_logs[topic][shard];
    record->topic = topic;
    record->shard = shard;
    record->offset = log->count;
    *KEEP_ADD(log->records, log->count, log->room) = *record;
    signal_fetchers(shard);
}

void in_log_append_marker(enum input_topic topic, uint32_t shard) {
    struct in_log *log = &in_logs[topic][shard];
    *KEEP_ADD(log->records, log->count, log->room) = (struct record){.topic = INPUT_NONE};
    signal_fetchers(shard);
}

void in_log_recreate(enum input_topic topic, uint32_t shard) {
    trace("broker: %s of shard%u is made anew", topic_text(topic), shard);
    in_logs[topic][shard] = (struct in_log){0};
}

void in_log_delete(enum input_topic topic, uint32_t shard, size_t below) {
    struct in_log *log = &in_logs[topic][shard];
    if (below > log->count) below = log->count;
    if (below > log->start) log->start = below;
    trace("broker: %s of shard%u now begins at %zu", topic_text(topic), shard, log->start);
}

void in_log_lose_leader(enum input_topic topic, uint32_t shard, micros time) {
    trace("broker: %s of shard%u has no leader for %lld ms", topic_text(topic), shard, (long long)(time / MS));
    leaderless_until[topic][shard] = world.now + time;
}

static bool has_leader(enum input_topic topic, uint32_t shard) {
    if (broker_is_away()) return false;
    bool has = leaderless_until[topic][shard] <= world.now;
    if (!has) plan_met(leaderless_until[topic][shard], &leaderless_counted[topic][shard], EFFECT_INPUT_LEADERLESS);
    return has;
}

/* ---- the group ---- */

static void assign_members(void) {
    unsigned joined[LANES_MAX], count = 0;
    for (unsigned i = 0; i < world.lane_count; i++) {
        memset(members[i].shards, 0, sizeof members[i].shards);
        if (members[i].state == MEMBER_JOINED) joined[count++] = i;
    }
    rebalancing = false;
    if (!count) return;
    for (unsigned i = count; i-- > 1;) { /* in any order */
        unsigned k = (unsigned)random_below(&world.group, i + 1), held = joined[i];
        joined[i] = joined[k];
        joined[k] = held;
    }
    for (uint32_t shard = 0; shard < world.shard_count; shard++) {
        unsigned lane = joined[(shard * count) / world.shard_count];
        members[lane].shards[shard] = true;
        trace("group: shard%u goes to lane%u", shard, lane);
    }
    for (unsigned i = 0; i < count; i++) members[joined[i]].state = MEMBER_TO_ASSIGN;
}

static void throw_out(struct member *member);

static void look_at_rebalance(void) {
    if (!rebalancing || broker_is_away()) return;
    bool all = true;
    for (unsigned i = 0; i < world.lane_count; i++) all &= members[i].state == MEMBER_GONE || members[i].state == MEMBER_JOINED;
    if (!all && world.now < rebalance_until) return;
    for (unsigned i = 0; i < world.lane_count; i++)
        if (members[i].state != MEMBER_JOINED && members[i].state != MEMBER_GONE) throw_out(&members[i]);
    assign_members();
}

bool group_rebalance(const char *why) {
    if (broker_is_away()) return false; /* with its coordinator */
    trace("group: rebalance: %s", why);
    rebalancing = true;
    rebalance_until = world.now + rebalance_longest;
    for (unsigned i = 0; i < world.lane_count; i++) {
        struct member *member = &members[i];
        if (member->state == MEMBER_STABLE) member->state = member->was_assigned ? MEMBER_TO_REVOKE : MEMBER_JOINED;
        if (member->state == MEMBER_TO_ASSIGN) member->state = member->was_assigned ? MEMBER_TO_REVOKE : MEMBER_JOINED;
        fleet_signal(member);
    }
    look_at_rebalance();
    return true;
}

/* Its next heartbeat tells it, or one of the next. */
static void throw_out(struct member *member) {
    member->state = MEMBER_GONE;
    member->learns_at = world.now + (random_chance(&world.group, 50) ? random_between(&world.group, 0, 100 * MS)
                                                                     : random_between(&world.group, 100 * MS, 6 * SECOND));
}

bool group_throw_out(unsigned lane) {
    if (members[lane].state == MEMBER_GONE || broker_is_away()) return false;
    throw_out(&members[lane]);
    return group_rebalance("a member is thrown out");
}

/* Nobody's session ends while there is no coordinator. But a process that has not heard of it for so long knows by itself that it
 * has lost its shards, and joins anew when it is back. */
static void miss_coordinator(void) {
    if (missed_since < 0) missed_since = world.now;
    rebalance_until = world.now + rebalance_longest;
    for (unsigned i = 0; i < world.lane_count; i++) {
        struct member *member = &members[i];
        member->last_seen = world.now;
        if (!member->up || fleet[i].paused_until > world.now || world.now - missed_since < session) continue;
        if (member->state != MEMBER_GONE) trace("lane%u has missed the group's coordinator for too long", i);
        member->state = MEMBER_GONE;
        member->learns_at = world.now;
    }
}

/* Heartbeats are the process's, not its threads': only one that is dead or stopped misses them. */
static void look_at_sessions(void *argument) {
    (void)argument;
    world_at(world.now + 200 * MS, look_at_sessions, NULL);
    if (broker_is_away()) {
        miss_coordinator();
        return;
    }
    missed_since = -1;
    for (unsigned i = 0; i < world.lane_count; i++) {
        struct member *member = &members[i];
        bool beats = member->up && fleet[i].paused_until <= world.now;
        if (beats) {
            member->last_seen = world.now;
            if (member->state == MEMBER_GONE && !member->was_assigned) {
                member->state = MEMBER_JOINED;
                (void)group_rebalance("a member joins");
            }
            continue;
        }
        if (member->state == MEMBER_GONE || world.now - member->last_seen < session) continue;
        trace("group: the session of lane%u is over", i);
        throw_out(member);
        (void)group_rebalance("a session is over");
    }
    look_at_rebalance();
}

void group_begin(void) {
    memset(in_logs, 0, sizeof in_logs);
    memset(members, 0, sizeof members);
    rebalancing = false;
    missed_since = -1;
    memset(leaderless_counted, 0, sizeof leaderless_counted);
    group_heal();
    session = random_chance(&world.group, 50) ? 10 * SECOND : random_between(&world.group, SECOND, 6 * SECOND);
    rebalance_longest = session + 2 * SECOND;
    world_at(50 * MS, look_at_sessions, NULL);
}

void group_heal(void) { memset(leaderless_until, 0, sizeof leaderless_until); }

static void drop_kept(struct member *member) { member->kept = member->kept_ends = 0; }

void group_join(unsigned lane) {
    struct member *member = &members[lane];
    member->up = true;
    member->was_assigned = member->revoked = false;
    memset(member->fetches, 0, sizeof member->fetches);
    drop_kept(member);
    member->last_seen = world.now;
    /* A static member that comes back in time has its shards back; during a rebalance it joins. */
    if (member->state == MEMBER_GONE) return;
    member->state = rebalancing ? MEMBER_JOINED : MEMBER_TO_ASSIGN;
}

void group_leave(unsigned lane) {
    members[lane].up = false;
    memset(members[lane].fetches, 0, sizeof members[lane].fetches);
}

/* ---- the port ---- */

static struct sim_lane *lane_of(struct input *input) { return LANE_OF(input, input); }
static struct member *self(struct input *input) { return &members[lane_of(input)->number]; }

static int unavailable(struct error *error) {
    return error_set(error, ERROR_UNAVAILABLE, "kafka-unreachable", "the brokers do not answer");
}

static int sim_partitions(struct input *input, enum input_topic topic, uint32_t *ret_count, struct error *error) {
    (void)topic;
    struct armed *fault = op_begin(lane_of(input), OP_PARTITIONS);
    if (armed_fails(fault)) return unavailable(error);
    if (broker_is_away()) {
        fleet_sleep(AWAY_WAIT);
        return unavailable(error);
    }
    *ret_count = world.shard_count;
    op_end(lane_of(input), OP_PARTITIONS, fault);
    return 0;
}

static int sim_bounds(struct input *input, uint32_t shard, int64_t ret_start[INPUT_TOPICS + 1], int64_t ret_end[INPUT_TOPICS + 1],
                      struct error *error) {
    struct armed *fault = op_begin(lane_of(input), OP_BOUNDS);
    bool fails = armed_fails(fault) || !has_leader(INPUT_BUILDS, shard) || !has_leader(INPUT_REQUESTS, shard);
    if (fails) fleet_sleep(AWAY_WAIT);
    if (fails) return unavailable(error);
    for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++) {
        ret_start[topic] = (int64_t)in_logs[topic][shard].start;
        ret_end[topic] = (int64_t)in_logs[topic][shard].count;
    }
    op_end(lane_of(input), OP_BOUNDS, fault);
    return 0;
}

static int64_t sim_known_end(struct input *input, uint32_t shard, enum input_topic topic) {
    return self(input)->fetches[shard] ? (int64_t)in_logs[topic][shard].count : -1;
}

/* Its coordinator has something to say. */
static bool is_called(const struct member *member) {
    if (broker_is_away()) return false;
    return member->state == MEMBER_TO_REVOKE || (member->state == MEMBER_TO_ASSIGN && !member->revoked);
}

/* What the group has to say. A member that was thrown out is told that it has lost its shards, sooner or later. */
static bool tell_group(struct sim_lane *lane, struct member *member, struct input_event *event) {
    bool lost = member->state == MEMBER_GONE && member->was_assigned && world.now >= member->learns_at;
    if (!lost && !is_called(member)) return false;
    if (lost || member->state == MEMBER_TO_REVOKE) {
        if (!lost) member->state = MEMBER_REVOKING;
        if (member->revoked) return false;
        *event = (struct input_event){.kind = INPUT_REVOKED};
        member->revoked = true;
        trace("lane%u is told that it has %s its shards", lane->number, lost ? "lost" : "to give back");
        return true;
    }
    member->state = MEMBER_STABLE;
    member->was_assigned = true;
    *event = (struct input_event){.kind = INPUT_ASSIGNED, .shards = member->told};
    for (uint32_t shard = 0; shard < world.shard_count; shard++)
        if (member->shards[shard]) member->told[event->shard_count++] = shard;
    trace("lane%u is told its %zu shards", lane->number, event->shard_count);
    return true;
}

static bool tell_outside(struct member *member, struct input_event *event) {
    for (uint32_t shard = 0; shard < world.shard_count; shard++)
        for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS && member->fetches[shard]; topic++) {
            const struct in_log *log = &in_logs[topic][shard];
            uint64_t next = member->next[topic][shard];
            if ((next >= log->start && next <= log->count) || !has_leader(topic, shard)) continue;
            member->fetches[shard] = false;
            member->told[0] = shard;
            *event = (struct input_event){.kind = INPUT_OUTSIDE_LOG,
                                          .shards = member->told,
                                          .shard_count = 1,
                                          .topic = topic,
                                          .log_start = (int64_t)log->start,
                                          .log_end = (int64_t)log->count};
            return true;
        }
    return false;
}

/* What is kept, then some of what is there, in the order of each partition. */
static size_t take_records(struct member *member, size_t limit) {
    size_t count = member->kept, most = random_chance(&world.group, 50) ? TAKE_MAX : CROWD_MAX;
    size_t room = 1 + random_below(&world.group, most);
    if (room > limit) room = limit;
    uint32_t first = (uint32_t)random_below(&world.group, world.shard_count * 2);
    for (uint32_t i = 0; i < world.shard_count * 2 && count < room; i++) {
        uint32_t which = (first + i) % (world.shard_count * 2), shard = which / 2;
        enum input_topic topic = which % 2 ? INPUT_REQUESTS : INPUT_BUILDS;
        const struct in_log *log = &in_logs[topic][shard];
        if (!member->fetches[shard] || !has_leader(topic, shard)) continue;
        uint64_t *next = &member->next[topic][shard];
        for (; *next < log->count && *next >= log->start && count < room; (*next)++)
            if (log->records[*next].topic != INPUT_NONE) member->taken[count++] = log->records[*next];
    }
    return count;
}

/* What is kept, then partitions whose end it has come to since it was last told. */
static size_t tell_ends(struct member *member) {
    size_t count = member->kept_ends;
    if (random_chance(&world.group, 30)) return count;
    for (uint32_t shard = 0; shard < world.shard_count; shard++)
        for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS && member->fetches[shard]; topic++) {
            uint64_t next = member->next[topic][shard];
            if (next != in_logs[topic][shard].count || member->told_end[topic][shard] == next + 1) continue;
            member->told_end[topic][shard] = next + 1;
            member->ends[count++] = (struct input_end){shard, topic, next};
        }
    return count;
}

static bool has_something(const struct member *member) {
    if (is_called(member)) return true;
    for (uint32_t shard = 0; shard < world.shard_count; shard++)
        for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS && member->fetches[shard]; topic++)
            if (member->next[topic][shard] != in_logs[topic][shard].count && has_leader(topic, shard)) return true;
    return false;
}

static int sim_poll(struct input *input, int wait_ms, size_t limit, size_t bytes, struct input_event *ret_event,
                    struct error *error) {
    (void)bytes;
    struct sim_lane *lane = lane_of(input);
    struct member *member = self(input);
    struct armed *fault = op_begin(lane, OP_POLL);
    if (armed_fails(fault)) {
        drop_kept(member);
        return fault->kind == ARMED_FATAL ? error_set(error, ERROR_INTERNAL, "kafka-error", "the client has failed")
                                          : unavailable(error);
    }
    if (!member->kept && !has_something(member)) fleet_wait(member, (micros)wait_ms * MS);
    if (broker_is_away() && member->state != MEMBER_GONE && random_chance(&world.group, 30)) {
        drop_kept(member);
        return unavailable(error);
    }
    *ret_event = (struct input_event){.kind = INPUT_RECORDS, .records = member->taken};
    if (tell_group(lane, member, ret_event)) {
        drop_kept(member);
    } else if (!tell_outside(member, ret_event)) {
        member->given = ret_event->record_count = take_records(member, limit);
        ret_event->ends = member->ends;
        member->given_ends = ret_event->end_count = tell_ends(member);
    }
    for (size_t i = member->kept; i < ret_event->record_count && tracing(); i++)
        trace("lane%u polls %s %u/%llu", lane->number, topic_text(member->taken[i].topic), member->taken[i].shard,
              (unsigned long long)member->taken[i].offset);
    op_end(lane, OP_POLL, fault);
    return 0;
}

static void sim_free_records(struct input *input) { drop_kept(self(input)); }

static void sim_keep_records(struct input *input) {
    struct member *member = self(input);
    member->kept = member->given;
    member->kept_ends = member->given_ends;
    trace("lane%u waits for more than %zu records", lane_of(input)->number, member->kept);
}

static int sim_assign(struct input *input, const struct input_position *positions, size_t count, struct error *error) {
    struct sim_lane *lane = lane_of(input);
    struct member *member = self(input);
    struct armed *fault = op_begin(lane, OP_ASSIGN);
    if ((member->revoked && count) || armed_fails(fault))
        return error_set(error, ERROR_UNAVAILABLE, "kafka-error", "the group took all shards back; assign none first");
    memset(member->fetches, 0, sizeof member->fetches);
    drop_kept(member);
    for (size_t i = 0; i < count; i++) {
        uint32_t shard = positions[i].shard;
        member->fetches[shard] = true;
        for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++) {
            member->next[topic][shard] = positions[i].position[topic];
            member->told_end[topic][shard] = 0;
        }
    }
    if (member->revoked) {
        trace("lane%u has given its shards back", lane->number);
        member->revoked = member->was_assigned = false;
        if (member->state == MEMBER_REVOKING) member->state = MEMBER_JOINED;
        look_at_rebalance();
    }
    op_end(lane, OP_ASSIGN, fault);
    return 0;
}

static void sim_report(struct input *input, const struct input_position *positions, size_t count) {
    (void)input, (void)positions, (void)count;
}

static void sim_free(struct input *input) { (void)input; }

const struct input_operations sim_input_operations = {.partitions = sim_partitions,
                                                      .bounds = sim_bounds,
                                                      .known_end = sim_known_end,
                                                      .poll = sim_poll,
                                                      .free_records = sim_free_records,
                                                      .keep_records = sim_keep_records,
                                                      .assign = sim_assign,
                                                      .report = sim_report,
                                                      .free = sim_free};
