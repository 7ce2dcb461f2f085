/* The one reader of untrusted JSON (RFC 8259), for events, manifests, schemas, registry answers and everything else.
 *
 * Strict: UTF-8 without a byte order mark, no lone surrogates, nothing after the end, no NaN, limits on bytes, depth and
 * values. The answer is a tree in the caller's arena whose strings point into the text where nothing had to be decoded,
 * so the text must outlive the tree. What RFC 8259 allows but no Sluice format does, a member name that stands twice in
 * one object and U+0000 in a name or string, is reported beside the tree; json_read_strict refuses both.
 *
 * json-c has C strings as names and keeps the last of two equal ones, so it cannot tell either. */
#ifndef SLUICE_JSON_H
#define SLUICE_JSON_H

#include "arena.h"
#include "buf.h"
#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_kind { JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* One value. Members and elements keep the order of the text. */
struct json {
    enum json_kind kind;
    bool boolean;             /* of a JSON_BOOLEAN */
    size_t count;             /* of members or elements */
    struct slice name;        /* decoded name, when it is a member of an object */
    struct slice text;        /* JSON_STRING: decoded UTF-8; JSON_NUMBER: as it was written */
    struct slice raw;         /* its bytes in the source, from its first to its last */
    struct json *first;       /* of an array or object, or NULL */
    struct json *next;        /* sibling, or NULL */
    const struct json *above; /* the array or object that holds it, or NULL */
};

struct json_limits {
    size_t bytes;
    unsigned depth; /* nested arrays and objects */
    size_t values;
};

/* What the contract allows for an event or a manifest: 1,000,000 bytes, depth 32; and 100,000 values, some 10 MB as a tree. */
extern const struct json_limits json_contract_limits;

struct json_document {
    const struct json *root;
    const struct json *duplicate; /* the first member whose name stood before it in its object, or NULL */
    const struct json *nul;       /* the first value with U+0000 in its name or text, or NULL */
};

/* Codes: "not-json" (with line and column in the message), "too-deep", "too-large", "out-of-memory". Returns 0 or -1. */
int json_read(struct arena *arena, struct slice text, const struct json_limits *limits, struct json_document *ret_document,
              struct error *error);
/* As json_read, and refuses "duplicate-member" and "text-invalid", with the path. NULL limits: the contract's. */
int json_read_strict(struct arena *arena, struct slice text, const struct json_limits *limits, const struct json **ret_root,
                     struct error *error);

/* The member of that name (the last, if there are two), or NULL; NULL too when `value` is NULL or no object. */
const struct json *json_get(const struct json *value, const char *name);
/* The text of a string member; a slice with a NULL `p` when absent or no string. */
struct slice json_get_text(const struct json *value, const char *name);
/* True when the number is whole and fits. 1.0 and 1e2 are whole. */
bool json_int64(const struct json *value, int64_t *ret_number);
double json_double(const struct json *value);

/* Appends the value's JSON Pointer (RFC 6901): "" for the root, "/data/artifacts/0". */
void json_pointer(struct buf *buf, const struct json *value);

/* ---- writing: the program's own documents, in the order of the calls ---- */

/* Appends a string with its quotes and escapes. The text is UTF-8; bytes that are not become U+FFFD. */
void json_write_string(struct buf *buf, struct slice text);

#endif
