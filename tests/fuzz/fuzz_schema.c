/* {"schema": ..., "data": ...}: any schema is compiled or refused with a reason, and judges any data, the same with and
 * without a listener. */
#include "schema.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool hear(void *context, const struct schema_problem *problem) {
    if (!problem->path || !problem->keyword || !problem->message[0]) abort();
    ++*(size_t *)context;
    return true;
}

static void judge(const struct schema *schema, const struct json *data) {
    struct error first = {0}, all = {0};
    size_t heard = 0;
    bool valid = schema_validate(schema, data, NULL, NULL, &first) == 0;
    bool also = schema_validate(schema, data, hear, &heard, &all) == 0;
    if (valid && !also && strcmp(all.code, "schema-stopped") != 0) abort();
    if (!valid && (also || !heard || !first.code[0] || !all.code[0])) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    struct json_document document;
    struct error error = {0};
    if (size > 5000) return 0;
    arena_init(&arena, 64 * 1024 * 1024);
    if (json_read(&arena, slice_of(data, size), NULL, &document, NULL) == 0) {
        const struct json *text = json_get(document.root, "schema"), *instance = json_get(document.root, "data");
        struct schema *schema;
        if (!text) text = document.root;
        if (!instance) instance = document.root;
        if (schema_compile(text->raw, NULL, &schema, &error) == 0) {
            judge(schema, instance);
            schema_free(schema);
        } else if (!error.code[0] || !error.message[0]) {
            abort();
        }
    }
    arena_release(&arena);
    return 0;
}
