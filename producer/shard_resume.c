/* sluice shard resume: lets a stopped shard go on, and writes into its ledger who accepted what.
 *
 * A shard stops when something is lost: its input position is not in the log any more, or results were published that its ledger
 * does not know (Postgres was restored to an older state). No program may decide that this is well. */
#include "command.h"
#include "database.h"
#include "json.h"
#include "ledger.h"
#include "output.h"
#include "settings_kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

PG_STATEMENT(shard_resume_facts);
PG_STATEMENT(shard_resume_hash);
PG_STATEMENT(shard_resume);
PG_STATEMENT(commit_ledger);

enum { REASON_MAX = 1024, SCAN_S = 60, AGAIN_S = 3 };

static const char about[] =
    "Lets a stopped shard go on. It accepts what was lost, for ever: an input position that is not in the log moves to the log's "
    "start, and results that the ledger does not know count as settled, so that later ones may repeat their sequence numbers. "
    "The ledger gets a row that names the reason, the login and what moved. Look at `sluice shard show` first.\n"
    "\n"
    "Exit status: 0 resumed, 1 the shard is not stopped, 2 could not do it.";

/* What becomes of the shard; `was` and `is` by enum input_topic. */
struct resumption {
    uint32_t shard;
    uint64_t epoch;
    struct ledger_row row; /* that is written */
    struct digest head;    /* before it */
    uint64_t was[INPUT_TOPICS + 1], is[INPUT_TOPICS + 1];
    int64_t settled[OUTPUT_TOPICS], settled_offset[OUTPUT_TOPICS];
    bool forgotten[OUTPUT_TOPICS]; /* results that the ledger does not know count as settled */
    char stopped[600], actor[100];
};

/* 0, 1 when it is not stopped, or -1. */
static int read_facts(struct pg *pg, struct resumption *r, struct error *error) {
    struct pg_parameters parameters;
    pg_parameters_init(&parameters);
    pg_int(&parameters, PG_INT4, r->shard);
    struct pg_result *facts = pg_query(pg, PG_READ, &shard_resume_facts, &parameters, error);
    pg_parameters_release(&parameters);
    if (!facts) return -1;
    int result = 0;
    if (pg_rows(facts) != 1) {
        result = error_set(error, ERROR_INPUT, "no-such-shard", "there is no shard %u", r->shard);
    } else if (pg_is_null(facts, 0, 6)) {
        result = 1;
    } else {
        r->epoch = (uint64_t)pg_get_int(facts, 0, 0);
        r->head = pg_get_digest(facts, 0, 2);
        for (int topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
            r->was[topic] = r->is[topic] = (uint64_t)pg_get_int(facts, 0, 2 + topic);
        r->row = (struct ledger_row){.shard = r->shard,
                                     .sequence = (uint64_t)pg_get_int(facts, 0, 1) + 1,
                                     .at = pg_get_instant(facts, 0, 11),
                                     .kind = RESULT_SHARD_RESUMED,
                                     .control_version = (uint64_t)pg_get_int(facts, 0, 5),
                                     .input = SLICE("")};
        for (int topic = 0; topic < OUTPUT_TOPICS; topic++) {
            r->settled[topic] = pg_get_int(facts, 0, 7 + 2 * topic);
            r->settled_offset[topic] = pg_get_int(facts, 0, 8 + 2 * topic);
        }
        struct slice stopped = pg_get_bytes(facts, 0, 6), actor = pg_get_bytes(facts, 0, 12);
        (void)snprintf(r->stopped, sizeof r->stopped, "%.*s", SLICE_ARG(stopped));
        (void)snprintf(r->actor, sizeof r->actor, "%.*s", SLICE_ARG(actor));
    }
    pg_result_free(facts);
    return result;
}

/* ---- what Kafka has ---- */

static int read_bounds(struct kafka_reader *reader, enum kafka_topic topic, uint32_t shard, int64_t *ret_start, int64_t *ret_end,
                       struct error *error) {
    struct kafka_position start = {.topic = topic, .partition = shard}, end = start;
    if (kafka_reader_offsets(reader, KAFKA_BEGINNING, &start, 1, error)) return -1;
    if (kafka_reader_offsets(reader, KAFKA_END, &end, 1, error)) return -1;
    *ret_start = start.offset;
    *ret_end = end.offset;
    return 0;
}

/* One that no longer leads may say that its log ends before a position, until it knows. */
static int ask_again(struct kafka_reader *reader, enum kafka_topic topic, const struct resumption *r, int64_t *ret_start,
                     int64_t *ret_end, struct error *error) {
    int64_t end = *ret_end;
    (void)nanosleep(&(struct timespec){AGAIN_S, 0}, NULL);
    if (read_bounds(reader, topic, r->shard, ret_start, ret_end, error)) return -1;
    if (*ret_end < end) *ret_end = end;
    return 0;
}

static int mend_positions(struct kafka_reader *reader, struct resumption *r, struct error *error) {
    for (int topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++) {
        int64_t start, end;
        enum kafka_topic of = kafka_input_topic((enum input_topic)topic);
        if (read_bounds(reader, of, r->shard, &start, &end, error)) return -1;
        if ((int64_t)r->is[topic] > end && ask_again(reader, of, r, &start, &end, error)) return -1;
        if ((int64_t)r->is[topic] < start || (int64_t)r->is[topic] > end) r->is[topic] = (uint64_t)start;
    }
    return 0;
}

/* Is there such a row in the ledger? */
static int knows(struct pg *pg, uint32_t shard, uint64_t sequence, const struct digest *hash, bool *ret_known,
                 struct error *error) {
    struct pg_parameters parameters;
    pg_parameters_init(&parameters);
    pg_int(&parameters, PG_INT4, shard);
    pg_int(&parameters, PG_INT8, (int64_t)sequence);
    struct pg_result *rows = pg_query(pg, PG_READ, &shard_resume_hash, &parameters, error);
    pg_parameters_release(&parameters);
    if (!rows) return -1;
    struct digest stored = pg_rows(rows) ? pg_get_digest(rows, 0, 0) : (struct digest){{0}};
    *ret_known = pg_rows(rows) == 1 && digest_equal(&stored, hash);
    pg_result_free(rows);
    return 0;
}

static bool read_place(const struct kafka_record *record, uint64_t *ret_sequence, struct digest *ret_hash) {
    uint64_t sequence = 0;
    if (!text_parse_number(kafka_record_header(record, "ce_ledgersequence"), INT64_MAX, &sequence)) return false;
    if (!digest_parse(kafka_record_header(record, "ce_ledgerhash"), ret_hash)) return false;
    *ret_sequence = sequence;
    return true;
}

/* The last result of a topic that is not settled; *ret_sequence 0 when there is none. */
static int last_result(struct kafka_reader *reader, enum kafka_topic topic, const struct resumption *r, int64_t floor,
                       int64_t *ret_end, uint64_t *ret_sequence, struct digest *ret_hash, struct error *error) {
    int64_t start, end;
    uint64_t sequence = 0;
    time_t until = time(NULL) + SCAN_S;
    if (read_bounds(reader, topic, r->shard, &start, &end, error)) return -1;
    struct kafka_position position = {topic, r->shard, floor > start && floor <= end ? floor : start};
    if (position.offset < end && kafka_reader_start(reader, &position, error)) return -1;
    for (bool reading = position.offset < end; reading;) {
        struct kafka_record record;
        enum kafka_read read = kafka_reader_next(reader, 1000, &record, error);
        if (read == KAFKA_READ_FAILED) return -1;
        if (read == KAFKA_READ_RECORD) (void)read_place(&record, &sequence, ret_hash);
        if (read == KAFKA_READ_AT_END && kafka_check_end(&record, end, error)) return -1;
        reading = read != KAFKA_READ_AT_END && !(read == KAFKA_READ_RECORD && record.offset + 1 >= end);
        if (reading && time(NULL) > until)
            return error_set(error, ERROR_UNAVAILABLE, "kafka-timeout",
                             "the end of an output topic could not be read within %d s", SCAN_S);
    }
    if (position.offset < end) kafka_reader_stop(reader, topic, r->shard);
    *ret_end = end;
    *ret_sequence = sequence;
    return 0;
}

static int mend_settled(struct kafka_reader *reader, struct pg *pg, struct resumption *r, struct error *error) {
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++) {
        struct digest hash = {{0}};
        uint64_t sequence = 0;
        int64_t end = 0;
        bool known = true;
        if (last_result(reader, kafka_output_topic((enum output_topic)topic), r, r->settled_offset[topic], &end, &sequence, &hash,
                        error))
            return -1;
        if (sequence && knows(pg, r->shard, sequence, &hash, &known, error)) return -1;
        bool ahead = r->settled[topic] >= (int64_t)r->row.sequence; /* of the ledger, though its results may be deleted */
        if (known && !ahead) continue;
        r->forgotten[topic] = true;
        r->settled[topic] = (int64_t)r->row.sequence;
        r->settled_offset[topic] = end;
    }
    return 0;
}

/* ---- what is written ---- */

static void write_decision(struct buf *to, const struct resumption *r, const char *reason) {
    static const char *const inputs[] = {NULL, "builds", "requests"}, *const outputs[] = {"results", "deadLetters"};
    char at[TEXT_INSTANT];
    text_instant(at, r->row.at);
    buf_str(to, "{\"reason\":");
    json_write_string(to, slice_str(reason));
    buf_str(to, ",\"actor\":");
    json_write_string(to, slice_str(r->actor));
    buf_str(to, ",\"stopped\":");
    json_write_string(to, slice_str(r->stopped));
    for (int topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
        buf_print(to, ",\"%s\":{\"from\":%llu,\"to\":%llu}", inputs[topic], (unsigned long long)r->was[topic],
                  (unsigned long long)r->is[topic]);
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++)
        buf_print(to, ",\"%s\":{\"forgotten\":%s}", outputs[topic], r->forgotten[topic] ? "true" : "false");
    buf_print(to, ",\"decidedAt\":\"%.*s\"}", TEXT_INSTANT, at);
}

static void put_row(struct pg_parameters *p, const struct ledger_row *row) {
    pg_array(p, PG_INT8, 1), pg_int(p, PG_INT8, (int64_t)row->sequence);
    pg_array(p, PG_INSTANT, 1), pg_instant(p, row->at);
    pg_array(p, PG_INT8, 1), pg_int(p, PG_INT8, 0);
    pg_array(p, PG_INT8, 1), pg_int(p, PG_INT8, (int64_t)row->control_version);
    pg_array(p, PG_INT4, 1), pg_int(p, PG_INT4, row->shard);
    pg_array(p, PG_INT4, 1), pg_int(p, PG_INT4, row->engine);
    pg_array(p, PG_INT2, 1), pg_int(p, PG_INT2, row->kind);
    pg_array(p, PG_INT2, 1), pg_int(p, PG_INT2, row->topic);
    pg_array(p, PG_BYTEA, 1), pg_digest(p, &row->input_digest);
    pg_array(p, PG_BYTEA, 1), pg_digest(p, &row->decision_digest);
    pg_array(p, PG_BYTEA, 1), pg_digest(p, &row->hash);
    pg_array(p, PG_BYTEA, 1), pg_bytes(p, PG_BYTEA, row->input);
    pg_array(p, PG_BYTEA, 1), pg_bytes(p, PG_BYTEA, row->decision);
}

static int write_resumption(struct pg *pg, struct resumption *r, struct error *error) {
    struct pg_parameters change, row;
    struct pg_call calls[2] = {{.statement = &shard_resume, .parameters = &change},
                               {.statement = &commit_ledger, .parameters = &row}};
    r->row.input_digest = digest_of(r->row.input);
    r->row.decision_digest = digest_of(r->row.decision);
    r->row.hash = ledger_hash(&r->row, &r->head);
    pg_parameters_init(&change);
    pg_parameters_init(&row);
    pg_int(&change, PG_INT4, r->shard);
    pg_int(&change, PG_INT8, (int64_t)r->epoch);
    pg_int(&change, PG_INT8, (int64_t)r->row.sequence - 1);
    pg_digest(&change, &r->head);
    pg_int(&change, PG_INT8, (int64_t)r->row.sequence);
    pg_digest(&change, &r->row.hash);
    pg_instant(&change, r->row.at);
    pg_int(&change, PG_INT8, (int64_t)r->is[INPUT_BUILDS]);
    pg_int(&change, PG_INT8, (int64_t)r->is[INPUT_REQUESTS]);
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++) {
        pg_int(&change, PG_INT8, r->settled[topic]);
        pg_int(&change, PG_INT8, r->settled_offset[topic]);
    }
    put_row(&row, &r->row);
    int result = pg_run(pg, PG_COMMIT, calls, 2, error);
    if (result == 0) pg_results_free(calls, 2);
    pg_parameters_release(&change);
    pg_parameters_release(&row);
    return result;
}

static void print_resumed(const struct resumption *r, bool json) {
    if (json) {
        struct json_object *document = output_object();
        output_set_number(document, "shard", r->shard);
        output_set_number(document, "sequence", (int64_t)r->row.sequence);
        output_set_number(document, "buildsPosition", (int64_t)r->is[INPUT_BUILDS]);
        output_set_number(document, "requestsPosition", (int64_t)r->is[INPUT_REQUESTS]);
        output_set_boolean(document, "resultsForgotten", r->forgotten[OUTPUT_RESULTS]);
        output_set_boolean(document, "deadLettersForgotten", r->forgotten[OUTPUT_DEAD_LETTER]);
        output_print(document);
        return;
    }
    printf("shard %u goes on; it stands in its ledger as row %llu\n", r->shard, (unsigned long long)r->row.sequence);
    for (int topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
        if (r->was[topic] != r->is[topic])
            printf("  next of %s: %llu, was %llu\n", topic == INPUT_BUILDS ? "builds" : "requests",
                   (unsigned long long)r->is[topic], (unsigned long long)r->was[topic]);
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++)
        if (r->forgotten[topic])
            printf("  what is on the topic of %s and not in the ledger counts as settled\n",
                   topic == OUTPUT_RESULTS ? "results" : "dead letters");
}

static int resume(struct resumption *r, const char *config, const char *reason, bool json) {
    struct brokers brokers = {0};
    struct database database = {0};
    struct kafka_reader *reader = NULL;
    struct buf decision;
    struct error error = {0};
    buf_init(&decision, 16 * 1024);
    int status = brokers_open(&brokers, config);
    if (status) return status;
    status = database_open(&database, config, PG_ADMIN);
    if (status) goto cleanup;
    status = EXIT_COULD_NOT_TELL;
    int stopped = read_facts(database.pg, r, &error);
    if (stopped == 1) {
        output_error("shard %u is not stopped; there is nothing to resume", r->shard);
        status = EXIT_NO;
    }
    if (stopped) goto failed;
    reader = kafka_reader_new(&brokers.options, KAFKA_COMMITTED, &error);
    if (!reader || mend_positions(reader, r, &error) || mend_settled(reader, database.pg, r, &error)) goto failed;
    write_decision(&decision, r, reason);
    if (decision.failed) (void)error_memory(&error);
    r->row.decision = buf_slice(&decision);
    if (!decision.failed && write_resumption(database.pg, r, &error) == 0) {
        print_resumed(r, json);
        status = EXIT_YES;
    }
failed:
    if (error.kind != ERROR_NONE) output_failure(&error);
cleanup:
    buf_release(&decision);
    kafka_reader_free(reader);
    database_close(&database);
    brokers_close(&brokers);
    return status;
}

int command_shard_resume(int argc, char **argv) {
    const char *config = NULL, *text = NULL, *reason = NULL;
    bool json = false;
    uint64_t shard;
    const struct option options[] = {
        {"SHARD", NULL, OPTION_POSITION, &text, .help = "its number", .required = true},
        {"accept-loss", "REASON", OPTION_TEXT, &reason, .help = "why the loss is accepted; stands in the ledger",
         .required = true},
        SETTINGS_OPTION(&config),
        {"json", NULL, OPTION_FLAG, &json,
         .help = "print {shard, sequence, buildsPosition, requestsPosition, resultsForgotten, deadLettersForgotten}"},
    };
    const struct usage usage = {"shard resume", "SHARD --accept-loss REASON [OPTION...]", about,
                                "sluice shard resume 7 --accept-loss 'topic was deleted on Monday, see INC-12'",
                                OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    if (!text_parse_number(slice_str(text), INT32_MAX, &shard))
        return options_wrong(&usage, "'%s' is no number of a shard", text);
    if (!*reason || strlen(reason) > REASON_MAX || !text_is_utf8(slice_str(reason)))
        return options_wrong(&usage, "the reason is empty, longer than %d bytes, or not UTF-8", REASON_MAX);
    struct resumption r = {.shard = (uint32_t)shard};
    return resume(&r, config, reason, json);
}
