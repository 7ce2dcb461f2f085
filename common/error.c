#include "error.h"
#include "memory.h"

#include <stdio.h>
#include <string.h>

int error_vset(struct error *error, enum error_kind kind, const char *code, const char *format, va_list arguments) {
    if (!error) return -1;
    error->kind = kind;
    error->path[0] = '\0';
    (void)snprintf(error->code, sizeof error->code, "%s", code ? code : "");
    (void)vsnprintf(error->message, sizeof error->message, format, arguments);
    for (char *c = error->message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = ' ';
    return -1;
}

int error_set(struct error *error, enum error_kind kind, const char *code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)error_vset(error, kind, code, format, arguments);
    va_end(arguments);
    return -1;
}

void error_at(struct error *error, const char *path) {
    if (!error) return;
    if (!path) path = "";
    bool fits = (size_t)snprintf(error->path, sizeof error->path, "%s", path) < sizeof error->path;
    if (fits || path[sizeof error->path - 1] == '/') return;
    char *last = strrchr(error->path, '/');
    if (last) *last = '\0';
}

int error_memory(struct error *error) {
    return error_set(error, ERROR_INTERNAL, "out-of-memory", "memory is exhausted, or an input needs more than its limit");
}

int error_starved(struct error *error) {
    memory_refused();
    return error_memory(error);
}
