#ifndef BASE_FUZZ_H
#define BASE_FUZZ_H 1

/* A fuzz target: fuzz-NAME.c, beside the parser that it tries.
 *
 * Meson links it to fuzz-replay.c, so that it tries its corpus as a unit
 * test.  Configured with -Dfuzz=true, as "make fuzz" does, it is libFuzzer's
 * and looks for inputs that are not in the corpus.
 *
 * To add one, write fuzz-NAME.c, put some inputs into tests/corpus/ and a
 * test of the suite 'fuzz' into the folder's meson.build. */

#include <stddef.h>
#include <stdint.h>

/* Tries one input, and crashes if something is wrong.  'data' ends where a
 * sanitizer notices each byte that is read behind the end.  Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* base/fuzz.h */
