#include "model_state.h"

#include "codes.h"
#include "json.h"

#include <string.h>

static const instant DAY = (instant)86400 * SECOND;

struct model model;

/* The commit that is being read, and which of its silent looks have been right before one of its rows, or behind the last. */
static struct {
    const struct commit *commit;
    const struct commit_shard *shard;
    const struct knowledge *knowledge;
    bool right[EVENTS_MAX];
} looks;

void model_begin(void) {
    memset(&model, 0, sizeof model);
    looks.commit = NULL;
}

/* ---- what a row says ---- */

struct decision {
    struct slice code, outcome, would_be, promotion_id, environment, git_sha, project, conditions;
    int64_t revision, original;
    instant expires_at;
    unsigned char id[STORE_KEY];
};

static struct arena arena;

static bool read_decision(const struct ledger_row *row, struct decision *d) {
    const struct json *root;
    struct error error;
    int64_t shard;
    *d = (struct decision){0};
    if (json_read_strict(&arena, row->decision, NULL, &root, &error)) return false;
    d->code = json_get_text(root, "code");
    d->outcome = json_get_text(root, "outcome");
    d->would_be = json_get_text(root, "wouldBe");
    d->promotion_id = json_get_text(root, "promotionId");
    d->environment = json_get_text(root, "environment");
    d->project = json_get_text(root, "project");
    d->git_sha = json_get_text(json_get(root, "release"), "gitSha");
    d->conditions = conditions_read(json_get(root, "conditions"));
    const struct json *revision = json_get(root, "revision"), *original = json_get(root, "original");
    if (revision && !json_int64(revision, &d->revision)) return false;
    if (original && (!json_int64(json_get(original, "sequence"), &d->original) ||
                     !json_int64(json_get(original, "shard"), &shard) || shard != row->shard))
        return false;
    struct slice expires = json_get_text(root, "expiresAt");
    if (expires.p && !text_parse_instant(expires, &d->expires_at)) return false;
    return !d->promotion_id.p || text_unbase32(d->id, d->promotion_id);
}

static void wrong(const struct ledger_row *row, const struct event *e, const char *expected, const struct decision *d) {
    world_violate("decision", (int)row->shard, row->sequence, e ? e->number : -1,
                  "row %u-%llu%s is of kind %d (code %.*s, outcome %.*s) and was to be %s", row->shard,
                  (unsigned long long)row->sequence, e ? keep_print(" for e%d", e->number).p : "", row->kind, SLICE_ARG(d->code),
                  SLICE_ARG(d->outcome), expected);
}

/* ---- what is to become of a promotion ---- */

struct wish {
    int project, release, environment;
    instant expires_at, now;
    uint64_t version;
    const struct told *told;
    bool truth; /* the registries as they are now, whatever was told */
};

static struct verdict weigh(const struct wish *wish) {
    const struct m_release *release = &model.releases[wish->project][wish->release];
    int before = wish->environment ? wish->environment - 1 : 0;
    struct situation situation = {.project = wish->project,
                                  .release = wish->release,
                                  .environment = wish->environment,
                                  .policy = policies_at(wish->version),
                                  .build =
                                      release->verified ? release_facts(wish->project, wish->release, release->variant) : NULL,
                                  .is_signed = release->variant == 3,
                                  .was_promoted_before = model.promoted[wish->project][wish->release][before],
                                  .told = wish->told,
                                  .truth = wish->truth};
    return conditions_expected(&situation);
}

static const char *expected(const struct wish *wish, const struct verdict *verdict) {
    const struct m_environment *environment = &model.environments[wish->project][wish->environment];
    if (verdict->named && environment->known && environment->release == wish->release && wish->expires_at > wish->now)
        return "promoted"; /* it is there already */
    if (wish->expires_at <= wish->now) return "expired";
    return verdict->failed ? "rejected" : verdict->unmet ? "waiting" : "promoted";
}

/* What a promotion is to be now: its outcome, and the conditions for it. */
static void judge(const struct wish *wish, const struct ledger_row *row, const struct event *e, const struct decision *d) {
    struct verdict verdict = weigh(wish);
    const char *outcome = expected(wish, &verdict);
    if (!slice_is(e && e->dry_run ? d->would_be : d->outcome, outcome)) wrong(row, e, outcome, d);
    if (!slice_equal(d->conditions, verdict.conditions))
        wrong(row, e,
              keep_print("of the conditions %.*s and not %.*s", SLICE_ARG(verdict.conditions), SLICE_ARG(d->conditions)).p, d);
}

/* ---- promotions ---- */

static enum promotion_outcome outcome_of(struct slice text) {
    static const char *const texts[] = {"", "waiting", "promoted", "rejected", "superseded", "aborted", "expired"};
    for (int i = 1; i <= PROMOTION_EXPIRED; i++)
        if (slice_is(text, texts[i])) return (enum promotion_outcome)i;
    return 0;
}

static void settle(struct m_promotion *p, const struct ledger_row *row, const struct decision *d) {
    p->outcome = outcome_of(d->outcome);
    p->revision = (uint32_t)d->revision;
    p->answered = row->sequence;
    p->conditions = d->conditions;
    if (p->outcome != PROMOTION_WAITING) p->decided = row->sequence;
    if (p->outcome != PROMOTION_PROMOTED) return;
    model.promoted[p->project][p->release][p->environment] = true;
    if (slice_is(d->code, "already-promoted")) return;
    struct m_environment *environment = &model.environments[p->project][p->environment];
    *environment = (struct m_environment){.known = true, .release = p->release, .sequence = row->sequence, .since = row->at};
    memcpy(environment->promotion, p->id, STORE_KEY);
}

static struct m_promotion *find_open(int project, int release, int environment) {
    for (size_t i = 0; i < model.promotion_count; i++) {
        struct m_promotion *p = &model.promotions[i];
        if (p->outcome == PROMOTION_WAITING && p->project == project && p->release == release && p->environment == environment)
            return p;
    }
    return NULL;
}

static struct wish wish_of(const struct m_promotion *p) {
    return (struct wish){
        .project = p->project, .release = p->release, .environment = p->environment, .expires_at = p->expires_at};
}

/* A later answer of a promotion that waited: by a look at it, or by another request that takes its place. */
static void read_later(const struct ledger_row *row, const struct knowledge *knowledge) {
    struct decision d;
    struct m_promotion *p = NULL;
    if (!read_decision(row, &d)) {
        wrong(row, NULL, "readable", &d);
        return;
    }
    for (size_t i = 0; i < model.promotion_count; i++)
        if (memcmp(model.promotions[i].id, d.id, STORE_KEY) == 0) p = &model.promotions[i];
    if (!p || p->outcome != PROMOTION_WAITING) {
        wrong(row, NULL, "about a promotion that waits", &d);
        return;
    }
    if (d.revision != p->revision + 1) wrong(row, NULL, "the next revision", &d);
    if (d.expires_at != p->expires_at) wrong(row, NULL, "of the same limit", &d);
    bool same = slice_equal(d.conditions, p->conditions);
    if (slice_is(d.outcome, "superseded")) {
        model.superseded[row->shard] = p;
        if (!same) wrong(row, NULL, "of the conditions as last answered", &d);
    } else if (knowledge) {
        struct wish wish = wish_of(p);
        wish.now = row->at;
        wish.version = row->control_version;
        wish.told = knowledge->told;
        judge(&wish, row, NULL, &d);
    }
    if (same && slice_is(d.outcome, "waiting"))
        world_violate("timers", (int)row->shard, row->sequence, -1,
                      "row %u-%llu says again that a promotion waits, with the conditions that were answered last", row->shard,
                      (unsigned long long)row->sequence);
    settle(p, row, &d);
}

/* ---- looks that find nothing new ---- */

static const struct m_promotion *find_opened(uint32_t shard, uint64_t opened) {
    for (size_t i = 0; i < model.promotion_count; i++)
        if (model.promotions[i].shard == shard && model.promotions[i].opened == opened) return &model.promotions[i];
    return NULL;
}

static bool is_silent(const struct promotion_row *row) {
    return row->shard == looks.shard->shard && row->outcome == PROMOTION_WAITING &&
           row->answered_sequence <= looks.shard->sequence;
}

static void look(void) {
    for (size_t i = 0; looks.commit && i < looks.commit->changed_count && i < EVENTS_MAX; i++) {
        const struct promotion_row *row = &looks.commit->changed[i];
        const struct m_promotion *p = is_silent(row) && !looks.right[i] ? find_opened(row->shard, row->opened_sequence) : NULL;
        if (!p) continue;
        struct wish wish = wish_of(p);
        wish.now = looks.shard->now_at;
        wish.version = looks.shard->control_version;
        wish.told = looks.knowledge->told;
        struct verdict verdict = weigh(&wish);
        looks.right[i] = strcmp(expected(&wish, &verdict), "waiting") == 0 && slice_equal(verdict.conditions, p->conditions);
    }
}

void model_read_looks(const struct commit *commit, const struct commit_shard *shard, const struct knowledge *knowledge) {
    looks.commit = commit;
    looks.shard = shard;
    looks.knowledge = knowledge;
    memset(looks.right, 0, sizeof looks.right);
    look();
}

static void judge_looks(void) {
    for (size_t i = 0; looks.commit && i < looks.commit->changed_count && i < EVENTS_MAX; i++) {
        const struct promotion_row *row = &looks.commit->changed[i];
        if (is_silent(row) && !looks.right[i])
            world_violate(
                "timers", (int)row->shard, row->answered_sequence, -1,
                "the promotion that row %u-%llu has opened is looked at, its conditions have changed, and nobody says so",
                row->shard, (unsigned long long)row->opened_sequence);
    }
    looks.commit = NULL;
}

/* ---- events ---- */

static instant limit_of(const struct event *e, const struct ledger_row *row) {
    const struct policy_facts *policy = policies_at(row->control_version);
    bool known = policy && (e->project < 3 || (project_is_beta(e->project) && policy->knows_beta));
    instant limit = row->at + (known && policy->limit < 7 * DAY ? policy->limit : 7 * DAY);
    return e->expires_at && e->expires_at < limit ? e->expires_at : limit;
}

static void read_request(const struct ledger_row *row, const struct event *e, const struct decision *d,
                         const struct knowledge *knowledge) {
    struct m_promotion *open = find_open(e->project, e->release, e->environment);
    struct wish wish = {.project = e->project,
                        .release = e->release,
                        .environment = e->environment,
                        .expires_at = limit_of(e, row),
                        .now = row->at,
                        .version = row->control_version,
                        .told = knowledge ? knowledge->told : NULL};
    if (knowledge) {
        judge(&wish, row, e, d);
        if ((row->kind == RESULT_PROMOTION_EVALUATED) != e->dry_run) wrong(row, e, e->dry_run ? "a dry run" : "no dry run", d);
        if (d->expires_at != wish.expires_at) wrong(row, e, "of another limit", d);
        if (memcmp(d->id, e->key, STORE_KEY) != 0) wrong(row, e, "of another promotion id", d);
        if (d->revision != 1) wrong(row, e, "the first revision", d);
    }
    if (e->dry_run) return;
    if (open) wrong(row, e, "behind the end of the promotion that it supersedes", d);
    struct m_promotion *p = KEEP_ADD(model.promotions, model.promotion_count, model.promotion_room);
    *p = (struct m_promotion){.shard = row->shard,
                              .project = e->project,
                              .release = e->release,
                              .environment = e->environment,
                              .opened = row->sequence,
                              .opened_at = row->at,
                              .expires_at = wish.expires_at,
                              .identity = e->identity,
                              .content = e->content};
    memcpy(p->id, e->key, STORE_KEY);
    settle(p, row, d);
}

static void read_build(const struct ledger_row *row, const struct event *e, const struct decision *d,
                       const struct knowledge *knowledge) {
    const struct policy_facts *policy = policies_at(row->control_version);
    struct m_release *release = &model.releases[e->project][e->release];
    bool beta = project_is_beta(e->project), known = policy && (e->project < 3 || (beta && policy->knows_beta));
    bool allowed = known && (e->variant == 3 || (beta ? policy->unsigned_beta : policy->unsigned_acme));
    bool same = release->verified && (release->variant == 2) == (e->variant == 2);
    const char *code = !known               ? "unknown-project"
                       : !allowed           ? "unsigned"
                       : !release->verified ? "verified"
                       : same               ? "already-built"
                                            : "manifest-conflict";
    bool good = allowed && (!release->verified || same);
    if (knowledge && (!slice_is(d->code, code) || row->kind != (good ? RESULT_RELEASE_VERIFIED : RESULT_RELEASE_REJECTED)))
        wrong(row, e, code, d);
    if (slice_is(d->code, "verified"))
        *release = (struct m_release){.verified = true, .variant = e->variant, .sequence = row->sequence, .at = row->at};
}

/* The last answer to the event that has used the id. */
static uint64_t last_answer(const struct event *e) {
    uint64_t last = model.claims[e->identity].sequence;
    for (size_t i = 0; i < model.promotion_count; i++)
        if (memcmp(model.promotions[i].id, e->key, STORE_KEY) == 0) last = model.promotions[i].answered;
    return last;
}

static void read_accepted(const struct ledger_row *row, const struct event *e, const struct decision *d,
                          const struct knowledge *knowledge) {
    struct m_claim *claim = &model.claims[e->identity];
    const char *refusal = e->time < row->at - 30 * DAY                          ? "stale"
                          : e->time > row->at + (instant)300 * SECOND           ? "in-the-future"
                          : claim->claimed && claim->content != e->content      ? "event-id-conflict"
                          : !claim->claimed && knowledge && e->refused_by_store ? "internal-error"
                                                                                : NULL;
    if (refusal && e->refused_by_store && slice_is(d->code, "internal-error"))
        refusal = "internal-error"; /* the database refused it, and meanwhile it has become too old */
    if (refusal) {
        if (knowledge && (row->kind != RESULT_EVENT_REFUSED || !slice_is(d->code, refusal))) wrong(row, e, refusal, d);
        return;
    }
    if (claim->claimed) {
        if (row->kind != RESULT_EVENT_DUPLICATE || d->original != (int64_t)last_answer(e)) wrong(row, e, "a duplicate", d);
        return;
    }
    if (row->kind == RESULT_EVENT_REFUSED || row->kind == RESULT_EVENT_DUPLICATE) {
        if (knowledge) wrong(row, e, "accepted", d);
        return;
    }
    if (e->expect == EXPECT_BUILD)
        read_build(row, e, d, knowledge);
    else
        read_request(row, e, d, knowledge);
    *claim = (struct m_claim){true, e->content, row->sequence, row->at};
}

/* No innocent record may be dead-lettered for the deaths of lanes. */
static void judge_unread(const struct ledger_row *row, const struct event *e, const struct decision *d, unsigned deaths) {
    if (deaths >= 2) return;
    wrong(row, e, "read: lanes have not died on it twice", d);
}

static void read_event(const struct ledger_row *row, const struct event *e, const struct knowledge *knowledge, unsigned deaths) {
    struct decision d;
    if (!read_decision(row, &d)) {
        wrong(row, e, "readable", &d);
        return;
    }
    bool dead = row->kind == RESULT_DEAD_LETTER;
    if (dead && slice_is(d.code, code_text(CODE_CRASHES_WORKER))) {
        if (knowledge) judge_unread(row, e, &d, deaths);
        return;
    }
    if (e->kills) {
        wrong(row, e, "dead-lettered unread", &d);
        return;
    }
    switch (e->expect) {
    case EXPECT_DEAD:
        if (!dead || !slice_is(d.code, code_text(CODE_NOT_CLOUDEVENT))) wrong(row, e, "a dead letter", &d);
        return;
    case EXPECT_REFUSED:
        if (row->kind != RESULT_EVENT_REFUSED || !slice_is(d.code, e->code)) wrong(row, e, e->code, &d);
        return;
    case EXPECT_BUILD:
    case EXPECT_REQUEST:
        break;
    }
    if (dead)
        wrong(row, e, "answered", &d);
    else
        read_accepted(row, e, &d, knowledge);
}

void model_read(const struct ledger_row *row, const struct knowledge *knowledge, unsigned deaths) {
    arena_init(&arena, 4 * 1024 * 1024);
    const struct m_promotion *superseded = model.superseded[row->shard];
    const struct event *e = row->topic == INPUT_NONE ? NULL : workload_at(row->shard, row->topic, row->offset);
    model.superseded[row->shard] = NULL;
    if (superseded && (!e || e->project != superseded->project || e->release != superseded->release ||
                       e->environment != superseded->environment))
        world_violate("decision", (int)row->shard, row->sequence, e ? e->number : -1,
                      "row %u-%llu follows the end of a promotion and is not the request that superseded it", row->shard,
                      (unsigned long long)row->sequence);
    if (row->topic == INPUT_NONE && row->kind != RESULT_SHARD_RESUMED) read_later(row, knowledge);
    if (row->topic != INPUT_NONE && !e)
        world_violate("order", (int)row->shard, row->sequence, -1, "row %u-%llu is for a record that was never sent", row->shard,
                      (unsigned long long)row->sequence);
    if (e) read_event(row, e, knowledge, deaths);
    arena_release(&arena);
    look();
}

void model_read_all(uint32_t shard) {
    if (model.superseded[shard])
        world_violate("decision", (int)shard, db.shards[shard].sequence, -1,
                      "the last row of a commit supersedes a promotion and no request follows");
    model.superseded[shard] = NULL;
    judge_looks();
}

/* ---- at rest ---- */

void model_compare_waiting(void) {
    for (size_t i = 0; i < model.promotion_count; i++) {
        const struct m_promotion *p = &model.promotions[i];
        if (p->outcome != PROMOTION_WAITING || db.shards[p->shard].stopped.p) continue;
        struct wish wish = wish_of(p);
        wish.now = world_store_now();
        wish.version = policies_version();
        wish.truth = true;
        struct verdict verdict = weigh(&wish);
        const char *what = expected(&wish, &verdict);
        if (strcmp(what, "waiting") != 0)
            world_violate("timers", (int)p->shard, p->answered, -1,
                          "the promotion that row %u-%llu has opened still waits, and it should be %s", p->shard,
                          (unsigned long long)p->opened, what);
        if (!slice_equal(verdict.conditions, p->conditions))
            world_violate("timers", (int)p->shard, p->answered, -1,
                          "the promotion that row %u-%llu has opened still waits for what its last answer no longer says",
                          p->shard, (unsigned long long)p->opened);
    }
}
