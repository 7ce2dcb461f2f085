/* The JSON Schemas that are part of the program, one file each in schemas/, by name. */
#ifndef SLUICE_SCHEMAS_H
#define SLUICE_SCHEMAS_H

#include "slice.h"

/* name, file with everything but letters and digits as `_`: schemas/<name>.schema.json */
#define SCHEMAS(X)                                                                                                               \
    X("build-complete.v1", build_complete_v1_schema_json)                                                                        \
    X("promotion-requested.v1", promotion_requested_v1_schema_json)                                                              \
    X("release-manifest", release_manifest_schema_json)                                                                          \
    X("draft-07", draft_07_schema_json)

struct builtin_schema {
    const char *name;
    struct slice text;
};

enum {
#define SCHEMA_COUNT_ONE(name, file) SCHEMA_NUMBER_##file,
    SCHEMAS(SCHEMA_COUNT_ONE)
#undef SCHEMA_COUNT_ONE
        SCHEMA_COUNT
};

/* By number from 0; a NULL name behind the last one. */
struct builtin_schema schemas_at(size_t number);
/* The text of that name, or a NULL slice. */
struct slice schemas_find(struct slice name);
/* The draft-07 meta-schema for its URI (without fragment), or a NULL slice. */
struct slice schemas_by_uri(struct slice uri);

#endif
