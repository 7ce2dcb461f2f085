#include "buf.h"

#include "memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *buf, size_t maximum) { *buf = (struct buf){.maximum = maximum}; }

void buf_release(struct buf *buf) {
    free(buf->p);
    buf_init(buf, buf->maximum);
}

void buf_reset(struct buf *buf) {
    buf->n = 0;
    buf->failed = buf->full = false;
}

/* Room for `size` bytes and a NUL behind them. */
static bool grow(struct buf *buf, size_t size) {
    if (buf->failed) return false;
    if (size > buf->maximum - buf->n) {
        buf->full = true;
        goto failed;
    }
    if (buf->n + size < buf->room) return true;
    size_t room = buf->room ? buf->room : 128;
    while (room <= buf->n + size) {
        if (room > SIZE_MAX / 2) goto failed;
        room *= 2;
    }
    char *p = realloc(buf->p, room);
    if (!p) {
        memory_refused();
        goto failed;
    }
    buf->p = p;
    buf->room = room;
    return true;
failed:
    buf->failed = true;
    return false;
}

char *buf_reserve(struct buf *buf, size_t size) {
    if (!grow(buf, size)) return NULL;
    char *at = buf->p + buf->n;
    buf->n += size;
    buf->p[buf->n] = '\0';
    return at;
}

void buf_append(struct buf *buf, struct slice bytes) {
    if (!bytes.n) return;
    char *at = buf_reserve(buf, bytes.n);
    if (at) memcpy(at, bytes.p, bytes.n);
}

void buf_char(struct buf *buf, char byte) { buf_append(buf, slice_of(&byte, 1)); }

/* Written behind what is there, and once more only when it does not fit. */
void buf_print(struct buf *buf, const char *format, ...) {
    size_t room = buf->failed ? 0 : buf->room - buf->n;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(room ? buf->p + buf->n : NULL, room, format, arguments);
    va_end(arguments);
    bool fits = length >= 0 && (size_t)length < room;
    if (length < 0) buf->failed = true;
    char *at = length < 0 ? NULL : buf_reserve(buf, (size_t)length);
    if (!at && room) buf->p[buf->n] = '\0'; /* what was tried is no part of it */
    if (!at || fits) return;
    va_start(arguments, format);
    (void)vsnprintf(at, (size_t)length + 1, format, arguments);
    va_end(arguments);
}

static void big_endian(struct buf *buf, unsigned long long value, size_t size) {
    char *at = buf_reserve(buf, size);
    for (size_t i = size; at && i-- > 0; value >>= 8) at[i] = (char)(value & 0xff);
}

void buf_u16(struct buf *buf, unsigned value) { big_endian(buf, value, 2); }
void buf_u32(struct buf *buf, unsigned long value) { big_endian(buf, value, 4); }
void buf_u64(struct buf *buf, unsigned long long value) { big_endian(buf, value, 8); }

void buf_decimal(struct buf *buf, unsigned long long value) {
    char digits[20];
    size_t at = sizeof digits;
    do digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    buf_append(buf, slice_of(digits + at, sizeof digits - at));
}
