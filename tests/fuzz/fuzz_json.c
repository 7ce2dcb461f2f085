/* Any bytes as JSON: they are read or refused with a reason; what is read says where it stands, and is the same when its
 * strings are written and read again. */
#include "json.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(struct arena *arena, const struct json *value, const struct json *root) {
    struct buf buf;
    buf_init(&buf, 16 * 1024 * 1024);
    if (value->raw.p < root->raw.p || value->raw.p + value->raw.n > root->raw.p + root->raw.n) abort();
    json_pointer(&buf, value);
    if ((value != root) != (buf.n > 0)) abort();
    if (value->kind == JSON_STRING) {
        struct json_document again;
        buf_reset(&buf);
        json_write_string(&buf, value->text);
        if (buf.failed || json_read(arena, buf_slice(&buf), NULL, &again, NULL)) abort();
        if (!slice_equal(again.root->text, value->text)) abort();
    }
    int64_t number;
    if (json_int64(value, &number) && value->kind != JSON_NUMBER) abort();
    (void)json_double(value);
    buf_release(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    struct json_document document;
    struct error error = {0};
    if (size > 20000) return 0;
    arena_init(&arena, 256 * 1024 * 1024);
    struct slice text = slice_of(data, size);
    if (json_read(&arena, text, NULL, &document, &error) == 0) {
        const struct json *root = document.root, *value = root, *strict;
        while (value) { /* every value, in the order of the text */
            check_value(&arena, value, root);
            const struct json *next = value->first ? value->first : value->next;
            while (!next && (value = value->above)) next = value->next;
            value = next;
        }
        bool refused = json_read_strict(&arena, text, NULL, &strict, &error) != 0;
        if (refused != (document.duplicate || document.nul)) abort();
    } else if (!error.code[0] || !error.message[0]) {
        abort();
    }
    arena_release(&arena);
    return 0;
}
