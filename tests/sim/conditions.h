/* The conditions of a promotion's answer, as a text of one line each: type, subject, status, code. What an answer lists, and what
 * it is to list: an evaluation of the simulator's own, which uses nothing of worker/gates.c. */
#ifndef SIM_CONDITIONS_H
#define SIM_CONDITIONS_H

#include "json.h"
#include "registry.h"
#include "workload.h"

/* What a lane was told by the registries, the newest first. */
struct told {
    struct slice host, digest;
    enum registry_answer answer;
    const struct told *next;
};

struct situation {
    int project, release, environment;
    const struct policy_facts *policy; /* NULL: there is none */
    const struct release_facts *build; /* NULL: no build of the release is verified */
    bool is_signed;                    /* the build */
    bool was_promoted_before;          /* the release, to the environment before this one */
    const struct told *told;
    bool truth; /* the registries as they are now, whatever was told */
};

struct verdict {
    struct slice conditions;
    bool unmet, failed; /* some of them; without a policy everything waits */
    bool named;         /* the policy knows the environment, and the project */
};

/* The texts live until the end of the run. */
struct verdict conditions_expected(const struct situation *situation);
/* Of the JSON array in an answer or a row; a NULL `p` when it is none. */
struct slice conditions_read(const struct json *array);

#endif
