/* What is told of a run that broke an invariant: its course around the event or row in question, and a smaller run that breaks it
 * too. Of one that ended its process (STORY_CRASH) it is looked for in processes of their own, and the end of its trace is told.
 */
#ifndef SIM_STORY_H
#define SIM_STORY_H

#include "world.h"

#define STORY_CRASH "crash"

/* What there is to say of a run that has ended its process. */
void story_crash(const struct run_spec *spec, const char *how, struct run_result *ret_result);
/* Leaves out of `spec` whatever is not needed for the same invariant to be broken. */
void story_shrink(struct run_spec *spec, struct run_result *result);
void story_tell(const struct run_spec *spec, const struct run_result *result);
/* "1,4-7" of what is left out, or "". */
void story_list(char *to, size_t room, const bool *without, size_t count);
bool story_read_list(const char *text, bool *without, size_t count);

#endif
