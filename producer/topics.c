/* sluice topics create, check: the four topics of an installation. */
#include "command.h"
#include "database.h"
#include "output.h"
#include "settings_kafka.h"

#include <stdio.h>

enum { PARTITIONS_DEFAULT = 64, PARTITIONS_MAX = 10000, REPLICAS_MAX = 100 };

static const char create_about[] =
    "Creates the topics of builds, requests, results and dead letters that do not exist yet, all with equally many partitions: "
    "the number of shards of the database, if one is configured. That number cannot be changed later, as projects would move "
    "off their state.\n"
    "\n"
    "Exit status: 0 all topics are there and right, 1 one that existed before is not, 2 the brokers did not answer or refused.";
static const char check_about[] =
    "Says whether the topics exist, have equally many partitions (as many as the database has shards, if one is configured) and "
    "take records as large as Sluice writes.\n"
    "\n"
    "Exit status: 0 all is right, 1 something is not, 2 the brokers did not answer.";

struct topics {
    struct brokers brokers;
    uint64_t partitions; /* that all are to have; 0: not known */
    bool json;
    struct kafka_topic_state states[KAFKA_TOPICS];
};

/* The number of shards in the database; 0 when none is configured. */
static int shards_of(const char *path, const struct config *config, uint64_t *ret_shards) {
    struct database database;
    *ret_shards = 0;
    if (!config->database.url) return 0;
    int status = database_open(&database, path, PG_READER);
    if (status) return status;
    *ret_shards = database.installation.shards;
    database_close(&database);
    return 0;
}

static int print_json(const struct topics *topics) {
    struct json_object *document = output_object(), *list = output_array();
    bool ok = true;
    for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS; topic++) {
        const struct kafka_topic_state *state = &topics->states[topic];
        struct error problem;
        char name[KAFKA_TOPIC_MAX + 1] = "";
        struct json_object *entry = output_object();
        (void)kafka_topic_name(&topics->brokers.options, topic, name, NULL);
        bool fits = kafka_topic_check(topic, state, (uint32_t)topics->partitions, &problem) == 0;
        ok = ok && fits;
        output_set_string(entry, "name", name);
        output_set_boolean(entry, "exists", state->exists);
        output_set_boolean(entry, "created", state->created);
        if (state->exists) output_set_number(entry, "partitions", state->partitions);
        if (state->exists) output_set_number(entry, "replicas", state->replicas);
        if (state->max_message_bytes >= 0) output_set_number(entry, "maxMessageBytes", state->max_message_bytes);
        if (!fits) output_set_string(entry, "problem", problem.message);
        output_append(list, entry);
    }
    output_set_boolean(document, "ok", ok);
    output_set(document, "topics", list);
    output_print(document);
    return ok ? EXIT_YES : EXIT_NO;
}

static int print_table(const struct topics *topics) {
    int status = EXIT_YES;
    for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS; topic++) {
        const struct kafka_topic_state *state = &topics->states[topic];
        struct error problem;
        char name[KAFKA_TOPIC_MAX + 1] = "";
        (void)kafka_topic_name(&topics->brokers.options, topic, name, NULL);
        if (kafka_topic_check(topic, state, (uint32_t)topics->partitions, &problem)) {
            printf("%-24s %s%s%s\n", name, output_colour(stdout, OUTPUT_RED), problem.message,
                   output_colour(stdout, OUTPUT_PLAIN));
            status = EXIT_NO;
        } else {
            printf("%-24s %u partitions, %u replica%s%s\n", name, state->partitions, state->replicas,
                   state->replicas == 1 ? "" : "s", state->created ? ", created" : "");
        }
    }
    return status;
}

/* Without a database the topics themselves say how many partitions all must have. */
static void take_partitions(struct topics *topics) {
    for (enum kafka_topic topic = 0; topic < KAFKA_TOPICS && !topics->partitions; topic++)
        if (topics->states[topic].exists) topics->partitions = topics->states[topic].partitions;
}

static int print(struct topics *topics) {
    take_partitions(topics);
    return topics->json ? print_json(topics) : print_table(topics);
}

int command_topics_create(int argc, char **argv) {
    const char *path = NULL;
    uint64_t partitions = 0, replicas = 0;
    struct topics topics = {0};
    const struct option options[] = {
        {"partitions", "N", OPTION_NUMBER, &partitions,
         .help = "of each topic; without it the database's number of shards, or 64", .minimum = 1, .maximum = PARTITIONS_MAX},
        {"replication-factor", "R", OPTION_NUMBER, &replicas, .help = "copies of each partition; without it the brokers' default",
         .minimum = 1, .maximum = REPLICAS_MAX},
        SETTINGS_OPTION(&path),
        {"json", NULL, OPTION_FLAG, &topics.json,
         .help = "print {ok, topics [{name, exists, created, partitions, replicas, maxMessageBytes, problem}]}"},
    };
    const struct usage usage = {"topics create", "[OPTION...]", create_about,
                                "sluice topics create\nsluice topics create --partitions 64 --replication-factor 3",
                                OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    status = brokers_open(&topics.brokers, path);
    if (status) return status;
    topics.partitions = partitions;
    if (!partitions) status = shards_of(path, &topics.brokers.config, &topics.partitions);
    if (!topics.partitions) topics.partitions = PARTITIONS_DEFAULT;
    struct error error = {0};
    if (!status &&
        kafka_topics_create(&topics.brokers.options, (uint32_t)topics.partitions, (uint32_t)replicas, topics.states, &error)) {
        output_failure(&error);
        status = EXIT_COULD_NOT_TELL;
    }
    if (!status) status = print(&topics);
    brokers_close(&topics.brokers);
    return status;
}

int command_topics_check(int argc, char **argv) {
    const char *path = NULL;
    struct topics topics = {0};
    const struct option options[] = {
        SETTINGS_OPTION(&path),
        {"json", NULL, OPTION_FLAG, &topics.json,
         .help = "print {ok, topics [{name, exists, partitions, replicas, maxMessageBytes, problem}]}"},
    };
    const struct usage usage = {"topics check", "[OPTION...]", check_about, "sluice topics check", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    status = brokers_open(&topics.brokers, path);
    if (status) return status;
    struct error error = {0};
    status = shards_of(path, &topics.brokers.config, &topics.partitions);
    if (!status && kafka_topics_describe(&topics.brokers.options, topics.states, &error)) {
        output_failure(&error);
        status = EXIT_COULD_NOT_TELL;
    }
    if (!status) status = print(&topics);
    brokers_close(&topics.brokers);
    return status;
}
