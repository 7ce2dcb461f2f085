#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* States by number, from 1; 0 is none. */
struct explorer {
    struct model *model;
    size_t size;           /* of a state */
    unsigned char *states; /* one behind the other */
    uint32_t *parents;     /* by number - 1 */
    uint32_t count, room;
    uint32_t *table; /* open addressing, at most half full */
    size_t table_size;
    uint64_t steps;
    uint32_t at; /* which one is expanded */

    bool live; /* steps without a fault are kept, from `first[number - 1]` on in `to` */
    uint32_t *to;
    size_t to_count, to_room;
    size_t *first;

    uint32_t violated; /* the state that breaks a promise */
    char violation[200];
    bool no_memory;
};

static const unsigned char *state_of(const struct explorer *e, uint32_t number) {
    return e->states + (size_t)(number - 1) * e->size;
}

static size_t hash(const unsigned char *bytes, size_t size) {
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + i, size - i < 8 ? size - i : 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return (size_t)h;
}

static bool resize(void *array, size_t count, size_t member) {
    void *grown = realloc(*(void **)array, count * member);
    if (grown) *(void **)array = grown;
    return grown != NULL;
}

static bool grow(struct explorer *e) {
    uint32_t room = e->room ? e->room * 2 : 1u << 16;
    if (!resize(&e->states, room, e->size) || !resize(&e->parents, room, sizeof *e->parents)) return false;
    if (e->live && !resize(&e->first, (size_t)room + 1, sizeof *e->first)) return false;
    free(e->table);
    e->table_size = (size_t)room * 2;
    e->table = calloc(e->table_size, sizeof *e->table);
    if (!e->table) return false;
    e->room = room;
    for (uint32_t n = 1; n <= e->count; n++) {
        size_t slot = hash(state_of(e, n), e->size) & (e->table_size - 1);
        while (e->table[slot]) slot = (slot + 1) & (e->table_size - 1);
        e->table[slot] = n;
    }
    return true;
}

/* Its number; *ret_new when it has not been met before. 0 without memory. */
static uint32_t number_of(struct explorer *e, const unsigned char *bytes, bool *ret_new) {
    size_t slot = hash(bytes, e->size) & (e->table_size - 1);
    *ret_new = false;
    for (; e->table[slot]; slot = (slot + 1) & (e->table_size - 1))
        if (!memcmp(state_of(e, e->table[slot]), bytes, e->size)) return e->table[slot];
    memcpy(e->states + (size_t)e->count * e->size, bytes, e->size);
    e->parents[e->count++] = e->at;
    e->table[slot] = e->count;
    *ret_new = true;
    uint32_t number = e->count;
    return e->count < e->room || grow(e) ? number : 0;
}

static void keep_step(struct explorer *e, uint32_t to) {
    if (e->to_count == e->to_room) {
        size_t room = e->to_room ? e->to_room * 2 : 1u << 16;
        if (!resize(&e->to, room, sizeof *e->to)) {
            e->no_memory = true;
            return;
        }
        e->to_room = room;
    }
    e->to[e->to_count++] = to;
}

static void meet(struct model *model, const struct world *next, enum fault fault) {
    struct explorer *e = model->visitor;
    unsigned char bytes[STATE_MAX];
    bool is_new;
    char text[200];
    e->steps++;
    state_pack(model, next, bytes);
    uint32_t number = number_of(e, bytes, &is_new);
    if (!number) {
        e->no_memory = true;
        return;
    }
    if (e->live && fault == FAULT_NONE) keep_step(e, number);
    const char *broken = is_new && !e->violated ? world_violation(model, next, text, sizeof text) : NULL;
    if (!broken) return;
    e->violated = number;
    (void)snprintf(e->violation, sizeof e->violation, "%s", broken);
}

/* ---- a story ---- */

struct teller {
    const unsigned char *wanted;
    size_t size;
    bool found;
    struct world next;
    char step[200];
};

static void compare(struct model *model, const struct world *next, enum fault fault) {
    struct teller *t = model->visitor;
    unsigned char bytes[STATE_MAX];
    (void)fault;
    if (t->found) return;
    state_pack(model, next, bytes);
    if (memcmp(bytes, t->wanted, t->size) != 0) return;
    t->found = true;
    t->next = *next;
    memcpy(t->step, model->step, sizeof t->step);
}

static void show_partition(const struct partition *partition) {
    if (partition->gone) printf(" (up to %u gone)", partition->gone);
    for (size_t i = 0; i < LOG_ROOM && partition->log[i].row; i++) {
        unsigned id = partition->log[i].open - 1u;
        if (partition->log[i].open)
            printf(" (%u open by %c%c)", partition->log[i].row, lane_name(id / PRODUCERS), producer_name(id));
        else
            printf(" %u", partition->log[i].row);
    }
}

static void show_world(const struct model *model, const struct world *world) {
    for (unsigned shard = 0; shard < model->shards; shard++) {
        printf("#        shard %u: %u ledger rows; ids listed:", shard, world->rows[shard].sequence);
        for (unsigned id = 0; id < model->lanes * PRODUCERS; id++)
            if (world->rows[shard].fence_ids >> id & 1) printf(" %c%c", lane_name(id / PRODUCERS), producer_name(id));
        for (unsigned topic = 0; topic < model->topics; topic++) {
            printf("; topic %u:", topic);
            show_partition(&world->partitions[shard][topic]);
        }
        printf("\n");
    }
}

/* From the beginning, with names that stay the same even where states were merged. */
static void tell(struct explorer *e, uint32_t last) {
    struct model *model = e->model;
    size_t length = 0;
    for (uint32_t n = last; n; n = e->parents[n - 1]) length++;
    uint32_t *way = calloc(length, sizeof *way);
    if (!way) return;
    for (uint32_t n = last, i = (uint32_t)length; n; n = e->parents[n - 1]) way[--i] = n;
    struct world world;
    world_init(model, &world);
    model->visit = compare;
    model->telling = true;
    for (size_t i = 1; i < length; i++) {
        struct teller teller = {.wanted = state_of(e, way[i]), .size = e->size};
        model->visitor = &teller;
        world_expand(model, &world);
        printf("#   %2zu   %s\n", i, teller.step);
        world = teller.next;
    }
    show_world(model, &world);
    free(way);
}

/* ---- liveness ---- */

/* Goes back over steps without a fault from every state in which all is done. ret_live: by number - 1. */
static bool go_back(const struct explorer *e, unsigned char *ret_live) {
    size_t *first = calloc((size_t)e->count + 2, sizeof *first);
    uint32_t *from = calloc(e->to_count + 1, sizeof *from), *queue = calloc((size_t)e->count + 1, sizeof *queue);
    bool fits = first && from && queue;
    uint32_t queued = 0;
    for (size_t i = 0; fits && i < e->to_count; i++) first[e->to[i]]++; /* how many lead to number: at [number] */
    for (uint32_t n = 1; fits && n <= e->count + 1; n++) first[n] += first[n - 1];
    for (uint32_t n = e->count; fits && n >= 1; n--)
        for (size_t i = e->first[n - 1]; i < e->first[n]; i++) from[--first[e->to[i]]] = n;
    for (uint32_t n = 1; fits && n <= e->count; n++) {
        struct world world;
        state_unpack(e->model, state_of(e, n), &world);
        if (!world_is_done(e->model, &world)) continue;
        ret_live[n - 1] = 1;
        queue[queued++] = n;
    }
    for (uint32_t i = 0; fits && i < queued; i++)
        for (size_t k = first[queue[i]]; k < first[queue[i] + 1]; k++) {
            if (ret_live[from[k] - 1]) continue;
            ret_live[from[k] - 1] = 1;
            queue[queued++] = from[k];
        }
    free(first);
    free(from);
    free(queue);
    return fits;
}

static enum verdict look_for_stuck(struct explorer *e) {
    unsigned char *live = calloc(e->count, 1);
    if (!live || !go_back(e, live)) {
        free(live);
        return NO_MEMORY;
    }
    uint32_t stuck = 0, nearest = 0;
    for (uint32_t n = e->count; n >= 1; n--)
        if (!live[n - 1]) {
            stuck++;
            nearest = n;
        }
    free(live);
    if (!stuck) return SAFE;
    printf("# STUCK: from %u states only a fault leads to where everything is published; the nearest:\n", stuck);
    tell(e, nearest);
    return VIOLATED;
}

/* ---- all of it ---- */

static double seconds_since(const struct timespec *start) {
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static bool begin(struct explorer *e) {
    struct world world;
    unsigned char bytes[STATE_MAX];
    bool is_new;
    e->model->visit = meet;
    e->model->visitor = e;
    e->model->telling = false;
    if (!grow(e)) return false;
    world_init(e->model, &world);
    state_pack(e->model, &world, bytes);
    return number_of(e, bytes, &is_new) != 0;
}

static enum verdict judge(struct explorer *e, bool bounded, double seconds) {
    printf("# %u states, %llu steps, %.0f s, %s\n", e->count, (unsigned long long)e->steps, seconds,
           e->violated ? "a promise is broken"
           : bounded   ? "bound reached: not all states are known"
                       : "all states are known");
    if (e->no_memory) return NO_MEMORY;
    if (e->violated) {
        printf("# VIOLATION: %s\n", e->violation);
        tell(e, e->violated);
        return VIOLATED;
    }
    if (bounded) return BOUNDED;
    return e->live ? look_for_stuck(e) : SAFE;
}

enum verdict explore(struct model *model, const struct bounds *bounds) {
    struct explorer e = {.model = model, .size = state_size(model), .live = bounds->live};
    struct timespec start;
    bool bounded = false;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    e.no_memory = !begin(&e);
    while (e.at < e.count && !e.violated && !e.no_memory && !bounded) {
        struct world world;
        state_unpack(model, state_of(&e, ++e.at), &world);
        if (e.live) e.first[e.at - 1] = e.to_count;
        world_expand(model, &world);
        if (e.live) e.first[e.at] = e.to_count;
        bounded = (bounds->states && e.count >= bounds->states) ||
                  (bounds->seconds > 0 && e.at % 4096 == 0 && seconds_since(&start) > bounds->seconds);
    }
    enum verdict verdict = judge(&e, bounded, seconds_since(&start));
    free(e.states);
    free(e.parents);
    free(e.table);
    free(e.to);
    free(e.first);
    return verdict;
}
