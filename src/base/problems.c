#include <config.h>

#include "base/problems.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "openvswitch/dynamic-string.h"
#include "util.h"

void
problems_finish(struct problems *problems)
{
    for (size_t i = 0; i < MIN(problems->n, PROBLEMS_MAX); i++) {
        free(problems->texts[i]);
    }
    free(problems->texts);
    *problems = (struct problems) PROBLEMS_INIT;
}

void
problems_add(struct problems *problems, const char *format, ...)
{
    va_list args;

    if (problems->n < PROBLEMS_MAX) {
        if (!problems->texts) {
            problems->texts = xcalloc(PROBLEMS_MAX, sizeof *problems->texts);
        }
        va_start(args, format);
        problems->texts[problems->n] = xvasprintf(format, args);
        va_end(args);
    }
    problems->n++;
}

char *
problems_format(const struct problems *problems)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < MIN(problems->n, PROBLEMS_MAX); i++) {
        ds_put_format(&ds, "%s%s", i ? "\n" : "", problems->texts[i]);
    }
    if (problems->n > PROBLEMS_MAX) {
        ds_put_format(&ds, "\nand %zu more problems",
                      problems->n - PROBLEMS_MAX);
    }
    return ds_steal_cstr(&ds);
}

int
problems_result(const struct problems *problems, struct err *err)
{
    if (!problems->n) {
        return 0;
    }
    return (problems->n == 1
            ? err_set(err, EINVAL, "%s", problems->texts[0])
            : err_set(err, EINVAL, "%s (and %zu more)", problems->texts[0],
                      problems->n - 1));
}
