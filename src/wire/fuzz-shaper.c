/* Fuzzing of shape_parse(): what it takes, it can also say, and the
 * arithmetic stands it. */
#include "wire/shaper.h"

#include <stdlib.h>
#include <string.h>

#include "base/fuzz.h"

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
