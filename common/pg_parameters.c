/* Parameters in Postgres's binary form (what each type's receive function reads). */
#include "pg.h"

#include <assert.h>
#include <limits.h>

enum { KEPT = 4 * 1024 * 1024 };
static const size_t parameter_bytes_max = 256 * 1024 * 1024;

/* Postgres counts from 2000-01-01. */
static const int64_t epoch_us = 946684800000000;
enum { EPOCH_DAYS = 10957 };

static const struct {
    unsigned oid;
    size_t size; /* 0 when it varies */
} types[] = {
    [PG_BOOL] = {16, 1},  [PG_INT2] = {21, 2},    [PG_INT4] = {23, 4},   [PG_INT8] = {20, 8},      [PG_TEXT] = {25, 0},
    [PG_BYTEA] = {17, 0}, [PG_UUID] = {2950, 16}, [PG_DATE] = {1082, 4}, [PG_INSTANT] = {1184, 8},
};

void pg_parameters_init(struct pg_parameters *parameters) {
    *parameters = (struct pg_parameters){0};
    buf_init(&parameters->bytes, parameter_bytes_max);
}

void pg_parameters_release(struct pg_parameters *parameters) {
    buf_release(&parameters->bytes);
    pg_parameters_reset(parameters);
}

void pg_parameters_reset(struct pg_parameters *parameters) {
    if (parameters->bytes.room > KEPT) buf_release(&parameters->bytes);
    buf_reset(&parameters->bytes);
    parameters->count = parameters->missing = 0;
    memset(&parameters->form, 0, sizeof parameters->form);
}

/* Begins a parameter; its bytes follow. */
static void begin(struct pg_parameters *parameters, enum pg_type type, bool array) {
    assert(parameters->count < PG_PARAMETERS_MAX && parameters->missing == 0);
    size_t at = parameters->count++;
    parameters->values[at].type = type;
    parameters->values[at].array = array;
    parameters->values[at].null = false;
    parameters->values[at].at = parameters->bytes.n;
    parameters->values[at].size = 0;
}

static void big_endian(char *to, uint64_t number, size_t size) {
    if (!to) return;
    for (size_t i = size; i-- > 0; number >>= 8) to[i] = (char)(number & 0xff);
}

enum { ARRAY_NULLS_AT = 4, ARRAY_TYPE_AT = 8 }; /* in the head of an array */

/* The open array is one of that type. */
static void set_element_type(struct pg_parameters *parameters, enum pg_type type) {
    size_t last = parameters->count - 1;
    parameters->values[last].type = type;
    if (!parameters->bytes.failed)
        big_endian(parameters->bytes.p + parameters->values[last].at + ARRAY_TYPE_AT, types[type].oid, 4);
}

/* Its bytes are all that have come since it began. */
static void end(struct pg_parameters *parameters) {
    size_t last = parameters->count - 1;
    parameters->values[last].size = parameters->bytes.n - parameters->values[last].at;
}

/* Of pg_column: the next of the rows' fields is of another column than the open one. */
static bool is_other_column(struct pg_parameters *parameters) {
    if (!parameters->form.left) return false;
    size_t field = parameters->form.fields - 1 - (parameters->form.left - 1) % parameters->form.fields;
    parameters->form.left--;
    return field != parameters->form.column;
}

/* Whether a value is an element of the open array or a field of the open row, and no parameter of its own. */
static bool is_element(struct pg_parameters *parameters, enum pg_type type) {
    if (!parameters->missing) return false;
    parameters->missing--;
    if (parameters->form.copy) return true;
    if (parameters->form.fields) set_element_type(parameters, type);
    assert(parameters->values[parameters->count - 1].type == type);
    return true;
}

/* Room for a value's bytes, inside the open array or row or as a parameter of its own. NULL when it is not kept, or without
 * memory. */
static char *value(struct pg_parameters *parameters, enum pg_type type, size_t size) {
    assert(!types[type].size || types[type].size == size);
    assert(size <= INT_MAX);
    if (is_other_column(parameters)) return NULL;
    if (is_element(parameters, type))
        buf_u32(&parameters->bytes, (unsigned long)size);
    else
        begin(parameters, type, false);
    char *room = buf_reserve(&parameters->bytes, size);
    end(parameters);
    return room;
}

/* The head of an array (array_recv): dimensions, NULLs or none, element type, length, lower bound. */
void pg_array(struct pg_parameters *parameters, enum pg_type type, size_t count) {
    memset(&parameters->form, 0, sizeof parameters->form);
    begin(parameters, type, true);
    buf_u32(&parameters->bytes, count ? 1 : 0);
    buf_u32(&parameters->bytes, 0); /* none so far */
    buf_u32(&parameters->bytes, types[type].oid);
    if (count) {
        buf_u32(&parameters->bytes, (unsigned long)count);
        buf_u32(&parameters->bytes, 1);
    }
    parameters->missing = count;
    end(parameters);
}

void pg_column(struct pg_parameters *parameters, size_t column, size_t fields, size_t count) {
    assert(column < fields && count > 0);
    pg_array(parameters, PG_BOOL, count); /* of another type as soon as the first value tells */
    parameters->form.fields = fields;
    parameters->form.column = column;
    parameters->form.left = fields * count;
}

/* COPY's binary format (PostgreSQL documentation, COPY, "Binary Format"): a signature, flags and the length of an extension. */
void pg_copy(struct pg_parameters *parameters) {
    assert(parameters->count == 0);
    begin(parameters, PG_BYTEA, false);
    buf_append(&parameters->bytes, SLICE("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"));
    parameters->form.copy = true;
    end(parameters);
}

void pg_row(struct pg_parameters *parameters, size_t fields) {
    assert(parameters->form.copy && parameters->missing == 0 && fields <= INT16_MAX);
    big_endian(buf_reserve(&parameters->bytes, 2), fields, 2);
    parameters->missing = fields;
}

void pg_null(struct pg_parameters *parameters, enum pg_type type) {
    if (is_other_column(parameters)) return;
    if (!is_element(parameters, type)) {
        begin(parameters, type, false);
        parameters->values[parameters->count - 1].null = true;
        return;
    }
    buf_u32(&parameters->bytes, 0xffffffffu);
    if (parameters->bytes.failed) return;
    size_t head = parameters->values[parameters->count - 1].at;
    if (!parameters->form.copy) big_endian(parameters->bytes.p + head + ARRAY_NULLS_AT, 1, 4);
    end(parameters);
}

void pg_bool(struct pg_parameters *parameters, bool flag) { big_endian(value(parameters, PG_BOOL, 1), flag, 1); }

void pg_int(struct pg_parameters *parameters, enum pg_type type, int64_t number) {
    assert(type == PG_INT2 || type == PG_INT4 || type == PG_INT8);
    assert(type != PG_INT2 || (number >= INT16_MIN && number <= INT16_MAX));
    assert(type != PG_INT4 || (number >= INT32_MIN && number <= INT32_MAX));
    big_endian(value(parameters, type, types[type].size), (uint64_t)number, types[type].size);
}

void pg_bytes(struct pg_parameters *parameters, enum pg_type type, struct slice bytes) {
    assert(type == PG_TEXT || type == PG_BYTEA);
    if (!bytes.p) {
        pg_null(parameters, type);
        return;
    }
    if (bytes.n > INT_MAX) {
        parameters->bytes.failed = parameters->bytes.full = true;
        return;
    }
    char *room = value(parameters, type, bytes.n);
    if (room && bytes.n) memcpy(room, bytes.p, bytes.n);
}

void pg_digest(struct pg_parameters *parameters, const struct digest *digest) {
    pg_bytes(parameters, PG_BYTEA, slice_of(digest->bytes, DIGEST_SIZE));
}

void pg_uuid(struct pg_parameters *parameters, const unsigned char uuid[16]) {
    char *room = value(parameters, PG_UUID, 16);
    if (room) memcpy(room, uuid, 16);
}

void pg_instant(struct pg_parameters *parameters, instant at) {
    big_endian(value(parameters, PG_INSTANT, 8), (uint64_t)(at - epoch_us), 8);
}

void pg_date(struct pg_parameters *parameters, int32_t days) {
    big_endian(value(parameters, PG_DATE, 4), (uint32_t)(days - EPOCH_DAYS), 4);
}
