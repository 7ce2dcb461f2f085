/* The sluice-worker program: reads the configuration, then is the supervisor, or with the hidden --lane one of its lanes. */
#include "config.h"
#include "lane.h"
#include "log.h"
#include "monotonic.h"
#include "supervisor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_ENDED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage_text[] =
    "Usage: sluice-worker [--config FILE]\n\n"
    "Consumes builds and promotion requests from Kafka, decides them, and publishes the results.\n\n"
    "  --config FILE  the configuration; else $SLUICE_CONFIG, ./sluice.yaml, /etc/sluice/sluice.yaml\n"
    "  --help         this text\n"
    "  --version      the version\n\n"
    "SIGTERM finishes what was begun and ends. The state is served on worker.listen: /metrics, /healthz, /readyz.\n"
    "Exit status: 0 ended as asked, 1 failed, 2 wrong usage or configuration.\n";

struct arguments {
    const char *config; /* NULL: wherever it is looked for */
    bool help, version;
    const char *lane, *metrics; /* of a lane, as its supervisor gives them */
};

/* The value of `name` when this argument is it, "--name VALUE" or "--name=VALUE". */
static const char *value_of(const char *name, char **argv, int *at) {
    const char *argument = argv[*at], *next = argv[*at + 1]; /* behind the last one stands a NULL */
    size_t n = strlen(name);
    if (strncmp(argument, name, n) != 0) return NULL;
    if (argument[n] == '=') return argument + n + 1;
    if (argument[n] || !next) return NULL;
    ++*at;
    return next;
}

static bool parse_arguments(int argc, char **argv, struct arguments *ret) {
    struct arguments arguments = {0};
    for (int i = 1; i < argc; i++) {
        const char *value;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            arguments.help = true;
        else if (strcmp(argv[i], "--version") == 0)
            arguments.version = true;
        else if ((value = value_of("--config", argv, &i)))
            arguments.config = value;
        else if ((value = value_of("--lane", argv, &i)))
            arguments.lane = value;
        else if ((value = value_of("--metrics", argv, &i)))
            arguments.metrics = value;
        else {
            fprintf(stderr, "sluice-worker: unknown or incomplete argument '%s'; see sluice-worker --help\n", argv[i]);
            return false;
        }
    }
    *ret = arguments;
    return true;
}

static int fail(const struct error *error) {
    fprintf(stderr, "sluice-worker: %s\n", error->message);
    return EXIT_USAGE;
}

static bool parse_number(const char *text, unsigned maximum, unsigned *ret) {
    char *end = NULL;
    unsigned long number = text && *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    if (!end || *end || number > maximum) return false;
    *ret = (unsigned)number;
    return true;
}

static int run_lane(const struct arguments *arguments, const struct config *config) {
    struct error error = {0};
    unsigned number, fd;
    if (!parse_number(arguments->lane, SUPERVISOR_LANES_MAX - 1, &number) || !parse_number(arguments->metrics, 1 << 20, &fd)) {
        fprintf(stderr, "sluice-worker: --lane and --metrics are the supervisor's; see sluice-worker --help\n");
        return EXIT_USAGE;
    }
    struct lane_metrics *metrics = supervisor_attach((int)fd, number, &error);
    return metrics ? lane_main(config, number, metrics) : fail(&error);
}

static void warn_of_strays(void) {
    size_t at = 0;
    for (const char *name; (name = config_stray(NULL, &at));)
        log_line(LOG_WARN, "config-unused", "message=\"the variable %.*s names no key of the configuration\"",
                 (int)strcspn(name, "="), name); /* its value may be a secret */
}

static int run_supervisor(const struct arguments *arguments, const char *program, const struct config *config) {
    struct error error = {0};
    enum log_level level = LOG_INFO;
    const char *lane[] = {program, "--config", arguments->config};
    const struct supervisor_options options = {.arguments = lane,
                                               .argument_count = arguments->config ? 3 : 1,
                                               .lanes = config->worker.lanes,
                                               .listen = config->worker.listen,
                                               .drain_ms = config->worker.drain_timeout / 1000,
                                               .still_ms = SUPERVISOR_STILL_MS,
                                               .wall_ms = wall_ms};
    (void)log_level_parse(config->worker.log_level, &level);
    log_open(level, "supervisor");
    warn_of_strays();
    int result = supervisor_run(&options, &error);
    if (result >= 0) return result ? EXIT_FAILED : EXIT_ENDED;
    log_error(LOG_ERROR, "supervisor-failed", &error);
    return EXIT_FAILED;
}

int main(int argc, char **argv) {
    struct arguments arguments;
    struct config config = {0};
    struct error error = {0};
    if (!parse_arguments(argc, argv, &arguments)) return EXIT_USAGE;
    if (arguments.help) return fputs(usage_text, stdout) < 0 ? EXIT_FAILED : EXIT_ENDED;
    if (arguments.version) return printf("sluice-worker %s\n", SLUICE_VERSION) < 0 ? EXIT_FAILED : EXIT_ENDED;
    int result = EXIT_USAGE;
    if (config_load(&config, arguments.config, NULL, &error) ||
        config_require(config.kafka.bootstrap_servers, "kafka.bootstrap-servers", &error) ||
        config_require(config.database.url, "database.url", &error))
        (void)fail(&error);
    else
        result = arguments.lane ? run_lane(&arguments, &config) : run_supervisor(&arguments, argv[0], &config);
    config_release(&config);
    return result;
}
