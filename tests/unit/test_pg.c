#include "pg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void sqlstates_decide_what_the_caller_does(void **state) {
    (void)state;
    static const struct {
        const char *sqlstate;
        enum error_kind kind;
    } cases[] = {
        {"08006", ERROR_UNAVAILABLE}, {"40001", ERROR_UNAVAILABLE}, {"40P01", ERROR_UNAVAILABLE}, {"53100", ERROR_UNAVAILABLE},
        {"57P01", ERROR_UNAVAILABLE}, {"57014", ERROR_UNAVAILABLE}, {"55P03", ERROR_UNAVAILABLE}, {"25P03", ERROR_UNAVAILABLE},
        {"25006", ERROR_UNAVAILABLE}, {"58030", ERROR_UNAVAILABLE}, {"08007", ERROR_UNKNOWN},     {"40003", ERROR_UNKNOWN},
        {"23505", ERROR_INPUT},       {"22021", ERROR_INPUT},       {"54000", ERROR_INPUT},       {"SL001", ERROR_FENCED},
        {"42501", ERROR_INTERNAL},    {"42P01", ERROR_INTERNAL},    {"XX001", ERROR_INTERNAL},    {"SL002", ERROR_INTERNAL},
        {"28000", ERROR_INTERNAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_int_equal(pg_error_kind(cases[i].sqlstate), cases[i].kind);
}

static void a_url_that_is_none_is_not_taken_for_a_database_name(void **state) {
    (void)state;
    static const char *const wrong[] = {"mysql://db.example/sluice", "db.example:5432", "postgres//x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct pg_options options = {.url = wrong[i], .schema = "sluice"};
        struct error error;
        struct pg *pg = pg_new(&options, PG_READER);
        assert_non_null(pg);
        assert_int_equal(pg_connect(pg, &error), -1);
        assert_string_equal(error.code, "database-url");
        pg_free(pg);
    }
}

/* The same three fields of two rows, as put by the tables that get many rows. */
static void put_fields(struct pg_parameters *parameters) {
    for (int row = 1; row <= 2; row++) {
        if (parameters->form.copy) pg_row(parameters, 3);
        pg_int(parameters, PG_INT2, row);
        if (row == 1)
            pg_null(parameters, PG_INSTANT);
        else
            pg_instant(parameters, 946684800000007);
        pg_bytes(parameters, PG_TEXT, SLICE("ab"));
    }
}

static void rows_have_the_form_that_copy_reads(void **state) {
    (void)state;
    static const char expected[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
                                   "\0\3\0\0\0\2\0\1\377\377\377\377\0\0\0\2ab"
                                   "\0\3\0\0\0\2\0\2\0\0\0\10\0\0\0\0\0\0\0\7\0\0\0\2ab";
    struct pg_parameters parameters;
    pg_parameters_init(&parameters);
    pg_copy(&parameters);
    put_fields(&parameters);
    assert_int_equal(parameters.missing, 0);
    assert_int_equal(parameters.values[0].size, sizeof expected - 1);
    assert_memory_equal(parameters.bytes.p, expected, sizeof expected - 1);
    pg_parameters_reset(&parameters);
    assert_false(parameters.form.copy);
    pg_parameters_release(&parameters);
}

static void a_column_keeps_one_field_of_each_row(void **state) {
    (void)state;
    struct pg_parameters rows, arrays;
    pg_parameters_init(&rows);
    pg_parameters_init(&arrays);
    for (size_t column = 0; column < 3; column++) {
        pg_column(&rows, column, 3, 2);
        put_fields(&rows);
    }
    pg_int(&rows, PG_INT8, 2); /* a parameter of its own behind them */
    pg_array(&arrays, PG_INT2, 2);
    pg_int(&arrays, PG_INT2, 1);
    pg_int(&arrays, PG_INT2, 2);
    pg_array(&arrays, PG_INSTANT, 2);
    pg_null(&arrays, PG_INSTANT);
    pg_instant(&arrays, 946684800000007);
    pg_array(&arrays, PG_TEXT, 2);
    pg_bytes(&arrays, PG_TEXT, SLICE("ab"));
    pg_bytes(&arrays, PG_TEXT, SLICE("ab"));
    pg_int(&arrays, PG_INT8, 2);
    assert_int_equal(rows.count, arrays.count);
    assert_int_equal(rows.bytes.n, arrays.bytes.n);
    assert_memory_equal(rows.bytes.p, arrays.bytes.p, arrays.bytes.n);
    for (size_t i = 0; i < rows.count; i++) assert_int_equal(rows.values[i].size, arrays.values[i].size);
    pg_parameters_release(&rows);
    pg_parameters_release(&arrays);
}

static void arrays_have_the_form_that_array_recv_reads(void **state) {
    (void)state;
    static const unsigned char expected[] = {0,    0,    0,    1,   0,   0,   0, 1, 0, 0,
                                             0,    25,   0,    0,   0,   2,   0, 0, 0, 1, /* header */
                                             0,    0,    0,    2,   'h', 'i',             /* "hi" */
                                             0xff, 0xff, 0xff, 0xff};                     /* NULL */
    struct pg_parameters parameters;
    pg_parameters_init(&parameters);
    pg_int(&parameters, PG_INT2, -2);
    pg_array(&parameters, PG_TEXT, 2);
    pg_bytes(&parameters, PG_TEXT, SLICE("hi"));
    pg_bytes(&parameters, PG_TEXT, (struct slice){0});
    pg_array(&parameters, PG_INT8, 0);
    pg_instant(&parameters, 946684800000001);
    assert_int_equal(parameters.count, 4);
    assert_memory_equal(parameters.bytes.p, "\xff\xfe", 2);
    assert_int_equal(parameters.values[1].size, sizeof expected);
    assert_memory_equal(parameters.bytes.p + parameters.values[1].at, expected, sizeof expected);
    assert_int_equal(parameters.values[2].size, 12);
    assert_int_equal(parameters.values[3].size, 8);
    assert_memory_equal(parameters.bytes.p + parameters.values[3].at, "\0\0\0\0\0\0\0\1", 8);
    pg_parameters_release(&parameters);
}

static void an_empty_text_is_not_null(void **state) {
    (void)state;
    struct pg_parameters parameters;
    pg_parameters_init(&parameters);
    pg_bytes(&parameters, PG_TEXT, SLICE(""));
    pg_bytes(&parameters, PG_TEXT, (struct slice){0});
    assert_false(parameters.values[0].null);
    assert_true(parameters.values[1].null);
    pg_parameters_release(&parameters);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sqlstates_decide_what_the_caller_does),
        cmocka_unit_test(a_url_that_is_none_is_not_taken_for_a_database_name),
        cmocka_unit_test(arrays_have_the_form_that_array_recv_reads),
        cmocka_unit_test(rows_have_the_form_that_copy_reads),
        cmocka_unit_test(a_column_keeps_one_field_of_each_row),
        cmocka_unit_test(an_empty_text_is_not_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
