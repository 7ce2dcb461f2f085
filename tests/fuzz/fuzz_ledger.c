/* Any bytes as the ledger's form of an input: what is read is written as the same bytes, and nothing else is read. With a line
 * "D" before them they are a decision, of which results are made again.
 *
 * Covers: common/ledger.c worker/result.c */
#include "cloudevent.h"
#include "fuzz.h"
#include "ledger.h"
#include "result.h"

static void check_input(struct arena *arena, struct slice bytes) {
    struct record record = {.shard = 3, .topic = INPUT_REQUESTS, .offset = 9};
    if (ledger_read_input(arena, bytes, &record)) return;
    REQUIRE(record.shard == 3 && record.topic == INPUT_REQUESTS && record.offset == 9);
    REQUIRE(is_inside(record.key, bytes) && is_inside(record.value, bytes));
    for (size_t i = 0; i < record.header_count; i++)
        REQUIRE(is_inside(record.headers[i].name, bytes) && is_inside(record.headers[i].value, bytes));
    struct buf written;
    buf_init(&written, bytes.n + 1);
    ledger_write_input(&written, &record);
    REQUIRE(!written.failed && slice_equal(buf_slice(&written), bytes));
    buf_release(&written);
    struct slice traceparent;
    REQUIRE(cloudevent_traceparent(arena, &record, &traceparent) == 0);
}

static void check_results(struct arena *arena, struct slice input, struct slice decision) {
    for (int kind = RESULT_NONE; kind <= RESULT_SHARD_RESUMED + 1; kind++) {
        struct ledger_row row = {
            .shard = 3, .sequence = 41, .kind = (enum result_kind)kind, .input = input, .decision = decision};
        struct answer answer;
        struct output_record record;
        enum output_topic topic;
        row.topic = input.n ? INPUT_BUILDS : INPUT_NONE;
        if (result_recall(arena, &row, &answer) || !result_topic(row.kind, &topic)) continue;
        if (result_record(arena, &answer, SLICE("/sluice"), &record)) continue;
        REQUIRE(record.topic == topic && record.shard == row.shard);
        if (topic == OUTPUT_RESULTS) REQUIRE(slice_equal(record.value, decision) && slice_equal(record.key, answer.project));
        for (size_t i = 0; i < record.header_count; i++) REQUIRE(record.headers[i].name.p || topic == OUTPUT_DEAD_LETTER);
    }
}

static void check_chain(struct slice bytes) {
    unsigned char installation[16] = {0}, key[16], other[16];
    struct digest genesis = ledger_genesis(installation, 1), zero = ledger_genesis(installation, 0);
    struct ledger_row row = {
        .shard = 1, .sequence = 1, .kind = RESULT_DEAD_LETTER, .input = bytes, .input_digest = digest_of(bytes)};
    struct digest hash = ledger_hash(&row, &genesis), again = ledger_hash(&row, &zero);
    REQUIRE(!digest_equal(&genesis, &zero) && !digest_equal(&hash, &again));
    ledger_event_key(key, bytes, SLICE("s"), SLICE("i"));
    ledger_event_key(other, bytes, SLICE("s"), SLICE("j"));
    REQUIRE(memcmp(key, other, sizeof key) != 0);
    for (int kind = RESULT_NONE; kind <= RESULT_SHARD_RESUMED + 1; kind++)
        REQUIRE(!result_is_final((enum result_kind)kind) || result_type((enum result_kind)kind));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    struct slice bytes = slice_of(data, size);
    arena_init(&arena, 64 * 1024 * 1024);
    if (slice_starts(bytes, SLICE("D\n"))) {
        /* a decision, and behind an empty line the input of its row */
        struct slice decision = slice_of(bytes.p + 2, bytes.n - 2), input = SLICE("");
        const char *gap = memmem(decision.p, decision.n, "\n\n", 2);
        if (gap) {
            input = slice_of(gap + 2, decision.n - (size_t)(gap - decision.p) - 2);
            decision.n = (size_t)(gap - decision.p);
        }
        check_results(&arena, input, decision);
    } else {
        check_input(&arena, bytes);
        check_chain(bytes);
    }
    arena_release(&arena);
    return 0;
}
