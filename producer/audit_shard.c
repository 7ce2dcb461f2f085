/* One shard's chain, recomputed from the rows themselves (common/ledger.h). */
#include "audit.h"

#include <stdarg.h>
#include <stdio.h>

PG_STATEMENT(ledger_page);

int audit_refuse(struct audit_shard *shard, uint64_t sequence, const char *code, const char *format, ...) {
    va_list arguments;
    if (shard->bad.found) return 1; /* the first one is told */
    shard->bad = (struct audit_bad){.found = true, .shard = shard->shard, .sequence = sequence, .code = code};
    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): started a line above, which clang 14 does not see here */
    (void)vsnprintf(shard->bad.message, sizeof shard->bad.message, format, arguments);
    va_end(arguments);
    return 1;
}

static struct ledger_row row_of(uint32_t shard, const struct pg_result *page, size_t row) {
    return (struct ledger_row){
        .shard = shard,
        .sequence = (uint64_t)pg_get_int(page, row, 0),
        .at = pg_get_instant(page, row, 1),
        .kind = (enum result_kind)pg_get_int(page, row, 2),
        .topic = (enum input_topic)pg_get_int(page, row, 3),
        .offset = (uint64_t)pg_get_int(page, row, 4),
        .control_version = (uint64_t)pg_get_int(page, row, 5),
        .engine = (uint16_t)pg_get_int(page, row, 6),
        .input = pg_get_bytes(page, row, 7),
        .input_digest = pg_get_digest(page, row, 8),
        .decision = pg_get_bytes(page, row, 9),
        .decision_digest = pg_get_digest(page, row, 10),
        .hash = pg_get_digest(page, row, 11),
    };
}

/* Holds one row against what it follows. An input that was emptied is redacted, not changed: the chain covers its digest. */
static int check_row(struct audit_shard *shard, const struct ledger_row *row, const struct digest *previous) {
    uint64_t expected = shard->rows + 1;
    if (row->sequence != expected)
        return audit_refuse(shard, expected, "row-missing", "the row is missing; the next one has sequence %llu",
                            (unsigned long long)row->sequence);
    struct digest input = digest_of(row->input), decision = digest_of(row->decision);
    bool redacted = !row->input.n && !digest_equal(&input, &row->input_digest);
    if (!redacted && !digest_equal(&input, &row->input_digest))
        return audit_refuse(shard, expected, "input-changed", "the input is not the one that was ledgered: its digest differs");
    if (!digest_equal(&decision, &row->decision_digest))
        return audit_refuse(shard, expected, "decision-changed",
                            "the decision is not the one that was ledgered: its digest differs");
    struct digest hash = ledger_hash(row, previous);
    if (!digest_equal(&hash, &row->hash))
        return audit_refuse(shard, expected, "hash-mismatch",
                            "the row's hash is not that of its content and of the row before; one of them was changed");
    shard->rows++;
    shard->redacted += redacted;
    return 0;
}

static struct pg_result *read_page(struct pg *pg, const struct audit_shard *shard, struct error *error) {
    struct pg_parameters parameters;
    pg_parameters_init(&parameters);
    pg_int(&parameters, PG_INT4, (int64_t)shard->shard);
    pg_int(&parameters, PG_INT8, (int64_t)shard->rows);
    pg_int(&parameters, PG_INT8, (int64_t)shard->sequence);
    pg_int(&parameters, PG_INT8, AUDIT_PAGE_ROWS);
    pg_int(&parameters, PG_INT8, AUDIT_PAGE_BYTES);
    struct pg_result *page = pg_query(pg, PG_READ, &ledger_page, &parameters, error);
    pg_parameters_release(&parameters);
    return page;
}

/* The shard's row and the ledger's end, before any row is read. */
static int check_ends(struct audit_shard *shard) {
    if (!shard->exists) return audit_refuse(shard, 0, "shard-missing", "shard %u has no row in the table shard", shard->shard);
    if (shard->last > shard->sequence)
        return audit_refuse(shard, shard->sequence + 1, "row-beyond-head",
                            "the shard's row ends at sequence %llu, the ledger at %llu", (unsigned long long)shard->sequence,
                            (unsigned long long)shard->last);
    return 0;
}

int audit_shard_verify(struct pg *pg, const unsigned char installation[16], struct audit_shard *shard,
                       struct audit_published *published, struct error *error) {
    struct digest previous = ledger_genesis(installation, shard->shard);
    int status = 0;
    /* Rows behind the head that the shard's row has are looked at up to there; what is wrong before them comes first. */
    while (shard->exists && status == 0 && shard->rows < shard->sequence) {
        struct pg_result *page = read_page(pg, shard, error);
        if (!page) return -1;
        size_t count = pg_rows(page);
        if (!count) status = audit_refuse(shard, shard->rows + 1, "row-missing", "the row is missing, as are all behind it");
        for (size_t i = 0; i < count && status == 0; i++) {
            struct ledger_row row = row_of(shard->shard, page, i);
            status = check_row(shard, &row, &previous);
            if (status == 0 && published) status = audit_published_row(published, shard, &row, error);
            previous = row.hash;
        }
        pg_result_free(page);
    }
    if (status == 0) status = check_ends(shard);
    if (status == 0 && !digest_equal(&previous, &shard->head))
        status = audit_refuse(shard, shard->sequence, "head-mismatch",
                              "the shard's row has another head hash than the ledger's last row");
    if (status == 0 && published) status = audit_published_end(published, shard, error);
    return status < 0 ? -1 : 0;
}
