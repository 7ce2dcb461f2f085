/* Readers for what a registry says in its answer's header fields: untrusted bytes. Nothing here allocates or reaches out. */
#ifndef SLUICE_REGISTRY_HEADERS_H
#define SLUICE_REGISTRY_HEADERS_H

#include "slice.h"
#include "text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The next field of that name (any case) in a block of "Name: value" lines; its value without white space around it.
 * `*at` is where to go on and begins at 0. False when there is none. */
bool header_next(struct slice block, const char *name, size_t *at, struct slice *ret_value);
/* The value when all fields of that name agree; `p` is NULL when there is none, and also when two differ. */
struct slice header_only(struct slice block, const char *name);

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

enum { CHALLENGE_TEXT = 512 };

/* What a 401 asks for. Texts are terminated; what is longer than its room makes the challenge unusable. */
struct challenge {
    enum challenge_scheme scheme;
    char realm[CHALLENGE_TEXT], service[CHALLENGE_TEXT], scope[CHALLENGE_TEXT];
};

/* The best challenge of all WWW-Authenticate fields (RFC 9110 section 11.6.1; Bearer as in the distribution project's
 * "Token Authentication Specification"): Bearer with a realm before Basic. CHALLENGE_NONE when there is none that we know. */
void challenge_read(struct slice block, struct challenge *ret_challenge);

/* Retry-After (RFC 9110 section 10.2.3) in seconds from now, at most an hour: a number, or a date, which is compared with
 * the answer's own Date or else with `now`. -1 when there is none that can be read. */
int64_t retry_after(struct slice block, instant now);
/* An HTTP-date in any of its three forms (RFC 9110 section 5.6.7), in seconds since 1970. */
bool http_date(struct slice text, int64_t *ret_seconds);

/* Where a token is to be fetched: `https://host[:port]/...` or `http://`. No user, no fragment, nothing that two readers of
 * URLs could understand in two ways. */
struct realm {
    bool plain_http;
    struct slice authority; /* host[:port], into the text */
    struct slice host;      /* without the port */
    bool has_query;
};
bool realm_parse(struct slice text, struct realm *ret_realm);

/* The host of "host[:port]"; an IPv6 address keeps its brackets. */
struct slice authority_host(struct slice authority);
/* Equal but for the case of ASCII letters. */
bool slice_equal_nocase(struct slice a, struct slice b);

#endif
