/* SHA-256, and digests as OCI writes them (image-spec, descriptor.md "Digests"): `sha256:` or `sha512:` and lower-case hex. */
#ifndef SLUICE_DIGEST_H
#define SLUICE_DIGEST_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stddef.h>

enum { DIGEST_SIZE = 32, DIGEST_TEXT = 71 /* "sha256:" and 64 digits */ };

struct digest {
    unsigned char bytes[DIGEST_SIZE];
};

/* Makes what the calling thread hashes with: a program's first step, so that nothing that hashes later wants memory. 0 or -1. */
int digest_prepare(struct error *error);
/* The SHA-256 of the parts, one after the other. Fails never: a failure of libcrypto here aborts the program, as there is
 * no safe way on without hashing. */
struct digest digest_sha256(const struct slice *parts, size_t count);
struct digest digest_of(struct slice bytes);
/* "sha256:<hex>", 71 characters; no NUL. */
void digest_text(char to[DIGEST_TEXT], const struct digest *digest);
/* From "sha256:<64 lower-case hex digits>". */
bool digest_parse(struct slice text, struct digest *ret_digest);
bool digest_equal(const struct digest *a, const struct digest *b);

/* A well-formed digest of sha256 or sha512: the algorithm's exact length, lower-case hex. */
bool digest_is_valid(struct slice text);
/* The digest of a file by the algorithm ("sha256", "sha512") as text, NUL-terminated, into `to` of at least 136 bytes. */
int digest_file(const char *path, const char *algorithm, char *to, size_t room, struct error *error);

/* 16 bytes from the system's random generator; aborts the program when it has none. */
void digest_random(unsigned char *to, size_t size);

#endif
