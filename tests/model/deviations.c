/* The protocol with one thing left out or swapped. Each must break a promise, else the model would prove nothing. */
#include "world.h"

const struct deviation_row deviations[DEVIATIONS] = {
    [FENCE_FIRST] = {"fence-first", "others are fenced before the takeover, and the list becomes one's own ids", "take", 2, 1, 1,
                     0},
    [OVERWRITE_IDS] = {"overwrite-ids", "a takeover replaces the listed ids instead of adding to them", "take", 2, 1, 1, 0},
    [CONFIRM_FIRST] = {"confirm-first", "recovery confirms the epoch before it initialises the producers", "recover", 2, 1, 1, 0},
    [NO_CONFIRM] = {"no-confirm", "the epoch is not confirmed before tails are read", "confirm", 2, 1, 1, 0},
    [TAIL_FIRST] = {"tail-first", "recovery reads tails before it initialises the producers", "recover", 2, 1, 1, 0},
    [TAIL_UNSTABLE] = {"tail-unstable", "a tail is read while transactions are open below the high watermark", "tail", 2, 1, 1,
                       0},
    [LATE_INIT] = {"late-init", "the producers are initialised after the takeover, which is not looked at again",
                   "publisher_start", 2, 1, 1, 0},
    [DIRTY_RELEASE] = {"dirty-release", "a shard is released while a transaction has its records", "drain", 2, 1, 1, 0},
    [RELEASE_FLAG] = {"release-flag", "a shard can be released before it was fenced, and a flag says so", "drained", 2, 1, 1, 0},
    [RELEASE_ALL_IDS] = {"release-all-ids", "a shard can be released before it was fenced, and the list is emptied", "drained", 2,
                         1, 1, 0},
    [MEMORY_CURSOR] = {"memory-cursor", "recovery goes on from the cursor in memory, without the tails", "tail", 2, 1, 1, 0},
    [NO_VERIFICATION] = {"no-verification", "brokers without transaction.partition.verification.enable", "brokers", 1, 3, 1, 0},
    [REREAD] = {"reread", "after a commit of unknown outcome the row is read and not compared", "shard_retake", 1, 2, 1,
                FAULT_LATE_COMMIT},
    [NO_RETAKE] = {"no-retake", "a lane does not take back what it lost while the group gives it the shard", "enter", 2, 1, 1, 0},
    [ONE_CURSOR] = {"one-cursor", "one cursor for both output topics", "take_tail", 1, 4, 2, 0},
    [EARLY_RETENTION] = {"early-retention", "retention is shorter than `settled` is late", "process_quiet", 2, 1, 1,
                         FAULT_RETENTION},
    [NO_FENCE] = {"no-fence", "other ids are not fenced", "fence", 2, 1, 1, 0},
    [RESUME_RELEASED] = {"resume-released", "a lane goes on with a shard when it does not hear of its release", "drained", 2, 1,
                         1, 0},
    [NO_PLACE] = {"no-place", "where the first record behind a tail comes to lie is not looked at", "place", 2, 1, 1,
                  FAULT_FORMER},
    [OLD_EPOCH] = {"old-epoch", "what may be left uncommitted is written in an epoch that has committed before", "place", 2, 2, 1,
                   FAULT_FORMER},
    [NO_LOOK] = {"no-look", "a lane with nothing to do never looks at its epochs", "shard_look", 2, 1, 1, 0},
};

const char *const fault_names[FAULTS] = {
    [FAULT_NONE] = "none",           [FAULT_CRASH] = "crash",
    [FAULT_REBALANCE] = "rebalance", [FAULT_DUPLICATE_END] = "duplicate-end",
    [FAULT_UNKNOWN] = "unknown",     [FAULT_LOST_ANSWER] = "lost-answer",
    [FAULT_TIMEOUT] = "timeout",     [FAULT_ERROR] = "error",
    [FAULT_FORGET] = "forget",       [FAULT_LATE_COMMIT] = "late-commit",
    [FAULT_RETENTION] = "retention", [FAULT_FORMER] = "former-leader",
};
