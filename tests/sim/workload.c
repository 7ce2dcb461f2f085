#include "workload.h"

#include "digest.h"
#include "group.h"
#include "ledger.h"
#include "registry_sim.h"

#include <string.h>

struct event *events;
size_t event_count;

static struct random drawn;
static struct release_facts facts[PROJECTS][RELEASES][VARIANTS];
enum { MARKER = -1 };
static int *sent[INPUT_TOPICS + 1][SHARDS_MAX]; /* event numbers by offset, or MARKER */
static size_t sent_count[INPUT_TOPICS + 1][SHARDS_MAX], sent_room[INPUT_TOPICS + 1][SHARDS_MAX];
static bool closed[INPUT_TOPICS + 1][SHARDS_MAX];

static const instant HOUR = 3600 * (instant)SECOND, DAY = 24 * 3600 * (instant)SECOND;

/* Nothing is sent for weeks: by the clock of the database the events from number `from` on come so much later. */
static struct {
    size_t from;
    instant time;
} rest;

const char *project_name(int project) {
    static const char *const names[] = {"acme/shop", "acme/cart", "acme/api", "beta/web", "beta/data", "gamma/other"};
    return names[project];
}

bool project_is_beta(int project) { return project == 3 || project == 4; }

int project_of(struct slice name) {
    for (int i = 0; i < PROJECTS; i++)
        if (slice_is(name, project_name(i))) return i;
    return -1;
}

int release_of(int project, struct slice git_sha) {
    for (int i = 0; i < RELEASES; i++)
        if (slice_equal(facts[project][i][0].git_sha, git_sha)) return i;
    return -1;
}

const struct release_facts *release_facts(int project, int release, int variant) { return &facts[project][release][variant]; }

/* ---- releases ---- */

static void draw_artifact(struct artifact_facts *artifact, int project, int release, int variant, int number) {
    char text[DIGEST_TEXT];
    struct slice name = keep_print("%s %d %d %d", project_name(project), release, variant == 2 ? 2 : 0, number);
    struct digest digest = digest_of(name);
    digest_text(text, &digest);
    artifact->digest = keep_slice(slice_of(text, sizeof text));
}

static void draw_release(int project, int release) {
    struct random r = random_of(world.spec->seed, 9000 + (uint64_t)(project * RELEASES + release));
    size_t count = random_chance(&r, 25) ? 2 : 1;
    bool other = random_chance(&r, 15);
    int host = random_chance(&r, 4) ? HOST_FORBIDDEN : random_chance(&r, 25) ? HOST_TWO : HOST_ONE;
    uint64_t fate = random_below(&r, 100);
    micros since = fate < 75 ? 0 : fate < 92 ? random_between(&r, 0, 30 * SECOND) : -1;
    for (int variant = 0; variant < VARIANTS; variant++) {
        struct release_facts *f = &facts[project][release][variant];
        f->git_sha = keep_print("%038d%d%d", 0, project, release);
        f->artifact_count = count;
        for (size_t i = 0; i < count; i++) {
            bool plain = other && i == 1;
            f->artifacts[i] = (struct artifact_facts){
                .name = i ? "second" : "image", .type = plain ? "other" : "docker-image", .host = plain ? -1 : host};
            draw_artifact(&f->artifacts[i], project, release, variant, (int)i);
            if (variant == 0 || variant == 2) registry_sim_push(f->artifacts[i].digest, since);
        }
    }
}

/* ---- what an event looks like ---- */

static struct slice instant_text(instant at) {
    char text[TEXT_INSTANT];
    text_instant(text, at);
    return keep_slice(slice_of(text, sizeof text));
}

/* As it stands in a JSON text. */
static struct slice manifest_text(int project, int release, int variant) {
    const struct release_facts *f = release_facts(project, release, variant);
    struct slice artifacts = SLICE("");
    for (size_t i = 0; i < f->artifact_count; i++) {
        const struct artifact_facts *a = &f->artifacts[i];
        struct slice uri =
            a->host < 0 ? SLICE("") : keep_print(",\\\"uri\\\":\\\"%s/%s\\\"", host_name(a->host), project_name(project));
        artifacts = keep_print("%.*s%s{\\\"name\\\":\\\"%s\\\",\\\"type\\\":\\\"%s\\\",\\\"digest\\\":\\\"%.*s\\\"%.*s}",
                               SLICE_ARG(artifacts), i ? "," : "", a->name, a->type, SLICE_ARG(a->digest), SLICE_ARG(uri));
    }
    return keep_print(
        "{\\\"schemaVersion\\\":\\\"1.0\\\",\\\"gitSha\\\":\\\"%.*s\\\",\\\"buildTimestamp\\\":\\\"2026-03-01T0%d:00:00Z\\\","
        "\\\"artifacts\\\":[%.*s],\\\"sbomReference\\\":{\\\"uri\\\":\\\"sbom.json\\\"},"
        "\\\"evidenceReference\\\":{\\\"uri\\\":\\\"evidence.json\\\"},\\\"attestation\\\":%s}",
        SLICE_ARG(f->git_sha), variant, SLICE_ARG(artifacts),
        variant == 3 ? "{\\\"status\\\":\\\"enabled\\\",\\\"signatures\\\":[{\\\"artifact\\\":\\\"image\\\","
                       "\\\"signatureUri\\\":\\\"image.sig\\\",\\\"keyId\\\":\\\"k\\\"}]}"
                     : "{\\\"status\\\":\\\"disabled\\\",\\\"issueLink\\\":\\\"https://tracker.example/1\\\"}");
}

struct slice workload_manifest(int project, int release, int variant) {
    struct slice escaped = manifest_text(project, release, variant);
    char *text = keep(escaped.n);
    size_t n = 0;
    for (size_t i = 0; i < escaped.n; i++)
        if (escaped.p[i] != '\\') text[n++] = escaped.p[i];
    return slice_of(text, n);
}

static struct slice data_text(const struct event *e) {
    if (e->topic == INPUT_BUILDS) {
        struct slice manifest = manifest_text(e->project, e->release, e->variant);
        return keep_print("{\"manifest\":\"%.*s\"%s}", SLICE_ARG(manifest), e->kills ? ",\"reason\":\"kills lanes\"" : "");
    }
    struct slice expires = e->expires_at ? instant_text(e->expires_at) : SLICE("");
    bool invalid = e->expect == EXPECT_REFUSED && !e->on_foreign_partition;
    return keep_print("{\"releaseRef\":\"%.*s\",\"targetEnv\":\"%s\",\"requester\":\"user:%d\"%s%s%.*s%s%s}",
                      SLICE_ARG(release_facts(e->project, e->release, 0)->git_sha), environment_name(e->environment), e->content,
                      e->dry_run ? ",\"dryRun\":true" : "", expires.n ? ",\"expiresAt\":\"" : "", SLICE_ARG(expires),
                      expires.n ? "\"" : "",
                      invalid    ? ",\"colour\":1"
                      : e->kills ? ",\"reason\":\"kills lanes\""
                                 : "");
}

bool workload_is_deadly(struct slice value) { return value.n && memmem(value.p, value.n, "kills lanes", 11) != NULL; }

static struct record_header header(const char *name, struct slice value) {
    return (struct record_header){slice_str(name), value};
}

static void write_record(struct event *e) {
    struct record_header *headers = keep(8 * sizeof *headers);
    size_t count = 0;
    const char *type = e->topic == INPUT_BUILDS ? "dev.sluice.build.complete.v1" : "dev.sluice.promotion.requested.v1";
    struct slice id = keep_print("e%d", e->identity), data = data_text(e), time = instant_text(e->time);
    struct slice project = slice_str(project_name(e->project));
    e->record.key = project;
    ledger_event_key(e->key, project, SLICE("/ci"), id);
    if (e->expect == EXPECT_DEAD) {
        e->record.value = keep_print("no event at all, number %d", e->number);
    } else if (e->binary) {
        headers[count++] = header("ce_specversion", SLICE("1.0"));
        headers[count++] = header("ce_id", id);
        headers[count++] = header("ce_source", SLICE("/ci"));
        headers[count++] = header("ce_type", slice_str(type));
        headers[count++] = header("ce_subject", project);
        headers[count++] = header("ce_time", time);
        headers[count++] = header("content-type", SLICE("application/json"));
        e->record.value = data;
    } else {
        headers[count++] = header("content-type", SLICE("application/cloudevents+json"));
        e->record.value =
            keep_print("{\"specversion\":\"1.0\",\"id\":\"%.*s\",\"source\":\"/ci\",\"type\":\"%s\",\"subject\":\"%.*s\","
                       "\"time\":\"%.*s\",\"datacontenttype\":\"application/json\",\"data\":%.*s}",
                       SLICE_ARG(id), type, SLICE_ARG(project), SLICE_ARG(time), SLICE_ARG(data));
    }
    e->record.headers = headers;
    e->record.header_count = count;
}

/* ---- drawing ---- */

static void draw_build(struct event *e) {
    uint64_t fate = random_below(&drawn, 100);
    e->topic = INPUT_BUILDS;
    e->expect = EXPECT_BUILD;
    e->variant = fate < 84 ? 0 : fate < 92 ? 1 : fate < 97 ? 2 : 3;
    e->content = e->variant; /* of builds the content is the build */
}

static instant sent_at(const struct event *e) {
    return (instant)WORLD_BEGIN_S * SECOND + e->at + ((size_t)e->number >= rest.from ? rest.time : 0);
}

/* Somewhere around a limit, often just before or behind it. */
static instant draw_around(instant limit) {
    return limit +
           (random_chance(&drawn, 50) ? random_between(&drawn, -5 * SECOND, 5 * SECOND) : random_between(&drawn, -HOUR, HOUR));
}

static void draw_request(struct event *e) {
    uint64_t fate = random_below(&drawn, 100);
    e->topic = INPUT_REQUESTS;
    e->expect = EXPECT_REQUEST;
    e->environment = fate < 45 ? ENV_DEV : fate < 75 ? ENV_STAGING : fate < 98 ? ENV_PROD : NOWHERE;
    e->dry_run = random_chance(&drawn, 8);
    if (random_chance(&drawn, 14)) e->expires_at = sent_at(e) + random_between(&drawn, -2, 30) * SECOND;
}

static bool draw_again(struct event *e) {
    if (!e->number) return false;
    const struct event *first = &events[random_below(&drawn, (uint64_t)e->number)];
    if (first->expect != EXPECT_BUILD && first->expect != EXPECT_REQUEST) return false;
    if (first->kills || first->refused_by_store) return false;
    int number = e->number;
    micros at = e->at;
    *e = *first;
    e->number = number;
    e->at = at;
    if (!random_chance(&drawn, 25)) return true;
    e->content = number + 1; /* the same id, and something else in it */
    if (e->topic == INPUT_BUILDS) e->content = e->variant = (e->variant + 1) % VARIANTS;
    return true;
}

static void draw_oddity(struct event *e) {
    static const struct {
        unsigned chance;
        int what;
    } oddities[] = {{60, 0}, {18, 1}, {12, 2}, {10, 3}};
    uint64_t fate = random_below(&drawn, 100);
    int what = 0;
    for (size_t i = 0; i < 4; i++) {
        what = oddities[i].what;
        if (fate < oddities[i].chance) break;
        fate -= oddities[i].chance;
    }
    switch (what) {
    case 0:
        e->expect = EXPECT_DEAD;
        break;
    case 1:
        e->expect = EXPECT_REFUSED;
        e->on_foreign_partition = true;
        e->code = "foreign-partition";
        break;
    case 2:
        if (e->topic != INPUT_REQUESTS) break;
        e->expect = EXPECT_REFUSED;
        e->code = "unknown-member";
        break;
    default:
        e->time += random_chance(&drawn, 60) ? draw_around(-30 * DAY) : draw_around(300 * (instant)SECOND);
        break;
    }
}

/* `oddities`: how many of a hundred are odd. */
static void draw_event(struct event *e, bool deadly, bool refused, unsigned oddities) {
    *e = (struct event){.number = e->number, .at = e->at, .identity = e->number, .content = e->number};
    e->time = sent_at(e);
    e->project = (int)random_below(&drawn, random_chance(&drawn, 4) ? PROJECTS : PROJECTS - 1);
    if (random_chance(&drawn, 60)) e->project = (int)random_below(&drawn, 2);
    e->release = (int)random_below(&drawn, random_chance(&drawn, 60) ? 2 : RELEASES);
    e->binary = random_chance(&drawn, 20);
    uint64_t fate = random_below(&drawn, 100);
    if (fate < 14 && draw_again(e)) return;
    if (fate < 45)
        draw_build(e);
    else
        draw_request(e);
    e->kills = deadly;
    e->refused_by_store = refused && !e->kills;
    if (fate >= 100 - oddities && !e->kills && !e->refused_by_store) draw_oddity(e);
    if (e->expect == EXPECT_REFUSED && world.shard_count == 1 && e->on_foreign_partition) {
        e->on_foreign_partition = false; /* there is no other */
        e->expect = EXPECT_DEAD;
    }
}

static void note_sent(const struct event *e, int number) {
    *KEEP_ADD(sent[e->topic][e->shard], sent_count[e->topic][e->shard], sent_room[e->topic][e->shard]) = number;
}

static void mark(void *argument) {
    const struct event *e = argument;
    if (closed[e->topic][e->shard]) return;
    in_log_append_marker(e->topic, e->shard);
    note_sent(e, MARKER);
}

static void send(void *argument) {
    struct event *e = argument;
    if (world.spec->without_event[e->number] || closed[e->topic][e->shard]) return;
    for (unsigned i = 0; i < e->markers_before; i++) mark(e);
    if (e->marker_behind) world_at(world.now + 2 * MS, mark, e);
    e->offset = in_logs[e->topic][e->shard].count;
    e->sent = true;
    note_sent(e, e->number);
    trace("upstream: e%d (id e%d%s) goes to %s %u/%llu: %s r%d v%d%s%s%s%s%s%s", e->number, e->identity,
          e->identity != e->number ? ", again" : "", e->topic == INPUT_BUILDS ? "builds" : "requests", e->shard,
          (unsigned long long)e->offset, project_name(e->project), e->release, e->variant,
          e->topic == INPUT_REQUESTS ? " to " : "", e->topic == INPUT_REQUESTS ? environment_name(e->environment) : "",
          e->dry_run ? ", dry run" : "", e->kills ? ", kills lanes" : "", e->refused_by_store ? ", the database refuses it" : "",
          e->expect == EXPECT_DEAD      ? ", no event"
          : e->expect == EXPECT_REFUSED ? ", to be refused"
                                        : "");
    in_log_append(e->topic, e->shard, &e->record);
}

static void weeks_pass(void *argument) {
    (void)argument;
    trace("upstream: nothing is sent for %.1f days", (double)rest.time / (double)DAY);
    world_store_clock_offset += rest.time;
}

/* Long enough that periods of used ids are dropped, or that what is sent again is just still known. */
static void draw_rest(struct random *upstream) {
    rest.from = EVENTS_MAX;
    if (!random_chance(upstream, 15)) return;
    rest.from = (size_t)random_below(upstream, event_count);
    rest.time =
        random_chance(upstream, 40) ? 30 * DAY - random_between(upstream, 0, HOUR) : random_between(upstream, 5 * DAY, 45 * DAY);
}

/* Somewhere, or right behind the first, whichever topic each is of. -1: there is none. */
static int draw_second_deadly(int first) {
    struct random deadly = random_of(world.spec->seed, SUBJECT_WORKLOAD + 60);
    if (first < 0 || !random_chance(&deadly, 40)) return -1;
    return random_chance(&deadly, 40) ? first + 1 : (int)random_below(&deadly, event_count);
}

void workload_begin(void) {
    memset(sent, 0, sizeof sent);
    memset(sent_count, 0, sizeof sent_count);
    memset(sent_room, 0, sizeof sent_room);
    memset(closed, 0, sizeof closed);
    policies_begin();
    drawn = random_of(world.spec->seed, SUBJECT_WORKLOAD);
    for (int project = 0; project < PROJECTS; project++)
        for (int release = 0; release < RELEASES; release++) draw_release(project, release);
    event_count = (size_t)(random_chance(&drawn, 70) ? random_between(&drawn, 6, 40) : random_between(&drawn, 40, EVENTS_MAX));
    events = keep(event_count * sizeof *events);
    int deadly = random_chance(&drawn, 18) ? (int)random_below(&drawn, event_count / 2 + 1) : -1; /* others come behind it */
    int second = draw_second_deadly(deadly);
    unsigned refused = random_chance(&drawn, 25) ? 15 : 0, oddities = random_chance(&drawn, 30) ? 45 : 12; /* of a hundred */
    struct random upstream = random_of(world.spec->seed, SUBJECT_UPSTREAM);
    bool transactional = random_chance(&upstream, 30);
    draw_rest(&upstream);
    micros at = random_between(&drawn, 0, 2 * SECOND);
    for (size_t i = 0; i < event_count; i++) {
        struct event *e = &events[i];
        e->number = (int)i;
        e->at = at;
        draw_event(e, (int)i == deadly || (int)i == second, random_chance(&drawn, refused), oddities);
        uint32_t home = text_murmur2(slice_str(project_name(e->project))) % world.shard_count;
        e->shard = e->on_foreign_partition ? (home + 1) % world.shard_count : home;
        write_record(e);
        if (transactional && random_chance(&upstream, 40)) e->markers_before = 1 + (unsigned)random_below(&upstream, 2);
        e->marker_behind = transactional && random_chance(&upstream, 40);
        if (i == rest.from) world_at(e->at, weeks_pass, NULL);
        world_at(e->at, send, e);
        at += random_chance(&drawn, 65) ? random_between(&drawn, 0, 4 * MS) : random_between(&drawn, 0, 2500 * MS);
    }
    if (random_chance(&drawn, 90)) (void)policies_apply();
    world.result.event_count = event_count;
}

micros workload_ends(void) { return events[event_count - 1].at; }

const struct event *workload_at(uint32_t shard, enum input_topic topic, uint64_t offset) {
    bool is_event = offset < sent_count[topic][shard] && sent[topic][shard][offset] != MARKER;
    return is_event ? &events[sent[topic][shard][offset]] : NULL;
}

uint64_t workload_next(uint32_t shard, enum input_topic topic, uint64_t offset) {
    while (offset < sent_count[topic][shard] && sent[topic][shard][offset] == MARKER) offset++;
    return offset;
}

bool workload_is_refused_by_store(uint32_t shard, enum input_topic topic, uint64_t offset) {
    const struct event *e = workload_at(shard, topic, offset);
    return e && e->refused_by_store;
}

void workload_close(enum input_topic topic, uint32_t shard) { closed[topic][shard] = true; }
