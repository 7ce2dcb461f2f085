/* What the worker says of itself over HTTP, on `worker.listen`: /metrics (Prometheus), /healthz (the supervisor lives) and
 * /readyz (every lane runs, is in the group, and has heard from the database and a broker within the last seconds; a lane that
 * owns no shard is ready too). It has no thread: its owner waits on `status_fd` and calls `status_run`. */
#ifndef SLUICE_STATUS_H
#define SLUICE_STATUS_H

#include "error.h"
#include "metrics.h"

enum { STATUS_FRESH_MS = 2500 /* a lane looks at both every second */ };

struct status;

/* `listen` is "host:port" or "[IPv6]:port"; port 0 takes a free one. `lanes` are read at every request and must outlive it.
 * NULL with *error set. */
struct status *status_new(const char *listen, const struct lane_view *lanes, unsigned count, struct error *error);
void status_free(struct status *status);
/* Readable when there is something to do. */
int status_fd(const struct status *status);
/* Milliseconds after which `status_run` is to be called even so; -1: not at all. */
int status_wait_ms(const struct status *status);
void status_run(struct status *status);
/* The port that it listens on. */
unsigned status_port(const struct status *status);
/* From now on it is not ready, as the worker is ending. */
void status_drain(struct status *status);

/* Whether all lanes are ready; otherwise appends one line a reason. `now_ms` is CLOCK_MONOTONIC's. */
bool status_is_ready(const struct lane_view *lanes, unsigned count, uint64_t now_ms, struct buf *why);

#endif
