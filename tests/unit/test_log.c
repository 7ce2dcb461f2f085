#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void a_foreign_text_cannot_end_its_quotes(void **state) {
    (void)state;
    assert_string_equal(LOG_QUOTED("role \"x\" does not exist"), "role 'x' does not exist");
    assert_string_equal(LOG_QUOTED(""), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_foreign_text_cannot_end_its_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
