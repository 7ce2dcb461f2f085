/* The policy: one YAML file for the whole installation, read strictly. `sluice policy check --help` shows its form. */
#ifndef SLUICE_POLICY_H
#define SLUICE_POLICY_H

#include "arena.h"
#include "error.h"
#include "text.h"

enum {
    POLICY_BYTES_MAX = 1024 * 1024,
    POLICY_MEMORY_MAX = 32 * 1024 * 1024 /* of the arena for the text and what it compiles to */
};

struct policy_registry {
    struct slice host;  /* with its port, as it stands in artifact URIs */
    bool plain_http;    /* http instead of https */
    bool allow_private; /* loopback, link-local and private addresses too */
};

struct policy_environment {
    struct slice name;
    struct slice *after; /* environments that the release must have been promoted to */
    size_t after_count;
};

struct policy_project {
    struct slice match; /* `*` stands for any run of characters, also across `/` */
    bool unsigned_allowed;
    struct slice *unchecked_types;
    size_t unchecked_count;
    int64_t waiting_limit; /* microseconds, at most 7 days */
    struct policy_environment *environments;
    size_t environment_count;
};

struct policy {
    struct policy_registry *registries;
    size_t registry_count;
    struct policy_project *projects;
    size_t project_count;
};

/* Compiles the YAML text. Everything lives in the arena. Unknown keys, duplicate keys, anchors, aliases and tags are
 * refused, as is an `after` that names no environment of the same project or leads in a circle. Codes "policy-invalid",
 * "yaml-invalid", "too-large", with a message that begins with "line L, column C:". Returns 0 or -1. */
int policy_parse(struct arena *arena, struct slice yaml, const struct policy **ret_policy, struct error *error);

/* Does the pattern match the text? `*` stands for any run of characters, also an empty one. */
bool policy_match(struct slice pattern, struct slice text);
/* The first project whose pattern matches, or NULL. */
const struct policy_project *policy_project(const struct policy *policy, struct slice project);
const struct policy_environment *policy_environment(const struct policy_project *project, struct slice environment);
const struct policy_registry *policy_registry(const struct policy *policy, struct slice host);
bool policy_type_is_unchecked(const struct policy_project *project, struct slice artifact_type);

#endif
