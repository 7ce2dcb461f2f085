/* Topics, publishing one record and reading partitions, on a real Kafka; one test makes up what that says. */
#include "kafka.h"
#include "text.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "broker.h"

static void topics_are_made_once_with_their_sizes(void **state) {
    (void)state;
    char prefix[64];
    struct error error = {0};
    struct kafka_topic_state topics[KAFKA_TOPICS];
    struct kafka_options options = broker_topics(prefix, 0);
    assert_int_equal(kafka_topics_describe(&options, topics, &error), 0);
    for (int i = 0; i < KAFKA_TOPICS; i++) assert_false(topics[i].exists);
    assert_int_equal(kafka_topics_create(&options, 3, 1, topics, &error), 0);
    for (int i = 0; i < KAFKA_TOPICS; i++) {
        assert_true(topics[i].exists && topics[i].created);
        assert_int_equal(topics[i].partitions, 3);
        assert_int_equal(topics[i].replicas, 1);
    }
    assert_int_equal(topics[KAFKA_RESULTS].max_message_bytes, KAFKA_OUTPUT_BYTES_MAX);
    assert_int_equal(topics[KAFKA_DEAD_LETTER].max_message_bytes, KAFKA_OUTPUT_BYTES_MAX);
    assert_true(topics[KAFKA_BUILDS].max_message_bytes >= KAFKA_INPUT_BYTES_MAX);
    assert_int_equal(kafka_topics_create(&options, 5, 1, topics, &error), 0);
    for (int i = 0; i < KAFKA_TOPICS; i++) {
        assert_false(topics[i].created);
        assert_int_equal(topics[i].partitions, 3);
    }
}

static void more_replicas_than_brokers_are_refused_with_the_remedy(void **state) {
    (void)state;
    char prefix[64];
    struct error error = {0};
    struct kafka_topic_state topics[KAFKA_TOPICS];
    struct kafka_options options = broker_topics(prefix, 0);
    assert_int_equal(kafka_topics_create(&options, 1, 9, topics, &error), -1);
    assert_int_equal(error.kind, ERROR_INPUT);
    assert_non_null(strstr(error.message, "--replication-factor"));
}

static void a_record_is_published_where_java_clients_put_it_and_read_back(void **state) {
    (void)state;
    char prefix[64];
    struct error error = {0};
    struct kafka_options options = broker_topics(prefix, 7);
    struct kafka_producer *producer = kafka_producer_new(&options, 20000, &error);
    assert_non_null(producer);
    const struct record_header headers[] = {{SLICE("content-type"), SLICE("application/cloudevents+json")},
                                            {SLICE("none"), {0}},
                                            {SLICE("content-type"), SLICE("last")}};
    uint32_t partition = 99;
    int64_t offset = -1;
    for (int i = 0; i < 3; i++)
        assert_int_equal(kafka_producer_send(producer, KAFKA_REQUESTS, SLICE("acme/shop"), SLICE("{}"), headers, 3, &partition,
                                             &offset, &error),
                         0);
    assert_int_equal(partition, text_murmur2(SLICE("acme/shop")) % 7);
    assert_int_equal(offset, 2);
    kafka_producer_free(producer);

    struct kafka_reader *reader = kafka_reader_new(&options, KAFKA_COMMITTED, &error);
    struct kafka_position position = {KAFKA_REQUESTS, partition, 0};
    assert_int_equal(kafka_reader_offsets(reader, KAFKA_END, &position, 1, &error), 0);
    assert_int_equal(position.offset, 3);
    assert_int_equal(kafka_reader_offsets(reader, KAFKA_BEGINNING, &position, 1, &error), 0);
    assert_int_equal(position.offset, 0);
    position.offset = 1;
    assert_int_equal(kafka_reader_start(reader, &position, &error), 0);
    struct kafka_record record;
    for (int i = 1; i < 3; i++) {
        assert_int_equal(kafka_reader_next(reader, 10000, &record, &error), KAFKA_READ_RECORD);
        assert_int_equal(record.topic, KAFKA_REQUESTS);
        assert_int_equal(record.offset, i);
        assert_true(slice_is(record.key, "acme/shop") && slice_is(record.value, "{}"));
        assert_true(slice_is(kafka_record_header(&record, "content-type"), "last"));
        assert_int_equal(record.header_count, 3);
        assert_null(record.headers[1].value.p);
        assert_true(record.at_ms > 1600000000000);
    }
    assert_int_equal(kafka_reader_next(reader, 10000, &record, &error), KAFKA_READ_AT_END);
    assert_int_equal(record.offset, 3);
    kafka_reader_free(reader);
}

/* As one that lags has not, and the leader has. */
static void a_reader_goes_on_after_a_broker_had_not_what_was_asked_for(void **state) {
    (void)state;
    char prefix[64];
    uint32_t partition;
    int64_t offset;
    struct error error = {0};
    struct kafka_record record;
    struct kafka_options options = broker_topics(prefix, 1);
    struct kafka_producer *producer = kafka_producer_new(&options, 10000, &error);
    struct kafka_reader *reader = kafka_reader_new(&options, KAFKA_COMMITTED, &error);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            kafka_producer_send(producer, KAFKA_RESULTS, SLICE("k"), SLICE("v"), NULL, 0, &partition, &offset, &error), 0);
    assert_int_equal(kafka_reader_start(reader, &(struct kafka_position){KAFKA_RESULTS, 0, 3}, &error), 0);
    for (int times = 0; times < 3; times++) { /* until it is there */
        enum kafka_read read = KAFKA_READ_NOTHING;
        for (int i = 0; i < 20 && read == KAFKA_READ_NOTHING; i++) read = kafka_reader_next(reader, 1000, &record, &error);
        assert_int_equal(read, KAFKA_READ_FAILED);
        assert_string_equal(error.code, "kafka-offset");
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            kafka_producer_send(producer, KAFKA_RESULTS, SLICE("k"), SLICE("v"), NULL, 0, &partition, &offset, &error), 0);
    for (int64_t next = 3; next < 5;) {
        enum kafka_read read = kafka_reader_next(reader, 20000, &record, &error);
        if (read == KAFKA_READ_FAILED || read == KAFKA_READ_AT_END) continue; /* what was said before */
        assert_int_equal(read, KAFKA_READ_RECORD);
        assert_int_equal(record.offset, next++);
    }
    kafka_reader_free(reader);
    kafka_producer_free(producer);
}

static void an_unreachable_broker_is_told_in_time_and_by_name(void **state) {
    (void)state;
    struct error error = {0};
    struct kafka_options options = {.bootstrap_servers = "127.0.0.1:1", .topic_prefix = "release."};
    struct kafka_producer *producer = kafka_producer_new(&options, 1500, &error);
    assert_non_null(producer);
    uint32_t partition;
    int64_t offset;
    long before = broker_ms();
    assert_int_equal(kafka_producer_send(producer, KAFKA_BUILDS, SLICE("k"), SLICE("v"), NULL, 0, &partition, &offset, &error),
                     -1);
    assert_true(broker_ms() - before < 5000);
    assert_int_equal(error.kind, ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "127.0.0.1:1"));
    assert_non_null(strstr(error.message, "Connection refused"));
    kafka_producer_free(producer);
}

static void a_missing_topic_is_told_with_the_command_that_makes_it(void **state) {
    (void)state;
    char prefix[64];
    struct error error = {0};
    struct kafka_options options = broker_topics(prefix, 0);
    struct kafka_producer *producer = kafka_producer_new(&options, 5000, &error);
    uint32_t partition;
    int64_t offset;
    assert_int_equal(kafka_producer_send(producer, KAFKA_BUILDS, SLICE("k"), SLICE("v"), NULL, 0, &partition, &offset, &error),
                     -1);
    assert_string_equal(error.code, "kafka-no-topic");
    assert_non_null(strstr(error.message, "sluice topics create"));
    kafka_producer_free(producer);
    struct kafka_reader *reader = kafka_reader_new(&options, KAFKA_COMMITTED, &error);
    assert_int_equal(kafka_reader_partitions(reader, KAFKA_RESULTS, &partition, &error), -1);
    assert_string_equal(error.code, "kafka-no-topic");
    kafka_reader_free(reader);
}

/* A broker that says that it has the record already is believed by librdkafka, which then has no offset for it. */
static void a_record_that_is_delivered_nowhere_may_or_may_not_be_stored(void **state) {
    (void)state;
    enum { PRODUCE = 0 };
    char prefix[64], text[500], name[KAFKA_TOPIC_MAX + 1];
    struct error error = {0};
    uint32_t partition;
    int64_t offset;
    struct kafka_options options = broker_topics(prefix, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
    rd_kafka_mock_cluster_t *brokers = rd_kafka_mock_cluster_new(rk, 1);
    options.bootstrap_servers = rd_kafka_mock_cluster_bootstraps(brokers);
    assert_int_equal(kafka_topic_name(&options, KAFKA_BUILDS, name, &error), 0);
    assert_int_equal(rd_kafka_mock_topic_create(brokers, name, 1, 1), 0);
    rd_kafka_mock_push_request_errors(brokers, PRODUCE, 1, RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER);
    struct kafka_producer *producer = kafka_producer_new(&options, 10000, &error);
    assert_int_equal(kafka_producer_send(producer, KAFKA_BUILDS, SLICE("k"), SLICE("v"), NULL, 0, &partition, &offset, &error),
                     -1);
    assert_string_equal(error.code, "kafka-undelivered");
    assert_int_equal(error.kind, ERROR_UNKNOWN);
    assert_int_equal(kafka_producer_send(producer, KAFKA_BUILDS, SLICE("k"), SLICE("v"), NULL, 0, &partition, &offset, &error),
                     0);
    kafka_producer_free(producer);
    rd_kafka_mock_cluster_destroy(brokers);
    rd_kafka_destroy(rk);
}

static void a_record_over_the_limit_is_refused_before_it_is_sent(void **state) {
    (void)state;
    char prefix[64];
    struct error error = {0};
    struct kafka_options options = broker_topics(prefix, 1);
    struct kafka_producer *producer = kafka_producer_new(&options, 20000, &error);
    char *large = calloc(1, KAFKA_INPUT_BYTES_MAX);
    uint32_t partition;
    int64_t offset;
    assert_int_equal(kafka_producer_send(producer, KAFKA_BUILDS, SLICE("k"), slice_of(large, KAFKA_INPUT_BYTES_MAX), NULL, 0,
                                         &partition, &offset, &error),
                     -1);
    assert_string_equal(error.code, "too-large");
    assert_int_equal(kafka_producer_send(producer, KAFKA_BUILDS, SLICE("k"), slice_of(large, KAFKA_INPUT_BYTES_MAX - 1), NULL, 0,
                                         &partition, &offset, &error),
                     0);
    free(large);
    kafka_producer_free(producer);
}

static void wrong_properties_are_refused_by_name(void **state) {
    (void)state;
    struct error error = {0};
    struct config_property property = {"no.such.property", "1"};
    struct kafka_options options = {
        .bootstrap_servers = "127.0.0.1:1", .topic_prefix = "", .properties = &property, .property_count = 1};
    assert_null(kafka_producer_new(&options, 1000, &error));
    assert_non_null(strstr(error.message, "kafka.no.such.property"));
    property = (struct config_property){"linger.ms", "much"};
    assert_null(kafka_producer_new(&options, 1000, &error));
    assert_non_null(strstr(error.message, "kafka.linger.ms"));
    options.topic_prefix = "a/b";
    options.property_count = 0;
    assert_null(kafka_reader_new(&options, KAFKA_COMMITTED, &error));
    assert_string_equal(error.code, "kafka-no-topic");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_are_made_once_with_their_sizes),
        cmocka_unit_test(more_replicas_than_brokers_are_refused_with_the_remedy),
        cmocka_unit_test(a_record_is_published_where_java_clients_put_it_and_read_back),
        cmocka_unit_test(a_reader_goes_on_after_a_broker_had_not_what_was_asked_for),
        cmocka_unit_test(an_unreachable_broker_is_told_in_time_and_by_name),
        cmocka_unit_test(a_missing_topic_is_told_with_the_command_that_makes_it),
        cmocka_unit_test(a_record_that_is_delivered_nowhere_may_or_may_not_be_stored),
        cmocka_unit_test(a_record_over_the_limit_is_refused_before_it_is_sent),
        cmocka_unit_test(wrong_properties_are_refused_by_name),
    };
    return cmocka_run_group_tests_name("kafka_topics", tests, broker_start, broker_stop);
}
