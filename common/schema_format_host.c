/* Host names, also international ones (IDNA 2008: RFC 5890 to 5893).
 *
 * Which characters a label may hold follows RFC 5892, from the Unicode properties that PCRE2 has. It has neither
 * normalisation nor joining types: characters that NFKC changes are told by the blocks that hold them, and for a zero width
 * non-joiner between joining letters (RFC 5892 appendix A.1) the scripts that join stand in. */
#include "schema_format.h"
#include "text.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>
#include <stdint.h>

enum { LABEL_MAX = 63, NAME_MAX_LENGTH = 253 };

static bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

/* ---- what a U-label may be, as expressions ----
 *
 * Each character is matched in one way, or for good (++): one that could be matched in two ways would be tried in both, twice as
 * long for each. */

#define VIRAMA                                                                                                                   \
    "\\x{94d}\\x{9cd}\\x{a4d}\\x{acd}\\x{b4d}\\x{bcd}\\x{c4d}\\x{ccd}\\x{d3b}\\x{d3c}\\x{d4d}\\x{dca}\\x{e3a}\\x{eba}\\x{f84}"   \
    "\\x{1039}\\x{103a}\\x{1714}\\x{1715}\\x{1734}\\x{17d2}\\x{1a60}\\x{1b44}\\x{1baa}\\x{1bab}\\x{1bf2}\\x{1bf3}\\x{2d7f}"      \
    "\\x{a806}\\x{a82c}\\x{a8c4}\\x{a953}\\x{a9c0}\\x{aaf6}\\x{abed}\\x{10a3f}\\x{11046}\\x{11070}\\x{1107f}\\x{110b9}"          \
    "\\x{11133}\\x{11134}\\x{111c0}\\x{11235}\\x{112ea}\\x{1134d}\\x{11442}\\x{114c2}\\x{115bf}\\x{1163f}\\x{116b6}\\x{1172b}"   \
    "\\x{11839}\\x{1193d}\\x{1193e}\\x{119e0}\\x{11a34}\\x{11a47}\\x{11a99}\\x{11c3f}\\x{11d44}\\x{11d45}\\x{11d97}"
/* Letters that join to the next one, and to the one before. */
#define JOINS_BEFORE                                                                                                             \
    "(?:(?![\\x{622}-\\x{625}\\x{627}\\x{629}\\x{62f}-\\x{632}\\x{648}\\x{671}-\\x{673}\\x{675}-\\x{677}\\x{688}-\\x{699}"       \
    "\\x{6c0}\\x{6c3}-\\x{6cb}\\x{6cd}\\x{6cf}\\x{6d2}\\x{6d3}\\x{6d5}\\x{6ee}\\x{6ef}])" JOINS_AFTER ")"
#define JOINS_AFTER "[\\p{sc:Arabic}\\p{sc:Syriac}\\p{sc:Mandaic}\\p{sc:Nko}\\p{sc:Mongolian}\\p{sc:Phags_Pa}\\p{sc:Manichaean}]"
/* Disallowed by RFC 5892: exceptions (F), old Hangul (I), ignorable (G), and compatibility forms (unstable, B). */
#define DISALLOWED                                                                                                               \
    "[\\x{640}\\x{7fa}\\x{302e}\\x{302f}\\x{3031}-\\x{3035}\\x{303b}\\x{1100}-\\x{11ff}\\x{a960}-\\x{a97f}\\x{d7b0}-\\x{d7ff}"   \
    "\\x{34f}\\x{115f}\\x{1160}\\x{17b4}\\x{17b5}\\x{180b}-\\x{180f}\\x{3164}\\x{fe00}-\\x{fe0f}\\x{ffa0}\\x{e0100}-\\x{e01ef}"  \
    "\\x{aa}\\x{b2}\\x{b3}\\x{b9}\\x{ba}\\x{132}\\x{133}\\x{13f}\\x{140}\\x{149}\\x{17f}\\x{1c4}-\\x{1cc}\\x{1f1}-\\x{1f3}"      \
    "\\x{2b0}-\\x{2b8}\\x{2e0}-\\x{2e4}\\x{340}\\x{341}\\x{343}\\x{345}\\x{37a}\\x{3d0}-\\x{3d6}\\x{3f0}-\\x{3f2}\\x{3f5}"       \
    "\\x{587}\\x{675}-\\x{678}\\x{958}-\\x{95f}\\x{e33}\\x{eb3}\\x{edc}\\x{edd}\\x{10fc}\\x{1d2c}-\\x{1d2e}\\x{1d30}-\\x{1d3a}"  \
    "\\x{1d3c}-\\x{1d4d}\\x{1d4f}-\\x{1d6a}\\x{1d78}\\x{1d9b}-\\x{1dbf}\\x{1e9a}\\x{1e9b}\\x{2071}\\x{207f}\\x{2090}-\\x{209c}"  \
    "\\x{2100}-\\x{214d}\\x{2135}-\\x{2138}\\x{2c7c}\\x{2c7d}\\x{3131}-\\x{318e}\\x{a69c}\\x{a69d}\\x{a770}\\x{a7f2}-\\x{a7f4}"  \
    "\\x{a7f8}\\x{a7f9}\\x{ab5c}-\\x{ab5f}\\x{ab69}\\x{f900}-\\x{fa0d}\\x{fa10}\\x{fa12}\\x{fa15}-\\x{fa1e}\\x{fa20}\\x{fa22}"   \
    "\\x{fa25}\\x{fa26}\\x{fa2a}-\\x{fdff}\\x{fe70}-\\x{feff}\\x{ff00}-\\x{ffef}\\x{1d400}-\\x{1d7ff}\\x{1ee00}-\\x{1eeff}"      \
    "\\x{2f800}-\\x{2fa1f}]"

enum rule {
    /* matched by good labels */
    RULE_CHARACTERS,
    RULE_NON_JOINER,
    RULE_BIDI_LABEL,
    RULES_GOOD,
    /* matched by bad ones */
    RULE_START = RULES_GOOD,
    RULE_HYPHENS,
    RULE_MIDDLE_DOT,
    RULE_KERAIA,
    RULE_GERESH,
    RULE_KATAKANA_DOT,
    RULE_DIGITS,
    RULE_JOINER,
    RULES_BAD,
    /* asked of the whole name */
    RULE_BIDI = RULES_BAD,
    RULE_COUNT
};

static const char *const rules[RULE_COUNT] = {
    [RULE_CHARACTERS] = "^(?:[-a-z0-9\\x{df}\\x{3c2}\\x{6fd}\\x{6fe}\\x{f0b}\\x{3007}\\x{b7}\\x{375}\\x{5f3}\\x{5f4}\\x{30fb}"
                        "\\x{200c}\\x{200d}]|(?!" DISALLOWED ")[\\p{Ll}\\p{Lo}\\p{Lm}\\p{Mn}\\p{Mc}\\p{Nd}])++$",
    [RULE_NON_JOINER] = "^(?:[^\\x{200c}]|(?<=[" VIRAMA "])\\x{200c}|(?:(?<=" JOINS_BEFORE ")|(?<=" JOINS_BEFORE
                        "\\p{Mn}))\\x{200c}(?=\\p{Mn}*" JOINS_AFTER "))*+$",
    /* RFC 5893 section 2, in a name that has a right-to-left label */
    [RULE_BIDI_LABEL] = "^(?:(?=[\\p{bc:R}\\p{bc:AL}])(?!.*\\p{bc:EN}.*\\p{bc:AN})(?!.*\\p{bc:AN}.*\\p{bc:EN})"
                        "[\\p{bc:R}\\p{bc:AL}\\p{bc:AN}\\p{bc:EN}\\p{bc:ES}\\p{bc:CS}\\p{bc:ET}\\p{bc:ON}\\p{bc:BN}\\p{bc:NSM}]*"
                        "[\\p{bc:R}\\p{bc:AL}\\p{bc:EN}\\p{bc:AN}]\\p{bc:NSM}*"
                        "|(?=\\p{bc:L})[\\p{bc:L}\\p{bc:EN}\\p{bc:ES}\\p{bc:CS}\\p{bc:ET}\\p{bc:ON}\\p{bc:BN}\\p{bc:NSM}]*"
                        "[\\p{bc:L}\\p{bc:EN}]\\p{bc:NSM}*)$",
    [RULE_START] = "^\\p{M}",
    [RULE_HYPHENS] = "^-|-$|^..--",
    [RULE_MIDDLE_DOT] = "(?<!l)\\x{b7}|\\x{b7}(?!l)",
    [RULE_KERAIA] = "\\x{375}(?!\\p{sc:Greek})",
    [RULE_GERESH] = "(?<!\\p{sc:Hebrew})[\\x{5f3}\\x{5f4}]",
    [RULE_KATAKANA_DOT] = "^(?=.*\\x{30fb})(?!.*[\\p{sc:Hiragana}\\p{sc:Katakana}\\p{sc:Han}])",
    [RULE_DIGITS] = "[\\x{660}-\\x{669}].*[\\x{6f0}-\\x{6f9}]|[\\x{6f0}-\\x{6f9}].*[\\x{660}-\\x{669}]",
    [RULE_JOINER] = "(?<![" VIRAMA "])\\x{200d}",
    [RULE_BIDI] = "[\\p{bc:R}\\p{bc:AL}\\p{bc:AN}]",
};

/* Compiled at the first use, for the life of the process. NULL: a PCRE2 without these properties; nothing matches then. */
static pcre2_code *compiled[RULE_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void compile_rules(void) {
    int problem;
    PCRE2_SIZE offset;
    for (int i = 0; i < RULE_COUNT; i++)
        compiled[i] = pcre2_compile((PCRE2_SPTR)rules[i], PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_DOTALL,
                                    &problem, &offset, NULL);
}

/* 1 yes, 0 no, -1 could not be told. */
static int rule_matches(enum rule rule, struct slice label) {
    if (pthread_once(&once, compile_rules) || !compiled[rule]) return -1;
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (!data) return -1;
    int found = pcre2_match(compiled[rule], (PCRE2_SPTR)label.p, label.n, 0, PCRE2_NO_UTF_CHECK, data, NULL);
    pcre2_match_data_free(data);
    return found >= 0 ? 1 : found == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

static bool is_u_label(struct slice label) {
    for (int rule = 0; rule < RULES_GOOD; rule++)
        if (rule != RULE_BIDI_LABEL && rule_matches((enum rule)rule, label) != 1) return false;
    for (int rule = RULES_GOOD; rule < RULES_BAD; rule++)
        if (rule_matches((enum rule)rule, label) != 0) return false;
    return true;
}

/* ---- Punycode (RFC 3492) ---- */

enum { BASE = 36, LEAST = 1, MOST = 26, SKEW = 38, DAMP = 700, FIRST_BIAS = 72, FIRST_CODE = 128 };

static uint32_t adapt(uint32_t delta, uint32_t points, bool first) {
    uint32_t k = 0;
    delta = first ? delta / DAMP : delta / 2;
    delta += delta / points;
    for (; delta > (BASE - LEAST) * MOST / 2; k += BASE) delta /= BASE - LEAST;
    return k + (BASE - LEAST + 1) * delta / (delta + SKEW);
}

static uint32_t threshold(uint32_t k, uint32_t bias) { return k <= bias ? LEAST : k >= bias + MOST ? MOST : k - bias; }

struct points {
    uint32_t at[LABEL_MAX + 1];
    uint32_t count;
};

static int digit_value(char c) {
    if (c >= 'a' && c <= 'z') return c - 'a';
    if (c >= 'A' && c <= 'Z') return c - 'A';
    return c >= '0' && c <= '9' ? c - '0' + 26 : -1;
}

/* One number of variable length at *at, added to *i. */
static bool decode_delta(struct slice text, size_t *at, uint32_t bias, uint32_t *i) {
    uint32_t weight = 1;
    for (uint32_t k = BASE;; k += BASE) {
        int digit = *at < text.n ? digit_value(text.p[(*at)++]) : -1;
        if (digit < 0 || (uint32_t)digit > (UINT32_MAX - *i) / weight) return false;
        *i += (uint32_t)digit * weight;
        uint32_t t = threshold(k, bias);
        if ((uint32_t)digit < t) return true;
        if (weight > UINT32_MAX / (BASE - t)) return false;
        weight *= BASE - t;
    }
}

static bool punycode_decode(struct slice text, struct points *points) {
    size_t basic = text.n;
    while (basic > 0 && text.p[basic - 1] != '-') basic--;
    points->count = 0;
    for (size_t i = 0; basic && i < basic - 1; i++) points->at[points->count++] = (unsigned char)text.p[i];
    uint32_t code = FIRST_CODE, i = 0, bias = FIRST_BIAS;
    for (size_t at = basic; at < text.n;) {
        uint32_t before = i;
        if (points->count >= LABEL_MAX || !decode_delta(text, &at, bias, &i)) return false;
        uint32_t length = points->count + 1;
        bias = adapt(i - before, length, before == 0);
        if (i / length > 0x10ffff - code) return false;
        code += i / length;
        i %= length;
        if (code >= 0xd800 && code <= 0xdfff) return false;
        memmove(&points->at[i + 1], &points->at[i], (points->count - i) * sizeof points->at[0]);
        points->at[i++] = code;
        points->count++;
    }
    return true;
}

struct encoded {
    char text[LABEL_MAX + 1];
    size_t n;
};

static bool put(struct encoded *to, char c) {
    if (to->n >= LABEL_MAX) return false;
    to->text[to->n++] = c;
    return true;
}

static bool encode_delta(struct encoded *to, uint32_t delta, uint32_t bias) {
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (uint32_t k = BASE;; k += BASE) {
        uint32_t t = threshold(k, bias);
        if (delta < t) return put(to, digits[delta]);
        if (!put(to, digits[t + (delta - t) % (BASE - t)])) return false;
        delta = (delta - t) / (BASE - t);
    }
}

/* False when the label would be longer than it may be; overflow cannot come before that. */
static bool punycode_encode(const struct points *points, struct encoded *to) {
    uint32_t handled = 0, code = FIRST_CODE, delta = 0, bias = FIRST_BIAS;
    to->n = 0;
    for (uint32_t i = 0; i < points->count; i++)
        if (points->at[i] < FIRST_CODE && (handled++, !put(to, (char)points->at[i]))) return false;
    uint32_t basic = handled;
    if (basic && !put(to, '-')) return false;
    for (; handled < points->count; delta++, code++) {
        uint32_t least = UINT32_MAX;
        for (uint32_t i = 0; i < points->count; i++)
            if (points->at[i] >= code && points->at[i] < least) least = points->at[i];
        delta += (least - code) * (handled + 1);
        code = least;
        for (uint32_t i = 0; i < points->count; i++) {
            if (points->at[i] < code) delta++;
            if (points->at[i] != code) continue;
            if (!encode_delta(to, delta, bias)) return false;
            bias = adapt(delta, handled + 1, handled == basic);
            delta = 0;
            handled++;
        }
    }
    return true;
}

/* ---- labels and names ---- */

static bool is_ascii(struct slice text) {
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] >= 0x80) return false;
    return true;
}

/* RFC 1123 section 2.1: letters, digits and hyphens, none of these at an end. */
static bool is_ldh_label(struct slice label) {
    if (!label.n || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-') return false;
    for (size_t i = 0; i < label.n; i++)
        if (!is_letter_or_digit(label.p[i]) && label.p[i] != '-') return false;
    return true;
}

static bool is_encoded(struct slice label) {
    return label.n >= 4 && (label.p[0] | 0x20) == 'x' && (label.p[1] | 0x20) == 'n' && label.p[2] == '-' && label.p[3] == '-';
}

struct name_text {
    char text[4 * (NAME_MAX_LENGTH + LABEL_MAX + 1)]; /* checked after each label */
    size_t n;
};

static void put_point(struct name_text *to, uint32_t c) {
    if (c < 0x80) {
        to->text[to->n++] = (char)c;
        return;
    }
    unsigned tail = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};
    to->text[to->n++] = (char)(leads[tail] | c >> (6 * tail));
    while (tail--) to->text[to->n++] = (char)(0x80 | (c >> (6 * tail) & 0x3f));
}

/* An A-label: Punycode of a U-label, and the one way to write it. Its U-label is appended to *to. */
static bool decode_a_label(struct slice label, struct name_text *to) {
    struct points points;
    struct encoded again;
    struct slice encoded = slice_of(label.p + 4, label.n - 4);
    if (!punycode_decode(encoded, &points) || !punycode_encode(&points, &again) || again.n != encoded.n) return false;
    for (size_t i = 0; i < again.n; i++) {
        char c = encoded.p[i] >= 'A' && encoded.p[i] <= 'Z' ? (char)(encoded.p[i] | 0x20) : encoded.p[i];
        char d = again.text[i] >= 'A' && again.text[i] <= 'Z' ? (char)(again.text[i] | 0x20) : again.text[i];
        if (c != d) return false;
    }
    size_t start = to->n;
    for (uint32_t i = 0; i < points.count; i++) put_point(to, points.at[i]);
    struct slice decoded = slice_of(to->text + start, to->n - start);
    return !is_ascii(decoded) && is_u_label(decoded);
}

/* A label in either form. What it is in Unicode is appended to *to; *length grows by its length in ASCII. */
static bool read_label(struct slice label, struct name_text *to, size_t *length) {
    if (is_ascii(label)) {
        *length += label.n;
        if (!is_ldh_label(label)) return false;
        if (is_encoded(label)) return decode_a_label(label, to);
        memcpy(to->text + to->n, label.p, label.n);
        to->n += label.n;
        return true;
    }
    struct points points = {.count = 0};
    struct encoded encoded;
    for (size_t i = 0, size; i < label.n; i += size) {
        size = text_utf8_sequence(label.p + i, label.n - i);
        if (!size || points.count >= LABEL_MAX) return false;
        uint32_t c = (unsigned char)label.p[i];
        if (size > 1) c &= 0xffu >> (size + 1);
        for (size_t j = 1; j < size; j++) c = c << 6 | ((unsigned char)label.p[i + j] & 0x3f);
        points.at[points.count++] = c;
    }
    if (!punycode_encode(&points, &encoded) || encoded.n + 4 > LABEL_MAX) return false;
    *length += encoded.n + 4;
    memcpy(to->text + to->n, label.p, label.n);
    to->n += label.n;
    return is_u_label(label);
}

/* The length of the dot at `p` (RFC 3490 section 3.1 names four), or 0. */
static size_t dot_length(const char *p, size_t n, bool international) {
    if (n && *p == '.') return 1;
    struct slice rest = slice_of(p, n);
    bool wide = slice_starts(rest, SLICE("\xe3\x80\x82")) || slice_starts(rest, SLICE("\xef\xbc\x8e")) ||
                slice_starts(rest, SLICE("\xef\xbd\xa1"));
    return international && wide ? 3 : 0;
}

static bool is_host(struct slice text, bool international) {
    struct name_text name = {.n = 0};
    size_t starts[NAME_MAX_LENGTH + 2], labels = 0, length = 0;
    if (!text.n || text.n > 4 * NAME_MAX_LENGTH || (!international && !is_ascii(text))) return false;
    for (size_t start = 0, at = 0;; at++) {
        size_t dot = at < text.n ? dot_length(text.p + at, text.n - at, international) : 0;
        if (at < text.n && !dot) continue;
        struct slice label = slice_of(text.p + start, at - start);
        if (!label.n || label.n > 4 * LABEL_MAX || length + label.n / 4 > NAME_MAX_LENGTH) return false;
        starts[labels++] = name.n;
        if (!read_label(label, &name, &length) || length > NAME_MAX_LENGTH) return false;
        if (at == text.n) break;
        length++;
        start = at + dot;
        at = start - 1;
    }
    starts[labels] = name.n;
    struct slice whole = slice_of(name.text, name.n);
    if (is_ascii(whole)) return true;
    int bidi = rule_matches(RULE_BIDI, whole);
    for (size_t i = 0; i < labels && bidi == 1; i++)
        if (rule_matches(RULE_BIDI_LABEL, slice_of(name.text + starts[i], starts[i + 1] - starts[i])) != 1) return false;
    return bidi >= 0;
}

bool schema_format_hostname(struct slice text) { return is_host(text, false); }
bool schema_format_idn_hostname(struct slice text) { return is_host(text, true); }
