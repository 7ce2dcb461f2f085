/* The inside of the registry client, shared by its two files and by nobody else:
 *
 *   registry_http.c    one call: which questions are asked, how many at once, and what is left when the time is up
 *   registry_lookup.c  one question's way: ask, authenticate, ask again, answer
 *
 * A request that has not ended when its call's time is up may go on after it (it *lingers*), so that a registry that needs
 * more than one call's time to connect and to give a token is reached in the end. What it then finds is remembered; anything
 * else it says is too old to be told to a later call, which asks afresh. Between calls nobody waits, and no arena is there.
 */
#ifndef SLUICE_REGISTRY_CLIENT_H
#define SLUICE_REGISTRY_CLIENT_H

#include "breaker.h"
#include "http.h"
#include "map.h"
#include "monotonic.h"
#include "registry.h"
#include "registry_auth.h"
#include "registry_cache.h"

enum { REQUEST_MS = 10000, LINGERING_PER_HOST = 4, HOSTS_MAX = 1024, FAILURE_TEXT = 300 };

/* One question of the call, and the next that is equal to it. */
struct waiter {
    struct registry_question *question;
    struct waiter *next;
};

enum lookup_state {
    LOOKUP_QUEUED, /* in its host's queue */
    LOOKUP_ASKING, /* its request runs */
    LOOKUP_TOKEN   /* waits for a token */
};

struct lookup {
    struct http_request request;
    struct client *client;
    struct host *host;
    enum lookup_state state;
    struct digest key;      /* of the question */
    struct waiter *waiters; /* in the call's arena; NULL: nobody waits any more */
    bool lingering;         /* its request was begun by an earlier call */
    unsigned refusals;      /* 401s so far */
    bool token_is_new;      /* what it authenticates with was fetched for it */
    instant asked_at;
    struct challenge *challenge; /* what it authenticates by, or NULL */
    struct lookup *next, **at;   /* among all, the oldest first */
    struct lookup *next_in_line; /* in the queue, or waiting for the same token */
    const char *repository, *digest;
    char text[];
};

/* A token that is being fetched. */
struct token_fetch {
    struct http_request request;
    struct client *client;
    struct host *host;
    struct digest key;
    struct lookup *waiting;
    struct token_fetch *next;
};

/* A registry, for the life of the client. */
struct host {
    struct host *next;
    bool plain_http, allow_private;
    struct breaker breaker;
    uint64_t busy_until_ms;     /* it asked to be left alone */
    unsigned busy_count;        /* 429s in a row */
    struct challenge challenge; /* the usual one of its 401s; CHALLENGE_NONE before the first. Its scope is not used */
    bool scoped;                /* `challenge` wants the usual scope, "repository:<name>:pull" */
    unsigned running;           /* requests, lingering ones too */
    uint64_t silent_since_ms;   /* since when it is asked without an answer, or since that was counted as a failure */
    uint64_t tried_ms;          /* until when it was left alone when it was last tried again */
    struct lookup *queue, **queue_end;
    /* of this call */
    bool wanted;
    bool in_doubt;   /* it gave no answer in the last call, and none in time since */
    int patience_ms; /* how long it is waited for */
    unsigned asked, answered, failed;
    unsigned lingering;         /* requests that go on after the call, or were begun before it */
    char failure[FAILURE_TEXT]; /* the last one, for people */
    const char *endpoint;
    char name[]; /* as it is written in questions */
};

struct client {
    struct registry registry;
    struct registry_options options;
    struct http *http;
    struct arena arena; /* the credentials */
    struct credential *credentials;
    struct token_cache *tokens;
    struct registry_cache *cache;
    struct host *hosts;
    size_t host_count;
    struct lookup *lookups, **lookups_end;
    struct token_fetch *fetches;
    unsigned running;
    /* of this call */
    struct arena *call_arena;
    instant now;
    int wait_ms;
    uint64_t began_ms;
    unsigned hosts_wanted, lingering;
    uint64_t remembered; /* answers from the cache */
    size_t open;         /* lookups that somebody waits for */
};

/* What a lookup comes to. */
struct finding {
    enum registry_answer answer;
    int status;
    struct slice found_digest;
    bool named;
    uint64_t again_ms; /* from now; 0: no matter */
};

/* ---- registry_http.c ---- */

/* Appends it to its host's queue. */
void host_enqueue(struct lookup *lookup);
/* The registry answered the request. That ends the doubt unless it took longer than a call waits: it would hold up each call. */
void host_answered(struct client *client, struct host *host, const struct http_request *request);
/* It gave no usable answer; `why` is kept for people. */
void host_failed(struct host *host, const char *why);
/* It asked to be left alone for so many seconds (-1: it did not say); answers all that are queued. */
void host_is_busy(struct host *host, int64_t seconds);
/* Tells a question its answer; `detail` is for people. */
void question_answer(struct client *client, struct registry_question *question, const struct finding *finding, instant checked_at,
                     const char *detail);

/* ---- registry_lookup.c ---- */

/* NULL without memory, or when the question holds what cannot be in a URL (then *ret_invalid). */
struct lookup *lookup_new(struct client *client, struct host *host, const struct registry_question *question,
                          const struct digest *key, bool *ret_invalid);
/* Stops what it does and frees it. */
void lookup_free(struct lookup *lookup);
/* Asks, or first fetches a token. */
void lookup_start(struct lookup *lookup);
/* Tells all who wait, and frees it. */
void lookup_end(struct lookup *lookup, const struct finding *finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Stops it and frees it; nobody waits for it any more. */
void fetch_free(struct token_fetch *fetch);

#endif
