/* The memory of a simulated process. While a lane runs, what it allocates is noted in its heap (the linker puts these functions
 * in the place of malloc and its kin: see CMakeLists.txt), so that a crash frees all of it at once, wherever the lane stood. */
#ifndef SIM_HEAP_H
#define SIM_HEAP_H

#include <stddef.h>

struct heap_block {
    struct heap_block *next, *previous;
    size_t size; /* and room, so that what follows stays aligned */
    size_t unused;
};

struct heap {
    struct heap_block blocks; /* a ring */
};

void heap_init(struct heap *heap);
/* Frees everything that was allocated while it was entered and not freed since. */
void heap_release(struct heap *heap);
/* From here on allocations belong to `heap`, NULL the simulator itself. Returns what was entered before. */
struct heap *heap_enter(struct heap *heap);

#endif
