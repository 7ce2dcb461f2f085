/* sluice-sim: runs seeds, and tells what broke. */
#include "apart.h"
#include "fleet.h"
#include "plan.h"
#include "story.h"

#include "map.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 50, JOBS_MAX = 64, HANG_S = 60, MANY = 500 };

static const char help[] = "Runs fleets of lanes in a simulated world, one run a seed.\n"
                           "  --seeds A-B | N       which (default 1-500)\n"
                           "  --jobs N              processes at once (default: the processors)\n"
                           "  --trace               prints everything that happens in each run, one after the other\n"
                           "  --without-events L    leaves these events out (\"1,4-7\")\n"
                           "  --without-faults L    and these faults\n"
                           "  --no-shrink           tells a failure as it came\n"
                           "  --brief               one line for a failure\n"
                           "Exit status: 0 no invariant was broken, 1 one was, 2 it could not be run.\n";

struct options {
    uint64_t first, last;
    unsigned jobs;
    bool trace, shrink, brief;
    struct run_spec spec;
    const char *program;
};

/* Shared with the children: where each stands, and what all have done. */
struct progress {
    uint64_t seed[JOBS_MAX];
    bool told[JOBS_MAX]; /* what it has found */
    _Atomic uint64_t runs, steps, rows, results, crashes, takeovers, faults, took[EFFECT_COUNT];
};

static struct progress *progress;

/* ---- one seed ---- */

static void print_command(const struct options *options, const struct run_spec *spec, const struct run_result *result) {
    char list[2000];
    printf("  to repeat: %s --seeds %" PRIu64, options->program, spec->seed);
    story_list(list, sizeof list, spec->without_event, result->event_count);
    if (*list) printf(" --without-events %s", list);
    story_list(list, sizeof list, spec->without_fault, result->fault_count);
    if (*list) printf(" --without-faults %s", list);
    printf("\n");
}

static void tell(const struct options *options, const struct run_spec *failed, const struct run_result *result) {
    struct run_spec spec = *failed;
    struct run_result smaller = *result;
    if (options->brief) {
        printf("seed %" PRIu64 ": %s: %s\n", spec.seed, result->violation.invariant, result->violation.what);
        (void)fflush(stdout);
        return;
    }
    spec.trace = NULL;
    if (options->shrink) story_shrink(&spec, &smaller);
    printf("seed %" PRIu64 " breaks the invariant \"%s\": %s\n", spec.seed, result->violation.invariant, result->violation.what);
    print_command(options, failed, result);
    size_t faults = 0, events = 0;
    for (size_t i = 0; i < smaller.fault_count; i++) faults += !spec.without_fault[i];
    for (size_t i = 0; i < smaller.event_count; i++) events += !spec.without_event[i];
    if (options->shrink) {
        printf("a smaller run that breaks it, of %zu events and %zu faults: %s\n", events, faults, smaller.violation.what);
        print_command(options, &spec, &smaller);
    }
    story_tell(&spec, &smaller);
    (void)fflush(stdout);
}

static bool run_seed(const struct options *options, uint64_t seed) {
    struct run_spec spec = options->spec;
    struct run_result result;
    spec.seed = seed;
    spec.trace = options->trace ? stdout : NULL;
    apart_limit(HANG_S);
    world_run(&spec, &result);
    progress->runs++;
    progress->steps += result.steps;
    progress->rows += result.rows;
    progress->results += result.results;
    progress->crashes += result.crashes;
    progress->takeovers += result.takeovers;
    progress->faults += result.faults;
    for (int i = 0; i < EFFECT_COUNT; i++) progress->took[i] += result.took[i];
    if (!result.violation.invariant) return true;
    apart_limit(0);
    tell(options, &spec, &result);
    return false;
}

/* ---- all of them ---- */

/* Short-lived processes: what a seed breaks in memory harms no other. */
static pid_t start_chunk(const struct options *options, unsigned job, uint64_t first) {
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid) return pid;
    uint64_t last = first + CHUNK - 1 < options->last ? first + CHUNK - 1 : options->last;
    for (uint64_t seed = first; seed <= last; seed++) {
        progress->seed[job] = seed;
        bool good = run_seed(options, seed);
        (void)fflush(stdout);
        progress->told[job] = !good;
        if (!good) apart_exit(1);
    }
    apart_exit(0);
}

/* A run that has ended its process is told by this one. */
static void tell_crash(const struct options *options, uint64_t seed, const char *how) {
    struct run_spec spec = options->spec;
    struct run_result result;
    spec.seed = seed;
    story_crash(&spec, how, &result);
    if (options->brief || apart_run(&spec)) {
        tell(options, &spec, &result);
        return;
    }
    printf("seed %" PRIu64 ": %s, while a failure was made smaller; --no-shrink tells it as it came\n", seed,
           result.violation.what);
}

static int judge(const struct options *options, unsigned job, int status) {
    const char *how = apart_how(status);
    if (how && !progress->told[job]) tell_crash(options, progress->seed[job], how);
    return how ? 1 : 0;
}

static int run_all(const struct options *options) {
    pid_t pids[JOBS_MAX] = {0};
    uint64_t next = options->first;
    unsigned running = 0;
    int result = 0;
    while (running || (next <= options->last && !result)) {
        for (unsigned job = 0; job < options->jobs && next <= options->last && !result; job++) {
            if (pids[job]) continue;
            pids[job] = start_chunk(options, job, next);
            if (pids[job] < 0) return 2;
            next += CHUNK;
            running++;
        }
        int status;
        pid_t ended = wait(&status);
        if (ended < 0 && errno != EINTR) return 2;
        for (unsigned job = 0; job < options->jobs; job++) {
            if (pids[job] != ended) continue;
            pids[job] = 0;
            running--;
            if (judge(options, job, status)) result = 1;
        }
    }
    return result;
}

static void print_effects(void) {
    printf("faults that took effect:");
    for (int i = 0; i < EFFECT_COUNT; i++)
        printf("%s %s %" PRIu64, i ? "," : "", effect_text((enum effect)i), (uint64_t)progress->took[i]);
    printf("\n");
}

/* In so many runs each kind of fault must have made a difference, or it proves nothing. */
static int judge_effects(void) {
    int result = 0;
    for (int i = 0; i < EFFECT_COUNT && progress->runs >= MANY; i++) {
        if (progress->took[i]) continue;
        printf("no fault of the kind \"%s\" has taken effect in %" PRIu64 " runs\n", effect_text((enum effect)i), progress->runs);
        result = 1;
    }
    return result;
}

static double seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool read_seeds(const char *text, struct options *options) {
    char *end;
    options->first = options->last = strtoull(text, &end, 10);
    if (end == text) return false;
    if (*end == '-') {
        text = end + 1;
        options->last = strtoull(text, &end, 10);
        if (end == text) return false;
    }
    return !*end && options->first <= options->last;
}

static bool read_options(int argc, char **argv, struct options *options) {
    static const struct option known[] = {{"seeds", required_argument, NULL, 's'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {"trace", no_argument, NULL, 't'},
                                          {"without-events", required_argument, NULL, 'e'},
                                          {"without-faults", required_argument, NULL, 'f'},
                                          {"no-shrink", no_argument, NULL, 'n'},
                                          {"brief", no_argument, NULL, 'b'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    bool good = true;
    for (int c; good && (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (c == 's') good = read_seeds(optarg, options);
        if (c == 'j') good = (options->jobs = (unsigned)atoi(optarg)) > 0 && options->jobs <= JOBS_MAX;
        if (c == 't') options->trace = true;
        if (c == 'e') good = story_read_list(optarg, options->spec.without_event, EVENTS_MAX);
        if (c == 'f') good = story_read_list(optarg, options->spec.without_fault, FAULTS_MAX);
        if (c == 'n') options->shrink = false;
        if (c == 'b') options->brief = true;
        if (c == 'h') {
            (void)fputs(help, stdout);
            exit(0);
        }
        if (c == '?') good = false;
    }
    return good && optind == argc;
}

int main(int argc, char **argv) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct options options = {
        .first = 1, .last = 500, .jobs = processors > 1 ? (unsigned)processors : 1, .shrink = true, .program = argv[0]};
    if (options.jobs > JOBS_MAX) options.jobs = JOBS_MAX;
    if (!read_options(argc, argv, &options)) {
        (void)fputs(help, stderr);
        return 2;
    }
    map_seed(1);
    fleet_prepare();
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED) return 2;
    if (options.trace) {
        options.jobs = 1;
        (void)setvbuf(stdout, NULL, _IOLBF, 0); /* or a crash would take the end of it along */
    }
    double began = seconds();
    int result = run_all(&options);
    double took = seconds() - began;
    if (!options.trace && !options.brief)
        printf("%" PRIu64 " seeds in %.1f s, %.0f a second: %" PRIu64 " faults, %" PRIu64 " processes ended, %" PRIu64
               " takeovers, %" PRIu64 " ledger rows, %" PRIu64 " results, %" PRIu64 " steps; %s\n",
               progress->runs, took, (double)progress->runs / took, progress->faults, progress->crashes, progress->takeovers,
               progress->rows, progress->results, progress->steps, result ? "an invariant was broken" : "0 violations");
    if (!options.trace && !options.brief) print_effects();
    return result ? result : judge_effects();
}
