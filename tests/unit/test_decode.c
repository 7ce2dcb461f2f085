/* What decode makes of the bytes of a record: a valid event, or a refusal that says what is wrong and where. */
#include "stages_world.h"

#define BUILD "dev.sluice.build.complete.v1"
#define REQUEST "dev.sluice.promotion.requested.v1"

static struct item *decoded(void) {
    struct error error = {0};
    assert_int_equal(decode(&batch, &error), 0);
    return &batch.items[0];
}

static struct item *request(const char *more) {
    next_batch();
    add_request("1", "dev", more);
    return decoded();
}

static void assert_refused(const struct item *item, const char *code, const char *path) {
    assert_int_equal(item->state, ITEM_REFUSED);
    assert_string_equal(code_text(item->code), code);
    assert_true(item->message.n > 0);
    assert_true(path ? slice_is(item->path, path) : !item->path.p);
}

static void a_request_says_what_is_wanted(void **state) {
    (void)state;
    const struct item *item = request(",\"dryRun\":true,\"reason\":\"why not\",\"expiresAt\":\"2026-03-01T11:00:00Z\"");
    assert_int_equal(item->state, ITEM_REQUEST);
    assert_true(slice_is(item->request.git_sha, SHA));
    assert_true(slice_is(item->request.environment, "dev"));
    assert_true(slice_is(item->request.requester, "github:1"));
    assert_true(slice_is(item->request.reason, "why not"));
    assert_true(item->request.dry_run);
    assert_int_equal(item->request.expires_at - item->time, 3600 * (instant)1000000);
    item = request(",\"dryRun\":false");
    assert_int_equal(item->state, ITEM_REQUEST);
    assert_false(item->request.dry_run);
    assert_int_equal(item->request.expires_at, 0);
    assert_false(request("")->request.dry_run);
}

static void what_the_schema_refuses_is_told_with_its_place(void **state) {
    (void)state;
    assert_refused(request(",\"surprise\":1"), "unknown-member", "/surprise");
    assert_refused(request(",\"dryRun\":\"yes\""), "schema-invalid", "/dryRun");
    assert_refused(request(",\"expiresAt\":\"tomorrow\""), "schema-invalid", "/expiresAt");
}

/* Found by fuzzing: a path was cut within an escape, and so was none. */
static void a_place_too_long_to_tell_is_told_by_what_holds_it(void **state) {
    (void)state;
    char member[400] = {0}, more[500], path[500];
    memset(member, 'a', 390);
    (void)snprintf(more, sizeof more, ",\"%s\":1", member);
    (void)snprintf(path, sizeof path, "/%s", member);
    assert_refused(request(more), "unknown-member", path);
    memset(member, '/', 390);
    (void)snprintf(more, sizeof more, ",\"%s\":1", member);
    assert_refused(request(more), "unknown-member", "");
    struct error error = {0};
    memset(path, 'b', sizeof path);
    memcpy(path, "/data/a~1b/c", 12);
    path[10] = '/'; /* the last token is long */
    path[sizeof path - 1] = '\0';
    error_at(&error, path);
    assert_string_equal(error.path, "/data/a~1b");
    path[sizeof error.path - 1] = '/'; /* it fits just so */
    error_at(&error, path);
    assert_int_equal(strlen(error.path), sizeof error.path - 1);
}

/* 600 characters, as the schema counts, and 1,200 bytes, as the contract does. */
static void a_reason_is_measured_in_bytes(void **state) {
    (void)state;
    char more[2000] = ",\"reason\":\"";
    for (int i = 0; i < 512; i++) strcat(more, "\xc3\xa4");
    strcat(more, "\"");
    assert_int_equal(request(more)->state, ITEM_REQUEST);
    more[strlen(more) - 1] = '\0';
    strcat(more, "\xc3\xa4\"");
    assert_refused(request(more), "schema-invalid", "/reason");
}

static void an_event_that_names_no_project_is_a_dead_letter(void **state) {
    (void)state;
    records[0] = (struct record){.topic = INPUT_REQUESTS, .value = SLICE("junk")};
    batch.items[batch.item_count++] = (struct item){.shard = batch.shards, .record = &records[0]};
    const struct item *item = decoded();
    assert_int_equal(item->state, ITEM_DEAD);
    assert_string_equal(code_text(item->code), "not-cloudevent");
}

static void an_event_on_a_foreign_partition_is_refused_there(void **state) {
    (void)state;
    uint32_t home = text_murmur2(SLICE("acme/shop")) % 64;
    batch.installation_shards = 64;
    add_request("1", "dev", "");
    records[0].shard = home;
    assert_int_equal(decoded()->state, ITEM_REQUEST);
    next_batch();
    add_request("1", "dev", "");
    records[0].shard = (home + 1) % 64;
    const struct item *item = decoded();
    assert_refused(item, "foreign-partition", NULL);
    char at[40];
    (void)snprintf(at, sizeof at, "belongs on partition %u ", home);
    char message[400];
    (void)snprintf(message, sizeof message, "%.*s", SLICE_ARG(item->message));
    assert_non_null(strstr(message, at));
}

static void an_event_without_a_time_or_with_a_strange_one_is_refused(void **state) {
    (void)state;
    add(INPUT_REQUESTS, "1", REQUEST, "yesterday", SLICE("{}"));
    assert_refused(decoded(), "time-invalid", NULL);
    next_batch();
    add(INPUT_REQUESTS, "1", REQUEST, TIME, SLICE("{}"));
    records[0].value =
        SLICE("{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/ci\",\"subject\":\"acme/shop\",\"type\":\"" REQUEST
              "\",\"data\":{}}");
    assert_refused(decoded(), "time-invalid", NULL);
}

static void a_type_belongs_on_one_topic(void **state) {
    (void)state;
    add(INPUT_BUILDS, "1", REQUEST, TIME, SLICE("{}"));
    assert_refused(decoded(), "unknown-type", NULL);
    next_batch();
    add(INPUT_REQUESTS, "1", BUILD, TIME, SLICE("{}"));
    assert_refused(decoded(), "unknown-type", NULL);
    next_batch();
    add(INPUT_REQUESTS, "1", "nobody.knows.v1", TIME, SLICE("{}"));
    assert_refused(decoded(), "unknown-type", NULL);
}

static void an_event_without_a_type_says_so(void **state) {
    (void)state;
    add(INPUT_REQUESTS, "1", REQUEST, TIME, SLICE("{}"));
    records[0].value = SLICE("{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/ci\",\"subject\":\"acme/shop\",\"time\":\"" TIME
                             "\",\"data\":{}}");
    const struct item *item = decoded();
    assert_int_equal(item->state, ITEM_REFUSED);
    assert_true(item->message.n > 0);
    static const struct record_header headers[] = {
        {SLICE("ce_specversion"), SLICE("1.0")},           {SLICE("ce_id"), SLICE("1")},    {SLICE("ce_source"), SLICE("/ci")},
        {SLICE("ce_subject"), SLICE("acme/shop")},         {SLICE("ce_time"), SLICE(TIME)}, {SLICE("ce_type"), SLICE("\xff")},
        {SLICE("content-type"), SLICE("application/json")}};
    next_batch();
    add(INPUT_REQUESTS, "1", REQUEST, TIME, SLICE("{}"));
    records[0].value = SLICE("{}");
    records[0].headers = headers;
    records[0].header_count = sizeof headers / sizeof *headers;
    item = decoded();
    assert_int_equal(item->state, ITEM_REFUSED);
    assert_true(item->message.n > 0); /* bytes that are no text are not repeated */
}

static void a_manifest_that_nests_too_deep_is_refused_as_that(void **state) {
    (void)state;
    char manifest[1000] = "{\"manifest\":\"";
    for (int i = 0; i < 200; i++) strcat(manifest, "[");
    strcat(manifest, "\"}");
    add(INPUT_BUILDS, "1", BUILD, TIME, slice_str(manifest));
    const struct item *item = decoded();
    assert_int_equal(item->state, ITEM_REFUSED);
    assert_string_equal(code_text(item->code), "too-deep");
}

static void a_build_is_refused_by_its_schema_or_its_manifest(void **state) {
    (void)state;
    add_build("1", DIGEST);
    const struct item *item = decoded();
    assert_int_equal(item->state, ITEM_BUILD);
    assert_int_equal(item->manifest.artifact_count, 1);
    next_batch();
    add(INPUT_BUILDS, "1", BUILD, TIME, SLICE("{}"));
    assert_int_equal(decoded()->state, ITEM_REFUSED);
    next_batch();
    add(INPUT_BUILDS, "1", BUILD, TIME, SLICE("{\"manifest\":\"no JSON\"}"));
    item = decoded();
    assert_int_equal(item->state, ITEM_REFUSED);
    assert_true(slice_starts(item->path, SLICE("/manifest")));
    next_batch();
    add_build("1", "sha256:short");
    item = decoded();
    assert_int_equal(item->state, ITEM_REFUSED);
    assert_true(slice_is(item->path, "/manifest/artifacts/0/digest"));
}

static void a_promotion_that_is_due_is_no_record(void **state) {
    (void)state;
    add_due(now);
    assert_int_equal(decoded()->state, ITEM_DUE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_request_says_what_is_wanted),
        TEST(what_the_schema_refuses_is_told_with_its_place),
        TEST(a_place_too_long_to_tell_is_told_by_what_holds_it),
        TEST(a_reason_is_measured_in_bytes),
        TEST(an_event_that_names_no_project_is_a_dead_letter),
        TEST(an_event_on_a_foreign_partition_is_refused_there),
        TEST(an_event_without_a_time_or_with_a_strange_one_is_refused),
        TEST(a_type_belongs_on_one_topic),
        TEST(an_event_without_a_type_says_so),
        TEST(a_manifest_that_nests_too_deep_is_refused_as_that),
        TEST(a_build_is_refused_by_its_schema_or_its_manifest),
        TEST(a_promotion_that_is_due_is_no_record),
    };
    return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
