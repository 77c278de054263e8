#include <config.h>

#include "base/progress.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 30
#define CLEAR "\r\033[K"

void
progress_init(struct progress *p, FILE *stream)
{
    memset(p, 0, sizeof *p);
    p->stream = stream;
    p->terminal = stream && isatty(fileno(stream));
}

void
progress_finish(struct progress *p)
{
    if (p->open) {
        fputs(CLEAR, p->stream);
        fflush(p->stream);
        p->open = false;
    }
    p->text[0] = '\0';
}

static void
show(struct progress *p)
{
    p->percent = -1;
    if (p->terminal) {
        fprintf(p->stream, CLEAR "%s", p->text);
        p->open = true;
    } else {
        fprintf(p->stream, "%s\n", p->text);
    }
    fflush(p->stream);
}

void
progress_step(struct progress *p, const char *format, ...)
{
    char text[sizeof p->text];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (p->stream && strcmp(text, p->text)) {
        strcpy(p->text, text);
        show(p);
    }
}

void
progress_bar(struct progress *p, double fraction)
{
    char bar[BAR_WIDTH + 1];

    fraction = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;

    int percent = 100 * fraction;
    if (!p->terminal || percent == p->percent) {
        return;
    }
    p->percent = percent;
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', (size_t) (fraction * BAR_WIDTH));
    bar[BAR_WIDTH] = '\0';
    fprintf(p->stream, CLEAR "%s [%s] %3d%%", p->text, bar,
            percent);
    fflush(p->stream);
    p->open = true;
}

void
progress_say(struct progress *p, const char *format, ...)
{
    va_list args;

    if (!p->stream) {
        return;
    }
    if (p->open) {
        fputs(CLEAR, p->stream);
    }
    va_start(args, format);
    vfprintf(p->stream, format, args);
    va_end(args);
    fputc('\n', p->stream);
    if (p->open) {
        fputs(p->text, p->stream);
    }
    fflush(p->stream);
}
