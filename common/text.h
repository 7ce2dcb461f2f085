/* Small texts with fixed rules: names of the contract, hex, base32, instants, durations and numbers. */
#ifndef SLUICE_TEXT_H
#define SLUICE_TEXT_H

#include "slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- names (the contract's "Limits and names") ---- */

/* `[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*`, at most 200 bytes. */
bool text_is_project(struct slice text);
/* `[a-z][a-z0-9-]{0,62}` */
bool text_is_environment(struct slice text);
/* 40 or 64 lower-case hex digits. */
bool text_is_git_sha(struct slice text);
bool text_is_utf8(struct slice text);
/* The length of the well-formed UTF-8 sequence that begins the `n` bytes at `p` (Unicode 15, table 3-7), or 0. */
size_t text_utf8_sequence(const char *p, size_t n);

/* ---- hex and base32 ---- */

/* Writes 2 * size lower-case digits; no NUL. */
void text_hex(char *to, const unsigned char *bytes, size_t size);
/* Exactly 2 * size digits of either case; false otherwise, and then `bytes` is undefined. */
bool text_unhex(unsigned char *bytes, size_t size, struct slice text);
enum { TEXT_BASE32_16 = 26 };
/* RFC 4648 base32, lower case, unpadded, of 16 bytes: 26 characters; no NUL. */
void text_base32(char to[TEXT_BASE32_16], const unsigned char bytes[16]);
bool text_unbase32(unsigned char bytes[16], struct slice text);

/* ---- instants: microseconds since 1970-01-01T00:00:00Z, without leap seconds ---- */

typedef int64_t instant;

enum { TEXT_INSTANT = 27 };
/* "2026-03-01T10:00:00.123456Z"; years 0000 to 9999, others are clamped. Always 27 characters; no NUL. */
void text_instant(char to[TEXT_INSTANT], instant at);
/* RFC 3339 section 5.6: offset required, real calendar day, 60th second only where RFC 3339 allows it (taken as the next
 * minute's first); digits below a microsecond are dropped. */
bool text_parse_instant(struct slice text, instant *ret_at);

/* "500ms", "30s", "10m", "24h", "7d", "2w" as microseconds; at most ten years. No sign, no fraction, one unit. */
bool text_parse_duration(struct slice text, int64_t *ret_microseconds);

/* The same text, in the largest unit from minutes down that is whole: "10m", "30s", "500ms". */
void text_duration(char *to, size_t room, int64_t microseconds);

/* ---- numbers ---- */

/* Decimal digits only, at least one and at most 19; false too when it is more than `maximum`. */
bool text_parse_number(struct slice text, uint64_t maximum, uint64_t *ret_number);

/* ---- partitions ---- */

/* murmur2 as Kafka's Java client computes it for a key, already made positive: `partition = text_murmur2(key) % count`. */
uint32_t text_murmur2(struct slice key);

#endif
