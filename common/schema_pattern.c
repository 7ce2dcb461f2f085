#include "schema_pattern.h"

#include "buf.h"
#include "text.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>

/* ---- from ECMA-262 to PCRE2 ---- */

struct translation {
    const char *start, *at, *end;
    struct buf out;
    bool in_class;
    bool after_quantifier;
    struct error *error;
};

static int refuse(const struct translation *t, const char *where, const char *what) {
    return error_set(t->error, ERROR_INPUT, "pattern-invalid", "at byte %zu of the pattern: %s", (size_t)(where - t->start),
                     what);
}

/* ECMA's white space and line ends, and all else, in the form that stands within brackets. */
#define SPACES "\\t-\\r \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}"
#define NO_SPACES                                                                                                                \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}!-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}"             \
    "\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

/* General categories, which PCRE2 knows by their short names only. */
static const struct {
    const char *name, *category;
} categories[] = {{"Cased_Letter", "L&"},
                  {"LC", "L&"},
                  {"Close_Punctuation", "Pe"},
                  {"Combining_Mark", "M"},
                  {"Connector_Punctuation", "Pc"},
                  {"Control", "Cc"},
                  {"Currency_Symbol", "Sc"},
                  {"Dash_Punctuation", "Pd"},
                  {"Decimal_Number", "Nd"},
                  {"Enclosing_Mark", "Me"},
                  {"Final_Punctuation", "Pf"},
                  {"Format", "Cf"},
                  {"Initial_Punctuation", "Pi"},
                  {"Letter", "L"},
                  {"Letter_Number", "Nl"},
                  {"Line_Separator", "Zl"},
                  {"Lowercase_Letter", "Ll"},
                  {"Mark", "M"},
                  {"Math_Symbol", "Sm"},
                  {"Modifier_Letter", "Lm"},
                  {"Modifier_Symbol", "Sk"},
                  {"Nonspacing_Mark", "Mn"},
                  {"Number", "N"},
                  {"Open_Punctuation", "Ps"},
                  {"Other", "C"},
                  {"Other_Letter", "Lo"},
                  {"Other_Number", "No"},
                  {"Other_Punctuation", "Po"},
                  {"Other_Symbol", "So"},
                  {"Paragraph_Separator", "Zp"},
                  {"Private_Use", "Co"},
                  {"Punctuation", "P"},
                  {"Separator", "Z"},
                  {"Space_Separator", "Zs"},
                  {"Spacing_Mark", "Mc"},
                  {"Surrogate", "Cs"},
                  {"Symbol", "S"},
                  {"Titlecase_Letter", "Lt"},
                  {"Unassigned", "Cn"},
                  {"Uppercase_Letter", "Lu"},
                  {"cntrl", "Cc"},
                  {"digit", "Nd"},
                  {"punct", "P"}};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool is_next(const struct translation *t, const char *text) {
    return slice_starts(slice_of(t->at, (size_t)(t->end - t->at)), slice_str(text));
}

/* Exactly `count` hex digits at t->at, or -1. */
static long read_hex(struct translation *t, int count) {
    long value = 0;
    if (t->end - t->at < count) return -1;
    for (int i = 0; i < count; i++) {
        char c = t->at[i];
        if (!is_hex(c)) return -1;
        value = value * 16 + (is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    t->at += count;
    return value;
}

/* Behind `\u`: four digits, two times four that are a surrogate pair, or any number in braces. */
static int translate_unicode(struct translation *t, const char *where) {
    long c;
    if (is_next(t, "{")) {
        t->at++;
        size_t digits = 0;
        for (c = 0; t->at < t->end && is_hex(*t->at) && c <= 0x10ffff; digits++) c = c * 16 + read_hex(t, 1);
        if (!digits || !is_next(t, "}")) return refuse(t, where, "\\u{ wants hex digits and }");
        t->at++;
    } else {
        c = read_hex(t, 4);
        if (c < 0) return refuse(t, where, "\\u wants four hex digits");
        if (c >= 0xd800 && c < 0xdc00 && is_next(t, "\\u")) {
            t->at += 2;
            long low = read_hex(t, 4);
            if (low < 0xdc00 || low > 0xdfff) return refuse(t, where, "half of a surrogate pair");
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return refuse(t, where, "no Unicode character has this number");
    buf_print(&t->out, "\\x{%lx}", (unsigned long)c);
    return 0;
}

/* Behind `\p` or `\P`. */
static int translate_property(struct translation *t, const char *where, char letter) {
    const char *brace = memchr(t->at, '}', (size_t)(t->end - t->at));
    if (!is_next(t, "{") || !brace) return refuse(t, where, "\\p wants a property in braces, as \\p{Letter}");
    struct slice name = slice_of(t->at + 1, (size_t)(brace - t->at - 1)), value = {0};
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '=' && !value.p) {
            value = slice_of(name.p + i + 1, name.n - i - 1);
            name.n = i;
        } else if (!is_letter(name.p[i]) && !is_digit(name.p[i]) && name.p[i] != '_') {
            return refuse(t, where, "no property has such a name");
        }
    }
    for (size_t i = 0; value.p && i < value.n; i++)
        if (!is_letter(value.p[i]) && !is_digit(value.p[i]) && value.p[i] != '_')
            return refuse(t, where, "no property has such a value");
    t->at = brace + 1;
    const char *kind = "";
    if (value.p) {
        if (slice_is(name, "Script") || slice_is(name, "sc"))
            kind = "sc:";
        else if (slice_is(name, "Script_Extensions") || slice_is(name, "scx"))
            kind = "scx:";
        else if (!slice_is(name, "General_Category") && !slice_is(name, "gc"))
            return refuse(t, where, "only General_Category, Script and Script_Extensions have values");
        name = value;
    }
    for (size_t i = 0; !kind[0] && i < sizeof categories / sizeof *categories; i++)
        if (slice_is(name, categories[i].name)) name = slice_str(categories[i].category);
    buf_print(&t->out, "\\%c{%s%.*s}", letter, kind, SLICE_ARG(name));
    return 0;
}

/* Behind `\` and a digit that is not 0. */
static int translate_back_reference(struct translation *t, const char *where) {
    size_t number = 0;
    if (t->in_class) return refuse(t, where, "a back reference in a class");
    for (t->at--; t->at < t->end && is_digit(*t->at) && number < 10000; t->at++) number = number * 10 + (size_t)(*t->at - '0');
    buf_print(&t->out, "\\g{%zu}", number);
    return 0;
}

static int translate_named_reference(struct translation *t, const char *where) {
    const char *close = memchr(t->at, '>', (size_t)(t->end - t->at));
    if (t->in_class || !is_next(t, "<") || !close) return refuse(t, where, "\\k wants a group's name, as \\k<name>");
    buf_str(&t->out, "\\k");
    buf_append(&t->out, slice_of(t->at, (size_t)(close + 1 - t->at)));
    t->at = close + 1;
    return 0;
}

/* At a backslash. */
static int translate_escape(struct translation *t) {
    const char *where = t->at++;
    if (t->at >= t->end) return refuse(t, where, "a backslash at the end");
    char c = *t->at++;
    long code;
    switch (c) {
    case 's':
        buf_str(&t->out, t->in_class ? SPACES : "[" SPACES "]");
        return 0;
    case 'S':
        buf_str(&t->out, t->in_class ? NO_SPACES : "[^" SPACES "]");
        return 0;
    case 'v':
        buf_str(&t->out, "\\x{b}");
        return 0;
    case 'B':
        if (t->in_class) return refuse(t, where, "\\B in a class");
        __attribute__((fallthrough));
    case 'd':
    case 'D':
    case 'w':
    case 'W':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        buf_print(&t->out, "\\%c", c);
        return 0;
    case 'c':
        if (t->at >= t->end || !is_letter(*t->at)) return refuse(t, where, "\\c wants a letter");
        buf_print(&t->out, "\\x{%x}", (unsigned)*t->at++ & 31u);
        return 0;
    case 'x':
        code = read_hex(t, 2);
        if (code < 0) return refuse(t, where, "\\x wants two hex digits");
        buf_print(&t->out, "\\x{%lx}", (unsigned long)code);
        return 0;
    case 'u':
        return translate_unicode(t, where);
    case 'p':
    case 'P':
        return translate_property(t, where, c);
    case 'k':
        return translate_named_reference(t, where);
    case '0':
        if (t->at < t->end && is_digit(*t->at)) return refuse(t, where, "an octal escape");
        buf_str(&t->out, "\\x{0}");
        return 0;
    default:
        break;
    }
    if (is_digit(c)) return translate_back_reference(t, where);
    if (is_letter(c) || (unsigned char)c >= 0x80 || (unsigned char)c < ' ')
        return refuse(t, where, "an escape that ECMA-262 does not know");
    buf_print(&t->out, "\\%c", c);
    return 0;
}

/* At `[`: to behind the `]` that ends it. */
static int translate_class(struct translation *t) {
    const char *where = t->at++;
    t->in_class = true;
    buf_char(&t->out, '[');
    if (is_next(t, "^")) buf_char(&t->out, *t->at++);
    while (t->at < t->end && *t->at != ']') {
        if (*t->at == '\\') {
            if (translate_escape(t)) return -1;
            continue;
        }
        if (*t->at == '[') buf_char(&t->out, '\\'); /* else [:name:] would be a class of its own */
        buf_char(&t->out, *t->at++);
    }
    if (t->at >= t->end) return refuse(t, where, "a class without ]");
    buf_char(&t->out, *t->at++);
    t->in_class = false;
    return 0;
}

/* At `(`: past what opens the group. */
static int translate_group(struct translation *t) {
    static const char *const openings[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!"};
    const char *where = t->at;
    if (is_next(t, "(*")) return refuse(t, where + 1, "nothing to repeat");
    if (!is_next(t, "(?")) {
        buf_char(&t->out, *t->at++);
        return 0;
    }
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        if (!is_next(t, openings[i])) continue;
        buf_str(&t->out, openings[i]);
        t->at += strlen(openings[i]);
        return 0;
    }
    const char *close = memchr(t->at, '>', (size_t)(t->end - t->at));
    if (!is_next(t, "(?<") || !close) return refuse(t, where, "a kind of group that ECMA-262 does not know");
    buf_append(&t->out, slice_of(t->at, (size_t)(close + 1 - t->at)));
    t->at = close + 1;
    return 0;
}

/* The length of the quantifier at t->at, without a `?` behind it, or 0. */
static size_t quantifier_length(const struct translation *t) {
    const char *p = t->at;
    if (*p == '*' || *p == '+' || *p == '?') return 1;
    if (*p != '{') return 0;
    const char *digits = ++p;
    while (p < t->end && is_digit(*p)) p++;
    if (p == digits) return 0;
    if (p < t->end && *p == ',')
        for (p++; p < t->end && is_digit(*p);) p++;
    return p < t->end && *p == '}' ? (size_t)(p + 1 - t->at) : 0;
}

static int translate_quantifier(struct translation *t, size_t length) {
    if (t->after_quantifier) return refuse(t, t->at, "nothing to repeat");
    buf_append(&t->out, slice_of(t->at, length));
    t->at += length;
    if (is_next(t, "?")) buf_char(&t->out, *t->at++);
    t->after_quantifier = true;
    return 0;
}

static int translate(struct translation *t) {
    while (t->at < t->end) {
        size_t length = quantifier_length(t);
        if (length) {
            if (translate_quantifier(t, length)) return -1;
            continue;
        }
        t->after_quantifier = false;
        int status = 0;
        switch (*t->at) {
        case '\\':
            status = translate_escape(t);
            break;
        case '[':
            status = translate_class(t);
            break;
        case '(':
            status = translate_group(t);
            break;
        case '.':
            buf_str(&t->out, "[^\\n\\r\\x{2028}\\x{2029}]");
            t->at++;
            break;
        case '{':
        case '}':
        case ']':
            buf_char(&t->out, '\\');
            __attribute__((fallthrough));
        default:
            buf_char(&t->out, *t->at++);
        }
        if (status) return -1;
    }
    return 0;
}

/* ---- compiling and matching ---- */

struct schema_pattern {
    struct schema_pattern *next;
    pcre2_code *code;
    pcre2_match_context *limits;
};

static int compile(const struct buf *translated, struct schema_pattern *pattern, struct error *error) {
    int problem;
    PCRE2_SIZE offset;
    const uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF;
    PCRE2_SPTR text = (PCRE2_SPTR)(translated->p ? translated->p : "");
    pattern->code = pcre2_compile(text, translated->n, options, &problem, &offset, NULL);
    if (!pattern->code && problem == PCRE2_ERROR_HEAP_FAILED) return error_starved(error);
    if (!pattern->code) {
        char why[160];
        (void)pcre2_get_error_message(problem, (PCRE2_UCHAR *)why, sizeof why);
        return error_set(error, ERROR_INPUT, "pattern-invalid", "the pattern does not compile: %s", why);
    }
    pattern->limits = pcre2_match_context_create(NULL);
    if (!pattern->limits) return error_starved(error);
    (void)pcre2_set_match_limit(pattern->limits, SCHEMA_PATTERN_STEPS);
    (void)pcre2_set_heap_limit(pattern->limits, 32 * 1024); /* KiB */
    /* Where the system forbids making code at run time, the interpreter does it. */
    (void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    return 0;
}

int schema_pattern_new(struct slice expression, struct schema_pattern **ret_pattern, struct error *error) {
    enum { LONGEST = 64 * 1024 };
    if (expression.n > LONGEST)
        return error_set(error, ERROR_INPUT, "pattern-invalid", "the pattern has more than %d bytes", LONGEST);
    if (!expression.p) expression.p = "";
    struct schema_pattern *pattern = calloc(1, sizeof *pattern);
    if (!pattern) return error_starved(error);
    struct translation t = {.start = expression.p, .at = expression.p, .end = expression.p + expression.n, .error = error};
    buf_init(&t.out, (size_t)16 * 1024 * 1024);
    int status = translate(&t);
    if (!status && t.out.failed) status = error_memory(error);
    if (!status) status = compile(&t.out, pattern, error);
    buf_release(&t.out);
    if (status) {
        schema_pattern_free(pattern);
        return -1;
    }
    *ret_pattern = pattern;
    return 0;
}

void schema_pattern_free(struct schema_pattern *pattern) {
    if (!pattern) return;
    pcre2_match_context_free(pattern->limits);
    pcre2_code_free(pattern->code);
    free(pattern);
}

struct schema_pattern **schema_pattern_next(struct schema_pattern *pattern) {
    return &pattern->next;
}

enum schema_match schema_pattern_match(const struct schema_pattern *pattern, void **scratch, struct slice text) {
    if (!*scratch) *scratch = pcre2_match_data_create(1, NULL);
    if (!*scratch) return SCHEMA_MATCH_STARVED;
    PCRE2_SPTR subject = (PCRE2_SPTR)(text.n ? text.p : "");
    int found = pcre2_match(pattern->code, subject, text.n, 0, PCRE2_NO_UTF_CHECK, *scratch, pattern->limits);
    /* The compiled code has a small stack; the interpreter's memory is bounded by the heap limit. */
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(pattern->code, subject, text.n, 0, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, *scratch, pattern->limits);
    if (found == PCRE2_ERROR_NOMATCH) return SCHEMA_NO_MATCH;
    if (found == PCRE2_ERROR_NOMEMORY) return SCHEMA_MATCH_STARVED;
    return found >= 0 ? SCHEMA_MATCH : SCHEMA_MATCH_STOPPED;
}

void schema_pattern_scratch_free(void *scratch) { pcre2_match_data_free(scratch); }
