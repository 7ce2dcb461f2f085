/* publish: the answers of committed batches, in ledger order, exactly once for a read_committed consumer.
 *
 * The publisher runs in a thread of its own, because librdkafka's transaction calls block. It owns the two producers and a
 * store of its own for reading, takes orders and gives reports (handoff.h). What it has published it never derives from its own
 * memory but from the tails of the topics; its only memory is the cursor since the last tail.
 *
 *   take     fence every other listed id, once; confirm the epoch in the store; read the tails          -> READY
 *   publish  one transaction with everything between cursor and last known commit, of all ready shards
 *   recover  after any error: init both producers, then confirm all shards, then their tails; then go on from the ledger
 *   drain    nothing of the shard is unpublished and no transaction is open: it is let go               -> DRAINED */
#ifndef SLUICE_PUBLISH_H
#define SLUICE_PUBLISH_H

#include "clock.h"
#include "handoff.h"
#include "output.h"
#include "store.h"

struct publisher;

struct publisher_options {
    struct handoff *handoff;
    struct output *output;
    struct store *store;
    struct lane_clock *clock;
    struct lane_metrics *metrics; /* or NULL */
    unsigned char owner[STORE_OWNER];
    unsigned char installation[16];
    uint32_t shards; /* of the installation */
};

/* NULL without memory. Ports and handoff stay the caller's. */
struct publisher *publisher_new(const struct publisher_options *options);
void publisher_free(struct publisher *publisher);

/* Initialises both producers: before the first takeover. 0 or -1. */
int publisher_start(struct publisher *publisher, struct error *error);

/* One step: takes orders, waiting up to `wait_ms` for one if there is nothing else to do, then recovers, takes, publishes or
 * drains. Returns false when it was told to end or cannot go on (which it has reported). */
bool publisher_step(struct publisher *publisher, int wait_ms);

#endif
