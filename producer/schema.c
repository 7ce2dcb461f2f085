/* sluice schema list, print, validate. None of them needs a server or the network. */
#include "schema.h"

#include "command.h"
#include "files.h"
#include "options.h"
#include "output.h"
#include "schemas.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- list and print ---- */

int command_schema_list(int argc, char **argv) {
    bool json = false;
    const struct option options[] = {{"json", NULL, OPTION_FLAG, &json, .help = "print one JSON document: an array of names"}};
    const struct usage usage = {
        "schema list", "[--json]",
        "Lists the JSON Schemas (draft-07) that are part of this program: the contract of its events and answers, and the "
        "form of release-manifest.json. 'sluice schema print NAME' shows one.",
        "sluice schema list\nsluice schema list --json", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    struct json_object *names = json ? output_array() : NULL;
    for (size_t i = 0; schemas_at(i).name; i++) {
        if (json)
            output_append(names, output_text(slice_str(schemas_at(i).name)));
        else
            puts(schemas_at(i).name);
    }
    if (json) output_print(names);
    return EXIT_YES;
}

int command_schema_print(int argc, char **argv) {
    const char *name = NULL;
    bool json = false;
    const struct option options[] = {
        {"NAME", NULL, OPTION_POSITION, &name, .help = "as 'sluice schema list' has it", .required = true},
        {"json", NULL, OPTION_FLAG, &json, .help = "changes nothing: a schema is a JSON document"}};
    const struct usage usage = {
        "schema print", "NAME",
        "Prints a built-in JSON Schema, for an editor, another validator, or 'sluice schema validate'.\n"
        "\n"
        "A schema that refers to another one names it by its URI, urn:sluice:schema:NAME; give other validators both.",
        "sluice schema print release-manifest > release-manifest.schema.json", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    struct slice text = schemas_find(slice_str(name));
    if (!text.p) return options_wrong(&usage, "there is no built-in schema '%s' (see 'sluice schema list')", name);
    (void)fwrite(text.p, 1, text.n, stdout);
    return EXIT_YES;
}

/* ---- --remote URL_PREFIX=DIR ---- */

enum { REMOTES_MAX = 64, FILES_MAX = 65536, PROBLEMS_MAX = 100 };

struct remotes {
    struct slice prefixes[REMOTES_MAX];
    const char *folders[REMOTES_MAX];
    size_t count;
};

static bool read_remotes(const struct option_list *list, struct remotes *remotes) {
    for (size_t i = 0; i < list->count; i++) {
        const char *equals = strchr(list->values[i], '=');
        if (!equals || equals == list->values[i] || !equals[1]) return false;
        remotes->prefixes[i] = slice_of(list->values[i], (size_t)(equals - list->values[i]));
        remotes->folders[i] = equals + 1;
    }
    remotes->count = list->count;
    return true;
}

/* A path that stays below its folder. */
static bool is_inside(struct slice path) {
    for (size_t start = 0, at = 0; at <= path.n; at++) {
        if (at < path.n && path.p[at] != '/') continue;
        if (slice_is(slice_of(path.p + start, at - start), "..")) return false;
        start = at + 1;
    }
    return path.n > 0 && !memchr(path.p, '\0', path.n);
}

/* A schema_loader: the longest prefix counts. */
static int load_remote(void *context, struct arena *arena, struct slice uri, struct slice *ret_text, struct error *error) {
    const struct remotes *remotes = context;
    size_t best = remotes->count;
    for (size_t i = 0; i < remotes->count; i++)
        if (slice_starts(uri, remotes->prefixes[i]) &&
            (best == remotes->count || remotes->prefixes[i].n > remotes->prefixes[best].n))
            best = i;
    if (best == remotes->count)
        return error_set(error, ERROR_INPUT, "", "no --remote URL_PREFIX=DIR covers it, and nothing is fetched over the network");
    struct slice rest = slice_of(uri.p + remotes->prefixes[best].n, uri.n - remotes->prefixes[best].n);
    if (!is_inside(rest)) return error_set(error, ERROR_INPUT, "", "its path does not stay below %s", remotes->folders[best]);
    struct slice path = arena_print(arena, "%s/%.*s", remotes->folders[best], SLICE_ARG(rest));
    if (!path.p) return error_memory(error);
    return file_read(arena, path.p, schema_document_limits.bytes, ret_text, error);
}

/* ---- validate ---- */

struct report {
    const char *file;
    bool json;
    struct json_object *errors; /* of this file, with --json */
    size_t problems;
};

static void tell(struct report *report, const char *path, const char *keyword, const char *message) {
    report->problems++;
    if (!report->json) {
        printf("%s: %s%s%s\n", report->file, path, path[0] ? ": " : "", message);
        return;
    }
    struct json_object *problem = output_object();
    output_set_string(problem, "path", path);
    output_set_string(problem, "keyword", keyword);
    output_set_string(problem, "message", message);
    output_append(report->errors, problem);
}

/* A schema_listener. */
static bool hear(void *context, const struct schema_problem *problem) {
    struct report *report = context;
    tell(report, problem->path, problem->keyword, problem->message);
    return report->problems < PROBLEMS_MAX;
}

static int validate_file(const struct schema *schema, struct report *report) {
    struct arena arena;
    struct slice text;
    struct json_document document;
    struct error error = {0};
    int status = EXIT_NO;
    arena_init(&arena, (size_t)1024 * 1024 * 1024);
    if (file_read(&arena, report->file, schema_document_limits.bytes, &text, &error)) {
        status = EXIT_COULD_NOT_TELL;
    } else if (json_read(&arena, text, &schema_document_limits, &document, &error)) {
        if (error.kind == ERROR_INPUT) tell(report, "", error.code, error.message);
    } else if (schema_validate(schema, document.root, hear, report, &error) == 0) {
        status = EXIT_YES;
        if (!report->json) printf("%s: valid\n", report->file);
    }
    if (status == EXIT_COULD_NOT_TELL || error.kind == ERROR_INTERNAL) {
        status = EXIT_COULD_NOT_TELL;
        output_failure(&error);
        if (report->json) tell(report, "", error.code, error.message);
    }
    arena_release(&arena);
    return status;
}

static int validate_files(const struct schema *schema, const struct option_list *files, bool json) {
    struct json_object *document = json ? output_array() : NULL;
    int worst = EXIT_YES;
    for (size_t i = 0; i < files->count; i++) {
        struct report report = {.file = files->values[i], .json = json, .errors = json ? output_array() : NULL};
        int status = validate_file(schema, &report);
        if (status > worst) worst = status;
        if (!json) continue;
        struct json_object *entry = output_object();
        output_set_string(entry, "file", report.file);
        output_set_boolean(entry, "valid", status == EXIT_YES);
        output_set(entry, "errors", report.errors);
        output_append(document, entry);
    }
    if (json) output_print(document);
    return worst;
}

/* A built-in name, or else a file. */
static int compile_schema(const char *name, struct remotes *remotes, struct schema **ret_schema, struct error *error) {
    struct arena arena;
    const struct schema_sources sources = {load_remote, remotes};
    arena_init(&arena, 2 * schema_document_limits.bytes);
    struct slice text = schemas_find(slice_str(name));
    int status = text.p ? 0 : file_read(&arena, name, schema_document_limits.bytes, &text, error);
    if (!status) status = schema_compile(text, &sources, ret_schema, error);
    arena_release(&arena);
    return status;
}

static const char about[] =
    "Checks JSON files against a JSON Schema of draft-07. FILE may be - for standard input. SCHEMA is a file or a built-in name "
    "(see 'sluice schema list').\n"
    "\n"
    "`format` is asserted, numbers are compared exactly, and `pattern` is an ECMA-262 regular expression. What a $ref names in "
    "another document is looked for where --remote says, never on the network; the draft-07 meta-schema is built in (draft-07), "
    "so that "
    "'sluice schema validate draft-07 my.schema.json' checks a schema.\n"
    "\n"
    "Each problem is told with a JSON Pointer to where it is. Reading is strict (RFC 8259: UTF-8, nothing after the end).\n"
    "\n"
    "Exit status: 0 all are valid; 1 one is not, or is not JSON; 2 one cannot be read, or the schema is unusable.";

int command_schema_validate(int argc, char **argv) {
    static const char *file_names[FILES_MAX], *remote_texts[REMOTES_MAX];
    struct option_list files = {file_names, 0, FILES_MAX}, remote_list = {remote_texts, 0, REMOTES_MAX};
    struct remotes remotes = {.count = 0};
    const char *name = NULL;
    bool json = false;
    const struct option options[] = {
        {"SCHEMA", NULL, OPTION_POSITION, &name, .help = "the schema's file, or a built-in name", .required = true},
        {"FILE", NULL, OPTION_REST, &files, .help = "what to check", .required = true},
        {"remote", "URL_PREFIX=DIR", OPTION_LIST, &remote_list,
         .help = "documents whose URI begins with URL_PREFIX are files below DIR"},
        {"json", NULL, OPTION_FLAG, &json, .help = "print one JSON document: [{file, valid, errors [{path, keyword, message}]}]"},
    };
    const struct usage usage = {"schema validate", "[--remote URL_PREFIX=DIR]... [--json] SCHEMA FILE...", about,
                                "sluice schema validate release-manifest release/out/release-manifest.json\n"
                                "sluice schema validate --remote https://example.com/schemas/=schemas order.schema.json *.json",
                                OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    if (!read_remotes(&remote_list, &remotes)) return options_wrong(&usage, "--remote wants URL_PREFIX=DIR");
    struct schema *schema = NULL;
    struct error error = {0};
    if (compile_schema(name, &remotes, &schema, &error)) {
        bool of_file = strcmp(error.code, "file-unreadable") == 0;
        output_error("%s%s%s%s%s", of_file ? "" : name, error.path[0] ? "#" : "", error.path, of_file ? "" : ": ", error.message);
        return EXIT_COULD_NOT_TELL;
    }
    status = validate_files(schema, &files, json);
    schema_free(schema);
    return status;
}
