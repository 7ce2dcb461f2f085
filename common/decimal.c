#include "decimal.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t scale_limit = (int64_t)1 << 60;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The exponent behind `e` or `E`, clamped. */
static int64_t read_exponent(const char *p, const char *end) {
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    int64_t exponent = 0;
    for (; p < end && exponent < scale_limit / 16; p++) exponent = exponent * 10 + (*p - '0');
    return negative ? -exponent : exponent;
}

struct decimal decimal_of(struct slice number) {
    struct decimal decimal = {0};
    const char *p = number.p, *end = number.p + number.n;
    bool negative = p < end && *p == '-';
    if (negative) p++;
    bool behind_point = false;
    int64_t fraction = 0;  /* digits behind the point */
    int64_t last_fraction; /* the same when the last digit that is not 0 was met */
    size_t zeros = 0;      /* since then */
    int64_t whole_zeros = 0;
    last_fraction = 0;
    for (; p < end && (is_digit(*p) || *p == '.'); p++) {
        if (*p == '.') {
            behind_point = true;
            continue;
        }
        fraction += behind_point;
        if (*p == '0') {
            zeros++;
            whole_zeros += !behind_point;
            continue;
        }
        if (!decimal.first) {
            decimal.first = p;
            zeros = 0;
        }
        decimal.count += zeros + 1;
        zeros = 0;
        whole_zeros = 0;
        last_fraction = fraction;
    }
    if (!decimal.count) return decimal;
    int64_t exponent = p < end ? read_exponent(p + 1, end) : 0;
    decimal.negative = negative;
    decimal.scale = exponent - last_fraction + (last_fraction ? 0 : whole_zeros);
    if (decimal.scale > scale_limit) decimal.scale = scale_limit;
    if (decimal.scale < -scale_limit) decimal.scale = -scale_limit;
    return decimal;
}

/* The digit at *p, which then moves to the next one. */
static unsigned next_digit(const char **p) {
    if (**p == '.') ++*p;
    return (unsigned)(*(*p)++ - '0');
}

static int compare_magnitudes(const struct decimal *a, const struct decimal *b) {
    int64_t a_top = a->scale + (int64_t)a->count, b_top = b->scale + (int64_t)b->count;
    if (a_top != b_top) return a_top < b_top ? -1 : 1;
    const char *p = a->first, *q = b->first;
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        unsigned x = next_digit(&p), y = next_digit(&q);
        if (x != y) return x < y ? -1 : 1;
    }
    return (a->count > b->count) - (a->count < b->count);
}

int decimal_compare(const struct decimal *a, const struct decimal *b) {
    if (!a->count || !b->count) {
        int a_sign = a->count ? (a->negative ? -1 : 1) : 0, b_sign = b->count ? (b->negative ? -1 : 1) : 0;
        return a_sign - b_sign;
    }
    if (a->negative != b->negative) return a->negative ? -1 : 1;
    int order = compare_magnitudes(a, b);
    return a->negative ? -order : order;
}

bool decimal_int64(const struct decimal *a, int64_t *ret_number) {
    if (!decimal_is_whole(a) || a->count > 19 || (a->count && a->scale > 18)) return false;
    uint64_t limit = a->negative ? (uint64_t)1 << 63 : INT64_MAX, value = 0;
    const char *p = a->first;
    int64_t digits = (int64_t)a->count + (a->count ? a->scale : 0);
    for (int64_t i = 0; i < digits; i++) {
        unsigned digit = i < (int64_t)a->count ? next_digit(&p) : 0;
        if (value > (limit - digit) / 10) return false;
        value = value * 10 + digit;
    }
    *ret_number = a->negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

__extension__ typedef unsigned __int128 wide;

static uint64_t multiply(uint64_t a, uint64_t b, uint64_t modulus) { return (uint64_t)((wide)a * b % modulus); }

/* With a = A * 10^s and divisor = D * 10^t, and A without a zero at its end: when s < t, D * 10^(t-s) would have to divide A,
 * which it cannot, as A is no multiple of 10. Otherwise D has to divide A * 10^(s-t). */
bool decimal_is_multiple(const struct decimal *a, const struct decimal *divisor) {
    if (!a->count) return true;
    if (a->scale < divisor->scale) return false;
    uint64_t modulus = 0, rest = 0;
    const char *p = divisor->first;
    for (size_t i = 0; i < divisor->count; i++) modulus = modulus * 10 + next_digit(&p);
    if (!modulus) return false;
    p = a->first;
    for (size_t i = 0; i < a->count; i++) rest = (uint64_t)(((wide)rest * 10 + next_digit(&p)) % modulus);
    uint64_t power = 10 % modulus;
    for (uint64_t exponent = (uint64_t)(a->scale - divisor->scale); exponent; exponent >>= 1) {
        if (exponent & 1) rest = multiply(rest, power, modulus);
        power = multiply(power, power, modulus);
    }
    return rest == 0;
}

double decimal_double(const struct decimal *a) {
    enum { DIGITS = 40 };
    char text[1 + DIGITS + 24], *to = text;
    if (!a->count) return 0;
    if (a->negative) *to++ = '-';
    size_t digits = a->count < DIGITS ? a->count : DIGITS;
    const char *p = a->first;
    for (size_t i = 0; i < digits; i++) *to++ = (char)('0' + next_digit(&p));
    /* No point is written, so the locale does not matter. */
    (void)snprintf(to, 24, "e%lld", (long long)a->scale + (long long)(a->count - digits));
    return strtod(text, NULL);
}
