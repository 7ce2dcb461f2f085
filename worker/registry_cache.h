/* What registries had, remembered for five minutes. A fixed number of places: a new entry takes that of an expired one or of
 * the oldest among the few that share its set, so that the memory is bounded and nothing is ever searched for long. */
#ifndef SLUICE_REGISTRY_CACHE_H
#define SLUICE_REGISTRY_CACHE_H

#include "digest.h"
#include "text.h"

#include <stdint.h>

enum { REGISTRY_CACHE_MS = 5 * 60 * 1000, REGISTRY_CACHE_ENTRIES = 16384 };

struct registry_cached {
    int status;
    bool named;         /* the registry said the digest itself */
    instant checked_at; /* when it was asked */
};

struct registry_cache;

/* `entries` is rounded up to a power of two, at least 8. NULL without memory. */
struct registry_cache *registry_cache_new(size_t entries);
void registry_cache_free(struct registry_cache *cache);
/* `key` is a SHA-256, so no two questions share one and nobody can choose ones that collide. */
void registry_cache_put(struct registry_cache *cache, const struct digest *key, const struct registry_cached *found,
                        uint64_t now_ms);
/* False when it is not remembered or expired. */
bool registry_cache_get(const struct registry_cache *cache, const struct digest *key, uint64_t now_ms,
                        struct registry_cached *ret_found);

#endif
