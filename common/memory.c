#include "memory.h"

static _Thread_local unsigned long refusals;

void memory_refused(void) { refusals++; }

unsigned long memory_refusals(void) { return refusals; }
