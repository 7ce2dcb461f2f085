#include "arena.h"

#include "memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_block {
    struct arena_block *older;
    size_t size; /* of the room behind this header */
    max_align_t room[];
};

enum { BLOCK = 64 * 1024 - (int)sizeof(struct arena_block), ALIGNMENT = _Alignof(max_align_t) };

void arena_init(struct arena *arena, size_t maximum) { *arena = (struct arena){.maximum = maximum}; }

void arena_release(struct arena *arena) {
    for (struct arena_block *block = arena->blocks, *older; block; block = older) {
        older = block->older;
        free(block);
    }
    arena_init(arena, arena->maximum);
}

void arena_reset(struct arena *arena) {
    struct arena_block *kept = arena->blocks;
    if (!kept || kept->size > BLOCK) {
        arena_release(arena);
        return;
    }
    for (struct arena_block *block = kept->older, *older; block; block = older) {
        older = block->older;
        free(block);
    }
    kept->older = NULL;
    arena->full = false;
    arena->used = kept->size + sizeof *kept;
    arena->next = (char *)kept->room;
    arena->end = arena->next + kept->size;
}

/* Makes room for `size` bytes, which is a multiple of the alignment. */
static bool grow(struct arena *arena, size_t size) {
    size_t room = size > BLOCK ? size : BLOCK;
    if (room > SIZE_MAX - sizeof(struct arena_block)) return false;
    size_t total = room + sizeof(struct arena_block);
    if (arena->used > arena->maximum || total > arena->maximum - arena->used) {
        arena->full = true;
        return false;
    }
    struct arena_block *block = malloc(total);
    if (!block) {
        memory_refused();
        return false;
    }
    block->older = arena->blocks;
    block->size = room;
    arena->blocks = block;
    arena->used += total;
    arena->next = (char *)block->room;
    arena->end = arena->next + room;
    return true;
}

/* Uninitialised memory. */
static void *take(struct arena *arena, size_t size) {
    if (size > SIZE_MAX - ALIGNMENT) return NULL;
    size = size ? (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
    if ((size_t)(arena->end - arena->next) < size && !grow(arena, size)) return NULL;
    void *memory = arena->next;
    arena->next += size;
    return memory;
}

void *arena_alloc(struct arena *arena, size_t size) {
    void *memory = take(arena, size);
    return memory ? memset(memory, 0, size) : NULL;
}

void *arena_array(struct arena *arena, size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) return NULL;
    return arena_alloc(arena, count * size);
}

struct slice arena_copy(struct arena *arena, struct slice bytes) {
    if (bytes.n == SIZE_MAX) return (struct slice){0};
    char *copy = take(arena, bytes.n + 1);
    if (!copy) return (struct slice){0};
    if (bytes.n) memcpy(copy, bytes.p, bytes.n);
    copy[bytes.n] = '\0';
    return slice_of(copy, bytes.n);
}

/* Written where the next allocation would begin, and once more only when it does not fit there. */
struct slice arena_print(struct arena *arena, const char *format, ...) {
    char *next = arena->next;
    size_t room = (size_t)(arena->end - next);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(next, room, format, arguments);
    va_end(arguments);
    bool written = length >= 0 && (size_t)length < room;
    char *text = length < 0 ? NULL : take(arena, (size_t)length + 1);
    if (!text) return (struct slice){0};
    if (!written || text != next) {
        va_start(arguments, format);
        (void)vsnprintf(text, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    return slice_of(text, (size_t)length);
}
