/* What all users of librdkafka share: configuration by role, callbacks, errors. Included by kafka_*.c, and by the lane's
 * input_kafka.c and output_kafka.c; by nobody else. */
#ifndef SLUICE_KAFKA_CLIENT_H
#define SLUICE_KAFKA_CLIENT_H

#include "kafka.h"

#include <librdkafka/rdkafka.h>

enum kafka_role {
    KAFKA_ROLE_INPUT = 1,     /* a lane's member of the group */
    KAFKA_ROLE_OUTPUT = 2,    /* a lane's transactional producer */
    KAFKA_ROLE_PRODUCER = 4,  /* the command line's */
    KAFKA_ROLE_COMMITTED = 8, /* readers, by what they see */
    KAFKA_ROLE_TAILS = 16,
    KAFKA_ROLE_EVERYTHING = 32
};

struct kafka_client {
    const struct kafka_options *options;
    rd_kafka_t *rk;
    char trouble[300]; /* the last failure of a connection, for messages; empty when there was none */
};

struct kafka_setting {
    const char *name, *value;
};

/* A configuration: our settings, then the user's, then those on which the guarantees rest, then `more`. */
rd_kafka_conf_t *kafka_client_conf(struct kafka_client *client, const struct kafka_options *options, enum kafka_role role,
                                   const struct kafka_setting *more, size_t more_count, struct error *error);
/* Makes the client and takes the configuration, also on failure. A role of a reader or the input makes a consumer. */
int kafka_client_open(struct kafka_client *client, rd_kafka_conf_t *conf, enum kafka_role role, struct error *error);
/* Drops what is queued and the client itself; no goodbye to any group. Harmless when it is not open. */
void kafka_client_close(struct kafka_client *client);

/* Fills *error from librdkafka's; `format` says what was tried, as "publish to release.builds". Returns -1. */
int kafka_client_fail(const struct kafka_client *client, struct error *error, rd_kafka_resp_err_t code, const char *reason,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same from an error object, which it frees. */
int kafka_client_fail_with(const struct kafka_client *client, struct error *error, rd_kafka_error_t *cause, const char *format,
                           ...) __attribute__((format(printf, 4, 5)));

/* The report of a delivery says that the record is in the log, and it may be nowhere. librdkafka (2.0.2 at least) takes a request
 * that was refused for delivered when the next one to that partition, on its way at the same time, has been taken: a leader that
 * has just been elected does that (issue 921 of confluent-kafka-go). Only the missing offset tells. */
static inline bool kafka_is_nowhere(const rd_kafka_message_t *report) { return !report->err && report->offset < 0; }

/* The number of partitions; asks the brokers, who have `timeout_ms` to answer. */
int kafka_client_partitions(struct kafka_client *client, enum kafka_topic topic, int timeout_ms, uint32_t *ret_count,
                            struct error *error);

/* How long one question to the brokers may take. */
enum { KAFKA_QUESTION_MS = 10000 };

/* A record's headers, in an array that grows and is used again. Names and values belong to the message. */
struct kafka_headers {
    struct record_header *all;
    size_t count, room;
};
/* Appends the message's headers; returns how many, or -1 without memory. */
int kafka_headers_add(struct kafka_headers *headers, rd_kafka_message_t *message);

#endif
