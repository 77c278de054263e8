#ifndef BASE_JSON_GET_H
#define BASE_JSON_GET_H 1

/* Reading JSON that may be anything: each function gives what is there if it
 * has the type that is asked for, and otherwise a harmless value.  'json'
 * may be null, and need not be an object. */

#include <stddef.h>

#include "openvswitch/json.h"

#include "base/err.h"

/* Null if there is no such member. */
const struct json *json_get(const struct json *, const char *name);

/* Null if it is not a string. */
const char *json_get_string(const struct json *, const char *name);

/* 'preset' if it is not a number.  A string that is a number counts: the
 * store's large integers are written so. */
double json_get_number(const struct json *, const char *name, double preset);

bool json_get_bool(const struct json *, const char *name);

/* Elements of an array; 0 for everything else. */
size_t json_length(const struct json *);
const struct json *json_at(const struct json *, size_t i);

/* Parses a text that has 'len' bytes and no NUL inside. */
int json_parse(const char *text, size_t len, struct json **, struct err *);

#endif /* base/json-get.h */
