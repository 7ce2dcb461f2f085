#include "handoff.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct handoff {
    pthread_mutex_t lock;
    pthread_cond_t ordered, reported;
    struct order *orders, **last_order;
    struct report *reports, **last_report;
    struct order *end; /* kept for ORDER_END and REPORT_FAILED, which must get through without memory, too */
    struct report *failed;
};

struct handoff *handoff_new(void) {
    struct handoff *handoff = calloc(1, sizeof *handoff);
    if (!handoff) return NULL;
    handoff->end = malloc(sizeof *handoff->end);
    handoff->failed = malloc(sizeof *handoff->failed);
    if (!handoff->end || !handoff->failed) {
        free(handoff->end);
        free(handoff->failed);
        free(handoff);
        return NULL;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&handoff->lock, NULL);
    pthread_cond_init(&handoff->ordered, &monotonic);
    pthread_cond_init(&handoff->reported, &monotonic);
    pthread_condattr_destroy(&monotonic);
    handoff->last_order = &handoff->orders;
    handoff->last_report = &handoff->reports;
    return handoff;
}

void order_free(struct order *order) {
    arena_release(&order->arena);
    free(order);
}

void handoff_free(struct handoff *handoff) {
    if (!handoff) return;
    for (struct order *order = handoff->orders, *next; order; order = next) {
        next = order->next;
        order_free(order);
    }
    for (struct report *report = handoff->reports, *next; report; report = next) {
        next = report->next;
        free(report);
    }
    free(handoff->end);
    free(handoff->failed);
    pthread_cond_destroy(&handoff->ordered);
    pthread_cond_destroy(&handoff->reported);
    pthread_mutex_destroy(&handoff->lock);
    free(handoff);
}

/* Waits, with the lock held, until `*head` is not NULL or the time is over. */
static void wait_for(struct handoff *handoff, pthread_cond_t *condition, void *const *head, int wait_ms) {
    struct timespec until;
    if (*head || wait_ms <= 0) return;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!*head && pthread_cond_timedwait(condition, &handoff->lock, &until) != ETIMEDOUT) continue;
}

bool handoff_order(struct handoff *handoff, const struct order *order) {
    struct order *copy = malloc(sizeof *copy);
    if (!copy && order->kind == ORDER_END) {
        copy = handoff->end;
        handoff->end = NULL;
    }
    if (!copy) return false;
    *copy = *order;
    copy->next = NULL;
    pthread_mutex_lock(&handoff->lock);
    *handoff->last_order = copy;
    handoff->last_order = &copy->next;
    pthread_cond_signal(&handoff->ordered);
    pthread_mutex_unlock(&handoff->lock);
    return true;
}

struct order *handoff_orders(struct handoff *handoff, int wait_ms) {
    pthread_mutex_lock(&handoff->lock);
    wait_for(handoff, &handoff->ordered, (void *const *)&handoff->orders, wait_ms);
    struct order *orders = handoff->orders;
    handoff->orders = NULL;
    handoff->last_order = &handoff->orders;
    pthread_mutex_unlock(&handoff->lock);
    return orders;
}

bool handoff_report(struct handoff *handoff, const struct report *report) {
    struct report *copy = malloc(sizeof *copy);
    if (!copy && report->kind == REPORT_FAILED) {
        copy = handoff->failed;
        handoff->failed = NULL;
    }
    if (!copy) return false;
    *copy = *report;
    copy->next = NULL;
    pthread_mutex_lock(&handoff->lock);
    *handoff->last_report = copy;
    handoff->last_report = &copy->next;
    pthread_cond_signal(&handoff->reported);
    pthread_mutex_unlock(&handoff->lock);
    return true;
}

struct report *handoff_reports(struct handoff *handoff, int wait_ms) {
    pthread_mutex_lock(&handoff->lock);
    wait_for(handoff, &handoff->reported, (void *const *)&handoff->reports, wait_ms);
    struct report *reports = handoff->reports;
    handoff->reports = NULL;
    handoff->last_report = &handoff->reports;
    pthread_mutex_unlock(&handoff->lock);
    return reports;
}
