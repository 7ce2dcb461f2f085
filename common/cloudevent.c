#include "cloudevent.h"

#include "text.h"

#include <strings.h>

/* To answer an event that nests too deep or holds too many values, its id must be read all the same. */
static const struct json_limits generous = {.bytes = 16 * 1024 * 1024, .depth = 1000000, .values = 1024 * 1024};
static const size_t scratch_maximum = 256u * 1024 * 1024;

#define STRUCTURED_TYPE "application/cloudevents+json"
#define BATCHED_TYPE "application/cloudevents-batch"

static int refuse(struct cloudevent *event, enum code code, const char *message, struct slice path) {
    if (event->refusal != CODE_NONE) return 0; /* the first one is told */
    event->refusal = code;
    event->message = slice_str(message);
    event->path = path;
    return 0;
}

/* Media types are compared without regard to case (RFC 9110 section 8.3.1). */
static bool begins_like(struct slice text, const char *prefix) {
    size_t n = strlen(prefix);
    return text.n >= n && strncasecmp(text.p, prefix, n) == 0;
}

/* A media type with or without parameters. */
static bool is_media_type(struct slice text, const char *type) {
    struct slice prefix = slice_str(type);
    if (!begins_like(text, type)) return false;
    return text.n == prefix.n || text.p[prefix.n] == ';' || text.p[prefix.n] == ' ' || text.p[prefix.n] == '\t';
}

/* Text that may stand in an answer and in Postgres. */
static bool is_text(struct slice text) { return text.p && text_is_utf8(text) && !(text.n && memchr(text.p, '\0', text.n)); }

static bool is_name(struct slice text) { return text.n >= 1 && text.n <= CLOUDEVENT_NAME_MAX && is_text(text); }

/* What an answer needs; a record without it has no one to be answered to. */
static const char *unusable(const struct cloudevent *event) {
    if (!event->id.p) return "there is no id";
    if (!is_name(event->id)) return "the id is not 1 to 255 bytes of text";
    if (!event->source.p) return "there is no source";
    if (!is_name(event->source)) return "the source is not 1 to 255 bytes of text";
    if (!event->subject.p) return "there is no subject; it names the project";
    if (!text_is_project(event->subject)) return "the subject is no project name, as acme/shop";
    return NULL;
}

static void check_size(struct cloudevent *event, const struct record *record) {
    size_t size = record->key.n + record->value.n;
    for (size_t i = 0; i < record->header_count; i++) size += record->headers[i].name.n + record->headers[i].value.n;
    if (size > CLOUDEVENT_RECORD_MAX)
        refuse(event, CODE_TOO_LARGE, "the record is larger than 1,000,000 bytes with key and headers; send less in one event",
               (struct slice){0});
}

/* The pointer of a value below `data`, relative to `data`; where a name cannot be written, that of what holds it; a NULL slice
 * when there is none. -1 without memory. */
static int path_in_data(struct arena *arena, const struct json *value, const struct json *data, struct slice *ret_path) {
    bool below = false, starved = false;
    for (const struct json *at = value; at; at = at->above) below |= at == data;
    *ret_path = (struct slice){0};
    if (!below) return 0;
    struct buf whole, prefix;
    buf_init(&whole, 1024 * 1024);
    buf_init(&prefix, 1024 * 1024);
    json_pointer(&whole, value);
    json_pointer(&prefix, data);
    if (!whole.failed && !prefix.failed) {
        *ret_path = arena_copy(arena, slice_of(whole.p ? whole.p + prefix.n : "", whole.n - prefix.n));
        starved = !ret_path->p;
    } else {
        starved = !whole.full && !prefix.full;
    }
    buf_release(&whole);
    buf_release(&prefix);
    if (starved) return -1;
    if (!ret_path->p || is_text(*ret_path)) return 0;
    if (value != data) return path_in_data(arena, value->above, data, ret_path);
    *ret_path = (struct slice){0};
    return 0;
}

/* What RFC 8259 lets through and the contract does not. */
static int check_document(struct arena *arena, struct cloudevent *event, const struct json_document *document,
                          const struct json *data) {
    struct slice path;
    if (document->duplicate) {
        if (path_in_data(arena, document->duplicate, data, &path)) return -1;
        refuse(event, CODE_DUPLICATE_MEMBER, "a member name stands twice in one object; send each once", path);
    }
    if (document->nul) {
        if (path_in_data(arena, document->nul, data, &path)) return -1;
        refuse(event, CODE_TEXT_INVALID, "a text holds U+0000, which cannot be stored", path);
    }
    return 0;
}

static struct slice attribute(const struct json *root, const char *name) { return json_get_text(root, name); }

static void read_attributes(struct cloudevent *event, const struct json *root) {
    event->id = attribute(root, "id");
    event->source = attribute(root, "source");
    event->subject = attribute(root, "subject");
    event->type = attribute(root, "type");
    event->time = attribute(root, "time");
    event->traceparent = attribute(root, "traceparent");
}

static bool is_identity(const struct json *member) {
    return slice_is(member->name, "id") || slice_is(member->name, "source") || slice_is(member->name, "subject");
}

/* One of two ids cannot be chosen. */
static bool identity_stands_twice(const struct json *root) {
    unsigned counts[3] = {0};
    for (const struct json *member = root->first; member; member = member->next)
        if (is_identity(member)) counts[member->name.p[0] == 'i' ? 0 : member->name.p[1] == 'o' ? 1 : 2]++;
    return counts[0] > 1 || counts[1] > 1 || counts[2] > 1;
}

/* CloudEvents' JSON format, section 2.2: an attribute that is null counts as absent. */
static const struct json *given(const struct json *root, const char *name) {
    const struct json *value = json_get(root, name);
    return value && value->kind != JSON_NULL ? value : NULL;
}

/* The text of the data as JSON, for binary mode and data_base64. */
static int read_data(struct arena *arena, struct cloudevent *event) {
    struct json_document document = {0};
    struct error error = {0};
    if (json_read(arena, event->data, &json_contract_limits, &document, &error)) {
        enum code code = code_refusal(error.code, CODE_NONE);
        if (code == CODE_NONE) return -1;
        return refuse(event, code, arena_print(arena, "%s", error.message).p, (struct slice){0});
    }
    event->json = document.root;
    return check_document(arena, event, &document, document.root);
}

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648 section 4, padded, nothing between the characters; `to` has three bytes for every four of the text. */
static bool unbase64(struct slice text, char *to, struct slice *ret_bytes) {
    if (text.n % 4) return false;
    size_t padding = text.n && text.p[text.n - 1] == '=' ? 1 + (text.p[text.n - 2] == '=') : 0;
    size_t n = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.n - padding; i++) {
        int value = base64_value(text.p[i]);
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 1) to[n++] = (char)(bits >> 4 & 0xff);
        if (i % 4 == 2) to[n++] = (char)(bits >> 2 & 0xff);
        if (i % 4 == 3) to[n++] = (char)(bits & 0xff);
    }
    *ret_bytes = slice_of(to, n);
    return true;
}

static int read_structured_data(struct arena *arena, struct cloudevent *event, const struct json_document *document) {
    const struct json *data = json_get(document->root, "data"), *base64 = given(document->root, "data_base64");
    if (check_document(arena, event, document, data)) return -1;
    if (!slice_is(attribute(document->root, "specversion"), "1.0"))
        refuse(event, CODE_SCHEMA_INVALID, "the specversion is not 1.0; send CloudEvents 1.0", (struct slice){0});
    const struct json *content_type = given(document->root, "datacontenttype");
    if (content_type && !is_media_type(content_type->text, "application/json"))
        refuse(event, CODE_CONTENT_TYPE_INVALID, "the datacontenttype is not application/json", (struct slice){0});
    if (data && base64)
        return refuse(event, CODE_SCHEMA_INVALID, "both data and data_base64 are there; send one of them", (struct slice){0});
    if (data) {
        event->data = data->raw;
        event->json = data;
        return 0;
    }
    if (!base64) return refuse(event, CODE_SCHEMA_INVALID, "there is no data", (struct slice){0});
    char *bytes = arena_alloc(arena, base64->text.n / 4 * 3 + 1);
    if (!bytes) return -1;
    if (base64->kind != JSON_STRING || !unbase64(base64->text, bytes, &event->data))
        return refuse(event, CODE_SCHEMA_INVALID, "data_base64 is not base64 (RFC 4648, padded)", (struct slice){0});
    return event->refusal == CODE_NONE ? read_data(arena, event) : 0;
}

/* The event passes a limit: reads no more than what its answer needs. -1: it is no JSON, or with *ret_starved there is no memory.
 */
static int read_identity(struct arena *arena, struct slice value, struct cloudevent *event, const struct error *limit,
                         bool *ret_starved) {
    struct arena scratch;
    struct json_document document = {0};
    arena_init(&scratch, scratch_maximum);
    struct error error = {0};
    int result = json_read(&scratch, value, &generous, &document, &error);
    *ret_starved = result && error.kind == ERROR_INTERNAL && !scratch.full;
    if (!result && !identity_stands_twice(document.root)) {
        read_attributes(event, document.root);
        struct slice *kept[] = {&event->id, &event->source, &event->subject, &event->type, &event->time, &event->traceparent};
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
            if (!kept[i]->p) continue;
            *kept[i] = arena_copy(arena, *kept[i]);
            *ret_starved |= !kept[i]->p;
        }
        refuse(event, code_refusal(limit->code, CODE_TOO_LARGE), arena_print(arena, "%s", limit->message).p, (struct slice){0});
    }
    arena_release(&scratch);
    return *ret_starved ? -1 : result;
}

static int read_structured(struct arena *arena, const struct record *record, struct cloudevent *event, struct slice *ret_why) {
    static const struct json_limits limits = {.bytes = 16 * 1024 * 1024, .depth = 32, .values = 50000};
    struct json_document document = {0};
    struct error error = {0};
    if (json_read(arena, record->value, &limits, &document, &error)) {
        if (strcmp(error.code, "out-of-memory") == 0) return -1;
        bool limit = strcmp(error.code, "too-deep") == 0 || strcmp(error.code, "too-large") == 0, starved = false;
        if (!limit || read_identity(arena, record->value, event, &error, &starved)) {
            if (starved) return -1;
            *ret_why = arena_print(arena, "the value is no JSON: %s", error.message);
            return -1;
        }
        return 0;
    }
    if (document.root->kind != JSON_OBJECT) {
        *ret_why = SLICE("the value is no JSON object");
        return -1;
    }
    if (document.duplicate && identity_stands_twice(document.root)) {
        *ret_why = SLICE("id, source or subject stands twice");
        return -1;
    }
    read_attributes(event, document.root);
    return read_structured_data(arena, event, &document);
}

static int read_binary(struct arena *arena, const struct record *record, struct slice content_type, struct cloudevent *event) {
    event->id = record_header(record, "ce_id");
    event->source = record_header(record, "ce_source");
    event->subject = record_header(record, "ce_subject");
    event->type = record_header(record, "ce_type");
    event->time = record_header(record, "ce_time");
    event->traceparent = record_header(record, "ce_traceparent");
    event->data = record->value;
    if (unusable(event)) return 0;
    if (!slice_is(record_header(record, "ce_specversion"), "1.0"))
        refuse(event, CODE_SCHEMA_INVALID, "ce_specversion is not 1.0; send CloudEvents 1.0", (struct slice){0});
    if (!is_media_type(content_type, "application/json"))
        refuse(event, CODE_CONTENT_TYPE_INVALID,
               "the header content-type is not application/json (or application/cloudevents+json for structured mode)",
               (struct slice){0});
    return event->refusal == CODE_NONE ? read_data(arena, event) : 0;
}

int cloudevent_read(struct arena *arena, const struct record *record, struct cloudevent *ret_event, struct slice *ret_why) {
    struct cloudevent event = {0};
    *ret_why = (struct slice){0};
    if (!record->value.p) {
        *ret_why = SLICE("the value is null");
        return -1;
    }
    struct slice content_type = record_header(record, "content-type");
    if (begins_like(content_type, BATCHED_TYPE)) {
        *ret_why = SLICE("the record is a batch of events; send each event as a record of its own");
        return -1;
    }
    check_size(&event, record);
    if (begins_like(content_type, STRUCTURED_TYPE)) {
        if (read_structured(arena, record, &event, ret_why)) return -1;
    } else if (read_binary(arena, record, content_type, &event)) {
        return -1;
    }
    const char *why = unusable(&event);
    if (why) {
        *ret_why = slice_str(why);
        return -1;
    }
    if (!is_name(event.traceparent)) event.traceparent = (struct slice){0};
    if (!is_text(event.type)) event.type = (struct slice){0};
    *ret_event = event;
    return 0;
}

int cloudevent_traceparent(struct arena *arena, const struct record *record, struct slice *ret_traceparent) {
    struct cloudevent event;
    struct slice why;
    int status = cloudevent_read(arena, record, &event, &why);
    if (status && !why.p) return -1;
    *ret_traceparent = status ? slice_of(NULL, 0) : event.traceparent;
    return 0;
}
