/* The formats of JSON Schema draft-07 (validation section 7.3), each a function over UTF-8 text. */
#ifndef SLUICE_SCHEMA_FORMAT_H
#define SLUICE_SCHEMA_FORMAT_H

#include "slice.h"

#include <stdbool.h>

typedef bool schema_format_function(struct slice text);

struct schema_format {
    const char *name;
    schema_format_function *matches;
    const char *expected; /* for messages: "an RFC 3339 date-time, as 2026-03-01T10:00:00Z" */
};

/* NULL for names that draft-07 does not define. */
const struct schema_format *schema_format_find(struct slice name);

/* ---- the functions that stand in files of their own ---- */

schema_format_function schema_format_ipv4, schema_format_ipv6;             /* schema_format.c */
schema_format_function schema_format_uri, schema_format_uri_reference;     /* schema_format_uri.c: RFC 3986 */
schema_format_function schema_format_iri, schema_format_iri_reference;     /* RFC 3987 */
schema_format_function schema_format_uri_template;                         /* RFC 6570 */
schema_format_function schema_format_hostname, schema_format_idn_hostname; /* schema_format_host.c: RFC 1123, RFC 5890 */

#endif
