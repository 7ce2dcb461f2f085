/* What stands in the place of the worker's log and fault points, of the waiting in handoff.c, and of the code that an event may
 * kill: the linker takes these definitions instead (see CMakeLists.txt). */
#include "check.h"
#include "fault.h"
#include "fleet.h"
#include "log.h"
#include "ports.h"
#include "workload.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* ---- the worker's log goes into the trace ---- */

void log_open(enum log_level level, const char *who) { (void)level, (void)who; }

bool log_level_parse(const char *text, enum log_level *ret_level) { return (void)text, (void)ret_level, false; }

void log_line(enum log_level level, const char *event, const char *format, ...) {
    (void)level;
    const struct sim_lane *lane = fleet_current();
    if (!tracing() || !lane) return;
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    trace("lane%u says %s %s", lane->number, event, line);
}

struct log_quoted log_quoted(const char *text) {
    struct log_quoted quoted;
    (void)snprintf(quoted.text, sizeof quoted.text, "%s", text);
    return quoted;
}

void log_error(enum log_level level, const char *event, const struct error *error) {
    log_line(level, event, "code=%s message=\"%s\"", error->code[0] ? error->code : "-", error->message);
}

/* ---- fault points are places to stop at ---- */

void fault_open(void) {}

void fault_point(const char *name) {
    struct sim_lane *lane = fleet_current();
    if (!lane) return;
    struct armed *fault = op_begin(lane, OP_POINT);
    if (fault) trace("lane%u is at %s", lane->number, name);
    if (fault) op_end(lane, OP_POINT, fault);
}

/* ---- handoff.c waits ---- */

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __real_clock_gettime(clockid_t id, struct timespec *now);

int __wrap_clock_gettime(clockid_t id, struct timespec *now) {
    if (!fleet_current()) return __real_clock_gettime(id, now);
    *now = (struct timespec){world.now / SECOND, (world.now % SECOND) * 1000};
    return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    micros at = (micros)until->tv_sec * SECOND + until->tv_nsec / 1000;
    if (at <= world.now) return ETIMEDOUT;
    pthread_mutex_unlock(mutex);
    fleet_wait(condition, at - world.now);
    pthread_mutex_lock(mutex);
    return world.now >= at ? ETIMEDOUT : 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition) {
    fleet_signal(condition);
    return 0;
}

/* ---- an event that kills whoever decodes it ---- */

int __wrap_cloudevent_read(struct arena *arena, const struct record *record, struct cloudevent *ret_event, struct slice *ret_why);
int __real_cloudevent_read(struct arena *arena, const struct record *record, struct cloudevent *ret_event, struct slice *ret_why);

int __wrap_cloudevent_read(struct arena *arena, const struct record *record, struct cloudevent *ret_event,
                           struct slice *ret_why) {
    if (workload_is_deadly(record->value)) {
        check_killed(fleet_current()->number, record->shard, record->topic, record->offset);
        fleet_crash_here("a record has killed it");
    }
    return __real_cloudevent_read(arena, record, ret_event, ret_why);
}

/* ---- ports ---- */

static uint64_t now_ms(struct lane_clock *clock) {
    const struct sim_lane *lane = LANE_OF(clock, clock);
    return (uint64_t)(world.now / MS + lane->clock_offset_ms);
}

void ports_open(struct sim_lane *lane) {
    lane->clock.now_ms = now_ms;
    for (int i = 0; i < THREADS; i++) lane->stores[i] = (struct sim_store){{&sim_store_operations}, lane, i == PIPELINE};
    lane->input.operations = &sim_input_operations;
    lane->output.operations = &sim_output_operations;
    lane->registry.operations = &sim_registry_operations;
}
