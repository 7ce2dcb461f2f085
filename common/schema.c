#include "schema.h"

#include "buf.h"
#include "schema_node.h"
#include "schema_ref.h"

#include <stdlib.h>

const struct json_limits schema_document_limits = {.bytes = 64 * 1024 * 1024, .depth = 256, .values = 2000000};

const char *const schema_type_names[TYPE_COUNT] = {"null", "boolean", "number", "integer", "string", "array", "object"};

enum { SCHEMA_MEMORY_MAX = 512 * 1024 * 1024, NODES_MAX = 1000000 };

/* Nodes are made when something refers to them and filled one after the other, so no chain of schemas makes a deep stack. */
struct compiler {
    struct schema *schema;
    struct arena *arena; /* the schema's */
    struct schema_places places;
    struct schema_node **nodes; /* all of them; malloc'ed */
    size_t node_count, room;
    struct error *error;
};

/* ---- small readers ---- */

static int unusable(const struct compiler *c, const struct json *where, const char *what) {
    struct buf path;
    buf_init(&path, 64 * 1024);
    error_set(c->error, ERROR_INPUT, "schema-unusable", "%s", what);
    json_pointer(&path, where);
    if (path.failed && !path.full)
        (void)error_memory(c->error);
    else
        error_at(c->error, path.n ? path.p : "");
    buf_release(&path);
    return -1;
}

static int want(const struct compiler *c, const struct json *value, enum json_kind kind) {
    static const char *const wanted[] = {
        [JSON_NULL] = "a null is expected here",     [JSON_BOOLEAN] = "true or false is expected here",
        [JSON_NUMBER] = "a number is expected here", [JSON_STRING] = "a string is expected here",
        [JSON_ARRAY] = "an array is expected here",  [JSON_OBJECT] = "an object is expected here"};
    return value->kind == kind ? 0 : unusable(c, value, wanted[kind]);
}

/* A whole number from 0; one that is too large for anything counts as the largest. */
static int read_count(struct compiler *c, const struct json *value, int64_t *ret_count) {
    if (want(c, value, JSON_NUMBER)) return -1;
    struct decimal number = decimal_of(value->text);
    if (number.negative || !decimal_is_whole(&number)) return unusable(c, value, "a whole number from 0 is expected here");
    if (!decimal_int64(&number, ret_count)) *ret_count = INT64_MAX;
    return 0;
}

static int read_bound(struct compiler *c, const struct json *value, struct bound *ret_bound) {
    if (want(c, value, JSON_NUMBER)) return -1;
    *ret_bound = (struct bound){value->text, decimal_of(value->text)};
    return 0;
}

static int read_names(struct compiler *c, const struct json *value, struct slice **ret_names) {
    if (want(c, value, JSON_ARRAY)) return -1;
    struct slice *names = ARENA_ARRAY(c->arena, struct slice, value->count);
    if (!names) return error_memory(c->error);
    size_t count = 0;
    for (const struct json *name = value->first; name; name = name->next) {
        if (want(c, name, JSON_STRING)) return -1;
        names[count++] = name->text;
    }
    *ret_names = names;
    return 0;
}

/* Only a known group is made; *group is it from then on. */
#define GROUP(c, node, member)                                                                                                   \
    ((node)->member ? (node)->member : ((node)->member = arena_alloc((c)->arena, sizeof *(node)->member)))

/* ---- nodes ---- */

static int remember(struct compiler *c, struct schema_node *node) {
    if (c->node_count == c->room) {
        size_t room = c->room ? c->room * 2 : 64;
        struct schema_node **nodes = room > NODES_MAX ? NULL : realloc(c->nodes, room * sizeof *nodes);
        if (!nodes) return error_memory(c->error);
        c->nodes = nodes;
        c->room = room;
    }
    c->nodes[c->node_count++] = node;
    return 0;
}

static int node_of(struct compiler *c, struct schema_place *place, struct schema_node **ret_node) {
    if (!place->node) {
        struct schema_node *node = ARENA_NEW(c->arena, struct schema_node);
        if (!node) return error_memory(c->error);
        node->source = place->source;
        if (remember(c, node)) return -1;
        place->node = node;
    }
    *ret_node = place->node;
    return 0;
}

/* The node of the schema that stands at `source`. */
static int subschema(struct compiler *c, const struct json *source, struct schema_node **ret_node) {
    struct schema_place *place;
    return schema_places_at(&c->places, source, &place, c->error) ? -1 : node_of(c, place, ret_node);
}

static int subschemas(struct compiler *c, const struct json *value, struct schema_node ***ret_nodes) {
    struct schema_node **nodes = ARENA_ARRAY(c->arena, struct schema_node *, value->count);
    if (!nodes) return error_memory(c->error);
    size_t count = 0;
    for (const struct json *inner = value->first; inner; inner = inner->next)
        if (subschema(c, inner, &nodes[count++])) return -1;
    *ret_nodes = nodes;
    return 0;
}

static int node_list(struct compiler *c, const struct json *value, struct node_list *ret_list) {
    if (want(c, value, JSON_ARRAY)) return -1;
    if (!value->count) return unusable(c, value, "at least one schema is expected here");
    ret_list->count = value->count;
    return subschemas(c, value, &ret_list->nodes);
}

/* ---- keywords: each fills its part of the node from its value ---- */

typedef int keyword_function(struct compiler *c, struct schema_node *node, const struct json *value);

static int add_type(struct compiler *c, struct schema_node *node, const struct json *name) {
    for (unsigned i = 0; name->kind == JSON_STRING && i < TYPE_COUNT; i++) {
        if (!slice_is(name->text, schema_type_names[i])) continue;
        node->types |= 1u << i;
        return 0;
    }
    return unusable(c, name, "a type is expected here: null, boolean, number, integer, string, array or object");
}

static int keyword_type(struct compiler *c, struct schema_node *node, const struct json *value) {
    if (value->kind != JSON_ARRAY) return add_type(c, node, value);
    if (!value->count) return unusable(c, value, "at least one type is expected here");
    for (const struct json *name = value->first; name; name = name->next)
        if (add_type(c, node, name)) return -1;
    return 0;
}

static int keyword_enum(struct compiler *c, struct schema_node *node, const struct json *value) {
    node->enumeration = value;
    return want(c, value, JSON_ARRAY);
}

static int keyword_const(struct compiler *c, struct schema_node *node, const struct json *value) {
    (void)c;
    node->constant = value;
    return 0;
}

#define NUMBER_KEYWORD(function, member)                                                                                         \
    static int function(struct compiler *c, struct schema_node *node, const struct json *value) {                                \
        struct number_rules *rules = GROUP(c, node, numbers);                                                                    \
        return rules ? read_bound(c, value, &rules->member) : error_memory(c->error);                                            \
    }
NUMBER_KEYWORD(keyword_minimum, minimum)
NUMBER_KEYWORD(keyword_maximum, maximum)
NUMBER_KEYWORD(keyword_exclusive_minimum, exclusive_minimum)
NUMBER_KEYWORD(keyword_exclusive_maximum, exclusive_maximum)

static int keyword_multiple_of(struct compiler *c, struct schema_node *node, const struct json *value) {
    struct number_rules *rules = GROUP(c, node, numbers);
    if (!rules) return error_memory(c->error);
    if (read_bound(c, value, &rules->multiple_of)) return -1;
    const struct decimal *divisor = &rules->multiple_of.value;
    if (divisor->negative || !divisor->count) return unusable(c, value, "a number above 0 is expected here");
    if (divisor->count > DECIMAL_DIVISOR_DIGITS) return unusable(c, value, "at most 18 significant digits are supported here");
    return 0;
}

/* `maximum` has to be set in a new group, as an absent one means no limit. */
static struct string_rules *strings_of(struct compiler *c, struct schema_node *node) {
    bool fresh = !node->strings;
    struct string_rules *rules = GROUP(c, node, strings);
    if (rules && fresh) rules->length.maximum = INT64_MAX;
    return rules;
}

static struct array_rules *arrays_of(struct compiler *c, struct schema_node *node) {
    bool fresh = !node->arrays;
    struct array_rules *rules = GROUP(c, node, arrays);
    if (rules && fresh) rules->count.maximum = INT64_MAX;
    return rules;
}

static struct object_rules *objects_of(struct compiler *c, struct schema_node *node) {
    bool fresh = !node->objects;
    struct object_rules *rules = GROUP(c, node, objects);
    if (rules && fresh) rules->count.maximum = INT64_MAX;
    return rules;
}

#define COUNT_KEYWORD(function, group, member)                                                                                   \
    static int function(struct compiler *c, struct schema_node *node, const struct json *value) {                                \
        struct group##_rules *rules = group##s_of(c, node);                                                                      \
        return rules ? read_count(c, value, &rules->member) : error_memory(c->error);                                            \
    }
COUNT_KEYWORD(keyword_min_length, string, length.minimum)
COUNT_KEYWORD(keyword_max_length, string, length.maximum)
COUNT_KEYWORD(keyword_min_items, array, count.minimum)
COUNT_KEYWORD(keyword_max_items, array, count.maximum)
COUNT_KEYWORD(keyword_min_properties, object, count.minimum)
COUNT_KEYWORD(keyword_max_properties, object, count.maximum)

#define SCHEMA_KEYWORD(function, group, member)                                                                                  \
    static int function(struct compiler *c, struct schema_node *node, const struct json *value) {                                \
        struct group##_rules *rules = group##s_of(c, node);                                                                      \
        return rules ? subschema(c, value, &rules->member) : error_memory(c->error);                                             \
    }
SCHEMA_KEYWORD(keyword_additional_items, array, additional)
SCHEMA_KEYWORD(keyword_contains, array, contains)
SCHEMA_KEYWORD(keyword_additional_properties, object, additional)
SCHEMA_KEYWORD(keyword_property_names, object, names)

static int compile_pattern(struct compiler *c, const struct json *where, struct slice text, struct schema_pattern **ret_pattern) {
    struct error why = {0};
    if (schema_pattern_new(text, ret_pattern, &why))
        return why.kind == ERROR_INPUT ? unusable(c, where, why.message) : error_memory(c->error);
    *schema_pattern_next(*ret_pattern) = c->schema->patterns;
    c->schema->patterns = *ret_pattern;
    return 0;
}

static int keyword_pattern(struct compiler *c, struct schema_node *node, const struct json *value) {
    struct string_rules *rules = strings_of(c, node);
    if (!rules) return error_memory(c->error);
    if (want(c, value, JSON_STRING)) return -1;
    rules->pattern_text = value->text;
    return compile_pattern(c, value, value->text, &rules->pattern);
}

static int keyword_format(struct compiler *c, struct schema_node *node, const struct json *value) {
    if (want(c, value, JSON_STRING)) return -1;
    const struct schema_format *format = schema_format_find(value->text);
    if (!format) return 0;
    struct string_rules *rules = strings_of(c, node);
    if (!rules) return error_memory(c->error);
    rules->format = format;
    return 0;
}

static int keyword_items(struct compiler *c, struct schema_node *node, const struct json *value) {
    struct array_rules *rules = arrays_of(c, node);
    if (!rules) return error_memory(c->error);
    if (value->kind != JSON_ARRAY) return subschema(c, value, &rules->items);
    rules->tuple_count = value->count;
    return subschemas(c, value, &rules->tuple);
}

static int keyword_unique_items(struct compiler *c, struct schema_node *node, const struct json *value) {
    struct array_rules *rules = arrays_of(c, node);
    if (!rules) return error_memory(c->error);
    rules->unique = value->boolean;
    return want(c, value, JSON_BOOLEAN);
}

static int by_length_then_bytes(const void *a, const void *b) {
    const struct property *x = a, *y = b;
    if (x->name.n != y->name.n) return x->name.n < y->name.n ? -1 : 1;
    return slice_compare(x->name, y->name);
}

/* One table of `properties` and `required`, made by whichever of the two comes first. */
static int keyword_properties(struct compiler *c, struct schema_node *node, const struct json *value) {
    const struct json *properties = json_get(node->source, "properties"), *required = json_get(node->source, "required");
    (void)value;
    struct object_rules *rules = objects_of(c, node);
    if (!rules) return error_memory(c->error);
    if (rules->properties) return 0;
    if ((properties && want(c, properties, JSON_OBJECT)) || (required && want(c, required, JSON_ARRAY))) return -1;
    size_t room = (properties ? properties->count : 0) + (required ? required->count : 0), count = 0, kept = 0;
    struct property *table = ARENA_ARRAY(c->arena, struct property, room);
    if (!table) return error_memory(c->error);
    for (const struct json *p = properties ? properties->first : NULL; p; p = p->next) {
        table[count].name = p->name;
        if (subschema(c, p, &table[count++].node)) return -1;
    }
    for (const struct json *p = required ? required->first : NULL; p; p = p->next) {
        if (want(c, p, JSON_STRING)) return -1;
        table[count++] = (struct property){.name = p->text, .required = true};
    }
    qsort(table, count, sizeof *table, by_length_then_bytes);
    for (size_t i = 0; i < count; i++) {
        if (kept && slice_equal(table[kept - 1].name, table[i].name)) {
            table[kept - 1].required |= table[i].required;
            if (table[i].node) table[kept - 1].node = table[i].node;
        } else {
            table[kept++] = table[i];
        }
    }
    rules->properties = table;
    rules->property_count = kept;
    for (size_t i = 0; i < kept; i++) rules->required_count += table[i].required;
    return 0;
}

static int keyword_pattern_properties(struct compiler *c, struct schema_node *node, const struct json *value) {
    struct object_rules *rules = objects_of(c, node);
    if (!rules) return error_memory(c->error);
    if (want(c, value, JSON_OBJECT)) return -1;
    rules->patterns = ARENA_ARRAY(c->arena, struct pattern_property, value->count);
    if (!rules->patterns) return error_memory(c->error);
    for (const struct json *member = value->first; member; member = member->next) {
        struct pattern_property *pattern = &rules->patterns[rules->pattern_count++];
        if (compile_pattern(c, member, member->name, &pattern->pattern) || subschema(c, member, &pattern->node)) return -1;
    }
    return 0;
}

static int keyword_dependencies(struct compiler *c, struct schema_node *node, const struct json *value) {
    struct object_rules *rules = objects_of(c, node);
    if (!rules) return error_memory(c->error);
    if (want(c, value, JSON_OBJECT)) return -1;
    rules->dependencies = ARENA_ARRAY(c->arena, struct dependency, value->count);
    if (!rules->dependencies) return error_memory(c->error);
    for (const struct json *member = value->first; member; member = member->next) {
        struct dependency *dependency = &rules->dependencies[rules->dependency_count++];
        dependency->name = member->name;
        dependency->name_count = member->count;
        if (member->kind == JSON_ARRAY ? read_names(c, member, &dependency->names) : subschema(c, member, &dependency->node))
            return -1;
    }
    return 0;
}

static int keyword_definitions(struct compiler *c, struct schema_node *node, const struct json *value) {
    struct schema_node **unused;
    (void)node;
    return want(c, value, JSON_OBJECT) ? -1 : subschemas(c, value, &unused);
}

#define LOGIC_KEYWORD(function, read, member)                                                                                    \
    static int function(struct compiler *c, struct schema_node *node, const struct json *value) {                                \
        struct logic_rules *rules = GROUP(c, node, logic);                                                                       \
        return rules ? read(c, value, &rules->member) : error_memory(c->error);                                                  \
    }
LOGIC_KEYWORD(keyword_all_of, node_list, all_of)
LOGIC_KEYWORD(keyword_any_of, node_list, any_of)
LOGIC_KEYWORD(keyword_one_of, node_list, one_of)
LOGIC_KEYWORD(keyword_not, subschema, not_)
LOGIC_KEYWORD(keyword_if, subschema, if_)
LOGIC_KEYWORD(keyword_then, subschema, then_)
LOGIC_KEYWORD(keyword_else, subschema, else_)

/* A schema of another draft would be understood wrongly without a word. */
static int keyword_schema(struct compiler *c, struct schema_node *node, const struct json *value) {
    (void)node;
    if (want(c, value, JSON_STRING)) return -1;
    struct slice uri = value->text;
    if (uri.n && uri.p[uri.n - 1] == '#') uri.n--;
    if (slice_is(uri, "http://json-schema.org/draft-07/schema") || slice_is(uri, "https://json-schema.org/draft-07/schema"))
        return 0;
    return unusable(c, value, "only draft-07 is understood: http://json-schema.org/draft-07/schema#");
}

static int keyword_text(struct compiler *c, struct schema_node *node, const struct json *value) {
    (void)node;
    return want(c, value, JSON_STRING);
}

static const struct {
    const char *name;
    keyword_function *compile;
} keywords[] = {{"$schema", keyword_schema},
                {"$id", keyword_text},
                {"type", keyword_type},
                {"enum", keyword_enum},
                {"const", keyword_const},
                {"minimum", keyword_minimum},
                {"maximum", keyword_maximum},
                {"exclusiveMinimum", keyword_exclusive_minimum},
                {"exclusiveMaximum", keyword_exclusive_maximum},
                {"multipleOf", keyword_multiple_of},
                {"minLength", keyword_min_length},
                {"maxLength", keyword_max_length},
                {"pattern", keyword_pattern},
                {"format", keyword_format},
                {"items", keyword_items},
                {"additionalItems", keyword_additional_items},
                {"contains", keyword_contains},
                {"minItems", keyword_min_items},
                {"maxItems", keyword_max_items},
                {"uniqueItems", keyword_unique_items},
                {"properties", keyword_properties},
                {"required", keyword_properties},
                {"patternProperties", keyword_pattern_properties},
                {"additionalProperties", keyword_additional_properties},
                {"propertyNames", keyword_property_names},
                {"minProperties", keyword_min_properties},
                {"maxProperties", keyword_max_properties},
                {"dependencies", keyword_dependencies},
                {"definitions", keyword_definitions},
                {"allOf", keyword_all_of},
                {"anyOf", keyword_any_of},
                {"oneOf", keyword_one_of},
                {"not", keyword_not},
                {"if", keyword_if},
                {"then", keyword_then},
                {"else", keyword_else}};

static int fill_reference(struct compiler *c, struct schema_node *node, const struct json *reference) {
    struct schema_place *from, *to;
    node->form = NODE_REFERENCE;
    if (want(c, reference, JSON_STRING) || schema_places_at(&c->places, node->source, &from, c->error)) return -1;
    if (!schema_places_resolve(&c->places, from, reference->text, &to, c->error)) return node_of(c, to, &node->reference);
    struct error why = *c->error;
    return why.kind == ERROR_INPUT ? unusable(c, reference, why.message) : -1;
}

static int fill(struct compiler *c, struct schema_node *node) {
    const struct json *source = node->source;
    if (source->kind == JSON_BOOLEAN) {
        node->form = source->boolean ? NODE_TRUE : NODE_FALSE;
        return 0;
    }
    const struct json *reference = json_get(source, "$ref");
    if (reference) return fill_reference(c, node, reference);
    for (const struct json *member = source->first; member; member = member->next)
        for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
            if (slice_is(member->name, keywords[i].name) && keywords[i].compile(c, node, member)) return -1;
    return 0;
}

/* ---- endless recursion: schemas that apply themselves to the same value whatever it is ---- */

enum { MARK_NEW, MARK_OPEN, MARK_DONE };

/* The `number`th schema that `node` always applies to its own value, or NULL behind the last. */
static struct schema_node *always_applied(const struct schema_node *node, size_t number) {
    if (node->form == NODE_REFERENCE) return number == 0 ? node->reference : NULL;
    const struct logic_rules *logic = node->logic;
    if (!logic) return NULL;
    if (number < logic->all_of.count) return logic->all_of.nodes[number];
    number -= logic->all_of.count;
    if (number < logic->one_of.count) return logic->one_of.nodes[number];
    number -= logic->one_of.count;
    struct schema_node *others[] = {logic->any_of.count ? logic->any_of.nodes[0] : NULL, logic->not_, logic->if_};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] && number-- == 0) return others[i];
    return NULL;
}

struct step {
    struct schema_node *node;
    size_t next; /* of always_applied */
};

/* Depth first, with a stack of its own. What is reached while still open lies on a circle. */
static int refuse_endless(struct compiler *c) {
    if (!c->node_count) return 0;
    struct step *stack = calloc(c->node_count, sizeof *stack);
    if (!stack) return error_memory(c->error);
    int status = 0;
    for (size_t i = 0; i < c->node_count && !status; i++) {
        size_t depth = 0;
        if (c->nodes[i]->endless_mark == MARK_NEW) stack[depth++] = (struct step){c->nodes[i], 0};
        while (depth && !status) {
            struct step *top = &stack[depth - 1];
            top->node->endless_mark = MARK_OPEN;
            struct schema_node *next = always_applied(top->node, top->next++);
            if (!next) {
                top->node->endless_mark = MARK_DONE;
                depth--;
            } else if (next->endless_mark == MARK_OPEN) {
                status = unusable(c, next->source, "this schema applies itself to the same value without end");
            } else if (next->endless_mark == MARK_NEW) {
                stack[depth++] = (struct step){next, 0};
            }
        }
    }
    free(stack);
    return status;
}

/* ---- the whole ---- */

static int compile(struct compiler *c, struct slice text) {
    const struct json *root;
    struct slice copy = arena_copy(c->arena, text);
    if (!copy.p) return error_memory(c->error);
    if (schema_places_add(&c->places, SLICE(""), copy, &root, c->error) || subschema(c, root, &c->schema->root)) return -1;
    for (size_t i = 0; i < c->node_count; i++)
        if (fill(c, c->nodes[i])) return -1;
    c->schema->node_count = c->node_count;
    return refuse_endless(c);
}

int schema_compile(struct slice text, const struct schema_sources *sources, struct schema **ret_schema, struct error *error) {
    struct error own = {0};
    struct schema *schema = calloc(1, sizeof *schema);
    if (!schema) return error_memory(error);
    arena_init(&schema->arena, SCHEMA_MEMORY_MAX);
    struct compiler compiler = {.schema = schema, .arena = &schema->arena, .error = error ? error : &own};
    schema_places_init(&compiler.places, compiler.arena, sources);
    int status = compile(&compiler, text);
    free(compiler.nodes);
    if (status)
        schema_free(schema);
    else
        *ret_schema = schema;
    return status;
}

void schema_free(struct schema *schema) {
    if (!schema) return;
    for (struct schema_pattern *pattern = schema->patterns, *next; pattern; pattern = next) {
        next = *schema_pattern_next(pattern);
        schema_pattern_free(pattern);
    }
    arena_release(&schema->arena);
    free(schema);
}
