/* The invariants: what is looked at when something happens, and what at the end.
 *
 *    order        the rows of a shard are its records' in their order, none left out, none twice; its sequences count on
 *    chain        every row's hash is that of its form and of the row before it
 *    positions    never go back
 *    decision     each row says what is to become of its event (model.h: an evaluation of its own, by what the lane was told)
 *    results      every row is published once, in order, byte for byte what its first producing was; nothing else ever is
 *    constraints  those of the database
 *    loss         a lost commit or a lost input is found, and its shard stops; no other ever stops
 *    poison       only a record on which lanes died is dead-lettered unread, and soon enough
 *    fold         the tables are what the ledger says
 *    timers       what could be decided is; what waits ends; a new control version wakes it; it is answered again when its
 *                 conditions have changed, and only then
 *    liveness     when the faults stop, everything comes to rest within a bounded time */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include "broker.h"
#include "registry.h"
#include "store_sim.h"
#include "world.h"

void check_begin(void);

/* ---- the database ---- */

/* A lane's load was answered: what it knows of the registries is to be asked anew. */
void check_loaded(unsigned lane);
void check_told(unsigned lane, struct slice host, struct slice digest, enum registry_answer answer);
/* What the lane was told when it called commit, to be kept with it. */
const void *check_knowledge(unsigned lane);
/* A commit that has passed the fence, before it is written. */
void check_commit(const struct write *write);
/* How far a write says that results are settled, before it is applied. */
void check_settled(uint32_t shard, const struct settled settled[OUTPUT_TOPICS]);
void check_taken(unsigned lane, uint32_t shard, bool died);
void check_suspected(uint32_t shard, enum input_topic topic, uint64_t offset);
void check_stopped(uint32_t shard, struct slice reason);
/* An operator lets it go on; what a topic holds now and the ledger does not know counts as seen up to `sequence`. */
void check_accepted(uint32_t shard, enum output_topic topic, uint64_t sequence);
void check_resumed(uint32_t shard);
void check_restored(const struct db *lost);

/* ---- the brokers ---- */

void check_produced(unsigned lane, const struct sim_record *record);
/* A read_committed consumer sees it, in the order of the log. */
void check_visible(enum output_topic topic, const struct sim_record *record);

/* ---- lanes ---- */

void check_lane_died(unsigned lane);
void check_killed(unsigned lane, uint32_t shard, enum input_topic topic, uint64_t offset);

/* ---- afterwards ---- */

/* Nothing is left to do; else why not. */
bool check_is_at_rest(char *ret_why, size_t room);
void check_unrest(const char *why);
/* It was, and no shard is stopped: whatever a restoration had lost is found, and excuses no later stop. */
void check_rested(void);
/* What waits now, waits rightly. */
void check_waiting(void);
void check_end(void);

#endif
