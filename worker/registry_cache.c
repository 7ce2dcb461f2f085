#include "registry_cache.h"

#include <stdlib.h>

enum { WAYS = 8 };

struct entry {
    struct digest key;
    struct registry_cached found;
    uint64_t until_ms; /* 0: free */
};

struct registry_cache {
    size_t sets; /* a power of two */
    struct entry entries[];
};

struct registry_cache *registry_cache_new(size_t entries) {
    size_t sets = 1;
    while (sets < (SIZE_MAX >> 12) / sizeof(struct entry) && sets * WAYS < entries) sets *= 2;
    struct registry_cache *cache = calloc(1, sizeof *cache + sets * WAYS * sizeof(struct entry));
    if (cache) cache->sets = sets;
    return cache;
}

void registry_cache_free(struct registry_cache *cache) { free(cache); }

static size_t first_of_set(const struct registry_cache *cache, const struct digest *key) {
    uint64_t bits;
    memcpy(&bits, key->bytes, sizeof bits);
    return (size_t)(bits & (cache->sets - 1)) * WAYS;
}

void registry_cache_put(struct registry_cache *cache, const struct digest *key, const struct registry_cached *found,
                        uint64_t now_ms) {
    struct entry *set = &cache->entries[first_of_set(cache, key)], *place = set;
    for (struct entry *entry = set; entry < set + WAYS; entry++) {
        if (digest_equal(&entry->key, key)) {
            place = entry;
            break;
        }
        if (entry->until_ms < place->until_ms) place = entry;
    }
    *place = (struct entry){.key = *key, .found = *found, .until_ms = now_ms + REGISTRY_CACHE_MS};
}

bool registry_cache_get(const struct registry_cache *cache, const struct digest *key, uint64_t now_ms,
                        struct registry_cached *ret_found) {
    const struct entry *set = &cache->entries[first_of_set(cache, key)];
    for (const struct entry *entry = set; entry < set + WAYS; entry++) {
        if (entry->until_ms <= now_ms || !digest_equal(&entry->key, key)) continue;
        *ret_found = entry->found;
        return true;
    }
    return false;
}
