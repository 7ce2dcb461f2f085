/* The reader against the parsing tests of others, one file a case: y_ is to be accepted, n_ to be refused, i_ is free. */
#include "json.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static const char *vectors(void) {
    const char *folder = getenv("SLUICE_VECTORS");
    return folder ? folder : SLUICE_SOURCE "/../shared/vectors";
}

/* Exactly as many bytes as the file has are allocated, so that the sanitizer sees every read behind them. */
static char *read_whole(const char *path, size_t *ret_size) {
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    rewind(file);
    char *bytes = malloc(size ? (size_t)size : 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)size, file), size);
    (void)fclose(file);
    *ret_size = (size_t)size;
    return bytes;
}

static int read_file(const char *folder, const char *name, struct error *error) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    size_t size;
    char *bytes = read_whole(path, &size);
    struct arena arena;
    arena_init(&arena, 64 * 1024 * 1024);
    struct json_document document;
    int status = json_read(&arena, slice_of(bytes, size), NULL, &document, error);
    arena_release(&arena);
    free(bytes);
    return status;
}

static void the_parsing_vectors_are_told_apart(void **state) {
    (void)state;
    char folder[4000];
    (void)snprintf(folder, sizeof folder, "%s/json-parsing", vectors());
    DIR *directory = opendir(folder);
    if (!directory) {
        print_message("skipped: no vectors in %s; set SLUICE_VECTORS\n", folder);
        skip();
    }
    int accepted = 0, refused = 0, wrong = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!strstr(entry->d_name, ".json")) continue;
        struct error error = {0};
        int status = read_file(folder, entry->d_name, &error);
        if (status && (!error.code[0] || !error.message[0])) fail_msg("%s: refused without a reason", entry->d_name);
        bool expected = entry->d_name[0] == 'i' || (entry->d_name[0] == 'y') == (status == 0);
        if (!expected) print_error("%s: %s\n", entry->d_name, status ? error.message : "accepted");
        wrong += !expected;
        accepted += entry->d_name[0] == 'y';
        refused += entry->d_name[0] == 'n';
    }
    (void)closedir(directory);
    assert_int_equal(wrong, 0);
    assert_int_equal(accepted, 95);
    assert_int_equal(refused, 188);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_parsing_vectors_are_told_apart)};
    return cmocka_run_group_tests_name("json_vectors", tests, NULL, NULL);
}
