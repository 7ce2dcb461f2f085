/* The policies that operators apply during a run: as facts, by which results are judged, and as the YAML that the lanes read. */
#ifndef SIM_POLICIES_H
#define SIM_POLICIES_H

#include "world.h"

enum { ENV_DEV, ENV_STAGING, ENV_PROD, ENVIRONMENTS };
enum { HOST_ONE, HOST_TWO, HOST_FORBIDDEN, HOSTS };

struct policy_facts {
    bool knows_beta;                                      /* projects beta/... beside acme/... */
    bool environments[ENVIRONMENTS], gated[ENVIRONMENTS]; /* gated: after the one before it */
    bool unsigned_acme, unsigned_beta;                    /* allowed */
    bool unchecked_other;
    bool knows_host_two;
    int64_t limit; /* of waiting, microseconds */
};

void policies_begin(void);
/* A new control version. False: there have been enough. */
bool policies_apply(void);
uint64_t policies_version(void);
/* The YAML in force; a NULL `p` when there is none. */
struct slice policies_text(void);
/* NULL for version 0. */
const struct policy_facts *policies_at(uint64_t version);
const char *environment_name(int environment);
const char *host_name(int host);

#endif
