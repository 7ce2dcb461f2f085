#include "digest.h"

#include "text.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

/* One context a thread, made once, with the algorithm fetched once: EVP_sha256() would be looked up at each use, which costs more
 * than hashing an event. And so nothing that hashes needs to fail. */
static _Thread_local EVP_MD_CTX *thread_context;

int digest_prepare(struct error *error) {
    static _Thread_local EVP_MD *sha256;
    if (!sha256) sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!thread_context) thread_context = EVP_MD_CTX_new();
    return thread_context && sha256 && EVP_DigestInit_ex(thread_context, sha256, NULL) == 1 ? 0 : error_memory(error);
}

static EVP_MD_CTX *sha256_context(void) {
    if (digest_prepare(NULL)) abort();
    return thread_context;
}

struct digest digest_sha256(const struct slice *parts, size_t count) {
    EVP_MD_CTX *context = sha256_context();
    struct digest digest;
    for (size_t i = 0; i < count; i++)
        if (parts[i].n && EVP_DigestUpdate(context, parts[i].p, parts[i].n) != 1) abort();
    if (EVP_DigestFinal_ex(context, digest.bytes, NULL) != 1) abort();
    return digest;
}

struct digest digest_of(struct slice bytes) {
    return digest_sha256(&bytes, 1);
}

void digest_text(char to[DIGEST_TEXT], const struct digest *digest) {
    memcpy(to, "sha256:", 7);
    text_hex(to + 7, digest->bytes, DIGEST_SIZE);
}

static bool is_lower_hex(struct slice text) {
    for (size_t i = 0; i < text.n; i++)
        if (!((text.p[i] >= '0' && text.p[i] <= '9') || (text.p[i] >= 'a' && text.p[i] <= 'f'))) return false;
    return true;
}

bool digest_is_valid(struct slice text) {
    if (text.n < 7 || text.p[6] != ':' || !is_lower_hex(slice_of(text.p + 7, text.n - 7))) return false;
    if (slice_starts(text, SLICE("sha256:"))) return text.n == 7 + 64;
    return slice_starts(text, SLICE("sha512:")) && text.n == 7 + 128;
}

bool digest_parse(struct slice text, struct digest *ret_digest) {
    return text.n == DIGEST_TEXT && slice_starts(text, SLICE("sha256:")) && digest_is_valid(text) &&
           text_unhex(ret_digest->bytes, DIGEST_SIZE, slice_of(text.p + 7, text.n - 7));
}

bool digest_equal(const struct digest *a, const struct digest *b) { return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0; }

static int hash_stream(FILE *file, EVP_MD_CTX *context) {
    unsigned char chunk[65536];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;)
        if (EVP_DigestUpdate(context, chunk, n) != 1) return -1;
    return ferror(file) ? -1 : 0;
}

int digest_file(const char *path, const char *algorithm, char *to, size_t room, struct error *error) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    int result = -1;
    const EVP_MD *md = EVP_get_digestbyname(algorithm);
    if (!md)
        return error_set(error, ERROR_INPUT, "digest-invalid", "%s is no digest algorithm known here; use sha256 or sha512",
                         algorithm);
    FILE *file = fopen(path, "rb");
    if (!file) return error_set(error, ERROR_INPUT, "file-unreadable", "cannot read %s: %s", path, strerror(errno));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || EVP_DigestInit_ex(context, md, NULL) != 1) {
        error_memory(error);
        goto cleanup;
    }
    if (hash_stream(file, context) || EVP_DigestFinal_ex(context, bytes, &size) != 1) {
        error_set(error, ERROR_INPUT, "file-unreadable", "cannot read %s: %s", path, strerror(errno));
        goto cleanup;
    }
    int prefix = snprintf(to, room, "%s:", algorithm);
    if (prefix < 0 || (size_t)prefix + 2 * size + 1 > room) {
        error_memory(error);
        goto cleanup;
    }
    text_hex(to + prefix, bytes, size);
    to[(size_t)prefix + 2 * size] = '\0';
    result = 0;
cleanup:
    EVP_MD_CTX_free(context);
    (void)fclose(file);
    return result;
}

void digest_random(unsigned char *to, size_t size) {
    if (RAND_bytes(to, (int)size) != 1) abort();
}
