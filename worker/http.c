#include "http.h"

#include "address.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A curl handle with what its callbacks write to; kept for the next request. */
struct http_transfer {
    struct http *http;
    struct http_request *request; /* NULL: free */
    CURL *easy;
    struct curl_slist *headers;
    bool address_refused, too_large;
    size_t header_bytes; /* of all answers, also informational ones */
    char error[CURL_ERROR_SIZE];
    struct http_transfer *next; /* free, or running */
};

struct http {
    CURLM *multi;
    char *ca_bundle;
    struct http_transfer *free, *running;
};

static bool may_contact(const struct http_request *request, enum address_kind kind) {
    return kind == ADDRESS_PUBLIC || (kind == ADDRESS_PRIVATE && request->allow_private);
}

/* ---- what curl calls ---- */

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    struct http_transfer *transfer = context;
    (void)purpose;
    if (!may_contact(transfer->request, address_kind(&address->addr, address->addrlen))) {
        transfer->address_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Before the request is sent, also over a connection that another request has opened, perhaps with more rights. */
static int before_request(void *context, char *remote, char *local, int remote_port, int local_port) {
    struct http_transfer *transfer = context;
    (void)local, (void)remote_port, (void)local_port;
    if (may_contact(transfer->request, address_kind_of_text(remote))) return CURL_PREREQFUNC_OK;
    transfer->address_refused = true;
    return CURL_PREREQFUNC_ABORT;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *context) {
    struct http_transfer *transfer = context;
    struct http_request *request = transfer->request;
    size_t n = size * count;
    transfer->header_bytes += n;
    if (transfer->header_bytes > HTTP_HEADERS_MAX) {
        transfer->too_large = true;
        return 0;
    }
    if (n >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
        buf_reset(&request->headers); /* an answer begins; what came before was an informational one */
    else
        buf_append(&request->headers, slice_of(bytes, n));
    return request->headers.failed ? 0 : n;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context) {
    struct http_transfer *transfer = context;
    struct http_request *request = transfer->request;
    long status = 0;
    size_t n = size * count, maximum = request->body_max;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if ((status < 200 || status > 299) && maximum > HTTP_ERROR_BODY_MAX) maximum = HTTP_ERROR_BODY_MAX;
    if (n > maximum || request->body.n > maximum - n) {
        transfer->too_large = true;
        return 0;
    }
    buf_append(&request->body, slice_of(bytes, n));
    return request->body.failed ? 0 : n;
}

/* ---- making and ending transfers ---- */

static struct http_transfer *take_transfer(struct http *http) {
    struct http_transfer *transfer = http->free;
    if (transfer) {
        http->free = transfer->next;
        return transfer;
    }
    transfer = calloc(1, sizeof *transfer);
    if (!transfer) return NULL;
    transfer->http = http;
    transfer->easy = curl_easy_init();
    if (transfer->easy) return transfer;
    free(transfer);
    return NULL;
}

/* Takes a transfer out of the running ones and keeps it for another request. */
static void end_transfer(struct http_transfer *transfer) {
    struct http *http = transfer->http;
    struct http_transfer **at = &http->running;
    while (*at && *at != transfer) at = &(*at)->next;
    if (*at) *at = transfer->next;
    (void)curl_multi_remove_handle(http->multi, transfer->easy);
    curl_easy_reset(transfer->easy);
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
    if (transfer->request) transfer->request->transfer = NULL;
    transfer->request = NULL;
    transfer->next = http->free;
    http->free = transfer;
}

/* The first option that curl does not take ends it: an unset one could be the one that protects. */
static CURLcode set_options(struct http_transfer *transfer, const char *url, long timeout_ms) {
    const struct http_request *request = transfer->request;
    CURL *easy = transfer->easy;
    CURLcode code = CURLE_OK;
#define SET(option, value)                                                                                                       \
    if (!code) code = curl_easy_setopt(easy, option, value)
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, request->plain_http ? "http" : "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* do not wait for a name's resolver when a request is given up */
    SET(CURLOPT_USERAGENT, "sluice-worker");
    SET(CURLOPT_HTTPHEADER, transfer->headers);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_HTTP_VERSION, request->plain_http ? (long)CURL_HTTP_VERSION_1_1 : (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_PIPEWAIT, 1L); /* rather share a connection that is being opened than open sixteen */
    SET(CURLOPT_TIMEOUT_MS, timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    SET(CURLOPT_MAXLIFETIME_CONN, 300L); /* a name may have moved */
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, transfer);
    SET(CURLOPT_PREREQFUNCTION, before_request);
    SET(CURLOPT_PREREQDATA, transfer);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->error);
    SET(CURLOPT_PRIVATE, transfer);
    if (request->head) SET(CURLOPT_NOBODY, 1L);
    if (transfer->http->ca_bundle) SET(CURLOPT_CAINFO, transfer->http->ca_bundle);
#undef SET
    return code;
}

static int set_headers(struct http_transfer *transfer, const char *const *headers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct curl_slist *longer = curl_slist_append(transfer->headers, headers[i]);
        if (!longer) return -1;
        transfer->headers = longer;
    }
    return 0;
}

int http_start(struct http *http, struct http_request *request, const char *url, const char *const *headers, size_t count,
               long timeout_ms) {
    http_reset(http, request);
    struct http_transfer *transfer = take_transfer(http);
    if (!transfer) return -1;
    request->transfer = transfer;
    transfer->request = request;
    transfer->address_refused = transfer->too_large = false;
    transfer->header_bytes = 0;
    transfer->error[0] = '\0';
    transfer->next = http->running;
    http->running = transfer;
    request->outcome = HTTP_PENDING;
    request->status = 0;
    request->message[0] = '\0';
    buf_init(&request->headers, HTTP_HEADERS_MAX);
    buf_init(&request->body, request->body_max > HTTP_ERROR_BODY_MAX ? request->body_max : HTTP_ERROR_BODY_MAX);
    if (set_headers(transfer, headers, count) || set_options(transfer, url, timeout_ms) ||
        curl_multi_add_handle(http->multi, transfer->easy)) {
        end_transfer(transfer);
        return -1;
    }
    return 0;
}

void http_reset(struct http *http, struct http_request *request) {
    (void)http;
    if (request->transfer) end_transfer(request->transfer);
    buf_release(&request->headers);
    buf_release(&request->body);
}

/* ---- driving ---- */

static enum http_outcome outcome_of(const struct http_transfer *transfer, CURLcode code) {
    if (transfer->address_refused && code != CURLE_OK) return HTTP_ADDRESS_REFUSED;
    if (transfer->too_large) return HTTP_TOO_LARGE;
    if (code == CURLE_OK) return HTTP_ANSWERED;
    return code == CURLE_OPERATION_TIMEDOUT ? HTTP_TIMED_OUT : HTTP_FAILED;
}

/* curl's own words; for TLS its longer ones, which say what is wrong with the certificate. They may quote the server. */
static void explain(struct http_request *request, const struct http_transfer *transfer, CURLcode code) {
    bool tls = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_CACERT_BADFILE;
    const char *refused = request->allow_private ? "its address is not a public one, nor a private one"
                                                 : "its address is not a public one, which takes allow-private in the policy";
    bool starved = request->headers.failed || request->body.failed; /* curl only knows that it could not hand on what it read */
    const char *text = request->outcome == HTTP_ADDRESS_REFUSED ? refused
                       : starved                                ? "memory is exhausted"
                       : request->outcome == HTTP_TOO_LARGE     ? "its answer is larger than any that is right"
                       : tls && transfer->error[0]              ? transfer->error
                                                                : curl_easy_strerror(code);
    (void)snprintf(request->message, sizeof request->message, "%s", text);
    for (char *c = request->message; *c; c++)
        if (*c < ' ' || *c > '~') *c = ' ';
}

static void finish(struct http_transfer *transfer, CURLcode code) {
    struct http_request *request = transfer->request;
    long status = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    request->outcome = outcome_of(transfer, code);
    if (request->outcome == HTTP_ANSWERED)
        request->status = (int)status;
    else
        explain(request, transfer, code);
    end_transfer(transfer);
    request->done(request);
}

/* How many. */
static size_t finish_all(struct http *http) {
    int left;
    size_t count = 0;
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left));) {
        if (message->msg != CURLMSG_DONE) continue;
        void *transfer = NULL;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        finish(transfer, code);
        count++;
    }
    return count;
}

void http_run(struct http *http, int wait_ms) {
    int running = 0;
    (void)curl_multi_perform(http->multi, &running);
    if (finish_all(http) || !running || wait_ms <= 0) return;
    (void)curl_multi_poll(http->multi, NULL, 0, wait_ms, NULL);
    (void)curl_multi_perform(http->multi, &running);
    (void)finish_all(http);
}

struct http *http_new(const char *ca_bundle, unsigned connections, struct error *error) {
    struct http *http = calloc(1, sizeof *http);
    if (!http) goto memory;
    if (ca_bundle && access(ca_bundle, R_OK) != 0) {
        error_set(error, ERROR_INPUT, "ca-bundle-invalid", "cannot read the certificate authorities in %s", ca_bundle);
        goto failed;
    }
    if (ca_bundle && !(http->ca_bundle = strdup(ca_bundle))) goto memory;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(http->multi = curl_multi_init())) goto memory;
    (void)curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    (void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)connections);
    return http;
memory:
    error_memory(error);
failed:
    http_free(http);
    return NULL;
}

void http_free(struct http *http) {
    if (!http) return;
    while (http->running) end_transfer(http->running);
    while (http->free) {
        struct http_transfer *transfer = http->free;
        http->free = transfer->next;
        curl_easy_cleanup(transfer->easy);
        free(transfer);
    }
    if (http->multi) (void)curl_multi_cleanup(http->multi);
    free(http->ca_bundle);
    free(http);
}
