#include "registry_headers.h"

#include <time.h>

enum { RETRY_AFTER_MAX = 3600, DATE_MAX = 40 };

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
/* tchar of RFC 9110 section 5.6.2 */
static bool is_token(char c) { return is_letter(c) || is_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c)); }
static bool is_space(char c) { return c == ' ' || c == '\t'; }

bool slice_equal_nocase(struct slice a, struct slice b) {
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

bool header_next(struct slice block, const char *name, size_t *at, struct slice *ret_value) {
    struct slice wanted = slice_str(name);
    while (*at < block.n) {
        const char *line = block.p + *at;
        const char *end = memchr(line, '\n', block.n - *at);
        size_t n = end ? (size_t)(end - line) : block.n - *at;
        *at += n + (end ? 1 : 0);
        if (n <= wanted.n || line[wanted.n] != ':' || !slice_equal_nocase(slice_of(line, wanted.n), wanted)) continue;
        struct slice value = slice_of(line + wanted.n + 1, n - wanted.n - 1);
        while (value.n && (is_space(value.p[value.n - 1]) || value.p[value.n - 1] == '\r')) value.n--;
        while (value.n && is_space(value.p[0])) value = slice_of(value.p + 1, value.n - 1);
        *ret_value = value;
        return true;
    }
    return false;
}

struct slice header_only(struct slice block, const char *name) {
    size_t at = 0;
    struct slice only = {NULL, 0}, value;
    while (header_next(block, name, &at, &value)) {
        if (only.p && !slice_equal(only, value)) return (struct slice){NULL, 0};
        only = value;
    }
    return only;
}

/* ---- WWW-Authenticate ---- */

struct scanner {
    const char *p, *end;
};

static bool more(const struct scanner *s) { return s->p < s->end; }

static void skip(struct scanner *s, const char *what) {
    while (more(s) && *s->p && strchr(what, *s->p)) s->p++;
}

static struct slice take_token(struct scanner *s) {
    const char *begin = s->p;
    while (more(s) && is_token(*s->p)) s->p++;
    return slice_of(begin, (size_t)(s->p - begin));
}

/* A parameter's value into `to` (which may be NULL); false when it is malformed, does not fit or stood there before. */
static bool take_value(struct scanner *s, char *to) {
    char text[CHALLENGE_TEXT];
    size_t n = 0;
    bool quoted = more(s) && *s->p == '"', closed = !quoted;
    if (quoted) s->p++;
    for (; more(s) && (quoted || is_token(*s->p)); s->p++) {
        if (quoted && *s->p == '"') {
            closed = true;
            s->p++;
            break;
        }
        if (quoted && *s->p == '\\' && ++s->p == s->end) break;
        if ((unsigned char)*s->p < ' ' || (unsigned char)*s->p >= 0x7f) return false;
        if (n + 1 < sizeof text) text[n] = *s->p;
        n++;
    }
    if (!closed || n >= sizeof text || (to && to[0])) return false;
    if (to) {
        memcpy(to, text, n);
        to[n] = '\0';
    }
    return true;
}

/* One challenge; the scanner stands behind its scheme. False when it is malformed: nothing behind it can be trusted then. */
static bool take_parameters(struct scanner *s, struct challenge *to) {
    for (;;) {
        struct scanner before = *s;
        skip(s, " \t,");
        if (!more(s)) return true;
        struct slice name = take_token(s);
        struct scanner behind_name = *s;
        skip(s, " \t");
        if (!name.n) return false;
        if (!more(s) || *s->p != '=') { /* the next challenge's scheme */
            *s = before;
            return true;
        }
        s->p++;
        skip(s, " \t");
        if (!more(s) || *s->p == ',' || *s->p == '=') { /* a token68, as "Negotiate YWJj==" */
            *s = behind_name;
            skip(s, "=");
            continue;
        }
        char *room = slice_equal_nocase(name, SLICE("realm"))     ? to->realm
                     : slice_equal_nocase(name, SLICE("service")) ? to->service
                     : slice_equal_nocase(name, SLICE("scope"))   ? to->scope
                                                                  : NULL;
        if (!take_value(s, room)) return false;
    }
}

static void read_field(struct slice value, struct challenge *best) {
    struct scanner s = {value.p, value.p + value.n};
    for (;;) {
        skip(&s, " \t,");
        struct slice scheme = take_token(&s);
        if (!scheme.n) return;
        struct challenge one = {.scheme = slice_equal_nocase(scheme, SLICE("Bearer"))  ? CHALLENGE_BEARER
                                          : slice_equal_nocase(scheme, SLICE("Basic")) ? CHALLENGE_BASIC
                                                                                       : CHALLENGE_NONE};
        if (more(&s) && !is_space(*s.p) && *s.p != ',') return;
        if (!take_parameters(&s, &one)) return;
        if (one.scheme == CHALLENGE_BEARER && !one.realm[0]) continue;
        if (one.scheme > best->scheme) *best = one;
    }
}

void challenge_read(struct slice block, struct challenge *ret_challenge) {
    struct challenge best = {.scheme = CHALLENGE_NONE};
    struct slice value;
    for (size_t at = 0; header_next(block, "www-authenticate", &at, &value);)
        if (value.n) read_field(value, &best);
    *ret_challenge = best;
}

/* ---- Retry-After ---- */

bool http_date(struct slice text, int64_t *ret_seconds) {
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"};
    char copy[DATE_MAX + 1];
    if (!text.n || text.n > DATE_MAX || memchr(text.p, '\0', text.n)) return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm parts = {0};
        const char *end = strptime(copy, forms[i], &parts);
        if (!end || *end) continue;
        *ret_seconds = timegm(&parts);
        return true;
    }
    return false;
}

int64_t retry_after(struct slice block, instant now) {
    struct slice value = header_only(block, "retry-after");
    int64_t seconds = 0, at, from;
    if (!value.n) return -1;
    if (is_digit(value.p[0])) {
        for (size_t i = 0; i < value.n; i++) {
            if (!is_digit(value.p[i])) return -1;
            seconds = seconds * 10 + (value.p[i] - '0');
            if (seconds > RETRY_AFTER_MAX) seconds = RETRY_AFTER_MAX;
        }
        return seconds;
    }
    if (!http_date(value, &at)) return -1;
    if (!http_date(header_only(block, "date"), &from)) from = now / 1000000;
    seconds = at - from;
    return seconds < 0 ? 0 : seconds > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : seconds;
}

/* ---- the token's realm ---- */

struct slice authority_host(struct slice authority) {
    const char *bracket = authority.n && authority.p[0] == '[' ? memchr(authority.p, ']', authority.n) : NULL;
    if (bracket) return slice_of(authority.p, (size_t)(bracket - authority.p) + 1);
    const char *colon = authority.n ? memchr(authority.p, ':', authority.n) : NULL;
    return colon ? slice_of(authority.p, (size_t)(colon - authority.p)) : authority;
}

static bool is_authority(struct slice text) {
    struct slice host = authority_host(text);
    if (!host.n || text.n > 255) return false;
    bool bracketed = host.p[0] == '[';
    if (bracketed && host.p[host.n - 1] != ']') return false;
    for (size_t i = bracketed; i < host.n - bracketed; i++) {
        char c = host.p[i];
        bool fits = is_digit(c) || (bracketed ? c == ':' || c == '.' || (lower(c) >= 'a' && lower(c) <= 'f')
                                              : is_letter(c) || c == '-' || c == '.');
        if (!fits) return false;
    }
    if (text.n == host.n) return true;
    unsigned port = 0;
    if (text.p[host.n] != ':' || text.n == host.n + 1 || text.n > host.n + 6) return false;
    for (size_t i = host.n + 1; i < text.n; i++) {
        if (!is_digit(text.p[i])) return false;
        port = port * 10 + (unsigned)(text.p[i] - '0');
    }
    return port > 0 && port <= 65535;
}

bool realm_parse(struct slice text, struct realm *ret_realm) {
    struct realm realm = {.plain_http = slice_starts(text, SLICE("http://"))};
    if (!realm.plain_http && !slice_starts(text, SLICE("https://"))) return false;
    size_t begin = realm.plain_http ? 7 : 8, end = begin;
    while (end < text.n && !strchr("/?#", text.p[end])) end++;
    realm.authority = slice_of(text.p + begin, end - begin);
    if (!is_authority(realm.authority)) return false;
    realm.host = authority_host(realm.authority);
    for (size_t i = end; i < text.n; i++) {
        char c = text.p[i];
        if (c <= ' ' || c >= 0x7f || strchr("#\\\"<>^`{|}", c)) return false;
        if (c == '?') realm.has_query = true;
    }
    *ret_realm = realm;
    return true;
}
