/* The clock that nobody sets: for how long something may take, and since when; and the one that people set, to be compared with
 * it. */
#ifndef SLUICE_MONOTONIC_H
#define SLUICE_MONOTONIC_H

#include <stdint.h>
#include <time.h>

/* Milliseconds of CLOCK_MONOTONIC, the same for all processes of a machine. */
static inline uint64_t monotonic_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Milliseconds since 1970 of CLOCK_REALTIME. */
static inline uint64_t wall_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
