/* Any bytes as a manifest, read both ways: both agree, a problem has a code and a place, and what is read is what the manifest
 * promises.
 *
 * Covers: common/manifest.c */
#include "fuzz.h"
#include "manifest.h"

struct heard {
    struct slice text;
    size_t count;
};

static bool hear(void *context, const char *path, const char *code, const char *message) {
    struct heard *heard = context;
    REQUIRE(path && (!path[0] || path[0] == '/') && code && code[0] && message && message[0]);
    heard->count++;
    return true;
}

static bool hear_one(void *context, const char *path, const char *code, const char *message) {
    (void)hear(context, path, code, message);
    return false;
}

static void check_manifest(struct arena *arena, const struct manifest *manifest) {
    struct manifest recalled;
    REQUIRE(text_is_git_sha(manifest->git_sha) && manifest->artifact_count && manifest->artifact_count <= MANIFEST_ARTIFACTS_MAX);
    for (size_t i = 0; i < manifest->artifact_count; i++) {
        const struct artifact *artifact = &manifest->artifacts[i];
        REQUIRE(digest_is_valid(artifact->digest) && artifact->name.n && artifact->type.n);
        for (size_t k = 0; k < i; k++) REQUIRE(!slice_equal(artifact->name, manifest->artifacts[k].name));
        struct image_reference image;
        if (artifact->uri.p && image_reference_parse(artifact->uri, &image) && image.digest.p)
            REQUIRE(slice_equal(image.digest, artifact->digest));
    }
    REQUIRE(manifest_recall(arena, manifest->text, &recalled) == 0);
    REQUIRE(slice_equal(recalled.git_sha, manifest->git_sha) && recalled.artifact_count == manifest->artifact_count &&
            recalled.attestation_enabled == manifest->attestation_enabled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice text = slice_of(data, size);
    struct manifest first, all, recalled;
    struct error error = {0};
    struct arena arena;
    struct heard every = {.text = text}, one = {.text = text};
    arena_init(&arena, 256 * 1024 * 1024);
    int status = manifest_read(&arena, text, NULL, NULL, &first, &error);
    if (status) require_error(&error);
    REQUIRE(manifest_read(&arena, text, hear, &every, &all, &error) == status && (status != 0) == (every.count != 0));
    REQUIRE(manifest_read(&arena, text, hear_one, &one, &all, &error) == status && one.count == (status != 0));
    if (status == 0) check_manifest(&arena, &all);
    (void)manifest_recall(&arena, text, &recalled); /* also of what is none it must only say so */
    arena_release(&arena);
    return 0;
}
