#include "metrics.h"

#include <inttypes.h>

static const struct {
    enum metric_kind kind;
    const char *text, *help;
} table[METRIC_COUNT] = {
#define METRIC_ROW(name, text, kind, help) [METRIC_##name] = {kind, text, help},
    METRICS(METRIC_ROW)
#undef METRIC_ROW
};

void metrics_forget(struct lane_metrics *metrics) {
    for (enum metric metric = METRIC_NONE + 1; metric < METRIC_COUNT; metric++)
        if (table[metric].kind == METRIC_GAUGE || table[metric].kind == METRIC_MOMENT) metrics_set(metrics, metric, 0);
}

static void put_head(struct buf *to, const char *name, const char *type, const char *help) {
    buf_print(to, "# HELP sluice_%s %s\n# TYPE sluice_%s %s\n", name, help, name, type);
}

/* Milliseconds as seconds, exactly. */
static void put_seconds(struct buf *to, uint64_t ms) { buf_print(to, "%" PRIu64 ".%03u\n", ms / 1000, (unsigned)(ms % 1000)); }

static void put_value(struct buf *to, enum metric_kind kind, uint64_t value, uint64_t monotonic_ms, uint64_t unix_ms) {
    if (kind == METRIC_SECONDS)
        put_seconds(to, value);
    else if (kind == METRIC_MOMENT && value)
        put_seconds(to, unix_ms - (monotonic_ms > value ? monotonic_ms - value : 0));
    else
        buf_print(to, "%" PRIu64 "\n", value);
}

void metrics_render(struct buf *to, const struct lane_view *lanes, unsigned count, uint64_t monotonic_ms, uint64_t unix_ms) {
    put_head(to, "worker_info", "gauge", "the program's version");
    buf_str(to, "sluice_worker_info{version=\"" SLUICE_VERSION "\"} 1\n");
    put_head(to, "lane_running", "gauge", "1 while the lane's process runs");
    for (unsigned i = 0; i < count; i++) buf_print(to, "sluice_lane_running{lane=\"%u\"} %d\n", i, lanes[i].running);
    put_head(to, "lane_restarts_total", "counter", "lanes started again because their process had ended");
    for (unsigned i = 0; i < count; i++)
        buf_print(to, "sluice_lane_restarts_total{lane=\"%u\"} %" PRIu64 "\n", i, lanes[i].restarts);
    for (enum metric metric = METRIC_NONE + 1; metric < METRIC_COUNT; metric++) {
        enum metric_kind kind = table[metric].kind;
        put_head(to, table[metric].text, kind == METRIC_COUNTER || kind == METRIC_SECONDS ? "counter" : "gauge",
                 table[metric].help);
        for (unsigned i = 0; i < count; i++) {
            buf_print(to, "sluice_%s{lane=\"%u\"} ", table[metric].text, i);
            put_value(to, kind, metrics_get(lanes[i].metrics, metric), monotonic_ms, unix_ms);
        }
    }
}
