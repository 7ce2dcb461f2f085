/* sluice dead-letter list, show: records that were no events, as they lie on the dead-letter topic. */
#include "command.h"
#include "json.h"
#include "options.h"
#include "output.h"
#include "settings_kafka.h"
#include "text.h"

#include <json_object.h>
#include <stdlib.h>
#include <time.h>

enum { QUIET_MS = 15000, MEMORY = 16 * 1024 * 1024, VALUE_SHOWN = 4096 };

static const char list_about[] =
    "Lists the records that could not be read as an event of anybody: without a usable id, source and subject. Each lies on the "
    "dead-letter topic as it came, with the error beside it.\n"
    "\n"
    "Exit status: 0 listed, 2 the brokers did not answer.";
static const char show_about[] = "Shows one record of the dead-letter topic: its error, its headers, key and value.\n"
                                 "\n"
                                 "Exit status: 0 shown, 1 there is none at that place, 2 the brokers did not answer.";

/* What a dead letter's own header says of it. */
struct letter {
    struct slice code, message, topic, at;
    int64_t partition, offset; /* where it was read; -1 unknown */
};

typedef int letter_function(void *context, const struct kafka_record *record, const struct letter *letter);

/* -1 without memory. */
static int read_letter(struct arena *arena, const struct kafka_record *record, struct letter *ret_letter, struct error *error) {
    const struct json *said = NULL;
    struct error why = {0};
    struct slice text = kafka_record_header(record, "sluice_error");
    if (text.p && json_read_strict(arena, text, NULL, &said, &why) && why.kind == ERROR_INTERNAL) return error_memory(error);
    *ret_letter = (struct letter){.code = json_get_text(said, "code"),
                                  .message = json_get_text(said, "message"),
                                  .topic = json_get_text(said, "topic"),
                                  .at = json_get_text(said, "at"),
                                  .partition = -1,
                                  .offset = -1};
    (void)json_int64(json_get(said, "partition"), &ret_letter->partition);
    (void)json_int64(json_get(said, "offset"), &ret_letter->offset);
    return 0;
}

/* ---- reading a topic from its start to its end as it is now ---- */

struct span {
    struct kafka_reader *reader;
    struct kafka_position *starts, *ends;
    uint32_t count, open;
};

static void span_release(struct span *span) {
    kafka_reader_free(span->reader);
    free(span->starts);
    free(span->ends);
}

static int span_init(struct span *span, const struct kafka_options *options, struct error *error) {
    *span = (struct span){.reader = kafka_reader_new(options, KAFKA_TAILS, error)};
    if (!span->reader || kafka_reader_partitions(span->reader, KAFKA_DEAD_LETTER, &span->count, error)) return -1;
    span->starts = calloc(span->count, sizeof *span->starts);
    span->ends = calloc(span->count, sizeof *span->ends);
    if (!span->starts || !span->ends) return error_memory(error);
    for (uint32_t i = 0; i < span->count; i++) span->starts[i] = span->ends[i] = (struct kafka_position){KAFKA_DEAD_LETTER, i, 0};
    if (kafka_reader_offsets(span->reader, KAFKA_BEGINNING, span->starts, span->count, error)) return -1;
    return kafka_reader_offsets(span->reader, KAFKA_END, span->ends, span->count, error);
}

static int span_start(struct span *span, struct error *error) {
    for (uint32_t i = 0; i < span->count; i++) {
        if (span->starts[i].offset >= span->ends[i].offset) continue;
        if (kafka_reader_start(span->reader, &span->starts[i], error)) return -1;
        span->open++;
    }
    return 0;
}

static bool is_past(const struct span *span, const struct kafka_record *record) {
    return span->starts[record->partition].offset >= span->ends[record->partition].offset;
}

/* What the function returns, or -1. */
static int give(const struct kafka_record *record, letter_function *function, void *context, struct error *error) {
    struct arena arena;
    struct letter letter;
    arena_init(&arena, MEMORY);
    int result = read_letter(&arena, record, &letter, error) ? -1 : function(context, record, &letter);
    arena_release(&arena);
    return result;
}

/* Calls the function for every record of the span, until it returns 1. */
static int span_read(struct span *span, letter_function *function, void *context, struct error *error) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    for (time_t heard = now.tv_sec; span->open;) {
        struct kafka_record record;
        enum kafka_read read = kafka_reader_next(span->reader, 1000, &record, error);
        if (read == KAFKA_READ_FAILED) return -1;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        if (read == KAFKA_READ_NOTHING) {
            if ((now.tv_sec - heard) * 1000 > QUIET_MS)
                return error_set(error, ERROR_UNAVAILABLE, "kafka-timeout", "the brokers give no more dead letters; try again");
            continue;
        }
        heard = now.tv_sec;
        if (is_past(span, &record)) continue;
        bool inside = record.offset < span->ends[record.partition].offset;
        int given = read == KAFKA_READ_RECORD && inside ? give(&record, function, context, error) : 0;
        if (given) return given < 0 ? -1 : 0;
        span->starts[record.partition].offset = record.offset + (read == KAFKA_READ_RECORD);
        if (read == KAFKA_READ_AT_END) span->starts[record.partition].offset = span->ends[record.partition].offset;
        if (is_past(span, &record)) span->open--;
    }
    return 0;
}

/* ---- printing ---- */

static struct json_object *letter_object(const struct kafka_record *record, const struct letter *letter) {
    struct json_object *entry = output_object();
    output_set_number(entry, "partition", record->partition);
    output_set_number(entry, "offset", record->offset);
    output_set_text(entry, "code", letter->code);
    output_set_text(entry, "message", letter->message);
    output_set_text(entry, "topic", letter->topic);
    if (letter->partition >= 0) output_set_number(entry, "inputPartition", letter->partition);
    if (letter->offset >= 0) output_set_number(entry, "inputOffset", letter->offset);
    output_set_text(entry, "at", letter->at);
    return entry;
}

static int list_letter(void *context, const struct kafka_record *record, const struct letter *letter) {
    struct json_object *list = context;
    if (list) {
        output_append(list, letter_object(record, letter));
        return 0;
    }
    printf("%4u %10lld  ", record->partition, (long long)record->offset);
    output_safe(stdout, letter->at.p ? letter->at : SLICE("-"));
    printf("  ");
    output_safe(stdout, letter->code.p ? letter->code : SLICE("no-dead-letter-of-ours"));
    printf(" from ");
    output_safe(stdout, letter->topic);
    printf(", partition %lld, offset %lld: ", (long long)letter->partition, (long long)letter->offset);
    output_safe(stdout, letter->message);
    (void)putchar('\n');
    return 0;
}

static int list(const struct kafka_options *options, bool json) {
    struct error error = {0};
    struct span span;
    struct json_object *document = json ? output_array() : NULL;
    int status = EXIT_YES;
    if (span_init(&span, options, &error) || span_start(&span, &error) || span_read(&span, list_letter, document, &error)) {
        output_failure(&error);
        status = EXIT_COULD_NOT_TELL;
        (void)json_object_put(document);
    } else if (json) {
        output_print(document);
    }
    span_release(&span);
    return status;
}

struct wanted {
    uint32_t partition;
    int64_t offset;
    bool json, found;
};

static void show_plain(const struct kafka_record *record, const struct letter *letter) {
    (void)list_letter(NULL, record, letter);
    for (size_t i = 0; i < record->header_count; i++) {
        printf("%s", "header ");
        output_safe(stdout, record->headers[i].name);
        printf(": ");
        output_safe(stdout, record->headers[i].value.p ? record->headers[i].value : SLICE("(null)"));
        (void)putchar('\n');
    }
    printf("key: ");
    output_safe(stdout, record->key.p ? record->key : SLICE("(null)"));
    printf("\nvalue, %zu bytes: ", record->value.n);
    output_safe(stdout, slice_of(record->value.p, record->value.n < VALUE_SHOWN ? record->value.n : VALUE_SHOWN));
    printf("%s\n", record->value.n > VALUE_SHOWN ? " ..." : "");
}

/* Hex, because key, headers and value are any bytes, and text beside it where it is one. */
static void set_bytes(struct json_object *object, const char *name, const char *hex_name, struct slice bytes) {
    if (!bytes.p) return;
    if (text_is_utf8(bytes)) {
        output_set_text(object, name, bytes);
        return;
    }
    char *hex = malloc(2 * bytes.n + 1);
    if (!hex) return;
    text_hex(hex, (const unsigned char *)bytes.p, bytes.n);
    output_set_text(object, hex_name, slice_of(hex, 2 * bytes.n));
    free(hex);
}

static struct json_object *show_object(const struct kafka_record *record, const struct letter *letter) {
    struct json_object *document = letter_object(record, letter), *headers = output_array();
    for (size_t i = 0; i < record->header_count; i++) {
        struct json_object *header = output_object();
        set_bytes(header, "name", "nameHex", record->headers[i].name);
        set_bytes(header, "value", "valueHex", record->headers[i].value);
        output_append(headers, header);
    }
    output_set(document, "headers", headers);
    set_bytes(document, "key", "keyHex", record->key);
    set_bytes(document, "value", "valueHex", record->value);
    return document;
}

static int show_letter(void *context, const struct kafka_record *record, const struct letter *letter) {
    struct wanted *wanted = context;
    if (record->partition != wanted->partition || record->offset != wanted->offset) return 1; /* what lies behind it */
    wanted->found = true;
    if (wanted->json)
        output_print(show_object(record, letter));
    else
        show_plain(record, letter);
    return 1;
}

static int show(const struct kafka_options *options, struct wanted *wanted) {
    struct error error = {0};
    struct span span;
    int status = EXIT_COULD_NOT_TELL;
    if (span_init(&span, options, &error)) goto failed;
    for (uint32_t i = 0; i < span.count; i++) { /* only that record's place is read */
        bool kept = i == wanted->partition && wanted->offset >= span.starts[i].offset && wanted->offset < span.ends[i].offset;
        span.starts[i].offset = kept ? wanted->offset : span.ends[i].offset;
    }
    if (span_start(&span, &error) || span_read(&span, show_letter, wanted, &error)) goto failed;
    status = wanted->found ? EXIT_YES : EXIT_NO;
    if (!wanted->found)
        output_error("there is no dead letter at partition %u, offset %lld", wanted->partition, (long long)wanted->offset);
    span_release(&span);
    return status;
failed:
    output_failure(&error);
    span_release(&span);
    return status;
}

/* ---- commands ---- */

int command_dead_letter_list(int argc, char **argv) {
    const char *path = NULL;
    bool json = false;
    const struct option options[] = {
        SETTINGS_OPTION(&path),
        {"json", NULL, OPTION_FLAG, &json,
         .help = "print [{partition, offset, code, message, topic, inputPartition, inputOffset, at}]"},
    };
    const struct usage usage = {"dead-letter list", "[OPTION...]", list_about, "sluice dead-letter list", OPTIONS(options)};
    struct brokers brokers;
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    status = brokers_open(&brokers, path);
    if (status) return status;
    status = list(&brokers.options, json);
    brokers_close(&brokers);
    return status;
}

int command_dead_letter_show(int argc, char **argv) {
    const char *path = NULL, *partition = NULL, *offset = NULL;
    struct wanted wanted = {0};
    const struct option options[] = {
        {"PARTITION", NULL, OPTION_POSITION, &partition, .help = "of the dead-letter topic, as list prints it", .required = true},
        {"OFFSET", NULL, OPTION_POSITION, &offset, .help = "there", .required = true},
        SETTINGS_OPTION(&path),
        {"json", NULL, OPTION_FLAG, &wanted.json,
         .help =
             "print what list prints with headers [{name, value}], key and value; what is no UTF-8 is nameHex, valueHex, keyHex"},
    };
    const struct usage usage = {"dead-letter show", "PARTITION OFFSET [OPTION...]", show_about, "sluice dead-letter show 3 17",
                                OPTIONS(options)};
    struct brokers brokers;
    int status;
    uint64_t place[2];
    if (!options_parse(&usage, argc, argv, &status)) return status;
    if (!text_parse_number(slice_str(partition), INT32_MAX, &place[0]))
        return options_wrong(&usage, "'%s' is no number of a partition", partition);
    if (!text_parse_number(slice_str(offset), INT64_MAX, &place[1])) return options_wrong(&usage, "'%s' is no offset", offset);
    wanted.partition = (uint32_t)place[0];
    wanted.offset = (int64_t)place[1];
    status = brokers_open(&brokers, path);
    if (status) return status;
    status = show(&brokers.options, &wanted);
    brokers_close(&brokers);
    return status;
}
