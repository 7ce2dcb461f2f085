/* The supervisor with lanes that are this program again, with "--lane": they do what the word before it says. */
#include "http.h"
#include "monotonic.h"
#include "status.h"
#include "supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
/* cmocka wants some of the above first */
#include <cmocka.h>

static void rest_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

/* ---- the lane ---- */

static volatile sig_atomic_t asked_to_end;

static void on_signal(int signal) {
    (void)signal;
    asked_to_end = 1;
}

static int be_lane(const char *way, unsigned number, int fd) {
    struct error error = {0};
    if (strcmp(way, "dies") == 0) return 3;
    struct lane_metrics *metrics = supervisor_attach(fd, number, &error);
    if (!metrics) return 4;
    (void)signal(SIGTERM, strcmp(way, "stubborn") == 0 ? SIG_IGN : on_signal);
    metrics_add(metrics, METRIC_RECORDS_CONSUMED, 1);
    if (strcmp(way, "outside") != 0) metrics_set(metrics, METRIC_IN_GROUP, 1);
    while (!asked_to_end) {
        if (strcmp(way, "hangs") != 0) metrics_set(metrics, METRIC_TURN_MS, monotonic_ms());
        if (strcmp(way, "publishes-nothing") != 0) metrics_set(metrics, METRIC_PUBLISHER_TURN_MS, monotonic_ms());
        metrics_set(metrics, METRIC_DATABASE_OK_MS, monotonic_ms());
        metrics_set(metrics, METRIC_BROKER_OK_MS, monotonic_ms());
        rest_ms(20);
    }
    return 0;
}

/* ---- the supervisor, in a process of its own ---- */

struct worker {
    pid_t pid;
    unsigned port;
};

static unsigned free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int64_t still_ms = SUPERVISOR_STILL_MS;
static _Atomic int64_t *clock_ahead_ms; /* of the system's; shared with supervisors */

static uint64_t wall_ms_of_tests(void) { return wall_ms() + (uint64_t)*clock_ahead_ms; }

static struct worker start_worker(const char *way, unsigned lanes, int64_t drain_ms) {
    struct worker worker = {.port = free_port()};
    worker.pid = fork();
    assert_true(worker.pid >= 0);
    if (worker.pid) return worker;
    char listen[40];
    const char *const arguments[] = {"test_supervisor", way};
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", worker.port);
    const struct supervisor_options options = {.arguments = arguments,
                                               .argument_count = 2,
                                               .lanes = lanes,
                                               .listen = listen,
                                               .drain_ms = drain_ms,
                                               .still_ms = still_ms,
                                               .wall_ms = wall_ms_of_tests};
    struct error error = {0};
    int result = supervisor_run(&options, &error);
    _exit(result < 0 ? 9 : result);
}

/* Its exit status, or 1000 and the signal; -1 when it has not ended within ten seconds, and is killed. */
static int end_of(pid_t pid) {
    int status;
    for (int i = 0; i < 1000; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        rest_ms(10);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return -1;
}

enum { LANES = 8 };

static unsigned lanes_of(const struct worker *worker, pid_t pids[LANES]) {
    char path[80];
    unsigned count = 0;
    int pid;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)worker->pid, (int)worker->pid);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    while (count < LANES && fscanf(file, "%d", &pid) == 1) pids[count++] = pid;
    (void)fclose(file);
    return count;
}

/* Gone, or dead and only not yet waited for. */
static bool is_gone(pid_t pid) {
    char path[40], state = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file) return true;
    bool read = fscanf(file, "%*d %*[^)]) %c", &state) == 1;
    (void)fclose(file);
    return !read || state == 'Z' || state == 'X';
}

static bool all_gone_within(const pid_t *pids, unsigned count, int ms) {
    for (uint64_t end = monotonic_ms() + (uint64_t)ms;; rest_ms(10)) {
        unsigned gone = 0;
        while (gone < count && is_gone(pids[gone])) gone++;
        if (gone == count || monotonic_ms() >= end) return gone == count;
    }
}

static void nothing(struct http_request *request) { (void)request; }

/* The status, 0 without an answer; the body in `text`. */
static int get(const struct worker *worker, const char *path, char *text, size_t room) {
    struct http *http = http_new(NULL, 1, NULL);
    struct http_request request = {.plain_http = true, .allow_private = true, .body_max = 1 << 20, .done = nothing};
    char url[100];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", worker->port, path);
    assert_int_equal(http_start(http, &request, url, NULL, 0, 2000), 0);
    while (request.outcome == HTTP_PENDING) http_run(http, 100);
    int status = request.outcome == HTTP_ANSWERED ? request.status : 0;
    (void)snprintf(text, room, "%.*s", SLICE_ARG(buf_slice(&request.body)));
    http_reset(http, &request);
    http_free(http);
    return status;
}

/* Asked once at least, however long that takes. */
static bool answers_within(const struct worker *worker, const char *path, int status, const char *words, int ms) {
    static char text[1 << 16];
    for (const uint64_t end = monotonic_ms() + (uint64_t)ms;; rest_ms(10)) {
        int got = get(worker, path, text, sizeof text);
        if (got == status && strstr(text, words)) return true;
        if (monotonic_ms() < end) continue;
        print_message("%s: status %d, %s\n", path, got, text);
        return false;
    }
}

/* How often lane 0 has been started again; -1 without an answer. */
static long restarts_of(const struct worker *worker) {
    static const char name[] = "sluice_lane_restarts_total{lane=\"0\"} ";
    static char text[1 << 16];
    const char *line = get(worker, "/metrics", text, sizeof text) == 200 ? strstr(text, name) : NULL;
    return line ? strtol(line + strlen(name), NULL, 10) : -1;
}

static int stop(const struct worker *worker) {
    kill(worker->pid, SIGTERM);
    return end_of(worker->pid);
}

/* ---- tests ---- */

static void lanes_run_and_their_state_is_served(void **state) {
    (void)state;
    struct worker worker = start_worker("steady", 3, 5000);
    pid_t pids[LANES];
    assert_true(answers_within(&worker, "/readyz", 200, "ready", 5000));
    assert_int_equal(lanes_of(&worker, pids), 3);
    assert_true(answers_within(&worker, "/healthz", 200, "ok", 1000));
    assert_true(answers_within(&worker, "/metrics", 200, "sluice_records_consumed_total{lane=\"2\"} 1\n", 1000));
    assert_true(answers_within(&worker, "/", 404, "/metrics", 1000));
    assert_true(answers_within(&worker, "/readyz/../metrics", 404, "", 1000));
    assert_int_equal(stop(&worker), 0);
    assert_true(all_gone_within(pids, 3, 10));
}

static void a_killed_lane_is_started_again_at_once(void **state) {
    (void)state;
    struct worker worker = start_worker("steady", 2, 5000);
    pid_t before[LANES], after[LANES];
    assert_true(answers_within(&worker, "/readyz", 200, "ready", 5000));
    assert_int_equal(lanes_of(&worker, before), 2);
    uint64_t began = monotonic_ms();
    kill(before[0], SIGKILL);
    while (lanes_of(&worker, after) != 2 || after[0] == before[0]) {
        assert_true(monotonic_ms() - began < 1000);
        rest_ms(1);
    }
    assert_true(monotonic_ms() - began >= SUPERVISOR_FIRST_MS);
    /* the lane's counters go on, the neighbour was left alone */
    assert_true(answers_within(&worker, "/metrics", 200, "sluice_records_consumed_total{lane=\"0\"} 2\n", 2000));
    assert_true(answers_within(&worker, "/metrics", 200, "sluice_records_consumed_total{lane=\"1\"} 1\n", 10));
    assert_true(answers_within(&worker, "/metrics", 200, "sluice_lane_restarts_total{lane=\"0\"} 1\n", 10));
    assert_true(answers_within(&worker, "/readyz", 200, "ready", 2000));
    assert_int_equal(stop(&worker), 0);
}

static void a_lane_that_was_well_does_not_wait_longer_each_time(void **state) {
    (void)state;
    struct worker worker = start_worker("steady", 1, 5000);
    pid_t before[LANES] = {0}, after[LANES];
    for (int i = 0; i < 4; i++) {
        while (lanes_of(&worker, after) != 1) rest_ms(1);
        before[0] = after[0];
        rest_ms(SUPERVISOR_WELL_MS + 100);
        uint64_t began = monotonic_ms();
        kill(before[0], SIGKILL);
        while (lanes_of(&worker, after) != 1 || after[0] == before[0]) {
            assert_true(i < 3 || monotonic_ms() - began < 4 * SUPERVISOR_NEXT_MS); /* what the fourth death in a row would take */
            rest_ms(1);
        }
    }
    assert_int_equal(stop(&worker), 0);
}

static void a_lane_that_dies_at_once_waits_longer_each_time(void **state) {
    (void)state;
    const uint64_t began = monotonic_ms();
    struct worker worker = start_worker("dies", 1, 5000);
    while (restarts_of(&worker) < 4) { /* 50, 200, 400 and 800 ms */
        assert_true(monotonic_ms() - began < 10000);
        rest_ms(1);
    }
    assert_true(monotonic_ms() - began >= 1450);
    assert_true(answers_within(&worker, "/readyz", 503, "lane 0 does not run", 1000));
    assert_int_equal(stop(&worker), 0);
}

static void a_lane_outside_the_group_is_not_ready(void **state) {
    (void)state;
    struct worker worker = start_worker("outside", 1, 5000);
    assert_true(answers_within(&worker, "/readyz", 503, "lane 0 is not in the consumer group", 5000));
    assert_int_equal(get(&worker, "/healthz", (char[100]){0}, 100), 200);
    assert_int_equal(stop(&worker), 0);
}

static void a_lane_that_stands_still_is_not_ready(void **state) {
    (void)state;
    struct worker worker = start_worker("steady", 1, 5000);
    pid_t pids[LANES];
    assert_true(answers_within(&worker, "/readyz", 200, "ready", 5000));
    assert_int_equal(lanes_of(&worker, pids), 1);
    kill(pids[0], SIGSTOP);
    assert_true(answers_within(&worker, "/readyz", 503, "lane 0 has no answer from the database or a Kafka broker",
                               STATUS_FRESH_MS + 1500));
    kill(pids[0], SIGCONT);
    assert_true(answers_within(&worker, "/readyz", 200, "ready", 5000));
    assert_int_equal(stop(&worker), 0);
}

/* Its servers answer, and it does nothing any more: only its supervisor can help. */
static void a_lane_that_hangs_is_killed_and_started_again(void **state) {
    (void)state;
    pid_t pids[LANES];
    still_ms = 2000;
    struct worker hanging = start_worker("hangs", 1, 5000), steady = start_worker("steady", 1, 5000),
                  half = start_worker("publishes-nothing", 1, 5000);
    still_ms = SUPERVISOR_STILL_MS;
    assert_true(answers_within(&steady, "/readyz", 200, "ready", 5000));
    for (const uint64_t end = monotonic_ms() + 10000; restarts_of(&hanging) < 1; rest_ms(10)) assert_true(monotonic_ms() < end);
    for (const uint64_t end = monotonic_ms() + 10000; restarts_of(&half) < 1; rest_ms(10)) assert_true(monotonic_ms() < end);
    assert_true(answers_within(&steady, "/metrics", 200, "sluice_lane_restarts_total{lane=\"0\"} 0\n", 1000));
    /* time in which the supervisor stood still too is nobody's fault */
    assert_int_equal(lanes_of(&steady, pids), 1);
    kill(steady.pid, SIGSTOP);
    kill(pids[0], SIGSTOP);
    rest_ms(3000);
    kill(steady.pid, SIGCONT);
    rest_ms(200);
    kill(pids[0], SIGCONT);
    assert_true(answers_within(&steady, "/metrics", 200, "sluice_lane_restarts_total{lane=\"0\"} 0\n", 2000));
    assert_int_equal(stop(&steady), 0);
    assert_int_equal(stop(&hanging), 0);
    assert_int_equal(stop(&half), 0);
}

/* librdkafka waits by that clock, and its threads are not those that are looked at. */
static void a_clock_that_is_set_back_starts_all_lanes_anew(void **state) {
    (void)state;
    struct worker worker = start_worker("steady", 2, 5000);
    assert_true(answers_within(&worker, "/readyz", 200, "ready", 5000));
    *clock_ahead_ms += 86400000; /* forwards nobody waits for longer, nor is a step of less than five seconds worth it */
    rest_ms(1200);
    *clock_ahead_ms -= SUPERVISOR_SET_BACK_MS - 1000;
    rest_ms(1200);
    assert_true(answers_within(&worker, "/metrics", 200, "sluice_lane_restarts_total{lane=\"0\"} 0\n", 1000));
    *clock_ahead_ms -= SUPERVISOR_SET_BACK_MS + 1000;
    for (unsigned lane = 0; lane < 2; lane++) {
        char line[80];
        (void)snprintf(line, sizeof line, "sluice_lane_restarts_total{lane=\"%u\"} 1\n", lane);
        assert_true(answers_within(&worker, "/metrics", 200, line, 5000));
    }
    assert_true(answers_within(&worker, "/readyz", 200, "ready", 5000));
    assert_int_equal(stop(&worker), 0);
}

static void lanes_that_do_not_drain_are_killed(void **state) {
    (void)state;
    struct worker worker = start_worker("stubborn", 2, 3000);
    pid_t pids[LANES];
    assert_true(answers_within(&worker, "/readyz", 200, "ready", 5000));
    assert_int_equal(lanes_of(&worker, pids), 2);
    uint64_t began = monotonic_ms();
    kill(worker.pid, SIGTERM);
    assert_true(answers_within(&worker, "/readyz", 503, "the worker is ending", 2500));
    assert_int_equal(end_of(worker.pid), 1);
    assert_true(monotonic_ms() - began >= 3000);
    assert_true(all_gone_within(pids, 2, 10));
}

static void a_second_interrupt_does_not_wait(void **state) {
    (void)state;
    struct worker worker = start_worker("stubborn", 2, 60000);
    assert_true(answers_within(&worker, "/readyz", 200, "ready", 5000));
    kill(worker.pid, SIGINT);
    rest_ms(200);
    kill(worker.pid, SIGINT);
    assert_int_equal(end_of(worker.pid), 1);
}

static void lanes_end_with_their_supervisor(void **state) {
    (void)state;
    struct worker worker = start_worker("steady", 3, 5000);
    pid_t pids[LANES];
    assert_true(answers_within(&worker, "/readyz", 200, "ready", 5000));
    assert_int_equal(lanes_of(&worker, pids), 3);
    kill(worker.pid, SIGKILL);
    assert_int_equal(end_of(worker.pid), 1000 + SIGKILL);
    assert_true(all_gone_within(pids, 3, 3000));
}

static void an_address_in_use_is_told(void **state) {
    (void)state;
    struct worker worker = start_worker("steady", 1, 5000);
    assert_true(answers_within(&worker, "/healthz", 200, "ok", 5000));
    char listen[40];
    struct error error = {0};
    const char *const arguments[] = {"test_supervisor", "steady"};
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", worker.port);
    const struct supervisor_options options = {.arguments = arguments,
                                               .argument_count = 2,
                                               .lanes = 1,
                                               .listen = listen,
                                               .drain_ms = 1000,
                                               .still_ms = 60000,
                                               .wall_ms = wall_ms};
    assert_int_equal(supervisor_run(&options, &error), -1);
    assert_string_equal(error.code, "listen-failed");
    assert_non_null(strstr(error.message, listen));
    assert_int_equal(stop(&worker), 0);
}

static void a_lane_without_its_supervisors_memory_says_so(void **state) {
    (void)state;
    struct error error = {0};
    assert_null(supervisor_attach(9999, 0, &error));
    assert_string_equal(error.code, "no-metrics");
}

int main(int argc, char **argv) {
    if (argc == 6 && strcmp(argv[2], "--lane") == 0 && strcmp(argv[4], "--metrics") == 0)
        return be_lane(argv[1], (unsigned)strtoul(argv[3], NULL, 10), (int)strtol(argv[5], NULL, 10));
    void *shared = mmap(NULL, sizeof *clock_ahead_ms, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 1;
    clock_ahead_ms = shared;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_run_and_their_state_is_served),
        cmocka_unit_test(a_killed_lane_is_started_again_at_once),
        cmocka_unit_test(a_lane_that_was_well_does_not_wait_longer_each_time),
        cmocka_unit_test(a_lane_that_dies_at_once_waits_longer_each_time),
        cmocka_unit_test(a_lane_outside_the_group_is_not_ready),
        cmocka_unit_test(a_lane_that_stands_still_is_not_ready),
        cmocka_unit_test(a_lane_that_hangs_is_killed_and_started_again),
        cmocka_unit_test(a_clock_that_is_set_back_starts_all_lanes_anew),
        cmocka_unit_test(lanes_that_do_not_drain_are_killed),
        cmocka_unit_test(a_second_interrupt_does_not_wait),
        cmocka_unit_test(lanes_end_with_their_supervisor),
        cmocka_unit_test(an_address_in_use_is_told),
        cmocka_unit_test(a_lane_without_its_supervisors_memory_says_so),
    };
    return cmocka_run_group_tests_name("supervisor", tests, NULL, NULL);
}
