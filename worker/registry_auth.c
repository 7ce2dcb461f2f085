#include "registry_auth.h"

#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOKEN_SECONDS_STANDARD = 60, TOKEN_SECONDS_MAX = 3600, PASSWORD_MAX = 16384, SCRATCH_MAX = 16 * 1024 * 1024 };

static const struct json_limits docker_config_limits = {.bytes = DOCKER_CONFIG_BYTES_MAX, .depth = 32, .values = 20000};
static const struct json_limits token_limits = {.bytes = TOKEN_ANSWER_MAX, .depth = 16, .values = 1000};

struct slice registry_endpoint(struct slice host) {
    if (slice_is(host, "docker.io") || slice_is(host, "index.docker.io")) return SLICE("registry-1.docker.io");
    return host;
}

/* ---- Docker's config.json ---- */

/* "https://ghcr.io/v2/" -> "ghcr.io" */
static struct slice host_of_key(struct slice key) {
    if (slice_starts(key, SLICE("https://")))
        key = slice_of(key.p + 8, key.n - 8);
    else if (slice_starts(key, SLICE("http://")))
        key = slice_of(key.p + 7, key.n - 7);
    const char *slash = key.n ? memchr(key.p, '/', key.n) : NULL;
    if (slash) key.n = (size_t)(slash - key.p);
    return registry_endpoint(key);
}

static bool is_base64(struct slice text) {
    size_t padding = 0;
    while (padding < 2 && text.n > padding && text.p[text.n - 1 - padding] == '=') padding++;
    for (size_t i = 0; i + padding < text.n; i++) {
        char c = text.p[i];
        bool fits = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
        if (!fits) return false;
    }
    return text.n > 0 && text.n % 4 == 0 && text.n <= PASSWORD_MAX;
}

static struct slice base64(struct arena *arena, struct slice bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = (bytes.n + 2) / 3 * 4;
    char *to = arena_alloc(arena, n + 1);
    if (!to) return (struct slice){NULL, 0};
    for (size_t i = 0, o = 0; i < bytes.n; i += 3, o += 4) {
        size_t left = bytes.n - i;
        const unsigned char *p = (const unsigned char *)bytes.p + i;
        unsigned word = (unsigned)p[0] << 16 | (left > 1 ? (unsigned)p[1] << 8 : 0) | (left > 2 ? p[2] : 0);
        to[o] = digits[word >> 18];
        to[o + 1] = digits[word >> 12 & 63];
        to[o + 2] = left > 1 ? digits[word >> 6 & 63] : '=';
        to[o + 3] = left > 2 ? digits[word & 63] : '=';
    }
    return slice_of(to, n);
}

/* 1, or 0 when the entry holds nothing that can be sent, or -1 without memory. */
static int basic_of(struct arena *arena, const struct json *entry, struct slice *ret_basic) {
    struct slice auth = json_get_text(entry, "auth");
    struct slice user = json_get_text(entry, "username"), password = json_get_text(entry, "password");
    if (auth.n && !is_base64(auth)) return 0;
    if (!auth.n && (!user.n || !password.n || user.n + password.n > PASSWORD_MAX / 2 || memchr(user.p, ':', user.n))) return 0;
    if (auth.n) {
        *ret_basic = arena_copy(arena, auth);
    } else {
        struct slice both = arena_print(arena, "%.*s:%.*s", SLICE_ARG(user), SLICE_ARG(password));
        *ret_basic = both.p ? base64(arena, both) : both;
    }
    return ret_basic->p ? 1 : -1;
}

static int take_auths(struct arena *arena, const struct json *auths, struct credential **ret_first, struct error *error) {
    struct credential *first = NULL, **end = &first;
    for (const struct json *entry = auths ? auths->first : NULL; entry; entry = entry->next) {
        struct slice host = host_of_key(entry->name), basic;
        int found = host.n ? basic_of(arena, entry, &basic) : 0;
        if (found < 0) return error_memory(error);
        if (!found) continue;
        struct credential *one = ARENA_NEW(arena, struct credential);
        if (!one) return error_memory(error);
        *one = (struct credential){.host = arena_copy(arena, host), .basic = basic};
        if (!one->host.p) return error_memory(error);
        *end = one;
        end = &one->next;
    }
    *ret_first = first;
    return 0;
}

int docker_config_parse(struct arena *arena, struct slice text, const char *path, struct credential **ret_first,
                        struct error *error) {
    const struct json *root;
    struct error why = {0};
    struct arena scratch;
    arena_init(&scratch, SCRATCH_MAX);
    int status = json_read_strict(&scratch, text, &docker_config_limits, &root, &why);
    const struct json *auths = status ? NULL : json_get(root, "auths");
    if (status && why.kind == ERROR_INTERNAL)
        error_memory(error);
    else if (status)
        error_set(error, ERROR_INPUT, "docker-config-invalid", "%s is no Docker config.json: %s", path, why.message);
    else if (root->kind != JSON_OBJECT || (auths && auths->kind != JSON_OBJECT))
        status = error_set(error, ERROR_INPUT, "docker-config-invalid",
                           "%s is no Docker config.json: it and its `auths` must be objects", path);
    else
        status = take_auths(arena, auths, ret_first, error);
    arena_release(&scratch);
    return status;
}

int docker_config_load(struct arena *arena, const char *path, struct credential **ret_first, struct error *error) {
    FILE *file = fopen(path, "re");
    if (!file) return error_set(error, ERROR_INPUT, "docker-config-invalid", "cannot read %s: %s", path, strerror(errno));
    int status = -1;
    char *text = malloc(DOCKER_CONFIG_BYTES_MAX + 1);
    size_t n = text ? fread(text, 1, DOCKER_CONFIG_BYTES_MAX + 1, file) : 0;
    if (!text)
        error_memory(error);
    else if (ferror(file))
        error_set(error, ERROR_INPUT, "docker-config-invalid", "cannot read %s: %s", path, strerror(errno));
    else if (n > DOCKER_CONFIG_BYTES_MAX)
        error_set(error, ERROR_INPUT, "docker-config-invalid", "%s is larger than %d bytes", path, DOCKER_CONFIG_BYTES_MAX);
    else
        status = docker_config_parse(arena, slice_of(text, n), path, ret_first, error);
    (void)fclose(file);
    if (text) explicit_bzero(text, n);
    free(text);
    return status;
}

const struct credential *credential_find(const struct credential *first, struct slice host) {
    for (; first; first = first->next)
        if (slice_equal_nocase(first->host, host)) return first;
    return NULL;
}

/* ---- token realms ---- */

/* "host" and "host:443" are the same place over https. */
static bool same_place(struct slice listed, struct slice authority) {
    if (slice_equal_nocase(listed, authority)) return true;
    struct slice a = authority_host(listed), b = authority_host(authority);
    struct slice port_a = slice_of(listed.p + a.n, listed.n - a.n), port_b = slice_of(authority.p + b.n, authority.n - b.n);
    bool standard = (!port_a.n || slice_is(port_a, ":443")) && (!port_b.n || slice_is(port_b, ":443"));
    return standard && slice_equal_nocase(a, b);
}

static bool is_listed(const char *allowed, struct slice authority) {
    while (allowed && *allowed) {
        allowed += strspn(allowed, ", \t");
        size_t n = strcspn(allowed, ", \t");
        if (n && same_place(slice_of(allowed, n), authority)) return true;
        allowed += n;
    }
    return false;
}

bool realm_is_allowed(const struct realm *realm, struct slice registry, bool plain_http, const char *allowed) {
    /* Registries whose operators document that their tokens come from this other host of theirs. */
    static const struct {
        const char *registry, *realm;
    } known[] = {{"registry-1.docker.io", "auth.docker.io"}, {"registry.gitlab.com", "gitlab.com"}};
    bool own = slice_equal_nocase(realm->host, authority_host(registry));
    if (realm->plain_http) return own && plain_http;
    if (own || is_listed(allowed, realm->authority)) return true;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (slice_is(registry, known[i].registry) && same_place(slice_str(known[i].realm), realm->authority)) return true;
    return false;
}

static void put_encoded(struct buf *to, const char *text) {
    for (; *text; text++) {
        char c = *text;
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-._~:/,", c);
        if (plain)
            buf_char(to, c);
        else
            buf_print(to, "%%%02X", (unsigned char)c);
    }
}

void token_url(struct buf *to, const struct challenge *challenge) {
    char separator = strchr(challenge->realm, '?') ? '&' : '?';
    buf_str(to, challenge->realm);
    if (challenge->service[0]) {
        buf_char(to, separator);
        buf_str(to, "service=");
        put_encoded(to, challenge->service);
        separator = '&';
    }
    if (!challenge->scope[0]) return;
    buf_char(to, separator);
    buf_str(to, "scope=");
    put_encoded(to, challenge->scope);
}

/* b64token of RFC 6750 section 2.1 */
static bool is_token_text(struct slice text) {
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool fits = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("-._~+/=", c));
        if (!fits) return false;
    }
    return text.n > 0 && text.n <= TOKEN_MAX;
}

bool token_parse(struct arena *arena, struct slice body, struct slice *ret_token, int64_t *ret_seconds) {
    const struct json *root;
    if (json_read_strict(arena, body, &token_limits, &root, NULL)) return false;
    struct slice token = json_get_text(root, "token");
    if (!token.n) token = json_get_text(root, "access_token");
    int64_t seconds = TOKEN_SECONDS_STANDARD;
    const struct json *expires = json_get(root, "expires_in");
    if (expires && expires->kind == JSON_NUMBER && json_int64(expires, &seconds) && seconds <= 0)
        seconds = TOKEN_SECONDS_STANDARD;
    if (!is_token_text(token)) return false;
    token = arena_copy(arena, token);
    if (!token.p) return false;
    *ret_token = token;
    *ret_seconds = seconds > TOKEN_SECONDS_MAX ? TOKEN_SECONDS_MAX : seconds;
    return true;
}

/* ---- the tokens that are still good ---- */

struct token_entry {
    struct digest key;
    uint64_t until_ms; /* 0: free */
    char *text;
    size_t size;
};

struct token_cache {
    struct token_entry entries[TOKEN_ENTRIES];
};

struct token_cache *token_cache_new(void) {
    return calloc(1, sizeof(struct token_cache));
}

static void forget(struct token_entry *entry) {
    if (entry->text) explicit_bzero(entry->text, entry->size);
    free(entry->text);
    *entry = (struct token_entry){.until_ms = 0};
}

void token_cache_free(struct token_cache *cache) {
    if (!cache) return;
    for (size_t i = 0; i < TOKEN_ENTRIES; i++) forget(&cache->entries[i]);
    free(cache);
}

void token_cache_put(struct token_cache *cache, const struct digest *key, struct slice token, int64_t seconds, uint64_t now_ms) {
    struct token_entry *place = &cache->entries[0];
    for (struct token_entry *entry = cache->entries; entry < cache->entries + TOKEN_ENTRIES; entry++) {
        if (entry->text && digest_equal(&entry->key, key)) {
            place = entry;
            break;
        }
        if (entry->until_ms < place->until_ms) place = entry;
    }
    char *text = malloc(token.n + 1);
    if (!text) return; /* it is only fetched again */
    memcpy(text, token.p, token.n);
    text[token.n] = '\0';
    forget(place);
    uint64_t good_ms = (uint64_t)seconds * 900; /* nine tenths */
    *place = (struct token_entry){.key = *key, .until_ms = now_ms + good_ms, .text = text, .size = token.n};
}

static struct token_entry *find_token(const struct token_cache *cache, const struct digest *key) {
    for (size_t i = 0; i < TOKEN_ENTRIES; i++) {
        const struct token_entry *entry = &cache->entries[i];
        if (entry->text && digest_equal(&entry->key, key)) return (struct token_entry *)entry;
    }
    return NULL;
}

struct slice token_cache_get(const struct token_cache *cache, const struct digest *key, uint64_t now_ms) {
    const struct token_entry *entry = find_token(cache, key);
    return entry && entry->until_ms > now_ms ? slice_of(entry->text, entry->size) : (struct slice){NULL, 0};
}

void token_cache_drop(struct token_cache *cache, const struct digest *key) {
    struct token_entry *entry = find_token(cache, key);
    if (entry) forget(entry);
}
