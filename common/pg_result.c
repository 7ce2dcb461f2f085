/* Results in Postgres's binary form. */
#include "pg_internal.h"

#include <assert.h>
#include <stdlib.h>

static const int64_t epoch_us = 946684800000000; /* 2000-01-01, from which Postgres counts */
enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_INSTANT = 1184, OID_UUID = 2950 };

static int64_t big_endian(const char *from, size_t size) {
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) number = number << 8 | (unsigned char)from[i];
    if (size < 8 && number >> (size * 8 - 1)) number |= ~0ULL << (size * 8);
    return (int64_t)number;
}

static struct slice field(const struct pg_result *result, size_t row, int column) {
    const PGresult *inner = pg_inner(result);
    assert(row < (size_t)PQntuples(inner) && column < PQnfields(inner) && PQfformat(inner, column) == 1);
    if (PQgetisnull(inner, (int)row, column)) return (struct slice){0};
    return slice_of(PQgetvalue(inner, (int)row, column), (size_t)PQgetlength(inner, (int)row, column));
}

void pg_result_free(struct pg_result *result) {
    if (result) PQclear(pg_inner(result));
}

void pg_results_free(struct pg_call *calls, size_t count) {
    for (size_t i = 0; i < count; i++) {
        pg_result_free(calls[i].result);
        calls[i].result = NULL;
    }
}

size_t pg_rows(const struct pg_result *result) { return (size_t)PQntuples(pg_inner(result)); }

uint64_t pg_touched(const struct pg_result *result) { return strtoull(PQcmdTuples(pg_inner(result)), NULL, 10); }

bool pg_is_null(const struct pg_result *result, size_t row, int column) { return !field(result, row, column).p; }

int64_t pg_get_int(const struct pg_result *result, size_t row, int column) {
    struct slice bytes = field(result, row, column);
    assert(PQftype(pg_inner(result), column) == OID_INT8 || PQftype(pg_inner(result), column) == OID_INT4 ||
           PQftype(pg_inner(result), column) == OID_INT2);
    return bytes.p ? big_endian(bytes.p, bytes.n) : 0;
}

bool pg_get_bool(const struct pg_result *result, size_t row, int column) {
    struct slice bytes = field(result, row, column);
    assert(PQftype(pg_inner(result), column) == OID_BOOL);
    return bytes.n == 1 && bytes.p[0];
}

instant pg_get_instant(const struct pg_result *result, size_t row, int column) {
    struct slice bytes = field(result, row, column);
    assert(PQftype(pg_inner(result), column) == OID_INSTANT);
    return bytes.n == 8 ? big_endian(bytes.p, 8) + epoch_us : 0;
}

struct slice pg_get_bytes(const struct pg_result *result, size_t row, int column) {
    return field(result, row, column);
}

struct digest pg_get_digest(const struct pg_result *result, size_t row, int column) {
    struct digest digest = {{0}};
    struct slice bytes = field(result, row, column);
    if (bytes.n == DIGEST_SIZE) memcpy(digest.bytes, bytes.p, DIGEST_SIZE);
    return digest;
}

void pg_get_uuid(unsigned char to[16], const struct pg_result *result, size_t row, int column) {
    struct slice bytes = field(result, row, column);
    assert(PQftype(pg_inner(result), column) == OID_UUID);
    if (bytes.n == 16)
        memcpy(to, bytes.p, 16);
    else
        memset(to, 0, 16);
}

/* array_send's form: dimensions, flags, element type, then size and lower bound of each dimension, then the elements. */
size_t pg_get_array_count(const struct pg_result *result, size_t row, int column) {
    struct slice bytes = field(result, row, column);
    if (bytes.n < 20 || big_endian(bytes.p, 4) != 1) return 0;
    return (size_t)big_endian(bytes.p + 12, 4);
}

struct slice pg_get_array_text(const struct pg_result *result, size_t row, int column, size_t index) {
    struct slice bytes = field(result, row, column);
    assert(index < pg_get_array_count(result, row, column));
    size_t at = 20;
    for (;; index--) {
        int64_t size = big_endian(bytes.p + at, 4);
        at += 4;
        if (index == 0) return size < 0 ? slice_of(NULL, 0) : slice_of(bytes.p + at, (size_t)size);
        if (size > 0) at += (size_t)size;
    }
}
