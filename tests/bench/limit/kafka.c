/*
 * What Kafka costs at least: librdkafka alone, with the workload's requests and results of the same size.
 *
 *   kafka brokers=HOST:PORT prefix=bench. n=200000 batch=560 size=800 headers=160 partitions=8
 *
 * Reads n records of <prefix>requests and publishes as many results to <prefix>results, `batch` a transaction, in two
 * transactional producers that take turns. Its clients are set as a lane's are. Prints one line of key=value; CPU seconds are per
 * 100,000 records.
 */
#define _GNU_SOURCE
#include "common.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

enum { PRODUCERS = 2, WAIT_MS = 20000 };
enum { QUEUED_RECORDS = 300, QUEUED_BYTES = 512 * 1024, RECORD_OVERHEAD = 64, WAKE_MS = 1 };

struct setting {
    const char *name, *value;
};

/* These are a lane's: see common/kafka_client.c, KAFKA_ROLE_INPUT and KAFKA_ROLE_OUTPUT. */
static const struct setting common_settings[] = {
    {"socket.nagle.disable", "true"},
    {"socket.keepalive.enable", "true"},
};
static const struct setting consumer_settings[] = {
    {"group.id", "limit"},
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},
    {"isolation.level", "read_committed"},
    {"enable.partition.eof", "true"},
    {"check.crcs", "true"},
    {"fetch.error.backoff.ms", "100"},
    {"queued.max.messages.kbytes", "512"}, /* QUEUED_BYTES */
    {"queued.min.messages", "300"},        /* QUEUED_RECORDS */
    {"fetch.message.max.bytes", "16384"},
    {"fetch.max.bytes", "1048576"},
    {"fetch.wait.max.ms", "50"},
};
static const struct setting producer_settings[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"linger.ms", "5"},
    {"queue.buffering.max.kbytes", "4608"},
    {"batch.num.messages", "10000"},
    {"batch.size", "4194304"},
    {"message.max.bytes", "4194304"},
    {"transaction.timeout.ms", "10000"},
};

static void set(rd_kafka_conf_t *configuration, const char *key, const char *value) {
    char error[512];
    if (rd_kafka_conf_set(configuration, key, value, error, sizeof error)) die(key, error);
}

static rd_kafka_conf_t *make_configuration(const struct options *options, const struct setting *settings, size_t count) {
    rd_kafka_conf_t *configuration = rd_kafka_conf_new();
    set(configuration, "bootstrap.servers", option(options, "brokers", "127.0.0.1:9092"));
    for (size_t i = 0; i < sizeof common_settings / sizeof *common_settings; i++)
        set(configuration, common_settings[i].name, common_settings[i].value);
    for (size_t i = 0; i < count; i++) set(configuration, settings[i].name, settings[i].value);
    return configuration;
}

static void must(rd_kafka_error_t *error, const char *what) {
    if (error) die(what, rd_kafka_error_string(error));
}

/* Without a delivery callback nothing wakes the flush inside rd_kafka_commit_transaction, which then sleeps 10 ms at a time. */
static void delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
    (void)producer;
    (void)opaque;
    if (message->err) die("delivery", rd_kafka_err2str(message->err));
    if (message->offset < 0) die("delivery", "nowhere");
}

static rd_kafka_t *make(rd_kafka_type_t type, rd_kafka_conf_t *configuration) {
    char error[512];
    rd_kafka_t *client = rd_kafka_new(type, configuration, error, sizeof error);
    if (!client) die("rd_kafka_new", error);
    return client;
}

static rd_kafka_t *make_producer(const struct options *options, int number, const char *topic) {
    char id[64];
    (void)snprintf(id, sizeof id, "limit-%d-%ld-%d", getpid(), (long)time(NULL), number);
    rd_kafka_conf_t *configuration =
        make_configuration(options, producer_settings, sizeof producer_settings / sizeof *producer_settings);
    set(configuration, "transactional.id", id);
    rd_kafka_conf_set_dr_msg_cb(configuration, delivered);
    rd_kafka_t *producer = make(RD_KAFKA_PRODUCER, configuration);
    must(rd_kafka_init_transactions(producer, WAIT_MS), "init_transactions");
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(producer, topic, NULL);
    if (rd_kafka_metadata(producer, 0, handle, &metadata, WAIT_MS)) die(topic, "the brokers say nothing of it");
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return producer;
}

static rd_kafka_t *make_consumer(const struct options *options, const char *topic, int partitions) {
    rd_kafka_conf_t *configuration =
        make_configuration(options, consumer_settings, sizeof consumer_settings / sizeof *consumer_settings);
    rd_kafka_t *consumer = make(RD_KAFKA_CONSUMER, configuration);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int partition = 0; partition < partitions; partition++)
        rd_kafka_topic_partition_list_add(list, topic, partition)->offset = 0;
    if (rd_kafka_assign(consumer, list)) die(topic, "cannot be read");
    rd_kafka_topic_partition_list_destroy(list);
    return consumer;
}

/* What a lane does too (worker/input_kafka.c, wake_fetchers): a broker's thread that has found the queue full looks at it again
 * after a second, or when something is asked. */
struct hunger {
    size_t bytes; /* taken since it was last asked */
    bool was_full;
};

static void wake_fetchers(struct hunger *hunger, rd_kafka_t *consumer, rd_kafka_queue_t *queue, const char *topic,
                          int partitions) {
    if ((hunger->bytes < QUEUED_BYTES / 4 * 3 && !hunger->was_full) || rd_kafka_queue_length(queue)) return;
    *hunger = (struct hunger){0};
    rd_kafka_topic_partition_list_t *asked = rd_kafka_topic_partition_list_new(partitions);
    for (int partition = 0; partition < partitions; partition++)
        rd_kafka_topic_partition_list_add(asked, topic, partition)->offset = RD_KAFKA_OFFSET_END;
    (void)rd_kafka_offsets_for_times(consumer, asked, WAKE_MS);
    rd_kafka_topic_partition_list_destroy(asked);
}

/* Takes at most `most` records; the number of them. */
static int take(struct hunger *hunger, rd_kafka_queue_t *queue, rd_kafka_message_t **messages, int most) {
    ssize_t got = rd_kafka_consume_batch_queue(queue, 20, messages, (size_t)most);
    if (got > 0 && (size_t)got + rd_kafka_queue_length(queue) >= QUEUED_RECORDS) hunger->was_full = true;
    int taken = 0;
    for (ssize_t i = 0; i < got; i++) {
        if (!messages[i]->err) {
            hunger->bytes += messages[i]->len + messages[i]->key_len + RECORD_OVERHEAD;
            taken++;
        } else if (messages[i]->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            die("consume", rd_kafka_message_errstr(messages[i]));
        }
        rd_kafka_message_destroy(messages[i]);
    }
    return taken;
}

/* Four headers of what the result says in its head, so many bytes in all. */
struct result {
    char *value, *header;
    size_t value_size, header_size;
};

static void publish(rd_kafka_t *producer, const char *topic, int first, int n, const struct result *result, int partitions) {
    must(rd_kafka_begin_transaction(producer), "begin_transaction");
    for (int i = 0; i < n; i++) {
        char key[24];
        (void)snprintf(key, sizeof key, "org/proj-%d", (first + i) % 1000);
        rd_kafka_resp_err_t error;
        do {
            error = rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION((first + i) % partitions),
                                      RD_KAFKA_V_KEY(key, strlen(key)), RD_KAFKA_V_VALUE(result->value, result->value_size),
                                      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                      RD_KAFKA_V_HEADER("ce_type", result->header, (ssize_t)(result->header_size / 4)),
                                      RD_KAFKA_V_HEADER("ce_time", result->header, (ssize_t)(result->header_size / 4)),
                                      RD_KAFKA_V_HEADER("ce_outcome", result->header, (ssize_t)(result->header_size / 4)),
                                      RD_KAFKA_V_HEADER("ce_ledgerhash", result->header, (ssize_t)(result->header_size / 4)),
                                      RD_KAFKA_V_END);
            if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) (void)rd_kafka_poll(producer, 5);
        } while (error == RD_KAFKA_RESP_ERR__QUEUE_FULL);
        if (error) die("produce", rd_kafka_err2str(error));
    }
    must(rd_kafka_commit_transaction(producer, WAIT_MS), "commit_transaction");
}

static char *text_of(size_t n) {
    char *text = allocate(n + 1);
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        text[i] = "0123456789abcdef"[state >> 60];
    }
    return text;
}

int main(int argc, char **argv) {
    struct options options = {argc - 1, argv + 1};
    int n = option_number(&options, "n", 200000), batch = option_number(&options, "batch", 560);
    int partitions = option_number(&options, "partitions", 8), turn = 0, read = 0, published = 0;
    char requests[128], results[128];
    (void)snprintf(requests, sizeof requests, "%srequests", option(&options, "prefix", "bench."));
    (void)snprintf(results, sizeof results, "%sresults", option(&options, "prefix", "bench."));
    struct result result = {.value_size = (size_t)option_number(&options, "size", 800),
                            .header_size = (size_t)option_number(&options, "headers", 160)};
    result.value = text_of(result.value_size);
    result.header = text_of(result.header_size);
    rd_kafka_t *producers[PRODUCERS];
    for (int i = 0; i < PRODUCERS; i++) producers[i] = make_producer(&options, i, results);
    rd_kafka_message_t **messages = allocate(sizeof *messages * (size_t)batch);
    double cpu = own_cpu(), start = seconds(), last = start;
    rd_kafka_t *consumer = make_consumer(&options, requests, partitions);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    struct hunger hunger = {0};
    while (published < n && seconds() - last < 20) {
        int wanted = n - published < batch ? n - published : batch;
        wake_fetchers(&hunger, consumer, queue, requests, partitions);
        read += take(&hunger, queue, messages, wanted - (read - published));
        if (read - published < wanted) continue;
        publish(producers[turn], results, published, read - published, &result, partitions);
        turn = (turn + 1) % PRODUCERS;
        published = read;
        last = seconds();
    }
    double wall = seconds() - start;
    printf("per_second=%.0f client_cpu=%.3f rss=%.0f complete=%d\n", published / wall, (own_cpu() - cpu) * 1e5 / n, peak_memory(),
           published == n);
    (void)fflush(stdout);
    _exit(0); /* nothing is left to be said, and closing takes seconds */
}
