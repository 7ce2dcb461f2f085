/* The ledger against the output topics, one shard at a time: both are in the order of sequences, so that one record of each
 * topic and one row are enough to hold in memory.
 *
 * Retention may have taken the oldest records, and what is not settled may not be there yet; everything between must be. */
#include "audit.h"

#include <stdlib.h>

enum { PATIENCE_MS = 10000 };

/* One partition of one output topic. */
struct side {
    struct kafka_reader *reader;
    enum kafka_topic topic;
    bool reading;       /* the partition is started */
    int64_t start, end; /* of the log, when the shard was begun */
    int64_t next;       /* offset behind the last record that was taken */
    bool held;          /* `record` is the next one to compare */
    struct kafka_record record;
    uint64_t sequence; /* its ce_ledgersequence */
    struct slice hash; /* its ce_ledgerhash */
    bool any;          /* one was compared */
};

struct audit_published {
    struct side sides[OUTPUT_TOPICS];
    uint32_t shard;
};

struct audit_published *audit_published_new(const struct kafka_options *options, struct error *error) {
    struct audit_published *published = calloc(1, sizeof *published);
    if (!published) {
        (void)error_memory(error);
        return NULL;
    }
    for (enum output_topic topic = 0; topic < OUTPUT_TOPICS; topic++) {
        struct side *side = &published->sides[topic];
        uint32_t partitions;
        side->topic = kafka_output_topic(topic);
        side->reader = kafka_reader_new(options, KAFKA_TAILS, error);
        if (!side->reader || kafka_reader_partitions(side->reader, side->topic, &partitions, error) < 0) {
            audit_published_free(published);
            return NULL;
        }
    }
    return published;
}

void audit_published_free(struct audit_published *published) {
    if (!published) return;
    for (enum output_topic topic = 0; topic < OUTPUT_TOPICS; topic++) kafka_reader_free(published->sides[topic].reader);
    free(published);
}

static int begin_side(struct side *side, uint32_t shard, uint32_t before, struct error *error) {
    struct kafka_position position = {.topic = side->topic, .partition = shard};
    if (side->reading) kafka_reader_stop(side->reader, side->topic, before);
    side->reading = side->held = side->any = false;
    if (kafka_reader_offsets(side->reader, KAFKA_END, &position, 1, error) < 0) return -1;
    side->end = position.offset;
    if (kafka_reader_offsets(side->reader, KAFKA_BEGINNING, &position, 1, error) < 0) return -1;
    side->start = side->next = position.offset;
    if (side->start >= side->end) return 0;
    if (kafka_reader_start(side->reader, &position, error) < 0) return -1;
    side->reading = true;
    return 0;
}

int audit_published_begin(struct audit_published *published, uint32_t shard, struct error *error) {
    for (enum output_topic topic = 0; topic < OUTPUT_TOPICS; topic++)
        if (begin_side(&published->sides[topic], shard, published->shard, error) < 0) return -1;
    published->shard = shard;
    return 0;
}

/* Holds the partition's next record, if there is one before the end. Returns 0, 1 when it is no record of ours, or -1. */
static int hold(struct side *side, struct audit_shard *shard, struct error *error) {
    for (int waited = 0; !side->held && side->reading && side->next < side->end;) {
        switch (kafka_reader_next(side->reader, 1000, &side->record, error)) {
        case KAFKA_READ_RECORD:
            side->held = true;
            break;
        case KAFKA_READ_AT_END:
            side->next = side->record.offset;
            break;
        case KAFKA_READ_FAILED:
            return -1;
        case KAFKA_READ_NOTHING:
            waited += 1000;
            if (waited < PATIENCE_MS) break;
            return error_set(error, ERROR_UNAVAILABLE, "kafka-timeout", "partition %u of the results gives nothing for %d s",
                             shard->shard, PATIENCE_MS / 1000);
        }
        if (!side->held) continue;
        side->next = side->record.offset + 1;
        side->hash = kafka_record_header(&side->record, "ce_ledgerhash");
        if (text_parse_number(kafka_record_header(&side->record, "ce_ledgersequence"), INT64_MAX, &side->sequence)) break;
        return audit_refuse(shard, shard->rows, "published-foreign",
                            "the record at offset %lld of the %s topic has no ce_ledgersequence; something else wrote it",
                            (long long)side->record.offset, side->topic == KAFKA_RESULTS ? "results" : "dead-letter");
    }
    return 0;
}

/* The record that is held must be the row's: the same hash, and the same bytes. */
static int compare(struct side *side, struct audit_shard *shard, const struct ledger_row *row) {
    char hash[DIGEST_TEXT];
    digest_text(hash, &row->hash);
    struct slice decision =
        side->topic == KAFKA_RESULTS ? side->record.value : kafka_record_header(&side->record, "sluice_error");
    side->held = false;
    side->any = true;
    if (!slice_equal(side->hash, slice_of(hash, DIGEST_TEXT)) || !slice_equal(decision, row->decision))
        return audit_refuse(shard, row->sequence, "published-differs",
                            "what was published at offset %lld is not what the ledger has", (long long)side->record.offset);
    shard->published++;
    return 0;
}

int audit_published_row(struct audit_published *published, struct audit_shard *shard, const struct ledger_row *row,
                        struct error *error) {
    const char *type = result_type(row->kind);
    if (!type || (!type[0] && row->kind != RESULT_DEAD_LETTER)) return 0;
    enum output_topic topic = row->kind == RESULT_DEAD_LETTER ? OUTPUT_DEAD_LETTER : OUTPUT_RESULTS;
    struct side *side = &published->sides[topic];
    int status = hold(side, shard, error);
    if (status) return status;
    if (side->held && side->sequence == row->sequence) return compare(side, shard, row);
    if (side->held && side->sequence < row->sequence)
        return audit_refuse(shard, side->sequence, "published-twice", "it was published again, or out of order, at offset %lld",
                            (long long)side->record.offset);
    if (side->any || side->start == 0) {
        if (!side->held && row->sequence > shard->settled[topic]) return 0; /* not yet */
        return audit_refuse(shard, row->sequence, "not-published", "the ledger has it, and the %s topic has not",
                            topic == OUTPUT_RESULTS ? "results" : "dead-letter");
    }
    return 0; /* older than the topic's retention */
}

/* A record of a sequence up to the head that no row of the ledger called for. */
int audit_published_end(struct audit_published *published, struct audit_shard *shard, struct error *error) {
    for (enum output_topic topic = 0; topic < OUTPUT_TOPICS; topic++) {
        struct side *side = &published->sides[topic];
        int status = hold(side, shard, error);
        if (status) return status;
        if (side->held && side->sequence <= shard->sequence)
            return audit_refuse(shard, side->sequence, "published-twice",
                                "it was published again, or out of order, at offset %lld", (long long)side->record.offset);
    }
    return 0;
}
