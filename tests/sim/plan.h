/* The faults of a run, drawn from the seed before it begins, each with its time: so any of them can be left out. */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include "world.h"

/* Operations of ports that a fault can befall. */
#define OPS(X)                                                                                                                   \
    X(TAKE, "store.take")                                                                                                        \
    X(DROP_IDS, "store.drop_ids")                                                                                                \
    X(RELEASE, "store.release")                                                                                                  \
    X(SUSPECT, "store.suspect")                                                                                                  \
    X(STOP, "store.stop")                                                                                                        \
    X(EPOCHS, "store.epochs")                                                                                                    \
    X(LOAD, "store.load")                                                                                                        \
    X(DUE, "store.due")                                                                                                          \
    X(CONTROL, "store.control")                                                                                                  \
    X(COMMIT, "store.commit")                                                                                                    \
    X(LEDGER, "store.ledger")                                                                                                    \
    X(INIT, "output.init")                                                                                                       \
    X(FENCE, "output.fence")                                                                                                     \
    X(BEGIN, "output.begin")                                                                                                     \
    X(PRODUCE, "output.produce")                                                                                                 \
    X(SEND, "output.send")                                                                                                       \
    X(END_TXN, "output.commit")                                                                                                  \
    X(TAILS, "output.tails")                                                                                                     \
    X(POLL, "input.poll")                                                                                                        \
    X(ASSIGN, "input.assign")                                                                                                    \
    X(BOUNDS, "input.bounds")                                                                                                    \
    X(PARTITIONS, "input.partitions")                                                                                            \
    X(ASK, "registry.ask")                                                                                                       \
    X(POINT, "fault_point")

enum op {
#define OP_ENUM(name, text) OP_##name,
    OPS(OP_ENUM)
#undef OP_ENUM
        OP_COUNT
};

/* What befalls an operation. For one that changes nothing those from REFUSE to LATER are all the same. */
enum armed_kind {
    ARMED_CRASH_BEFORE, /* the lane dies before its effect, */
    ARMED_CRASH_AFTER,  /* or after it and before the answer */
    ARMED_REFUSE,       /* nothing happens, and the answer says so */
    ARMED_LOSE,         /* nothing happens, and nobody knows */
    ARMED_DONE_UNKNOWN, /* it happens, and nobody knows */
    ARMED_LATER,        /* nobody knows, and it happens later */
    ARMED_TWICE,        /* it happens, and a copy of the request comes later: output.commit alone */
    ARMED_FATAL,        /* nothing happens, and only a new client helps: input.poll alone */
    ARMED_STALL_BEFORE, /* the thread hangs for seconds before it, */
    ARMED_STALL_AFTER,  /* or after it */
    ARMED_PAUSE         /* the whole process stops after its effect */
};

struct armed {
    enum op op;
    enum armed_kind kind;
    int fault; /* its number in the plan */
    micros time;
    struct armed *next;
};

/* What is counted of faults: only those that made a difference to somebody. The first are those of enum armed_kind. */
#define EFFECTS(X)                                                                                                               \
    X(DIES_BEFORE, "dies before")                                                                                                \
    X(DIES_AFTER, "dies after")                                                                                                  \
    X(REFUSED, "is refused")                                                                                                     \
    X(LOST, "gets lost")                                                                                                         \
    X(DONE_UNKNOWN, "is done and nobody knows")                                                                                  \
    X(LATER, "is done later")                                                                                                    \
    X(TWICE, "comes twice")                                                                                                      \
    X(FATAL, "is fatal")                                                                                                         \
    X(STALLS_BEFORE, "hangs before")                                                                                             \
    X(STALLS_AFTER, "hangs after")                                                                                               \
    X(PAUSES, "stops the process")                                                                                               \
    X(KILLED, "lane killed")                                                                                                     \
    X(PAUSED, "lane stopped")                                                                                                    \
    X(ENDED, "lane asked to end")                                                                                                \
    X(REBALANCED, "rebalance")                                                                                                   \
    X(THROWN_OUT, "lane thrown out")                                                                                             \
    X(STORM, "storm")                                                                                                            \
    X(DATABASE_AWAY, "database away")                                                                                            \
    X(DATABASE_OLDER, "database restored")                                                                                       \
    X(BROKERS_AWAY, "brokers away")                                                                                              \
    X(INPUT_LEADERLESS, "input without leader")                                                                                  \
    X(OUTPUT_LEADERLESS, "output without leader")                                                                                \
    X(FORMER_LEADER, "former leader asked")                                                                                      \
    X(CLOCK, "clock jumps")                                                                                                      \
    X(POLICY, "policy changed")                                                                                                  \
    X(REGISTRY_SLOW, "registry slow")                                                                                            \
    X(REGISTRY_AWAY, "registry away")                                                                                            \
    X(REGISTRY_DENIES, "registry denies")                                                                                        \
    X(REGISTRY_LIMITS, "registry limits")                                                                                        \
    X(REGISTRY_LIES, "registry lies")                                                                                            \
    X(RETENTION, "results deleted")                                                                                              \
    X(INPUT_RECREATED, "input made anew")                                                                                        \
    X(INPUT_DELETED, "input deleted")

enum effect {
#define EFFECT_ENUM(name, text) EFFECT_##name,
    EFFECTS(EFFECT_ENUM)
#undef EFFECT_ENUM
        EFFECT_COUNT
};

const char *effect_text(enum effect effect);
/* A fault takes effect. */
void plan_took(enum effect effect);
/* Somebody meets a fault that lasts until then; it counts once. What the world itself looks at meets none. */
void plan_met(micros until, micros *counted, enum effect effect);
/* The operation that it was to befall was befallen; a NULL one is none. */
void armed_took(const struct armed *fault);
/* Some fault is there, and the operation has no good answer: it takes effect by that. */
bool armed_fails(const struct armed *fault);

void plan_begin(void);
/* What is still armed or lasting ends. */
void plan_heal(void);
const char *op_text(enum op op);

#endif
