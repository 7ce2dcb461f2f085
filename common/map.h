/* A hash map from byte strings to pointers, in an arena. Keys are compared byte by byte and not copied. */
#ifndef SLUICE_MAP_H
#define SLUICE_MAP_H

#include "arena.h"
#include "slice.h"

#include <stdint.h>

struct map_slot {
    struct slice key; /* a NULL `p`: the slot is free */
    void *value;
    uint64_t hash;
};

struct map {
    struct arena *arena;
    struct map_slot *slots;
    size_t room, count; /* room is 0 or a power of two */
};

/* A random number, once, before the first map: it keeps a sender from choosing keys that collide. */
void map_seed(uint64_t value);
void map_init(struct map *map, struct arena *arena);
void *map_get(const struct map *map, struct slice key);
/* Where the key's value stands, made (with a NULL value, which the caller fills at once) when absent; NULL without memory.
 * The pointer holds until the next call that may add. */
void **map_at(struct map *map, struct slice key);

#endif
