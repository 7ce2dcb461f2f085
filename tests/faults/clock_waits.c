/* Loaded beside libfaketime, which knows nothing of C11's cnd_timedwait: librdkafka waits with it until a time of the clock that
 * we set, so the wait must go by that clock as it does in the kernel, where a clock set forwards ends it and one set backwards
 * makes it longer. It wakes up for nothing ten times a second, which the standard allows: were it to wait on by itself, a signal
 * between two waits would be lost. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

enum { SLICE_NS = 100000000, SECOND_NS = 1000000000 };

static int64_t nanoseconds(const struct timespec *at) { return (int64_t)at->tv_sec * SECOND_NS + at->tv_nsec; }

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    static int (*original)(cnd_t *, mtx_t *, const struct timespec *);
    if (!original) *(void **)&original = dlsym(RTLD_NEXT, "cnd_timedwait");
    struct timespec now, real;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* libfaketime's */
    int64_t left = nanoseconds(until) - nanoseconds(&now);
    bool whole = left <= SLICE_NS;
    if (left < 0) left = 0;
    if (!whole) left = SLICE_NS;
    (void)syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
    int64_t end = nanoseconds(&real) + left;
    const struct timespec slice = {.tv_sec = (time_t)(end / SECOND_NS), .tv_nsec = (long)(end % SECOND_NS)};
    int result = original(condition, mutex, &slice);
    return result == thrd_timedout && !whole ? thrd_success : result;
}
