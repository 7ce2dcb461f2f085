/* sluice manifest verify: says whether workers will accept a manifest, and everything that is wrong with it. */
#include "bundle.h"
#include "command.h"
#include "files.h"
#include "manifest.h"
#include "manifest_defaults.h"
#include "options.h"
#include "output.h"
#include "schema.h"

#include <json_object.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

enum { ARENA_MAX = 256 * 1024 * 1024 };

struct verification {
    const char *file, *schema, *bundle;
    bool json;
    struct arena arena;
    struct json_object *errors; /* what --json shows */
};

static bool is_known(const struct verification *v, const char *path, const char *code, const char *message) {
    for (size_t i = 0; i < json_object_array_length(v->errors); i++) {
        const struct json_object *known = json_object_array_get_idx(v->errors, i);
        if (strcmp(json_object_get_string(json_object_object_get(known, "path")), path) == 0 &&
            strcmp(json_object_get_string(json_object_object_get(known, "code")), code) == 0 &&
            strcmp(json_object_get_string(json_object_object_get(known, "message")), message) == 0)
            return true;
    }
    return false;
}

/* A manifest_problem. Two schemas may find the same: it is told once. */
static bool tell(void *context, const char *path, const char *code, const char *message) {
    struct verification *v = context;
    if (is_known(v, path, code, message)) return true;
    struct json_object *error = output_object();
    output_set_string(error, "path", path);
    output_set_string(error, "code", code);
    output_set_string(error, "message", message);
    output_append(v->errors, error);
    struct error line; /* cleans names of members for the terminal */
    (void)error_set(&line, ERROR_INPUT, code, "%s: %s%s%s (%s)", v->file, path, path[0] ? ": " : "", message, code);
    if (!v->json) fprintf(stderr, "%s\n", line.message);
    return true;
}

static int could_not_tell(const struct error *error) {
    output_error("%s", error->message);
    return EXIT_COULD_NOT_TELL;
}

static void note_unchecked(const struct bundle_unchecked *unchecked) {
    const struct {
        const char *member;
        bool elsewhere, no_digest;
    } rows[] = {{"sbomReference", unchecked->sbom_elsewhere, unchecked->sbom_no_digest},
                {"evidenceReference", unchecked->evidence_elsewhere, unchecked->evidence_no_digest}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].elsewhere) fprintf(stderr, "note: %s is not in the bundle; it was not checked\n", rows[i].member);
        if (rows[i].no_digest) fprintf(stderr, "note: %s has no digest; only that its file exists was checked\n", rows[i].member);
    }
}

static int print_verdict(const struct verification *v, const char *digest) {
    size_t count = json_object_array_length(v->errors);
    if (!v->json && count == 0) printf("%s is valid, %s\n", v->file, digest);
    if (!v->json && count) printf("%s is not valid: %zu problem%s\n", v->file, count, count == 1 ? "" : "s");
    if (v->json) {
        struct json_object *document = output_object();
        output_set_boolean(document, "valid", count == 0);
        output_set_string(document, "manifestDigest", digest);
        output_set(document, "errors", json_object_get(v->errors));
        output_print(document);
    }
    return count ? EXIT_NO : EXIT_YES;
}

/* A schema_listener. */
static bool tell_of_schema(void *context, const struct schema_problem *problem) {
    return tell(context, problem->path, manifest_code(problem->keyword), problem->message);
}

/* The user's schema, beside the built-in one, by which workers go. Returns 0 when it could be asked. */
static int check_own_schema(struct verification *v, struct slice manifest, struct error *error) {
    struct slice text;
    struct schema *schema;
    const struct json *root;
    struct error invalid = {0};
    if (file_read(&v->arena, v->schema, schema_document_limits.bytes, &text, error)) return -1;
    if (schema_compile(text, NULL, &schema, error)) {
        char why[sizeof error->message];
        (void)snprintf(why, sizeof why, "%s", error->message);
        return error_set(error, ERROR_INPUT, "schema-unusable", "the schema %s is unusable: %s%s%s", v->schema, error->path,
                         error->path[0] ? ": " : "", why);
    }
    int status = 0;
    if (json_read_strict(&v->arena, manifest, NULL, &root, &invalid) == 0) /* else that was told */
        (void)schema_validate(schema, root, tell_of_schema, v, &invalid);
    if (invalid.kind == ERROR_INTERNAL || strcmp(invalid.code, "schema-stopped") == 0) {
        *error = invalid;
        status = -1;
    }
    schema_free(schema);
    return status;
}

/* A manifest over the limit: its digest is told all the same. */
static int verify_large(struct verification *v, const struct error *large) {
    char digest[136];
    struct error error;
    if (digest_file(v->file, "sha256", digest, sizeof digest, &error)) return could_not_tell(&error);
    (void)tell(v, "", large->code, large->message);
    return print_verdict(v, digest);
}

static int verify(struct verification *v) {
    struct slice text;
    struct manifest manifest;
    struct bundle_unchecked unchecked;
    struct error error = {0};
    char digest[DIGEST_TEXT + 1] = {0};
    if (file_read(&v->arena, v->file, json_contract_limits.bytes, &text, &error))
        return strcmp(error.code, "too-large") == 0 && strcmp(v->file, "-") != 0 ? verify_large(v, &error)
                                                                                 : could_not_tell(&error);
    const struct digest of_text = digest_of(text);
    digest_text(digest, &of_text);
    int unread = manifest_read(&v->arena, text, tell, v, &manifest, &error);
    if (unread && (error.kind == ERROR_INTERNAL || !json_object_array_length(v->errors))) return could_not_tell(&error);
    if (v->schema && check_own_schema(v, text, &error)) return could_not_tell(&error);
    if (v->bundle && unread) fputs("note: the bundle was not looked at; mend the manifest first\n", stderr);
    if (v->bundle && !unread) {
        if (bundle_check(v->bundle, &manifest, tell, v, &unchecked, &error)) return could_not_tell(&error);
        note_unchecked(&unchecked);
    }
    return print_verdict(v, digest);
}

int command_manifest_verify(int argc, char **argv) {
    const char *file = NULL, *schema = NULL, *schema_argument = NULL, *bundle = NULL;
    bool json = false;
    const struct option options[] = {
        {"FILE", NULL, OPTION_POSITION, &file,
         .help = "the manifest; - is standard input. By default " MANIFEST_NAME " in the --bundle, or " MANIFEST_FILE},
        {"SCHEMA", NULL, OPTION_POSITION, &schema_argument, .help = "the same as --schema"},
        {"schema", "FILE", OPTION_TEXT, &schema,
         .help = "a JSON Schema (draft-07) of your own that the manifest must match too; by default " MANIFEST_SCHEMA_FILE
                 " where that exists"},
        {"bundle", "DIR", OPTION_TEXT, &bundle,
         .help = "the folder with the manifest's SBOM and evidence: they must be there, with their digests"},
        {"json", NULL, OPTION_FLAG, &json, .help = "print {valid, manifestDigest, errors: [{path, code, message}]}"},
    };
    const struct usage usage = {
        "manifest verify", "[FILE [SCHEMA]] [OPTION...]",
        "Says whether workers will accept a manifest, and if not, everything that is wrong, each with a JSON Pointer to the "
        "place. Checked are: strict JSON, the schema ('sluice schema print release-manifest'), and integrity: well-formed "
        "digests that agree with their URIs, artifacts of different names, signatures of artifacts that exist, an issueLink "
        "where signing is disabled, real instants. No registry is asked: workers do that. No signature is verified.\n\n"
        "Exit status: 0 valid, 1 not valid, 2 could not tell (no such file, unusable schema).",
        "sluice manifest verify release-manifest.json\n"
        "sluice manifest verify --bundle release-bundle-4f1c9a/\n"
        "sluice manifest verify --json release-manifest.json | jq -r '.errors[] | .path + \" \" + .message'",
        OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    if (schema && schema_argument) return options_wrong(&usage, "the schema is given twice, as --schema and as SCHEMA");
    if (!schema) schema = schema_argument;
    if (!schema && access(MANIFEST_SCHEMA_FILE, F_OK) == 0) schema = MANIFEST_SCHEMA_FILE;
    char in_bundle[PATH_MAX];
    (void)snprintf(in_bundle, sizeof in_bundle, "%s/" MANIFEST_NAME, bundle ? bundle : ".");
    struct verification v = {.file = file     ? file
                                     : bundle ? in_bundle
                                              : MANIFEST_FILE,
                             .schema = schema,
                             .bundle = bundle,
                             .json = json,
                             .errors = output_array()};
    arena_init(&v.arena, ARENA_MAX);
    status = verify(&v);
    arena_release(&v.arena);
    (void)json_object_put(v.errors);
    return status;
}
