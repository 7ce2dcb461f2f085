#include "output.h"

#include "command.h"
#include "text.h"

#include <json_object.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int output_starved(void) {
    output_error("memory is exhausted");
    return EXIT_COULD_NOT_TELL;
}

static void require(bool done) {
    if (!done) exit(output_starved());
}

struct json_object *output_made(struct json_object *object) {
    require(object != NULL);
    return object;
}

struct json_object *output_object(void) {
    return output_made(json_object_new_object());
}
struct json_object *output_array(void) {
    return output_made(json_object_new_array());
}

/* json-c writes its strings as they are, so they have to be UTF-8 here. */
struct json_object *output_text(struct slice text) {
    if (!text.n) return output_made(json_object_new_string(""));
    require(text.n <= INT32_MAX);
    if (text_is_utf8(text)) return output_made(json_object_new_string_len(text.p, (int)text.n));
    struct buf clean;
    buf_init(&clean, INT32_MAX);
    for (size_t i = 0, size; i < text.n; i += size ? size : 1) {
        size = text_utf8_sequence(text.p + i, text.n - i);
        buf_append(&clean, size ? slice_of(text.p + i, size) : SLICE("\xef\xbf\xbd"));
    }
    require(!clean.failed);
    struct json_object *object = output_made(json_object_new_string_len(clean.p, (int)clean.n));
    buf_release(&clean);
    return object;
}

static struct json_object *number_of(const struct json *value) {
    int64_t number;
    if (json_int64(value, &number)) return output_made(json_object_new_int64(number));
    char *text = strndup(value->text.p, value->text.n);
    require(text != NULL);
    struct json_object *object = output_made(json_object_new_double_s(json_double(value), text));
    free(text);
    return object;
}

/* As deep as the limits under which the value was read. */
struct json_object *output_value(const struct json *value) {
    if (!value || value->kind == JSON_NULL) return NULL;
    if (value->kind == JSON_BOOLEAN) return output_made(json_object_new_boolean(value->boolean));
    if (value->kind == JSON_NUMBER) return number_of(value);
    if (value->kind == JSON_STRING) return output_text(value->text);
    struct json_object *object = value->kind == JSON_ARRAY ? output_array() : output_object();
    for (const struct json *inner = value->first; inner; inner = inner->next) {
        if (value->kind == JSON_ARRAY) {
            output_append(object, output_value(inner));
            continue;
        }
        char *name = strndup(inner->name.n ? inner->name.p : "", inner->name.n);
        require(name != NULL);
        output_set(object, name, output_value(inner));
        free(name);
    }
    return object;
}

void output_set(struct json_object *object, const char *name, struct json_object *value) {
    require(json_object_object_add(object, name, value) == 0);
}

void output_set_text(struct json_object *object, const char *name, struct slice text) {
    if (text.p) output_set(object, name, output_text(text));
}

void output_set_string(struct json_object *object, const char *name, const char *text) {
    output_set_text(object, name, slice_str(text));
}

void output_set_number(struct json_object *object, const char *name, int64_t number) {
    output_set(object, name, output_made(json_object_new_int64(number)));
}

void output_set_boolean(struct json_object *object, const char *name, bool value) {
    output_set(object, name, output_made(json_object_new_boolean(value)));
}

void output_append(struct json_object *array, struct json_object *value) { require(json_object_array_add(array, value) == 0); }

const char *output_render(struct json_object *document, size_t *ret_size) {
    int form = JSON_C_TO_STRING_NOSLASHESCAPE | (isatty(STDOUT_FILENO) ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : 0);
    const char *text = json_object_to_json_string_length(document, form, ret_size);
    require(text != NULL);
    return text;
}

void output_print(struct json_object *document) {
    size_t size;
    const char *text = output_render(document, &size);
    (void)fwrite(text, 1, size, stdout);
    (void)putchar('\n');
    json_object_put(document);
}

static void print_error(const char *message) {
    fprintf(stderr, "%serror:%s %s\n", output_colour(stderr, OUTPUT_RED), output_colour(stderr, OUTPUT_PLAIN), message);
}

void output_safe(FILE *to, struct slice text) {
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool escape =
            c == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0; /* U+0080 to U+009F: as ESC and a letter */
        (void)fputc(c < ' ' || c == 0x7f || escape ? ' ' : c, to);
        i += escape;
    }
}

void output_error(const char *format, ...) {
    struct error line = {0}; /* for its cleaning of control characters */
    va_list arguments;
    va_start(arguments, format);
    (void)error_vset(&line, ERROR_INPUT, NULL, format, arguments);
    va_end(arguments);
    print_error(line.message);
}

void output_failure(const struct error *error) {
    if (error->path[0])
        output_error("%s: %s", error->path, error->message);
    else
        print_error(error->message);
}

const char *output_colour(FILE *to, enum output_colour colour) {
    static const char *const sequences[] = {[OUTPUT_PLAIN] = "\033[0m",   [OUTPUT_RED] = "\033[31m", [OUTPUT_GREEN] = "\033[32m",
                                            [OUTPUT_YELLOW] = "\033[33m", [OUTPUT_BOLD] = "\033[1m", [OUTPUT_DIM] = "\033[2m"};
    const char *terminal = getenv("TERM"), *without = getenv("NO_COLOR");
    if (!isatty(fileno(to)) || (without && without[0]) || (terminal && strcmp(terminal, "dumb") == 0)) return "";
    return sequences[colour];
}
