/* What the registry client makes of a registry that misbehaves (fake_registry.py) and of a real docker-registry, and when it
 * asks. time-limit: 180 */
#include "registry_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static unsigned free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void rest_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

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

/* As a lane does between calls, until nothing is asked any more. */
static void tend(struct registry *client, int64_t most_ms) {
    for (int64_t until = clock_ms() + most_ms; client->operations->tend(client) && clock_ms() < until;) rest_ms(5);
}

/* A registry in doubt is waited for a moment only: it answers in time, or after the call. */
static struct registry_question ask_in_doubt(struct registry *client, const char *host, const char *repository) {
    (void)ask_one(client, host, repository);
    tend(client, 2000);
    return ask_one(client, host, repository);
}

/* With requests thrown away at the end of each call, a registry that needs longer than one call would never be reached. */
static void what_is_found_after_the_call_is_remembered(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    forget();
    assert_int_equal(ask_within(client, fake.host, "slow/late", 1000).answer, REGISTRY_UNREACHABLE);
    tend(client, 5000);
    assert_int_equal(ask_one(client, fake.host, "slow/late").answer, REGISTRY_FOUND);
    assert_int_equal(asked_for("slow/late"), 1);
    free_client(client);
}

/* Whoever reads checkedAt knows the store's clock only. */
static void what_was_found_is_asked_again_when_the_stores_clock_was_set(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    static const struct {
        instant after;
        int64_t asked;
    } calls[] = {{0, 1}, {1000000, 1}, {299 * (instant)1000000, 1}, {301 * (instant)1000000, 2}, {300 * (instant)1000000, 3}};
    forget();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct registry_question question = question_for(fake.host, "good/clock", DIGEST_A);
        client->operations->ask(client, &arena, &question, 1, NOW + calls[i].after, 5000);
        assert_int_equal(question.answer, REGISTRY_FOUND);
        assert_int_equal(asked_for("good/clock"), calls[i].asked);
    }
    free_client(client);
}

/* A 404 to an earlier call must not refuse a promotion that came after the push. */
static void what_was_missing_in_an_earlier_call_is_asked_again(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    forget();
    assert_int_equal(ask_within(client, fake.host, "slow-missing/app", 1000).answer, REGISTRY_UNREACHABLE);
    rest_ms(1000);
    assert_int_equal(ask_in_doubt(client, fake.host, "slow-missing/app").answer, REGISTRY_FOUND);
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
        if (i < 4) rest_ms(60); /* silence counts once in that time */
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
    assert_in_range(clock_ms() - began, 0, 2000);
    assert_int_equal(again.answer, REGISTRY_UNREACHABLE);
    assert_true(says(&again, "did not answer the last time (no answer within 1500 ms), nor in time since"));
    /* Another one has its time, and is not told anything else for being asked beside it. */
    questions[0] = question_for(fake.host, "dead/app", DIGEST_A);
    questions[1] = question_for(fake.by_name, "slow/beside", DIGEST_A);
    ask(client, questions, 2, 5000);
    assert_int_equal(questions[1].answer, REGISTRY_FOUND);
    /* An answer ends the doubt. */
    assert_int_equal(ask_in_doubt(client, fake.host, "good/app").answer, REGISTRY_FOUND);
    assert_int_equal(ask_one(client, fake.host, "slow/after").answer, REGISTRY_FOUND);
    free_client(client);
}

/* What still hangs from an earlier call shows that it does; a registry that failed otherwise may be back at any moment. */
static void a_registry_in_doubt_has_a_moment_if_nothing_hangs(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    struct registry_question question = ask_one(client, fake.host, "hangs-up/app");
    assert_true(says(&question, "gave no answer"));
    question = ask_within(client, fake.host, "dead/app", 5000);
    assert_true(says(&question, "), nor within 10 ms now"));
    question = ask_within(client, fake.host, "dead/app", 5000);
    assert_true(says(&question, "), nor in time since"));
    /* What is asked while another question hangs is heard after the call. */
    assert_int_equal(ask_within(client, fake.host, "good/beside-hanging", 5000).answer, REGISTRY_UNREACHABLE);
    for (int64_t until = clock_ms() + 5000; clock_ms() < until && !asked_for("good/beside-hanging");) {
        (void)client->operations->tend(client);
        rest_ms(5);
    }
    tend(client, 100);
    assert_int_equal(ask_within(client, fake.host, "good/beside-hanging", 5000).answer, REGISTRY_FOUND);
    free_client(client);
}

/* Calls that come one upon the other do not make its silence any longer. */
static void silence_is_counted_by_time(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    assert_int_equal(ask_within(client, fake.host, "dead/app", 1000).answer, REGISTRY_UNREACHABLE);
    for (int i = 0; i < 8; i++) assert_int_equal(ask_within(client, fake.host, "dead/app", 1000).answer, REGISTRY_UNREACHABLE);
    free_client(client);
}

static void one_late_answer_among_others_makes_no_doubt(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    struct registry_question questions[] = {question_for(fake.host, "good/mixed", DIGEST_A),
                                            question_for(fake.host, "slow/mixed", DIGEST_A)};
    ask(client, questions, 2, 500);
    assert_int_equal(questions[0].answer, REGISTRY_FOUND);
    assert_int_equal(questions[1].answer, REGISTRY_UNREACHABLE);
    tend(client, 5000);
    assert_int_equal(ask_within(client, fake.host, "slow/later", 5000).answer, REGISTRY_FOUND); /* it has its time */
    free_client(client);
}

/* A dead registry has taken all that may go on after a call; another one, cut short for a doubt, is heard all the same. */
static void a_registry_in_doubt_is_heard_beside_a_dead_one(void **state) {
    (void)state;
    struct registry *client = new_client(&(struct registry_options){.per_registry = 4, .total = 4});
    assert_int_equal(ask_within(client, fake.host, "dead/app", 100).answer, REGISTRY_UNREACHABLE);
    assert_int_equal(ask_within(client, fake.by_name, "slow/first", 100).answer, REGISTRY_UNREACHABLE);
    assert_int_equal(ask_within(client, fake.by_name, "slow/second", 100).answer, REGISTRY_UNREACHABLE);
    rest_ms(3000);
    assert_int_equal(ask_within(client, fake.by_name, "slow/second", 100).answer, REGISTRY_FOUND);
    free_client(client);
}

/* It would hold up every call for all of its time. */
static void a_registry_that_answers_too_late_stays_in_doubt(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    assert_int_equal(ask_within(client, fake.host, "slow/one", 500).answer, REGISTRY_UNREACHABLE);
    tend(client, 5000);
    assert_int_equal(ask_within(client, fake.host, "slow/one", 500).answer, REGISTRY_FOUND);
    int64_t began = clock_ms();
    assert_int_equal(ask_within(client, fake.host, "slow/two", 500).answer, REGISTRY_UNREACHABLE);
    assert_in_range(clock_ms() - began, 0, 400);
    tend(client, 5000);
    assert_int_equal(ask_within(client, fake.host, "slow/two", 500).answer, REGISTRY_FOUND);
    free_client(client);
}

/* Only what leaves no room for others would hide it. */
static void requests_that_hang_do_not_hide_a_registry(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    for (int i = 0; i < 5; i++) {
        struct registry_question question = question_for(fake.host, "dead/app", digest_number((unsigned)i));
        ask(client, &question, 1, 2000);
        assert_int_equal(question.answer, REGISTRY_UNREACHABLE);
    }
    assert_int_equal(ask_one(client, fake.host, "slow/beside-hanging").answer, REGISTRY_UNREACHABLE);
    tend(client, 2500);
    assert_int_equal(ask_one(client, fake.host, "slow/beside-hanging").answer, REGISTRY_FOUND);
    free_client(client);
}

static void a_limit_of_the_rate_is_heeded_after_the_call(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    assert_int_equal(ask_within(client, fake.host, "slow-busy/app", 500).answer, REGISTRY_UNREACHABLE);
    tend(client, 5000);
    assert_int_equal(ask_one(client, fake.host, "good/app-after-busy").answer, REGISTRY_BUSY);
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
    assert_int_equal(ask_in_doubt(client, host, "good/app").answer, REGISTRY_FOUND);
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

/* What was long ago is no reason to wait longer. */
static void limits_of_the_rate_count_in_a_row_only(void **state) {
    (void)state;
    struct registry *client = new_client(NULL);
    for (int seconds = 1; seconds <= 2; seconds++) {
        struct registry_question question = ask_one(client, fake.host, "busy-unsaid/app");
        assert_int_equal(question.again_at, NOW + seconds * (instant)1000000);
        rest_ms(seconds * 1000 + 100);
    }
    assert_int_equal(ask_one(client, fake.host, "good/app").answer, REGISTRY_FOUND);
    assert_int_equal(ask_one(client, fake.host, "busy-unsaid/app").again_at, NOW + (instant)1000000);
    free_client(client);
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
        assert_true(says(&questions[2 * COUNT - 1], call ? "did not answer the last time" : "other questions to it came first"));
    }
    free_client(client);
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
    (void)ask_for(client, &server, "acme/shop", two);
    tend(client, 2000);
    assert_int_equal(ask_for(client, &server, "acme/shop", two), REGISTRY_FOUND);
    free_client(client);
    stop_server(&server);
}

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
        TEST(what_was_found_is_asked_again_when_the_stores_clock_was_set),
        TEST(what_was_missing_in_an_earlier_call_is_asked_again),
        TEST(a_slow_token_is_there_for_the_next_call),
        TEST(five_time_outs_open_the_breaker),
        TEST(a_registry_that_did_not_answer_is_waited_for_less),
        TEST(a_registry_in_doubt_has_a_moment_if_nothing_hangs),
        TEST(while_one_question_tries_the_others_stay_busy),
        TEST(silence_is_counted_by_time),
        TEST(one_late_answer_among_others_makes_no_doubt),
        TEST(a_registry_in_doubt_is_heard_beside_a_dead_one),
        TEST(a_registry_that_answers_too_late_stays_in_doubt),
        TEST(requests_that_hang_do_not_hide_a_registry),
        TEST(a_limit_of_the_rate_is_heeded_after_the_call),
        TEST(a_registry_that_comes_back_is_asked_again),
        TEST(a_registry_that_limits_the_rate_is_left_alone),
        TEST(limits_of_the_rate_count_in_a_row_only),
        TEST(connections_are_kept_and_limited),
        TEST(a_dead_registry_cannot_take_all_the_requests),
        TEST(a_real_registry_is_asked_by_digest),
    };
    return cmocka_run_group_tests_name("registry", tests, start_all, stop_all);
}
