/* A thread of a simulated process: it runs until it yields, and may be abandoned wherever it stands. */
#ifndef SIM_FIBER_H
#define SIM_FIBER_H

#include <setjmp.h>
#include <stdbool.h>
#include <ucontext.h>

struct fiber {
    ucontext_t context; /* to enter it by; from then on it is left and resumed by jumps, which ask the kernel nothing */
    jmp_buf left;
    bool entered;
    void *stack;      /* kept for the next start */
    void *fake_stack; /* AddressSanitizer's */
    void (*run)(void *);
    void *argument;
    bool alive; /* started, and `run` has not returned */
};

void fiber_start(struct fiber *fiber, void (*run)(void *), void *argument);
/* Lets it run until it yields or ends. */
void fiber_resume(struct fiber *fiber);
/* Called by the fiber that runs. */
void fiber_yield(void);
/* The one that runs, or NULL. */
struct fiber *fiber_running(void);
/* It is never resumed again. Called from outside of it. */
void fiber_abandon(struct fiber *fiber);

#endif
