/* The store's port: all that a lane asks of the database. store_pg.c is the real one.
 *
 * One instance serves one thread. Every call is one round trip; a call that writes is one transaction. Errors: ERROR_FENCED
 * when epoch, owner, sequence or head hash are not what the caller believes; ERROR_UNAVAILABLE when nothing happened and the
 * same may succeed later; ERROR_UNKNOWN when a commit may or may not have happened; ERROR_INPUT for a refusal of the data
 * itself (a SQLSTATE that is not to be retried); ERROR_INTERNAL for the rest. After any error the instance is
 * usable again: it connects anew by itself. What is returned lives in the caller's arena. */
#ifndef SLUICE_STORE_H
#define SLUICE_STORE_H

#include "arena.h"
#include "digest.h"
#include "error.h"
#include "ledger.h"
#include "manifest.h"
#include "record.h"
#include "text.h"

enum { STORE_KEY = 16, STORE_OWNER = 16 };

/* Up to which sequence everything of one output topic is known to be published, and the topic's offset behind it. */
struct settled {
    uint64_t sequence;
    int64_t offset; /* -1 when unknown */
};

/* A shard's row. */
struct shard_row {
    uint32_t shard;
    uint64_t epoch;
    unsigned char owner[STORE_OWNER];
    struct slice *fence_ids; /* the transactional ids that may still write for it */
    size_t fence_id_count;
    uint64_t position[INPUT_TOPICS + 1]; /* by enum input_topic: the next offset to read */
    uint64_t sequence;                   /* of the last ledger row; 0 when there is none */
    struct digest head;                  /* its hash, or the genesis hash */
    instant now_at;                      /* `now` of the last batch */
    uint64_t control_version;            /* which the last batch decided by */
    struct settled settled[OUTPUT_TOPICS];
    enum input_topic crash_topic; /* the record noted before it was read with caution, or INPUT_NONE */
    uint64_t crash_position;      /* its offset, or without one the sum of both positions as a takeover found them */
    unsigned crash_count;         /* deaths there, the first one included */
    struct slice stopped;         /* why it is stopped, or a NULL `p` */
};

/* A member of a batch of facts: what the lane asks, and (ret_) what the database has. */
struct store_seen {
    uint32_t shard;
    unsigned char key[STORE_KEY];
    bool ret_found;
    struct digest ret_content;  /* of the original event */
    struct ledger_row ret_last; /* its last answer: shard, sequence, kind and decision are set */
};

struct store_release {
    struct slice project, git_sha;
    bool ret_found; /* a verified release */
    bool ret_attestation_enabled;
    struct digest ret_manifest_digest;
    struct artifact *ret_artifacts;
    size_t ret_artifact_count;
};

struct store_environment {
    struct slice project, environment;
    bool ret_found;
    struct slice ret_git_sha; /* the current release */
    unsigned char ret_promotion[STORE_KEY];
};

/* Was the release ever promoted there? */
struct store_promoted {
    struct slice project, git_sha, environment;
    bool ret_found;
};

enum promotion_outcome {
    PROMOTION_WAITING = 1,
    PROMOTION_PROMOTED,
    PROMOTION_REJECTED,
    PROMOTION_SUPERSEDED,
    PROMOTION_ABORTED,
    PROMOTION_EXPIRED
};

struct promotion_row {
    unsigned char id[STORE_KEY];
    uint32_t shard;
    struct slice project, git_sha, environment, requester;
    struct slice source, event_id; /* of the request, for later answers */
    enum promotion_outcome outcome;
    uint32_t revision;       /* of its last answer, from 1 */
    struct slice conditions; /* JSON, as last answered, while it waits; a NULL `p` afterwards */
    instant opened_at;
    uint64_t opened_sequence;
    uint64_t answered_sequence; /* the row of its last answer */
    uint64_t decided_sequence;  /* the row of its final answer, or 0 */
    instant expires_at;
    instant wake_at; /* 0 when it no longer waits */
};

/* The one open promotion of (project, environment, release), if any. */
struct store_waiting {
    struct slice project, environment, git_sha;
    struct promotion_row *ret_row; /* NULL when there is none */
};

struct store_facts {
    struct store_seen *seen;
    size_t seen_count;
    struct store_release *releases;
    size_t release_count;
    struct store_environment *environments;
    size_t environment_count;
    struct store_promoted *promoted;
    size_t promoted_count;
    struct store_waiting *waiting;
    size_t waiting_count;
    instant ret_now;              /* the database's clock */
    uint64_t ret_control_version; /* the newest */
};

/* What one batch changes in one shard; the fence compares epoch, owner, sequence and head before anything is written. */
struct commit_shard {
    uint32_t shard;
    uint64_t epoch;
    uint64_t sequence; /* as it was before the batch */
    struct digest head;
    uint64_t new_sequence;
    struct digest new_head;
    uint64_t new_position[INPUT_TOPICS + 1];
    instant now_at;
    uint64_t control_version;
    bool wake_all; /* a new control version: all of the shard's waiting promotions are to be looked at; without it the row must
                      have that version already */
    struct settled settled[OUTPUT_TOPICS];
};

struct commit_seen {
    uint32_t shard;
    unsigned char key[STORE_KEY];
    struct digest content;
    uint64_t sequence; /* of the row that accepted it, which is also a promotion's `opened_sequence` */
};

struct commit_release {
    uint32_t shard;
    struct slice project, git_sha;
    struct digest manifest_digest;
    struct slice manifest; /* its exact bytes */
    bool attestation_enabled;
    const struct artifact *artifacts;
    size_t artifact_count;
    uint64_t sequence;
    instant at;
};

struct commit_environment {
    struct slice project, environment, git_sha;
    unsigned char promotion[STORE_KEY];
    instant since;
    uint64_t sequence;
};

/* Waiting promotions that an event of the batch concerns: their wake_at becomes `at`. Runs after all other changes. */
struct commit_wake {
    struct slice project, git_sha;
    instant at;
};

struct commit {
    unsigned char owner[STORE_OWNER];
    const struct commit_shard *shards;
    size_t shard_count;
    const struct ledger_row *rows;
    size_t row_count;
    const struct commit_seen *seen;
    size_t seen_count;
    const struct commit_release *releases;
    size_t release_count;
    const struct promotion_row *opened; /* new rows, in their last state of the batch */
    size_t opened_count;
    /* rows that waited, by (shard, opened_sequence): outcome, revision, conditions, sequences, wake_at */
    const struct promotion_row *changed;
    size_t changed_count;
    const struct commit_environment *environments; /* each (project, environment) once */
    size_t environment_count;
    const struct commit_wake *wakes;
    size_t wake_count;
};

struct store_control {
    uint64_t version;
    struct slice policy; /* the YAML text; a NULL `p` when there is no policy yet */
    struct digest policy_digest;
    uint64_t policy_version; /* the control version that brought it */
};

struct store_epoch {
    uint32_t shard;
    uint64_t ret_epoch;
    unsigned char ret_owner[STORE_OWNER];
    uint64_t ret_sequence;
    struct digest ret_head;
    uint64_t ret_position[INPUT_TOPICS + 1];
    uint64_t ret_settled[OUTPUT_TOPICS]; /* sequences */
    uint64_t ret_control_version;
    bool ret_stopped;
};

struct store;

struct store_operations {
    /* The installation's uuid and its number of shards. */
    int (*installation)(struct store *store, unsigned char ret_uuid[16], uint32_t *ret_shards, struct error *error);
    /* Takeover: one UPDATE increments the epoch, sets the owner, adds `ids` to fence_ids, and counts a death when another
     * owner left ids behind; the count begins anew at another place. Returns the row as it is then, all listed ids included. */
    int (*take)(struct store *store, uint32_t shard, const unsigned char owner[STORE_OWNER], const struct slice *ids,
                size_t id_count, struct arena *arena, struct shard_row *ret_row, struct error *error);
    /* Removes fenced ids, WHERE epoch AND owner. */
    int (*drop_ids)(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                    const struct slice *ids, size_t id_count, struct error *error);
    /* Release: removes one's own ids (no others) and writes `settled`. */
    int (*release)(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                   const struct slice *ids, size_t id_count, const struct settled settled[OUTPUT_TOPICS], struct error *error);
    /* Writes down that `topic` and `offset` is about to be read with caution; crash_count becomes 0 when it is another one. */
    int (*suspect)(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER],
                   enum input_topic topic, uint64_t offset, struct error *error);
    /* Stops the shard, with the reason. */
    int (*stop)(struct store *store, uint32_t shard, uint64_t epoch, const unsigned char owner[STORE_OWNER], struct slice reason,
                struct error *error);
    /* What a lane compares with what it knows of its shards. */
    int (*epochs)(struct store *store, struct store_epoch *shards, size_t count, struct error *error);

    /* The batch's facts. */
    int (*load)(struct store *store, struct arena *arena, struct store_facts *facts, struct error *error);
    /* Waiting promotions of these shards with wake_at <= `until`, the earliest first. */
    int (*due)(struct store *store, struct arena *arena, const uint32_t *shards, size_t shard_count, instant until, size_t limit,
               struct promotion_row **ret_rows, size_t *ret_count, struct error *error);
    /* The newest control version and the newest policy. */
    int (*control)(struct store *store, struct arena *arena, struct store_control *ret_control, struct error *error);
    /* One transaction: fence, ledger rows, state, wakes. */
    int (*commit)(struct store *store, const struct commit *commit, struct error *error);
    /* Ledger rows of a shard with after < sequence <= through, in order, input and decision included: at most `limit`, and fewer
     * when they are large. None means that there are no more. */
    int (*ledger)(struct store *store, struct arena *arena, uint32_t shard, uint64_t after, uint64_t through, size_t limit,
                  struct ledger_row **ret_rows, size_t *ret_count, struct error *error);
    void (*free)(struct store *store);
};

/* The real and the simulated store begin with this. */
struct store {
    const struct store_operations *operations;
};

struct pg_options;
/* A store on Postgres (libpq). Does not connect yet. NULL without memory. `options` must outlive it. */
struct store *store_pg_new(const struct pg_options *options);

#endif
