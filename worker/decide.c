/* decide: the items in order, each from what is known to its answer, and what it changes. */
#include "answer.h"
#include "batch.h"
#include "gates.h"
#include "gather.h"

#include <assert.h>

static const instant SECOND = 1000000, DAY = 86400 * (instant)1000000;
enum { WINDOW_DAYS = 30, AHEAD_SECONDS = 300, WAITING_DAYS = 7 };

/* An item has one answer, and a request one more when it supersedes an open promotion: one that was open before, or one of an
 * earlier request of this batch. */
static size_t most_answers(struct batch *batch) {
    size_t count = batch->item_count;
    for (size_t i = 0; i < batch->item_count; i++) {
        struct item *item = &batch->items[i];
        if (item->state != ITEM_REQUEST) continue;
        if (item->open->promotion || item->open->asked) count++;
        item->open->asked = true;
    }
    return count;
}

static int room(struct batch *batch) {
    size_t n = batch->item_count;
    batch->answer_room = most_answers(batch);
    batch->answers = ARENA_ARRAY(&batch->kept, struct answer, batch->answer_room);
    batch->claims = ARENA_ARRAY(&batch->arena, struct commit_seen, n);
    batch->new_releases = ARENA_ARRAY(&batch->arena, struct commit_release, n);
    batch->wakes = ARENA_ARRAY(&batch->arena, struct commit_wake, n);
    batch->answer_count = batch->claim_count = batch->new_release_count = batch->wake_count = 0;
    batch->promotions = NULL;
    batch->last_promotion = &batch->promotions;
    batch->promotion_count = batch->changed_environment_count = 0;
    batch->changed_environments = NULL;
    return batch->answers && batch->claims && batch->new_releases && batch->wakes ? 0 : -1;
}

/* ---- changes ---- */

static void wake(struct batch *batch, struct slice project, struct slice git_sha) {
    batch->wakes[batch->wake_count++] = (struct commit_wake){.project = project, .git_sha = git_sha, .at = batch->now};
}

static void write_promotion(struct batch *batch, struct promotion *promotion) {
    if (promotion->changed) return;
    promotion->changed = true;
    *batch->last_promotion = promotion;
    batch->last_promotion = &promotion->next;
    batch->promotion_count++;
}

/* The event's id is used from here on; `answer` is the first that it got. */
static void claim(struct batch *batch, struct item *item, const struct answer *answer) {
    struct commit_seen *claimed = &batch->claims[batch->claim_count++];
    *claimed = (struct commit_seen){.shard = item->shard->shard, .content = item->content, .sequence = answer->row.sequence};
    memcpy(claimed->key, item->key, STORE_KEY);
    item->seen->claimed = true;
    item->seen->content = item->content;
    item->seen->last = &answer->row;
}

/* A later answer of a promotion whose duplicate may stand in this very batch. */
static void tell_seen(struct batch *batch, const struct promotion *promotion, const struct answer *answer) {
    struct seen *seen = map_get(&batch->seen, slice_of(promotion->row.id, STORE_KEY));
    if (seen && seen->claimed) seen->last = &answer->row;
}

static bool is_gate_of_another(const struct policy_project *project, struct slice environment) {
    assert(project); /* nothing is promoted without one */
    for (size_t i = 0; i < project->environment_count; i++)
        for (size_t k = 0; k < project->environments[i].after_count; k++)
            if (slice_equal(project->environments[i].after[k], environment)) return true;
    return false;
}

/* The release is now the environment's current one. */
static int enter(struct batch *batch, struct item *item, const struct promotion *promotion) {
    const struct promotion_row *row = &promotion->row;
    struct environment *environment = item->environment;
    environment->known = true;
    environment->git_sha = row->git_sha;
    memcpy(environment->promotion, row->id, STORE_KEY);
    environment->since = batch->now;
    environment->sequence = row->decided_sequence;
    if (!environment->changed) {
        environment->changed = true;
        environment->next_changed = batch->changed_environments;
        batch->changed_environments = environment;
        batch->changed_environment_count++;
    }
    struct slice key = batch_key(batch, row->project, row->git_sha, row->environment);
    if (!key.p) return -1;
    struct promoted *promoted = map_get(&batch->promoted, key);
    if (promoted) promoted->yes = true;
    if (is_gate_of_another(item->project_policy, row->environment)) wake(batch, row->project, row->git_sha);
    return 0;
}

/* ---- facts ---- */

static int artifact_facts(struct batch *batch, const struct release *release, struct facts *facts) {
    facts->artifact_count = release->artifact_count;
    facts->artifacts = ARENA_ARRAY(&batch->arena, struct artifact_fact, release->artifact_count);
    if (!facts->artifacts) return -1;
    for (size_t i = 0; i < release->artifact_count; i++) {
        const struct artifact *artifact = &release->artifacts[i];
        struct artifact_fact *fact = &facts->artifacts[i];
        struct image_reference reference;
        fact->artifact = artifact;
        fact->lookup = LOOKUP_NO_URI;
        if (!artifact->uri.p || !image_reference_parse(artifact->uri, &reference)) continue;
        fact->host = reference.host;
        fact->lookup = LOOKUP_FORBIDDEN;
        if (!batch->policy || !policy_registry(batch->policy, reference.host)) continue;
        fact->lookup = LOOKUP_ASKED;
        struct slice key = gather_key(batch, &reference, artifact->digest);
        if (!key.p) return -1;
        fact->question = map_get(&batch->questions, key);
    }
    return 0;
}

static int after_facts(struct batch *batch, const struct item *item, struct facts *facts) {
    const struct policy_environment *policy = item->environment_policy;
    size_t count = policy ? policy->after_count : 0;
    bool *yes = ARENA_ARRAY(&batch->arena, bool, count);
    if (!yes) return -1;
    for (size_t i = 0; i < count; i++) {
        struct slice key = batch_key(batch, facts->project, facts->git_sha, policy->after[i]);
        if (!key.p) return -1;
        const struct promoted *promoted = map_get(&batch->promoted, key);
        yes[i] = promoted && (promoted->yes || promoted->stored->ret_found);
    }
    facts->promoted = yes;
    return 0;
}

static int facts_of(struct batch *batch, const struct item *item, const struct promotion_row *row, struct facts *ret_facts) {
    const struct release *release = item->release;
    const struct environment *environment = item->environment;
    struct facts facts = {.project = row->project,
                          .environment = row->environment,
                          .git_sha = row->git_sha,
                          .has_policy = batch->policy != NULL,
                          .project_policy = item->project_policy,
                          .environment_policy = item->environment_policy,
                          .release_verified = release->verified,
                          .attestation_enabled = release->attestation_enabled,
                          .is_current = environment->known && slice_equal(environment->git_sha, row->git_sha),
                          .expires_at = row->expires_at,
                          .now = batch->now};
    if (release->verified && artifact_facts(batch, release, &facts)) return -1;
    if (after_facts(batch, item, &facts)) return -1;
    *ret_facts = facts;
    return 0;
}

/* ---- promotions ---- */

static instant limit_of(const struct batch *batch, const struct item *item) {
    instant longest = WAITING_DAYS * DAY;
    if (item->project_policy && item->project_policy->waiting_limit < longest) longest = item->project_policy->waiting_limit;
    instant limit = batch->now + longest;
    if (item->request.expires_at && item->request.expires_at < limit) limit = item->request.expires_at;
    return limit;
}

/* Takes the verdict over into the row, and answers. */
static const struct answer *pronounce(struct batch *batch, struct item *item, struct promotion *promotion,
                                      const struct verdict *verdict) {
    struct promotion_row *row = &promotion->row;
    bool evaluated = item->state == ITEM_REQUEST && item->request.dry_run;
    row->outcome = verdict->outcome;
    row->wake_at = verdict->wake_at;
    row->revision++;
    struct promotion_answer said = {.item = item,
                                    .shard = item->shard,
                                    .row = row,
                                    .evaluated = evaluated,
                                    .code = verdict->code,
                                    .manifest_digest = item->release->verified ? &item->release->manifest_digest : NULL,
                                    .conditions = verdict->conditions,
                                    .condition_count = verdict->condition_count};
    const struct answer *answer = answer_promotion(batch, &said);
    if (!answer) return NULL;
    row->answered_sequence = answer->row.sequence;
    if (!row->opened_sequence) row->opened_sequence = row->answered_sequence;
    row->conditions = (struct slice){0};
    if (row->outcome == PROMOTION_WAITING) {
        row->conditions = answer_conditions(batch, verdict->conditions, verdict->condition_count);
        if (!row->conditions.p) return NULL;
    } else {
        row->decided_sequence = row->answered_sequence;
    }
    bool enters = row->outcome == PROMOTION_PROMOTED && verdict->code != CODE_ALREADY_PROMOTED;
    if (enters && !evaluated && enter(batch, item, promotion)) return NULL;
    return answer;
}

/* A newer request for the same (project, environment, release) takes the place of the open one. */
static int supersede(struct batch *batch, struct item *item) {
    struct promotion *old = item->open->promotion;
    struct condition *conditions;
    size_t count;
    if (gates_read(&batch->arena, old->row.conditions, &conditions, &count)) return -1;
    old->row.outcome = PROMOTION_SUPERSEDED;
    old->row.revision++;
    old->row.wake_at = 0;
    old->row.conditions = (struct slice){0};
    struct promotion_answer said = {.shard = item->shard,
                                    .row = &old->row,
                                    .manifest_digest = item->release->verified ? &item->release->manifest_digest : NULL,
                                    .conditions = conditions,
                                    .condition_count = count};
    const struct answer *answer = answer_promotion(batch, &said);
    if (!answer) return -1;
    old->row.answered_sequence = old->row.decided_sequence = answer->row.sequence;
    item->open->promotion = NULL;
    write_promotion(batch, old);
    tell_seen(batch, old, answer);
    return 0;
}

static int decide_request(struct batch *batch, struct item *item) {
    const struct request *request = &item->request;
    if (item->open->promotion && !request->dry_run && supersede(batch, item)) return -1;
    struct promotion *promotion = ARENA_NEW(&batch->arena, struct promotion);
    if (!promotion) return -1;
    promotion->is_new = true;
    promotion->row = (struct promotion_row){.shard = item->shard->shard,
                                            .project = item->event.subject,
                                            .git_sha = request->git_sha,
                                            .environment = request->environment,
                                            .requester = request->requester,
                                            .source = item->event.source,
                                            .event_id = item->event.id,
                                            .opened_at = batch->now,
                                            .expires_at = limit_of(batch, item)};
    memcpy(promotion->row.id, item->key, STORE_KEY);
    struct facts facts;
    struct verdict verdict;
    if (facts_of(batch, item, &promotion->row, &facts) || gates_decide(&batch->arena, &facts, NULL, 0, &verdict)) return -1;
    const struct answer *answer = pronounce(batch, item, promotion, &verdict);
    if (!answer) return -1;
    claim(batch, item, answer);
    if (request->dry_run) return 0;
    write_promotion(batch, promotion);
    if (promotion->row.outcome == PROMOTION_WAITING) item->open->promotion = promotion;
    return 0;
}

/* A look at a promotion that waits. One that finds nothing new only moves wake_at. */
static int decide_due(struct batch *batch, struct item *item) {
    struct promotion *promotion = item->promotion;
    if (item->open->promotion != promotion) return 0; /* superseded earlier in this batch */
    struct condition *previous;
    size_t previous_count;
    struct facts facts;
    struct verdict verdict;
    if (gates_read(&batch->arena, promotion->row.conditions, &previous, &previous_count) ||
        facts_of(batch, item, &promotion->row, &facts) || gates_decide(&batch->arena, &facts, previous, previous_count, &verdict))
        return -1;
    write_promotion(batch, promotion);
    if (verdict.outcome == PROMOTION_WAITING &&
        !gates_differ(previous, previous_count, verdict.conditions, verdict.condition_count)) {
        promotion->row.wake_at = verdict.wake_at;
        return 0;
    }
    const struct answer *answer = pronounce(batch, item, promotion, &verdict);
    if (!answer) return -1;
    if (promotion->row.outcome != PROMOTION_WAITING) item->open->promotion = NULL;
    tell_seen(batch, promotion, answer);
    return 0;
}

/* ---- builds ---- */

static bool is_same_artifact(const struct artifact *a, const struct artifact *b) {
    return slice_equal(a->name, b->name) && slice_equal(a->type, b->type) && slice_equal(a->digest, b->digest) &&
           slice_equal(a->uri, b->uri);
}

/* The same artifacts, in whatever order; names are unique on both sides. */
static bool has_same_artifacts(const struct release *release, const struct manifest *manifest) {
    if (release->artifact_count != manifest->artifact_count) return false;
    for (size_t i = 0; i < manifest->artifact_count; i++) {
        bool found = false;
        for (size_t k = 0; k < release->artifact_count && !found; k++)
            found = is_same_artifact(&manifest->artifacts[i], &release->artifacts[k]);
        if (!found) return false;
    }
    return true;
}

static enum code judge_build(const struct batch *batch, const struct item *item, struct slice *ret_message) {
    const struct manifest *manifest = &item->manifest;
    if (!batch->policy) {
        *ret_message = SLICE("there is no policy yet; apply one with sluice policy apply, then publish the build again");
        return CODE_NOT_ALLOWED;
    }
    if (!item->project_policy) {
        *ret_message = SLICE("no project of the policy matches; add one with sluice policy apply, then publish the build again");
        return CODE_NOT_ALLOWED;
    }
    if (!manifest->attestation_enabled && !item->project_policy->unsigned_allowed) {
        *ret_message = SLICE("the release is unsigned; the policy wants signatures (unsigned: refuse)");
        return CODE_NOT_SIGNED;
    }
    if (!item->release->verified) {
        *ret_message = SLICE("the manifest is whole and the policy allows the release");
        return CODE_RELEASE_OK;
    }
    if (has_same_artifacts(item->release, manifest)) {
        *ret_message = SLICE("a release of this SHA with equal artifacts was verified before; its manifest stands");
        return CODE_ALREADY_BUILT;
    }
    *ret_message = SLICE("a release of this SHA with other artifacts was verified before; a SHA has one manifest for ever");
    return CODE_MANIFEST_CONFLICT;
}

static void take_release(struct batch *batch, const struct item *item, uint64_t sequence) {
    struct release *release = item->release;
    const struct manifest *manifest = &item->manifest;
    release->verified = true;
    release->attestation_enabled = manifest->attestation_enabled;
    release->manifest_digest = manifest->digest;
    release->artifacts = manifest->artifacts;
    release->artifact_count = manifest->artifact_count;
    batch->new_releases[batch->new_release_count++] =
        (struct commit_release){.shard = item->shard->shard,
                                .project = item->event.subject,
                                .git_sha = manifest->git_sha,
                                .manifest_digest = manifest->digest,
                                .manifest = manifest->text,
                                .attestation_enabled = manifest->attestation_enabled,
                                .artifacts = manifest->artifacts,
                                .artifact_count = manifest->artifact_count,
                                .sequence = sequence,
                                .at = batch->now};
    wake(batch, item->event.subject, manifest->git_sha);
}

static int decide_build(struct batch *batch, struct item *item) {
    struct slice message;
    enum code code = judge_build(batch, item, &message);
    const struct digest *digest = code == CODE_ALREADY_BUILT ? &item->release->manifest_digest : &item->manifest.digest;
    const struct answer *answer = answer_release(batch, item, code, message, digest);
    if (!answer) return -1;
    claim(batch, item, answer);
    if (code == CODE_RELEASE_OK) take_release(batch, item, answer->row.sequence);
    return 0;
}

/* ---- the way in ---- */

/* What can only be told at the batch's `now` and beside what was seen before. CODE_NONE: the event is accepted. */
static enum code admit(const struct batch *batch, const struct item *item, const char **ret_message) {
    if (item->time < batch->now - WINDOW_DAYS * DAY) {
        *ret_message = "the event's time is more than 30 days ago; send it again with the time of now and another id";
        return CODE_STALE;
    }
    if (item->time > batch->now + AHEAD_SECONDS * SECOND) {
        *ret_message = "the event's time is more than five minutes ahead; set the sender's clock";
        return CODE_IN_THE_FUTURE;
    }
    if (item->seen->claimed && !digest_equal(&item->seen->content, &item->content)) {
        *ret_message = "this id was used for an event with other content; give each event an id of its own";
        return CODE_EVENT_ID_CONFLICT;
    }
    return CODE_NONE;
}

static int decide_event(struct batch *batch, struct item *item) {
    const char *message;
    enum code code = admit(batch, item, &message);
    if (code != CODE_NONE) return answer_refused(batch, item, code, slice_str(message), (struct slice){0}) ? 0 : -1;
    if (item->seen->claimed) return answer_duplicate(batch, item, item->seen) ? 0 : -1;
    return item->state == ITEM_BUILD ? decide_build(batch, item) : decide_request(batch, item);
}

static int decide_item(struct batch *batch, struct item *item) {
    if (item->record) item->shard->position[item->record->topic] = item->record->offset + 1;
    switch (item->state) {
    case ITEM_DEAD:
        return answer_dead_letter(batch, item, item->code, item->message) ? 0 : -1;
    case ITEM_REFUSED:
        return answer_refused(batch, item, item->code, item->message, item->path) ? 0 : -1;
    case ITEM_DUE:
        return decide_due(batch, item);
    case ITEM_BUILD:
    case ITEM_REQUEST:
        return decide_event(batch, item);
    }
    return -1;
}

int decide(struct batch *batch, struct error *error) {
    if (room(batch)) return error_memory(error);
    for (size_t i = 0; i < batch->item_count; i++)
        if (decide_item(batch, &batch->items[i])) return error_memory(error);
    return 0;
}
