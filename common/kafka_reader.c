#include "kafka_client.h"

#include <stdlib.h>
#include <time.h>

/* A partition that is being read. There are few: the search is linear. */
struct reading {
    enum kafka_topic topic;
    int32_t partition;
};

struct kafka_reader {
    struct kafka_client client;
    rd_kafka_queue_t *queue; /* all partitions' */
    rd_kafka_topic_t *topics[KAFKA_TOPICS];
    struct reading *readings;
    size_t reading_count, reading_room;
    rd_kafka_message_t *message; /* the last one given */
    struct kafka_headers headers;
};

static enum kafka_role role_of(enum kafka_view view) {
    switch (view) {
    case KAFKA_COMMITTED:
        return KAFKA_ROLE_COMMITTED;
    case KAFKA_TAILS:
        return KAFKA_ROLE_TAILS;
    case KAFKA_EVERYTHING:
        break;
    }
    return KAFKA_ROLE_EVERYTHING;
}

struct kafka_reader *kafka_reader_new(const struct kafka_options *options, enum kafka_view view, struct error *error) {
    enum kafka_role role = role_of(view);
    struct kafka_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        error_memory(error);
        return NULL;
    }
    rd_kafka_conf_t *conf = kafka_client_conf(&reader->client, options, role, NULL, 0, error);
    if (!conf || kafka_client_open(&reader->client, conf, role, error)) goto failed;
    reader->queue = rd_kafka_queue_new(reader->client.rk);
    for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS; topic++) {
        char name[KAFKA_TOPIC_MAX + 1];
        if (kafka_topic_name(options, topic, name, error)) goto failed;
        reader->topics[topic] = rd_kafka_topic_new(reader->client.rk, name, NULL);
        if (!reader->topics[topic]) {
            kafka_client_fail(&reader->client, error, rd_kafka_last_error(), NULL, "open topic %s", name);
            goto failed;
        }
    }
    return reader;
failed:
    kafka_reader_free(reader);
    return NULL;
}

int kafka_reader_partitions(struct kafka_reader *reader, enum kafka_topic topic, uint32_t *ret_count, struct error *error) {
    return kafka_client_partitions(&reader->client, topic, KAFKA_QUESTION_MS, ret_count, error);
}

/* One try. `ret_failed`: the first partition that has no answer. */
static rd_kafka_resp_err_t ask_offsets(struct kafka_reader *reader, int64_t at_ms, rd_kafka_topic_partition_list_t *list,
                                       int *ret_failed) {
    *ret_failed = 0;
    for (int i = 0; i < list->cnt; i++) list->elems[i].offset = at_ms;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(reader->client.rk, list, KAFKA_QUESTION_MS);
    if (code) return code;
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].err) return *ret_failed = i, list->elems[i].err;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* What a leader says that moves, or of a partition that was just made. */
static bool is_passing(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

/* librdkafka passes the instant on as it is, and so also Kafka's own -1 (latest) and -2 (earliest): KIP-79. */
int kafka_reader_offsets(struct kafka_reader *reader, int64_t at_ms, struct kafka_position *positions, size_t count,
                         struct error *error) {
    if (!count) return 0;
    int failed;
    rd_kafka_resp_err_t code;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        (void)rd_kafka_topic_partition_list_add(list, rd_kafka_topic_name(reader->topics[positions[i].topic]),
                                                (int32_t)positions[i].partition);
    for (int tries = 20; is_passing(code = ask_offsets(reader, at_ms, list, &failed)) && tries; tries--)
        (void)nanosleep(&(struct timespec){0, 100000000}, NULL);
    if (code)
        kafka_client_fail(&reader->client, error, code, NULL, "ask for offsets of %s, partition %d", list->elems[failed].topic,
                          list->elems[failed].partition);
    for (size_t i = 0; i < count && !code; i++) positions[i].offset = list->elems[i].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return code ? -1 : 0;
}

int kafka_reader_start(struct kafka_reader *reader, const struct kafka_position *position, struct error *error) {
    if (reader->reading_count == reader->reading_room) {
        size_t room = reader->reading_room ? reader->reading_room * 2 : 16;
        struct reading *readings = realloc(reader->readings, room * sizeof *readings);
        if (!readings) return error_memory(error);
        reader->readings = readings;
        reader->reading_room = room;
    }
    if (rd_kafka_consume_start_queue(reader->topics[position->topic], (int32_t)position->partition, position->offset,
                                     reader->queue))
        return kafka_client_fail(&reader->client, error, rd_kafka_last_error(), NULL, "read partition %u of %s",
                                 position->partition, rd_kafka_topic_name(reader->topics[position->topic]));
    reader->readings[reader->reading_count++] = (struct reading){position->topic, (int32_t)position->partition};
    return 0;
}

static void stop(struct kafka_reader *reader, size_t which) {
    struct reading reading = reader->readings[which];
    reader->readings[which] = reader->readings[--reader->reading_count];
    (void)rd_kafka_consume_stop(reader->topics[reading.topic], reading.partition);
}

static const struct reading *find_reading(struct kafka_reader *reader, enum kafka_topic topic, int32_t partition) {
    for (size_t i = 0; i < reader->reading_count; i++)
        if (reader->readings[i].topic == topic && reader->readings[i].partition == partition) return &reader->readings[i];
    return NULL;
}

void kafka_reader_stop(struct kafka_reader *reader, enum kafka_topic topic, uint32_t partition) {
    const struct reading *reading = find_reading(reader, topic, (int32_t)partition);
    if (reading) stop(reader, (size_t)(reading - reader->readings));
}

/* A broker that does not know yet that it no longer leads may say so of what it has not got; librdkafka reads that partition no
 * more then. It is asked for the same offset anew. */
static void read_on(struct kafka_reader *reader, enum kafka_topic topic, const rd_kafka_message_t *refusal) {
    if (!find_reading(reader, topic, refusal->partition)) return;
    (void)rd_kafka_consume_stop(reader->topics[topic], refusal->partition);
    (void)rd_kafka_consume_start_queue(reader->topics[topic], refusal->partition, refusal->offset, reader->queue);
}

static bool find_topic(const struct kafka_reader *reader, const rd_kafka_message_t *message, enum kafka_topic *ret_topic) {
    for (enum kafka_topic topic = 0; message->rkt && topic < KAFKA_TOPICS; topic++)
        if (message->rkt == reader->topics[topic] ||
            strcmp(rd_kafka_topic_name(message->rkt), rd_kafka_topic_name(reader->topics[topic])) == 0)
            return *ret_topic = topic, true;
    return false;
}

static enum kafka_read give_record(struct kafka_reader *reader, struct kafka_record *record, struct error *error) {
    rd_kafka_message_t *message = reader->message;
    reader->headers.count = 0;
    if (kafka_headers_add(&reader->headers, message) < 0) return error_memory(error), KAFKA_READ_FAILED;
    record->key = slice_of(message->key, message->key_len);
    record->value = slice_of(message->payload, message->len);
    record->headers = reader->headers.all;
    record->header_count = reader->headers.count;
    record->at_ms = rd_kafka_message_timestamp(message, NULL);
    return KAFKA_READ_RECORD;
}

enum kafka_read kafka_reader_next(struct kafka_reader *reader, int timeout_ms, struct kafka_record *ret_record,
                                  struct error *error) {
    if (reader->message) rd_kafka_message_destroy(reader->message);
    reader->message = rd_kafka_consume_queue(reader->queue, timeout_ms);
    if (!reader->message) return KAFKA_READ_NOTHING;
    rd_kafka_message_t *message = reader->message;
    struct kafka_record record = {.partition = (uint32_t)message->partition, .offset = message->offset, .at_ms = -1};
    bool known = find_topic(reader, message, &record.topic);
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && known) read_on(reader, record.topic, message);
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && known) return *ret_record = record, KAFKA_READ_AT_END;
    if (message->err || !known)
        return kafka_client_fail(&reader->client, error, message->err, rd_kafka_message_errstr(message),
                                 "read partition %d of %s", message->partition,
                                 message->rkt ? rd_kafka_topic_name(message->rkt) : "a topic"),
               KAFKA_READ_FAILED;
    enum kafka_read result = give_record(reader, &record, error);
    if (result == KAFKA_READ_RECORD) *ret_record = record;
    return result;
}

void kafka_reader_free(struct kafka_reader *reader) {
    if (!reader) return;
    if (reader->message) rd_kafka_message_destroy(reader->message);
    while (reader->reading_count) stop(reader, 0);
    for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS; topic++)
        if (reader->topics[topic]) rd_kafka_topic_destroy(reader->topics[topic]);
    if (reader->queue) rd_kafka_queue_destroy(reader->queue);
    kafka_client_close(&reader->client);
    free(reader->readings);
    free(reader->headers.all);
    free(reader);
}
