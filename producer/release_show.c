/* sluice release show: one release, its manifest, and where it went. */
#include "command.h"
#include "database.h"
#include "json.h"
#include "output.h"

#include <stdio.h>

PG_STATEMENT(release_find);
PG_STATEMENT(release_artifacts);
PG_STATEMENT(release_history);

static const char about[] =
    "Shows a verified release: its manifest's digest and its artifacts.\n"
    "\n"
    "--manifest prints the manifest's exact bytes, so that sha256sum gives the digest. --with-history prints the manifest with "
    "`promotionHistory` as Sluice decided it: environment, time and requester of every promotion. That is another text, and has "
    "another digest.\n"
    "\n"
    "Exit status: 0 shown, 1 there is no verified release of that SHA, 2 the database did not answer.";

enum { FORM_SUMMARY, FORM_MANIFEST, FORM_HISTORY };

struct release {
    struct pg_call calls[3]; /* found, artifacts, history */
    struct slice project, git_sha;
};

static int load(struct pg *pg, struct release *release, struct error *error) {
    struct pg_parameters parameters;
    pg_parameters_init(&parameters);
    pg_bytes(&parameters, PG_TEXT, release->project);
    pg_bytes(&parameters, PG_TEXT, release->git_sha);
    release->calls[0] = (struct pg_call){.statement = &release_find, .parameters = &parameters};
    release->calls[1] = (struct pg_call){.statement = &release_artifacts, .parameters = &parameters};
    release->calls[2] = (struct pg_call){.statement = &release_history, .parameters = &parameters};
    int status = pg_run(pg, PG_READ, release->calls, 3, error);
    pg_parameters_release(&parameters);
    return status;
}

static struct json_object *artifacts_of(const struct pg_result *result) {
    struct json_object *artifacts = output_array();
    for (size_t i = 0; i < pg_rows(result); i++) {
        struct json_object *artifact = output_object();
        output_set_text(artifact, "name", pg_get_bytes(result, i, 0));
        output_set_text(artifact, "type", pg_get_bytes(result, i, 1));
        output_set_text(artifact, "digest", pg_get_bytes(result, i, 2));
        output_set_text(artifact, "uri", pg_get_bytes(result, i, 3));
        output_append(artifacts, artifact);
    }
    return artifacts;
}

static void print_json(const struct release *release) {
    const struct pg_result *found = release->calls[0].result;
    char digest_to[DIGEST_TEXT];
    struct digest digest = pg_get_digest(found, 0, 1);
    digest_text(digest_to, &digest);
    struct json_object *document = output_object();
    output_set_text(document, "project", release->project);
    output_set_text(document, "gitSha", release->git_sha);
    output_set_text(document, "state", pg_get_bytes(found, 0, 0));
    output_set_text(document, "manifestDigest", slice_of(digest_to, DIGEST_TEXT));
    output_set(document, "artifacts", artifacts_of(release->calls[1].result));
    output_print(document);
}

static void print_summary(const struct release *release) {
    const struct pg_result *found = release->calls[0].result, *artifacts = release->calls[1].result,
                           *history = release->calls[2].result;
    char digest_to[DIGEST_TEXT], at[TEXT_INSTANT];
    struct digest digest = pg_get_digest(found, 0, 1);
    digest_text(digest_to, &digest);
    text_instant(at, pg_get_instant(found, 0, 3));
    printf("%.*s %.*s: %.*s at %.*s\nmanifest %.*s\n", SLICE_ARG(release->project), SLICE_ARG(release->git_sha),
           SLICE_ARG(pg_get_bytes(found, 0, 0)), TEXT_INSTANT, at, DIGEST_TEXT, digest_to);
    for (size_t i = 0; i < pg_rows(artifacts); i++) {
        struct slice uri = pg_get_bytes(artifacts, i, 3);
        printf("artifact ");
        output_safe(stdout, pg_get_bytes(artifacts, i, 0));
        printf(" (%.*s) %.*s%s", SLICE_ARG(pg_get_bytes(artifacts, i, 1)), SLICE_ARG(pg_get_bytes(artifacts, i, 2)),
               uri.p ? " at " : "");
        output_safe(stdout, uri);
        (void)putchar('\n');
    }
    for (size_t i = 0; i < pg_rows(history); i++) {
        text_instant(at, pg_get_instant(history, i, 1));
        printf("promoted to %.*s at %.*s for ", SLICE_ARG(pg_get_bytes(history, i, 0)), TEXT_INSTANT, at);
        output_safe(stdout, pg_get_bytes(history, i, 2));
        (void)putchar('\n');
    }
}

static void write_history(struct buf *to, const struct pg_result *history) {
    buf_char(to, '[');
    for (size_t i = 0; i < pg_rows(history); i++) {
        char at[TEXT_INSTANT], promotion[TEXT_BASE32_16];
        unsigned char id[16];
        text_instant(at, pg_get_instant(history, i, 1));
        pg_get_uuid(id, history, i, 3);
        text_base32(promotion, id);
        buf_str(to, i ? ", {\"environment\": " : "{\"environment\": ");
        json_write_string(to, pg_get_bytes(history, i, 0));
        buf_print(to, ", \"timestamp\": \"%.*s\", \"actor\": ", TEXT_INSTANT, at);
        json_write_string(to, pg_get_bytes(history, i, 2));
        buf_print(to, ", \"notes\": \"promotion %.*s\"}", TEXT_BASE32_16, promotion);
    }
    buf_char(to, ']');
}

/* The manifest's text with the history in place of its own, or as its last member; all else as it was written. */
static int print_with_history(const struct release *release, struct slice manifest) {
    struct arena arena;
    struct buf text;
    struct error error = {0};
    const struct json *root;
    arena_init(&arena, 16 * 1024 * 1024);
    buf_init(&text, 16 * 1024 * 1024);
    if (json_read_strict(&arena, manifest, NULL, &root, &error) == 0) {
        const struct json *own = json_get(root, "promotionHistory");
        const char *cut = own ? own->raw.p : root->raw.p + root->raw.n - 1, *rest = own ? cut + own->raw.n : cut;
        buf_append(&text, slice_of(manifest.p, (size_t)(cut - manifest.p)));
        if (!own) buf_str(&text, root->count ? ", \"promotionHistory\": " : "\"promotionHistory\": ");
        write_history(&text, release->calls[2].result);
        buf_append(&text, slice_of(rest, (size_t)(manifest.p + manifest.n - rest)));
        if (text.n && !text.failed && text.p[text.n - 1] != '\n') buf_char(&text, '\n');
        if (text.failed) (void)error_memory(&error);
    }
    if (error.kind)
        output_failure(&error);
    else
        (void)fwrite(text.p, 1, text.n, stdout);
    buf_release(&text);
    arena_release(&arena);
    return error.kind ? EXIT_COULD_NOT_TELL : EXIT_YES;
}

static int print(const struct release *release, int form, bool json) {
    struct slice manifest = pg_get_bytes(release->calls[0].result, 0, 2);
    if (form == FORM_HISTORY) return print_with_history(release, manifest);
    if (form == FORM_MANIFEST)
        (void)fwrite(manifest.p, 1, manifest.n, stdout);
    else if (json)
        print_json(release);
    else
        print_summary(release);
    return EXIT_YES;
}

static int show(struct pg *pg, struct release *release, int form, bool json) {
    struct error error = {0};
    if (load(pg, release, &error) < 0) {
        output_failure(&error);
        return EXIT_COULD_NOT_TELL;
    }
    int status = EXIT_NO;
    if (pg_rows(release->calls[0].result))
        status = print(release, form, json);
    else
        output_error("%.*s has no verified release %.*s", SLICE_ARG(release->project), SLICE_ARG(release->git_sha));
    pg_results_free(release->calls, 3);
    return status;
}

int command_release_show(int argc, char **argv) {
    const char *sha = NULL, *project = NULL, *config = NULL;
    bool json = false, manifest = false, history = false;
    const struct option options[] = {
        {"SHA", NULL, OPTION_POSITION, &sha, .help = "the full git SHA", .required = true},
        {"project", "PROJECT", OPTION_TEXT, &project, .help = "whose release", .required = true,
         .environment = "SLUICE_PROJECT, GITHUB_REPOSITORY, CI_PROJECT_PATH"},
        {"manifest", NULL, OPTION_FLAG, &manifest, .help = "print the manifest's exact bytes"},
        {"with-history", NULL, OPTION_FLAG, &history, .help = "print the manifest with its promotionHistory"},
        SETTINGS_OPTION(&config),
        {"json", NULL, OPTION_FLAG, &json, .help = "print {project, gitSha, state, manifestDigest, artifacts}"},
    };
    const struct usage usage = {
        "release show", "SHA [OPTION...]", about,
        "sluice release show 4f1c... --project acme/shop\nsluice release show 4f1c... --manifest | sha256sum", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    if (manifest && history) return options_wrong(&usage, "--manifest and --with-history exclude each other");
    if (!text_is_git_sha(slice_str(sha)))
        return options_wrong(&usage, "SHA must be 40 or 64 lower-case hex digits, not '%s'", sha);
    if (!text_is_project(slice_str(project))) return options_wrong(&usage, "'%s' is no name of a project", project);

    struct database database;
    status = database_open(&database, config, PG_READER);
    if (status) return status;
    struct release release = {.project = slice_str(project), .git_sha = slice_str(sha)};
    status = show(database.pg, &release, manifest ? FORM_MANIFEST : history ? FORM_HISTORY : FORM_SUMMARY, json);
    database_close(&database);
    return status;
}
