#include "output_tail.h"

#include "monotonic.h"
#include "text.h"

#include <stdlib.h>
#include <time.h>

enum {
    FIRST_STEP = 32, /* records from the end at first: the last one is a result, except after aborted transactions */
    STEP_GROWTH = 8,
    STABLE_WAIT = 300, /* ms: markers are written within; what stays open longer is left for the next time */
    SCAN_WAIT = 20000  /* ms */
};

/* One output partition of one shard. */
struct tail {
    struct output_tail *of;
    enum output_topic topic;
    int64_t low, from, to, end; /* where the search ends; the window that is read now; the last stable offset */
    bool reading;
};

struct scan {
    struct tail *tails;
    size_t count;
    struct kafka_position *positions; /* in the same order */
};

static int64_t now_ms(void) { return (int64_t)monotonic_ms(); }

static void pause_ms(long ms) {
    struct timespec pause = {0, ms * 1000000};
    (void)nanosleep(&pause, NULL);
}

bool output_tail_position(const struct kafka_record *record, uint64_t *ret_sequence, struct digest *ret_hash) {
    uint64_t shard, sequence;
    struct digest hash;
    if (!text_parse_number(kafka_record_header(record, "ce_ledgershard"), UINT32_MAX, &shard) || shard != record->partition)
        return false;
    if (!text_parse_number(kafka_record_header(record, "ce_ledgersequence"), INT64_MAX, &sequence)) return false;
    if (!digest_parse(kafka_record_header(record, "ce_ledgerhash"), &hash)) return false;
    *ret_sequence = sequence;
    *ret_hash = hash;
    return true;
}

/* ---- where the logs begin and end ---- */

/* The high watermarks go into `end`, where the logs begin into `low`. */
static int read_watermarks(const struct kafka_options *options, struct scan *scan, struct error *error) {
    int result = -1;
    struct kafka_reader *reader = kafka_reader_new(options, KAFKA_EVERYTHING, error);
    if (!reader) return -1;
    if (kafka_reader_offsets(reader, KAFKA_END, scan->positions, scan->count, error)) goto cleanup;
    for (size_t i = 0; i < scan->count; i++) scan->tails[i].end = scan->positions[i].offset;
    if (kafka_reader_offsets(reader, KAFKA_BEGINNING, scan->positions, scan->count, error)) goto cleanup;
    for (size_t i = 0; i < scan->count; i++) scan->tails[i].low = scan->positions[i].offset;
    result = 0;
cleanup:
    kafka_reader_free(reader);
    return result;
}

/* A commit returns before its markers are written: until they are, the last stable offset lags behind. */
static int wait_stable(struct kafka_reader *reader, struct scan *scan, struct error *error) {
    int64_t deadline = now_ms() + STABLE_WAIT;
    for (long pause = 2;; pause = pause < 50 ? pause * 2 : 50) {
        size_t i = 0;
        if (kafka_reader_offsets(reader, KAFKA_END, scan->positions, scan->count, error)) return -1;
        while (i < scan->count && scan->positions[i].offset >= scan->tails[i].end) i++;
        if (i == scan->count) break;
        if (now_ms() > deadline) break;
        pause_ms(pause);
    }
    for (size_t i = 0; i < scan->count; i++) {
        struct tail *tail = &scan->tails[i];
        if (scan->positions[i].offset < tail->end) tail->of->ret_stable = false;
        tail->end = scan->positions[i].offset;
    }
    return 0;
}

/* ---- the last result before the end ---- */

static struct tail *find_tail(struct scan *scan, enum kafka_topic topic, uint32_t partition) {
    for (size_t i = 0; i < scan->count; i++)
        if (scan->positions[i].partition == partition && scan->positions[i].topic == topic) return &scan->tails[i];
    return NULL;
}

static int start_windows(struct kafka_reader *reader, struct scan *scan, size_t *ret_started, struct error *error) {
    *ret_started = 0;
    for (size_t i = 0; i < scan->count; i++) {
        struct tail *tail = &scan->tails[i];
        tail->reading = tail->of->ret_stable && !tail->of->ret_found[tail->topic] && tail->from < tail->to;
        if (!tail->reading) continue;
        scan->positions[i].offset = tail->from;
        if (kafka_reader_start(reader, &scan->positions[i], error)) return -1;
        (*ret_started)++;
    }
    return 0;
}

static void take_record(struct tail *tail, const struct kafka_record *record) {
    enum output_topic topic = tail->topic;
    if (record->offset >= tail->to) return;
    if (output_tail_position(record, &tail->of->ret_sequence[topic], &tail->of->ret_hash[topic]))
        tail->of->ret_found[topic] = true;
}

/* Reads all windows side by side, each to its end, and leaves in each tail the last result that stood in it. */
static int read_windows(struct kafka_reader *reader, struct scan *scan, size_t open, struct error *error) {
    int64_t deadline = now_ms() + SCAN_WAIT;
    while (open) {
        struct kafka_record record;
        enum kafka_read read = kafka_reader_next(reader, 1000, &record, error);
        if (read == KAFKA_READ_FAILED) return -1;
        if (now_ms() > deadline)
            return error_set(error, ERROR_UNAVAILABLE, "kafka-timeout",
                             "the ends of the output topics could not be read within %d s; check that the brokers are up",
                             SCAN_WAIT / 1000);
        if (read == KAFKA_READ_NOTHING) continue;
        struct tail *tail = find_tail(scan, record.topic, record.partition);
        if (!tail || !tail->reading) continue;
        if (read == KAFKA_READ_RECORD) take_record(tail, &record);
        if (read == KAFKA_READ_RECORD && record.offset < tail->to - 1) continue;
        if (read == KAFKA_READ_AT_END && kafka_check_end(&record, tail->to, error)) return -1; /* results would be missed */
        tail->reading = false;
        open--;
    }
    return 0;
}

/* The next window lies before the last one and is larger. */
static void move_windows(struct scan *scan, int64_t step) {
    for (size_t i = 0; i < scan->count; i++) {
        struct tail *tail = &scan->tails[i];
        tail->to = tail->from;
        tail->from = tail->to - tail->low > step ? tail->to - step : tail->low;
        if (tail->from > tail->to) tail->from = tail->to;
    }
}

/* Not below the floor, unless it lies behind the end: then the topic was made anew, or both ends were told by one that no longer
 * leads. */
static void begin_at_end(struct scan *scan) {
    for (size_t i = 0; i < scan->count; i++) {
        struct tail *tail = &scan->tails[i];
        int64_t floor = tail->of->floor[tail->topic];
        if (floor > tail->low && floor <= tail->end) tail->low = floor;
        tail->from = tail->end;
    }
}

static int find_results(struct kafka_reader *reader, struct scan *scan, struct error *error) {
    begin_at_end(scan);
    size_t open = 1;
    for (int64_t step = FIRST_STEP; open; step *= STEP_GROWTH) {
        move_windows(scan, step);
        if (start_windows(reader, scan, &open, error) || read_windows(reader, scan, open, error)) return -1;
        for (size_t i = 0; i < scan->count; i++)
            kafka_reader_stop(reader, scan->positions[i].topic, scan->positions[i].partition);
    }
    return 0;
}

static int read_tails(const struct kafka_options *options, struct scan *scan, struct error *error) {
    if (read_watermarks(options, scan, error)) return -1;
    struct kafka_reader *reader = kafka_reader_new(options, KAFKA_TAILS, error);
    if (!reader) return -1;
    int result = wait_stable(reader, scan, error);
    if (!result) result = find_results(reader, scan, error);
    for (size_t i = 0; i < scan->count && !result; i++) scan->tails[i].of->ret_end[scan->tails[i].topic] = scan->tails[i].end;
    kafka_reader_free(reader);
    return result;
}

int output_tail_read(const struct kafka_options *options, struct output_tail *tails, size_t count, struct error *error) {
    if (!count) return 0;
    struct scan scan = {.count = count * OUTPUT_TOPICS};
    int result = -1;
    scan.tails = calloc(scan.count, sizeof *scan.tails);
    scan.positions = calloc(scan.count, sizeof *scan.positions);
    if (!scan.tails || !scan.positions) {
        error_memory(error);
        goto cleanup;
    }
    for (size_t i = 0; i < scan.count; i++) {
        struct output_tail *of = &tails[i / OUTPUT_TOPICS];
        enum output_topic topic = (enum output_topic)(i % OUTPUT_TOPICS);
        of->ret_stable = true;
        of->ret_found[topic] = false;
        scan.tails[i] = (struct tail){.of = of, .topic = topic};
        scan.positions[i] = (struct kafka_position){kafka_output_topic(topic), of->shard, 0};
    }
    result = read_tails(options, &scan, error);
cleanup:
    free(scan.tails);
    free(scan.positions);
    return result;
}
