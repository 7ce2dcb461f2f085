/* A first line as a regular expression of ECMA-262, the rest as a text: it is compiled or refused with a reason, and a match
 * comes to its end.
 *
 * Covers: common/schema_pattern.c */
#include "buf.h"
#include "fuzz.h"
#include "schema_pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice text = slice_of(data, size), expression = fuzz_line(&text);
    struct schema_pattern *pattern;
    struct error error = {0};
    void *scratch = NULL;
    if (size > 1000 || !text_is_utf8(slice_of(data, size))) return 0; /* both come out of JSON */
    if (schema_pattern_new(expression, &pattern, &error)) {
        require_error(&error);
        return 0;
    }
    enum schema_match match = schema_pattern_match(pattern, &scratch, text);
    REQUIRE(schema_pattern_match(pattern, &scratch, text) == match);
    (void)schema_pattern_match(pattern, &scratch, SLICE(""));
    schema_pattern_scratch_free(scratch);
    schema_pattern_free(pattern);

    /* An expression that was accepted is so within a group too, and matches the same. */
    struct buf grouped;
    buf_init(&grouped, 2000);
    buf_str(&grouped, "(?:");
    buf_append(&grouped, expression);
    buf_str(&grouped, ")");
    scratch = NULL;
    if (schema_pattern_new(buf_slice(&grouped), &pattern, &error) == 0) {
        enum schema_match same = schema_pattern_match(pattern, &scratch, text);
        REQUIRE(same == match || same == SCHEMA_MATCH_STOPPED || match == SCHEMA_MATCH_STOPPED);
        schema_pattern_scratch_free(scratch);
        schema_pattern_free(pattern);
    } else {
        REQUIRE(false);
    }
    buf_release(&grouped);
    return 0;
}
