/* sluice policy apply, policy show: the policy in the control log. */
#include "policy_file.h"

#include "command.h"
#include "database.h"
#include "identity.h"
#include "output.h"

#include <stdio.h>

PG_STATEMENT(policy_lock);
PG_STATEMENT(policy_append);
PG_STATEMENT(policy_get);

static int failure(const struct error *error) {
    output_failure(error);
    return EXIT_COULD_NOT_TELL;
}

/* ---- apply ---- */

static const char apply_about[] =
    "Makes the policy the one that every shard decides by, as a new version of the control log, which keeps all earlier ones. "
    "Waiting promotions are looked at again under the new policy. The policy that is in force already changes nothing and "
    "makes no new version. See `sluice policy check --help` for its form.\n"
    "\n"
    "Needs the role sluice_admin.\n"
    "\n"
    "Exit status: 0 it is in force, 1 it is not right, 2 it cannot be read, or the database did not answer.";

/* One transaction: the lock, so that versions commit in order, then the row. */
static int append(struct pg *pg, struct slice text, const struct digest *digest, const char *actor, int64_t *ret_version,
                  bool *ret_changed, struct error *error) {
    struct pg_parameters parameters;
    pg_parameters_init(&parameters);
    pg_bytes(&parameters, PG_BYTEA, text);
    pg_digest(&parameters, digest);
    pg_bytes(&parameters, PG_TEXT, slice_str(actor));
    struct pg_call calls[] = {{.statement = &policy_lock}, {.statement = &policy_append, .parameters = &parameters}};
    int status = pg_run(pg, PG_COMMIT, calls, 2, error);
    pg_parameters_release(&parameters);
    if (status < 0) return -1;
    if (pg_rows(calls[1].result) == 1) {
        *ret_version = pg_get_int(calls[1].result, 0, 0);
        *ret_changed = pg_get_bool(calls[1].result, 0, 1);
    } else
        status = error_set(error, ERROR_INTERNAL, "policy-append", "the control log took no row and has none; this is a defect");
    pg_results_free(calls, 2);
    return status;
}

static void print_applied(int64_t version, const struct digest *digest, bool changed, bool json) {
    char text[DIGEST_TEXT];
    digest_text(text, digest);
    if (!json) {
        printf("version %lld %s, %.*s\n", (long long)version, changed ? "is in force" : "was in force already", DIGEST_TEXT,
               text);
        return;
    }
    struct json_object *document = output_object();
    output_set_number(document, "version", version);
    output_set_text(document, "digest", slice_of(text, DIGEST_TEXT));
    output_set_boolean(document, "changed", changed);
    output_print(document);
}

static int apply(const char *path, const char *config, const char *actor, bool json, struct arena *arena) {
    struct error error = {0};
    struct slice text;
    const struct policy *policy;
    if (file_read(arena, path, POLICY_BYTES_MAX, &text, &error) < 0) return failure(&error);
    if (policy_parse(arena, text, &policy, &error) < 0) {
        if (error.kind != ERROR_INPUT) return failure(&error);
        policy_file_refuse(path, text, &error);
        return EXIT_NO;
    }
    struct database database;
    int status = database_open(&database, config, PG_ADMIN);
    if (status) return status;
    struct digest digest = digest_of(text);
    int64_t version = 0;
    bool changed = false;
    if (append(database.pg, text, &digest, actor, &version, &changed, &error) < 0)
        status = failure(&error);
    else
        print_applied(version, &digest, changed, json);
    database_close(&database);
    return status;
}

int command_policy_apply(int argc, char **argv) {
    const char *path = NULL, *config = NULL, *actor = NULL;
    bool json = false;
    const struct option options[] = {
        {"FILE", NULL, OPTION_POSITION, &path, .help = "the policy; - is standard input", .required = true},
        {"actor", "ACCOUNT", OPTION_TEXT, &actor,
         .help = "who applies it, for the record; else github:$GITHUB_ACTOR_ID, gitlab:$GITLAB_USER_ID, or user:<login>"},
        SETTINGS_OPTION(&config),
        {"json", NULL, OPTION_FLAG, &json, .help = "print {version, digest, changed}"},
    };
    const struct usage usage = {"policy apply", "FILE [OPTION...]", apply_about, "sluice policy apply policy.yaml",
                                OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    struct arena arena;
    arena_init(&arena, POLICY_MEMORY_MAX);
    if (!actor) actor = identity_requester(&arena).p;
    if (!actor)
        status = output_starved();
    else if (!actor[0] || strlen(actor) > 255 || !text_is_utf8(slice_str(actor)))
        status = options_wrong(&usage, "--actor must have 1 to 255 bytes of UTF-8");
    else
        status = apply(path, config, actor, json, &arena);
    arena_release(&arena);
    return status;
}

/* ---- show ---- */

static const char show_about[] =
    "Prints the policy that is in force, exactly as it was applied; its version, digest, actor and time go to standard error.\n"
    "\n"
    "Exit status: 0 printed, 1 there is no policy, 2 the database did not answer.";

static void print_policy(const struct pg_result *result, bool json) {
    struct digest digest = pg_get_digest(result, 0, 3);
    struct slice text = pg_get_bytes(result, 0, 2), actor = pg_get_bytes(result, 0, 4);
    char digest_to[DIGEST_TEXT], at[TEXT_INSTANT];
    digest_text(digest_to, &digest);
    text_instant(at, pg_get_instant(result, 0, 1));
    if (json) {
        struct json_object *document = output_object();
        output_set_number(document, "version", pg_get_int(result, 0, 0));
        output_set_text(document, "digest", slice_of(digest_to, DIGEST_TEXT));
        output_set_text(document, "at", slice_of(at, TEXT_INSTANT));
        output_set_text(document, "actor", actor);
        output_set_text(document, "policy", text);
        output_print(document);
        return;
    }
    (void)fprintf(stderr, "version %lld, %.*s, applied by ", (long long)pg_get_int(result, 0, 0), DIGEST_TEXT, digest_to);
    output_safe(stderr, actor);
    (void)fprintf(stderr, " at %.*s\n", TEXT_INSTANT, at);
    (void)fwrite(text.p, 1, text.n, stdout);
}

int command_policy_show(int argc, char **argv) {
    const char *config = NULL;
    uint64_t version = INT64_MAX;
    bool json = false;
    const struct option options[] = {
        {"version", "N", OPTION_NUMBER, &version, .help = "the one that was in force at this control version", .minimum = 1,
         .maximum = INT64_MAX},
        SETTINGS_OPTION(&config),
        {"json", NULL, OPTION_FLAG, &json, .help = "print {version, digest, at, actor, policy}"},
    };
    const struct usage usage = {"policy show", "[OPTION...]", show_about, "sluice policy show > policy.yaml", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    struct database database;
    status = database_open(&database, config, PG_READER);
    if (status) return status;
    struct error error = {0};
    struct pg_parameters parameters;
    pg_parameters_init(&parameters);
    pg_int(&parameters, PG_INT8, (int64_t)version);
    struct pg_result *result = pg_query(database.pg, PG_READ, &policy_get, &parameters, &error);
    if (!result)
        status = failure(&error);
    else if (!pg_rows(result)) {
        output_error("there is no policy%s; sluice policy apply FILE makes one", version == INT64_MAX ? "" : " of that version");
        status = EXIT_NO;
    } else
        print_policy(result, json);
    pg_result_free(result);
    pg_parameters_release(&parameters);
    database_close(&database);
    return status;
}
