/* Where the schemas of a compilation stand, by URI: `$id`, `$ref` and the documents behind them (core sections 8.2, 8.3).
 *
 * Every document is walked once for the places where draft-07 has a schema, and only there `$id` counts: within `enum`,
 * `const` and unknown keywords it is data. */
#ifndef SLUICE_SCHEMA_REF_H
#define SLUICE_SCHEMA_REF_H

#include "arena.h"
#include "error.h"
#include "json.h"
#include "map.h"
#include "schema.h"

struct schema_node;

/* One schema in a document. */
struct schema_place {
    const struct json *source;
    struct slice base;        /* the URI that references in it start from, without fragment */
    struct schema_node *node; /* compiled form, or NULL; for the compiler */
};

struct schema_places {
    struct arena *arena;
    const struct schema_sources *sources; /* or NULL */
    struct map by_source;                 /* address of a struct json -> struct schema_place */
    struct map by_uri;                    /* absolute URI, with "#name" for a named place -> struct json */
    size_t documents;
};

void schema_places_init(struct schema_places *places, struct arena *arena, const struct schema_sources *sources);
/* Reads and walks a document that was found at `uri` ("" for the main one). The text has to outlive the places. */
int schema_places_add(struct schema_places *places, struct slice uri, struct slice text, const struct json **ret_root,
                      struct error *error);
/* The place of a schema that stands within a known document. */
int schema_places_at(struct schema_places *places, const struct json *source, struct schema_place **ret_place,
                     struct error *error);
/* What the `$ref` in `from` names. */
int schema_places_resolve(struct schema_places *places, const struct schema_place *from, struct slice reference,
                          struct schema_place **ret_place, struct error *error);

/* RFC 3986 section 5.2: `reference` as seen from `base`, which may be "". A NULL `p` without memory. */
struct slice schema_uri_resolve(struct arena *arena, struct slice base, struct slice reference);

#endif
