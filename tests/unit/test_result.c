/* From a ledger row to the record that is published, and again from what the ledger has of it: byte for byte the same. */
#include "result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* cmocka wants the above first */
#include <cmocka.h>

static struct arena arena;

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

static struct slice input_of(const struct record *record) {
    struct buf buf;
    buf_init(&buf, 10000);
    ledger_write_input(&buf, record);
    struct slice copy = arena_copy(&arena, buf_slice(&buf));
    buf_release(&buf);
    return copy;
}

static const struct record_header caused_by[] = {
    {SLICE("content-type"), SLICE("application/cloudevents+json")},
};

static const struct record cause = {
    .topic = INPUT_REQUESTS,
    .key = SLICE("acme/shop"),
    .value = SLICE("{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/ci\",\"subject\":\"acme/shop\",\"type\":\"t\","
                   "\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\",\"data\":{}}"),
    .headers = caused_by,
    .header_count = 1};

static struct ledger_row promoted(void) {
    return (struct ledger_row){.shard = 3,
                               .sequence = 41,
                               .at = 1772359200000000,
                               .kind = RESULT_PROMOTION_PROMOTED,
                               .topic = INPUT_REQUESTS,
                               .input = input_of(&cause),
                               .decision = SLICE("{\"project\":\"acme/shop\",\"environment\":\"dev\",\"outcome\":\"promoted\"}"),
                               .hash = digest_of(SLICE("hash"))};
}

static struct slice header_of(const struct output_record *record, const char *name) {
    struct slice value = {0};
    for (size_t i = 0; i < record->header_count; i++)
        if (slice_is(record->headers[i].name, name)) value = record->headers[i].value;
    return value;
}

static void a_result_is_made_again_as_it_was(void **state) {
    (void)state;
    struct ledger_row row = promoted();
    struct answer first = {.row = row,
                           .project = SLICE("acme/shop"),
                           .environment = SLICE("dev"),
                           .outcome = SLICE("promoted"),
                           .traceparent = SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")};
    struct answer again;
    struct output_record one, other;
    assert_int_equal(result_recall(&arena, &row, &again), 0);
    assert_int_equal(result_record(&arena, &first, SLICE("/sluice/x"), &one), 0);
    assert_int_equal(result_record(&arena, &again, SLICE("/sluice/x"), &other), 0);
    assert_int_equal(one.topic, OUTPUT_RESULTS);
    assert_int_equal(one.shard, 3);
    assert_int_equal(one.header_count, other.header_count);
    for (size_t i = 0; i < one.header_count; i++) {
        assert_true(slice_equal(one.headers[i].name, other.headers[i].name));
        assert_true(slice_equal(one.headers[i].value, other.headers[i].value));
    }
    assert_true(slice_equal(one.key, other.key));
    assert_true(slice_equal(one.value, other.value));
    assert_true(slice_is(header_of(&one, "ce_id"), "3-41"));
    assert_true(slice_is(header_of(&one, "ce_ledgersequence"), "41"));
    assert_true(slice_is(header_of(&one, "ce_time"), "2026-03-01T10:00:00.000000Z"));
}

/* A look at a promotion that waits: no record caused it. */
static void what_no_record_caused_has_no_trace(void **state) {
    (void)state;
    struct ledger_row row = promoted();
    struct answer again;
    struct output_record record;
    row.topic = INPUT_NONE;
    row.input = SLICE("");
    row.decision = SLICE("{\"project\":\"acme/shop\"}");
    assert_int_equal(result_recall(&arena, &row, &again), 0);
    assert_int_equal(result_record(&arena, &again, SLICE("/s"), &record), 0);
    assert_null(header_of(&record, "ce_traceparent").p);
    assert_null(header_of(&record, "ce_environment").p);
    assert_null(header_of(&record, "ce_outcome").p);
}

/* The original as it was, then what we say: a header of the same name does not hide ours. */
static void a_dead_letter_is_the_original_and_what_was_wrong(void **state) {
    (void)state;
    static const struct record_header headers[] = {{SLICE("sluice_error"), SLICE("forged")}, {SLICE("x"), {0}}};
    const struct record original = {.key = {0}, .value = SLICE("junk"), .headers = headers, .header_count = 2};
    struct ledger_row row = promoted();
    struct answer again;
    struct output_record record;
    row.kind = RESULT_DEAD_LETTER;
    row.input = input_of(&original);
    row.decision = SLICE("{\"code\":\"not-cloudevent\"}");
    assert_int_equal(result_recall(&arena, &row, &again), 0);
    assert_int_equal(result_record(&arena, &again, SLICE("/s"), &record), 0);
    assert_int_equal(record.topic, OUTPUT_DEAD_LETTER);
    assert_null(record.key.p);
    assert_true(slice_is(record.value, "junk"));
    assert_true(slice_is(header_of(&record, "sluice_error"), "{\"code\":\"not-cloudevent\"}"));
    assert_int_equal(record.header_count, 6);
    row.input = input_of(&(struct record){.value = SLICE("junk")});
    assert_int_equal(result_recall(&arena, &row, &again), 0);
    assert_int_equal(result_record(&arena, &again, SLICE("/s"), &record), 0);
    assert_int_equal(record.header_count, 4);
}

static void a_damaged_row_becomes_no_record(void **state) {
    (void)state;
    struct answer answer;
    struct output_record record;
    struct ledger_row row = promoted();
    row.decision = SLICE("{\"project\":");
    assert_int_equal(result_recall(&arena, &row, &answer), -1);
    row.decision = SLICE("{\"environment\":\"dev\"}");
    assert_int_equal(result_recall(&arena, &row, &answer), -1);
    row = promoted();
    row.input.n--;
    assert_int_equal(result_recall(&arena, &row, &answer), -1);
    row.kind = RESULT_DEAD_LETTER;
    assert_int_equal(result_recall(&arena, &row, &answer), 0);
    assert_int_equal(result_record(&arena, &answer, SLICE("/s"), &record), -1);
    answer.row = promoted();
    answer.row.kind = (enum result_kind)250;
    assert_int_equal(result_record(&arena, &answer, SLICE("/s"), &record), -1);
}

/* An operator's decision is a row that nobody is told of. */
static void a_resumption_is_published_nowhere(void **state) {
    (void)state;
    enum output_topic topic = OUTPUT_RESULTS;
    struct answer answer;
    struct ledger_row row = promoted();
    row.kind = RESULT_SHARD_RESUMED;
    row.decision = SLICE("not even JSON");
    assert_false(result_topic(row.kind, &topic));
    assert_int_equal(result_recall(&arena, &row, &answer), 0);
    assert_true(result_topic(RESULT_DEAD_LETTER, &topic));
    assert_int_equal(topic, OUTPUT_DEAD_LETTER);
    assert_true(result_topic(RESULT_EVENT_REFUSED, &topic));
    assert_int_equal(topic, OUTPUT_RESULTS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_result_is_made_again_as_it_was),
        TEST(what_no_record_caused_has_no_trace),
        TEST(a_dead_letter_is_the_original_and_what_was_wrong),
        TEST(a_damaged_row_becomes_no_record),
        TEST(a_resumption_is_published_nowhere),
    };
    return cmocka_run_group_tests_name("result", tests, NULL, NULL);
}
