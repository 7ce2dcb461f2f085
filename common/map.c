#include "map.h"

static uint64_t seed;

static uint64_t hash_of(struct slice key) {
    uint64_t h = seed ^ (key.n * 0x9e3779b97f4a7c15u);
    size_t i = 0;
    for (; i + 8 <= key.n; i += 8) {
        uint64_t word;
        memcpy(&word, key.p + i, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    uint64_t word = 0;
    if (key.n > i) memcpy(&word, key.p + i, key.n - i);
    h = (h ^ word) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

void map_seed(uint64_t value) { seed = value; }

void map_init(struct map *map, struct arena *arena) { *map = (struct map){.arena = arena}; }

static struct map_slot *find(const struct map *map, struct slice key, uint64_t hash) {
    for (size_t i = (size_t)hash & (map->room - 1);; i = (i + 1) & (map->room - 1)) {
        struct map_slot *slot = &map->slots[i];
        if (!slot->key.p || (slot->hash == hash && slice_equal(slot->key, key))) return slot;
    }
}

void *map_get(const struct map *map, struct slice key) {
    if (!map->count) return NULL;
    struct map_slot *slot = find(map, key, hash_of(key));
    return slot->key.p ? slot->value : NULL;
}

static bool grow(struct map *map) {
    size_t room = map->room ? map->room * 2 : 64;
    struct map_slot *slots = ARENA_ARRAY(map->arena, struct map_slot, room);
    if (!slots) return false;
    struct map old = *map;
    map->slots = slots;
    map->room = room;
    for (size_t i = 0; i < old.room; i++)
        if (old.slots[i].key.p) *find(map, old.slots[i].key, old.slots[i].hash) = old.slots[i];
    return true;
}

void **map_at(struct map *map, struct slice key) {
    if (!key.p) key = SLICE("");
    if (map->count * 2 >= map->room && !grow(map)) return NULL;
    uint64_t hash = hash_of(key);
    struct map_slot *slot = find(map, key, hash);
    if (!slot->key.p) {
        *slot = (struct map_slot){.key = key, .hash = hash};
        map->count++;
    }
    return &slot->value;
}
