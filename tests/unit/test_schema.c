/* What the published suite does not ask: errors, limits, messages, and the schemas of this program. */
#include "json.h"
#include "schema.h"
#include "schema_format.h"
#include "schema_ref.h"
#include "schemas.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct schema *compile(const char *text) {
    struct schema *schema = NULL;
    struct error error = {0};
    if (schema_compile(slice_str(text), NULL, &schema, &error)) fail_msg("%s: %s %s", text, error.path, error.message);
    return schema;
}

static int validate_text(const struct schema *schema, const char *text, schema_listener *listener, void *context,
                         struct error *error) {
    struct arena arena;
    struct json_document document;
    arena_init(&arena, 64 * 1024 * 1024);
    assert_int_equal(json_read(&arena, slice_str(text), &schema_document_limits, &document, error), 0);
    int status = schema_validate(schema, document.root, listener, context, error);
    arena_release(&arena);
    return status;
}

static bool is_valid(const char *schema_text, const char *text) {
    struct schema *schema = compile(schema_text);
    struct error error = {0};
    int status = validate_text(schema, text, NULL, NULL, &error);
    schema_free(schema);
    assert_int_equal(status == 0, error.code[0] == '\0');
    return status == 0;
}

static void fails(const char *schema_text, const char *text, const char *code, const char *path, const char *message) {
    struct schema *schema = compile(schema_text);
    struct error error = {0};
    assert_int_equal(validate_text(schema, text, NULL, NULL, &error), -1);
    schema_free(schema);
    assert_int_equal(error.kind, ERROR_INPUT);
    assert_string_equal(error.code, code);
    assert_string_equal(error.path, path);
    if (message) assert_string_equal(error.message, message);
}

static void is_unusable(const char *text, const char *path, const char *message) {
    struct schema *schema = NULL;
    struct error error = {0};
    if (schema_compile(slice_str(text), NULL, &schema, &error) == 0) {
        schema_free(schema);
        fail_msg("%s is taken", text);
    }
    assert_null(schema);
    assert_string_equal(error.code, "schema-unusable");
    assert_string_equal(error.path, path);
    if (message) assert_string_equal(error.message, message);
}

static void problems_name_place_and_expectation(void **state) {
    (void)state;
    fails("{\"type\":\"string\"}", "1", "schema-invalid", "", "string is expected, not number");
    fails("{\"items\":{\"type\":[\"string\",\"null\"]}}", "[null,{}]", "schema-invalid", "/1",
          "null or string is expected, not object");
    fails("{\"properties\":{\"a/b\":{\"minimum\":2}}}", "{\"a/b\":1.5}", "schema-invalid", "/a~1b",
          "at least 2 is expected, not 1.5");
    fails("{\"exclusiveMaximum\":2}", "2", "schema-invalid", "", "less than 2 is expected, not 2");
    fails("{\"enum\":[\"a\",1,null]}", "\"b\"", "schema-invalid", "", "one of \"a\", 1, null is expected, not \"b\"");
    fails("{\"const\":{\"a\":1}}", "{\"a\":2}", "schema-invalid", "", "{\"a\":1} is expected, not {\"a\":2}");
    fails("{\"required\":[\"a\"]}", "{}", "schema-invalid", "", "the member \"a\" is missing");
    fails("{\"pattern\":\"^a$\"}", "\"b\"", "schema-invalid", "", "\"b\" does not match the pattern ^a$");
    fails("{\"format\":\"date\"}", "\"x\"", "schema-invalid", "", "\"x\" is not an RFC 3339 date, as 2026-03-01");
    fails("{\"maxLength\":1}", "\"\xc3\xa9\xc3\xa9\"", "schema-invalid", "", "at most 1 characters are expected, not 2");
    fails("{\"uniqueItems\":true}", "[1,{\"a\":1,\"b\":2},{\"b\":2.0,\"a\":1}]", "schema-invalid", "/2", NULL);
    fails("false", "1", "schema-invalid", "", "nothing is allowed here");
    fails("{\"oneOf\":[true,false,true]}", "1", "schema-invalid", "", "alternatives 1 and 3 both fit; exactly one may");
}

static void unknown_members_have_a_code_of_their_own(void **state) {
    (void)state;
    fails("{\"properties\":{\"a\":true,\"bc\":true},\"additionalProperties\":false}", "{\"a\":1,\"x\":2}", "unknown-member", "/x",
          "no member \"x\" is known here; known are a, bc");
    fails("{\"additionalProperties\":{\"type\":\"string\"}}", "{\"a\":1}", "schema-invalid", "/a", NULL);
    /* Known to `required` alone is not known. */
    fails("{\"required\":[\"a\"],\"additionalProperties\":false}", "{\"a\":1}", "unknown-member", "/a", NULL);
}

struct heard {
    size_t count, at_most;
    char keywords[400];
};

static bool hear(void *context, const struct schema_problem *problem) {
    struct heard *heard = context;
    size_t n = strlen(heard->keywords);
    (void)snprintf(heard->keywords + n, sizeof heard->keywords - n, "%s:%s ", problem->path, problem->keyword);
    assert_true(problem->message[0] && problem->instance);
    return ++heard->count < heard->at_most;
}

static const char several[] =
    "{\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"minLength\":2,\"pattern\":\"x\"}},"
    "\"required\":[\"c\"],\"additionalProperties\":false,\"minProperties\":9,\"not\":{\"required\":[\"a\"]}}";

static void a_listener_hears_all_problems(void **state) {
    (void)state;
    struct schema *schema = compile(several);
    struct heard heard = {.at_most = 100};
    struct error error = {0};
    assert_int_equal(validate_text(schema, "{\"a\":1,\"b\":\"y\",\"d\":1}", hear, &heard, &error), -1);
    assert_string_equal(heard.keywords, ":minProperties /a:type /b:minLength /b:pattern /d:additionalProperties :required :not ");
    assert_string_equal(error.message, "at least 9 members are expected, not 3"); /* the first one */
    heard = (struct heard){.at_most = 2};
    assert_int_equal(validate_text(schema, "{\"a\":1,\"b\":\"y\",\"d\":1}", hear, &heard, &error), -1);
    assert_string_equal(heard.keywords, ":minProperties /a:type ");
    schema_free(schema);
}

static void what_is_wrong_in_a_branch_is_no_problem_by_itself(void **state) {
    (void)state;
    struct schema *schema =
        compile("{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":5}],\"if\":{\"minimum\":3},\"contains\":false}");
    struct heard heard = {.at_most = 100};
    struct error error = {0};
    assert_int_equal(validate_text(schema, "7", hear, &heard, &error), 0);
    assert_int_equal(validate_text(schema, "1", hear, &heard, &error), -1);
    assert_string_equal(heard.keywords, ":anyOf ");
    schema_free(schema);
}

static void unusable_schemas_say_where(void **state) {
    (void)state;
    is_unusable("{\"properties\":{\"a\":{\"type\":\"text\"}}}", "/properties/a/type",
                "a type is expected here: null, boolean, number, integer, string, array or object");
    is_unusable("{\"minLength\":-1}", "/minLength", "a whole number from 0 is expected here");
    is_unusable("{\"maxItems\":1.5}", "/maxItems", "a whole number from 0 is expected here");
    is_unusable("{\"required\":\"a\"}", "/required", "an array is expected here");
    is_unusable("{\"anyOf\":[]}", "/anyOf", "at least one schema is expected here");
    is_unusable("{\"not\":3}", "/not", "a schema is expected, which is an object, true or false");
    is_unusable("3", "", NULL);
    is_unusable("{\"multipleOf\":0}", "/multipleOf", "a number above 0 is expected here");
    is_unusable("{\"pattern\":\"(\"}", "/pattern", NULL);
    is_unusable("{\"patternProperties\":{\"a)\":true}}", "/patternProperties/a)", NULL);
    is_unusable("{\"definitions\":{\"unused\":{\"format\":7}}}", "/definitions/unused/format", "a string is expected here");
    is_unusable("{\"$ref\":\"#/definitions/a\"}", "/$ref", "\"#/definitions/a\" refers to nothing");
    is_unusable("{\"$ref\":\"#named\"}", "/$ref", "\"#named\" refers to nothing");
    is_unusable("{\"$ref\":\"http://example.com/a\"}", "/$ref",
                "nothing is known of http://example.com/a (schemas are never fetched over the network)");
    is_unusable("{\"$ref\":7}", "/$ref", "a string is expected here");
    is_unusable("{\"type\":\"string\",\"type\":\"object\"}", "/type", "this member stands twice in one object: \"type\"");
    is_unusable("{\"allOf\":[{\"$id\":\"http://a/b\"},{\"$id\":\"http://a/b\"}]}", "/allOf/1",
                "another schema has this URI, too: \"http://a/b\"");
    is_unusable("{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\"}", "/$schema",
                "only draft-07 is understood: http://json-schema.org/draft-07/schema#");
}

static void endless_recursion_is_found_when_compiling(void **state) {
    (void)state;
    static const char endless[] = "this schema applies itself to the same value without end";
    is_unusable("{\"$ref\":\"#\"}", "", endless);
    is_unusable("{\"allOf\":[{\"$ref\":\"#\"}]}", "", endless);
    is_unusable("{\"definitions\":{\"a\":{\"not\":{\"$ref\":\"#/definitions/b\"}},\"b\":{\"oneOf\":[true,{\"$ref\":\"#/"
                "definitions/a\"}]}}}",
                "/definitions/a", endless);
    /* Recursion that goes down into the value comes to its end. */
    assert_true(is_valid("{\"properties\":{\"a\":{\"$ref\":\"#\"}}}", "{\"a\":{\"a\":{\"a\":{}}}}"));
}

static void endless_recursion_that_depends_on_the_value_is_stopped(void **state) {
    (void)state;
    static const char schema[] = "{\"if\":{\"type\":\"string\"},\"else\":{\"$ref\":\"#\"}}";
    assert_true(is_valid(schema, "\"x\""));
    fails(schema, "1", "schema-stopped", "", NULL);
}

static bool keep_keyword(void *context, const struct schema_problem *problem) {
    (void)snprintf(context, 40, "%s", problem->keyword);
    return true;
}

/* Found by fuzzing: {"if":{"type":"string"},"else":{"$ref":"#"}} was stopped by a keyword without a name. */
static void what_was_stopped_names_the_keyword_that_recurses(void **state) {
    (void)state;
    char keyword[40] = "";
    struct error error = {0};
    struct schema *schema = compile("{\"if\":{\"type\":\"string\"},\"else\":{\"$ref\":\"#\"}}");
    assert_int_equal(validate_text(schema, "1", keep_keyword, keyword, &error), -1);
    schema_free(schema);
    assert_string_equal(keyword, "$ref");
}

/* Found by fuzzing: 20.0.00.0 was taken, as 00 is no more than 0; no other reader of addresses takes it. */
static void an_ipv4_address_has_no_leading_zeros(void **state) {
    (void)state;
    static const char schema[] = "{\"format\":\"ipv4\"}";
    assert_true(is_valid(schema, "\"20.0.0.0\""));
    assert_false(is_valid(schema, "\"20.0.00.0\""));
    assert_false(is_valid(schema, "\"20.0.000.0\""));
    assert_false(is_valid(schema, "\"20.0.0.01\""));
    assert_false(is_valid("{\"format\":\"ipv6\"}", "\"::20.0.00.0\""));
}

/* `not` must not make a yes of "it could not be told". */
static void what_was_stopped_is_never_valid(void **state) {
    (void)state;
    static const char text[] = "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"";
    fails("{\"pattern\":\"^(a+)+$\"}", text, "schema-stopped", "", "matching the pattern takes too long; it was stopped");
    fails("{\"not\":{\"pattern\":\"^(a+)+$\"}}", text, "schema-stopped", "", NULL);
    fails("{\"anyOf\":[{\"pattern\":\"^(a+)+$\"},true]}", text, "schema-stopped", "", NULL);
    fails("{\"if\":{\"pattern\":\"^(a+)+$\"},\"then\":true}", text, "schema-stopped", "", NULL);
    fails("{\"not\":{\"if\":{\"type\":\"string\"},\"else\":{\"$ref\":\"#\"}}}", "1", "schema-stopped", "", NULL);
}

static void work_that_explodes_is_stopped(void **state) {
    (void)state;
    struct buf schema;
    buf_init(&schema, 1 << 20);
    buf_str(&schema, "{\"definitions\":{");
    for (int i = 0; i < 40; i++)
        buf_print(&schema, "\"n%d\":{\"allOf\":[{\"$ref\":\"#/definitions/n%d\"},{\"$ref\":\"#/definitions/n%d\"}]},", i, i + 1,
                  i + 1);
    buf_str(&schema, "\"n40\":true},\"allOf\":[{\"$ref\":\"#/definitions/n0\"}]}");
    fails(schema.p, "1", "schema-stopped", "", "the schema needs too many steps for this document; it was stopped");
    buf_release(&schema);
}

static void large_objects_and_arrays_are_judged_alike(void **state) {
    (void)state;
    struct buf schema, object, array;
    buf_init(&schema, 1 << 20);
    buf_init(&object, 1 << 20);
    buf_init(&array, 1 << 20);
    buf_str(&schema, "{\"required\":[");
    for (int i = 0; i < 1000; i++) {
        buf_print(&schema, "%s\"m%d\"", i ? "," : "", i);
        buf_print(&object, "%s\"m%d\":%d", i ? "," : "{", i, i);
        buf_print(&array, "%s{\"a\":%d,\"b\":[%d]}", i ? "," : "[", i, i);
    }
    buf_str(&schema, "],\"uniqueItems\":true}");
    size_t objects = object.n, arrays = array.n;
    buf_char(&object, '}');
    buf_char(&array, ']');
    assert_true(is_valid(schema.p, object.p));
    assert_true(is_valid(schema.p, array.p));
    object.n = objects - strlen(",\"m999\":999");
    buf_char(&object, '}');
    fails(schema.p, object.p, "schema-invalid", "", "the member \"m999\" is missing");
    array.n = arrays;
    buf_str(&array, ",{\"b\":[7.0],\"a\":7e0}]");
    fails(schema.p, array.p, "schema-invalid", "/1000", NULL);
    buf_release(&schema);
    buf_release(&object);
    buf_release(&array);
}

static void patterns_mean_what_ecma_says(void **state) {
    (void)state;
    assert_true(is_valid("{\"pattern\":\"^.$\"}", "\"\xf0\x9f\x98\x80\""));
    assert_false(is_valid("{\"pattern\":\"^.$\"}", "\"\\u2028\""));
    assert_false(is_valid("{\"pattern\":\"^a$\"}", "\"a\\n\""));
    assert_true(is_valid("{\"pattern\":\"^[\\\\s]+$\"}", "\"\\u00a0\\ufeff\\u000b\""));
    assert_true(is_valid("{\"pattern\":\"^[^\\\\S]+$\"}", "\" \\u3000\""));
    assert_false(is_valid("{\"pattern\":\"^[[:alpha:]]$\"}", "\"x\""));
    assert_true(is_valid("{\"pattern\":\"^[[:alpha:]]$\"}", "\"a]\""));
    assert_true(is_valid("{\"pattern\":\"^a{,2}$\"}", "\"a{,2}\""));
    assert_true(is_valid("{\"pattern\":\"^\\\\u{1f600}\\\\x41\\\\/\\\\-$\"}", "\"\\ud83d\\ude00A/-\""));
    assert_true(is_valid("{\"pattern\":\"^(?:(a)|b)\\\\1$\"}", "\"b\""));
    assert_true(is_valid("{\"pattern\":\"^\\\\p{Script=Greek}\\\\P{Lu}$\"}", "\"\\u03b1x\""));
    assert_true(is_valid("{\"pattern\":\"a\\\\u0000b\"}", "\"a\\u0000b\""));
    static const char *const refused[] = {"(?i)a",    "(*UTF)a", "a++",   "a{2}+",        "\\\\Aa", "\\\\Qa",
                                          "(?P<n>a)", "(?>a)",   "(?#a)", "\\\\c1",       "\\\\07", "\\\\ud800",
                                          "[a",       "\\\\",    "*",     "\\\\u{110000}"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char schema[100];
        (void)snprintf(schema, sizeof schema, "{\"pattern\":\"%s\"}", refused[i]);
        is_unusable(schema, "/pattern", NULL);
    }
}

static int load(void *context, struct arena *arena, struct slice uri, struct slice *ret_text, struct error *error) {
    (void)arena;
    (*(int *)context)++;
    if (slice_is(uri, "http://a/broken")) return *ret_text = SLICE("{\"not\":"), 0;
    if (!slice_is(uri, "http://a/b%20c?d")) return error_set(error, ERROR_INPUT, "", "only one is there");
    *ret_text = SLICE("{\"definitions\":{\"x\":{\"type\":\"string\"},\"y\":{\"$ref\":\"#/definitions/x\"}}}");
    return 0;
}

static void other_documents_are_asked_of_the_loader_once(void **state) {
    (void)state;
    int asked = 0;
    const struct schema_sources sources = {load, &asked};
    struct schema *schema = NULL;
    struct error error = {0};
    static const char text[] = "{\"$id\":\"http://a/main\",\"items\":{\"$ref\":\"b%20c?d#/definitions/y\"},"
                               "\"contains\":{\"$ref\":\"http://a/x/../b%20c?d#/definitions/x\"}}";
    assert_int_equal(schema_compile(slice_str(text), &sources, &schema, &error), 0);
    assert_int_equal(asked, 1);
    assert_int_equal(validate_text(schema, "[\"a\"]", NULL, NULL, &error), 0);
    assert_int_equal(validate_text(schema, "[1]", NULL, NULL, &error), -1);
    schema_free(schema);
    assert_int_equal(schema_compile(SLICE("{\"$ref\":\"http://a/other#\"}"), &sources, &schema, &error), -1);
    assert_string_equal(error.message, "cannot refer to http://a/other: only one is there");
    assert_string_equal(error.path, "/$ref");
    assert_int_equal(schema_compile(SLICE("{\"$ref\":\"http://a/broken\"}"), &sources, &schema, &error), -1);
    assert_string_equal(error.message, "in http://a/broken: line 1, column 8: a value expected, the end found");
}

/* RFC 3986 sections 5.4.1 and 5.4.2. */
static void references_resolve_as_in_the_rfc(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"g:h", "g:h"},
                                           {"g", "http://a/b/c/g"},
                                           {"./g", "http://a/b/c/g"},
                                           {"g/", "http://a/b/c/g/"},
                                           {"/g", "http://a/g"},
                                           {"//g", "http://g"},
                                           {"?y", "http://a/b/c/d;p?y"},
                                           {"g?y", "http://a/b/c/g?y"},
                                           {"#s", "http://a/b/c/d;p?q#s"},
                                           {"g#s", "http://a/b/c/g#s"},
                                           {"g?y#s", "http://a/b/c/g?y#s"},
                                           {";x", "http://a/b/c/;x"},
                                           {"", "http://a/b/c/d;p?q"},
                                           {".", "http://a/b/c/"},
                                           {"./", "http://a/b/c/"},
                                           {"..", "http://a/b/"},
                                           {"../", "http://a/b/"},
                                           {"../g", "http://a/b/g"},
                                           {"../..", "http://a/"},
                                           {"../../", "http://a/"},
                                           {"../../g", "http://a/g"},
                                           {"../../../g", "http://a/g"},
                                           {"/./g", "http://a/g"},
                                           {"/../g", "http://a/g"},
                                           {"g.", "http://a/b/c/g."},
                                           {"..g", "http://a/b/c/..g"},
                                           {"./g/.", "http://a/b/c/g/"},
                                           {"g/./h", "http://a/b/c/g/h"},
                                           {"g/../h", "http://a/b/c/h"},
                                           {"g?y/../x", "http://a/b/c/g?y/../x"},
                                           {"g#s/./x", "http://a/b/c/g#s/./x"}};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice found = schema_uri_resolve(&arena, SLICE("http://a/b/c/d;p?q"), slice_str(cases[i][0]));
        if (!slice_is(found, cases[i][1])) fail_msg("%s: %.*s instead of %s", cases[i][0], SLICE_ARG(found), cases[i][1]);
    }
    assert_true(slice_is(schema_uri_resolve(&arena, SLICE(""), SLICE("#/a")), "#/a"));
    assert_true(slice_is(schema_uri_resolve(&arena, SLICE("urn:x:y"), SLICE("#/a")), "urn:x:y#/a"));
    arena_release(&arena);
}

static void formats_hold_at_their_limits(void **state) {
    (void)state;
    static const struct {
        const char *format, *good, *bad;
    } cases[] = {{"email", "\"a b\"@example.com", "\"a\"b\"@example.com"},
                 {"email", "a@[IPv6:::1]", "a@[::1]"},
                 {"email", "a@b-c.example", "a@-b.example"},
                 {"idn-email", "\xc3\xa9@\xc3\xa9.example", "\xc3\xa9@\xc3\xa9..example"},
                 {"time", "23:59:60.5+00:00", "23:59:60+00:01"},
                 {"date-time", "2000-02-29t00:00:00z", "1900-02-29T00:00:00Z"},
                 {"uri", "http://[v1.a:b]:80/%41?#", "http://[v1]/"},
                 {"uri", "a:", ":a"},
                 {"iri", "a:\xf3\xa1\x80\x80", "a:\xee\x80\x80"}, /* U+E1000, and U+E000, which is private use */
                 {"uri-template", "{+a.b%20:9999,c*}", "{a:10000}"},
                 {"relative-json-pointer", "10/~0~1", "01"},
                 {"ipv6", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8::"},
                 {"ipv6", "::1:2:3:4:5:6:7", "::1:2:3:4:5:6:1.2.3.4"},
                 {"idn-hostname",
                  "b\xc3\xbc"
                  "cher.example",
                  "b\xc3\xbc"
                  "cher-.example"},
                 {"hostname", "xn--bcher-kva.example", "xn--bcher-kv.example-"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct schema_format *format = schema_format_find(slice_str(cases[i].format));
        assert_non_null(format);
        if (!format->matches(slice_str(cases[i].good))) fail_msg("%s refuses %s", cases[i].format, cases[i].good);
        if (format->matches(slice_str(cases[i].bad))) fail_msg("%s takes %s", cases[i].format, cases[i].bad);
    }
    assert_null(schema_format_find(SLICE("uuid")));
}

/* No name, however long its labels, may overrun what a name is gathered in. */
static void overlong_host_names_are_refused(void **state) {
    (void)state;
    char name[2100];
    for (size_t length = 1; length < sizeof name; length += 7) {
        for (size_t i = 0; i < length; i++) name[i] = i % 64 == 63 ? '.' : 'a';
        bool taken = schema_format_hostname(slice_of(name, length));
        assert_int_equal(taken, length <= 253 && length % 64 != 0);
        for (size_t i = 0; i + 2 <= length; i += 2) memcpy(name + i, "\xc3\xa9", 2);
        (void)schema_format_idn_hostname(slice_of(name, length - length % 2));
    }
}

/* Found by fuzzing: each letter and digit of a label could be matched in two ways, and all combinations were tried before it was
 * refused. A thousand of these took hours. */
static void a_label_is_refused_without_trying_all_ways(void **state) {
    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_false(schema_format_hostname(SLICE("xn--555555555555555555555555555549dependenciesn--9t4b11yi5a")));
        assert_false(schema_format_idn_hostname(SLICE("abcdefghijklmnopqrstuvwxyz0123456789\xe3\x80\x83"
                                                      "A")));
    }
    assert_true(schema_format_idn_hostname(SLICE("abcdefghijklmnopqrstuvwxyz0123456789\xe3\x80\x85")));
}

static void the_built_in_schemas_are_schemas(void **state) {
    (void)state;
    struct schema *meta = compile(schemas_find(SLICE("draft-07")).p);
    size_t count = 0;
    for (; schemas_at(count).name; count++) {
        struct builtin_schema one = schemas_at(count);
        struct schema *schema = compile(one.text.p);
        struct error error = {0};
        if (validate_text(meta, one.text.p, NULL, NULL, &error)) fail_msg("%s: %s %s", one.name, error.path, error.message);
        schema_free(schema);
    }
    assert_int_equal(count, SCHEMA_COUNT);
    assert_null(schemas_find(SLICE("nothing")).p);
    schema_free(meta);
}

#define SHA "0123456789abcdef0123456789abcdef01234567"

static void a_promotion_request_is_judged_by_its_schema(void **state) {
    (void)state;
    const char *schema = schemas_find(SLICE("promotion-requested.v1")).p;
    assert_true(is_valid(schema, "{\"releaseRef\":\"" SHA "\",\"targetEnv\":\"prod\",\"requester\":\"github:1\",\"reason\":\"\","
                                 "\"dryRun\":true,\"expiresAt\":\"2026-03-01T10:00:00+01:00\"}"));
    fails(schema, "{\"releaseRef\":\"0123\",\"targetEnv\":\"prod\",\"requester\":\"a\"}", "schema-invalid", "/releaseRef", NULL);
    fails(schema, "{\"releaseRef\":\"" SHA "\",\"targetEnv\":\"Prod\",\"requester\":\"a\"}", "schema-invalid", "/targetEnv",
          NULL);
    fails(schema, "{\"releaseRef\":\"" SHA "\",\"targetEnv\":\"prod\",\"requester\":\"a\",\"dryRun\":1}", "schema-invalid",
          "/dryRun", NULL);
    fails(schema, "{\"releaseRef\":\"" SHA "\",\"targetEnv\":\"prod\"}", "schema-invalid", "", NULL);
    fails(schema, "{\"releaseRef\":\"" SHA "\",\"targetEnv\":\"prod\",\"requester\":\"a\",\"force\":true}", "unknown-member",
          "/force", NULL);
}

/* The example of the contract. */
static void a_promotion_answer_is_judged_by_its_schema(void **state) {
    (void)state;
    static const char form[] =
        "{\"project\":\"acme/shop\",\"release\":{\"gitSha\":\"" SHA "\"},\"environment\":\"prod\","
        "\"promotionId\":\"k3t7xw2m5qzr4c6n7v2d5h6sfa\",\"outcome\":\"%s\",\"final\":%s,\"revision\":1,"
        "\"request\":{\"source\":\"https://ci.acme.example/run/81\",\"id\":\"81-1-prod\","
        "\"type\":\"dev.sluice.promotion.requested.v1\",\"requester\":\"github:1011\",\"verified\":false},"
        "\"conditions\":[{\"type\":\"after\",\"subject\":\"staging\",\"status\":\"unmet\",\"code\":\"not-promoted-yet\","
        "\"message\":\"promote it there first\",\"since\":\"2026-03-01T10:00:00.123456Z\"}],"
        "\"decidedAt\":\"2026-03-01T10:00:00.123456Z\",\"expiresAt\":\"2026-03-08T10:00:00Z\"%s}";
    const char *waiting = schemas_find(SLICE("promotion-waiting.v1")).p;
    const char *evaluated = schemas_find(SLICE("promotion-evaluated.v1")).p;
    char answer[2000];
    (void)snprintf(answer, sizeof answer, form, "waiting", "false", "");
    assert_true(is_valid(waiting, answer));
    (void)snprintf(answer, sizeof answer, form, "waiting", "true", "");
    fails(waiting, answer, "schema-invalid", "/final", NULL);
    (void)snprintf(answer, sizeof answer, form, "waiting", "false", ",\"more\":1");
    fails(waiting, answer, "unknown-member", "/more", NULL);
    (void)snprintf(answer, sizeof answer, form, "evaluated", "true", ",\"wouldBe\":\"promoted\"");
    assert_true(is_valid(evaluated, answer));
    (void)snprintf(answer, sizeof answer, form, "evaluated", "true", "");
    fails(evaluated, answer, "schema-invalid", "", "the member \"wouldBe\" is missing");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(problems_name_place_and_expectation),
        cmocka_unit_test(unknown_members_have_a_code_of_their_own),
        cmocka_unit_test(a_listener_hears_all_problems),
        cmocka_unit_test(what_is_wrong_in_a_branch_is_no_problem_by_itself),
        cmocka_unit_test(unusable_schemas_say_where),
        cmocka_unit_test(endless_recursion_is_found_when_compiling),
        cmocka_unit_test(endless_recursion_that_depends_on_the_value_is_stopped),
        cmocka_unit_test(what_was_stopped_names_the_keyword_that_recurses),
        cmocka_unit_test(an_ipv4_address_has_no_leading_zeros),
        cmocka_unit_test(what_was_stopped_is_never_valid),
        cmocka_unit_test(work_that_explodes_is_stopped),
        cmocka_unit_test(large_objects_and_arrays_are_judged_alike),
        cmocka_unit_test(patterns_mean_what_ecma_says),
        cmocka_unit_test(other_documents_are_asked_of_the_loader_once),
        cmocka_unit_test(references_resolve_as_in_the_rfc),
        cmocka_unit_test(formats_hold_at_their_limits),
        cmocka_unit_test(overlong_host_names_are_refused),
        cmocka_unit_test(a_label_is_refused_without_trying_all_ways),
        cmocka_unit_test(the_built_in_schemas_are_schemas),
        cmocka_unit_test(a_promotion_request_is_judged_by_its_schema),
        cmocka_unit_test(a_promotion_answer_is_judged_by_its_schema),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
