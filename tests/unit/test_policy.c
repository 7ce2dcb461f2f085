#include "policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct arena arena;
static struct error failure;

static int setup(void **state) {
    (void)state;
    arena_init(&arena, 16 * 1024 * 1024);
    failure = (struct error){0};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_release(&arena);
    return 0;
}

static const struct policy *parse(const char *text) {
    const struct policy *policy = NULL;
    return policy_parse(&arena, slice_str(text), &policy, &failure) < 0 ? NULL : policy;
}

static void the_contracts_policy_is_read(void **state) {
    (void)state;
    const struct policy *policy = parse("version: 1\n"
                                        "registries:                          # only these hosts are ever contacted\n"
                                        "  ghcr.io: {}\n"
                                        "  \"127.0.0.1:5000\": {plain-http: true, allow-private: true}\n"
                                        "projects:\n"
                                        "- match: \"acme/*\"\n"
                                        "  unsigned: allow\n"
                                        "  unchecked-types: []\n"
                                        "  waiting-limit: 7d\n"
                                        "  environments:\n"
                                        "    dev: {}\n"
                                        "    staging: {after: [dev]}\n"
                                        "    prod: {after: [staging]}\n");
    assert_non_null(policy);
    const struct policy_registry *local = policy_registry(policy, SLICE("127.0.0.1:5000"));
    assert_true(local && local->plain_http && local->allow_private);
    const struct policy_registry *remote = policy_registry(policy, SLICE("ghcr.io"));
    assert_true(remote && !remote->plain_http && !remote->allow_private);
    assert_null(policy_registry(policy, SLICE("127.0.0.1")));
    const struct policy_project *project = policy_project(policy, SLICE("acme/shop"));
    assert_non_null(project);
    assert_true(project->unsigned_allowed);
    assert_int_equal(project->waiting_limit, 7 * 86400 * (int64_t)1000000);
    assert_int_equal(project->environment_count, 3);
    const struct policy_environment *prod = policy_environment(project, SLICE("prod"));
    assert_int_equal(prod->after_count, 1);
    assert_true(slice_is(prod->after[0], "staging"));
    assert_null(policy_environment(project, SLICE("production")));
    assert_null(policy_project(policy, SLICE("other/shop")));
}

static void what_is_not_said_is_refused_or_strict(void **state) {
    (void)state;
    const struct policy *policy = parse("version: 1\nprojects:\n- match: a\n  environments: {dev: {}}\n");
    assert_non_null(policy);
    assert_int_equal(policy->registry_count, 0);
    assert_false(policy->projects[0].unsigned_allowed);
    assert_false(policy_type_is_unchecked(&policy->projects[0], SLICE("binary")));
    assert_int_equal(policy->projects[0].waiting_limit, 7 * 86400 * (int64_t)1000000);
    policy = parse("version: 1\nprojects: []\n");
    assert_non_null(policy);
    assert_null(policy_project(policy, SLICE("a")));
}

static void the_first_match_wins(void **state) {
    (void)state;
    const struct policy *policy =
        parse("version: 1\nprojects:\n"
              "- {match: acme/shop, environments: {one: {}}}\n"
              "- {match: \"acme/*\", unsigned: allow, environments: {two: {}}, unchecked-types: [binary, other]}\n"
              "- {match: \"*\", environments: {three: {}}}\n");
    assert_non_null(policy);
    assert_ptr_equal(policy_project(policy, SLICE("acme/shop")), &policy->projects[0]);
    assert_ptr_equal(policy_project(policy, SLICE("acme/shop2")), &policy->projects[1]);
    assert_ptr_equal(policy_project(policy, SLICE("acme/a/b")), &policy->projects[1]);
    assert_ptr_equal(policy_project(policy, SLICE("acme")), &policy->projects[2]);
    assert_true(policy_type_is_unchecked(&policy->projects[1], SLICE("other")));
    assert_false(policy_type_is_unchecked(&policy->projects[1], SLICE("docker-image")));
}

static void a_star_stands_for_any_run_of_characters(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"*", "", true},        {"*", "a/b", true},     {"a*", "a", true},         {"a*", "b", false},
        {"*a", "bba", true},    {"*a", "bab", false},   {"a*b*c", "axbxbc", true}, {"a*b*c", "axbxb", false},
        {"a**b", "ab", true},   {"", "", true},         {"", "a", false},          {"abc", "abcd", false},
        {"*ab", "aab", true},   {"*aab", "aaab", true}, {"acme/*", "acme", false}, {"acme/*", "acme/", true},
        {"*/*", "a/b/c", true}, {"a*a", "a", false},    {"A", "a", false},         {"a*b", "a*b", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (policy_match(slice_str(cases[i].pattern), slice_str(cases[i].text)) != cases[i].matches)
            fail_msg("%s and %s", cases[i].pattern, cases[i].text);
}

#define HEAD "version: 1\nprojects:\n- match: a\n"
#define DEV HEAD "  environments: {dev: {}}\n"

static const struct {
    const char *text, *message;
} wrong[] = {
    {"", "line 1, column 1: the policy must not be empty"},
    {"[]\n", "line 1, column 1: the policy must be keys with values, not a list"},
    {"projects: []\n", "line 1, column 1: the policy needs the key 'version'"},
    {"version: 1\n", "line 1, column 1: the policy needs the key 'projects'"},
    {"version: 2\nprojects: []\n", "line 1, column 10: 'version' must be 1"},
    {"version: '1'\nprojects: []\n", "line 1, column 10: 'version' must be 1"},
    {"version: 1\nversion: 1\nprojects: []\n", "line 2, column 1: the key 'version' stands in line 1 already"},
    {"version: 1\nproject: []\n", "line 2, column 1: the policy has no key 'project'; did you mean 'projects'?"},
    {"version: 1\ngroups: {}\nprojects: []\n",
     "line 2, column 1: the policy has no key 'groups'; it has: version, registries, projects"},
    {"version: 1\nprojects: {}\n", "line 2, column 11: 'projects' must be a list"},
    {"version: 1\nprojects:\n", "'projects' must be a list, each beginning with '- match:', not nothing"},
    {"version: 1\nprojects: [a]\n", "line 2, column 12: a project must be keys with values, not a text"},
    {"version: 1\nprojects: [null]\n", "line 2, column 12: a project must not be empty"},
    {"version: 1\nprojects:\n- match: a\n", "line 3, column 3: a project needs the key 'environments'"},
    {"version: 1\nprojects:\n- environments: {}\n", "line 3, column 3: a project needs the key 'match'"},
    {"version: 1\nprojects:\n- match: acme/?\n  environments: {}\n", "line 3, column 10: 'match' must be a project's name"},
    {"version: 1\nprojects:\n- match: [a]\n  environments: {}\n", "line 3, column 10: 'match' must be one text, not a list"},
    {"version: 1\nprojects:\n- match: ''\n  environments: {}\n", "line 3, column 10: 'match' must be one text, not nothing"},
    {"version: 1\nprojects:\n- match: *a\n  environments: {}\n", "line 3, column 10: an alias"},
    {"version: 1\nprojects:\n- match: &a x\n  environments: {}\n", "line 3, column 10: an anchor"},
    {"version: 1\nprojects:\n- match: !!str x\n  environments: {}\n", "line 3, column 10: a tag"},
    {DEV "  unsigned: yes\n", "line 5, column 13: 'unsigned' must be allow or refuse"},
    {DEV "  unsigned: [allow]\n", "'unsigned' must be allow or refuse"},
    {DEV "  unchecked-types: binary\n", "line 5, column 20: 'unchecked-types' must be a list"},
    {DEV "  unchecked-types: [binaries]\n", "line 5, column 21: there are no artifacts of type 'binaries'"},
    {DEV "  unchecked-types: [other, other]\n", "line 5, column 28: 'other' stands twice"},
    {DEV "  waiting-limit: 8d\n", "line 5, column 18: 'waiting-limit' must be a duration from 1s to 7d"},
    {DEV "  waiting-limit: 0s\n", "'waiting-limit' must be a duration from 1s to 7d"},
    {DEV "  waiting-limit: 3600\n", "'waiting-limit' must be a duration from 1s to 7d"},
    {DEV "  waiting-limit: [1d]\n", "'waiting-limit' must be a duration from 1s to 7d"},
    {HEAD "  environments: [dev]\n", "line 4, column 17: 'environments' must be names with their gates"},
    {HEAD "  environments: {Dev: {}}\n", "line 4, column 18: 'Dev' is no name of an environment"},
    {HEAD "  environments:\n    dev:\n", "line 5, column 5: an environment must not be empty; write {}"},
    {HEAD "  environments: {dev: true}\n", "line 4, column 23: an environment must be keys with values, not a text"},
    {HEAD "  environments: {dev: {soak: {in: dev, for: 24h}}}\n",
     "line 4, column 24: an environment has no key 'soak'; it has: after"},
    {HEAD "  environments: {dev: {verdict: []}}\n", "line 4, column 24: an environment has no key 'verdict'"},
    {HEAD "  environments: {dev: {aftre: []}}\n", "did you mean 'after'?"},
    {HEAD "  environments: {dev: {}, prod: {after: dev}}\n", "line 4, column 41: 'after' must be a list, as [a, b], not a text"},
    {HEAD "  environments: {dev: {}, prod: {after: [devv]}}\n",
     "line 4, column 42: this project has no environment 'devv'; did you mean dev"},
    {HEAD "  environments: {dev: {}, prod: {after: [staging]}}\n",
     "this project has no environment 'staging'; name one of its environments"},
    {HEAD "  environments: {dev: {}, prod: {after: [prod]}}\n", "line 4, column 42: 'prod' cannot come after itself"},
    {HEAD "  environments: {dev: {}, prod: {after: [dev, dev]}}\n", "line 4, column 47: 'dev' stands twice in 'after'"},
    {HEAD "  environments: {dev: {}, prod: {after: [{dev: 1}]}}\n", "'after' must list texts, not a mapping"},
    {HEAD "  environments: {dev: {}, prod: {after: [~]}}\n", "'after' must list texts, not nothing"},
    {HEAD "  environments: {a: {after: [b]}, b: {after: [c]}, c: {after: [a]}}\n",
     "line 4, column 18: 'after' leads in a circle, which nothing can ever pass: a after b after c after a; remove one of them"},
    {HEAD "  environments: {x: {}, y: {after: [x]}, a: {after: [y, b]}, b: {after: [c, x]}, c: {after: [y, b]}}\n",
     "a after b after c after b; remove"},
    {"version: 1\nregistries: [ghcr.io]\nprojects: []\n", "line 2, column 13: 'registries' must be hosts with their settings"},
    {"version: 1\nregistries: {ghcr.io: }\nprojects: []\n", "line 2, column 14: a registry must not be empty"},
    {"version: 1\nregistries: {ghcr.io: {plain_http: true}}\nprojects: []\n", "did you mean 'plain-http'?"},
    {"version: 1\nregistries: {ghcr.io: {plain-http: yes}}\nprojects: []\n",
     "line 2, column 36: 'plain-http' must be true or false"},
    {"version: 1\nregistries: {\"https://ghcr.io\": {}}\nprojects: []\n", "line 2, column 14: 'https://ghcr.io' is no host"},
    {"version: 1\nregistries: {ghcr.io/acme: {}}\nprojects: []\n", "is no host; write it as in artifact URIs"},
    {"version: 1\nregistries: {\"a:0\": {}}\nprojects: []\n", "is no host"},
    {"version: 1\nregistries: {\"a:65536\": {}}\nprojects: []\n", "is no host"},
    {"version: 1\nregistries: {\"[::1\": {}}\nprojects: []\n", "is no host"},
};

static void what_is_wrong_is_told_with_its_place_and_what_to_do(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (parse(wrong[i].text)) fail_msg("%s is accepted", wrong[i].text);
        assert_int_equal(failure.kind, ERROR_INPUT);
        if (!strstr(failure.message, wrong[i].message) || strncmp(failure.message, "line ", 5) != 0)
            fail_msg("%s\nsays: %s\nnot: %s", wrong[i].text, failure.message, wrong[i].message);
    }
}

static void hosts_are_as_in_artifact_uris(void **state) {
    (void)state;
    assert_non_null(
        parse("version: 1\nregistries: {ghcr.io: {}, localhost: {}, \"localhost:5000\": {}, \"[::1]:5000\": {}, \"[::1]\": {}}\n"
              "projects: []\n"));
}

static void a_diamond_is_no_circle(void **state) {
    (void)state;
    assert_non_null(parse(HEAD "  environments: {a: {}, b: {after: [a]}, c: {after: [a]}, d: {after: [b, c, a]}}\n"));
}

/* Every environment after all earlier ones: a walk without memory would take 2^63 steps. */
static void many_ways_to_one_environment_are_walked_once(void **state) {
    (void)state;
    static char text[100000];
    size_t n = (size_t)snprintf(text, sizeof text, HEAD "  environments:\n");
    for (int i = 0; i < 64; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "    e%d: {after: [", i);
        for (int j = 0; j < i; j++) n += (size_t)snprintf(text + n, sizeof text - n, "%se%d", j ? ", " : "", j);
        n += (size_t)snprintf(text + n, sizeof text - n, "]}\n");
    }
    assert_non_null(parse(text));
    (void)snprintf(text + n, sizeof text - n, "    e64: {}\n");
    assert_null(parse(text));
    assert_non_null(strstr(failure.message, "more than 64 environments in one project"));
}

static void a_policy_needs_no_more_memory_than_it_says(void **state) {
    (void)state;
    static char text[40000];
    size_t n = (size_t)snprintf(text, sizeof text, "version: 1\nprojects:\n");
    for (int i = 0; i < 500; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "- {match: p%d, environments: {dev: {}}}\n", i);
    assert_non_null(parse(text));
    assert_true(arena.used < 256 * 1024);
    struct arena tiny;
    arena_init(&tiny, 100);
    const struct policy *policy = NULL;
    assert_int_equal(policy_parse(&tiny, slice_str(text), &policy, &failure), -1);
    assert_string_equal(failure.code, "out-of-memory");
    assert_null(policy);
    arena_release(&tiny);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_contracts_policy_is_read),
        TEST(what_is_not_said_is_refused_or_strict),
        TEST(the_first_match_wins),
        TEST(a_star_stands_for_any_run_of_characters),
        TEST(what_is_wrong_is_told_with_its_place_and_what_to_do),
        TEST(hosts_are_as_in_artifact_uris),
        TEST(a_diamond_is_no_circle),
        TEST(many_ways_to_one_environment_are_walked_once),
        TEST(a_policy_needs_no_more_memory_than_it_says),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
