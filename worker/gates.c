#include "gates.h"

#include "json.h"

static const instant SECOND = 1000000;

struct evaluation {
    struct arena *arena;
    const struct facts *facts;
    const char *type;
    struct condition *conditions;
    size_t count, room;
    bool exhausted;
};

/* Adds a condition; its status is that of its code. */
static struct condition *add(struct evaluation *e, struct slice subject, enum code code, struct slice message) {
    if (!message.p || e->count == e->room) {
        e->exhausted = true;
        return NULL;
    }
    struct condition *condition = &e->conditions[e->count++];
    enum code_use use = code_use(code);
    *condition = (struct condition){.type = slice_str(e->type),
                                    .subject = subject,
                                    .status = use == CODE_MET     ? CONDITION_MET
                                              : use == CODE_UNMET ? CONDITION_UNMET
                                                                  : CONDITION_FAILED,
                                    .code = code,
                                    .code_text = slice_str(code_text(code)),
                                    .message = message};
    return condition;
}

static void evaluate_policy(struct evaluation *e) {
    const struct facts *f = e->facts;
    if (!f->has_policy) return; /* nothing can be looked at yet */
    if (!f->project_policy)
        add(e, f->project, CODE_UNKNOWN_PROJECT,
            arena_print(e->arena, "no project of the policy matches %.*s", SLICE_ARG(f->project)));
    else if (!f->environment_policy)
        add(e, f->environment, CODE_UNKNOWN_ENVIRONMENT,
            arena_print(e->arena, "the policy gives %.*s no environment %.*s", SLICE_ARG(f->project), SLICE_ARG(f->environment)));
    else
        add(e, f->environment, CODE_ALLOWED, SLICE("the policy names it"));
}

static void evaluate_release(struct evaluation *e) {
    const struct facts *f = e->facts;
    if (f->release_verified)
        add(e, f->git_sha, CODE_VERIFIED, SLICE("the release is verified"));
    else
        add(e, f->git_sha, CODE_NOT_BUILT_YET,
            arena_print(e->arena, "there is no verified release of %.*s yet; its build-complete must come first",
                        SLICE_ARG(f->git_sha)));
}

static void evaluate_after(struct evaluation *e) {
    const struct facts *f = e->facts;
    for (size_t i = 0; f->environment_policy && i < f->environment_policy->after_count; i++) {
        struct slice environment = f->environment_policy->after[i];
        if (f->promoted[i])
            add(e, environment, CODE_PROMOTED,
                arena_print(e->arena, "%.*s was promoted to %.*s", SLICE_ARG(f->git_sha), SLICE_ARG(environment)));
        else
            add(e, environment, CODE_NOT_PROMOTED_YET,
                arena_print(e->arena, "%.*s is not in %.*s yet; promote it there first", SLICE_ARG(f->git_sha),
                            SLICE_ARG(environment)));
    }
}

static void evaluate_signature(struct evaluation *e) {
    const struct facts *f = e->facts;
    if (!f->release_verified || !f->project_policy) return;
    if (f->attestation_enabled)
        add(e, SLICE("manifest"), CODE_NOT_VERIFIABLE_YET,
            SLICE("the manifest names signatures, and nothing has verified them; unverified signatures never count"));
    else if (f->project_policy->unsigned_allowed)
        add(e, SLICE("manifest"), CODE_UNSIGNED_ALLOWED, SLICE("the release is unsigned, which the policy allows"));
    else
        add(e, SLICE("manifest"), CODE_UNSIGNED,
            SLICE("the release is unsigned; the policy wants signatures (unsigned: refuse)"));
}

/* Looks sooner at what has just begun: half of the time that it has lasted, from 2 seconds to 5 minutes. */
static instant look_again(instant since, instant now) {
    instant delay = (now - since) / 2;
    if (delay < 2 * SECOND) delay = 2 * SECOND;
    if (delay > 300 * SECOND) delay = 300 * SECOND;
    return now + delay;
}

static enum code code_of_answer(enum registry_answer answer) {
    switch (answer) {
    case REGISTRY_FOUND:
        return CODE_FOUND;
    case REGISTRY_MISSING:
        return CODE_ARTIFACT_MISSING;
    case REGISTRY_MISMATCH:
        return CODE_DIGEST_MISMATCH;
    case REGISTRY_DENIED:
        return CODE_REGISTRY_DENIED;
    case REGISTRY_BUSY:
        return CODE_REGISTRY_BUSY;
    case REGISTRY_NOT_ASKED:
    case REGISTRY_UNREACHABLE:
        break;
    }
    return CODE_REGISTRY_UNREACHABLE; /* unknown is never yes */
}

/* A NULL slice when there are none, or more than anybody wants to read. -1 without memory. */
static int registry_facts(struct arena *arena, const struct registry_question *q, struct slice *ret_facts) {
    *ret_facts = (struct slice){0};
    if (!q) return 0;
    char at[TEXT_INSTANT];
    text_instant(at, q->checked_at);
    struct buf buf;
    buf_init(&buf, 4096);
    buf_print(&buf, "{\"status\":%d", q->status);
    if (q->found_digest.p) {
        buf_str(&buf, ",\"digest\":");
        json_write_string(&buf, q->found_digest);
    }
    if (q->checked_at) buf_print(&buf, ",\"checkedAt\":\"%.*s\"", TEXT_INSTANT, at);
    buf_char(&buf, '}');
    bool full = buf.full;
    if (!buf.failed) *ret_facts = arena_copy(arena, buf_slice(&buf));
    buf_release(&buf);
    return ret_facts->p || full ? 0 : -1;
}

static struct slice registry_message(struct arena *arena, enum code code, const struct artifact_fact *fact) {
    struct slice host = fact->host, digest = fact->artifact->digest;
    const struct registry_question *q = fact->question;
    switch (code) {
    case CODE_FOUND:
        return arena_print(arena, "%.*s has %.*s", SLICE_ARG(host), SLICE_ARG(digest));
    case CODE_ARTIFACT_MISSING:
        return arena_print(arena, "%.*s has nothing under %.*s; push it, then ask again", SLICE_ARG(host), SLICE_ARG(digest));
    case CODE_DIGEST_MISMATCH:
        return arena_print(arena, "%.*s was asked for %.*s and answered with %.*s", SLICE_ARG(host), SLICE_ARG(digest),
                           SLICE_ARG(q->found_digest));
    default:
        break;
    }
    if (!q || !q->detail.p) return arena_print(arena, "%.*s has not answered yet", SLICE_ARG(host));
    return q->detail;
}

static void evaluate_asked(struct evaluation *e, const struct artifact_fact *fact) {
    enum code code = code_of_answer(fact->question ? fact->question->answer : REGISTRY_NOT_ASKED);
    struct condition *condition = add(e, fact->artifact->name, code, registry_message(e->arena, code, fact));
    if (!condition) return;
    if (registry_facts(e->arena, fact->question, &condition->facts)) e->exhausted = true;
    if (condition->status == CONDITION_UNMET) condition->again_at = fact->question ? fact->question->again_at : 0;
}

static void evaluate_artifact(struct evaluation *e) {
    const struct facts *f = e->facts;
    if (!f->release_verified || !f->project_policy) return;
    for (size_t i = 0; i < f->artifact_count; i++) {
        const struct artifact_fact *fact = &f->artifacts[i];
        const struct artifact *artifact = fact->artifact;
        if (fact->lookup == LOOKUP_ASKED)
            evaluate_asked(e, fact);
        else if (fact->lookup == LOOKUP_FORBIDDEN)
            add(e, artifact->name, CODE_REGISTRY_FORBIDDEN,
                arena_print(e->arena, "the policy does not name %.*s among its registries", SLICE_ARG(fact->host)));
        else if (policy_type_is_unchecked(f->project_policy, artifact->type))
            add(e, artifact->name, CODE_UNCHECKED,
                arena_print(e->arena, "the policy lets artifacts of type %.*s go unchecked", SLICE_ARG(artifact->type)));
        else
            add(e, artifact->name, CODE_ARTIFACT_UNCHECKABLE,
                arena_print(e->arena, "%.*s has no registry URI; give it one, or name its type in unchecked-types",
                            SLICE_ARG(artifact->name)));
    }
}

/* The gates, in the order in which results list them. */
static const struct {
    const char *type;
    void (*evaluate)(struct evaluation *);
} gates[] = {
    {"policy", evaluate_policy},       /* does the policy know the project and the environment? */
    {"release", evaluate_release},     /* is there a verified release of the SHA? */
    {"after", evaluate_after},         /* was it promoted where it must have been before? */
    {"signature", evaluate_signature}, /* is it signed, or may it be unsigned? */
    {"artifact", evaluate_artifact},   /* do the registries have it, under exactly these digests? */
};

const char *condition_status_text(enum condition_status status) {
    static const char *const texts[] = {"met", "unmet", "failed"};
    return texts[status];
}

static bool is_same(const struct condition *a, const struct condition *b) {
    return slice_equal(a->type, b->type) && slice_equal(a->subject, b->subject) && a->status == b->status &&
           slice_equal(a->code_text, b->code_text);
}

bool gates_differ(const struct condition *a, size_t a_count, const struct condition *b, size_t b_count) {
    if (a_count != b_count) return true;
    for (size_t i = 0; i < a_count; i++)
        if (!is_same(&a[i], &b[i])) return true;
    return false;
}

/* A condition that is as it was keeps the instant since when it is so. */
static void take_since(struct verdict *verdict, const struct condition *previous, size_t previous_count, instant now) {
    for (size_t i = 0; i < verdict->condition_count; i++) {
        struct condition *condition = &verdict->conditions[i];
        condition->since = now;
        for (size_t k = 0; k < previous_count; k++)
            if (is_same(condition, &previous[k])) condition->since = previous[k].since;
    }
}

/* The table of outcomes, from the first line that fits. */
static enum promotion_outcome outcome_of(const struct facts *facts, const struct verdict *verdict) {
    bool unmet = !facts->has_policy, failed = false; /* the first policy wakes what came before it */
    for (size_t i = 0; i < verdict->condition_count; i++) {
        unmet |= verdict->conditions[i].status == CONDITION_UNMET;
        failed |= verdict->conditions[i].status == CONDITION_FAILED;
    }
    if (facts->expires_at <= facts->now) return PROMOTION_EXPIRED;
    if (failed || !verdict->condition_count) return PROMOTION_REJECTED;
    return unmet ? PROMOTION_WAITING : PROMOTION_PROMOTED;
}

static instant wake_at(const struct facts *facts, const struct verdict *verdict) {
    instant earliest = facts->expires_at;
    for (size_t i = 0; i < verdict->condition_count; i++) {
        const struct condition *condition = &verdict->conditions[i];
        if (condition->status != CONDITION_UNMET || !slice_is(condition->type, "artifact")) continue;
        instant again = look_again(condition->since, facts->now);
        if (condition->again_at > again) again = condition->again_at;
        if (again < earliest) earliest = again;
    }
    return earliest;
}

int gates_decide(struct arena *arena, const struct facts *facts, const struct condition *previous, size_t previous_count,
                 struct verdict *ret_verdict) {
    size_t after = facts->environment_policy ? facts->environment_policy->after_count : 0;
    struct evaluation e = {.arena = arena, .facts = facts, .room = 3 + after + facts->artifact_count};
    e.conditions = ARENA_ARRAY(arena, struct condition, e.room);
    if (!e.conditions) return -1;
    for (size_t i = 0; i < sizeof gates / sizeof *gates; i++) {
        e.type = gates[i].type;
        gates[i].evaluate(&e);
    }
    if (e.exhausted) return -1;
    struct verdict verdict = {.conditions = e.conditions, .condition_count = e.count};
    take_since(&verdict, previous, previous_count, facts->now);
    /* To ask for what is already there is granted, whatever has become of its conditions; nothing changes by it. */
    if (facts->is_current && facts->environment_policy && facts->expires_at > facts->now) {
        verdict.outcome = PROMOTION_PROMOTED;
        verdict.code = CODE_ALREADY_PROMOTED;
    } else {
        verdict.outcome = outcome_of(facts, &verdict);
        if (verdict.outcome == PROMOTION_WAITING) verdict.wake_at = wake_at(facts, &verdict);
    }
    *ret_verdict = verdict;
    return 0;
}

int gates_read(struct arena *arena, struct slice json, struct condition **ret_conditions, size_t *ret_count) {
    const struct json *root;
    if (json_read_strict(arena, json, NULL, &root, NULL) || root->kind != JSON_ARRAY) return -1;
    struct condition *conditions = ARENA_ARRAY(arena, struct condition, root->count);
    if (!conditions) return -1;
    size_t count = 0;
    for (const struct json *node = root->first; node; node = node->next) {
        struct condition *condition = &conditions[count++];
        struct slice status = json_get_text(node, "status");
        condition->type = json_get_text(node, "type");
        condition->subject = json_get_text(node, "subject");
        condition->code_text = json_get_text(node, "code");
        condition->message = json_get_text(node, "message");
        const struct json *facts = json_get(node, "facts");
        if (facts) condition->facts = facts->raw;
        condition->status = slice_is(status, "met")     ? CONDITION_MET
                            : slice_is(status, "unmet") ? CONDITION_UNMET
                                                        : CONDITION_FAILED;
        if (!text_parse_instant(json_get_text(node, "since"), &condition->since)) return -1;
    }
    *ret_conditions = conditions;
    *ret_count = count;
    return 0;
}
