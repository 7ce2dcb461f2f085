/* load: one question to the store for everything that the batch's items need. */
#include "batch.h"

static int room(struct batch *batch) {
    size_t n = batch->item_count, gates = 0;
    for (size_t i = 0; i < n; i++)
        if (batch->items[i].environment_policy) gates += batch->items[i].environment_policy->after_count;
    struct store_facts *facts = &batch->facts;
    *facts = (struct store_facts){0};
    facts->seen = ARENA_ARRAY(&batch->arena, struct store_seen, n);
    facts->releases = ARENA_ARRAY(&batch->arena, struct store_release, n);
    facts->environments = ARENA_ARRAY(&batch->arena, struct store_environment, n);
    facts->waiting = ARENA_ARRAY(&batch->arena, struct store_waiting, n);
    facts->promoted = ARENA_ARRAY(&batch->arena, struct store_promoted, gates);
    struct map *maps[] = {&batch->seen, &batch->releases, &batch->environments,
                          &batch->open, &batch->promoted, &batch->questions};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) map_init(maps[i], &batch->arena);
    batch->wanted = NULL;
    return facts->seen && facts->releases && facts->environments && facts->waiting && facts->promoted ? 0 : -1;
}

static int want_seen(struct batch *batch, struct item *item) {
    void **at = map_at(&batch->seen, slice_of(item->key, STORE_KEY));
    if (!at) return -1;
    if (!*at) {
        struct seen *seen = ARENA_NEW(&batch->arena, struct seen);
        if (!seen) return -1;
        seen->stored = &batch->facts.seen[batch->facts.seen_count++];
        seen->stored->shard = item->shard->shard;
        memcpy(seen->stored->key, item->key, STORE_KEY);
        *at = seen;
    }
    item->seen = *at;
    return 0;
}

static int want_release(struct batch *batch, struct item *item, struct slice project, struct slice git_sha) {
    struct slice key = batch_key(batch, project, git_sha, SLICE(""));
    void **at = key.p ? map_at(&batch->releases, key) : NULL;
    if (!at) return -1;
    if (!*at) {
        struct release *release = ARENA_NEW(&batch->arena, struct release);
        if (!release) return -1;
        release->project = project;
        release->git_sha = git_sha;
        release->stored = &batch->facts.releases[batch->facts.release_count++];
        release->stored->project = project;
        release->stored->git_sha = git_sha;
        *at = release;
    }
    item->release = *at;
    if (item->state == ITEM_BUILD || item->release->wanted) return 0;
    item->release->wanted = true;
    item->release->next_wanted = batch->wanted;
    batch->wanted = item->release;
    return 0;
}

static int want_environment(struct batch *batch, struct item *item, struct slice project, struct slice name) {
    struct slice key = batch_key(batch, project, name, SLICE(""));
    void **at = key.p ? map_at(&batch->environments, key) : NULL;
    if (!at) return -1;
    if (!*at) {
        struct environment *environment = ARENA_NEW(&batch->arena, struct environment);
        if (!environment) return -1;
        environment->project = project;
        environment->name = name;
        environment->stored = &batch->facts.environments[batch->facts.environment_count++];
        environment->stored->project = project;
        environment->stored->environment = name;
        *at = environment;
    }
    item->environment = *at;
    return 0;
}

/* The open promotion of the request's (project, environment, release); a due one is that itself. */
static int want_open(struct batch *batch, struct item *item, struct slice project, struct slice environment,
                     struct slice git_sha) {
    struct slice key = batch_key(batch, project, environment, git_sha);
    void **at = key.p ? map_at(&batch->open, key) : NULL;
    if (!at) return -1;
    if (!*at) {
        struct open_promotion *open = ARENA_NEW(&batch->arena, struct open_promotion);
        if (!open) return -1;
        if (item->state == ITEM_DUE) {
            open->promotion = item->promotion;
        } else {
            open->stored = &batch->facts.waiting[batch->facts.waiting_count++];
            *open->stored = (struct store_waiting){.project = project, .environment = environment, .git_sha = git_sha};
        }
        *at = open;
    }
    item->open = *at;
    return 0;
}

static int want_promoted(struct batch *batch, const struct item *item, struct slice project, struct slice git_sha) {
    const struct policy_environment *policy = item->environment_policy;
    for (size_t i = 0; policy && i < policy->after_count; i++) {
        struct slice key = batch_key(batch, project, git_sha, policy->after[i]);
        void **at = key.p ? map_at(&batch->promoted, key) : NULL;
        if (!at) return -1;
        if (*at) continue;
        struct promoted *promoted = ARENA_NEW(&batch->arena, struct promoted);
        if (!promoted) return -1;
        promoted->stored = &batch->facts.promoted[batch->facts.promoted_count++];
        *promoted->stored = (struct store_promoted){.project = project, .git_sha = git_sha, .environment = policy->after[i]};
        *at = promoted;
    }
    return 0;
}

static int want(struct batch *batch, struct item *item) {
    struct slice project = item->event.subject;
    switch (item->state) {
    case ITEM_DEAD:
    case ITEM_REFUSED:
        return 0;
    case ITEM_BUILD:
        return want_seen(batch, item) || want_release(batch, item, project, item->manifest.git_sha) ? -1 : 0;
    case ITEM_REQUEST: {
        const struct request *request = &item->request;
        return want_seen(batch, item) || want_release(batch, item, project, request->git_sha) ||
                       want_environment(batch, item, project, request->environment) ||
                       want_open(batch, item, project, request->environment, request->git_sha) ||
                       want_promoted(batch, item, project, request->git_sha)
                   ? -1
                   : 0;
    }
    case ITEM_DUE: {
        const struct promotion_row *row = &item->promotion->row;
        return want_release(batch, item, row->project, row->git_sha) ||
                       want_environment(batch, item, row->project, row->environment) ||
                       want_open(batch, item, row->project, row->environment, row->git_sha) ||
                       want_promoted(batch, item, row->project, row->git_sha)
                   ? -1
                   : 0;
    }
    }
    return -1;
}

static void take_policy(const struct batch *batch, struct item *item) {
    struct slice project = item->event.subject, environment = item->request.environment;
    if (item->state == ITEM_DUE) {
        project = item->promotion->row.project;
        environment = item->promotion->row.environment;
    }
    item->project_policy = batch->policy && project.p ? policy_project(batch->policy, project) : NULL;
    item->environment_policy =
        item->project_policy && environment.p ? policy_environment(item->project_policy, environment) : NULL;
}

static int take_facts(struct batch *batch, struct item *item) {
    if (item->seen && item->seen->stored->ret_found && !item->seen->claimed) {
        item->seen->claimed = true;
        item->seen->content = item->seen->stored->ret_content;
        item->seen->last = &item->seen->stored->ret_last;
    }
    struct release *release = item->release;
    if (release && release->stored->ret_found && !release->verified) {
        release->verified = true;
        release->attestation_enabled = release->stored->ret_attestation_enabled;
        release->manifest_digest = release->stored->ret_manifest_digest;
        release->artifacts = release->stored->ret_artifacts;
        release->artifact_count = release->stored->ret_artifact_count;
    }
    struct environment *environment = item->environment;
    if (environment && environment->stored->ret_found && !environment->known) {
        environment->known = true;
        environment->git_sha = environment->stored->ret_git_sha;
        memcpy(environment->promotion, environment->stored->ret_promotion, STORE_KEY);
    }
    struct open_promotion *open = item->open;
    if (open && open->stored && open->stored->ret_row && !open->promotion) {
        open->promotion = ARENA_NEW(&batch->arena, struct promotion);
        if (!open->promotion) return -1;
        open->promotion->row = *open->stored->ret_row;
    }
    return 0;
}

int load(struct batch *batch, struct store *store, struct error *error) {
    for (size_t i = 0; i < batch->item_count; i++) take_policy(batch, &batch->items[i]);
    if (room(batch)) return error_memory(error);
    for (size_t i = 0; i < batch->item_count; i++)
        if (want(batch, &batch->items[i])) return error_memory(error);
    if (store->operations->load(store, &batch->arena, &batch->facts, error)) return -1;
    batch->now = batch->facts.ret_now;
    for (size_t i = 0; i < batch->shard_count; i++)
        if (batch->shards[i].now_at > batch->now) batch->now = batch->shards[i].now_at;
    for (size_t i = 0; i < batch->item_count; i++)
        if (take_facts(batch, &batch->items[i])) return error_memory(error);
    return 0;
}
