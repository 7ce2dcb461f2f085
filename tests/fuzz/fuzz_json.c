/* Any bytes as JSON: they are read or refused with a reason; what is read says where it stands, and written and read again
 * it is the same.
 *
 * Covers: common/json.c common/decimal.c */
#include "decimal.h"
#include "fuzz.h"
#include "json.h"

#include <math.h>

static void write_value(struct buf *to, const struct json *value) {
    if (value->kind == JSON_STRING) {
        json_write_string(to, value->text);
    } else if (value->kind != JSON_ARRAY && value->kind != JSON_OBJECT) {
        buf_append(to, value->raw);
    } else {
        bool object = value->kind == JSON_OBJECT;
        buf_char(to, object ? '{' : '[');
        for (const struct json *inner = value->first; inner; inner = inner->next) {
            if (inner != value->first) buf_char(to, ',');
            if (object) {
                json_write_string(to, inner->name);
                buf_char(to, ':');
            }
            write_value(to, inner);
        }
        buf_char(to, object ? '}' : ']');
    }
}

static void require_same(const struct json *a, const struct json *b) {
    REQUIRE(a->kind == b->kind && a->count == b->count && slice_equal(a->name, b->name) && slice_equal(a->text, b->text) &&
            a->boolean == b->boolean);
    const struct json *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next) require_same(x, y);
    REQUIRE(!x && !y);
}

/* The number against what the C library makes of it, and against itself. */
static void check_number(const struct json *value) {
    char text[400];
    int64_t number = 0, again;
    struct decimal decimal = decimal_of(value->text), two = decimal_of(SLICE("2"));
    REQUIRE(decimal_compare(&decimal, &decimal) == 0);
    double nearest = json_double(value);
    REQUIRE(!isnan(nearest));
    if (value->text.n < sizeof text && value->text.n <= 17) { /* so short that 40 digits hold all of it */
        memcpy(text, value->text.p, value->text.n);
        text[value->text.n] = '\0';
        REQUIRE(strtod(text, NULL) == nearest);
    }
    bool whole = json_int64(value, &number);
    REQUIRE(!whole || decimal_is_whole(&decimal));
    bool even = decimal_is_multiple(&decimal, &two);
    REQUIRE(!even || decimal_is_whole(&decimal));
    if (!whole) return;
    REQUIRE(even == (number % 2 == 0));
    (void)snprintf(text, sizeof text, "%lld", (long long)number);
    struct decimal written = decimal_of(slice_str(text));
    REQUIRE(decimal_compare(&decimal, &written) == 0 && decimal_int64(&written, &again) && again == number);
    REQUIRE(decimal_compare(&written, &two) == (number > 2) - (number < 2));
}

static void check_value(const struct json *value, const struct json *root) {
    struct buf pointer;
    buf_init(&pointer, 16 * 1024 * 1024);
    REQUIRE(is_inside(value->raw, root->raw) && value->raw.n);
    json_pointer(&pointer, value);
    REQUIRE((value != root) == (pointer.n > 0));
    buf_release(&pointer);
    int64_t number;
    if (value->kind == JSON_NUMBER)
        check_number(value);
    else
        REQUIRE(!json_int64(value, &number));
    if (value->above && value->above->kind == JSON_OBJECT && !memchr(value->name.n ? value->name.p : "", '\0', value->name.n)) {
        char *name = calloc(1, value->name.n + 1);
        REQUIRE(name);
        memcpy(name, value->name.n ? value->name.p : "", value->name.n);
        REQUIRE(json_get(value->above, name) && slice_equal(json_get(value->above, name)->name, value->name));
        free(name);
    }
}

static void check_document(struct arena *arena, const struct json_document *document) {
    const struct json *root = document->root, *value = root;
    while (value) { /* every value, in the order of the text */
        check_value(value, root);
        const struct json *next = value->first ? value->first : value->next;
        while (!next && (value = value->above)) next = value->next;
        value = next;
    }
    static const struct json_limits wide = {.bytes = 4 * 1024 * 1024, .depth = 32, .values = 100000};
    struct json_document again;
    struct buf written;
    buf_init(&written, 4 * 1024 * 1024);
    write_value(&written, root);
    REQUIRE(!written.failed && json_read(arena, buf_slice(&written), &wide, &again, NULL) == 0);
    require_same(root, again.root);
    REQUIRE(!document->duplicate == !again.duplicate && !document->nul == !again.nul);
    buf_release(&written);
}

/* Small limits hold, and none of them lets through what the large ones refuse. */
static void check_limits(struct arena *arena, struct slice text, bool valid) {
    static const struct json_limits small = {.bytes = 300, .depth = 3, .values = 12};
    struct json_document document;
    struct error error = {0};
    if (json_read(arena, text, &small, &document, &error)) {
        require_error(&error);
        REQUIRE(strcmp(error.code, "not-json") == 0 || strcmp(error.code, "too-deep") == 0 ||
                strcmp(error.code, "too-large") == 0);
        return;
    }
    size_t values = 0;
    for (const struct json *value = document.root; value;) {
        size_t depth = 0;
        for (const struct json *at = value; at; at = at->above) depth += at->kind == JSON_ARRAY || at->kind == JSON_OBJECT;
        REQUIRE(depth <= small.depth && ++values <= small.values);
        const struct json *next = value->first ? value->first : value->next;
        while (!next && (value = value->above)) next = value->next;
        value = next;
    }
    REQUIRE(valid && text.n <= small.bytes);
}

/* Any bytes written as a string are JSON, and the same text when they are UTF-8. */
static void check_string(struct arena *arena, struct slice bytes) {
    struct json_document document;
    struct buf written;
    buf_init(&written, 1024 * 1024);
    json_write_string(&written, bytes);
    REQUIRE(!written.failed && json_read(arena, buf_slice(&written), NULL, &document, NULL) == 0);
    REQUIRE(document.root->kind == JSON_STRING && text_is_utf8(document.root->text));
    if (text_is_utf8(bytes)) REQUIRE(slice_equal(document.root->text, bytes));
    buf_release(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    struct json_document document;
    struct error error = {0};
    if (size > 20000) return 0;
    arena_init(&arena, 256 * 1024 * 1024);
    struct slice text = slice_of(data, size);
    bool valid = json_read(&arena, text, NULL, &document, &error) == 0;
    if (valid) {
        const struct json *strict;
        check_document(&arena, &document);
        bool refused = json_read_strict(&arena, text, NULL, &strict, &error) != 0;
        REQUIRE(refused == (document.duplicate || document.nul));
        if (refused) require_error(&error);
    } else {
        require_error(&error);
    }
    check_limits(&arena, text, valid);
    check_string(&arena, text);
    arena_release(&arena);
    return 0;
}
