#include "schema_ref.h"

#include "buf.h"
#include "schemas.h"
#include "text.h"

/* A text of nothing, that is not absent. */
#define EMPTY SLICE("")

/* ---- RFC 3986 ---- */

struct uri {
    struct slice scheme, authority, path, query, fragment; /* a NULL `p`: absent; path is always there */
};

static struct slice cut(struct slice *rest, size_t length, size_t skipped) {
    struct slice part = slice_of(rest->p, length);
    *rest = slice_of(rest->p + length + skipped, rest->n - length - skipped);
    return part;
}

static size_t span(struct slice text, const char *stops) {
    size_t n = 0;
    while (n < text.n && !(text.p[n] && strchr(stops, text.p[n]))) n++;
    return n;
}

/* Appendix B: takes apart without judging. */
static struct uri uri_parse(struct slice rest) {
    struct uri uri = {0};
    if (!rest.p) rest = EMPTY;
    const char *hash = rest.n ? memchr(rest.p, '#', rest.n) : NULL;
    if (hash) {
        uri.fragment = slice_of(hash + 1, (size_t)(rest.p + rest.n - hash - 1));
        rest.n = (size_t)(hash - rest.p);
    }
    const char *mark = rest.n ? memchr(rest.p, '?', rest.n) : NULL;
    if (mark) {
        uri.query = slice_of(mark + 1, (size_t)(rest.p + rest.n - mark - 1));
        rest.n = (size_t)(mark - rest.p);
    }
    size_t colon = span(rest, ":/");
    if (colon && colon < rest.n && rest.p[colon] == ':') uri.scheme = cut(&rest, colon, 1);
    if (slice_starts(rest, SLICE("//"))) {
        (void)cut(&rest, 2, 0);
        uri.authority = cut(&rest, span(rest, "/"), 0);
    }
    uri.path = rest;
    return uri;
}

/* Section 5.2.4, on whole segments: "." is dropped, ".." drops what stands before it. */
static void append_path(struct buf *to, struct slice path) {
    size_t start = to->n;
    while (path.n && !to->failed) {
        bool rooted = path.p[0] == '/';
        struct slice whole = path;
        if (rooted) (void)cut(&path, 1, 0);
        struct slice segment = cut(&path, span(path, "/"), 0);
        bool last = !path.n;
        if (slice_is(segment, "..")) {
            while (to->n > start && to->p[--to->n] != '/') {
            }
        } else if (!slice_is(segment, ".")) {
            buf_append(to, slice_of(whole.p, segment.n + rooted));
            continue;
        }
        if (last && (rooted || to->n > start)) buf_char(to, '/');
    }
}

static void merge_paths(struct buf *merged, const struct uri *base, struct slice path) {
    if (base->authority.p && !base->path.n) {
        buf_char(merged, '/');
    } else {
        size_t directory = base->path.n;
        while (directory && base->path.p[directory - 1] != '/') directory--;
        buf_append(merged, slice_of(base->path.p, directory));
    }
    buf_append(merged, path);
}

/* Section 5.3. */
static void append_uri(struct buf *to, const struct uri *uri, struct slice path) {
    if (uri->scheme.p) {
        buf_append(to, uri->scheme);
        buf_char(to, ':');
    }
    if (uri->authority.p) {
        buf_str(to, "//");
        buf_append(to, uri->authority);
    }
    append_path(to, path);
    if (uri->query.p) {
        buf_char(to, '?');
        buf_append(to, uri->query);
    }
    if (uri->fragment.p) {
        buf_char(to, '#');
        buf_append(to, uri->fragment);
    }
}

struct slice schema_uri_resolve(struct arena *arena, struct slice base_text, struct slice reference) {
    struct uri base = uri_parse(base_text), uri = uri_parse(reference);
    struct buf merged, whole;
    buf_init(&merged, 1024 * 1024);
    buf_init(&whole, 1024 * 1024);
    struct slice path = uri.path;
    if (!uri.scheme.p && !uri.authority.p) {
        if (!path.n) {
            path = base.path;
            if (!uri.query.p) uri.query = base.query;
        } else if (path.p[0] != '/') {
            merge_paths(&merged, &base, path);
            path = buf_slice(&merged);
        }
        uri.authority = base.authority;
    }
    if (!uri.scheme.p) uri.scheme = base.scheme;
    append_uri(&whole, &uri, path);
    struct slice answer = merged.failed || whole.failed ? slice_of(NULL, 0) : arena_copy(arena, buf_slice(&whole));
    buf_release(&merged);
    buf_release(&whole);
    return answer;
}

/* Takes the fragment off; an absent or empty one gives an empty text. */
static struct slice split_fragment(struct slice *uri) {
    size_t length = span(*uri, "#");
    struct slice fragment = length < uri->n ? slice_of(uri->p + length + 1, uri->n - length - 1) : EMPTY;
    uri->n = length;
    return fragment;
}

/* ---- places ---- */

void schema_places_init(struct schema_places *places, struct arena *arena, const struct schema_sources *sources) {
    *places = (struct schema_places){.arena = arena, .sources = sources};
    map_init(&places->by_source, arena);
    map_init(&places->by_uri, arena);
}

static struct schema_place *known_place(const struct schema_places *places, const struct json *source) {
    return map_get(&places->by_source, slice_of(&source, sizeof source));
}

static struct schema_place *new_place(struct schema_places *places, const struct json *source, struct slice base) {
    struct schema_place *place = ARENA_NEW(places->arena, struct schema_place);
    if (!place) return NULL;
    *place = (struct schema_place){.source = source, .base = base};
    void **at = map_at(&places->by_source, slice_of(&place->source, sizeof place->source));
    return at ? *at = place : NULL;
}

static int fail_in(struct error *error, const struct json *value, const char *what, struct slice detail) {
    struct buf path;
    buf_init(&path, 64 * 1024);
    error_set(error, ERROR_INPUT, "schema-unusable", detail.n ? "%s: \"%.*s\"" : "%s%.*s", what,
              (int)(detail.n < 300 ? detail.n : 300), detail.n ? detail.p : "");
    json_pointer(&path, value);
    error_at(error, path.n ? path.p : "");
    buf_release(&path);
    return -1;
}

static int register_uri(struct schema_places *places, struct slice uri, const struct json *source, struct error *error) {
    void **at = map_at(&places->by_uri, uri);
    if (!at) return error_memory(error);
    if (*at && *at != source) return fail_in(error, source, "another schema has this URI, too", uri);
    *at = (void *)(uintptr_t)source;
    return 0;
}

/* What `$id` does to the base of the schema that it stands in. */
static int apply_id(struct schema_places *places, const struct json *schema, struct slice id, struct slice *base,
                    struct error *error) {
    struct slice absolute = schema_uri_resolve(places->arena, *base, id), whole = absolute;
    if (!absolute.p) return error_memory(error);
    struct slice fragment = split_fragment(&absolute);
    if (!slice_equal(absolute, *base)) {
        *base = absolute;
        if (!fragment.n) return register_uri(places, absolute, schema, error);
    }
    return fragment.n && fragment.p[0] != '/' ? register_uri(places, whole, schema, error) : 0;
}

enum holds { HOLDS_SCHEMA, HOLDS_SCHEMAS, HOLDS_MEMBERS }; /* one; one or an array of them; an object of them */

static const struct {
    const char *keyword;
    enum holds holds;
} holders[] = {{"definitions", HOLDS_MEMBERS},
               {"properties", HOLDS_MEMBERS},
               {"patternProperties", HOLDS_MEMBERS},
               {"dependencies", HOLDS_MEMBERS},
               {"items", HOLDS_SCHEMAS},
               {"allOf", HOLDS_SCHEMAS},
               {"anyOf", HOLDS_SCHEMAS},
               {"oneOf", HOLDS_SCHEMAS},
               {"additionalItems", HOLDS_SCHEMA},
               {"additionalProperties", HOLDS_SCHEMA},
               {"contains", HOLDS_SCHEMA},
               {"propertyNames", HOLDS_SCHEMA},
               {"not", HOLDS_SCHEMA},
               {"if", HOLDS_SCHEMA},
               {"then", HOLDS_SCHEMA},
               {"else", HOLDS_SCHEMA}};

static int walk(struct schema_places *places, const struct json *schema, struct slice base, struct error *error);

static int walk_held(struct schema_places *places, const struct json *held, enum holds holds, struct slice base,
                     struct error *error) {
    bool inner = holds == HOLDS_MEMBERS ? held->kind == JSON_OBJECT : holds == HOLDS_SCHEMAS && held->kind == JSON_ARRAY;
    if (!inner) return holds == HOLDS_MEMBERS ? 0 : walk(places, held, base, error);
    for (const struct json *schema = held->first; schema; schema = schema->next)
        if (walk(places, schema, base, error)) return -1;
    return 0;
}

/* As deep as the document, whose depth is limited. */
static int walk(struct schema_places *places, const struct json *schema, struct slice base, struct error *error) {
    if ((schema->kind != JSON_OBJECT && schema->kind != JSON_BOOLEAN) || known_place(places, schema)) return 0;
    const struct json *id = json_get(schema, "$id");
    /* Beside $ref every keyword is ignored, $id too; definitions are often put there all the same, and can be referred to. */
    if (id && id->kind == JSON_STRING && !json_get(schema, "$ref") && apply_id(places, schema, id->text, &base, error)) return -1;
    if (!new_place(places, schema, base)) return error_memory(error);
    for (const struct json *member = schema->first; member; member = member->next)
        for (size_t i = 0; i < sizeof holders / sizeof *holders; i++)
            if (slice_is(member->name, holders[i].keyword) && walk_held(places, member, holders[i].holds, base, error)) return -1;
    return 0;
}

int schema_places_add(struct schema_places *places, struct slice uri, struct slice text, const struct json **ret_root,
                      struct error *error) {
    enum { DOCUMENTS_MAX = 1000 };
    struct json_document document;
    if (places->documents++ >= DOCUMENTS_MAX)
        return error_set(error, ERROR_INPUT, "schema-unusable", "more than %d documents are referred to", DOCUMENTS_MAX);
    if (json_read(places->arena, text, &schema_document_limits, &document, error)) return -1;
    if (document.duplicate)
        return fail_in(error, document.duplicate, "this member stands twice in one object", document.duplicate->name);
    if (register_uri(places, uri, document.root, error) || walk(places, document.root, uri, error)) return -1;
    *ret_root = document.root;
    return 0;
}

int schema_places_at(struct schema_places *places, const struct json *source, struct schema_place **ret_place,
                     struct error *error) {
    struct schema_place *place = known_place(places, source);
    if (place) {
        *ret_place = place;
        return 0;
    }
    if (source->kind != JSON_OBJECT && source->kind != JSON_BOOLEAN)
        return fail_in(error, source, "a schema is expected, which is an object, true or false", EMPTY);
    /* A reference may name a schema where none was expected: its base is that of the nearest one around it. */
    struct slice base = EMPTY;
    for (const struct json *above = source->above; above; above = above->above) {
        const struct schema_place *around = known_place(places, above);
        if (!around) continue;
        base = around->base;
        break;
    }
    if (walk(places, source, base, error)) return -1;
    *ret_place = known_place(places, source);
    return 0;
}

/* ---- references ---- */

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void percent_decode(struct buf *to, struct slice text) {
    for (size_t i = 0; i < text.n; i++) {
        int high = -1, low = -1;
        if (text.p[i] == '%' && text.n - i > 2) {
            high = hex_value(text.p[i + 1]);
            low = hex_value(text.p[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            buf_char(to, (char)(high << 4 | low));
            i += 2;
        } else {
            buf_char(to, text.p[i]);
        }
    }
}

static const struct json *element(const struct json *array, struct slice token) {
    size_t index = 0;
    if (!token.n || token.n > 9 || (token.p[0] == '0' && token.n > 1)) return NULL;
    for (size_t i = 0; i < token.n; i++) {
        if (token.p[i] < '0' || token.p[i] > '9') return NULL;
        index = index * 10 + (size_t)(token.p[i] - '0');
    }
    const struct json *found = array->first;
    while (found && index--) found = found->next;
    return found;
}

static bool token_is(struct slice token, struct slice name) {
    size_t at = 0;
    for (size_t i = 0; i < token.n; i++, at++) {
        char c = token.p[i];
        if (c == '~' && i + 1 < token.n && (token.p[i + 1] == '0' || token.p[i + 1] == '1')) c = token.p[++i] == '0' ? '~' : '/';
        if (at >= name.n || name.p[at] != c) return false;
    }
    return at == name.n;
}

/* RFC 6901. */
static const struct json *follow_pointer(const struct json *value, struct slice pointer) {
    while (value && pointer.n) {
        if (pointer.p[0] != '/') return NULL;
        (void)cut(&pointer, 1, 0);
        struct slice token = cut(&pointer, span(pointer, "/"), 0);
        const struct json *inner = NULL;
        if (value->kind == JSON_ARRAY) inner = element(value, token);
        for (const struct json *member = value->first; member && value->kind == JSON_OBJECT && !inner; member = member->next)
            if (token_is(token, member->name)) inner = member;
        value = inner;
    }
    return value;
}

/* The document at an absolute URI, loaded when it is not known yet. */
static int find_document(struct schema_places *places, struct slice uri, const struct json **ret_root, struct error *error) {
    const struct json *root = map_get(&places->by_uri, uri);
    if (root) {
        *ret_root = root;
        return 0;
    }
    struct slice text = schemas_by_uri(uri);
    struct error why = {0};
    const struct schema_sources *sources = places->sources;
    if (!text.p && sources && sources->load) {
        if (sources->load(sources->context, places->arena, uri, &text, &why))
            return why.kind == ERROR_INTERNAL ? error_memory(error)
                                              : error_set(error, ERROR_INPUT, "schema-unusable", "cannot refer to %.*s: %s",
                                                          SLICE_ARG(uri), why.message);
    }
    if (!text.p)
        return error_set(error, ERROR_INPUT, "schema-unusable",
                         "nothing is known of %.*s (schemas are never fetched over the network)", SLICE_ARG(uri));
    if (!schema_places_add(places, uri, text, ret_root, &why)) return 0;
    if (why.kind == ERROR_INTERNAL) return error_memory(error);
    return error_set(error, ERROR_INPUT, "schema-unusable", "in %.*s%s%s: %s", SLICE_ARG(uri), why.path[0] ? "#" : "", why.path,
                     why.message);
}

int schema_places_resolve(struct schema_places *places, const struct schema_place *from, struct slice reference,
                          struct schema_place **ret_place, struct error *error) {
    struct slice uri = schema_uri_resolve(places->arena, from->base, reference), whole = uri;
    if (!uri.p) return error_memory(error);
    struct slice fragment = split_fragment(&uri);
    const struct json *root = NULL, *target = NULL;
    if (find_document(places, uri, &root, error)) return -1;
    if (fragment.n && fragment.p[0] != '/') {
        target = map_get(&places->by_uri, whole);
    } else {
        struct buf pointer;
        buf_init(&pointer, 1024 * 1024);
        percent_decode(&pointer, fragment);
        bool starved = pointer.failed && !pointer.full;
        target = pointer.failed ? NULL : follow_pointer(root, buf_slice(&pointer));
        buf_release(&pointer);
        if (starved) return error_memory(error);
    }
    if (!target) return error_set(error, ERROR_INPUT, "schema-unusable", "\"%.*s\" refers to nothing", SLICE_ARG(reference));
    return schema_places_at(places, target, ret_place, error);
}
