#include "registry_sim.h"

#include "check.h"
#include "policies.h"
#include "ports.h"

static struct image {
    struct slice digest;
    micros since;
} * images;
static size_t image_count, image_room;

static struct {
    enum registry_mode mode;
    micros until, counted;
} hosts[HOSTS];

void registry_sim_begin(void) {
    images = NULL;
    image_count = image_room = 0;
    for (int i = 0; i < HOSTS; i++) hosts[i].counted = 0;
    registry_sim_heal();
}

void registry_sim_push(struct slice digest, micros since) {
    *KEEP_ADD(images, image_count, image_room) = (struct image){keep_slice(digest), since};
}

void registry_sim_behave(int host, enum registry_mode mode, micros until) {
    static const char *const texts[] = {"answers well", "is slow", "is away", "denies", "limits", "lies"};
    trace("registry: %s %s for %lld ms", host_name(host), texts[mode], (long long)((until - world.now) / MS));
    hosts[host].mode = mode;
    hosts[host].until = until;
}

void registry_sim_heal(void) {
    for (int i = 0; i < HOSTS; i++) hosts[i].mode = REGISTRY_WELL;
}

enum registry_answer registry_sim_truth(struct slice digest) {
    for (size_t i = 0; i < image_count; i++)
        if (slice_equal(images[i].digest, digest))
            return images[i].since >= 0 && images[i].since <= world.now ? REGISTRY_FOUND : REGISTRY_MISSING;
    return REGISTRY_MISSING;
}

static int host_of(struct slice name) {
    for (int i = 0; i < HOSTS; i++)
        if (slice_is(name, host_name(i))) return i;
    return HOST_FORBIDDEN;
}

static enum registry_mode mode_of(struct slice name) {
    int host = host_of(name);
    return hosts[host].until > world.now ? hosts[host].mode : REGISTRY_WELL;
}

/* What comes back over the network, and after how long; what takes longer than `wait` has not come. A slow registry says what is
 * true, each time after as long as it likes. */
static micros answer(struct registry_question *q, struct arena *arena, instant now, micros wait) {
    enum registry_mode mode = mode_of(q->host);
    micros takes = mode == REGISTRY_SLOW ? random_between(&world.store, 0, wait * 2) : mode == REGISTRY_AWAY ? wait + 1 : 0;
    q->answer = registry_sim_truth(q->digest);
    q->status = q->answer == REGISTRY_FOUND ? 200 : 404;
    q->checked_at = now;
    if (mode != REGISTRY_SLOW && random_chance(&world.store, 15)) return 0; /* now and then it works all the same */
    if (takes > wait) q->answer = REGISTRY_UNREACHABLE, q->status = 0;
    if (mode == REGISTRY_DENYING) q->answer = REGISTRY_DENIED, q->status = 401;
    if (mode == REGISTRY_LIMITING) q->answer = REGISTRY_BUSY, q->status = 429, q->again_at = now + 7 * SECOND;
    if (mode == REGISTRY_LYING) {
        q->answer = REGISTRY_MISMATCH;
        q->status = 200;
        q->found_digest = arena_print(arena, "sha256:%064d", 7);
    }
    if (mode != REGISTRY_WELL && (mode != REGISTRY_SLOW || takes))
        plan_met(hosts[host_of(q->host)].until, &hosts[host_of(q->host)].counted, EFFECT_REGISTRY_SLOW + mode - REGISTRY_SLOW);
    bool usable = q->answer == REGISTRY_FOUND || q->answer == REGISTRY_MISSING || q->answer == REGISTRY_MISMATCH;
    if (!usable) q->detail = SLICE("the registry gives no usable answer");
    return takes < wait ? takes : wait;
}

static struct digest key_of(const struct registry_question *q) {
    return digest_sha256((struct slice[]){q->host, slice_of("", 1), q->repository, slice_of("", 1), q->digest}, 5);
}

/* One question, by the lane's own breaker and memory of what was found: how long it takes. *ret_failed: it was asked, and there
 * was no answer. */
static micros ask(struct sim_lane *lane, struct registry_question *q, struct arena *arena, instant now, micros wait,
                  bool *ret_failed, bool *ret_answered) {
    uint64_t now_ms = lane->clock.now_ms(&lane->clock);
    struct digest key = key_of(q);
    struct registry_cached cached;
    struct breaker *breaker = &lane->breakers[host_of(q->host)];
    if (registry_cache_get(lane->found, &key, now_ms, &cached)) {
        q->answer = REGISTRY_FOUND;
        q->status = cached.status;
        q->checked_at = cached.checked_at;
        return 0;
    }
    if (breaker_state(breaker, now_ms) == BREAKER_OPEN) {
        q->answer = REGISTRY_BUSY;
        q->again_at = now + (instant)(breaker->until_ms - now_ms) * 1000;
        q->detail = SLICE("the registry keeps failing and is left alone");
        return 0;
    }
    micros takes = answer(q, arena, now, wait);
    *ret_failed |= q->answer == REGISTRY_UNREACHABLE;
    *ret_answered |= q->answer != REGISTRY_UNREACHABLE;
    if (q->answer != REGISTRY_UNREACHABLE) breaker_succeed(breaker);
    if (q->answer == REGISTRY_FOUND)
        registry_cache_put(lane->found, &key, &(struct registry_cached){.status = 200, .checked_at = now}, now_ms);
    return takes;
}

static void sim_ask(struct registry *registry, struct arena *arena, struct registry_question *questions, size_t count,
                    instant now, int wait_ms) {
    struct sim_lane *lane = LANE_OF(registry, registry);
    struct armed *fault = op_begin(lane, OP_ASK);
    bool failed[HOSTS] = {0}, answered[HOSTS] = {0};
    micros wait = (micros)wait_ms * MS, longest = 0;
    for (size_t i = 0; i < count; i++) {
        struct registry_question *q = &questions[i];
        int host = host_of(q->host);
        q->again_at = 0;
        micros takes = ask(lane, q, arena, now, wait, &failed[host], &answered[host]);
        if (takes > longest) longest = takes;
        check_told(lane->number, q->host, q->digest, q->answer);
        trace("lane%u asks %.*s for %.*s: %d", lane->number, SLICE_ARG(q->host), SLICE_ARG(q->digest), q->answer);
    }
    fleet_sleep(longest);                    /* all at once */
    for (int host = 0; host < HOSTS; host++) /* a call counts as one failure */
        if (failed[host] && !answered[host]) breaker_fail(&lane->breakers[host], lane->clock.now_ms(&lane->clock));
    op_end(lane, OP_ASK, fault);
}

bool registry_sim_rests(void) {
    for (unsigned i = 0; i < world.lane_count; i++)
        for (int host = 0; host < HOSTS && fleet[i].up; host++)
            if (fleet[i].breakers[host].until_ms > fleet[i].clock.now_ms(&fleet[i].clock)) return true;
    return false;
}

static void sim_free(struct registry *registry) { (void)registry; }

/* Nothing lingers here. */
static bool sim_tend(struct registry *registry) {
    (void)registry;
    return false;
}

const struct registry_operations sim_registry_operations = {.ask = sim_ask, .tend = sim_tend, .free = sim_free};
