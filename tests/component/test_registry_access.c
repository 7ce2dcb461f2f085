/* Whom the registry client asks, and as whom: credentials, tokens, addresses and certificates. */
#include "registry_world.h"

/* ---- authentication ---- */

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

int main(void) {
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests_name("registry_access", tests, start_all, stop_all);
}
