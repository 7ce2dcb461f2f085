/* Any bytes as each of draft-07's formats, and against whoever else knows them: inet_pton, our own reader of instants, JSON
 * Pointers, and the formats that include each other.
 *
 * Covers: common/schema_format.c common/schema_format_host.c common/schema_format_uri.c */
#include "fuzz.h"
#include "schema_format.h"

#include <arpa/inet.h>

static const char *const names[] = {
    "date-time", "date", "time",          "email", "idn-email",     "hostname",     "idn-hostname", "ipv4",
    "ipv6",      "uri",  "uri-reference", "iri",   "iri-reference", "uri-template", "json-pointer", "relative-json-pointer",
    "regex"};

static bool matches(const char *name, struct slice text) {
    const struct schema_format *format = schema_format_find(slice_str(name));
    REQUIRE(format && slice_is(slice_str(format->name), name) && format->expected[0]);
    return format->matches(text);
}

static bool is_ascii(struct slice text) {
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] >= 0x80) return false;
    return true;
}

static void check_addresses(struct slice text) {
    char copy[64];
    unsigned char bytes[16];
    bool fits = text.n && text.n < sizeof copy && !memchr(text.p, '\0', text.n);
    if (fits) memcpy(copy, text.p, text.n);
    copy[fits ? text.n : 0] = '\0';
    REQUIRE(matches("ipv4", text) == (fits && inet_pton(AF_INET, copy, bytes) == 1));
    bool ipv6 = fits && inet_pton(AF_INET6, copy, bytes) == 1;
    if (ipv6 != matches("ipv6", text)) fprintf(stderr, "ipv6 %d: %s\n", ipv6, copy);
    REQUIRE(matches("ipv6", text) == ipv6);
}

static bool is_pointer(struct slice text) {
    if (text.n && text.p[0] != '/') return false;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '~' && (i + 1 == text.n || (text.p[i + 1] != '0' && text.p[i + 1] != '1'))) return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice text = slice_of(data, size);
    instant at;
    if (size > 2000 || !text_is_utf8(text)) return 0; /* the functions are promised UTF-8 */
    if (!text.p) text = SLICE("");
    REQUIRE(!schema_format_find(text) || text.n);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) (void)matches(names[i], text);
    check_addresses(text);
    REQUIRE(matches("date-time", text) == text_parse_instant(text, &at));
    REQUIRE(matches("json-pointer", text) == is_pointer(text));
    if (matches("uri", text)) REQUIRE(matches("uri-reference", text) && matches("iri", text) && is_ascii(text));
    if (matches("uri-reference", text)) REQUIRE(matches("iri-reference", text) && is_ascii(text));
    if (matches("iri", text)) REQUIRE(matches("iri-reference", text));
    if (is_ascii(text)) REQUIRE(matches("iri", text) == matches("uri", text));
    if (is_ascii(text)) REQUIRE(matches("iri-reference", text) == matches("uri-reference", text));
    if (matches("hostname", text)) REQUIRE(matches("idn-hostname", text) && is_ascii(text) && text.n <= 253);
    if (matches("email", text)) REQUIRE(matches("idn-email", text) && is_ascii(text));
    return 0;
}
