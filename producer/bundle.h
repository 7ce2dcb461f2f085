/* A release bundle: a folder with the manifest, its SBOM and its evidence. Its content is untrusted. */
#ifndef SLUICE_BUNDLE_H
#define SLUICE_BUNDLE_H

#include "manifest.h"

/* Holds the files that the manifest refers to against their digests. A reference without a scheme is a path in the bundle:
 * relative, without `..`, and also behind symbolic links a regular file inside the folder. What lies elsewhere (a URI with
 * a scheme, or an image reference with a tag or digest) is not opened.
 *
 * Problems go to `problem` with the codes "digest-invalid" and "manifest-invalid" and a path into the manifest; `ret_elsewhere`
 * tells which references were not checked. Returns 0 when the bundle could be looked at, whatever was found, or -1. */
struct bundle_unchecked {
    bool sbom_elsewhere, evidence_elsewhere; /* the file is not in the bundle */
    bool sbom_no_digest, evidence_no_digest; /* it is, and the manifest has no digest to compare */
};
int bundle_check(const char *folder, const struct manifest *manifest, manifest_problem *problem, void *context,
                 struct bundle_unchecked *ret_unchecked, struct error *error);

#endif
