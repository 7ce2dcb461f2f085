/* URIs, IRIs and URI templates. */
#include "schema_format.h"
#include "text.h"

#include <stdint.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_hex(char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }

/* The character that begins at `p`, whose UTF-8 is good. */
static uint32_t decode(const char *p, size_t size) {
    uint32_t c = (unsigned char)p[0];
    if (size == 1) return c;
    c &= 0xffu >> (size + 1);
    for (size_t i = 1; i < size; i++) c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return c;
}

/* RFC 3987 section 2.2 */
static bool is_ucs(uint32_t c) {
    if (c < 0x10000) return (c >= 0xa0 && c <= 0xd7ff) || (c >= 0xf900 && c <= 0xfdcf) || (c >= 0xfdf0 && c <= 0xffef);
    return c < 0xf0000 && (c & 0xffff) <= 0xfffd && (c < 0xe0000 || c >= 0xe1000);
}

static bool is_private(uint32_t c) {
    return (c >= 0xe000 && c <= 0xf8ff) || (c >= 0xf0000 && c <= 0xffffd) || (c >= 0x100000 && c <= 0x10fffd);
}

enum { ONLY_ASCII = 0, WITH_UCS = 1, WITH_PRIVATE = 2 };

/* Only unreserved characters, sub-delims, percent-encoded bytes, and those of `more` and `beyond`. */
static bool consists_of(struct slice text, const char *more, unsigned beyond) {
    for (size_t i = 0; i < text.n;) {
        char c = text.p[i];
        if ((unsigned char)c >= 0x80) {
            size_t size = text_utf8_sequence(text.p + i, text.n - i);
            uint32_t wide = size ? decode(text.p + i, size) : 0;
            if (!((beyond & WITH_UCS) && is_ucs(wide)) && !((beyond & WITH_PRIVATE) && is_private(wide))) return false;
            i += size;
        } else if (c == '%') {
            if (text.n - i < 3 || !is_hex(text.p[i + 1]) || !is_hex(text.p[i + 2])) return false;
            i += 3;
        } else {
            if (!c || (!is_letter(c) && !is_digit(c) && !strchr("-._~!$&'()*+,;=", c) && !strchr(more, c))) return false;
            i++;
        }
    }
    return true;
}

static size_t find(struct slice text, char wanted) {
    const char *found = text.n ? memchr(text.p, wanted, text.n) : NULL;
    return found ? (size_t)(found - text.p) : text.n;
}

static struct slice from(struct slice text, size_t at) { return slice_of(text.p + at, text.n - at); }

/* Between the brackets. */
static bool is_ip_literal(struct slice text) {
    if (!text.n || (text.p[0] | 0x20) != 'v') return schema_format_ipv6(text);
    size_t dot = find(text, '.');
    if (dot < 2 || dot + 1 >= text.n) return false;
    for (size_t i = 1; i < dot; i++)
        if (!is_hex(text.p[i])) return false;
    struct slice rest = from(text, dot + 1);
    return find(rest, '%') == rest.n && consists_of(rest, ":", ONLY_ASCII);
}

static bool is_authority(struct slice text, unsigned beyond) {
    size_t at = find(text, '@');
    if (at < text.n) {
        if (!consists_of(slice_of(text.p, at), ":", beyond)) return false;
        text = from(text, at + 1);
    }
    size_t end;
    if (text.n && text.p[0] == '[') {
        end = find(text, ']');
        if (end == text.n || !is_ip_literal(slice_of(text.p + 1, end - 1))) return false;
        end++;
    } else {
        end = find(text, ':');
        if (!consists_of(slice_of(text.p, end), "", beyond)) return false;
    }
    if (end == text.n) return true;
    if (text.p[end] != ':') return false;
    for (size_t i = end + 1; i < text.n; i++)
        if (!is_digit(text.p[i])) return false;
    return true;
}

/* The length of the scheme with its colon, or 0. */
static size_t scheme_length(struct slice text) {
    size_t i = 0;
    if (!text.n || !is_letter(text.p[0])) return 0;
    while (i < text.n && (is_letter(text.p[i]) || is_digit(text.p[i]) || (text.p[i] && strchr("+-.", text.p[i])))) i++;
    return i < text.n && text.p[i] == ':' ? i + 1 : 0;
}

/* RFC 3986 appendix A, RFC 3987 section 2.2 */
static bool is_reference(struct slice text, bool absolute, unsigned beyond) {
    size_t scheme = scheme_length(text);
    if (absolute && !scheme) return false;
    if (!text.n) return true;
    text = from(text, scheme);
    size_t hash = find(text, '#');
    if (hash < text.n && !consists_of(from(text, hash + 1), ":@/?", beyond)) return false;
    text.n = hash;
    size_t mark = find(text, '?');
    if (mark < text.n && !consists_of(from(text, mark + 1), ":@/?", beyond ? beyond | WITH_PRIVATE : ONLY_ASCII)) return false;
    text.n = mark;
    if (slice_starts(text, SLICE("//"))) {
        text = from(text, 2);
        size_t slash = find(text, '/');
        if (!is_authority(slice_of(text.p, slash), beyond)) return false;
        text = from(text, slash);
    } else if (!scheme && find(text, ':') < find(text, '/')) {
        return false;
    }
    return consists_of(text, ":@/", beyond);
}

bool schema_format_uri(struct slice text) { return is_reference(text, true, ONLY_ASCII); }
bool schema_format_uri_reference(struct slice text) { return is_reference(text, false, ONLY_ASCII); }
bool schema_format_iri(struct slice text) { return is_reference(text, true, WITH_UCS); }
bool schema_format_iri_reference(struct slice text) { return is_reference(text, false, WITH_UCS); }

/* ---- RFC 6570 section 2 ---- */

/* The length of one character of a variable's name, or 0. */
static size_t name_character(struct slice text) {
    if (!text.n) return 0;
    if (text.p[0] == '%') return text.n > 2 && is_hex(text.p[1]) && is_hex(text.p[2]) ? 3 : 0;
    return is_letter(text.p[0]) || is_digit(text.p[0]) || text.p[0] == '_';
}

static bool is_variable(struct slice text) {
    size_t size = name_character(text);
    if (!size) return false;
    do {
        text = from(text, size);
        bool dot = text.n && text.p[0] == '.';
        size = name_character(dot ? from(text, 1) : text);
        if (dot && !size) return false;
        size += dot;
    } while (size);
    if (!text.n || slice_is(text, "*")) return true;
    if (text.p[0] != ':' || text.n < 2 || text.n > 5 || text.p[1] == '0') return false;
    for (size_t i = 1; i < text.n; i++)
        if (!is_digit(text.p[i])) return false;
    return true;
}

/* Between the braces. */
static bool is_expression(struct slice text) {
    if (text.n && text.p[0] && strchr("+#./;?&=,!@|", text.p[0])) text = from(text, 1);
    for (;;) {
        size_t comma = find(text, ',');
        if (!is_variable(slice_of(text.p, comma))) return false;
        if (comma == text.n) return true;
        text = from(text, comma + 1);
    }
}

/* The length of the literal character at the front, or 0. */
static size_t literal_character(struct slice text) {
    unsigned char c = (unsigned char)text.p[0];
    if (c >= 0x80) {
        size_t size = text_utf8_sequence(text.p, text.n);
        uint32_t wide = size ? decode(text.p, size) : 0;
        return is_ucs(wide) || is_private(wide) ? size : 0;
    }
    if (c == '%') return name_character(text);
    return c > ' ' && c < 0x7f && !strchr("\"<>\\^`{|}", c);
}

bool schema_format_uri_template(struct slice text) {
    while (text.n) {
        size_t size;
        if (text.p[0] == '{') {
            size_t close = find(text, '}');
            if (close == text.n || !is_expression(slice_of(text.p + 1, close - 1))) return false;
            size = close + 1;
        } else {
            size = literal_character(text);
        }
        if (!size) return false;
        text = from(text, size);
    }
    return true;
}
