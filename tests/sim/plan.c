#include "plan.h"

#include "broker.h"
#include "check.h"
#include "fleet.h"
#include "group.h"
#include "policies.h"
#include "registry_sim.h"
#include "store_sim.h"
#include "workload.h"

enum fault_kind {
    FAULT_ARMED,
    FAULT_CRASH,
    FAULT_PAUSE,
    FAULT_END,
    FAULT_REBALANCE,
    FAULT_THROW_OUT,
    FAULT_STORM,
    FAULT_LATE_END,
    FAULT_DATABASE_AWAY,
    FAULT_DATABASE_OLDER,
    FAULT_BROKER_AWAY,
    FAULT_LEADER,
    FAULT_CLOCK,
    FAULT_POLICY,
    FAULT_REGISTRY,
    FAULT_RETENTION,
    FAULT_INPUT_RECREATED,
    FAULT_INPUT_DELETED
};

struct fault {
    enum fault_kind kind;
    micros at, time;
    unsigned lane;
    uint32_t shard;
    enum op op;
    enum armed_kind armed;
    enum input_topic topic;
    bool is_output; /* of FAULT_LEADER: a partition of `output` instead of `topic` */
    enum output_topic output;
    int host;
    enum registry_mode mode;
    bool clock_slips; /* of FAULT_CLOCK: by some seconds; else it is wrong by `clock` from then on */
    micros clock;
    int number;
};

static const micros MINUTE = 60 * (micros)SECOND, DAY = 24 * 60 * 60 * (micros)SECOND;

/* How often. The rare ones lose data for good, and a run in which that happened proves less of the rest. */
static const struct {
    enum fault_kind kind;
    unsigned weight;
} weights[] = {{FAULT_ARMED, 460},         {FAULT_THROW_OUT, 100},     {FAULT_STORM, 130},      {FAULT_LATE_END, 100},
               {FAULT_CRASH, 90},          {FAULT_PAUSE, 70},          {FAULT_END, 30},         {FAULT_REBALANCE, 70},
               {FAULT_DATABASE_AWAY, 40},  {FAULT_DATABASE_OLDER, 24}, {FAULT_BROKER_AWAY, 30}, {FAULT_LEADER, 60},
               {FAULT_CLOCK, 25},          {FAULT_POLICY, 45},         {FAULT_REGISTRY, 60},    {FAULT_RETENTION, 30},
               {FAULT_INPUT_RECREATED, 3}, {FAULT_INPUT_DELETED, 3}};

/* Where faults hurt most. */
static const enum op favourites[] = {OP_TAKE,    OP_DROP_IDS, OP_COMMIT,  OP_COMMIT,  OP_COMMIT, OP_RELEASE, OP_EPOCHS,
                                     OP_LEDGER,  OP_INIT,     OP_FENCE,   OP_PRODUCE, OP_SEND,   OP_END_TXN, OP_END_TXN,
                                     OP_END_TXN, OP_TAILS,    OP_SUSPECT, OP_POINT,   OP_LOAD,   OP_LOAD};

static micros clock_error; /* of the database */
static struct fault faults[FAULTS_MAX];
static size_t fault_count;

const char *op_text(enum op op) {
    static const char *const texts[] = {
#define OP_TEXT(name, text) text,
        OPS(OP_TEXT)
#undef OP_TEXT
    };
    return texts[op];
}

/* ---- what is counted ---- */

_Static_assert((int)EFFECT_PAUSES == (int)ARMED_PAUSE && (int)EFFECT_COUNT <= (int)EFFECTS_MAX,
               "armed faults are the first effects");

const char *effect_text(enum effect effect) {
    static const char *const texts[] = {
#define EFFECT_TEXT(name, text) text,
        EFFECTS(EFFECT_TEXT)
#undef EFFECT_TEXT
    };
    return texts[effect];
}

void plan_took(enum effect effect) {
    world.result.took[effect]++;
    world.result.faults++;
}

void plan_met(micros until, micros *counted, enum effect effect) {
    if (!fleet_current() || *counted == until) return;
    *counted = until;
    plan_took(effect);
}

void armed_took(const struct armed *fault) {
    if (fault) plan_took((enum effect)fault->kind);
}

bool armed_fails(const struct armed *fault) {
    bool fails = fault && fault->kind >= ARMED_REFUSE && fault->kind <= ARMED_FATAL && fault->kind != ARMED_TWICE;
    if (fails) armed_took(fault);
    return fails;
}

/* ---- what happens ---- */

/* The nearest that the operation knows. */
static enum armed_kind fitting(enum op op, enum armed_kind kind) {
    if (kind == ARMED_TWICE && op != OP_END_TXN) return ARMED_DONE_UNKNOWN;
    if (kind == ARMED_FATAL && op != OP_POLL) return ARMED_REFUSE;
    return kind;
}

static void arm(const struct fault *fault, unsigned lane, enum op op, enum armed_kind kind, micros time) {
    struct armed *armed = KEEP_NEW(struct armed), **at = &fleet[lane].armed;
    *armed = (struct armed){.op = op, .kind = fitting(op, kind), .fault = fault->number, .time = time};
    while (*at) at = &(*at)->next;
    *at = armed;
}

static void rebalance_again(void *argument) {
    (void)argument;
    if (!world.healed) (void)group_rebalance("as the plan says");
}

#define ONE_OF(drawn, array) ((array)[random_below(&(drawn), sizeof(array) / sizeof *(array))])

/* A lane has trouble with publishing, hangs somewhere on its way out of it, and loses its shards meanwhile, and who gets them is
 * in trouble, too: where two may come to believe that a shard is theirs. */
static void raise_storm(const struct fault *fault) {
    static const enum op trouble[] = {OP_SEND, OP_END_TXN, OP_END_TXN, OP_PRODUCE, OP_LEDGER};
    static const enum op places[] = {OP_INIT, OP_INIT, OP_EPOCHS, OP_TAILS, OP_BEGIN, OP_PRODUCE, OP_SEND, OP_END_TXN, OP_LEDGER};
    static const enum op successors[] = {OP_FENCE, OP_FENCE, OP_TAILS, OP_LEDGER, OP_LEDGER, OP_BEGIN, OP_PRODUCE};
    static const enum armed_kind ways[] = {ARMED_STALL_BEFORE, ARMED_STALL_AFTER, ARMED_PAUSE};
    static const enum armed_kind ends[] = {ARMED_STALL_BEFORE, ARMED_STALL_BEFORE, ARMED_STALL_AFTER, ARMED_CRASH_BEFORE,
                                           ARMED_REFUSE};
    struct random drawn = random_of(world.spec->seed, 20000 + (uint64_t)fault->number);
    if (random_chance(&drawn, 70))
        arm(fault, fault->lane, ONE_OF(drawn, trouble), (enum armed_kind)random_between(&drawn, ARMED_REFUSE, ARMED_TWICE),
            random_between(&drawn, MS, 5 * SECOND));
    for (int64_t i = random_between(&drawn, 1, 2); i; i--)
        arm(fault, fault->lane, ONE_OF(drawn, places), ONE_OF(drawn, ways), random_between(&drawn, SECOND, 15 * SECOND));
    for (unsigned lane = 0; lane < world.lane_count; lane++)
        if (lane != fault->lane && random_chance(&drawn, 50))
            arm(fault, lane, ONE_OF(drawn, successors), ONE_OF(drawn, ends), random_between(&drawn, 50 * MS, 8 * SECOND));
    if (random_chance(&drawn, 70) ? group_throw_out(fault->lane) : group_rebalance("as the plan says")) plan_took(EFFECT_STORM);
    for (int i = 0; i < 2; i++) {
        micros at = world.now + random_between(&drawn, 50 * MS, 4 * SECOND),
               again = at + random_between(&drawn, 10 * MS, 500 * MS);
        if (random_chance(&drawn, 60)) world_at(at, rebalance_again, NULL);
        if (random_chance(&drawn, 40)) world_at(again, rebalance_again, NULL); /* while the shard is half taken over */
    }
}

/* Who led it before believes for a while that it still does: meanwhile the shard changes hands. */
static void lose_output_leader(const struct fault *fault) {
    struct random drawn = random_of(world.spec->seed, 30000 + (uint64_t)fault->number);
    broker_lose_leader(fault->output, fault->shard, fault->time);
    for (int i = 0; i < 4; i++) { /* the second of two often finds the shard half taken over */
        micros at = world.now + fault->time + random_between(&drawn, 0, 6 * SECOND);
        world_at(at, rebalance_again, NULL);
        world_at(at + random_between(&drawn, 10 * MS, 400 * MS), rebalance_again, NULL);
    }
}

static void lose_input(const struct fault *fault) {
    const struct in_log *log = &in_logs[fault->topic][fault->shard];
    bool had_some = log->start < log->count;
    if (fault->kind == FAULT_INPUT_RECREATED) {
        workload_close(fault->topic, fault->shard);
        in_log_recreate(fault->topic, fault->shard);
    } else {
        in_log_delete(fault->topic, fault->shard, log->count);
    }
    if (had_some) plan_took(fault->kind == FAULT_INPUT_RECREATED ? EFFECT_INPUT_RECREATED : EFFECT_INPUT_DELETED);
}

static void set_clock(micros error) {
    micros jump = error - clock_error;
    trace("database: its clock jumps by %lld ms", (long long)(jump / MS));
    world_store_clock_offset += jump;
    clock_error = error;
}

static void strike(const struct fault *fault) {
    switch (fault->kind) {
    case FAULT_ARMED:
        arm(fault, fault->lane, fault->op, fault->armed, fault->time);
        return;
    case FAULT_CRASH:
        if (fleet[fault->lane].up) plan_took(EFFECT_KILLED);
        fleet_crash(&fleet[fault->lane], "as the plan says");
        break;
    case FAULT_PAUSE:
        if (fleet[fault->lane].up) plan_took(EFFECT_PAUSED);
        fleet_pause(&fleet[fault->lane], fault->time);
        break;
    case FAULT_END:
        if (fleet[fault->lane].up && !fleet[fault->lane].ending) plan_took(EFFECT_ENDED);
        fleet_ask_to_end(&fleet[fault->lane]);
        break;
    case FAULT_REBALANCE:
        if (group_rebalance("as the plan says")) plan_took(EFFECT_REBALANCED);
        break;
    case FAULT_THROW_OUT:
        if (group_throw_out(fault->lane)) plan_took(EFFECT_THROWN_OUT);
        break;
    case FAULT_STORM:
        raise_storm(fault);
        break;
    case FAULT_LATE_END:
        arm(fault, fault->lane, OP_END_TXN, ARMED_TWICE, fault->time);
        return;
    case FAULT_DATABASE_AWAY:
        trace("database: is away for %lld ms", (long long)(fault->time / MS));
        store_sim_fail_over(fault->time, 0);
        break;
    case FAULT_DATABASE_OLDER:
        store_sim_fail_over(fault->time / 30, 1);
        break;
    case FAULT_BROKER_AWAY:
        trace("broker: is away for %lld ms", (long long)(fault->time / MS));
        broker_go_away(fault->time);
        break;
    case FAULT_LEADER:
        if (fault->is_output)
            lose_output_leader(fault);
        else
            in_log_lose_leader(fault->topic, fault->shard, fault->time);
        break;
    case FAULT_CLOCK:
        plan_took(EFFECT_CLOCK);
        set_clock(fault->clock_slips ? clock_error + fault->time - 2 * SECOND : fault->clock);
        break;
    case FAULT_POLICY:
        if (policies_apply()) plan_took(EFFECT_POLICY);
        break;
    case FAULT_REGISTRY:
        registry_sim_behave(fault->host, fault->mode, world.now + 4 * SECOND + 4 * fault->time);
        break;
    case FAULT_RETENTION:
        if (broker_delete_settled(fault->shard)) plan_took(EFFECT_RETENTION);
        break;
    case FAULT_INPUT_RECREATED:
    case FAULT_INPUT_DELETED:
        lose_input(fault);
        break;
    }
}

static void happen(void *argument) {
    const struct fault *fault = argument;
    if (world.healed) return;
    if (fault->kind != FAULT_ARMED) trace("fault %d:", fault->number);
    strike(fault);
}

/* Whatever a restoration leaves in doubt is looked for soon: by other owners, and when the results themselves are gone. */
static void delete_settled(void *argument) {
    const struct fault *fault = argument;
    if (!world.healed) (void)broker_delete_settled(fault->shard);
}

static void apply_policy(void *argument) {
    (void)argument;
    if (!world.healed) (void)policies_apply();
}

static void remember(void *argument) {
    (void)argument;
    store_sim_remember();
}

/* ---- drawing ---- */

static enum fault_kind draw_kind(struct random *drawn) {
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) sum += weights[i].weight;
    uint64_t fate = random_below(drawn, sum);
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        if (fate < weights[i].weight) return weights[i].kind;
        fate -= weights[i].weight;
    }
    return FAULT_CRASH;
}

static micros draw_time(struct random *drawn) {
    uint64_t fate = random_below(drawn, 100);
    if (fate < 50) return random_between(drawn, MS, 300 * MS);
    if (fate < 85) return random_between(drawn, 300 * MS, 4 * SECOND);
    return random_between(drawn, 4 * SECOND, 20 * SECOND);
}

/* Minutes around those that an event may be ahead, or up to a day; now and then somebody sets it right. */
static micros draw_clock(struct random *drawn) {
    uint64_t fate = random_below(drawn, 100);
    if (fate < 35) return random_between(drawn, -10 * MINUTE, 10 * MINUTE);
    return fate < 85 ? random_between(drawn, -DAY, DAY) : 0;
}

static void draw(struct random *drawn, struct fault *fault, micros until) {
    fault->kind = draw_kind(drawn);
    fault->at = random_between(drawn, 0, until);
    fault->time = draw_time(drawn);
    fault->lane = (unsigned)random_below(drawn, world.lane_count);
    fault->shard = (uint32_t)random_below(drawn, world.shard_count);
    fault->op = random_chance(drawn, 80) ? favourites[random_below(drawn, sizeof favourites / sizeof *favourites)]
                                         : (enum op)random_below(drawn, OP_COUNT);
    fault->armed = (enum armed_kind)random_below(drawn, ARMED_PAUSE + 1);
    if (fault->armed == ARMED_FATAL && fault->number % 4 == 0) fault->op = OP_POLL; /* where alone it is possible */
    fault->topic = random_chance(drawn, 50) ? INPUT_BUILDS : INPUT_REQUESTS;
    fault->is_output = random_chance(drawn, 60);
    fault->output = random_chance(drawn, 60) ? OUTPUT_RESULTS : OUTPUT_DEAD_LETTER;
    fault->clock_slips = random_chance(drawn, 40);
    fault->clock = draw_clock(drawn);
    fault->host = (int)random_below(drawn, HOSTS);
    if (fault->host == HOST_FORBIDDEN) fault->host = HOST_ONE; /* nobody asks that one */
    fault->mode = (enum registry_mode)random_below(drawn, REGISTRY_MODES);
}

/* While a batch is cut in halves because of an event that the database refuses, if there is one. */
static micros during_bisection(struct random *drawn, micros otherwise) {
    size_t first = (size_t)random_below(drawn, event_count);
    for (size_t i = 0; i < event_count; i++) {
        const struct event *e = &events[(first + i) % event_count];
        if (e->refused_by_store) return e->at + random_between(drawn, 2 * MS, 60 * MS);
    }
    return otherwise;
}

/* So shortly before an event that it is processed before anybody looks at the store. */
static micros before_an_event(struct random *drawn) {
    return events[random_below(drawn, event_count)].at - random_between(drawn, 0, 900 * MS);
}

/* What belongs to a fault that is left out does not happen, but is drawn, so that the others stay as they are. */
static void place(struct fault *fault, micros at, void (*happens)(void *)) {
    if (!world.spec->without_fault[fault->number]) world_at(at, happens, fault);
}

void plan_begin(void) {
    struct random drawn = random_of(world.spec->seed, SUBJECT_PLAN);
    micros until = workload_ends() + 4 * SECOND;
    clock_error = 0;
    fault_count = (size_t)random_between(&drawn, 0, random_chance(&drawn, 30) ? FAULTS_MAX : 24);
    bool calm = random_chance(&drawn, 8); /* but for a restoration near the end, which nothing else betrays */
    if (calm) fault_count = 1;
    for (size_t i = 0; i < fault_count; i++) {
        struct fault *fault = &faults[i];
        *fault = (struct fault){.number = (int)i};
        draw(&drawn, fault, until);
        if (fault->kind == FAULT_DATABASE_AWAY && random_chance(&drawn, 80)) fault->at = during_bisection(&drawn, fault->at);
        if (fault->kind == FAULT_DATABASE_OLDER && random_chance(&drawn, 60)) fault->at = before_an_event(&drawn);
        if (calm) {
            fault->kind = FAULT_DATABASE_OLDER;
            fault->at = until - random_between(&drawn, 0, 4 * SECOND);
        }
        if (!i && !calm && random_chance(&drawn, 25)) { /* a registry that is away until the end */
            fault->kind = FAULT_REGISTRY;
            fault->host = HOST_ONE;
            fault->mode = REGISTRY_AWAY;
            fault->time = until;
        }
        place(fault, fault->at, happen);
        bool late = fault->kind == FAULT_ARMED && fault->op == OP_COMMIT && fault->armed == ARMED_LATER;
        if (late && random_chance(&drawn, 60)) place(fault, fault->at, apply_policy); /* of a batch without rows, perhaps */
        if (fault->kind != FAULT_DATABASE_OLDER) continue;
        fault->time = random_between(&drawn, 2 * SECOND, 12 * SECOND);
        place(fault, fault->at - fault->time / 4, remember);
        if (random_chance(&drawn, calm ? 80 : 60)) place(fault, fault->at - fault->time / 5, apply_policy);
        if (random_chance(&drawn, calm ? 20 : 60)) place(fault, fault->at + random_between(&drawn, 0, 600 * MS), rebalance_again);
        place(fault, fault->at + 3 * SECOND, delete_settled);
        /* What is restored then is another's, who is not told. */
        if (calm && random_chance(&drawn, 40)) place(fault, fault->at - fault->time / 4 + MS, rebalance_again);
    }
    world.result.fault_count = fault_count;
}

void plan_heal(void) {
    trace("everything is mended");
    store_sim_heal();
    broker_heal();
    group_heal();
    if (clock_error) set_clock(0);
    registry_sim_heal();
    fleet_heal();
}
