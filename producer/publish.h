/* Publishing an event of ours and, with --wait, following it to its answer: what build-complete and promote share. */
#ifndef SLUICE_PUBLISH_H
#define SLUICE_PUBLISH_H

#include "buf.h"
#include "kafka.h"
#include "options.h"
#include "settings.h"

struct json_object;

/* The options that both commands have. */
struct publish_options {
    const char *config, *project, *id, *source;
    bool wait, json;
    int64_t timeout; /* microseconds */
};

#define PUBLISH_TIMEOUT_DEFAULT (10 * 60 * INT64_C(1000000))
#define PUBLISH_TIMEOUT_HELP "how long to wait for the final answer, as 30s or 2h"
/* `named`: what --json names beside the rest, as "promotionId". */
#define PUBLISH_OPTIONS(o, named)                                                                                                \
    {"project",                                                                                                                  \
     "PROJECT",                                                                                                                  \
     OPTION_TEXT,                                                                                                                \
     &(o)->project,                                                                                                              \
     .help = "whose release it is, as acme/shop",                                                                                \
     .required = true,                                                                                                           \
     .environment = "SLUICE_PROJECT, GITHUB_REPOSITORY, CI_PROJECT_PATH"},                                                       \
        {"wait", NULL, OPTION_FLAG, &(o)->wait, .help = "follow it to its final answer, and say meanwhile what it waits for"},   \
        {"timeout", "D", OPTION_DURATION, &(o)->timeout, .help = PUBLISH_TIMEOUT_HELP},                                          \
        {"id", "ID", OPTION_TEXT, &(o)->id,                                                                                      \
         .help = "of the event: sent again with the same id it counts once; in CI made of run, attempt, job and environment, "   \
                 "else random"},                                                                                                 \
        {"source", "SOURCE", OPTION_TEXT, &(o)->source, .help = "of the event; in CI the run's URL, else /sluice/cli/<host>"},   \
        SETTINGS_OPTION(&(o)->config), {                                                                                         \
        "json", NULL, OPTION_FLAG, &(o)->json,                                                                                   \
            .help = "print {" named                                                                                              \
                    ", project, source, id, topic, partition, offset}, with --wait also result: the last answer's data"          \
    }

struct publication {
    const struct usage *usage;
    struct publish_options options;
    enum kafka_topic topic;
    const char *type;
    struct slice id, source;                      /* of the event */
    struct slice data;                            /* its JSON text: the same request gives the same bytes, for retries */
    char promotion[27];                           /* the promotion's id, or "" for a build */
    struct slice git_sha, environment, requester; /* that are asked for; of a build only the first */
    const char *headline;                         /* the first line of plain output */
    void (*describe)(const struct publication *publication, struct json_object *document); /* the first members of --json */
    const char *find_again;                                                                /* the command that finds it again */
};

/* Are project, id and source within the contract's limits? Returns 0, or the exit status after saying what is wrong. */
int publish_check(const struct publication *publication);
/* Publishes, prints what the contract says, waits if that was asked for. Returns the exit status. */
int publish(const struct publication *publication);

#endif
