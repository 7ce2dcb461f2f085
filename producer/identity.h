/* Who sends an event, and under which id: what CI says of itself, and otherwise this host and login. */
#ifndef SLUICE_IDENTITY_H
#define SLUICE_IDENTITY_H

#include "arena.h"

/* An event id that a job's retry of the same step draws again: CI run, attempt, job and environment (NULL for none). Outside
 * of CI a random UUID. All of these return a NULL `p` only without memory. */
struct slice identity_id(struct arena *arena, const char *environment);
/* The URL of the CI run, else /sluice/cli/<host>. */
struct slice identity_source(struct arena *arena);
/* github:<account id>, gitlab:<account id>, else user:<login>. */
struct slice identity_requester(struct arena *arena);

#endif
