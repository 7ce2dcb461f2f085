/* Any bytes as Docker's config.json and as a token server's answer: what is taken from them is fit for a header field, and goes
 * only to the host that it is for.
 *
 * Covers: worker/registry_auth.c */
#include "fuzz.h"
#include "registry_auth.h"

#include <sys/mman.h>
#include <unistd.h>

static void check_config(struct arena *arena, struct slice text) {
    struct credential *credentials = NULL, *loaded = NULL;
    struct error error = {0};
    char path[64];
    int status = docker_config_parse(arena, text, "config.json", &credentials, &error);
    if (status) require_error(&error);
    int file = memfd_create("config", 0);
    REQUIRE(file >= 0 && (!text.n || write(file, text.p, text.n) == (ssize_t)text.n));
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    REQUIRE(docker_config_load(arena, path, &loaded, &error) == status);
    (void)close(file);
    REQUIRE(docker_config_load(arena, path, &loaded, &error) != 0);
    if (status) return;
    for (const struct credential *one = credentials; one; one = one->next) {
        REQUIRE(one->host.n && !memchr(one->host.p, '/', one->host.n) && one->basic.n && one->basic.n % 4 == 0);
        REQUIRE(is_printable(one->basic));
        const struct credential *found = credential_find(credentials, one->host);
        REQUIRE(found && slice_equal_nocase(found->host, one->host));
    }
    REQUIRE(!credential_find(credentials, SLICE("")));
}

static void check_token(struct arena *arena, struct slice text) {
    struct slice token;
    int64_t seconds;
    if (!token_parse(arena, text, &token, &seconds)) return;
    REQUIRE(token.n && token.n <= TOKEN_MAX && is_printable(token) && seconds > 0 && seconds <= 3600);
    struct token_cache *cache = token_cache_new();
    REQUIRE(cache);
    struct digest key = digest_of(text), other = digest_of(token);
    token_cache_put(cache, &key, token, seconds, 1000);
    REQUIRE(slice_equal(token_cache_get(cache, &key, 1000), token));
    REQUIRE(!token_cache_get(cache, &key, 1000 + (uint64_t)seconds * 1000).p && !token_cache_get(cache, &other, 1000).p);
    token_cache_put(cache, &key, SLICE("new"), seconds, 1000);
    REQUIRE(slice_is(token_cache_get(cache, &key, 1000), "new"));
    for (uint64_t i = 0; i < TOKEN_ENTRIES; i++) { /* so many others that it is forgotten, or is the last to expire */
        struct digest more = digest_of(slice_of(&i, sizeof i));
        token_cache_put(cache, &more, token, seconds, 1001);
    }
    REQUIRE(!token_cache_get(cache, &key, 1000).p);
    token_cache_put(cache, &key, token, seconds, 1002);
    token_cache_drop(cache, &key);
    REQUIRE(!token_cache_get(cache, &key, 1002).p);
    token_cache_free(cache);
}

static void check_url(struct slice block) {
    struct challenge challenge;
    struct buf url;
    challenge_read(block, &challenge);
    buf_init(&url, 8192);
    token_url(&url, &challenge);
    REQUIRE(!url.failed && (!url.n || slice_starts(buf_slice(&url), slice_str(challenge.realm))));
    buf_release(&url);
}

/* Two lines: where a registry sends for its token, and the registry. */
static void check_realm(struct slice text) {
    struct realm realm;
    struct slice line = fuzz_line(&text), registry = fuzz_line(&text);
    if (!realm_parse(line, &realm) || !registry.n) return;
    bool own = slice_equal_nocase(authority_host(registry), realm.host);
    bool known = slice_equal_nocase(realm.host, SLICE("auth.docker.io")) || slice_equal_nocase(realm.host, SLICE("gitlab.com"));
    bool listed = slice_equal_nocase(realm.host, SLICE("auth.example")) || slice_equal_nocase(realm.host, SLICE("other"));
    bool allowed = realm_is_allowed(&realm, registry, false, "auth.example, other:8443");
    REQUIRE(!allowed || (!realm.plain_http && (own || known || listed)));
    REQUIRE(!realm_is_allowed(&realm, registry, true, NULL) || own || (known && !realm.plain_http));
    if (own && !realm.plain_http) REQUIRE(allowed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    struct slice text = slice_of(data, size);
    arena_init(&arena, 16 << 20);
    check_config(&arena, text);
    check_token(&arena, text);
    check_realm(text);
    check_url(text);
    (void)registry_endpoint(text);
    arena_release(&arena);
    return 0;
}
