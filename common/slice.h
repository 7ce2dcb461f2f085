/* A view of bytes that somebody else owns. Not terminated; may hold any byte, also NUL.
 *
 * Invariant: `p` may be NULL only when `n` is 0. A NULL `p` means "absent" where a format tells absent from empty. */
#ifndef SLUICE_SLICE_H
#define SLUICE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

/* A slice of a string literal. */
#define SLICE(literal) ((struct slice){("" literal), sizeof(literal) - 1})

/* Never NULL, which "%.*s" does not take. */
static inline const char *slice_text(struct slice s) { return s.n ? s.p : ""; }

/* printf("%.*s", SLICE_ARG(s)) */
#define SLICE_ARG(s) (int)(s).n, slice_text(s)

static inline struct slice slice_of(const void *p, size_t n) { return (struct slice){p, n}; }

static inline struct slice slice_str(const char *text) { return (struct slice){text, text ? strlen(text) : 0}; }

static inline bool slice_equal(struct slice a, struct slice b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }

static inline bool slice_is(struct slice a, const char *text) { return slice_equal(a, slice_str(text)); }

static inline bool slice_starts(struct slice a, struct slice prefix) {
    return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}

/* Byte order, as memcmp; a prefix comes first. Returns <0, 0 or >0. */
static inline int slice_compare(struct slice a, struct slice b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

#endif
