#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void instants_are_read_and_written(void **state) {
    (void)state;
    static const struct {
        const char *text;
        instant at;
    } cases[] = {{"1970-01-01T00:00:00Z", 0},
                 {"2026-03-01T10:00:00.123456Z", 1772359200123456},
                 {"2026-03-01T12:00:00.1234569+02:00", 1772359200123456},
                 {"1969-12-31T23:59:59.999999Z", -1},
                 {"2000-02-29T00:00:00Z", 951782400000000},
                 {"1998-12-31T23:59:60Z", 915148800000000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        instant at = 42;
        assert_true(text_parse_instant(slice_str(cases[i].text), &at));
        assert_int_equal(at, cases[i].at);
    }
    char text[TEXT_INSTANT + 1] = {0};
    text_instant(text, 1772359200123456);
    assert_string_equal(text, "2026-03-01T10:00:00.123456Z");
    text_instant(text, -1);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
}

static void what_is_no_instant_is_refused(void **state) {
    (void)state;
    static const char *const cases[] = {"",
                                        "2026-03-01",
                                        "2026-02-29T00:00:00Z",
                                        "2026-03-01T24:00:00Z",
                                        "2026-03-01T10:00:00",
                                        "2026-03-01T10:00:00.Z",
                                        "2026-03-01T10:00:60Z",
                                        "2026-03-01T10:00:00Z ",
                                        "2026-13-01T10:00:00Z",
                                        "2026-03-01T10:00:00+24:00"};
    instant at;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_false(text_parse_instant(slice_str(cases[i]), &at));
}

static void names_follow_the_contract(void **state) {
    (void)state;
    assert_true(text_is_project(SLICE("acme/shop")));
    assert_true(text_is_project(SLICE("A.b_c-d")));
    assert_false(text_is_project(SLICE("")));
    assert_false(text_is_project(SLICE("acme//shop")));
    assert_false(text_is_project(SLICE("acme/")));
    assert_false(text_is_project(SLICE(".acme")));
    assert_true(text_is_environment(SLICE("prod-2")));
    assert_false(text_is_environment(SLICE("Prod")));
    assert_true(text_is_git_sha(SLICE("0123456789abcdef0123456789abcdef01234567")));
    assert_false(text_is_git_sha(SLICE("0123456789ABCDEF0123456789abcdef01234567")));
}

static void base32_goes_there_and_back(void **state) {
    (void)state;
    unsigned char bytes[16], back[16];
    for (unsigned i = 0; i < 16; i++) bytes[i] = (unsigned char)(i * 37 + 11);
    char text[TEXT_BASE32_16];
    text_base32(text, bytes);
    assert_true(text_unbase32(back, slice_of(text, sizeof text)));
    assert_memory_equal(bytes, back, 16);
    assert_false(text_unbase32(back, SLICE("aaaaaaaaaaaaaaaaaaaaaaaaa7")));
}

/* Known answers of Kafka's own murmur2, made positive. */
static void murmur2_is_that_of_java_clients(void **state) {
    (void)state;
    assert_int_equal(text_murmur2(SLICE("21")), -973932308 & 0x7fffffff);
    assert_int_equal(text_murmur2(SLICE("foobar")), -790332482 & 0x7fffffff);
    assert_int_equal(text_murmur2(SLICE("a-little-bit-long-string")), -985981536 & 0x7fffffff);
    assert_int_equal(text_murmur2(SLICE("a-little-bit-longer-string")), -1486304829 & 0x7fffffff);
    assert_int_equal(text_murmur2(SLICE("abc")), 479470107);
}

static void durations_have_one_unit(void **state) {
    (void)state;
    int64_t d = 0;
    assert_true(text_parse_duration(SLICE("7d"), &d));
    assert_int_equal(d, 7 * 86400 * (int64_t)1000000);
    assert_true(text_parse_duration(SLICE("500ms"), &d));
    assert_int_equal(d, 500000);
    assert_false(text_parse_duration(SLICE("7"), &d));
    assert_false(text_parse_duration(SLICE("99999999999d"), &d));
    assert_false(text_parse_duration(SLICE("1d2h"), &d));
}

static void durations_are_written_in_the_largest_whole_unit(void **state) {
    (void)state;
    const struct {
        int64_t microseconds;
        const char *text;
    } rows[] = {{600000000, "10m"}, {30000000, "30s"}, {90000000, "90s"}, {500000, "500ms"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[24];
        text_duration(text, sizeof text, rows[i].microseconds);
        assert_string_equal(text, rows[i].text);
    }
}

static void numbers_are_digits_and_do_not_overflow(void **state) {
    (void)state;
    uint64_t n = 7;
    assert_true(text_parse_number(SLICE("0"), 0, &n));
    assert_int_equal(n, 0);
    assert_true(text_parse_number(SLICE("9223372036854775807"), INT64_MAX, &n));
    assert_true(n == INT64_MAX);
    const struct slice wrong[] = {SLICE(""),
                                  SLICE("-1"),
                                  SLICE("+1"),
                                  SLICE(" 1"),
                                  SLICE("1x"),
                                  SLICE("9223372036854775808"),
                                  SLICE("99999999999999999999")};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_false(text_parse_number(wrong[i], INT64_MAX, &n));
    assert_true(n == INT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instants_are_read_and_written),
        cmocka_unit_test(what_is_no_instant_is_refused),
        cmocka_unit_test(names_follow_the_contract),
        cmocka_unit_test(base32_goes_there_and_back),
        cmocka_unit_test(murmur2_is_that_of_java_clients),
        cmocka_unit_test(durations_have_one_unit),
        cmocka_unit_test(durations_are_written_in_the_largest_whole_unit),
        cmocka_unit_test(numbers_are_digits_and_do_not_overflow),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
