#include "metrics.h"
#include "status.h"
#include "supervisor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct lane_metrics memory[2];
static struct lane_view lanes[2];

static int set_up(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        memory[i] = (struct lane_metrics){0};
        lanes[i] = (struct lane_view){.metrics = &memory[i], .running = true};
        metrics_set(&memory[i], METRIC_IN_GROUP, 1);
        metrics_set(&memory[i], METRIC_DATABASE_OK_MS, 100000);
        metrics_set(&memory[i], METRIC_BROKER_OK_MS, 100000);
    }
    return 0;
}

static bool has(const struct buf *text, const char *line) {
    bool found = text->p && strstr(text->p, line);
    if (!found) print_message("no '%s' in:\n%s\n", line, text->p ? text->p : "");
    return found;
}

static void metrics_are_prometheus_text(void **state) {
    (void)state;
    struct buf text;
    buf_init(&text, 1 << 20);
    metrics_add(&memory[0], METRIC_PROMOTED, 41);
    metrics_add(&memory[0], METRIC_PROMOTED, 1);
    metrics_add(&memory[1], METRIC_BATCH_MS, 61005);
    metrics_add(&memory[1], METRIC_SHARDS_OWNED, 3);
    metrics_subtract(&memory[1], METRIC_SHARDS_OWNED, 1);
    metrics_set(&memory[1], METRIC_BROKER_OK_MS, 0);
    lanes[1].running = false;
    lanes[1].restarts = 7;
    metrics_render(&text, lanes, 2, 101500, 1772359200123);
    assert_true(has(&text, "# TYPE sluice_promotions_promoted_total counter\nsluice_promotions_promoted_total{lane=\"0\"} 42\n"
                           "sluice_promotions_promoted_total{lane=\"1\"} 0\n"));
    assert_true(has(&text, "sluice_batch_seconds_total{lane=\"1\"} 61.005\n"));
    assert_true(has(&text, "# TYPE sluice_shards_owned gauge\n"));
    assert_true(has(&text, "sluice_shards_owned{lane=\"1\"} 2\n"));
    assert_true(has(&text, "sluice_database_answered_timestamp_seconds{lane=\"0\"} 1772359198.623\n"));
    assert_true(has(&text, "sluice_broker_answered_timestamp_seconds{lane=\"1\"} 0\n"));
    assert_true(has(&text, "sluice_lane_running{lane=\"0\"} 1\nsluice_lane_running{lane=\"1\"} 0\n"));
    assert_true(has(&text, "sluice_lane_restarts_total{lane=\"1\"} 7\n"));
    assert_true(has(&text, "sluice_worker_info{version=\""));
    buf_release(&text);
}

/* promtool's rules, as far as our text can break them: HELP and TYPE once, before their samples, and every line one of the three.
 */
static void every_line_of_the_metrics_has_its_type_before_it(void **state) {
    (void)state;
    struct buf text;
    char family[100] = "", seen[16384] = "";
    buf_init(&text, 1 << 20);
    metrics_render(&text, lanes, 2, 101500, 1772359200123);
    assert_int_equal(text.p[text.n - 1], '\n');
    for (char *rest = text.p, *line; (line = strsep(&rest, "\n")) && rest;) {
        char name[100], type[20];
        if (sscanf(line, "# TYPE %99s %19s", name, type) == 2) {
            assert_string_equal(name, family);
            assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0);
            assert_int_equal(strcmp(type, "counter") == 0, strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0);
        } else if (sscanf(line, "# HELP %99s", name) == 1) {
            char entry[110];
            (void)snprintf(entry, sizeof entry, " %s ", name);
            assert_null(strstr(seen, entry));
            strcat(seen, entry);
            strcpy(family, name);
        } else {
            assert_int_equal(strncmp(line, family, strlen(family)), 0);
            assert_int_equal(line[strlen(family)], '{');
        }
    }
    buf_release(&text);
}

static void a_lane_that_has_gone_keeps_only_its_counters(void **state) {
    (void)state;
    metrics_add(&memory[0], METRIC_RECORDS_CONSUMED, 5);
    metrics_add(&memory[0], METRIC_BATCH_MS, 6);
    metrics_set(&memory[0], METRIC_LAG, 7);
    metrics_set(&memory[0], METRIC_SHARDS_OWNED, 8);
    metrics_forget(&memory[0]);
    assert_int_equal(metrics_get(&memory[0], METRIC_RECORDS_CONSUMED), 5);
    assert_int_equal(metrics_get(&memory[0], METRIC_BATCH_MS), 6);
    assert_int_equal(metrics_get(&memory[0], METRIC_LAG), 0);
    assert_int_equal(metrics_get(&memory[0], METRIC_SHARDS_OWNED), 0);
    assert_int_equal(metrics_get(&memory[0], METRIC_IN_GROUP), 0);
    assert_int_equal(metrics_get(&memory[0], METRIC_DATABASE_OK_MS), 0);
}

static bool ready(uint64_t now_ms, const char *reason) {
    struct buf why;
    buf_init(&why, 4096);
    bool is = status_is_ready(lanes, 2, now_ms, &why);
    if (reason) assert_true(has(&why, reason));
    if (is) assert_int_equal(why.n, 0);
    buf_release(&why);
    return is;
}

static void a_worker_is_ready_when_every_lane_is(void **state) {
    (void)state;
    assert_true(ready(100000, NULL)); /* owning no shard is ready too */
    assert_true(ready(100000 + STATUS_FRESH_MS, NULL));
    assert_false(ready(100000 + STATUS_FRESH_MS + 1, "lane 1 has no answer from the database or a Kafka broker"));
    metrics_set(&memory[0], METRIC_BROKER_OK_MS, 100000 - STATUS_FRESH_MS - 1);
    assert_false(ready(100000, "lane 0 has no answer from a Kafka broker\n"));
    (void)set_up(NULL);
    metrics_set(&memory[1], METRIC_IN_GROUP, 0);
    assert_false(ready(100000, "lane 1 is not in the consumer group\n"));
    (void)set_up(NULL);
    lanes[1].running = false;
    assert_false(ready(100000, "lane 1 does not run"));
    (void)set_up(NULL);
    metrics_set(&memory[0], METRIC_DATABASE_OK_MS, 0); /* never */
    assert_false(ready(100000, "lane 0 has no answer from the database\n"));
}

static void restarts_wait_longer_each_time(void **state) {
    (void)state;
    static const unsigned wanted[] = {50, 200, 400, 800, 1600, 3200, 5000, 5000};
    for (unsigned i = 0; i < sizeof wanted / sizeof *wanted; i++) assert_int_equal(supervisor_delay_ms(i), wanted[i]);
    assert_int_equal(supervisor_delay_ms(UINT32_MAX), 5000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(metrics_are_prometheus_text, set_up),
        cmocka_unit_test_setup(every_line_of_the_metrics_has_its_type_before_it, set_up),
        cmocka_unit_test_setup(a_lane_that_has_gone_keeps_only_its_counters, set_up),
        cmocka_unit_test_setup(a_worker_is_ready_when_every_lane_is, set_up),
        cmocka_unit_test(restarts_wait_longer_each_time),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
