#include "supervisor.h"

#include "log.h"
#include "monotonic.h"
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_MS = 500, LOOK_TAKES_MS = 100 };

/* A thread of a lane that goes on: its metric as it was last seen to change, and when that was. */
struct turn {
    uint64_t value, changed_ms;
};

static const enum metric turn_metrics[] = {METRIC_TURN_MS, METRIC_PUBLISHER_TURN_MS};
enum { TURNS = sizeof turn_metrics / sizeof *turn_metrics };

struct child {
    pid_t pid;            /* 0: it does not run */
    uint64_t started_ms;  /* the last time */
    uint64_t start_at_ms; /* when it does not run */
    unsigned deaths;      /* in a row, without being well in between */
    bool started_before, killed;
    struct turn turns[TURNS];
};

struct supervisor {
    const struct supervisor_options *options;
    struct child *children;
    struct lane_view *views;
    struct lane_metrics *metrics; /* shared with the lanes */
    size_t metrics_size;
    int memory, signals; /* file descriptors */
    sigset_t old_mask;
    struct status *status;
    bool draining, killed;
    uint64_t kill_at_ms, looked_ms; /* looked_ms: for lanes that stand still */
    int64_t wall_ahead_ms;          /* of CLOCK_MONOTONIC, when it was looked at last */
};

unsigned supervisor_delay_ms(unsigned deaths) {
    if (deaths == 0) return SUPERVISOR_FIRST_MS;
    unsigned delay = SUPERVISOR_NEXT_MS;
    while (--deaths && delay < SUPERVISOR_LONGEST_MS) delay *= 2;
    return delay < SUPERVISOR_LONGEST_MS ? delay : SUPERVISOR_LONGEST_MS;
}

/* ---- shared memory ---- */

static int open_memory(struct supervisor *supervisor, struct error *error) {
    supervisor->metrics_size = supervisor->options->lanes * sizeof(struct lane_metrics);
    supervisor->memory = memfd_create("sluice-metrics", MFD_CLOEXEC);
    if (supervisor->memory < 0 || ftruncate(supervisor->memory, (off_t)supervisor->metrics_size) != 0) goto failed;
    void *memory = mmap(NULL, supervisor->metrics_size, PROT_READ | PROT_WRITE, MAP_SHARED, supervisor->memory, 0);
    if (memory == MAP_FAILED) goto failed;
    supervisor->metrics = memory;
    return 0;
failed:
    return error_set(error, ERROR_UNAVAILABLE, "no-memory", "no shared memory for metrics: %s", strerror(errno));
}

struct lane_metrics *supervisor_attach(int fd, unsigned number, struct error *error) {
    struct stat state;
    size_t size = ((size_t)number + 1) * sizeof(struct lane_metrics);
    void *memory = MAP_FAILED;
    if (fstat(fd, &state) == 0 && state.st_size >= 0 && (uint64_t)state.st_size >= size)
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        error_set(error, ERROR_INPUT, "no-metrics",
                  "file descriptor %d holds no metrics of lane %u: a lane is only started by its supervisor", fd, number);
        return NULL;
    }
    (void)close(fd);
    return (struct lane_metrics *)memory + number;
}

/* ---- starting ---- */

/* The child's side of fork; only async-signal-safe calls. */
static _Noreturn void become_lane(const struct supervisor *supervisor, char *const *arguments, pid_t parent) {
    /* It ends with its supervisor, also when that has died before this line. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent) _exit(127);
    (void)fcntl(supervisor->memory, F_SETFD, 0);
    (void)sigprocmask(SIG_SETMASK, &supervisor->old_mask, NULL);
    (void)execv("/proc/self/exe", arguments);
    _exit(127);
}

static void start_lane(struct supervisor *supervisor, unsigned number) {
    const struct supervisor_options *options = supervisor->options;
    struct child *child = &supervisor->children[number];
    char lane[16], memory[16], *arguments[SUPERVISOR_ARGUMENTS_MAX + 5] = {0};
    for (size_t i = 0; i < options->argument_count; i++) arguments[i] = (char *)options->arguments[i];
    char *const last[] = {"--lane", lane, "--metrics", memory};
    memcpy(arguments + options->argument_count, last, sizeof last);
    (void)snprintf(lane, sizeof lane, "%u", number);
    (void)snprintf(memory, sizeof memory, "%d", supervisor->memory);
    pid_t self = getpid(), pid = fork();
    if (pid == 0) become_lane(supervisor, arguments, self);
    uint64_t now = monotonic_ms();
    if (pid < 0) {
        child->start_at_ms = now + supervisor_delay_ms(++child->deaths);
        log_line(LOG_ERROR, "lane-not-started", "lane=%u message=\"%s\"", number, strerror(errno));
        return;
    }
    if (child->started_before) supervisor->views[number].restarts++;
    child->started_before = true;
    child->killed = false;
    child->pid = pid;
    child->started_ms = now;
    for (unsigned i = 0; i < TURNS; i++) child->turns[i].changed_ms = now;
    supervisor->views[number].running = true;
    log_line(LOG_INFO, "lane-started", "lane=%u pid=%d", number, (int)pid);
}

static void start_due(struct supervisor *supervisor) {
    uint64_t now = monotonic_ms();
    for (unsigned i = 0; i < supervisor->options->lanes && !supervisor->draining; i++)
        if (!supervisor->children[i].pid && supervisor->children[i].start_at_ms <= now) start_lane(supervisor, i);
}

/* ---- standing still ---- */

/* A lane can hang in a library for good. Killed, it loses nothing. Time in which this process stood still itself says nothing of
 * the lanes. */
static void kill_still(struct supervisor *supervisor) {
    uint64_t now = monotonic_ms(), still = (uint64_t)supervisor->options->still_ms;
    bool slept = now - supervisor->looked_ms > still / 2;
    supervisor->looked_ms = now;
    for (unsigned i = 0; i < supervisor->options->lanes; i++) {
        struct child *child = &supervisor->children[i];
        uint64_t longest = 0;
        for (unsigned k = 0; k < TURNS; k++) {
            struct turn *turn = &child->turns[k];
            uint64_t value = metrics_get(&supervisor->metrics[i], turn_metrics[k]);
            if (slept || value != turn->value) turn->changed_ms = now;
            turn->value = value;
            if (now - turn->changed_ms > longest) longest = now - turn->changed_ms;
        }
        if (!child->pid || longest < still || child->killed) continue;
        log_line(LOG_ERROR, "lane-still", "lane=%u pid=%d message=\"it has not gone on for %" PRIu64 " ms and is killed\"", i,
                 (int)child->pid, longest);
        child->killed = true;
        (void)kill(child->pid, SIGKILL);
    }
}

/* ---- ending ---- */

static void describe_end(int status, char *to, size_t room) {
    if (WIFSIGNALED(status))
        (void)snprintf(to, room, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == 127)
        (void)snprintf(to, room, "could not be executed (exit status 127)");
    else
        (void)snprintf(to, room, "exit status %d", WEXITSTATUS(status));
}

static void lane_has_ended(struct supervisor *supervisor, unsigned number, int status) {
    struct child *child = &supervisor->children[number];
    char how[100];
    uint64_t now = monotonic_ms();
    describe_end(status, how, sizeof how);
    if (now - child->started_ms >= SUPERVISOR_WELL_MS) child->deaths = 0;
    unsigned delay = supervisor_delay_ms(child->deaths++);
    if (supervisor->draining)
        log_line(WIFEXITED(status) && WEXITSTATUS(status) == 0 ? LOG_INFO : LOG_WARN, "lane-drained", "lane=%u pid=%d how=\"%s\"",
                 number, (int)child->pid, how);
    else
        log_line(LOG_WARN, "lane-died", "lane=%u pid=%d how=\"%s\" restart_ms=%u", number, (int)child->pid, how, delay);
    child->pid = 0;
    child->start_at_ms = now + delay;
    supervisor->views[number].running = false;
    metrics_forget(&supervisor->metrics[number]);
}

static void reap(struct supervisor *supervisor) {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (unsigned i = 0; i < supervisor->options->lanes; i++)
            if (supervisor->children[i].pid == pid) lane_has_ended(supervisor, i, status);
}

static unsigned running(const struct supervisor *supervisor) {
    unsigned count = 0;
    for (unsigned i = 0; i < supervisor->options->lanes; i++) count += supervisor->children[i].pid != 0;
    return count;
}

static void signal_all(const struct supervisor *supervisor, int signal) {
    for (unsigned i = 0; i < supervisor->options->lanes; i++)
        if (supervisor->children[i].pid) (void)kill(supervisor->children[i].pid, signal);
}

static void drain(struct supervisor *supervisor, const char *why) {
    supervisor->draining = true;
    supervisor->kill_at_ms = monotonic_ms() + (uint64_t)supervisor->options->drain_ms;
    status_drain(supervisor->status);
    signal_all(supervisor, SIGTERM);
    log_line(LOG_INFO, "draining", "why=%s lanes=%u limit_ms=%" PRId64, why, running(supervisor), supervisor->options->drain_ms);
}

static void kill_all(struct supervisor *supervisor) {
    log_line(LOG_ERROR, "drain-failed", "lanes=%u message=\"they have not ended in time and are killed\"", running(supervisor));
    signal_all(supervisor, SIGKILL);
    supervisor->killed = true;
    supervisor->kill_at_ms = UINT64_MAX;
}

/* ---- a clock that is set back ---- */

/* By how much the clock that people set is ahead of the one that nobody does; false when this process was held up meanwhile. */
static bool read_wall_ahead(const struct supervisor *supervisor, int64_t *ret_ms) {
    uint64_t began = monotonic_ms();
    *ret_ms = (int64_t)(supervisor->options->wall_ms() - began);
    return monotonic_ms() - began <= LOOK_TAKES_MS;
}

/* librdkafka's threads wait until times of the clock that people set: set back, they stand still for as much longer, those that
 * connect to brokers too, and its lane hears of no broker for a day, say, while its own threads go on. */
static void kill_after_set_back(struct supervisor *supervisor) {
    int64_t ahead, before = supervisor->wall_ahead_ms;
    if (!read_wall_ahead(supervisor, &ahead)) return;
    supervisor->wall_ahead_ms = ahead;
    if (before - ahead < SUPERVISOR_SET_BACK_MS || supervisor->draining) return;
    log_line(LOG_WARN, "clock-set-back",
             "back_ms=%" PRId64 " lanes=%u message=\"libraries wait by it; the lanes are started anew\"", before - ahead,
             running(supervisor));
    signal_all(supervisor, SIGKILL);
}

/* ---- the loop ---- */

static void take_signals(struct supervisor *supervisor) {
    struct signalfd_siginfo info;
    while (read(supervisor->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        int signal = (int)info.ssi_signo;
        if (signal == SIGCHLD)
            reap(supervisor);
        else if (!supervisor->draining)
            drain(supervisor, signal == SIGTERM ? "SIGTERM" : signal == SIGINT ? "SIGINT" : "SIGHUP");
        else if (signal == SIGINT && !supervisor->killed)
            kill_all(supervisor);
    }
}

/* Until when nothing has to be done unless something happens. */
static int wait_ms(const struct supervisor *supervisor) {
    int wait = status_wait_ms(supervisor->status);
    uint64_t now = monotonic_ms();
    uint64_t next = supervisor->draining ? supervisor->kill_at_ms : now + LOOK_MS;
    for (unsigned i = 0; i < supervisor->options->lanes && !supervisor->draining; i++)
        if (!supervisor->children[i].pid && supervisor->children[i].start_at_ms < next)
            next = supervisor->children[i].start_at_ms;
    if (next == UINT64_MAX) return wait;
    uint64_t left = next <= now ? 0 : next - now > 60000 ? 60000 : next - now;
    return wait < 0 || (int)left < wait ? (int)left : wait;
}

static void watch(struct supervisor *supervisor) {
    struct pollfd descriptors[] = {{.fd = supervisor->signals, .events = POLLIN},
                                   {.fd = status_fd(supervisor->status), .events = POLLIN}};
    while (!supervisor->draining || running(supervisor)) {
        start_due(supervisor);
        kill_still(supervisor);
        kill_after_set_back(supervisor);
        (void)poll(descriptors, 2, wait_ms(supervisor));
        take_signals(supervisor);
        if (supervisor->draining && monotonic_ms() >= supervisor->kill_at_ms) kill_all(supervisor);
        status_run(supervisor->status);
    }
}

static int open_signals(struct supervisor *supervisor, struct error *error) {
    sigset_t mask;
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGTERM);
    (void)sigaddset(&mask, SIGINT);
    (void)sigaddset(&mask, SIGHUP);
    (void)sigaddset(&mask, SIGCHLD);
    (void)signal(SIGPIPE, SIG_IGN); /* of a log that nobody reads any more */
    if (sigprocmask(SIG_BLOCK, &mask, &supervisor->old_mask) == 0)
        supervisor->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (supervisor->signals >= 0) return 0;
    return error_set(error, ERROR_INTERNAL, "no-signals", "signals cannot be waited for: %s", strerror(errno));
}

int supervisor_run(const struct supervisor_options *options, struct error *error) {
    struct supervisor supervisor = {.options = options, .memory = -1, .signals = -1};
    int result = -1;
    if (options->lanes < 1 || options->lanes > SUPERVISOR_LANES_MAX || options->argument_count < 1 ||
        options->argument_count > SUPERVISOR_ARGUMENTS_MAX || options->still_ms < 1)
        return error_set(error, ERROR_INPUT, "options-invalid", "a worker has 1 to %d lanes", SUPERVISOR_LANES_MAX);
    supervisor.children = calloc(options->lanes, sizeof *supervisor.children);
    supervisor.views = calloc(options->lanes, sizeof *supervisor.views);
    if (!supervisor.children || !supervisor.views) {
        error_memory(error);
        goto cleanup;
    }
    if (open_memory(&supervisor, error)) goto cleanup;
    for (unsigned i = 0; i < options->lanes; i++) supervisor.views[i].metrics = &supervisor.metrics[i];
    supervisor.status = status_new(options->listen, supervisor.views, options->lanes, error);
    if (!supervisor.status || open_signals(&supervisor, error)) goto cleanup;
    log_line(LOG_INFO, "supervisor-started", "version=%s lanes=%u listen=%s port=%u", SLUICE_VERSION, options->lanes,
             options->listen, status_port(supervisor.status));
    (void)read_wall_ahead(&supervisor, &supervisor.wall_ahead_ms);
    watch(&supervisor);
    log_line(LOG_INFO, "supervisor-ended", "killed=%s", supervisor.killed ? "yes" : "no");
    result = supervisor.killed ? 1 : 0;
cleanup:
    status_free(supervisor.status);
    if (supervisor.signals >= 0) {
        (void)close(supervisor.signals);
        (void)sigprocmask(SIG_SETMASK, &supervisor.old_mask, NULL);
    }
    if (supervisor.metrics) (void)munmap(supervisor.metrics, supervisor.metrics_size);
    if (supervisor.memory >= 0) (void)close(supervisor.memory);
    free(supervisor.children);
    free(supervisor.views);
    return result;
}
