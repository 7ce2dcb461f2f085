#include "output.h"

#include "kafka_client.h"
#include "monotonic.h"
#include "output_tail.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    INIT_MS = 15000,   /* waits through the markers of the last transaction of that id */
    FENCE_MS = 60,     /* the first try at fencing */
    COMMIT_MS = 15000, /* longer than a transaction lives: then it is decided, one way or the other */
    FULL_MS = 15000,   /* as long a full local queue may last */
    SERVE_EVERY = 256  /* records between two looks at delivery reports, which hold the records' memory */
};

struct transactional {
    struct kafka_client client;
    rd_kafka_topic_t *topics[OUTPUT_TOPICS];
    unsigned unserved;
    size_t undelivered;                    /* records of the transaction that are said to be delivered, and not where */
    char misplaced[KAFKA_TOPIC_MAX + 120]; /* why one of them is not where it must be; empty: all are */
};

struct output_kafka {
    struct output output;
    const struct kafka_options *options;
    char *ids[OUTPUT_PRODUCERS];
    struct transactional producers[OUTPUT_PRODUCERS];
};

/* The offset that a record must get goes with it as librdkafka's opaque pointer, which is NULL where there is none. */
static void *opaque_of(const struct output_record *record) { return record->placed ? (void *)(intptr_t)(record->at + 1) : NULL; }

static int64_t offset_of(void *opaque) { return (int64_t)(intptr_t)opaque - 1; }

_Static_assert(sizeof(void *) >= sizeof(int64_t), "an offset goes as a pointer");

/* What could not be delivered fails the transaction by itself; what lies nowhere, or elsewhere than it must, is noted. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk;
    struct transactional *producer = (struct transactional *)((char *)opaque - offsetof(struct transactional, client));
    if (kafka_is_nowhere(message)) {
        producer->undelivered++;
    } else if (!message->err && message->_private && message->offset != offset_of(message->_private) && !*producer->misplaced) {
        (void)snprintf(producer->misplaced, sizeof producer->misplaced,
                       "the log of %s, partition %d, goes on at offset %lld, and was said to end at %lld",
                       rd_kafka_topic_name(message->rkt), (int)message->partition, (long long)message->offset,
                       (long long)offset_of(message->_private));
    }
}

static void transactional_release(struct transactional *producer) {
    for (int i = 0; i < OUTPUT_TOPICS; i++) {
        if (producer->topics[i]) rd_kafka_topic_destroy(producer->topics[i]);
        producer->topics[i] = NULL;
    }
    kafka_client_close(&producer->client);
}

static int transactional_init(struct transactional *producer, const struct kafka_options *options, const char *id, int timeout_ms,
                              struct error *error) {
    const struct kafka_setting more[] = {{"transactional.id", id}};
    rd_kafka_conf_t *conf = kafka_client_conf(&producer->client, options, KAFKA_ROLE_OUTPUT, more, 1, error);
    if (!conf) return -1;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    if (kafka_client_open(&producer->client, conf, KAFKA_ROLE_OUTPUT, error)) return -1;
    rd_kafka_error_t *cause = rd_kafka_init_transactions(producer->client.rk, timeout_ms);
    return cause ? kafka_client_fail_with(&producer->client, error, cause, "initialise transactions") : 0;
}

/* Topic handles, and what the first produce would otherwise wait a second for. */
static int open_topics(struct transactional *producer, struct error *error) {
    for (int i = 0; i < OUTPUT_TOPICS; i++) {
        char name[KAFKA_TOPIC_MAX + 1];
        uint32_t count;
        enum kafka_topic topic = kafka_output_topic((enum output_topic)i);
        if (kafka_topic_name(producer->client.options, topic, name, error)) return -1;
        producer->topics[i] = rd_kafka_topic_new(producer->client.rk, name, NULL);
        if (!producer->topics[i])
            return kafka_client_fail(&producer->client, error, rd_kafka_last_error(), NULL, "open topic %s", name);
        if (kafka_client_partitions(&producer->client, topic, KAFKA_QUESTION_MS, &count, error)) return -1;
    }
    return 0;
}

static struct output_kafka *self(struct output *output) { return (struct output_kafka *)output; }

/* The producer, if init has made it; only a caller that broke the port's order sees the error. */
static struct transactional *ready(struct output *output, int which, struct error *error) {
    struct transactional *producer = &self(output)->producers[which];
    if (producer->topics[OUTPUT_TOPICS - 1]) return producer;
    error_set(error, ERROR_UNAVAILABLE, "kafka-error", "producer %d is not initialised", which);
    return NULL;
}

static struct slice output_id(struct output *output, int which) { return slice_str(self(output)->ids[which]); }

static int output_init(struct output *output, int which, struct error *error) {
    struct transactional *producer = &self(output)->producers[which];
    transactional_release(producer);
    if (!transactional_init(producer, self(output)->options, self(output)->ids[which], INIT_MS, error) &&
        !open_topics(producer, error))
        return 0;
    transactional_release(producer);
    return -1;
}

/* The broker first aborts what that producer left open and wants to be asked again, which librdkafka does after 500 ms: a
 * client made anew asks at once. Which of them succeeds makes no difference, as all are dropped. */
static int output_fence(struct output *output, struct slice id, struct error *error) {
    char text[KAFKA_TOPIC_MAX + 1];
    if (id.n >= sizeof text || (id.n && memchr(id.p, '\0', id.n)))
        return error_set(error, ERROR_INPUT, "kafka-error", "a transactional id of %zu bytes is none of ours", id.n);
    (void)snprintf(text, sizeof text, "%.*s", SLICE_ARG(id));
    for (int patience = FENCE_MS;; patience *= 2) {
        struct transactional successor = {0};
        struct error why = {0};
        int result = transactional_init(&successor, self(output)->options, text, patience, &why);
        transactional_release(&successor);
        if (!result) return 0;
        if (patience <= INIT_MS && strcmp(why.code, "kafka-timeout") == 0) continue;
        if (error) *error = why;
        return -1;
    }
}

static int output_begin(struct output *output, int which, struct error *error) {
    struct transactional *producer = ready(output, which, error);
    if (!producer) return -1;
    producer->undelivered = 0;
    producer->misplaced[0] = '\0';
    rd_kafka_error_t *cause = rd_kafka_begin_transaction(producer->client.rk);
    return cause ? kafka_client_fail_with(&producer->client, error, cause, "begin a transaction") : 0;
}

static rd_kafka_headers_t *make_headers(const struct output_record *record) {
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);
    for (size_t i = 0; i < record->header_count; i++) {
        const struct record_header *header = &record->headers[i];
        (void)rd_kafka_header_add(headers, header->name.p, (ssize_t)header->name.n, header->value.p, (ssize_t)header->value.n);
    }
    return headers;
}

/* NULL: it is in the local queue, with the headers. */
static rd_kafka_error_t *enqueue(struct transactional *producer, const struct output_record *record,
                                 rd_kafka_headers_t *headers) {
    rd_kafka_vu_t arguments[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = producer->topics[record->topic]},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = (int32_t)record->shard},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)record->key.p, record->key.n}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)record->value.p, record->value.n}},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = opaque_of(record)},
    };
    return rd_kafka_produceva(producer->client.rk, arguments, sizeof arguments / sizeof *arguments);
}

static int output_produce(struct output *output, int which, const struct output_record *record, struct error *error) {
    struct transactional *producer = ready(output, which, error);
    if (!producer) return -1;
    rd_kafka_headers_t *headers = make_headers(record);
    rd_kafka_error_t *cause;
    for (int waited = 0; (cause = enqueue(producer, record, headers)); waited += 50) {
        if (rd_kafka_error_code(cause) != RD_KAFKA_RESP_ERR__QUEUE_FULL || waited >= FULL_MS) {
            rd_kafka_headers_destroy(headers);
            return kafka_client_fail_with(&producer->client, error, cause, "publish a result");
        }
        rd_kafka_error_destroy(cause);
        (void)rd_kafka_poll(producer->client.rk, 50);
    }
    if (++producer->unserved % SERVE_EVERY == 0) (void)rd_kafka_poll(producer->client.rk, 0);
    return 0;
}

static int deliver(struct transactional *producer, struct error *error) {
    rd_kafka_resp_err_t code = rd_kafka_flush(producer->client.rk, COMMIT_MS);
    if (code) return kafka_client_fail(&producer->client, error, code, NULL, "deliver results");
    if (*producer->misplaced)
        return error_set(
            error, ERROR_UNKNOWN, "kafka-stale-leader",
            "%s: by a broker that no longer leads, unless somebody else writes there; the transaction is left, and the "
            "end is read again",
            producer->misplaced);
    if (!producer->undelivered) return 0;
    return error_set(
        error, ERROR_UNKNOWN, "kafka-undelivered",
        "librdkafka says that results were delivered, but of %zu or more no broker said where; they are published again",
        producer->undelivered);
}

/* librdkafka leaves the transaction in doubt after most errors, and all of them lead to the one recovery. */
static int output_commit(struct output *output, int which, struct error *error) {
    struct transactional *producer = ready(output, which, error);
    if (!producer) return -1;
    uint64_t end = monotonic_ms() + COMMIT_MS;
    if (!deliver(producer, error)) {
        uint64_t now = monotonic_ms();
        rd_kafka_error_t *cause = rd_kafka_commit_transaction(producer->client.rk, now < end ? (int)(end - now) : 1);
        if (!cause) return 0;
        (void)kafka_client_fail_with(&producer->client, error, cause, "commit a transaction");
    }
    if (error && error->kind != ERROR_FENCED) error->kind = ERROR_UNKNOWN;
    return -1;
}

static int output_tails(struct output *output, struct output_tail *tails, size_t count, struct error *error) {
    return output_tail_read(self(output)->options, tails, count, error);
}

static void output_free(struct output *output) {
    struct output_kafka *kafka = self(output);
    for (int i = 0; i < OUTPUT_PRODUCERS; i++) {
        transactional_release(&kafka->producers[i]);
        free(kafka->ids[i]);
    }
    free(kafka);
}

struct output *output_kafka_new(const struct kafka_options *options, const struct slice ids[OUTPUT_PRODUCERS],
                                struct error *error) {
    static const struct output_operations operations = {.id = output_id,
                                                        .init = output_init,
                                                        .fence = output_fence,
                                                        .begin = output_begin,
                                                        .produce = output_produce,
                                                        .commit = output_commit,
                                                        .tails = output_tails,
                                                        .free = output_free};
    struct output_kafka *kafka = calloc(1, sizeof *kafka);
    if (!kafka) goto failed;
    kafka->output.operations = &operations;
    kafka->options = options;
    for (int i = 0; i < OUTPUT_PRODUCERS; i++) {
        kafka->ids[i] = strndup(ids[i].p, ids[i].n);
        if (!kafka->ids[i]) goto failed;
    }
    return &kafka->output;
failed:
    error_memory(error);
    if (kafka) output_free(&kafka->output);
    return NULL;
}
