#include "manifest.h"

#include "map.h"
#include "schema.h"
#include "schemas.h"

#include <pthread.h>
#include <stdint.h>
#include <strings.h>

enum { POINTER_MAX = 4096, SHOWN_MAX = 120 };

/* A value that the schema refused. */
struct place {
    const struct json *value;
    const struct place *next;
};

/* One reading: where problems go, and how many there were. */
struct check {
    struct arena *arena;
    manifest_problem *problem; /* NULL: the first one ends the reading */
    void *context;
    struct error *error;
    size_t count;
    const struct place *refused;
    bool ended;
    bool starved; /* of memory; *error says so */
};

static bool is_kind(const struct json *value, enum json_kind kind) { return value && value->kind == kind; }

/* A text for a message: not too long, and cut between characters. */
static struct slice shown(struct slice text) {
    if (text.n <= SHOWN_MAX) return text;
    text.n = SHOWN_MAX;
    while (text.n && ((unsigned char)text.p[text.n] & 0xc0) == 0x80) text.n--;
    return text;
}

static void report(struct check *check, const char *path, const struct error *problem) {
    if (check->ended) return;
    check->count++;
    if (check->problem) {
        check->ended = !check->problem(check->context, path, problem->code, problem->message);
        return;
    }
    check->ended = true;
    if (!check->error) return;
    *check->error = *problem;
    error_at(check->error, path);
}

static void starve(struct check *check) {
    check->starved = check->ended = true;
    (void)error_memory(check->error);
}

__attribute__((format(printf, 4, 5))) static void report_at(struct check *check, const struct json *at, const char *code,
                                                            const char *format, ...) {
    struct error problem;
    for (const struct place *place = check->refused; place; place = place->next)
        if (place->value == at) return;
    va_list arguments;
    va_start(arguments, format);
    (void)error_vset(&problem, ERROR_INPUT, code, format, arguments);
    va_end(arguments);
    struct buf pointer;
    buf_init(&pointer, POINTER_MAX);
    json_pointer(&pointer, at);
    if (pointer.failed && !pointer.full)
        starve(check);
    else
        report(check, pointer.n && !pointer.failed ? pointer.p : "", &problem);
    buf_release(&pointer);
}

/* ---- integrity: tolerant of what the schema refuses, so that one reading can tell both ---- */

static bool is_digest_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '=' || c == '_' || c == '-' ||
           c == '+' || c == '.';
}

/* What stands behind the last `@`, when it is meant as a digest: algorithm:encoded, where the algorithm is one of ours in any
 * spelling or the encoded part is as long as a hash. (`https://user@host:80/` and `pkg@1.2` carry none.) */
static struct slice digest_in_uri(struct slice uri) {
    const struct slice none = {NULL, 0};
    size_t begin = 0;
    for (size_t i = 0; i + 2 < uri.n && !begin; i++)
        if (memcmp(uri.p + i, "://", 3) == 0) begin = i + 3;
    if (begin) /* past the authority, whose `@` ends a user's name */
        while (begin < uri.n && uri.p[begin] != '/') begin++;
    const char *at = begin < uri.n ? memrchr(uri.p + begin, '@', uri.n - begin) : NULL;
    if (!at) return none;
    struct slice digest = slice_of(at + 1, uri.n - (size_t)(at - uri.p) - 1);
    const char *colon = digest.n ? memchr(digest.p, ':', digest.n) : NULL;
    if (!colon) return none;
    size_t algorithm = (size_t)(colon - digest.p);
    for (size_t i = 0; i < digest.n; i++)
        if (i != algorithm && !is_digest_character(digest.p[i])) return none;
    bool known = algorithm == 6 && (strncasecmp(digest.p, "sha256", 6) == 0 || strncasecmp(digest.p, "sha512", 6) == 0);
    return known || digest.n - algorithm > 32 ? digest : none;
}

static void check_digest(struct check *check, const struct json *digest) {
    if (!is_kind(digest, JSON_STRING) || digest_is_valid(digest->text)) return;
    struct slice text = shown(digest->text);
    report_at(check, digest, "digest-invalid",
              "'%.*s' is no digest; it must be sha256: and 64, or sha512: and 128 lower-case hex digits", SLICE_ARG(text));
}

/* Of an artifact or a reference: its digest, and that its uri does not contradict it. */
static void check_located(struct check *check, const struct json *located) {
    const struct json *digest = json_get(located, "digest"), *uri = json_get(located, "uri");
    check_digest(check, digest);
    if (!is_kind(uri, JSON_STRING)) return;
    struct slice carried = digest_in_uri(uri->text), text = shown(carried);
    if (!carried.p) return;
    if (!digest_is_valid(carried))
        report_at(
            check, uri, "digest-invalid",
            "the uri ends in '%.*s', which is no digest; it must be sha256: and 64, or sha512: and 128 lower-case hex digits",
            SLICE_ARG(text));
    else if (is_kind(digest, JSON_STRING) && digest_is_valid(digest->text) && !slice_equal(carried, digest->text))
        report_at(check, uri, "digest-invalid", "the uri carries %.*s, which is not what digest says; the two must be equal",
                  SLICE_ARG(text));
}

/* Fills `names`: artifact name to its JSON value. */
static void check_artifacts(struct check *check, const struct json *artifacts, struct map *names) {
    if (!is_kind(artifacts, JSON_ARRAY)) return;
    for (const struct json *artifact = artifacts->first; artifact && !check->ended; artifact = artifact->next) {
        const struct json *name = json_get(artifact, "name");
        if (is_kind(name, JSON_STRING)) {
            void **place = map_at(names, name->text);
            if (!place) {
                starve(check);
                return;
            }
            if (*place) {
                struct slice text = shown(name->text);
                report_at(check, name, "manifest-invalid",
                          "another artifact is already called '%.*s'; give every artifact a name of its own", SLICE_ARG(text));
            }
            *place = (void *)(uintptr_t)artifact;
        }
        check_located(check, artifact);
    }
}

static void check_attestation(struct check *check, const struct json *attestation, const struct map *names) {
    const struct json *status = json_get(attestation, "status"), *signatures = json_get(attestation, "signatures");
    if (!is_kind(status, JSON_STRING)) return;
    bool some = is_kind(signatures, JSON_ARRAY) && signatures->count;
    if (slice_is(status->text, "enabled") && !some)
        report_at(check, signatures ? signatures : attestation, "manifest-invalid",
                  "the attestation is enabled without a signature; add at least one, or disable it with an issueLink");
    if (slice_is(status->text, "disabled") && !json_get(attestation, "issueLink"))
        report_at(check, attestation, "manifest-invalid",
                  "the attestation is disabled without an issueLink; link the issue that says why, or sign and enable it");
    if (!some) return;
    for (const struct json *signature = signatures->first; signature && !check->ended; signature = signature->next) {
        const struct json *artifact = json_get(signature, "artifact");
        if (!is_kind(artifact, JSON_STRING) || map_get(names, artifact->text)) continue;
        struct slice text = shown(artifact->text);
        report_at(check, artifact, "manifest-invalid",
                  "the signature is of '%.*s', and no artifact is called so; name one that exists", SLICE_ARG(text));
    }
}

static void check_instant(struct check *check, const struct json *timestamp) {
    instant at;
    if (!is_kind(timestamp, JSON_STRING) || text_parse_instant(timestamp->text, &at)) return;
    struct slice text = shown(timestamp->text);
    report_at(check, timestamp, "manifest-invalid", "'%.*s' is no real instant (RFC 3339), as 2026-03-01T10:00:00Z",
              SLICE_ARG(text));
}

static void check_integrity(struct check *check, const struct json *root) {
    struct map names;
    map_init(&names, check->arena);
    check_instant(check, json_get(root, "buildTimestamp"));
    check_artifacts(check, json_get(root, "artifacts"), &names);
    check_located(check, json_get(root, "sbomReference"));
    check_located(check, json_get(root, "evidenceReference"));
    check_attestation(check, json_get(root, "attestation"), &names);
    const struct json *history = json_get(root, "promotionHistory");
    if (!is_kind(history, JSON_ARRAY)) return;
    for (const struct json *entry = history->first; entry && !check->ended; entry = entry->next)
        check_instant(check, json_get(entry, "timestamp"));
}

/* ---- schema ---- */

/* Compiled by the first reading that has the memory for it. */
static int built_in_schema(const struct schema **ret_schema, struct error *error) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct schema *built_in;
    int status = 0;
    pthread_mutex_lock(&lock);
    if (!built_in) status = schema_compile(schemas_find(SLICE("release-manifest")), NULL, &built_in, error);
    *ret_schema = built_in;
    pthread_mutex_unlock(&lock);
    return status;
}

const char *manifest_code(const char *keyword) {
    return strcmp(keyword, "additionalProperties") == 0 ? "unknown-member" : "manifest-invalid";
}

static bool hear_schema(void *context, const struct schema_problem *found) {
    struct check *check = context;
    struct error problem;
    struct place *place = ARENA_NEW(check->arena, struct place);
    if (!place) {
        starve(check);
        return false;
    }
    *place = (struct place){found->instance, check->refused};
    check->refused = place;
    (void)error_set(&problem, ERROR_INPUT, manifest_code(found->keyword), "%s", found->message);
    report(check, found->path, &problem);
    return !check->ended;
}

static int check_schema(struct check *check, const struct json *root) {
    const struct schema *schema;
    struct error unheard = {0};
    if (built_in_schema(&schema, check->error)) return -1;
    if (schema_validate(schema, root, hear_schema, check, &unheard) && !check->starved &&
        (!check->count || unheard.kind == ERROR_INTERNAL)) {
        if (check->error) *check->error = unheard; /* it could not judge, and nobody was told why */
        return -1;
    }
    return 0;
}

/* ---- reading ---- */

static struct manifest_reference reference_of(const struct json *reference) {
    return (struct manifest_reference){json_get_text(reference, "uri"), json_get_text(reference, "digest")};
}

/* The members of a manifest that is right. */
static int fill_artifacts(struct arena *arena, const struct json *array, struct artifact **ret_artifacts, size_t *ret_count) {
    struct artifact *artifacts = ARENA_ARRAY(arena, struct artifact, array->count);
    size_t count = 0;
    if (!artifacts) return -1;
    for (const struct json *artifact = array->first; artifact; artifact = artifact->next)
        artifacts[count++] = (struct artifact){json_get_text(artifact, "name"), json_get_text(artifact, "type"),
                                               json_get_text(artifact, "digest"), json_get_text(artifact, "uri")};
    *ret_artifacts = artifacts;
    *ret_count = count;
    return 0;
}

static int fill(struct arena *arena, const struct json *root, struct manifest *manifest) {
    manifest->git_sha = json_get_text(root, "gitSha");
    if (fill_artifacts(arena, json_get(root, "artifacts"), &manifest->artifacts, &manifest->artifact_count)) return -1;
    manifest->sbom = reference_of(json_get(root, "sbomReference"));
    manifest->evidence = reference_of(json_get(root, "evidenceReference"));
    manifest->attestation_enabled = slice_is(json_get_text(json_get(root, "attestation"), "status"), "enabled");
    return 0;
}

int manifest_read(struct arena *arena, struct slice text, manifest_problem *problem, void *context, struct manifest *ret_manifest,
                  struct error *error) {
    struct check check = {.arena = arena, .problem = problem, .context = context, .error = error};
    struct error unread;
    const struct json *root = NULL;
    if (json_read_strict(arena, text, NULL, &root, &unread)) {
        if (error) *error = unread;
        if (problem && unread.kind == ERROR_INPUT) (void)problem(context, unread.path, unread.code, unread.message);
        return -1;
    }
    if (check_schema(&check, root)) return -1;
    check_integrity(&check, root);
    if (check.starved) return -1;
    if (check.count && problem)
        return error_set(error, ERROR_INPUT, "manifest-invalid", "the manifest has %zu problem%s", check.count,
                         check.count == 1 ? "" : "s");
    if (check.count) return -1;
    struct manifest manifest = {.root = root, .text = text, .digest = digest_of(text)};
    if (fill(arena, root, &manifest)) return error_memory(error);
    *ret_manifest = manifest;
    return 0;
}

void manifest_write_artifacts(struct buf *buf, const struct artifact *artifacts, size_t count) {
    buf_char(buf, '[');
    for (size_t i = 0; i < count; i++) {
        buf_str(buf, i ? ",{\"name\":" : "{\"name\":");
        json_write_string(buf, artifacts[i].name);
        buf_str(buf, ",\"type\":");
        json_write_string(buf, artifacts[i].type);
        buf_str(buf, ",\"digest\":");
        json_write_string(buf, artifacts[i].digest);
        if (artifacts[i].uri.p) {
            buf_str(buf, ",\"uri\":");
            json_write_string(buf, artifacts[i].uri);
        }
        buf_char(buf, '}');
    }
    buf_char(buf, ']');
}

int manifest_read_artifacts(struct arena *arena, struct slice text, struct artifact **ret_artifacts, size_t *ret_count) {
    const struct json *root;
    if (json_read_strict(arena, text, NULL, &root, NULL) || !is_kind(root, JSON_ARRAY)) return -1;
    return fill_artifacts(arena, root, ret_artifacts, ret_count);
}
