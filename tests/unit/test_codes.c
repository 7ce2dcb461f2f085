#include "codes.h"
#include "schemas.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the above first */
#include <cmocka.h>

static void is_named_in(const char *schema, enum code_use use) {
    struct slice text = schemas_find(slice_str(schema));
    assert_non_null(text.p);
    for (enum code code = CODE_NONE + 1; code < CODE_COUNT; code++)
        if (code_use(code) == use && !memmem(text.p, text.n, code_text(code), strlen(code_text(code))))
            fail_msg("%s does not name the code %s", schema, code_text(code));
}

/* Clients know the codes from the schemas. */
static void the_schemas_name_every_code(void **state) {
    (void)state;
    is_named_in("event-refused.v1", CODE_REFUSAL);
    is_named_in("dead-letter-error", CODE_DEAD_LETTER);
    is_named_in("promotion-answer.v1", CODE_PROMOTION);
}

static void a_refusal_is_found_by_its_text_and_nothing_else_is(void **state) {
    (void)state;
    for (enum code code = CODE_NONE + 1; code < CODE_COUNT; code++)
        assert_int_equal(code_refusal(code_text(code), CODE_NONE), code_use(code) == CODE_REFUSAL ? code : CODE_NONE);
    assert_int_equal(code_refusal("no-such-code", CODE_TOO_LARGE), CODE_TOO_LARGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_schemas_name_every_code),
        cmocka_unit_test(a_refusal_is_found_by_its_text_and_nothing_else_is),
    };
    return cmocka_run_group_tests_name("codes", tests, NULL, NULL);
}
