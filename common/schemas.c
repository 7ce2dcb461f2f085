#include "schemas.h"

#define SCHEMA_DECLARE(name, file)                                                                                               \
    extern const unsigned char embedded_##file[];                                                                                \
    extern const size_t embedded_##file##_size;
SCHEMAS(SCHEMA_DECLARE)
#undef SCHEMA_DECLARE

struct builtin_schema schemas_at(size_t number) {
    switch (number) {
#define SCHEMA_CASE(name, file)                                                                                                  \
    case SCHEMA_NUMBER_##file:                                                                                                   \
        return (struct builtin_schema){name, slice_of(embedded_##file, embedded_##file##_size)};
        SCHEMAS(SCHEMA_CASE)
#undef SCHEMA_CASE
    default:
        return (struct builtin_schema){0};
    }
}

struct slice schemas_find(struct slice name) {
    for (size_t i = 0; i < SCHEMA_COUNT; i++)
        if (slice_is(name, schemas_at(i).name)) return schemas_at(i).text;
    return (struct slice){0};
}

struct slice schemas_by_uri(struct slice uri) {
    static const char prefix[] = "urn:sluice:schema:";
    if (slice_is(uri, "http://json-schema.org/draft-07/schema") || slice_is(uri, "https://json-schema.org/draft-07/schema"))
        return schemas_find(SLICE("draft-07"));
    if (!slice_starts(uri, slice_str(prefix))) return (struct slice){0};
    return schemas_find(slice_of(uri.p + sizeof prefix - 1, uri.n - sizeof prefix + 1));
}
