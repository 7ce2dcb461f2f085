/* The lanes' ports over the simulated servers. */
#ifndef SIM_PORTS_H
#define SIM_PORTS_H

#include "fleet.h"

/* Puts the operations of all ports in place. */
void ports_open(struct sim_lane *lane);

extern const struct store_operations sim_store_operations;
extern const struct output_operations sim_output_operations;
extern const struct input_operations sim_input_operations;
extern const struct registry_operations sim_registry_operations;

/* The lane of a port. */
#define LANE_OF(port, member) ((struct sim_lane *)(void *)((char *)(port)-offsetof(struct sim_lane, member)))

#endif
