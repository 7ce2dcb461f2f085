#include "policies.h"

enum { VERSIONS_MAX = 64 };

static struct {
    struct policy_facts facts;
    struct slice text;
} versions[VERSIONS_MAX];
static uint64_t version;
static struct random drawn;

void policies_begin(void) {
    version = 0;
    drawn = random_of(world.spec->seed, SUBJECT_WORKLOAD + 50);
}

const char *environment_name(int environment) {
    static const char *const names[] = {"dev", "staging", "prod", "nowhere"};
    return names[environment];
}

const char *host_name(int host) {
    static const char *const names[] = {"one.example", "two.example", "forbidden.example"};
    return names[host];
}

uint64_t policies_version(void) { return version; }
const struct policy_facts *policies_at(uint64_t number) { return number && number <= version ? &versions[number].facts : NULL; }
struct slice policies_text(void) {
    return version ? versions[version].text : (struct slice){0};
}

static struct slice environments_text(const struct policy_facts *facts) {
    char text[400];
    int n = 0;
    for (int i = 0; i < ENVIRONMENTS; i++) {
        if (!facts->environments[i]) continue;
        bool gated = facts->gated[i] && i && facts->environments[i - 1];
        n += snprintf(text + n, sizeof text - (size_t)n, "    %s: {%s%s%s}\n", environment_name(i), gated ? "after: [" : "",
                      gated ? environment_name(i - 1) : "", gated ? "]" : "");
    }
    return keep_slice(slice_of(text, (size_t)n));
}

static struct slice text_of(const struct policy_facts *facts) {
    struct slice environments = environments_text(facts);
    const char *unchecked = facts->unchecked_other ? "  unchecked-types: [other]\n" : "";
    struct slice beta = !facts->knows_beta
                            ? SLICE("")
                            : keep_print("- match: \"beta/*\"\n  unsigned: %s\n%s  waiting-limit: %llds\n  environments:\n%.*s",
                                         facts->unsigned_beta ? "allow" : "refuse", unchecked, (long long)(facts->limit / SECOND),
                                         SLICE_ARG(environments));
    return keep_print("version: 1\nregistries:\n  one.example: {}\n%sprojects:\n- match: \"acme/*\"\n  unsigned: %s\n%s  "
                      "waiting-limit: %llds\n  environments:\n%.*s%.*s",
                      facts->knows_host_two ? "  two.example: {}\n" : "", facts->unsigned_acme ? "allow" : "refuse", unchecked,
                      (long long)(facts->limit / SECOND), SLICE_ARG(environments), SLICE_ARG(beta));
}

bool policies_apply(void) {
    if (version + 1 >= VERSIONS_MAX) return false;
    struct policy_facts *facts = &versions[version + 1].facts;
    *facts = (struct policy_facts){.knows_beta = random_chance(&drawn, 85),
                                   .environments = {true, random_chance(&drawn, 90), random_chance(&drawn, 80)},
                                   .gated = {false, random_chance(&drawn, 80), random_chance(&drawn, 80)},
                                   .unsigned_acme = random_chance(&drawn, 90),
                                   .unsigned_beta = random_chance(&drawn, 80),
                                   .unchecked_other = random_chance(&drawn, 80),
                                   .knows_host_two = random_chance(&drawn, 85),
                                   .limit = random_chance(&drawn, 30) ? random_between(&drawn, 3, 40) * SECOND
                                                                      : (int64_t)7 * 86400 * SECOND};
    versions[version + 1].text = text_of(facts);
    version++;
    trace("operator: policy version %llu: environments %d%d%d gated %d%d unsigned %d%d limit %lld s", (unsigned long long)version,
          facts->environments[0], facts->environments[1], facts->environments[2], facts->gated[1], facts->gated[2],
          facts->unsigned_acme, facts->unsigned_beta, (long long)(facts->limit / SECOND));
    return true;
}
