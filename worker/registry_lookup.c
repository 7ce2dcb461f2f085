/* One question's way: HEAD, perhaps a token, HEAD again, an answer. */
#include "registry_client.h"

#include "manifest.h"
#include "memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const manifest_types[] = {
    "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json"};
static const char accept_line[] = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
                                  "application/vnd.docker.distribution.manifest.list.v2+json, "
                                  "application/vnd.docker.distribution.manifest.v2+json";

enum { REFUSALS_MAX = 3, REFERENCE_MAX = 1024, AUTHORIZATION_MAX = 20000 /* more than a token or a password may have */ };

static void lookup_done(struct http_request *request);
static void fetch_done(struct http_request *request);

/* ---- a lookup's life ---- */

struct lookup *lookup_new(struct client *client, struct host *host, const struct registry_question *question,
                          const struct digest *key, bool *ret_invalid) {
    /* What goes into the URL is checked here once more, by the parser of references. */
    struct image_reference reference;
    char whole[REFERENCE_MAX];
    int size = snprintf(whole, sizeof whole, "%.*s/%.*s@%.*s", SLICE_ARG(question->host), SLICE_ARG(question->repository),
                        SLICE_ARG(question->digest));
    *ret_invalid = size < 0 || size >= REFERENCE_MAX || !image_reference_parse(slice_of(whole, (size_t)size), &reference) ||
                   reference.tag.p || !slice_equal(reference.digest, question->digest);
    if (*ret_invalid) return NULL;
    /* Docker Hub's official images have no owner in their name. */
    bool official = slice_is(registry_endpoint(question->host), "registry-1.docker.io") &&
                    !memchr(question->repository.p, '/', question->repository.n);
    size_t room = question->repository.n + question->digest.n + 16;
    struct lookup *lookup = calloc(1, sizeof *lookup + room);
    if (!lookup) return NULL;
    int n = snprintf(lookup->text, room, "%s%.*s", official ? "library/" : "", SLICE_ARG(question->repository));
    lookup->repository = lookup->text;
    lookup->digest = lookup->text + n + 1;
    (void)snprintf(lookup->text + n + 1, room - (size_t)n - 1, "%.*s", SLICE_ARG(question->digest));
    lookup->client = client;
    lookup->host = host;
    lookup->key = *key;
    lookup->at = client->lookups_end;
    *client->lookups_end = lookup;
    client->lookups_end = &lookup->next;
    return lookup;
}

static void stop_request(struct client *client, struct host *host, struct http_request *request) {
    if (request->transfer) {
        host->running--;
        client->running--;
    }
    http_reset(client->http, request);
}

static void leave_line(struct lookup **line, struct lookup ***end, const struct lookup *lookup) {
    while (*line && *line != lookup) line = &(*line)->next_in_line;
    if (!*line) return;
    *line = lookup->next_in_line;
    if (end && !*line) *end = line;
}

void lookup_free(struct lookup *lookup) {
    struct client *client = lookup->client;
    stop_request(client, lookup->host, &lookup->request);
    if (lookup->state == LOOKUP_QUEUED) leave_line(&lookup->host->queue, &lookup->host->queue_end, lookup);
    if (lookup->state == LOOKUP_TOKEN)
        for (struct token_fetch *fetch = client->fetches; fetch; fetch = fetch->next) leave_line(&fetch->waiting, NULL, lookup);
    *lookup->at = lookup->next;
    if (lookup->next)
        lookup->next->at = lookup->at;
    else
        client->lookups_end = lookup->at;
    if (lookup->waiters) client->open--;
    free(lookup->challenge);
    free(lookup);
}

void lookup_end(struct lookup *lookup, const struct finding *finding, const char *format, ...) {
    char detail[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    struct client *client = lookup->client;
    if (finding->answer == REGISTRY_FOUND) {
        struct registry_cached found = {.status = finding->status, .named = finding->named, .checked_at = lookup->asked_at};
        registry_cache_put(client->cache, &lookup->key, &found, monotonic_ms());
    }
    /* Anything else is the answer of the moment it was asked at, so a lingering one tells it to nobody. */
    instant at = finding->answer == REGISTRY_FOUND ? lookup->asked_at : client->now;
    for (struct waiter *waiter = lookup->waiters; waiter; waiter = waiter->next)
        question_answer(client, waiter->question, finding, at, detail);
    lookup_free(lookup);
}

static bool start_request(struct client *client, struct host *host, struct http_request *request, const char *url,
                          const char *const *headers, size_t count) {
    if (http_start(client->http, request, url, headers, count, REQUEST_MS)) return false;
    request->began_ms = monotonic_ms();
    host->running++;
    client->running++;
    host->asked++;
    return true;
}

static void out_of_memory(struct lookup *lookup) {
    lookup_end(lookup, &(struct finding){.answer = REGISTRY_UNREACHABLE}, "%s could not be asked: out of memory",
               lookup->host->name);
}

static void ask(struct lookup *lookup, const char *authorization) {
    struct host *host = lookup->host;
    const char *const headers[] = {accept_line, authorization};
    char url[HTTP_URL_MAX];
    (void)snprintf(url, sizeof url, "%s://%s/v2/%s/manifests/%s", host->plain_http ? "http" : "https", host->endpoint,
                   lookup->repository, lookup->digest);
    lookup->request.head = true;
    lookup->request.plain_http = host->plain_http;
    lookup->request.allow_private = host->allow_private;
    lookup->request.done = lookup_done;
    lookup->state = LOOKUP_ASKING;
    lookup->lingering = false;
    lookup->asked_at = lookup->client->now;
    if (!start_request(lookup->client, host, &lookup->request, url, headers, authorization ? 2 : 1)) out_of_memory(lookup);
}

/* ---- tokens ---- */

static struct digest token_key(const struct host *host, const struct challenge *challenge) {
    const struct slice separator = SLICE("\n");
    const struct slice parts[] = {slice_str(host->name),         separator, slice_str(challenge->realm), separator,
                                  slice_str(challenge->service), separator, slice_str(challenge->scope)};
    return digest_sha256(parts, sizeof parts / sizeof *parts);
}

static const struct credential *credential_of(const struct lookup *lookup) {
    return credential_find(lookup->client->credentials, slice_str(lookup->host->endpoint));
}

static struct token_fetch *begin_fetch(struct lookup *lookup, const struct digest *key) {
    struct client *client = lookup->client;
    struct host *host = lookup->host;
    const struct credential *credential = credential_of(lookup);
    struct token_fetch *fetch = calloc(1, sizeof *fetch);
    char line[AUTHORIZATION_MAX];
    const char *const headers[] = {line};
    struct buf url;
    buf_init(&url, HTTP_URL_MAX);
    if (!fetch) goto failed;
    token_url(&url, lookup->challenge);
    if (credential) (void)snprintf(line, sizeof line, "Authorization: Basic %.*s", SLICE_ARG(credential->basic));
    if (url.failed) goto failed;
    *fetch = (struct token_fetch){.client = client, .host = host, .key = *key};
    fetch->request.plain_http = slice_starts(buf_slice(&url), SLICE("http://"));
    fetch->request.allow_private = host->allow_private;
    fetch->request.body_max = TOKEN_ANSWER_MAX;
    fetch->request.done = fetch_done;
    if (!start_request(client, host, &fetch->request, url.p, headers, credential ? 1 : 0)) goto failed;
    fetch->next = client->fetches;
    client->fetches = fetch;
    buf_release(&url);
    return fetch;
failed:
    buf_release(&url);
    free(fetch);
    return NULL;
}

static void wait_for_token(struct lookup *lookup, const struct digest *key) {
    struct token_fetch *fetch = lookup->client->fetches;
    while (fetch && !digest_equal(&fetch->key, key)) fetch = fetch->next;
    if (!fetch) fetch = begin_fetch(lookup, key);
    if (!fetch) {
        out_of_memory(lookup);
        return;
    }
    lookup->state = LOOKUP_TOKEN;
    lookup->token_is_new = true;
    lookup->next_in_line = fetch->waiting;
    fetch->waiting = lookup;
}

void fetch_free(struct token_fetch *fetch) {
    struct client *client = fetch->client;
    struct token_fetch **at = &client->fetches;
    while (*at && *at != fetch) at = &(*at)->next;
    if (*at) *at = fetch->next;
    stop_request(client, fetch->host, &fetch->request);
    free(fetch);
}

/* Why there is no token. */
static void token_refused(struct lookup *lookup, const struct http_request *request) {
    struct finding finding = {.answer = REGISTRY_UNREACHABLE, .status = request->status};
    const char *name = lookup->host->name;
    if (request->outcome != HTTP_ANSWERED)
        lookup_end(lookup, &finding, "the token server of %s gave no answer: %s", name, request->message);
    else if (request->status == 400 || request->status == 401 || request->status == 403) {
        finding.answer = REGISTRY_DENIED;
        lookup_end(lookup, &finding, "the token server of %s refuses %s (status %d)", name,
                   credential_of(lookup) ? "the credentials that registry.docker-config has for it"
                                         : "to give a token to anybody; registry.docker-config has no credentials for it",
                   request->status);
    } else
        lookup_end(lookup, &finding, "the token server of %s gave no token (status %d)", name, request->status);
}

static void fetch_done(struct http_request *request) {
    struct token_fetch *fetch = (struct token_fetch *)request;
    struct client *client = fetch->client;
    struct host *host = fetch->host;
    struct slice token = {NULL, 0};
    int64_t seconds = 0;
    struct arena scratch;
    arena_init(&scratch, 4 * TOKEN_ANSWER_MAX);
    unsigned long refusals = memory_refusals();
    host->running--;
    client->running--;
    bool answered = request->outcome == HTTP_ANSWERED && request->status < 500;
    bool given = request->outcome == HTTP_ANSWERED && request->status == 200 &&
                 token_parse(&scratch, buf_slice(&request->body), &token, &seconds);
    bool starved = !given && memory_refusals() != refusals; /* it may have given one */
    if (given) token_cache_put(client->tokens, &fetch->key, token, seconds, monotonic_ms());
    bool busy = answered && request->status == 429;
    if (answered)
        host_answered(client, host, request);
    else if (fetch->waiting)
        host_failed(host, request->outcome == HTTP_ANSWERED ? "its token server fails" : request->message);
    while (fetch->waiting) {
        struct lookup *lookup = fetch->waiting;
        fetch->waiting = lookup->next_in_line;
        host_enqueue(lookup);
        if (starved)
            out_of_memory(lookup);
        else if (!given && !busy)
            token_refused(lookup, request);
    }
    if (busy) host_is_busy(host, retry_after(buf_slice(&request->headers), client->now));
    arena_release(&scratch);
    fetch_free(fetch);
}

/* ---- asking ---- */

static void refuse_realm(struct lookup *lookup, const struct realm *realm) {
    struct finding finding = {.answer = REGISTRY_DENIED, .status = 401};
    lookup_end(lookup, &finding,
               "%s sends for a token to %s%.*s, which is not its own host; if that is right, name it in registry.token-realms",
               lookup->host->name, realm->plain_http ? "http://" : "", SLICE_ARG(realm->authority));
}

/* Asks with what the lookup's challenge wants. */
static void ask_with_challenge(struct lookup *lookup) {
    const struct challenge *challenge = lookup->challenge;
    struct client *client = lookup->client;
    const struct credential *credential = credential_of(lookup);
    char line[AUTHORIZATION_MAX];
    if (challenge->scheme == CHALLENGE_BASIC) {
        if (!credential) {
            lookup_end(lookup, &(struct finding){.answer = REGISTRY_DENIED, .status = 401},
                       "%s wants a user and a password; add it to `auths` of registry.docker-config", lookup->host->name);
            return;
        }
        lookup->token_is_new = true;
        (void)snprintf(line, sizeof line, "Authorization: Basic %.*s", SLICE_ARG(credential->basic));
    } else {
        struct digest key = token_key(lookup->host, challenge);
        struct slice token = token_cache_get(client->tokens, &key, monotonic_ms());
        if (!token.p) {
            wait_for_token(lookup, &key);
            return;
        }
        (void)snprintf(line, sizeof line, "Authorization: Bearer %.*s", SLICE_ARG(token));
    }
    ask(lookup, line);
}

static struct challenge *copy_challenge(const struct challenge *challenge) {
    struct challenge *copy = malloc(sizeof *copy);
    if (copy) *copy = *challenge;
    return copy;
}

static void usual_scope(char *to, size_t room, const struct lookup *lookup) {
    (void)snprintf(to, room, "repository:%s:pull", lookup->repository);
}

void lookup_start(struct lookup *lookup) {
    struct host *host = lookup->host;
    /* A registry that wanted authentication before gets it at once. */
    if (!lookup->challenge && host->challenge.scheme != CHALLENGE_NONE && (lookup->challenge = copy_challenge(&host->challenge)))
        if (host->scoped) usual_scope(lookup->challenge->scope, CHALLENGE_TEXT, lookup);
    if (lookup->challenge)
        ask_with_challenge(lookup);
    else
        ask(lookup, NULL);
}

/* ---- what it answers ---- */

static bool same_challenge(const struct challenge *a, const struct challenge *b) {
    return a->scheme == b->scheme && strcmp(a->realm, b->realm) == 0 && strcmp(a->service, b->service) == 0 &&
           strcmp(a->scope, b->scope) == 0;
}

static void on_unauthorized(struct lookup *lookup) {
    struct client *client = lookup->client;
    struct host *host = lookup->host;
    struct finding denied = {.answer = REGISTRY_DENIED, .status = 401};
    struct challenge challenge;
    struct realm realm;
    challenge_read(buf_slice(&lookup->request.headers), &challenge);
    bool asked_for = lookup->challenge && lookup->token_is_new && same_challenge(lookup->challenge, &challenge);
    if (asked_for || ++lookup->refusals > REFUSALS_MAX) {
        lookup_end(lookup, &denied, "%s refuses %s", host->name,
                   credential_of(lookup) ? "the credentials that registry.docker-config has for it"
                                         : "an anonymous token; registry.docker-config has no credentials for it");
        return;
    }
    if (lookup->challenge) { /* a remembered token that it no longer takes */
        struct digest key = token_key(host, lookup->challenge);
        token_cache_drop(client->tokens, &key);
    }
    if (challenge.scheme == CHALLENGE_NONE) {
        lookup_end(lookup, &denied, "%s wants an authentication that is neither Bearer nor Basic", host->name);
        return;
    }
    if (challenge.scheme == CHALLENGE_BEARER) {
        if (!realm_parse(slice_str(challenge.realm), &realm)) {
            lookup_end(lookup, &denied, "%s sends for a token to a realm that is no plain URL", host->name);
            return;
        }
        if (!realm_is_allowed(&realm, slice_str(host->endpoint), host->plain_http, client->options.token_realms)) {
            refuse_realm(lookup, &realm);
            return;
        }
    }
    char usual[CHALLENGE_TEXT];
    usual_scope(usual, sizeof usual, lookup);
    bool scoped = strcmp(usual, challenge.scope) == 0;
    if (scoped || challenge.scheme == CHALLENGE_BASIC || !challenge.scope[0]) {
        host->challenge = challenge;
        host->scoped = scoped;
    }
    free(lookup->challenge);
    lookup->challenge = copy_challenge(&challenge);
    lookup->token_is_new = false;
    if (lookup->challenge)
        ask_with_challenge(lookup);
    else
        out_of_memory(lookup);
}

static bool is_manifest_type(struct slice type) {
    const char *end = type.n ? memchr(type.p, ';', type.n) : NULL;
    if (end) type.n = (size_t)(end - type.p);
    while (type.n && type.p[type.n - 1] == ' ') type.n--;
    for (size_t i = 0; i < sizeof manifest_types / sizeof *manifest_types; i++)
        if (slice_equal_nocase(type, slice_str(manifest_types[i]))) return true;
    return false;
}

static void on_found(struct lookup *lookup) {
    struct slice headers = buf_slice(&lookup->request.headers), any = {NULL, 0};
    struct slice digest = header_only(headers, "docker-content-digest");
    const char *name = lookup->host->name;
    struct finding finding = {.answer = REGISTRY_FOUND, .status = 200, .found_digest = digest, .named = digest.p != NULL};
    bool unnamed = !header_next(headers, "docker-content-digest", &(size_t){0}, &any);
    if (unnamed ? is_manifest_type(header_only(headers, "content-type")) : digest.p && slice_is(digest, lookup->digest))
        lookup_end(lookup, &finding, "%s", "");
    else if (lookup->lingering && lookup->waiters)
        host_enqueue(lookup);
    else if (digest_is_valid(digest)) {
        finding.answer = REGISTRY_MISMATCH;
        lookup_end(lookup, &finding, "%s/%s was asked for %s and answered with %.*s", name, lookup->repository, lookup->digest,
                   SLICE_ARG(digest));
    } else {
        finding = (struct finding){.answer = REGISTRY_UNREACHABLE, .status = 200};
        lookup_end(lookup, &finding,
                   "%s does not answer as a registry does: neither a usable Docker-Content-Digest nor a manifest's Content-Type; "
                   "is the address right?",
                   name);
    }
}

static void on_status(struct lookup *lookup) {
    struct client *client = lookup->client;
    struct host *host = lookup->host;
    int status = lookup->request.status;
    int64_t again = status == 429 || status == 503 ? retry_after(buf_slice(&lookup->request.headers), client->now) : -1;
    struct finding finding = {
        .answer = REGISTRY_UNREACHABLE, .status = status, .again_ms = again > 0 ? (uint64_t)again * 1000 : 0};
    if (status == 404) {
        finding.answer = REGISTRY_MISSING;
        lookup_end(lookup, &finding, "%s/%s has nothing under %s", host->name, lookup->repository, lookup->digest);
    } else if (status == 403) {
        finding.answer = REGISTRY_DENIED;
        lookup_end(lookup, &finding, "%s does not let %s read %s", host->name,
                   credential_of(lookup) ? "the user of registry.docker-config" : "anybody without credentials",
                   lookup->repository);
    } else if (status == 429) {
        host_enqueue(lookup);
        host_is_busy(host, again);
    } else if (status >= 300 && status < 400)
        lookup_end(lookup, &finding, "%s redirects to another place (status %d), which is not followed", host->name, status);
    else
        lookup_end(lookup, &finding, "%s failed with status %d", host->name, status);
}

static void lookup_done(struct http_request *request) {
    struct lookup *lookup = (struct lookup *)request;
    struct client *client = lookup->client;
    struct host *host = lookup->host;
    bool answered = request->outcome == HTTP_ANSWERED;
    host->running--;
    client->running--;
    if (answered && request->status < 500)
        host_answered(client, host, request);
    else if (!lookup->lingering) {
        char why[64];
        (void)snprintf(why, sizeof why, "status %d", request->status);
        host_failed(host, answered ? why : request->message);
    }
    if (!lookup->waiters && !(answered && request->status == 200)) { /* nobody waits, and only what is found is remembered */
        if (answered && request->status == 429) host_is_busy(host, retry_after(buf_slice(&request->headers), client->now));
        lookup_free(lookup);
    } else if (answered && request->status == 401) {
        on_unauthorized(lookup);
    } else if (lookup->lingering && !(answered && request->status == 200)) {
        host_enqueue(lookup);
    } else if (!answered) {
        lookup_end(lookup, &(struct finding){.answer = REGISTRY_UNREACHABLE}, "%s gave no answer: %s", host->name,
                   request->message);
    } else if (request->status == 200) {
        on_found(lookup);
    } else
        on_status(lookup);
}
