/* Any bytes as a policy: it is compiled or refused with a place, never anything else. */
#include "policy.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    arena_init(&arena, 8 * 1024 * 1024);
    struct error error = {0};
    const struct policy *policy = NULL;
    if (policy_parse(&arena, slice_of(data, size), &policy, &error) == 0) {
        const struct policy_project *project = policy_project(policy, SLICE("acme/shop"));
        for (size_t i = 0; project && i < project->environment_count; i++) {
            const struct policy_environment *environment = &project->environments[i];
            for (size_t j = 0; j < environment->after_count; j++)
                if (!policy_environment(project, environment->after[j])) abort();
        }
    } else if (error.kind == ERROR_INPUT) {
        size_t line, column;
        if (sscanf(error.message, "line %zu, column %zu: ", &line, &column) != 2 || !line || !column) abort();
    }
    arena_release(&arena);
    return 0;
}
