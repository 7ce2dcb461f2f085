/* A real Kafka for a component test: the one of SLUICE_TEST_KAFKA or SLUICE_KAFKA_BOOTSTRAP_SERVERS, else one of the
 * program's own by deploy/kafka.sh. Each test has topics of its own. */
#ifndef SLUICE_TEST_BROKER_H
#define SLUICE_TEST_BROKER_H

#include "kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BROKER_SCRIPT SLUICE_SOURCE "/deploy/kafka.sh"

static char broker_address[200], broker_folder[200];

/* For cmocka_run_group_tests: 0, or -1 when there is no broker to be had. */
static inline int broker_start(void **state) {
    (void)state;
    const char *given = getenv("SLUICE_TEST_KAFKA");
    if (!given || !*given) given = getenv("SLUICE_KAFKA_BOOTSTRAP_SERVERS");
    if (given && *given) return snprintf(broker_address, sizeof broker_address, "%s", given) < 0;
    char template[] = "/tmp/sluice-broker-XXXXXX", command[1000];
    if (!mkdtemp(template)) return -1;
    (void)snprintf(broker_folder, sizeof broker_folder, "%s", template);
    (void)snprintf(command, sizeof command, "'%s' start '%.199s'", BROKER_SCRIPT, broker_folder);
    FILE *output = popen(command, "r");
    if (!output) return -1;
    bool told = fgets(broker_address, sizeof broker_address, output) != NULL;
    broker_address[strcspn(broker_address, "\n")] = '\0';
    return pclose(output) == 0 && told ? 0 : -1;
}

static inline int broker_stop(void **state) {
    (void)state;
    char command[1000];
    if (!*broker_folder) return 0;
    (void)snprintf(command, sizeof command, "'%s' stop '%.199s' && rm -rf '%.199s'", BROKER_SCRIPT, broker_folder, broker_folder);
    return system(command);
}

static inline void broker_log(void *context, int level, const char *message) {
    (void)context;
    if (getenv("SLUICE_TEST_KAFKA_LOG")) (void)fprintf(stderr, "# librdkafka <%d> %s\n", level, message);
}

/* Options with topics of their own, of so many partitions; `prefix` gets their prefix. Aborts the program on failure. */
static inline struct kafka_options broker_topics(char prefix[64], uint32_t partitions) {
    static unsigned number;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(prefix, 64, "test-%lx-%d-%u.", (unsigned long)now.tv_nsec, (int)getpid(), number++);
    struct kafka_options options = {
        .bootstrap_servers = broker_address, .topic_prefix = prefix, .group = prefix, .log = broker_log};
    struct kafka_topic_state topics[KAFKA_TOPICS];
    struct error error;
    if (partitions && kafka_topics_create(&options, partitions, 1, topics, &error)) {
        (void)fprintf(stderr, "%s\n", error.message);
        abort();
    }
    return options;
}

static inline long broker_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
