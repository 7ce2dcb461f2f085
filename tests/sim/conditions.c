#include "conditions.h"

#include "registry_sim.h"

#include <string.h>

struct lines {
    char text[4000];
    size_t used;
    bool unmet, failed;
};

static void write(struct lines *lines, struct slice type, struct slice subject, struct slice status, struct slice code) {
    size_t room = sizeof lines->text - lines->used;
    int n = snprintf(lines->text + lines->used, room, "%.*s %.*s %.*s %.*s\n", SLICE_ARG(type), SLICE_ARG(subject),
                     SLICE_ARG(status), SLICE_ARG(code));
    lines->used += n > 0 && (size_t)n < room ? (size_t)n : 0;
}

static void add(struct lines *lines, const char *type, struct slice subject, const char *status, const char *code) {
    lines->unmet |= strcmp(status, "unmet") == 0;
    lines->failed |= strcmp(status, "failed") == 0;
    write(lines, slice_str(type), subject, slice_str(status), slice_str(code));
}

static enum registry_answer answer_to(const struct situation *s, const struct artifact_facts *artifact) {
    if (s->truth) return registry_sim_truth(artifact->digest);
    for (const struct told *told = s->told; told; told = told->next)
        if (slice_equal(told->digest, artifact->digest) && slice_is(told->host, host_name(artifact->host))) return told->answer;
    return REGISTRY_NOT_ASKED;
}

/* The policy wants the release in the environment before this one first. */
static bool is_gated(const struct policy_facts *policy, int environment) {
    return environment && policy->gated[environment] && policy->environments[environment - 1];
}

static void add_artifact(struct lines *lines, const struct situation *s, const struct artifact_facts *artifact) {
    static const struct {
        const char *status, *code;
    } answers[] = {[REGISTRY_NOT_ASKED] = {"unmet", "registry-unreachable"},  [REGISTRY_FOUND] = {"met", "found"},
                   [REGISTRY_MISSING] = {"failed", "artifact-missing"},       [REGISTRY_MISMATCH] = {"failed", "digest-mismatch"},
                   [REGISTRY_DENIED] = {"unmet", "registry-denied"},          [REGISTRY_BUSY] = {"unmet", "registry-busy"},
                   [REGISTRY_UNREACHABLE] = {"unmet", "registry-unreachable"}};
    struct slice name = slice_str(artifact->name);
    if (artifact->host < 0 && s->policy->unchecked_other) {
        add(lines, "artifact", name, "met", "unchecked");
    } else if (artifact->host < 0) {
        add(lines, "artifact", name, "failed", "artifact-uncheckable");
    } else if (artifact->host == HOST_FORBIDDEN || (artifact->host == HOST_TWO && !s->policy->knows_host_two)) {
        add(lines, "artifact", name, "failed", "registry-forbidden");
    } else {
        enum registry_answer answer = answer_to(s, artifact);
        add(lines, "artifact", name, answers[answer].status, answers[answer].code);
    }
}

static void add_build(struct lines *lines, const struct situation *s) {
    bool allowed = project_is_beta(s->project) ? s->policy->unsigned_beta : s->policy->unsigned_acme;
    const char *status = s->is_signed ? "unmet" : allowed ? "met" : "failed";
    add(lines, "signature", SLICE("manifest"), status,
        s->is_signed ? "not-verifiable-yet"
        : allowed    ? "unsigned-allowed"
                     : "unsigned");
    for (size_t i = 0; i < s->build->artifact_count; i++) add_artifact(lines, s, &s->build->artifacts[i]);
}

struct verdict conditions_expected(const struct situation *s) {
    struct lines lines = {.unmet = !s->policy};
    struct slice project = slice_str(project_name(s->project)), environment = slice_str(environment_name(s->environment));
    bool known = s->policy && (s->project < 3 || (project_is_beta(s->project) && s->policy->knows_beta));
    bool named = known && s->environment < ENVIRONMENTS && s->policy->environments[s->environment];
    if (s->policy && !known)
        add(&lines, "policy", project, "failed", "unknown-project");
    else if (s->policy)
        add(&lines, "policy", environment, named ? "met" : "failed", named ? "allowed" : "unknown-environment");
    add(&lines, "release", release_facts(s->project, s->release, 0)->git_sha, s->build ? "met" : "unmet",
        s->build ? "verified" : "not-built-yet");
    if (named && is_gated(s->policy, s->environment))
        add(&lines, "after", slice_str(environment_name(s->environment - 1)), s->was_promoted_before ? "met" : "unmet",
            s->was_promoted_before ? "promoted" : "not-promoted-yet");
    if (s->build && known) add_build(&lines, s);
    return (struct verdict){keep_slice(slice_of(lines.text, lines.used)), lines.unmet, lines.failed, named};
}

struct slice conditions_read(const struct json *array) {
    struct lines lines = {.used = 0};
    if (!array || array->kind != JSON_ARRAY) return (struct slice){0};
    for (const struct json *node = array->first; node; node = node->next)
        write(&lines, json_get_text(node, "type"), json_get_text(node, "subject"), json_get_text(node, "status"),
              json_get_text(node, "code"));
    return keep_slice(slice_of(lines.text, lines.used));
}
