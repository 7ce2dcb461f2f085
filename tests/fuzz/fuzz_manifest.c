/* Any bytes as a manifest, read both ways; what is read must be what it says, and any bytes as an image reference. */
#include "manifest.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool count(void *context, const char *path, const char *code, const char *message) {
    if (!path || !code || !code[0] || !message || !message[0]) abort();
    ++*(size_t *)context;
    return true;
}

static void check_reference(struct slice uri) {
    struct image_reference image;
    if (!image_reference_parse(uri, &image)) return;
    size_t parts =
        image.host.n + 1 + image.repository.n + (image.tag.p ? image.tag.n + 1 : 0) + (image.digest.p ? image.digest.n + 1 : 0);
    if (!image.host.n || !image.repository.n || parts > uri.n) abort(); /* uri may have a scheme before them */
    for (size_t i = 0; i < image.repository.n; i++)
        if ((unsigned char)image.repository.p[i] <= ' ' || strchr("%?#\\@:", image.repository.p[i])) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice text = slice_of(data, size);
    struct manifest first, all;
    struct error error;
    struct arena arena;
    size_t problems = 0;
    arena_init(&arena, 256 * 1024 * 1024);
    int one = manifest_read(&arena, text, NULL, NULL, &first, &error);
    if (one && !error.code[0]) abort();
    int other = manifest_read(&arena, text, count, &problems, &all, &error);
    if (one != other || (one != 0) != (problems != 0)) abort(); /* both ways agree */
    for (size_t i = 0; one == 0 && i < all.artifact_count; i++) {
        if (!digest_is_valid(all.artifacts[i].digest) || !all.artifacts[i].name.n) abort();
        check_reference(all.artifacts[i].uri);
    }
    if (one == 0 && (!text_is_git_sha(all.git_sha) || !all.artifact_count)) abort();
    check_reference(text);
    arena_release(&arena);
    return 0;
}
