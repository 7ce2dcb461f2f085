#include "kafka_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The administration goes through a producer, which has no group and fetches nothing. */
struct topics {
    struct kafka_client client;
    rd_kafka_queue_t *queue;
    char names[KAFKA_TOPICS][KAFKA_TOPIC_MAX + 1];
};

enum { CREATE_MS = 30000 };

static void topics_release(struct topics *topics) {
    if (topics->queue) rd_kafka_queue_destroy(topics->queue);
    kafka_client_close(&topics->client);
}

static int topics_init(struct topics *topics, const struct kafka_options *options, struct error *error) {
    *topics = (struct topics){0};
    for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS; topic++)
        if (kafka_topic_name(options, topic, topics->names[topic], error)) return -1;
    rd_kafka_conf_t *conf = kafka_client_conf(&topics->client, options, KAFKA_ROLE_PRODUCER, NULL, 0, error);
    if (!conf || kafka_client_open(&topics->client, conf, KAFKA_ROLE_PRODUCER, error)) return -1;
    topics->queue = rd_kafka_queue_new(topics->client.rk);
    return 0;
}

/* The answer to the request that was just made, or NULL with *error set. */
static rd_kafka_event_t *wait_answer(struct topics *topics, const char *tried, struct error *error) {
    rd_kafka_event_t *event = rd_kafka_queue_poll(topics->queue, CREATE_MS + 1000);
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (!code) return event;
    kafka_client_fail(&topics->client, error, code, event ? rd_kafka_event_error_string(event) : NULL, "%s", tried);
    if (event) rd_kafka_event_destroy(event);
    return NULL;
}

static rd_kafka_AdminOptions_t *admin_options(struct topics *topics, rd_kafka_admin_op_t operation) {
    char reason[200];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(topics->client.rk, operation);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, CREATE_MS, reason, sizeof reason);
    if (operation == RD_KAFKA_ADMIN_OP_CREATETOPICS) /* answered when all brokers know them */
        (void)rd_kafka_AdminOptions_set_operation_timeout(options, CREATE_MS, reason, sizeof reason);
    return options;
}

/* ---- describe ---- */

static void note_metadata(struct topics *topics, const struct rd_kafka_metadata *metadata,
                          struct kafka_topic_state states[KAFKA_TOPICS]) {
    for (int i = 0; i < metadata->topic_cnt; i++)
        for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS; topic++) {
            const struct rd_kafka_metadata_topic *found = &metadata->topics[i];
            if (strcmp(found->topic, topics->names[topic]) != 0 || found->err || !found->partition_cnt) continue;
            states[topic].exists = true;
            states[topic].partitions = (uint32_t)found->partition_cnt;
            states[topic].replicas = (uint32_t)found->partitions[0].replica_cnt;
        }
}

static void note_config(struct topics *topics, const rd_kafka_ConfigResource_t *resource,
                        struct kafka_topic_state states[KAFKA_TOPICS]) {
    size_t count = 0;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (!value || strcmp(rd_kafka_ConfigEntry_name(entries[i]), "max.message.bytes") != 0) continue;
        for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS; topic++)
            if (strcmp(rd_kafka_ConfigResource_name(resource), topics->names[topic]) == 0)
                states[topic].max_message_bytes = strtoll(value, NULL, 10);
    }
}

/* Reading the configuration needs a right that not everybody has: without it the sizes stay unknown. */
static void describe_configs(struct topics *topics, struct kafka_topic_state states[KAFKA_TOPICS]) {
    rd_kafka_ConfigResource_t *resources[KAFKA_TOPICS];
    size_t count = 0;
    for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS; topic++)
        if (states[topic].exists) resources[count++] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topics->names[topic]);
    if (!count) return;
    rd_kafka_AdminOptions_t *options = admin_options(topics, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_DescribeConfigs(topics->client.rk, resources, count, options, topics->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy_array(resources, count);
    rd_kafka_event_t *event = wait_answer(topics, "read the topics' configuration", NULL);
    if (!event) return;
    size_t answers = 0;
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    const rd_kafka_ConfigResource_t **described = rd_kafka_DescribeConfigs_result_resources(result, &answers);
    for (size_t i = 0; i < answers; i++)
        if (!rd_kafka_ConfigResource_error(described[i])) note_config(topics, described[i], states);
    rd_kafka_event_destroy(event);
}

static int describe(struct topics *topics, struct kafka_topic_state states[KAFKA_TOPICS], struct error *error) {
    for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS; topic++)
        states[topic] = (struct kafka_topic_state){.max_message_bytes = -1};
    const struct rd_kafka_metadata *metadata = NULL;
    /* All topics, because asking for one by name could create it on brokers that are set so. */
    rd_kafka_resp_err_t code = rd_kafka_metadata(topics->client.rk, 1, NULL, &metadata, KAFKA_QUESTION_MS);
    if (code) return kafka_client_fail(&topics->client, error, code, NULL, "ask for the topics");
    note_metadata(topics, metadata, states);
    rd_kafka_metadata_destroy(metadata);
    describe_configs(topics, states);
    return 0;
}

int kafka_topics_describe(const struct kafka_options *options, struct kafka_topic_state ret_topics[KAFKA_TOPICS],
                          struct error *error) {
    struct topics topics;
    struct kafka_topic_state states[KAFKA_TOPICS];
    int result = topics_init(&topics, options, error);
    if (!result) result = describe(&topics, states, error);
    if (!result) memcpy(ret_topics, states, sizeof states);
    topics_release(&topics);
    return result;
}

/* ---- create ---- */

static rd_kafka_NewTopic_t *new_topic(struct topics *topics, enum kafka_topic topic, uint32_t partitions, uint32_t replicas,
                                      struct error *error) {
    char reason[300] = "", bytes[24];
    rd_kafka_NewTopic_t *made =
        rd_kafka_NewTopic_new(topics->names[topic], (int)partitions, replicas ? (int)replicas : -1, reason, sizeof reason);
    if (!made) {
        error_set(error, ERROR_INPUT, "kafka-error", "topic %s cannot be created: %s", topics->names[topic], reason);
        return NULL;
    }
    (void)rd_kafka_NewTopic_set_config(made, "cleanup.policy", "delete");
    if (replicas >= 3) (void)rd_kafka_NewTopic_set_config(made, "min.insync.replicas", "2");
    if (topic == KAFKA_RESULTS || topic == KAFKA_DEAD_LETTER) {
        (void)snprintf(bytes, sizeof bytes, "%d", KAFKA_OUTPUT_BYTES_MAX);
        (void)rd_kafka_NewTopic_set_config(made, "max.message.bytes", bytes);
    }
    return made;
}

/* Another one may have created it at the same time: that is as good. */
static int note_created(struct topics *topics, rd_kafka_event_t *event, bool created[KAFKA_TOPICS], struct error *error) {
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        if (code && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            return kafka_client_fail(&topics->client, error, code, rd_kafka_topic_result_error_string(results[i]),
                                     "create topic %s", rd_kafka_topic_result_name(results[i]));
        for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS && !code; topic++)
            created[topic] |= strcmp(rd_kafka_topic_result_name(results[i]), topics->names[topic]) == 0;
    }
    return 0;
}

static int create(struct topics *topics, uint32_t partitions, uint32_t replicas, const struct kafka_topic_state *states,
                  bool created[KAFKA_TOPICS], struct error *error) {
    rd_kafka_NewTopic_t *missing[KAFKA_TOPICS];
    size_t count = 0;
    int result = -1;
    rd_kafka_event_t *event = NULL;
    for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS; topic++) {
        if (states[topic].exists) continue;
        missing[count] = new_topic(topics, topic, partitions, replicas, error);
        if (!missing[count]) goto cleanup;
        count++;
    }
    if (count) {
        rd_kafka_AdminOptions_t *options = admin_options(topics, RD_KAFKA_ADMIN_OP_CREATETOPICS);
        rd_kafka_CreateTopics(topics->client.rk, missing, count, options, topics->queue);
        rd_kafka_AdminOptions_destroy(options);
        event = wait_answer(topics, "create the topics", error);
        if (!event || note_created(topics, event, created, error)) goto cleanup;
    }
    result = 0;
cleanup:
    if (event) rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy_array(missing, count);
    return result;
}

/* Until the broker that is asked has heard of all of them. */
static int describe_new(struct topics *topics, struct kafka_topic_state states[KAFKA_TOPICS], struct error *error) {
    for (int tries = 100; tries; tries--) {
        bool all = true;
        if (describe(topics, states, error)) return -1;
        for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS; topic++) all = all && states[topic].exists;
        if (all) return 0;
        (void)nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
    return error_set(error, ERROR_UNAVAILABLE, "kafka-timeout",
                     "the topics were created, but the brokers do not show them yet; look with: sluice topics check");
}

int kafka_topics_create(const struct kafka_options *options, uint32_t partitions, uint32_t replicas,
                        struct kafka_topic_state ret_topics[KAFKA_TOPICS], struct error *error) {
    struct topics topics;
    struct kafka_topic_state states[KAFKA_TOPICS];
    bool created[KAFKA_TOPICS] = {false};
    int result = topics_init(&topics, options, error);
    if (!result) result = describe(&topics, states, error);
    if (!result) result = create(&topics, partitions, replicas, states, created, error);
    if (!result) result = describe_new(&topics, states, error);
    for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS && !result; topic++) {
        ret_topics[topic] = states[topic];
        ret_topics[topic].created = created[topic];
    }
    topics_release(&topics);
    return result;
}
