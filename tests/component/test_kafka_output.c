/* The output log's port on a real Kafka: transactions, fencing, and tails after every way to die. */
#include "kafka.h"
#include "output.h"

#include <librdkafka/rdkafka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "broker.h"

#include <sys/wait.h>

static struct error error;

#define MUST(call)                                                                                                               \
    do {                                                                                                                         \
        if (call) fail_msg("%s: %s", #call, error.message);                                                                      \
    } while (0)

static struct output *open_output(const struct kafka_options *options, const char *name) {
    char ids[2][64];
    (void)snprintf(ids[0], 64, "%s%s-0", options->topic_prefix, name);
    (void)snprintf(ids[1], 64, "%s%s-1", options->topic_prefix, name);
    struct output *output = output_kafka_new(options, (struct slice[]){slice_str(ids[0]), slice_str(ids[1])}, &error);
    if (!output) fail_msg("%s", error.message);
    return output;
}

static struct digest hash_of(uint64_t sequence) { return digest_of(slice_of((const char *)&sequence, sizeof sequence)); }

/* `at`: where it must lie, or -1. */
static int produce_at(struct output *output, int which, enum output_topic topic, uint32_t shard, uint64_t sequence, int64_t at) {
    char digits[24], shard_digits[12], hash[DIGEST_TEXT];
    struct digest digest = hash_of(sequence);
    digest_text(hash, &digest);
    (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)sequence);
    (void)snprintf(shard_digits, sizeof shard_digits, "%u", shard);
    const struct record_header headers[] = {{SLICE("ce_ledgersequence"), SLICE("not-the-last-one")},
                                            {SLICE("ce_ledgershard"), slice_str(shard_digits)},
                                            {SLICE("ce_ledgersequence"), slice_str(digits)},
                                            {SLICE("ce_ledgerhash"), slice_of(hash, DIGEST_TEXT)}};
    const struct output_record record = {topic, shard, SLICE("acme/shop"), SLICE("{}"), headers, 4, at >= 0, at};
    return output->operations->produce(output, which, &record, &error);
}

static int produce(struct output *output, int which, enum output_topic topic, uint32_t shard, uint64_t sequence) {
    return produce_at(output, which, topic, shard, sequence, -1);
}

static void publish(struct output *output, int which, enum output_topic topic, uint32_t shard, uint64_t first, uint64_t last) {
    MUST(output->operations->begin(output, which, &error));
    for (uint64_t sequence = first; sequence <= last; sequence++) MUST(produce(output, which, topic, shard, sequence));
    MUST(output->operations->commit(output, which, &error));
}

static struct output_tail tail_of(struct output *output, uint32_t shard, int64_t floor) {
    struct output_tail tail = {.shard = shard, .floor = {floor, -1}};
    for (int i = 0; i < 100 && !tail.ret_stable; i++) MUST(output->operations->tails(output, &tail, 1, &error));
    assert_true(tail.ret_stable);
    return tail;
}

static void assert_tail(const struct output_tail *tail, enum output_topic topic, uint64_t sequence) {
    assert_true(tail->ret_found[topic]);
    assert_int_equal(tail->ret_sequence[topic], sequence);
    struct digest hash = hash_of(sequence);
    assert_true(digest_equal(&tail->ret_hash[topic], &hash));
}

/* A lane of its own process that does `work` and dies without a word. */
static void die_after(void work(struct output *), const struct kafka_options *options, const char *name) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct output *output = open_output(options, name);
        for (int which = 0; which < OUTPUT_PRODUCERS; which++)
            if (output->operations->init(output, which, &error)) _exit(3);
        work(output);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void two_producers_take_turns_and_the_tail_is_the_last_result(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, 4);
    struct output *output = open_output(&options, "a");
    for (int which = 0; which < OUTPUT_PRODUCERS; which++) MUST(output->operations->init(output, which, &error));
    for (uint64_t i = 0; i < 10; i++) publish(output, (int)(i % 2), OUTPUT_RESULTS, 2, i * 3 + 1, i * 3 + 3);
    publish(output, 0, OUTPUT_DEAD_LETTER, 2, 31, 31);
    struct output_tail tails[3] = {
        {.shard = 2, .floor = {-1, -1}}, {.shard = 0, .floor = {-1, -1}}, {.shard = 3, .floor = {-1, -1}}};
    long before = broker_ms();
    MUST(output->operations->tails(output, tails, 3, &error));
    print_message("tails of 3 shards took %ld ms\n", broker_ms() - before);
    assert_tail(&tails[0], OUTPUT_RESULTS, 30);
    assert_tail(&tails[0], OUTPUT_DEAD_LETTER, 31);
    assert_int_equal(tails[0].ret_end[OUTPUT_RESULTS], 40); /* 30 results and 10 markers */
    assert_false(tails[1].ret_found[OUTPUT_RESULTS]);
    assert_false(tails[2].ret_found[OUTPUT_DEAD_LETTER]);
    output->operations->free(output);
}

static void a_fenced_producer_commits_nothing(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, 1);
    struct output *stale = open_output(&options, "stale"), *next = open_output(&options, "next");
    MUST(stale->operations->init(stale, 0, &error));
    publish(stale, 0, OUTPUT_RESULTS, 0, 1, 2);
    MUST(stale->operations->begin(stale, 0, &error));
    MUST(produce(stale, 0, OUTPUT_RESULTS, 0, 3));
    MUST(next->operations->fence(next, stale->operations->id(stale, 0), &error));
    assert_int_equal(stale->operations->commit(stale, 0, &error), -1);
    assert_int_equal(error.kind, ERROR_FENCED);
    struct output_tail tail = tail_of(next, 0, -1);
    assert_tail(&tail, OUTPUT_RESULTS, 2);
    /* made anew with its own id it may write again: that is the recovery */
    MUST(stale->operations->init(stale, 0, &error));
    publish(stale, 0, OUTPUT_RESULTS, 0, 3, 3);
    tail = tail_of(next, 0, -1);
    assert_tail(&tail, OUTPUT_RESULTS, 3);
    stale->operations->free(stale);
    next->operations->free(next);
}

static void leave_open(struct output *output) {
    publish(output, 0, OUTPUT_RESULTS, 0, 1, 5);
    MUST(output->operations->begin(output, 1, &error));
    for (uint64_t sequence = 6; sequence <= 400; sequence++) MUST(produce(output, 1, OUTPUT_RESULTS, 0, sequence));
    sleep(1); /* they are in the log, in an open transaction */
}

static void what_a_dead_lane_left_open_is_aborted_by_fencing_and_skipped_by_the_tail(void **state) {
    (void)state;
    char prefix[64], id[80];
    struct kafka_options options = broker_topics(prefix, 1);
    die_after(leave_open, &options, "dead");
    struct output *output = open_output(&options, "next");
    (void)snprintf(id, sizeof id, "%sdead-1", prefix);
    long before = broker_ms();
    MUST(output->operations->fence(output, slice_str(id), &error));
    struct output_tail tail = tail_of(output, 0, -1);
    print_message("fence and tail took %ld ms\n", broker_ms() - before);
    assert_tail(&tail, OUTPUT_RESULTS, 5);
    assert_true(tail.ret_end[OUTPUT_RESULTS] >= 402); /* the aborted ones and both markers */
    output->operations->free(output);
}

static void an_open_transaction_makes_its_own_partition_wait_and_no_other(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, 2);
    die_after(leave_open, &options, "dead");
    struct output *output = open_output(&options, "next");
    struct output_tail tails[2] = {{.shard = 0, .floor = {-1, -1}}, {.shard = 1, .floor = {-1, -1}}};
    MUST(output->operations->tails(output, tails, 2, &error));
    assert_false(tails[0].ret_stable);
    assert_true(tails[1].ret_stable);
    for (int i = 0; i < 100 && !tails[0].ret_stable; i++) { /* until the coordinator gives the transaction up */
        usleep(300000);
        MUST(output->operations->tails(output, tails, 1, &error));
    }
    assert_true(tails[0].ret_stable);
    assert_tail(&tails[0], OUTPUT_RESULTS, 5);
    assert_true(tails[0].ret_end[OUTPUT_RESULTS] >= 402);
    output->operations->free(output);
}

static void a_tail_looks_no_further_back_than_its_floor(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, 1);
    struct output *output = open_output(&options, "a");
    MUST(output->operations->init(output, 0, &error));
    publish(output, 0, OUTPUT_RESULTS, 0, 1, 9); /* offsets 0 to 8, marker 9 */
    struct output_tail tail = tail_of(output, 0, 9);
    assert_false(tail.ret_found[OUTPUT_RESULTS]);
    assert_int_equal(tail.ret_end[OUTPUT_RESULTS], 10);
    tail = tail_of(output, 0, 8);
    assert_tail(&tail, OUTPUT_RESULTS, 9);
    tail = tail_of(output, 0, 1000000); /* known of a topic that was made anew since: it hides nothing of this one */
    assert_tail(&tail, OUTPUT_RESULTS, 9);
    output->operations->free(output);
}

static void results_of_others_on_the_partition_are_no_tail(void **state) {
    (void)state;
    char prefix[64];
    uint32_t partition;
    int64_t offset;
    struct kafka_options options = broker_topics(prefix, 1);
    struct output *output = open_output(&options, "a");
    MUST(output->operations->init(output, 0, &error));
    publish(output, 0, OUTPUT_RESULTS, 0, 1, 2);
    struct kafka_producer *stranger = kafka_producer_new(&options, 10000, &error);
    for (int i = 0; i < 50; i++)
        MUST(kafka_producer_send(stranger, KAFKA_RESULTS, SLICE("k"), SLICE("v"), NULL, 0, &partition, &offset, &error));
    kafka_producer_free(stranger);
    struct output_tail tail = tail_of(output, 0, -1);
    assert_tail(&tail, OUTPUT_RESULTS, 2);
    output->operations->free(output);
}

static void a_dead_letter_may_be_larger_than_the_record_that_it_quotes(void **state) {
    (void)state;
    enum { SIZE = 3 * 1024 * 1024 };
    char prefix[64], *value = calloc(1, SIZE);
    struct kafka_options options = broker_topics(prefix, 1);
    struct output *output = open_output(&options, "a");
    const struct output_record record = {OUTPUT_DEAD_LETTER, 0, {0}, slice_of(value, SIZE), NULL, 0, false, 0};
    MUST(output->operations->init(output, 0, &error));
    MUST(output->operations->begin(output, 0, &error));
    for (int i = 0; i < 3; i++)
        MUST(output->operations->produce(output, 0, &record, &error)); /* more than the local queue holds */
    MUST(output->operations->commit(output, 0, &error));
    output->operations->free(output);
    struct kafka_reader *reader = kafka_reader_new(&options, KAFKA_COMMITTED, &error);
    struct kafka_record read;
    MUST(kafka_reader_start(reader, &(struct kafka_position){KAFKA_DEAD_LETTER, 0, 0}, &error));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kafka_reader_next(reader, 20000, &read, &error), KAFKA_READ_RECORD);
        assert_null(read.key.p);
        assert_int_equal(read.value.n, SIZE);
    }
    kafka_reader_free(reader);
    free(value);
}

/* A request holds what a topic takes at once, and a transaction of a partition may be more. */
static void a_transaction_of_many_requests_arrives_whole_and_in_order(void **state) {
    (void)state;
    enum { SIZE = 5000, COUNT = 2000 };
    char prefix[64], *value = calloc(1, SIZE);
    struct kafka_options options = broker_topics(prefix, 1);
    struct output *output = open_output(&options, "a");
    MUST(output->operations->init(output, 0, &error));
    MUST(output->operations->begin(output, 0, &error));
    for (uint32_t i = 0; i < COUNT; i++) {
        memcpy(value, &i, sizeof i);
        const struct output_record record = {OUTPUT_RESULTS, 0, SLICE("acme/shop"), slice_of(value, SIZE), NULL, 0, false, 0};
        MUST(output->operations->produce(output, 0, &record, &error));
    }
    MUST(output->operations->commit(output, 0, &error));
    output->operations->free(output);
    struct kafka_reader *reader = kafka_reader_new(&options, KAFKA_COMMITTED, &error);
    struct kafka_record read;
    MUST(kafka_reader_start(reader, &(struct kafka_position){KAFKA_RESULTS, 0, 0}, &error));
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(kafka_reader_next(reader, 20000, &read, &error), KAFKA_READ_RECORD);
        assert_int_equal(read.value.n, SIZE);
        assert_memory_equal(read.value.p, &i, sizeof i);
    }
    kafka_reader_free(reader);
    free(value);
}

/* librdkafka's own hook for tests: what a broker has answered to the request that begins with that message. The leader refuses
 * the first until it has taken the second, which was on its way at the same time. */
static atomic_bool second_is_taken;
static rd_kafka_resp_err_t refuse_first(rd_kafka_t *rk, int32_t broker, uint64_t message, rd_kafka_resp_err_t code) {
    (void)rk, (void)broker;
    if (message == 2 && !code) atomic_store(&second_is_taken, true);
    return message == 1 && !atomic_load(&second_is_taken) ? RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION : code;
}

/* Two records of a transaction, each in a request of its own. Whether it was committed. */
static bool commits_what_is_refused(const struct kafka_options *options, struct output **ret_output) {
    union {
        rd_kafka_resp_err_t (*call)(rd_kafka_t *, int32_t, uint64_t, rd_kafka_resp_err_t);
        const char *value;
    } hook = {.call = refuse_first};
    static struct config_property properties[] = {{"ut_handle_ProduceResponse", NULL}, {"batch.num.messages", "1"}};
    static struct kafka_options hooked; /* outlives the output */
    properties[0].value = hook.value;
    hooked = *options;
    hooked.properties = properties;
    hooked.property_count = 2;
    atomic_store(&second_is_taken, false);
    struct output *output = *ret_output = open_output(&hooked, "a");
    MUST(output->operations->init(output, 0, &error));
    MUST(output->operations->begin(output, 0, &error));
    MUST(produce(output, 0, OUTPUT_RESULTS, 0, 1));
    MUST(produce(output, 0, OUTPUT_RESULTS, 0, 2));
    return output->operations->commit(output, 0, &error) == 0;
}

/* librdkafka (2.0.2 at least) then believes the first to be delivered too, or now and then sends both again, which is well. The
 * transaction is not committed, and what follows is all that is published. */
static void a_record_that_is_delivered_nowhere_is_not_committed(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, 1);
    struct output *output;
    for (int i = 0; commits_what_is_refused(&options, &output); i++) {
        assert_true(i < 20);
        output->operations->free(output);
        options = broker_topics(prefix, 1);
    }
    assert_true(atomic_load(&second_is_taken));
    assert_string_equal(error.code, "kafka-undelivered");
    assert_int_equal(error.kind, ERROR_UNKNOWN);
    MUST(output->operations->init(output, 0, &error)); /* the recovery */
    publish(output, 0, OUTPUT_RESULTS, 0, 3, 3);
    output->operations->free(output);
    struct kafka_reader *reader = kafka_reader_new(&options, KAFKA_COMMITTED, &error);
    struct kafka_record read;
    MUST(kafka_reader_start(reader, &(struct kafka_position){KAFKA_RESULTS, 0, 0}, &error));
    assert_int_equal(kafka_reader_next(reader, 20000, &read, &error), KAFKA_READ_RECORD);
    assert_true(read.offset > 0); /* behind what was aborted, and the marker that says so */
    kafka_reader_free(reader);
}

/* The end that a broker tells which no longer leads is one that the log had some time ago. */
static void what_does_not_lie_where_the_log_was_said_to_end_is_not_committed(void **state) {
    (void)state;
    char prefix[64];
    struct kafka_options options = broker_topics(prefix, 2);
    struct output *output = open_output(&options, "a");
    for (int which = 0; which < OUTPUT_PRODUCERS; which++) MUST(output->operations->init(output, which, &error));
    int64_t old = tail_of(output, 1, -1).ret_end[OUTPUT_RESULTS];
    MUST(output->operations->begin(output, 0, &error));
    MUST(produce_at(output, 0, OUTPUT_RESULTS, 1, 1, old));
    MUST(produce(output, 0, OUTPUT_RESULTS, 1, 2));
    MUST(output->operations->commit(output, 0, &error));
    assert_int_equal(tail_of(output, 1, -1).ret_end[OUTPUT_RESULTS], old + 3); /* waits for the marker */
    MUST(output->operations->begin(output, 1, &error));
    MUST(produce(output, 1, OUTPUT_RESULTS, 0, 3));
    MUST(produce_at(output, 1, OUTPUT_RESULTS, 1, 1, old));
    MUST(produce(output, 1, OUTPUT_RESULTS, 1, 2));
    assert_int_equal(output->operations->commit(output, 1, &error), -1);
    assert_string_equal(error.code, "kafka-stale-leader");
    assert_int_equal(error.kind, ERROR_UNKNOWN);
    assert_non_null(strstr(error.message, "results, partition 1, goes on at offset 3, and was said to end at 0"));
    for (int which = 0; which < OUTPUT_PRODUCERS; which++) MUST(output->operations->init(output, which, &error));
    struct output_tail tail = tail_of(output, 1, -1);
    assert_tail(&tail, OUTPUT_RESULTS, 2);
    assert_false(tail_of(output, 0, -1).ret_found[OUTPUT_RESULTS]);
    MUST(output->operations->begin(output, 1, &error));
    MUST(produce_at(output, 1, OUTPUT_RESULTS, 1, 3, tail.ret_end[OUTPUT_RESULTS]));
    MUST(output->operations->commit(output, 1, &error));
    tail = tail_of(output, 1, -1);
    assert_tail(&tail, OUTPUT_RESULTS, 3);
    output->operations->free(output);
}

static void an_unreachable_broker_is_unavailable(void **state) {
    (void)state;
    struct kafka_options options = {.bootstrap_servers = "127.0.0.1:1", .topic_prefix = "release.", .group = "g"};
    struct output *output = open_output(&options, "a");
    struct output_tail tail = {.shard = 0, .floor = {-1, -1}};
    assert_int_equal(output->operations->tails(output, &tail, 1, &error), -1);
    assert_int_equal(error.kind, ERROR_UNAVAILABLE);
    output->operations->free(output);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_producers_take_turns_and_the_tail_is_the_last_result),
        cmocka_unit_test(a_fenced_producer_commits_nothing),
        cmocka_unit_test(what_a_dead_lane_left_open_is_aborted_by_fencing_and_skipped_by_the_tail),
        cmocka_unit_test(an_open_transaction_makes_its_own_partition_wait_and_no_other),
        cmocka_unit_test(a_tail_looks_no_further_back_than_its_floor),
        cmocka_unit_test(results_of_others_on_the_partition_are_no_tail),
        cmocka_unit_test(a_dead_letter_may_be_larger_than_the_record_that_it_quotes),
        cmocka_unit_test(a_transaction_of_many_requests_arrives_whole_and_in_order),
        cmocka_unit_test(a_record_that_is_delivered_nowhere_is_not_committed),
        cmocka_unit_test(what_does_not_lie_where_the_log_was_said_to_end_is_not_committed),
        cmocka_unit_test(an_unreachable_broker_is_unavailable),
    };
    return cmocka_run_group_tests_name("kafka_output", tests, broker_start, broker_stop);
}
