/* Was it the system that had no memory? "out-of-memory" alone does not tell that from an input that needs more than its limit,
 * and only the latter is the input's fault. */
#ifndef SLUICE_MEMORY_H
#define SLUICE_MEMORY_H

/* The system has refused memory to this thread. */
void memory_refused(void);
/* How often it has. */
unsigned long memory_refusals(void);

#endif
