/* The registries' port: does a registry have a manifest under exactly this digest? registry_http.c is the real one
 * (OCI distribution-spec 1.1, "Pulling manifests"): HEAD /v2/<repository>/manifests/<digest>.
 *
 * All questions of one call run at once; equal ones are asked once. Never fails as a whole: what is not answered
 * within the time is REGISTRY_UNREACHABLE. What was found is remembered for five minutes by (host, repository, digest); nothing
 * else is remembered beyond the call, but for a registry that asked to be left alone (429) or keeps timing out (breaker). */
#ifndef SLUICE_REGISTRY_H
#define SLUICE_REGISTRY_H

#include "arena.h"
#include "slice.h"
#include "text.h"

#include <stdbool.h>
#include <stddef.h>

enum registry_answer {
    REGISTRY_NOT_ASKED = 0,
    REGISTRY_FOUND,
    REGISTRY_MISSING,     /* 404 for the digest */
    REGISTRY_MISMATCH,    /* it answered with another digest, which is in `found_digest` */
    REGISTRY_DENIED,      /* 401 or 403 after what authentication there is */
    REGISTRY_BUSY,        /* 429, or the breaker is open */
    REGISTRY_UNREACHABLE, /* no usable answer: time, connection, TLS, address not allowed, 5xx, redirect, anything unexpected */
};

struct registry_question {
    struct slice host; /* with its port */
    struct slice repository, digest;
    bool plain_http, allow_private; /* as the policy says for the host */

    enum registry_answer answer;
    int status;                /* HTTP, 0 without one */
    struct slice found_digest; /* what the registry called it (Docker-Content-Digest), or a NULL `p`; in the arena */
    struct slice detail;       /* for a person: which registry, and why no better answer; or a NULL `p`; in the arena */
    instant checked_at;
    instant again_at; /* not before then (Retry-After, breaker), or 0 */
};

struct registry;

struct registry_operations {
    /* Answers every question, within about `wait_ms`. `now` is the batch's, for checked_at and again_at. */
    void (*ask)(struct registry *registry, struct arena *arena, struct registry_question *questions, size_t count, instant now,
                int wait_ms);
    /* What was not answered in time goes on a little here, without waiting; true while there is something that does. */
    bool (*tend)(struct registry *registry);
    void (*free)(struct registry *registry);
};

struct registry {
    const struct registry_operations *operations;
};

struct lane_metrics;

struct registry_options {
    const char *docker_config; /* path of a Docker config.json with `auths`, or NULL */
    const char *ca_bundle;     /* PEM file of certificate authorities, or NULL for the system's */
    const char *token_realms;  /* "host[:port]", with commas between: token servers beside the registries' own hosts; or NULL */
    unsigned per_registry;     /* requests to one registry at once */
    unsigned total;            /* requests at once */
    struct lane_metrics *metrics; /* counts METRIC_REGISTRY_...; or NULL */
};

struct error;
/* NULL with *error set. The options' texts must outlive it. */
struct registry *registry_http_new(const struct registry_options *options, struct error *error);

#endif
