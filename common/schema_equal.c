#include "schema_equal.h"

#include "decimal.h"

#include <stdlib.h>

static bool equal_objects(const struct json *a, const struct json *b, int64_t *steps) {
    /* Members mostly stand in the same order, so the search begins where the last one ended. */
    const struct json *at = b->first;
    for (const struct json *member = a->first; member; member = member->next) {
        size_t tried = 0;
        while (tried < b->count && !slice_equal(at->name, member->name)) {
            at = at->next ? at->next : b->first;
            tried++;
            if (--*steps < 0) return false;
        }
        if (tried == b->count || !schema_equal(member, at, steps)) return false;
        at = at->next ? at->next : b->first;
    }
    return true;
}

bool schema_equal(const struct json *a, const struct json *b, int64_t *steps) {
    if (--*steps < 0 || a->kind != b->kind) return false;
    switch (a->kind) {
    case JSON_NULL:
        return true;
    case JSON_BOOLEAN:
        return a->boolean == b->boolean;
    case JSON_STRING:
        return slice_equal(a->text, b->text);
    case JSON_NUMBER: {
        struct decimal x = decimal_of(a->text), y = decimal_of(b->text);
        return decimal_compare(&x, &y) == 0;
    }
    case JSON_OBJECT:
        return a->count == b->count && equal_objects(a, b, steps);
    case JSON_ARRAY:
        break;
    }
    if (a->count != b->count) return false;
    for (a = a->first, b = b->first; a; a = a->next, b = b->next)
        if (!schema_equal(a, b, steps)) return false;
    return true;
}

/* ---- hashes that equal values share ---- */

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t hash_text(uint64_t hash, struct slice text) {
    for (size_t i = 0; i < text.n; i++) hash = (hash ^ (unsigned char)text.p[i]) * 0x100000001b3u;
    return mix(hash, text.n);
}

static uint64_t hash_number(uint64_t hash, struct slice text) {
    struct decimal number = decimal_of(text);
    const char *p = number.first;
    for (size_t i = 0; i < number.count; i++, p++) {
        if (*p == '.') p++;
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
    }
    return mix(mix(hash, (uint64_t)number.scale), number.negative);
}

static uint64_t hash_of(const struct json *value, int64_t *steps) {
    uint64_t hash = mix(0xcbf29ce484222325u, (uint64_t)value->kind);
    if (--*steps < 0) return hash;
    if (value->kind == JSON_BOOLEAN) return mix(hash, value->boolean);
    if (value->kind == JSON_STRING) return hash_text(hash, value->text);
    if (value->kind == JSON_NUMBER) return hash_number(hash, value->text);
    uint64_t sum = 0;
    for (const struct json *inner = value->first; inner; inner = inner->next) {
        if (value->kind == JSON_OBJECT)
            sum += mix(hash_text(hash, inner->name), hash_of(inner, steps));
        else
            sum = mix(sum, hash_of(inner, steps));
    }
    return mix(hash, sum);
}

struct hashed {
    uint64_t hash;
    const struct json *value;
};

static int by_hash_then_place(const void *a, const void *b) {
    const struct hashed *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->value->raw.p > y->value->raw.p) - (x->value->raw.p < y->value->raw.p);
}

static const struct json *find_twin_of_few(const struct json *array, int64_t *steps, const struct json **ret_earlier) {
    for (const struct json *value = array->first; value; value = value->next) {
        for (const struct json *earlier = array->first; earlier != value; earlier = earlier->next) {
            if (!schema_equal(value, earlier, steps)) continue;
            *ret_earlier = earlier;
            return value;
        }
    }
    return NULL;
}

int schema_find_twin(const struct json *array, int64_t *steps, const struct json **ret_twin, const struct json **ret_earlier) {
    enum { FEW = 16 };
    if (array->count <= FEW) {
        *ret_twin = find_twin_of_few(array, steps, ret_earlier);
        return 0;
    }
    struct hashed *table = malloc(array->count * sizeof *table);
    if (!table) return -1;
    size_t count = 0;
    for (const struct json *value = array->first; value; value = value->next)
        table[count++] = (struct hashed){hash_of(value, steps), value};
    qsort(table, count, sizeof *table, by_hash_then_place);
    const struct json *found = NULL;
    for (size_t i = 1; i < count && *steps >= 0; i++) {
        for (size_t j = i; j-- > 0 && table[j].hash == table[i].hash && *steps >= 0;) {
            if (!schema_equal(table[i].value, table[j].value, steps)) continue;
            if (found && found->raw.p < table[i].value->raw.p) continue;
            found = table[i].value;
            *ret_earlier = table[j].value;
        }
    }
    free(table);
    *ret_twin = found;
    return 0;
}
