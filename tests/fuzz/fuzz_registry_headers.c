/* Any bytes as what a registry answers: header fields, a challenge, a token, a Docker config.json. What is read from them fits
 * its room, stays inside the bytes, and is fit for a header field or a URL. */
#include "address.h"
#include "registry_auth.h"
#include "registry_headers.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) abort();
}

static bool is_printable(struct slice text) {
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~') return false;
    return true;
}

static void read_challenge(struct slice input) {
    struct challenge challenge;
    struct realm realm;
    struct buf url;
    challenge_read(input, &challenge);
    if (challenge.scheme != CHALLENGE_BEARER || !realm_parse(slice_str(challenge.realm), &realm)) return;
    require(slice_starts(realm.authority, realm.host) && realm.host.n > 0);
    (void)realm_is_allowed(&realm, SLICE("ghcr.io"), false, "auth.example, other:8443");
    buf_init(&url, 8192);
    token_url(&url, &challenge);
    require(!url.failed && is_printable(buf_slice(&url)) && slice_starts(buf_slice(&url), slice_str(challenge.realm)));
    buf_release(&url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = slice_of(data, size), value, token = {NULL, 0};
    for (size_t at = 0; header_next(input, "docker-content-digest", &at, &value);)
        require(value.n == 0 || (value.p >= input.p && value.p + value.n <= input.p + input.n && at <= input.n));
    (void)header_only(input, "content-type");
    int64_t seconds = retry_after(input, 1772359200000000);
    require(seconds >= -1 && seconds <= 3600);
    (void)http_date(input, &seconds);
    struct realm realm;
    if (realm_parse(input, &realm)) require(is_printable(input));
    read_challenge(input);

    struct arena arena;
    struct credential *credentials = NULL;
    arena_init(&arena, 16 << 20);
    if (token_parse(&arena, input, &token, &seconds))
        require(token.n > 0 && token.n <= TOKEN_MAX && is_printable(token) && seconds > 0 && seconds <= 3600);
    if (docker_config_parse(&arena, input, "config.json", &credentials, NULL) == 0)
        for (; credentials; credentials = credentials->next) require(credentials->host.n > 0 && is_printable(credentials->basic));
    arena_release(&arena);
    return 0;
}
