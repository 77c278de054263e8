/* Fuzzing of shape_parse(): what it takes, it can also say, and the
 * arithmetic stands it.
 *
 *      clang -fsanitize=fuzzer,address,undefined ... fuzz-shaper.c
 *
 * With FUZZ_REPLAY it is a program that tries the seeds below, with every
 * byte changed to every value. */
#include "wire/shaper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *spec = strndup((const char *) data, size);
    struct shape a, b;

    if (!shape_parse(spec, &a, NULL)) {
        char text[160];
        struct shaper shaper;
        int64_t due, last = INT64_MIN;

        shape_format(&a, text, sizeof text);
        if (shape_parse(text, &b, NULL) || memcmp(&a, &b, sizeof a)) {
            abort();
        }
        shaper_init(&shaper, &a, 1);
        for (int64_t t = 0; t < 100; t++) {
            if (shaper_admit(&shaper, t, 1500, &due) == SHAPER_PASS) {
                if (due < t || due < last) {
                    abort();
                }
                last = due;
            }
        }
    }
    free(spec);
    return 0;
}

#ifdef FUZZ_REPLAY
int
main(void)
{
    static const char *const seeds[] = {
        "", "delay=5ms", "delay=5ms,jitter=1ms,loss=0.1%,rate=1gbit",
        "rate=8kbit,queue=1000000,loss=0%", "delay=1.5s,jitter=10us",
    };

    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        size_t n = strlen(seeds[i]);
        uint8_t data[128];

        for (size_t k = 0; k <= n; k++) {
            LLVMFuzzerTestOneInput((const uint8_t *) seeds[i], k);
            for (int byte = 0; byte < 256 && k < n; byte++) {
                memcpy(data, seeds[i], n);
                data[k] = byte;
                LLVMFuzzerTestOneInput(data, n);
            }
        }
    }
    return 0;
}
#endif
