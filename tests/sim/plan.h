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

/* Some fault is there, and the operation has no good answer. */
bool armed_fails(const struct armed *fault);

void plan_begin(void);
/* What is still armed or lasting ends. */
void plan_heal(void);
const char *op_text(enum op op);

#endif
