/* The schemas that decode validates events against, compiled once. Read-only afterwards. */
#ifndef SLUICE_DECODE_H
#define SLUICE_DECODE_H

#include "batch.h"

struct decoder;

/* NULL with *error set. */
struct decoder *decoder_new(struct error *error);
void decoder_free(struct decoder *decoder);

#endif
