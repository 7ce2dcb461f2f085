/* What a lane counts, in memory that it shares with its supervisor, which serves it at /metrics.
 *
 * One table: the name in Prometheus (behind "sluice_"), its type, and what it says. Safe from every thread. */
#ifndef SLUICE_METRICS_H
#define SLUICE_METRICS_H

#include "buf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* How a value is kept and shown. */
enum metric_kind {
    METRIC_COUNTER, /* only grows; goes on when its lane is restarted */
    METRIC_SECONDS, /* a counter of milliseconds, shown in seconds */
    METRIC_GAUGE,   /* as it is now; 0 when the lane is gone */
    METRIC_MOMENT   /* when something last happened: milliseconds of CLOCK_MONOTONIC, shown as a Unix time; 0: never */
};

#define METRICS(X)                                                                                                               \
    X(RECORDS_CONSUMED, "records_consumed_total", METRIC_COUNTER, "Kafka records taken into batches")                            \
    X(RESULTS_PUBLISHED, "results_published_total", METRIC_COUNTER, "results and dead letters in committed transactions")        \
    X(VERIFIED, "releases_verified_total", METRIC_COUNTER, "builds answered verified")                                           \
    X(PROMOTED, "promotions_promoted_total", METRIC_COUNTER, "promotions that ended promoted")                                   \
    X(WAITING, "promotions_waiting_total", METRIC_COUNTER, "answers that a promotion waits")                                     \
    X(REJECTED, "rejected_total", METRIC_COUNTER, "builds and promotions rejected")                                              \
    X(SUPERSEDED, "promotions_superseded_total", METRIC_COUNTER, "promotions superseded by a newer request")                     \
    X(EXPIRED, "promotions_expired_total", METRIC_COUNTER, "promotions that waited beyond their limit")                          \
    X(EVALUATED, "promotions_evaluated_total", METRIC_COUNTER, "dry runs answered")                                              \
    X(REFUSED, "events_refused_total", METRIC_COUNTER, "events refused by decode")                                               \
    X(DUPLICATES, "events_duplicate_total", METRIC_COUNTER, "events answered as duplicates")                                     \
    X(DEAD_LETTERS, "dead_letters_total", METRIC_COUNTER, "records sent to the dead-letter topic")                               \
    X(CRASHES_WORKER, "crashes_worker_total", METRIC_COUNTER, "records dead-lettered unread because lanes died on them")         \
    X(BATCHES, "batches_total", METRIC_COUNTER, "batches committed")                                                             \
    X(BATCH_MS, "batch_seconds_total", METRIC_SECONDS, "time from a batch's start to its commit, summed")                        \
    X(COMMIT_MS, "commit_seconds_total", METRIC_SECONDS, "time that the database took for commits, summed")                      \
    X(BISECTIONS, "batch_bisections_total", METRIC_COUNTER, "batches cut in halves because the store refused their data")        \
    X(RECOVERIES, "publisher_recoveries_total", METRIC_COUNTER, "recoveries of the publisher")                                   \
    X(TAKEOVERS, "shard_takeovers_total", METRIC_COUNTER, "shards taken over")                                                   \
    X(REGISTRY_QUESTIONS, "registry_questions_total", METRIC_COUNTER, "artifacts looked up in registries")                       \
    X(REGISTRY_REMEMBERED, "registry_remembered_total", METRIC_COUNTER, "of these, answered from what was found before")         \
    X(REGISTRY_UNANSWERED, "registry_unanswered_total", METRIC_COUNTER, "of these, without a usable answer in time")             \
    X(REGISTRY_BUSY, "registry_busy_total", METRIC_COUNTER,                                                                      \
      "of these, not asked or turned away: rate limits, and registries that keep failing")                                       \
    X(SHARDS_OWNED, "shards_owned", METRIC_GAUGE, "shards whose inputs the lane processes")                                      \
    X(SHARDS_STOPPED, "shards_stopped", METRIC_GAUGE, "shards that wait for an operator's decision")                             \
    X(IN_GROUP, "in_group", METRIC_GAUGE, "1 while the consumer group has given the lane its assignment, empty or not")          \
    X(LAG, "input_lag_records", METRIC_GAUGE, "input records behind the positions of the owned shards")                          \
    X(TURN_MS, "lane_turned_timestamp_seconds", METRIC_MOMENT, "when the lane's pipeline last went on to something")             \
    X(PUBLISHER_TURN_MS, "publisher_turned_timestamp_seconds", METRIC_MOMENT, "when its publisher last went on to something")    \
    X(DATABASE_OK_MS, "database_answered_timestamp_seconds", METRIC_MOMENT, "when the database last answered")                   \
    X(BROKER_OK_MS, "broker_answered_timestamp_seconds", METRIC_MOMENT, "when a broker last answered")

enum metric {
    METRIC_NONE = 0,
#define METRIC_ENUM(name, text, kind, help) METRIC_##name,
    METRICS(METRIC_ENUM)
#undef METRIC_ENUM
        METRIC_COUNT
};

/* All zero at the start. Its size is the same in every process of one program. */
struct lane_metrics {
    _Atomic uint64_t values[METRIC_COUNT];
};

/* What the supervisor knows of a lane. */
struct lane_view {
    const struct lane_metrics *metrics;
    bool running;
    uint64_t restarts;
};

/* Forgets what is no longer true of a lane that has gone: everything but the counters. */
void metrics_forget(struct lane_metrics *metrics);
/* Appends all metrics of all lanes in Prometheus's text format 0.0.4; the two clocks say what time it is. */
void metrics_render(struct buf *to, const struct lane_view *lanes, unsigned count, uint64_t monotonic_ms, uint64_t unix_ms);

static inline void metrics_add(struct lane_metrics *metrics, enum metric metric, uint64_t amount) {
    (void)atomic_fetch_add_explicit(&metrics->values[metric], amount, memory_order_relaxed);
}

static inline void metrics_subtract(struct lane_metrics *metrics, enum metric metric, uint64_t amount) {
    (void)atomic_fetch_sub_explicit(&metrics->values[metric], amount, memory_order_relaxed);
}

static inline void metrics_set(struct lane_metrics *metrics, enum metric metric, uint64_t value) {
    atomic_store_explicit(&metrics->values[metric], value, memory_order_relaxed);
}

static inline uint64_t metrics_get(const struct lane_metrics *metrics, enum metric metric) {
    return atomic_load_explicit(&metrics->values[metric], memory_order_relaxed);
}

#endif
