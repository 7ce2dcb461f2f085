#include "fiber.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __has_feature /* clang's way to say it */
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK = 1024 * 1024 };

static jmp_buf scheduler;
static struct fiber *running;

#if defined(__SANITIZE_ADDRESS__)
static void *scheduler_fake;
static const void *scheduler_stack;
static size_t scheduler_size;

static void to_fiber(struct fiber *fiber) { __sanitizer_start_switch_fiber(&scheduler_fake, fiber->stack, STACK); }
static void back_in_scheduler(void) { __sanitizer_finish_switch_fiber(scheduler_fake, NULL, NULL); }
static void in_fiber(void *fake) { __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size); }
static void to_scheduler(void **fake) { __sanitizer_start_switch_fiber(fake, scheduler_stack, scheduler_size); }
static void forget_stack(struct fiber *fiber) { ASAN_UNPOISON_MEMORY_REGION(fiber->stack, STACK); }
#else
static void to_fiber(struct fiber *fiber) { (void)fiber; }
static void back_in_scheduler(void) {}
static void in_fiber(void *fake) { (void)fake; }
static void to_scheduler(void **fake) { (void)fake; }
static void forget_stack(struct fiber *fiber) { (void)fiber; }
#endif

static void enter(void) {
    struct fiber *fiber = running;
    in_fiber(NULL);
    fiber->run(fiber->argument);
    fiber->alive = false;
    to_scheduler(NULL);
    _longjmp(scheduler, 1);
}

void fiber_start(struct fiber *fiber, void (*run)(void *), void *argument) {
    if (!fiber->stack) {
        fiber->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
        if (fiber->stack == MAP_FAILED) {
            (void)fprintf(stderr, "sluice-sim: no memory for a stack\n");
            exit(2);
        }
    }
    forget_stack(fiber);
    (void)getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK;
    fiber->context.uc_link = NULL;
    fiber->fake_stack = NULL;
    fiber->run = run;
    fiber->argument = argument;
    fiber->alive = true;
    fiber->entered = false;
    makecontext(&fiber->context, enter, 0);
    fiber->context.uc_stack.ss_size = 0; /* or AddressSanitizer would forget all of the stack at every switch */
}

void fiber_resume(struct fiber *fiber) {
    running = fiber;
    to_fiber(fiber);
    if (!_setjmp(scheduler)) {
        if (fiber->entered) _longjmp(fiber->left, 1);
        fiber->entered = true;
        (void)setcontext(&fiber->context);
    }
    back_in_scheduler();
    running = NULL;
}

void fiber_yield(void) {
    struct fiber *fiber = running;
    to_scheduler(&fiber->fake_stack);
    if (!_setjmp(fiber->left)) _longjmp(scheduler, 1);
    in_fiber(running->fake_stack);
}

struct fiber *fiber_running(void) {
    return running;
}

void fiber_abandon(struct fiber *fiber) { fiber->alive = false; }
