/* sluice status: what each environment has, and what waits. Pages are printed as they come, so memory stays flat. */
#include "command.h"
#include "database.h"
#include "json.h"
#include "output.h"

#include <stdio.h>

PG_STATEMENT(status_current);
PG_STATEMENT(status_waiting);

enum { PAGE = 500 };

static const char about[] =
    "Shows the current release of every environment, and every promotion that waits, with what it waits for.\n"
    "\n"
    "Exit status: 0 shown, 2 the database did not answer.";

struct status {
    struct pg *pg;
    struct slice project; /* a NULL `p`: all */
    bool json;
    size_t count; /* of what was printed in this part */
};

/* Prints one row; the last of a page is where the next begins. */
typedef int print_row(struct status *status, const struct pg_result *page, size_t row, struct error *error);

/* Prints all pages of a statement whose first `keys` columns say where the next page begins. */
static int print_pages(struct status *status, const struct pg_statement *statement, int keys, print_row *print,
                       struct error *error) {
    struct pg_parameters parameters;
    struct pg_result *page = NULL;
    int result = 0;
    pg_parameters_init(&parameters);
    for (size_t rows = PAGE; rows == PAGE && result == 0;) {
        pg_parameters_reset(&parameters);
        pg_bytes(&parameters, PG_TEXT, status->project);
        for (int i = 0; i < keys; i++) pg_bytes(&parameters, PG_TEXT, page ? pg_get_bytes(page, rows - 1, i) : SLICE(""));
        pg_int(&parameters, PG_INT8, PAGE);
        pg_result_free(page);
        page = pg_query(status->pg, PG_READ, statement, &parameters, error);
        if (!page) result = -1;
        rows = page ? pg_rows(page) : 0;
        for (size_t i = 0; i < rows && result == 0; i++) result = print(status, page, i, error);
    }
    pg_result_free(page);
    pg_parameters_release(&parameters);
    return result;
}

/* ---- current ---- */

static int print_current(struct status *status, const struct pg_result *page, size_t row, struct error *error) {
    char promotion[TEXT_BASE32_16], since[TEXT_INSTANT];
    unsigned char id[16];
    struct slice project = pg_get_bytes(page, row, 0), environment = pg_get_bytes(page, row, 1), sha = pg_get_bytes(page, row, 2);
    pg_get_uuid(id, page, row, 3);
    text_base32(promotion, id);
    text_instant(since, pg_get_instant(page, row, 4));
    (void)error;
    if (!status->json) {
        if (!status->count++) printf("%sCurrent%s\n", output_colour(stdout, OUTPUT_BOLD), output_colour(stdout, OUTPUT_PLAIN));
        printf("  %-30.*s %-12.*s %.*s since %.19sZ, promotion %.*s\n", SLICE_ARG(project), SLICE_ARG(environment),
               SLICE_ARG(sha), since, TEXT_BASE32_16, promotion);
        return 0;
    }
    /* Names, SHAs and ids have no characters that JSON escapes. */
    printf("%s\n{\"project\":\"%.*s\",\"environment\":\"%.*s\",\"gitSha\":\"%.*s\",\"promotionId\":\"%.*s\",\"since\":\"%.*s\"}",
           status->count++ ? "," : "", SLICE_ARG(project), SLICE_ARG(environment), SLICE_ARG(sha), TEXT_BASE32_16, promotion,
           TEXT_INSTANT, since);
    return 0;
}

/* ---- waiting ---- */

static void print_unmet(const struct json *decision) {
    const struct json *conditions = json_get(decision, "conditions");
    for (const struct json *condition = conditions ? conditions->first : NULL; condition; condition = condition->next) {
        struct slice type = json_get_text(condition, "type"), subject = json_get_text(condition, "subject"),
                     message = json_get_text(condition, "message");
        if (slice_is(json_get_text(condition, "status"), "met")) continue;
        printf("      %s%.*s ", output_colour(stdout, OUTPUT_YELLOW), SLICE_ARG(type));
        output_safe(stdout, subject);
        printf(":%s ", output_colour(stdout, OUTPUT_PLAIN));
        output_safe(stdout, message);
        (void)putchar('\n');
    }
}

static int print_waiting(struct status *status, const struct pg_result *page, size_t row, struct error *error) {
    struct slice decision = pg_get_bytes(page, row, 3);
    if (status->json) {
        printf("%s\n%.*s", status->count++ ? "," : "", SLICE_ARG(decision));
        return 0;
    }
    struct arena arena;
    const struct json *root;
    const struct json_limits limits = {.bytes = 8 * 1024 * 1024, .depth = 64, .values = 200000};
    arena_init(&arena, 64 * 1024 * 1024);
    int result = json_read_strict(&arena, decision, &limits, &root, error);
    if (result == 0) {
        if (!status->count++) printf("%sWaiting%s\n", output_colour(stdout, OUTPUT_BOLD), output_colour(stdout, OUTPUT_PLAIN));
        printf("  %-30.*s %-12.*s %.*s until %.19sZ, promotion %.*s\n", SLICE_ARG(pg_get_bytes(page, row, 0)),
               SLICE_ARG(pg_get_bytes(page, row, 2)), SLICE_ARG(pg_get_bytes(page, row, 1)),
               json_get_text(root, "expiresAt").n >= 19 ? json_get_text(root, "expiresAt").p : "an unknown time    ",
               SLICE_ARG(json_get_text(root, "promotionId")));
        print_unmet(root);
    }
    arena_release(&arena);
    return result;
}

static int print_all(struct status *status, struct error *error) {
    if (status->json) fputs("{\"current\":[", stdout);
    if (print_pages(status, &status_current, 2, print_current, error) < 0) return -1;
    if (!status->json && !status->count) puts("Nothing was promoted yet.");
    status->count = 0;
    if (status->json) fputs("],\"waiting\":[", stdout);
    if (print_pages(status, &status_waiting, 3, print_waiting, error) < 0) return -1;
    if (!status->json && !status->count) puts("Nothing waits.");
    if (status->json) puts("]}");
    return 0;
}

int command_status(int argc, char **argv) {
    const char *project = NULL, *config = NULL;
    struct status state = {0};
    const struct option options[] = {
        {"project", "PROJECT", OPTION_TEXT, &project, .help = "only this one; without it all projects"},
        SETTINGS_OPTION(&config),
        {"json", NULL, OPTION_FLAG, &state.json,
         .help = "print {current [{project, environment, gitSha, promotionId, since}], waiting [a promotion's last answer]}"},
    };
    const struct usage usage = {"status", "[OPTION...]", about, "sluice status --project acme/shop", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    if (project && !text_is_project(slice_str(project))) return options_wrong(&usage, "'%s' is no name of a project", project);

    struct database database;
    struct error error = {0};
    status = database_open(&database, config, PG_READER);
    if (status) return status;
    state.pg = database.pg;
    state.project = slice_str(project);
    if (print_all(&state, &error) < 0) {
        output_failure(&error);
        status = EXIT_COULD_NOT_TELL;
    }
    database_close(&database);
    return status;
}
