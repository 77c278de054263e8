#ifndef BASE_UNITS_H
#define BASE_UNITS_H 1

/* Quantities as people write them.
 *
 * A quantity is a decimal number, possibly with a fraction, and a unit right
 * behind it or after one space.  A unit may be left out only for 0 and for
 * sizes, which are then bytes.  All functions return EINVAL for anything
 * else, also where the value would overflow. */

#include <stdint.h>

#include "base/err.h"

/* "256M", "8GiB": powers of 1024 throughout, bytes. */
int units_parse_size(const char *text, uint64_t *bytes, struct err *);

/* "5ms", "1.5 s": us, ms, s, min; microseconds. */
int units_parse_duration(const char *text, uint64_t *us, struct err *);

/* "1gbit", "800 kbit": bit, kbit, mbit, gbit, powers of 1000; bits/s. */
int units_parse_rate(const char *text, uint64_t *bits, struct err *);

/* "0.1%", 0 to 100; parts in a million. */
int units_parse_percent(const char *text, uint64_t *ppm, struct err *);

#define UNITS_STRLEN 24

/* The shortest form, such as "1.5 MiB".  Return 'buf'. */
char *units_format_size(uint64_t bytes, char buf[UNITS_STRLEN]);
char *units_format_ms(double ms, char buf[UNITS_STRLEN]);

#endif /* base/units.h */
