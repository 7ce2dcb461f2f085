/* Numbers drawn from a seed. Each subject of a run has a stream of its own, so that leaving one thing out of a run moves as
 * little else as possible. */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The stream number `subject` of a seed. */
static inline struct random random_of(uint64_t seed, uint64_t subject) {
    return (struct random){random_mix(seed * 0x9e3779b97f4a7c15u + random_mix(subject + 1))};
}

static inline uint64_t random_next(struct random *random) { return random_mix(random->state += 0x9e3779b97f4a7c15u); }

/* 0 to `below` - 1 */
static inline uint64_t random_below(struct random *random, uint64_t below) { return random_next(random) % below; }

/* `low` to `high`, both included */
static inline int64_t random_between(struct random *random, int64_t low, int64_t high) {
    return low + (int64_t)random_below(random, (uint64_t)(high - low) + 1);
}

static inline bool random_chance(struct random *random, unsigned percent) { return random_below(random, 100) < percent; }

#endif
