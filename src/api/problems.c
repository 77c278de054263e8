#include <config.h>

#include "api/problems.h"

#include <stdarg.h>
#include <stdlib.h>

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
