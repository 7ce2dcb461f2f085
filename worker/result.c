#include "result.h"

#include "json.h"

enum { RESULT_HEADERS_MAX = 16, DEAD_LETTER_HEADERS = 4 };

bool result_topic(enum result_kind kind, enum output_topic *ret_topic) {
    if (kind == RESULT_SHARD_RESUMED) return false;
    *ret_topic = kind == RESULT_DEAD_LETTER ? OUTPUT_DEAD_LETTER : OUTPUT_RESULTS;
    return true;
}

int result_recall(struct arena *arena, const struct ledger_row *row, struct answer *ret_answer) {
    struct answer answer = {.row = *row};
    if (row->kind != RESULT_DEAD_LETTER && row->kind != RESULT_SHARD_RESUMED) {
        static const struct json_limits limits = {.bytes = 4 * 1024 * 1024, .depth = 32, .values = 100000};
        struct json_document document;
        if (json_read(arena, row->decision, &limits, &document, NULL)) return -1;
        const struct json *decision = document.root;
        answer.project = json_get_text(decision, "project");
        answer.environment = json_get_text(decision, "environment");
        answer.outcome = json_get_text(decision, "outcome");
        if (!answer.project.p) return -1;
        if (row->topic != INPUT_NONE) {
            struct record record = {0};
            if (ledger_read_input(arena, row->input, &record)) return -1;
            if (cloudevent_traceparent(arena, &record, &answer.traceparent)) return -1;
        }
    }
    *ret_answer = answer;
    return 0;
}

static void header(struct record_header *headers, size_t *count, const char *name, struct slice value) {
    headers[(*count)++] = (struct record_header){.name = slice_str(name), .value = value};
}

struct ledger_texts {
    struct slice shard, sequence, hash;
};

static int ledger_texts(struct arena *arena, const struct ledger_row *row, struct ledger_texts *ret) {
    char *hash = arena_alloc(arena, DIGEST_TEXT);
    if (!hash) return -1;
    digest_text(hash, &row->hash);
    ret->hash = slice_of(hash, DIGEST_TEXT);
    ret->shard = arena_print(arena, "%u", row->shard);
    ret->sequence = arena_print(arena, "%llu", (unsigned long long)row->sequence);
    return ret->shard.p && ret->sequence.p ? 0 : -1;
}

/* The original's key, value and headers, then ours: of equal names the last counts. */
static int dead_letter(struct arena *arena, const struct answer *answer, const struct ledger_texts *texts,
                       struct output_record *ret_record) {
    struct record record = {0};
    if (ledger_read_input(arena, answer->row.input, &record)) return -1;
    struct record_header *headers = ARENA_ARRAY(arena, struct record_header, record.header_count + DEAD_LETTER_HEADERS);
    if (!headers) return -1;
    size_t count = record.header_count;
    if (count) memcpy(headers, record.headers, count * sizeof *headers);
    header(headers, &count, "sluice_error", answer->row.decision);
    header(headers, &count, "ce_ledgershard", texts->shard);
    header(headers, &count, "ce_ledgersequence", texts->sequence);
    header(headers, &count, "ce_ledgerhash", texts->hash);
    *ret_record = (struct output_record){.topic = OUTPUT_DEAD_LETTER,
                                         .shard = answer->row.shard,
                                         .key = record.key,
                                         .value = record.value,
                                         .headers = headers,
                                         .header_count = count};
    return 0;
}

int result_record(struct arena *arena, const struct answer *answer, struct slice source, struct output_record *ret_record) {
    const struct ledger_row *row = &answer->row;
    struct ledger_texts texts;
    if (ledger_texts(arena, row, &texts)) return -1;
    if (row->kind == RESULT_DEAD_LETTER) return dead_letter(arena, answer, &texts, ret_record);
    struct record_header *headers = ARENA_ARRAY(arena, struct record_header, RESULT_HEADERS_MAX);
    char *time = arena_alloc(arena, TEXT_INSTANT);
    struct slice id = arena_print(arena, "%u-%llu", row->shard, (unsigned long long)row->sequence);
    const char *type = result_type(row->kind);
    if (!headers || !time || !id.p || !type) return -1;
    text_instant(time, row->at);
    size_t count = 0;
    header(headers, &count, "ce_specversion", SLICE("1.0"));
    header(headers, &count, "ce_id", id);
    header(headers, &count, "ce_source", source);
    header(headers, &count, "ce_type", slice_str(type));
    header(headers, &count, "ce_subject", answer->project);
    header(headers, &count, "ce_time", slice_of(time, TEXT_INSTANT));
    if (answer->environment.p) header(headers, &count, "ce_environment", answer->environment);
    if (answer->outcome.p) header(headers, &count, "ce_outcome", answer->outcome);
    if (answer->traceparent.p) header(headers, &count, "ce_traceparent", answer->traceparent);
    header(headers, &count, "ce_ledgershard", texts.shard);
    header(headers, &count, "ce_ledgersequence", texts.sequence);
    header(headers, &count, "ce_ledgerhash", texts.hash);
    header(headers, &count, "content-type", SLICE("application/json"));
    *ret_record = (struct output_record){.topic = OUTPUT_RESULTS,
                                         .shard = row->shard,
                                         .key = answer->project,
                                         .value = row->decision,
                                         .headers = headers,
                                         .header_count = count};
    return 0;
}
