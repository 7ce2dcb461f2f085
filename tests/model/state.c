/* A world as bytes, as few as it takes: millions of them are kept. One list of fields serves both ways. */
#include "world.h"

#include <string.h>

struct codec {
    unsigned char *bytes;
    uint64_t word;
    unsigned bits; /* of `word` that are in use */
    size_t at;     /* the next byte */
    bool writing;
};

static inline void field(struct codec *c, uint8_t *value, unsigned bits) {
    if (c->writing) {
        c->word |= (uint64_t)*value << c->bits;
        for (c->bits += bits; c->bits >= 8; c->bits -= 8, c->word >>= 8) c->bytes[c->at++] = (unsigned char)c->word;
        return;
    }
    for (; c->bits < bits; c->bits += 8) c->word |= (uint64_t)c->bytes[c->at++] << c->bits;
    *value = (uint8_t)(c->word & ((1u << bits) - 1));
    c->word >>= bits;
    c->bits -= bits;
}

enum { ROW_BITS = 3, LANE_BITS = 2, ID_BITS = 3, COUNT_BITS = 4 };

static inline void log_fields(struct codec *c, struct partition *partition) {
    for (size_t i = 0; i < LOG_ROOM; i++) {
        field(c, &partition->log[i].row, ROW_BITS);
        field(c, &partition->log[i].open, ID_BITS);
    }
    field(c, &partition->gone, ROW_BITS);
}

static inline void row_fields(struct codec *c, const struct model *model, struct shard_row *row) {
    field(c, &row->sequence, ROW_BITS);
    field(c, &row->position, ROW_BITS);
    field(c, &row->fence_ids, MAX_IDS);
    field(c, &row->released, 1);
    for (unsigned topic = 0; topic < model->topics; topic++) field(c, &row->settled[topic], ROW_BITS);
}

static inline void lane_shard_fields(struct codec *c, const struct model *model, struct lane_shard *s) {
    field(c, &s->state, 3);
    field(c, &s->publish, 3);
    field(c, &s->assigned, 1);
    field(c, &s->current, 1);
    field(c, &s->drop, 1);
    field(c, &s->commit_late, ROW_BITS);
    field(c, &s->known, ROW_BITS);
    field(c, &s->to_fence, MAX_IDS);
    field(c, &s->until, ROW_BITS);
    field(c, &s->added, MAX_TOPICS);
    for (unsigned topic = 0; topic < model->topics; topic++) {
        field(c, &s->cursor[topic], ROW_BITS);
        field(c, &s->next[topic], ROW_BITS);
    }
    if (!model->fault[FAULT_FORMER]) return;
    field(c, &s->misled, MAX_TOPICS);
    field(c, &s->placed, MAX_TOPICS);
    field(c, &s->tried, ROW_BITS);
}

static inline void world_fields(struct codec *c, const struct model *model, struct world *world) {
    for (unsigned shard = 0; shard < model->shards; shard++) {
        for (unsigned topic = 0; topic < model->topics; topic++) log_fields(c, &world->partitions[shard][topic]);
        row_fields(c, model, &world->rows[shard]);
        field(c, &world->assigned[shard], LANE_BITS);
    }
    field(c, &world->rebalances, COUNT_BITS);
    for (unsigned id = 0; id < model->lanes * PRODUCERS; id++) {
        struct transaction *t = &world->transactions[id];
        field(c, &t->state, 3);
        field(c, &t->valid, 1);
        field(c, &t->end_late, 1);
        field(c, &t->partitions, MAX_SHARDS * MAX_TOPICS);
    }
    for (unsigned lane = 0; lane < model->lanes; lane++) {
        struct lane *l = &world->lanes[lane];
        field(c, &l->state, 2);
        field(c, &l->publisher, 2);
        field(c, &l->which, 1);
        field(c, &l->active, 1);
        if (model->fault[FAULT_FORMER]) field(c, &l->doomed, 1);
        if (model->fault[FAULT_FORMER]) field(c, &l->used, PRODUCERS);
        for (unsigned shard = 0; shard < model->shards; shard++) lane_shard_fields(c, model, &l->shards[shard]);
    }
}

static size_t pack(const struct model *model, const struct world *world, unsigned char *ret_bytes) {
    struct world copy = *world;
    struct codec c = {.bytes = ret_bytes, .writing = true};
    world_fields(&c, model, &copy);
    if (c.bits) c.bytes[c.at++] = (unsigned char)c.word;
    return c.at;
}

size_t state_size(const struct model *model) {
    unsigned char bytes[STATE_MAX];
    const struct world nothing = {0};
    return pack(model, &nothing, bytes);
}

void state_unpack(const struct model *model, const unsigned char *bytes, struct world *ret_world) {
    struct codec c = {.bytes = (unsigned char *)(uintptr_t)bytes};
    memset(ret_world, 0, sizeof *ret_world);
    world_fields(&c, model, ret_world);
}

/* ---- names that make no difference ---- */

static uint8_t rename_ids(const struct model *model, unsigned ids, const unsigned *lanes) {
    unsigned renamed = 0;
    for (unsigned id = 0; id < model->lanes * PRODUCERS; id++)
        if (ids >> id & 1) renamed |= 1u << (lanes[id / PRODUCERS] * PRODUCERS + id % PRODUCERS);
    return (uint8_t)renamed;
}

static void rename_partition(const struct partition *from, struct partition *to, const unsigned *lanes) {
    *to = *from;
    for (size_t i = 0; i < LOG_ROOM; i++) {
        unsigned id = to->log[i].open - 1u;
        if (to->log[i].open) to->log[i].open = (uint8_t)(lanes[id / PRODUCERS] * PRODUCERS + id % PRODUCERS + 1);
    }
}

static uint8_t rename_partitions(unsigned partitions, const unsigned *shards) {
    unsigned renamed = 0;
    for (unsigned shard = 0; shard < MAX_SHARDS; shard++)
        for (unsigned topic = 0; topic < MAX_TOPICS; topic++)
            if (partitions >> world_partition(shard, topic) & 1) renamed |= 1u << world_partition(shards[shard], topic);
    return (uint8_t)renamed;
}

static void rename_world(const struct model *model, const struct world *from, struct world *to, const unsigned *lanes,
                         const unsigned *shards) {
    *to = *from;
    for (unsigned shard = 0; shard < model->shards; shard++) {
        unsigned n = shards[shard];
        for (unsigned topic = 0; topic < model->topics; topic++)
            rename_partition(&from->partitions[shard][topic], &to->partitions[n][topic], lanes);
        to->rows[n] = from->rows[shard];
        to->rows[n].fence_ids = rename_ids(model, from->rows[shard].fence_ids, lanes);
        to->assigned[n] = (uint8_t)lanes[from->assigned[shard]];
    }
    for (unsigned id = 0; id < model->lanes * PRODUCERS; id++) {
        struct transaction *t = &to->transactions[lanes[id / PRODUCERS] * PRODUCERS + id % PRODUCERS];
        *t = from->transactions[id];
        t->partitions = rename_partitions(t->partitions, shards);
    }
    for (unsigned lane = 0; lane < model->lanes; lane++) {
        struct lane *l = &to->lanes[lanes[lane]];
        *l = from->lanes[lane];
        for (unsigned shard = 0; shard < model->shards; shard++) {
            l->shards[shards[shard]] = from->lanes[lane].shards[shard];
            l->shards[shards[shard]].to_fence = rename_ids(model, from->lanes[lane].shards[shard].to_fence, lanes);
        }
    }
}

void state_pack(const struct model *model, const struct world *world, unsigned char *ret_bytes) {
    static const unsigned lane_orders[][MAX_LANES] = {{0, 1, 2}, {1, 0, 2}, {0, 2, 1}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const unsigned shard_orders[][MAX_SHARDS] = {{0, 1}, {1, 0}};
    static const unsigned factorial[] = {1, 1, 2, 6};
    size_t size = pack(model, world, ret_bytes);
    for (unsigned i = 0; model->merge && i < factorial[model->lanes]; i++)
        for (unsigned k = 0; k < factorial[model->shards]; k++) {
            unsigned char bytes[STATE_MAX];
            struct world renamed;
            if (i + k == 0) continue;
            rename_world(model, world, &renamed, lane_orders[i], shard_orders[k]);
            (void)pack(model, &renamed, bytes);
            if (memcmp(bytes, ret_bytes, size) < 0) memcpy(ret_bytes, bytes, size);
        }
}
