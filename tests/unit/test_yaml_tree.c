#include "yaml_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static const struct yaml_limits limits = {.bytes = 100000, .values = 1000};

static struct arena arena;
static struct error failure;

static int setup(void **state) {
    (void)state;
    arena_init(&arena, 4 * 1024 * 1024);
    failure = (struct error){0};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_release(&arena);
    return 0;
}

static const struct yaml *read_text(const char *text) {
    const struct yaml *root = NULL;
    return yaml_read(&arena, slice_str(text), &limits, &root, &failure) < 0 ? NULL : root;
}

static void a_tree_knows_where_its_values_stand(void **state) {
    (void)state;
    const struct yaml *root =
        read_text("version: 1\nregistries:\n  ghcr.io: {}\n  \"127.0.0.1:5000\": {plain-http: true}\nlist: [a, 'b']\n");
    assert_non_null(root);
    assert_int_equal(root->count, 3);
    const struct yaml *registries = yaml_get(root, "registries"), *local = yaml_get(registries, "127.0.0.1:5000");
    assert_int_equal(local->key_line, 4);
    assert_int_equal(local->key_column, 3);
    assert_int_equal(local->line, 4);
    assert_int_equal(local->column, 21);
    assert_ptr_equal(local->above, registries);
    const struct yaml *list = yaml_get(root, "list");
    assert_int_equal(list->kind, YAML_LIST);
    assert_false(list->first->quoted);
    assert_true(list->first->next->quoted);
    assert_string_equal(list->first->next->text.p, "b");
    assert_null(yaml_get(root, "nothing"));
    assert_null(yaml_get(NULL, "nothing"));
}

static void columns_count_characters(void **state) {
    (void)state;
    const struct yaml *root = read_text("{\"\xc3\xa4\xc3\xb6\": x}");
    assert_int_equal(root->first->column, 8);
}

static void what_could_hide_something_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a: &x 1\n", "line 1, column 4: an anchor"},
        {"a: 1\nb: *x\n", "line 2, column 4: an alias"},
        {"? &x a\n: 1\n", "line 1, column 3: an anchor"},
        {"a: !!str 1\n", "line 1, column 4: a tag"},
        {"a: ! x\n", "line 1, column 4: a tag"},
        {"a: !x {b: 1}\n", "line 1, column 4: a tag"},
        {"a: !x [b]\n", "line 1, column 4: a tag"},
        {"a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' stands in line 1 already"},
        {"a: {x: 1, \"x\": 2}\n", "line 1, column 11: the key 'x' stands in line 1 already"},
        {"a: 1\n---\nb: 2\n", "line 2, column 1: a second document"},
        {"%YAML 1.1\n---\na: 1\n", "line 1, column 1: a directive"},
        {"%TAG ! tag:x,2000:\n---\na: 1\n", "line 1, column 1: a directive"},
        {"? [a]\n: 1\n", "line 1, column 3: a key must be a plain text"},
        {"? {a: 1}\n: 1\n", "line 1, column 3: a key must be a plain text"},
        {"{'': 1}\n", "line 1, column 2: a key must not be empty"},
        {"a: \"\\0\"\n", "line 1, column 4: a text must not hold U+0000"},
        {"\"a\\0\": 1\n", "line 1, column 1: a text must not hold U+0000"},
        {"a:\n\tb: 1\n", "line 2, column 1: a tab; indent with spaces"},
        {"a: [1, 2\n", "line 2, column 1: "},
        {"a: \xff\n", "line 1, column 4: "},
        {"a: b\n  \x01\n", "line 2, column 3: "},
        {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n", "line 1, column 17: nested deeper than 16 levels"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        failure.message[0] = '\0';
        assert_null(read_text(cases[i].text));
        assert_int_equal(failure.kind, ERROR_INPUT);
        if (strncmp(failure.message, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("%s\nsays: %s\nnot: %s", cases[i].text, failure.message, cases[i].message);
    }
}

static void a_key_that_stands_twice_among_many_is_found(void **state) {
    (void)state;
    char text[4000];
    size_t n = 0;
    for (int i = 0; i < 200; i++) n += (size_t)snprintf(text + n, sizeof text - n, "key-%d: %d\n", i, i);
    assert_non_null(read_text(text));
    for (int twice = 0; twice < 200; twice += 13) {
        (void)snprintf(text + n, sizeof text - n, "key-%d: again\n", twice);
        char wanted[100];
        (void)snprintf(wanted, sizeof wanted, "line 201, column 1: the key 'key-%d' stands in line %d already; keep one of them",
                       twice, twice + 1);
        assert_null(read_text(text));
        assert_string_equal(failure.message, wanted);
    }
}

static void limits_hold(void **state) {
    (void)state;
    const struct yaml *root = NULL;
    const struct yaml_limits small = {.bytes = 10, .values = 3};
    assert_int_equal(yaml_read(&arena, SLICE("a: 12345678"), &small, &root, &failure), -1);
    assert_string_equal(failure.code, "too-large");
    assert_int_equal(yaml_read(&arena, SLICE("[a,b,c]"), &small, &root, &failure), -1);
    assert_string_equal(failure.code, "too-large");
    assert_int_equal(yaml_read(&arena, SLICE("[a,b]"), &small, &root, &failure), 0);
    struct arena tiny;
    arena_init(&tiny, 100);
    assert_int_equal(yaml_read(&tiny, SLICE("[a,b]"), &small, &root, &failure), -1);
    assert_string_equal(failure.code, "out-of-memory");
    arena_release(&tiny);
}

static void an_empty_file_is_nothing(void **state) {
    (void)state;
    static const char *const cases[] = {"", "\n", "# only words\n", "---\n", "~\n", "null\n"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_true(yaml_is_null(read_text(cases[i])));
}

static void only_plain_words_are_numbers_and_booleans(void **state) {
    (void)state;
    bool yes = false;
    int64_t number = 0;
    assert_true(yaml_boolean(read_text("true"), &yes) && yes);
    assert_true(yaml_boolean(read_text("false"), &yes) && !yes);
    static const char *const neither[] = {
        "yes", "on", "True", "'true'", "\"1\"", "1.0", "0x10", "-1", "+1", "1e3", "[1]", "101", "99999999999999999999"};
    for (size_t i = 0; i < sizeof neither / sizeof *neither; i++) {
        assert_false(yaml_boolean(read_text(neither[i]), &yes));
        assert_false(yaml_number(read_text(neither[i]), 100, &number));
    }
    assert_true(yaml_number(read_text("100"), 100, &number));
    assert_int_equal(number, 100);
    assert_true(yaml_number(read_text("9223372036854775807"), INT64_MAX, &number));
    assert_int_equal(number, INT64_MAX);
    assert_false(yaml_number(read_text("9223372036854775808"), INT64_MAX, &number));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_tree_knows_where_its_values_stand),
        TEST(columns_count_characters),
        TEST(what_could_hide_something_is_refused),
        TEST(a_key_that_stands_twice_among_many_is_found),
        TEST(limits_hold),
        TEST(an_empty_file_is_nothing),
        TEST(only_plain_words_are_numbers_and_booleans),
    };
    return cmocka_run_group_tests_name("yaml_tree", tests, NULL, NULL);
}
