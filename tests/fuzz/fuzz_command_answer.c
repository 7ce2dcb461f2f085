/* Any Kafka record (fuzz.h says how it stands in the input) as an answer on the results topic and as a dead letter, through what
 * the commands print of it: nothing in it steers a terminal, and --json prints JSON.
 *
 * Covers: producer/answer.c producer/dead_letter.c */
#include "answer.h"
#include "command.h"
#include "fuzz.h"

/* ---- a Kafka with one record: partition 0, offset 7 ---- */

static struct fuzz_record input;
static int step;

struct kafka_reader *kafka_reader_new(const struct kafka_options *options, enum kafka_view view, struct error *error) {
    (void)options, (void)view, (void)error;
    step = 0;
    return (struct kafka_reader *)(void *)&input;
}

int kafka_reader_partitions(struct kafka_reader *reader, enum kafka_topic topic, uint32_t *ret_count, struct error *error) {
    (void)reader, (void)topic, (void)error;
    return *ret_count = 1, 0;
}

int kafka_reader_offsets(struct kafka_reader *reader, int64_t at_ms, struct kafka_position *positions, size_t count,
                         struct error *error) {
    (void)reader, (void)error;
    for (size_t i = 0; i < count; i++) positions[i].offset = at_ms == KAFKA_END ? 8 : 7;
    return 0;
}

int kafka_reader_start(struct kafka_reader *reader, const struct kafka_position *position, struct error *error) {
    (void)reader, (void)error;
    REQUIRE(position->partition == 0 && position->offset == 7);
    return 0;
}

void kafka_reader_stop(struct kafka_reader *reader, enum kafka_topic topic, uint32_t partition) {
    (void)reader, (void)topic, (void)partition;
}

static struct kafka_record record_of(enum kafka_topic topic) {
    return (struct kafka_record){.topic = topic,
                                 .offset = 7,
                                 .at_ms = -1,
                                 .key = input.record.key,
                                 .value = input.record.value,
                                 .headers = input.headers,
                                 .header_count = input.record.header_count};
}

enum kafka_read kafka_reader_next(struct kafka_reader *reader, int timeout_ms, struct kafka_record *ret_record,
                                  struct error *error) {
    (void)reader, (void)timeout_ms, (void)error;
    *ret_record = record_of(KAFKA_DEAD_LETTER);
    if (step++ == 0) return KAFKA_READ_RECORD;
    ret_record->offset = 8;
    return KAFKA_READ_AT_END;
}

void kafka_reader_free(struct kafka_reader *reader) { (void)reader; }

/* ---- what must hold of what is printed ---- */

static char *text;
static size_t text_size;

static FILE *begin(void) {
    FILE *to = open_memstream(&text, &text_size);
    REQUIRE(to);
    return to;
}

static void end(FILE *to) { REQUIRE(fclose(to) == 0); }

static void require_harmless(void) {
    for (size_t i = 0; i < text_size; i++) {
        unsigned char c = (unsigned char)text[i], next = i + 1 < text_size ? (unsigned char)text[i + 1] : 0;
        if ((c >= ' ' && c != 0x7f && !(c == 0xc2 && next >= 0x80 && next < 0xa0)) || c == '\n') continue;
        fprintf(stderr, "what would be printed has the byte 0x%02x: %.*s\n", c, (int)text_size, text);
        abort();
    }
    free(text);
}

static void require_json(void) {
    struct arena arena;
    struct json_document document;
    static const struct json_limits limits = {.bytes = 64 * 1024 * 1024, .depth = 32, .values = 100000};
    arena_init(&arena, 64 * 1024 * 1024);
    REQUIRE(text_size && text[text_size - 1] == '\n');
    REQUIRE(json_read(&arena, slice_of(text, text_size), &limits, &document, NULL) == 0);
    arena_release(&arena);
    free(text);
}

static void run_command(command_function *function, int argc, char **argv, bool json) {
    FILE *before = stdout;
    stdout = begin();
    int status = function(argc, argv);
    end(stdout);
    stdout = before;
    REQUIRE(status == EXIT_YES);
    if (json)
        require_json();
    else
        require_harmless();
}

static void check_dead_letter(void) {
    run_command(command_dead_letter_list, 1, (char *[]){"list", NULL}, false);
    run_command(command_dead_letter_list, 2, (char *[]){"list", "--json", NULL}, true);
    run_command(command_dead_letter_show, 3, (char *[]){"show", "0", "7", NULL}, false);
    run_command(command_dead_letter_show, 4, (char *[]){"show", "0", "7", "--json", NULL}, true);
}

static void check_answer(struct arena *arena, const struct asker *asker) {
    struct answer answer;
    struct error error;
    const struct kafka_record record = record_of(KAFKA_RESULTS);
    if (answer_read(arena, &record, asker, &answer, &error) <= 0) return;
    REQUIRE(answer.data && answer.type.n && slice_starts(answer.type, SLICE("dev.sluice.")));
    int status = answer_status(&answer);
    REQUIRE(status == EXIT_YES || status == EXIT_NO);
    if (answer_is_refusal(&answer)) REQUIRE(status == EXIT_NO || answer.final);
    FILE *to = begin();
    answer_print_waiting(to, &answer, NULL);
    answer_print_waiting(to, &answer, &answer);
    answer_print_final(to, &answer);
    end(to);
    require_harmless();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    static bool prepared;
    if (!prepared) REQUIRE(setenv("SLUICE_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1", 1) == 0);
    prepared = true;
    fuzz_record_read(slice_of(data, size), &input);
    arena_init(&arena, 64 * 1024 * 1024);
    const struct asker promotion = {.promotion = SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaa")};
    const struct asker event = {.project = SLICE("acme/shop"), .source = SLICE("/ci"), .id = SLICE("1")};
    const struct asker quoted = {
        .project = SLICE("acme/shop"), .source = SLICE("/ci"), .id = SLICE("\"1\\"), .environment = SLICE("dev")};
    check_answer(&arena, &promotion);
    check_answer(&arena, &event);
    check_answer(&arena, &quoted);
    arena_release(&arena);
    check_dead_letter();
    return 0;
}
