/* Equality of JSON values as JSON Schema has it (core section 4.2.3): numbers by value, objects without order. */
#ifndef SLUICE_SCHEMA_EQUAL_H
#define SLUICE_SCHEMA_EQUAL_H

#include "json.h"

#include <stdint.h>

/* Both take one off *steps for every value that they look at, and give up at 0: the answer then means nothing. */
bool schema_equal(const struct json *a, const struct json *b, int64_t *steps);
/* The first element that equals an earlier one, or NULL; *ret_earlier is the one it equals. -1 without memory. */
int schema_find_twin(const struct json *array, int64_t *steps, const struct json **ret_twin, const struct json **ret_earlier);

#endif
