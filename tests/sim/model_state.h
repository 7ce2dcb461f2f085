/* What the model knows of the ledger: model.c reads it, fold.c compares the tables with it. */
#ifndef SIM_MODEL_STATE_H
#define SIM_MODEL_STATE_H

#include "model.h"

struct m_release {
    bool verified;
    int variant;
    uint64_t sequence;
    instant at;
};

struct m_environment {
    bool known;
    int release;
    unsigned char promotion[STORE_KEY];
    uint64_t sequence;
    instant since;
};

struct m_claim {
    bool claimed;
    int content;
    uint64_t sequence;
    instant at;
};

struct m_promotion {
    uint32_t shard;
    unsigned char id[STORE_KEY];
    int project, release, environment;
    enum promotion_outcome outcome;
    uint32_t revision;
    uint64_t opened, answered, decided;
    instant opened_at, expires_at;
    int identity, content;   /* of its event */
    struct slice conditions; /* as last answered */
};

struct model {
    struct m_release releases[PROJECTS][RELEASES];
    struct m_environment environments[PROJECTS][ENVIRONMENTS + 1];
    bool promoted[PROJECTS][RELEASES][ENVIRONMENTS + 1];
    struct m_claim claims[EVENTS_MAX];
    struct m_promotion *promotions;
    size_t promotion_count, promotion_room;
    const struct m_promotion *superseded[SHARDS_MAX]; /* by the request whose row must come next */
};
extern struct model model;

#endif
