/* What gather leaves in the batch: the registries' answers, by artifact. */
#ifndef SLUICE_GATHER_H
#define SLUICE_GATHER_H

#include "batch.h"

/* The key of batch->questions. `p` is NULL without memory. */
struct slice gather_key(struct batch *batch, const struct image_reference *reference, struct slice digest);

#endif
