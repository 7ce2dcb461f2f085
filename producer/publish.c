#include "publish.h"

#include "await.h"
#include "command.h"
#include "output.h"
#include "settings_kafka.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PUBLISH_MS = 30000, IDENTITY_MAX = 255 };

struct receipt {
    uint32_t partition;
    int64_t offset;
};

int publish_check(const struct publication *publication) {
    const struct slice named[] = {publication->id, publication->source};
    const char *const names[] = {"--id", "--source"};
    if (!text_is_project(slice_str(publication->options.project)))
        return options_wrong(publication->usage, "'%s' is no name of a project, as acme/shop", publication->options.project);
    for (int i = 0; i < 2; i++)
        if (!named[i].n || named[i].n > IDENTITY_MAX || !text_is_utf8(named[i]))
            return options_wrong(publication->usage, "%s must be 1 to %d bytes of UTF-8", names[i], IDENTITY_MAX);
    if (publication->options.timeout <= 0) return options_wrong(publication->usage, "--timeout must be more than nothing");
    return 0;
}

static void write_member(struct buf *buf, const char *name, struct slice text) {
    buf_print(buf, "\"%s\":", name);
    json_write_string(buf, text);
    buf_char(buf, ',');
}

/* CloudEvents 1.0, JSON format, for the structured mode of the Kafka protocol binding. */
static void write_event(struct buf *buf, const struct publication *publication) {
    struct timespec now;
    char at[TEXT_INSTANT];
    const char *trace = getenv("TRACEPARENT");
    (void)clock_gettime(CLOCK_REALTIME, &now);
    text_instant(at, (instant)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    buf_char(buf, '{');
    write_member(buf, "specversion", SLICE("1.0"));
    write_member(buf, "id", publication->id);
    write_member(buf, "source", publication->source);
    write_member(buf, "type", slice_str(publication->type));
    write_member(buf, "subject", slice_str(publication->options.project));
    write_member(buf, "time", slice_of(at, sizeof at));
    write_member(buf, "datacontenttype", SLICE("application/json"));
    if (trace && *trace && strlen(trace) <= 255) write_member(buf, "traceparent", slice_str(trace));
    buf_str(buf, "\"data\":");
    buf_append(buf, publication->data);
    buf_char(buf, '}');
}

static int send_event(const struct kafka_options *options, const struct publication *publication, struct receipt *ret_receipt,
                      struct error *error) {
    static const struct record_header headers[] = {{SLICE("content-type"), SLICE("application/cloudevents+json; charset=UTF-8")}};
    struct buf event;
    int result = -1;
    buf_init(&event, 2 * KAFKA_INPUT_BYTES_MAX);
    struct kafka_producer *producer = kafka_producer_new(options, PUBLISH_MS, error);
    if (!producer) goto cleanup;
    write_event(&event, publication);
    if (event.failed) {
        error_memory(error);
        goto cleanup;
    }
    result = kafka_producer_send(producer, publication->topic, slice_str(publication->options.project), buf_slice(&event),
                                 headers, 1, &ret_receipt->partition, &ret_receipt->offset, error);
cleanup:
    kafka_producer_free(producer);
    buf_release(&event);
    return result;
}

static int not_published(const struct publication *publication, const struct error *error) {
    if (error->kind == ERROR_UNKNOWN)
        output_error(
            "%s. It may have been stored all the same: with --id '%.*s' --source '%.*s' it can be sent again and counts once",
            error->message, SLICE_ARG(publication->id), SLICE_ARG(publication->source));
    else
        output_error("nothing was published: %s", error->message);
    return EXIT_COULD_NOT_TELL;
}

/* ---- what is printed ---- */

static void print_receipt(const struct publication *publication, const char *topic, const struct receipt *receipt) {
    if (publication->options.json) return;
    printf("published to %s, partition %u, offset %lld\n", topic, receipt->partition, (long long)receipt->offset);
    (void)fflush(stdout);
}

static void print_document(const struct publication *publication, const char *topic, const struct receipt *receipt,
                           const struct answer *last) {
    struct json_object *document = output_object();
    publication->describe(publication, document);
    output_set_string(document, "project", publication->options.project);
    output_set_text(document, "source", publication->source);
    output_set_text(document, "id", publication->id);
    output_set_string(document, "topic", topic);
    output_set_number(document, "partition", receipt->partition);
    output_set_number(document, "offset", receipt->offset);
    if (last) output_set(document, "result", output_value(last->data));
    output_print(document);
}

static void conclude(const struct publication *publication, const char *topic, const struct receipt *receipt,
                     const struct answer *last, int status, const struct error *error) {
    if (status == EXIT_TIMED_OUT)
        fprintf(stderr, "%s; the request stays in place. To go on waiting: %s\n",
                last ? "no final answer in time" : "no answer at all in time; is a worker running?", publication->find_again);
    if (status == EXIT_INTERRUPTED)
        fprintf(stderr, "\ninterrupted; the request stays in place. To go on waiting: %s\n", publication->find_again);
    if (status == EXIT_COULD_NOT_TELL && error->kind != ERROR_NONE) output_failure(error);
    if (publication->options.json)
        print_document(publication, topic, receipt, last);
    else if (last && last->final)
        answer_print_final(stdout, last);
}

/* ---- the steps ---- */

static struct asker asker_of(const struct publication *publication) {
    return (struct asker){.project = slice_str(publication->options.project),
                          .source = publication->source,
                          .id = publication->id,
                          .promotion = *publication->promotion ? slice_str(publication->promotion) : (struct slice){0},
                          .git_sha = publication->git_sha,
                          .environment = publication->environment,
                          .requester = publication->requester};
}

static int publish_to(const struct kafka_options *options, const struct publication *publication) {
    struct error error = {0};
    struct await await = {0};
    struct asker asker = asker_of(publication);
    struct receipt receipt;
    char topic[KAFKA_TOPIC_MAX + 1];
    int status = EXIT_YES;
    if (kafka_topic_name(options, publication->topic, topic, &error)) return not_published(publication, &error);
    if (!publication->options.json) {
        printf("%s\n", publication->headline);
        (void)fflush(stdout);
    }
    /* The place in the results topic is taken first, so that no answer can come before it. */
    if ((publication->options.wait && await_init(&await, options, &asker, false, &error)) ||
        send_event(options, publication, &receipt, &error)) {
        status = not_published(publication, &error);
        goto cleanup;
    }
    print_receipt(publication, topic, &receipt);
    if (publication->options.wait) status = await_final(&await, publication->options.timeout, &error);
    conclude(publication, topic, &receipt, await_last(&await), status, &error);
cleanup:
    await_release(&await);
    return status;
}

int publish(const struct publication *publication) {
    struct brokers brokers;
    int status = brokers_open(&brokers, publication->options.config);
    if (status) return status;
    status = publish_to(&brokers.options, publication);
    brokers_close(&brokers);
    return status;
}
