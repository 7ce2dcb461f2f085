/* Any bytes as the header fields of a registry's answer: what is read from them fits its room, stays inside the bytes, and is fit
 * for a header field or a URL.
 *
 * Covers: worker/registry_headers.c */
#include "fuzz.h"
#include "registry_auth.h"
#include "registry_headers.h"

static void check_realm(struct slice text) {
    struct realm realm;
    if (!realm_parse(text, &realm)) return;
    REQUIRE(is_printable(text) && realm.host.n && slice_starts(realm.authority, realm.host) && is_inside(realm.authority, text));
    REQUIRE(!memchr(realm.authority.p, '@', realm.authority.n) && realm.authority.n <= 255);
    REQUIRE(realm.plain_http == slice_starts(text, SLICE("http://")));
    REQUIRE(realm.has_query == (memchr(text.p, '?', text.n) != NULL));
    /* Two readers must not see two hosts: behind the scheme stands the authority, then the end, a path or a query. */
    const char *end = realm.authority.p + realm.authority.n;
    REQUIRE(realm.authority.p == text.p + (realm.plain_http ? 7 : 8) && (end == text.p + text.n || strchr("/?", *end)));
}

static void check_challenge(struct slice block) {
    struct challenge challenge;
    struct realm realm;
    struct buf url;
    challenge_read(block, &challenge);
    REQUIRE(memchr(challenge.realm, '\0', CHALLENGE_TEXT) && memchr(challenge.service, '\0', CHALLENGE_TEXT) &&
            memchr(challenge.scope, '\0', CHALLENGE_TEXT));
    if (challenge.scheme != CHALLENGE_BEARER) return;
    REQUIRE(challenge.realm[0]);
    check_realm(slice_str(challenge.realm));
    if (!realm_parse(slice_str(challenge.realm), &realm)) return;
    buf_init(&url, 8192);
    token_url(&url, &challenge);
    REQUIRE(!url.failed && is_printable(buf_slice(&url)) && slice_starts(buf_slice(&url), slice_str(challenge.realm)));
    struct realm again;
    REQUIRE(realm_parse(buf_slice(&url), &again) && slice_equal(again.authority, realm.authority));
    buf_release(&url);
}

static void check_fields(struct slice block) {
    static const char *const names[] = {"docker-content-digest", "content-type", "x"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct slice value, first = {NULL, 0};
        size_t at = 0, before = 0, count = 0;
        bool agree = true;
        for (; header_next(block, names[i], &at, &value); before = at, count++) {
            REQUIRE(is_inside(value, block) && at <= block.n && at > before && !memchr(value.n ? value.p : "", '\n', value.n));
            REQUIRE(!value.n || (value.p[0] != ' ' && value.p[value.n - 1] != ' ' && value.p[value.n - 1] != '\r'));
            if (count && !slice_equal(first, value)) agree = false;
            if (!count) first = value;
        }
        struct slice only = header_only(block, names[i]);
        REQUIRE((only.p != NULL) == (count && agree));
        if (only.p) REQUIRE(slice_equal(only, first));
    }
}

static void check_times(struct slice block) {
    int64_t seconds = retry_after(block, 1772359200000000);
    REQUIRE(seconds >= -1 && seconds <= 3600);
    if (!header_only(block, "retry-after").p) REQUIRE(seconds == -1);
    if (http_date(block, &seconds)) REQUIRE(block.n <= 40 && seconds > -(int64_t)100000 * 366 * 86400);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice block = slice_of(data, size);
    check_fields(block);
    check_times(block);
    check_realm(block);
    check_challenge(block);
    (void)authority_host(block);
    REQUIRE(slice_equal_nocase(block, block));
    return 0;
}
