#include "base/roff.h"

#include <stdbool.h>
#include <stdio.h>

void
roff_put(const char *text)
{
    bool begin = true;

    for (; *text; text++) {
        if (begin && (*text == '.' || *text == '\'')) {
            fputs("\\&", stdout);
        }
        if (*text == '-') {
            fputs("\\-", stdout);
        } else if (*text == '\\') {
            fputs("\\e", stdout);
        } else {
            putchar(*text);
        }
        begin = *text == '\n';
    }
}

void
roff_put_heading(const char *name, int section, const char *version,
                 const char *what)
{
    printf(".TH %s %d \"\" \"Watari %s\" \"Watari\"\n.SH NAME\n", name,
           section, version);
    roff_put(name);
    printf(" \\- ");
    roff_put(what);
    putchar('\n');
}
