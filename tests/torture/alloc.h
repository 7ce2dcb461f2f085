/* Lets the n-th allocation of our own code fail, and says so.
 *
 * The linker hands every call of malloc, calloc, realloc, strdup, strndup, fopen and arena_... that our objects make, and every
 * call of a libyaml, PCRE2, json-c or OpenSSL function that allocates for us, to alloc.c (-Wl,--wrap). What these libraries,
 * librdkafka, libpq and libcurl allocate inside themselves is left alone. */
#ifndef SLUICE_TORTURE_ALLOC_H
#define SLUICE_TORTURE_ALLOC_H

#include <limits.h>

enum { ALLOC_ALL = INT_MAX };

/* From now on allocations are counted, from 1; the `nth` fails, and those behind it until `times` have. 0: none fails. */
void alloc_begin(unsigned long nth, unsigned long times);
/* Ends it. Returns how many there were; *ret_fired (or NULL): how many of them failed. */
unsigned long alloc_end(unsigned long *ret_fired);

#endif
