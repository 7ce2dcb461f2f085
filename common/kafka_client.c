#include "kafka_client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- settings ---- */

enum {
    INPUT = KAFKA_ROLE_INPUT,
    OUTPUT = KAFKA_ROLE_OUTPUT,
    PRODUCER = KAFKA_ROLE_PRODUCER,
    COMMITTED = KAFKA_ROLE_COMMITTED,
    TAILS = KAFKA_ROLE_TAILS,
    EVERYTHING = KAFKA_ROLE_EVERYTHING,
    READERS = COMMITTED | TAILS | EVERYTHING,
    CONSUMERS = INPUT | READERS,
    PRODUCERS = OUTPUT | PRODUCER,
    ALL = CONSUMERS | PRODUCERS
};

struct role_setting {
    int roles;
    const char *name, *value;
};

/* A user may set these otherwise. */
static const struct role_setting defaults[] = {
    {ALL, "client.id", "sluice"},
    {ALL, "socket.nagle.disable", "true"},
    {ALL, "socket.keepalive.enable", "true"},
    {ALL, "log.connection.close", "false"},
    {ALL, "reconnect.backoff.max.ms", "1000"}, /* a broker that is back is used within a second */
    {CONSUMERS, "check.crcs", "true"},
    {CONSUMERS, "fetch.error.backoff.ms", "100"},
    {INPUT, "session.timeout.ms", "10000"},
    {INPUT, "heartbeat.interval.ms", "500"}, /* so soon a lane hears of a rebalance, as when another host's session has ended */
    /* What a lane may hold: one queue for all its partitions, so that whoever sends much is ahead of the others by no more than
     * this. It is no slower, as input_kafka.c sees to it that an empty queue is filled again at once. */
    {INPUT, "queued.max.messages.kbytes", "512"}, /* a record of 350 bytes takes thrice that here; one of a megabyte is alone */
    {INPUT, "queued.min.messages", "300"},
    {INPUT, "fetch.message.max.bytes", "16384"}, /* of a partition; one batch of records may be larger */
    {INPUT, "fetch.max.bytes", "1048576"},       /* of an answer; it stays whole while one of its records lives */
    /* A fetch asks for the partitions for which the queue had room when each was looked at. If it was full for one of them, and
     * empty a moment later, that one's records wait until the fetch is answered, which without records of the others takes this
     * long. */
    {INPUT, "fetch.wait.max.ms", "50"},
    {COMMITTED | EVERYTHING, "queued.max.messages.kbytes", "8192"},
    {COMMITTED | EVERYTHING, "fetch.max.bytes", "8388608"},
    {TAILS, "queued.max.messages.kbytes", "2048"},
    {TAILS, "fetch.max.bytes", "1048576"},
    {TAILS, "fetch.wait.max.ms", "5"},              /* an end is known by an empty answer, which else takes 500 ms */
    {OUTPUT, "linger.ms", "5"},                     /* batches fill while the rest is produced; a commit does not wait */
    {OUTPUT, "queue.buffering.max.kbytes", "4608"}, /* produce waits beyond that, and the largest dead letter must fit */
    /* All that a transaction has for a partition goes in one request: librdkafka (2.0.2 at least) spins while the rest of a
     * partition waits for the answer to a request before it. */
    {OUTPUT, "batch.num.messages", "10000"},
    {OUTPUT, "batch.size", "4194304"},
    {OUTPUT, "message.max.bytes", "4194304"},    /* as the topics have it */
    {OUTPUT, "transaction.timeout.ms", "10000"}, /* as long a dead lane hides later results at most */
    {PRODUCER, "linger.ms", "0"},
    {PRODUCER, "message.max.bytes", "1048576"}, /* our own limit lies below, with a better message */
};

/* The guarantees rest on these: they are set last, and config_keys.c refuses them from a user. */
static const struct role_setting fixed[] = {
    {CONSUMERS, "enable.auto.commit", "false"},
    {CONSUMERS, "enable.auto.offset.store", "false"},
    {CONSUMERS, "auto.offset.reset", "error"},
    {INPUT | COMMITTED | TAILS, "isolation.level", "read_committed"},
    {EVERYTHING, "isolation.level", "read_uncommitted"},
    {CONSUMERS, "enable.partition.eof", "true"},
    {INPUT, "partition.assignment.strategy", "range"},
    {PRODUCERS, "enable.idempotence", "true"},
    {PRODUCERS, "acks", "all"},
    {PRODUCERS, "delivery.report.only.error", "false"},
    {PRODUCER, "partitioner", "murmur2_random"},
};

static int set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *error) {
    char reason[400];
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) == RD_KAFKA_CONF_OK) return 0;
    return error_set(error, ERROR_INPUT, "kafka-property", "librdkafka does not take %s: %s", name, reason);
}

static int set_all(rd_kafka_conf_t *conf, const struct role_setting *settings, size_t count, enum kafka_role role,
                   struct error *error) {
    for (size_t i = 0; i < count; i++)
        if ((settings[i].roles & (int)role) && set(conf, settings[i].name, settings[i].value, error)) return -1;
    return 0;
}

static int set_users(rd_kafka_conf_t *conf, const struct kafka_options *options, struct error *error) {
    for (size_t i = 0; i < options->property_count; i++) {
        const struct config_property *property = &options->properties[i];
        char reason[400];
        switch (rd_kafka_conf_set(conf, property->name, property->value, reason, sizeof reason)) {
        case RD_KAFKA_CONF_OK:
            break;
        case RD_KAFKA_CONF_UNKNOWN:
            return error_set(error, ERROR_INPUT, "kafka-property",
                             "kafka.%s is no property of librdkafka %s; its CONFIGURATION.md lists them", property->name,
                             kafka_version());
        default:
            return error_set(error, ERROR_INPUT, "kafka-property", "kafka.%s cannot have that value: %s", property->name, reason);
        }
    }
    return 0;
}

/* ---- what librdkafka says by itself ---- */

static pthread_mutex_t trouble_lock = PTHREAD_MUTEX_INITIALIZER;

/* Lines begin with "[thrd:NAME]: ". */
static const char *without_thread(const char *line) {
    const char *end = strncmp(line, "[thrd:", 6) == 0 ? strstr(line, "]: ") : NULL;
    return end ? end + 3 : line;
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *line) {
    struct kafka_client *client = rd_kafka_opaque(rk);
    /* One configuration serves producers and consumers, so that some of it concerns only the others. */
    if (!client || strcmp(facility, "CONFWARN") == 0) return;
    const char *text = without_thread(line);
    if (strcmp(facility, "FAIL") == 0 || strcmp(facility, "ERROR") == 0) {
        (void)pthread_mutex_lock(&trouble_lock);
        (void)snprintf(client->trouble, sizeof client->trouble, "%s", text);
        (void)pthread_mutex_unlock(&trouble_lock);
    }
    if (client->options->log) client->options->log(client->options->log_context, level, text);
}

/* ---- the client ---- */

rd_kafka_conf_t *kafka_client_conf(struct kafka_client *client, const struct kafka_options *options, enum kafka_role role,
                                   const struct kafka_setting *more, size_t more_count, struct error *error) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    client->options = options;
    if (!options->bootstrap_servers || !*options->bootstrap_servers) {
        error_set(error, ERROR_INPUT, "kafka-property",
                  "no brokers are given; set kafka.bootstrap-servers or SLUICE_KAFKA_BOOTSTRAP_SERVERS to host:port");
        goto failed;
    }
    if (set_all(conf, defaults, sizeof defaults / sizeof *defaults, role, error) || set_users(conf, options, error) ||
        set_all(conf, fixed, sizeof fixed / sizeof *fixed, role, error) ||
        set(conf, "bootstrap.servers", options->bootstrap_servers, error))
        goto failed;
    for (size_t i = 0; i < more_count; i++)
        if (set(conf, more[i].name, more[i].value, error)) goto failed;
    rd_kafka_conf_set_opaque(conf, client);
    rd_kafka_conf_set_log_cb(conf, on_log);
    return conf;
failed:
    rd_kafka_conf_destroy(conf);
    return NULL;
}

int kafka_client_open(struct kafka_client *client, rd_kafka_conf_t *conf, enum kafka_role role, struct error *error) {
    char reason[400];
    client->trouble[0] = '\0';
    client->rk = rd_kafka_new((int)role & CONSUMERS ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (client->rk) return 0;
    rd_kafka_conf_destroy(conf);
    return error_set(error, ERROR_INPUT, "kafka-property", "librdkafka cannot work with these kafka properties: %s", reason);
}

void kafka_client_close(struct kafka_client *client) {
    if (!client->rk) return;
    if (rd_kafka_type(client->rk) == RD_KAFKA_PRODUCER)
        (void)rd_kafka_purge(client->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    rd_kafka_destroy_flags(client->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    client->rk = NULL;
}

/* ---- errors ---- */

/* Several codes of one meaning stand together; `advice` goes on after "; ". */
static const struct meaning {
    rd_kafka_resp_err_t codes[8];
    enum error_kind kind;
    const char *code, *advice;
} meanings[] = {
    {{RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__RESOLVE},
     ERROR_UNAVAILABLE,
     "kafka-unreachable",
     "check kafka.bootstrap-servers and that the brokers are up"},
    {{RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
      RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR__WAIT_COORD, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE},
     ERROR_UNAVAILABLE,
     "kafka-timeout",
     "check kafka.bootstrap-servers and that the brokers are up"},
    {{RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS},
     ERROR_UNAVAILABLE,
     "kafka-timeout",
     "the last transaction of that id is still being ended; try again"},
    {{RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, RD_KAFKA_RESP_ERR__SSL},
     ERROR_UNAVAILABLE,
     "kafka-denied",
     "check kafka.security.protocol, kafka.sasl.* and kafka.ssl.*"},
    {{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
      RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED},
     ERROR_UNAVAILABLE,
     "kafka-denied",
     "ask for the ACL"},
    {{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION},
     ERROR_UNAVAILABLE,
     "kafka-no-topic",
     "create the topics with: sluice topics create"},
    {{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE},
     ERROR_INPUT,
     "too-large",
     "compare the topic's max.message.bytes: sluice topics check"},
    {{RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_PRODUCER_FENCED},
     ERROR_FENCED,
     "kafka-fenced",
     "another lane has taken over"},
    {{RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID},
     ERROR_FENCED,
     "kafka-fenced",
     "after an outage the lane just starts again; if it goes on, another process has the same worker.name: give each its own"},
    {{RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE},
     ERROR_INPUT,
     "kafka-offset",
     "the position is not in the log: was the topic made anew, or its retention too short?"},
    {{RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
      RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE},
     ERROR_UNAVAILABLE,
     "kafka-unreachable",
     "too few brokers are up; it mends itself when they are back"},
    {{RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR},
     ERROR_INPUT,
     "kafka-error",
     "there are fewer brokers than that; give --replication-factor"},
};

static const struct meaning *meaning_of(rd_kafka_resp_err_t code) {
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        for (size_t j = 0; j < sizeof meanings[i].codes / sizeof *meanings[i].codes && meanings[i].codes[j]; j++)
            if (meanings[i].codes[j] == code) return &meanings[i];
    return NULL;
}

/* The last failure of a connection explains why nothing is answered. */
static void copy_trouble(const struct kafka_client *client, const struct meaning *meaning, char *to, size_t room) {
    *to = '\0';
    if (!meaning || (strcmp(meaning->code, "kafka-unreachable") != 0 && strcmp(meaning->code, "kafka-timeout") != 0)) return;
    (void)pthread_mutex_lock(&trouble_lock);
    if (*client->trouble) (void)snprintf(to, room, " (%s)", client->trouble);
    (void)pthread_mutex_unlock(&trouble_lock);
}

__attribute__((format(printf, 5, 0))) static int fail(const struct kafka_client *client, struct error *error,
                                                      rd_kafka_resp_err_t code, const char *reason, const char *format,
                                                      va_list arguments) {
    char tried[200], trouble[sizeof client->trouble + 4], fatal_reason[400];
    (void)vsnprintf(tried, sizeof tried, format, arguments);
    /* After a fatal error all others only follow from it. */
    rd_kafka_resp_err_t fatal = client->rk ? rd_kafka_fatal_error(client->rk, fatal_reason, sizeof fatal_reason) : 0;
    if (fatal) code = fatal, reason = fatal_reason;
    const struct meaning *meaning = meaning_of(code);
    copy_trouble(client, meaning, trouble, sizeof trouble);
    if (!reason || !*reason) reason = rd_kafka_err2str(code);
    return error_set(error, meaning ? meaning->kind : ERROR_INTERNAL, meaning ? meaning->code : "kafka-error",
                     "could not %s at %s: %s%s%s%s", tried, client->options->bootstrap_servers, reason, trouble,
                     meaning ? "; " : "", meaning ? meaning->advice : "");
}

int kafka_client_fail(const struct kafka_client *client, struct error *error, rd_kafka_resp_err_t code, const char *reason,
                      const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)fail(client, error, code, reason, format, arguments);
    va_end(arguments);
    return -1;
}

int kafka_client_fail_with(const struct kafka_client *client, struct error *error, rd_kafka_error_t *cause, const char *format,
                           ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)fail(client, error, rd_kafka_error_code(cause), rd_kafka_error_string(cause), format, arguments);
    va_end(arguments);
    rd_kafka_error_destroy(cause);
    return -1;
}

/* ---- questions ---- */

static rd_kafka_resp_err_t ask_partitions(struct kafka_client *client, rd_kafka_topic_t *topic, int timeout_ms,
                                          uint32_t *ret_count) {
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(client->rk, 0, topic, &metadata, timeout_ms);
    if (code) return code;
    code = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    uint32_t count = code ? 0 : (uint32_t)metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    if (!code && count == 0) code = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    if (!code) *ret_count = count;
    return code;
}

int kafka_client_partitions(struct kafka_client *client, enum kafka_topic topic, int timeout_ms, uint32_t *ret_count,
                            struct error *error) {
    char name[KAFKA_TOPIC_MAX + 1];
    if (kafka_topic_name(client->options, topic, name, error)) return -1;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(client->rk, name, NULL);
    if (!rkt) return kafka_client_fail(client, error, rd_kafka_last_error(), NULL, "open topic %s", name);
    rd_kafka_resp_err_t code;
    for (int tries = 10;; tries--) { /* for a second: a broker may not have heard yet of a topic that was just made */
        code = ask_partitions(client, rkt, timeout_ms, ret_count);
        bool young = code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
        if (!young || !tries) break;
        (void)nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
    rd_kafka_topic_destroy(rkt);
    return code ? kafka_client_fail(client, error, code, NULL, "use topic %s", name) : 0;
}

int kafka_headers_add(struct kafka_headers *headers, rd_kafka_message_t *message) {
    rd_kafka_headers_t *from;
    if (rd_kafka_message_headers(message, &from) != RD_KAFKA_RESP_ERR_NO_ERROR) return 0; /* it has none */
    size_t count = rd_kafka_header_cnt(from);
    if (headers->count + count > headers->room) {
        size_t room = headers->room ? headers->room * 2 : 256;
        while (room < headers->count + count) room *= 2;
        struct record_header *all = realloc(headers->all, room * sizeof *all);
        if (!all) return -1;
        headers->all = all;
        headers->room = room;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name;
        const void *value;
        size_t size;
        if (rd_kafka_header_get_all(from, i, &name, &value, &size)) return -1;
        headers->all[headers->count++] = (struct record_header){slice_str(name), slice_of(value, size)};
    }
    return (int)count;
}
