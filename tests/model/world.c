/* All steps together, how it begins, and what must always hold. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

unsigned world_topic(const struct model *model, unsigned row) { return model->topics == 1 ? 0 : row % 2 == 0; }

void world_init(const struct model *model, struct world *world) {
    memset(world, 0, sizeof *world);
    for (unsigned lane = 0; lane < model->lanes; lane++) world->lanes[lane].state = LANE_STARTING;
    for (unsigned shard = 0; shard < model->shards; shard++) {
        unsigned lane = shard % model->lanes;
        world->assigned[shard] = (uint8_t)lane;
        world->lanes[lane].shards[shard].assigned = 1;
        world->lanes[lane].shards[shard].state = SHARD_WANTED;
    }
}

void offer(struct model *model, const struct world *next, enum fault fault, const char *format, ...) {
    if (model->telling) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(model->step, sizeof model->step, format, arguments);
        va_end(arguments);
    }
    model->visit(model, next, fault);
}

void world_expand(struct model *model, const struct world *now) {
    brokers_steps(model, now);
    store_steps(model, now);
    group_steps(model, now);
    for (unsigned lane = 0; lane < model->lanes; lane++) {
        if (now->lanes[lane].state == LANE_DEAD) continue;
        shard_steps(model, now, lane);
        publisher_steps(model, now, lane);
    }
}

/* What a reader with isolation.level=read_committed may see, or will: committed records in the log's order. */
static const char *read_partition(const struct model *model, const struct world *world, unsigned shard, unsigned topic,
                                  char *text, size_t room) {
    const struct partition *partition = &world->partitions[shard][topic];
    unsigned last = partition->gone;
    bool stable = true;
    for (size_t i = 0; i < LOG_ROOM && partition->log[i].row; i++) {
        unsigned row = partition->log[i].row;
        if (partition->log[i].open) {
            stable = false;
            continue;
        }
        if (row > world->rows[shard].sequence) {
            (void)snprintf(text, room, "row %u of shard %u is published, and the ledger has it not", row, shard);
            return text;
        }
        if (row <= last) {
            (void)snprintf(text, room, "row %u of shard %u is published %s (behind row %u of topic %u)", row, shard,
                           row == last ? "twice" : "twice or out of order", last, topic);
            return text;
        }
        for (unsigned between = last + 1; between < row && stable; between++)
            if (world_topic(model, between) == topic) {
                (void)snprintf(text, room, "row %u of shard %u is never published: a later one of topic %u can be read", between,
                               shard, topic);
                return text;
            }
        last = row;
    }
    return NULL;
}

const char *world_violation(const struct model *model, const struct world *world, char *text, size_t room) {
    if (model->log_overflow) return "LOG_ROOM is too small for this world";
    for (unsigned shard = 0; shard < model->shards; shard++) {
        const struct shard_row *row = &world->rows[shard];
        if (row->sequence != row->position) {
            (void)snprintf(text, room, "the ledger of shard %u has %u rows for %u inputs", shard, row->sequence, row->position);
            return text;
        }
        for (unsigned topic = 0; topic < model->topics; topic++)
            if (read_partition(model, world, shard, topic, text, room)) return text;
    }
    return NULL;
}

bool world_is_done(const struct model *model, const struct world *world) {
    for (unsigned shard = 0; shard < model->shards; shard++) {
        if (world->rows[shard].sequence != model->rows) return false;
        for (unsigned topic = 0; topic < model->topics; topic++) {
            unsigned wanted = 0, last = brokers_tail(world, shard, topic);
            if (brokers_has_open(world, shard, topic)) return false;
            if (last < world->partitions[shard][topic].gone) last = world->partitions[shard][topic].gone;
            for (unsigned row = 1; row <= model->rows; row++)
                if (world_topic(model, row) == topic) wanted = row;
            if (last < wanted) return false;
        }
    }
    return true;
}
