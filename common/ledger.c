#include "ledger.h"

static const struct slice tag = {"sluice.ledger.v1", sizeof "sluice.ledger.v1"}; /* with its zero byte */

static const struct {
    const char *type;
    bool final;
} kinds[] = {
#define RESULT_ROW(number, name, type, final) [number] = {type, final},
    RESULT_KINDS(RESULT_ROW)
#undef RESULT_ROW
};

const char *result_type(enum result_kind kind) { return (size_t)kind < sizeof kinds / sizeof *kinds ? kinds[kind].type : NULL; }

bool result_is_final(enum result_kind kind) { return (size_t)kind < sizeof kinds / sizeof *kinds && kinds[kind].final; }

static unsigned char *put(unsigned char *at, uint64_t value, size_t size) {
    for (size_t i = size; i-- > 0; value >>= 8) at[i] = (unsigned char)(value & 0xff);
    return at + size;
}

static unsigned char *put_digest(unsigned char *at, const struct digest *digest) {
    memcpy(at, digest->bytes, DIGEST_SIZE);
    return at + DIGEST_SIZE;
}

struct digest ledger_genesis(const unsigned char installation[16], uint32_t shard) {
    unsigned char number[4];
    put(number, shard, 4);
    return digest_sha256((struct slice[]){tag, slice_of(installation, 16), slice_of(number, 4)}, 3);
}

struct digest ledger_hash(const struct ledger_row *row, const struct digest *previous) {
    unsigned char form[17 + 4 + 8 + 32 + 8 + 1 + 1 + 8 + 8 + 2 + 32 + 32], *at = form;
    memcpy(at, tag.p, tag.n);
    at = put(at + tag.n, row->shard, 4);
    at = put(at, row->sequence, 8);
    at = put_digest(at, previous);
    at = put(at, (uint64_t)row->at, 8);
    at = put(at, row->kind, 1);
    at = put(at, row->topic, 1);
    at = put(at, row->offset, 8);
    at = put(at, row->control_version, 8);
    at = put(at, row->engine, 2);
    at = put_digest(at, &row->input_digest);
    at = put_digest(at, &row->decision_digest);
    return digest_of(slice_of(form, (size_t)(at - form)));
}

static void write_bytes(struct buf *buf, struct slice bytes) {
    if (!bytes.p) {
        buf_u32(buf, 0xffffffffu);
        return;
    }
    buf_u32(buf, bytes.n);
    buf_append(buf, bytes);
}

bool ledger_holds(const struct record *record) {
    size_t size = 4 + record->key.n + 4 + 4 + record->value.n;
    for (size_t i = 0; i < record->header_count; i++) size += 8 + record->headers[i].name.n + record->headers[i].value.n;
    return size <= LEDGER_INPUT_MAX;
}

void ledger_write_input(struct buf *buf, const struct record *record) {
    static const struct record nothing = {0};
    if (!ledger_holds(record)) record = &nothing;
    write_bytes(buf, record->key);
    buf_u32(buf, record->header_count);
    for (size_t i = 0; i < record->header_count; i++) {
        write_bytes(buf, record->headers[i].name);
        write_bytes(buf, record->headers[i].value);
    }
    write_bytes(buf, record->value);
}

static bool read_u32(struct slice *from, uint32_t *ret) {
    if (from->n < 4) return false;
    const unsigned char *p = (const unsigned char *)from->p;
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    *from = slice_of(from->p + 4, from->n - 4);
    return true;
}

static bool read_bytes(struct slice *from, struct slice *ret) {
    uint32_t size;
    if (!read_u32(from, &size)) return false;
    if (size == 0xffffffffu) {
        *ret = (struct slice){0};
        return true;
    }
    if (from->n < size) return false;
    *ret = slice_of(from->p, size);
    *from = slice_of(from->p + size, from->n - size);
    return true;
}

int ledger_read_input(struct arena *arena, struct slice input, struct record *ret_record) {
    struct record record = {0};
    uint32_t count;
    if (!read_bytes(&input, &record.key) || !read_u32(&input, &count)) return -1;
    if (count > input.n / 8) return -1; /* a header takes at least its two lengths */
    struct record_header *headers = ARENA_ARRAY(arena, struct record_header, count);
    if (!headers) return -1;
    for (uint32_t i = 0; i < count; i++)
        if (!read_bytes(&input, &headers[i].name) || !read_bytes(&input, &headers[i].value)) return -1;
    record.headers = headers;
    record.header_count = count;
    if (!read_bytes(&input, &record.value) || input.n) return -1;
    record.topic = ret_record->topic;
    record.shard = ret_record->shard;
    record.offset = ret_record->offset;
    *ret_record = record;
    return 0;
}

void ledger_event_key(unsigned char to[16], struct slice project, struct slice source, struct slice id) {
    struct digest digest = digest_sha256((struct slice[]){project, slice_of("", 1), source, slice_of("", 1), id}, 5);
    memcpy(to, digest.bytes, 16);
}
