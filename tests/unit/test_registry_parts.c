/* What the registry client is made of and needs no network. */
#include "address.h"
#include "breaker.h"
#include "registry_auth.h"
#include "registry_cache.h"
#include "registry_headers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

/* ---- header fields ---- */

static void fields_are_found_whatever_their_case(void **state) {
    (void)state;
    struct slice block = SLICE("Content-Type: text/plain\r\nX-A:1\r\nDOCKER-content-Digest: \t sha256:ab \r\nX-A: 2\r\n");
    assert_true(slice_is(header_only(block, "docker-content-digest"), "sha256:ab"));
    assert_null(header_only(block, "docker-content").p);
    assert_null(header_only(block, "x-a").p); /* two that differ are none */
    struct slice value;
    size_t at = 0;
    assert_true(header_next(block, "x-a", &at, &value) && slice_is(value, "1"));
    assert_true(header_next(block, "x-a", &at, &value) && slice_is(value, "2"));
    assert_false(header_next(block, "x-a", &at, &value));
    assert_null(header_only(SLICE(""), "x-a").p);
    assert_true(slice_is(header_only(SLICE("x-a:"), "x-a"), ""));
}

static struct challenge challenge_of(const char *block) {
    struct challenge challenge;
    challenge_read(slice_str(block), &challenge);
    return challenge;
}

static void challenges_are_read_as_rfc_9110_has_them(void **state) {
    (void)state;
    struct challenge c = challenge_of("WWW-Authenticate: Bearer realm=\"https://auth.example/token\",service=\"reg\\\"istry\", "
                                      "scope=\"repository:acme/shop:pull,push\"\r\n");
    assert_int_equal(c.scheme, CHALLENGE_BEARER);
    assert_string_equal(c.realm, "https://auth.example/token");
    assert_string_equal(c.service, "reg\"istry");
    assert_string_equal(c.scope, "repository:acme/shop:pull,push");

    c = challenge_of("www-authenticate: basic REALM = Registry\r\n");
    assert_int_equal(c.scheme, CHALLENGE_BASIC);
    assert_string_equal(c.realm, "Registry");

    /* several, in one field and in two; the better one counts wherever it stands */
    c = challenge_of("WWW-Authenticate: Negotiate YWJj==, Basic realm=\"b\", , Bearer realm=\"https://a\" , service=s\r\n");
    assert_int_equal(c.scheme, CHALLENGE_BEARER);
    assert_string_equal(c.realm, "https://a");
    assert_string_equal(c.service, "s");
    c = challenge_of("WWW-Authenticate: Bearer realm=\"https://a\"\r\nWWW-Authenticate: Basic realm=\"b\"\r\n");
    assert_int_equal(c.scheme, CHALLENGE_BEARER);
    c = challenge_of("WWW-Authenticate: Basic\r\n");
    assert_int_equal(c.scheme, CHALLENGE_BASIC);
}

static void malformed_challenges_are_none(void **state) {
    (void)state;
    static const char *const bad[] = {"WWW-Authenticate: Bearer realm=\"https://a\r\n",        /* no closing quote */
                                      "WWW-Authenticate: Bearer service=\"s\"\r\n",            /* no realm */
                                      "WWW-Authenticate: Bearer realm=\"a\", realm=\"b\"\r\n", /* which one? */
                                      "WWW-Authenticate: Bearer realm=\"a\x01\"\r\n",
                                      "WWW-Authenticate: Bearer realm=\"\xc3\xa4\"\r\n",
                                      "WWW-Authenticate: Digest realm=\"a\"\r\n",
                                      "WWW-Authenticate: Bearer;realm=\"a\"\r\n",
                                      "WWW-Authenticate: \"Bearer\" realm=\"a\"\r\n",
                                      "WWW-Authenticate:\r\n",
                                      ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(challenge_of(bad[i]).scheme, CHALLENGE_NONE);
    char block[1200] = "WWW-Authenticate: Bearer realm=\"https://";
    memset(block + strlen(block), 'a', 600);
    strcat(block, "\"\r\n");
    assert_int_equal(challenge_of(block).scheme, CHALLENGE_NONE);
}

static void retry_after_is_seconds_or_a_date(void **state) {
    (void)state;
    const instant now = (instant)784111777 * 1000000; /* Sun, 06 Nov 1994 08:49:37 GMT */
    assert_int_equal(retry_after(SLICE("Retry-After: 120\r\n"), now), 120);
    assert_int_equal(retry_after(SLICE("Retry-After: 0\r\n"), now), 0);
    assert_int_equal(retry_after(SLICE("Retry-After: 99999999999999999999999\r\n"), now), 3600);
    assert_int_equal(retry_after(SLICE("Retry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n"), now), 30);
    assert_int_equal(retry_after(SLICE("Retry-After: Sunday, 06-Nov-94 08:50:07 GMT\r\n"), now), 30);
    assert_int_equal(retry_after(SLICE("Retry-After: Sun Nov  6 08:50:07 1994\r\n"), now), 30);
    assert_int_equal(retry_after(SLICE("Retry-After: Sun, 06 Nov 1994 08:49:00 GMT\r\n"), now), 0); /* past */
    /* the answer's own clock counts, not ours */
    assert_int_equal(
        retry_after(SLICE("Date: Sun, 06 Nov 1994 10:00:00 GMT\r\nRetry-After: Sun, 06 Nov 1994 10:00:05 GMT\r\n"), now), 5);
    static const char *const bad[] = {"",
                                      "Retry-After:\r\n",
                                      "Retry-After: -1\r\n",
                                      "Retry-After: 1.5\r\n",
                                      "Retry-After: 5 s\r\n",
                                      "Retry-After: soon\r\n",
                                      "Retry-After: 1\r\nRetry-After: 2\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(retry_after(slice_str(bad[i]), now), -1);
}

/* ---- realms ---- */

static bool allowed(const char *realm, const char *registry, bool plain_http, const char *list) {
    struct realm parsed;
    assert_true(realm_parse(slice_str(realm), &parsed));
    return realm_is_allowed(&parsed, slice_str(registry), plain_http, list);
}

static void realms_are_plain_urls(void **state) {
    (void)state;
    struct realm realm;
    assert_true(realm_parse(SLICE("https://auth.example:8443/token?x=1"), &realm));
    assert_false(realm.plain_http);
    assert_true(realm.has_query);
    assert_true(slice_is(realm.authority, "auth.example:8443"));
    assert_true(slice_is(realm.host, "auth.example"));
    assert_true(realm_parse(SLICE("http://[::1]:5000"), &realm));
    assert_true(realm.plain_http);
    assert_true(slice_is(realm.host, "[::1]"));
    static const char *const bad[] = {"",
                                      "auth.example",
                                      "ftp://auth.example/",
                                      "https://",
                                      "https:///token",
                                      "HTTPS://a/",
                                      "https://user:pw@auth.example/",
                                      "https://auth.example\\@evil.example/",
                                      "https://auth.example/a b",
                                      "https://auth.example/#x",
                                      "https://auth.example:0/",
                                      "https://auth.example:99999/",
                                      "https://auth.example:/",
                                      "https://[::1/",
                                      "https://a_b/",
                                      "https://[evil.example]/",
                                      "https://auth.example/\x7f",
                                      "file:///etc/passwd"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(realm_parse(slice_str(bad[i]), &realm));
    assert_false(realm_parse(SLICE("https://a\0b/"), &realm));
    assert_false(realm_parse(SLICE("https://a/\0"), &realm));
}

static void credentials_go_only_to_the_registrys_own_or_named_hosts(void **state) {
    (void)state;
    assert_true(allowed("https://ghcr.io/token", "ghcr.io", false, NULL));
    assert_true(allowed("https://GHCR.io:8443/token", "ghcr.io", false, NULL));
    assert_false(allowed("https://evil.example/token", "ghcr.io", false, NULL));
    assert_false(allowed("https://ghcr.io.evil.example/token", "ghcr.io", false, NULL));
    assert_false(allowed("https://evilghcr.io/token", "ghcr.io", false, NULL));
    assert_false(allowed("http://ghcr.io/token", "ghcr.io", false, NULL)); /* never in clear where https is configured */
    assert_true(allowed("http://127.0.0.1:5001/token", "127.0.0.1:5000", true, NULL));
    assert_false(allowed("http://auth.example/token", "127.0.0.1:5000", true, "auth.example"));
    assert_true(allowed("https://auth.example/token", "reg.example", false, "other.example, auth.example"));
    assert_true(allowed("https://auth.example:443/token", "reg.example", false, "auth.example"));
    assert_false(allowed("https://auth.example:8443/token", "reg.example", false, "auth.example"));
    assert_true(allowed("https://auth.example:8443/token", "reg.example", false, "auth.example:8443"));
    assert_true(allowed("https://auth.docker.io/token", "registry-1.docker.io", false, NULL));
    assert_false(allowed("https://auth.docker.io/token", "reg.example", false, NULL));
}

/* ---- Docker's config.json ---- */

static int parse_config(struct arena *arena, const char *text, struct credential **ret, struct error *error) {
    return docker_config_parse(arena, slice_str(text), "config.json", ret, error);
}

static void docker_config_gives_credentials_by_host(void **state) {
    (void)state;
    struct arena arena;
    struct credential *all = NULL;
    struct error error = {0};
    arena_init(&arena, 1 << 20);
    assert_int_equal(
        parse_config(&arena,
                     "{\"auths\":{\"ghcr.io\":{\"auth\":\"dXNlcjpwYXNz\"},"
                     "\"https://reg.example:5000/v2/\":{\"username\":\"u\",\"password\":\"p:w\\u00e4\"},"
                     "\"https://index.docker.io/v1/\":{\"auth\":\"aHViOnB3\"},"
                     "\"broken.example\":{\"auth\":\"not base64\"},\"injected.example\":{\"auth\":\"YWJj\\r\\nX: y\"},"
                     "\"empty.example\":{}},\"credsStore\":\"desktop\"}",
                     &all, &error),
        0);
    assert_true(slice_is(credential_find(all, SLICE("ghcr.io"))->basic, "dXNlcjpwYXNz"));
    assert_true(slice_is(credential_find(all, SLICE("GHCR.IO"))->basic, "dXNlcjpwYXNz"));
    assert_true(slice_is(credential_find(all, SLICE("reg.example:5000"))->basic, "dTpwOnfDpA=="));
    assert_true(slice_is(credential_find(all, registry_endpoint(SLICE("docker.io")))->basic, "aHViOnB3"));
    assert_null(credential_find(all, SLICE("reg.example")));
    assert_null(credential_find(all, SLICE("broken.example")));
    assert_null(credential_find(all, SLICE("injected.example")));
    assert_null(credential_find(all, SLICE("empty.example")));
    arena_release(&arena);
}

static void docker_config_that_is_none_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"", "[]", "{\"auths\":[]}", "{\"auths\":{}", "{\"auths\":{},\"auths\":{}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct arena arena;
        struct credential *all = NULL;
        struct error error = {0};
        arena_init(&arena, 1 << 20);
        assert_int_equal(parse_config(&arena, bad[i], &all, &error), -1);
        assert_string_equal(error.code, "docker-config-invalid");
        assert_non_null(strstr(error.message, "config.json"));
        assert_null(all);
        arena_release(&arena);
    }
}

/* ---- tokens ---- */

static void token_requests_encode_what_the_registry_said(void **state) {
    (void)state;
    struct challenge c = {
        .scheme = CHALLENGE_BEARER, .realm = "https://a/token", .service = "s&x=1 y", .scope = "repository:a/b:pull"};
    struct buf url;
    buf_init(&url, 4096);
    token_url(&url, &c);
    assert_string_equal(url.p, "https://a/token?service=s%26x%3D1%20y&scope=repository:a/b:pull");
    buf_reset(&url);
    strcpy(c.realm, "https://a/token?k=v");
    c.service[0] = '\0';
    token_url(&url, &c);
    assert_string_equal(url.p, "https://a/token?k=v&scope=repository:a/b:pull");
    buf_release(&url);
}

static void tokens_are_read_from_either_member(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct slice token;
    int64_t seconds;
    assert_true(
        token_parse(&arena, SLICE("{\"token\":\"abc.d-e_f=\",\"access_token\":\"other\",\"expires_in\":300}"), &token, &seconds));
    assert_true(slice_is(token, "abc.d-e_f="));
    assert_int_equal(seconds, 300);
    assert_true(token_parse(&arena, SLICE("{\"access_token\":\"xyz\"}"), &token, &seconds));
    assert_true(slice_is(token, "xyz"));
    assert_int_equal(seconds, 60);
    assert_true(token_parse(&arena, SLICE("{\"token\":\"x\",\"expires_in\":99999999}"), &token, &seconds));
    assert_int_equal(seconds, 3600);
    static const char *const bad[] = {"",
                                      "{}",
                                      "[]",
                                      "{\"token\":\"\"}",
                                      "{\"token\":1}",
                                      "{\"token\":\"a\\r\\nX: y\"}",
                                      "{\"token\":\"a b\"}",
                                      "{\"token\":\"\\u00e4\"}",
                                      "{\"token\":\"a\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(token_parse(&arena, slice_str(bad[i]), &token, &seconds));
    arena_release(&arena);
}

static void tokens_are_forgotten_before_they_expire(void **state) {
    (void)state;
    struct token_cache *cache = token_cache_new();
    struct digest a = digest_of(SLICE("a")), b = digest_of(SLICE("b"));
    assert_null(token_cache_get(cache, &a, 0).p);
    token_cache_put(cache, &a, SLICE("token-a"), 60, 1000);
    assert_true(slice_is(token_cache_get(cache, &a, 1000 + 53999), "token-a"));
    assert_null(token_cache_get(cache, &a, 1000 + 54000).p);
    assert_null(token_cache_get(cache, &b, 1000).p);
    token_cache_put(cache, &a, SLICE("newer"), 60, 2000);
    assert_true(slice_is(token_cache_get(cache, &a, 2000), "newer"));
    token_cache_drop(cache, &a);
    assert_null(token_cache_get(cache, &a, 2000).p);
    /* more than it has room for: the last one is there, and nothing leaks */
    for (int i = 0; i < TOKEN_ENTRIES * 2; i++) {
        struct digest key = digest_of(slice_of(&i, sizeof i));
        token_cache_put(cache, &key, SLICE("t"), 60 + i, 0);
        assert_true(slice_is(token_cache_get(cache, &key, 0), "t"));
    }
    token_cache_free(cache);
}

/* ---- found ---- */

static void found_is_remembered_for_five_minutes(void **state) {
    (void)state;
    struct registry_cache *cache = registry_cache_new(64);
    struct digest key = digest_of(SLICE("key")), other = digest_of(SLICE("other"));
    struct registry_cached found = {.status = 200, .named = true, .checked_at = 77}, got = {0};
    assert_false(registry_cache_get(cache, &key, 0, &got));
    registry_cache_put(cache, &key, &found, 1000);
    assert_true(registry_cache_get(cache, &key, 1000 + REGISTRY_CACHE_MS - 1, &got));
    assert_true(got.named && got.status == 200 && got.checked_at == 77);
    assert_false(registry_cache_get(cache, &key, 1000 + REGISTRY_CACHE_MS, &got));
    assert_false(registry_cache_get(cache, &other, 1000, &got));
    registry_cache_free(cache);
}

static void a_full_cache_forgets_the_oldest(void **state) {
    (void)state;
    struct registry_cache *cache = registry_cache_new(64);
    struct registry_cached found = {.status = 200}, got;
    int remembered = 0;
    for (int i = 0; i < 1000; i++) {
        struct digest key = digest_of(slice_of(&i, sizeof i));
        registry_cache_put(cache, &key, &found, (uint64_t)i);
        assert_true(registry_cache_get(cache, &key, (uint64_t)i, &got));
    }
    for (int i = 0; i < 1000; i++) {
        struct digest key = digest_of(slice_of(&i, sizeof i));
        bool has = registry_cache_get(cache, &key, 1000, &got);
        remembered += has;
        if (i < 500) assert_false(has);
    }
    assert_int_equal(remembered, 64);
    registry_cache_free(cache);
}

/* ---- the breaker ---- */

static void the_breaker_opens_after_five_failures_in_a_row(void **state) {
    (void)state;
    struct breaker breaker = {0};
    for (int i = 0; i < 4; i++) breaker_fail(&breaker, 100);
    assert_int_equal(breaker_state(&breaker, 100), BREAKER_CLOSED);
    breaker_succeed(&breaker);
    for (int i = 0; i < 4; i++) breaker_fail(&breaker, 100);
    assert_int_equal(breaker_state(&breaker, 100), BREAKER_CLOSED);
    breaker_fail(&breaker, 100);
    assert_int_equal(breaker_state(&breaker, 100), BREAKER_OPEN);
    assert_int_equal(breaker_state(&breaker, 100 + BREAKER_FIRST_MS - 1), BREAKER_OPEN);
    assert_int_equal(breaker_state(&breaker, 100 + BREAKER_FIRST_MS), BREAKER_HALF_OPEN);
}

static void a_failed_probe_doubles_the_rest(void **state) {
    (void)state;
    struct breaker breaker = {0};
    uint64_t now = 100, rest = BREAKER_FIRST_MS;
    for (int i = 0; i < 5; i++) breaker_fail(&breaker, now);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(breaker.until_ms, now + rest);
        now = breaker.until_ms;
        breaker_fail(&breaker, now);
        rest = rest * 2 < BREAKER_LONGEST_MS ? rest * 2 : BREAKER_LONGEST_MS;
    }
    assert_int_equal(rest, BREAKER_LONGEST_MS);
    breaker_succeed(&breaker);
    assert_int_equal(breaker_state(&breaker, now), BREAKER_CLOSED);
    breaker_fail(&breaker, now); /* begins from nothing */
    assert_int_equal(breaker_state(&breaker, now), BREAKER_CLOSED);
}

/* ---- addresses ---- */

static void addresses_are_told_apart(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum address_kind kind;
    } cases[] = {{"8.8.8.8", ADDRESS_PUBLIC},
                 {"172.32.0.1", ADDRESS_PUBLIC},
                 {"100.128.0.1", ADDRESS_PUBLIC},
                 {"223.255.255.255", ADDRESS_PUBLIC},
                 {"2606:4700::1111", ADDRESS_PUBLIC},
                 {"::ffff:8.8.8.8", ADDRESS_PUBLIC},
                 {"127.0.0.1", ADDRESS_PRIVATE},
                 {"127.255.255.254", ADDRESS_PRIVATE},
                 {"10.0.0.1", ADDRESS_PRIVATE},
                 {"172.16.0.1", ADDRESS_PRIVATE},
                 {"172.31.255.255", ADDRESS_PRIVATE},
                 {"192.168.1.1", ADDRESS_PRIVATE},
                 {"169.254.169.254", ADDRESS_PRIVATE},
                 {"100.64.0.1", ADDRESS_PRIVATE},
                 {"::1", ADDRESS_PRIVATE},
                 {"fe80::1", ADDRESS_PRIVATE},
                 {"fec0::1", ADDRESS_PRIVATE},
                 {"fd00::1", ADDRESS_PRIVATE},
                 {"::ffff:127.0.0.1", ADDRESS_PRIVATE},
                 {"::ffff:10.1.2.3", ADDRESS_PRIVATE},
                 {"64:ff9b::7f00:1", ADDRESS_PRIVATE},
                 {"2002:7f00:1::", ADDRESS_PRIVATE},
                 {"0.0.0.0", ADDRESS_UNUSABLE},
                 {"0.1.2.3", ADDRESS_UNUSABLE},
                 {"224.0.0.1", ADDRESS_UNUSABLE},
                 {"240.0.0.1", ADDRESS_UNUSABLE},
                 {"255.255.255.255", ADDRESS_UNUSABLE},
                 {"192.0.2.1", ADDRESS_UNUSABLE},
                 {"::", ADDRESS_UNUSABLE},
                 {"::ffff:0.0.0.0", ADDRESS_UNUSABLE},
                 {"::127.0.0.1", ADDRESS_UNUSABLE},
                 {"ff02::1", ADDRESS_UNUSABLE},
                 {"2001::1", ADDRESS_UNUSABLE},
                 {"2001:db8::1", ADDRESS_UNUSABLE},
                 {"64:ff9b:1::1", ADDRESS_UNUSABLE},
                 {"localhost", ADDRESS_UNUSABLE},
                 {"", ADDRESS_UNUSABLE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (address_kind_of_text(cases[i].text) != cases[i].kind) fail_msg("%s", cases[i].text);
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        if (inet_pton(AF_INET, cases[i].text, &v4.sin_addr) == 1)
            assert_int_equal(address_kind((struct sockaddr *)&v4, sizeof v4), cases[i].kind);
        if (inet_pton(AF_INET6, cases[i].text, &v6.sin6_addr) == 1)
            assert_int_equal(address_kind((struct sockaddr *)&v6, sizeof v6), cases[i].kind);
    }
    struct sockaddr unix_domain = {.sa_family = AF_UNIX};
    assert_int_equal(address_kind(&unix_domain, sizeof unix_domain), ADDRESS_UNUSABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_found_whatever_their_case),
        cmocka_unit_test(challenges_are_read_as_rfc_9110_has_them),
        cmocka_unit_test(malformed_challenges_are_none),
        cmocka_unit_test(retry_after_is_seconds_or_a_date),
        cmocka_unit_test(realms_are_plain_urls),
        cmocka_unit_test(credentials_go_only_to_the_registrys_own_or_named_hosts),
        cmocka_unit_test(docker_config_gives_credentials_by_host),
        cmocka_unit_test(docker_config_that_is_none_is_refused),
        cmocka_unit_test(token_requests_encode_what_the_registry_said),
        cmocka_unit_test(tokens_are_read_from_either_member),
        cmocka_unit_test(tokens_are_forgotten_before_they_expire),
        cmocka_unit_test(found_is_remembered_for_five_minutes),
        cmocka_unit_test(a_full_cache_forgets_the_oldest),
        cmocka_unit_test(the_breaker_opens_after_five_failures_in_a_row),
        cmocka_unit_test(a_failed_probe_doubles_the_rest),
        cmocka_unit_test(addresses_are_told_apart),
    };
    return cmocka_run_group_tests_name("registry parts", tests, NULL, NULL);
}
