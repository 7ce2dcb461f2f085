/* A lane's whole story under exhausted memory: for n = 1, 2, 3, ... its n-th allocation fails, alone or with those behind it for
 * a while. Whatever the lane then does, end or go on, every record is answered exactly once, as it would have been. */
#include "alloc.h"
#include "digest.h"
#include "operation.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct buf reference;

/* One story; returns whether an allocation failed in it. */
static bool try_story(unsigned long n, unsigned long times) {
    struct buf told;
    unsigned long fired, failed = tries.failed;
    size_t before = operation_memory();
    buf_init(&told, 1024 * 1024);
    tries.n = n;
    world_begin(NULL, 0);
    alloc_begin(n, times);
    bool ended = world_run();
    (void)alloc_end(&fired);
    if (EXPECT(ended)) world_check(&told);
    EXPECT(world.stops == 0);
    EXPECT(slice_equal(buf_slice(&told), buf_slice(&reference)));
    world_end();
    buf_release(&told);
    EXPECT(operation_memory() == before);
    if (tries.failed > failed) operation_says("%lu allocations failed, from the %lu-th on; %u lives", times, n, world.lives);
    return fired;
}

int main(int argc, char **argv) {
    enum { FIRST = 150 };
    static const unsigned long times[] = {1, 2, 7, 100};
    int bad = 0;
    unsigned long from = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0) tries.all = true;
        if (strcmp(argv[i], "--from") == 0 && i + 1 < argc) from = strtoul(argv[++i], NULL, 10);
    }
    if (digest_prepare(NULL)) return 2;
    buf_init(&reference, 1024 * 1024);
    world_begin(NULL, 0);
    if (!world_run()) return 2;
    world_check(&reference);
    world_end();
    printf("1..4\n");
    for (int i = 0; i < 4; i++) {
        unsigned long count = 0;
        tries.name = "lane";
        tries.failed = 0;
        for (unsigned long n = from; try_story(n, times[i]); n = tries_next(n, FIRST)) count++;
        bad += tries.failed > 0;
        printf("%s %d - lane: %lu stories in which %lu allocations fail\n", tries.failed ? "not ok" : "ok", i + 1, count,
               times[i]);
        fflush(stdout);
    }
    buf_release(&reference);
    return bad > 0;
}
