/* The JSON Schemas that are part of the program, one file each in schemas/, by name. */
#ifndef SLUICE_SCHEMAS_H
#define SLUICE_SCHEMAS_H

#include "slice.h"

/* name, file with everything but letters and digits as `_`: schemas/<name>.schema.json */
#define SCHEMAS(X)                                                                                                               \
    X("promotion-requested.v1", promotion_requested_v1_schema_json)                                                              \
    X("build-complete.v1", build_complete_v1_schema_json)                                                                        \
    X("release-manifest", release_manifest_schema_json)                                                                          \
    X("release-verified.v1", release_verified_v1_schema_json)                                                                    \
    X("release-rejected.v1", release_rejected_v1_schema_json)                                                                    \
    X("promotion-waiting.v1", promotion_waiting_v1_schema_json)                                                                  \
    X("promotion-promoted.v1", promotion_promoted_v1_schema_json)                                                                \
    X("promotion-rejected.v1", promotion_rejected_v1_schema_json)                                                                \
    X("promotion-superseded.v1", promotion_superseded_v1_schema_json)                                                            \
    X("promotion-aborted.v1", promotion_aborted_v1_schema_json)                                                                  \
    X("promotion-expired.v1", promotion_expired_v1_schema_json)                                                                  \
    X("promotion-evaluated.v1", promotion_evaluated_v1_schema_json)                                                              \
    X("promotion-answer.v1", promotion_answer_v1_schema_json)                                                                    \
    X("event-refused.v1", event_refused_v1_schema_json)                                                                          \
    X("event-duplicate.v1", event_duplicate_v1_schema_json)                                                                      \
    X("dead-letter-error", dead_letter_error_schema_json)                                                                        \
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
/* The schema of that URI (without fragment), which is urn:sluice:schema:NAME, or the meta-schema's own; or a NULL slice. */
struct slice schemas_by_uri(struct slice uri);

#endif
