/* The tail of one output partition, from what brokers answer: the one that leads, or one that did so before and does not know
 * that it no longer does. The reader is the test's. */
#include "output_tail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

enum { RESULTS = 100 };

/* Results of sequence offset + 1, and from there on markers. */
static struct {
    int64_t results, high, stable; /* so many of them; what is said of the log's end */
    int64_t content;               /* where the log ends for who reads it */
    int64_t floor;
    int64_t at; /* the reading */
    bool everything, reading;
    char digits[24];
    struct record_header headers[3];
} world;

struct kafka_reader *kafka_reader_new(const struct kafka_options *options, enum kafka_view view, struct error *error) {
    (void)options, (void)error;
    world.everything = view == KAFKA_EVERYTHING;
    return (struct kafka_reader *)(void *)&world;
}

int kafka_reader_partitions(struct kafka_reader *reader, enum kafka_topic topic, uint32_t *ret_count, struct error *error) {
    return (void)reader, (void)topic, (void)ret_count, (void)error, -1;
}

int kafka_reader_offsets(struct kafka_reader *reader, int64_t at_ms, struct kafka_position *positions, size_t count,
                         struct error *error) {
    (void)reader, (void)error;
    int64_t end = world.everything ? world.high : world.stable;
    for (size_t i = 0; i < count; i++) positions[i].offset = positions[i].topic == KAFKA_RESULTS && at_ms == KAFKA_END ? end : 0;
    return 0;
}

int kafka_reader_start(struct kafka_reader *reader, const struct kafka_position *position, struct error *error) {
    (void)reader, (void)error;
    assert_int_equal(position->topic, KAFKA_RESULTS);
    assert_false(world.reading);
    world.at = position->offset;
    world.reading = true;
    return 0;
}

void kafka_reader_stop(struct kafka_reader *reader, enum kafka_topic topic, uint32_t partition) {
    (void)reader, (void)partition;
    if (topic == KAFKA_RESULTS) world.reading = false;
}

enum kafka_read kafka_reader_next(struct kafka_reader *reader, int timeout_ms, struct kafka_record *ret_record,
                                  struct error *error) {
    static const char hash[] = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    (void)reader, (void)timeout_ms, (void)error;
    assert_true(world.reading);
    *ret_record = (struct kafka_record){.topic = KAFKA_RESULTS, .partition = 1, .offset = world.at};
    if (world.at >= world.results || world.at >= world.content) {
        if (world.at < world.content) ret_record->offset = world.at = world.content;
        return KAFKA_READ_AT_END;
    }
    (void)snprintf(world.digits, sizeof world.digits, "%lld", (long long)++world.at);
    world.headers[0] = (struct record_header){SLICE("ce_ledgershard"), SLICE("1")};
    world.headers[1] = (struct record_header){SLICE("ce_ledgersequence"), slice_str(world.digits)};
    world.headers[2] = (struct record_header){SLICE("ce_ledgerhash"), slice_str(hash)};
    ret_record->headers = world.headers;
    ret_record->header_count = 3;
    return KAFKA_READ_RECORD;
}

void kafka_reader_free(struct kafka_reader *reader) {
    (void)reader;
    world.reading = false;
}

static int set_up(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    world.results = RESULTS;
    world.high = world.stable = world.content = RESULTS + 1; /* a marker behind them */
    world.floor = -1;
    return 0;
}

static int read_tail(struct output_tail *ret_tail, struct error *error) {
    *ret_tail = (struct output_tail){.shard = 1, .floor = {world.floor, -1}};
    return output_tail_read(NULL, ret_tail, 1, error);
}

static void assert_last(uint64_t sequence, int64_t end) {
    struct error error;
    struct output_tail tail;
    assert_int_equal(read_tail(&tail, &error), 0);
    assert_true(tail.ret_stable);
    assert_int_equal(tail.ret_end[OUTPUT_RESULTS], end);
    assert_int_equal(tail.ret_found[OUTPUT_RESULTS], sequence > 0);
    if (sequence) assert_int_equal(tail.ret_sequence[OUTPUT_RESULTS], sequence);
    assert_false(tail.ret_found[OUTPUT_DEAD_LETTER]);
}

static void assert_stale(void) {
    struct error error;
    struct output_tail tail;
    assert_int_equal(read_tail(&tail, &error), -1);
    assert_string_equal(error.code, "kafka-stale-leader");
    assert_int_equal(error.kind, ERROR_UNAVAILABLE);
}

static void the_tail_is_the_last_result_before_the_end(void **state) {
    (void)state;
    assert_last(RESULTS, RESULTS + 1);
    world.high = world.stable = world.content = RESULTS + 3000; /* aborted records and markers, in several windows */
    assert_last(RESULTS, RESULTS + 3000);
    world.content += 7; /* somebody goes on */
    assert_last(RESULTS, RESULTS + 3000);
    world.results = 0;
    assert_last(0, RESULTS + 3000);
}

/* The leader says where the log ends, and another, whose log is shorter, is asked for the results. */
static void results_that_the_one_who_is_read_has_not_are_not_left_out(void **state) {
    (void)state;
    for (int64_t content = RESULTS - 31; content <= RESULTS; content++) {
        world.content = content;
        assert_stale();
    }
    world.content = RESULTS + 1;
    assert_last(RESULTS, RESULTS + 1);
}

/* The first of two ends is told by one who has less: what lies below the floor stays forgotten. */
static void a_floor_is_kept_when_only_one_end_lies_below_it(void **state) {
    (void)state;
    world.floor = RESULTS + 1;
    assert_last(0, RESULTS + 1);
    world.high = RESULTS - 20;
    assert_last(0, RESULTS + 1);
    world.floor = 50;
    assert_last(RESULTS, RESULTS + 1);
}

static void a_floor_behind_the_end_is_that_of_another_topic(void **state) {
    (void)state;
    world.floor = 5000;
    assert_last(RESULTS, RESULTS + 1);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_tail_is_the_last_result_before_the_end),
        TEST(results_that_the_one_who_is_read_has_not_are_not_left_out),
        TEST(a_floor_is_kept_when_only_one_end_lies_below_it),
        TEST(a_floor_behind_the_end_is_that_of_another_topic),
    };
    return cmocka_run_group_tests_name("output_tail", tests, NULL, NULL);
}
