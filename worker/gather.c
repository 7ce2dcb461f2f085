/* gather: all questions to the registries of one batch, at once, each asked once. */
#include "gather.h"

struct slice gather_key(struct batch *batch, const struct image_reference *reference, struct slice digest) {
    return batch_key(batch, reference->host, reference->repository, digest);
}

static int add_question(struct batch *batch, const struct artifact *artifact, struct registry_question *questions,
                        size_t *count) {
    struct image_reference reference;
    if (!artifact->uri.p || !image_reference_parse(artifact->uri, &reference)) return 0;
    const struct policy_registry *registry = policy_registry(batch->policy, reference.host);
    if (!registry) return 0;
    struct slice key = gather_key(batch, &reference, artifact->digest);
    void **at = key.p ? map_at(&batch->questions, key) : NULL;
    if (!at) return -1;
    if (*at) return 0;
    struct registry_question *question = &questions[(*count)++];
    *question = (struct registry_question){.host = reference.host,
                                           .repository = reference.repository,
                                           .digest = artifact->digest,
                                           .plain_http = registry->plain_http,
                                           .allow_private = registry->allow_private};
    *at = question;
    return 0;
}

/* A release that is built in this very batch is looked at too: its promotion may stand right behind it. */
static void take_builds(struct batch *batch) {
    for (size_t i = 0; i < batch->item_count; i++) {
        struct item *item = &batch->items[i];
        if (item->state != ITEM_BUILD || !item->release || item->release->artifacts) continue;
        item->release->artifacts = item->manifest.artifacts;
        item->release->artifact_count = item->manifest.artifact_count;
    }
}

int gather(struct batch *batch, struct registry *registry, int wait_ms, struct error *error) {
    if (!batch->policy) return 0;
    take_builds(batch);
    size_t artifacts = 0, count = 0;
    for (const struct release *release = batch->wanted; release; release = release->next_wanted)
        artifacts += release->artifact_count;
    if (!artifacts) return 0;
    struct registry_question *questions = ARENA_ARRAY(&batch->arena, struct registry_question, artifacts);
    if (!questions) return error_memory(error);
    for (const struct release *release = batch->wanted; release; release = release->next_wanted)
        for (size_t i = 0; i < release->artifact_count; i++)
            if (add_question(batch, &release->artifacts[i], questions, &count)) return error_memory(error);
    if (count) registry->operations->ask(registry, &batch->arena, questions, count, batch->now, wait_ms);
    return 0;
}
