/* References to images in a registry. The pattern is a whitelist: what it lets through goes into URLs. */
#include "digest.h"
#include "manifest.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { HOST_MAX = 253, LABEL_MAX = 63, NAME_MAX_TOTAL = 255 /* host and repository, as registries limit them */, TAG_MAX = 128 };

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_lower_alphanumeric(char c) { return is_lower(c) || is_digit(c); }
static bool is_alphanumeric(char c) { return is_lower_alphanumeric(c) || is_upper(c); }

static struct slice from(struct slice text, size_t at) { return slice_of(text.p + at, text.n - at); }

static size_t find(struct slice text, char c) {
    const char *at = text.n ? memchr(text.p, c, text.n) : NULL;
    return at ? (size_t)(at - text.p) : text.n;
}

static bool is_port(struct slice text) {
    unsigned value = 0;
    if (!text.n || text.n > 5 || text.p[0] == '0') return false;
    for (size_t i = 0; i < text.n; i++) {
        if (!is_digit(text.p[i])) return false;
        value = value * 10 + (unsigned)(text.p[i] - '0');
    }
    return value <= 65535;
}

static bool is_address(int family, struct slice text) {
    char copy[INET6_ADDRSTRLEN];
    unsigned char bytes[sizeof(struct in6_addr)];
    if (!text.n || text.n >= sizeof copy || memchr(text.p, '\0', text.n)) return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    return inet_pton(family, copy, bytes) == 1;
}

static bool is_label(struct slice text) {
    if (!text.n || text.n > LABEL_MAX || !is_alphanumeric(text.p[0]) || !is_alphanumeric(text.p[text.n - 1])) return false;
    for (size_t i = 1; i < text.n; i++)
        if (!is_alphanumeric(text.p[i]) && text.p[i] != '-') return false;
    return true;
}

/* A name of DNS labels, or four decimal octets. A last label that begins with a digit must be the latter: resolvers take
 * "127.1" and "0x7f.0.0.0x1" for addresses too. `ret_dotted` says whether it has more than one label. */
static bool is_host_name(struct slice text, bool *ret_dotted) {
    if (!text.n || text.n > HOST_MAX) return false;
    struct slice rest = text, label;
    bool dotted = false;
    for (;; dotted = true) {
        size_t n = find(rest, '.');
        label = slice_of(rest.p, n);
        if (!is_label(label)) return false;
        if (n == rest.n) break;
        rest = from(rest, n + 1);
    }
    *ret_dotted = dotted;
    return !is_digit(label.p[0]) || is_address(AF_INET, text);
}

/* host[:port]. Without a dot or a port only "localhost" is one, as everywhere in this trade: `acme/shop` names no host. */
static bool is_host(struct slice text) {
    if (text.n && text.p[0] == '[') {
        size_t end = find(text, ']');
        if (end == text.n || !is_address(AF_INET6, slice_of(text.p + 1, end - 1))) return false;
        struct slice rest = from(text, end + 1);
        return !rest.n || (rest.p[0] == ':' && is_port(from(rest, 1)));
    }
    size_t colon = find(text, ':');
    struct slice name = slice_of(text.p, colon);
    bool dotted = false;
    if (!is_host_name(name, &dotted)) return false;
    if (colon < text.n) return is_port(from(text, colon + 1));
    return dotted || slice_is(name, "localhost");
}

/* The separators that may stand between two runs of letters and digits: one dot, one or two underscores, any hyphens. */
static bool is_separator(struct slice text) {
    if (slice_is(text, ".") || slice_is(text, "_") || slice_is(text, "__")) return true;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '-') return false;
    return text.n > 0;
}

/* `<name>` of the OCI distribution specification, "Pull":
 * [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)* */
static bool is_repository(struct slice text) {
    size_t i = 0;
    for (;;) {
        size_t run = i;
        while (i < text.n && is_lower_alphanumeric(text.p[i])) i++;
        if (i == run) return false;
        if (i == text.n) return true;
        if (text.p[i] == '/') {
            i++;
            continue;
        }
        size_t separator = i;
        while (i < text.n && (text.p[i] == '.' || text.p[i] == '_' || text.p[i] == '-')) i++;
        if (!is_separator(slice_of(text.p + separator, i - separator))) return false;
    }
}

/* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
static bool is_tag(struct slice text) {
    if (!text.n || text.n > TAG_MAX || text.p[0] == '.' || text.p[0] == '-') return false;
    for (size_t i = 0; i < text.n; i++)
        if (!is_alphanumeric(text.p[i]) && text.p[i] != '_' && text.p[i] != '.' && text.p[i] != '-') return false;
    return true;
}

bool image_reference_parse(struct slice uri, struct image_reference *ret_reference) {
    struct image_reference reference = {.tag = {NULL, 0}};
    if (slice_starts(uri, SLICE("docker://")))
        uri = from(uri, 9);
    else if (slice_starts(uri, SLICE("oci://")))
        uri = from(uri, 6);
    size_t slash = find(uri, '/');
    if (slash == uri.n) return false;
    reference.host = slice_of(uri.p, slash);
    struct slice rest = from(uri, slash + 1);
    size_t at = find(rest, '@');
    if (at < rest.n) {
        reference.digest = from(rest, at + 1);
        if (!digest_is_valid(reference.digest)) return false;
        rest.n = at;
    }
    size_t colon = find(rest, ':');
    if (colon < rest.n) {
        reference.tag = from(rest, colon + 1);
        if (!is_tag(reference.tag)) return false;
        rest.n = colon;
    }
    reference.repository = rest;
    if (reference.host.n + 1 + rest.n > NAME_MAX_TOTAL || !is_host(reference.host) || !is_repository(rest)) return false;
    *ret_reference = reference;
    return true;
}
