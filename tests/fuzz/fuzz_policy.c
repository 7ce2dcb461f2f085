/* Any bytes as a policy: it is compiled or refused with a place, never anything else; and as YAML, whose values say where they
 * stand.
 *
 * Covers: common/policy.c common/yaml_tree.c */
#include "fuzz.h"
#include "policy.h"
#include "yaml_tree.h"

static void require_place(const struct error *error) {
    size_t line, column;
    require_error(error);
    if (error->kind == ERROR_INPUT && strcmp(error->code, "too-large") != 0)
        REQUIRE(sscanf(error->message, "line %zu, column %zu: ", &line, &column) == 2 && line && column);
}

static void check_yaml(struct arena *arena, struct slice text) {
    static const struct yaml_limits limits = {.bytes = 100000, .values = 1000};
    const struct yaml *root;
    struct error error = {0};
    size_t values = 0;
    if (yaml_read(arena, text, &limits, &root, &error)) {
        require_place(&error);
        return;
    }
    for (const struct yaml *value = root; value;) {
        size_t depth = 0;
        for (const struct yaml *above = value->above; above; above = above->above) depth++;
        REQUIRE(depth <= YAML_DEPTH_MAX && ++values <= limits.values && value->line && value->column);
        REQUIRE(value->kind != YAML_SCALAR || (value->text.p && value->text.p[value->text.n] == '\0'));
        bool yes;
        int64_t number;
        REQUIRE(!(yaml_is_null(value) && (yaml_boolean(value, &yes) || yaml_number(value, 1000, &number))));
        REQUIRE(!yaml_number(value, 1000, &number) || (number >= 0 && number <= 1000));
        REQUIRE(yaml_what(value)[0]);
        if (value->above && value->above->kind == YAML_MAPPING && value->key.n == strlen(value->key.p))
            REQUIRE(yaml_get(value->above, value->key.p) == value); /* keys stand once */
        const struct yaml *next = value->first ? value->first : value->next;
        while (!next && (value = value->above)) next = value->next;
        value = next;
    }
}

/* Every `after` names an environment, and following them one is back nowhere. */
static void check_project(const struct policy_project *project) {
    REQUIRE(project->waiting_limit > 0 && project->waiting_limit <= (int64_t)7 * 86400 * 1000000 && project->match.n <= 200);
    size_t passed = 0, before = 1;
    char done[256] = {0};
    REQUIRE(project->environment_count <= sizeof done);
    while (passed != before) {
        before = passed;
        for (size_t i = 0; i < project->environment_count; i++) {
            const struct policy_environment *environment = &project->environments[i];
            bool ready = !done[i];
            for (size_t k = 0; k < environment->after_count; k++) {
                const struct policy_environment *gate = policy_environment(project, environment->after[k]);
                REQUIRE(gate && gate != environment);
                if (!done[gate - project->environments]) ready = false;
            }
            if (ready) passed += done[i] = 1;
        }
    }
    REQUIRE(passed == project->environment_count);
}

static void check_policy(const struct policy *policy) {
    for (size_t i = 0; i < policy->project_count; i++) {
        const struct policy_project *project = &policy->projects[i];
        check_project(project);
        if (!memchr(project->match.n ? project->match.p : "", '*', project->match.n))
            REQUIRE(policy_match(project->match, project->match));
        (void)policy_type_is_unchecked(project, SLICE("binary"));
    }
    const struct policy_project *found = policy_project(policy, SLICE("acme/shop"));
    for (size_t i = 0; i < policy->project_count; i++)
        if (policy_match(policy->projects[i].match, SLICE("acme/shop"))) {
            REQUIRE(found == &policy->projects[i]);
            break;
        }
    for (size_t i = 0; i < policy->registry_count; i++)
        REQUIRE(policy_registry(policy, policy->registries[i].host) && policy->registries[i].host.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    arena_init(&arena, 32 * 1024 * 1024);
    struct error error = {0};
    const struct policy *policy = NULL;
    struct slice text = slice_of(data, size);
    if (policy_parse(&arena, text, &policy, &error) == 0)
        check_policy(policy);
    else
        require_place(&error);
    check_yaml(&arena, text);
    arena_release(&arena);
    return 0;
}
