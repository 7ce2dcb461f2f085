/* A batch: the inputs that go through the stages together, and what the lane learns and decides about them.
 *
 *   decode -> load -> gather -> decide -> commit -> publish
 *
 * Each stage takes the batch and adds to it; none looks into another. An input that a stage refuses goes on, carrying its
 * refusal, and is answered like the rest. Everything lives in the batch's arena. */
#ifndef SLUICE_BATCH_H
#define SLUICE_BATCH_H

#include "arena.h"
#include "buf.h"
#include "cloudevent.h"
#include "codes.h"
#include "ledger.h"
#include "manifest.h"
#include "map.h"
#include "policy.h"
#include "record.h"
#include "registry.h"
#include "store.h"

enum { BATCH_RECORDS_MAX = 10000, ENGINE_VERSION = 1 };

/* What decode made of an input. */
enum item_state {
    ITEM_DEAD,    /* no usable id, source and subject: a dead letter */
    ITEM_REFUSED, /* an event that is refused */
    ITEM_BUILD,
    ITEM_REQUEST,
    ITEM_DUE /* no record: a promotion whose wake_at has come */
};

struct request {
    struct slice git_sha, environment, requester, reason;
    bool dry_run;
    instant expires_at; /* 0 when the request names none */
};

struct item {
    enum item_state state;
    struct shard_batch *shard;
    const struct record *record; /* NULL for ITEM_DUE */
    enum code code;              /* of ITEM_DEAD and ITEM_REFUSED */
    struct slice message, path;  /* with it; path may have a NULL `p` */
    struct cloudevent event;
    instant time;                                        /* of the event */
    unsigned char key[STORE_KEY];                        /* of deduplication; the promotion id */
    struct digest content;                               /* SHA-256(type 0x00 data) */
    struct manifest manifest;                            /* of ITEM_BUILD */
    struct request request;                              /* of ITEM_REQUEST */
    struct promotion *promotion;                         /* of ITEM_DUE; of ITEM_REQUEST once decide has opened it */
    struct seen *seen;                                   /* of an accepted event, by load */
    struct release *release;                             /* of ITEM_BUILD, ITEM_REQUEST and ITEM_DUE, by load */
    struct environment *environment;                     /* of ITEM_REQUEST and ITEM_DUE, by load */
    struct open_promotion *open;                         /* of ITEM_REQUEST and ITEM_DUE, by load */
    const struct policy_project *project_policy;         /* or NULL */
    const struct policy_environment *environment_policy; /* or NULL */
};

/* ---- what is known: loaded from the store, changed as the batch is decided in order ---- */

struct seen {
    struct store_seen *stored;
    bool claimed;                  /* by the store or by an earlier event of this batch */
    struct digest content;         /* of the event that claimed it */
    const struct ledger_row *last; /* its last answer */
};

struct release {
    struct store_release *stored;
    struct slice project, git_sha;
    bool wanted; /* by a promotion of this batch */
    bool verified;
    bool attestation_enabled;
    struct digest manifest_digest;
    const struct artifact *artifacts; /* of the verified release, or else of the batch's first build of it */
    size_t artifact_count;
    struct release *next_wanted;
};

struct environment {
    struct store_environment *stored;
    struct slice project, name;
    bool known; /* something was promoted here */
    struct slice git_sha;
    unsigned char promotion[STORE_KEY];
    bool changed;
    instant since;
    uint64_t sequence;
    struct environment *next_changed;
};

struct promotion {
    struct promotion_row row;
    bool is_new;  /* opened in this batch */
    bool changed; /* an old row that is to be written */
    struct promotion *next;
};

struct open_promotion {
    struct store_waiting *stored;
    struct promotion *promotion; /* NULL when none is open */
    bool asked;                  /* an item of this batch asks for it */
};

/* A set of what was promoted where. */
struct promoted {
    struct store_promoted *stored;
    bool yes;
};

/* ---- one shard's part of the batch ---- */

struct shard_batch {
    uint32_t shard;
    uint64_t epoch;
    uint64_t sequence; /* of the last row, counted on as rows are added */
    struct digest head;
    uint64_t first_sequence; /* as it was before the batch */
    struct digest first_head;
    uint64_t position[INPUT_TOPICS + 1];
    uint64_t control_version; /* which the last batch decided by */
    instant now_at;
    struct settled settled[OUTPUT_TOPICS];
};

/* A row to write and to publish, with what its record needs beside it. */
struct answer {
    struct ledger_row row;
    struct slice project;     /* key and subject; a NULL `p` for a dead letter */
    struct slice environment; /* or a NULL `p` */
    struct slice outcome;     /* or a NULL `p` */
    struct slice traceparent; /* or a NULL `p` */
};

struct batch {
    const struct decoder *decoder; /* the lane's */
    struct arena arena;            /* what is only needed until the commit */
    struct arena kept;  /* answers and shards, until they are published; a row's input only where it is a dead letter's */
    struct buf scratch; /* in which answers are written before they are copied into the arena */
    struct item *items;
    size_t item_count;
    struct shard_batch *shards;
    size_t shard_count;
    uint32_t installation_shards;
    const struct policy *policy; /* NULL: there is none */
    uint64_t control_version, policy_version;
    struct digest policy_digest;
    const char *topics[INPUT_TOPICS + 1]; /* names, for dead letters */
    instant now;

    struct store_facts facts;
    struct map seen, releases, environments, open, promoted;
    struct map questions;   /* by host, repository and digest: struct registry_question */
    struct release *wanted; /* those whose artifacts gather looks up, newest first */

    struct answer *answers; /* in order within each shard */
    size_t answer_count, answer_room;
    struct promotion *promotions; /* opened or changed in this batch */
    struct promotion **last_promotion;
    size_t promotion_count;
    struct environment *changed_environments;
    size_t changed_environment_count;
    struct commit_seen *claims;
    size_t claim_count;
    struct commit_release *new_releases;
    size_t new_release_count;
    struct commit_wake *wakes;
    size_t wake_count;
};

/* `maximum` bounds each arena, in bytes. */
void batch_init(struct batch *batch, size_t maximum);
void batch_release(struct batch *batch);
/* Forgets everything but memory and what the lane has set: installation_shards, policy, control and topics. */
void batch_reset(struct batch *batch);
/* It is committed: only what its results are made of is still needed. */
void batch_forget_deciding(struct batch *batch);

/* The parts joined by NUL, in the batch's arena: a key of its maps. `p` is NULL without memory. */
struct slice batch_key(struct batch *batch, struct slice a, struct slice b, struct slice c);

/* ---- the stages, in order; each returns 0, or -1 with *error set ---- */

/* Bytes to valid events; no network, no clock. */
int decode(struct batch *batch, struct error *error);
/* Asks the store for every fact that the items need, and for the batch's `now`. */
int load(struct batch *batch, struct store *store, struct error *error);
/* Asks the registries for the artifacts of every release that a promotion wants. */
int gather(struct batch *batch, struct registry *registry, int wait_ms, struct error *error);
/* Decides the items in order, adding answers and changes. */
int decide(struct batch *batch, struct error *error);
/* Writes answers and changes in one transaction. */
int commit(struct batch *batch, struct store *store, const unsigned char owner[STORE_OWNER], struct error *error);

#endif
