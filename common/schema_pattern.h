/* ECMA-262 regular expressions in Unicode mode, by way of PCRE2.
 *
 * The expression is translated first: what both write alike but mean differently gets ECMA's meaning (`\s`, `.`, `$`, `\v`,
 * `\u....`, long names of properties), and what only PCRE knows is refused (`\A`, `(?i)`, `(?P<n>)`, `(*UTF)`, possessive
 * quantifiers). An escaped punctuation mark stands for itself, as most engines have it. Not supported: look-behind of
 * unbounded length. */
#ifndef SLUICE_SCHEMA_PATTERN_H
#define SLUICE_SCHEMA_PATTERN_H

#include "error.h"
#include "slice.h"

struct schema_pattern;

/* Steps that one match may take. It bounds a hopeless match to some tens of milliseconds. */
enum { SCHEMA_PATTERN_STEPS = 1000000 };

int schema_pattern_new(struct slice expression, struct schema_pattern **ret_pattern, struct error *error);
void schema_pattern_free(struct schema_pattern *pattern);
/* The list that a schema keeps of its patterns. */
struct schema_pattern **schema_pattern_next(struct schema_pattern *pattern);

enum schema_match { SCHEMA_MATCH, SCHEMA_NO_MATCH, SCHEMA_MATCH_STOPPED, SCHEMA_MATCH_STARVED /* of memory */ };

/* Is there a match anywhere in the text, which is UTF-8? *scratch is NULL before the first call of a thread's validation and
 * is released after its last one. */
enum schema_match schema_pattern_match(const struct schema_pattern *pattern, void **scratch, struct slice text);
void schema_pattern_scratch_free(void *scratch);

#endif
