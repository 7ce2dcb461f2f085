#include "heap.h"

#include <stdint.h>
#include <string.h>

void *__real_malloc(size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);

static struct heap *entered;

void heap_init(struct heap *heap) { heap->blocks.next = heap->blocks.previous = &heap->blocks; }

struct heap *heap_enter(struct heap *heap) {
    struct heap *before = entered;
    entered = heap;
    return before;
}

static void unlink_block(struct heap_block *block) {
    if (!block->next) return;
    block->next->previous = block->previous;
    block->previous->next = block->next;
}

void heap_release(struct heap *heap) {
    for (struct heap_block *block = heap->blocks.next, *next; block != &heap->blocks; block = next) {
        next = block->next;
        __real_free(block);
    }
    heap_init(heap);
}

void *__wrap_malloc(size_t size) {
    struct heap_block *block = size > SIZE_MAX / 2 ? NULL : __real_malloc(sizeof *block + size);
    if (!block) return NULL;
    *block = (struct heap_block){.size = size};
    if (entered) {
        block->next = entered->blocks.next;
        block->previous = &entered->blocks;
        block->next->previous = block;
        entered->blocks.next = block;
    }
    return block + 1;
}

void *__wrap_calloc(size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) return NULL;
    void *memory = __wrap_malloc(count * size);
    if (memory) memset(memory, 0, count * size);
    return memory;
}

void __wrap_free(void *memory) {
    if (!memory) return;
    struct heap_block *block = (struct heap_block *)memory - 1;
    unlink_block(block);
    __real_free(block);
}

void *__wrap_realloc(void *memory, size_t size) {
    void *moved = __wrap_malloc(size);
    if (!moved || !memory) return moved;
    size_t old = ((struct heap_block *)memory - 1)->size;
    memcpy(moved, memory, old < size ? old : size);
    __wrap_free(memory);
    return moved;
}
