/* What the lane's two threads share, with two threads: every order arrives once and in order, and so does every report. */
#include "handoff.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

enum { ORDERS = 20000, LETTERS = 64 };

static struct batch batch;

/* The publisher's thread: answers each order with a report of the same number, until it is told to end. */
static void *obey(void *argument) {
    struct handoff *handoff = argument;
    uint32_t expected = 0;
    for (bool ended = false; !ended;) {
        for (struct order *order = handoff_orders(handoff, 1000), *next; order; order = next) {
            next = order->next;
            bool right = order->shard == expected++;
            if (order->kind == ORDER_TAKE) right &= order->row->epoch == order->shard && order->row->fence_ids->n == LETTERS;
            if (order->kind == ORDER_ROWS) right &= order->batch == &batch;
            ended = order->kind == ORDER_END;
            struct report report = {.kind = right ? REPORT_PUBLISHED : REPORT_FAILED, .shard = order->shard};
            if (!handoff_report(handoff, &report)) abort();
            order_free(order);
        }
    }
    return NULL;
}

static void give(struct handoff *handoff, uint32_t number) {
    static const enum order_kind kinds[] = {ORDER_TAKE, ORDER_ROWS, ORDER_DRAIN, ORDER_FORGET};
    struct order order = {.kind = number == ORDERS ? ORDER_END : kinds[number % 4], .shard = number, .batch = &batch};
    if (order.kind == ORDER_TAKE) { /* its memory goes over to the other thread */
        arena_init(&order.arena, 1 << 20);
        order.row = ARENA_NEW(&order.arena, struct shard_row);
        order.row->epoch = number;
        order.row->fence_ids = ARENA_NEW(&order.arena, struct slice);
        *order.row->fence_ids = slice_of(memset(arena_alloc(&order.arena, LETTERS), 'x', LETTERS), LETTERS);
    }
    assert_true(handoff_order(handoff, &order));
}

static uint32_t take(struct handoff *handoff, uint32_t expected, int wait_ms) {
    for (struct report *report = handoff_reports(handoff, wait_ms), *next; report; report = next) {
        next = report->next;
        assert_int_equal(report->kind, REPORT_PUBLISHED);
        assert_int_equal(report->shard, expected);
        expected++;
        free(report);
    }
    return expected;
}

static void orders_and_reports_arrive_once_and_in_order(void **state) {
    (void)state;
    struct handoff *handoff = handoff_new();
    pthread_t thread;
    uint32_t reported = 0;
    assert_int_equal(pthread_create(&thread, NULL, obey, handoff), 0);
    for (uint32_t number = 0; number <= ORDERS; number++) {
        give(handoff, number);
        if (number % 100 == 0) reported = take(handoff, reported, 0);
        if (number % 1000 == 0) reported = take(handoff, reported, 10);
    }
    while (reported <= ORDERS) reported = take(handoff, reported, 1000);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_null(handoff_reports(handoff, 0));
    assert_null(handoff_orders(handoff, 1));
    handoff_free(handoff);
}

static void what_nobody_took_is_freed(void **state) {
    (void)state;
    struct handoff *handoff = handoff_new();
    give(handoff, 0);
    give(handoff, 1);
    assert_true(handoff_report(handoff, &(struct report){.kind = REPORT_LOST}));
    handoff_free(handoff); /* LeakSanitizer looks */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_and_reports_arrive_once_and_in_order),
        cmocka_unit_test(what_nobody_took_is_freed),
    };
    return cmocka_run_group_tests_name("handoff", tests, NULL, NULL);
}
