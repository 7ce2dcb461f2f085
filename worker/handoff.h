/* What the lane's two threads share: orders from the pipeline to the publisher, reports back. Nothing else is shared.
 *
 * It is bounded by the batches: a lane has a fixed number of them, a batch that was handed over comes back with a report when its
 * answers are published or no longer needed from memory, and while they are too many or too large the pipeline consumes nothing.
 */
#ifndef SLUICE_HANDOFF_H
#define SLUICE_HANDOFF_H

#include "batch.h"

enum order_kind {
    ORDER_TAKE,   /* a shard was taken over: fence, confirm, read the tails; answered READY, LOST or STOPPED */
    ORDER_ROWS,   /* a committed batch: publish its answers; answered FREED */
    ORDER_DRAIN,  /* publish what is known of the shard, then let it go; answered DRAINED */
    ORDER_FORGET, /* let the shard go as it is; answered FORGOTTEN */
    ORDER_END     /* the publisher ends */
};

struct order {
    enum order_kind kind;
    uint32_t shard;
    struct shard_row *row; /* of ORDER_TAKE, in `arena` */
    struct arena arena;
    struct batch *batch; /* of ORDER_ROWS */
    struct order *next;
};

enum report_kind {
    REPORT_READY,     /* its tails are read: the first commit may come */
    REPORT_PUBLISHED, /* `settled` has moved */
    REPORT_DRAINED,   /* everything is published and nothing more will be; `settled` is the last */
    REPORT_FORGOTTEN, /* nothing more will be published */
    REPORT_LOST,      /* another owner; nothing more will be published */
    REPORT_UNSTABLE,  /* `reason`: it cannot be ready yet */
    REPORT_STOPPED,   /* `reason`; nothing more will be published */
    REPORT_FREED,     /* `batch` is free again */
    REPORT_BROKEN,    /* a transaction failed or its outcome is unknown: the publisher recovers; for metrics */
    REPORT_FAILED     /* the publisher cannot go on (`reason`): the lane must end */
};

struct report {
    enum report_kind kind;
    uint32_t shard;
    uint64_t epoch;
    size_t count; /* of REPORT_PUBLISHED: answers, over all shards of the transaction, on its first report */
    struct settled settled[OUTPUT_TOPICS];
    struct batch *batch;
    char reason[512];
    struct report *next;
};

struct handoff;

struct handoff *handoff_new(void);
/* Both threads have ended. Frees what is still in it but not the batches. */
void handoff_free(struct handoff *handoff);

/* Takes the order; false without memory, but the first ORDER_END always gets through. `order` is copied, its arena taken over. */
bool handoff_order(struct handoff *handoff, const struct order *order);
/* All orders, the oldest first, or NULL; waits up to `wait_ms` for one. The caller frees each with order_free. */
struct order *handoff_orders(struct handoff *handoff, int wait_ms);
void order_free(struct order *order);

/* False without memory, but the first REPORT_FAILED always gets through. */
bool handoff_report(struct handoff *handoff, const struct report *report);
/* All reports, the oldest first, or NULL. The caller frees each with free(). */
struct report *handoff_reports(struct handoff *handoff, int wait_ms);

#endif
