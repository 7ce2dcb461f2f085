#include "suggest.h"

#include <stdint.h>

enum { LONGEST = 64 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

size_t suggest_distance(struct slice a, struct slice b) {
    size_t rows[3][LONGEST + 1]; /* of the usual table, the last three: row i is rows[i % 3] */
    if (a.n > LONGEST || b.n > LONGEST) return SIZE_MAX;
    for (size_t j = 0; j <= b.n; j++) rows[0][j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *twice = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t edits = least(least(row[j - 1], above[j]) + 1, above[j - 1] + (a.p[i - 1] != b.p[j - 1]));
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1]) edits = least(edits, twice[j - 2] + 1);
            row[j] = edits;
        }
    }
    return rows[a.n % 3][b.n];
}

void suggest_nearer(struct slice word, const char *candidate, const char **best) {
    size_t far = suggest_distance(word, slice_str(candidate));
    if (far > 2 && far > word.n / 4) return;
    if (far >= word.n) return; /* nothing of the word is left */
    if (!*best || far < suggest_distance(word, slice_str(*best))) *best = candidate;
}
