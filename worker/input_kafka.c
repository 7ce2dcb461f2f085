#include "input.h"

#include "kafka_client.h"
#include "monotonic.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What the group has said since the last poll that told the lane. */
enum group_state { GROUP_QUIET, GROUP_ASSIGNED, GROUP_REVOKED };

/* A partition of which a broker says that its position is not in the log. */
struct outside {
    uint32_t shard;
    enum input_topic topic;
    int64_t offset;
    int32_t broker;
    uint64_t told_at; /* milliseconds */
};

struct input_kafka {
    struct input input;
    struct kafka_client client;
    rd_kafka_queue_t *queue;
    int filled; /* an eventfd: something has come to the queue while it was empty */
    char names[INPUT_TOPICS + 1][KAFKA_TOPIC_MAX + 1];

    enum group_state group;
    bool revoked;         /* the lane was told, and the group waits for `assign` with none */
    struct error failure; /* of a rebalance, or of what has come: told after an event of the group; or ERROR_NONE */
    uint32_t *shards;     /* of the last assignment */
    size_t shard_count, shard_room;
    struct outside *outside; /* the oldest first */
    size_t outside_count, outside_room;
    struct outside told_outside; /* the one of the last INPUT_OUTSIDE_LOG */
    struct input_end *ends;
    size_t end_count, end_room;

    rd_kafka_message_t **messages; /* given to the lane, or on the way to it */
    size_t message_count, message_room;
    bool keeps;             /* they are given once more */
    struct record *records; /* as many as messages */
    size_t record_room;
    struct kafka_headers headers;
    size_t usual_size;                        /* bytes of a record lately: how many fit a limit of bytes */
    size_t full, full_bytes;                  /* as many records, or bytes of them, in the queue make the fetcher wait; */
    bool was_full;                            /* it may have found as many there since it was last woken, */
    size_t since_wake;                        /* and so many bytes have been taken since then */
    rd_kafka_topic_partition_list_t *fetched; /* the partitions of the last assignment, or NULL */
    int asked;                                /* the one with which the next waking begins */
};

static struct input_kafka *self(struct input *input) { return (struct input_kafka *)input; }

/* Makes room for `count` elements of `size`, or returns false. */
static bool reserve(void **array, size_t *room, size_t count, size_t size) {
    if (count <= *room) return true;
    size_t wanted = *room ? *room : 64;
    while (wanted < count) wanted *= 2;
    void *grown = realloc(*array, wanted * size);
    if (!grown) return false;
    *array = grown;
    *room = wanted;
    return true;
}

/* ---- the group ---- */

static bool find_topic(const struct input_kafka *kafka, const char *name, enum input_topic *ret_topic) {
    for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
        if (strcmp(name, kafka->names[topic]) == 0) return *ret_topic = topic, true;
    return false;
}

static int note_assignment(struct input_kafka *kafka, const rd_kafka_topic_partition_list_t *partitions, struct error *error) {
    size_t count[INPUT_TOPICS + 1] = {0};
    kafka->shard_count = 0;
    if (!reserve((void **)&kafka->shards, &kafka->shard_room, (size_t)partitions->cnt, sizeof *kafka->shards))
        return error_memory(error);
    for (int i = 0; i < partitions->cnt; i++) {
        enum input_topic topic;
        if (!find_topic(kafka, partitions->elems[i].topic, &topic)) continue;
        count[topic]++;
        if (topic == INPUT_BUILDS) kafka->shards[kafka->shard_count++] = (uint32_t)partitions->elems[i].partition;
    }
    if (count[INPUT_BUILDS] == count[INPUT_REQUESTS]) return 0;
    return error_set(error, ERROR_UNAVAILABLE, "kafka-no-topic",
                     "the group gave %zu partitions of %s and %zu of %s; both need equally many (sluice topics check), and all "
                     "members of group %s the same topic-prefix",
                     count[INPUT_BUILDS], kafka->names[INPUT_BUILDS], count[INPUT_REQUESTS], kafka->names[INPUT_REQUESTS],
                     kafka->client.options->group);
}

/* An answer to the group, unlike NULL, which gives everything back and joins again. */
static void assign_none(rd_kafka_t *rk) {
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(0);
    (void)rd_kafka_assign(rk, none);
    rd_kafka_topic_partition_list_destroy(none);
}

/* Runs inside poll. The group waits until `assign` answers it; here it is only written down. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *partitions, void *opaque) {
    struct input_kafka *kafka = (struct input_kafka *)((char *)opaque - offsetof(struct input_kafka, client));
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        kafka->group = GROUP_ASSIGNED;
        if (note_assignment(kafka, partitions, &kafka->failure)) {
            kafka->group = GROUP_QUIET;
            assign_none(rk);
        }
    } else {
        kafka->group = GROUP_REVOKED;
        if (code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
            kafka_client_fail(&kafka->client, &kafka->failure, code, NULL, "rebalance group %s", kafka->client.options->group);
    }
    rd_kafka_yield(rk); /* poll returns at once */
}

/* ---- records ---- */

static void input_free_records(struct input *input) {
    struct input_kafka *kafka = self(input);
    for (size_t i = 0; i < kafka->message_count; i++) rd_kafka_message_destroy(kafka->messages[i]);
    kafka->message_count = kafka->end_count = 0;
    kafka->keeps = false;
}

static void input_keep_records(struct input *input) { self(input)->keeps = true; }

/* How many records may come at once: as many as are left, and as probably fit the bytes. */
static size_t appetite(const struct input_kafka *kafka, size_t limit, size_t bytes, size_t taken) {
    size_t left = limit > kafka->message_count ? limit - kafka->message_count : 0;
    if (!kafka->message_count) return 1; /* only the first is waited for */
    assert(kafka->usual_size);           /* it has come */
    size_t fitting = taken < bytes ? (bytes - taken) / kafka->usual_size + 1 : 0;
    return fitting < left ? fitting : left;
}

static size_t size_of(const rd_kafka_message_t *message) { return message->len + message->key_len + 64; }

static size_t size_from(const struct input_kafka *kafka, size_t first) {
    size_t size = 0;
    for (size_t i = first; i < kafka->message_count; i++) size += size_of(kafka->messages[i]);
    return size;
}

static int note_end(struct input_kafka *kafka, const rd_kafka_message_t *message, enum input_topic topic, struct error *error) {
    if (!reserve((void **)&kafka->ends, &kafka->end_room, kafka->end_count + 1, sizeof *kafka->ends)) return error_memory(error);
    kafka->ends[kafka->end_count++] = (struct input_end){(uint32_t)message->partition, topic, (uint64_t)message->offset};
    return 0;
}

static bool is_noted_outside(const struct input_kafka *kafka, uint32_t shard, enum input_topic topic, int64_t offset) {
    for (size_t i = 0; i < kafka->outside_count; i++)
        if (kafka->outside[i].shard == shard && kafka->outside[i].topic == topic && kafka->outside[i].offset == offset)
            return true;
    return false;
}

static int note_outside(struct input_kafka *kafka, const rd_kafka_message_t *message, enum input_topic topic,
                        struct error *error) {
    if (is_noted_outside(kafka, (uint32_t)message->partition, topic, message->offset)) return 0;
    if (!reserve((void **)&kafka->outside, &kafka->outside_room, kafka->outside_count + 1, sizeof *kafka->outside))
        return error_memory(error);
    kafka->outside[kafka->outside_count++] = (struct outside){(uint32_t)message->partition, topic, message->offset,
                                                              rd_kafka_message_broker_id(message), monotonic_ms()};
    return 0;
}

/* What is noted outlives an assignment of the same position: when one of many is told, its time is theirs too. */
static void keep_outside(struct input_kafka *kafka, const struct input_position *positions, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < kafka->outside_count; i++) {
        const struct outside *outside = &kafka->outside[i];
        for (size_t k = 0; k < count; k++)
            if (positions[k].shard == outside->shard && (int64_t)positions[k].position[outside->topic] == outside->offset) {
                kafka->outside[kept++] = *outside;
                break;
            }
    }
    kafka->outside_count = kept;
}

/* Errors come as messages, and so do ends: they are taken out of those that have just come. Returns 0, or -1 for one that is not
 * a partition's alone. */
static int sort_out(struct input_kafka *kafka, size_t first, struct error *error) {
    size_t kept = first;
    int result = 0;
    for (size_t i = first; i < kafka->message_count; i++) {
        rd_kafka_message_t *message = kafka->messages[i];
        enum input_topic topic;
        if (!message->err) {
            kafka->messages[kept++] = message;
            continue;
        }
        bool ours = message->rkt && find_topic(kafka, rd_kafka_topic_name(message->rkt), &topic);
        if (ours && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            if (note_end(kafka, message, topic, error)) result = -1;
        } else if (ours && message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
            if (note_outside(kafka, message, topic, error)) result = -1;
        } else if (message->err != RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) { /* after that one the group revokes */
            result = kafka_client_fail(&kafka->client, error, message->err, rd_kafka_message_errstr(message), "consume %s%s%s",
                                       kafka->names[INPUT_BUILDS], " and ", kafka->names[INPUT_REQUESTS]);
        }
        rd_kafka_message_destroy(message);
    }
    kafka->message_count = kept;
    return result;
}

/* An end of a partition's log: RD_KAFKA_OFFSET_BEGINNING or RD_KAFKA_OFFSET_END. */
static int ask_offset(struct input_kafka *kafka, uint32_t shard, enum input_topic topic, int64_t which, int64_t *ret_offset,
                      struct error *error) {
    /* rd_kafka_query_watermark_offsets would ask for both at once, and in 2.0.2 it may wait for ever. */
    rd_kafka_topic_partition_list_t *asked = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *answer = rd_kafka_topic_partition_list_add(asked, kafka->names[topic], (int32_t)shard);
    answer->offset = which;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(kafka->client.rk, asked, KAFKA_QUESTION_MS);
    if (!code) code = answer->err;
    if (!code) *ret_offset = answer->offset;
    rd_kafka_topic_partition_list_destroy(asked);
    return code ? kafka_client_fail(&kafka->client, error, code, NULL, "ask for offsets of %s, partition %u", kafka->names[topic],
                                    shard)
                : 0;
}

/* The broker that leads a partition, as brokers say; ERROR_UNAVAILABLE when none does. */
static int ask_leader(struct input_kafka *kafka, uint32_t shard, enum input_topic topic, int32_t *ret_leader,
                      struct error *error) {
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(kafka->client.rk, kafka->names[topic], NULL);
    rd_kafka_resp_err_t code =
        rkt ? rd_kafka_metadata(kafka->client.rk, 0, rkt, &metadata, KAFKA_QUESTION_MS) : rd_kafka_last_error();
    *ret_leader = -1;
    for (int i = 0; metadata && metadata->topic_cnt == 1 && i < metadata->topics[0].partition_cnt; i++)
        if (metadata->topics[0].partitions[i].id == (int32_t)shard) *ret_leader = metadata->topics[0].partitions[i].leader;
    if (!code && *ret_leader < 0) code = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    if (metadata) rd_kafka_metadata_destroy(metadata);
    if (rkt) rd_kafka_topic_destroy(rkt);
    return code ? kafka_client_fail(&kafka->client, error, code, NULL, "ask for the leader of %s, partition %u",
                                    kafka->names[topic], shard)
                : 0;
}

enum { WAKE_MS = 1, WAKE_MOST = 32, OUTSIDE_MS = 3000 };

/* A broker's thread of librdkafka (2.0.2 at least) that has found the local queue full looks at it again only when something
 * else happens, or after a second; by then the lane has been idle for most of it, or has had records of other brokers alone. So
 * when it may have been full (three quarters of the bytes, of which we count no fewer than librdkafka) and nothing is left, the
 * leaders of what is fetched are asked something: they fetch while the lane works. Not more often, and without waiting for them
 * all: an answer to that question waits behind a fetch that finds nothing. */
static void wake_fetchers(struct input_kafka *kafka) {
    if ((kafka->since_wake < kafka->full_bytes / 4 * 3 && !kafka->was_full) || rd_kafka_queue_length(kafka->queue)) return;
    kafka->since_wake = 0;
    kafka->was_full = false;
    int count = kafka->fetched ? kafka->fetched->cnt : 0;
    if (!count) return;
    rd_kafka_topic_partition_list_t *asked = rd_kafka_topic_partition_list_new(WAKE_MOST);
    for (int i = 0; i < count && i < WAKE_MOST; i++) { /* of more, others the next time */
        const rd_kafka_topic_partition_t *one = &kafka->fetched->elems[(kafka->asked + i) % count];
        rd_kafka_topic_partition_list_add(asked, one->topic, one->partition)->offset = RD_KAFKA_OFFSET_END;
    }
    kafka->asked = (kafka->asked + WAKE_MOST) % count;
    (void)rd_kafka_offsets_for_times(kafka->client.rk, asked, WAKE_MS);
    rd_kafka_topic_partition_list_destroy(asked);
}

/* Until something comes. librdkafka would wait until a time of the clock that people set, a day longer when it is set back a day.
 */
static void wait_for_queue(const struct input_kafka *kafka, int wait_ms) {
    uint64_t times;
    if (poll(&(struct pollfd){.fd = kafka->filled, .events = POLLIN}, 1, wait_ms) > 0)
        (void)!read(kafka->filled, &times, sizeof times);
}

/* Fills `messages` with what is there, behind those that are kept; waits only for the first. */
static int take_messages(struct input_kafka *kafka, int wait_ms, size_t limit, size_t bytes, struct error *error) {
    size_t taken = size_from(kafka, 0);
    for (;;) {
        size_t first = kafka->message_count, wanted = appetite(kafka, limit, bytes, taken);
        if (!wanted) return 0;
        if (!reserve((void **)&kafka->messages, &kafka->message_room, first + wanted, sizeof *kafka->messages))
            return error_memory(error);
        if (!first && !rd_kafka_queue_length(kafka->queue)) wait_for_queue(kafka, wait_ms);
        ssize_t got = rd_kafka_consume_batch_queue(kafka->queue, 0, kafka->messages + first, wanted);
        if (got <= 0) return 0;
        if ((size_t)got + rd_kafka_queue_length(kafka->queue) >= kafka->full) kafka->was_full = true;
        kafka->message_count += (size_t)got;
        if (sort_out(kafka, first, error)) return -1;
        size_t come = size_from(kafka, first);
        taken += come;
        kafka->since_wake += come;
        if (kafka->message_count) kafka->usual_size = taken / kafka->message_count;
        if (kafka->group != GROUP_QUIET || kafka->message_count < first + (size_t)got) return 0;
    }
}

static int make_record(struct input_kafka *kafka, size_t i, struct error *error) {
    rd_kafka_message_t *message = kafka->messages[i];
    struct record *record = &kafka->records[i];
    *record = (struct record){.shard = (uint32_t)message->partition,
                              .offset = (uint64_t)message->offset,
                              .key = slice_of(message->key, message->key_len),
                              .value = slice_of(message->payload, message->len)};
    (void)find_topic(kafka, rd_kafka_topic_name(message->rkt), &record->topic);
    int headers = kafka_headers_add(&kafka->headers, message);
    if (headers < 0) return error_memory(error);
    record->header_count = (size_t)headers;
    return 0;
}

static int make_records(struct input_kafka *kafka, struct error *error) {
    kafka->headers.count = 0;
    if (!reserve((void **)&kafka->records, &kafka->record_room, kafka->message_count, sizeof *kafka->records))
        return error_memory(error);
    for (size_t i = 0; i < kafka->message_count; i++)
        if (make_record(kafka, i, error)) return -1;
    const struct record_header *headers = kafka->headers.all; /* only now does the array stay where it is */
    for (size_t i = 0; i < kafka->message_count; i++) {
        kafka->records[i].headers = headers;
        headers += kafka->records[i].header_count;
    }
    return 0;
}

/* ---- the port ---- */

static int input_partitions(struct input *input, enum input_topic topic, uint32_t *ret_count, struct error *error) {
    return kafka_client_partitions(&self(input)->client, kafka_input_topic(topic), KAFKA_QUESTION_MS, ret_count, error);
}

static int bounds_of(struct input_kafka *kafka, uint32_t shard, enum input_topic topic, int64_t *ret_start, int64_t *ret_end,
                     struct error *error) {
    return ask_offset(kafka, shard, topic, RD_KAFKA_OFFSET_BEGINNING, ret_start, error) ||
                   ask_offset(kafka, shard, topic, RD_KAFKA_OFFSET_END, ret_end, error)
               ? -1
               : 0;
}

static int input_bounds(struct input *input, uint32_t shard, int64_t ret_start[INPUT_TOPICS + 1],
                        int64_t ret_end[INPUT_TOPICS + 1], struct error *error) {
    int64_t start[INPUT_TOPICS + 1] = {0}, end[INPUT_TOPICS + 1] = {0};
    for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
        if (bounds_of(self(input), shard, topic, &start[topic], &end[topic], error)) return -1;
    memcpy(ret_start, start, sizeof start);
    memcpy(ret_end, end, sizeof end);
    return 0;
}

static int64_t input_known_end(struct input *input, uint32_t shard, enum input_topic topic) {
    struct input_kafka *kafka = self(input);
    int64_t start, end;
    rd_kafka_resp_err_t code =
        rd_kafka_get_watermark_offsets(kafka->client.rk, kafka->names[topic], (int32_t)shard, &start, &end);
    return code || end < 0 ? -1 : end;
}

/* An event that waits to be told, before any record. */
static bool tell_group(struct input_kafka *kafka, struct input_event *event) {
    if (kafka->group == GROUP_QUIET) return false;
    input_free_records(&kafka->input); /* they would be fetched again from the positions that assign gives */
    *event = (struct input_event){.kind = kafka->group == GROUP_ASSIGNED ? INPUT_ASSIGNED : INPUT_REVOKED};
    if (kafka->group == GROUP_ASSIGNED) {
        event->shards = kafka->shards;
        event->shard_count = kafka->shard_count;
    }
    kafka->revoked = kafka->group == GROUP_REVOKED;
    kafka->group = GROUP_QUIET;
    return true;
}

/* A broker that stood still while another became the leader says so of what it has not got, before it knows; by then it does. */
static bool is_outside_due(const struct input_kafka *kafka) {
    return kafka->outside_count && monotonic_ms() >= kafka->outside[0].told_at + OUTSIDE_MS;
}

/* What the leader has said is true, also when its log has grown past the position since then. */
static int tell_outside(struct input_kafka *kafka, struct input_event *ret_event, struct error *error) {
    const struct outside outside = kafka->outside[0];
    int64_t start = 0, end = 0;
    int32_t leader;
    if (ask_leader(kafka, outside.shard, outside.topic, &leader, error) ||
        bounds_of(kafka, outside.shard, outside.topic, &start, &end, error)) {
        kafka->outside_count = 0; /* fetched again too: others have their records meanwhile */
        return -1;
    }
    if (leader != outside.broker && outside.offset >= start && outside.offset <= end) {
        kafka->outside_count = 0; /* all are fetched again */
        return error_set(error, ERROR_UNAVAILABLE, "kafka-stale-leader",
                         "broker %d said that its log of %s, partition %u, has no offset %lld, and broker %d, which leads it, "
                         "has %lld to %lld",
                         (int)outside.broker, kafka->names[outside.topic], outside.shard, (long long)outside.offset, (int)leader,
                         (long long)start, (long long)end);
    }
    kafka->outside_count--;
    memmove(kafka->outside, kafka->outside + 1, kafka->outside_count * sizeof *kafka->outside);
    kafka->told_outside = outside;
    *ret_event = (struct input_event){.kind = INPUT_OUTSIDE_LOG,
                                      .shards = &kafka->told_outside.shard,
                                      .shard_count = 1,
                                      .topic = outside.topic,
                                      .log_start = start,
                                      .log_end = end};
    return 0;
}

/* A client with a fatal error never joins the group again. librdkafka tells it once, among the records, and drops what comes
 * behind a rebalance: so it is asked. */
static bool has_ended(const struct input_kafka *kafka) { return rd_kafka_fatal_error(kafka->client.rk, NULL, 0) != 0; }

static int tell_end(const struct input_kafka *kafka, struct error *error) {
    (void)kafka_client_fail(&kafka->client, error, RD_KAFKA_RESP_ERR__FATAL, NULL, "stay in group %s",
                            kafka->client.options->group);
    if (error && error->kind != ERROR_FENCED) error->kind = ERROR_INTERNAL; /* nothing mends it */
    return -1;
}

static int tell_failure(struct input_kafka *kafka, struct error *error) {
    if (error) *error = kafka->failure;
    kafka->failure.kind = ERROR_NONE;
    return -1;
}

static int input_poll(struct input *input, int wait_ms, size_t limit, size_t bytes, struct input_event *ret_event,
                      struct error *error) {
    struct input_kafka *kafka = self(input);
    if (has_ended(kafka)) return tell_end(kafka, error);
    if (is_outside_due(kafka)) return tell_outside(kafka, ret_event, error);
    if (!kafka->keeps) input_free_records(input);
    kafka->keeps = false;
    (void)take_messages(kafka, wait_ms, limit, bytes, &kafka->failure); /* which is told below */
    if (has_ended(kafka)) return tell_end(kafka, error);
    if (tell_group(kafka, ret_event)) return 0;
    if (kafka->failure.kind != ERROR_NONE) return tell_failure(kafka, error);
    if (make_records(kafka, error)) return -1;
    wake_fetchers(kafka);
    *ret_event = (struct input_event){.kind = INPUT_RECORDS,
                                      .records = kafka->records,
                                      .record_count = kafka->message_count,
                                      .ends = kafka->ends,
                                      .end_count = kafka->end_count};
    return 0;
}

static void add_positions(const struct input_kafka *kafka, rd_kafka_topic_partition_list_t *list,
                          const struct input_position *positions, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
            rd_kafka_topic_partition_list_add(list, kafka->names[topic], (int32_t)positions[i].shard)->offset =
                (int64_t)positions[i].position[topic];
}

/* librdkafka (2.0.2 at least) asserts when a partition is taken away again while it still stops because of the assignment
 * before. Stopping is two steps of its main thread, which also answers these questions, in order. */
static void settle(struct input_kafka *kafka) {
    for (int step = 0; step < 3; step++) {
        rd_kafka_topic_partition_list_t *list;
        if (!rd_kafka_assignment(kafka->client.rk, &list)) rd_kafka_topic_partition_list_destroy(list);
    }
}

static void forget_fetched(struct input_kafka *kafka) {
    if (kafka->fetched) rd_kafka_topic_partition_list_destroy(kafka->fetched);
    kafka->fetched = NULL;
    kafka->asked = 0;
}

static int input_assign(struct input *input, const struct input_position *positions, size_t count, struct error *error) {
    struct input_kafka *kafka = self(input);
    input_free_records(input);
    keep_outside(kafka, positions, count);
    if (kafka->revoked && count)
        return error_set(error, ERROR_UNAVAILABLE, "kafka-error", "the group took all shards back; assign none first");
    settle(kafka);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)(count * INPUT_TOPICS));
    add_positions(kafka, list, positions, count);
    rd_kafka_resp_err_t code = rd_kafka_assign(kafka->client.rk, kafka->revoked ? NULL : list);
    kafka->revoked = false;
    forget_fetched(kafka);
    kafka->fetched = list;
    return code ? kafka_client_fail(&kafka->client, error, code, NULL, "fetch %zu shards", count) : 0;
}

static void input_report(struct input *input, const struct input_position *positions, size_t count) {
    struct input_kafka *kafka = self(input);
    if (!count) return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)(count * INPUT_TOPICS));
    add_positions(kafka, list, positions, count);
    (void)rd_kafka_commit(kafka->client.rk, list, 1);
    rd_kafka_topic_partition_list_destroy(list);
}

static void input_free(struct input *input) {
    struct input_kafka *kafka = self(input);
    input_free_records(input);
    forget_fetched(kafka);
    if (kafka->queue) rd_kafka_queue_destroy(kafka->queue);
    kafka_client_close(&kafka->client);
    if (kafka->filled >= 0) (void)close(kafka->filled);
    free(kafka->shards);
    free(kafka->outside);
    free(kafka->ends);
    free(kafka->messages);
    free(kafka->records);
    free(kafka->headers.all);
    free(kafka);
}

static int subscribe(struct input_kafka *kafka, struct error *error) {
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(INPUT_TOPICS);
    for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
        rd_kafka_topic_partition_list_add(topics, kafka->names[topic], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_poll_set_consumer(kafka->client.rk);
    if (!code) code = rd_kafka_subscribe(kafka->client.rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return code ? kafka_client_fail(&kafka->client, error, code, NULL, "join group %s", kafka->client.options->group) : 0;
}

/* A number that a user may have set. */
static size_t read_setting(const struct input_kafka *kafka, const char *name) {
    char text[24] = "";
    size_t size = sizeof text;
    (void)rd_kafka_conf_get(rd_kafka_conf(kafka->client.rk), name, text, &size);
    return strtoul(text, NULL, 10);
}

static int open_member(struct input_kafka *kafka, const struct kafka_options *options, const char *member, struct error *error) {
    const struct kafka_setting more[] = {{"group.id", options->group}, {"group.instance.id", member}};
    for (enum input_topic topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
        if (kafka_topic_name(options, kafka_input_topic(topic), kafka->names[topic], error)) return -1;
    rd_kafka_conf_t *conf = kafka_client_conf(&kafka->client, options, KAFKA_ROLE_INPUT, more, 2, error);
    if (!conf) return -1;
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    if (kafka_client_open(&kafka->client, conf, KAFKA_ROLE_INPUT, error)) return -1;
    kafka->full = read_setting(kafka, "queued.min.messages");
    kafka->full_bytes = read_setting(kafka, "queued.max.messages.kbytes") * 1024;
    kafka->queue = rd_kafka_queue_get_consumer(kafka->client.rk);
    kafka->filled = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (kafka->filled < 0)
        return error_set(error, ERROR_UNAVAILABLE, "no-eventfd", "no eventfd for the queue of records: %s", strerror(errno));
    static const uint64_t once = 1;
    rd_kafka_queue_io_event_enable(kafka->queue, kafka->filled, &once, sizeof once);
    return subscribe(kafka, error);
}

struct input *input_kafka_new(const struct kafka_options *options, const char *member, struct error *error) {
    static const struct input_operations operations = {.partitions = input_partitions,
                                                       .bounds = input_bounds,
                                                       .known_end = input_known_end,
                                                       .poll = input_poll,
                                                       .free_records = input_free_records,
                                                       .keep_records = input_keep_records,
                                                       .assign = input_assign,
                                                       .report = input_report,
                                                       .free = input_free};
    struct input_kafka *kafka = calloc(1, sizeof *kafka);
    if (!kafka) {
        error_memory(error);
        return NULL;
    }
    kafka->input.operations = &operations;
    kafka->filled = -1;
    if (!open_member(kafka, options, member, error)) return &kafka->input;
    input_free(&kafka->input);
    return NULL;
}
