/* decode: from bytes to valid events. What is refused here changes nothing and claims no id. */
#include "decode.h"

#include "schema.h"

#include <stdlib.h>

extern const unsigned char embedded_build_complete_v1_schema_json[], embedded_promotion_requested_v1_schema_json[];
extern const size_t embedded_build_complete_v1_schema_json_size, embedded_promotion_requested_v1_schema_json_size;

enum { REASON_MAX = 1024 };

struct decoder {
    struct schema *build, *request;
};

struct decoder *decoder_new(struct error *error) {
    struct decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder) {
        error_memory(error);
        return NULL;
    }
    struct slice build = slice_of(embedded_build_complete_v1_schema_json, embedded_build_complete_v1_schema_json_size);
    struct slice request =
        slice_of(embedded_promotion_requested_v1_schema_json, embedded_promotion_requested_v1_schema_json_size);
    if (schema_compile(build, NULL, &decoder->build, error) || schema_compile(request, NULL, &decoder->request, error)) {
        decoder_free(decoder);
        return NULL;
    }
    return decoder;
}

void decoder_free(struct decoder *decoder) {
    if (!decoder) return;
    schema_free(decoder->build);
    schema_free(decoder->request);
    free(decoder);
}

static void refuse(struct item *item, enum code code, struct slice message, struct slice path) {
    item->state = ITEM_REFUSED;
    item->code = code;
    item->message = message;
    item->path = path;
}

/* Message and path were made for it: without one of them there is no memory, and no answer either. */
static void refuse_at(struct item *item, enum code code, struct slice message, struct slice path) {
    refuse(item, code, path.p ? message : (struct slice){0}, path);
}

static void refuse_plainly(struct item *item, enum code code, const char *message) {
    refuse(item, code, slice_str(message), (struct slice){0});
}

/* Says nothing of the event: decode_item fails for want of a message. */
static bool is_exhausted(struct item *item, const struct error *error) {
    if (strcmp(error->code, "out-of-memory") != 0) return false;
    refuse(item, CODE_INTERNAL_ERROR, (struct slice){0}, (struct slice){0});
    return true;
}

/* `error->path` is a pointer into the whole document; the answer's is one into the data. A NULL slice without memory. */
static struct slice path_in_data(struct batch *batch, const struct json *data, const char *path) {
    struct buf prefix;
    buf_init(&prefix, 1024);
    json_pointer(&prefix, data);
    bool starved = prefix.failed;
    size_t skip = slice_starts(slice_str(path), buf_slice(&prefix)) ? prefix.n : 0;
    buf_release(&prefix);
    return starved ? slice_of(NULL, 0) : arena_copy(&batch->arena, slice_str(path + skip));
}

/* The event's data against the schema of its type. */
static bool is_of_schema(struct batch *batch, struct item *item, const struct schema *schema) {
    struct error error = {0};
    if (schema_validate(schema, item->event.json, NULL, NULL, &error) == 0) return true;
    if (is_exhausted(item, &error)) return false;
    refuse_at(item, code_refusal(error.code, CODE_SCHEMA_INVALID), arena_print(&batch->arena, "%s", error.message),
              path_in_data(batch, item->event.json, error.path));
    return false;
}

static void decode_build(struct batch *batch, struct item *item) {
    struct error error = {0};
    if (!is_of_schema(batch, item, batch->decoder->build)) return;
    struct slice text = json_get_text(item->event.json, "manifest");
    if (manifest_read(&batch->arena, text, NULL, NULL, &item->manifest, &error)) {
        if (is_exhausted(item, &error)) return;
        refuse_at(item, code_refusal(error.code, CODE_MANIFEST_INVALID), arena_print(&batch->arena, "%s", error.message),
                  arena_print(&batch->arena, "/manifest%s", error.path));
        return;
    }
    item->state = ITEM_BUILD;
}

static void decode_request(struct batch *batch, struct item *item) {
    const struct json *data = item->event.json;
    if (!is_of_schema(batch, item, batch->decoder->request)) return;
    const struct json *dry_run = json_get(data, "dryRun");
    struct slice expires_at = json_get_text(data, "expiresAt");
    item->request = (struct request){.git_sha = json_get_text(data, "releaseRef"),
                                     .environment = json_get_text(data, "targetEnv"),
                                     .requester = json_get_text(data, "requester"),
                                     .reason = json_get_text(data, "reason"),
                                     .dry_run = dry_run && dry_run->boolean};
    if (expires_at.p && !text_parse_instant(expires_at, &item->request.expires_at)) { /* GCOVR_EXCL_BR_LINE: see below */
        /* The schema has refused it before; were they ever to differ, an expiry must not get lost. */
        refuse(item, CODE_SCHEMA_INVALID, SLICE("expiresAt is no RFC 3339 instant"), SLICE("/expiresAt"));
        return;
    }
    /* JSON Schema counts characters, the contract bytes. */
    if (item->request.reason.n > REASON_MAX) {
        refuse(item, CODE_SCHEMA_INVALID, SLICE("the reason is longer than 1024 bytes"), SLICE("/reason"));
        return;
    }
    item->state = ITEM_REQUEST;
}

static const struct {
    const char *type;
    enum input_topic topic;
    const char *elsewhere; /* said when it comes on the other topic */
    void (*decode)(struct batch *, struct item *);
} types[] = {
    {"dev.sluice.build.complete.v1", INPUT_BUILDS, "publish build-complete events to the builds topic", decode_build},
    {"dev.sluice.promotion.requested.v1", INPUT_REQUESTS, "publish promotion requests to the requests topic", decode_request},
};

static void decode_type(struct batch *batch, struct item *item) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (!slice_is(item->event.type, types[i].type)) continue;
        if (item->record->topic == types[i].topic)
            types[i].decode(batch, item);
        else
            refuse_plainly(item, CODE_UNKNOWN_TYPE, types[i].elsewhere);
        return;
    }
    refuse(item, CODE_UNKNOWN_TYPE, arena_print(&batch->arena, "no event of type %.*s is known", SLICE_ARG(item->event.type)),
           (struct slice){0});
}

static void refuse_foreign(struct batch *batch, struct item *item, uint32_t home) {
    refuse(item, CODE_FOREIGN_PARTITION,
           arena_print(&batch->arena,
                       "%.*s belongs on partition %u and this record is on %u; key records by the project and partition as Java "
                       "clients do (librdkafka: partitioner=murmur2_random)",
                       SLICE_ARG(item->event.subject), home, item->record->shard),
           (struct slice){0});
}

static void decode_event(struct batch *batch, struct item *item) {
    const struct cloudevent *event = &item->event;
    uint32_t home = text_murmur2(event->subject) % batch->installation_shards;
    if (event->refusal != CODE_NONE) {
        refuse(item, event->refusal, event->message, event->path);
        return;
    }
    if (home != item->record->shard) {
        refuse_foreign(batch, item, home);
        return;
    }
    if (!event->time.p || !text_parse_instant(event->time, &item->time)) {
        refuse_plainly(item, CODE_TIME_INVALID, "the event's time is missing or no RFC 3339 instant, as 2026-03-01T10:00:00Z");
        return;
    }
    ledger_event_key(item->key, event->subject, event->source, event->id);
    item->content = digest_sha256((struct slice[]){event->type, slice_of("", 1), event->data}, 3);
    decode_type(batch, item);
}

static int decode_item(struct batch *batch, struct item *item, struct error *error) {
    struct slice why;
    if (item->state == ITEM_DUE) return 0;
    if (cloudevent_read(&batch->arena, item->record, &item->event, &why)) {
        if (!why.p) return error_memory(error);
        item->state = ITEM_DEAD;
        item->code = CODE_NOT_CLOUDEVENT;
        item->message =
            ledger_holds(item->record) ? why : SLICE("no event, and larger than a dead letter can be: only its topic has it");
        return 0;
    }
    decode_event(batch, item);
    return item->state == ITEM_REFUSED && !item->message.p ? error_memory(error) : 0;
}

int decode(struct batch *batch, struct error *error) {
    for (size_t i = 0; i < batch->item_count; i++)
        if (decode_item(batch, &batch->items[i], error)) return -1;
    return 0;
}
