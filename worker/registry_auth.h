/* Credentials for registries: Docker's config.json, the tokens that were fetched with them, and who may be sent what.
 * Secrets stay in here and in the header fields that are made of them; they never enter a message. */
#ifndef SLUICE_REGISTRY_AUTH_H
#define SLUICE_REGISTRY_AUTH_H

#include "arena.h"
#include "buf.h"
#include "digest.h"
#include "error.h"
#include "registry_headers.h"

#include <stdint.h>

enum { DOCKER_CONFIG_BYTES_MAX = 1024 * 1024, TOKEN_ANSWER_MAX = 1024 * 1024, TOKEN_MAX = 8192, TOKEN_ENTRIES = 256 };

/* The host that serves a registry's name: Docker Hub's is another than its name. */
struct slice registry_endpoint(struct slice host);

/* ---- Docker's config.json ---- */

struct credential {
    struct slice host;  /* with its port, as registry_endpoint gives it */
    struct slice basic; /* base64 of user:password, as an Authorization field has it */
    struct credential *next;
};

/* The usable `auths` of the file: those with `auth`, or `username` and `password`. Keys may be URLs. Everything is in the
 * arena. `path` only stands in messages. Returns 0 or -1. */
int docker_config_parse(struct arena *arena, struct slice text, const char *path, struct credential **ret_first,
                        struct error *error);
int docker_config_load(struct arena *arena, const char *path, struct credential **ret_first, struct error *error);
/* NULL when there is none. */
const struct credential *credential_find(const struct credential *first, struct slice host);

/* ---- token realms ---- */

/* Whether a token for `registry` (host with port) may be fetched from there, and its credentials sent along: from its own
 * host, from the few whose token server is known to be another, and from `allowed`, "host[:port]" with commas between them
 * (may be NULL). Plain HTTP only from its own host, and only if it is itself configured so. */
bool realm_is_allowed(const struct realm *realm, struct slice registry, bool plain_http, const char *allowed);

/* Appends the URL of a token request: the realm with `service` and `scope`, percent-encoded. */
void token_url(struct buf *to, const struct challenge *challenge);
/* From a token server's answer; `ret_token` is in the arena and fit for a header field. expires_in defaults to 60 s and is
 * taken as at most an hour. */
bool token_parse(struct arena *arena, struct slice body, struct slice *ret_token, int64_t *ret_seconds);

/* ---- the tokens that are still good ---- */

struct token_cache;

/* NULL without memory. */
struct token_cache *token_cache_new(void);
void token_cache_free(struct token_cache *cache);
/* Tokens are forgotten a little before they expire, and the first to expire when there are too many. */
void token_cache_put(struct token_cache *cache, const struct digest *key, struct slice token, int64_t seconds, uint64_t now_ms);
/* A NULL `p` when there is none; good until the next put or drop. */
struct slice token_cache_get(const struct token_cache *cache, const struct digest *key, uint64_t now_ms);
void token_cache_drop(struct token_cache *cache, const struct digest *key);

#endif
