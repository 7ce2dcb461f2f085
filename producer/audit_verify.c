/* sluice audit verify: is the ledger what was decided, and what was published? */
#include "audit.h"
#include "command.h"
#include "database.h"
#include "output.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

PG_STATEMENT(audit_shards);
PG_STATEMENT(audit_foreign);

static const char about[] =
    "Recomputes every shard's hash chain from the ledger's rows: the digests of inputs and decisions, the hashes, the beginning, "
    "and that the last row is the shard's head; then the control log's digests. Names the first bad row. An input that was "
    "emptied on purpose counts as redacted: the chain covers its digest.\n"
    "\n"
    "Then the chains are compared with the results and dead letters that were published; what retention has taken from the "
    "topics' beginning is not missed. --ledger-only leaves that out.\n"
    "\n"
    "Exit status: 0 everything is as it was written, 1 something is not, 2 the database or Kafka did not answer, and what could "
    "be looked at is as it was written.";

struct audit {
    struct database database;
    struct audit_shard *shards;
    size_t shard_count;
    struct audit_control control;
    struct audit_bad foreign; /* a row of a shard that does not exist */
    struct kafka_options kafka;
    struct audit_published *published; /* NULL: not compared */
    bool ledger_only;
    char why_not[300]; /* it is not compared */
};

/* ---- what there is ---- */

static int load_shards(struct audit *audit, const struct pg_result *result, struct error *error) {
    audit->shard_count = pg_rows(result);
    audit->shards = calloc(audit->shard_count + 1, sizeof *audit->shards);
    if (!audit->shards) return error_memory(error);
    for (size_t i = 0; i < audit->shard_count; i++)
        audit->shards[i] = (struct audit_shard){
            .shard = (uint32_t)pg_get_int(result, i, 0),
            .exists = !pg_is_null(result, i, 1),
            .sequence = (uint64_t)pg_get_int(result, i, 1),
            .head = pg_get_digest(result, i, 2),
            .settled = {[OUTPUT_RESULTS] = (uint64_t)pg_get_int(result, i, 3),
                        [OUTPUT_DEAD_LETTER] = (uint64_t)pg_get_int(result, i, 4)},
            .last = (uint64_t)pg_get_int(result, i, 5),
        };
    return 0;
}

static void note_foreign(struct audit *audit, const struct pg_result *result) {
    if (!pg_rows(result)) return;
    audit->foreign = (struct audit_bad){.found = true,
                                        .shard = (uint32_t)pg_get_int(result, 0, 0),
                                        .sequence = (uint64_t)pg_get_int(result, 0, 1),
                                        .code = "shard-unknown",
                                        .message = "the row belongs to a shard that the installation does not have"};
}

static int load(struct audit *audit, struct error *error) {
    struct pg_parameters parameters;
    pg_parameters_init(&parameters);
    pg_int(&parameters, PG_INT4, (int64_t)audit->database.installation.shards);
    struct pg_call calls[] = {{.statement = &audit_shards, .parameters = &parameters},
                              {.statement = &audit_foreign, .parameters = &parameters}};
    int status = pg_run(audit->database.pg, PG_READ, calls, 2, error);
    pg_parameters_release(&parameters);
    if (status < 0) return -1;
    status = load_shards(audit, calls[0].result, error);
    note_foreign(audit, calls[1].result);
    pg_results_free(calls, 2);
    return status;
}

/* ---- verifying ---- */

/* From here on nothing is compared. */
static void give_up_comparing(struct audit *audit, const char *why) {
    (void)snprintf(audit->why_not, sizeof audit->why_not, "%.299s", why);
    audit_published_free(audit->published);
    audit->published = NULL;
}

static void connect_kafka(struct audit *audit) {
    const struct config *config = &audit->database.config;
    if (audit->ledger_only) return give_up_comparing(audit, "--ledger-only");
    if (!config->kafka.bootstrap_servers) return give_up_comparing(audit, "kafka.bootstrap-servers is not configured");
    audit->kafka = (struct kafka_options){.bootstrap_servers = config->kafka.bootstrap_servers,
                                          .topic_prefix = config->topic_prefix,
                                          .properties = config->kafka.properties,
                                          .property_count = config->kafka.property_count};
    struct error error = {0};
    audit->published = audit_published_new(&audit->kafka, &error);
    if (!audit->published) give_up_comparing(audit, error.message);
}

static void show_progress(const struct audit *audit, size_t done) {
    if (isatty(STDERR_FILENO))
        (void)fprintf(stderr, "\r%zu of %zu shards verified%s", done, audit->shard_count, done == audit->shard_count ? "\n" : "");
}

/* What Kafka cannot answer is not compared; the shard is then verified again, by the database alone. */
static int verify_shard(struct audit *audit, struct audit_shard *shard, struct error *error) {
    const struct audit_shard fresh = *shard;
    struct error failure = {0};
    if (audit->published && audit_published_begin(audit->published, shard->shard, &failure) < 0)
        give_up_comparing(audit, failure.message);
    if (audit_shard_verify(audit->database.pg, audit->database.installation.id, shard, audit->published, &failure) == 0) return 0;
    if (!audit->published || strncmp(failure.code, "kafka", 5) != 0) {
        *error = failure;
        return -1;
    }
    give_up_comparing(audit, failure.message);
    *shard = fresh;
    return audit_shard_verify(audit->database.pg, audit->database.installation.id, shard, NULL, error);
}

static int verify(struct audit *audit, struct error *error) {
    if (load(audit, error) < 0 || audit_control_verify(audit->database.pg, &audit->control, error) < 0) return -1;
    connect_kafka(audit);
    for (size_t i = 0; i < audit->shard_count; i++) {
        show_progress(audit, i);
        if (verify_shard(audit, &audit->shards[i], error) < 0) return -1;
    }
    show_progress(audit, audit->shard_count);
    return 0;
}

/* ---- telling ---- */

/* The control log comes first: all shards decide by it. */
static const struct audit_bad *first_bad(const struct audit *audit) {
    if (audit->control.bad.found) return &audit->control.bad;
    for (size_t i = 0; i < audit->shard_count; i++)
        if (audit->shards[i].bad.found) return &audit->shards[i].bad;
    return audit->foreign.found ? &audit->foreign : NULL;
}

static int conclude(const struct audit *audit) {
    if (first_bad(audit)) return EXIT_NO;
    return audit->published || audit->ledger_only ? EXIT_YES : EXIT_COULD_NOT_TELL;
}

static struct json_object *shard_object(const struct audit_shard *shard) {
    struct json_object *object = output_object();
    char hash[DIGEST_TEXT];
    digest_text(hash, &shard->head);
    output_set_number(object, "shard", (int64_t)shard->shard);
    output_set_number(object, "sequence", (int64_t)shard->sequence);
    output_set_text(object, "hash", slice_of(hash, DIGEST_TEXT));
    output_set_number(object, "rows", (int64_t)shard->rows);
    output_set_number(object, "redacted", (int64_t)shard->redacted);
    output_set_number(object, "published", (int64_t)shard->published);
    return object;
}

static void print_json(const struct audit *audit) {
    const struct audit_bad *bad = first_bad(audit);
    struct json_object *document = output_object(), *shards = output_array();
    output_set_boolean(document, "ok", conclude(audit) == EXIT_YES);
    for (size_t i = 0; i < audit->shard_count; i++) output_append(shards, shard_object(&audit->shards[i]));
    output_set(document, "shards", shards);
    output_set_number(document, "controlVersions", (int64_t)audit->control.versions);
    output_set_string(document, "published", audit->published ? "compared" : "not compared");
    if (bad) {
        struct json_object *first = output_object();
        if (!bad->control) output_set_number(first, "shard", (int64_t)bad->shard);
        output_set_number(first, bad->control ? "controlVersion" : "sequence", (int64_t)bad->sequence);
        output_set_string(first, "code", bad->code);
        output_set_string(first, "message", bad->message);
        output_set(document, "firstBad", first);
    }
    output_print(document);
}

static void print_bad(const struct audit_bad *bad) {
    if (!bad->found) return;
    if (bad->control)
        output_error("control version %" PRIu64 ": %s: %s", bad->sequence, bad->code, bad->message);
    else
        output_error("shard %" PRIu32 ", sequence %" PRIu64 ": %s: %s", bad->shard, bad->sequence, bad->code, bad->message);
}

static void print_summary(const struct audit *audit) {
    static const char *const verdicts[] = {
        [EXIT_YES] = "ok", [EXIT_NO] = "NOT as it was written", [EXIT_COULD_NOT_TELL] = "could not tell"};
    uint64_t rows = 0, redacted = 0, published = 0;
    print_bad(&audit->control.bad);
    for (size_t i = 0; i < audit->shard_count; i++) {
        rows += audit->shards[i].rows;
        redacted += audit->shards[i].redacted;
        published += audit->shards[i].published;
        print_bad(&audit->shards[i].bad);
    }
    print_bad(&audit->foreign);
    printf("%s: %zu shards, %" PRIu64 " rows verified, %" PRIu64 " redacted; published: ", verdicts[conclude(audit)],
           audit->shard_count, rows, redacted);
    if (audit->published)
        printf("compared, %" PRIu64 " records\n", published);
    else
        printf("not compared (%s)\n", audit->why_not);
}

int command_audit_verify(int argc, char **argv) {
    const char *config = NULL;
    bool json = false;
    struct audit audit = {0};
    const struct option options[] = {
        {"ledger-only", NULL, OPTION_FLAG, &audit.ledger_only, .help = "do not ask Kafka what was published"},
        SETTINGS_OPTION(&config),
        {"json", NULL, OPTION_FLAG, &json,
         .help =
             "print {ok, shards [{shard, sequence, hash, rows, redacted, published}], controlVersions, published, firstBad "
             "{shard, sequence, code, message}}; of the control log firstBad has controlVersion instead of shard and sequence"},
    };
    const struct usage usage = {"audit verify", "[OPTION...]", about, "sluice audit verify", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;

    struct error error = {0};
    status = database_open(&audit.database, config, PG_READER);
    if (status) return status;
    if (verify(&audit, &error) < 0) {
        output_failure(&error);
        status = EXIT_COULD_NOT_TELL;
    } else {
        status = conclude(&audit);
        if (status == EXIT_COULD_NOT_TELL)
            output_error("what was published is not compared: %s; --ledger-only leaves it out", audit.why_not);
        (json ? print_json : print_summary)(&audit);
    }
    audit_published_free(audit.published);
    database_close(&audit.database);
    free(audit.shards);
    return status;
}
