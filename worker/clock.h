/* The clock's port. It serves deadlines only; the `now` of decisions comes from the store. */
#ifndef SLUICE_CLOCK_H
#define SLUICE_CLOCK_H

#include <stdint.h>

struct lane_clock {
    uint64_t (*now_ms)(struct lane_clock *clock); /* monotonic */
};

#endif
