/* One operation under exhausted memory: for n = 1, 2, 3, ... its n-th allocation fails, until it goes through without that.
 *
 * After each failure there is no leak, the error says that memory is exhausted, and the same again, on the same state, gives
 * what it would have given at once. An operation that succeeds although an allocation failed must give the same, too. */
#ifndef SLUICE_TORTURE_OPERATION_H
#define SLUICE_TORTURE_OPERATION_H

#include "buf.h"
#include "error.h"

struct operation {
    const char *name;
    void *(*set_up)(void);
    /* The operation itself: 0, or -1 with *error. What it was before it began must serve once more after a failure. */
    int (*run)(void *state, struct error *error);
    /* What it has given, as bytes. */
    void (*tell)(void *state, struct buf *to);
    void (*tear_down)(void *state);
    bool own_process; /* it makes something that lives as long as the process: each try has a process of its own */
};

/* Prints TAP. Arguments: [--all] [--from N] [filter]. Without --all a long operation is tried at its first allocations and at
 * some of the others. Returns the exit status. */
int operations_run(const struct operation *operations, size_t count, int argc, char **argv);

/* Fails the try that is running, and says why; the tries go on. */
#define EXPECT(condition) ((condition) || (operation_failed(__FILE__, __LINE__, #condition), false))
void operation_failed(const char *file, int line, const char *what);
__attribute__((format(printf, 1, 2))) void operation_says(const char *format, ...);

/* ---- for programs with loops of their own ---- */

struct tries {
    const char *name;
    unsigned long n, failed;
    bool all; /* --all */
};
extern struct tries tries;

/* Bytes that are allocated now; 0 without AddressSanitizer. */
size_t operation_memory(void);
/* Which allocation comes after the n-th: each of the first, then some, drawn from a seed. */
unsigned long tries_next(unsigned long n, unsigned long first);

#endif
