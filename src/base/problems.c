#include <config.h>

#include "base/problems.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

void
problems_init(struct problems *p)
{
    ds_init(&p->text);
    p->n = 0;
}

void
problems_finish(struct problems *p)
{
    ds_destroy(&p->text);
}

void
problems_add(struct problems *p, const char *format, ...)
{
    if (p->n++ < PROBLEMS_MAX) {
        va_list args;

        if (p->text.length) {
            ds_put_char(&p->text, '\n');
        }
        va_start(args, format);
        ds_put_format_valist(&p->text, format, args);
        va_end(args);
    }
}

const char *
problems_text(struct problems *p)
{
    if (p->n > PROBLEMS_MAX) {
        ds_put_format(&p->text, "\nand %zu more problems",
                      p->n - PROBLEMS_MAX);
        p->n = PROBLEMS_MAX;
    }
    return ds_cstr(&p->text);
}

int
problems_result(const struct problems *p, struct err *err)
{
    if (!p->n) {
        return 0;
    }

    const char *text = p->text.string;
    int len = strcspn(text, "\n");
    if (p->n == 1) {
        return err_set(err, EINVAL, "%.*s", len, text);
    }
    return err_set(err, EINVAL, "%.*s (and %zu more)", len, text,
                   p->n - 1);
}
