/* {"schema": ..., "data": ..., "documents": {URI: ...}}: any schema is compiled or refused with a reason, and judges any data,
 * the same with and without a listener, and its negation the other way round.
 *
 * Covers: common/schema.c common/schema_ref.c common/schema_validate.c common/schema_equal.c */
#include "fuzz.h"
#include "schema.h"
#include "schema_equal.h"

struct heard {
    const struct json *data;
    size_t count, enough;
};

static bool hear(void *context, const struct schema_problem *problem) {
    struct heard *heard = context;
    REQUIRE(problem->instance && problem->path && problem->keyword && problem->keyword[0] && problem->message[0]);
    REQUIRE(is_inside(problem->instance->raw, heard->data->raw));
    for (const char *c = problem->message; *c; c++) REQUIRE(*c != '\n');
    return ++heard->count < heard->enough;
}

static bool is_stopped(const struct error *error) { return strcmp(error->code, "schema-stopped") == 0; }

static void judge(const struct schema *schema, const struct json *data, bool *ret_valid, bool *ret_stopped) {
    struct error first = {0}, all = {0}, some = {0};
    struct heard every = {data, 0, SIZE_MAX}, two = {data, 0, 2};
    bool valid = schema_validate(schema, data, NULL, NULL, &first) == 0;
    bool also = schema_validate(schema, data, hear, &every, &all) == 0;
    bool again = schema_validate(schema, data, hear, &two, &some) == 0;
    if (!valid) require_error(&first);
    if (!valid) REQUIRE(!also && every.count && !again && two.count);
    if (valid && !also) REQUIRE(is_stopped(&all)); /* it looks at more, so it may come to its end sooner */
    if (valid && also) REQUIRE(!every.count && again);
    REQUIRE(two.count <= 2 && first.code[0] == (valid ? '\0' : first.code[0]));
    *ret_valid = valid;
    *ret_stopped = is_stopped(&first) || is_stopped(&all);
}

static int load(void *context, struct arena *arena, struct slice uri, struct slice *ret_text, struct error *error) {
    const struct json *documents = context;
    (void)arena;
    for (const struct json *member = documents ? documents->first : NULL; member; member = member->next)
        if (slice_equal(member->name, uri)) return *ret_text = member->raw, 0;
    return error_set(error, ERROR_INPUT, "not-found", "it is not among the documents");
}

/* not(not(x)) is x, and not(x) its contrary, unless validation was stopped. The schema within refers to itself by "#/not/not". */
static void check_negation(struct slice text, const struct schema_sources *sources, const struct json *data, bool valid) {
    struct buf negated;
    struct schema *schema;
    bool otherwise, stopped;
    if (memmem(text.p, text.n, "$ref", 4) || memmem(text.p, text.n, "\\u", 2)) return;
    buf_init(&negated, text.n + 20);
    buf_str(&negated, "{\"not\":");
    buf_append(&negated, text);
    buf_char(&negated, '}');
    if (schema_compile(buf_slice(&negated), sources, &schema, NULL) == 0) {
        judge(schema, data, &otherwise, &stopped);
        if (!stopped) REQUIRE(otherwise == !valid);
        schema_free(schema);
    }
    buf_release(&negated);
}

/* The first element that equals an earlier one, by looking at all pairs. */
static const struct json *first_twin(const struct json *array) {
    for (const struct json *value = array->first; value; value = value->next)
        for (const struct json *earlier = array->first; earlier != value; earlier = earlier->next) {
            int64_t steps = 1000000;
            if (schema_equal(value, earlier, &steps)) return value;
        }
    return NULL;
}

static void check_equality(const struct json *a, const struct json *b) {
    int64_t steps = 1000000, back = 1000000, twins = 1000000;
    const struct json *earlier = NULL;
    bool equal = schema_equal(a, b, &steps);
    bool again = schema_equal(b, a, &back);
    if (steps > 0 && back > 0) REQUIRE(equal == again);
    steps = 1000000;
    REQUIRE(schema_equal(a, a, &steps) || steps <= 0);
    if (a->kind != JSON_ARRAY) return;
    const struct json *twin = NULL;
    REQUIRE(schema_find_twin(a, &twins, &twin, &earlier) == 0);
    if (twins > 0 && a->count <= 100) REQUIRE(twin == first_twin(a));
    steps = 1000000;
    if (twin && twins > 0) REQUIRE(earlier && earlier != twin && schema_equal(twin, earlier, &steps));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    struct json_document document;
    struct error error = {0};
    if (size > 5000) return 0;
    arena_init(&arena, 64 * 1024 * 1024);
    if (json_read(&arena, slice_of(data, size), NULL, &document, NULL) == 0) {
        const struct json *text = json_get(document.root, "schema"), *instance = json_get(document.root, "data");
        const struct json *documents = json_get(document.root, "documents");
        const struct schema_sources sources = {load, (void *)(uintptr_t)documents};
        struct schema *schema;
        bool valid, stopped;
        if (!text) text = document.root;
        if (!instance) instance = document.root;
        check_equality(instance, text);
        if (schema_compile(text->raw, documents ? &sources : NULL, &schema, &error) == 0) {
            judge(schema, instance, &valid, &stopped);
            schema_free(schema);
            if (!stopped) check_negation(text->raw, documents ? &sources : NULL, instance, valid);
        } else {
            require_error(&error);
        }
    }
    arena_release(&arena);
    return 0;
}
