/* What the tests of the registry client share: a registry that misbehaves (fake_registry.py), clients, questions, and what it was
 * asked. */
#ifndef SLUICE_TESTS_REGISTRY_WORLD_H
#define SLUICE_TESTS_REGISTRY_WORLD_H

#include "http.h"
#include "json.h"
#include "registry.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
/* cmocka wants some of the above first */
#include <cmocka.h>

#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const instant NOW = 1772359200000000;
static char folder[] = "/tmp/sluice-registry.XXXXXX";

/* ---- processes ---- */

struct server {
    pid_t pid;
    int in; /* its standard input; closed: it ends */
    unsigned port;
    char host[32], by_name[32]; /* two names for one place, so two registries to the client */
};

static struct server fake;

static void start_fake(struct server *server, unsigned port, const char *certificate, const char *key) {
    int in[2], out[2];
    char number[16], line[32] = "";
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    (void)snprintf(number, sizeof number, "%u", port);
    server->pid = fork();
    if (server->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl("/usr/bin/python3", "python3", SLUICE_SOURCE "/tests/component/fake_registry.py", number, certificate, key, NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server->in = in[1];
    assert_true(read(out[0], line, sizeof line - 1) > 0);
    close(out[0]);
    server->port = (unsigned)strtoul(line, NULL, 10);
    (void)snprintf(server->host, sizeof server->host, "127.0.0.1:%u", server->port);
    (void)snprintf(server->by_name, sizeof server->by_name, "localhost:%u", server->port);
}

static void stop_server(struct server *server) {
    close(server->in);
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
}

static int64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- asking ---- */

static struct arena arena;

static int set_up(void **state) {
    (void)state;
    arena_init(&arena, 64 << 20);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_release(&arena);
    return 0;
}

/* A file of the test's folder; its path. */
static const char *write_file(const char *name, const char *text) {
    char *path = arena_alloc(&arena, 256);
    (void)snprintf(path, 256, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static struct registry *new_client(const struct registry_options *options) {
    struct error error = {0};
    static const struct registry_options standard = {.per_registry = 16, .total = 64};
    struct registry *client = registry_http_new(options ? options : &standard, &error);
    if (!client) fail_msg("%s", error.message);
    return client;
}

static void free_client(struct registry *client) { client->operations->free(client); }

static struct registry_question question_for(const char *host, const char *repository, const char *digest) {
    return (struct registry_question){.host = slice_str(host),
                                      .repository = slice_str(repository),
                                      .digest = slice_str(digest),
                                      .plain_http = true,
                                      .allow_private = true};
}

/* The n-th digest. */
static const char *digest_number(unsigned n) { return arena_print(&arena, "sha256:%064x", n).p; }

static void ask(struct registry *client, struct registry_question *questions, size_t count, int wait_ms) {
    int64_t began = clock_ms();
    client->operations->ask(client, &arena, questions, count, NOW, wait_ms);
    assert_in_range(clock_ms() - began, 0, wait_ms + 1500);
    for (size_t i = 0; i < count; i++) assert_int_not_equal(questions[i].answer, REGISTRY_NOT_ASKED);
}

static struct registry_question ask_within(struct registry *client, const char *host, const char *repository, int wait_ms) {
    struct registry_question question = question_for(host, repository, DIGEST_A);
    ask(client, &question, 1, wait_ms);
    return question;
}

/* Long enough for an answer on the busiest machine. */
static struct registry_question ask_one(struct registry *client, const char *host, const char *repository) {
    return ask_within(client, host, repository, 5000);
}

static bool says(const struct registry_question *question, const char *words) {
    bool does = question->detail.p && strstr(question->detail.p, words);
    if (!does) print_message("it says: %.*s\n", SLICE_ARG(question->detail));
    return does;
}

/* What the fake registry answers to a client of its own. */
#define ASSERT_ANSWER(repository, expected, expected_status, words)                                                              \
    do {                                                                                                                         \
        struct registry *client_ = new_client(NULL);                                                                             \
        struct registry_question question_ = ask_one(client_, fake.host, repository);                                            \
        assert_int_equal(question_.answer, expected);                                                                            \
        assert_int_equal(question_.status, expected_status);                                                                     \
        assert_true(says(&question_, words));                                                                                    \
        free_client(client_);                                                                                                    \
    } while (0)

/* ---- what the fake registry was asked ---- */

static void count_done(struct http_request *request) { (void)request; }

static const struct json *fake_get(const char *path) {
    struct error error = {0};
    struct http *http = http_new(NULL, 4, &error);
    struct http_request request = {.plain_http = true, .allow_private = true, .body_max = 1 << 20, .done = count_done};
    assert_non_null(http);
    assert_int_equal(http_start(http, &request, arena_print(&arena, "http://%s%s", fake.host, path).p, NULL, 0, 5000), 0);
    for (int i = 0; request.outcome == HTTP_PENDING && i < 1000; i++) http_run(http, 100);
    assert_int_equal(request.outcome, HTTP_ANSWERED);
    struct slice body = arena_copy(&arena, buf_slice(&request.body));
    http_reset(http, &request);
    http_free(http);
    const struct json *root = NULL;
    if (body.n) assert_int_equal(json_read_strict(&arena, body, NULL, &root, &error), 0);
    return root;
}

static void forget(void) { (void)fake_get("/_forget"); }

static int64_t asked(const char *what) {
    const struct json *counts = fake_get("/_counts"), *count = json_get(counts, what);
    int64_t n = 0;
    if (count) assert_true(json_int64(count, &n));
    return n;
}

static int64_t asked_for(const char *repository) {
    return asked(arena_print(&arena, "HEAD /v2/%s/manifests/" DIGEST_A, repository).p);
}

/* Connections since `forget`, without those of `forget` and `asked` themselves. */
static int64_t connections(void) { return asked("connections") - 1; }

/* ---- the program ---- */

static int start_all(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    start_fake(&fake, 0, NULL, NULL);
    return 0;
}

static int stop_all(void **state) {
    (void)state;
    char command[100];
    stop_server(&fake);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
