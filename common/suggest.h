/* "Did you mean": the known word that is nearest to a mistyped one. */
#ifndef SLUICE_SUGGEST_H
#define SLUICE_SUGGEST_H

#include "slice.h"

#include <stddef.h>

/* How many single-character edits (insert, delete, replace, swap of neighbours) lead from a to b; words over 64 bytes are
 * too far from everything (SIZE_MAX). */
size_t suggest_distance(struct slice a, struct slice b);
/* Keeps in *best the nearer of what it holds and `candidate`, when that is near enough to be meant; *best may be NULL. */
void suggest_nearer(struct slice word, const char *candidate, const char **best);

#endif
