/* A circuit breaker: a server that has failed five times in a row is left alone for a while, then tried with one request
 * (the probe); when that fails too, it is left alone for twice as long. Times are milliseconds of the caller's clock. */
#ifndef SLUICE_BREAKER_H
#define SLUICE_BREAKER_H

#include <stdint.h>

enum { BREAKER_FAILURES = 5, BREAKER_FIRST_MS = 5000, BREAKER_LONGEST_MS = 60000 };

enum breaker_state {
    BREAKER_CLOSED,   /* ask */
    BREAKER_OPEN,     /* do not ask before `until_ms` */
    BREAKER_HALF_OPEN /* ask once */
};

/* Zeroed: closed. */
struct breaker {
    unsigned failures; /* in a row */
    uint64_t until_ms; /* 0: it was never opened since the last success */
    uint64_t rest_ms;  /* how long it was left alone the last time */
};

enum breaker_state breaker_state(const struct breaker *breaker, uint64_t now_ms);
void breaker_succeed(struct breaker *breaker);
void breaker_fail(struct breaker *breaker, uint64_t now_ms);

#endif
