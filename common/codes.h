/* Every code that a result, a condition or a dead letter may carry, in one table. Codes are the contract's: clients compare
 * them, so none changes its meaning, and none goes. */
#ifndef SLUICE_CODES_H
#define SLUICE_CODES_H

#include "slice.h"

enum code_use {
    CODE_REFUSAL,   /* decode refuses the event: dev.sluice.event.refused.v1 */
    CODE_RELEASE,   /* what became of a build */
    CODE_PROMOTION, /* what became of a promotion as a whole */
    CODE_MET,       /* of a condition */
    CODE_UNMET,
    CODE_FAILED,
    CODE_DEAD_LETTER
};

/* name, text, use, what it means for the one who sent the event */
#define CODES(X)                                                                                                                 \
    X(SCHEMA_INVALID, "schema-invalid", CODE_REFUSAL, "the event does not match its schema")                                     \
    X(UNKNOWN_TYPE, "unknown-type", CODE_REFUSAL, "no event of this type is known on this topic")                                \
    X(UNKNOWN_MEMBER, "unknown-member", CODE_REFUSAL, "a member that the schema does not know")                                  \
    X(DUPLICATE_MEMBER, "duplicate-member", CODE_REFUSAL, "a member name stands twice in one object")                            \
    X(TEXT_INVALID, "text-invalid", CODE_REFUSAL, "a text holds U+0000 or is not UTF-8")                                         \
    X(NOT_JSON, "not-json", CODE_REFUSAL, "the data is not JSON (RFC 8259)")                                                     \
    X(TOO_DEEP, "too-deep", CODE_REFUSAL, "the JSON nests deeper than 32 levels")                                                \
    X(TOO_LARGE, "too-large", CODE_REFUSAL, "the record is larger than 1,000,000 bytes, or a part passes its limit")             \
    X(CONTENT_TYPE_INVALID, "content-type-invalid", CODE_REFUSAL, "the data's content type is not application/json")             \
    X(TIME_INVALID, "time-invalid", CODE_REFUSAL, "the event's time is missing or no RFC 3339 instant")                          \
    X(STALE, "stale", CODE_REFUSAL, "the event's time is older than the window of deduplication")                                \
    X(IN_THE_FUTURE, "in-the-future", CODE_REFUSAL, "the event's time is more than five minutes ahead")                          \
    X(DIGEST_INVALID, "digest-invalid", CODE_REFUSAL, "a digest is malformed, or two that must agree do not")                    \
    X(MANIFEST_INVALID, "manifest-invalid", CODE_REFUSAL, "the manifest breaks its schema or its integrity")                     \
    X(EVENT_ID_CONFLICT, "event-id-conflict", CODE_REFUSAL, "the id was used for an event with other content")                   \
    X(FOREIGN_PARTITION, "foreign-partition", CODE_REFUSAL, "the record is not on its project's partition")                      \
    X(INTERNAL_ERROR, "internal-error", CODE_REFUSAL, "the event could not be committed; this is a defect")                      \
    X(CRASHES_WORKER, "crashes-worker", CODE_DEAD_LETTER, "a worker died on this record more than once; it was not read")        \
    X(NOT_CLOUDEVENT, "not-cloudevent", CODE_DEAD_LETTER, "no CloudEvent with a usable id, source and subject")                  \
    X(RELEASE_OK, "verified", CODE_RELEASE, "the release is verified")                                                           \
    X(ALREADY_BUILT, "already-built", CODE_RELEASE, "a release of this SHA with equal artifacts was verified before")            \
    X(MANIFEST_CONFLICT, "manifest-conflict", CODE_RELEASE, "a release of this SHA with other artifacts was verified before")    \
    X(NOT_ALLOWED, "unknown-project", CODE_RELEASE, "no project of the policy matches")                                          \
    X(NOT_SIGNED, "unsigned", CODE_RELEASE, "the policy wants a signature and the manifest has none")                            \
    X(ALREADY_PROMOTED, "already-promoted", CODE_PROMOTION, "the release is the environment's current one")                      \
    X(ALLOWED, "allowed", CODE_MET, "the policy names the project and the environment")                                          \
    X(UNKNOWN_PROJECT, "unknown-project", CODE_FAILED, "no project of the policy matches")                                       \
    X(UNKNOWN_ENVIRONMENT, "unknown-environment", CODE_FAILED, "the policy gives the project no such environment")               \
    X(VERIFIED, "verified", CODE_MET, "the release is verified")                                                                 \
    X(NOT_BUILT_YET, "not-built-yet", CODE_UNMET, "no verified release of this SHA yet")                                         \
    X(PROMOTED, "promoted", CODE_MET, "the release was promoted there")                                                          \
    X(NOT_PROMOTED_YET, "not-promoted-yet", CODE_UNMET, "the release was not promoted there yet")                                \
    X(UNSIGNED_ALLOWED, "unsigned-allowed", CODE_MET, "the policy lets unsigned releases through")                               \
    X(NOT_VERIFIABLE_YET, "not-verifiable-yet", CODE_UNMET, "there are signatures, and nobody has verified them")                \
    X(UNSIGNED, "unsigned", CODE_FAILED, "the policy wants a signature and the manifest has none")                               \
    X(FOUND, "found", CODE_MET, "the registry has the artifact under exactly this digest")                                       \
    X(UNCHECKED, "unchecked", CODE_MET, "the policy lets artifacts of this type go unchecked")                                   \
    X(REGISTRY_UNREACHABLE, "registry-unreachable", CODE_UNMET, "the registry did not answer in time")                           \
    X(REGISTRY_DENIED, "registry-denied", CODE_UNMET, "the registry wants credentials that the worker lacks")                    \
    X(REGISTRY_BUSY, "registry-busy", CODE_UNMET, "the registry limits the rate, or keeps failing and is left alone")            \
    X(ARTIFACT_MISSING, "artifact-missing", CODE_FAILED, "the registry has nothing under this digest")                           \
    X(DIGEST_MISMATCH, "digest-mismatch", CODE_FAILED, "the registry answered with another digest")                              \
    X(ARTIFACT_UNCHECKABLE, "artifact-uncheckable", CODE_FAILED, "the artifact has no registry URI to look at")                  \
    X(REGISTRY_FORBIDDEN, "registry-forbidden", CODE_FAILED, "the policy does not name this registry's host")

enum code {
    CODE_NONE = 0,
#define CODE_ENUM(name, text, use, meaning) CODE_##name,
    CODES(CODE_ENUM)
#undef CODE_ENUM
        CODE_COUNT
};

/* The code as clients see it; "" for CODE_NONE. */
const char *code_text(enum code code);
enum code_use code_use(enum code code);
const char *code_meaning(enum code code);
/* The refusal of that text, or else `otherwise`. */
enum code code_refusal(const char *text, enum code otherwise);

#endif
