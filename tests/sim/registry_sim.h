/* The simulated registries, and in front of them the lane's own breaker and its memory of what was found: what they have since
 * when, and how they behave: well, slowly (the truth, or nothing in time), not at all, denying, limiting, lying. */
#ifndef SIM_REGISTRY_SIM_H
#define SIM_REGISTRY_SIM_H

#include "registry.h"
#include "world.h"

enum registry_mode {
    REGISTRY_WELL,
    REGISTRY_SLOW,
    REGISTRY_AWAY,
    REGISTRY_DENYING,
    REGISTRY_LIMITING,
    REGISTRY_LYING,
    REGISTRY_MODES
};

void registry_sim_begin(void);
/* An image comes into being. `since` -1: it never does. */
void registry_sim_push(struct slice digest, micros since);
void registry_sim_behave(int host, enum registry_mode mode, micros until);
void registry_sim_heal(void);
/* Some lane leaves a registry alone for a while. */
bool registry_sim_rests(void);
/* What a registry in good order says now. */
enum registry_answer registry_sim_truth(struct slice digest);

#endif
