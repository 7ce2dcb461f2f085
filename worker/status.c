#include "status.h"

#include "monotonic.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64, IDLE_SECONDS = 10, TEXT_MAX = 8 * 1024 * 1024, CONNECTION_MEMORY = 16 * 1024 };

struct status {
    struct MHD_Daemon *daemon;
    const struct lane_view *lanes;
    unsigned count;
    unsigned port;
    bool draining;
};

/* ---- what is answered ---- */

static bool is_fresh(const struct lane_metrics *metrics, enum metric moment, uint64_t now_ms) {
    uint64_t at_ms = metrics_get(metrics, moment);
    return at_ms != 0 && at_ms + STATUS_FRESH_MS >= now_ms;
}

/* What keeps a lane from being ready, or NULL. A lane waits for one server at a time, so that two silent ones may be the fault
 * of one. */
static const char *what_is_missing(const struct lane_view *lane, uint64_t now_ms) {
    bool database = is_fresh(lane->metrics, METRIC_DATABASE_OK_MS, now_ms);
    bool broker = is_fresh(lane->metrics, METRIC_BROKER_OK_MS, now_ms);
    if (!lane->running) return "does not run; the log says why it ended";
    if (!database && !broker) return "has no answer from the database or a Kafka broker; the log says which";
    if (!database) return "has no answer from the database";
    if (!broker) return "has no answer from a Kafka broker";
    return metrics_get(lane->metrics, METRIC_IN_GROUP) ? NULL : "is not in the consumer group";
}

bool status_is_ready(const struct lane_view *lanes, unsigned count, uint64_t now_ms, struct buf *why) {
    bool ready = true;
    for (unsigned i = 0; i < count; i++) {
        const char *reason = what_is_missing(&lanes[i], now_ms);
        if (!reason) continue;
        buf_print(why, "lane %u %s\n", i, reason);
        ready = false;
    }
    return ready;
}

static unsigned answer_ready(const struct status *status, struct buf *text) {
    if (status->draining) {
        buf_str(text, "the worker is ending\n");
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    if (!status_is_ready(status->lanes, status->count, monotonic_ms(), text)) return MHD_HTTP_SERVICE_UNAVAILABLE;
    buf_str(text, "ready\n");
    return MHD_HTTP_OK;
}

static unsigned answer(const struct status *status, const char *path, struct buf *text, const char **ret_type) {
    if (strcmp(path, "/metrics") == 0) {
        *ret_type = "text/plain; version=0.0.4; charset=utf-8";
        metrics_render(text, status->lanes, status->count, monotonic_ms(), wall_ms());
        return MHD_HTTP_OK;
    }
    if (strcmp(path, "/readyz") == 0) return answer_ready(status, text);
    if (strcmp(path, "/healthz") == 0) {
        buf_str(text, "ok\n");
        return MHD_HTTP_OK;
    }
    buf_str(text, "there is /metrics, /healthz and /readyz\n");
    return MHD_HTTP_NOT_FOUND;
}

/* MHD's handler: called once for a request's head, and again for its body and end. */
static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *body, size_t *body_size, void **seen) {
    static int head_seen;
    const struct status *status = context;
    const char *type = "text/plain; charset=utf-8";
    struct buf text;
    (void)version, (void)body;
    if (!*seen) {
        *seen = &head_seen;
        return MHD_YES;
    }
    if (*body_size) { /* nobody wants it */
        *body_size = 0;
        return MHD_YES;
    }
    buf_init(&text, TEXT_MAX);
    bool get = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    unsigned code = get ? answer(status, path, &text, &type) : MHD_HTTP_METHOD_NOT_ALLOWED;
    if (text.failed) code = MHD_HTTP_INTERNAL_SERVER_ERROR;
    struct MHD_Response *response = MHD_create_response_from_buffer(text.n, text.p, MHD_RESPMEM_MUST_COPY);
    buf_release(&text);
    if (!response) return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (!get) (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- the server ---- */

/* Of "host:port" and "[IPv6]:port". */
static bool split_address(const char *listen, char *host, size_t room, const char **ret_port) {
    const char *colon = strrchr(listen, ':');
    size_t n = colon ? (size_t)(colon - listen) : 0;
    if (n >= 2 && listen[0] == '[' && listen[n - 1] == ']') {
        listen++;
        n -= 2;
    }
    if (!n || n >= room) return false;
    memcpy(host, listen, n);
    host[n] = '\0';
    *ret_port = colon + 1;
    return true;
}

static int bind_to(const struct addrinfo *address) {
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol);
    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, CONNECTIONS_MAX) == 0) return fd;
    int why = errno;
    (void)close(fd);
    errno = why;
    return -1;
}

static int open_socket(const char *listen, struct error *error) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    char host[260];
    const char *port;
    int fd = -1;
    if (!split_address(listen, host, sizeof host, &port))
        return error_set(error, ERROR_INPUT, "listen-failed", "worker.listen is '%s', which is not host:port", listen);
    int problem = getaddrinfo(host, port, &hints, &addresses);
    if (problem)
        return error_set(error, ERROR_INPUT, "listen-failed", "cannot listen on %s (worker.listen): %s", listen,
                         gai_strerror(problem));
    for (const struct addrinfo *address = addresses; address && fd < 0; address = address->ai_next) fd = bind_to(address);
    if (fd < 0)
        error_set(error, ERROR_UNAVAILABLE, "listen-failed",
                  "cannot listen on %s: %s; set worker.listen to another address, or stop what uses it", listen, strerror(errno));
    freeaddrinfo(addresses);
    return fd;
}

static unsigned port_of(int fd) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char port[16] = "0";
    if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        (void)getnameinfo((struct sockaddr *)&address, size, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    return (unsigned)strtoul(port, NULL, 10);
}

struct status *status_new(const char *listen, const struct lane_view *lanes, unsigned count, struct error *error) {
    int fd = open_socket(listen, error);
    if (fd < 0) return NULL;
    struct status *status = calloc(1, sizeof *status);
    if (status) {
        *status = (struct status){.lanes = lanes, .count = count, .port = port_of(fd)};
        status->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, handle, status, MHD_OPTION_LISTEN_SOCKET, fd,
                                          MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                          (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                                          MHD_OPTION_END);
    }
    if (status && status->daemon) return status;
    (void)close(fd);
    if (status)
        error_set(error, ERROR_INTERNAL, "listen-failed", "the HTTP server of %s cannot be started", listen);
    else
        error_memory(error);
    free(status);
    return NULL;
}

void status_free(struct status *status) {
    if (!status) return;
    MHD_stop_daemon(status->daemon); /* closes its socket */
    free(status);
}

int status_fd(const struct status *status) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(status->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return info ? info->epoll_fd : -1;
}

int status_wait_ms(const struct status *status) {
    MHD_UNSIGNED_LONG_LONG ms;
    if (MHD_get_timeout(status->daemon, &ms) != MHD_YES) return -1;
    return ms > 60000 ? 60000 : (int)ms;
}

void status_run(struct status *status) { (void)MHD_run(status->daemon); }
unsigned status_port(const struct status *status) { return status->port; }
void status_drain(struct status *status) { status->draining = true; }
