#include "batch.h"

void batch_init(struct batch *batch, size_t maximum) {
    *batch = (struct batch){0};
    arena_init(&batch->arena, maximum);
    arena_init(&batch->kept, maximum);
    buf_init(&batch->scratch, 0);
}

void batch_release(struct batch *batch) {
    arena_release(&batch->arena);
    arena_release(&batch->kept);
    buf_release(&batch->scratch);
}

void batch_reset(struct batch *batch) {
    struct batch kept = {.arena = batch->arena,
                         .kept = batch->kept,
                         .scratch = batch->scratch,
                         .decoder = batch->decoder,
                         .installation_shards = batch->installation_shards,
                         .policy = batch->policy,
                         .control_version = batch->control_version,
                         .policy_version = batch->policy_version,
                         .policy_digest = batch->policy_digest};
    memcpy(kept.topics, batch->topics, sizeof kept.topics);
    arena_reset(&kept.arena);
    arena_reset(&kept.kept);
    *batch = kept;
}

void batch_forget_deciding(struct batch *batch) {
    for (size_t i = 0; i < batch->answer_count; i++)
        if (batch->answers[i].row.kind != RESULT_DEAD_LETTER) batch->answers[i].row.input = (struct slice){0};
    arena_reset(&batch->arena);
}

struct slice batch_key(struct batch *batch, struct slice a, struct slice b, struct slice c) {
    char *key = arena_alloc(&batch->arena, a.n + b.n + c.n + 2), *at = key;
    if (!key) return (struct slice){0};
    const struct slice parts[] = {a, b, c};
    for (size_t i = 0; i < 3; i++) {
        if (i) *at++ = '\0';
        if (parts[i].n) memcpy(at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    return slice_of(key, (size_t)(at - key));
}
