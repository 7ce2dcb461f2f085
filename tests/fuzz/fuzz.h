/* What all fuzz targets share: how they say that something does not hold, and records as text. */
#ifndef SLUICE_FUZZ_H
#define SLUICE_FUZZ_H

#include "error.h"
#include "record.h"
#include "text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                                       \
    do {                                                                                                                         \
        if (condition) break;                                                                                                    \
        fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                                           \
        abort();                                                                                                                 \
    } while (0)

/* What an error must be, whatever was read: told by a code, in one line. */
static inline void require_error(const struct error *error) {
    REQUIRE(error->kind != ERROR_NONE && error->code[0] && error->message[0]);
    for (const char *c = error->message; *c; c++) REQUIRE((unsigned char)*c >= ' ' && *c != 0x7f);
}

static inline bool is_inside(struct slice part, struct slice whole) {
    return !part.n || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static inline bool is_printable(struct slice text) {
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~') return false;
    return true;
}

/* A line without its end; `*rest` goes on behind it. */
static inline struct slice fuzz_line(struct slice *rest) {
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    struct slice line = slice_of(rest->p, n);
    *rest = slice_of(rest->p + n + (end != NULL), rest->n - n - (end != NULL));
    return line;
}

/* A Kafka record as text, so that a fuzzer can vary its parts and a person can read them: lines "name=value" up to an empty
 * one, then the value. A line without "=" is a header whose value is null. "@key=" gives the key, "@null" makes the value
 * null, "@requests" puts it on the topic of requests, "@two" says that there are two shards. */
enum { FUZZ_HEADERS_MAX = 32 };

struct fuzz_record {
    struct record record;
    struct record_header headers[FUZZ_HEADERS_MAX];
    uint32_t shards;
};

static inline void fuzz_record_read(struct slice text, struct fuzz_record *ret) {
    bool null = false;
    size_t count = 0;
    *ret = (struct fuzz_record){.record = {.topic = INPUT_BUILDS, .offset = 7}, .shards = 1};
    for (;;) {
        struct slice line = fuzz_line(&text);
        if (!line.n) break;
        const char *equal = memchr(line.p, '=', line.n);
        size_t n = equal ? (size_t)(equal - line.p) : line.n;
        struct slice name = slice_of(line.p, n), value = equal ? slice_of(equal + 1, line.n - n - 1) : (struct slice){0};
        if (slice_is(name, "@key"))
            ret->record.key = value;
        else if (slice_is(name, "@null"))
            null = true;
        else if (slice_is(name, "@requests"))
            ret->record.topic = INPUT_REQUESTS;
        else if (slice_is(name, "@two"))
            ret->shards = 2;
        else if (count < FUZZ_HEADERS_MAX)
            ret->headers[count++] = (struct record_header){name, value};
    }
    if (!null) ret->record.value = text.p ? text : SLICE("");
    ret->record.headers = ret->headers;
    ret->record.header_count = count;
}

#endif
