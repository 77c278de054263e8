#ifndef API_FIELDS_H
#define API_FIELDS_H 1

/* What the members of a JSON object may be, as tables.
 *
 * One table checks a request, and describes it in the OpenAPI document.
 * Numbers may also come as strings of digits: documents are often made from
 * YAML, where "256" and 256 look alike. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json;
struct problems;

enum field_type {
    FIELD_STRING,
    FIELD_NAME,                 /* See fields_is_name(). */
    FIELD_INTEGER,
    FIELD_BOOLEAN,
    FIELD_SIZE,                 /* "256M", "1G", "65536K"; bare: MiB. */
    FIELD_LIST,
    FIELD_STRINGS,              /* A string, or a list of them. */
    FIELD_OBJECT,
    FIELD_MAP,                  /* Name -> object. */
    FIELD_ANY,
};

struct field {
    const char *name;           /* Null ends a table. */
    enum field_type type;
    bool required;
    const char *help;
    long long min, max;         /* Of integers, if 'max' is not 0. */
    const struct field *members;        /* Of objects; null: any. */
};

/* [A-Za-z0-9][A-Za-z0-9._-]{0,62} */
bool fields_is_name(const char *);

/* Checks 'object', called 'where' in sentences, against 'fields'.  Returns
 * true if it is an object whose members can be read with the functions
 * below. */
bool fields_check(const struct field fields[], const struct json *object,
                  const char *where, struct problems *);

/* Null, or false, if there is no such member, or it is of another type. */
const struct json *fields_find(const struct json *object, const char *name);
const char *fields_string(const struct json *object, const char *name);
bool fields_integer(const struct json *object, const char *name,
                    long long *);
bool fields_boolean(const struct json *object, const char *name);

/* In KiB. */
bool fields_size(const struct json *object, const char *name, uint64_t *);

/* The n-th string of a FIELD_STRINGS, null at the end. */
const char *fields_nth_string(const struct json *object, const char *name,
                              size_t n);

/* Is no part of 'json' nested deeper than 'max'? */
bool fields_depth_is_at_most(const struct json *, unsigned int max);

/* 'fields' as a JSON schema. */
struct json *fields_to_schema(const struct field fields[]);

#endif /* api/fields.h */
