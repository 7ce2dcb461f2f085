/* Any sequence of answers to the registry client, over an HTTP that gives what the input says: each question gets one answer,
 * "found" only when a registry said so, and requests and secrets go nowhere else than they may.
 *
 * The input is blocks with a line "--" between them, one for each request: a first line "200", "timeout", "refused", "large",
 * "failed" or "later" (it comes in the next call; a status may stand behind it), header fields up to an empty line, a body.
 *
 * Covers: worker/registry_http.c worker/registry_lookup.c */
#include "fuzz.h"
#include "http.h"
#include "metrics.h"
#include "registry.h"
#include "registry_headers.h"

#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

static const char config[] = "{\"auths\":{\"r.example\":{\"auth\":\"c2VjcmV0OnNlY3JldA==\"}}}";
#define SECRET "Authorization: Basic c2VjcmV0OnNlY3JldA=="
#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

enum { TRANSFERS = 32, ASKED = 12 };

static const struct registry_question asked[ASKED] = {
    {.host = SLICE("r.example"), .repository = SLICE("acme/shop"), .digest = SLICE(DIGEST_A)},
    {.host = SLICE("r.example"), .repository = SLICE("acme/shop"), .digest = SLICE(DIGEST_B)},
    {.host = SLICE("localhost:5000"),
     .repository = SLICE("a"),
     .digest = SLICE(DIGEST_A),
     .plain_http = true,
     .allow_private = true},
    {.host = SLICE("docker.io"), .repository = SLICE("nginx"), .digest = SLICE(DIGEST_A)},
    {.host = SLICE("r.example"), .repository = SLICE("acme/shop"), .digest = SLICE(DIGEST_A)}, /* equal to the first */
    {.host = SLICE("r.example"), .repository = SLICE("UPPER"), .digest = SLICE(DIGEST_A)},     /* no reference */
    {.host = SLICE("r.example"), .repository = SLICE("b"), .digest = SLICE(DIGEST_A)},         /* as many as may fail in a row */
    {.host = SLICE("r.example"), .repository = SLICE("c"), .digest = SLICE(DIGEST_A)},
    {.host = SLICE("r.example"), .repository = SLICE("d"), .digest = SLICE(DIGEST_A)},
    {.host = SLICE("r.example"), .repository = SLICE("e"), .digest = SLICE(DIGEST_A)},
    {.host = SLICE("r.example"), .repository = SLICE("f"), .digest = SLICE(DIGEST_A)},
    {.host = SLICE("r.example"), .repository = SLICE("g"), .digest = SLICE(DIGEST_A)},
};
#define R "https://r.example/v2/"
#define M "/manifests/" DIGEST_A
static const char *const urls[ASKED] = {R "acme/shop" M,
                                        R "acme/shop/manifests/" DIGEST_B,
                                        "http://localhost:5000/v2/a" M,
                                        "https://registry-1.docker.io/v2/library/nginx" M,
                                        R "acme/shop" M,
                                        "",
                                        R "b" M,
                                        R "c" M,
                                        R "d" M,
                                        R "e" M,
                                        R "f" M,
                                        R "g" M};

/* ---- an HTTP of the input's making ---- */

struct http_transfer {
    struct http_request *request;
    struct slice block;
    unsigned not_before; /* the call */
    char url[HTTP_URL_MAX];
};

static struct slice script;
static unsigned call;
static struct http_transfer transfers[TRANSFERS];
static bool said_found[ASKED]; /* a 200 was given for it that may be taken for "found" */

struct http *http_new(const char *ca_bundle, unsigned connections, struct error *error) {
    (void)ca_bundle, (void)connections, (void)error;
    return (struct http *)(void *)transfers;
}

void http_free(struct http *http) {
    (void)http;
    for (size_t i = 0; i < TRANSFERS; i++) REQUIRE(!transfers[i].request);
}

static struct slice next_block(void) {
    struct slice block = slice_of(script.p, 0);
    for (struct slice line; script.n; block.n = (size_t)(script.p - block.p)) {
        line = fuzz_line(&script);
        if (slice_is(line, "--")) break;
    }
    return block;
}

static bool goes_to(const char *url, const char *place) {
    size_t n = strlen(place);
    return strncasecmp(url, place, n) == 0 && /* hosts have no case */
           (!url[n] || strchr("/?", url[n]) || (url[n] == ':' && !strchr(place + 8, ':')));
}

/* The hosts of the questions, and for tokens those that are theirs, known, or configured. */
static void check_request(const struct http_request *request, const char *url, const char *const *headers, size_t count) {
    bool r_example = goes_to(url, "https://r.example"), token = goes_to(url, "https://auth.example");
    bool docker = goes_to(url, "https://registry-1.docker.io") || goes_to(url, "https://auth.docker.io");
    bool local = goes_to(url, "http://localhost:5000") || goes_to(url, "http://localhost") || goes_to(url, "https://localhost");
    REQUIRE(r_example || token || docker || local);
    REQUIRE(!request->plain_http || (local && request->allow_private));
    for (const char *c = url; *c; c++) REQUIRE(*c > ' ' && *c <= '~');
    for (size_t i = 0; i < count; i++) {
        for (const char *c = headers[i]; *c; c++) REQUIRE(*c >= ' ' && *c <= '~');
        if (strncmp(headers[i], SECRET, sizeof SECRET - 1) == 0) REQUIRE((r_example || token) && !request->plain_http);
    }
}

int http_start(struct http *http, struct http_request *request, const char *url, const char *const *headers, size_t count,
               long timeout_ms) {
    http_reset(http, request);
    check_request(request, url, headers, count);
    REQUIRE(timeout_ms > 0 && request->done);
    struct http_transfer *transfer = transfers;
    while (transfer < transfers + TRANSFERS && transfer->request) transfer++;
    if (transfer == transfers + TRANSFERS) return -1;
    *transfer = (struct http_transfer){.request = request, .block = next_block(), .not_before = call};
    if (slice_starts(transfer->block, SLICE("later"))) {
        transfer->not_before = call + 1;
        transfer->block = slice_of(transfer->block.p + 5, transfer->block.n - 5);
    }
    (void)snprintf(transfer->url, sizeof transfer->url, "%s", url);
    request->transfer = transfer;
    request->outcome = HTTP_PENDING;
    request->status = 0;
    request->message[0] = '\0';
    buf_init(&request->headers, HTTP_HEADERS_MAX);
    buf_init(&request->body, request->body_max > HTTP_ERROR_BODY_MAX ? request->body_max : HTTP_ERROR_BODY_MAX);
    return 0;
}

void http_reset(struct http *http, struct http_request *request) {
    (void)http;
    if (request->transfer) request->transfer->request = NULL;
    request->transfer = NULL;
    buf_release(&request->headers);
    buf_release(&request->body);
}

static void note_found(const struct http_request *request, const char *url) {
    size_t at = 0;
    struct slice headers = buf_slice(&request->headers), value;
    bool named = header_next(headers, "docker-content-digest", &at, &value);
    for (size_t i = 0; i < ASKED; i++) {
        if (strcmp(urls[i], url) != 0) continue;
        if (!named || slice_equal(value, asked[i].digest)) said_found[i] = true;
    }
}

static void answer(struct http_transfer *transfer) {
    struct http_request *request = transfer->request;
    struct slice block = transfer->block, first = fuzz_line(&block);
    static const struct {
        const char *word;
        enum http_outcome outcome;
    } outcomes[] = {{"timeout", HTTP_TIMED_OUT}, {"refused", HTTP_ADDRESS_REFUSED}, {"large", HTTP_TOO_LARGE}};
    request->outcome = HTTP_FAILED;
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        if (slice_is(first, outcomes[i].word)) request->outcome = outcomes[i].outcome;
    uint64_t status;
    if (first.n == 3 && text_parse_number(first, 999, &status) && status >= 100) {
        request->outcome = HTTP_ANSWERED;
        request->status = (int)status;
        for (struct slice line; (line = fuzz_line(&block)).n;) {
            buf_append(&request->headers, line);
            buf_char(&request->headers, '\n');
        }
        if (!request->head) buf_append(&request->body, block);
        if (status == 200 && request->head) note_found(request, transfer->url);
    } else {
        (void)snprintf(request->message, sizeof request->message, "it failed");
    }
    request->transfer = NULL;
    transfer->request = NULL;
    request->done(request);
}

void http_run(struct http *http, int wait_ms) {
    (void)http;
    for (size_t i = 0; i < TRANSFERS; i++)
        if (transfers[i].request && transfers[i].not_before <= call) {
            answer(&transfers[i]);
            return;
        }
    if (wait_ms > 0) (void)usleep((useconds_t)wait_ms * 1000);
}

/* ---- what must hold ---- */

static void ask(struct registry *registry, struct arena *arena) {
    struct registry_question questions[ASKED];
    memcpy(questions, asked, sizeof questions);
    call++;
    registry->operations->ask(registry, arena, questions, ASKED, (instant)call * 1000000, 2);
    for (size_t i = 0; i < ASKED; i++) {
        const struct registry_question *question = &questions[i];
        REQUIRE(question->answer >= REGISTRY_FOUND && question->answer <= REGISTRY_UNREACHABLE);
        REQUIRE(question->answer != REGISTRY_FOUND || (said_found[i] && question->status == 200));
        if (question->answer == REGISTRY_FOUND && question->found_digest.p)
            REQUIRE(slice_equal(question->found_digest, question->digest));
        REQUIRE(question->answer == REGISTRY_FOUND || question->detail.n);
        if (question->answer == REGISTRY_MISMATCH) REQUIRE(!slice_equal(question->found_digest, question->digest));
        REQUIRE(question->checked_at > 0 && question->checked_at <= (instant)call * 1000000);
        REQUIRE(!question->again_at || question->again_at > (instant)call * 1000000);
    }
    REQUIRE(questions[0].answer == questions[4].answer); /* equal questions are asked once */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char config_path[64];
    static struct lane_metrics metrics;
    struct arena arena;
    struct error error = {0};
    if (!config_path[0]) {
        int file = memfd_create("config", 0);
        FILE *to = file < 0 ? NULL : fdopen(file, "w");
        REQUIRE(to && fputs(config, to) >= 0 && fflush(to) == 0);
        (void)snprintf(config_path, sizeof config_path, "/proc/self/fd/%d", file);
    }
    const struct registry_options options = {
        .docker_config = config_path, .token_realms = "auth.example", .per_registry = 3, .total = 6, .metrics = &metrics};
    if (size > 20000) return 0;
    script = slice_of(data, size);
    call = 0;
    memset(said_found, 0, sizeof said_found);
    arena_init(&arena, 1 << 20);
    struct registry *registry = registry_http_new(&options, &error);
    REQUIRE(registry);
    for (int i = 0; i < 7; i++) {
        ask(registry, &arena);
        (void)registry->operations->tend(registry);
    }
    registry->operations->free(registry);
    arena_release(&arena);
    return 0;
}
