/* Where CI keeps the manifest and, if it has one of its own, its schema. */
#ifndef SLUICE_MANIFEST_DEFAULTS_H
#define SLUICE_MANIFEST_DEFAULTS_H

#define MANIFEST_NAME "release-manifest.json" /* also in a bundle */
#define MANIFEST_FILE "release/out/" MANIFEST_NAME
#define MANIFEST_SCHEMA_FILE "release/schema/release-manifest.schema.json"

#endif
