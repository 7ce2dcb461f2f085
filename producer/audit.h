/* What `sluice audit verify` finds out about a shard, and about the control log. */
#ifndef SLUICE_AUDIT_H
#define SLUICE_AUDIT_H

#include "kafka.h"
#include "ledger.h"
#include "pg.h"

enum { AUDIT_PAGE_ROWS = 1000, AUDIT_PAGE_BYTES = 4 * 1024 * 1024 };

/* What is wrong with a shard, or with the control log, if anything: its first bad row. */
struct audit_bad {
    bool found;
    bool control; /* `sequence` is a version of the control log, and there is no shard */
    uint32_t shard;
    uint64_t sequence;
    const char *code;
    char message[256];
};

struct audit_shard {
    uint32_t shard;
    bool exists;             /* the shard has a row */
    uint64_t sequence, last; /* of its head, as its row and as the ledger says */
    struct digest head;
    uint64_t settled[OUTPUT_TOPICS]; /* up to where its row says that all is published */
    uint64_t rows, redacted;         /* verified, and of these without their input */
    uint64_t published;              /* results and dead letters compared */
    struct audit_bad bad;
};

/* Notes what is wrong; the first counts. Returns 1, for `return audit_refuse(...)`. */
int audit_refuse(struct audit_shard *shard, uint64_t sequence, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Recomputes the shard's chain from its rows and, with `published` not NULL, holds it against the output topics. Returns 0
 * when it could be looked at, whatever was found (shard->bad); or -1. */
struct audit_published;
int audit_shard_verify(struct pg *pg, const unsigned char installation[16], struct audit_shard *shard,
                       struct audit_published *published, struct error *error);

/* ---- the control log ---- */

struct audit_control {
    uint64_t versions; /* verified */
    struct audit_bad bad;
};
/* Returns 0 when it could be looked at, whatever was found; or -1. */
int audit_control_verify(struct pg *pg, struct audit_control *control, struct error *error);

/* ---- what was published ---- */

/* NULL with *error set when Kafka does not answer. `options` must outlive it. */
struct audit_published *audit_published_new(const struct kafka_options *options, struct error *error);
void audit_published_free(struct audit_published *published);
/* From here on rows of this shard are compared. */
int audit_published_begin(struct audit_published *published, uint32_t shard, struct error *error);
/* The next row of the ledger, in order; rows that are published nowhere too. Returns 0, 1 when it is not what was published
 * (shard->bad), or -1. */
int audit_published_row(struct audit_published *published, struct audit_shard *shard, const struct ledger_row *row,
                        struct error *error);
/* Behind the last row: nothing else may have been published up to there. The same answers. */
int audit_published_end(struct audit_published *published, struct audit_shard *shard, struct error *error);

#endif
