#include "files.h"

#include "buf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ---- */

static int unreadable(const char *path, struct error *error) {
    return error_set(error, ERROR_INPUT, "file-unreadable", "cannot read %s: %s", path, strerror(errno));
}

/* Reads to the end, or one byte past `maximum`. */
static int drain(int fd, size_t maximum, struct buf *buf) {
    while (buf->n <= maximum) {
        size_t before = buf->n, size = maximum + 1 - before < 65536 ? maximum + 1 - before : 65536;
        char *to = buf_reserve(buf, size);
        if (!to) return errno = ENOMEM, -1;
        ssize_t n = read(fd, to, size);
        if (n < 0 && errno != EINTR) return -1;
        buf->n = before + (n > 0 ? (size_t)n : 0);
        if (n == 0) return 0;
    }
    return 0;
}

int file_read(struct arena *arena, const char *path, size_t maximum, struct slice *ret_bytes, struct error *error) {
    bool standard = strcmp(path, "-") == 0;
    struct slice bytes;
    struct buf buf;
    int status = -1;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return unreadable(path, error);
    buf_init(&buf, maximum + 1);
    if (drain(fd, maximum, &buf)) {
        (void)unreadable(path, error);
        goto cleanup;
    }
    if (buf.n > maximum) {
        (void)error_set(error, ERROR_INPUT, "too-large", "%s has more than %zu bytes", path, maximum);
        goto cleanup;
    }
    bytes = arena_copy(arena, buf_slice(&buf));
    if (!bytes.p) {
        (void)error_memory(error);
        goto cleanup;
    }
    *ret_bytes = bytes;
    status = 0;
cleanup:
    buf_release(&buf);
    if (!standard) (void)close(fd);
    return status;
}

/* ---- writing ---- */

static int unwritable(const char *path, struct error *error) {
    return error_set(error, ERROR_INPUT, "file-unwritable", "cannot write %s: %s", path, strerror(errno));
}

/* Makes the folders of `path`, which is changed on the way and put back. */
static int make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int made = mkdir(path, 0777);
        *slash = '/';
        if (made && errno != EEXIST) return -1;
    }
    return 0;
}

/* The rename is only kept over a power cut when the folder is synced too. */
static int sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    int synced = fsync(fd);
    int reason = errno;
    (void)close(fd);
    errno = reason;
    return synced && reason != EINVAL ? -1 : 0; /* EINVAL: the file system has no such thing */
}

static int write_all(int fd, struct slice bytes) {
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno != EINTR) return -1;
        if (n > 0) bytes = slice_of(bytes.p + n, bytes.n - (size_t)n);
    }
    return 0;
}

int file_write(const char *path, struct slice bytes, struct error *error) {
    char target[PATH_MAX], temporary[PATH_MAX + 16];
    int status = -1, fd = -1, reason;
    if (!path[0] || path[strlen(path) - 1] == '/') return errno = EISDIR, unwritable(path, error);
    if (strlen(path) >= sizeof target) return errno = ENAMETOOLONG, unwritable(path, error);
    struct stat present;
    if (stat(path, &present) == 0 && !S_ISREG(present.st_mode)) /* never put a file in the place of /dev/stdout */
        return error_set(error, ERROR_INPUT, "file-unwritable", "cannot write %s: it exists and is no regular file", path);
    (void)snprintf(target, sizeof target, "%s", path);
    (void)snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (make_folders(target)) goto cleanup;
    fd = mkstemp(temporary);
    if (fd < 0) goto cleanup;
    mode_t mask = umask(0); /* mkstemp gives 0600; CI hands the file to other users */
    (void)umask(mask);
    if (fchmod(fd, 0666 & ~mask) || write_all(fd, bytes) || fsync(fd) || rename(temporary, path)) goto cleanup;
    status = sync_folder(path);
cleanup:
    reason = errno;
    if (fd >= 0) {
        (void)close(fd);
        if (status) (void)unlink(temporary);
    }
    errno = reason;
    return status ? unwritable(path, error) : 0;
}
