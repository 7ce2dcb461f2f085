#include "cloudevent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* cmocka wants the above first */
#include <cmocka.h>

static struct arena arena;

static int set_up(void **state) {
    (void)state;
    arena_init(&arena, 1 << 28);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_release(&arena);
    return 0;
}

static int read_structured(const char *json, struct cloudevent *event, struct slice *why) {
    static const struct record_header headers[] = {{SLICE("content-type"), SLICE("application/cloudevents+json; charset=utf-8")}};
    struct record record = {.value = slice_str(json), .headers = headers, .header_count = 1};
    return cloudevent_read(&arena, &record, event, why);
}

#define ENVELOPE "\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/ci\",\"subject\":\"acme/shop\",\"type\":\"t\""

static void structured_mode_is_read(void **state) {
    (void)state;
    struct cloudevent event;
    struct slice why;
    assert_int_equal(read_structured("{" ENVELOPE ",\"time\":\"T\",\"other\":1,\"data\": {\"a\" : 1} }", &event, &why), 0);
    assert_int_equal(event.refusal, CODE_NONE);
    assert_true(slice_is(event.id, "1"));
    assert_true(slice_is(event.subject, "acme/shop"));
    assert_true(slice_is(event.data, "{\"a\" : 1}"));
    assert_int_equal(event.json->kind, JSON_OBJECT);
}

static void base64_data_is_decoded(void **state) {
    (void)state;
    struct cloudevent event;
    struct slice why;
    assert_int_equal(read_structured("{" ENVELOPE ",\"data_base64\":\"eyJhIjoxfQ==\"}", &event, &why), 0);
    assert_int_equal(event.refusal, CODE_NONE);
    assert_true(slice_is(event.data, "{\"a\":1}"));
    assert_int_equal(read_structured("{" ENVELOPE ",\"data_base64\":\"eyJhIjoxfQ=\"}", &event, &why), 0);
    assert_int_equal(event.refusal, CODE_SCHEMA_INVALID);
}

static void an_attribute_that_is_null_is_absent(void **state) {
    (void)state;
    struct cloudevent event;
    struct slice why;
    assert_int_equal(read_structured("{" ENVELOPE ",\"datacontenttype\":null,\"data_base64\":null,\"data\":{}}", &event, &why),
                     0);
    assert_int_equal(event.refusal, CODE_NONE);
    assert_true(slice_is(event.data, "{}"));
    assert_int_equal(read_structured("{" ENVELOPE ",\"data_base64\":null}", &event, &why), 0);
    assert_int_equal(event.refusal, CODE_SCHEMA_INVALID);
}

static void binary_mode_is_read(void **state) {
    (void)state;
    const struct record_header headers[] = {{SLICE("ce_specversion"), SLICE("1.0")},
                                            {SLICE("ce_id"), SLICE("old")},
                                            {SLICE("ce_id"), SLICE("1")},
                                            {SLICE("ce_source"), SLICE("/ci")},
                                            {SLICE("ce_subject"), SLICE("a/b")},
                                            {SLICE("ce_type"), SLICE("t")},
                                            {SLICE("ce_traceparent"), SLICE("00-1")},
                                            {SLICE("content-type"), SLICE("application/json")}};
    struct record record = {.value = SLICE("{\"a\":1}"), .headers = headers, .header_count = 8};
    struct cloudevent event;
    struct slice why;
    assert_int_equal(cloudevent_read(&arena, &record, &event, &why), 0);
    assert_int_equal(event.refusal, CODE_NONE);
    assert_true(slice_is(event.id, "1"));
    assert_true(slice_is(event.traceparent, "00-1"));
    struct slice traceparent;
    assert_int_equal(cloudevent_traceparent(&arena, &record, &traceparent), 0);
    assert_true(slice_is(traceparent, "00-1"));
    record.header_count = 7;
    assert_int_equal(cloudevent_read(&arena, &record, &event, &why), 0);
    assert_int_equal(event.refusal, CODE_CONTENT_TYPE_INVALID);
}

static void what_nobody_could_be_answered_to_is_no_event(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "nonsense",
        "[]",
        "{\"specversion\":\"1.0\",\"source\":\"/ci\",\"subject\":\"a\",\"type\":\"t\",\"data\":{}}",
        "{\"specversion\":\"1.0\",\"id\":1,\"source\":\"/ci\",\"subject\":\"a\",\"type\":\"t\",\"data\":{}}",
        "{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"/ci\",\"subject\":\"a\",\"type\":\"t\",\"data\":{}}",
        "{\"specversion\":\"1.0\",\"id\":\"\\u0000\",\"source\":\"/ci\",\"subject\":\"a\",\"type\":\"t\",\"data\":{}}",
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/ci\",\"subject\":\"a//b\",\"type\":\"t\",\"data\":{}}",
        "{" ENVELOPE ",\"id\":\"2\",\"data\":{}}",
    };
    struct cloudevent event;
    struct slice why;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_structured(cases[i], &event, &why), -1);
        assert_non_null(why.p);
    }
    struct record null = {0};
    assert_int_equal(cloudevent_read(&arena, &null, &event, &why), -1);
}

static void flaws_of_the_data_are_refused_with_their_path(void **state) {
    (void)state;
    struct cloudevent event;
    struct slice why;
    assert_int_equal(read_structured("{" ENVELOPE ",\"data\":{\"x\":[{\"a\":1,\"a\":2}]}}", &event, &why), 0);
    assert_int_equal(event.refusal, CODE_DUPLICATE_MEMBER);
    assert_true(slice_is(event.path, "/x/0/a"));
    assert_int_equal(read_structured("{" ENVELOPE ",\"data\":{\"x\":\"a\\u0000b\"}}", &event, &why), 0);
    assert_int_equal(event.refusal, CODE_TEXT_INVALID);
    assert_true(slice_is(event.path, "/x"));
    assert_int_equal(read_structured("{" ENVELOPE ",\"data\":{\"x\":{\"a\\u0000b\":1}}}", &event, &why), 0);
    assert_int_equal(event.refusal, CODE_TEXT_INVALID);
    assert_true(slice_is(event.path, "/x")); /* of what holds the name, which no answer may hold */
    assert_int_equal(read_structured("{" ENVELOPE "}", &event, &why), 0);
    assert_int_equal(event.refusal, CODE_SCHEMA_INVALID);
}

/* The event is answered, so its id is read, however deep it nests and however large it is. */
static void limits_are_refused_with_the_events_own_id(void **state) {
    (void)state;
    struct cloudevent event;
    struct slice why;
    struct buf buf;
    buf_init(&buf, 4 << 20);
    buf_str(&buf, "{" ENVELOPE ",\"data\":");
    for (int i = 0; i < 400000; i++) buf_char(&buf, '[');
    for (int i = 0; i < 400000; i++) buf_char(&buf, ']');
    buf_char(&buf, '}');
    assert_int_equal(read_structured(buf.p, &event, &why), 0);
    assert_int_equal(event.refusal, CODE_TOO_DEEP);
    assert_true(slice_is(event.id, "1"));
    buf_reset(&buf);
    buf_str(&buf, "{" ENVELOPE ",\"data\":{\"x\":\"");
    for (int i = 0; i < 1000000; i++) buf_char(&buf, 'x');
    buf_str(&buf, "\"}}");
    assert_int_equal(read_structured(buf.p, &event, &why), 0);
    assert_int_equal(event.refusal, CODE_TOO_LARGE);
    buf_release(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(structured_mode_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(base64_data_is_decoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_attribute_that_is_null_is_absent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(binary_mode_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_nobody_could_be_answered_to_is_no_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flaws_of_the_data_are_refused_with_their_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_are_refused_with_the_events_own_id, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("cloudevent", tests, NULL, NULL);
}
