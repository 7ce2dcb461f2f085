/* Many HTTP requests at once on one thread, over connections that are kept alive between calls. The one user of libcurl.
 *
 * What it will not do, whatever a server says: follow a redirect, speak another protocol than the one the request allows, use
 * a proxy, reach an address of its own host or network unless the request allows it (checked on the address that is really
 * connected to, also of a connection that is used again), read more than the request's maximum, send cookies, or take TLS
 * below 1.2 or a certificate that does not check. */
#ifndef SLUICE_HTTP_H
#define SLUICE_HTTP_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_HEADERS_MAX = 64 * 1024, HTTP_ERROR_BODY_MAX = 64 * 1024, HTTP_URL_MAX = 4096, HTTP_MESSAGE = 256 };

enum http_outcome {
    HTTP_PENDING,
    HTTP_ANSWERED,        /* `status`, `headers` and `body` are the answer */
    HTTP_TIMED_OUT,       /* after the request's own time-out */
    HTTP_ADDRESS_REFUSED, /* its address may not be contacted */
    HTTP_TOO_LARGE,       /* header fields or body beyond their maximum */
    HTTP_FAILED           /* name, connection, TLS, or an answer that is not HTTP */
};

struct http;
struct http_transfer;

/* One request, embedded in what its owner keeps about it; it must not move until it is done or cancelled. */
struct http_request {
    bool head;          /* HEAD instead of GET */
    bool plain_http;    /* http:// and not https:// */
    bool allow_private; /* ADDRESS_PRIVATE too */
    size_t body_max;    /* of an answer with status 2xx; others: HTTP_ERROR_BODY_MAX at most */
    uint64_t began_ms;  /* its owner's */
    /* Called from http_run when it is done; may start and cancel others, and may free the request after http_reset. */
    void (*done)(struct http_request *request);

    enum http_outcome outcome;
    int status;
    struct buf headers; /* "Name: value" lines, without the status line */
    struct buf body;
    char message[HTTP_MESSAGE]; /* why it is not HTTP_ANSWERED; printable ASCII */

    struct http_transfer *transfer; /* while it runs */
};

/* `ca_bundle`: a PEM file, or NULL for the system's. `connections` are kept open at most. NULL with *error set. */
struct http *http_new(const char *ca_bundle, unsigned connections, struct error *error);
/* No request may be running. */
void http_free(struct http *http);

/* Begins a request whose first members, up to `done`, are set. `headers` are `count` lines "Name: value". `done` will be called,
 * also when the connection fails at once. Returns 0 or -1 (memory, or a URL that is none); then `done` is not called. */
int http_start(struct http *http, struct http_request *request, const char *url, const char *const *headers, size_t count,
               long timeout_ms);
/* Stops a request that runs, without calling `done`, and frees what it holds; harmless otherwise. */
void http_reset(struct http *http, struct http_request *request);
/* Waits up to `wait_ms` for something to happen, and lets everything go on that can; calls `done`. */
void http_run(struct http *http, int wait_ms);

#endif
