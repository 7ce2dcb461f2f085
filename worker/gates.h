/* The decision itself: from what is known of a promotion to its outcome and all its conditions. Pure: no network, no
 * database, no clock but the `now` it is given; the same for a request, a due promotion and a dry run.
 *
 * A gate is one row of the table in gates.c: the conditions' type and the function that evaluates them. */
#ifndef SLUICE_GATES_H
#define SLUICE_GATES_H

#include "arena.h"
#include "codes.h"
#include "manifest.h"
#include "policy.h"
#include "registry.h"
#include "store.h"

enum artifact_lookup {
    LOOKUP_ASKED,     /* `question` has the answer, or is NULL when it was not asked in this batch */
    LOOKUP_NO_URI,    /* no URI of a registry */
    LOOKUP_FORBIDDEN, /* the policy does not name the host */
};

struct artifact_fact {
    const struct artifact *artifact;
    struct slice host; /* of the URI */
    enum artifact_lookup lookup;
    const struct registry_question *question;
};

/* Everything that a decision may look at. */
struct facts {
    struct slice project, environment, git_sha;
    bool has_policy;
    const struct policy_project *project_policy;         /* NULL: no project of the policy matches */
    const struct policy_environment *environment_policy; /* NULL: it names no such environment */
    bool release_verified;                               /* what follows is meaningful only then */
    bool attestation_enabled;
    struct artifact_fact *artifacts;
    size_t artifact_count;
    const bool *promoted; /* for each of environment_policy->after: was the release promoted there? */
    bool is_current;      /* the release is the environment's current one */
    instant expires_at, now;
};

enum condition_status { CONDITION_MET, CONDITION_UNMET, CONDITION_FAILED };

struct condition {
    struct slice type, subject;
    enum condition_status status;
    enum code code;
    struct slice code_text; /* of one read back, which may be of a newer program; otherwise that of `code` */
    struct slice message;
    instant since;
    struct slice facts; /* a JSON object, or a NULL `p` */
    instant again_at;   /* worth another look from then on; 0: only when an event says so */
};

struct verdict {
    enum promotion_outcome outcome;
    enum code code; /* CODE_ALREADY_PROMOTED or CODE_NONE */
    struct condition *conditions;
    size_t condition_count;
    instant wake_at; /* when it waits */
};

/* `previous`: the conditions as last answered, for `since`. -1: memory is exhausted. */
int gates_decide(struct arena *arena, const struct facts *facts, const struct condition *previous, size_t previous_count,
                 struct verdict *ret_verdict);

/* True when some (type, subject, status, code) differs. */
bool gates_differ(const struct condition *a, size_t a_count, const struct condition *b, size_t b_count);

/* "met", "unmet", "failed" */
const char *condition_status_text(enum condition_status status);

/* Reads conditions back from the JSON array of an earlier answer. */
int gates_read(struct arena *arena, struct slice json, struct condition **ret_conditions, size_t *ret_count);

#endif
