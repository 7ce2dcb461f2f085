/* sluice build-complete: tells of a release that CI has built. */
#include "command.h"
#include "files.h"
#include "identity.h"
#include "manifest.h"
#include "manifest_defaults.h"
#include "output.h"
#include "publish.h"

#include <stdio.h>

enum { MEMORY = 64 * 1024 * 1024, BUNDLE_MAX = 1024 };

static const char about[] =
    "Publishes a release's manifest, so that the release can be promoted. The manifest is checked before: what the workers "
    "would refuse is not sent.\n"
    "\n"
    "Exit status: 0 Kafka has it, 1 the manifest is wrong, 2 Kafka does not have it, or that could not be told. With --wait: 0 "
    "verified, 1 any other final answer, 2 could not tell, 3 no answer within --timeout, 130 Ctrl-C; the event stays in place.";
static const char examples[] = "sluice build-complete --wait\n"
                               "sluice build-complete --manifest release-manifest.json --project acme/shop";

struct build {
    struct publication publication;
    const char *path, *bundle;
    struct manifest manifest;
    char sha[65], digest[DIGEST_TEXT + 1];
};

/* `publication` is the build's first member. */
static void describe(const struct publication *publication, struct json_object *document) {
    const struct build *build = (const struct build *)publication;
    output_set_string(document, "gitSha", build->sha);
    output_set_string(document, "manifestDigest", build->digest);
}

static bool print_problem(void *context, const char *path, const char *code, const char *message) {
    struct error line; /* cleans names of members for the terminal */
    (void)error_set(&line, ERROR_INPUT, code, "%s: %s%s%s (%s)", (const char *)context, path, path[0] ? ": " : "", message, code);
    fprintf(stderr, "%s\n", line.message);
    return true;
}

static int read_manifest(struct build *build, struct arena *arena) {
    struct error error = {0};
    struct slice text;
    if (file_read(arena, build->path, KAFKA_INPUT_BYTES_MAX, &text, &error)) {
        output_failure(&error);
        return EXIT_COULD_NOT_TELL;
    }
    if (manifest_read(arena, text, print_problem, (void *)(uintptr_t)build->path, &build->manifest, &error)) {
        output_error("nothing was published: %s", error.message);
        return error.kind == ERROR_INTERNAL ? EXIT_COULD_NOT_TELL : EXIT_NO;
    }
    (void)snprintf(build->sha, sizeof build->sha, "%.*s", SLICE_ARG(build->manifest.git_sha));
    digest_text(build->digest, &build->manifest.digest);
    return 0;
}

static void write_data(struct buf *buf, const struct build *build) {
    buf_str(buf, "{\"manifest\":");
    json_write_string(buf, build->manifest.text);
    if (build->bundle) {
        buf_str(buf, ",\"bundle\":");
        json_write_string(buf, slice_str(build->bundle));
    }
    buf_char(buf, '}');
}

static int check_bundle(const struct build *build) {
    struct image_reference reference;
    if (!build->bundle) return 0;
    if (strlen(build->bundle) <= BUNDLE_MAX && image_reference_parse(slice_str(build->bundle), &reference) && reference.digest.p)
        return 0;
    return options_wrong(build->publication.usage,
                         "--bundle '%.100s' is no reference with a digest, as ghcr.io/acme/shop@sha256:...", build->bundle);
}

static int run(struct build *build, struct arena *arena) {
    struct publication *publication = &build->publication;
    struct publish_options *options = &publication->options;
    publication->id = options->id ? slice_str(options->id) : identity_id(arena, NULL);
    publication->source = options->source ? slice_str(options->source) : identity_source(arena);
    if (!publication->id.p || !publication->source.p) return output_starved();
    int status = publish_check(publication);
    if (!status) status = check_bundle(build);
    if (!status) status = read_manifest(build, arena);
    if (status) return status;
    publication->git_sha = build->manifest.git_sha;
    publication->headline = arena_print(arena, "release %s %s", build->sha, build->digest).p;
    publication->find_again =
        arena_print(arena, "sluice build-complete --manifest %s --project %s --id '%.*s' --source '%.*s' --wait", build->path,
                    options->project, SLICE_ARG(publication->id), SLICE_ARG(publication->source))
            .p;
    struct buf data;
    buf_init(&data, 2 * KAFKA_INPUT_BYTES_MAX);
    write_data(&data, build);
    publication->data = buf_slice(&data);
    if (!publication->headline || !publication->find_again || (data.failed && !data.full)) {
        status = output_starved();
    } else if (data.failed) {
        output_error("%s is too large for one record; at most %d bytes are allowed", build->path, KAFKA_INPUT_BYTES_MAX);
        status = EXIT_COULD_NOT_TELL;
    } else {
        status = publish(publication);
    }
    buf_release(&data);
    return status;
}

int command_build_complete(int argc, char **argv) {
    struct build build = {.path = MANIFEST_FILE,
                          .publication = {.topic = KAFKA_BUILDS,
                                          .type = "dev.sluice.build.complete.v1",
                                          .describe = describe,
                                          .options = {.timeout = PUBLISH_TIMEOUT_DEFAULT}}};
    const struct option options[] = {
        {"manifest", "FILE", OPTION_TEXT, &build.path, .help = "the manifest"},
        {"bundle", "REF", OPTION_TEXT, &build.bundle, .help = "the bundle that CI stored, as an OCI reference with a digest"},
        PUBLISH_OPTIONS(&build.publication.options, "gitSha, manifestDigest"),
    };
    const struct usage usage = {"build-complete", "[--manifest FILE] [OPTION...]", about, examples, OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    build.publication.usage = &usage;
    struct arena arena;
    arena_init(&arena, MEMORY);
    status = run(&build, &arena);
    arena_release(&arena);
    return status;
}
