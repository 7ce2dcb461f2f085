/* From a ledger row to the record that is published: a function of the row alone, so that it can be made again, byte for byte. */
#ifndef SLUICE_RESULT_H
#define SLUICE_RESULT_H

#include "arena.h"
#include "batch.h"
#include "output.h"

/* What the record of a row needs beside it, read back from its decision and input. -1: the row is not of a form that this
 * program writes, or memory is exhausted. */
int result_recall(struct arena *arena, const struct ledger_row *row, struct answer *ret_answer);

/* Which topic a row is published to. False for a row that is published nowhere. */
bool result_topic(enum result_kind kind, enum output_topic *ret_topic);

/* The record of an answer; `source` is "/sluice/<installation uuid>". Everything lives in the arena or in the answer. -1 as
 * above. */
int result_record(struct arena *arena, const struct answer *answer, struct slice source, struct output_record *ret_record);

#endif
