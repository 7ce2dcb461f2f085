/* Bytes that grow up to a maximum fixed at the start.
 *
 * Appending never reports an error by itself: the first one that does not fit marks the buffer as failed, later ones do
 * nothing, and the writer asks once, at the end. Invariant: `p` is never NULL while `n` is not 0; `p[n]` is NUL once
 * anything was appended. */
#ifndef SLUICE_BUF_H
#define SLUICE_BUF_H

#include "slice.h"

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *p;
    size_t n, room, maximum;
    bool failed;
    bool full; /* with `failed`: its maximum was the cause; otherwise the system had no memory */
};

void buf_init(struct buf *buf, size_t maximum);
void buf_release(struct buf *buf);
/* Empties it, keeps the memory, forgets a failure. */
void buf_reset(struct buf *buf);

void buf_append(struct buf *buf, struct slice bytes);
void buf_char(struct buf *buf, char byte);
/* Inline, so that the length of a literal is known when it is compiled. */
static inline void buf_str(struct buf *buf, const char *text) { buf_append(buf, slice_str(text)); }
void buf_print(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Room for `size` more bytes at the end, counted as written; NULL (and failed) when they do not fit. */
char *buf_reserve(struct buf *buf, size_t size);

/* Whole numbers in network byte order. */
void buf_u16(struct buf *buf, unsigned value);
void buf_u32(struct buf *buf, unsigned long value);
void buf_u64(struct buf *buf, unsigned long long value);
/* A whole number in decimal digits. */
void buf_decimal(struct buf *buf, unsigned long long value);

static inline struct slice buf_slice(const struct buf *buf) { return slice_of(buf->p, buf->n); }

#endif
