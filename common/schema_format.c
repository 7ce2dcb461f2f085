#include "schema_format.h"

#include "schema_pattern.h"
#include "text.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* Takes `count` digits off the front; -1 when there are not as many. */
static int take_digits(struct slice *text, size_t count) {
    int value = 0;
    if (text->n < count) return -1;
    for (size_t i = 0; i < count; i++) {
        if (!is_digit(text->p[i])) return -1;
        value = value * 10 + (text->p[i] - '0');
    }
    *text = slice_of(text->p + count, text->n - count);
    return value;
}

static bool take_one(struct slice *text, const char *choices) {
    if (!text->n || !text->p[0] || !strchr(choices, text->p[0])) return false;
    *text = slice_of(text->p + 1, text->n - 1);
    return true;
}

/* ---- date and time (RFC 3339 section 5.6) ---- */

static bool take_date(struct slice *text) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = take_digits(text, 4);
    if (year < 0 || !take_one(text, "-")) return false;
    int month = take_digits(text, 2);
    if (month < 1 || month > 12 || !take_one(text, "-")) return false;
    int day = take_digits(text, 2);
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

static bool take_time(struct slice *text) {
    int hour = take_digits(text, 2);
    if (hour < 0 || hour > 23 || !take_one(text, ":")) return false;
    int minute = take_digits(text, 2);
    if (minute < 0 || minute > 59 || !take_one(text, ":")) return false;
    int second = take_digits(text, 2);
    if (second < 0 || second > 60) return false;
    if (take_one(text, ".")) {
        if (take_digits(text, 1) < 0) return false;
        while (take_digits(text, 1) >= 0) {
        }
    }
    int offset = 0; /* minutes */
    if (!take_one(text, "zZ")) {
        bool east = text->n && text->p[0] == '+';
        if (!take_one(text, "+-")) return false;
        int hours = take_digits(text, 2);
        if (hours < 0 || hours > 23 || !take_one(text, ":")) return false;
        int minutes = take_digits(text, 2);
        if (minutes < 0 || minutes > 59) return false;
        offset = (hours * 60 + minutes) * (east ? 1 : -1);
    }
    /* A leap second is the last one of a day in UTC. */
    return second < 60 || (hour * 60 + minute - offset + 2 * 1440) % 1440 == 1439;
}

static bool is_date(struct slice text) { return take_date(&text) && !text.n; }
static bool is_time(struct slice text) { return take_time(&text) && !text.n; }
static bool is_date_time(struct slice text) { return take_date(&text) && take_one(&text, "tT") && take_time(&text) && !text.n; }

/* ---- addresses ---- */

/* RFC 2673 section 3.2: four decimal numbers, none with a leading zero. */
bool schema_format_ipv4(struct slice text) {
    for (int part = 0; part < 4; part++) {
        if (part && !take_one(&text, ".")) return false;
        int value = take_digits(&text, 1), digit;
        if (value < 0 || (value == 0 && text.n && is_digit(text.p[0]))) return false; /* 010 is 8 to some readers */
        for (int i = 0; i < 2 && (digit = take_digits(&text, 1)) >= 0; i++) value = value * 10 + digit;
        if (value > 255 || (text.n && is_digit(text.p[0]))) return false;
    }
    return !text.n;
}

static size_t hex_digits(struct slice text) {
    size_t n = 0;
    while (n < text.n && (is_digit(text.p[n]) || ((text.p[n] | 0x20) >= 'a' && (text.p[n] | 0x20) <= 'f'))) n++;
    return n;
}

/* RFC 4291 section 2.2. */
bool schema_format_ipv6(struct slice text) {
    int groups = 0;
    bool shortened = false;
    if (slice_starts(text, SLICE("::"))) {
        shortened = true;
        text = slice_of(text.p + 2, text.n - 2);
        if (!text.n) return true;
    }
    for (;;) {
        size_t digits = hex_digits(text);
        if (groups <= 6 && digits < text.n && text.p[digits] == '.')
            return schema_format_ipv4(text) && (shortened ? groups <= 5 : groups == 6);
        if (digits < 1 || digits > 4 || ++groups > 8) return false;
        text = slice_of(text.p + digits, text.n - digits);
        if (!text.n) break;
        if (!take_one(&text, ":")) return false;
        if (!take_one(&text, ":")) continue;
        if (shortened) return false;
        shortened = true;
        if (!text.n) break;
    }
    return shortened ? groups <= 7 : groups == 8;
}

/* ---- mail (RFC 5321 section 4.1.2, RFC 6531) ---- */

static bool is_atom_text(char c, bool international) {
    if ((unsigned char)c >= 0x80) return international;
    return is_letter(c) || is_digit(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool is_dot_string(struct slice local, bool international) {
    bool first = true; /* of an atom */
    for (size_t i = 0; i < local.n; i++) {
        bool dot = local.p[i] == '.';
        if (dot ? first : !is_atom_text(local.p[i], international)) return false;
        first = dot;
    }
    return !first;
}

static bool is_quoted_string(struct slice local, bool international) {
    if (local.n < 2 || local.p[0] != '"' || local.p[local.n - 1] != '"') return false;
    for (size_t i = 1; i + 1 < local.n; i++) {
        unsigned char c = (unsigned char)local.p[i];
        if (c >= 0x80 && international) continue;
        if (c == '\\' && ++i + 1 < local.n) c = ' ' <= local.p[i] ? 'x' : 0;
        if (c < ' ' || c >= 0x7f || c == '"' || c == '\\') return false;
    }
    return true;
}

static bool is_address_literal(struct slice domain) {
    if (domain.n < 2 || domain.p[0] != '[' || domain.p[domain.n - 1] != ']') return false;
    struct slice inner = slice_of(domain.p + 1, domain.n - 2);
    if (slice_starts(inner, SLICE("IPv6:"))) return schema_format_ipv6(slice_of(inner.p + 5, inner.n - 5));
    return schema_format_ipv4(inner);
}

/* What is not ASCII in a domain is taken as it is: mail programs convert it, also where it is not normalised. */
static bool is_mail_domain(struct slice domain, bool international) {
    size_t label = 0;
    if (!domain.n || domain.n > 255) return false;
    for (size_t i = 0; i <= domain.n; i++) {
        char c = i < domain.n ? domain.p[i] : '.';
        if (c == '.' || c == '-') {
            if (!label || (c == '.' && (domain.p[i - 1] == '-' || label > 63))) return false;
            label = c == '.' ? 0 : label + 1;
        } else if (is_letter(c) || is_digit(c) || (international && (unsigned char)c >= 0x80)) {
            label++;
        } else {
            return false;
        }
    }
    return true;
}

static bool is_mailbox(struct slice text, bool international) {
    size_t at = text.n;
    while (at > 0 && text.p[at - 1] != '@') at--;
    if (!at) return false;
    struct slice local = slice_of(text.p, at - 1), domain = slice_of(text.p + at, text.n - at);
    if (!local.n || local.n > 64) return false;
    if (!is_dot_string(local, international) && !is_quoted_string(local, international)) return false;
    return is_mail_domain(domain, international) || is_address_literal(domain);
}

static bool is_email(struct slice text) { return is_mailbox(text, false); }
static bool is_idn_email(struct slice text) { return is_mailbox(text, true); }

/* ---- pointers and patterns ---- */

/* RFC 6901 section 3. */
static bool is_json_pointer(struct slice text) {
    if (text.n && text.p[0] != '/') return false;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '~' && (i + 1 == text.n || (text.p[i + 1] != '0' && text.p[i + 1] != '1'))) return false;
    return true;
}

/* draft-handrews-relative-json-pointer-01. */
static bool is_relative_json_pointer(struct slice text) {
    bool zero = text.n && text.p[0] == '0';
    if (take_digits(&text, 1) < 0) return false;
    while (!zero && take_digits(&text, 1) >= 0) {
    }
    return slice_is(text, "#") || is_json_pointer(text);
}

static bool is_regex(struct slice text) {
    struct schema_pattern *pattern;
    if (schema_pattern_new(text, &pattern, NULL)) return false;
    schema_pattern_free(pattern);
    return true;
}

static const struct schema_format formats[] = {
    {"date-time", is_date_time, "an RFC 3339 date-time, as 2026-03-01T10:00:00Z"},
    {"date", is_date, "an RFC 3339 date, as 2026-03-01"},
    {"time", is_time, "an RFC 3339 time with its offset, as 10:00:00Z"},
    {"email", is_email, "an e-mail address"},
    {"idn-email", is_idn_email, "an e-mail address"},
    {"hostname", schema_format_hostname, "a host name"},
    {"idn-hostname", schema_format_idn_hostname, "a host name"},
    {"ipv4", schema_format_ipv4, "an IPv4 address, as 192.0.2.1"},
    {"ipv6", schema_format_ipv6, "an IPv6 address, as 2001:db8::1"},
    {"uri", schema_format_uri, "a URI with its scheme, as https://example.com/a"},
    {"uri-reference", schema_format_uri_reference, "a URI reference"},
    {"iri", schema_format_iri, "an IRI with its scheme"},
    {"iri-reference", schema_format_iri_reference, "an IRI reference"},
    {"uri-template", schema_format_uri_template, "a URI template (RFC 6570)"},
    {"json-pointer", is_json_pointer, "a JSON Pointer, as /a/0"},
    {"relative-json-pointer", is_relative_json_pointer, "a relative JSON Pointer, as 1/a"},
    {"regex", is_regex, "an ECMA-262 regular expression"},
};

const struct schema_format *schema_format_find(struct slice name) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (slice_is(name, formats[i].name)) return &formats[i];
    return NULL;
}
