/* One Kafka record, as it came or as it is to be sent. Everything points into memory that somebody else owns. */
#ifndef SLUICE_RECORD_H
#define SLUICE_RECORD_H

#include "slice.h"

#include <stddef.h>
#include <stdint.h>

struct record_header {
    struct slice name;
    struct slice value; /* a NULL `p` is Kafka's null */
};

/* The input topics by the numbers that the ledger stores. 0 is a row that no record caused. */
enum input_topic { INPUT_NONE = 0, INPUT_BUILDS = 1, INPUT_REQUESTS = 2 };
enum { INPUT_TOPICS = 2 };

/* The output topics. Each has a cursor of its own in every shard. */
enum output_topic { OUTPUT_RESULTS = 0, OUTPUT_DEAD_LETTER = 1, OUTPUT_TOPICS = 2 };

struct record {
    uint32_t shard; /* the partition */
    enum input_topic topic;
    uint64_t offset;
    struct slice key, value; /* a NULL `p` is Kafka's null */
    const struct record_header *headers;
    size_t header_count;
};

/* The value of the last header of that name, or a NULL slice. Names of headers are case-sensitive. */
struct slice record_header(const struct record *record, const char *name);

#endif
