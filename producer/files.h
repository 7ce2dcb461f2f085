/* Files that commands read and write whole. */
#ifndef SLUICE_FILES_H
#define SLUICE_FILES_H

#include "arena.h"
#include "error.h"

/* Reads a file of at most `maximum` bytes into the arena, NUL-terminated beyond the end; "-" is standard input. Codes:
 * "file-unreadable", "too-large". Returns 0 or -1. */
int file_read(struct arena *arena, const char *path, size_t maximum, struct slice *ret_bytes, struct error *error);

/* Puts the bytes in place of the file, whole or not at all, also when the machine stops: a temporary file beside it, synced,
 * renamed, and its folder synced. Missing folders are made. Code: "file-unwritable". Returns 0 or -1. */
int file_write(const char *path, struct slice bytes, struct error *error);

#endif
