/* The tail of output partitions: the last committed result of each, found from the topics alone. */
#ifndef SLUICE_OUTPUT_TAIL_H
#define SLUICE_OUTPUT_TAIL_H

#include "kafka.h"
#include "output.h"

/* See output_operations.tails. Makes two readers of its own, so that nothing is remembered from one call to the next. */
int output_tail_read(const struct kafka_options *options, struct output_tail *tails, size_t count, struct error *error);

/* The ledger position that a published record names in its headers. False: it has none, or another shard's. */
bool output_tail_position(const struct kafka_record *record, uint64_t *ret_sequence, struct digest *ret_hash);

#endif
