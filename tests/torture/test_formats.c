/* The readers and writers of formats under exhausted memory. */
#include "cloudevent.h"
#include "config.h"
#include "digest.h"
#include "ledger.h"
#include "manifest.h"
#include "operation.h"
#include "pg.h"
#include "policy.h"
#include "registry_auth.h"
#include "registry_cache.h"
#include "schema.h"
#include "schemas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIGEST "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define POLICY_FILE SLUICE_SOURCE "/deploy/policy.example.yaml"
#define SHA "0123456789abcdef0123456789abcdef01234567"
#define MANIFEST(digest)                                                                                                         \
    "{\"schemaVersion\":\"1.0\",\"gitSha\":\"" SHA "\",\"buildTimestamp\":\"2026-03-01T10:00:00Z\",\"artifacts\":[{\"name\":"    \
    "\"app\",\"type\":\"docker-image\",\"digest\":\"" digest "\",\"uri\":\"ghcr.io/acme/shop@" digest                            \
    "\"},{\"name\":\"c\\u006ci\",\"type\":"                                                                                      \
    "\"binary\",\"digest\":\"" digest "\"}],\"sbomReference\":{\"uri\":\"sbom.json\"},\"evidenceReference\":{\"uri\":"           \
    "\"evidence.json\"},\"attestation\":{\"status\":\"disabled\",\"issueLink\":\"https://issues.example/1\"}}"

struct state {
    struct arena arena;
    struct buf said; /* what the last run gave */
};

static void *set_up(void) {
    struct state *s = calloc(1, sizeof *s);
    if (!s) abort();
    arena_init(&s->arena, 64 * 1024 * 1024);
    buf_init(&s->said, 1024 * 1024);
    return s;
}

static void tear_down(void *state) {
    struct state *s = state;
    arena_release(&s->arena);
    buf_release(&s->said);
    free(s);
}

static void tell(void *state, struct buf *to) { buf_append(to, buf_slice(&((struct state *)state)->said)); }

/* Says what was given, in memory of the test's own. */
__attribute__((format(printf, 2, 3))) static void say(struct state *s, const char *format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t n = strlen(text);
    if (s->said.n + n >= s->said.room) abort();
    memcpy(s->said.p + s->said.n, text, n + 1);
    s->said.n += n;
}

static void begin(struct state *s) {
    arena_reset(&s->arena);
    buf_reset(&s->said);
}

/* A refusal is an answer, too. */
static int refused(struct state *s, const struct error *error) {
    if (error->kind != ERROR_INPUT) return -1;
    say(s, "%s %s %s", error->code, error->path, error->message);
    return 0;
}

/* The room that `say` uses exists before allocations are counted. */
static void *set_up_to_say(void) {
    struct state *s = set_up();
    (void)buf_reserve(&s->said, 64 * 1024);
    buf_reset(&s->said);
    return s;
}

/* ---- JSON and JSON Schema ---- */

static void say_json(struct state *s, const struct json *value) {
    say(s, "%d %.*s %.*s %zu\n", (int)value->kind, SLICE_ARG(value->name), SLICE_ARG(value->text), value->count);
    for (const struct json *inner = value->first; inner; inner = inner->next) say_json(s, inner);
}

static int read_json(void *state, struct error *error) {
    static char text[4096];
    const struct json *root;
    begin(state);
    size_t n = (size_t)snprintf(text, sizeof text, "{\"a\\u0041\":[1,-2.5e3,\"x\\n\\ud83d\\ude00\",{\"b\":null}],\"true\":true");
    for (int i = 0; i < 60; i++) n += (size_t)snprintf(text + n, sizeof text - n, ",\"m%d\":\"\\t%d\"", i, i);
    text[n++] = '}';
    if (json_read_strict(&((struct state *)state)->arena, slice_of(text, n), NULL, &root, error)) return -1;
    say_json(state, root);
    return 0;
}

static const char all_keywords[] =
    "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"^\\\\d+(?<x>a|b)[\\\\w-]$"
    "\","
    "\"minLength\":1,\"format\":\"date-time\"},\"list\":{\"items\":{\"$ref\":\"#/definitions/"
    "n%25\"},\"uniqueItems\":true},\"tuple\":{"
    "\"items\":[{\"const\":1},{\"enum\":[1,\"two\"]}],\"additionalItems\":false}},\"patternProperties\":{\"^x\":{\"minimum\":1}},"
    "\"dependencies\":{\"b\":[\"a\"],\"c\":{\"minProperties\":2}},\"propertyNames\":{\"pattern\":\"^[a-z]+$\"},\"allOf\":[{"
    "\"not\":"
    "{\"required\":[\"z\"]}}],\"anyOf\":[true],\"oneOf\":[{\"maxProperties\":9}],\"if\":{\"required\":[\"b\"]},\"then\":{},"
    "\"else\":{},"
    "\"definitions\":{\"n%\":{\"type\":\"integer\",\"multipleOf\":1}}}";

static int compile_schema(void *state, struct error *error) {
    struct schema *schema = NULL;
    begin(state);
    if (schema_compile(slice_str(all_keywords), NULL, &schema, error)) return -1;
    say(state, "compiled");
    schema_free(schema);
    return 0;
}

static int compile_built_in_schemas(void *state, struct error *error) {
    begin(state);
    for (size_t i = 0; schemas_at(i).name; i++) {
        struct schema *schema = NULL;
        if (schema_compile(schemas_at(i).text, NULL, &schema, error)) return -1;
        say(state, "%s ", schemas_at(i).name);
        schema_free(schema);
    }
    return 0;
}

static int load_document(void *context, struct arena *arena, struct slice uri, struct slice *ret_text, struct error *error) {
    (void)context;
    *ret_text = arena_copy(arena, slice_is(uri, "http://x.example/other.json") ? SLICE("{\"type\":\"integer\"}") : SLICE("{"));
    return ret_text->p ? 0 : error_memory(error);
}

static int compile_with_references(void *state, struct error *error) {
    static const struct schema_sources sources = {.load = load_document};
    struct schema *schema = NULL;
    begin(state);
    if (schema_compile(
            SLICE("{\"$id\":\"http://x.example/a.json\",\"items\":{\"$ref\":\"other.json#\"},\"not\":{\"$ref\":\"#/items\"}}"),
            &sources, &schema, error))
        return -1;
    say(state, "compiled");
    schema_free(schema);
    return 0;
}

static int refuse_schema(void *state, struct error *error) {
    struct schema *schema = NULL;
    begin(state);
    if (!schema_compile(SLICE("{\"properties\":{\"a\":{\"pattern\":\"(\"}}}"), NULL, &schema, error)) schema_free(schema);
    return refused(state, error);
}

static bool hear(void *context, const struct schema_problem *problem) {
    say(context, "%s %s %s\n", problem->path, problem->keyword, problem->message);
    return true;
}

/* A compiled schema and a document, made before allocations are counted. */
struct validation {
    struct state state; /* first */
    struct schema *schema;
    const struct json *document;
};

static void *set_up_validation(void) {
    struct validation *v = calloc(1, sizeof *v);
    struct buf text;
    if (!v) abort();
    arena_init(&v->state.arena, 64 * 1024 * 1024);
    buf_init(&v->state.said, 1024 * 1024);
    buf_init(&text, 1024 * 1024);
    buf_str(&text, "{\"type\":\"object\",\"properties\":{\"list\":{\"uniqueItems\":true}");
    for (int i = 0; i < 600; i++) buf_print(&text, ",\"p%d\":{\"pattern\":\"^[0-9]+$\"}", i);
    buf_str(&text, "}}");
    if (schema_compile(buf_slice(&text), NULL, &v->schema, NULL)) abort();
    buf_reset(&text);
    buf_str(&text, "{\"p1\":\"1\",\"p2\":\"x\",\"list\":[1");
    for (int i = 2; i < 40; i++) buf_print(&text, ",%d", i % 30);
    buf_str(&text, "]}");
    if (json_read_strict(&v->state.arena, arena_copy(&v->state.arena, buf_slice(&text)), NULL, &v->document, NULL)) abort();
    buf_release(&text);
    (void)buf_reserve(&v->state.said, 64 * 1024);
    return v;
}

static int validate(void *state, struct error *error) {
    struct validation *v = state;
    buf_reset(&v->state.said);
    if (!schema_validate(v->schema, v->document, NULL, NULL, error)) return 0;
    return refused(&v->state, error);
}

static int validate_aloud(void *state, struct error *error) {
    struct validation *v = state;
    buf_reset(&v->state.said);
    if (!schema_validate(v->schema, v->document, hear, v, error)) return 0;
    return refused(&v->state, error);
}

static void tear_down_validation(void *state) {
    schema_free(((struct validation *)state)->schema);
    tear_down(state);
}

/* ---- manifests ---- */

static int read_one_manifest(struct state *s, const char *text, struct error *error) {
    struct manifest manifest;
    if (manifest_read(&s->arena, slice_str(text), NULL, NULL, &manifest, error)) return refused(s, error);
    say(s, "%.*s %zu %.*s\n", SLICE_ARG(manifest.git_sha), manifest.artifact_count, SLICE_ARG(manifest.artifacts[1].name));
    return 0;
}

static int read_manifest(void *state, struct error *error) {
    begin(state);
    return read_one_manifest(state, MANIFEST(DIGEST), error);
}

static int refuse_manifest(void *state, struct error *error) {
    begin(state);
    return read_one_manifest(state, MANIFEST("sha256:short"), error);
}

static bool hear_manifest(void *context, const char *path, const char *code, const char *message) {
    say(context, "%s %s %s\n", path, code, message);
    return true;
}

static int tell_all_of_a_manifest(void *state, struct error *error) {
    struct state *s = state;
    struct manifest manifest;
    begin(s);
    (void)manifest_read(&s->arena, slice_str(MANIFEST("sha256:short")), hear_manifest, s, &manifest, error);
    return refused(s, error);
}

/* ---- events ---- */

#define EVENT                                                                                                                    \
    "\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/ci\",\"subject\":\"acme/shop\",\"type\":\"t\",\"traceparent\":\"00-1\""

static int read_event(struct state *s, const struct record *record, struct error *error) {
    struct cloudevent event;
    struct slice why;
    begin(s);
    if (cloudevent_read(&s->arena, record, &event, &why)) {
        if (!why.p) return error_memory(error);
        say(s, "why: %.*s", SLICE_ARG(why));
        return 0;
    }
    if (event.refusal != CODE_NONE && !event.message.p) return error_memory(error); /* as decode has it */
    say(s, "%.*s %.*s %s %.*s %.*s %.*s", SLICE_ARG(event.id), SLICE_ARG(event.type), code_text(event.refusal),
        SLICE_ARG(event.message), SLICE_ARG(event.path), SLICE_ARG(event.traceparent));
    return 0;
}

static int read_structured(struct state *s, struct slice value, struct error *error) {
    static const struct record_header headers[] = {{SLICE("content-type"), SLICE("application/cloudevents+json")}};
    return read_event(s, &(struct record){.value = value, .headers = headers, .header_count = 1}, error);
}

static int read_structured_event(void *state, struct error *error) {
    return read_structured(state, SLICE("{" EVENT ",\"data\":{\"a\":\"\\u0041\"}}"), error);
}
static int read_base64_event(void *state, struct error *error) {
    return read_structured(state, SLICE("{" EVENT ",\"data_base64\":\"eyJhIjoxLCJiIjoyfQ==\"}"), error);
}
static int read_doubled_event(void *state, struct error *error) {
    return read_structured(state, SLICE("{" EVENT ",\"data\":{\"a\":{\"b\":1,\"b\":2}}}"), error);
}
static int read_junk_event(void *state, struct error *error) { return read_structured(state, SLICE("{" EVENT ",}"), error); }

static int read_deep_event(void *state, struct error *error) {
    static char text[1024];
    int n = snprintf(text, sizeof text, "{" EVENT ",\"data\":");
    for (int i = 0; i < 100; i++) n += snprintf(text + n, sizeof text - (size_t)n, "[");
    for (int i = 0; i < 100; i++) n += snprintf(text + n, sizeof text - (size_t)n, "]");
    n += snprintf(text + n, sizeof text - (size_t)n, "}");
    return read_structured(state, slice_of(text, (size_t)n), error);
}

static const struct record_header binary_headers[] = {{SLICE("content-type"), SLICE("application/json")},
                                                      {SLICE("ce_specversion"), SLICE("1.0")},
                                                      {SLICE("ce_id"), SLICE("1")},
                                                      {SLICE("ce_source"), SLICE("/ci")},
                                                      {SLICE("ce_subject"), SLICE("acme/shop")},
                                                      {SLICE("ce_type"), SLICE("t")}};
static const struct record binary = {.value = SLICE("{\"a\":\"\\u0041\"}"), .headers = binary_headers, .header_count = 6};

static int read_binary_event(void *state, struct error *error) { return read_event(state, &binary, error); }

static int write_and_read_input(void *state, struct error *error) {
    struct state *s = state;
    struct record record = {0};
    struct buf buf;
    begin(s);
    buf_init(&buf, 1024 * 1024);
    ledger_write_input(&buf, &binary);
    int result = buf.failed || ledger_read_input(&s->arena, buf_slice(&buf), &record) ? error_memory(error) : 0;
    if (!result) say(s, "%zu %.*s", record.header_count, SLICE_ARG(record.value));
    buf_release(&buf);
    return result;
}

/* ---- YAML, policy, configuration ---- */

static struct slice file(const char *path) {
    static char text[65536];
    FILE *from = fopen(path, "r");
    if (!from) abort();
    size_t n = fread(text, 1, sizeof text, from);
    (void)fclose(from);
    return slice_of(text, n);
}

static struct slice policy_text;

static void *set_up_policy(void) {
    if (!policy_text.p) policy_text = file(POLICY_FILE);
    return set_up_to_say();
}

static int parse_policy(void *state, struct error *error) {
    struct state *s = state;
    const struct policy *policy;
    begin(s);
    if (policy_parse(&s->arena, policy_text, &policy, error)) return -1;
    say(s, "%zu projects, %zu registries, %.*s", policy->project_count, policy->registry_count,
        SLICE_ARG(policy->projects[0].environments[0].name));
    return 0;
}

static int refuse_policy(void *state, struct error *error) {
    struct state *s = state;
    const struct policy *policy;
    begin(s);
    (void)policy_parse(&s->arena, SLICE("version: 1\nprojects:\n- match: a\n  environments: {dev: {after: [prod]}}\n"), &policy,
                       error);
    return refused(s, error);
}

static int load_config(void *state, struct error *error) {
    static char secret[] = "SLUICE_KAFKA_SASL_PASSWORD_FILE=" POLICY_FILE;
    static char *environment[] = {"SLUICE_WORKER_LANES=2", "SLUICE_KAFKA_CLIENT_ID=me", secret, NULL};
    struct state *s = state;
    struct config config;
    begin(s);
    if (config_load(&config, SLUICE_SOURCE "/deploy/sluice.example.yaml", environment, error)) return -1;
    for (size_t i = 0; i < config.value_count; i++)
        if (!config.values[i].secret)
            say(s, "%s=%s (%s)\n", config.values[i].key, config.values[i].text, config.values[i].origin);
    config_release(&config);
    return 0;
}

static int print_config_reference(void *state, struct error *error) {
    struct state *s = state;
    struct buf buf;
    begin(s);
    buf_init(&buf, 1024 * 1024);
    config_reference(&buf, true);
    int result = buf.failed ? error_memory(error) : 0;
    if (!result) say(s, "%.1000s", buf.p);
    buf_release(&buf);
    return result;
}

/* ---- registries, files, parameters ---- */

static const char docker_config[] =
    "{\"auths\":{\"ghcr.io\":{\"auth\":\"dTpw\"},\"https://index.docker.io/v1/\":{\"username\":\"u\",\"password\":\"p\"}}}";

static char docker_path[64];

static void *set_up_docker(void) {
    (void)snprintf(docker_path, sizeof docker_path, "/tmp/sluice-torture-%d.json", (int)getpid());
    FILE *to = fopen(docker_path, "w");
    if (!to || fputs(docker_config, to) < 0 || fclose(to)) abort();
    return set_up_to_say();
}

static void tear_down_docker(void *state) {
    (void)unlink(docker_path);
    tear_down(state);
}

static int load_docker_config(void *state, struct error *error) {
    struct state *s = state;
    struct credential *first = NULL;
    begin(s);
    if (docker_config_load(&s->arena, docker_path, &first, error)) return -1;
    for (; first; first = first->next) say(s, "%.*s %.*s\n", SLICE_ARG(first->host), SLICE_ARG(first->basic));
    return 0;
}

static int read_token(void *state, struct error *error) {
    struct state *s = state;
    struct digest key = {0};
    struct slice token;
    int64_t seconds;
    begin(s);
    struct token_cache *tokens = token_cache_new();
    struct registry_cache *cache = registry_cache_new(8);
    if (!tokens || !cache || !token_parse(&s->arena, SLICE("{\"token\":\"a\\u0062c\",\"expires_in\":300}"), &token, &seconds)) {
        token_cache_free(tokens);
        registry_cache_free(cache);
        return error_memory(error);
    }
    token_cache_put(tokens, &key, token, seconds, 1000);
    struct slice kept = token_cache_get(tokens, &key, 2000);
    say(s, "%.*s %lld", SLICE_ARG(token), (long long)seconds);
    EXPECT(!kept.p || slice_equal(kept, token)); /* a token that is not remembered is fetched again */
    token_cache_free(tokens);
    registry_cache_free(cache);
    return 0;
}

static int digest_a_file(void *state, struct error *error) {
    char text[200];
    begin(state);
    if (digest_file(POLICY_FILE, "sha512", text, sizeof text, error)) return -1;
    say(state, "%s", text);
    return 0;
}

static int build_parameters(void *state, struct error *error) {
    struct pg_parameters parameters;
    begin(state);
    pg_parameters_init(&parameters);
    pg_array(&parameters, PG_BYTEA, 100);
    for (int i = 0; i < 100; i++) pg_bytes(&parameters, PG_BYTEA, slice_str(MANIFEST(DIGEST)));
    pg_int(&parameters, PG_INT8, 42);
    pg_array(&parameters, PG_TEXT, 2);
    pg_bytes(&parameters, PG_TEXT, SLICE("x"));
    pg_null(&parameters, PG_TEXT);
    pg_instant(&parameters, 1772359200000000);
    int result = parameters.bytes.failed ? error_memory(error) : 0;
    if (!result) say(state, "%zu %zu", parameters.count, parameters.bytes.n);
    pg_parameters_release(&parameters);
    return result;
}

#define PLAIN(function)                                                                                                          \
    { .name = #function, .set_up = set_up_to_say, .run = function, .tell = tell, .tear_down = tear_down }

int main(int argc, char **argv) {
    static const struct operation operations[] = {
        {"read_the_first_manifest", set_up_to_say, read_manifest, tell, tear_down, true},
        PLAIN(read_json),
        PLAIN(compile_schema),
        PLAIN(compile_built_in_schemas),
        PLAIN(compile_with_references),
        PLAIN(refuse_schema),
        {"validate", set_up_validation, validate, tell, tear_down_validation, false},
        {"validate_aloud", set_up_validation, validate_aloud, tell, tear_down_validation, false},
        PLAIN(read_manifest),
        PLAIN(refuse_manifest),
        PLAIN(tell_all_of_a_manifest),
        PLAIN(read_structured_event),
        PLAIN(read_base64_event),
        PLAIN(read_doubled_event),
        PLAIN(read_junk_event),
        PLAIN(read_deep_event),
        PLAIN(read_binary_event),
        PLAIN(write_and_read_input),
        {"parse_policy", set_up_policy, parse_policy, tell, tear_down, false},
        PLAIN(refuse_policy),
        PLAIN(load_config),
        PLAIN(print_config_reference),
        {"load_docker_config", set_up_docker, load_docker_config, tell, tear_down_docker, false},
        PLAIN(read_token),
        PLAIN(digest_a_file),
        PLAIN(build_parameters),
    };
    if (digest_prepare(NULL)) return 2;
    return operations_run(operations, sizeof operations / sizeof *operations, argc, argv);
}
