/* The compiled form of a schema: what schema.c builds and schema_validate.c walks. Only the schema_*.c files know it. */
#ifndef SLUICE_SCHEMA_NODE_H
#define SLUICE_SCHEMA_NODE_H

#include "arena.h"
#include "decimal.h"
#include "json.h"
#include "schema_format.h"
#include "schema_pattern.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One bit a type, as in `type`. A number that is whole has both bits. */
enum schema_type {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_NUMBER = 4,
    TYPE_INTEGER = 8,
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64
};
enum { TYPE_COUNT = 7 };
/* "null", ... in the order of the bits. */
extern const char *const schema_type_names[TYPE_COUNT];

struct schema_node;

/* A number to compare with; `text` is NULL-`p` when the keyword is absent. */
struct bound {
    struct slice text;
    struct decimal value;
};

struct number_rules {
    struct bound minimum, maximum, exclusive_minimum, exclusive_maximum, multiple_of;
};

struct count_rules {
    int64_t minimum, maximum; /* 0 and INT64_MAX when absent */
};

struct string_rules {
    struct count_rules length; /* in characters */
    struct schema_pattern *pattern;
    struct slice pattern_text;
    const struct schema_format *format;
};

struct array_rules {
    struct count_rules count;
    struct schema_node *items;  /* for all, or NULL */
    struct schema_node **tuple; /* for the first ones, or NULL */
    size_t tuple_count;
    struct schema_node *additional; /* for those behind the tuple, or NULL */
    struct schema_node *contains;
    bool unique;
};

/* A name that `properties` or `required` has. The table is sorted by length, then bytes. */
struct property {
    struct slice name;
    struct schema_node *node; /* NULL when it is only required */
    bool required;
};

struct pattern_property {
    struct schema_pattern *pattern;
    struct schema_node *node;
};

struct dependency {
    struct slice name;
    struct schema_node *node; /* or NULL, and then: */
    struct slice *names;
    size_t name_count;
};

struct object_rules {
    struct count_rules count;
    struct property *properties;
    size_t property_count, required_count;
    struct pattern_property *patterns;
    size_t pattern_count;
    struct schema_node *additional; /* or NULL */
    struct schema_node *names;      /* propertyNames, or NULL */
    struct dependency *dependencies;
    size_t dependency_count;
};

struct node_list {
    struct schema_node **nodes;
    size_t count;
};

/* Keywords that apply other schemas to the same value. */
struct logic_rules {
    struct node_list all_of, any_of, one_of;
    struct schema_node *not_, *if_, *then_, *else_;
};

enum node_form { NODE_RULES, NODE_TRUE, NODE_FALSE, NODE_REFERENCE };

struct schema_node {
    enum node_form form;
    unsigned types;                 /* bits of enum schema_type; 0: any */
    struct schema_node *reference;  /* of a NODE_REFERENCE */
    const struct json *enumeration; /* an array, or NULL */
    const struct json *constant;    /* or NULL */
    struct number_rules *numbers;   /* these are NULL when no keyword needs them */
    struct string_rules *strings;
    struct array_rules *arrays;
    struct object_rules *objects;
    struct logic_rules *logic;
    const struct json *source;  /* where it stands */
    unsigned char endless_mark; /* of the search for endless recursion */
};

struct schema {
    struct arena arena; /* everything, the documents' texts too */
    struct schema_node *root;
    size_t node_count;
    struct schema_pattern *patterns; /* a list, to be freed */
};

#endif
