#include "bundle.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct bundle {
    char folder[PATH_MAX]; /* as realpath says */
    manifest_problem *problem;
    void *context;
};

__attribute__((format(printf, 4, 5))) static void tell(struct bundle *bundle, const char *path, const char *code,
                                                       const char *format, ...) {
    struct error line; /* cleans the text for a terminal */
    va_list arguments;
    va_start(arguments, format);
    (void)error_vset(&line, ERROR_INPUT, code, format, arguments);
    va_end(arguments);
    (void)bundle->problem(bundle->context, path, code, line.message);
}

/* RFC 3986 section 3.1: letters, digits, + . - up to a colon. */
static bool has_scheme(struct slice uri) {
    for (size_t i = 0; i < uri.n; i++) {
        char c = uri.p[i], lower = (char)(c | 0x20);
        bool letter = lower >= 'a' && lower <= 'z';
        if (c == ':') return i > 0;
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '.' || c == '-'))) return false;
    }
    return false;
}

static bool lies_elsewhere(struct slice uri) {
    struct image_reference image;
    return has_scheme(uri) || (image_reference_parse(uri, &image) && (image.tag.p || image.digest.p));
}

/* Relative, and no part of it empty, "." or "..". */
static bool is_inner_path(struct slice path) {
    if (!path.n || memchr(path.p, '\\', path.n)) return false;
    for (size_t i = 0, n; i <= path.n; i += n + 1) {
        const char *slash = i < path.n ? memchr(path.p + i, '/', path.n - i) : NULL;
        n = slash ? (size_t)(slash - path.p) - i : path.n - i;
        struct slice part = slice_of(path.p + i, n);
        if (!n || slice_is(part, ".") || slice_is(part, "..")) return false;
    }
    return true;
}

/* The file as it really is, when it is a regular one inside the bundle; else false, and the problem was told. */
static bool find_file(struct bundle *bundle, const char *at, struct slice name, char real[PATH_MAX]) {
    char path[2 * PATH_MAX];
    size_t folder = strlen(bundle->folder);
    struct stat status;
    if (!is_inner_path(name)) {
        tell(bundle, at, "manifest-invalid", "'%.*s' is no path inside the bundle; name the file relative to it, without '..'",
             SLICE_ARG(name));
        return false;
    }
    (void)snprintf(path, sizeof path, "%s/%.*s", bundle->folder, SLICE_ARG(name));
    if (!realpath(path, real) || stat(real, &status)) {
        tell(bundle, at, "manifest-invalid", "the bundle lacks '%.*s': %s", SLICE_ARG(name), strerror(errno));
        return false;
    }
    if (folder > 1 && (strncmp(real, bundle->folder, folder) != 0 || real[folder] != '/')) {
        tell(bundle, at, "manifest-invalid", "'%.*s' leads out of the bundle by a symbolic link; put the file itself there",
             SLICE_ARG(name));
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        tell(bundle, at, "manifest-invalid", "'%.*s' in the bundle is no regular file", SLICE_ARG(name));
        return false;
    }
    return true;
}

static int check_reference(struct bundle *bundle, const char *member, const struct manifest_reference *reference,
                           bool *ret_elsewhere, bool *ret_no_digest, struct error *error) {
    char at[64], real[PATH_MAX], digest[136];
    *ret_elsewhere = lies_elsewhere(reference->uri);
    *ret_no_digest = !*ret_elsewhere && !reference->digest.p;
    (void)snprintf(at, sizeof at, "/%s/uri", member);
    if (*ret_elsewhere || !find_file(bundle, at, reference->uri, real) || *ret_no_digest) return 0;
    const char *algorithm = slice_starts(reference->digest, SLICE("sha512:")) ? "sha512" : "sha256";
    if (digest_file(real, algorithm, digest, sizeof digest, error)) return -1;
    if (slice_is(reference->digest, digest)) return 0;
    (void)snprintf(at, sizeof at, "/%s/digest", member);
    tell(bundle, at, "digest-invalid", "'%.*s' in the bundle is %s, another file than the one that was released",
         SLICE_ARG(reference->uri), digest);
    return 0;
}

int bundle_check(const char *folder, const struct manifest *manifest, manifest_problem *problem, void *context,
                 struct bundle_unchecked *ret_unchecked, struct error *error) {
    struct bundle bundle = {.problem = problem, .context = context};
    struct bundle_unchecked unchecked;
    struct stat status;
    if (!realpath(folder, bundle.folder) || stat(bundle.folder, &status))
        return error_set(error, ERROR_INPUT, "file-unreadable", "cannot read the bundle %s: %s", folder, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return error_set(error, ERROR_INPUT, "file-unreadable", "the bundle %s is no folder; unpack it first", folder);
    if (check_reference(&bundle, "sbomReference", &manifest->sbom, &unchecked.sbom_elsewhere, &unchecked.sbom_no_digest, error) ||
        check_reference(&bundle, "evidenceReference", &manifest->evidence, &unchecked.evidence_elsewhere,
                        &unchecked.evidence_no_digest, error))
        return -1;
    *ret_unchecked = unchecked;
    return 0;
}
