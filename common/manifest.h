/* release-manifest.json: its schema (schemas/release-manifest.schema.json) and, beyond it, its integrity. */
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

struct manifest {
    const struct json *root;
    struct slice text;    /* the exact bytes */
    struct digest digest; /* of them: what `sha256sum release-manifest.json` prints */
    struct slice git_sha;
    struct artifact *artifacts;
    size_t artifact_count;
    bool attestation_enabled;
};

/* Called for every problem that is found; returns false to hear no more. `path` is a JSON Pointer into the manifest. */
typedef bool manifest_problem(void *context, const char *path, const char *code, const char *message);

/* Reads and checks a manifest: strict JSON, schema, integrity. Everything lives in the arena or points into `text`.
 * With `problem` NULL the first problem is the error (codes: json.h's, "schema-invalid", "unknown-member",
 * "digest-invalid", "manifest-invalid"; error->path is a JSON Pointer into the manifest). Otherwise all that can be told
 * are reported and the error says how many. Returns 0 or -1. */
int manifest_read(struct arena *arena, struct slice text, manifest_problem *problem, void *context, struct manifest *ret_manifest,
                  struct error *error);

/* `[docker://|oci://]host[:port]/repository[:tag][@digest]` */
struct image_reference {
    struct slice host;                    /* with its port */
    struct slice repository, tag, digest; /* the last two with a NULL `p` when absent */
};
/* False when it is no reference to a registry: a bare file name, another scheme, characters out of place. */
bool image_reference_parse(struct slice uri, struct image_reference *ret_reference);

#endif
