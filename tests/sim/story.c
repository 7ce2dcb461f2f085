#include "story.h"

#include "apart.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS_MAX = 400, SHRINK_S = 90, LINES_MAX = 90 };

static bool is_crash(const struct violation *v) { return strcmp(v->invariant, STORY_CRASH) == 0; }

void story_crash(const struct run_spec *spec, const char *how, struct run_result *ret_result) {
    world_draw(spec, ret_result);
    struct violation *v = &ret_result->violation;
    *v = (struct violation){.invariant = STORY_CRASH, .shard = -1, .event = -1};
    (void)snprintf(v->what, sizeof v->what, "the process ended: %s", how);
}

/* ---- shrinking ---- */

static unsigned runs_left;
static time_t shrink_until; /* a lane that goes in circles takes its time for it */

static bool still_fails(const struct run_spec *spec, const char *invariant, struct run_result *ret_result) {
    struct run_result result;
    if (!runs_left || time(NULL) > shrink_until) return false;
    runs_left--;
    if (is_crash(&ret_result->violation)) {
        const char *how = apart_run(spec);
        if (how) story_crash(spec, how, &result);
        return how && strcmp(result.violation.what, ret_result->violation.what) == 0;
    }
    world_run(spec, &result);
    if (!result.violation.invariant || strcmp(result.violation.invariant, invariant) != 0) return false;
    *ret_result = result;
    return true;
}

/* Tries without ever smaller parts of the list. */
static void shrink_list(struct run_spec *spec, bool *without, size_t count, const char *invariant, struct run_result *result) {
    for (size_t part = count; part; part /= 2) {
        for (size_t from = 0; from < count; from += part) {
            struct run_spec before = *spec;
            size_t dropped = 0;
            for (size_t i = from; i < from + part && i < count; i++) {
                dropped += !without[i];
                without[i] = true;
            }
            if (!dropped || !still_fails(spec, invariant, result)) *spec = before;
        }
    }
}

void story_shrink(struct run_spec *spec, struct run_result *result) {
    const char *invariant = result->violation.invariant;
    runs_left = RUNS_MAX;
    shrink_until = time(NULL) + SHRINK_S;
    for (int round = 0; round < 2; round++) {
        shrink_list(spec, spec->without_fault, result->fault_count, invariant, result);
        shrink_list(spec, spec->without_event, result->event_count, invariant, result);
    }
}

/* ---- telling ---- */

static bool has(const char *line, const char *word) {
    size_t length = strlen(word);
    for (const char *at = line; (at = strstr(at, word)); at += length)
        if (!(at[length] >= '0' && at[length] <= '9')) return true;
    return false;
}

static bool concerns(const char *line, const struct violation *v) {
    static const char *const always[] = {"fault ",       "nothing is sent", "dies",      "starts,",   "VIOLATION",
                                         "mended",       "moves by",        "operator:", "database:", "is stopped",
                                         "says commit-", "restored",        "rebalance"};
    char shard[24], spoken[24], row[40], event[16];
    (void)snprintf(shard, sizeof shard, "shard%d", v->shard);
    (void)snprintf(spoken, sizeof spoken, "shard=%d", v->shard);
    (void)snprintf(row, sizeof row, "row %d-%llu", v->shard, (unsigned long long)v->sequence);
    (void)snprintf(event, sizeof event, " e%d", v->event);
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (strstr(line, always[i])) return true;
    if (v->shard >= 0 && (has(line, shard) || has(line, spoken))) return true;
    return (v->sequence && has(line, row)) || (v->event >= 0 && has(line, event));
}

void story_tell(const struct run_spec *spec, const struct run_result *result) {
    const struct violation *v = &result->violation;
    char *text = NULL, *lines[LINES_MAX];
    size_t size, count = 0;
    struct run_spec told = *spec;
    struct run_result again;
    if (is_crash(v)) {
        (void)apart_tell(spec);
        return;
    }
    told.trace = open_memstream(&text, &size);
    if (!told.trace) return;
    world_run(&told, &again);
    (void)fclose(told.trace);
    size_t skipped = 0;
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        if (!concerns(line, v)) continue;
        if (count >= LINES_MAX) skipped++;
        lines[count++ % LINES_MAX] = line;
    }
    if (skipped) printf("  ... %zu earlier lines\n", skipped);
    size_t first = count > LINES_MAX ? count - LINES_MAX : 0;
    for (size_t i = first; i < count; i++) printf("  %s\n", lines[i % LINES_MAX]);
    /* `text` is the C library's own memory, which our free() does not know; the process ends soon */
}

/* ---- lists ---- */

void story_list(char *to, size_t room, const bool *without, size_t count) {
    size_t n = 0;
    *to = '\0';
    for (size_t i = 0; i < count && n + 16 < room; i++) {
        if (!without[i]) continue;
        size_t last = i;
        while (last + 1 < count && without[last + 1]) last++;
        n += (size_t)snprintf(to + n, room - n, "%s%zu", n ? "," : "", i);
        if (last > i) n += (size_t)snprintf(to + n, room - n, "-%zu", last);
        i = last;
    }
}

bool story_read_list(const char *text, bool *without, size_t count) {
    while (*text) {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (end == text) return false;
        if (*end == '-') {
            text = end + 1;
            last = strtoul(text, &end, 10);
            if (end == text) return false;
        }
        for (unsigned long i = first; i <= last && i < count; i++) without[i] = true;
        if (*end && *end != ',') return false;
        text = *end ? end + 1 : end;
    }
    return true;
}
