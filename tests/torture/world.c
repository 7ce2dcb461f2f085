/* The story of a lane, and what must be true when it is over. */
#include "world.h"

#include "decode.h"
#include "lane.h"
#include "log.h"
#include "operation.h"
#include "publish.h"
#include "result.h"

#include <stdio.h>
#include <stdlib.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define DIGEST "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define TIME "2026-03-01T10:00:00Z"

enum { TURN_MS = 50, TURNS_MAX = 4000, POOL = 32 * 1024 * 1024, OPERATOR_TURNS = 200, SLOW_MS = 2000 };
static const instant began = 1772359200000000 /* TIME */, SOON = 60000000;

struct world world;
struct lane_metrics world_metrics;

const char *const operation_names[OPERATION_COUNT] = {
#define OPERATION_NAME(name, port) #port "." #name,
    OPERATIONS(OPERATION_NAME)
#undef OPERATION_NAME
};

static char pool[POOL];
static size_t pool_used;

struct slice world_keep(struct slice bytes) {
    if (POOL - pool_used < bytes.n + 1) abort();
    char *at = pool + pool_used;
    if (bytes.n) memcpy(at, bytes.p, bytes.n);
    at[bytes.n] = '\0';
    pool_used += bytes.n + 1;
    return slice_of(at, bytes.n);
}

bool world_fails(enum port_operation operation, bool after, struct error *error) {
    if (!after) world.calls[operation]++;
    unsigned long call = world.calls[operation];
    for (size_t i = 0; i < sizeof world.failures / sizeof *world.failures; i++) {
        const struct failure *f = &world.failures[i];
        if (f->operation != operation || f->after != after || call < f->nth || call >= f->nth + f->times) continue;
        world.fired++;
        (void)error_set(error, f->kind, "test", "as the test says");
        return true;
    }
    return false;
}

static uint64_t now_ms(struct lane_clock *clock) { return (void)clock, world.now; }
struct lane_clock world_clock = {now_ms};
instant world_instant(void) { return began + (instant)world.now * 1000; }

/* ---- one life of the lane's process ---- */

static struct {
    struct lane *lane;
    struct publisher *publisher;
    struct handoff *handoff;
    struct decoder *decoder;
    bool running; /* the publisher's thread */
    bool warned;  /* something was said in the log */
} life;

static void turn_publisher(void) {
    if (life.running) life.running = publisher_step(life.publisher, 0);
}

/* While one thread waits for the other, the other has its turn. */
struct report *__real_handoff_reports(struct handoff *handoff, int wait_ms);
struct report *__wrap_handoff_reports(struct handoff *handoff, int wait_ms);
struct report *__wrap_handoff_reports(struct handoff *handoff, int wait_ms) {
    struct report *reports = __real_handoff_reports(handoff, 0);
    if (reports || wait_ms <= 0) return reports;
    turn_publisher();
    world.now += (uint64_t)wait_ms;
    return __real_handoff_reports(handoff, 0);
}

/* What the lane writes to its log is only shown to those who ask. */
void __wrap_log_line(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));
void __wrap_log_line(enum log_level level, const char *event, const char *format, ...) {
    va_list arguments;
    life.warned |= level >= LOG_WARN;
    if (!getenv("SLUICE_TORTURE_LOG")) return;
    fprintf(stderr, "%llu %d %s ", (unsigned long long)world.now, (int)level, event);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void __wrap_log_error(enum log_level level, const char *event, const struct error *error);
void __wrap_log_error(enum log_level level, const char *event, const struct error *error) {
    EXPECT(error->message[0]); /* whatever it was, somebody has to understand it */
    __wrap_log_line(level, event, "%s: %s", error->code, error->message);
}

static void end_life(void) {
    publisher_free(life.publisher);
    lane_free(life.lane);
    handoff_free(life.handoff);
    decoder_free(life.decoder);
    memset(&life, 0, sizeof life);
    world.fetched_count = 0;
}

/* As lane_main does it; false when the process has ended at once. */
static bool begin_life(void) {
    struct error error = {0};
    unsigned char owner[STORE_OWNER] = {0}, installation[16];
    char ids[OUTPUT_PRODUCERS][32];
    uint32_t shards;
    unsigned number = ++world.lives;
    memcpy(owner, &number, sizeof number);
    for (int i = 0; i < OUTPUT_PRODUCERS; i++) (void)snprintf(ids[i], sizeof ids[i], "life-%u-%d", number, i);
    const struct slice names[] = {world_keep(slice_str(ids[0])), world_keep(slice_str(ids[1]))};
    struct output *output = world_output(names);
    memset(&world_metrics, 0, sizeof world_metrics);
    world.pending_assignment = true;
    world.pending_revocation = false;
    life.handoff = handoff_new();
    life.decoder = life.handoff ? decoder_new(&error) : NULL;
    if (!life.decoder || world_store.operations->installation(&world_store, installation, &shards, &error)) return false;
    struct publisher_options publisher = {
        .handoff = life.handoff, .output = output, .store = &world_store, .clock = &world_clock, .shards = shards};
    memcpy(publisher.owner, owner, STORE_OWNER);
    memcpy(publisher.installation, installation, sizeof installation);
    struct lane_options lane = {.input = &world_input,
                                .store = &world_store,
                                .registry = &world_registry,
                                .clock = &world_clock,
                                .handoff = life.handoff,
                                .metrics = &world_metrics,
                                .decoder = life.decoder,
                                .topics = {"", "release.builds", "release.requests"},
                                .ids = {names[0], names[1]},
                                .shards = shards,
                                .batch_records = 4,
                                .batch_bytes = 4000000,
                                .registry_wait_ms = 500,
                                .random = 42};
    memcpy(lane.owner, owner, STORE_OWNER);
    life.publisher = publisher_new(&publisher);
    life.lane = life.publisher ? lane_new(&lane) : NULL;
    if (!life.lane || publisher_start(life.publisher, &error)) return false;
    life.running = true;
    return true;
}

/* The pipeline's thread has left its loop. */
static void finish_life(void) {
    if (life.lane->failed) EXPECT(life.warned); /* the log says why */
    if (handoff_order(life.handoff, &(struct order){.kind = ORDER_END}))
        for (int i = 0; i < 4; i++) turn_publisher();
    end_life();
}

static void turn(void) {
    world.now += TURN_MS;
    if (!life.lane) {
        if (begin_life()) return;
        end_life();
        world.now += 500;
        return;
    }
    if (world.now < life.lane->pause_until) world.now = life.lane->pause_until; /* nobody waits for real */
    if (lane_step(life.lane, 0))
        turn_publisher();
    else
        finish_life();
}

/* ---- the story ---- */

static uint32_t home(const char *project) { return text_murmur2(slice_str(project)) % SHARDS; }

static struct record *add(enum input_topic topic, uint32_t shard) {
    struct partition *partition = &world.inputs[topic][shard];
    if (partition->count == RECORDS_MAX) abort();
    struct record *record = &partition->records[partition->count];
    *record = (struct record){.topic = topic, .shard = shard, .offset = partition->count++};
    return record;
}

static void add_event(enum input_topic topic, const char *project, const char *id, const char *type, const char *data) {
    static const struct record_header headers[] = {{SLICE("content-type"), SLICE("application/cloudevents+json")}};
    char text[4096];
    (void)snprintf(text, sizeof text,
                   "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/ci\",\"subject\":\"%s\",\"type\":\"%s\",\"time\":\"" TIME
                   "\",\"traceparent\":\"00-%s\",\"data\":%s}",
                   id, project, type, id, data);
    struct record *record = add(topic, home(project));
    record->key = world_keep(slice_str(project));
    record->value = world_keep(slice_str(text));
    record->headers = headers;
    record->header_count = 1;
}

static void add_build(const char *project, const char *id, const char *sha) {
    char data[2048];
    (void)snprintf(
        data, sizeof data,
        "{\"manifest\":\"{\\\"schemaVersion\\\":\\\"1.0\\\",\\\"gitSha\\\":\\\"%s\\\",\\\"buildTimestamp\\\":\\\"" TIME
        "\\\",\\\"artifacts\\\":[{\\\"name\\\":\\\"app\\\",\\\"type\\\":\\\"docker-image\\\",\\\"digest\\\":\\\"" DIGEST
        "\\\",\\\"uri\\\":\\\"r:5000/acme/"
        "shop\\\"}],\\\"sbomReference\\\":{\\\"uri\\\":\\\"sbom.json\\\"},\\\"evidenceReference\\\":"
        "{\\\"uri\\\":\\\"evidence.json\\\"},\\\"attestation\\\":{\\\"status\\\":\\\"disabled\\\",\\\"issueLink\\\":"
        "\\\"https://issues.example/1\\\"}}\"}",
        sha);
    add_event(INPUT_BUILDS, project, id, "dev.sluice.build.complete.v1", data);
}

static void add_request(const char *project, const char *id, const char *sha, const char *environment, const char *more) {
    char data[512];
    (void)snprintf(data, sizeof data, "{\"releaseRef\":\"%s\",\"targetEnv\":\"%s\",\"requester\":\"github:1\"%s}", sha,
                   environment, more);
    add_event(INPUT_REQUESTS, project, id, "dev.sluice.promotion.requested.v1", data);
}

/* Two projects, one on each shard. */
static const char *const projects[] = {"acme/shop", "acme/tool2"};

/* Lanes died on that record, or, of INPUT_NONE, at that sum of a shard's two positions. */
static void lanes_died(const char *project, enum input_topic topic, uint64_t at) {
    struct shard_row *row = &world.shards[home(project)];
    row->crash_topic = topic;
    row->crash_position = at;
    row->crash_count = 3;
}

/* Lanes died on the first request, and the log takes its time to give it: the build has to wait. */
static void releases_are_built(void) {
    add(INPUT_REQUESTS, home(projects[1]))->value = SLICE("killer");
    lanes_died(projects[1], INPUT_REQUESTS, 0);
    world.slow.topic = INPUT_REQUESTS;
    world.slow.shard = home(projects[1]);
    world.slow.until = world.now + SLOW_MS;
    for (size_t i = 0; i < 2; i++) add_build(projects[i], "b1", A);
    add(INPUT_BUILDS, home(projects[0]))->value = SLICE("junk");
    add_event(INPUT_BUILDS, projects[0], "b2", "dev.sluice.build.complete.v1", "{\"manifest\":\"{}\"}");
}

static void they_are_promoted(void) {
    for (size_t i = 0; i < 2; i++) {
        add_request(projects[i], "r1", A, "dev", "");
        add_request(projects[i], "r1", A, "dev", "");
        add_request(projects[i], "r2", A, "staging", "");
        add_request(projects[i], "r3", B, "dev", "");
    }
    add_request(projects[0], "r1", A, "staging", "");
    add_request(projects[0], "r4", A, "dev", ",\"dryRun\":true");
    add_request(projects[0], "r5", A, "dev", ",\"surprise\":1");
    add_request(projects[0], "r6", A, "moon", "");
    add_request(projects[0], "r7", B, "dev", "");
    add_request(projects[0], "r8", A, "dev", ",\"reason\":\"1\",\"reason\":\"2\"");
    add(INPUT_REQUESTS, home(projects[1])); /* a null value */
}

static void what_was_waited_for_arrives(void) {
    for (size_t i = 0; i < 2; i++) add_build(projects[i], "b3", B);
}

static const char first_policy[] = "version: 1\n"
                                   "registries:\n"
                                   "  'r:5000': {allow-private: true}\n"
                                   "projects:\n"
                                   "- match: 'acme/*'\n"
                                   "  unsigned: allow\n"
                                   "  environments:\n"
                                   "    dev: {}\n"
                                   "    staging: {after: [dev]}\n";
static const char second_policy[] = "version: 1\n"
                                    "registries:\n"
                                    "  'r:5000': {allow-private: true}\n"
                                    "projects:\n"
                                    "- match: 'acme/*'\n"
                                    "  unsigned: allow\n"
                                    "  environments:\n"
                                    "    dev: {}\n"
                                    "    staging: {after: [dev]}\n"
                                    "    prod: {after: [staging]}\n";

static void the_policy_is_changed(void) {
    world.control_version = 2;
    world.policy = second_policy;
}

static void the_new_environment_is_used(void) {
    add_request(projects[0], "p1", A, "prod", "");
    add_request(projects[1], "p1", B, "prod", "");
}

/* Meanwhile lanes died elsewhere: on a build that the log has lost, so that what waits for it must not wait for ever, and on one
 * of the records of a batch. */
static void the_group_moves_and_time_goes_by(void) {
    const struct shard_row *row = &world.shards[home(projects[1])];
    lanes_died(projects[0], INPUT_BUILDS, RECORDS_MAX);
    lanes_died(projects[1], INPUT_NONE, row->position[INPUT_BUILDS] + row->position[INPUT_REQUESTS]);
    world.pending_revocation = true;
    world.now += 31000;
}

static void one_more_is_asked_for(void) {
    for (size_t i = 0; i < 2; i++) add_request(projects[i], "q1", B, "staging", "");
}

static void (*const phases[])(void) = {releases_are_built,    they_are_promoted,           what_was_waited_for_arrives,
                                       the_policy_is_changed, the_new_environment_is_used, the_group_moves_and_time_goes_by,
                                       one_more_is_asked_for};

/* Everything that was sent is in the ledger and published, and nothing is due. */
static bool is_quiet(void) {
    if (!life.lane || world.pending_assignment || world.pending_revocation) return false;
    for (uint32_t n = 0; n < SHARDS; n++) {
        const struct shard_row *row = &world.shards[n];
        for (int topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
            if (row->position[topic] < world.inputs[topic][n].count) return false;
        if (row->control_version != world.control_version || row->stopped.p || life.lane->shards[n].state != SHARD_OWNED)
            return false;
        if (world.outputs[OUTPUT_RESULTS][n].count + world.outputs[OUTPUT_DEAD_LETTER][n].count < row->sequence) return false;
    }
    for (size_t i = 0; i < world.promotion_count; i++) {
        const struct promotion_row *row = &world.promotions[i].row;
        if (row->outcome == PROMOTION_WAITING && row->wake_at <= world_instant() + SOON) return false;
    }
    return true;
}

static void resume_as_an_operator(unsigned turns) {
    for (uint32_t n = 0; n < SHARDS && turns % OPERATOR_TURNS == 0; n++) world.shards[n].stopped = (struct slice){0};
}

static bool until_quiet(void) {
    for (unsigned turns = 1; turns < TURNS_MAX; turns++) {
        turn();
        resume_as_an_operator(turns);
        if (is_quiet()) return true;
    }
    return false;
}

void world_begin(const struct failure *failures, size_t count) {
    memset(&world, 0, sizeof world);
    pool_used = 0;
    world.now = 1000;
    for (size_t i = 0; i < count; i++) world.failures[i] = failures[i];
    world.policy = first_policy;
    world.control_version = 1;
    unsigned char installation[16];
    memset(installation, 7, sizeof installation);
    for (uint32_t n = 0; n < SHARDS; n++) {
        struct shard_row *row = &world.shards[n];
        row->shard = n;
        row->head = ledger_genesis(installation, n);
        row->fence_ids = world.ids[n];
        for (int topic = 0; topic < OUTPUT_TOPICS; topic++) row->settled[topic].offset = -1;
    }
    /* The last lane died, and has left its ids. */
    struct shard_row *row = &world.shards[home(projects[1])];
    row->fence_ids[row->fence_id_count++] = SLICE("dead-0");
}

void world_send(void) {
    releases_are_built();
    they_are_promoted();
}

bool world_run(void) {
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        phases[i]();
        if (until_quiet()) continue;
        operation_says("it never came to the end of phase %zu, at %llu ms", i, (unsigned long long)world.now);
        return false;
    }
    if (life.lane) lane_end(life.lane);
    for (int turns = 0; turns < TURNS_MAX && life.lane; turns++) turn();
    return !life.lane;
}

void world_end(void) { end_life(); }

/* ---- what must be true ---- */

struct sent world_sent(const struct output_record *record);

static void check_chain(uint32_t shard) {
    unsigned char installation[16];
    memset(installation, 7, sizeof installation);
    struct digest head = ledger_genesis(installation, shard);
    for (uint64_t sequence = 1; sequence <= world.shards[shard].sequence; sequence++) {
        const struct ledger_row *row = &world.rows[shard][sequence - 1];
        struct digest hash = ledger_hash(row, &head);
        EXPECT(row->sequence == sequence && digest_equal(&hash, &row->hash));
        head = hash;
    }
    EXPECT(digest_equal(&head, &world.shards[shard].head));
}

/* Each row once, in order, and byte for byte as it is made from the ledger. */
static void check_published(uint32_t shard) {
    size_t at[OUTPUT_TOPICS] = {0};
    struct arena arena;
    arena_init(&arena, 16 * 1024 * 1024);
    for (uint64_t sequence = 1; sequence <= world.shards[shard].sequence; sequence++) {
        const struct ledger_row *row = &world.rows[shard][sequence - 1];
        enum output_topic topic;
        struct answer answer = {.row = *row};
        struct output_record record;
        if (!result_topic(row->kind, &topic)) continue;
        arena_reset(&arena);
        if (!EXPECT(at[topic] < world.outputs[topic][shard].count)) break;
        const struct sent *sent = &world.outputs[topic][shard].committed[at[topic]++];
        if (!EXPECT(sent->sequence == sequence))
            operation_says("row %llu of shard %u stands at %llu", (unsigned long long)sequence, shard,
                           (unsigned long long)sent->sequence);
        EXPECT(digest_equal(&sent->hash, &row->hash));
        EXPECT(!result_recall(&arena, row, &answer) &&
               !result_record(&arena, &answer, SLICE("/sluice/07070707-0707-0707-0707-070707070707"), &record));
        struct sent again = world_sent(&record);
        EXPECT(digest_equal(&again.bytes, &sent->bytes));
    }
    for (int topic = 0; topic < OUTPUT_TOPICS; topic++) EXPECT(at[topic] == world.outputs[topic][shard].count);
    arena_release(&arena);
}

static const struct ledger_row *row_of(enum input_topic topic, uint32_t shard, uint64_t offset) {
    const struct ledger_row *found = NULL;
    for (uint64_t i = 0; i < world.shards[shard].sequence; i++) {
        const struct ledger_row *row = &world.rows[shard][i];
        if (row->topic != topic || row->offset != offset) continue;
        if (!EXPECT(!found))
            operation_says("topic %d, shard %u, offset %llu has two rows", (int)topic, shard, (unsigned long long)offset);
        found = row;
    }
    if (!EXPECT(found))
        operation_says("topic %d, shard %u, offset %llu has no row", (int)topic, shard, (unsigned long long)offset);
    return found;
}

/* A promotion's answer depends on when it was looked at; its end does not. */
static void tell_row(const struct ledger_row *row, struct buf *to) {
    struct arena arena;
    struct json_document document = {0};
    bool promotion = row->kind >= RESULT_PROMOTION_WAITING && row->kind <= RESULT_PROMOTION_EXPIRED;
    buf_print(to, "%d %u %llu: %s", (int)row->topic, row->shard, (unsigned long long)row->offset,
              promotion ? "promotion" : result_type(row->kind));
    arena_init(&arena, 16 * 1024 * 1024);
    bool depends = row->kind == RESULT_EVENT_DUPLICATE || row->kind == RESULT_PROMOTION_EVALUATED;
    if (!promotion && !depends && !json_read(&arena, row->decision, NULL, &document, NULL)) {
        struct slice code = json_get_text(document.root, "code"), path = json_get_text(document.root, "path");
        buf_print(to, " %.*s %.*s", SLICE_ARG(code), SLICE_ARG(path));
    }
    buf_char(to, '\n');
    arena_release(&arena);
}

void world_check(struct buf *to) {
    for (uint32_t n = 0; n < SHARDS; n++) {
        check_chain(n);
        check_published(n);
        for (int topic = INPUT_BUILDS; topic <= INPUT_REQUESTS; topic++)
            for (uint64_t offset = 0; offset < world.inputs[topic][n].count; offset++) {
                const struct ledger_row *row = row_of((enum input_topic)topic, n, offset);
                if (row) tell_row(row, to);
            }
        for (size_t i = 0; i < world.promotion_count; i++) {
            const struct promoted_row *p = &world.promotions[i];
            if (p->row.shard != n) continue;
            if (!EXPECT(p->finals == (p->row.outcome == PROMOTION_WAITING ? 0u : 1u)))
                operation_says("promotion of %.*s has %u final answers", SLICE_ARG(p->row.event_id), p->finals);
            buf_print(to, "promotion %.*s of %.*s: %d\n", SLICE_ARG(p->row.event_id), SLICE_ARG(p->row.project),
                      (int)p->row.outcome);
        }
    }
}
