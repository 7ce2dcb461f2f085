/* The ledger: its rows, their hash chain, and how an input is written down. This is the form that auditors recompute.
 *
 *   hash = SHA-256("sluice.ledger.v1\0" || shard u32 || sequence u64 || prev_hash[32] || at_us u64 || kind u8 || topic u8 ||
 *                  offset u64 || control_version u64 || engine u16 || SHA-256(input) || SHA-256(decision))
 *
 * all whole numbers big-endian; sequences begin at 1, and the first prev_hash is SHA-256("sluice.ledger.v1\0" || the 16
 * bytes of the installation's uuid || shard u32). `topic` is 1 builds, 2 requests, 0 (with offset 0 and an empty input)
 * for a row that no Kafka record caused.
 *
 * `input` is: key, number of headers u32, each header's name and value, value; every byte string with its length as u32
 * before it, 0xffffffff for Kafka's null. `decision` is exactly the bytes that are published: a result's `data`, or a dead
 * letter's error. */
#ifndef SLUICE_LEDGER_H
#define SLUICE_LEDGER_H

#include "arena.h"
#include "buf.h"
#include "digest.h"
#include "record.h"
#include "text.h"

#include <stdint.h>

/* What a row says, with the number that the ledger stores, the CloudEvents type of its result, and whether it is final. */
#define RESULT_KINDS(X)                                                                                                          \
    X(1, RELEASE_VERIFIED, "dev.sluice.release.verified.v1", true)                                                               \
    X(2, RELEASE_REJECTED, "dev.sluice.release.rejected.v1", true)                                                               \
    X(3, PROMOTION_WAITING, "dev.sluice.promotion.waiting.v1", false)                                                            \
    X(4, PROMOTION_PROMOTED, "dev.sluice.promotion.promoted.v1", true)                                                           \
    X(5, PROMOTION_REJECTED, "dev.sluice.promotion.rejected.v1", true)                                                           \
    X(6, PROMOTION_SUPERSEDED, "dev.sluice.promotion.superseded.v1", true)                                                       \
    X(7, PROMOTION_ABORTED, "dev.sluice.promotion.aborted.v1", true)                                                             \
    X(8, PROMOTION_EXPIRED, "dev.sluice.promotion.expired.v1", true)                                                             \
    X(9, PROMOTION_EVALUATED, "dev.sluice.promotion.evaluated.v1", true)                                                         \
    X(10, EVENT_REFUSED, "dev.sluice.event.refused.v1", true)                                                                    \
    X(11, EVENT_DUPLICATE, "dev.sluice.event.duplicate.v1", true)                                                                \
    X(12, DEAD_LETTER, "", true)   /* goes to the dead-letter topic */                                                           \
    X(13, SHARD_RESUMED, "", true) /* an operator accepted a loss; published nowhere */

enum result_kind {
    RESULT_NONE = 0,
#define RESULT_ENUM(number, name, type, final) RESULT_##name = number,
    RESULT_KINDS(RESULT_ENUM)
#undef RESULT_ENUM
};

/* The CloudEvents type; "" for what is published without one, NULL for no kind at all. */
const char *result_type(enum result_kind kind);
bool result_is_final(enum result_kind kind);

struct ledger_row {
    uint32_t shard;
    uint64_t sequence;
    instant at;
    enum result_kind kind;
    enum input_topic topic;
    uint64_t offset;
    uint64_t control_version;
    uint16_t engine;
    struct slice input;
    struct digest input_digest;
    struct slice decision;
    struct digest decision_digest;
    struct digest hash;
};

/* The prev_hash of a shard's first row. */
struct digest ledger_genesis(const unsigned char installation[16], uint32_t shard);
/* The hash of a row whose other members are set. */
struct digest ledger_hash(const struct ledger_row *row, const struct digest *previous);

/* What a dead letter can hold: its topic takes 4 MiB, and headers of our own come to it. */
enum { LEDGER_INPUT_MAX = 4 * 1024 * 1024 - 64 * 1024 };
/* Is the record small enough for that? Compressed, Kafka lets in far larger ones. */
bool ledger_holds(const struct record *record);
/* Appends the record in the form of `input`; one that is too large without key, value and headers. */
void ledger_write_input(struct buf *buf, const struct record *record);
/* Reads it back; key, value and headers (in the arena) point into `input`. Returns 0 or -1. */
int ledger_read_input(struct arena *arena, struct slice input, struct record *ret_record);

/* The first 16 bytes of SHA-256(project 0x00 source 0x00 id): the key of deduplication, and as base32 the promotion id. */
void ledger_event_key(unsigned char to[16], struct slice project, struct slice source, struct slice id);

#endif
