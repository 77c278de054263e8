#include <config.h>
#include "bench/drops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

#define SS_TIMEOUT_MS 5000

static bool
carries_probes(const char *interface)
{
    return strcmp(interface, "mgmt") && strcmp(interface, "lo");
}

/*
 * p_raw UNCONN 0 0   *:wan   *   skmem:(r0,rb212992,...,bl0,d17)
 */
uint64_t
drops_parse(const char *text)
{
    char *copy = xstrdup(text), *state = NULL;
    uint64_t sum = 0;

    for (char *line = strtok_r(copy, "\n", &state); line;
         line = strtok_r(NULL, "\n", &state)) {
        char interface[64];
        unsigned long long drops;
        const char *memory = strstr(line, "skmem:(");
        const char *d = memory ? strstr(memory, ",d") : NULL;

        if (d && sscanf(line, "%*s %*s %*s %*s %*[^:]:%63s", interface) == 1
            && carries_probes(interface)
            && sscanf(d, ",d%llu", &drops) == 1) {
            sum += drops;
        }
    }
    free(copy);
    return sum;
}

int
drops_count(const char *netns, uint64_t *drops, struct err *err)
{
    char *argv[] = { "ss", "-0", "-m", "-a", "-O", "-H", NULL };
    struct process_spec spec = { .argv = argv, .netns = netns };
    struct ds text = DS_EMPTY_INITIALIZER;

    int error = process_run(&spec, NULL, SS_TIMEOUT_MS, &text, err);
    if (!error) {
        *drops = drops_parse(ds_cstr(&text));
    }
    ds_destroy(&text);
    return error;
}
