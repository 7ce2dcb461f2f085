#include "record.h"

struct slice record_header(const struct record *record, const char *name) {
    for (size_t i = record->header_count; i-- > 0;)
        if (slice_is(record->headers[i].name, name)) return record->headers[i].value;
    return (struct slice){0};
}
