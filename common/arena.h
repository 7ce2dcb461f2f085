/* Memory that lives and dies together: everything of one batch, one document, one command.
 *
 * An arena has a maximum, so that no input can make it grow without bound. Nothing in it is freed alone. Single-threaded;
 * it may be handed to another thread whole. */
#ifndef SLUICE_ARENA_H
#define SLUICE_ARENA_H

#include "slice.h"

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    char *next, *end;           /* the free part of the newest block */
    size_t used;                /* bytes taken from the system */
    size_t maximum;
    bool full; /* something did not fit into the maximum; otherwise the system had no memory */
};

/* `maximum` is in bytes. An arena that was only initialised holds no memory. */
void arena_init(struct arena *arena, size_t maximum);
void arena_release(struct arena *arena);
/* Frees everything but one block, which is kept for the next use. */
void arena_reset(struct arena *arena);

/* Zeroed memory, aligned for any type; NULL when the maximum or the system's memory is exhausted. */
void *arena_alloc(struct arena *arena, size_t size);
/* The same for `count` elements; NULL also when the product overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/* A copy of the bytes, followed by a NUL that is not counted. `p` of the answer is NULL when there is no memory. */
struct slice arena_copy(struct arena *arena, struct slice bytes);
/* A formatted string, terminated; `p` is NULL when there is no memory. */
struct slice arena_print(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_array((arena), (count), sizeof(type)))

#endif
