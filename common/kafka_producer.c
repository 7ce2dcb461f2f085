#include "kafka_client.h"

#include <stdio.h>
#include <stdlib.h>

struct kafka_producer {
    struct kafka_client client;
    int timeout_ms;
    bool known[KAFKA_TOPICS]; /* topics that the brokers have told of */
};

/* What became of the one record on its way. Lives on the sender's stack: every record gets its report before send returns. */
struct delivery {
    bool done, nowhere;
    rd_kafka_resp_err_t code;
    rd_kafka_msg_status_t status;
    int32_t partition;
    int64_t offset;
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk, (void)opaque;
    struct delivery *delivery = message->_private;
    *delivery = (struct delivery){.done = true,
                                  .nowhere = kafka_is_nowhere(message),
                                  .code = message->err,
                                  .status = rd_kafka_message_status(message),
                                  .partition = message->partition,
                                  .offset = message->offset};
}

struct kafka_producer *kafka_producer_new(const struct kafka_options *options, int timeout_ms, struct error *error) {
    struct kafka_producer *producer = calloc(1, sizeof *producer);
    if (!producer) {
        error_memory(error);
        return NULL;
    }
    producer->timeout_ms = timeout_ms;
    char timeout[16];
    (void)snprintf(timeout, sizeof timeout, "%d", timeout_ms);
    const struct kafka_setting more[] = {{"message.timeout.ms", timeout}};
    rd_kafka_conf_t *conf = kafka_client_conf(&producer->client, options, KAFKA_ROLE_PRODUCER, more, 1, error);
    if (!conf) goto failed;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    if (kafka_client_open(&producer->client, conf, KAFKA_ROLE_PRODUCER, error)) goto failed;
    return producer;
failed:
    free(producer);
    return NULL;
}

static int check_size(const char *name, struct slice key, struct slice value, const struct record_header *headers,
                      size_t header_count, struct error *error) {
    size_t size = key.n + value.n;
    for (size_t i = 0; i < header_count; i++) size += headers[i].name.n + headers[i].value.n;
    if (size <= KAFKA_INPUT_BYTES_MAX) return 0;
    return error_set(error, ERROR_INPUT, "too-large", "a record of %zu bytes cannot go to %s; at most %d are allowed", size, name,
                     KAFKA_INPUT_BYTES_MAX);
}

static rd_kafka_headers_t *make_headers(const struct record_header *headers, size_t count) {
    rd_kafka_headers_t *made = rd_kafka_headers_new(count);
    for (size_t i = 0; i < count; i++)
        (void)rd_kafka_header_add(made, headers[i].name.p, (ssize_t)headers[i].name.n, headers[i].value.p,
                                  (ssize_t)headers[i].value.n);
    return made;
}

/* Every accepted record is reported within message.timeout.ms, at the latest as timed out. */
static int wait_delivery(struct kafka_producer *producer, const char *name, const struct delivery *delivery,
                         struct error *error) {
    while (!delivery->done) (void)rd_kafka_poll(producer->client.rk, 100);
    if (delivery->nowhere)
        return error_set(error, ERROR_UNKNOWN, "kafka-undelivered",
                         "%s is said to have the record, but no broker said where; publish it again", name);
    if (!delivery->code) return 0;
    kafka_client_fail(&producer->client, error, delivery->code, NULL, "publish to %s within %d ms", name, producer->timeout_ms);
    if (error && delivery->status == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED) error->kind = ERROR_UNKNOWN;
    return -1;
}

/* Asking first tells a missing topic at once; a record to one would wait out its whole time. */
static int know_topic(struct kafka_producer *producer, enum kafka_topic topic, struct error *error) {
    uint32_t partitions;
    if (producer->known[topic]) return 0;
    if (kafka_client_partitions(&producer->client, topic, producer->timeout_ms, &partitions, error)) return -1;
    producer->known[topic] = true;
    return 0;
}

int kafka_producer_send(struct kafka_producer *producer, enum kafka_topic topic, struct slice key, struct slice value,
                        const struct record_header *headers, size_t header_count, uint32_t *ret_partition, int64_t *ret_offset,
                        struct error *error) {
    char name[KAFKA_TOPIC_MAX + 1];
    struct delivery delivery = {0};
    if (kafka_topic_name(producer->client.options, topic, name, error)) return -1;
    if (check_size(name, key, value, headers, header_count, error)) return -1;
    if (know_topic(producer, topic, error)) return -1;
    rd_kafka_headers_t *own = make_headers(headers, header_count);
    rd_kafka_resp_err_t code =
        rd_kafka_producev(producer->client.rk, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_KEY((void *)(uintptr_t)key.p, key.n),
                          RD_KAFKA_V_VALUE((void *)(uintptr_t)value.p, value.n), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_HEADERS(own), RD_KAFKA_V_OPAQUE(&delivery), RD_KAFKA_V_END);
    if (code) {
        rd_kafka_headers_destroy(own);
        return kafka_client_fail(&producer->client, error, code, NULL, "publish to %s", name);
    }
    if (wait_delivery(producer, name, &delivery, error)) return -1;
    *ret_partition = (uint32_t)delivery.partition;
    *ret_offset = delivery.offset;
    return 0;
}

void kafka_producer_free(struct kafka_producer *producer) {
    if (!producer) return;
    kafka_client_close(&producer->client);
    free(producer);
}
