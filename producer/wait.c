/* sluice wait: finds a promotion on the results topic and follows it to its final answer. */
#include "await.h"
#include "command.h"
#include "options.h"
#include "output.h"
#include "publish.h"
#include "settings_kafka.h"
#include "text.h"

static const char about[] =
    "Looks on the results topic for the answers to a promotion, as far back as they are kept, and waits for the final one. Says "
    "meanwhile what the promotion waits for.\n"
    "\n"
    "Exit status: 0 promoted, 1 any other final answer, 2 could not tell, 3 no final answer within --timeout, 130 Ctrl-C.";

static int check(const struct usage *usage, const char *promotion, const char *project) {
    unsigned char id[16];
    if (!text_unbase32(id, slice_str(promotion)))
        return options_wrong(usage, "'%s' is no promotion id: those have 26 characters, a to z and 2 to 7", promotion);
    if (project && !text_is_project(slice_str(project)))
        return options_wrong(usage, "'%s' is no name of a project, as acme/shop", project);
    return 0;
}

static void conclude(const struct answer *last, const char *promotion, bool json, int status, const struct error *error) {
    if (status == EXIT_COULD_NOT_TELL) output_failure(error);
    if (status == EXIT_TIMED_OUT || status == EXIT_INTERRUPTED)
        fprintf(stderr, "%s: promotion %s %s\n", status == EXIT_TIMED_OUT ? "no final answer in time" : "\ninterrupted",
                promotion, last ? "still waits" : "has no answer that is still kept; is the id right, and the worker running?");
    if (json && last) output_print(output_value(last->data));
    if (!json && last && last->final) answer_print_final(stdout, last);
}

int command_wait(int argc, char **argv) {
    const char *promotion = NULL, *project = NULL, *path = NULL;
    bool json = false;
    int64_t timeout = PUBLISH_TIMEOUT_DEFAULT;
    const struct option options[] = {
        {"PROMOTION-ID", NULL, OPTION_POSITION, &promotion, .help = "as promote printed it", .required = true},
        {"project", "PROJECT", OPTION_TEXT, &project,
         .help = "whose promotion it is; without it all are looked at, which takes longer",
         .environment = "SLUICE_PROJECT, GITHUB_REPOSITORY, CI_PROJECT_PATH"},
        {"timeout", "D", OPTION_DURATION, &timeout, .help = PUBLISH_TIMEOUT_HELP},
        SETTINGS_OPTION(&path),
        {"json", NULL, OPTION_FLAG, &json, .help = "print the last answer's data; nothing when there is none"},
    };
    const struct usage usage = {"wait", "PROMOTION-ID [OPTION...]", about,
                                "sluice wait k3t7xw2m5qzr4c6n7v2d5h6sfa --project acme/shop", OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    status = check(&usage, promotion, project);
    if (status) return status;
    struct brokers brokers;
    status = brokers_open(&brokers, path);
    if (status) return status;
    struct error error = {0};
    struct await await;
    const struct asker asker = {.project = slice_str(project), .promotion = slice_str(promotion)};
    status =
        await_init(&await, &brokers.options, &asker, true, &error) ? EXIT_COULD_NOT_TELL : await_final(&await, timeout, &error);
    conclude(await_last(&await), promotion, json, status, &error);
    await_release(&await);
    brokers_close(&brokers);
    return status;
}
