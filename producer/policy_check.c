/* sluice policy check: is a policy right, and if not, where and why not. Needs no server. */
#include "policy_file.h"

#include "command.h"
#include "digest.h"
#include "options.h"
#include "output.h"

#include <stdarg.h>
#include <stdio.h>

static const char about[] =
    "Reads a policy as `policy apply` and the workers would, and says whether it is right. What is wrong is told with its line "
    "and column, and with what to do. Notes on what is allowed but hardly meant do not change the exit status.\n"
    "\n"
    "A policy is one YAML file for the whole installation:\n"
    "\n"
    "  version: 1\n"
    "  registries:                      # only these hosts are ever contacted\n"
    "    ghcr.io: {}\n"
    "    \"127.0.0.1:5000\": {plain-http: true, allow-private: true}\n"
    "  projects:                        # the first whose pattern matches counts\n"
    "  - match: \"acme/*\"\n"
    "    unsigned: allow                # default: refuse\n"
    "    unchecked-types: []            # artifact types that may lack a registry URI\n"
    "    waiting-limit: 7d              # how long a promotion may wait\n"
    "    environments:\n"
    "      dev: {}\n"
    "      staging: {after: [dev]}      # only what was promoted to dev\n"
    "      prod: {after: [staging]}\n"
    "\n"
    "Exit status: 0 it is right, 1 it is not, 2 it cannot be read.";

/* ---- notes ---- */

/* An earlier pattern that matches a later one as a text, its stars included, matches everything that the later one does. */
static const struct policy_project *hides(const struct policy *policy, size_t later) {
    for (size_t i = 0; i < later; i++)
        if (policy_match(policy->projects[i].match, policy->projects[later].match)) return &policy->projects[i];
    return NULL;
}

/* Into an array of --json, or for a person. */
static void note(struct json_object *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct json_object *notes, const char *format, ...) {
    struct error line; /* cleans a pattern for the terminal */
    va_list arguments;
    va_start(arguments, format);
    (void)error_vset(&line, ERROR_INPUT, NULL, format, arguments);
    va_end(arguments);
    if (notes)
        output_append(notes, output_text(slice_str(line.message)));
    else
        (void)fprintf(stderr, "note: %s\n", line.message);
}

static void add_notes(const struct policy *policy, struct json_object *notes) {
    if (!policy->registry_count) note(notes, "no registry is named, so whatever lies in one is rejected");
    for (size_t i = 0; i < policy->project_count; i++) {
        const struct policy_project *project = &policy->projects[i], *earlier = hides(policy, i);
        if (earlier)
            note(notes, "project '%.*s' is never reached: '%.*s' stands before it and matches all of it",
                 SLICE_ARG(project->match), SLICE_ARG(earlier->match));
        else if (!project->unsigned_allowed)
            note(notes,
                 "project '%.*s' refuses unsigned releases, and signatures are not verified yet: nothing of it is promoted",
                 SLICE_ARG(project->match));
    }
}

/* ---- what is wrong ---- */

/* The place that the message begins with, and the message behind it. */
static bool split_place(const char *message, size_t *ret_line, size_t *ret_column, const char **ret_rest) {
    int n = 0;
    if (sscanf(message, "line %zu, column %zu: %n", ret_line, ret_column, &n) != 2 || !n) return false;
    *ret_rest = message + n;
    return true;
}

/* Prints the line and a caret below the column, which counts characters. */
static void show_line(struct slice text, size_t line, size_t column) {
    enum { WIDTH = 160 };
    const char *at = text.p, *end = text.p + text.n;
    for (; line > 1 && at < end; at++) line -= *at == '\n';
    if (line > 1 || !column) return;
    struct buf shown, caret;
    buf_init(&shown, 8 * WIDTH);
    buf_init(&caret, 8 * WIDTH);
    for (size_t n = 0; at < end && *at != '\n' && *at != '\r'; at++) {
        bool begins = ((unsigned char)*at & 0xc0) != 0x80;
        if (begins && ++n > WIDTH) break;
        if (begins && n < column) buf_char(&caret, ' ');
        buf_char(&shown, (unsigned char)*at < ' ' || *at == 0x7f ? ' ' : *at);
    }
    if (!shown.failed && shown.n && column <= WIDTH && text_is_utf8(buf_slice(&shown)))
        (void)fprintf(stderr, "  %.*s\n  %.*s%s^%s\n", SLICE_ARG(buf_slice(&shown)), SLICE_ARG(buf_slice(&caret)),
                      output_colour(stderr, OUTPUT_RED), output_colour(stderr, OUTPUT_PLAIN));
    buf_release(&shown);
    buf_release(&caret);
}

void policy_file_refuse(const char *path, struct slice text, const struct error *error) {
    size_t line, column;
    const char *rest;
    output_error("%s: %s", path, error->message);
    if (split_place(error->message, &line, &column, &rest)) show_line(text, line, column);
}

static int print_invalid(const char *path, struct slice text, const struct error *error, bool json) {
    if (!json) {
        policy_file_refuse(path, text, error);
        return EXIT_NO;
    }
    struct json_object *document = output_object(), *errors = output_array(), *entry = output_object();
    size_t line, column;
    const char *rest = error->message;
    if (split_place(error->message, &line, &column, &rest)) {
        output_set_number(entry, "line", (int64_t)line);
        output_set_number(entry, "column", (int64_t)column);
    }
    output_set_string(entry, "code", error->code);
    output_set_string(entry, "message", rest);
    output_append(errors, entry);
    output_set_boolean(document, "valid", false);
    output_set(document, "errors", errors);
    output_print(document);
    return EXIT_NO;
}

static int print_valid(const char *path, struct slice text, const struct policy *policy, bool json) {
    char digest[DIGEST_TEXT];
    struct digest of = digest_of(text);
    digest_text(digest, &of);
    if (!json) {
        printf("%s is right: %zu project%s, %zu registr%s, %.*s\n", path, policy->project_count,
               policy->project_count == 1 ? "" : "s", policy->registry_count, policy->registry_count == 1 ? "y" : "ies",
               DIGEST_TEXT, digest);
        add_notes(policy, NULL);
        return EXIT_YES;
    }
    struct json_object *document = output_object(), *notes = output_array();
    add_notes(policy, notes);
    output_set_boolean(document, "valid", true);
    output_set_text(document, "digest", slice_of(digest, DIGEST_TEXT));
    output_set(document, "errors", output_array());
    output_set(document, "notes", notes);
    output_print(document);
    return EXIT_YES;
}

int command_policy_check(int argc, char **argv) {
    const char *path = NULL;
    bool json = false;
    const struct option options[] = {
        {"FILE", NULL, OPTION_POSITION, &path, .help = "the policy; - is standard input", .required = true},
        {"json", NULL, OPTION_FLAG, &json, .help = "print {valid, digest, errors [{line, column, code, message}], notes}"},
    };
    const struct usage usage = {"policy check", "FILE [--json]", about, "sluice policy check policy.yaml", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;

    struct arena arena;
    arena_init(&arena, POLICY_MEMORY_MAX);
    struct error error = {0};
    struct slice text;
    const struct policy *policy;
    if (file_read(&arena, path, POLICY_BYTES_MAX, &text, &error) < 0) {
        output_failure(&error);
        status = EXIT_COULD_NOT_TELL;
    } else if (policy_parse(&arena, text, &policy, &error) < 0 && error.kind == ERROR_INPUT)
        status = print_invalid(path, text, &error, json);
    else if (error.kind) {
        output_failure(&error);
        status = EXIT_COULD_NOT_TELL;
    } else
        status = print_valid(path, text, policy, json);
    arena_release(&arena);
    return status;
}
