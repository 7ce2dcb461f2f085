/* sluice manifest generate: writes release-manifest.json from what CI knows.
 *
 * Whatever it writes without --draft passes `manifest verify`: the text is read back with the worker's own reader before
 * it reaches the disk, and every problem is told in terms of the option that brought it. */
#include "command.h"
#include "files.h"
#include "manifest.h"
#include "manifest_defaults.h"
#include "options.h"
#include "output.h"

#include <errno.h>
#include <json_object.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { ARENA_MAX = 64 * 1024 * 1024, SPEC_KEYS = 4 };

static const uint64_t LATEST_EPOCH = 253402300799; /* 9999-12-31T23:59:59Z, RFC 3339's last second */

/* What was asked for. */
struct request {
    const char *sha, *image_digest, *image_uri, *sbom, *evidence, *issue_link, *out;
    struct option_list artifacts, signatures;
    bool signing, draft, json;
};

/* The manifest in the making. */
struct draft {
    const struct usage *usage;
    const struct request *request;
    struct json_object *root;
    size_t problems;
    /* What was already said to be missing or wrong, so that the reader does not say it again. */
    bool said_sha, said_artifacts, said_sbom, said_evidence, said_attestation;
    bool image; /* artifacts/0 comes from --image-digest and --image-uri */
};

static void say(struct draft *draft, const char *option, const char *message) {
    draft->problems++;
    if (draft->request->draft)
        fprintf(stderr, "draft: %s%s%s\n", option, option[0] ? " " : "", message);
    else
        output_error("%s%s%s", option, option[0] ? " " : "", message);
}

/* The bytes as they are: what is not UTF-8 has to be refused, not mended. */
static void put(struct json_object *object, const char *name, struct slice text) {
    if (text.p) output_set(object, name, output_made(json_object_new_string_len(text.p, (int)text.n)));
}

/* ---- name=...,type=...: the values of --artifact and --signature ---- */

static bool begins_pair(const char *text) {
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz-");
    return n && text[n] == '=';
}

/* A comma ends a pair only where a new one begins, so that URIs may have commas. */
static const char *pair_end(const char *pair) {
    const char *end = pair + strcspn(pair, ",");
    while (*end && !begins_pair(end + 1)) end += 1 + strcspn(end + 1, ",");
    return end;
}

/* The values of `keys`, in their order. Absent ones are NULL slices. Returns 0 or the exit status. */
static int spec_parse(const struct usage *usage, const char *option, const char *spec, const char *const *keys,
                      struct slice values[SPEC_KEYS]) {
    memset(values, 0, SPEC_KEYS * sizeof *values);
    for (const char *rest = spec, *end; *rest; rest = *end ? end + 1 : end) {
        end = pair_end(rest);
        size_t name = strcspn(rest, "="), key = 0;
        while (key < SPEC_KEYS && keys[key] && !slice_is(slice_of(rest, name), keys[key])) key++;
        if (!begins_pair(rest) || key == SPEC_KEYS || !keys[key])
            return options_wrong(usage, "%s %s: '%.*s' is none of its parts", option, spec, (int)(end - rest), rest);
        if (values[key].p) return options_wrong(usage, "%s %s: %s= is given twice", option, spec, keys[key]);
        values[key] = slice_of(rest + name + 1, (size_t)(end - rest) - name - 1);
    }
    return 0;
}

/* ---- the parts ---- */

static int add_artifacts(struct draft *draft) {
    static const char *const keys[SPEC_KEYS] = {"name", "type", "digest", "uri"};
    const struct request *request = draft->request;
    struct json_object *artifacts = output_array();
    output_set(draft->root, "artifacts", artifacts);
    draft->image = request->image_digest || request->image_uri;
    if (draft->image) {
        struct json_object *image = output_object();
        put(image, "name", SLICE("primary-image"));
        put(image, "type", SLICE("docker-image"));
        put(image, "digest", slice_str(request->image_digest));
        put(image, "uri", slice_str(request->image_uri));
        output_append(artifacts, image);
    }
    for (size_t i = 0; i < request->artifacts.count; i++) {
        struct slice values[SPEC_KEYS];
        int status = spec_parse(draft->usage, "--artifact", request->artifacts.values[i], keys, values);
        if (status) return status;
        struct json_object *artifact = output_object();
        for (size_t k = 0; k < SPEC_KEYS; k++) put(artifact, keys[k], values[k]);
        output_append(artifacts, artifact);
    }
    struct image_reference reference;
    if (!draft->image && !request->artifacts.count) {
        say(draft, "--image-digest", "is missing, and --image-uri with it: a release has at least one artifact (or --artifact)");
        draft->said_artifacts = true;
    } else if (draft->image && !request->image_digest) {
        say(draft, "--image-digest", "is missing: --image-uri says where the image is, its digest says which one it is");
        draft->said_artifacts = true;
    } else if (draft->image && !request->image_uri) {
        say(draft, "--image-uri", "is missing: without it no registry can be asked for the image");
    } else if (draft->image && !image_reference_parse(slice_str(request->image_uri), &reference)) {
        say(draft, "--image-uri",
            "names no image in a registry; it must be [docker://|oci://]host[:port]/repository[:tag][@digest]");
    }
    return 0;
}

/* The file's path in the bundle: below the manifest's folder as it lies there, else by its bare name. */
static void bundle_path(const char *file, const char *manifest, char *to, size_t room) {
    char folder[PATH_MAX], real_file[PATH_MAX], real_folder[PATH_MAX];
    const char *slash = strrchr(manifest, '/'), *name = strrchr(file, '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - manifest) + 1 : 1, slash ? manifest : ".");
    size_t n = realpath(folder, real_folder) ? strlen(real_folder) : 0;
    bool below = n > 1 && realpath(file, real_file) && strncmp(real_file, real_folder, n) == 0 && real_file[n] == '/';
    (void)snprintf(to, room, "%s", below ? real_file + n + 1 : name ? name + 1 : file);
}

/* A file becomes its path in the bundle and its digest; what has a scheme is kept as it is. */
static void add_reference(struct draft *draft, const char *option, const char *member, const char *file, bool *said) {
    if (!file) {
        say(draft, option, "is missing: name the file");
        *said = true;
        return;
    }
    struct json_object *reference = output_object();
    output_set(draft->root, member, reference);
    if (strstr(file, "://")) {
        put(reference, "uri", slice_str(file));
        return;
    }
    char path[PATH_MAX], digest[136];
    struct error error;
    bundle_path(file, draft->request->out, path, sizeof path);
    put(reference, "uri", slice_str(path));
    if (digest_file(file, "sha256", digest, sizeof digest, &error))
        say(draft, option, error.message);
    else
        put(reference, "digest", slice_str(digest));
}

static const char *member_text(const struct json_object *root, const char *reference, const char *member) {
    const struct json_object *object = json_object_object_get(root, reference);
    return object ? json_object_get_string(json_object_object_get(object, member)) : NULL;
}

/* Two files that would be one in the bundle: it could never verify. */
static void check_collision(struct draft *draft) {
    const char *sbom = member_text(draft->root, "sbomReference", "uri"),
               *other = member_text(draft->root, "evidenceReference", "uri");
    const char *a = member_text(draft->root, "sbomReference", "digest"),
               *b = member_text(draft->root, "evidenceReference", "digest");
    if (sbom && other && a && b && strcmp(sbom, other) == 0 && strcmp(a, b) != 0)
        say(draft, "--evidence", "has the file name of --sbom, so both would be one file in the bundle; give it another name");
}

static int add_attestation(struct draft *draft) {
    static const char *const keys[SPEC_KEYS] = {"artifact", "uri", "key-id", NULL};
    const struct request *request = draft->request;
    bool enabled = request->signing || request->signatures.count;
    struct json_object *attestation = output_object();
    output_set(draft->root, "attestation", attestation);
    put(attestation, "status", slice_str(enabled ? "enabled" : "disabled"));
    if (enabled) {
        struct json_object *signatures = output_array();
        output_set(attestation, "signatures", signatures);
        for (size_t i = 0; i < request->signatures.count; i++) {
            struct slice values[SPEC_KEYS];
            int status = spec_parse(draft->usage, "--signature", request->signatures.values[i], keys, values);
            if (status) return status;
            struct json_object *signature = output_object();
            put(signature, "artifact", values[0]);
            put(signature, "signatureUri", values[1]);
            put(signature, "keyId", values[2]);
            output_append(signatures, signature);
        }
    }
    put(attestation, "issueLink", slice_str(request->issue_link));
    if (enabled && !request->signatures.count) {
        say(draft, "--signature", "is missing: signing is enabled (SIGNING_ENABLED), so at least one signature must be named");
        draft->said_attestation = true;
    } else if (!enabled && !request->issue_link) {
        say(draft, "--issue-link", "is missing: a release without --signature links the issue that says why it is not signed");
        draft->said_attestation = true;
    }
    return 0;
}

/* Whole seconds: of SOURCE_DATE_EPOCH, so that the same sources give the same bytes, or of the clock. */
static int build_timestamp(const struct usage *usage, char to[TEXT_INSTANT + 1]) {
    const char *given = getenv("SOURCE_DATE_EPOCH");
    uint64_t seconds = (uint64_t)time(NULL);
    if (given && given[0] && !text_parse_number(slice_str(given), LATEST_EPOCH, &seconds))
        return options_wrong(usage, "SOURCE_DATE_EPOCH must be whole seconds since 1970, not '%s'", given);
    text_instant(to, (instant)seconds * 1000000);
    memcpy(to + 19, "Z", 2); /* "2026-03-01T10:00:00" */
    return 0;
}

static int build(struct draft *draft) {
    const struct request *request = draft->request;
    char timestamp[TEXT_INSTANT + 1];
    int status = build_timestamp(draft->usage, timestamp);
    if (status) return status;
    put(draft->root, "schemaVersion", SLICE("1.0"));
    put(draft->root, "gitSha", slice_str(request->sha));
    put(draft->root, "buildTimestamp", slice_str(timestamp));
    draft->said_sha = !request->sha || !text_is_git_sha(slice_str(request->sha));
    if (!request->sha)
        say(draft, "--sha", "is missing (or set GITHUB_SHA or CI_COMMIT_SHA): the full git SHA of the commit that was built");
    else if (draft->said_sha)
        say(draft, "--sha", "must be the full git SHA: 40 or 64 lower-case hex digits");
    status = add_artifacts(draft);
    if (status) return status;
    add_reference(draft, "--sbom", "sbomReference", request->sbom, &draft->said_sbom);
    add_reference(draft, "--evidence", "evidenceReference", request->evidence, &draft->said_evidence);
    check_collision(draft);
    return add_attestation(draft);
}

/* ---- reading it back ---- */

/* The option that brought what stands at the path; *ret_said whether that was said to be wrong already. */
static const char *option_at(const struct draft *draft, const char *path, bool *ret_said) {
    bool image = draft->image, no_artifact = draft->said_artifacts;
    const struct {
        const char *prefix, *option;
        bool said;
    } rows[] = {{"/gitSha", "--sha", draft->said_sha},
                {"/artifacts/0/uri", image ? "--image-uri" : "--artifact", false},
                {"/artifacts/0/", image ? "--image-digest" : "--artifact", false},
                {"/artifacts/0", image ? "--image-digest" : "--artifact", image && no_artifact},
                {"/artifacts/", "--artifact", false},
                {"/artifacts", "--artifact", no_artifact},
                {"/sbomReference", "--sbom", draft->said_sbom},
                {"/evidenceReference", "--evidence", draft->said_evidence},
                {"/attestation/signatures/", "--signature", false},
                {"/attestation", "--issue-link", draft->said_attestation},
                {"/buildTimestamp", "SOURCE_DATE_EPOCH", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strncmp(path, rows[i].prefix, strlen(rows[i].prefix)) != 0) continue;
        *ret_said = rows[i].said;
        return rows[i].option;
    }
    *ret_said = draft->problems > 0; /* a missing member: the option that is missing was named */
    return "";
}

static bool say_problem(void *context, const char *path, const char *code, const char *message) {
    struct draft *draft = context;
    bool said;
    (void)code;
    const char *option = option_at(draft, path, &said);
    char line[1200];
    (void)snprintf(line, sizeof line, "is wrong: %s", message);
    if (!said) say(draft, option, option[0] ? line : message);
    return true;
}

/* What is printed once the manifest is written; made before, so that nothing can go wrong in between. */
struct result {
    struct json_object *document; /* of --json, or NULL */
    const char *text;
    size_t size;
    char digest[DIGEST_TEXT];
};

static struct result result_of(const struct draft *draft, struct slice text, bool valid) {
    struct result result = {0};
    const struct digest of_text = digest_of(text);
    digest_text(result.digest, &of_text);
    if (!draft->request->json) return result;
    result.document = output_object();
    output_set_string(result.document, "file", draft->request->out);
    output_set_string(result.document, "gitSha", draft->request->sha);
    output_set_text(result.document, "manifestDigest", slice_of(result.digest, DIGEST_TEXT));
    output_set_boolean(result.document, "valid", valid);
    result.text = output_render(result.document, &result.size);
    return result;
}

static void print_result(const struct draft *draft, const struct result *result) {
    if (result->document)
        printf("%.*s\n", (int)result->size, result->text);
    else
        printf("%s %.*s\n", draft->request->out, DIGEST_TEXT, result->digest);
}

static int generate(struct draft *draft) {
    const struct request *request = draft->request;
    struct arena arena;
    struct buf text;
    struct manifest manifest;
    struct error error = {0};
    arena_init(&arena, ARENA_MAX);
    buf_init(&text, ARENA_MAX);
    int status = build(draft);
    if (status) goto cleanup;
    const char *written = json_object_to_json_string_ext(draft->root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                                          JSON_C_TO_STRING_NOSLASHESCAPE);
    buf_str(&text, written);
    buf_char(&text, '\n');
    if (!written || text.failed) (void)error_memory(&error);
    bool valid = error.kind == ERROR_NONE &&
                 manifest_read(&arena, buf_slice(&text), say_problem, draft, &manifest, &error) == 0 && draft->problems == 0;
    status = EXIT_COULD_NOT_TELL;
    if (error.kind == ERROR_INTERNAL) {
        output_failure(&error);
        goto cleanup;
    }
    if (!valid && !draft->problems) { /* no answer is no yes */
        say(draft, "", error.message);
        goto cleanup;
    }
    if (!valid && !request->draft) {
        output_error("nothing was written; see sluice manifest generate --help (--draft writes it all the same)");
        goto cleanup;
    }
    struct result result = result_of(draft, buf_slice(&text), valid);
    if (file_write(request->out, buf_slice(&text), &error)) {
        output_error("%s", error.message);
        (void)json_object_put(result.document);
        goto cleanup;
    }
    if (!valid) fprintf(stderr, "draft: %s would not verify, as said above\n", request->out);
    print_result(draft, &result);
    (void)json_object_put(result.document);
    status = EXIT_YES;
cleanup:
    buf_release(&text);
    arena_release(&arena);
    return status;
}

int command_manifest_generate(int argc, char **argv) {
    const char *artifacts[MANIFEST_ARTIFACTS_MAX], *signatures[MANIFEST_ARTIFACTS_MAX];
    struct request request = {.out = MANIFEST_FILE,
                              .artifacts = {artifacts, 0, MANIFEST_ARTIFACTS_MAX},
                              .signatures = {signatures, 0, MANIFEST_ARTIFACTS_MAX}};
    const struct option options[] = {
        {"sha", "SHA", OPTION_TEXT, &request.sha,
         .help = "full git SHA of the commit that was built, 40 or 64 lower-case hex digits",
         .environment = "GITHUB_SHA, CI_COMMIT_SHA"},
        {"image-digest", "D", OPTION_TEXT, &request.image_digest,
         .help = "digest of the image, as the push printed it: sha256:<64 hex digits>; becomes the artifact primary-image"},
        {"image-uri", "U", OPTION_TEXT, &request.image_uri,
         .help = "where that image is: [docker://|oci://]host[:port]/repository[:tag][@digest]; a tag is for people, the digest "
                 "decides"},
        {"artifact", "SPEC", OPTION_LIST, &request.artifacts,
         .help = "a further artifact: name=NAME,type=docker-image|binary|archive|other,digest=DIGEST[,uri=URI]"},
        {"sbom", "FILE", OPTION_TEXT, &request.sbom,
         .help =
             "software bill of materials; its digest is computed, and it goes into the bundle beside the manifest. A URI with a "
             "scheme is written as it is, without a digest"},
        {"evidence", "FILE", OPTION_TEXT, &request.evidence, .help = "what shows that the release was tested; as --sbom"},
        {"issue-link", "URL", OPTION_TEXT, &request.issue_link,
         .help = "for a release that is not signed: the issue that says why"},
        {"signature", "SPEC", OPTION_LIST, &request.signatures,
         .help = "a signature: artifact=NAME,uri=URI,key-id=ID; makes the attestation enabled. Workers do not verify signatures "
                 "yet, so the promotions of such a release wait"},
        {"signing-enabled", NULL, OPTION_FLAG, &request.signing, .help = "insist on a --signature",
         .environment = "SIGNING_ENABLED"},
        {"out", "FILE", OPTION_TEXT, &request.out, .help = "where to write it; replaced as a whole or not at all"},
        {"draft", NULL, OPTION_FLAG, &request.draft,
         .help = "write it even if it would not verify, say what would not, and exit 0; for trying out a pipeline"},
        {"json", NULL, OPTION_FLAG, &request.json, .help = "print file, gitSha, manifestDigest and valid as one JSON document"},
    };
    const struct usage usage = {
        "manifest generate",
        "--sha SHA --image-digest D --image-uri U --sbom FILE --evidence FILE (--issue-link URL | --signature SPEC...) "
        "[OPTION...]",
        "Writes release-manifest.json: what this release consists of, by digest. Run it in CI when everything is built and "
        "pushed; then store the manifest with its SBOM and evidence files, and publish it with 'sluice build-complete'.\n\n"
        "What is written always passes 'sluice manifest verify'. Values that never could are refused, and the option at fault is "
        "named. The build timestamp is the clock's, or SOURCE_DATE_EPOCH's for reproducible builds.\n\n"
        "Exit status: 0 written, 2 not written.",
        "sluice manifest generate --sha \"$(git rev-parse HEAD)\" --image-digest sha256:9f86d0... \\\n"
        "    --image-uri ghcr.io/acme/shop:1.4.2 --sbom sbom.spdx.json --evidence test-report.json \\\n"
        "    --issue-link https://github.com/acme/shop/issues/12\n"
        "sluice manifest generate --artifact name=cli,type=binary,digest=sha256:2c26b4...,uri=https://dl.acme.example/cli \\\n"
        "    --sbom sbom.spdx.json --evidence test-report.json --signature "
        "artifact=cli,uri=https://dl.acme.example/cli.sig,key-id=ci",
        OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    struct draft draft = {.usage = &usage, .request = &request, .root = output_object()};
    status = generate(&draft);
    (void)json_object_put(draft.root);
    return status;
}
