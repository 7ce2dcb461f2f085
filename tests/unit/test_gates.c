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

static const struct condition *artifact_of(const struct verdict *verdict) {
    for (size_t i = 0; i < verdict->condition_count; i++)
        if (slice_is(verdict->conditions[i].type, "artifact")) return &verdict->conditions[i];
    return NULL;
}

static void an_artifacts_condition_tells_what_the_registry_said(void **state) {
    (void)state;
    struct registry_question question;
    struct artifact_fact fact;
    struct facts facts = fine(&question, &fact);
    question.answer = REGISTRY_MISMATCH;
    question.found_digest = SLICE("sha256:cc");
    struct verdict verdict = decided(&facts);
    const struct condition *condition = artifact_of(&verdict);
    assert_true(slice_is(condition->message, "r:5000 was asked for sha256:aa and answered with sha256:cc"));
    assert_true(
        slice_is(condition->facts, "{\"status\":200,\"digest\":\"sha256:cc\",\"checkedAt\":\"1970-01-01T00:16:40.000000Z\"}"));
    facts = fine(&question, &fact);
    question = (struct registry_question){.answer = REGISTRY_BUSY, .status = 429, .detail = SLICE("r:5000 answers 429")};
    verdict = decided(&facts);
    condition = artifact_of(&verdict);
    assert_true(slice_is(condition->message, "r:5000 answers 429"));
    assert_true(slice_is(condition->facts, "{\"status\":429}"));
    question.detail = (struct slice){0};
    verdict = decided(&facts);
    assert_true(slice_is(artifact_of(&verdict)->message, "r:5000 has not answered yet"));
}

static instant look_after(instant lasting, instant again_at, instant expires_in) {
    struct registry_question question;
    struct artifact_fact fact;
    struct facts facts = fine(&question, &fact);
    struct verdict first, second;
    question.answer = REGISTRY_UNREACHABLE;
    first = decided(&facts);
    facts.now = NOW + lasting;
    facts.expires_at = facts.now + expires_in;
    question.again_at = again_at ? facts.now + again_at : 0;
    assert_int_equal(gates_decide(&arena, &facts, first.conditions, first.condition_count, &second), 0);
    return second.wake_at - facts.now;
}

/* Half of the time that it has lasted, from 2 s to 5 min; not before the registry wants to be asked, not after it expires. */
static void the_longer_it_lasts_the_later_the_next_look(void **state) {
    (void)state;
    static const instant second = 1000000, hour = 3600 * (instant)1000000;
    assert_int_equal(look_after(0, 0, hour), 2 * second);
    assert_int_equal(look_after(60 * second, 0, hour), 30 * second);
    assert_int_equal(look_after(3 * hour, 0, hour), 300 * second);
    assert_int_equal(look_after(60 * second, 40 * second, hour), 40 * second);
    assert_int_equal(look_after(60 * second, 20 * second, hour), 30 * second);
    assert_int_equal(look_after(60 * second, 0, 10 * second), 10 * second);
}

static void what_is_there_is_not_granted_after_its_time_or_without_its_environment(void **state) {
    (void)state;
    struct registry_question question;
    struct artifact_fact fact;
    struct facts facts = fine(&question, &fact);
    facts.is_current = true;
    facts.expires_at = NOW;
    assert_int_equal(decided(&facts).outcome, PROMOTION_EXPIRED);
    facts = fine(&question, &fact);
    facts.is_current = true;
    facts.environment_policy = NULL;
    assert_int_equal(decided(&facts).outcome, PROMOTION_REJECTED);
}

static void a_condition_differs_by_type_subject_status_or_code(void **state) {
    (void)state;
    const struct condition one = {
        .type = SLICE("artifact"), .subject = SLICE("app"), .status = CONDITION_UNMET, .code_text = SLICE("busy")};
    struct condition other = one;
    other.message = SLICE("said otherwise");
    assert_false(gates_differ(&one, 1, &other, 1));
    other.type = SLICE("release");
    assert_true(gates_differ(&one, 1, &other, 1));
    other = one;
    other.subject = SLICE("db");
    assert_true(gates_differ(&one, 1, &other, 1));
    other = one;
    other.status = CONDITION_MET;
    assert_true(gates_differ(&one, 1, &other, 1));
    other = one;
    other.code_text = SLICE("found");
    assert_true(gates_differ(&one, 1, &other, 1));
    assert_true(gates_differ(&one, 1, &other, 0));
}

static void conditions_are_read_back_as_they_were_written(void **state) {
    (void)state;
    static const char *const bad[] = {"", "{}", "[{}]", "[{\"since\":\"yesterday\"}]", "[", "[1]"};
    struct condition *conditions;
    size_t count;
    assert_int_equal(gates_read(&arena,
                                SLICE("[{\"type\":\"a\",\"subject\":\"b\",\"status\":\"met\",\"code\":\"c\",\"message\":\"d\","
                                      "\"since\":\"1970-01-01T00:16:40Z\",\"facts\":{\"status\":1}},"
                                      "{\"status\":\"unmet\",\"since\":\"1970-01-01T00:16:40Z\"},"
                                      "{\"status\":\"failed\",\"since\":\"1970-01-01T00:16:40Z\"}]"),
                                &conditions, &count),
                     0);
    assert_int_equal(count, 3);
    assert_true(slice_is(conditions[0].facts, "{\"status\":1}"));
    assert_int_equal(conditions[0].since, NOW);
    for (size_t i = 0; i < 3; i++) assert_int_equal(conditions[i].status, i);
    assert_string_equal(condition_status_text(conditions[2].status), "failed");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(gates_read(&arena, slice_str(bad[i]), &conditions, &count), -1);
}

/* A decision is whole or there is none, wherever memory ends. */
static void without_memory_there_is_no_verdict(void **state) {
    (void)state;
    struct registry_question question;
    struct artifact_fact fact;
    struct facts facts = fine(&question, &fact);
    struct verdict verdict;
    struct arena none;
    arena_init(&none, 1);
    assert_int_equal(gates_decide(&none, &facts, NULL, 0, &verdict), -1);
    struct condition *conditions;
    size_t count;
    assert_int_equal(gates_read(&none, SLICE("[]"), &conditions, &count), -1);
    arena_release(&none);
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
        cmocka_unit_test_setup_teardown(an_artifacts_condition_tells_what_the_registry_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_longer_it_lasts_the_later_the_next_look, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_there_is_not_granted_after_its_time_or_without_its_environment, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_condition_differs_by_type_subject_status_or_code, set_up, tear_down),
        cmocka_unit_test_setup_teardown(conditions_are_read_back_as_they_were_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_there_is_no_verdict, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("gates", tests, NULL, NULL);
}
