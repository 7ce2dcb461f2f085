/* sluice-model: explores the protocol of takeover, publishing and release. README.md beside this file says what and how. */
#include "explore.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: sluice-model [option...]\n"
    "  --lanes N --shards N --rows N --topics N   the world: 1 to 3, 1 to 2, 1 to 6, 1 to 2; 2 1 2 1 unless told\n"
    "  --without FAULT,... --with FAULT,...       faults; all but late-commit, retention and\n"
    "                                             former-leader unless told\n"
    "  --rebalances N                             at most so many of live lanes (default: without limit)\n"
    "  --merge                                    states that differ only in names of lanes and shards are one\n"
    "  --deviation NAME                           the protocol with one thing wrong\n"
    "  --safety                                   do not look for states that are stuck\n"
    "  --seconds N --states N                     bounds\n"
    "  --list                                     names of faults and deviations; a deviation with the world that shows it\n"
    "Exit status: 0 all states are safe, 1 a promise is broken, 2 wrong usage or no memory, 3 a bound was reached before.\n";

static int usage(const char *what, const char *value) {
    (void)fprintf(stderr, "sluice-model: %s '%s'; see sluice-model --help\n", what, value);
    return 2;
}

static bool parse(const char *text, long low, long high, long *ret_number) {
    char *end;
    *ret_number = strtol(text, &end, 10);
    return *text && !*end && *ret_number >= low && *ret_number <= high;
}

static bool set_faults(struct model *model, char *names, bool on) {
    for (char *rest = names, *name; (name = strsep(&rest, ","));) {
        unsigned fault = FAULT_NONE + 1;
        while (fault < FAULTS && strcmp(name, fault_names[fault]) != 0) fault++;
        if (fault == FAULTS) return false;
        model->fault[fault] = on;
    }
    return true;
}

static bool set_deviation(struct model *model, const char *name) {
    for (unsigned i = 0; i < DEVIATIONS; i++)
        if (!strcmp(name, deviations[i].name)) return model->deviation[i] = true;
    return false;
}

static void list(void) {
    printf("faults:");
    for (unsigned fault = FAULT_NONE + 1; fault < FAULTS; fault++) printf(" %s", fault_names[fault]);
    printf("\n");
    for (unsigned i = 0; i < DEVIATIONS; i++) {
        const struct deviation_row *row = &deviations[i];
        printf("%s\t--lanes %u --rows %u --topics %u%s%s\t%s (%s)\n", row->name, row->lanes, row->rows, row->topics,
               row->fault ? " --with " : "", row->fault ? fault_names[row->fault] : "", row->what, row->where);
    }
}

static void describe(const struct model *model) {
    printf("# %u lanes, %u shards, %u rows, %u topics; faults:", model->lanes, model->shards, model->rows, model->topics);
    for (unsigned fault = FAULT_NONE + 1; fault < FAULTS; fault++)
        if (model->fault[fault]) printf(" %s", fault_names[fault]);
    for (unsigned i = 0; i < DEVIATIONS; i++)
        if (model->deviation[i]) printf("; %s", deviations[i].what);
    printf("\n");
    (void)fflush(stdout);
}

enum word { LANES = 1, SHARDS, ROWS, TOPICS, REBALANCES, WITHOUT, WITH, DEVIATION, SECONDS, STATES, MERGE, SAFETY, LIST, HELP };
static const struct option options[] = {
    {"lanes", required_argument, NULL, LANES},
    {"shards", required_argument, NULL, SHARDS},
    {"rows", required_argument, NULL, ROWS},
    {"topics", required_argument, NULL, TOPICS},
    {"rebalances", required_argument, NULL, REBALANCES},
    {"without", required_argument, NULL, WITHOUT},
    {"with", required_argument, NULL, WITH},
    {"deviation", required_argument, NULL, DEVIATION},
    {"seconds", required_argument, NULL, SECONDS},
    {"states", required_argument, NULL, STATES},
    {"merge", no_argument, NULL, MERGE},
    {"safety", no_argument, NULL, SAFETY},
    {"list", no_argument, NULL, LIST},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

/* Numbers by option. */
static bool take_number(struct model *model, struct bounds *bounds, int option, const char *text) {
    static const long highest[] = {[LANES] = MAX_LANES, [SHARDS] = MAX_SHARDS, [ROWS] = MAX_ROWS,     [TOPICS] = MAX_TOPICS,
                                   [REBALANCES] = 15,   [SECONDS] = 1000000,   [STATES] = 2000000000L};
    long number;
    if (!parse(text, option == REBALANCES ? 0 : 1, highest[option], &number)) return false;
    switch (option) {
    case LANES:
        model->lanes = (unsigned)number;
        break;
    case SHARDS:
        model->shards = (unsigned)number;
        break;
    case ROWS:
        model->rows = (unsigned)number;
        break;
    case TOPICS:
        model->topics = (unsigned)number;
        break;
    case REBALANCES:
        model->rebalances = (int)number;
        break;
    case SECONDS:
        bounds->seconds = (double)number;
        break;
    default:
        bounds->states = (uint32_t)number;
        break;
    }
    return true;
}

int main(int argc, char **argv) {
    struct model model = {.lanes = 2, .shards = 1, .rows = 2, .topics = 1, .rebalances = -1};
    struct bounds bounds = {.live = true};
    for (unsigned fault = FAULT_NONE + 1; fault < FAULTS; fault++) model.fault[fault] = fault < FAULT_LATE_COMMIT;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool fine = true;
        switch (option) {
        case HELP:
            (void)fputs(help, stdout);
            return 0;
        case LIST:
            list();
            return 0;
        case MERGE:
            model.merge = true;
            break;
        case SAFETY:
            bounds.live = false;
            break;
        case WITH:
        case WITHOUT:
            fine = set_faults(&model, optarg, option == WITH);
            break;
        case DEVIATION:
            fine = set_deviation(&model, optarg);
            break;
        case '?':
            return 2;
        default:
            fine = take_number(&model, &bounds, option, optarg);
            break;
        }
        if (!fine) return usage("cannot use", optarg);
    }
    if (optind < argc) return usage("does not know", argv[optind]);
    describe(&model);
    enum verdict verdict = explore(&model, &bounds);
    if (verdict == NO_MEMORY) (void)fprintf(stderr, "sluice-model: memory is exhausted; fewer lanes, shards or rows need less\n");
    return (int)verdict;
}
