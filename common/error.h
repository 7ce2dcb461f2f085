/* What went wrong, for a person and for the program that has to go on.
 *
 * A function that can fail takes a `struct error *` last, fills it when it fails and leaves it alone otherwise; all its
 * other results are then untouched. The message is one line that says what happened, to what, and what to do. */
#ifndef SLUICE_ERROR_H
#define SLUICE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

enum error_kind {
    ERROR_NONE,
    ERROR_INPUT,       /* what was given is wrong; the same again fails again */
    ERROR_UNAVAILABLE, /* a server, the network or a resource; the same again may succeed */
    ERROR_FENCED,      /* somebody else is the writer now */
    ERROR_UNKNOWN,     /* it may or may not have happened */
    ERROR_INTERNAL     /* a defect, memory exhausted, or a server that breaks its contract */
};

struct error {
    enum error_kind kind;
    char code[40];      /* stable and machine-readable, as "digest-invalid"; may be empty */
    char path[400];     /* a JSON Pointer (RFC 6901) to what is wrong, or empty */
    char message[1024]; /* one line */
};

/* Fills *error and returns -1, so that `return error_set(...)` is one statement. `error` may be NULL. Line breaks and
 * control characters in the message become spaces. */
int error_set(struct error *error, enum error_kind kind, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int error_vset(struct error *error, enum error_kind kind, const char *code, const char *format, va_list arguments)
    __attribute__((format(printf, 4, 0)));
/* Sets the path of an error that is already filled. Of one that is too long the reference tokens that fit whole are kept: it then
 * points to what holds the place. */
void error_at(struct error *error, const char *path);
/* The usual words for exhausted memory; returns -1. */
int error_memory(struct error *error);
/* The same where the system, or a library in its place, refused memory, which memory.h counts. */
int error_starved(struct error *error);

#endif
