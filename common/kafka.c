#include "kafka_client.h"

#include <stdio.h>

const char *kafka_version(void) { return rd_kafka_version_str(); }

static const char *const topic_words[KAFKA_TOPICS] = {
    [KAFKA_BUILDS] = "builds", [KAFKA_REQUESTS] = "requests", [KAFKA_RESULTS] = "results", [KAFKA_DEAD_LETTER] = "dead-letter"};

enum kafka_topic kafka_input_topic(enum input_topic topic) { return topic == INPUT_BUILDS ? KAFKA_BUILDS : KAFKA_REQUESTS; }

enum kafka_topic kafka_output_topic(enum output_topic topic) {
    return topic == OUTPUT_RESULTS ? KAFKA_RESULTS : KAFKA_DEAD_LETTER;
}

int kafka_topic_check(enum kafka_topic topic, const struct kafka_topic_state *state, uint32_t shards, struct error *error) {
    int64_t bytes = topic == KAFKA_RESULTS || topic == KAFKA_DEAD_LETTER ? KAFKA_OUTPUT_BYTES_MAX : KAFKA_INPUT_BYTES_MAX;
    if (!state->exists)
        return error_set(error, ERROR_UNAVAILABLE, "no-topic", "does not exist; create it with: sluice topics create");
    if (shards && state->partitions != shards)
        return error_set(error, ERROR_INPUT, "shards-differ",
                         "has %u partitions instead of %u; delete and create it, or make a database of %u shards",
                         state->partitions, shards, state->partitions);
    if (state->max_message_bytes >= 0 && state->max_message_bytes < bytes)
        return error_set(error, ERROR_INPUT, "topic-limit", "takes records of %lld bytes only; set its max.message.bytes to %lld",
                         (long long)state->max_message_bytes, (long long)bytes);
    return 0;
}

int kafka_topic_name(const struct kafka_options *options, enum kafka_topic topic, char to[KAFKA_TOPIC_MAX + 1],
                     struct error *error) {
    const char *prefix = options->topic_prefix ? options->topic_prefix : "";
    static const char legal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (strspn(prefix, legal) != strlen(prefix))
        return error_set(error, ERROR_INPUT, "kafka-no-topic",
                         "topic-prefix '%s' has characters that no topic name of Kafka has; use letters, digits, '.', '_', '-'",
                         prefix);
    if (strlen(prefix) + strlen(topic_words[topic]) > KAFKA_TOPIC_MAX)
        return error_set(error, ERROR_INPUT, "kafka-no-topic", "topic-prefix is longer than a topic name of Kafka may be (%d)",
                         KAFKA_TOPIC_MAX);
    (void)snprintf(to, KAFKA_TOPIC_MAX + 1, "%s%s", prefix, topic_words[topic]);
    return 0;
}

int kafka_check_end(const struct kafka_record *at_end, int64_t told, struct error *error) {
    if (at_end->offset >= told) return 0;
    return error_set(error, ERROR_UNAVAILABLE, "kafka-stale-leader",
                     "a broker that no longer leads partition %u of the %s topic was asked: its log ends at %lld, and goes on to "
                     "%lld; try again",
                     at_end->partition, topic_words[at_end->topic], (long long)at_end->offset, (long long)told);
}

struct slice kafka_record_header(const struct kafka_record *record, const char *name) {
    for (size_t i = record->header_count; i-- > 0;)
        if (slice_is(record->headers[i].name, name)) return record->headers[i].value;
    return (struct slice){0};
}
