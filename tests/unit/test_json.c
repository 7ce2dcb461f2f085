#include "json.h"

#include "decimal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct arena arena;

static int set_up(void **state) {
    (void)state;
    arena_init(&arena, 64 * 1024 * 1024);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_release(&arena);
    return 0;
}

static const struct json *read_text(const char *text) {
    struct json_document document = {0};
    struct error error = {0};
    if (json_read(&arena, slice_str(text), NULL, &document, &error)) fail_msg("%s: %s", text, error.message);
    return document.root;
}

static void refuses(const char *text, const char *code, const char *message, const char *path) {
    struct error error = {0};
    const struct json *root = NULL;
    assert_int_equal(json_read_strict(&arena, slice_str(text), NULL, &root, &error), -1);
    assert_null(root);
    assert_int_equal(error.kind, ERROR_INPUT);
    assert_string_equal(error.code, code);
    if (message) assert_string_equal(error.message, message);
    assert_string_equal(error.path, path);
}

static void assert_slice(struct slice found, const char *expected) {
    if (!slice_is(found, expected)) fail_msg("'%.*s' instead of '%s'", SLICE_ARG(found), expected);
}

static void a_tree_keeps_order_names_and_source(void **state) {
    (void)state;
    const struct json *root = read_text(" {\"a\": [1, true, null, {}], \"b\" : \"x\" } ");
    assert_int_equal(root->kind, JSON_OBJECT);
    assert_int_equal(root->count, 2);
    assert_slice(root->raw, "{\"a\": [1, true, null, {}], \"b\" : \"x\" }");
    const struct json *a = root->first, *b = a->next;
    assert_slice(a->name, "a");
    assert_slice(a->raw, "[1, true, null, {}]");
    assert_int_equal(a->count, 4);
    assert_slice(a->first->text, "1");
    assert_true(a->first->next->boolean);
    assert_int_equal(a->first->next->next->kind, JSON_NULL);
    assert_int_equal(a->first->next->next->next->kind, JSON_OBJECT);
    assert_null(a->first->next->next->next->next);
    assert_slice(b->text, "x");
    assert_slice(b->raw, "\"x\"");
    assert_ptr_equal(b->above, root);
    assert_null(b->next);
}

static void what_needs_no_decoding_is_not_copied(void **state) {
    (void)state;
    static const char text[] = "{\"name\":\"plain \xc3\xa9\"}";
    const struct json *root = read_text(text);
    assert_ptr_equal(root->first->text.p, text + 9);
    assert_ptr_equal(root->first->name.p, text + 2);
}

static void escapes_are_decoded(void **state) {
    (void)state;
    const struct json *root =
        read_text("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\", \"\\u00e9\\u20AC\\ud83d\\ude00.\", \"long enough for words\\n\"]");
    assert_slice(root->first->text, "\"\\/\b\f\n\r\t");
    assert_slice(root->first->next->text, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80.");
    assert_slice(root->first->next->next->text, "long enough for words\n");
    root = read_text("{\"\\u0061\\/\":1}");
    assert_slice(root->first->name, "a/");
}

/* The scan goes by words of eight bytes: every special byte at every place of a word has to end it. */
static void special_bytes_are_found_at_every_place(void **state) {
    (void)state;
    static const char specials[] = {'\x01', '\x1f', '\n', '\x80', '\xff'};
    for (size_t length = 0; length < 20; length++) {
        for (size_t place = 0; place <= length; place++) {
            char text[32] = "\"";
            memset(text + 1, 0x7f, length);
            text[1 + length] = '"';
            struct json_document document;
            assert_int_equal(json_read(&arena, slice_of(text, length + 2), NULL, &document, NULL), 0);
            assert_int_equal(document.root->text.n, length);
            for (size_t i = 0; place < length && i < sizeof specials; i++) {
                text[1 + place] = specials[i];
                assert_int_equal(json_read(&arena, slice_of(text, length + 2), NULL, &document, NULL), -1);
            }
        }
    }
}

static void messages_name_line_and_column(void **state) {
    (void)state;
    refuses("", "not-json", "line 1, column 1: a value expected, the end found", "");
    refuses("{\n  \"\xc3\xa9\": tru\n}", "not-json", "line 2, column 8: a value expected, 't' found", "");
    refuses("[1 2]", "not-json", "line 1, column 4: ',' or ']' expected, '2' found", "");
    refuses("{\"a\":1,}", "not-json", "line 1, column 8: a member name in quotes expected, '}' found", "");
    refuses("[01]", "not-json", "line 1, column 2: a number with a leading zero", "");
    refuses("[1]\n]", "not-json", "line 2, column 1: something follows the end of the JSON value", "");
    refuses("\xef\xbb\xbf{}", "not-json", "line 1, column 1: a byte order mark, which JSON does not allow", "");
    refuses("[\"\\ud800\"]", "not-json", "line 1, column 3: half of a surrogate pair", "");
    refuses("[\"\\ud800\\u0041\"]", "not-json", "line 1, column 3: half of a surrogate pair", "");
    refuses("[\"\\udc00\"]", "not-json", "line 1, column 3: half of a surrogate pair", "");
    refuses("[\"\\x\"]", "not-json", "line 1, column 3: an escape that JSON does not know", "");
    refuses("[\"\\\xc3\xa9\"]", "not-json", "line 1, column 3: an escape that JSON does not know", "");
    refuses("\"\\", "not-json", "line 1, column 1: a string without an end", "");
    refuses("[NaN]", "not-json", "line 1, column 2: a value expected, 'N' found", "");
}

static void limits_hold_to_the_byte(void **state) {
    (void)state;
    struct json_document document;
    struct error error;
    const struct json_limits limits = {.bytes = 12, .depth = 2, .values = 4};
    assert_int_equal(json_read(&arena, SLICE("[[1,2]]     "), &limits, &document, &error), 0);
    assert_int_equal(json_read(&arena, SLICE("[[1,2]]      "), &limits, &document, &error), -1);
    assert_string_equal(error.code, "too-large");
    assert_int_equal(json_read(&arena, SLICE("[[1,2,3]]"), &limits, &document, &error), -1);
    assert_string_equal(error.code, "too-large");
    assert_int_equal(json_read(&arena, SLICE("[[[]]]"), &limits, &document, &error), -1);
    assert_string_equal(error.code, "too-deep");
    /* Depth is what is open, not how often something was opened. */
    assert_int_equal(json_read(&arena, SLICE("[[],[],[]]"), &limits, &document, &error), 0);
    struct arena small;
    arena_init(&small, 10);
    assert_int_equal(json_read(&small, SLICE("[]"), NULL, &document, &error), -1);
    assert_string_equal(error.code, "out-of-memory");
}

static void duplicates_are_found_with_their_path(void **state) {
    (void)state;
    refuses("{\"a\":1,\"b\":{\"x\":1,\"\\u0078\":2}}", "duplicate-member", "the member \"x\" stands twice in one object", "/b/x");
    refuses("{\"a/b\":[0,{\"~\":1,\"~\":2}]}", "duplicate-member", NULL, "/a~1b/1/~0");
    refuses("{\"a\":{\"x\":1,\"x\":2},\"a\":1}", "duplicate-member", NULL, "/a/x");
    refuses("{\"\":1,\"\":2}", "duplicate-member", NULL, "/");
    struct json_document document;
    assert_int_equal(json_read(&arena, SLICE("{\"a\":1,\"a\":2,\"b\":{\"a\":3}}"), NULL, &document, NULL), 0);
    assert_slice(document.duplicate->text, "2");
    assert_slice(json_get(document.root, "a")->text, "2");
    assert_int_equal(json_read(&arena, SLICE("{\"a\":{\"a\":{\"a\":1}}}"), NULL, &document, NULL), 0);
    assert_null(document.duplicate);
}

/* Objects of few and of many members are checked in two ways; both have to find the same. */
static void duplicates_are_found_in_objects_of_any_size(void **state) {
    (void)state;
    for (size_t count = 2; count < 120; count++) {
        struct buf text;
        buf_init(&text, 1 << 20);
        for (size_t twin = 0; twin < count; twin += 7) {
            buf_reset(&text);
            for (size_t i = 0; i < count; i++) buf_print(&text, "%c\"k%zu\":%zu", i ? ',' : '{', i, i);
            struct json_document document;
            size_t without = text.n;
            buf_char(&text, '}');
            assert_int_equal(json_read(&arena, buf_slice(&text), NULL, &document, NULL), 0);
            assert_null(document.duplicate);
            text.n = without;
            buf_print(&text, ",\"k%zu\":\"again\"}", twin);
            assert_int_equal(json_read(&arena, buf_slice(&text), NULL, &document, NULL), 0);
            assert_non_null(document.duplicate);
            assert_slice(document.duplicate->text, "again");
        }
        buf_release(&text);
    }
}

static void nul_is_reported_and_refused(void **state) {
    (void)state;
    struct json_document document;
    assert_int_equal(json_read(&arena, SLICE("[\"a\\u0000b\"]"), NULL, &document, NULL), 0);
    assert_ptr_equal(document.nul, document.root->first);
    assert_int_equal(document.nul->text.n, 3);
    refuses("{\"a\":[1,\"\\u0000\"]}", "text-invalid", "the text holds U+0000", "/a/1");
    refuses("{\"a\":{\"x\\u0000y\":1}}", "text-invalid", "a member name holds U+0000", "/a");
}

static void whole_numbers_are_whole_in_every_notation(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t number;
    } whole[] = {{"0", 0},
                 {"-0", 0},
                 {"0.0e9", 0},
                 {"1.0", 1},
                 {"1e2", 100},
                 {"-120", -120},
                 {"12.50e1", 125},
                 {"10000e-4", 1},
                 {"9223372036854775807", INT64_MAX},
                 {"-9223372036854775808", INT64_MIN},
                 {"0.000000000000000000001e21", 1},
                 {"1e18", 1000000000000000000}};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        int64_t number = 42;
        if (!json_int64(read_text(whole[i].text), &number)) fail_msg("%s is whole", whole[i].text);
        assert_int_equal(number, whole[i].number);
    }
    static const char *const others[] = {"1.5",   "1e-1", "9223372036854775808",    "-9223372036854775809",
                                         "1e400", "1e19", "1e99999999999999999999", "\"1\""};
    int64_t number = 42;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (json_int64(read_text(others[i]), &number)) fail_msg("%s is no int64", others[i]);
    assert_int_equal(number, 42);
    assert_false(json_int64(NULL, &number));
}

static void doubles_are_the_nearest(void **state) {
    (void)state;
    static const char *const cases[] = {"0",      "0.1",   "-1.5e300", "123456789.123456789",
                                        "5e-324", "1e400", "1e-400",   "1e99999999999"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(json_double(read_text(cases[i])) == strtod(cases[i], NULL));
}

static int compare(const char *a, const char *b) {
    struct decimal x = decimal_of(slice_str(a)), y = decimal_of(slice_str(b));
    int order = decimal_compare(&x, &y);
    assert_int_equal(decimal_compare(&y, &x), -order);
    return order;
}

static void decimals_compare_exactly(void **state) {
    (void)state;
    assert_int_equal(compare("1", "1.0"), 0);
    assert_int_equal(compare("100", "1e2"), 0);
    assert_int_equal(compare("-0", "0.00"), 0);
    assert_int_equal(compare("9007199254740993", "9007199254740992"), 1);
    assert_int_equal(compare("0.1", "0.10000000000000000001"), -1);
    assert_int_equal(compare("-2", "-1"), -1);
    assert_int_equal(compare("-2", "1"), -1);
    assert_int_equal(compare("0", "-1e-9999"), 1);
    assert_int_equal(compare("1e400", "1e399"), 1);
    assert_int_equal(compare("10.5", "10.50"), 0);
    assert_int_equal(compare("10.5", "10.05"), 1);
}

static bool is_multiple(const char *a, const char *b) {
    struct decimal x = decimal_of(slice_str(a)), y = decimal_of(slice_str(b));
    return decimal_is_multiple(&x, &y);
}

static void multiples_are_exact(void **state) {
    (void)state;
    assert_true(is_multiple("0.0075", "0.0001"));
    assert_false(is_multiple("0.00751", "0.0001"));
    assert_true(is_multiple("4.02", "0.01"));
    assert_true(is_multiple("0", "7"));
    assert_true(is_multiple("1e308", "0.5"));
    assert_false(is_multiple("1e308", "0.123456789"));
    assert_true(is_multiple("-21", "7"));
    assert_true(is_multiple("12345678901234567890123456789", "3"));
    assert_false(is_multiple("12345678901234567890123456789", "11"));
    assert_false(is_multiple("35", "10"));
}

static void strings_are_written_so_that_they_read_back(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    json_write_string(&buf, slice_of("a\"\\/\b\f\n\r\t\x01\0z\xc3\xa9\xff", 15));
    assert_slice(buf_slice(&buf), "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u0000z\xc3\xa9\xef\xbf\xbd\"");
    buf_reset(&buf);
    json_write_string(&buf, (struct slice){0});
    assert_slice(buf_slice(&buf), "\"\"");
    buf_reset(&buf);
    json_pointer(&buf, read_text("[0,[{\"a\":7}]]")->first->next->first->first);
    assert_slice(buf_slice(&buf), "/1/0/a");
    buf_release(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tree_keeps_order_names_and_source, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_needs_no_decoding_is_not_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(escapes_are_decoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(special_bytes_are_found_at_every_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_name_line_and_column, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_hold_to_the_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(duplicates_are_found_with_their_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(duplicates_are_found_in_objects_of_any_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nul_is_reported_and_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whole_numbers_are_whole_in_every_notation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(doubles_are_the_nearest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(decimals_compare_exactly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(multiples_are_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strings_are_written_so_that_they_read_back, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
