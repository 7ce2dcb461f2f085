#include "alloc.h"

#include "arena.h"
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <json_object.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static atomic_bool counting;
static atomic_ulong counted, failing, wanted, fired;

void __sanitizer_print_stack_trace(void) __attribute__((weak));

void alloc_begin(unsigned long nth, unsigned long times) {
    failing = nth;
    wanted = times;
    counted = fired = 0;
    counting = true;
}

unsigned long alloc_end(unsigned long *ret_fired) {
    counting = false;
    if (ret_fired) *ret_fired = fired;
    return counted;
}

/* Where it failed, for the person who repeats it. */
static void show(unsigned long number) {
    if (fired > 1 || !getenv("SLUICE_TORTURE_STACK")) return;
    fprintf(stderr, "# allocation %lu fails here:\n", number);
    if (__sanitizer_print_stack_trace) __sanitizer_print_stack_trace();
}

static bool fails(void) {
    if (!counting) return false;
    unsigned long number = ++counted;
    if (!failing || number < failing || fired >= wanted) return false;
    fired++;
    show(number);
    errno = ENOMEM;
    return true;
}

/* ---- whole programs: SLUICE_TORTURE=N, or N+ for all from N on; 0 only counts. SLUICE_TORTURE_REPORT names a file for the
 * numbers. Of a worker's processes SLUICE_TORTURE_IN=supervisor or =lane means only those, and SLUICE_TORTURE_ONCE=FILE only the
 * first of them, which makes that file. */

static void report(void) {
    const char *path = getenv("SLUICE_TORTURE_REPORT");
    counting = false;
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "%lu %lu\n", (unsigned long)counted, (unsigned long)fired);
    (void)fclose(file);
}

static bool is_meant(int argc, char **argv) {
    const char *kind = getenv("SLUICE_TORTURE_IN"), *once = getenv("SLUICE_TORTURE_ONCE");
    bool lane = false;
    for (int i = 1; i < argc; i++) lane |= strcmp(argv[i], "--lane") == 0;
    if (kind && strcmp(kind, lane ? "lane" : "supervisor") != 0) return false;
    int file = once ? open(once, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) : -1;
    if (file >= 0) (void)close(file);
    return !once || file >= 0;
}

__attribute__((constructor)) static void begin(int argc, char **argv) {
    const char *text = getenv("SLUICE_TORTURE");
    char *end;
    if (!text || !is_meant(argc, argv)) return;
    unsigned long nth = strtoul(text, &end, 10);
    (void)atexit(report);
    alloc_begin(nth, *end == '+' ? ALLOC_ALL : 1);
}

/* ---- what is wrapped ---- */

/* A function that answers `failure` when the allocation fails. */
#define REFUSED fails
#define WRAP(type, name, failure, parameters, arguments)                                                                         \
    type __real_##name parameters;                                                                                               \
    type __wrap_##name parameters;                                                                                               \
    type __wrap_##name parameters { return REFUSED() ? (failure) : __real_##name arguments; }

WRAP(void *, malloc, NULL, (size_t size), (size))
WRAP(void *, calloc, NULL, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, NULL, (void *old, size_t size), (old, size))
WRAP(char *, strdup, NULL, (const char *text), (text))
WRAP(char *, strndup, NULL, (const char *text, size_t size), (text, size))
WRAP(FILE *, fopen, NULL, (const char *path, const char *mode), (path, mode))

/* What the arena does when it needs a block and gets none. */
static bool refused(void) {
    if (!fails()) return false;
    memory_refused();
    return true;
}

#undef REFUSED
#define REFUSED refused
WRAP(void *, arena_alloc, NULL, (struct arena * arena, size_t size), (arena, size))
WRAP(void *, arena_array, NULL, (struct arena * arena, size_t count, size_t size), (arena, count, size))
WRAP(struct slice, arena_copy, (struct slice){0}, (struct arena * arena, struct slice bytes), (arena, bytes))

#undef REFUSED
#define REFUSED fails

__attribute__((format(printf, 2, 3))) struct slice __wrap_arena_print(struct arena *arena, const char *format, ...);
struct slice __wrap_arena_print(struct arena *arena, const char *format, ...) {
    va_list arguments;
    if (refused()) return (struct slice){0};
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : __real_arena_alloc(arena, (size_t)length + 1);
    if (!text) return (struct slice){0};
    va_start(arguments, format);
    (void)vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return slice_of(text, (size_t)length);
}

int __real_yaml_parser_parse(yaml_parser_t *parser, yaml_event_t *event);
int __wrap_yaml_parser_parse(yaml_parser_t *parser, yaml_event_t *event);
int __wrap_yaml_parser_parse(yaml_parser_t *parser, yaml_event_t *event) {
    if (!fails()) return __real_yaml_parser_parse(parser, event);
    memset(event, 0, sizeof *event);
    parser->error = YAML_MEMORY_ERROR;
    return 0;
}
WRAP(int, yaml_parser_initialize, 0, (yaml_parser_t * parser), (parser))

pcre2_code *__real_pcre2_compile_8(PCRE2_SPTR text, PCRE2_SIZE size, uint32_t options, int *error, PCRE2_SIZE *offset,
                                   pcre2_compile_context *context);
pcre2_code *__wrap_pcre2_compile_8(PCRE2_SPTR text, PCRE2_SIZE size, uint32_t options, int *error, PCRE2_SIZE *offset,
                                   pcre2_compile_context *context);
pcre2_code *__wrap_pcre2_compile_8(PCRE2_SPTR text, PCRE2_SIZE size, uint32_t options, int *error, PCRE2_SIZE *offset,
                                   pcre2_compile_context *context) {
    if (!fails()) return __real_pcre2_compile_8(text, size, options, error, offset, context);
    *error = PCRE2_ERROR_HEAP_FAILED;
    *offset = 0;
    return NULL;
}
WRAP(pcre2_match_context *, pcre2_match_context_create_8, NULL, (pcre2_general_context * context), (context))
WRAP(pcre2_match_data *, pcre2_match_data_create_8, NULL, (uint32_t pairs, pcre2_general_context *context), (pairs, context))
WRAP(int, pcre2_jit_compile_8, PCRE2_ERROR_NOMEMORY, (pcre2_code * code, uint32_t options), (code, options))
WRAP(int, pcre2_match_8, PCRE2_ERROR_NOMEMORY,
     (const pcre2_code *code, PCRE2_SPTR subject, PCRE2_SIZE size, PCRE2_SIZE start, uint32_t options, pcre2_match_data *data,
      pcre2_match_context *context),
     (code, subject, size, start, options, data, context))

WRAP(EVP_MD_CTX *, EVP_MD_CTX_new, NULL, (void), ())

WRAP(struct json_object *, json_object_new_object, NULL, (void), ())
WRAP(struct json_object *, json_object_new_array, NULL, (void), ())
WRAP(struct json_object *, json_object_new_boolean, NULL, (json_bool value), (value))
WRAP(struct json_object *, json_object_new_int64, NULL, (int64_t value), (value))
WRAP(struct json_object *, json_object_new_double_s, NULL, (double value, const char *text), (value, text))
WRAP(struct json_object *, json_object_new_string, NULL, (const char *text), (text))
WRAP(struct json_object *, json_object_new_string_len, NULL, (const char *text, int size), (text, size))
WRAP(int, json_object_object_add, -1, (struct json_object * object, const char *name, struct json_object *value),
     (object, name, value))
WRAP(int, json_object_array_add, -1, (struct json_object * array, struct json_object *value), (array, value))
WRAP(const char *, json_object_to_json_string_length, NULL, (struct json_object * object, int flags, size_t *size),
     (object, flags, size))
WRAP(const char *, json_object_to_json_string_ext, NULL, (struct json_object * object, int flags), (object, flags))
