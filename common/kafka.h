/* What Sluice asks of Kafka, without librdkafka's types: options, topics, publishing one record, reading partitions.
 *
 * The lane's own use is in worker/input_kafka.c and worker/output_kafka.c. Nothing here logs: what librdkafka has to say goes
 * to `log`, and an error says what to do. Codes of errors: "kafka-unreachable", "kafka-timeout", "kafka-denied",
 * "kafka-no-topic", "kafka-offset", "kafka-fenced", "kafka-property", "too-large", "kafka-error".
 *
 * Each object is one thread's. */
#ifndef SLUICE_KAFKA_H
#define SLUICE_KAFKA_H

#include "config.h"
#include "error.h"
#include "record.h"

#include <stdbool.h>
#include <stdint.h>

/* Called from librdkafka's own threads too; `level` is syslog's, 0 to 7, lower is worse. */
typedef void kafka_log(void *context, int level, const char *message);

/* Borrowed: must outlive whatever is made with it. */
struct kafka_options {
    const char *bootstrap_servers;            /* "host:port,host:port" */
    const char *topic_prefix;                 /* "release." */
    const char *group;                        /* the consumer group's id; only lanes need it */
    const struct config_property *properties; /* the pass-through; config.h has refused those that must stay as they are */
    size_t property_count;
    kafka_log *log; /* NULL: what is logged is dropped */
    void *log_context;
};

/* librdkafka's version, as "2.0.2". */
const char *kafka_version(void);

/* ---- topics ---- */

/* The four topics as one list: the input topics by their numbers, then the output topics by theirs. */
enum kafka_topic { KAFKA_BUILDS, KAFKA_REQUESTS, KAFKA_RESULTS, KAFKA_DEAD_LETTER, KAFKA_TOPICS };
enum { KAFKA_TOPIC_MAX = 249 }; /* bytes of a name, Kafka's own limit */

enum kafka_topic kafka_input_topic(enum input_topic topic);
enum kafka_topic kafka_output_topic(enum output_topic topic);
/* The name with its prefix, terminated. Error when prefix and name together are no topic name of Kafka. */
int kafka_topic_name(const struct kafka_options *options, enum kafka_topic topic, char to[KAFKA_TOPIC_MAX + 1],
                     struct error *error);

struct kafka_topic_state {
    bool exists;
    uint32_t partitions;
    uint32_t replicas;         /* of its first partition */
    int64_t max_message_bytes; /* -1 when unknown */
    bool created;              /* by kafka_topics_create */
};
/* What max.message.bytes must be at least. */
enum { KAFKA_OUTPUT_BYTES_MAX = 4 * 1024 * 1024, KAFKA_INPUT_BYTES_MAX = 1000000 };
/* Is it as an installation of so many shards needs it? 0 shards: of any number. The error's message goes on after the topic's
 * name; its codes are no-topic, shards-differ and topic-limit. */
int kafka_topic_check(enum kafka_topic topic, const struct kafka_topic_state *state, uint32_t shards, struct error *error);

/* What the brokers say of the four topics. */
int kafka_topics_describe(const struct kafka_options *options, struct kafka_topic_state ret_topics[KAFKA_TOPICS],
                          struct error *error);
/* Creates those that do not exist and describes all. `replicas` 0: the broker's default. */
int kafka_topics_create(const struct kafka_options *options, uint32_t partitions, uint32_t replicas,
                        struct kafka_topic_state ret_topics[KAFKA_TOPICS], struct error *error);

/* ---- publishing one record at a time ---- */

struct kafka_producer;

/* acks=all, idempotent, partitioned as Java clients do. `timeout_ms` bounds every send. Does not connect yet. */
struct kafka_producer *kafka_producer_new(const struct kafka_options *options, int timeout_ms, struct error *error);
/* Sends and waits until the brokers have acknowledged or will not. The partition follows from the key. ERROR_UNKNOWN: it may
 * have been stored all the same. */
int kafka_producer_send(struct kafka_producer *producer, enum kafka_topic topic, struct slice key, struct slice value,
                        const struct record_header *headers, size_t header_count, uint32_t *ret_partition, int64_t *ret_offset,
                        struct error *error);
void kafka_producer_free(struct kafka_producer *producer);

/* ---- reading partitions, outside of any group ---- */

struct kafka_reader;

struct kafka_position {
    enum kafka_topic topic;
    uint32_t partition;
    int64_t offset;
};

/* In place of an instant (milliseconds since 1970) for kafka_reader_offsets. */
enum { KAFKA_END = -1, KAFKA_BEGINNING = -2 };

struct kafka_record {
    enum kafka_topic topic;
    uint32_t partition;
    int64_t offset;
    int64_t at_ms; /* the record's timestamp, or -1 */
    struct slice key, value;
    const struct record_header *headers;
    size_t header_count;
};

enum kafka_read {
    /* `error` is set; it may work again: call again, but of kafka-offset (a broker has no such offset) not at once */
    KAFKA_READ_FAILED = -1,
    KAFKA_READ_NOTHING, /* nothing came in time */
    KAFKA_READ_RECORD,
    KAFKA_READ_AT_END /* of the partition, for now: topic, partition and offset (the next one) are set */
};

enum kafka_view {
    KAFKA_COMMITTED, /* nothing behind the first open transaction, and nothing that was aborted */
    KAFKA_TAILS,     /* the same, for reading short ends: whether it is the end is told within milliseconds, at some cost */
    KAFKA_EVERYTHING /* what is open or aborted too */
};

struct kafka_reader *kafka_reader_new(const struct kafka_options *options, enum kafka_view view, struct error *error);
/* The number of partitions of a topic. */
int kafka_reader_partitions(struct kafka_reader *reader, enum kafka_topic topic, uint32_t *ret_count, struct error *error);
/* For each position the first offset at or after an instant, or the log's start or end, in `offset`; one request a broker. The
 * end is the high watermark for a reader of everything, and the last stable offset otherwise. */
int kafka_reader_offsets(struct kafka_reader *reader, int64_t at_ms, struct kafka_position *positions, size_t count,
                         struct error *error);
/* Begins to read there; the partition is not being read yet. */
int kafka_reader_start(struct kafka_reader *reader, const struct kafka_position *position, struct error *error);
/* Stops; records that were fetched and not given yet are dropped. */
void kafka_reader_stop(struct kafka_reader *reader, enum kafka_topic topic, uint32_t partition);
/* The next record or event; the record is valid until the next call on the reader. */
enum kafka_read kafka_reader_next(struct kafka_reader *reader, int timeout_ms, struct kafka_record *ret_record,
                                  struct error *error);
void kafka_reader_free(struct kafka_reader *reader);

/* A KAFKA_READ_AT_END against an end that was told before: -1 when it lies below, as who tells it no longer leads. */
int kafka_check_end(const struct kafka_record *at_end, int64_t told, struct error *error);
/* The value of the last header of that name, or a NULL slice. */
struct slice kafka_record_header(const struct kafka_record *record, const char *name);

#endif
