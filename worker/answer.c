#include "answer.h"

#include "json.h"

enum { DECISION_MAX = 4 * 1024 * 1024 };

const char *promotion_outcome_text(enum promotion_outcome outcome) {
    static const char *const texts[] = {"", "waiting", "promoted", "rejected", "superseded", "aborted", "expired"};
    return texts[outcome];
}

static enum result_kind kind_of(enum promotion_outcome outcome) {
    static const enum result_kind kinds[] = {RESULT_NONE,
                                             RESULT_PROMOTION_WAITING,
                                             RESULT_PROMOTION_PROMOTED,
                                             RESULT_PROMOTION_REJECTED,
                                             RESULT_PROMOTION_SUPERSEDED,
                                             RESULT_PROMOTION_ABORTED,
                                             RESULT_PROMOTION_EXPIRED};
    return kinds[outcome];
}

/* ---- pieces of JSON ---- */

#define TEXT(buf, literal) buf_append((buf), SLICE(literal))

static void string(struct buf *b, const char *name, struct slice text) {
    buf_str(b, name);
    json_write_string(b, text);
}

static void at(struct buf *b, const char *name, instant when) {
    char text[TEXT_INSTANT];
    text_instant(text, when);
    buf_str(b, name);
    buf_char(b, '"');
    buf_append(b, slice_of(text, sizeof text));
    buf_char(b, '"');
}

static void digest(struct buf *b, const char *name, const struct digest *value) {
    char text[DIGEST_TEXT];
    digest_text(text, value);
    buf_str(b, name);
    buf_char(b, '"');
    buf_append(b, slice_of(text, sizeof text));
    buf_char(b, '"');
}

static void boolean(struct buf *b, const char *name, bool yes) {
    buf_str(b, name);
    buf_str(b, yes ? "true" : "false");
}

static void promotion_id(struct buf *b, const unsigned char id[STORE_KEY]) {
    char text[TEXT_BASE32_16];
    text_base32(text, id);
    TEXT(b, ",\"promotionId\":\"");
    buf_append(b, slice_of(text, sizeof text));
    buf_char(b, '"');
}

/* Opens the request; the caller closes it. */
static void request(struct buf *b, struct slice source, struct slice id, struct slice type) {
    string(b, ",\"request\":{\"source\":", source);
    string(b, ",\"id\":", id);
    string(b, ",\"type\":", type);
}

static void request_of(struct buf *b, const struct item *item) {
    request(b, item->event.source, item->event.id, item->event.type);
    buf_char(b, '}');
}

static void conditions(struct buf *b, const struct condition *list, size_t count) {
    buf_char(b, '[');
    for (size_t i = 0; i < count; i++) {
        const struct condition *c = &list[i];
        if (i) buf_char(b, ',');
        string(b, "{\"type\":", c->type);
        string(b, ",\"subject\":", c->subject);
        string(b, ",\"status\":", slice_str(condition_status_text(c->status)));
        string(b, ",\"code\":", c->code_text);
        string(b, ",\"message\":", c->message);
        at(b, ",\"since\":", c->since);
        if (c->facts.p) {
            TEXT(b, ",\"facts\":");
            buf_append(b, c->facts);
        }
        buf_char(b, '}');
    }
    buf_char(b, ']');
}

/* ---- rows ---- */

/* Adds the row; `item` (or NULL) gives the record that caused it. */
static struct answer *add(struct batch *batch, struct shard_batch *shard, const struct item *item, enum result_kind kind,
                          struct buf *decision) {
    const struct record *record = item ? item->record : NULL;
    if (decision->failed || batch->answer_count == batch->answer_room) return NULL;
    struct answer *answer = &batch->answers[batch->answer_count];
    *answer = (struct answer){.row = {.shard = shard->shard,
                                      .sequence = shard->sequence + 1,
                                      .at = batch->now,
                                      .kind = kind,
                                      .control_version = batch->control_version,
                                      .engine = ENGINE_VERSION,
                                      .input = SLICE("")}};
    struct ledger_row *row = &answer->row;
    row->decision = arena_copy(&batch->kept, buf_slice(decision));
    if (!row->decision.p) return NULL;
    if (record) {
        row->topic = record->topic;
        row->offset = record->offset;
        buf_reset(decision); /* its memory serves for the input too */
        ledger_write_input(decision, record);
        /* Only a dead letter is made of it once it is committed. */
        struct arena *arena = kind == RESULT_DEAD_LETTER ? &batch->kept : &batch->arena;
        row->input = decision->failed ? slice_of(NULL, 0) : arena_copy(arena, buf_slice(decision));
        if (!row->input.p) return NULL;
        if (item->event.traceparent.p && ledger_holds(record)) { /* otherwise nobody could recall it */
            answer->traceparent = arena_copy(&batch->kept, item->event.traceparent);
            if (!answer->traceparent.p) return NULL;
        }
    }
    row->input_digest = digest_of(row->input);
    row->decision_digest = digest_of(row->decision);
    row->hash = ledger_hash(row, &shard->head);
    shard->head = row->hash;
    shard->sequence = row->sequence;
    batch->answer_count++;
    return answer;
}

/* What the record needs beside its row. It outlives the event, so it is copied. */
static struct answer *address(struct batch *batch, struct answer *answer, struct slice project, struct slice environment,
                              const char *outcome) {
    if (!answer) return NULL;
    answer->project = arena_copy(&batch->kept, project);
    if (environment.p) answer->environment = arena_copy(&batch->kept, environment);
    answer->outcome = slice_str(outcome);
    return answer->project.p && !environment.p == !answer->environment.p ? answer : NULL;
}

/* The buffer in which the next decision is written. */
static struct buf *begin(struct batch *batch, struct slice project) {
    struct buf *b = &batch->scratch;
    buf_reset(b);
    b->maximum = DECISION_MAX;
    string(b, "{\"project\":", project);
    return b;
}

static void end(struct buf *b, instant now, bool final) {
    boolean(b, ",\"final\":", final);
    at(b, ",\"decidedAt\":", now);
    buf_char(b, '}');
}

struct answer *answer_dead_letter(struct batch *batch, const struct item *item, enum code code, struct slice message) {
    struct buf *b = &batch->scratch;
    buf_reset(b);
    b->maximum = DECISION_MAX;
    string(b, "{\"code\":", slice_str(code_text(code)));
    string(b, ",\"message\":", message);
    string(b, ",\"topic\":", slice_str(batch->topics[item->record->topic]));
    buf_print(b, ",\"partition\":%u,\"offset\":%llu", item->record->shard, (unsigned long long)item->record->offset);
    at(b, ",\"at\":", batch->now);
    buf_char(b, '}');
    return add(batch, item->shard, item, RESULT_DEAD_LETTER, b);
}

struct answer *answer_refused(struct batch *batch, const struct item *item, enum code code, struct slice message,
                              struct slice path) {
    struct buf *b = begin(batch, item->event.subject);
    string(b, ",\"code\":", slice_str(code_text(code)));
    string(b, ",\"message\":", message);
    if (path.p) string(b, ",\"path\":", path);
    request_of(b, item);
    end(b, batch->now, true);
    return address(batch, add(batch, item->shard, item, RESULT_EVENT_REFUSED, b), item->event.subject, (struct slice){0}, NULL);
}

struct answer *answer_duplicate(struct batch *batch, const struct item *item, const struct seen *original) {
    const struct ledger_row *last = original->last;
    struct json_document document = {0}; /* a row that was archived has no decision, and is known by its number only */
    if (last->decision.p && json_read(&batch->arena, last->decision, &json_contract_limits, &document, NULL)) return NULL;
    const struct json *decision = document.root;
    struct slice outcome = json_get_text(decision, "outcome"), code = json_get_text(decision, "code");
    struct buf *b = begin(batch, item->event.subject);
    if (item->state == ITEM_REQUEST) promotion_id(b, item->key);
    buf_print(b, ",\"original\":{\"shard\":%u,\"sequence\":%llu", last->shard, (unsigned long long)last->sequence);
    if (decision) string(b, ",\"type\":", slice_str(result_type(last->kind)));
    if (outcome.p) string(b, ",\"outcome\":", outcome);
    if (code.p) string(b, ",\"code\":", code);
    boolean(b, ",\"final\":", !decision || result_is_final(last->kind));
    buf_char(b, '}');
    request_of(b, item);
    end(b, batch->now, true);
    return address(batch, add(batch, item->shard, item, RESULT_EVENT_DUPLICATE, b), item->event.subject, (struct slice){0}, NULL);
}

struct answer *answer_release(struct batch *batch, const struct item *item, enum code code, struct slice message,
                              const struct digest *manifest_digest) {
    bool verified = code == CODE_RELEASE_OK || code == CODE_ALREADY_BUILT;
    const struct manifest *manifest = &item->manifest;
    struct buf *b = begin(batch, item->event.subject);
    string(b, ",\"release\":{\"gitSha\":", manifest->git_sha);
    digest(b, ",\"manifestDigest\":", manifest_digest);
    string(b, "},\"outcome\":", slice_str(verified ? "verified" : "rejected"));
    string(b, ",\"code\":", slice_str(code_text(code)));
    string(b, ",\"message\":", message);
    if (verified) {
        TEXT(b, ",\"artifacts\":");
        manifest_write_artifacts(b, manifest->artifacts, manifest->artifact_count);
    }
    request_of(b, item);
    end(b, batch->now, true);
    enum result_kind kind = verified ? RESULT_RELEASE_VERIFIED : RESULT_RELEASE_REJECTED;
    return address(batch, add(batch, item->shard, item, kind, b), item->event.subject, (struct slice){0},
                   verified ? "verified" : "rejected");
}

struct answer *answer_promotion(struct batch *batch, const struct promotion_answer *p) {
    const struct promotion_row *row = p->row;
    const char *outcome = promotion_outcome_text(row->outcome);
    bool final = p->evaluated || row->outcome != PROMOTION_WAITING;
    struct buf *b = begin(batch, row->project);
    string(b, ",\"release\":{\"gitSha\":", row->git_sha);
    if (p->manifest_digest) digest(b, ",\"manifestDigest\":", p->manifest_digest);
    string(b, "},\"environment\":", row->environment);
    promotion_id(b, row->id);
    string(b, ",\"outcome\":", slice_str(p->evaluated ? "evaluated" : outcome));
    if (p->evaluated) string(b, ",\"wouldBe\":", slice_str(outcome));
    if (p->code != CODE_NONE) string(b, ",\"code\":", slice_str(code_text(p->code)));
    boolean(b, ",\"final\":", final);
    buf_print(b, ",\"revision\":%u", row->revision);
    request(b, row->source, row->event_id, SLICE("dev.sluice.promotion.requested.v1"));
    string(b, ",\"requester\":", row->requester);
    TEXT(b, ",\"verified\":false},\"conditions\":");
    conditions(b, p->conditions, p->condition_count);
    if (batch->policy) {
        buf_print(b, ",\"policy\":{\"version\":%llu", (unsigned long long)batch->policy_version);
        digest(b, ",\"digest\":", &batch->policy_digest);
        buf_char(b, '}');
    }
    at(b, ",\"decidedAt\":", batch->now);
    at(b, ",\"expiresAt\":", row->expires_at);
    buf_char(b, '}');
    enum result_kind kind = p->evaluated ? RESULT_PROMOTION_EVALUATED : kind_of(row->outcome);
    return address(batch, add(batch, p->shard, p->item, kind, b), row->project, row->environment,
                   p->evaluated ? "evaluated" : outcome);
}

struct slice answer_conditions(struct batch *batch, const struct condition *list, size_t count) {
    struct buf *b = &batch->scratch;
    buf_reset(b);
    b->maximum = DECISION_MAX;
    conditions(b, list, count);
    return b->failed ? slice_of(NULL, 0) : arena_copy(&batch->arena, buf_slice(b));
}
