/* C11's threads by POSIX's, which ThreadSanitizer of gcc 12 knows; of thrd_create (librdkafka) it does not, and a thread so made
 * makes it crash. Preloaded by threads.sh. In glibc both have the same representation. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

struct start {
    thrd_start_t function;
    void *argument;
};

static void *run(void *given) {
    struct start start = *(struct start *)given;
    free(given);
    return (void *)(intptr_t)start.function(start.argument);
}

static int outcome(int error) { return error ? thrd_error : thrd_success; }

int thrd_create(thrd_t *thread, thrd_start_t function, void *argument) {
    struct start *start = malloc(sizeof *start);
    if (!start) return thrd_nomem;
    *start = (struct start){function, argument};
    int error = pthread_create((pthread_t *)thread, NULL, run, start);
    if (error) free(start);
    return outcome(error);
}

int thrd_join(thrd_t thread, int *ret_result) {
    void *result;
    int error = pthread_join((pthread_t)thread, &result);
    if (!error && ret_result) *ret_result = (int)(intptr_t)result;
    return outcome(error);
}

int thrd_detach(thrd_t thread) { return outcome(pthread_detach((pthread_t)thread)); }

int mtx_lock(mtx_t *mutex) { return outcome(pthread_mutex_lock((pthread_mutex_t *)mutex)); }
int mtx_unlock(mtx_t *mutex) { return outcome(pthread_mutex_unlock((pthread_mutex_t *)mutex)); }
int mtx_trylock(mtx_t *mutex) { return pthread_mutex_trylock((pthread_mutex_t *)mutex) ? thrd_busy : thrd_success; }
int cnd_signal(cnd_t *condition) { return outcome(pthread_cond_signal((pthread_cond_t *)condition)); }
int cnd_broadcast(cnd_t *condition) { return outcome(pthread_cond_broadcast((pthread_cond_t *)condition)); }
int cnd_wait(cnd_t *condition, mtx_t *mutex) {
    return outcome(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    int error = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
    return error == ETIMEDOUT ? thrd_timedout : outcome(error);
}
