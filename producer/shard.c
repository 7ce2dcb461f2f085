/* sluice shard list, show: how each shard stands. */
#include "command.h"
#include "database.h"
#include "output.h"

#include <stdio.h>
#include <stdlib.h>

PG_STATEMENT(shard_list);

/* The columns of shard_list. */
enum column {
    SHARD,
    EPOCH,
    OWNER,
    FENCE_IDS,
    BUILDS,
    REQUESTS,
    SEQUENCE,
    HEAD,
    NOW,
    CONTROL,
    RESULTS_SETTLED,
    DEAD_LETTERS_SETTLED,
    CRASH_TOPIC,
    CRASH_POSITION,
    CRASHES,
    STOPPED,
    WAITING
};

static const char about_list[] =
    "Shows every shard: how far it has read and decided, how many promotions wait, and whether it is stopped.\n"
    "\n"
    "Exit status: 0 no shard is stopped, 1 one is, 2 the database did not answer.";
static const char about_show[] =
    "Shows all that the database knows of a shard.\n"
    "\n"
    "Exit status: 0 it is not stopped, 1 it is, 2 there is no such shard, or the database did not answer.";
static const char shape[] = "{shard, epoch, owned, owner, fenceIds, buildsPosition, requestsPosition, sequence, hash, at, "
                            "controlVersion, resultsSettled, deadLettersSettled, crashes, waiting, stopped}";

static int64_t number(const struct pg_result *rows, size_t row, enum column column) { return pg_get_int(rows, row, (int)column); }

/* An owner that gives a shard back takes its ids out of the list. */
static bool is_owned(const struct pg_result *rows, size_t row) { return pg_get_array_count(rows, row, FENCE_IDS) > 0; }

static struct json_object *describe(const struct pg_result *rows, size_t row) {
    static const struct {
        const char *name;
        enum column column;
    } numbers[] = {{"shard", SHARD},
                   {"epoch", EPOCH},
                   {"buildsPosition", BUILDS},
                   {"requestsPosition", REQUESTS},
                   {"sequence", SEQUENCE},
                   {"controlVersion", CONTROL},
                   {"resultsSettled", RESULTS_SETTLED},
                   {"deadLettersSettled", DEAD_LETTERS_SETTLED},
                   {"crashes", CRASHES},
                   {"waiting", WAITING}};
    struct json_object *object = output_object(), *ids = output_array();
    unsigned char owner[16];
    char hex[32], hash[DIGEST_TEXT], at[TEXT_INSTANT];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        output_set_number(object, numbers[i].name, number(rows, row, numbers[i].column));
    output_set_boolean(object, "owned", is_owned(rows, row));
    pg_get_uuid(owner, rows, row, OWNER);
    text_hex(hex, owner, sizeof owner);
    output_set_text(object, "owner", slice_of(hex, sizeof hex));
    for (size_t i = 0; i < pg_get_array_count(rows, row, FENCE_IDS); i++)
        output_append(ids, output_text(pg_get_array_text(rows, row, FENCE_IDS, i)));
    output_set(object, "fenceIds", ids);
    struct digest head = pg_get_digest(rows, row, HEAD);
    digest_text(hash, &head);
    output_set_text(object, "hash", slice_of(hash, DIGEST_TEXT));
    text_instant(at, pg_get_instant(rows, row, NOW));
    if (number(rows, row, SEQUENCE)) output_set_text(object, "at", slice_of(at, TEXT_INSTANT));
    output_set_text(object, "stopped", pg_get_bytes(rows, row, STOPPED));
    return object;
}

/* ---- for people ---- */

static void print_table(const struct pg_result *rows) {
    printf("%5s %8s %12s %12s %12s %12s %8s  %s\n", "shard", "epoch", "builds", "requests", "sequence", "unsettled", "waiting",
           "state");
    for (size_t row = 0; row < pg_rows(rows); row++) {
        struct slice stopped = pg_get_bytes(rows, row, STOPPED);
        int64_t settled = number(rows, row, RESULTS_SETTLED);
        if (number(rows, row, DEAD_LETTERS_SETTLED) > settled) settled = number(rows, row, DEAD_LETTERS_SETTLED);
        printf("%5lld %8lld %12lld %12lld %12lld %12lld %8lld  %s%.*s\n", (long long)number(rows, row, SHARD),
               (long long)number(rows, row, EPOCH), (long long)number(rows, row, BUILDS), (long long)number(rows, row, REQUESTS),
               (long long)number(rows, row, SEQUENCE), (long long)(number(rows, row, SEQUENCE) - settled),
               (long long)number(rows, row, WAITING),
               stopped.p             ? "stopped: "
               : is_owned(rows, row) ? "owned"
                                     : "free",
               SLICE_ARG(stopped));
    }
}

static void print_one(const struct pg_result *rows) {
    unsigned char owner[16];
    char hex[32], hash[DIGEST_TEXT], at[TEXT_INSTANT];
    struct slice stopped = pg_get_bytes(rows, 0, STOPPED);
    struct digest head = pg_get_digest(rows, 0, HEAD);
    digest_text(hash, &head);
    text_instant(at, pg_get_instant(rows, 0, NOW));
    pg_get_uuid(owner, rows, 0, OWNER);
    text_hex(hex, owner, sizeof owner);
    printf("shard %lld\n", (long long)number(rows, 0, SHARD));
    if (stopped.p) printf("  stopped          %.*s\n", SLICE_ARG(stopped));
    printf("  epoch            %lld\n", (long long)number(rows, 0, EPOCH));
    printf("  owner            %.32s%s\n", hex, is_owned(rows, 0) ? "" : " (has given it back)");
    for (size_t i = 0; i < pg_get_array_count(rows, 0, FENCE_IDS); i++)
        printf("  may publish      %.*s\n", SLICE_ARG(pg_get_array_text(rows, 0, FENCE_IDS, i)));
    printf("  next of builds   %lld\n", (long long)number(rows, 0, BUILDS));
    printf("  next of requests %lld\n", (long long)number(rows, 0, REQUESTS));
    printf("  ledger           %lld rows, %.*s\n", (long long)number(rows, 0, SEQUENCE), DIGEST_TEXT, hash);
    if (number(rows, 0, SEQUENCE)) printf("  last batch       %.*s\n", TEXT_INSTANT, at);
    printf("  control version  %lld\n", (long long)number(rows, 0, CONTROL));
    printf("  settled          %lld of results, %lld of dead letters\n", (long long)number(rows, 0, RESULTS_SETTLED),
           (long long)number(rows, 0, DEAD_LETTERS_SETTLED));
    printf("  waiting          %lld promotions\n", (long long)number(rows, 0, WAITING));
    if (number(rows, 0, CRASHES))
        printf("  deaths           %lld at %s %lld\n", (long long)number(rows, 0, CRASHES),
               number(rows, 0, CRASH_TOPIC) == 0   ? "position"
               : number(rows, 0, CRASH_TOPIC) == 1 ? "builds"
                                                   : "requests",
               (long long)number(rows, 0, CRASH_POSITION));
}

/* ---- both commands ---- */

static struct pg_result *ask(struct pg *pg, int64_t shard, struct error *error) {
    struct pg_parameters parameters;
    pg_parameters_init(&parameters);
    if (shard < 0)
        pg_null(&parameters, PG_INT4);
    else
        pg_int(&parameters, PG_INT4, shard);
    struct pg_result *rows = pg_query(pg, PG_READ, &shard_list, &parameters, error);
    pg_parameters_release(&parameters);
    return rows;
}

static void print_all_json(const struct pg_result *rows, bool one) {
    struct json_object *all = one ? describe(rows, 0) : output_array();
    for (size_t row = 0; row < pg_rows(rows) && !one; row++) output_append(all, describe(rows, row));
    output_print(all);
}

/* `shard` -1: all. */
static int show(const char *config, int64_t shard, bool json) {
    struct database database;
    struct error error;
    int status = database_open(&database, config, PG_READER);
    if (status) return status;
    struct pg_result *rows = ask(database.pg, shard, &error);
    if (rows && !pg_rows(rows))
        (void)error_set(&error, ERROR_INPUT, "no-such-shard", "there is no shard %lld; the installation has %u, from 0",
                        (long long)shard, database.installation.shards);
    if (!rows || !pg_rows(rows)) {
        output_failure(&error);
        status = EXIT_COULD_NOT_TELL;
        goto cleanup;
    }
    status = EXIT_YES;
    for (size_t row = 0; row < pg_rows(rows); row++)
        if (!pg_is_null(rows, row, STOPPED)) status = EXIT_NO;
    if (json) print_all_json(rows, shard >= 0);
    if (!json && shard >= 0) print_one(rows);
    if (!json && shard < 0) print_table(rows);
cleanup:
    pg_result_free(rows);
    database_close(&database);
    return status;
}

int command_shard_list(int argc, char **argv) {
    const char *config = NULL;
    bool json = false;
    char help[400];
    (void)snprintf(help, sizeof help, "print [%s]", shape);
    const struct option options[] = {SETTINGS_OPTION(&config), {"json", NULL, OPTION_FLAG, &json, .help = help}};
    const struct usage usage = {"shard list", "[OPTION...]", about_list, "sluice shard list", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    return show(config, -1, json);
}

int command_shard_show(int argc, char **argv) {
    const char *config = NULL, *text = NULL;
    bool json = false;
    uint64_t shard;
    char help[400];
    (void)snprintf(help, sizeof help, "print %s", shape);
    const struct option options[] = {
        {"SHARD", NULL, OPTION_POSITION, &text, .help = "its number", .required = true},
        SETTINGS_OPTION(&config),
        {"json", NULL, OPTION_FLAG, &json, .help = help},
    };
    const struct usage usage = {"shard show", "SHARD [OPTION...]", about_show, "sluice shard show 7", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    if (!text_parse_number(slice_str(text), INT32_MAX, &shard))
        return options_wrong(&usage, "'%s' is no number of a shard", text);
    return show(config, (int64_t)shard, json);
}
