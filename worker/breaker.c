#include "breaker.h"

enum breaker_state breaker_state(const struct breaker *breaker, uint64_t now_ms) {
    if (!breaker->until_ms) return BREAKER_CLOSED;
    return now_ms < breaker->until_ms ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

void breaker_succeed(struct breaker *breaker) { *breaker = (struct breaker){0}; }

void breaker_fail(struct breaker *breaker, uint64_t now_ms) {
    enum breaker_state state = breaker_state(breaker, now_ms);
    if (breaker->failures < BREAKER_FAILURES) breaker->failures++;
    if (state == BREAKER_OPEN || breaker->failures < BREAKER_FAILURES) return;
    breaker->rest_ms = state == BREAKER_CLOSED ? BREAKER_FIRST_MS : breaker->rest_ms * 2;
    if (breaker->rest_ms > BREAKER_LONGEST_MS) breaker->rest_ms = BREAKER_LONGEST_MS;
    breaker->until_ms = now_ms + breaker->rest_ms;
}
