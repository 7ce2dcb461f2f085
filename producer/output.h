/* What a command says: its one JSON document on stdout (--json), errors as one line on stderr, colour on terminals only.
 *
 * Documents are json-c objects; a function that is given one to put somewhere takes it over. When memory is exhausted these
 * functions end the program with status 2: half a document would be read as a whole one. */
#ifndef SLUICE_OUTPUT_H
#define SLUICE_OUTPUT_H

#include "error.h"
#include "json.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json_object;

/* The same object, which must not be NULL: for objects that json-c itself makes. */
struct json_object *output_made(struct json_object *object);
struct json_object *output_object(void);
struct json_object *output_array(void);
/* Bytes that are not UTF-8 become U+FFFD. */
struct json_object *output_text(struct slice text);
/* A copy of a value that was read, number texts kept. An absent value is a null. */
struct json_object *output_value(const struct json *value);

void output_set(struct json_object *object, const char *name, struct json_object *value);
/* An absent text (a NULL `p`) is not set. */
void output_set_text(struct json_object *object, const char *name, struct slice text);
void output_set_string(struct json_object *object, const char *name, const char *text);
void output_set_number(struct json_object *object, const char *name, int64_t number);
void output_set_boolean(struct json_object *object, const char *name, bool value);
void output_append(struct json_object *array, struct json_object *value);

/* The document as text, indented on a terminal and else as one line; it lives as long as the document. */
const char *output_render(struct json_object *document, size_t *ret_size);
/* Writes that text and a line's end, and releases the document. */
void output_print(struct json_object *document);

/* Text that a manifest, a request or a server brought, on its way to a terminal: control characters become spaces. Names that
 * the contract limits to letters and digits do not need it. */
void output_safe(FILE *to, struct slice text);

/* Says that memory is exhausted; returns the exit status that says so, too. */
int output_starved(void);
/* "error: ..." on stderr, one line. */
void output_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same of an error's message, with its path where it has one. */
void output_failure(const struct error *error);

enum output_colour { OUTPUT_PLAIN, OUTPUT_RED, OUTPUT_GREEN, OUTPUT_YELLOW, OUTPUT_BOLD, OUTPUT_DIM };
/* The escape sequence that switches to it, or "" when `to` is no terminal, TERM is "dumb", or NO_COLOR is set. */
const char *output_colour(FILE *to, enum output_colour colour);

#endif
