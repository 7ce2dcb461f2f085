/* The course of a run: faults, then none; then everything must come to rest within a bounded time, thrice more after the clock of
 * the database has moved so far that what can be looked at again is, and what waits must end. */
#ifndef SIM_PHASES_H
#define SIM_PHASES_H

void phases_begin(void);

#endif
