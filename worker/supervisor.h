/* Starts the lanes as child processes, starts those again that die, kills those that stand still and all when the clock was set
 * back, serves what they count, and ends them.
 *
 * A lane is this very program again, with `arguments` and then "--lane K --metrics FD": FD is shared memory with one struct
 * lane_metrics a lane. Lanes get SIGTERM when the supervisor dies. SIGTERM, SIGINT and SIGHUP drain: the lanes get SIGTERM, and
 * SIGKILL when they have not ended in time; a second SIGINT does not wait. */
#ifndef SLUICE_SUPERVISOR_H
#define SLUICE_SUPERVISOR_H

#include "error.h"
#include "metrics.h"

#include <stddef.h>

enum {
    SUPERVISOR_LANES_MAX = 1024,
    SUPERVISOR_ARGUMENTS_MAX = 16,
    /* A lane that has run for this long was well: its next start does not wait. */
    SUPERVISOR_WELL_MS = 1500,
    SUPERVISOR_FIRST_MS = 50, /* between a death and the next start */
    SUPERVISOR_NEXT_MS = 200, /* then this, then twice as long each time */
    SUPERVISOR_LONGEST_MS = 5000,
    SUPERVISOR_STILL_MS = 60000,  /* longer than any call of a lane may take */
    SUPERVISOR_SET_BACK_MS = 5000 /* a clock that is set back by less prolongs waits by no more than that */
};

struct supervisor_options {
    const char *const *arguments; /* of a lane, the program's name first */
    size_t argument_count;
    unsigned lanes;
    const char *listen; /* of the status server */
    int64_t drain_ms;
    int64_t still_ms;          /* a lane that has not gone on for so long is killed: SUPERVISOR_STILL_MS, but in tests */
    uint64_t (*wall_ms)(void); /* the clock that people set: wall_ms, but in tests */
};

/* Runs until it is told to end. Call it from the only thread of the process. Returns 0 when all lanes have ended by themselves,
 * 1 when some had to be killed, and -1 with *error set when it could not start. */
int supervisor_run(const struct supervisor_options *options, struct error *error);

/* For a lane: the metrics of lane `number` in the memory that it has inherited. NULL with *error set. */
struct lane_metrics *supervisor_attach(int fd, unsigned number, struct error *error);

/* Milliseconds from a lane's death to its next start, after it has died so many times in a row before it was well. */
unsigned supervisor_delay_ms(unsigned deaths);

#endif
