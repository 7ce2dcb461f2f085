/* The control log: every version has the digest of its body and that of the version before it. */
#include "audit.h"

#include <stdio.h>

PG_STATEMENT(audit_control);

/* Returns 0, or 1 when the row is not as it was written. */
static int check_version(struct audit_control *control, const struct pg_result *page, size_t row, const struct digest *previous) {
    uint64_t expected = control->versions + 1;
    struct digest body = digest_of(pg_get_bytes(page, row, 1)), own = pg_get_digest(page, row, 2),
                  before = pg_get_digest(page, row, 3);
    const char *message = NULL;
    if ((uint64_t)pg_get_int(page, row, 0) != expected)
        message = "this version of the control log is missing";
    else if (!digest_equal(&body, &own))
        message = "what was put in force is not what was written: its digest differs";
    else if (!digest_equal(&before, previous))
        message = "it does not follow the version before it; one of them was changed";
    if (!message) return 0;
    control->bad = (struct audit_bad){.found = true, .control = true, .sequence = expected, .code = "control-changed"};
    (void)snprintf(control->bad.message, sizeof control->bad.message, "%s", message);
    return 1;
}

int audit_control_verify(struct pg *pg, struct audit_control *control, struct error *error) {
    struct digest previous = {0};
    for (bool more = true; more && !control->bad.found;) {
        struct pg_parameters parameters;
        pg_parameters_init(&parameters);
        pg_int(&parameters, PG_INT8, (int64_t)control->versions);
        struct pg_result *page = pg_query(pg, PG_READ, &audit_control, &parameters, error);
        pg_parameters_release(&parameters);
        if (!page) return -1;
        more = pg_rows(page) > 0;
        for (size_t i = 0; i < pg_rows(page) && check_version(control, page, i, &previous) == 0; i++) {
            previous = pg_get_digest(page, i, 2);
            control->versions++;
        }
        pg_result_free(page);
    }
    return 0;
}
