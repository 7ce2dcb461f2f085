/* What both limit programs share: options as key=value, clocks, and dying of an error. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct options {
    int count;
    char **arguments;
};

static inline const char *option(const struct options *options, const char *key, const char *fallback) {
    size_t n = strlen(key);
    for (int i = 0; i < options->count; i++)
        if (!strncmp(options->arguments[i], key, n) && options->arguments[i][n] == '=') return options->arguments[i] + n + 1;
    return fallback;
}

static inline int option_number(const struct options *options, const char *key, int fallback) {
    const char *text = option(options, key, NULL);
    return text ? (int)strtol(text, NULL, 10) : fallback;
}

static inline double seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* User and system seconds of this process. */
static inline double own_cpu(void) {
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* The largest resident size that this program had, in MiB. (What getrusage says counts the parent before exec too.) */
static inline double peak_memory(void) {
    char line[256];
    double peak = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, "VmHWM:", 6)) peak = strtod(line + 6, NULL) / 1024;
    if (status) (void)fclose(status);
    return peak;
}

_Noreturn static inline void die(const char *what, const char *why) {
    (void)fprintf(stderr, "%s: %s\n", what, why);
    exit(2);
}

static inline void *allocate(size_t n) {
    void *memory = calloc(1, n);
    if (!memory) die("memory", "there is no more");
    return memory;
}
