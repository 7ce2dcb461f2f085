#include "schema.h"

#include "buf.h"
#include "memory.h"
#include "schema_equal.h"
#include "schema_node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What bounds a validation: nested applications of schemas, which is also the bound of the C stack, and all steps. */
enum { DEPTH_MAX = 2000, STEPS_MAX = 50 * 1000 * 1000 };

struct run {
    schema_listener *listener; /* or NULL */
    void *context;
    struct error *error;
    size_t problems;
    unsigned quiet; /* within a branch whose failure is no problem by itself */
    unsigned depth;
    int64_t steps;       /* that are left */
    void *pattern_space; /* of schema_pattern_match */
    bool stopped;        /* it cannot be told whether the document is valid */
    bool enough;         /* the listener wants no more */
};

static bool check(struct run *r, const struct schema_node *node, const struct json *value);

/* ---- problems ---- */

/* Does a failed check go on to look for further problems? */
static inline bool goes_on(const struct run *r) { return r->listener && !r->quiet && !r->enough && !r->stopped; }

/* The document is not to blame, and the listener has nothing to hear: the error is all. */
static bool starve(struct run *r) {
    r->stopped = true;
    (void)error_starved(r->error);
    return false;
}

static void tell(struct run *r, const struct json *value, const char *keyword, const char *code, const char *message) {
    struct buf path;
    buf_init(&path, 16 * 1024 * 1024);
    json_pointer(&path, value);
    buf_char(&path, '\0');
    if (path.failed && !path.full) {
        (void)starve(r);
        buf_release(&path);
        return;
    }
    const struct schema_problem problem = {value, path.p && !path.failed ? path.p : "", keyword, message};
    if (r->problems++ == 0 || r->stopped) {
        (void)error_set(r->error, ERROR_INPUT, code, "%s", message);
        error_at(r->error, problem.path);
    }
    if (r->listener && !r->enough && !r->listener(r->context, &problem)) r->enough = true;
    buf_release(&path);
}

/* Always returns false, so that `return problem(...)` is one statement. */
static bool __attribute__((format(printf, 4, 5)))
problem(struct run *r, const struct json *value, const char *keyword, const char *format, ...) {
    if (r->quiet || r->enough || r->stopped) return false;
    struct error line = {0}; /* for its cleaning of control characters */
    va_list arguments;
    va_start(arguments, format);
    (void)error_vset(&line, ERROR_INPUT, NULL, format, arguments);
    va_end(arguments);
    tell(r, value, keyword, strcmp(keyword, "additionalProperties") == 0 ? "unknown-member" : "schema-invalid", line.message);
    return false;
}

/* Also within quiet branches: `not` must not turn "cannot be told" into yes. */
static bool stop(struct run *r, const struct json *value, const char *keyword, const char *message) {
    if (r->stopped) return false;
    r->stopped = true;
    tell(r, value, keyword, "schema-stopped", message);
    return false;
}

static bool steps_left(struct run *r, const struct json *value, const char *keyword) {
    return r->steps >= 0 || stop(r, value, keyword, "the schema needs too many steps for this document; it was stopped");
}

/* A value for a message, cut where it is long. */
struct shown {
    char text[64];
};

static struct shown show(struct slice raw) {
    struct shown shown;
    bool whole = raw.n < sizeof shown.text;
    size_t n = whole ? raw.n : sizeof shown.text - 4;
    while (!whole && n && ((unsigned char)raw.p[n] & 0xc0) == 0x80) n--;
    (void)snprintf(shown.text, sizeof shown.text, "%.*s%s", (int)n, n ? raw.p : "", whole ? "" : "...");
    return shown;
}

/* ---- any type ---- */

static unsigned types_of(const struct json *value) {
    switch (value->kind) {
    case JSON_NULL:
        return TYPE_NULL;
    case JSON_BOOLEAN:
        return TYPE_BOOLEAN;
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    case JSON_OBJECT:
        return TYPE_OBJECT;
    case JSON_NUMBER:
        break;
    }
    struct decimal number = decimal_of(value->text);
    return decimal_is_whole(&number) ? TYPE_NUMBER | TYPE_INTEGER : TYPE_NUMBER;
}

static bool wrong_type(struct run *r, const struct schema_node *node, const struct json *value, unsigned types) {
    if (r->quiet) return false;
    char expected[120] = "", found[16] = "";
    for (unsigned i = 0; i < TYPE_COUNT; i++) {
        size_t n = strlen(expected);
        if (node->types >> i & 1)
            (void)snprintf(expected + n, sizeof expected - n, "%s%s", n ? " or " : "", schema_type_names[i]);
        /* A number is called that, be it whole or not. */
        if (types >> i & 1 && !found[0]) (void)snprintf(found, sizeof found, "%s", schema_type_names[i]);
    }
    return problem(r, value, "type", "%s is expected, not %s", expected, found);
}

static bool in_enumeration(struct run *r, const struct schema_node *node, const struct json *value) {
    for (const struct json *allowed = node->enumeration->first; allowed; allowed = allowed->next)
        if (schema_equal(allowed, value, &r->steps)) return true;
    if (!steps_left(r, value, "enum") || r->quiet) return false;
    char list[700] = "";
    for (const struct json *allowed = node->enumeration->first; allowed; allowed = allowed->next) {
        size_t n = strlen(list);
        bool full = n > sizeof list - 100;
        (void)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", full ? "..." : show(allowed->raw).text);
        if (full) break;
    }
    return problem(r, value, "enum", "one of %s is expected, not %s", list, show(value->raw).text);
}

static bool is_constant(struct run *r, const struct schema_node *node, const struct json *value) {
    if (schema_equal(node->constant, value, &r->steps)) return true;
    if (!steps_left(r, value, "const")) return false;
    return problem(r, value, "const", "%s is expected, not %s", show(node->constant->raw).text, show(value->raw).text);
}

/* ---- numbers and strings ---- */

static bool check_number(struct run *r, const struct number_rules *rules, const struct json *value) {
    struct decimal number = decimal_of(value->text);
    const struct {
        const struct bound *bound;
        const char *keyword, *expected;
        int wrong, also; /* outcomes of the comparison that are refused */
    } bounds[] = {{&rules->minimum, "minimum", "at least", -1, -1},
                  {&rules->maximum, "maximum", "at most", 1, 1},
                  {&rules->exclusive_minimum, "exclusiveMinimum", "more than", -1, 0},
                  {&rules->exclusive_maximum, "exclusiveMaximum", "less than", 1, 0}};
    bool good = true;
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        if (!bounds[i].bound->text.p) continue;
        int order = decimal_compare(&number, &bounds[i].bound->value);
        if (order != bounds[i].wrong && order != bounds[i].also) continue;
        good = problem(r, value, bounds[i].keyword, "%s %s is expected, not %s", bounds[i].expected,
                       show(bounds[i].bound->text).text, show(value->raw).text);
        if (!goes_on(r)) return false;
    }
    if (rules->multiple_of.text.p && !decimal_is_multiple(&number, &rules->multiple_of.value))
        return problem(r, value, "multipleOf", "a multiple of %s is expected, not %s", show(rules->multiple_of.text).text,
                       show(value->raw).text);
    return good;
}

static int64_t characters(struct slice text) {
    int64_t count = 0;
    for (size_t i = 0; i < text.n; i++) count += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    return count;
}

static bool check_length(struct run *r, const struct count_rules *rules, const struct json *value) {
    /* Characters have 1 to 4 bytes: mostly the bytes tell already. */
    int64_t bytes = (int64_t)value->text.n;
    if (bytes <= rules->maximum && bytes / 4 >= rules->minimum) return true;
    int64_t length = characters(value->text);
    if (length < rules->minimum)
        return problem(r, value, "minLength", "at least %lld characters are expected, not %lld", (long long)rules->minimum,
                       (long long)length);
    if (length > rules->maximum)
        return problem(r, value, "maxLength", "at most %lld characters are expected, not %lld", (long long)rules->maximum,
                       (long long)length);
    return true;
}

static bool matches(struct run *r, const struct schema_pattern *pattern, struct slice text, const struct json *value,
                    const char *keyword) {
    enum schema_match match = schema_pattern_match(pattern, &r->pattern_space, text);
    if (match == SCHEMA_MATCH_STARVED) return starve(r);
    if (match == SCHEMA_MATCH_STOPPED) return stop(r, value, keyword, "matching the pattern takes too long; it was stopped");
    return match == SCHEMA_MATCH;
}

static bool check_string(struct run *r, const struct string_rules *rules, const struct json *value) {
    bool good = check_length(r, &rules->length, value);
    if (!good && !goes_on(r)) return false;
    if (rules->pattern && !matches(r, rules->pattern, value->text, value, "pattern")) {
        good = problem(r, value, "pattern", "%s does not match the pattern %.*s", show(value->raw).text,
                       (int)(rules->pattern_text.n < 400 ? rules->pattern_text.n : 400), rules->pattern_text.p);
        if (!goes_on(r)) return false;
    }
    unsigned long refusals = memory_refusals(); /* a format says no more than yes or no */
    if (rules->format && !rules->format->matches(value->text))
        return memory_refusals() != refusals
                   ? starve(r)
                   : problem(r, value, "format", "%s is not %s", show(value->raw).text, rules->format->expected);
    return good;
}

/* ---- arrays ---- */

static bool check_count(struct run *r, const struct count_rules *rules, const struct json *value, const char *minimum,
                        const char *maximum, const char *what) {
    int64_t count = (int64_t)value->count;
    if (count < rules->minimum)
        return problem(r, value, minimum, "at least %lld %s are expected, not %lld", (long long)rules->minimum, what,
                       (long long)count);
    if (count > rules->maximum)
        return problem(r, value, maximum, "at most %lld %s are expected, not %lld", (long long)rules->maximum, what,
                       (long long)count);
    return true;
}

static bool check_elements(struct run *r, const struct array_rules *rules, const struct json *value) {
    bool good = true;
    size_t index = 0;
    for (const struct json *element = value->first; element; element = element->next, index++) {
        const struct schema_node *node = rules->items;
        if (rules->tuple) node = index < rules->tuple_count ? rules->tuple[index] : rules->additional;
        if (!node) return good; /* nothing is said of the others */
        bool additional = rules->tuple && index >= rules->tuple_count;
        if (additional && node->form == NODE_FALSE)
            good = problem(r, element, "additionalItems", "at most %zu elements are expected", rules->tuple_count);
        else if (!check(r, node, element))
            good = false;
        if (!good && !goes_on(r)) return false;
    }
    return good;
}

static bool check_contains(struct run *r, const struct schema_node *node, const struct json *value) {
    bool found = false;
    r->quiet++;
    for (const struct json *element = value->first; element && !found && !r->stopped; element = element->next)
        found = check(r, node, element);
    r->quiet--;
    return found || problem(r, value, "contains", "no element is as one of them has to be");
}

static bool check_unique(struct run *r, const struct json *value) {
    const struct json *earlier, *twin;
    if (schema_find_twin(value, &r->steps, &twin, &earlier)) return starve(r);
    if (!steps_left(r, value, "uniqueItems")) return false;
    return !twin || problem(r, twin, "uniqueItems", "no two elements may be equal: %s", show(twin->raw).text);
}

static bool check_array(struct run *r, const struct array_rules *rules, const struct json *value) {
    bool good = check_count(r, &rules->count, value, "minItems", "maxItems", "elements");
    if (!good && !goes_on(r)) return false;
    if (!check_elements(r, rules, value)) good = false;
    if (!good && !goes_on(r)) return false;
    if (rules->unique && !check_unique(r, value)) good = false;
    if (!good && !goes_on(r)) return false;
    return (!rules->contains || check_contains(r, rules->contains, value)) && good;
}

/* ---- objects ---- */

/* The index in the table, or property_count. */
static size_t find_property(const struct object_rules *rules, struct slice name) {
    size_t low = 0, high = rules->property_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct slice other = rules->properties[middle].name;
        int order = name.n != other.n ? (name.n < other.n ? -1 : 1) : name.n ? memcmp(name.p, other.p, name.n) : 0;
        if (order == 0) return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return rules->property_count;
}

static bool unknown_member(struct run *r, const struct object_rules *rules, const struct json *member) {
    if (r->quiet) return false;
    char known[600] = "";
    for (size_t i = 0; i < rules->property_count; i++) {
        size_t n = strlen(known);
        if (!rules->properties[i].node) continue;
        bool full = n > sizeof known - 100;
        (void)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", full ? "..." : show(rules->properties[i].name).text);
        if (full) break;
    }
    return problem(r, member, "additionalProperties", "no member \"%s\" is known here%s%s", show(member->name).text,
                   known[0] ? "; known are " : "", known);
}

static bool check_name(struct run *r, const struct schema_node *node, const struct json *member) {
    const struct json name = {
        .kind = JSON_STRING, .name = member->name, .text = member->name, .raw = member->name, .above = member->above};
    r->quiet++;
    bool good = check(r, node, &name);
    r->quiet--;
    return good || problem(r, member, "propertyNames", "the member name \"%s\" is not allowed", show(member->name).text);
}

/* One member against all that is said of it. `index` is its place in the table. */
static bool check_member(struct run *r, const struct object_rules *rules, const struct json *member, size_t index) {
    bool good = true, known = false;
    if (index < rules->property_count && rules->properties[index].node) {
        known = true;
        good = check(r, rules->properties[index].node, member);
    }
    for (size_t i = 0; i < rules->pattern_count && (good || goes_on(r)); i++) {
        if (!matches(r, rules->patterns[i].pattern, member->name, member, "patternProperties")) continue;
        known = true;
        if (!check(r, rules->patterns[i].node, member)) good = false;
    }
    if (!good && !goes_on(r)) return false;
    if (!known && rules->additional) {
        bool fits =
            rules->additional->form == NODE_FALSE ? unknown_member(r, rules, member) : check(r, rules->additional, member);
        if (!fits) good = false;
    }
    if (!good && !goes_on(r)) return false;
    return (!rules->names || check_name(r, rules->names, member)) && good;
}

/* `seen` has a bit for every entry of the table. */
static bool check_required(struct run *r, const struct object_rules *rules, const uint64_t *seen, const struct json *value) {
    bool good = true;
    for (size_t i = 0; i < rules->property_count; i++) {
        if (!rules->properties[i].required || seen[i / 64] >> (i % 64) & 1) continue;
        good = problem(r, value, "required", "the member \"%s\" is missing", show(rules->properties[i].name).text);
        if (!goes_on(r)) return false;
    }
    return good;
}

static bool check_members(struct run *r, const struct object_rules *rules, const struct json *value) {
    enum { FEW = 8 };
    uint64_t few[FEW] = {0}, *seen = few;
    bool good = true;
    if (rules->property_count > FEW * 64) seen = calloc(rules->property_count / 64 + 1, sizeof *seen);
    if (!seen) return starve(r);
    for (const struct json *member = value->first; member && (good || goes_on(r)); member = member->next) {
        size_t index = find_property(rules, member->name);
        if (index < rules->property_count) seen[index / 64] |= (uint64_t)1 << (index % 64);
        if (!check_member(r, rules, member, index)) good = false;
    }
    if ((good || goes_on(r)) && rules->required_count && !check_required(r, rules, seen, value)) good = false;
    if (seen != few) free(seen);
    return good;
}

static bool has_member(const struct json *value, struct slice name) {
    for (const struct json *member = value->first; member; member = member->next)
        if (slice_equal(member->name, name)) return true;
    return false;
}

static bool check_dependency(struct run *r, const struct dependency *dependency, const struct json *value) {
    bool good = true;
    r->steps -= (int64_t)value->count;
    if (!steps_left(r, value, "dependencies")) return false;
    if (!has_member(value, dependency->name)) return true;
    if (dependency->node) return check(r, dependency->node, value);
    for (size_t i = 0; i < dependency->name_count; i++) {
        r->steps -= (int64_t)value->count;
        if (!steps_left(r, value, "dependencies")) return false;
        if (has_member(value, dependency->names[i])) continue;
        good = problem(r, value, "dependencies", "with the member \"%s\" the member \"%s\" has to be there, too",
                       show(dependency->name).text, show(dependency->names[i]).text);
        if (!goes_on(r)) return false;
    }
    return good;
}

static bool check_object(struct run *r, const struct object_rules *rules, const struct json *value) {
    bool good = check_count(r, &rules->count, value, "minProperties", "maxProperties", "members");
    if (!good && !goes_on(r)) return false;
    if (!check_members(r, rules, value)) good = false;
    for (size_t i = 0; i < rules->dependency_count && (good || goes_on(r)); i++)
        if (!check_dependency(r, &rules->dependencies[i], value)) good = false;
    return good;
}

/* ---- combinations ---- */

static bool check_quietly(struct run *r, const struct schema_node *node, const struct json *value) {
    r->quiet++;
    bool good = check(r, node, value);
    r->quiet--;
    return good;
}

static bool check_any_of(struct run *r, const struct node_list *list, const struct json *value) {
    for (size_t i = 0; i < list->count; i++) {
        if (check_quietly(r, list->nodes[i], value)) return true;
        if (r->stopped) return false;
    }
    return problem(r, value, "anyOf", "none of the %zu alternatives fits", list->count);
}

static bool check_one_of(struct run *r, const struct node_list *list, const struct json *value) {
    size_t first = 0;
    for (size_t i = 0; i < list->count; i++) {
        bool fits = check_quietly(r, list->nodes[i], value);
        if (r->stopped) return false;
        if (fits && first) return problem(r, value, "oneOf", "alternatives %zu and %zu both fit; exactly one may", first, i + 1);
        if (fits) first = i + 1;
    }
    return first || problem(r, value, "oneOf", "none of the %zu alternatives fits", list->count);
}

static bool check_condition(struct run *r, const struct logic_rules *rules, const struct json *value) {
    bool holds = check_quietly(r, rules->if_, value);
    const struct schema_node *node = holds ? rules->then_ : rules->else_;
    return !r->stopped && (!node || check(r, node, value));
}

static bool check_not(struct run *r, const struct schema_node *node, const struct json *value) {
    bool fits = check_quietly(r, node, value);
    if (r->stopped) return false;
    return !fits || problem(r, value, "not", "what is excluded fits");
}

static bool check_logic(struct run *r, const struct logic_rules *rules, const struct json *value) {
    bool good = true;
    for (size_t i = 0; i < rules->all_of.count && (good || goes_on(r)); i++)
        if (!check(r, rules->all_of.nodes[i], value)) good = false;
    if ((good || goes_on(r)) && rules->any_of.count && !check_any_of(r, &rules->any_of, value)) good = false;
    if ((good || goes_on(r)) && rules->one_of.count && !check_one_of(r, &rules->one_of, value)) good = false;
    if ((good || goes_on(r)) && rules->not_ && !check_not(r, rules->not_, value)) good = false;
    if ((good || goes_on(r)) && rules->if_ && !check_condition(r, rules, value)) good = false;
    return good;
}

/* ---- the whole ---- */

static bool check_rules(struct run *r, const struct schema_node *node, const struct json *value) {
    if (node->types) {
        unsigned types = types_of(value);
        /* Of another type, the other keywords would only confuse. */
        if (!(types & node->types)) return wrong_type(r, node, value, types);
    }
    bool good = true;
    if (node->enumeration && !in_enumeration(r, node, value)) good = false;
    if ((good || goes_on(r)) && node->constant && !is_constant(r, node, value)) good = false;
    if (!good && !goes_on(r)) return false;
    if (value->kind == JSON_NUMBER && node->numbers && !check_number(r, node->numbers, value)) good = false;
    if (value->kind == JSON_STRING && node->strings && !check_string(r, node->strings, value)) good = false;
    if (value->kind == JSON_ARRAY && node->arrays && !check_array(r, node->arrays, value)) good = false;
    if (value->kind == JSON_OBJECT && node->objects && !check_object(r, node->objects, value)) good = false;
    if (!good && !goes_on(r)) return false;
    return (!node->logic || check_logic(r, node->logic, value)) && good;
}

static bool check(struct run *r, const struct schema_node *node, const struct json *value) {
    if (r->stopped) return false;
    if (r->depth >= DEPTH_MAX) return stop(r, value, "$ref", "the schema recurses too deep, perhaps without end");
    if (--r->steps < 0) return steps_left(r, value, "$ref"); /* what has no reference comes to its end sooner */
    r->depth++;
    bool good = true;
    switch (node->form) {
    case NODE_TRUE:
        break;
    case NODE_FALSE:
        good = problem(r, value, "false", "nothing is allowed here");
        break;
    case NODE_REFERENCE:
        good = check(r, node->reference, value);
        break;
    case NODE_RULES:
        good = check_rules(r, node, value);
        break;
    }
    r->depth--;
    return good && !r->stopped;
}

int schema_validate(const struct schema *schema, const struct json *document, schema_listener *listener, void *context,
                    struct error *error) {
    struct run run = {.listener = listener, .context = context, .error = error, .steps = STEPS_MAX};
    bool good = check(&run, schema->root, document);
    schema_pattern_scratch_free(run.pattern_space);
    return good ? 0 : -1;
}
