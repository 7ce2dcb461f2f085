/* A run in a process of its own, which it may end: an assertion, a sanitizer, a lane that goes in circles. */
#ifndef SIM_APART_H
#define SIM_APART_H

#include "world.h"

/* Ends this process when it has used so many seconds of its processor from now on, so that a busy machine harms nobody; 0: never.
 */
void apart_limit(long seconds);
/* Ends this process at once, after what coverage has counted is written. */
_Noreturn void apart_exit(int status);
/* How a process ended, by the status that wait() gives; NULL: well. */
const char *apart_how(int status);
/* How the run ended its process; NULL: it came to its end, whatever it has found. */
const char *apart_run(const struct run_spec *spec);
/* The same, and the last lines of its trace are printed. */
const char *apart_tell(const struct run_spec *spec);

#endif
