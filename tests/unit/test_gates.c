#include "gates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* cmocka wants the above first */
#include <cmocka.h>

enum { NOW = 1000000000, LATER = NOW + 60000000 };

static struct arena arena;
static struct slice after[] = {{"dev", 3}};
static const struct policy_environment dev = {.name = SLICE("dev")},
                                       staging = {.name = SLICE("staging"), .after = after, .after_count = 1};
static struct slice unchecked[] = {{"archive", 7}};
static const struct policy_project allowing = {.unsigned_allowed = true, .unchecked_types = unchecked, .unchecked_count = 1};
static const struct policy_project refusing = {.unsigned_allowed = false};

static int set_up(void **state) {
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_release(&arena);
    return 0;
}

static const struct artifact image = {.name = SLICE("app"), .type = SLICE("docker-image"), .digest = SLICE("sha256:aa")};
static const struct artifact archive = {.name = SLICE("tar"), .type = SLICE("archive"), .digest = SLICE("sha256:bb")};

/* A promotion to which nothing stands in the way. */
static struct facts fine(struct registry_question *question, struct artifact_fact *fact) {
    static const bool promoted[] = {true};
    *question = (struct registry_question){.answer = REGISTRY_FOUND, .status = 200, .checked_at = NOW};
    *fact = (struct artifact_fact){.artifact = &image, .host = SLICE("r:5000"), .lookup = LOOKUP_ASKED, .question = question};
    return (struct facts){.project = SLICE("acme/shop"),
                          .environment = SLICE("staging"),
                          .git_sha = SLICE("4f1c"),
                          .has_policy = true,
                          .project_policy = &allowing,
                          .environment_policy = &staging,
                          .release_verified = true,
                          .artifacts = fact,
                          .artifact_count = 1,
                          .promoted = promoted,
                          .expires_at = LATER,
                          .now = NOW};
}

static struct verdict decided(const struct facts *facts) {
    struct verdict verdict;
    assert_int_equal(gates_decide(&arena, facts, NULL, 0, &verdict), 0);
    return verdict;
}

static enum code code_of(const struct verdict *verdict, const char *type) {
    for (size_t i = 0; i < verdict->condition_count; i++)
        if (slice_is(verdict->conditions[i].type, type)) return verdict->conditions[i].code;
    return CODE_NONE;
}

static void all_met_is_promoted(void **state) {
    (void)state;
    struct registry_question question;
    struct artifact_fact fact;
    struct facts facts = fine(&question, &fact);
    struct verdict verdict = decided(&facts);
    assert_int_equal(verdict.outcome, PROMOTION_PROMOTED);
    assert_int_equal(verdict.condition_count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(verdict.conditions[i].status, CONDITION_MET);
        assert_int_equal(verdict.conditions[i].since, NOW);
    }
}

/* Every answer of a registry, and what it makes of the promotion. */
static void the_registrys_answer_decides(void **state) {
    (void)state;
    static const struct {
        enum registry_answer answer;
        enum code code;
        enum promotion_outcome outcome;
    } cases[] = {{REGISTRY_NOT_ASKED, CODE_REGISTRY_UNREACHABLE, PROMOTION_WAITING},
                 {REGISTRY_FOUND, CODE_FOUND, PROMOTION_PROMOTED},
                 {REGISTRY_MISSING, CODE_ARTIFACT_MISSING, PROMOTION_REJECTED},
                 {REGISTRY_MISMATCH, CODE_DIGEST_MISMATCH, PROMOTION_REJECTED},
                 {REGISTRY_DENIED, CODE_REGISTRY_DENIED, PROMOTION_WAITING},
                 {REGISTRY_BUSY, CODE_REGISTRY_BUSY, PROMOTION_WAITING},
                 {REGISTRY_UNREACHABLE, CODE_REGISTRY_UNREACHABLE, PROMOTION_WAITING}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct registry_question question;
        struct artifact_fact fact;
        struct facts facts = fine(&question, &fact);
        question.answer = cases[i].answer;
        struct verdict verdict = decided(&facts);
        assert_int_equal(code_of(&verdict, "artifact"), cases[i].code);
        assert_int_equal(verdict.outcome, cases[i].outcome);
        if (verdict.outcome == PROMOTION_WAITING) assert_in_range(verdict.wake_at, NOW + 1, LATER);
    }
}

static void unknown_is_never_yes(void **state) {
    (void)state;
    struct registry_question question;
    struct artifact_fact fact;
    struct facts facts = fine(&question, &fact);
    fact.question = NULL;
    assert_int_equal(decided(&facts).outcome, PROMOTION_WAITING);
    facts = fine(&question, &fact);
    facts.has_policy = false;
    facts.project_policy = NULL;
    facts.environment_policy = NULL;
    struct verdict verdict = decided(&facts);
    assert_int_equal(verdict.outcome, PROMOTION_WAITING); /* the first policy wakes it */
    assert_int_equal(code_of(&verdict, "policy"), CODE_NONE);
    facts.has_policy = true;
    verdict = decided(&facts);
    assert_int_equal(verdict.outcome, PROMOTION_REJECTED);
    assert_int_equal(code_of(&verdict, "policy"), CODE_UNKNOWN_PROJECT);
    facts = fine(&question, &fact);
    facts.environment_policy = NULL;
    verdict = decided(&facts);
    assert_int_equal(code_of(&verdict, "policy"), CODE_UNKNOWN_ENVIRONMENT);
    assert_int_equal(verdict.outcome, PROMOTION_REJECTED);
}

static void what_an_artifact_without_registry_needs(void **state) {
    (void)state;
    struct registry_question question;
    struct artifact_fact fact;
    struct facts facts = fine(&question, &fact);
    fact.lookup = LOOKUP_NO_URI;
    struct verdict verdict = decided(&facts);
    assert_int_equal(code_of(&verdict, "artifact"), CODE_ARTIFACT_UNCHECKABLE);
    fact.artifact = &archive;
    verdict = decided(&facts);
    assert_int_equal(code_of(&verdict, "artifact"), CODE_UNCHECKED);
    fact.lookup = LOOKUP_FORBIDDEN;
    verdict = decided(&facts);
    assert_int_equal(code_of(&verdict, "artifact"), CODE_REGISTRY_FORBIDDEN);
    assert_int_equal(verdict.outcome, PROMOTION_REJECTED);
}

static void signatures_that_nobody_has_verified_never_count(void **state) {
    (void)state;
    struct registry_question question;
    struct artifact_fact fact;
    struct facts facts = fine(&question, &fact);
    facts.attestation_enabled = true;
    struct verdict verdict = decided(&facts);
    assert_int_equal(code_of(&verdict, "signature"), CODE_NOT_VERIFIABLE_YET);
    assert_int_equal(verdict.outcome, PROMOTION_WAITING);
    assert_int_equal(verdict.wake_at, LATER);
    facts.attestation_enabled = false;
    facts.project_policy = &refusing;
    verdict = decided(&facts);
    assert_int_equal(code_of(&verdict, "signature"), CODE_UNSIGNED);
    assert_int_equal(verdict.outcome, PROMOTION_REJECTED);
}

static void what_is_missing_is_waited_for_and_all_of_it_is_told(void **state) {
    (void)state;
    static const bool not_promoted[] = {false};
    struct registry_question question;
    struct artifact_fact fact;
    struct facts facts = fine(&question, &fact);
    facts.release_verified = false;
    facts.promoted = not_promoted;
    struct verdict verdict = decided(&facts);
    assert_int_equal(verdict.outcome, PROMOTION_WAITING);
    assert_int_equal(verdict.condition_count, 3); /* what cannot be looked at yet is absent */
    assert_int_equal(code_of(&verdict, "release"), CODE_NOT_BUILT_YET);
    assert_int_equal(code_of(&verdict, "after"), CODE_NOT_PROMOTED_YET);
    facts.expires_at = NOW;
    assert_int_equal(decided(&facts).outcome, PROMOTION_EXPIRED);
}

static void what_is_there_already_is_granted(void **state) {
    (void)state;
    struct registry_question question;
    struct artifact_fact fact;
    struct facts facts = fine(&question, &fact);
    facts.is_current = true;
    question.answer = REGISTRY_UNREACHABLE;
    struct verdict verdict = decided(&facts);
    assert_int_equal(verdict.outcome, PROMOTION_PROMOTED);
    assert_int_equal(verdict.code, CODE_ALREADY_PROMOTED);
}

static void since_is_kept_while_a_condition_stays_as_it_is(void **state) {
    (void)state;
    struct registry_question question;
    struct artifact_fact fact;
    struct facts facts = fine(&question, &fact);
    facts.environment_policy = &dev;
    question.answer = REGISTRY_UNREACHABLE;
    struct verdict first = decided(&facts), second;
    facts.now = NOW + 30000000;
    question.answer = REGISTRY_BUSY;
    assert_int_equal(gates_decide(&arena, &facts, first.conditions, first.condition_count, &second), 0);
    assert_true(gates_differ(first.conditions, first.condition_count, second.conditions, second.condition_count));
    assert_int_equal(second.conditions[0].since, NOW);
    assert_int_equal(second.conditions[second.condition_count - 1].since, NOW + 30000000);
    assert_false(gates_differ(second.conditions, second.condition_count, second.conditions, second.condition_count));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_met_is_promoted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_registrys_answer_decides, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_is_never_yes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_an_artifact_without_registry_needs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(signatures_that_nobody_has_verified_never_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_missing_is_waited_for_and_all_of_it_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_there_already_is_granted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(since_is_kept_while_a_condition_stays_as_it_is, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("gates", tests, NULL, NULL);
}
