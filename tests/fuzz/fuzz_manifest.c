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

/* As the store keeps them, and read again. */
static void check_artifacts(struct arena *arena, const struct manifest *manifest) {
    struct artifact *again;
    size_t count;
    struct buf text;
    buf_init(&text, 4 * 1024 * 1024);
    manifest_write_artifacts(&text, manifest->artifacts, manifest->artifact_count);
    REQUIRE(!text.failed && manifest_read_artifacts(arena, buf_slice(&text), &again, &count) == 0);
    REQUIRE(count == manifest->artifact_count);
    for (size_t i = 0; i < count; i++) {
        const struct artifact *artifact = &manifest->artifacts[i];
        REQUIRE(slice_equal(again[i].name, artifact->name) && slice_equal(again[i].type, artifact->type) &&
                slice_equal(again[i].digest, artifact->digest) && slice_equal(again[i].uri, artifact->uri));
    }
    buf_release(&text);
}

static void check_manifest(struct arena *arena, const struct manifest *manifest) {
    REQUIRE(text_is_git_sha(manifest->git_sha) && manifest->artifact_count && manifest->artifact_count <= MANIFEST_ARTIFACTS_MAX);
    for (size_t i = 0; i < manifest->artifact_count; i++) {
        const struct artifact *artifact = &manifest->artifacts[i];
        REQUIRE(digest_is_valid(artifact->digest) && artifact->name.n && artifact->type.n);
        for (size_t k = 0; k < i; k++) REQUIRE(!slice_equal(artifact->name, manifest->artifacts[k].name));
        struct image_reference image;
        if (artifact->uri.p && image_reference_parse(artifact->uri, &image) && image.digest.p)
            REQUIRE(slice_equal(image.digest, artifact->digest));
    }
    check_artifacts(arena, manifest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice text = slice_of(data, size);
    struct manifest first, all;
    struct artifact *artifacts;
    size_t count;
    struct error error = {0};
    struct arena arena;
    struct heard every = {.text = text}, one = {.text = text};
    arena_init(&arena, 256 * 1024 * 1024);
    int status = manifest_read(&arena, text, NULL, NULL, &first, &error);
    if (status) require_error(&error);
    REQUIRE(manifest_read(&arena, text, hear, &every, &all, &error) == status && (status != 0) == (every.count != 0));
    REQUIRE(manifest_read(&arena, text, hear_one, &one, &all, &error) == status && one.count == (status != 0));
    if (status == 0) check_manifest(&arena, &all);
    (void)manifest_read_artifacts(&arena, text, &artifacts, &count); /* also of what is none it must only say so */
    arena_release(&arena);
    return 0;
}
