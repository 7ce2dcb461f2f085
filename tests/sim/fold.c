/* The tables are what the ledger says. */
#include "model_state.h"

#include <string.h>

static const instant DAY = (instant)86400 * SECOND;

static void differ(const char *what, uint32_t shard, uint64_t sequence) {
    world_violate("fold", (int)shard, sequence, -1, "the table of %s is not what the ledger says", what);
}

static const struct promotion_row *stored_promotion(const struct m_promotion *p) {
    for (size_t i = 0; i < db.promotion_count; i++)
        if (db.promotions[i].shard == p->shard && db.promotions[i].opened_sequence == p->opened) return &db.promotions[i];
    return NULL;
}

/* What came with the event, and the conditions that were answered last, while it waits. */
static bool says_the_same(const struct promotion_row *row, const struct m_promotion *p) {
    struct arena arena;
    const struct json *conditions;
    bool same = slice_equal(row->requester, keep_print("user:%d", p->content)) && slice_is(row->source, "/ci") &&
                slice_equal(row->event_id, keep_print("e%d", p->identity)) && row->opened_at == p->opened_at;
    if (p->outcome != PROMOTION_WAITING) return same && !row->conditions.p && !row->wake_at;
    arena_init(&arena, 1024 * 1024);
    same &= row->wake_at && row->wake_at <= row->expires_at &&
            !json_read_strict(&arena, row->conditions, NULL, &conditions, NULL) &&
            slice_equal(conditions_read(conditions), p->conditions);
    arena_release(&arena);
    return same;
}

static void compare_promotions(void) {
    if (model.promotion_count != db.promotion_count) differ("promotions", 0, 0);
    for (size_t i = 0; i < model.promotion_count; i++) {
        const struct m_promotion *p = &model.promotions[i];
        const struct promotion_row *row = stored_promotion(p);
        bool same = row && row->outcome == p->outcome && row->revision == p->revision && row->answered_sequence == p->answered &&
                    row->decided_sequence == p->decided && row->expires_at == p->expires_at &&
                    memcmp(row->id, p->id, STORE_KEY) == 0 && slice_is(row->project, project_name(p->project)) &&
                    slice_is(row->environment, environment_name(p->environment)) &&
                    release_of(p->project, row->git_sha) == p->release && says_the_same(row, p);
        if (!same) differ("promotions", p->shard, p->opened);
    }
}

static void compare_environments(void) {
    size_t count = 0;
    for (int project = 0; project < PROJECTS; project++)
        for (int environment = 0; environment <= ENVIRONMENTS; environment++) {
            const struct m_environment *m = &model.environments[project][environment];
            if (!m->known) continue;
            count++;
            const struct commit_environment *row =
                db_environment(slice_str(project_name(project)), slice_str(environment_name(environment)));
            if (!row || release_of(project, row->git_sha) != m->release || row->sequence != m->sequence ||
                row->since != m->since || memcmp(row->promotion, m->promotion, STORE_KEY) != 0)
                differ("environments", text_murmur2(slice_str(project_name(project))) % world.shard_count, m->sequence);
        }
    if (count != db.environment_count) differ("environments", 0, 0);
}

static bool has_uri(struct slice uri, const struct artifact_facts *facts, int project) {
    if (facts->host < 0) return !uri.p;
    return slice_equal(uri, keep_print("%s/%s", host_name(facts->host), project_name(project)));
}

/* The manifest byte for byte, its digest, and its artifacts in its order. */
static bool holds_build(const struct commit_release *row, int project, int release, int variant) {
    const struct release_facts *facts = release_facts(project, release, variant);
    struct slice manifest = workload_manifest(project, release, variant);
    struct digest digest = digest_of(manifest);
    bool same = slice_equal(row->manifest, manifest) && digest_equal(&row->manifest_digest, &digest) &&
                row->artifact_count == facts->artifact_count;
    for (size_t i = 0; same && i < facts->artifact_count; i++) {
        const struct artifact *artifact = &row->artifacts[i];
        same = slice_is(artifact->name, facts->artifacts[i].name) && slice_is(artifact->type, facts->artifacts[i].type) &&
               slice_equal(artifact->digest, facts->artifacts[i].digest) && has_uri(artifact->uri, &facts->artifacts[i], project);
    }
    return same;
}

static void compare_releases(void) {
    size_t releases = 0;
    for (int project = 0; project < PROJECTS; project++)
        for (int release = 0; release < RELEASES; release++) {
            const struct m_release *m = &model.releases[project][release];
            if (!m->verified) continue;
            releases++;
            const struct db_release *row =
                db_release(slice_str(project_name(project)), release_facts(project, release, 0)->git_sha);
            if (!row || row->row.sequence != m->sequence || row->row.at != m->at ||
                row->row.attestation_enabled != (m->variant == 3) || !holds_build(&row->row, project, release, m->variant))
                differ("releases", text_murmur2(slice_str(project_name(project))) % world.shard_count, m->sequence);
        }
    if (releases != db.release_count) differ("releases", 0, 0);
}

static const struct commit_seen *find_seen(const struct event *e) {
    for (size_t i = 0; i < db.seen_count; i++)
        if (memcmp(db.seen[i].row.key, e->key, STORE_KEY) == 0) return &db.seen[i].row;
    return NULL;
}

/* An id may only be forgotten when no event that could have it is accepted any more. */
static void compare_seen(void) {
    size_t count = 0;
    for (size_t i = 0; i < event_count; i++) {
        const struct m_claim *claim = &model.claims[i];
        if (!claim->claimed) continue;
        const struct commit_seen *row = find_seen(&events[i]);
        if (row ? row->sequence != claim->sequence : claim->at > world_store_now() - 30 * DAY)
            differ("used ids", events[i].shard, claim->sequence);
        count += row != NULL;
    }
    if (count != db.seen_count) differ("used ids", 0, 0);
}

void model_compare(void) {
    compare_promotions();
    compare_environments();
    compare_releases();
    compare_seen();
}
