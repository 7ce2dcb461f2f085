#include "pg_internal.h"

#include "monotonic.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { STATEMENTS_MAX = 96, CALLS_MAX = 32, BYTES_KEPT = 12 * 1024 * 1024, COPY_PIECE = 32 * 1024 };

struct pg {
    const struct pg_options *options;
    enum pg_role role;
    PGconn *connection;                                  /* NULL when there is none */
    const struct pg_statement *prepared[STATEMENTS_MAX]; /* on this connection */
    size_t prepared_count;
};

static const char *const role_names[] = {[PG_LOGIN] = NULL,
                                         [PG_OWNER] = "sluice_owner",
                                         [PG_ADMIN] = "sluice_admin",
                                         [PG_WORKER] = "sluice_worker",
                                         [PG_READER] = "sluice_reader"};

struct pg *pg_new(const struct pg_options *options, enum pg_role role) {
    struct pg *pg = calloc(1, sizeof *pg);
    if (!pg) return NULL;
    pg->options = options;
    pg->role = role;
    return pg;
}

void pg_disconnect(struct pg *pg) {
    if (pg->connection) PQfinish(pg->connection);
    pg->connection = NULL;
    pg->prepared_count = 0;
}

void pg_free(struct pg *pg) {
    if (!pg) return;
    pg_disconnect(pg);
    free(pg);
}

/* ---- errors ---- */

static bool is_class(const char *sqlstate, const char *class) { return memcmp(sqlstate, class, 2) == 0; }

enum error_kind pg_error_kind(const char *sqlstate) {
    static const char *const again[] = {"55P03" /* lock_timeout */, "25P03" /* idle in transaction */, "25006" /* read only */};
    static const char *const again_classes[] = {"08", "40", "53", "57", "58"};
    static const char *const input_classes[] = {"21", "22", "23", "54"};
    if (strcmp(sqlstate, "SL001") == 0) return ERROR_FENCED;
    if (strcmp(sqlstate, "08007") == 0 || strcmp(sqlstate, "40003") == 0) return ERROR_UNKNOWN;
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        if (strcmp(sqlstate, again[i]) == 0) return ERROR_UNAVAILABLE;
    for (size_t i = 0; i < sizeof again_classes / sizeof *again_classes; i++)
        if (is_class(sqlstate, again_classes[i])) return ERROR_UNAVAILABLE;
    for (size_t i = 0; i < sizeof input_classes / sizeof *input_classes; i++)
        if (is_class(sqlstate, input_classes[i])) return ERROR_INPUT;
    return ERROR_INTERNAL;
}

/* libpq's messages have several lines, indented hints among them, begin with "ERROR:  " when the server wrote them, and end with
 * a line break. */
static void one_line(char *to, size_t room, const char *text) {
    size_t n = 0;
    if (!text) text = "";
    if (strncmp(text, "ERROR:  ", 8) == 0) text += 8;
    for (; *text && n + 3 < room; text++) {
        if (*text != '\n') {
            to[n++] = *text;
            continue;
        }
        text += strspn(text, "\n\t ") - 1;
        if (!text[1]) break;
        to[n++] = ';';
        to[n++] = ' ';
    }
    to[n] = '\0';
}

static int set_lost(struct pg *pg, enum error_kind kind, struct error *error) {
    char text[512];
    one_line(text, sizeof text, PQerrorMessage(pg->connection));
    error_set(error, kind, "database-lost", "the connection to Postgres was lost%s%s", text[0] ? ": " : "", text);
    pg_disconnect(pg);
    return -1;
}

/* An error that the server reported, or that libpq made up because it lost the server. */
static int set_refused(struct pg *pg, const PGresult *result, const char *what, bool may_be_done, struct error *error) {
    char code[40], text[512];
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    if (!sqlstate || strlen(sqlstate) != 5) return set_lost(pg, may_be_done ? ERROR_UNKNOWN : ERROR_UNAVAILABLE, error);
    bool fatal = severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
    enum error_kind kind = fatal ? ERROR_UNAVAILABLE : pg_error_kind(sqlstate);
    /* A server that dies at a COMMIT may have committed. */
    if (fatal && may_be_done) kind = ERROR_UNKNOWN;
    one_line(text, sizeof text, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    (void)snprintf(code, sizeof code, "sql-%s", sqlstate);
    error_set(error, kind, code, "Postgres refused the statement %s: %s%s%s (SQLSTATE %s)", what, text, detail ? "; " : "",
              detail ? detail : "", sqlstate);
    /* A server that became a standby will not become one that can be written to. */
    if (fatal || strcmp(sqlstate, "25006") == 0) pg_disconnect(pg);
    return -1;
}

/* ---- connecting ---- */

static unsigned or_default(unsigned value, unsigned otherwise) { return value ? value : otherwise; }

/* The session's settings in one round trip. */
static int set_up(struct pg *pg, struct error *error) {
    const struct pg_options *options = pg->options;
    char script[1536], text[512];
    const char *role = role_names[pg->role];
    char *schema = PQescapeIdentifier(pg->connection, options->schema, strlen(options->schema));
    if (!schema) return error_starved(error);
    int n = snprintf(script, sizeof script,
                     "%s%s; SET search_path = %s, pg_temp; SET statement_timeout = %u; SET lock_timeout = %u; "
                     "SET idle_in_transaction_session_timeout = %u; SET synchronous_commit = on; SET jit = off; "
                     "SET client_min_messages = warning; SET timezone = 'UTC'; SET work_mem = '16MB'%s",
                     role ? "SET ROLE " : "SELECT", role ? role : "", schema, or_default(options->statement_ms, 20000),
                     or_default(options->lock_ms, 5000), or_default(options->idle_in_block_ms, 10000),
                     pg->role != PG_WORKER ? ""
                                           : "; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; "
                                             "SET enable_memoize = off; SET plan_cache_mode = force_generic_plan; "
                                             /* a host that is gone must not hold its shards' rows for hours */
                                             "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; "
                                             "SET tcp_keepalives_count = 3; SET tcp_user_timeout = 10000");
    PQfreemem(schema);
    if (n < 0 || (size_t)n >= sizeof script)
        return error_set(error, ERROR_INPUT, "database-schema", "the schema's name is too long; database.schema takes 63 bytes");
    PGresult *result = PQexec(pg->connection, script);
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        PQclear(result);
        return 0;
    }
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    one_line(text, sizeof text, PQerrorMessage(pg->connection));
    if (sqlstate && strcmp(sqlstate, "42501") == 0)
        error_set(error, ERROR_INTERNAL, "database-role", "the login %s may not act as %s; GRANT %s TO %s",
                  PQuser(pg->connection), role, role, PQuser(pg->connection));
    else if (sqlstate && strcmp(sqlstate, "22023") == 0)
        error_set(error, ERROR_INTERNAL, "database-role", "%s; run sluice db migrate", text);
    else
        error_set(error, ERROR_UNAVAILABLE, "database-unreachable", "cannot set up the session with Postgres: %s", text);
    PQclear(result);
    return -1;
}

/* libpq takes any other text for a database's name, and then says something about a socket. */
static bool is_url(const char *text) {
    return strncmp(text, "postgresql://", 13) == 0 || strncmp(text, "postgres://", 11) == 0 || strchr(text, '=');
}

/* A server that goes down warns each client, and libpq would print that among the program's own lines. */
static void ignore_notice(void *context, const PGresult *notice) {
    (void)context;
    (void)notice;
}

int pg_connect(struct pg *pg, struct error *error) {
    const struct pg_options *options = pg->options;
    if (options->url && *options->url && !is_url(options->url))
        return error_set(error, ERROR_INTERNAL, "database-url", /* not ERROR_INPUT: no record is at fault */
                         "database.url is no URL of a database; it looks like postgresql://login@host:5432/database");
    char connect_s[16], call_ms[16], text[512];
    if (pg->connection && PQstatus(pg->connection) == CONNECTION_OK) return 0;
    pg_disconnect(pg);
    (void)snprintf(connect_s, sizeof connect_s, "%u", or_default(options->connect_s, 5));
    (void)snprintf(call_ms, sizeof call_ms, "%u", or_default(options->call_ms, 30000));
    /* What stands before dbname is a default that the URL may override. */
    const char *const words[] = {"connect_timeout",     "tcp_user_timeout",          "keepalives_idle",
                                 "keepalives_interval", "target_session_attrs",      "dbname",
                                 "client_encoding",     "fallback_application_name", NULL};
    const char *const values[] = {connect_s,
                                  call_ms,
                                  "10",
                                  "5",
                                  pg->role == PG_READER ? "any" : "read-write",
                                  options->url ? options->url : "",
                                  "UTF8",
                                  options->application ? options->application : "sluice",
                                  NULL};
    pg->connection = PQconnectdbParams(words, values, 1);
    if (!pg->connection) return error_starved(error);
    if (PQstatus(pg->connection) != CONNECTION_OK) {
        one_line(text, sizeof text, PQerrorMessage(pg->connection));
        error_set(error, ERROR_UNAVAILABLE, "database-unreachable", "cannot connect to Postgres: %s; check database.url", text);
        pg_disconnect(pg);
        return -1;
    }
    (void)PQsetNoticeReceiver(pg->connection, ignore_notice, NULL);
    if (set_up(pg, error)) {
        pg_disconnect(pg);
        return -1;
    }
    if (PQsetnonblocking(pg->connection, 1)) return set_lost(pg, ERROR_UNAVAILABLE, error);
    return 0;
}

/* ---- pipelines ---- */

static int64_t now_ms(void) { return (int64_t)monotonic_ms(); }

/* Waits until a result can be had without waiting. */
static int wait_for_result(struct pg *pg, int64_t deadline, bool may_be_done, struct error *error) {
    for (;;) {
        int left = PQflush(pg->connection);
        if (left < 0) break;
        if (!left && !PQisBusy(pg->connection)) return 0;
        int64_t now = now_ms();
        if (now >= deadline) {
            pg_disconnect(pg);
            return error_set(error, may_be_done ? ERROR_UNKNOWN : ERROR_UNAVAILABLE, "database-slow",
                             "Postgres did not answer within %u ms; the connection was given up",
                             or_default(pg->options->call_ms, 30000));
        }
        struct pollfd wait = {.fd = PQsocket(pg->connection), .events = (short)(POLLIN | (left ? POLLOUT : 0))};
        if (poll(&wait, 1, (int)(deadline - now)) < 0 && errno != EINTR) break;
        if (wait.revents & (POLLIN | POLLERR | POLLHUP) && !PQconsumeInput(pg->connection)) break;
    }
    return set_lost(pg, may_be_done ? ERROR_UNKNOWN : ERROR_UNAVAILABLE, error);
}

static bool is_prepared(const struct pg *pg, const struct pg_statement *statement) {
    for (size_t i = 0; i < pg->prepared_count; i++)
        if (pg->prepared[i] == statement || strcmp(pg->prepared[i]->name, statement->name) == 0) return true;
    return false;
}

static bool send_call(struct pg *pg, const struct pg_call *call) {
    static const struct pg_parameters none;
    const struct pg_parameters *parameters = call->parameters ? call->parameters : &none;
    const char *values[PG_PARAMETERS_MAX];
    int lengths[PG_PARAMETERS_MAX], formats[PG_PARAMETERS_MAX];
    assert(parameters->missing == 0);
    for (size_t i = 0; i < parameters->count; i++) {
        values[i] =
            parameters->values[i].null ? NULL : (parameters->bytes.p ? parameters->bytes.p : "") + parameters->values[i].at;
        lengths[i] = (int)parameters->values[i].size;
        formats[i] = 1;
    }
    return PQsendQueryPrepared(pg->connection, call->statement->name, (int)parameters->count, values, lengths, formats, 1) == 1;
}

static const struct pg_statement begin_block = {"begin", (const unsigned char *)"BEGIN"};
static const struct pg_statement commit_block = {"commit", (const unsigned char *)"COMMIT"};

/* What one pipeline sends: calls, perhaps behind a BEGIN or before a COMMIT, and a statement that this connection has not seen
 * behind its preparation. */
struct pipeline {
    struct pg_call *calls;
    size_t count; /* with BEGIN and COMMIT */
    bool begins, commits;
    bool writes; /* its last statement makes something last */
    struct pg_call begin, commit;
};

static struct pg_call *call_at(struct pipeline *pipeline, size_t i) {
    if (pipeline->begins && i == 0) return &pipeline->begin;
    if (pipeline->commits && i == pipeline->count - 1) return &pipeline->commit;
    return &pipeline->calls[i - pipeline->begins];
}

static int send_all(struct pg *pg, struct pipeline *pipeline, bool prepares[], struct error *error) {
    if (!PQenterPipelineMode(pg->connection)) return set_lost(pg, ERROR_UNAVAILABLE, error);
    for (size_t i = 0; i < pipeline->count; i++) {
        const struct pg_call *call = call_at(pipeline, i);
        prepares[i] = !is_prepared(pg, call->statement);
        for (size_t j = 0; j < i && prepares[i]; j++)
            if (prepares[j] && call_at(pipeline, j)->statement == call->statement) prepares[i] = false;
        if (prepares[i] && !PQsendPrepare(pg->connection, call->statement->name, (const char *)call->statement->text, 0, NULL))
            return set_lost(pg, ERROR_UNAVAILABLE, error);
        if (!send_call(pg, call)) return set_lost(pg, ERROR_UNAVAILABLE, error);
    }
    if (!PQpipelineSync(pg->connection)) return set_lost(pg, ERROR_UNAVAILABLE, error);
    return 0;
}

/* The next result. NULL with *ret_end set at the end of the pipeline; NULL alone when the connection was lost. */
static PGresult *next_result(struct pg *pg, int64_t deadline, bool may_be_done, bool *ret_end, struct error *error) {
    for (int empty = 0; empty < 2;) {
        if (wait_for_result(pg, deadline, may_be_done, error)) return NULL;
        PGresult *result = PQgetResult(pg->connection);
        if (!result) {
            empty++; /* the end of one statement's results */
            continue;
        }
        if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) return result;
        PQclear(result);
        *ret_end = true;
        return NULL;
    }
    (void)set_lost(pg, may_be_done ? ERROR_UNKNOWN : ERROR_UNAVAILABLE, error);
    return NULL;
}

/* Takes the results in. Returns 0, or -1 with the first error; the connection is then at the end of the pipeline or gone. */
static int receive_all(struct pg *pg, struct pipeline *pipeline, const bool prepares[], int64_t deadline, struct error *error) {
    bool writes = pipeline->writes, failed = false, end = false, preparing = prepares[0];
    for (size_t at = 0;;) {
        struct pg_call *call = at < pipeline->count ? call_at(pipeline, at) : NULL;
        PGresult *result = next_result(pg, deadline, writes && !failed, &end, failed ? NULL : error);
        if (!result) {
            if (end && call && !failed) return set_lost(pg, ERROR_UNKNOWN, error);
            return end && !failed ? 0 : -1;
        }
        if (failed) {
            PQclear(result);
            continue;
        }
        if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
            /* An error of the server before it came to the COMMIT means that nothing was committed; a lost connection means
             * nothing. */
            bool lost = !PQresultErrorField(result, PG_DIAG_SQLSTATE), last = at + 1 >= pipeline->count && !preparing;
            (void)set_refused(pg, result, call ? call->statement->name : "commit", writes && (last || lost), error);
            failed = true;
        } else if (call == &pipeline->commit && !preparing && strcmp(PQcmdStatus(result), "COMMIT") != 0) {
            (void)error_set(error, ERROR_INTERNAL, "not-committed", "Postgres rolled a transaction back without an error");
            failed = true;
        } else if (preparing) {
            assert(call && pg->prepared_count < STATEMENTS_MAX);
            pg->prepared[pg->prepared_count++] = call->statement;
            preparing = false;
        } else if (call) {
            call->result = (struct pg_result *)(void *)result;
            result = NULL;
            at++;
            preparing = at < pipeline->count && prepares[at];
        }
        PQclear(result);
        if (!pg->connection) return -1;
    }
}

/* Out of the pipeline and, after an error, out of the transaction block, or else out of the connection. */
static void clean_up(struct pg *pg, int outcome) {
    static const struct pg_statement rollback = {"rollback", (const unsigned char *)"ROLLBACK"};
    if (!pg->connection) return;
    if (!PQexitPipelineMode(pg->connection)) {
        pg_disconnect(pg);
        return;
    }
    if (outcome == 0 || PQtransactionStatus(pg->connection) == PQTRANS_IDLE) return;
    struct pg_call call = {.statement = &rollback};
    struct error ignored;
    if (pg_run(pg, PG_READ, &call, 1, &ignored)) pg_disconnect(pg);
    pg_results_free(&call, 1);
}

static size_t bytes_sent(const struct pg_call *calls, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += calls[i].parameters ? calls[i].parameters->bytes.n : 0;
    return bytes;
}

static int run_pipeline(struct pg *pg, struct pipeline *pipeline, int64_t deadline, struct error *error) {
    bool prepares[CALLS_MAX + 2] = {false};
    pipeline->begin.statement = &begin_block;
    pipeline->commit.statement = &commit_block;
    int outcome = send_all(pg, pipeline, prepares, error);
    if (outcome == 0) outcome = receive_all(pg, pipeline, prepares, deadline, error);
    pg_results_free(&pipeline->begin, 1);
    pg_results_free(&pipeline->commit, 1);
    if (pg->connection && outcome == 0 && !PQexitPipelineMode(pg->connection)) outcome = set_lost(pg, ERROR_UNAVAILABLE, error);
    return outcome;
}

/* ---- COPY ---- */

/* The next result of a statement outside a pipeline, which nothing has made to last; NULL when the connection was lost. */
static PGresult *copy_result(struct pg *pg, int64_t deadline, struct error *error) {
    if (wait_for_result(pg, deadline, false, error)) return NULL;
    PGresult *result = PQgetResult(pg->connection);
    if (!result) (void)set_lost(pg, ERROR_UNAVAILABLE, error);
    return result;
}

/* libpq has no room for more until some of what it holds is sent. */
static int wait_to_send(struct pg *pg, int64_t deadline, struct error *error) {
    struct pollfd wait = {.fd = PQsocket(pg->connection), .events = POLLIN | POLLOUT};
    int64_t now = now_ms();
    if (now >= deadline) {
        pg_disconnect(pg);
        return error_set(error, ERROR_UNAVAILABLE, "database-slow", "Postgres did not take the rows of a COPY in time");
    }
    bool lost = poll(&wait, 1, (int)(deadline - now)) < 0 && errno != EINTR;
    if (!lost && wait.revents & (POLLIN | POLLERR | POLLHUP)) lost = !PQconsumeInput(pg->connection);
    return lost || PQflush(pg->connection) < 0 ? set_lost(pg, ERROR_UNAVAILABLE, error) : 0;
}

/* In the middle of the data only a new connection helps. */
static int break_off(struct pg *pg, struct error *error) {
    pg_disconnect(pg);
    return error_starved(error);
}

/* Sent before the next one is written: libpq would keep them all, and take "not now" for an answer only without memory. */
static int send_piece(struct pg *pg, struct slice piece, int64_t deadline, struct error *error) {
    int taken = PQputCopyData(pg->connection, piece.p, (int)piece.n), left;
    if (taken == 0) return break_off(pg, error);
    while (taken > 0 && (left = PQflush(pg->connection)) != 0) {
        if (left < 0)
            taken = left;
        else if (wait_to_send(pg, deadline, error))
            return -1;
    }
    return taken < 0 ? set_lost(pg, ERROR_UNAVAILABLE, error) : 0;
}

static int send_rows(struct pg *pg, const struct pg_rows *rows, int64_t deadline, struct error *error) {
    struct pg_parameters *room = rows->room;
    pg_parameters_reset(room);
    pg_copy(room);
    for (size_t i = 0; i < rows->count; i++) {
        pg_row(room, rows->fields);
        rows->put(room, (const char *)rows->first + i * rows->size, rows->context);
        if (room->bytes.n < COPY_PIECE && i + 1 < rows->count) continue;
        if (room->bytes.failed) return break_off(pg, error);
        if (send_piece(pg, buf_slice(&room->bytes), deadline, error)) return -1;
        buf_reset(&room->bytes);
    }
    return send_piece(pg, SLICE("\377\377"), deadline, error);
}

static int end_rows(struct pg *pg, struct error *error) {
    int taken = PQputCopyEnd(pg->connection, NULL);
    if (taken == 0) return break_off(pg, error);
    return taken < 0 ? set_lost(pg, ERROR_UNAVAILABLE, error) : 0;
}

/* One COPY ... FROM STDIN. */
static int run_copy(struct pg *pg, const struct pg_call *call, int64_t deadline, struct error *error) {
    if (!PQsendQuery(pg->connection, (const char *)call->statement->text)) return set_lost(pg, ERROR_UNAVAILABLE, error);
    PGresult *result = copy_result(pg, deadline, error);
    if (result && PQresultStatus(result) == PGRES_COPY_IN) {
        PQclear(result);
        if (send_rows(pg, &call->rows, deadline, error) || end_rows(pg, error)) return -1;
        result = copy_result(pg, deadline, error);
    }
    if (!result) return -1;
    int outcome = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : set_refused(pg, result, call->statement->name, false, error);
    while (result && pg->connection) { /* up to the statement's end */
        PQclear(result);
        if (wait_for_result(pg, deadline, false, outcome ? NULL : error)) return -1;
        result = PQgetResult(pg->connection);
    }
    PQclear(result);
    return outcome;
}

static bool is_copy(const struct pg_call *call) { return call->rows.put != NULL; }

/* In order: what stands between two COPYs is one pipeline. */
static int run_calls(struct pg *pg, enum pg_mode mode, struct pg_call *calls, size_t count, int64_t deadline,
                     struct error *error) {
    bool block = mode == PG_COMMIT, open = false;
    for (size_t at = 0, next; at < count || open; at = next) {
        for (next = at; next < count && !is_copy(&calls[next]);) next++;
        bool begins = block && !open, commits = block && next == count;
        struct pipeline pipeline = {.calls = calls + at,
                                    .count = next - at + begins + commits,
                                    .begins = begins,
                                    .commits = commits,
                                    .writes = mode == PG_WRITE || commits};
        if (pipeline.count && run_pipeline(pg, &pipeline, deadline, error)) return -1;
        open = block && !commits;
        if (next < count && run_copy(pg, &calls[next++], deadline, error)) return -1;
    }
    return 0;
}

int pg_run(struct pg *pg, enum pg_mode mode, struct pg_call *calls, size_t count, struct error *error) {
    assert(count > 0 && count <= CALLS_MAX && (mode != PG_WRITE || count == 1));
    for (size_t i = 0; i < count; i++) {
        calls[i].result = NULL;
        assert(!is_copy(&calls[i]) || mode == PG_COMMIT);
        if (calls[i].parameters && calls[i].parameters->bytes.full)
            return error_set(error, ERROR_INPUT, "too-large", "the parameters of %s need more memory than is allowed",
                             calls[i].statement->name);
        if (calls[i].parameters && calls[i].parameters->bytes.failed) return error_memory(error);
    }
    if (pg_connect(pg, error)) return -1;
    int64_t deadline = now_ms() + or_default(pg->options->call_ms, 30000);
    int outcome = run_calls(pg, mode, calls, count, deadline, error);
    if (outcome) pg_results_free(calls, count);
    clean_up(pg, outcome);
    /* libpq never gives its buffers back: one exceptional batch would cost its size for ever. */
    if (outcome == 0 && bytes_sent(calls, count) > BYTES_KEPT && PQtransactionStatus(pg->connection) == PQTRANS_IDLE)
        pg_disconnect(pg);
    return outcome;
}

struct pg_result *pg_query(struct pg *pg, enum pg_mode mode, const struct pg_statement *statement,
                           const struct pg_parameters *parameters, struct error *error) {
    struct pg_call call = {.statement = statement, .parameters = parameters};
    return pg_run(pg, mode, &call, 1, error) ? NULL : call.result;
}

int pg_script(struct pg *pg, const char *text, struct error *error) {
    if (pg_connect(pg, error)) return -1;
    int outcome = 0;
    PGresult *result = PQexec(pg->connection, text);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        outcome = set_refused(pg, result, "script", true, error);
    PQclear(result);
    if (outcome && pg->connection && PQtransactionStatus(pg->connection) != PQTRANS_IDLE) {
        PQclear(PQexec(pg->connection, "ROLLBACK"));
    }
    return outcome;
}
