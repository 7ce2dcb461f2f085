/* Named points at which a test lets the lane die: SLUICE_FAULT="point" or "point:n" raises SIGKILL when the point is passed for
 * the n-th time (the first by default); with SLUICE_FAULT_FILE only if it can create that file, so that one lane dies once and
 * not all of them for ever. Without the variable a point costs one comparison. */
#ifndef SLUICE_FAULT_H
#define SLUICE_FAULT_H

/* Reads the environment, once, before any thread is started. */
void fault_open(void);
void fault_point(const char *name);

#endif
