/* Following the results topic when brokers do not have what is asked for: one that lags says so for a while. The reader is the
 * test's. */
#include "await.h"
#include "command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants the above first */
#include <cmocka.h>

static int reads, lags; /* so many times the broker lags; afterwards it fails for good */

struct kafka_reader *kafka_reader_new(const struct kafka_options *options, enum kafka_view view, struct error *error) {
    (void)options, (void)view, (void)error;
    return (struct kafka_reader *)(void *)&reads;
}

int kafka_reader_partitions(struct kafka_reader *reader, enum kafka_topic topic, uint32_t *ret_count, struct error *error) {
    (void)reader, (void)topic, (void)error;
    return *ret_count = 1, 0;
}

int kafka_reader_offsets(struct kafka_reader *reader, int64_t at_ms, struct kafka_position *positions, size_t count,
                         struct error *error) {
    (void)reader, (void)at_ms, (void)error;
    for (size_t i = 0; i < count; i++) positions[i].offset = 7;
    return 0;
}

int kafka_reader_start(struct kafka_reader *reader, const struct kafka_position *position, struct error *error) {
    return (void)reader, (void)position, (void)error, 0;
}

void kafka_reader_stop(struct kafka_reader *reader, enum kafka_topic topic, uint32_t partition) {
    (void)reader, (void)topic, (void)partition;
}

enum kafka_read kafka_reader_next(struct kafka_reader *reader, int timeout_ms, struct kafka_record *ret_record,
                                  struct error *error) {
    (void)reader, (void)timeout_ms, (void)ret_record;
    if (reads++ < lags) return error_set(error, ERROR_INPUT, "kafka-offset", "it has not got that"), KAFKA_READ_FAILED;
    return error_set(error, ERROR_INPUT, "kafka-denied", "for good"), KAFKA_READ_FAILED;
}

void kafka_reader_free(struct kafka_reader *reader) { (void)reader; }

static int follow(int64_t timeout, struct error *error) {
    struct await await;
    const struct asker asker = {.project = SLICE("acme/shop"), .id = SLICE("x")};
    const struct kafka_options options = {.bootstrap_servers = "nowhere"};
    reads = 0;
    assert_int_equal(await_init(&await, &options, &asker, false, error), 0);
    int status = await_final(&await, timeout, error);
    await_release(&await);
    return status;
}

static void a_broker_that_lags_is_waited_for(void **state) {
    (void)state;
    struct error error = {0};
    lags = 3;
    assert_int_equal(follow(60000000, &error), EXIT_COULD_NOT_TELL);
    assert_string_equal(error.code, "kafka-denied");
    assert_int_equal(reads, 4);
}

static void until_the_time_is_over(void **state) {
    (void)state;
    struct error error = {0};
    lags = 1000;
    assert_int_equal(follow(1000000, &error), EXIT_TIMED_OUT);
    assert_in_range(reads, 1, 20); /* it is not asked again at once */
}

static void a_position_that_is_gone_is_told(void **state) {
    (void)state;
    struct error error = {0};
    lags = 1000;
    assert_int_equal(follow(120000000, &error), EXIT_COULD_NOT_TELL);
    assert_string_equal(error.code, "kafka-offset");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broker_that_lags_is_waited_for),
        cmocka_unit_test(until_the_time_is_over),
        cmocka_unit_test(a_position_that_is_gone_is_told),
    };
    return cmocka_run_group_tests_name("await", tests, NULL, NULL);
}
