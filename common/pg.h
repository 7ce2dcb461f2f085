/* One connection to Postgres: prepared statements from sql/queries, binary parameters and results, and pipelines of several
 * statements in one round trip, each with a deadline.
 *
 * The connection is made when it is first needed and again after it was lost; every call may be made again after any
 * error. One thread. Errors, by SQLSTATE (PostgreSQL documentation, appendix A):
 *   ERROR_UNAVAILABLE  no connection, or classes 08, 40, 53, 57, 58 and what time-outs and read-only servers say: nothing
 * happened ERROR_UNKNOWN      a write whose end nobody saw: it may or may not have happened ERROR_FENCED       SL001, which the
 * fence raises ERROR_INPUT        classes 21, 22, 23 and 54: the data itself is refused ERROR_INTERNAL     all others: a defect,
 * a wrong schema, a missing right The code of such an error is "sql-" and the SQLSTATE; without one "database-unreachable",
 * "database-lost" or "database-slow". */
#ifndef SLUICE_PG_H
#define SLUICE_PG_H

#include "buf.h"
#include "digest.h"
#include "error.h"
#include "slice.h"
#include "text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zero or NULL in all but `url` and `schema` stands for the default. */
struct pg_options {
    const char *url;    /* a postgresql:// URI or keywords; "" leaves all to libpq's environment */
    const char *schema; /* of the installation: "sluice" */
    const char *application;
    unsigned connect_s;        /* to one host of the URL; 5 */
    unsigned statement_ms;     /* statement_timeout; 20,000 */
    unsigned lock_ms;          /* lock_timeout; 5,000 */
    unsigned idle_in_block_ms; /* idle_in_transaction_session_timeout; 10,000 */
    unsigned call_ms;          /* one call of pg_run, as seen from here; 30,000 */
};

/* Whom the connection acts as (SET ROLE). */
enum pg_role { PG_LOGIN, PG_OWNER, PG_ADMIN, PG_WORKER, PG_READER };

struct pg;

/* Does not connect yet. `options` must outlive it. NULL without memory. PG_WORKER also keeps the planner from sequential scans
 * and from hash and merge joins: a generic plan that was made while a table was empty would stay what it is. */
struct pg *pg_new(const struct pg_options *options, enum pg_role role);
void pg_free(struct pg *pg);
/* Connects if it is not connected. Not needed before the other calls. */
int pg_connect(struct pg *pg, struct error *error);
/* Drops the connection, if there is one. */
void pg_disconnect(struct pg *pg);
/* What a SQLSTATE (five characters) means for the caller. */
enum error_kind pg_error_kind(const char *sqlstate);

/* ---- statements ---- */

/* Outlives every connection that it was run on, which remembers it by address. */
struct pg_statement {
    const char *name;
    const unsigned char *text; /* of one statement, terminated */
};

/* PG_STATEMENT(load_seen); defines `load_seen`, the statement in sql/queries/load_seen.sql. */
#define PG_STATEMENT(file)                                                                                                       \
    extern const unsigned char embedded_##file##_sql[];                                                                          \
    static const struct pg_statement file = {#file, embedded_##file##_sql}

/* ---- parameters, $1 first ---- */

enum { PG_PARAMETERS_MAX = 24 };

enum pg_type { PG_BOOL, PG_INT2, PG_INT4, PG_INT8, PG_TEXT, PG_BYTEA, PG_UUID, PG_DATE, PG_INSTANT };

struct pg_parameters {
    struct buf bytes; /* a failure of it (memory, its maximum) is found by pg_run */
    struct {
        enum pg_type type;
        bool array, null;
        size_t at, size;
    } values[PG_PARAMETERS_MAX];
    size_t count;
    size_t missing; /* elements that the open array, or fields that the open row, still lacks */
    struct {
        bool copy;                   /* they are the data of a COPY */
        size_t fields, column, left; /* of pg_column: fields of a row, the one that is kept, how many are still to come */
    } form;
};

void pg_parameters_init(struct pg_parameters *parameters);
void pg_parameters_release(struct pg_parameters *parameters);
/* Empties them; keeps the memory unless it is more than a few MiB. */
void pg_parameters_reset(struct pg_parameters *parameters);

/* Begins an array; exactly `count` values of that type follow, by the functions below, which otherwise each make a
 * parameter. */
void pg_array(struct pg_parameters *parameters, enum pg_type type, size_t count);
void pg_null(struct pg_parameters *parameters, enum pg_type type);
void pg_bool(struct pg_parameters *parameters, bool value);
/* PG_INT2, PG_INT4 or PG_INT8; what does not fit is a programming error. */
void pg_int(struct pg_parameters *parameters, enum pg_type type, int64_t value);
/* PG_TEXT or PG_BYTEA. A NULL `p` is NULL. */
void pg_bytes(struct pg_parameters *parameters, enum pg_type type, struct slice value);
void pg_digest(struct pg_parameters *parameters, const struct digest *value);
void pg_uuid(struct pg_parameters *parameters, const unsigned char value[16]);
void pg_instant(struct pg_parameters *parameters, instant value);
/* Days since 1970-01-01. */
void pg_date(struct pg_parameters *parameters, int32_t days);

/* ---- rows of a table, written field by field in one order, for either way to get them there ---- */

/* Many rows are cheaper by COPY: pg_copy begins the data of a COPY ... FROM STDIN (FORMAT binary), and each pg_row a row of so
 * many fields. There is nothing else in these parameters. */
void pg_copy(struct pg_parameters *parameters);
void pg_row(struct pg_parameters *parameters, size_t fields);
/* Few rows are cheaper by an INSERT that takes an array a column: begins an array of one column. All `count` rows follow, with
 * all their `fields`, of which only the field `column` (from 0) is kept. */
void pg_column(struct pg_parameters *parameters, size_t column, size_t fields, size_t count);

/* ---- calls ---- */

struct pg_result;

/* The rows of a COPY: `count` structs of `size` bytes, each written by `put`, field by field. They are written and sent piece by
 * piece, so that there is never a copy of all of them. */
struct pg_rows {
    const void *first;
    size_t count, size, fields;
    void (*put)(struct pg_parameters *parameters, const void *row, const void *context);
    const void *context;
    struct pg_parameters *room; /* in which a piece is written */
};

struct pg_call {
    const struct pg_statement *statement;
    const struct pg_parameters *parameters; /* NULL when it takes none */
    struct pg_rows rows;                    /* of a COPY; else without `put` */
    struct pg_result *result;               /* filled by pg_run; NULL before, and after a failure */
};

enum pg_mode {
    PG_READ,   /* no transaction block; a lost connection is ERROR_UNAVAILABLE */
    PG_WRITE,  /* one statement that commits by itself */
    PG_COMMIT, /* between BEGIN and COMMIT; an error anywhere leaves nothing; the only one that may have a COPY */
};

/* Runs the calls in order, in one round trip; a COPY has two of its own, as Postgres allows none inside a pipeline. 0: all of
 * them succeeded and their results are the caller's, to be freed by pg_results_free. -1: none has a result. */
int pg_run(struct pg *pg, enum pg_mode mode, struct pg_call *calls, size_t count, struct error *error);
void pg_results_free(struct pg_call *calls, size_t count);
/* One statement; NULL when it failed. Free with pg_result_free. */
struct pg_result *pg_query(struct pg *pg, enum pg_mode mode, const struct pg_statement *statement,
                           const struct pg_parameters *parameters, struct error *error);
void pg_result_free(struct pg_result *result);
/* Several statements as psql would take them, with text results that are dropped; for migrations. */
int pg_script(struct pg *pg, const char *text, struct error *error);

/* ---- results ---- */

size_t pg_rows(const struct pg_result *result);
/* How many rows an INSERT, UPDATE or DELETE touched. */
uint64_t pg_touched(const struct pg_result *result);
/* Rows and columns from 0. A column of another type than the getter's is a programming error; a NULL gives 0, false, 0 instants
 * and a slice with a NULL `p`. Slices live as long as the result. */
bool pg_is_null(const struct pg_result *result, size_t row, int column);
int64_t pg_get_int(const struct pg_result *result, size_t row, int column); /* int2, int4, int8 */
bool pg_get_bool(const struct pg_result *result, size_t row, int column);
instant pg_get_instant(const struct pg_result *result, size_t row, int column);
struct slice pg_get_bytes(const struct pg_result *result, size_t row, int column); /* text, bytea, uuid */
/* A 32-byte bytea; anything else gives zeros. */
struct digest pg_get_digest(const struct pg_result *result, size_t row, int column);
/* A uuid; anything else gives zeros. */
void pg_get_uuid(unsigned char to[16], const struct pg_result *result, size_t row, int column);
/* The elements of a text[]: their number, and each in turn. */
size_t pg_get_array_count(const struct pg_result *result, size_t row, int column);
struct slice pg_get_array_text(const struct pg_result *result, size_t row, int column, size_t index);

#endif
