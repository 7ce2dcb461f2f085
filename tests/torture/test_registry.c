/* The registry client under exhausted memory, against a small registry in this process that wants a token: a question that could
 * not be asked is unreachable, never found, missing or anything else that would decide something. */
#include "operation.h"
#include "registry.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIGEST "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

enum { QUESTIONS = 4, WAIT_MS = 5000 };

struct asking {
    struct MHD_Daemon *server;
    char host[32];
    struct registry *registry;
    struct arena arena;
    struct registry_question questions[QUESTIONS];
    bool in_doubt;   /* the registry gave no answer, as far as the client knows */
    unsigned doubts; /* so far */
};

/* ---- the registry: "there" has everything, "gone" nothing ---- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *body, const char *name,
                              const char *value) {
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    if (name) (void)MHD_add_response_header(response, name, value);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result serve(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                             const char *version, const char *data, size_t *size, void **state) {
    const struct asking *a = context;
    char challenge[128];
    (void)method, (void)version, (void)data, (void)size, (void)state;
    if (strcmp(url, "/token") == 0) return answer(connection, 200, "{\"token\":\"secret\",\"expires_in\":300}", NULL, NULL);
    const char *shown = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    (void)snprintf(challenge, sizeof challenge, "Bearer realm=\"http://%s/token\",service=\"test\"", a->host);
    if (!shown || strcmp(shown, "Bearer secret") != 0) return answer(connection, 401, "", "WWW-Authenticate", challenge);
    return strstr(url, "/gone/") ? answer(connection, 404, "", NULL, NULL)
                                 : answer(connection, 200, "", "Docker-Content-Digest", DIGEST);
}

static void *set_up(void) {
    struct asking *a = calloc(1, sizeof *a);
    struct error error;
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!a) abort();
    a->server = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, serve, a, MHD_OPTION_SOCK_ADDR, &address,
                                 MHD_OPTION_END);
    const union MHD_DaemonInfo *info = a->server ? MHD_get_daemon_info(a->server, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info) abort();
    (void)snprintf(a->host, sizeof a->host, "127.0.0.1:%u", (unsigned)info->port);
    arena_init(&a->arena, 16 * 1024 * 1024);
    a->registry = registry_http_new(&(struct registry_options){.per_registry = 4, .total = 8}, &error);
    if (!a->registry) abort();
    return a;
}

static void tear_down(void *state) {
    struct asking *a = state;
    a->registry->operations->free(a->registry);
    MHD_stop_daemon(a->server);
    arena_release(&a->arena);
    free(a);
}

/* A registry that gave no answer is waited for a moment only, until it answers. */
static void end_doubt(struct asking *a) {
    char repository[32]; /* another one each time: what was found is remembered */
    (void)snprintf(repository, sizeof repository, "there/again%u", a->doubts++);
    struct registry_question question = {.host = slice_str(a->host),
                                         .repository = slice_str(repository),
                                         .digest = SLICE(DIGEST),
                                         .plain_http = true,
                                         .allow_private = true};
    a->in_doubt = false;
    arena_reset(&a->arena);
    a->registry->operations->ask(a->registry, &a->arena, &question, 1, 1772359200000000, WAIT_MS);
    while (a->registry->operations->tend(a->registry)) (void)usleep(1000);
}

/* The first and the last are equal. */
static int ask(void *state, struct error *error) {
    static const struct {
        const char *repository;
        enum registry_answer answer;
    } wanted[QUESTIONS] = {{"there/app", REGISTRY_FOUND},
                           {"gone/app", REGISTRY_MISSING},
                           {"there/other", REGISTRY_FOUND},
                           {"there/app", REGISTRY_FOUND}};
    struct asking *a = state;
    int result = 0;
    if (a->in_doubt) end_doubt(a);
    arena_reset(&a->arena);
    for (size_t i = 0; i < QUESTIONS; i++)
        a->questions[i] = (struct registry_question){.host = slice_str(a->host),
                                                     .repository = slice_str(wanted[i].repository),
                                                     .digest = SLICE(DIGEST),
                                                     .plain_http = true,
                                                     .allow_private = true};
    a->registry->operations->ask(a->registry, &a->arena, a->questions, QUESTIONS, 1772359200000000, WAIT_MS);
    for (size_t i = 0; i < QUESTIONS; i++) {
        const struct registry_question *q = &a->questions[i];
        if (q->answer == wanted[i].answer) continue;
        EXPECT(q->answer == REGISTRY_UNREACHABLE || q->answer == REGISTRY_NOT_ASKED);
        a->in_doubt = true;
        result =
            error_set(error, ERROR_INTERNAL, "", "%.*s", SLICE_ARG(q->detail.p ? q->detail : SLICE("memory: no words either")));
    }
    return result;
}

static void tell(void *state, struct buf *to) {
    const struct asking *a = state;
    for (size_t i = 0; i < QUESTIONS; i++) buf_print(to, "%d %d\n", (int)a->questions[i].answer, a->questions[i].status);
}

int main(int argc, char **argv) {
    static const struct operation operations[] = {{"ask registries", set_up, ask, tell, tear_down, false}};
    return operations_run(operations, 1, argc, argv);
}
