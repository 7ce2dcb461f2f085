/*
 * How fast the rows of the workload can be written at all: from memory, by binary COPY, without Kafka, decisions or reads.
 *
 *   rows db=CONNECTION n=200000 batch=2000 conns=2 event=336 decision=700
 *
 * Each connection writes transactions of `batch` promotions of one shard: the fence, a ledger row, a dedup key and a promotion
 * each, and the environment's state once a project. Prints one line of key=value; CPU seconds are per 100,000 promotions.
 */
#define _GNU_SOURCE
#include "common.h"

#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { SHARDS = 8, PROJECTS = 1000, CONNECTIONS = 16, EPOCH_2000 = 946684800 };
enum { TYPE_INT4 = 23, TYPE_INT8 = 20 };

static const char schema[] =
    "DROP SCHEMA IF EXISTS rows CASCADE; CREATE SCHEMA rows; SET search_path = rows;"
    "CREATE TABLE shard (shard int PRIMARY KEY, epoch bigint NOT NULL, next_seq bigint NOT NULL, head bytea NOT NULL,"
    " position bigint NOT NULL) WITH (fillfactor = 50);"
    "INSERT INTO shard SELECT g, 1, 1, '', 0 FROM generate_series(0, 7) g;"
    "CREATE TABLE ledger (shard int NOT NULL, seq bigint NOT NULL, kind smallint NOT NULL, at timestamptz NOT NULL,"
    " position bigint NOT NULL, event bytea NOT NULL, decision bytea NOT NULL, hash bytea NOT NULL, PRIMARY KEY (shard, seq))"
    " WITH (toast_tuple_target = 8160);"
    "CREATE TABLE dedup (key uuid PRIMARY KEY, shard int NOT NULL, seq bigint NOT NULL);"
    "CREATE TABLE promotion (shard int NOT NULL, seq bigint NOT NULL, project_id int NOT NULL, env smallint NOT NULL,"
    " release_id bigint NOT NULL, outcome smallint NOT NULL, at timestamptz NOT NULL, requester text NOT NULL,"
    " PRIMARY KEY (shard, seq));"
    "CREATE UNIQUE INDEX ON promotion (project_id, env, release_id) WHERE outcome = 0;"
    "CREATE TABLE environment (project_id int NOT NULL, env smallint NOT NULL, release_id bigint NOT NULL, shard int NOT NULL,"
    " seq bigint NOT NULL, at timestamptz NOT NULL, PRIMARY KEY (project_id, env)) WITH (fillfactor = 50);"
    "CHECKPOINT";

struct buffer {
    char *data;
    size_t used, room;
};

struct row {
    int shard, project;
    int64_t sequence, release;
    unsigned char key[16], hash[32];
};

struct job {
    pthread_t thread;
    const struct options *options;
    const struct row *rows;
    int number, connections, batch, n;
    const char *event, *decision; /* the same bytes in each row: Postgres does not compress them */
    size_t event_size, decision_size;
};

/* ---- bytes ---- */

static uint64_t chance(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void fill(unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)(chance() >> 24);
}

static char *text_of(size_t n) {
    char *text = allocate(n + 1);
    for (size_t i = 0; i < n; i++) text[i] = "0123456789abcdef"[chance() >> 60];
    return text;
}

static void put(struct buffer *b, const void *data, size_t n) {
    if (b->used + n > b->room) {
        b->room = (b->used + n) * 2;
        b->data = realloc(b->data, b->room);
        if (!b->data) die("memory", "there is no more");
    }
    memcpy(b->data + b->used, data, n);
    b->used += n;
}

static void put16(struct buffer *b, int value) {
    uint16_t network = htons((uint16_t)value);
    put(b, &network, sizeof network);
}

static void put32(struct buffer *b, uint32_t value) {
    value = htonl(value);
    put(b, &value, sizeof value);
}

static void put64(struct buffer *b, int64_t value) {
    uint64_t network = htobe64((uint64_t)value);
    put(b, &network, sizeof network);
}

static void field16(struct buffer *b, int value) {
    put32(b, 2);
    put16(b, value);
}

static void field32(struct buffer *b, int value) {
    put32(b, 4);
    put32(b, (uint32_t)value);
}

static void field64(struct buffer *b, int64_t value) {
    put32(b, 8);
    put64(b, value);
}

static void field(struct buffer *b, const void *data, size_t n) {
    put32(b, (uint32_t)n);
    put(b, data, n);
}

static void array(struct buffer *b, uint32_t type, int n) {
    b->used = 0;
    put32(b, 1);
    put32(b, 0);
    put32(b, type);
    put32(b, (uint32_t)n);
    put32(b, 1);
}

/* ---- Postgres ---- */

static PGconn *connect_database(const struct options *options) {
    PGconn *connection = PQconnectdb(option(options, "db", ""));
    if (PQstatus(connection) != CONNECTION_OK) die("connect", PQerrorMessage(connection));
    PQclear(PQexec(connection, "SET client_min_messages = warning"));
    return connection;
}

static void must(PGconn *connection, PGresult *result, const char *what, ExecStatusType wanted) {
    if (PQresultStatus(result) != wanted) die(what, PQerrorMessage(connection));
    PQclear(result);
}

static void run(PGconn *connection, const char *sql) { must(connection, PQexec(connection, sql), sql, PGRES_COMMAND_OK); }

static double number_of(PGconn *connection, const char *sql) {
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) die(sql, PQerrorMessage(connection));
    double value = strtod(PQgetvalue(result, 0, 0), NULL);
    PQclear(result);
    return value;
}

static void call(PGconn *connection, const char *statement, struct buffer **values, int n) {
    const char *data[8];
    int lengths[8], formats[8];
    for (int i = 0; i < n; i++) {
        data[i] = values[i]->data;
        lengths[i] = (int)values[i]->used;
        formats[i] = 1;
    }
    must(connection, PQexecPrepared(connection, statement, n, data, lengths, formats, 1), statement, PGRES_COMMAND_OK);
}

static void copy_begin(struct buffer *b) {
    b->used = 0;
    put(b, "PGCOPY\n\377\r\n\0", 11);
    put32(b, 0);
    put32(b, 0);
}

static void copy_end(PGconn *connection, const char *sql, struct buffer *b) {
    put16(b, -1);
    must(connection, PQexec(connection, sql), sql, PGRES_COPY_IN);
    if (PQputCopyData(connection, b->data, (int)b->used) != 1 || PQputCopyEnd(connection, NULL) != 1)
        die(sql, PQerrorMessage(connection));
    must(connection, PQgetResult(connection), sql, PGRES_COMMAND_OK);
    for (PGresult *more; (more = PQgetResult(connection));) PQclear(more);
}

/* ---- one connection's work ---- */

static void write_rows(PGconn *connection, const struct job *job, const struct row *const *rows, int n, int64_t now,
                       struct buffer *b) {
    copy_begin(b);
    for (int i = 0; i < n; i++) {
        put16(b, 8);
        field32(b, rows[i]->shard);
        field64(b, rows[i]->sequence);
        field16(b, 1);
        field64(b, now);
        field64(b, rows[i]->sequence - 1);
        field(b, job->event, job->event_size);
        field(b, job->decision, job->decision_size);
        field(b, rows[i]->hash, sizeof rows[i]->hash);
    }
    copy_end(connection, "COPY ledger FROM STDIN BINARY", b);
    copy_begin(b);
    for (int i = 0; i < n; i++) {
        put16(b, 3);
        field(b, rows[i]->key, sizeof rows[i]->key);
        field32(b, rows[i]->shard);
        field64(b, rows[i]->sequence);
    }
    copy_end(connection, "COPY dedup FROM STDIN BINARY", b);
    copy_begin(b);
    for (int i = 0; i < n; i++) {
        put16(b, 8);
        field32(b, rows[i]->shard);
        field64(b, rows[i]->sequence);
        field32(b, rows[i]->project);
        field16(b, 1);
        field64(b, rows[i]->release);
        field16(b, 1);
        field64(b, now);
        field(b, "alice@example.com", 17);
    }
    copy_end(connection, "COPY promotion FROM STDIN BINARY", b);
}

/* Of each project only its last release remains to be seen. */
static void write_environments(PGconn *connection, const struct row *const *rows, int n, int64_t now, struct buffer values[5]) {
    const struct row *last[PROJECTS] = {NULL};
    int distinct = 0;
    for (int i = 0; i < n; i++) {
        distinct += !last[rows[i]->project];
        last[rows[i]->project] = rows[i];
    }
    values[0].used = values[1].used = 0;
    put32(&values[0], (uint32_t)rows[0]->shard);
    put64(&values[1], now);
    array(&values[2], TYPE_INT8, distinct);
    array(&values[3], TYPE_INT4, distinct);
    array(&values[4], TYPE_INT8, distinct);
    for (int project = 0; project < PROJECTS; project++) {
        if (!last[project]) continue;
        field64(&values[2], last[project]->sequence);
        field32(&values[3], project);
        field64(&values[4], last[project]->release);
    }
    call(connection, "environment", (struct buffer *[]){&values[0], &values[1], &values[2], &values[3], &values[4]}, 5);
}

static void write_batch(PGconn *connection, const struct job *job, const struct row *const *rows, int n,
                        struct buffer values[5]) {
    struct timespec clock;
    (void)clock_gettime(CLOCK_REALTIME, &clock);
    int64_t now = (int64_t)(clock.tv_sec - EPOCH_2000) * 1000000 + clock.tv_nsec / 1000;
    run(connection, "BEGIN");
    for (int i = 0; i < 3; i++) values[i].used = 0;
    put32(&values[0], (uint32_t)rows[0]->shard);
    put64(&values[1], rows[n - 1]->sequence + 1);
    put(&values[2], rows[n - 1]->hash, sizeof rows[n - 1]->hash);
    call(connection, "fence", (struct buffer *[]){&values[0], &values[1], &values[2]}, 3);
    write_rows(connection, job, rows, n, now, &values[0]);
    write_environments(connection, rows, n, now, values);
    run(connection, "COMMIT");
}

static void prepare(PGconn *connection, const char *name, const char *sql) {
    must(connection, PQprepare(connection, name, sql, 0, NULL), sql, PGRES_COMMAND_OK);
}

static void *work(void *argument) {
    const struct job *job = argument;
    PGconn *connection = connect_database(job->options);
    run(connection, "SET search_path = rows; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off");
    prepare(connection, "fence", "UPDATE shard SET next_seq = $2, head = $3, position = $2 WHERE shard = $1 AND epoch = 1");
    prepare(connection, "environment",
            "INSERT INTO environment (project_id, env, release_id, shard, seq, at) SELECT p, 1, r, $1::int, q, $2::timestamptz"
            " FROM unnest($3::int8[], $4::int4[], $5::int8[]) AS t (q, p, r) ON CONFLICT (project_id, env) DO UPDATE"
            " SET release_id = excluded.release_id, shard = excluded.shard, seq = excluded.seq, at = excluded.at");
    struct buffer values[5] = {{0}};
    const struct row **batches[SHARDS];
    int used[SHARDS] = {0};
    for (int shard = 0; shard < SHARDS; shard++) batches[shard] = allocate(sizeof **batches * (size_t)job->batch);
    for (int i = 0; i < job->n; i++) {
        const struct row *row = &job->rows[i];
        if (row->shard % job->connections != job->number) continue;
        batches[row->shard][used[row->shard]++] = row;
        if (used[row->shard] < job->batch) continue;
        write_batch(connection, job, batches[row->shard], used[row->shard], values);
        used[row->shard] = 0;
    }
    for (int shard = 0; shard < SHARDS; shard++)
        if (used[shard]) write_batch(connection, job, batches[shard], used[shard], values);
    PQfinish(connection);
    return NULL;
}

static struct row *make_rows(int n) {
    struct row *rows = allocate(sizeof *rows * (size_t)n);
    int64_t sequences[SHARDS] = {0};
    for (int i = 0; i < n; i++) {
        struct row *row = &rows[i];
        row->project = (int)(chance() % PROJECTS);
        row->shard = row->project % SHARDS;
        row->sequence = ++sequences[row->shard];
        row->release = i + 1;
        fill(row->key, sizeof row->key);
        fill(row->hash, sizeof row->hash);
    }
    return rows;
}

int main(int argc, char **argv) {
    struct options options = {argc - 1, argv + 1};
    int n = option_number(&options, "n", 200000), connections = option_number(&options, "conns", 2);
    if (connections < 1 || connections > CONNECTIONS) die("conns", "from 1 to 16");
    struct job base = {.options = &options, .connections = connections, .batch = option_number(&options, "batch", 2000), .n = n};
    base.event_size = (size_t)option_number(&options, "event", 336);
    base.decision_size = (size_t)option_number(&options, "decision", 700);
    base.event = text_of(base.event_size);
    base.decision = text_of(base.decision_size);
    base.rows = make_rows(n);
    PGconn *connection = connect_database(&options);
    run(connection, schema);
    double wal = number_of(connection, "SELECT pg_current_wal_insert_lsn() - '0/0'");
    struct job jobs[CONNECTIONS];
    double cpu = own_cpu(), start = seconds();
    for (int i = 0; i < connections; i++) {
        jobs[i] = base;
        jobs[i].number = i;
        if (pthread_create(&jobs[i].thread, NULL, work, &jobs[i])) die("thread", "could not be started");
    }
    for (int i = 0; i < connections; i++) (void)pthread_join(jobs[i].thread, NULL);
    double wall = seconds() - start;
    cpu = own_cpu() - cpu;
    wal = number_of(connection, "SELECT pg_current_wal_insert_lsn() - '0/0'") - wal;
    double written =
        number_of(connection, "SELECT (SELECT count(*) FROM ledger) + (SELECT count(*) FROM dedup) + (SELECT count(*) "
                              "FROM promotion)");
    printf("per_second=%.0f client_cpu=%.3f wal=%.0f complete=%d\n", n / wall, cpu * 1e5 / n, wal / n, written == 3.0 * n);
    PQfinish(connection);
    return 0;
}
