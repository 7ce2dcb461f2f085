/* What needs no broker: names of topics, and the ledger position in a published record. */
#include "kafka.h"
#include "output_tail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void topics_are_the_prefix_and_a_word(void **state) {
    (void)state;
    char name[KAFKA_TOPIC_MAX + 1], prefix[KAFKA_TOPIC_MAX + 1];
    struct error error = {0};
    struct kafka_options options = {.topic_prefix = "release."};
    assert_int_equal(kafka_topic_name(&options, KAFKA_BUILDS, name, &error), 0);
    assert_string_equal(name, "release.builds");
    assert_int_equal(kafka_topic_name(&options, kafka_input_topic(INPUT_REQUESTS), name, &error), 0);
    assert_string_equal(name, "release.requests");
    assert_int_equal(kafka_topic_name(&options, kafka_output_topic(OUTPUT_RESULTS), name, &error), 0);
    assert_string_equal(name, "release.results");
    assert_int_equal(kafka_topic_name(&options, kafka_output_topic(OUTPUT_DEAD_LETTER), name, &error), 0);
    assert_string_equal(name, "release.dead-letter");
    options.topic_prefix = "team a/";
    assert_int_equal(kafka_topic_name(&options, KAFKA_BUILDS, name, &error), -1);
    assert_non_null(strstr(error.message, "team a/"));
    memset(prefix, 'a', KAFKA_TOPIC_MAX);
    prefix[KAFKA_TOPIC_MAX - 6] = '\0'; /* "builds" just fits, "requests" does not */
    options.topic_prefix = prefix;
    assert_int_equal(kafka_topic_name(&options, KAFKA_BUILDS, name, &error), 0);
    assert_int_equal(kafka_topic_name(&options, KAFKA_REQUESTS, name, &error), -1);
}

#define HASH "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static bool reads(const char *shard, const char *sequence, const char *hash, uint64_t *ret_sequence) {
    struct digest digest;
    const struct record_header headers[] = {{SLICE("ce_ledgersequence"), SLICE("1")},
                                            {SLICE("ce_ledgershard"), slice_str(shard)},
                                            {SLICE("ce_ledgersequence"), slice_str(sequence)},
                                            {SLICE("ce_ledgerhash"), slice_str(hash)}};
    const struct kafka_record record = {.partition = 7, .headers = headers, .header_count = 4};
    return output_tail_position(&record, ret_sequence, &digest);
}

static void the_last_headers_say_which_ledger_row_a_record_is(void **state) {
    (void)state;
    uint64_t sequence = 0;
    assert_true(reads("7", "48213", HASH, &sequence));
    assert_int_equal(sequence, 48213);
}

static void what_does_not_name_a_row_of_this_shard_is_none(void **state) {
    (void)state;
    uint64_t sequence = 42;
    assert_false(reads("8", "48213", HASH, &sequence));
    assert_false(reads("", "48213", HASH, &sequence));
    assert_false(reads("7", "-1", HASH, &sequence));
    assert_false(reads("7", "99999999999999999999", HASH, &sequence));
    assert_false(reads("7", "48213", "sha256:0123", &sequence));
    assert_false(reads("7", NULL, HASH, &sequence));
    assert_int_equal(sequence, 42);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_are_the_prefix_and_a_word),
        cmocka_unit_test(the_last_headers_say_which_ledger_row_a_record_is),
        cmocka_unit_test(what_does_not_name_a_row_of_this_shard_is_none),
    };
    return cmocka_run_group_tests_name("kafka", tests, NULL, NULL);
}
