#include "yaml_tree.h"

#include "map.h"

#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

/* One list or mapping that is still open. */
struct level {
    struct yaml *node;
    struct yaml **tail;  /* where its next child goes */
    struct map keys;     /* of a mapping that has grown beyond FEW */
    struct yaml *member; /* a key was read and waits for its value, or NULL */
};

enum { FEW = 16 }; /* members that are compared one by one */

struct reader {
    struct arena *arena;
    const struct yaml_limits *limits;
    struct slice source;
    yaml_parser_t parser;
    struct level levels[YAML_DEPTH_MAX];
    size_t depth, values;
    struct yaml *root;
    struct error *error;
};

__attribute__((format(printf, 5, 0))) static int refuse_at(struct error *error, const char *code, size_t line, size_t column,
                                                           const char *format, va_list arguments) {
    char message[sizeof error->message];
    (void)vsnprintf(message, sizeof message, format, arguments);
    return error_set(error, ERROR_INPUT, code, "line %zu, column %zu: %s", line, column, message);
}

int yaml_error(struct error *error, const struct yaml *at, const char *code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int status = refuse_at(error, code, at->line, at->column, format, arguments);
    va_end(arguments);
    return status;
}

int yaml_key_error(struct error *error, const struct yaml *at, const char *code, const char *format, ...) {
    bool member = at->key_line != 0;
    va_list arguments;
    va_start(arguments, format);
    int status =
        refuse_at(error, code, member ? at->key_line : at->line, member ? at->key_column : at->column, format, arguments);
    va_end(arguments);
    return status;
}

__attribute__((format(printf, 3, 4))) static int refuse(struct reader *reader, const yaml_mark_t *at, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int status = refuse_at(reader->error, "yaml-invalid", at->line + 1, at->column + 1, format, arguments);
    va_end(arguments);
    return status;
}

/* The reader of bytes knows an offset only. */
static yaml_mark_t mark_of(struct slice source, size_t offset) {
    yaml_mark_t mark = {.index = offset};
    for (size_t i = 0; i < offset && i < source.n; i++) {
        if (source.p[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)source.p[i] & 0xc0) != 0x80)
            mark.column++;
    }
    return mark;
}

/* What libyaml refuses. */
static int refuse_syntax(struct reader *reader) {
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR) return error_starved(reader->error);
    const char *problem = parser->problem ? parser->problem : "it cannot be read";
    if (parser->error == YAML_READER_ERROR) {
        yaml_mark_t at = mark_of(reader->source, parser->problem_offset);
        return refuse(reader, &at, "%s; the file must be UTF-8 text", problem);
    }
    yaml_mark_t at = parser->problem_mark;
    struct slice rest = reader->source; /* from the problem's line on */
    for (size_t line = 0; rest.n && line < at.line; rest = slice_of(rest.p + 1, rest.n - 1)) line += *rest.p == '\n';
    if (at.column < rest.n && rest.p[at.column] == '\t') return refuse(reader, &at, "a tab; indent with spaces");
    return refuse(reader, &at, "%s", problem);
}

static struct yaml *find_member(const struct level *level, struct slice key) {
    if (level->keys.count) return map_get(&level->keys, key);
    for (struct yaml *member = level->node->first; member; member = member->next)
        if (slice_equal(member->key, key)) return member;
    return NULL;
}

/* Enters the level's newest member, and those before it once they are more than a few. */
static int index_members(struct reader *reader, struct level *level, struct yaml *newest) {
    struct yaml *member = level->keys.count ? newest : level->node->first;
    if (level->node->count <= FEW) return 0;
    for (; member; member = member->next) {
        void **slot = map_at(&level->keys, member->key);
        if (!slot) return error_memory(reader->error);
        *slot = member;
    }
    return 0;
}

static int take_key(struct reader *reader, struct level *level, const yaml_event_t *event) {
    if (event->type != YAML_SCALAR_EVENT) return refuse(reader, &event->start_mark, "a key must be a plain text");
    struct slice key = slice_of(event->data.scalar.value, event->data.scalar.length);
    if (!key.n) return refuse(reader, &event->start_mark, "a key must not be empty");
    if (memchr(key.p, '\0', key.n)) return refuse(reader, &event->start_mark, "a text must not hold U+0000");
    struct yaml *before = find_member(level, key);
    if (before)
        return refuse(reader, &event->start_mark, "the key '%.*s' stands in line %zu already; keep one of them",
                      (int)(key.n < 100 ? key.n : 100), key.p, before->key_line);
    struct yaml *member = ARENA_NEW(reader->arena, struct yaml);
    if (!member) return error_memory(reader->error);
    member->key = arena_copy(reader->arena, key);
    if (!member->key.p) return error_memory(reader->error);
    member->key_line = event->start_mark.line + 1;
    member->key_column = event->start_mark.column + 1;
    level->member = member;
    return 0;
}

/* The node that the event's value goes into, linked to what holds it; NULL with the error set. */
static struct yaml *place(struct reader *reader, const yaml_event_t *event) {
    if (++reader->values > reader->limits->values) {
        (void)error_set(reader->error, ERROR_INPUT, "too-large",
                        "line %zu, column %zu: more than %zu values; split or shorten it", event->start_mark.line + 1,
                        event->start_mark.column + 1, reader->limits->values);
        return NULL;
    }
    struct level *level = reader->depth ? &reader->levels[reader->depth - 1] : NULL;
    struct yaml *node = level && level->member ? level->member : ARENA_NEW(reader->arena, struct yaml);
    if (!node) {
        (void)error_memory(reader->error);
        return NULL;
    }
    node->line = event->start_mark.line + 1;
    node->column = event->start_mark.column + 1;
    if (!level) {
        reader->root = node;
        return node;
    }
    node->above = level->node;
    *level->tail = node;
    level->tail = &node->next;
    level->node->count++;
    if (!level->member) return node;
    level->member = NULL;
    return index_members(reader, level, node) < 0 ? NULL : node;
}

static int take_scalar(struct reader *reader, struct yaml *node, const yaml_event_t *event) {
    struct slice text = slice_of(event->data.scalar.value, event->data.scalar.length);
    if (text.n && memchr(text.p, '\0', text.n)) return refuse(reader, &event->start_mark, "a text must not hold U+0000");
    node->kind = YAML_SCALAR;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = arena_copy(reader->arena, text);
    return node->text.p ? 0 : error_memory(reader->error);
}

static int open_level(struct reader *reader, struct yaml *node, enum yaml_kind kind, const yaml_event_t *event) {
    if (reader->depth == YAML_DEPTH_MAX)
        return refuse(reader, &event->start_mark, "nested deeper than %d levels", YAML_DEPTH_MAX);
    node->kind = kind;
    struct level *level = &reader->levels[reader->depth++];
    *level = (struct level){.node = node, .tail = &node->first};
    map_init(&level->keys, reader->arena);
    return 0;
}

/* Anchors and tags are refused wherever they may stand. */
static int refuse_marks(struct reader *reader, const yaml_event_t *event, const yaml_char_t *anchor, const yaml_char_t *tag) {
    if (anchor) return refuse(reader, &event->start_mark, "an anchor (&); anchors and aliases are not allowed, write it out");
    if (tag) return refuse(reader, &event->start_mark, "a tag (!); tags are not allowed, remove it");
    return 0;
}

static int take_value(struct reader *reader, const yaml_event_t *event) {
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (refuse_marks(reader, event, anchor, tag) < 0) return -1;

    struct level *level = reader->depth ? &reader->levels[reader->depth - 1] : NULL;
    if (level && level->node->kind == YAML_MAPPING && !level->member) return take_key(reader, level, event);
    struct yaml *node = place(reader, event);
    if (!node) return -1;
    if (event->type == YAML_SCALAR_EVENT) return take_scalar(reader, node, event);
    return open_level(reader, node, event->type == YAML_SEQUENCE_START_EVENT ? YAML_LIST : YAML_MAPPING, event);
}

static int take_event(struct reader *reader, const yaml_event_t *event) {
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (reader->root) return refuse(reader, &event->start_mark, "a second document (---); keep one");
        if (event->data.document_start.version_directive ||
            event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
            return refuse(reader, &event->start_mark, "a directive (%%); directives are not allowed, remove it");
        return 0;
    case YAML_ALIAS_EVENT:
        return refuse(reader, &event->start_mark,
                      "an alias (*); anchors and aliases are not allowed, write it out "
                      "(a pattern that begins with * needs quotes)");
    case YAML_SCALAR_EVENT:
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return take_value(reader, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        reader->depth--;
        return 0;
    default:
        return 0;
    }
}

static int read_events(struct reader *reader) {
    for (bool ended = false; !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader->parser, &event)) return refuse_syntax(reader);
        int status = take_event(reader, &event);
        ended = event.type == YAML_STREAM_END_EVENT || event.type == YAML_NO_EVENT;
        yaml_event_delete(&event);
        if (status < 0) return -1;
    }
    return 0;
}

int yaml_read(struct arena *arena, struct slice text, const struct yaml_limits *limits, const struct yaml **ret_root,
              struct error *error) {
    if (text.n > limits->bytes)
        return error_set(error, ERROR_INPUT, "too-large", "line 1, column 1: the file has %zu bytes; at most %zu are read",
                         text.n, limits->bytes);
    struct reader reader = {.arena = arena, .limits = limits, .source = text, .error = error};
    if (!yaml_parser_initialize(&reader.parser)) return error_starved(error);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)(text.n ? text.p : ""), text.n);
    int status = read_events(&reader);
    yaml_parser_delete(&reader.parser);
    if (status < 0) return -1;
    if (!reader.root) {
        reader.root = ARENA_NEW(arena, struct yaml);
        if (!reader.root) return error_memory(error);
        *reader.root = (struct yaml){.kind = YAML_SCALAR, .line = 1, .column = 1, .text = SLICE("")};
    }
    *ret_root = reader.root;
    return 0;
}

const struct yaml *yaml_get(const struct yaml *value, const char *key) {
    if (!value || value->kind != YAML_MAPPING) return NULL;
    for (const struct yaml *member = value->first; member; member = member->next)
        if (slice_is(member->key, key)) return member;
    return NULL;
}

static bool is_plain(const struct yaml *value) { return value && value->kind == YAML_SCALAR && !value->quoted; }

bool yaml_is_null(const struct yaml *value) {
    return is_plain(value) && (!value->text.n || slice_is(value->text, "~") || slice_is(value->text, "null") ||
                               slice_is(value->text, "Null") || slice_is(value->text, "NULL"));
}

bool yaml_boolean(const struct yaml *value, bool *ret) {
    if (!is_plain(value)) return false;
    bool yes = slice_is(value->text, "true");
    if (!yes && !slice_is(value->text, "false")) return false;
    *ret = yes;
    return true;
}

bool yaml_number(const struct yaml *value, int64_t maximum, int64_t *ret) {
    if (!is_plain(value) || !value->text.n) return false;
    int64_t number = 0;
    for (size_t i = 0; i < value->text.n; i++) {
        int digit = value->text.p[i] - '0';
        if (digit < 0 || digit > 9 || number > (maximum - digit) / 10) return false;
        number = number * 10 + digit;
    }
    *ret = number;
    return true;
}

const char *yaml_what(const struct yaml *value) {
    if (!value || yaml_is_null(value)) return "nothing";
    return value->kind == YAML_SCALAR ? "a text" : value->kind == YAML_LIST ? "a list" : "a mapping";
}
