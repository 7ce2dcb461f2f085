#include "ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

/* The form is computed by hand here, from the specification in ledger.h, so that a change of the code cannot hide. */
static void the_hash_covers_every_member_in_the_given_order(void **state) {
    (void)state;
    struct digest previous, input = digest_of(SLICE("input")), decision = digest_of(SLICE("decision"));
    memset(previous.bytes, 7, DIGEST_SIZE);
    struct ledger_row row = {.shard = 0x01020304,
                             .sequence = 0x1112131415161718,
                             .at = 0x2122232425262728,
                             .kind = RESULT_PROMOTION_WAITING,
                             .topic = INPUT_REQUESTS,
                             .offset = 0x3132333435363738,
                             .control_version = 0x4142434445464748,
                             .engine = 0x5152,
                             .input_digest = input,
                             .decision_digest = decision};
    unsigned char form[] = "sluice.ledger.v1\0"
                           "\x01\x02\x03\x04"
                           "\x11\x12\x13\x14\x15\x16\x17\x18"
                           "PPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPP"
                           "\x21\x22\x23\x24\x25\x26\x27\x28"
                           "\x03"
                           "\x02"
                           "\x31\x32\x33\x34\x35\x36\x37\x38"
                           "\x41\x42\x43\x44\x45\x46\x47\x48"
                           "\x51\x52"
                           "IIIIIIIIIIIIIIIIIIIIIIIIIIIIIIII"
                           "DDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDD";
    memcpy(form + 29, previous.bytes, 32);
    memcpy(form + 89, input.bytes, 32);
    memcpy(form + 121, decision.bytes, 32);
    struct digest expected = digest_of(slice_of(form, sizeof form - 1)), got = ledger_hash(&row, &previous);
    assert_int_equal(sizeof form - 1, 153);
    assert_memory_equal(got.bytes, expected.bytes, DIGEST_SIZE);
}

static void the_first_previous_hash_names_installation_and_shard(void **state) {
    (void)state;
    unsigned char uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    unsigned char form[17 + 16 + 4] = "sluice.ledger.v1";
    memcpy(form + 17, uuid, 16);
    form[36] = 9;
    struct digest expected = digest_of(slice_of(form, sizeof form)), got = ledger_genesis(uuid, 9);
    assert_memory_equal(got.bytes, expected.bytes, DIGEST_SIZE);
}

static void an_input_is_written_and_read_back(void **state) {
    (void)state;
    const struct record_header headers[] = {{SLICE("ce_id"), SLICE("1")}, {SLICE("empty"), SLICE("")}, {SLICE("null"), {0}}};
    const struct record record = {.key = {0}, .value = SLICE("va\0lue"), .headers = headers, .header_count = 3};
    struct buf buf;
    struct arena arena;
    struct record back = {0};
    buf_init(&buf, 1000);
    arena_init(&arena, 1 << 20);
    ledger_write_input(&buf, &record);
    assert_int_equal(buf.n, 4 + 4 + (4 + 5 + 4 + 1) + (4 + 5 + 4) + (4 + 4 + 4) + 4 + 6);
    assert_int_equal(ledger_read_input(&arena, buf_slice(&buf), &back), 0);
    assert_null(back.key.p);
    assert_int_equal(back.header_count, 3);
    assert_true(slice_is(record_header(&back, "ce_id"), "1"));
    assert_non_null(record_header(&back, "empty").p);
    assert_null(record_header(&back, "null").p);
    assert_true(slice_equal(back.value, record.value));
    buf_char(&buf, 'x'); /* nor may anything follow */
    assert_int_equal(ledger_read_input(&arena, buf_slice(&buf), &back), -1);
    buf.n--;
    for (size_t n = 0; n < buf.n; n++) assert_int_equal(ledger_read_input(&arena, slice_of(buf.p, n), &back), -1);
    buf_release(&buf);
    arena_release(&arena);
}

/* A compressed batch of Kafka may hold a record that no dead letter can. */
static void an_input_that_is_too_large_is_kept_without_its_bytes(void **state) {
    (void)state;
    size_t most = LEDGER_INPUT_MAX - 4 - 4 - 4 - 8 - 4;
    char *bytes = calloc(1, most + 1);
    assert_non_null(bytes);
    struct record_header header = {SLICE("name"), {0}};
    struct record record = {.value = slice_of(bytes, most), .headers = &header, .header_count = 1}, back = {0};
    struct buf buf;
    struct arena arena;
    buf_init(&buf, 8 << 20);
    arena_init(&arena, 1 << 20);
    assert_true(ledger_holds(&record));
    ledger_write_input(&buf, &record);
    assert_int_equal(buf.n, LEDGER_INPUT_MAX);
    record.value.n++;
    assert_false(ledger_holds(&record));
    buf_reset(&buf);
    ledger_write_input(&buf, &record);
    assert_int_equal(ledger_read_input(&arena, buf_slice(&buf), &back), 0);
    assert_null(back.key.p);
    assert_null(back.value.p);
    assert_int_equal(back.header_count, 0);
    buf_release(&buf);
    arena_release(&arena);
    free(bytes);
}

static void the_key_of_an_event_is_its_promotion_id(void **state) {
    (void)state;
    unsigned char key[16];
    ledger_event_key(key, SLICE("acme/shop"), SLICE("/ci"), SLICE("1"));
    struct digest digest = digest_of(SLICE("acme/shop\0/ci\0001"));
    assert_memory_equal(key, digest.bytes, 16);
}

static void a_kind_that_nobody_knows_has_no_type_and_is_not_final(void **state) {
    (void)state;
    assert_string_equal(result_type(RESULT_PROMOTION_PROMOTED), "dev.sluice.promotion.promoted.v1");
    assert_true(result_is_final(RESULT_PROMOTION_PROMOTED));
    assert_false(result_is_final(RESULT_PROMOTION_WAITING));
    assert_null(result_type((enum result_kind)250));
    assert_false(result_is_final((enum result_kind)250));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_covers_every_member_in_the_given_order),
        cmocka_unit_test(the_first_previous_hash_names_installation_and_shard),
        cmocka_unit_test(an_input_is_written_and_read_back),
        cmocka_unit_test(an_input_that_is_too_large_is_kept_without_its_bytes),
        cmocka_unit_test(the_key_of_an_event_is_its_promotion_id),
        cmocka_unit_test(a_kind_that_nobody_knows_has_no_type_and_is_not_final),
    };
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
