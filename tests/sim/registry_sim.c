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
    micros until;
} hosts[HOSTS];

void registry_sim_begin(void) {
    images = NULL;
    image_count = image_room = 0;
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

static enum registry_mode mode_of(struct slice host) {
    for (int i = 0; i < HOSTS; i++)
        if (slice_is(host, host_name(i)) && hosts[i].until > world.now) return hosts[i].mode;
    return REGISTRY_WELL;
}

static void answer(struct registry_question *q, struct arena *arena, instant now, struct random *random) {
    enum registry_mode mode = mode_of(q->host);
    bool usually = random_chance(random, 85);
    q->answer = registry_sim_truth(q->digest);
    q->status = q->answer == REGISTRY_FOUND ? 200 : 404;
    q->checked_at = now;
    q->again_at = 0;
    if (!usually) return;
    if (mode == REGISTRY_SLOW || mode == REGISTRY_AWAY) q->answer = REGISTRY_UNREACHABLE, q->status = 0;
    if (mode == REGISTRY_DENYING) q->answer = REGISTRY_DENIED, q->status = 401;
    if (mode == REGISTRY_LIMITING) q->answer = REGISTRY_BUSY, q->status = 429, q->again_at = now + 7 * SECOND;
    if (mode == REGISTRY_LYING) {
        q->answer = REGISTRY_MISMATCH;
        q->status = 200;
        q->found_digest = arena_print(arena, "sha256:%064d", 7);
    }
    if (mode != REGISTRY_WELL && mode != REGISTRY_LYING) q->detail = SLICE("the registry gives no usable answer");
}

static void sim_ask(struct registry *registry, struct arena *arena, struct registry_question *questions, size_t count,
                    instant now, int wait_ms) {
    struct sim_lane *lane = LANE_OF(registry, registry);
    struct armed *fault = op_begin(lane, OP_ASK);
    bool slow = false;
    for (size_t i = 0; i < count; i++) {
        slow |= mode_of(questions[i].host) == REGISTRY_SLOW || mode_of(questions[i].host) == REGISTRY_AWAY;
        answer(&questions[i], arena, now, &world.store);
        check_told(lane->number, questions[i].host, questions[i].digest, questions[i].answer);
        trace("lane%u asks %.*s for %.*s: %d", lane->number, SLICE_ARG(questions[i].host), SLICE_ARG(questions[i].digest),
              questions[i].answer);
    }
    if (slow) fleet_sleep((micros)wait_ms * MS);
    op_end(lane, OP_ASK, fault);
}

static void sim_free(struct registry *registry) { (void)registry; }

const struct registry_operations sim_registry_operations = {.ask = sim_ask, .free = sim_free};
