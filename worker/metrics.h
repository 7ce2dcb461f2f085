/* What a lane counts, in memory that it shares with its supervisor, which serves it at /metrics.
 *
 * One table: the name in Prometheus (behind "sluice_"), its type, and what it says. Safe from every thread. */
#ifndef SLUICE_METRICS_H
#define SLUICE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#define METRICS(X)                                                                                                               \
    X(RECORDS_CONSUMED, "records_consumed_total", "counter", "Kafka records taken into batches")                                 \
    X(RESULTS_PUBLISHED, "results_published_total", "counter", "results and dead letters in committed transactions")             \
    X(VERIFIED, "releases_verified_total", "counter", "builds answered verified")                                                \
    X(PROMOTED, "promotions_promoted_total", "counter", "promotions that ended promoted")                                        \
    X(WAITING, "promotions_waiting_total", "counter", "answers that a promotion waits")                                          \
    X(REJECTED, "rejected_total", "counter", "builds and promotions rejected")                                                   \
    X(SUPERSEDED, "promotions_superseded_total", "counter", "promotions superseded by a newer request")                          \
    X(EXPIRED, "promotions_expired_total", "counter", "promotions that waited beyond their limit")                               \
    X(EVALUATED, "promotions_evaluated_total", "counter", "dry runs answered")                                                   \
    X(REFUSED, "events_refused_total", "counter", "events refused by decode")                                                    \
    X(DUPLICATES, "events_duplicate_total", "counter", "events answered as duplicates")                                          \
    X(DEAD_LETTERS, "dead_letters_total", "counter", "records sent to the dead-letter topic")                                    \
    X(CRASHES_WORKER, "crashes_worker_total", "counter", "records dead-lettered unread because lanes died on them")              \
    X(BATCHES, "batches_total", "counter", "batches committed")                                                                  \
    X(BATCH_MS, "batch_milliseconds_total", "counter", "time from a batch's start to its commit, summed")                        \
    X(BISECTIONS, "batch_bisections_total", "counter", "batches cut in halves because the store refused their data")             \
    X(RECOVERIES, "publisher_recoveries_total", "counter", "recoveries of the publisher")                                        \
    X(TAKEOVERS, "shard_takeovers_total", "counter", "shards taken over")                                                        \
    X(SHARDS_OWNED, "shards_owned", "gauge", "shards whose inputs the lane processes")                                           \
    X(SHARDS_STOPPED, "shards_stopped", "gauge", "shards that wait for an operator's decision")                                  \
    X(IN_GROUP, "in_group", "gauge", "1 while the consumer group has given the lane its assignment, empty or not")               \
    X(LAG, "input_lag_records", "gauge", "input records behind the positions of the owned shards")                               \
    X(DATABASE_OK_MS, "database_answered_milliseconds", "gauge", "when the database last answered, by the monotonic clock")      \
    X(BROKER_OK_MS, "broker_answered_milliseconds", "gauge", "when a broker last answered, by the monotonic clock")

enum metric {
    METRIC_NONE = 0,
#define METRIC_ENUM(name, text, type, help) METRIC_##name,
    METRICS(METRIC_ENUM)
#undef METRIC_ENUM
        METRIC_COUNT
};

/* All zero at the start. Its size is the same in every process of one program. */
struct lane_metrics {
    _Atomic uint64_t values[METRIC_COUNT];
};

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
