#include "phases.h"

#include "check.h"
#include "plan.h"
#include "policies.h"
#include "store_sim.h"
#include "workload.h"

enum { LOOK = 100 * MS, LONGEST = 120 * SECOND, MINUTE = 60 * SECOND };

static enum { FAULTS, MENDED, LOOKED_AGAIN, LOOKED_TWICE, ALL_ENDED } phase;
static micros phase_ends;

static void look(void *argument);

static void go_on(void) { world_at(world.now + LOOK, look, NULL); }

static void enter_next(void) {
    phase++;
    phase_ends = world.now + LONGEST;
    switch (phase) {
    case FAULTS:
        break;
    case MENDED:
        world.healed = true;
        if (!policies_version()) (void)policies_apply();
        plan_heal();
        break;
    case LOOKED_AGAIN: /* whatever was to be asked again by a timer is due, also of a shard whose time is ahead */
        trace("the clock of the database moves by a day and ten minutes");
        world_store_clock_offset += (micros)(24 * 60 + 10) * MINUTE;
        break;
    case LOOKED_TWICE: /* and of a registry that had to be left alone */
        trace("the clock of the database moves by ten minutes");
        world_store_clock_offset += (micros)10 * MINUTE;
        break;
    case ALL_ENDED:
        check_waiting();
        trace("the clock of the database moves by eight days");
        world_store_clock_offset += (micros)8 * 24 * 60 * MINUTE;
        break;
    }
}

/* An operator looks at what has stopped. */
static bool resume_stopped(void) {
    bool some = false;
    for (uint32_t n = 0; n < world.shard_count; n++) {
        if (!db.shards[n].stopped.p) continue;
        store_sim_resume(n);
        some = true;
    }
    return some;
}

static void look(void *argument) {
    (void)argument;
    char why[300];
    if (phase == FAULTS) {
        if (world.now >= phase_ends) enter_next();
        go_on();
        return;
    }
    if (check_is_at_rest(why, sizeof why)) {
        if (!resume_stopped()) {
            if (phase == ALL_ENDED) {
                check_end();
                world.over = true;
                return;
            }
            check_rested();
            enter_next();
        }
    } else if (world.now >= phase_ends) {
        check_unrest(why);
        return;
    }
    go_on();
}

void phases_begin(void) {
    phase = FAULTS;
    phase_ends = workload_ends() + 5 * SECOND;
    world_at(LOOK, look, NULL);
}
