/* The process of a lane: its ports, its two threads, its end. */
#include "decode.h"
#include "fault.h"
#include "input.h"
#include "kafka.h"
#include "lane.h"
#include "log.h"
#include "monotonic.h"
#include "pg.h"
#include "publish.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIPELINE_WAIT_MS = 100, PUBLISHER_WAIT_MS = 200, LEAVE_S = 5 };

struct process {
    const struct config *config;
    struct kafka_options kafka;
    struct pg_options pg;
    char topics[INPUT_TOPICS + 1][KAFKA_TOPIC_MAX + 1];
    char ids[OUTPUT_PRODUCERS][80];
    unsigned char owner[STORE_OWNER], installation[16];
    uint32_t shards;
    struct store *store, *publisher_store;
    struct input *input;
    struct output *output;
    struct registry *registry;
    struct decoder *decoder;
    struct handoff *handoff;
    struct publisher *publisher;
    struct lane *lane;
};

static volatile sig_atomic_t started, asked_to_end;

/* A lane that starts owns nothing, and may be waiting for a broker for longer than a drain lasts. */
static void on_signal(int signal) {
    (void)signal;
    if (!started) _exit(0);
    asked_to_end = 1;
}

static uint64_t real_ms(struct lane_clock *clock) {
    (void)clock;
    return monotonic_ms();
}

static struct lane_clock real_clock = {.now_ms = real_ms};

static void log_kafka(void *context, int level, const char *message) {
    (void)context;
    log_line(level <= 3 ? LOG_WARN : level <= 5 ? LOG_INFO : LOG_DEBUG, "kafka", "message=\"%s\"", LOG_QUOTED(message));
}

/* A dozen threads of libraries would get an arena each, and keep what their busiest moment took. What is large, as a fetch's
 * answer or a batch, goes back to the system: left alone, malloc takes the largest that was ever freed for what it should keep.
 */
static void bound_memory(void) {
#ifdef M_ARENA_MAX
    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
#endif
}

/* Signals end the start, or the loop; librdkafka's and curl's threads must not get them. */
static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

static int draw_names(struct process *process, struct error *error) {
    char hex[32];
    unsigned char drawn[16];
    digest_random(process->owner, sizeof process->owner);
    for (int which = 0; which < OUTPUT_PRODUCERS; which++) {
        digest_random(drawn, sizeof drawn);
        text_hex(hex, drawn, sizeof drawn);
        (void)snprintf(process->ids[which], sizeof process->ids[which], "sluice-%.32s", hex);
    }
    for (int topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
        if (kafka_topic_name(&process->kafka, kafka_input_topic((enum input_topic)topic), process->topics[topic], error))
            return -1;
    return 0;
}

static int make_ports(struct process *process, struct lane_metrics *metrics, struct error *error) {
    const struct config *config = process->config;
    const struct registry_options registry = {.docker_config = config->registry.docker_config,
                                              .ca_bundle = config->registry.ca_bundle,
                                              .token_realms = config->registry.token_realms,
                                              .per_registry = config->registry.per_registry,
                                              .total = config->registry.total,
                                              .metrics = metrics};
    const struct slice ids[OUTPUT_PRODUCERS] = {slice_str(process->ids[0]), slice_str(process->ids[1])};
    process->store = store_pg_new(&process->pg);
    process->publisher_store = store_pg_new(&process->pg);
    process->handoff = handoff_new();
    if (!process->store || !process->publisher_store || !process->handoff) return error_memory(error);
    process->decoder = decoder_new(error);
    process->output = !process->decoder ? NULL : output_kafka_new(&process->kafka, ids, error);
    process->registry = process->output ? registry_http_new(&registry, error) : NULL;
    return process->registry ? 0 : -1;
}

/* Joins the group: only once database and topics are known to be right, so that no shard is given to a lane that cannot process
 * it; and before the producers are initialised, as the group takes as long. */
static int join_group(struct process *process, unsigned number, struct error *error) {
    char member[300];
    (void)snprintf(member, sizeof member, "%s/%u", process->config->worker.name, number);
    process->input = input_kafka_new(&process->kafka, member, error);
    return process->input ? 0 : -1;
}

/* Another number of partitions would move projects off their state; and what a batch has for a partition goes in one request. */
static int compare_topics(struct process *process, struct error *error) {
    struct kafka_topic_state topics[KAFKA_TOPICS];
    if (kafka_topics_describe(&process->kafka, topics, error)) return -1;
    for (int topic = 0; topic < KAFKA_TOPICS; topic++) {
        char name[KAFKA_TOPIC_MAX + 1] = "";
        struct error problem;
        (void)kafka_topic_name(&process->kafka, (enum kafka_topic)topic, name, NULL);
        if (kafka_topic_check((enum kafka_topic)topic, &topics[topic], process->shards, &problem))
            return error_set(error, problem.kind, problem.code, "topic %s %s", name, problem.message);
    }
    return 0;
}

static int start(struct process *process, unsigned number, struct lane_metrics *metrics, struct error *error) {
    struct store *store = process->store;
    if (store->operations->installation(store, process->installation, &process->shards, error) ||
        compare_topics(process, error) || join_group(process, number, error))
        return -1;
    struct publisher_options publisher = {.handoff = process->handoff,
                                          .output = process->output,
                                          .store = process->publisher_store,
                                          .clock = &real_clock,
                                          .metrics = metrics,
                                          .shards = process->shards};
    memcpy(publisher.owner, process->owner, STORE_OWNER);
    memcpy(publisher.installation, process->installation, sizeof publisher.installation);
    process->publisher = publisher_new(&publisher);
    struct lane_options lane = {.input = process->input,
                                .store = process->store,
                                .registry = process->registry,
                                .clock = &real_clock,
                                .handoff = process->handoff,
                                .metrics = metrics,
                                .decoder = process->decoder,
                                .ids = {slice_str(process->ids[0]), slice_str(process->ids[1])},
                                .shards = process->shards,
                                .batch_records = process->config->worker.batch_records,
                                .batch_bytes = process->config->worker.batch_bytes,
                                .registry_wait_ms = (int)(process->config->registry.wait / 1000)};
    for (int topic = 0; topic <= INPUT_TOPICS; topic++) lane.topics[topic] = process->topics[topic];
    memcpy(lane.owner, process->owner, STORE_OWNER);
    memcpy(&lane.random, process->owner, sizeof lane.random);
    process->lane = lane_new(&lane);
    if (!process->publisher || !process->lane) return error_memory(error);
    return publisher_start(process->publisher, error);
}

static void *publisher_thread(void *argument) {
    struct publisher *publisher = argument;
    while (publisher_step(publisher, PUBLISHER_WAIT_MS)) continue;
    return NULL;
}

/* Both threads until the end. */
static int run(struct process *process, struct error *error) {
    pthread_t thread;
    int problem = pthread_create(&thread, NULL, publisher_thread, process->publisher);
    if (problem) return error_set(error, ERROR_INTERNAL, "no-thread", "a thread cannot be started: %s", strerror(problem));
    (void)pthread_setname_np(thread, "publisher");
    started = 1;
    while (lane_step(process->lane, PIPELINE_WAIT_MS))
        if (asked_to_end) lane_end(process->lane);
    bool failed = process->lane->failed;
    (void)handoff_order(process->handoff, &(struct order){.kind = ORDER_END}); /* always gets through */
    (void)pthread_join(thread, NULL);
    return failed ? error_set(error, ERROR_INTERNAL, "lane-failed", "the lane could not go on; the log says why") : 0;
}

static void release(struct process *process) {
    publisher_free(process->publisher);
    lane_free(process->lane);
    handoff_free(process->handoff);
    decoder_free(process->decoder);
    if (process->input) process->input->operations->free(process->input);
    if (process->output) process->output->operations->free(process->output);
    if (process->registry) process->registry->operations->free(process->registry);
    if (process->store) process->store->operations->free(process->store);
    if (process->publisher_store) process->publisher_store->operations->free(process->publisher_store);
}

/* Everything is given back by now, and the kernel closes what is still open. librdkafka waits for its own threads while it is
 * destroyed, and there are rebalances after which one of them never ends (2.0.2): that must not look like a lane that could not
 * drain. */
static volatile sig_atomic_t status_of_leaving;

static void on_alarm(int signal) {
    (void)signal;
    _exit(status_of_leaving);
}

static void leave_in_any_case(int status) {
    struct sigaction action = {.sa_handler = on_alarm};
    status_of_leaving = status;
    (void)sigaction(SIGALRM, &action, NULL);
    (void)alarm(LEAVE_S);
}

int lane_main(const struct config *config, unsigned number, struct lane_metrics *metrics) {
    char who[32];
    enum log_level level = LOG_INFO;
    struct error error = {0};
    struct process process = {
        .config = config,
        .kafka = {.bootstrap_servers = config->kafka.bootstrap_servers,
                  .topic_prefix = config->topic_prefix,
                  .group = config->worker.group,
                  .properties = config->kafka.properties,
                  .property_count = config->kafka.property_count,
                  .log = log_kafka},
        .pg = {.url = config->database.url, .schema = config->database.schema, .application = "sluice-worker"}};
    uint64_t seed;
    (void)snprintf(who, sizeof who, "lane %u", number);
    (void)log_level_parse(config->worker.log_level, &level);
    log_open(level, who);
    fault_open();
    bound_memory();
    catch_signals();
    digest_random((unsigned char *)&seed, sizeof seed);
    map_seed(seed);
    int result = digest_prepare(&error) || draw_names(&process, &error) || make_ports(&process, metrics, &error) ||
                         start(&process, number, metrics, &error) || run(&process, &error)
                     ? 1
                     : 0;
    if (result)
        log_error(LOG_ERROR, "lane-ended", &error);
    else
        log_line(LOG_INFO, "lane-ended", "reason=asked");
    leave_in_any_case(result);
    release(&process);
    return result;
}
