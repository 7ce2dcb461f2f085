/* release-manifest.json: its schema (schemas/release-manifest.schema.json) and, beyond it, its integrity:
 *
 * - a digest is well formed for its algorithm, and a `uri` that carries one (`...@sha256:...`) carries the same;
 * - no two artifacts have one name; every signature names an artifact;
 * - an enabled attestation has at least one signature, a disabled one an issueLink;
 * - every timestamp is a real instant. */
#ifndef SLUICE_MANIFEST_H
#define SLUICE_MANIFEST_H

#include "arena.h"
#include "digest.h"
#include "error.h"
#include "json.h"
#include "text.h"

enum { MANIFEST_ARTIFACTS_MAX = 256 };

struct artifact {
    struct slice name, type, digest; /* digest as text, "sha256:..." or "sha512:..." */
    struct slice uri;                /* a NULL `p` when there is none */
};

struct manifest_reference {
    struct slice uri, digest; /* the digest with a NULL `p` when there is none */
};

struct manifest {
    const struct json *root;
    struct slice text;    /* the exact bytes */
    struct digest digest; /* of them: what `sha256sum release-manifest.json` prints */
    struct slice git_sha;
    struct artifact *artifacts;
    size_t artifact_count;
    struct manifest_reference sbom, evidence;
    bool attestation_enabled;
};

/* Called for every problem that is found; returns false to hear no more. `path` is a JSON Pointer into the manifest. */
typedef bool manifest_problem(void *context, const char *path, const char *code, const char *message);

/* Reads and checks a manifest: strict JSON, schema, integrity. Everything lives in the arena or points into `text`.
 * Thread-safe; the schema is compiled by the first call.
 *
 * With `problem` NULL the first problem is the error, and error->path a JSON Pointer into the manifest. Otherwise all that
 * can be told are reported, at most one by the schema and one beyond it for each place, and the error says how many.
 * Codes: "digest-invalid" for a digest that is malformed or contradicted, "unknown-member" for a member that the schema
 * does not know, "manifest-invalid" for all else that schema and integrity ask; text that is not even strict JSON has the
 * reader's ("not-json", "too-deep", "too-large", "duplicate-member", "text-invalid") and hides what would come after.
 * Returns 0 or -1. */
int manifest_read(struct arena *arena, struct slice text, manifest_problem *problem, void *context, struct manifest *ret_manifest,
                  struct error *error);

/* The code of a problem that a schema's keyword found in a manifest. */
const char *manifest_code(const char *keyword);

/* The artifacts alone, as a JSON array in the form that a manifest has them: what the store keeps at hand of a verified release,
 * as a manifest is large and has much that no promotion asks for. Nothing is checked again. -1: it is none, or memory is
 * exhausted. */
void manifest_write_artifacts(struct buf *buf, const struct artifact *artifacts, size_t count);
int manifest_read_artifacts(struct arena *arena, struct slice text, struct artifact **ret_artifacts, size_t *ret_count);

/* `[docker://|oci://]host[:port]/repository[:tag][@digest]`
 *
 * The host is a DNS name, an IPv4 address or an IPv6 address in brackets; without a dot or a port only `localhost` is one,
 * so `acme/shop` is no reference. Repository and tag have the patterns of the OCI distribution specification ("Pull"),
 * the digest is sha256 or sha512, and host and repository have at most 255 bytes. */
struct image_reference {
    struct slice host;                    /* with its port, as it was written */
    struct slice repository, tag, digest; /* the last two with a NULL `p` when absent */
};
/* The parts point into `uri`. False when it is no reference to a registry: a bare file name, another scheme, characters
 * out of place. */
bool image_reference_parse(struct slice uri, struct image_reference *ret_reference);

#endif
