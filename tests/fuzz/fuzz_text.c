/* Any bytes as the small texts with fixed rules: names, digests, instants, durations, numbers, addresses, image references.
 * What is accepted is what the rules say, and printed and read again it is the same.
 *
 * Covers: common/text.c common/digest.c common/image_reference.c worker/address.c */
#include "address.h"
#include "fuzz.h"
#include "manifest.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <unistd.h>

static bool only(struct slice text, const char *allowed) {
    for (size_t i = 0; i < text.n; i++)
        if (!text.p[i] || !strchr(allowed, text.p[i])) return false;
    return true;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static void check_names(struct slice text) {
    if (text_is_project(text)) REQUIRE(text.n >= 1 && text.n <= 200 && only(text, LOWER UPPER DIGITS "._-/"));
    if (text_is_project(text)) REQUIRE(text.p[0] != '/' && text.p[text.n - 1] != '/' && !memmem(text.p, text.n, "//", 2));
    if (text_is_environment(text)) REQUIRE(text.n >= 1 && text.n <= 63 && only(text, LOWER DIGITS "-"));
    if (text_is_git_sha(text)) REQUIRE((text.n == 40 || text.n == 64) && only(text, DIGITS "abcdef"));
}

/* UTF-8 by another way: decode by hand and look at the number (RFC 3629). */
static bool is_utf8(struct slice text) {
    for (size_t i = 0; i < text.n;) {
        unsigned char c = (unsigned char)text.p[i];
        size_t more = c < 0x80 ? 0 : c >= 0xc0 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xf0 && c < 0xf8 ? 3 : 9;
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (more > 3 || text.n - i <= more) return false;
        uint32_t value = more ? c & (0x3fu >> more) : c;
        for (size_t k = 1; k <= more; k++) {
            unsigned char next = (unsigned char)text.p[i + k];
            if ((next & 0xc0) != 0x80) return false;
            value = value << 6 | (next & 0x3f);
        }
        if (value < least[more] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return false;
        i += more + 1;
    }
    return true;
}

static void check_hex(struct slice text) {
    unsigned char bytes[64], again[64];
    char written[128];
    if (text.n % 2 == 0 && text.n <= 128 && text_unhex(bytes, text.n / 2, text)) {
        text_hex(written, bytes, text.n / 2);
        for (size_t i = 0; i < text.n; i++) REQUIRE(written[i] == text.p[i] || written[i] == (text.p[i] | 0x20));
    }
    size_t size = text.n < sizeof again ? text.n : sizeof again;
    memcpy(again, text.n ? text.p : "", size);
    text_hex(written, again, size);
    REQUIRE(text_unhex(bytes, size, slice_of(written, 2 * size)) && memcmp(bytes, again, size) == 0);
}

static void check_base32(struct slice text) {
    unsigned char bytes[16] = {0}, again[16];
    char written[TEXT_BASE32_16];
    if (text_unbase32(bytes, text)) {
        text_base32(written, bytes);
        REQUIRE(slice_equal(slice_of(written, sizeof written), text)); /* one text for each id, so ids compare as texts */
    }
    memcpy(bytes, text.n ? text.p : "", text.n < 16 ? text.n : 16);
    text_base32(written, bytes);
    REQUIRE(text_unbase32(again, slice_of(written, sizeof written)) && memcmp(bytes, again, 16) == 0);
}

static void check_instant(struct slice text) {
    instant at, again;
    char written[TEXT_INSTANT];
    if (text_parse_instant(text, &at)) {
        text_instant(written, at);
        const instant earliest = -62167219200000000, latest = 253402300799999999; /* the years 0000 to 9999 */
        REQUIRE(text_parse_instant(slice_of(written, sizeof written), &again));
        REQUIRE(again == (at < earliest ? earliest : at > latest ? latest : at));
    }
    int64_t any = 0;
    memcpy(&any, text.n ? text.p : "", text.n < sizeof any ? text.n : sizeof any);
    text_instant(written, any);
    REQUIRE(text_parse_instant(slice_of(written, sizeof written), &at));
    text_instant(written, at);
    REQUIRE(text_parse_instant(slice_of(written, sizeof written), &again) && again == at);
}

static void check_numbers(struct slice text) {
    int64_t duration, again;
    uint64_t number;
    char written[64];
    if (text_parse_duration(text, &duration)) {
        REQUIRE(duration >= 0 && duration <= (int64_t)3653 * 86400 * 1000000);
        text_duration(written, sizeof written, duration);
        REQUIRE(text_parse_duration(slice_str(written), &again) && again == duration);
    }
    if (text_parse_number(text, UINT64_MAX, &number)) {
        REQUIRE(number == strtoull((memcpy(written, text.p, text.n), written[text.n] = '\0', written), NULL, 10));
        REQUIRE(text_parse_number(text, number, &number) && (!number || !text_parse_number(text, number - 1, &number)));
    }
    REQUIRE(text_murmur2(text) <= INT32_MAX);
}

static void check_digest(struct slice text) {
    struct digest digest;
    char written[DIGEST_TEXT], of_file[160], path[64];
    if (digest_parse(text, &digest)) {
        digest_text(written, &digest);
        REQUIRE(digest_is_valid(text) && slice_equal(slice_of(written, sizeof written), text));
    } else if (digest_is_valid(text)) {
        REQUIRE(slice_starts(text, SLICE("sha512:")));
    }
    /* A file has the digest of its bytes. */
    digest = digest_of(text);
    digest_text(written, &digest);
    int file = memfd_create("bytes", 0);
    REQUIRE(file >= 0 && (!text.n || write(file, text.p, text.n) == (ssize_t)text.n));
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    REQUIRE(digest_file(path, "sha256", of_file, sizeof of_file, NULL) == 0);
    REQUIRE(slice_equal(slice_str(of_file), slice_of(written, sizeof written)));
    REQUIRE(digest_file(path, "sha512", of_file, sizeof of_file, NULL) == 0 && digest_is_valid(slice_str(of_file)));
    struct error error = {0};
    REQUIRE(digest_file(path, "sha256", of_file, 10, &error));
    REQUIRE(digest_file("/proc/self/fd", "sha256", of_file, sizeof of_file, &error) && error.code[0]);
    (void)close(file);
    REQUIRE(digest_file(path, "md17", of_file, sizeof of_file, &error) && error.code[0]);
    REQUIRE(digest_file(path, "sha256", of_file, sizeof of_file, &error) && error.code[0]); /* it is gone */
}

/* What may go into a URL, and put together again gives the text. */
static void check_reference(struct slice uri) {
    struct image_reference image;
    char whole[1000];
    if (!image_reference_parse(uri, &image)) return;
    REQUIRE(image.host.n && image.repository.n && is_inside(image.host, uri) && is_inside(image.repository, uri));
    REQUIRE(only(image.host, LOWER UPPER DIGITS ".-:[]") && only(image.repository, LOWER DIGITS "._-/"));
    REQUIRE(!memmem(image.repository.p, image.repository.n, "..", 2) && image.host.n + 1 + image.repository.n <= 255);
    REQUIRE(!image.tag.p || (image.tag.n <= 128 && only(image.tag, LOWER UPPER DIGITS "._-")));
    REQUIRE(!image.digest.p || digest_is_valid(image.digest));
    int n = snprintf(whole, sizeof whole, "%.*s/%.*s%s%.*s%s%.*s", SLICE_ARG(image.host), SLICE_ARG(image.repository),
                     image.tag.p ? ":" : "", SLICE_ARG(image.tag), image.digest.p ? "@" : "", SLICE_ARG(image.digest));
    REQUIRE(n > 0 && (size_t)n <= uri.n && memcmp(uri.p + uri.n - n, whole, (size_t)n) == 0); /* but for the scheme */
}

static void check_address(struct slice text) {
    char copy[64];
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_storage other = {.ss_family = AF_UNIX};
    if (text.n < sizeof copy) {
        memcpy(copy, text.n ? text.p : "", text.n);
        copy[text.n] = '\0';
        enum address_kind kind = address_kind_of_text(copy);
        if (inet_pton(AF_INET, copy, &v4.sin_addr) == 1) {
            REQUIRE(address_kind((struct sockaddr *)&v4, sizeof v4) == kind);
            v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff; /* the same address, mapped */
            memcpy(v6.sin6_addr.s6_addr + 12, &v4.sin_addr, 4);
            REQUIRE(address_kind((struct sockaddr *)&v6, sizeof v6) == kind);
        } else if (inet_pton(AF_INET6, copy, &v6.sin6_addr) == 1) {
            REQUIRE(address_kind((struct sockaddr *)&v6, sizeof v6) == kind);
        } else {
            REQUIRE(kind == ADDRESS_UNUSABLE);
        }
    }
    REQUIRE(address_kind((struct sockaddr *)&other, sizeof other) == ADDRESS_UNUSABLE);
    if (text.n < 16) return;
    memcpy(v6.sin6_addr.s6_addr, text.p, 16);
    v6.sin6_family = AF_INET6;
    (void)address_kind((struct sockaddr *)&v6, sizeof v6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice text = slice_of(data, size);
    check_names(text);
    REQUIRE(text_is_utf8(text) == is_utf8(text));
    check_hex(text);
    check_base32(text);
    check_instant(text);
    check_numbers(text);
    check_digest(text);
    check_reference(text);
    check_address(text);
    unsigned char random[2][16];
    for (int i = 0; i < 2; i++) digest_random(random[i], sizeof random[i]);
    REQUIRE(memcmp(random[0], random[1], sizeof random[0]) != 0);
    return 0;
}
