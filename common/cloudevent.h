/* CloudEvents 1.0 over Kafka (the Kafka protocol binding 1.0.2): structured and binary mode, read into one form.
 *
 * Structured: the header `content-type` begins with `application/cloudevents+json`; the value is the event (section 3.3).
 * Otherwise binary: attributes are headers with the prefix `ce_`, `content-type` is the datacontenttype, the value is
 * the data (section 3.2). Batched mode and null values are not read. */
#ifndef SLUICE_CLOUDEVENT_H
#define SLUICE_CLOUDEVENT_H

#include "arena.h"
#include "codes.h"
#include "json.h"
#include "record.h"

enum { CLOUDEVENT_RECORD_MAX = 1000000, CLOUDEVENT_NAME_MAX = 255 };

struct cloudevent {
    struct slice id, source, subject;     /* within the contract's limits */
    struct slice type, time, traceparent; /* as sent; a NULL `p` when absent or no text */
    struct slice data;                    /* its exact bytes, decoded from base64 where it was */
    const struct json *json;              /* the data as a tree, or NULL when refused before */
    enum code refusal;                    /* CODE_NONE, or why the event is refused */
    struct slice message, path;           /* of the refusal; path as a JSON Pointer into the data, or a NULL `p` */
};

/* 0: the event has a usable id, source and subject; it may carry a refusal. -1: it has not, and `*ret_why` says why; or memory is
 * exhausted, and `ret_why->p` is NULL. Everything lives in the arena or points into the record. */
int cloudevent_read(struct arena *arena, const struct record *record, struct cloudevent *ret_event, struct slice *ret_why);

/* Only the traceparent of a record that may be an event, for answers that are made again; a NULL slice when there is none. -1
 * without memory. */
int cloudevent_traceparent(struct arena *arena, const struct record *record, struct slice *ret_traceparent);

#endif
