#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
err_set(struct err *err, int code, const char *format, ...)
{
    if (err) {
        struct err new = { .code = code };
        va_list args;

        va_start(args, format);
        vsnprintf(new.text, sizeof new.text, format, args);
        va_end(args);
        *err = new;             /* The arguments may point into '*err'. */
    }
    return code;
}

int
err_add(struct err *err, int code, const char *format, ...)
{
    if (err) {
        struct err new = { .code = code };
        va_list args;

        va_start(args, format);
        vsnprintf(new.text, sizeof new.text, format, args);
        va_end(args);

        size_t n = strlen(new.text);
        snprintf(new.text + n, sizeof new.text - n, ": %s", err->text);
        *err = new;
    }
    return code;
}
