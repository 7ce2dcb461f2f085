/* Numbers as JSON writes them, exactly: 0.1 is a tenth, 1e400 is no infinity, and 1.0 is 1.
 *
 * A decimal refers to the digits where they stand; nothing is copied, so a number may have as many as its document allows. */
#ifndef SLUICE_DECIMAL_H
#define SLUICE_DECIMAL_H

#include "slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Its value is the whole number of `count` digits, times ten to the power of `scale`. */
struct decimal {
    bool negative;     /* never for zero */
    const char *first; /* the first digit that is not 0; up to the last such digit, with a point perhaps between them */
    size_t count;      /* of digits; 0 for zero */
    int64_t scale;     /* clamped to +-2^60 */
};

/* `number` follows the grammar of RFC 8259 section 6, as every JSON_NUMBER of json.h does. */
struct decimal decimal_of(struct slice number);
/* <0, 0 or >0. */
int decimal_compare(const struct decimal *a, const struct decimal *b);
static inline bool decimal_is_whole(const struct decimal *a) { return a->count == 0 || a->scale >= 0; }
/* False when it is not whole or does not fit. */
bool decimal_int64(const struct decimal *a, int64_t *ret_number);

enum { DECIMAL_DIVISOR_DIGITS = 18 };
/* Is `a` a whole multiple of `divisor`? The divisor is above zero and has at most DECIMAL_DIVISOR_DIGITS digits. */
bool decimal_is_multiple(const struct decimal *a, const struct decimal *divisor);

/* The nearest double (of the first 40 digits); infinite when it is too large. */
double decimal_double(const struct decimal *a);

#endif
