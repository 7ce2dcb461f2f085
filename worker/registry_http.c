/* One call of the registry client: what is asked, how many requests at once, and what goes on when the time is up. */
#include "metrics.h"
#include "registry_client.h"

#include <stdio.h>
#include <stdlib.h>

enum { BUSY_FIRST_S = 1, BUSY_LONGEST_S = 60, DOUBT_MS = 10, CREDENTIALS_MAX = 32 * 1024 * 1024 };

/* ---- answers ---- */

void question_answer(struct client *client, struct registry_question *question, const struct finding *finding, instant checked_at,
                     const char *detail) {
    question->answer = finding->answer;
    question->status = finding->status;
    question->found_digest =
        finding->found_digest.p ? arena_copy(client->call_arena, finding->found_digest) : (struct slice){NULL, 0};
    question->detail = detail[0] ? arena_copy(client->call_arena, slice_str(detail)) : (struct slice){NULL, 0};
    question->checked_at = checked_at;
    question->again_at = finding->again_ms ? client->now + (instant)finding->again_ms * 1000 : 0;
}

static bool answer_from_cache(struct client *client, struct registry_question *question, const struct digest *key) {
    struct registry_cached cached;
    if (!registry_cache_get(client->cache, key, monotonic_ms(), &cached)) return false;
    /* checked_at is by the store's clock: when that was set, what would look too old, or not looked at yet, is asked again. */
    instant age = client->now - cached.checked_at;
    if (age < 0 || age > (instant)REGISTRY_CACHE_MS * 1000) return false;
    struct finding finding = {.answer = REGISTRY_FOUND, .status = cached.status};
    if (cached.named) finding.found_digest = question->digest;
    question_answer(client, question, &finding, cached.checked_at, "");
    client->remembered++;
    return true;
}

/* ---- hosts ---- */

static struct host *host_of(struct client *client, const struct registry_question *question) {
    for (struct host *host = client->hosts; host; host = host->next)
        if (slice_is(question->host, host->name) && host->plain_http == question->plain_http &&
            host->allow_private == question->allow_private)
            return host;
    if (client->host_count == HOSTS_MAX || memchr(question->host.p, '\0', question->host.n)) return NULL;
    struct host *host = calloc(1, sizeof *host + question->host.n + 1);
    if (!host) return NULL;
    memcpy(host->name, question->host.p, question->host.n);
    struct slice name = slice_of(host->name, question->host.n), endpoint = registry_endpoint(name);
    host->endpoint = endpoint.p; /* its own name or a literal: terminated in either case */
    host->plain_http = question->plain_http;
    host->allow_private = question->allow_private;
    host->queue_end = &host->queue;
    host->next = client->hosts;
    client->hosts = host;
    client->host_count++;
    return host;
}

void host_enqueue(struct lookup *lookup) {
    struct host *host = lookup->host;
    lookup->state = LOOKUP_QUEUED;
    lookup->next_in_line = NULL;
    *host->queue_end = lookup;
    host->queue_end = &lookup->next_in_line;
}

/* Why the host is not asked now, for people; false when it may be asked. */
static bool host_rests(const struct host *host, uint64_t now_ms, struct finding *ret_finding, char *to, size_t room) {
    uint64_t until_ms = host->busy_until_ms;
    if (until_ms > now_ms) {
        (void)snprintf(to, room, "%s limits the rate of requests (status 429); it is asked again in %u s", host->name,
                       (unsigned)((until_ms - now_ms + 999) / 1000));
        *ret_finding = (struct finding){.answer = REGISTRY_BUSY, .status = 429, .again_ms = until_ms - now_ms};
        return true;
    }
    if (breaker_state(&host->breaker, now_ms) != BREAKER_OPEN) return false;
    until_ms = host->breaker.until_ms;
    (void)snprintf(to, room, "%s keeps failing (%s) and is left alone; it is asked again in %u s", host->name, host->failure,
                   (unsigned)((until_ms - now_ms + 999) / 1000));
    *ret_finding = (struct finding){.answer = REGISTRY_BUSY, .again_ms = until_ms - now_ms};
    return true;
}

/* Answers everything that is queued. */
static void host_flush(struct host *host, const struct finding *finding, const char *detail) {
    while (host->queue) lookup_end(host->queue, finding, "%s", detail);
}

void host_answered(struct client *client, struct host *host, const struct http_request *request) {
    host->answered++;
    host->silent_since_ms = monotonic_ms();
    if (request->status != 429) host->busy_count = 0;
    if (host->silent_since_ms <= request->began_ms + (uint64_t)client->wait_ms) {
        breaker_succeed(&host->breaker);
        host->in_doubt = false;
        host->patience_ms = client->wait_ms;
    } else if (host->breaker.failures) /* a late answer keeps a doubt, and makes none */
        host->breaker = (struct breaker){.failures = 1};
}

void host_failed(struct host *host, const char *why) {
    host->failed++;
    (void)snprintf(host->failure, sizeof host->failure, "%s", why);
}

void host_is_busy(struct host *host, int64_t seconds) {
    uint64_t now_ms = monotonic_ms();
    if (host->busy_until_ms <= now_ms) host->busy_count++;
    if (seconds < 0) {
        seconds = BUSY_FIRST_S;
        for (unsigned i = 1; i < host->busy_count && seconds < BUSY_LONGEST_S; i++) seconds *= 2;
        if (seconds > BUSY_LONGEST_S) seconds = BUSY_LONGEST_S;
    }
    if (seconds == 0) seconds = BUSY_FIRST_S;
    uint64_t until_ms = now_ms + (uint64_t)seconds * 1000;
    if (until_ms > host->busy_until_ms) host->busy_until_ms = until_ms;
    struct finding finding;
    char detail[FAILURE_TEXT + 600];
    if (host_rests(host, now_ms, &finding, detail, sizeof detail)) host_flush(host, &finding, detail);
}

/* ---- one call ---- */

static struct digest question_key(const struct registry_question *question) {
    const char way[2] = {(char)('0' + question->plain_http), (char)('0' + question->allow_private)};
    const struct slice separator = SLICE("\n");
    const struct slice parts[] = {slice_of(way, sizeof way), question->host, separator,
                                  question->repository,      separator,      question->digest};
    return digest_sha256(parts, sizeof parts / sizeof *parts);
}

static void give_up(struct client *client, struct registry_question *question, const char *why) {
    question_answer(client, question, &(struct finding){.answer = REGISTRY_UNREACHABLE}, client->now, why);
}

/* One question tries whether a host is back. The others are told what they were told before, as they are not asked either. */
static bool host_is_tried(const struct host *host, uint64_t now_ms) {
    return breaker_state(&host->breaker, now_ms) == BREAKER_HALF_OPEN;
}

/* The first question of this call to it. All that a lane has to do waits for the call, so a registry that gave no answer in the
 * last one is waited for a moment only, until it answers in time again; while a request of an earlier call still hangs, only when
 * its silence is to be counted: so one that is back is heard whatever else hangs. What needs longer lingers. */
static void host_begin(struct client *client, struct host *host) {
    client->hosts_wanted++;
    host->wanted = true;
    host->asked = host->answered = host->failed = 0;
    host->lingering = host->running;
    host->in_doubt = host->breaker.failures > 0;
    bool first_try = host_is_tried(host, client->began_ms) && host->tried_ms != host->breaker.until_ms;
    if (first_try) host->tried_ms = host->breaker.until_ms;
    bool counts = client->began_ms >= host->silent_since_ms + (uint64_t)client->wait_ms;
    int most = host->running && !counts ? 0 : DOUBT_MS;
    host->patience_ms = host->in_doubt && client->wait_ms > most ? most : client->wait_ms;
    if (first_try || !host->in_doubt) host->silent_since_ms = client->began_ms;
}

/* Answers the question at once, or lets it wait for a lookup: one of an equal question, one that lingers, or its own. */
static void admit(struct client *client, struct map *equal, struct registry_question *question, struct waiter *waiter) {
    struct digest key = question_key(question);
    if (answer_from_cache(client, question, &key)) return;
    struct host *host = host_of(client, question);
    struct finding finding;
    char detail[FAILURE_TEXT + 600];
    bool invalid = false;
    if (!host) {
        give_up(client, question, "too many registries, or out of memory");
        return;
    }
    if (host_rests(host, monotonic_ms(), &finding, detail, sizeof detail)) {
        question_answer(client, question, &finding, client->now, detail);
        return;
    }
    struct lookup *lookup = map_get(equal, slice_of(key.bytes, sizeof key.bytes));
    if (!lookup) {
        lookup = lookup_new(client, host, question, &key, &invalid);
        void **at = lookup ? map_at(equal, slice_of(lookup->key.bytes, sizeof lookup->key.bytes)) : NULL;
        if (lookup) host_enqueue(lookup);
        if (!at) {
            give_up(client, question, invalid ? "the reference holds what no registry's name may hold" : "out of memory");
            if (lookup) lookup_free(lookup);
            return;
        }
        *at = lookup;
    }
    if (!host->wanted) host_begin(client, host);
    if (!lookup->waiters) {
        client->open++;
        if (lookup->lingering) host->asked++;
    }
    *waiter = (struct waiter){.question = question, .next = lookup->waiters};
    lookup->waiters = waiter;
}

/* How many requests to the host there may be at once. No host may take so many that another one gets none: a dead one holds
 * them until the time is up. */
static unsigned host_limit(const struct client *client, const struct host *host, uint64_t now_ms) {
    if (host_is_tried(host, now_ms)) return host->lingering + 1;
    unsigned share = client->options.total / (client->hosts_wanted ? client->hosts_wanted : 1);
    if (share > client->options.per_registry) share = client->options.per_registry;
    return share ? share : 1;
}

/* Asking on is in vain: everything so far in this call has failed. */
static bool host_is_down(const struct host *host, uint64_t now_ms) {
    unsigned enough = host_is_tried(host, now_ms) ? 1 : BREAKER_FAILURES;
    return !host->answered && host->failed >= enough;
}

/* Starts what the limits allow, one of each host in turn. */
static void start_queued(struct client *client) {
    bool started = true;
    uint64_t now_ms = monotonic_ms();
    while (started) {
        started = false;
        for (struct host *host = client->hosts; host && client->running < client->options.total; host = host->next) {
            if (!host->queue || host->running >= host_limit(client, host, now_ms)) continue;
            struct lookup *lookup = host->queue;
            if (host_is_down(host, now_ms)) {
                char detail[FAILURE_TEXT + 600];
                (void)snprintf(detail, sizeof detail, "%s gave no answer: %s", host->name, host->failure);
                enum registry_answer answer = host_is_tried(host, now_ms) ? REGISTRY_BUSY : REGISTRY_UNREACHABLE;
                host_flush(host, &(struct finding){.answer = answer}, detail);
                continue;
            }
            host->queue = lookup->next_in_line;
            if (!host->queue) host->queue_end = &host->queue;
            lookup->state = LOOKUP_ASKING;
            lookup_start(lookup);
            started = true;
        }
    }
}

/* Whether a request may go on after the call. Few may, so that dead registries do not take the room of living ones; and those
 * that have lingered before leave room for a new one, so that a few that hang do not hide a registry that answers others. One of
 * a host in doubt finds more room: it is cut short in every call, and so nothing else shows that it is back. */
static bool may_linger(struct client *client, struct host *host, bool again) {
    unsigned most = again ? LINGERING_PER_HOST - 1 : LINGERING_PER_HOST;
    unsigned share = host->in_doubt && !host->lingering ? 2 : 4;
    if (host->lingering >= most || client->lingering >= client->options.total / share) return false;
    host->lingering++;
    client->lingering++;
    return true;
}

static void tell_time_is_up(struct client *client, struct lookup *lookup, uint64_t now_ms) {
    bool queued = lookup->state == LOOKUP_QUEUED;
    struct finding finding = {.answer = queued && host_is_tried(lookup->host, now_ms) ? REGISTRY_BUSY : REGISTRY_UNREACHABLE};
    const struct host *host = lookup->host;
    char detail[FAILURE_TEXT + 600];
    if (host->in_doubt && !host->patience_ms)
        (void)snprintf(detail, sizeof detail, "%s did not answer the last time (%s), nor in time since", host->name,
                       host->failure);
    else if (host->in_doubt)
        (void)snprintf(detail, sizeof detail, "%s did not answer the last time (%s), nor within %d ms now", host->name,
                       host->failure, host->patience_ms);
    else
        (void)snprintf(detail, sizeof detail,
                       queued ? "%s was not asked within %d ms: other questions to it came first"
                              : "%s did not answer within %d ms",
                       host->name, host->patience_ms);
    for (struct waiter *waiter = lookup->waiters; waiter; waiter = waiter->next)
        question_answer(client, waiter->question, &finding, client->now, detail);
    if (lookup->waiters) client->open--;
    lookup->waiters = NULL;
}

/* The time is up: what is open is answered, and of what runs a little lingers, tokens first. */
static void end_requests(struct client *client) {
    struct lookup *next;
    uint64_t now_ms = monotonic_ms();
    client->lingering = 0;
    for (struct host *host = client->hosts; host; host = host->next) host->lingering = 0;
    for (struct token_fetch *fetch = client->fetches; fetch; fetch = fetch->next)
        fetch->waiting = NULL; /* all of them end below */
    for (struct lookup *lookup = client->lookups; lookup; lookup = next) {
        next = lookup->next;
        tell_time_is_up(client, lookup, now_ms);
        if (lookup->state != LOOKUP_ASKING) lookup_free(lookup);
    }
    struct token_fetch *next_fetch;
    for (struct token_fetch *fetch = client->fetches; fetch; fetch = next_fetch) {
        next_fetch = fetch->next;
        if (!may_linger(client, fetch->host, false)) fetch_free(fetch);
    }
    for (struct lookup *lookup = client->lookups; lookup; lookup = next) {
        next = lookup->next;
        bool again = lookup->lingering;
        lookup->lingering = true;
        if (!may_linger(client, lookup->host, again)) lookup_free(lookup);
    }
}

/* A call in which a registry was asked and gave no answer at all counts as one failure, however many questions there were:
 * a registry that is only too slow for a large batch is not left alone for it. Silence of one that is waited for less counts
 * once it has lasted for a whole call's time. */
static void end_hosts(struct client *client) {
    uint64_t now_ms = monotonic_ms();
    for (struct host *host = client->hosts; host; host = host->next) {
        bool silent = host->wanted && !host->answered && (host->asked || host->running);
        if (silent && (host->failed || now_ms >= host->silent_since_ms + (uint64_t)client->wait_ms)) {
            if (!host->failed && !host->in_doubt)
                (void)snprintf(host->failure, sizeof host->failure, "no answer within %d ms", client->wait_ms);
            breaker_fail(&host->breaker, now_ms);
            host->silent_since_ms = now_ms;
        }
        host->wanted = false;
    }
    client->hosts_wanted = 0;
}

/* How long the most patient of those who wait still does, in ms. */
static int time_left_ms(const struct client *client) {
    int patience_ms = 0;
    for (const struct lookup *lookup = client->lookups; lookup && patience_ms < client->wait_ms; lookup = lookup->next)
        if (lookup->waiters && lookup->host->patience_ms > patience_ms) patience_ms = lookup->host->patience_ms;
    uint64_t until_ms = client->began_ms + (uint64_t)patience_ms, now_ms = monotonic_ms();
    return until_ms > now_ms ? (int)(until_ms - now_ms) : 0;
}

static void wait_for_answers(struct client *client) {
    for (;;) {
        start_queued(client);
        int left_ms = client->open && client->running ? time_left_ms(client) : 0;
        if (!left_ms) return;
        http_run(client->http, left_ms);
    }
}

static void count_answers(struct lane_metrics *metrics, const struct registry_question *questions, size_t count,
                          uint64_t remembered) {
    uint64_t unanswered = 0, busy = 0;
    for (size_t i = 0; i < count; i++) {
        unanswered += questions[i].answer == REGISTRY_UNREACHABLE;
        busy += questions[i].answer == REGISTRY_BUSY;
    }
    metrics_add(metrics, METRIC_REGISTRY_QUESTIONS, count);
    metrics_add(metrics, METRIC_REGISTRY_REMEMBERED, remembered);
    metrics_add(metrics, METRIC_REGISTRY_UNANSWERED, unanswered);
    metrics_add(metrics, METRIC_REGISTRY_BUSY, busy);
}

static void client_ask(struct registry *registry, struct arena *arena, struct registry_question *questions, size_t count,
                       instant now, int wait_ms) {
    struct client *client = (struct client *)registry;
    client->call_arena = arena;
    client->now = now;
    client->wait_ms = wait_ms > 0 ? wait_ms : 0;
    client->remembered = 0;
    client->began_ms = monotonic_ms();
    if (client->running) http_run(client->http, 0); /* what lingers */
    struct map equal;
    map_init(&equal, arena);
    for (struct lookup *lookup = client->lookups; lookup; lookup = lookup->next) {
        void **at = map_at(&equal, slice_of(lookup->key.bytes, sizeof lookup->key.bytes));
        if (at) *at = lookup;
    }
    struct waiter *waiters = ARENA_ARRAY(arena, struct waiter, count);
    for (size_t i = 0; i < count; i++) {
        if (waiters)
            admit(client, &equal, &questions[i], &waiters[i]);
        else
            give_up(client, &questions[i], "out of memory");
    }
    wait_for_answers(client);
    end_requests(client);
    end_hosts(client);
    client->call_arena = NULL;
    if (client->options.metrics) count_answers(client->options.metrics, questions, count, client->remembered);
}

static bool client_tend(struct registry *registry) {
    struct client *client = (struct client *)registry;
    if (client->running) http_run(client->http, 0);
    return client->running > 0;
}

static void client_free(struct registry *registry) {
    struct client *client = (struct client *)registry;
    if (!client) return;
    while (client->lookups) lookup_free(client->lookups);
    while (client->fetches) fetch_free(client->fetches);
    while (client->hosts) {
        struct host *host = client->hosts;
        client->hosts = host->next;
        free(host);
    }
    http_free(client->http);
    token_cache_free(client->tokens);
    registry_cache_free(client->cache);
    arena_release(&client->arena);
    free(client);
}

struct registry *registry_http_new(const struct registry_options *options, struct error *error) {
    static const struct registry_operations operations = {.ask = client_ask, .tend = client_tend, .free = client_free};
    struct client *client = calloc(1, sizeof *client);
    if (!client) goto memory;
    client->registry.operations = &operations;
    client->options = *options;
    if (!client->options.total) client->options.total = 64;
    if (!client->options.per_registry) client->options.per_registry = 16;
    client->lookups_end = &client->lookups;
    arena_init(&client->arena, CREDENTIALS_MAX);
    client->tokens = token_cache_new();
    client->cache = registry_cache_new(REGISTRY_CACHE_ENTRIES);
    if (!client->tokens || !client->cache) goto memory;
    if (options->docker_config && docker_config_load(&client->arena, options->docker_config, &client->credentials, error))
        goto failed;
    client->http = http_new(options->ca_bundle, client->options.total, error);
    if (!client->http) goto failed;
    return &client->registry;
memory:
    error_memory(error);
failed:
    if (client) client_free(&client->registry);
    return NULL;
}
