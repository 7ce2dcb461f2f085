/* The registry client against a registry that misbehaves (fake_registry.py) and against a real docker-registry.
 * time-limit: 180 */
#include "http.h"
#include "json.h"
#include "registry.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static unsigned free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

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

static void rest_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

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

/* ---- answers ---- */

static void found_is_remembered_and_keeps_its_time(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    forget();
    struct registry_question question = ask_one(client, fake.host, "good/app");
    assert_int_equal(question.answer, REGISTRY_FOUND);
    assert_int_equal(question.status, 200);
    assert_true(slice_is(question.found_digest, DIGEST_A));
    assert_null(question.detail.p);
    assert_int_equal(question.checked_at, NOW);
    question = question_for(fake.host, "good/app", DIGEST_A);
    client->operations->ask(client, &arena, &question, 1, NOW + 1000000, 500);
    assert_int_equal(question.answer, REGISTRY_FOUND);
    assert_int_equal(question.status, 200);
    assert_true(slice_is(question.found_digest, DIGEST_A));
    assert_int_equal(question.checked_at, NOW);
    assert_int_equal(asked_for("good/app"), 1);
    free_client(client);
}

static void equal_questions_are_asked_once(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    struct registry_question questions[6];
    for (size_t i = 0; i < 6; i++) questions[i] = question_for(fake.host, i % 2 ? "good/one" : "missing/two", DIGEST_A);
    forget();
    ask(client, questions, 6, 5000);
    for (size_t i = 0; i < 6; i++) assert_int_equal(questions[i].answer, i % 2 ? REGISTRY_FOUND : REGISTRY_MISSING);
    assert_int_equal(asked_for("good/one"), 1);
    assert_int_equal(asked_for("missing/two"), 1);
    free_client(client);
}

static void missing_is_never_remembered(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    forget();
    for (int i = 0; i < 2; i++) {
        struct registry_question question = ask_one(client, fake.host, "missing/app");
        assert_int_equal(question.answer, REGISTRY_MISSING);
        assert_int_equal(question.status, 404);
    }
    assert_int_equal(asked_for("missing/app"), 2);
    free_client(client);
}

static void every_manifest_type_is_accepted(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    assert_int_equal(ask_one(client, fake.host, "checks-accept/app").answer, REGISTRY_FOUND);
    free_client(client);
}

static void only_a_manifest_under_this_digest_is_found(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    struct registry_question question = ask_one(client, fake.host, "no-digest/app");
    assert_int_equal(question.answer, REGISTRY_FOUND);
    assert_null(question.found_digest.p);
    question = ask_one(client, fake.host, "wrong-digest/app");
    assert_int_equal(question.answer, REGISTRY_MISMATCH);
    assert_true(slice_is(question.found_digest, digest_number(0)));
    assert_true(says(&question, "answered with sha256:0000"));
    free_client(client);
    ASSERT_ANSWER("bad-digest/app", REGISTRY_UNREACHABLE, 200, "does not answer as a registry does");
    ASSERT_ANSWER("web-page/app", REGISTRY_UNREACHABLE, 200, "does not answer as a registry does");
}

static void refusals_and_failures_are_told_apart(void **state) {
    (void)state;
    ASSERT_ANSWER("denied/app", REGISTRY_DENIED, 403, "does not let anybody without credentials read denied/app");
    ASSERT_ANSWER("error/app", REGISTRY_UNREACHABLE, 500, "status 500");
    ASSERT_ANSWER("strange-auth/app", REGISTRY_DENIED, 401, "neither Bearer nor Basic");
    struct registry *client = new_client(NULL);
    struct registry_question question = ask_one(client, fake.host, "resting/app");
    assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
    assert_int_equal(question.again_at, NOW + 20 * (instant)1000000);
    free_client(client);
}

static void redirects_are_not_followed(void **state) {
    (void)state;
    forget();
    ASSERT_ANSWER("redirect/app", REGISTRY_UNREACHABLE, 307, "not followed");
    assert_int_equal(asked_for("good/app"), 0);
}

static void what_is_no_http_is_no_answer(void **state) {
    (void)state;
    ASSERT_ANSWER("garbage/app", REGISTRY_UNREACHABLE, 0, "gave no answer");
    ASSERT_ANSWER("hangs-up/app", REGISTRY_UNREACHABLE, 0, "gave no answer");
    ASSERT_ANSWER("endless-headers/app", REGISTRY_UNREACHABLE, 0, "larger than any that is right");
    ASSERT_ANSWER("endless-continue/app", REGISTRY_UNREACHABLE, 0, "larger than any that is right");
}

static void a_body_behind_a_head_is_not_the_next_answer(void **state) {
    (void)state;
    struct registry *client = new_client(&(struct registry_options){.per_registry = 1, .total = 1});
    struct registry_question questions[] = {question_for(fake.host, "body-to-head/app", DIGEST_A),
                                            question_for(fake.host, "good/next", DIGEST_A)};
    ask(client, questions, 2, 5000);
    assert_int_equal(questions[0].answer, REGISTRY_FOUND);
    assert_int_equal(questions[1].answer, REGISTRY_FOUND);
    free_client(client);
}

static void references_that_would_change_the_url_are_not_asked(void **state) {
    (void)state;
    static const char *const bad[] = {"",     "../v2/good", "good?x",   "good#x", "good/../../x",
                                      "GOOD", "good app",   "good%2fx", "/good"};
    struct registry *client = new_client(NULL);
    struct registry_question question;
    forget();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ask_one(client, fake.host, bad[i]).answer, REGISTRY_UNREACHABLE);
    question = question_for(fake.host, "good/app", "sha256:../../x");
    ask(client, &question, 1, 5000);
    assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
    question = question_for(arena_print(&arena, "user@%s", fake.host).p, "good/app", DIGEST_A);
    ask(client, &question, 1, 5000);
    assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
    assert_true(says(&question, "what no registry's name may hold"));
    assert_int_equal(connections(), 0);
    free_client(client);
}

/* ---- time ---- */

static void a_slow_registry_harms_no_neighbour(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    struct registry_question questions[] = {
        question_for(fake.host, "slow/app", DIGEST_A), question_for(fake.host, "good/app", DIGEST_A),
        question_for(fake.by_name, "dead/app", DIGEST_A), question_for(fake.by_name, "missing/app", DIGEST_A)};
    ask(client, questions, 4, 1000);
    assert_int_equal(questions[0].answer, REGISTRY_UNREACHABLE);
    assert_true(says(&questions[0], "did not answer within 1000 ms"));
    assert_int_equal(questions[1].answer, REGISTRY_FOUND);
    assert_int_equal(questions[2].answer, REGISTRY_UNREACHABLE);
    assert_int_equal(questions[3].answer, REGISTRY_MISSING);
    free_client(client);
}

/* With requests thrown away at the end of each call, a registry that needs longer than one call would never be reached. */
static void what_is_found_after_the_call_is_remembered(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    forget();
    assert_int_equal(ask_within(client, fake.host, "slow/late", 1000).answer, REGISTRY_UNREACHABLE);
    rest_ms(1000);
    assert_int_equal(ask_one(client, fake.host, "slow/late").answer, REGISTRY_FOUND);
    assert_int_equal(asked_for("slow/late"), 1);
    free_client(client);
}

/* A 404 to an earlier call must not refuse a promotion that came after the push. */
static void what_was_missing_in_an_earlier_call_is_asked_again(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    forget();
    assert_int_equal(ask_within(client, fake.host, "slow-missing/app", 1000).answer, REGISTRY_UNREACHABLE);
    rest_ms(1000);
    assert_int_equal(ask_one(client, fake.host, "slow-missing/app").answer, REGISTRY_FOUND);
    assert_int_equal(asked_for("slow-missing/app"), 2);
    free_client(client);
}

static void a_slow_token_is_there_for_the_next_call(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    forget();
    assert_int_equal(ask_within(client, fake.host, "bearer-slow/app", 1000).answer, REGISTRY_UNREACHABLE);
    rest_ms(1000);
    assert_int_equal(ask_one(client, fake.host, "bearer-slow/app").answer, REGISTRY_FOUND);
    assert_int_equal(asked("GET /token-slow?service=fake&scope=repository:bearer-slow/app:pull"), 1);
    free_client(client);
}

static void five_time_outs_open_the_breaker(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    struct registry_question question;
    for (unsigned i = 0; i < 5; i++) {
        question = question_for(fake.host, "dead/app", digest_number(i));
        ask(client, &question, 1, 60);
        assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
    }
    forget();
    int64_t began = clock_ms();
    question = ask_one(client, fake.host, "good/app");
    assert_in_range(clock_ms() - began, 0, 500);
    assert_int_equal(question.answer, REGISTRY_BUSY);
    assert_int_equal(question.status, 0);
    assert_in_range(question.again_at, NOW + 1000000, NOW + 5000000);
    assert_true(says(&question, "keeps failing (no answer within 60 ms)"));
    assert_int_equal(asked_for("good/app"), 0);
    assert_int_equal(ask_one(client, fake.by_name, "good/app").answer, REGISTRY_FOUND); /* another one is asked */
    free_client(client);
}

/* Everybody else on the lane waits for each call: only the first one may take its whole time. */
static void a_registry_that_did_not_answer_is_waited_for_less(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    struct registry_question questions[2];
    int64_t began = clock_ms();
    assert_int_equal(ask_within(client, fake.host, "dead/app", 1500).answer, REGISTRY_UNREACHABLE);
    assert_in_range(clock_ms() - began, 1400, 3000);
    began = clock_ms();
    struct registry_question again = ask_within(client, fake.host, "dead/app", 5000);
    assert_in_range(clock_ms() - began, 0, 3000);
    assert_int_equal(again.answer, REGISTRY_UNREACHABLE);
    assert_true(says(&again, "did not answer within 500 ms"));
    /* Another one has its time, and is not told anything else for being asked beside it. */
    questions[0] = question_for(fake.host, "dead/app", DIGEST_A);
    questions[1] = question_for(fake.by_name, "slow/beside", DIGEST_A);
    ask(client, questions, 2, 5000);
    assert_int_equal(questions[1].answer, REGISTRY_FOUND);
    /* An answer ends the doubt. */
    assert_int_equal(ask_one(client, fake.host, "good/app").answer, REGISTRY_FOUND);
    assert_int_equal(ask_one(client, fake.host, "slow/after").answer, REGISTRY_FOUND);
    free_client(client);
}

static void a_registry_that_comes_back_is_asked_again(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    struct server late;
    unsigned port = free_port();
    char host[32];
    (void)snprintf(host, sizeof host, "127.0.0.1:%u", port);
    struct registry_question question;
    for (int i = 0; i < 5; i++) {
        question = ask_one(client, host, "good/app");
        assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
        assert_true(says(&question, "gave no answer"));
    }
    assert_int_equal(ask_one(client, host, "good/app").answer, REGISTRY_BUSY);
    start_fake(&late, port, NULL, NULL);
    rest_ms(5100);
    struct registry_question questions[20];
    for (unsigned i = 0; i < 20; i++) questions[i] = question_for(host, "good/app", digest_number(i));
    ask(client, questions, 20, 5000);
    for (unsigned i = 0; i < 20; i++) assert_int_equal(questions[i].answer, REGISTRY_FOUND);
    stop_server(&late);
    free_client(client);
}

/* Each change of a code is a new answer to whoever waits: only the one question that is asked may change its own. */
static void while_one_question_tries_the_others_stay_busy(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    struct registry_question questions[20];
    char host[32];
    (void)snprintf(host, sizeof host, "127.0.0.1:%u", free_port());
    for (int i = 0; i < 5; i++) assert_int_equal(ask_one(client, host, "good/app").answer, REGISTRY_UNREACHABLE);
    assert_int_equal(ask_one(client, host, "good/app").answer, REGISTRY_BUSY);
    rest_ms(5100);
    unsigned busy = 0, unreachable = 0;
    for (unsigned i = 0; i < 20; i++) questions[i] = question_for(host, "good/app", digest_number(i));
    ask(client, questions, 20, 5000);
    for (unsigned i = 0; i < 20; i++) {
        busy += questions[i].answer == REGISTRY_BUSY;
        unreachable += questions[i].answer == REGISTRY_UNREACHABLE;
    }
    assert_int_equal(unreachable, 1);
    assert_int_equal(busy, 19);
    free_client(client);
}

static void a_registry_that_limits_the_rate_is_left_alone(void **state) {
    (void)state;
    static const struct {
        const char *repository;
        int seconds;
    } cases[] = {{"busy/app", 7}, {"busy-until/app", 11}, {"busy-unsaid/app", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct registry *client = new_client(NULL);
        struct registry_question question = ask_one(client, fake.host, cases[i].repository);
        assert_int_equal(question.answer, REGISTRY_BUSY);
        assert_int_equal(question.status, 429);
        assert_int_equal(question.again_at, NOW + cases[i].seconds * (instant)1000000);
        assert_true(says(&question, "limits the rate"));
        if (cases[i].seconds == 1) { /* may be over already */
            free_client(client);
            continue;
        }
        forget();
        question = ask_one(client, fake.host, "good/other");
        assert_int_equal(question.answer, REGISTRY_BUSY);
        assert_in_range(question.again_at, NOW + (instant)1000000, NOW + cases[i].seconds * (instant)1000000);
        assert_int_equal(asked_for("good/other"), 0);
        assert_int_equal(ask_one(client, fake.by_name, "good/other").answer, REGISTRY_FOUND);
        free_client(client);
    }
}

/* ---- many at once ---- */

static void connections_are_kept_and_limited(void **state) {
    (void)state;
    enum { COUNT = 200 };
    struct registry *client = new_client(&(struct registry_options){.per_registry = 4, .total = 64});
    struct registry_question questions[COUNT];
    forget();
    for (unsigned call = 0; call < 3; call++) {
        for (unsigned i = 0; i < COUNT; i++) questions[i] = question_for(fake.host, "good/app", digest_number(call * COUNT + i));
        ask(client, questions, COUNT, 10000);
        for (unsigned i = 0; i < COUNT; i++) assert_int_equal(questions[i].answer, REGISTRY_FOUND);
    }
    assert_in_range(connections(), 1, 4);
    free_client(client);
}

static void a_dead_registry_cannot_take_all_the_requests(void **state) {
    (void)state;
    enum { COUNT = 40 };
    struct registry *client = new_client(&(struct registry_options){.per_registry = 16, .total = 8});
    struct registry_question questions[2 * COUNT];
    for (unsigned call = 0; call < 2; call++) {
        for (unsigned i = 0; i < COUNT; i++) {
            questions[i] = question_for(fake.by_name, "good/app", digest_number(call * COUNT + i));
            questions[COUNT + i] = question_for(fake.host, "dead/app", digest_number(i));
        }
        ask(client, questions, (size_t)2 * COUNT, 1500);
        for (unsigned i = 0; i < COUNT; i++) {
            assert_int_equal(questions[i].answer, REGISTRY_FOUND);
            assert_int_equal(questions[COUNT + i].answer, REGISTRY_UNREACHABLE);
        }
        assert_true(says(&questions[2 * COUNT - 1], "other questions to it came first"));
    }
    free_client(client);
}

/* ---- authentication ---- */

static const char *write_file(const char *name, const char *text) {
    char *path = arena_alloc(&arena, 256);
    (void)snprintf(path, 256, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static const char *docker_config(const char *auth) {
    return write_file("config.json", arena_print(&arena, "{\"auths\":{\"%s\":{\"auth\":\"%s\"}}}", fake.host, auth).p);
}

static void anonymous_tokens_are_fetched_once_a_repository(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    struct registry_question questions[20];
    for (unsigned i = 0; i < 20; i++) questions[i] = question_for(fake.host, "bearer/app", digest_number(i));
    forget();
    ask(client, questions, 20, 5000);
    for (unsigned i = 0; i < 20; i++) assert_int_equal(questions[i].answer, REGISTRY_FOUND);
    assert_int_equal(asked("GET /token?service=fake&scope=repository:bearer/app:pull"), 1);
    forget(); /* now that it is known to want tokens, it is not asked without one */
    assert_int_equal(ask_one(client, fake.host, "bearer/second").answer, REGISTRY_FOUND);
    assert_int_equal(asked_for("bearer/second"), 1);
    assert_int_equal(asked("GET /token?service=fake&scope=repository:bearer/second:pull"), 1);
    free_client(client);
}

static void a_token_that_is_no_longer_taken_is_fetched_again(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    for (unsigned i = 0; i < 3; i++) {
        struct registry_question question = question_for(fake.host, "bearer-once/app", digest_number(i));
        ask(client, &question, 1, 5000);
        assert_int_equal(question.answer, REGISTRY_FOUND);
    }
    free_client(client);
}

static void a_registry_may_have_several_realms(void **state) {
    (void)state;
    static const char *const repositories[] = {"bearer/app", "basic/app", "bearer-private/app", "good/app", "bearer/again"};
    struct registry *client = new_client(&(struct registry_options){.docker_config = docker_config("dXNlcjpwYXNz")});
    for (size_t i = 0; i < sizeof repositories / sizeof *repositories; i++)
        assert_int_equal(ask_one(client, fake.host, repositories[i]).answer, REGISTRY_FOUND);
    free_client(client);
}

static void credentials_are_used_where_they_are_wanted(void **state) {
    (void)state;
    struct registry_options good = {.docker_config = docker_config("dXNlcjpwYXNz")};
    struct registry *client = new_client(&good);
    assert_int_equal(ask_one(client, fake.host, "bearer-private/app").answer, REGISTRY_FOUND);
    assert_int_equal(ask_one(client, fake.host, "basic/app").answer, REGISTRY_FOUND);
    struct registry_question question = ask_one(client, fake.by_name, "basic/app"); /* they are another registry's */
    assert_int_equal(question.answer, REGISTRY_DENIED);
    assert_true(says(&question, "wants a user and a password; add it to `auths` of registry.docker-config"));
    free_client(client);

    struct registry_options wrong = {.docker_config = docker_config("d3Jvbmc6cGFzcw==")};
    client = new_client(&wrong);
    question = ask_one(client, fake.host, "basic/app");
    assert_int_equal(question.answer, REGISTRY_DENIED);
    assert_int_equal(question.status, 401);
    assert_true(says(&question, "refuses the credentials that registry.docker-config has for it"));
    question = ask_one(client, fake.host, "bearer-private/app");
    assert_int_equal(question.answer, REGISTRY_DENIED);
    assert_true(says(&question, "the token server"));
    free_client(client);
}

static void bad_token_servers_end_in_a_clear_answer(void **state) {
    (void)state;
    forget();
    ASSERT_ANSWER("bearer-endless/app", REGISTRY_UNREACHABLE, 0, "larger than any that is right");
    assert_in_range(asked("endless bytes"), 0, 16 << 20); /* what was on its way; without a limit there are 130 MB */
    ASSERT_ANSWER("bearer-garbage/app", REGISTRY_UNREACHABLE, 200, "gave no token");
    ASSERT_ANSWER("bearer-refused/app", REGISTRY_DENIED, 401, "refuses to give a token to anybody");
    ASSERT_ANSWER("bearer-redirect/app", REGISTRY_UNREACHABLE, 302, "gave no token");
    ASSERT_ANSWER("bearer-never/app", REGISTRY_DENIED, 401, "refuses an anonymous token");
    struct registry *client = new_client(NULL);
    struct registry_question question = ask_one(client, fake.host, "bearer-busy/app");
    assert_int_equal(question.answer, REGISTRY_BUSY);
    assert_int_equal(question.again_at, NOW + 9 * (instant)1000000);
    free_client(client);
}

static void tokens_are_not_fetched_from_strangers(void **state) {
    (void)state;
    ASSERT_ANSWER("bearer-elsewhere/app", REGISTRY_DENIED, 401, "localhost.evil.example, which is not its own host");
    forget();
    ASSERT_ANSWER("bearer-other/app", REGISTRY_DENIED, 401, "is not its own host");
    struct registry_options named = {.token_realms = fake.by_name}; /* but that is over plain HTTP, and not its own host */
    struct registry *client = new_client(&named);
    assert_int_equal(ask_one(client, fake.host, "bearer-other/app").answer, REGISTRY_DENIED);
    free_client(client);
    assert_int_equal(asked("GET /token?service=fake&scope=repository:bearer-other/app:pull"), 0);
}

static void an_unusable_docker_config_is_refused_at_the_start(void **state) {
    (void)state;
    struct error error = {0};
    assert_null(registry_http_new(&(struct registry_options){.docker_config = "/nonexistent/config.json"}, &error));
    assert_string_equal(error.code, "docker-config-invalid");
    error = (struct error){0};
    assert_null(registry_http_new(&(struct registry_options){.ca_bundle = "/nonexistent/ca.pem"}, &error));
    assert_string_equal(error.code, "ca-bundle-invalid");
}

/* ---- addresses and TLS ---- */

static void private_addresses_are_not_contacted_unless_allowed(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    forget();
    const char *const hosts[] = {fake.host, fake.by_name, arena_print(&arena, "[::1]:%u", fake.port).p,
                                 arena_print(&arena, "[::ffff:127.0.0.1]:%u", fake.port).p};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct registry_question question = question_for(hosts[i], "good/app", DIGEST_A);
        question.allow_private = false;
        ask(client, &question, 1, 5000);
        assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
        assert_true(says(&question, "its address is not a public one"));
    }
    assert_int_equal(connections(), 0);
    /* neither over a connection that a question with that right has opened, nor from what it has found */
    assert_int_equal(ask_one(client, fake.host, "good/app").answer, REGISTRY_FOUND);
    struct registry_question question = question_for(fake.host, "good/app", DIGEST_A);
    question.allow_private = false;
    ask(client, &question, 1, 5000);
    assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
    assert_int_equal(asked_for("good/app"), 1);
    free_client(client);
}

static void unspecified_addresses_are_never_contacted(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    struct registry_question question = ask_one(client, arena_print(&arena, "0.0.0.0:%u", fake.port).p, "good/app");
    assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
    assert_true(says(&question, "its address is not a public one"));
    free_client(client);
}

static void https_needs_a_certificate_that_checks(void **state) {
    (void)state;
    struct server tls;
    char certificate[300], key[300], command[1200];
    (void)snprintf(certificate, sizeof certificate, "%s/cert.pem", folder);
    (void)snprintf(key, sizeof key, "%s/key.pem", folder);
    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=fake -addext "
                   "subjectAltName=IP:127.0.0.1 -keyout %s -out %s 2>/dev/null",
                   key, certificate);
    assert_int_equal(system(command), 0);
    start_fake(&tls, 0, certificate, key);

    struct registry_question question = question_for(tls.host, "good/app", DIGEST_A);
    question.plain_http = false;
    struct registry *client = new_client(NULL);
    ask(client, &question, 1, 5000);
    assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
    assert_true(says(&question, "certificate"));
    free_client(client);

    client = new_client(&(struct registry_options){.ca_bundle = certificate});
    question = question_for(tls.host, "bearer/app", DIGEST_A);
    question.plain_http = false;
    ask(client, &question, 1, 5000);
    assert_int_equal(question.answer, REGISTRY_FOUND);
    question = question_for(tls.by_name, "good/app", DIGEST_A); /* a name that is not in the certificate */
    question.plain_http = false;
    ask(client, &question, 1, 5000);
    assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
    assert_true(says(&question, "certificate"));
    /* and https stays https towards a server that only speaks http */
    forget();
    question = question_for(fake.host, "good/app", DIGEST_A);
    question.plain_http = false;
    ask(client, &question, 1, 5000);
    assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
    assert_int_equal(asked_for("good/app"), 0);
    free_client(client);
    stop_server(&tls);
}

/* ---- a real one ---- */

static void start_docker_registry(struct server *server, unsigned port) {
    const char *config = write_file("registry.yml", arena_print(&arena,
                                                                "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                                                                "storage: {filesystem: {rootdirectory: \"%s/data\"}}\n"
                                                                "http: {addr: \"127.0.0.1:%u\"}\n",
                                                                folder, port)
                                                        .p);
    int in[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    server->in = in[1];
    server->port = port;
    (void)snprintf(server->host, sizeof server->host, "127.0.0.1:%u", port);
    server->pid = fork();
    if (server->pid == 0) {
        int log = open("/dev/null", O_WRONLY | O_CLOEXEC); /* every 404 is an error to it */
        dup2(log, 1);
        dup2(log, 2);
        execlp("docker-registry", "docker-registry", "serve", config, NULL);
        _exit(127);
    }
    close(in[0]);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 200; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int status = connect(fd, (struct sockaddr *)&address, sizeof address);
        close(fd);
        if (status == 0) return;
        rest_ms(50);
    }
    fail_msg("docker-registry does not listen on port %u", port);
}

/* Pushes an image that has `text` in it; its digest. */
static const char *push_image(const struct server *server, const char *repository, const char *text) {
    char command[600], *line = arena_alloc(&arena, 400);
    (void)snprintf(command, sizeof command, SLUICE_SOURCE "/deploy/push-image.sh %s/%s:latest %s", server->host, repository,
                   text);
    FILE *pipe = popen(command, "re");
    assert_non_null(pipe);
    assert_non_null(fgets(line, 400, pipe));
    assert_int_equal(pclose(pipe), 0);
    line[strcspn(line, "\n")] = '\0';
    assert_non_null(strchr(line, '@'));
    return strchr(line, '@') + 1;
}

static enum registry_answer ask_for(struct registry *client, const struct server *server, const char *repository,
                                    const char *digest) {
    struct registry_question question = question_for(server->host, repository, digest);
    ask(client, &question, 1, 5000);
    return question.answer;
}

static void a_real_registry_is_asked_by_digest(void **state) {
    (void)state;
    struct server server;
    unsigned port = free_port();
    start_docker_registry(&server, port);
    struct registry *client = new_client(NULL);
    const char *one = push_image(&server, "acme/shop", "one"), *two = push_image(&server, "acme/shop", "two");
    assert_string_not_equal(one, two);
    assert_int_equal(ask_for(client, &server, "acme/shop", one), REGISTRY_FOUND);
    assert_int_equal(ask_for(client, &server, "acme/shop", DIGEST_A), REGISTRY_MISSING);
    assert_int_equal(ask_for(client, &server, "acme/other", one), REGISTRY_MISSING);

    /* down and back, over connections that have died meanwhile */
    stop_server(&server);
    assert_int_equal(ask_for(client, &server, "acme/shop", two), REGISTRY_UNREACHABLE);
    assert_int_equal(ask_for(client, &server, "acme/shop", one), REGISTRY_FOUND); /* remembered */
    start_docker_registry(&server, port);
    assert_int_equal(ask_for(client, &server, "acme/shop", two), REGISTRY_FOUND);
    free_client(client);
    stop_server(&server);
}

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

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(found_is_remembered_and_keeps_its_time),
        TEST(equal_questions_are_asked_once),
        TEST(missing_is_never_remembered),
        TEST(every_manifest_type_is_accepted),
        TEST(only_a_manifest_under_this_digest_is_found),
        TEST(refusals_and_failures_are_told_apart),
        TEST(redirects_are_not_followed),
        TEST(what_is_no_http_is_no_answer),
        TEST(a_body_behind_a_head_is_not_the_next_answer),
        TEST(references_that_would_change_the_url_are_not_asked),
        TEST(a_slow_registry_harms_no_neighbour),
        TEST(what_is_found_after_the_call_is_remembered),
        TEST(what_was_missing_in_an_earlier_call_is_asked_again),
        TEST(a_slow_token_is_there_for_the_next_call),
        TEST(five_time_outs_open_the_breaker),
        TEST(a_registry_that_did_not_answer_is_waited_for_less),
        TEST(while_one_question_tries_the_others_stay_busy),
        TEST(a_registry_that_comes_back_is_asked_again),
        TEST(a_registry_that_limits_the_rate_is_left_alone),
        TEST(connections_are_kept_and_limited),
        TEST(a_dead_registry_cannot_take_all_the_requests),
        TEST(anonymous_tokens_are_fetched_once_a_repository),
        TEST(a_token_that_is_no_longer_taken_is_fetched_again),
        TEST(a_registry_may_have_several_realms),
        TEST(credentials_are_used_where_they_are_wanted),
        TEST(bad_token_servers_end_in_a_clear_answer),
        TEST(tokens_are_not_fetched_from_strangers),
        TEST(an_unusable_docker_config_is_refused_at_the_start),
        TEST(private_addresses_are_not_contacted_unless_allowed),
        TEST(unspecified_addresses_are_never_contacted),
        TEST(https_needs_a_certificate_that_checks),
        TEST(a_real_registry_is_asked_by_digest),
    };
    return cmocka_run_group_tests_name("registry", tests, start_all, stop_all);
}
