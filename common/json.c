#include "json.h"

#include "decimal.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>

const struct json_limits json_contract_limits = {.bytes = 1000000, .depth = 32, .values = 100000};

/* ---- reading ---- */

struct reader {
    struct arena *arena;
    const struct json_limits *limits;
    struct error *error;
    const char *start, *at, *end;
    struct json_document document;
    struct json *holder; /* the array or object that is being read, or NULL */
    struct json *last;   /* its newest member or element, or NULL */
    struct slice name;   /* of the member whose value is read next */
    bool name_has_nul;
    unsigned depth;
    size_t values;
};

/* Line and column count from 1, the column in characters. */
static int fail_at(struct reader *r, const char *where, const char *what) {
    size_t line = 1, column = 1;
    for (const char *p = r->start; p < where; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if ((*p & 0xc0) != 0x80) {
            column++;
        }
    }
    return error_set(r->error, ERROR_INPUT, "not-json", "line %zu, column %zu: %s", line, column, what);
}

/* Something else stands where `wanted` had to. */
static int fail_expected(struct reader *r, const char *wanted) {
    char what[160], found[32];
    unsigned char c = r->at < r->end ? (unsigned char)*r->at : 0;
    if (r->at >= r->end)
        (void)snprintf(found, sizeof found, "the end");
    else if (c > ' ' && c < 0x7f)
        (void)snprintf(found, sizeof found, "'%c'", c);
    else
        (void)snprintf(found, sizeof found, "the byte 0x%02x", c);
    (void)snprintf(what, sizeof what, "%s expected, %s found", wanted, found);
    return fail_at(r, r->at, what);
}

static inline void skip_space(struct reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) r->at++;
}

/* In a string: 0 for bytes that stand for themselves, 1 for `"`, `\`, control characters and what begins no ASCII. */
static inline bool is_special(unsigned char c) { return c < 0x20 || c >= 0x80 || c == '"' || c == '\\'; }

/* The first special byte at or behind `p`, eight bytes at a time while there are so many. */
static inline const char *find_special(const char *p, const char *end) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        uint64_t quote = word ^ ones * '"', escape = word ^ ones * '\\';
        /* A byte's top bit is set where the byte is below 0x20, is one of the two, or has it set itself. A borrow may set it
         * in a byte above a hit as well, which only ends the loop where it has to end anyway. */
        uint64_t hit = (word - ones * 0x20) | (quote - ones) | (escape - ones) | word;
        if (hit & tops) break;
        p += 8;
    }
    while (p < end && !is_special((unsigned char)*p)) p++;
    return p;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The four digits behind `\u`, or -1. */
static int32_t read_unit(const char *p, const char *end) {
    int32_t unit = 0;
    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0) return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static char *put_utf8(char *to, uint32_t c) {
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *to++ = (char)(0xe0 | c >> 12);
        } else {
            *to++ = (char)(0xf0 | c >> 18);
            *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (c & 0x3f));
    return to;
}

/* Decodes the escape at *from, which stands on its backslash. Returns the next place to write, or NULL. */
static char *decode_escape(struct reader *r, const char **from, const char *end, char *to, bool *has_nul) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *p = *from + 1;
    const char *letter = *p ? strchr(letters, *p) : NULL;
    if (letter) {
        *from = p + 1;
        *to++ = meanings[letter - letters];
        return to;
    }
    if (*p != 'u') return (void)fail_at(r, *from, "an escape that JSON does not know"), NULL;
    int32_t unit = read_unit(p + 1, end);
    if (unit < 0) return (void)fail_at(r, *from, "\\u wants four hex digits"), NULL;
    uint32_t c = (uint32_t)unit;
    p += 5;
    if (c >= 0xd800 && c < 0xe000) {
        int32_t low = c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? read_unit(p + 2, end) : -1;
        if (low < 0xdc00 || low > 0xdfff) return (void)fail_at(r, *from, "half of a surrogate pair"), NULL;
        c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
        p += 6;
    }
    *has_nul |= c == 0;
    *from = p;
    return put_utf8(to, c);
}

/* Decodes what stands between the quotes and is known to hold a backslash, each with a byte behind it. */
static int decode_string(struct reader *r, struct slice quoted, struct slice *ret_text, bool *ret_has_nul) {
    char *copy = arena_alloc(r->arena, quoted.n), *to = copy;
    if (!copy) return error_memory(r->error);
    const char *from = quoted.p, *end = quoted.p + quoted.n;
    while (from < end) {
        const char *escape = memchr(from, '\\', (size_t)(end - from));
        size_t run = (size_t)((escape ? escape : end) - from);
        memcpy(to, from, run);
        to += run;
        from += run;
        if (escape && !(to = decode_escape(r, &from, end, to, ret_has_nul))) return -1;
    }
    *ret_text = slice_of(copy, (size_t)(to - copy));
    return 0;
}

/* Reads the string whose opening quote is at r->at. */
static int read_string(struct reader *r, struct slice *ret_text, bool *ret_has_nul) {
    const char *first = ++r->at;
    bool escaped = false;
    for (;;) {
        r->at = find_special(r->at, r->end);
        if (r->at >= r->end) return fail_at(r, first - 1, "a string without an end");
        unsigned char c = (unsigned char)*r->at;
        if (c == '"') break;
        if (c == '\\') {
            if (r->end - r->at < 2) return fail_at(r, first - 1, "a string without an end");
            escaped = true;
            r->at += 2;
            /* A byte of another character may not hide behind the backslash. */
            if ((unsigned char)r->at[-1] >= 0x80) return fail_at(r, r->at - 2, "an escape that JSON does not know");
        } else if (c < 0x20) {
            return fail_at(r, r->at, "a control character in a string; write it as an escape");
        } else {
            size_t size = text_utf8_sequence(r->at, (size_t)(r->end - r->at));
            if (!size) return fail_at(r, r->at, "bytes that are not UTF-8");
            r->at += size;
        }
    }
    struct slice quoted = slice_of(first, (size_t)(r->at++ - first));
    *ret_has_nul = false;
    if (escaped) return decode_string(r, quoted, ret_text, ret_has_nul);
    *ret_text = quoted;
    return 0;
}

static inline bool digit_follows(const struct reader *r) { return r->at < r->end && *r->at >= '0' && *r->at <= '9'; }

static int read_digits(struct reader *r) {
    if (!digit_follows(r)) return fail_expected(r, "a digit");
    do r->at++;
    while (digit_follows(r));
    return 0;
}

static int read_number(struct reader *r) {
    if (*r->at == '-') r->at++;
    if (r->at < r->end && *r->at == '0') {
        r->at++;
        if (digit_follows(r)) return fail_at(r, r->at - 1, "a number with a leading zero");
    } else if (read_digits(r)) {
        return -1;
    }
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (read_digits(r)) return -1;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-')) r->at++;
        if (read_digits(r)) return -1;
    }
    return 0;
}

static int read_word(struct reader *r, struct slice word) {
    if (!slice_starts(slice_of(r->at, (size_t)(r->end - r->at)), word)) return fail_expected(r, "a value");
    r->at += word.n;
    return 0;
}

/* A new value at r->at, hung into the tree. */
static struct json *new_value(struct reader *r) {
    if (r->values++ >= r->limits->values) {
        error_set(r->error, ERROR_INPUT, "too-large", "the JSON has more than %zu values", r->limits->values);
        return NULL;
    }
    struct json *value = ARENA_NEW(r->arena, struct json);
    if (!value) return (void)error_memory(r->error), NULL;
    value->raw.p = r->at;
    value->above = r->holder;
    if (!r->holder) {
        r->document.root = value;
        return value;
    }
    if (r->last)
        r->last->next = value;
    else
        r->holder->first = value;
    r->last = value;
    r->holder->count++;
    if (r->holder->kind == JSON_OBJECT) {
        value->name = r->name;
        if (r->name_has_nul && !r->document.nul) r->document.nul = value;
    }
    return value;
}

/* The next member's name and its colon. */
static int read_name(struct reader *r) {
    if (r->at >= r->end || *r->at != '"') return fail_expected(r, "a member name in quotes");
    if (read_string(r, &r->name, &r->name_has_nul)) return -1;
    skip_space(r);
    if (r->at >= r->end || *r->at != ':') return fail_expected(r, "':'");
    r->at++;
    return 0;
}

static int open_holder(struct reader *r, struct json *value) {
    if (r->depth >= r->limits->depth)
        return error_set(r->error, ERROR_INPUT, "too-deep", "the JSON nests deeper than %u levels", r->limits->depth);
    r->depth++;
    r->at++;
    r->holder = value;
    r->last = NULL;
    return 0;
}

static int compare_members(const void *a, const void *b) {
    const struct json *x = *(const struct json *const *)a, *y = *(const struct json *const *)b;
    if (x->name.n != y->name.n) return x->name.n < y->name.n ? -1 : 1;
    int order = slice_compare(x->name, y->name);
    return order ? order : (x->raw.p > y->raw.p) - (x->raw.p < y->raw.p);
}

static void note_duplicate(struct reader *r, const struct json *member) {
    if (!r->document.duplicate || member->raw.p < r->document.duplicate->raw.p) r->document.duplicate = member;
}

/* Few members: one bit for each name met tells most of them apart, and only where it does not are names compared. */
static void check_few_names(struct reader *r, const struct json *object) {
    uint64_t met = 0;
    for (const struct json *member = object->first; member; member = member->next) {
        struct slice name = member->name;
        unsigned sum = name.n ? (unsigned char)name.p[0] * 7u + (unsigned char)name.p[name.n - 1] + (unsigned)name.n * 13u : 0u;
        uint64_t bit = (uint64_t)1 << (sum & 63);
        if (!(met & bit)) {
            met |= bit;
            continue;
        }
        for (const struct json *earlier = object->first; earlier != member; earlier = earlier->next) {
            if (!slice_equal(earlier->name, name)) continue;
            note_duplicate(r, member);
            return;
        }
    }
}

/* Many: sorted, so that no choice of names makes it quadratic. */
static int check_many_names(struct reader *r, const struct json *object) {
    const struct json **members = ARENA_ARRAY(r->arena, const struct json *, object->count);
    if (!members) return error_memory(r->error);
    size_t count = 0;
    for (const struct json *member = object->first; member; member = member->next) members[count++] = member;
    qsort(members, count, sizeof *members, compare_members);
    for (size_t i = 1; i < count; i++)
        if (slice_equal(members[i - 1]->name, members[i]->name)) note_duplicate(r, members[i]);
    return 0;
}

static int close_holder(struct reader *r) {
    enum { FEW = 48 };
    struct json *value = r->holder;
    r->at++;
    r->depth--;
    value->raw.n = (size_t)(r->at - value->raw.p);
    r->holder = (struct json *)value->above;
    r->last = value;
    if (value->kind != JSON_OBJECT || value->count < 2) return 0;
    if (value->count > FEW) return check_many_names(r, value);
    check_few_names(r, value);
    return 0;
}

/* Reads the value at r->at, or the beginning of it when it is an array or object. */
static int read_value(struct reader *r) {
    struct json *value = new_value(r);
    if (!value) return -1;
    bool has_nul = false;
    int status;
    switch (r->at < r->end ? *r->at : '\0') {
    case '{':
        value->kind = JSON_OBJECT;
        return open_holder(r, value);
    case '[':
        value->kind = JSON_ARRAY;
        return open_holder(r, value);
    case '"':
        value->kind = JSON_STRING;
        status = read_string(r, &value->text, &has_nul);
        if (has_nul && !r->document.nul) r->document.nul = value;
        break;
    case 't':
        value->kind = JSON_BOOLEAN;
        value->boolean = true;
        status = read_word(r, SLICE("true"));
        break;
    case 'f':
        value->kind = JSON_BOOLEAN;
        status = read_word(r, SLICE("false"));
        break;
    case 'n':
        status = read_word(r, SLICE("null"));
        break;
    default:
        if (!digit_follows(r) && (r->at >= r->end || *r->at != '-')) return fail_expected(r, "a value");
        value->kind = JSON_NUMBER;
        status = read_number(r);
        value->text = slice_of(value->raw.p, (size_t)(r->at - value->raw.p));
    }
    value->raw.n = (size_t)(r->at - value->raw.p);
    return status;
}

/* From behind a value, or behind an opening bracket, to where the next value begins. Closes what ends in between;
 * r->holder is NULL when that was the last. */
static int to_next_value(struct reader *r) {
    while (r->holder) {
        bool object = r->holder->kind == JSON_OBJECT, empty = !r->holder->first;
        skip_space(r);
        if (r->at < r->end && *r->at == (object ? '}' : ']')) {
            if (close_holder(r)) return -1;
            continue;
        }
        if (!empty) {
            if (r->at >= r->end || *r->at != ',') return fail_expected(r, object ? "',' or '}'" : "',' or ']'");
            r->at++;
            skip_space(r);
        }
        return object ? read_name(r) : 0;
    }
    return 0;
}

int json_read(struct arena *arena, struct slice text, const struct json_limits *limits, struct json_document *ret_document,
              struct error *error) {
    if (!limits) limits = &json_contract_limits;
    if (text.n > limits->bytes)
        return error_set(error, ERROR_INPUT, "too-large", "the JSON has %zu bytes; at most %zu are allowed", text.n,
                         limits->bytes);
    if (!text.p) text.p = "";
    struct reader r = {.arena = arena, .limits = limits, .error = error, .start = text.p, .at = text.p, .end = text.p + text.n};
    if (slice_starts(text, SLICE("\xef\xbb\xbf"))) return fail_at(&r, r.at, "a byte order mark, which JSON does not allow");
    do {
        skip_space(&r);
        if (read_value(&r) || to_next_value(&r)) return -1;
    } while (r.holder);
    skip_space(&r);
    if (r.at < r.end) return fail_at(&r, r.at, "something follows the end of the JSON value");
    *ret_document = r.document;
    return 0;
}

static void set_path(struct error *error, const struct json *value) {
    if (!error) return;
    struct buf path;
    buf_init(&path, 1024 * 1024);
    json_pointer(&path, value);
    error_at(error, path.n ? path.p : "");
    buf_release(&path);
}

int json_read_strict(struct arena *arena, struct slice text, const struct json_limits *limits, const struct json **ret_root,
                     struct error *error) {
    struct json_document document = {0};
    if (json_read(arena, text, limits, &document, error)) return -1;
    if (document.nul) {
        /* A path with U+0000 in it would end there: then the object that holds the member is named. */
        bool in_name = document.nul->name.n && memchr(document.nul->name.p, '\0', document.nul->name.n);
        error_set(error, ERROR_INPUT, "text-invalid", in_name ? "a member name holds U+0000" : "the text holds U+0000");
        set_path(error, in_name ? document.nul->above : document.nul);
        return -1;
    }
    if (document.duplicate) {
        struct slice name = document.duplicate->name;
        error_set(error, ERROR_INPUT, "duplicate-member", "the member \"%.*s\" stands twice in one object",
                  (int)(name.n < 100 ? name.n : 100), name.n ? name.p : "");
        set_path(error, document.duplicate);
        return -1;
    }
    *ret_root = document.root;
    return 0;
}

/* ---- asking ---- */

const struct json *json_get(const struct json *value, const char *name) {
    if (!value || value->kind != JSON_OBJECT) return NULL;
    const struct json *found = NULL;
    struct slice wanted = slice_str(name);
    for (const struct json *member = value->first; member; member = member->next)
        if (slice_equal(member->name, wanted)) found = member;
    return found;
}

struct slice json_get_text(const struct json *value, const char *name) {
    const struct json *member = json_get(value, name);
    return member && member->kind == JSON_STRING ? member->text : (struct slice){0};
}

bool json_int64(const struct json *value, int64_t *ret_number) {
    if (!value || value->kind != JSON_NUMBER) return false;
    struct decimal decimal = decimal_of(value->text);
    return decimal_int64(&decimal, ret_number);
}

double json_double(const struct json *value) {
    if (!value || value->kind != JSON_NUMBER) return 0;
    struct decimal decimal = decimal_of(value->text);
    return decimal_double(&decimal);
}

static void append_token(struct buf *buf, struct slice name) {
    buf_char(buf, '/');
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '~')
            buf_str(buf, "~0");
        else if (name.p[i] == '/')
            buf_str(buf, "~1");
        else
            buf_char(buf, name.p[i]);
    }
}

static size_t index_of(const struct json *element) {
    size_t index = 0;
    for (const struct json *sibling = element->above->first; sibling != element; sibling = sibling->next) index++;
    return index;
}

/* The depth is bounded by the limits under which the value was read, so no stack is needed: the steps are counted, and each
 * one is walked up to again. */
void json_pointer(struct buf *buf, const struct json *value) {
    size_t depth = 0;
    for (const struct json *v = value; v && v->above; v = v->above) depth++;
    for (size_t level = depth; level > 0; level--) {
        const struct json *step = value;
        for (size_t i = 1; i < level; i++) step = step->above;
        if (step->above->kind == JSON_OBJECT) {
            append_token(buf, step->name);
        } else {
            buf_char(buf, '/');
            buf_decimal(buf, index_of(step));
        }
    }
}

/* ---- writing ---- */

static void write_special(struct buf *buf, unsigned char c) {
    static const char meanings[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *meaning = c ? strchr(meanings, c) : NULL;
    if (!meaning) {
        buf_print(buf, "\\u%04x", c);
        return;
    }
    buf_char(buf, '\\');
    buf_char(buf, letters[meaning - meanings]);
}

void json_write_string(struct buf *buf, struct slice text) {
    const char *p = text.p ? text.p : "", *end = p + text.n, *plain = p;
    buf_char(buf, '"');
    while ((p = find_special(p, end)) < end) {
        size_t size = text_utf8_sequence(p, (size_t)(end - p));
        if (size > 1) {
            p += size;
            continue;
        }
        buf_append(buf, slice_of(plain, (size_t)(p - plain)));
        if (size)
            write_special(buf, (unsigned char)*p);
        else
            buf_str(buf, "\xef\xbf\xbd");
        plain = ++p;
    }
    buf_append(buf, slice_of(plain, (size_t)(p - plain)));
    buf_char(buf, '"');
}
