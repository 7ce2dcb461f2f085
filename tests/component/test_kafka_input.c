/* The input log's port on a real Kafka: assignment, positions, and what a lane sees of its group. time-limit: 180 */
#include "config.h"
#include "input.h"
#include "kafka.h"
#include "text.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants these first */
#include <cmocka.h>

#include "broker.h"

static struct error error;

#define MUST(call)                                                                                                               \
    do {                                                                                                                         \
        if (call) fail_msg("%s: %s", #call, error.message);                                                                      \
    } while (0)

enum { PARTITIONS = 4 };

static struct input *open_input(const struct kafka_options *options, const char *member) {
    char name[100];
    (void)snprintf(name, sizeof name, "%s%s", options->topic_prefix, member);
    struct input *input = input_kafka_new(options, name, &error);
    if (!input) fail_msg("%s", error.message);
    return input;
}

/* Polls until an event of that kind, for at most 30 s. */
static struct input_event await(struct input *input, enum input_event_kind kind) {
    struct input_event event = {0};
    for (long end = broker_ms() + 30000; broker_ms() < end;) {
        MUST(input->operations->poll(input, 100, 100, 100000, &event, &error));
        if (event.kind == kind && (kind != INPUT_RECORDS || event.record_count)) return event;
    }
    fail_msg("no event of kind %d came", kind);
    return event;
}

/* The key that lands on a partition. */
static struct slice key_of(uint32_t partition, char to[16]) {
    for (unsigned i = 0;; i++) {
        struct slice key = slice_of(to, (size_t)snprintf(to, 16, "p%u", i));
        if (text_murmur2(key) % PARTITIONS == partition) return key;
    }
}

static void send_records(const struct kafka_options *options, enum kafka_topic topic, uint32_t partition, unsigned count,
                         size_t value_size) {
    struct kafka_producer *producer = kafka_producer_new(options, 20000, &error);
    const struct record_header headers[] = {{SLICE("content-type"), SLICE("application/json")}, {SLICE("null"), {0}}};
    char key[16], *value = calloc(1, value_size + 1);
    uint32_t landed;
    int64_t offset;
    for (unsigned i = 0; i < count; i++)
        MUST(kafka_producer_send(producer, topic, key_of(partition, key), slice_of(value, value_size), headers, 2, &landed,
                                 &offset, &error));
    assert_int_equal(landed, partition);
    free(value);
    kafka_producer_free(producer);
}

/* Two records in a transaction, behind which stands what ends it. */
static void send_transaction(const struct kafka_options *options, enum kafka_topic topic, int32_t partition) {
    char why[256] = "", name[KAFKA_TOPIC_MAX + 1];
    MUST(kafka_topic_name(options, topic, name, &error));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", options->bootstrap_servers, why, sizeof why);
    (void)rd_kafka_conf_set(conf, "transactional.id", name, why, sizeof why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!rk) fail_msg("%s", why);
    rd_kafka_error_t *failed = rd_kafka_init_transactions(rk, 20000);
    if (!failed) failed = rd_kafka_begin_transaction(rk);
    for (int i = 0; i < 2 && !failed; i++)
        assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_PARTITION(partition),
                                           RD_KAFKA_V_VALUE("one", 3), RD_KAFKA_V_END),
                         RD_KAFKA_RESP_ERR_NO_ERROR);
    if (!failed) failed = rd_kafka_commit_transaction(rk, 20000);
    if (failed) fail_msg("%s", rd_kafka_error_string(failed));
    rd_kafka_destroy(rk);
}

static struct input_position position_of(uint32_t shard, uint64_t builds, uint64_t requests) {
    return (struct input_position){shard, {0, builds, requests}};
}

/* Collects records until there are `count` of them in all; checks that offsets of each partition follow each other. */
static void expect_records(struct input *input, unsigned count, uint64_t next[INPUT_TOPICS + 1][PARTITIONS]) {
    while (count) {
        struct input_event event = await(input, INPUT_RECORDS);
        assert_true(event.record_count <= count);
        for (size_t i = 0; i < event.record_count; i++) {
            const struct record *record = &event.records[i];
            assert_int_equal(record->offset, next[record->topic][record->shard]++);
            assert_int_equal(text_murmur2(record->key) % PARTITIONS, record->shard);
            assert_int_equal(record->header_count, 2);
            assert_true(slice_is(record_header(record, "content-type"), "application/json"));
            assert_null(record->headers[1].value.p);
        }
        count -= (unsigned)event.record_count;
        input->operations->free_records(input);
    }
}

static void records_come_from_the_given_positions_and_again_after_another_assign(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, PARTITIONS);
    send_records(&options, KAFKA_BUILDS, 1, 5, 10);
    send_records(&options, KAFKA_REQUESTS, 1, 7, 10);
    send_records(&options, KAFKA_REQUESTS, 3, 4, 10);
    struct input *input = open_input(&options, "lane");
    uint32_t partitions = 0;
    MUST(input->operations->partitions(input, INPUT_BUILDS, &partitions, &error));
    assert_int_equal(partitions, PARTITIONS);
    struct input_event event = await(input, INPUT_ASSIGNED);
    assert_int_equal(event.shard_count, PARTITIONS);
    int64_t start[INPUT_TOPICS + 1], end[INPUT_TOPICS + 1];
    MUST(input->operations->bounds(input, 1, start, end, &error));
    assert_int_equal(start[INPUT_BUILDS], 0);
    assert_int_equal(end[INPUT_BUILDS], 5);
    assert_int_equal(end[INPUT_REQUESTS], 7);

    const struct input_position first[] = {position_of(1, 2, 0), position_of(3, 0, 4)};
    MUST(input->operations->assign(input, first, 2, &error));
    uint64_t next[INPUT_TOPICS + 1][PARTITIONS] = {[INPUT_BUILDS] = {[1] = 2}, [INPUT_REQUESTS] = {[3] = 4}};
    expect_records(input, 3 + 7, next);
    MUST(input->operations->poll(input, 300, 100, 100000, &event, &error));
    assert_int_equal(event.kind, INPUT_RECORDS);
    assert_int_equal(event.record_count, 0);
    input->operations->report(input, (struct input_position[]){position_of(1, 5, 7)}, 1);

    const struct input_position again[] = {position_of(1, 5, 6), position_of(3, 0, 1)};
    for (int round = 0; round < 20; round++) { /* what was fetched for the assignment before must never come */
        MUST(input->operations->assign(input, again, 2, &error));
        memset(next, 0, sizeof next);
        next[INPUT_BUILDS][1] = 5, next[INPUT_REQUESTS][1] = 6, next[INPUT_REQUESTS][3] = 1;
        if (round % 2) expect_records(input, 1 + 3, next);
    }
    input->operations->free(input);
}

/* With their headers, and nothing behind them once they are as many as the limit; an assignment drops them. */
static void what_is_kept_is_given_again_before_what_has_come_since(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, PARTITIONS);
    struct input *input = open_input(&options, "lane");
    await(input, INPUT_ASSIGNED);
    const struct input_position start = position_of(1, 0, 0);
    MUST(input->operations->assign(input, &start, 1, &error));
    for (unsigned sent = 0, given = 0; sent < 12; sent += 3) {
        send_records(&options, KAFKA_REQUESTS, 1, 3, 10);
        while (given < sent + 3) {
            struct input_event event = await(input, INPUT_RECORDS);
            assert_in_range(event.record_count, given, sent + 3);
            given = (unsigned)event.record_count;
            for (size_t i = 0; i < given; i++) {
                assert_int_equal(event.records[i].offset, i);
                assert_true(slice_is(record_header(&event.records[i], "content-type"), "application/json"));
            }
            input->operations->keep_records(input);
        }
    }
    send_records(&options, KAFKA_REQUESTS, 1, 1, 10);
    for (int i = 0; i < 10; i++) {
        struct input_event event;
        MUST(input->operations->poll(input, 0, 5, 100000, &event, &error));
        assert_int_equal(event.record_count, 12); /* they were given before there was such a limit */
        input->operations->keep_records(input);
        (void)poll(NULL, 0, 30);
    }
    uint64_t next[INPUT_TOPICS + 1][PARTITIONS] = {[INPUT_REQUESTS] = {[1] = 2}};
    const struct input_position again = position_of(1, 0, 2);
    MUST(input->operations->assign(input, &again, 1, &error));
    expect_records(input, 11, next);
    input->operations->free(input);
}

/* Until that end of the builds of shard 0 is told; a transaction's marker comes a little after its commit. */
static void await_end(struct input *input, uint64_t offset, size_t *records) {
    for (long end = broker_ms() + 30000; broker_ms() < end;) {
        struct input_event event;
        MUST(input->operations->poll(input, 100, 100, 100000, &event, &error));
        *records += event.record_count;
        for (size_t i = 0; event.kind == INPUT_RECORDS && i < event.end_count; i++)
            if (event.ends[i].topic == INPUT_BUILDS && event.ends[i].shard == 0 && event.ends[i].offset == offset) return;
    }
    fail_msg("the end was not told");
}

static void the_end_of_a_log_is_told_and_what_ends_transactions_is_below_it(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, PARTITIONS);
    send_transaction(&options, KAFKA_BUILDS, 0);
    struct input *input = open_input(&options, "lane");
    await(input, INPUT_ASSIGNED);
    const struct input_position start = position_of(0, 0, 0);
    MUST(input->operations->assign(input, &start, 1, &error));
    size_t records = 0;
    await_end(input, 3, &records);
    assert_int_equal(records, 2);
    const struct input_position end = position_of(0, 3, 0);
    MUST(input->operations->assign(input, &end, 1, &error));
    await_end(input, 3, &records); /* told again to whom begins there */
    assert_int_equal(records, 2);
    input->operations->free(input);
}

/* What a poll brings that no end of a log, that of the empty topic, cuts short; *seen counts all that have come. */
static size_t poll_uncut(struct input *input, size_t limit, size_t bytes, size_t *seen) {
    struct input_event event;
    do {
        MUST(input->operations->poll(input, 1000, limit, bytes, &event, &error));
        *seen += event.record_count;
    } while (event.end_count);
    return event.record_count;
}

static void limits_bound_a_batch_and_nothing_waits_to_fill_it(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, PARTITIONS);
    send_records(&options, KAFKA_REQUESTS, 0, 40, 50000);
    struct input *input = open_input(&options, "lane");
    await(input, INPUT_ASSIGNED);
    MUST(input->operations->assign(input, (struct input_position[]){position_of(0, 0, 0)}, 1, &error));
    struct input_event event = await(input, INPUT_RECORDS); /* now fetching goes on in the background */
    size_t seen = event.record_count;
    sleep(1);
    assert_int_equal(poll_uncut(input, 3, 10000000, &seen), 3);
    size_t count = poll_uncut(input, 1000, 200000, &seen);
    assert_true(count >= 3 && count <= 5);
    long before = broker_ms();
    while (seen < 40) {
        MUST(input->operations->poll(input, 5000, 1000, 10000000, &event, &error));
        seen += event.record_count;
    }
    assert_true(broker_ms() - before < 4000);
    assert_int_equal(seen, 40);
    input->operations->free(input);
}

/* librdkafka would look again after a second each time that it has found the queue full. */
static void must_be_filled_at_once(unsigned count, size_t size) {
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, PARTITIONS);
    send_records(&options, KAFKA_BUILDS, 0, count, size);
    struct input *input = open_input(&options, "lane");
    await(input, INPUT_ASSIGNED);
    MUST(input->operations->assign(input, (struct input_position[]){position_of(0, 0, 0)}, 1, &error));
    long waited = 0;
    for (size_t seen = 0; seen < count;) {
        struct input_event event;
        long before = broker_ms();
        MUST(input->operations->poll(input, 5000, 500, 4000000, &event, &error));
        if (seen) waited += broker_ms() - before;
        seen += event.record_count;
        (void)nanosleep(&(struct timespec){0, 150000000}, NULL); /* a batch is processed, and the queue fills meanwhile */
    }
    if (waited >= 1500) fail_msg("waited %ld ms", waited);
    input->operations->free(input);
}

/* 72 MB through a queue that is full of bytes with one. */
static void a_queue_that_was_full_of_bytes_is_filled_again_at_once(void **state) {
    (void)state;
    must_be_filled_at_once(80, 900000);
}

/* And half a megabyte through one that is full of records with 300. */
static void a_queue_that_was_full_of_records_is_filled_again_at_once(void **state) {
    (void)state;
    must_be_filled_at_once(8000, 10);
}

static void a_position_outside_of_the_log_is_told_and_the_others_go_on(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, PARTITIONS);
    send_records(&options, KAFKA_REQUESTS, 0, 2, 10);
    send_records(&options, KAFKA_REQUESTS, 2, 2, 10);
    struct input *input = open_input(&options, "lane");
    await(input, INPUT_ASSIGNED);
    const struct input_position positions[] = {position_of(0, 0, 0), position_of(2, 0, 77)};
    MUST(input->operations->assign(input, positions, 2, &error));
    bool told = false;
    unsigned records = 0;
    for (long end = broker_ms() + 20000; broker_ms() < end && !(told && records == 2);) {
        struct input_event event;
        MUST(input->operations->poll(input, 100, 100, 100000, &event, &error));
        if (event.kind == INPUT_RECORDS) records += (unsigned)event.record_count;
        if (event.kind != INPUT_OUTSIDE_LOG) continue;
        told = true;
        assert_int_equal(event.shards[0], 2);
        assert_int_equal(event.topic, INPUT_REQUESTS);
        assert_int_equal(event.log_start, 0);
        assert_int_equal(event.log_end, 2);
    }
    assert_true(told);
    assert_int_equal(records, 2);
    input->operations->free(input);
}

/* Brokers in this process, with both topics; broker i + 1 leads partition i. */
struct simulation {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *brokers;
};

static struct simulation simulate(struct kafka_options *options, int brokers, int partitions) {
    char text[500];
    struct simulation simulation = {.rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text)};
    simulation.brokers = rd_kafka_mock_cluster_new(simulation.rk, brokers);
    options->bootstrap_servers = rd_kafka_mock_cluster_bootstraps(simulation.brokers);
    for (enum kafka_topic topic = KAFKA_BUILDS; topic <= KAFKA_REQUESTS; topic++) {
        char name[KAFKA_TOPIC_MAX + 1];
        MUST(kafka_topic_name(options, topic, name, &error));
        assert_int_equal(rd_kafka_mock_topic_create(simulation.brokers, name, partitions, 1), 0);
        for (int i = 0; i < brokers; i++)
            assert_int_equal(rd_kafka_mock_partition_set_leader(simulation.brokers, name, i, i + 1), 0);
    }
    return simulation;
}

static void simulation_end(const struct simulation *simulation) {
    rd_kafka_mock_cluster_destroy(simulation->brokers);
    rd_kafka_destroy(simulation->rk);
}

/* The thread of each broker looks at the same queue: whoever leads a partition is woken, not only who has filled the queue last.
 */
static void a_queue_that_one_broker_has_filled_is_filled_again_by_all(void **state) {
    (void)state;
    enum { BROKERS = 3, EACH = 96 };
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, 0), quick;
    const struct config_property short_wait = {"fetch.wait.max.ms", "10"};
    const struct simulation simulation = simulate(&options, BROKERS, PARTITIONS);
    for (int i = 0; i < BROKERS; i++) send_records(&options, KAFKA_BUILDS, (uint32_t)i, EACH, 50000);
    quick = options;
    quick.properties = &short_wait;
    quick.property_count = 1;
    struct input *input = open_input(&quick, "lane");
    await(input, INPUT_ASSIGNED);
    struct input_position positions[BROKERS];
    for (uint32_t i = 0; i < BROKERS; i++) positions[i] = position_of(i, 0, 0);
    MUST(input->operations->assign(input, positions, BROKERS, &error));
    unsigned seen[BROKERS] = {0}, all = 0, least = EACH; /* least: of any when the first had given all */
    for (long end = broker_ms() + 60000; broker_ms() < end && all < BROKERS * EACH;) {
        struct input_event event;
        MUST(input->operations->poll(input, 5000, 500, 4000000, &event, &error));
        for (size_t i = 0; i < event.record_count; i++, all++)
            if (++seen[event.records[i].shard] == EACH && least == EACH)
                for (int k = 0; k < BROKERS; k++)
                    if (seen[k] < least) least = seen[k];
        (void)nanosleep(&(struct timespec){0, 30000000}, NULL); /* a batch is processed, and the queue fills meanwhile */
    }
    assert_int_equal(all, BROKERS * EACH);
    if (least < EACH / 8) fail_msg("one broker had given %u of %d when another had given all", least, EACH);
    input->operations->free(input);
    simulation_end(&simulation);
}

/* Simulated brokers, since a real one does so only for a moment after it was paused: found by tests/faults. Of both topics, as
 * the first fetch may be of one of them alone. */
static struct input *refused_input(struct simulation *simulation, struct kafka_options *options, int brokers) {
    enum { FETCH = 1 };
    *simulation = simulate(options, brokers, brokers);
    send_records(options, KAFKA_BUILDS, 0, 3, 10);
    send_records(options, KAFKA_REQUESTS, 0, 3, 10);
    struct input *input = open_input(options, "lane");
    await(input, INPUT_ASSIGNED);
    rd_kafka_mock_push_request_errors(simulation->brokers, FETCH, 1, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
    return input;
}

static void a_broker_that_no_longer_leads_is_not_believed_that_a_position_is_outside(void **state) {
    (void)state;
    char prefix[64], name[KAFKA_TOPIC_MAX + 1];
    struct kafka_options options = broker_topics(prefix, 0);
    struct simulation simulation;
    struct input *input = refused_input(&simulation, &options, 2);
    const struct input_position position = position_of(0, 1, 1);
    MUST(input->operations->assign(input, &position, 1, &error));
    for (long end = broker_ms() + 2000; broker_ms() < end;) { /* it has refused; then another one leads */
        struct input_event event;
        MUST(input->operations->poll(input, 100, 100, 100000, &event, &error));
        assert_int_not_equal(event.kind, INPUT_OUTSIDE_LOG);
    }
    for (enum kafka_topic topic = KAFKA_BUILDS; topic <= KAFKA_REQUESTS; topic++) {
        MUST(kafka_topic_name(&options, topic, name, &error));
        assert_int_equal(rd_kafka_mock_partition_set_leader(simulation.brokers, name, 0, 2), 0);
    }
    unsigned records = 0;
    bool refused = false;
    for (long end = broker_ms() + 20000; broker_ms() < end && records < 4;) {
        struct input_event event;
        if (input->operations->poll(input, 100, 100, 100000, &event, &error)) {
            assert_string_equal(error.code, "kafka-stale-leader");
            assert_int_equal(error.kind, ERROR_UNAVAILABLE);
            refused = true;
            records = 0;
            MUST(input->operations->assign(input, &position, 1, &error)); /* as a lane does after every error */
            continue;
        }
        assert_int_not_equal(event.kind, INPUT_OUTSIDE_LOG);
        if (event.kind == INPUT_RECORDS && refused) records += (unsigned)event.record_count;
    }
    assert_true(refused);
    assert_int_equal(records, 4);
    input->operations->free(input);
    simulation_end(&simulation);
}

/* Its log was shorter, and has grown past the position since: what stands there now is not what was to be read next. */
static void a_leader_is_believed_also_when_its_log_has_grown_past_the_position(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, 0);
    struct simulation simulation;
    struct input *input = refused_input(&simulation, &options, 1);
    const struct input_position position = position_of(0, 1, 1);
    struct input_event event;
    MUST(input->operations->assign(input, &position, 1, &error));
    event = await(input, INPUT_OUTSIDE_LOG);
    assert_int_equal(event.shards[0], 0);
    assert_int_equal(event.log_start, 0);
    assert_int_equal(event.log_end, 3);
    input->operations->free(input);
    simulation_end(&simulation);
}

/* After each the lane assigns the others again. */
static void positions_outside_of_the_log_do_not_wait_for_each_other(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, PARTITIONS);
    struct input *input = open_input(&options, "lane");
    await(input, INPUT_ASSIGNED);
    struct input_position positions[PARTITIONS];
    for (uint32_t i = 0; i < PARTITIONS; i++) positions[i] = position_of(i, 70 + i, 0);
    MUST(input->operations->assign(input, positions, PARTITIONS, &error));
    long first = 0, last = 0;
    for (size_t left = PARTITIONS; left; left--) {
        struct input_event event = await(input, INPUT_OUTSIDE_LOG);
        last = broker_ms();
        if (!first) first = last;
        for (size_t i = 0; i < left; i++)
            if (positions[i].position[INPUT_BUILDS] == 70 + event.shards[0]) positions[i] = positions[left - 1];
        MUST(input->operations->assign(input, positions, left - 1, &error));
    }
    if (last - first >= 6000) fail_msg("the last was told %ld ms after the first", last - first);
    input->operations->free(input);
}

/* Lets both members take part until each holds half, both topics' same partitions. */
static void settle_two(struct input *inputs[2], uint32_t owner[PARTITIONS]) {
    size_t held[2] = {PARTITIONS, 0};
    for (long end = broker_ms() + 30000; broker_ms() < end && (held[0] != PARTITIONS / 2 || held[1] != PARTITIONS / 2);)
        for (size_t i = 0; i < 2; i++) {
            struct input_event event;
            MUST(inputs[i]->operations->poll(inputs[i], 50, 100, 100000, &event, &error));
            if (event.kind == INPUT_REVOKED) {
                held[i] = 0;
                MUST(inputs[i]->operations->assign(inputs[i], NULL, 0, &error));
            } else if (event.kind == INPUT_ASSIGNED) {
                struct input_position positions[PARTITIONS];
                held[i] = event.shard_count;
                for (size_t s = 0; s < event.shard_count; s++) {
                    owner[event.shards[s]] = (uint32_t)i;
                    positions[s] = position_of(event.shards[s], 0, 0);
                }
                MUST(inputs[i]->operations->assign(inputs[i], positions, event.shard_count, &error));
            }
        }
    assert_int_equal(held[0], PARTITIONS / 2);
    assert_int_equal(held[1], PARTITIONS / 2);
}

static void two_members_share_the_shards_and_a_restart_has_its_own_back(void **state) {
    (void)state;
    char prefix[64];
    uint32_t owner[PARTITIONS];
    struct kafka_options options = broker_topics(prefix, PARTITIONS);
    struct input *inputs[2] = {open_input(&options, "a"), NULL};
    struct input_event event = await(inputs[0], INPUT_ASSIGNED);
    assert_int_equal(event.shard_count, PARTITIONS);
    MUST(inputs[0]->operations->assign(inputs[0], NULL, 0, &error));
    inputs[1] = open_input(&options, "b");
    settle_two(inputs, owner);
    for (uint32_t shard = 0; shard < PARTITIONS; shard++) {
        send_records(&options, KAFKA_BUILDS, shard, 1, 10);
        send_records(&options, KAFKA_REQUESTS, shard, 1, 10);
    }
    uint64_t next[INPUT_TOPICS + 1][PARTITIONS] = {{0}};
    expect_records(inputs[0], PARTITIONS, next);
    expect_records(inputs[1], PARTITIONS, next);

    inputs[1]->operations->free(inputs[1]); /* as a kill would: a static member says no goodbye */
    long before = broker_ms();
    inputs[1] = open_input(&options, "b");
    event = await(inputs[1], INPUT_ASSIGNED);
    print_message("a restarted member has its shards after %ld ms\n", broker_ms() - before);
    assert_int_equal(event.shard_count, PARTITIONS / 2);
    for (size_t i = 0; i < event.shard_count; i++) assert_int_equal(owner[event.shards[i]], 1);
    for (size_t i = 0; i < 2; i++) inputs[i]->operations->free(inputs[i]);
}

static void a_member_more_than_there_are_shards_waits_in_peace(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, 1);
    struct input *inputs[2] = {open_input(&options, "a"), open_input(&options, "b")};
    size_t assigned = 0, events = 0;
    for (long end = broker_ms() + 8000; broker_ms() < end;)
        for (size_t i = 0; i < 2; i++) {
            struct input_event event;
            MUST(inputs[i]->operations->poll(inputs[i], 50, 100, 100000, &event, &error));
            if (event.kind == INPUT_RECORDS) continue;
            events++;
            if (event.kind == INPUT_ASSIGNED) assigned = event.shard_count;
            MUST(inputs[i]->operations->assign(inputs[i], NULL, 0, &error));
        }
    assert_true(assigned <= 1);
    assert_true(events >= 2 && events <= 6); /* not one rebalance after the other */
    for (size_t i = 0; i < 2; i++) inputs[i]->operations->free(inputs[i]);
}

static void a_second_process_of_the_same_name_fences_the_first(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, 1);
    struct input *first = open_input(&options, "same");
    await(first, INPUT_ASSIGNED);
    MUST(first->operations->assign(first, NULL, 0, &error));
    struct input *second = open_input(&options, "same");
    await(second, INPUT_ASSIGNED);
    int result = 0;
    for (long end = broker_ms() + 20000; broker_ms() < end && !result;) {
        struct input_event event;
        error.kind = ERROR_NONE;
        result = first->operations->poll(first, 100, 10, 10000, &event, &error);
        if (!result && event.kind == INPUT_REVOKED) MUST(first->operations->assign(first, NULL, 0, &error));
    }
    assert_int_equal(result, -1);
    assert_int_equal(error.kind, ERROR_FENCED);
    assert_non_null(strstr(error.message, "worker.name"));
    first->operations->free(first);
    second->operations->free(second);
}

/* The group takes its shards back in the moment of the error, and records came before: none of them hides it. */
static void a_fenced_lane_hears_of_it_whatever_comes_with_it(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, 1);
    struct input *first = open_input(&options, "same");
    await(first, INPUT_ASSIGNED);
    send_records(&options, KAFKA_BUILDS, 0, 10, 10);
    struct input_position position = position_of(0, 0, 0);
    MUST(first->operations->assign(first, &position, 1, &error));
    await(first, INPUT_RECORDS);
    MUST(first->operations->assign(first, &position, 1, &error)); /* once more, to lie there until they are asked for */
    struct input *second = open_input(&options, "same");
    await(second, INPUT_ASSIGNED);
    sleep(3); /* six heartbeats: now records, the error and the revocation lie there together */
    struct input_event event = {0};
    int result = 0;
    for (long end = broker_ms() + 20000; broker_ms() < end && !result && event.kind == INPUT_RECORDS;)
        result = first->operations->poll(first, 100, 100, 10000, &event, &error);
    if (!result) fail_msg("event %d came, and no error", event.kind);
    for (int i = 0; i < 3; i++) {
        error.kind = ERROR_NONE;
        assert_int_equal(first->operations->poll(first, 100, 100, 10000, &event, &error), -1);
        assert_int_equal(error.kind, ERROR_FENCED);
        assert_string_equal(error.code, "kafka-fenced");
    }
    first->operations->free(first);
    second->operations->free(second);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_from_the_given_positions_and_again_after_another_assign),
        cmocka_unit_test(what_is_kept_is_given_again_before_what_has_come_since),
        cmocka_unit_test(the_end_of_a_log_is_told_and_what_ends_transactions_is_below_it),
        cmocka_unit_test(limits_bound_a_batch_and_nothing_waits_to_fill_it),
        cmocka_unit_test(a_queue_that_was_full_of_bytes_is_filled_again_at_once),
        cmocka_unit_test(a_queue_that_was_full_of_records_is_filled_again_at_once),
        cmocka_unit_test(a_queue_that_one_broker_has_filled_is_filled_again_by_all),
        cmocka_unit_test(a_position_outside_of_the_log_is_told_and_the_others_go_on),
        cmocka_unit_test(a_broker_that_no_longer_leads_is_not_believed_that_a_position_is_outside),
        cmocka_unit_test(a_leader_is_believed_also_when_its_log_has_grown_past_the_position),
        cmocka_unit_test(positions_outside_of_the_log_do_not_wait_for_each_other),
        cmocka_unit_test(two_members_share_the_shards_and_a_restart_has_its_own_back),
        cmocka_unit_test(a_member_more_than_there_are_shards_waits_in_peace),
        cmocka_unit_test(a_second_process_of_the_same_name_fences_the_first),
        cmocka_unit_test(a_fenced_lane_hears_of_it_whatever_comes_with_it),
    };
    return cmocka_run_group_tests_name("kafka_input", tests, broker_start, broker_stop);
}
