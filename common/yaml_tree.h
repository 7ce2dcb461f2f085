/* The one reader of YAML, for the policy and the configuration: a small tree with line and column on every value.
 *
 * Strict, because both files decide what may happen: one document; anchors, aliases, tags and directives are refused, as are
 * keys that stand twice in one mapping, keys that are no scalars, U+0000, and what passes the limits. Scalars keep their text:
 * what is a number or a boolean is for the reader of the key to say, so `on`, `1e3` and `0x10` are never surprises.
 *
 * Every message begins with "line L, column C:". (Not named yaml.h, which is libyaml's.) */
#ifndef SLUICE_YAML_TREE_H
#define SLUICE_YAML_TREE_H

#include "arena.h"
#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAPPING };

enum { YAML_DEPTH_MAX = 16 };

struct yaml {
    enum yaml_kind kind;
    bool quoted;         /* in quotes or a block: a text, whatever it looks like */
    size_t line, column; /* where it begins, from 1; columns count characters */
    struct slice key;    /* when it is a member of a mapping */
    size_t key_line, key_column;
    struct slice text;        /* of a scalar, decoded, NUL-terminated */
    size_t count;             /* of elements or members */
    struct yaml *first;       /* of a list or mapping, or NULL */
    struct yaml *next;        /* sibling, or NULL */
    const struct yaml *above; /* the list or mapping that holds it, or NULL */
};

struct yaml_limits {
    size_t bytes, values;
};

/* Codes: "yaml-invalid", "too-large", "out-of-memory". A file without a document is a root that is an empty plain scalar.
 * The tree lives in the arena; `text` may go. Returns 0 or -1. */
int yaml_read(struct arena *arena, struct slice text, const struct yaml_limits *limits, const struct yaml **ret_root,
              struct error *error);

/* The member of that key, or NULL; NULL too when `value` is NULL or no mapping. */
const struct yaml *yaml_get(const struct yaml *value, const char *key);
/* A plain scalar that says nothing: empty, `~`, `null`. */
bool yaml_is_null(const struct yaml *value);
/* A plain `true` or `false`; nothing else. */
bool yaml_boolean(const struct yaml *value, bool *ret);
/* A plain whole number in decimal digits, without sign, at most `maximum`. */
bool yaml_number(const struct yaml *value, int64_t maximum, int64_t *ret);
/* "a text", "a list", "a mapping", "nothing": what stands there, for messages. */
const char *yaml_what(const struct yaml *value);

/* Fills *error (ERROR_INPUT) with "line L, column C: " of the value and the message; returns -1. */
int yaml_error(struct error *error, const struct yaml *at, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same at its key. */
int yaml_key_error(struct error *error, const struct yaml *at, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
