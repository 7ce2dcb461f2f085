/* JSON Schema draft-07 (draft-handrews-json-schema-01 and -validation-01): compiled once, used for every document.
 *
 * `format` is asserted; formats that draft-07 does not name are ignored, and so are unknown keywords, contentEncoding and
 * contentMediaType. Numbers are compared exactly. `pattern` is ECMA-262 as near as PCRE2 gets (see schema_pattern.h).
 *
 * Nothing here touches the network. What a `$ref` names outside its own document is asked of a loader, once for each
 * document; the draft-07 meta-schema is built in.
 *
 * A compiled schema is only read from then on, so any number of threads may use it. Validation of a valid document allocates
 * nothing but, where patterns are used, one small block. It is bounded: schemas that never come to an end, patterns that
 * backtrack without end, and schemas whose work explodes are stopped, and a document that could not be judged is not valid. */
#ifndef SLUICE_SCHEMA_H
#define SLUICE_SCHEMA_H

#include "arena.h"
#include "error.h"
#include "json.h"

#include <stdbool.h>

struct schema;

/* Gives the text of the document at `uri`, which is absolute and has no fragment. The text has to live until the schema is
 * compiled; `arena` is there for it. Returns 0, or -1 with an error whose message says why there is none. */
typedef int schema_loader(void *context, struct arena *arena, struct slice uri, struct slice *ret_text, struct error *error);

struct schema_sources {
    schema_loader *load; /* NULL: no other documents */
    void *context;
};

/* For documents that are no event: schemas, and files on the command line. */
extern const struct json_limits schema_document_limits;

/* `sources` may be NULL. The text is copied. Error codes: json.h's, and "schema-unusable" with a path into the schema: a
 * keyword of the wrong kind, a reference to nothing, a pattern that does not compile, endless recursion, another draft.
 * Returns 0 or -1. */
int schema_compile(struct slice text, const struct schema_sources *sources, struct schema **ret_schema, struct error *error);
void schema_free(struct schema *schema);

/* One problem of a document. `keyword` is the schema's keyword that failed, or "false" for the schema `false`; the message
 * says what was expected and is one line. All of it lives only during the call. */
struct schema_problem {
    const struct json *instance; /* of "required" the object, of "additionalProperties" the unknown member */
    const char *path;            /* its JSON Pointer */
    const char *keyword;
    const char *message;
};
/* Returns false to hear no more. */
typedef bool schema_listener(void *context, const struct schema_problem *problem);

/* Returns 0 when the document is valid, else -1 with the first problem as the error: code "unknown-member" when
 * `additionalProperties` failed, "schema-stopped" when validation was stopped, "out-of-memory" when nothing can be said of the
 * document, otherwise "schema-invalid"; its path is a JSON Pointer into the document. Without a listener the first problem ends
 * it; a listener hears all that can be told (what is wrong within the branches of anyOf, oneOf, not and if is not). */
int schema_validate(const struct schema *schema, const struct json *document, schema_listener *listener, void *context,
                    struct error *error);

#endif
