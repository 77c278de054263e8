#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H 1

/* What a long command is doing, for the person who waits.
 *
 * On a terminal, one line that is rewritten; otherwise a line for each step,
 * without bars.  It goes to stderr, so that results on stdout stay clean. */

#include <stdbool.h>
#include <stdio.h>

struct progress {
    FILE *stream;               /* Null: quiet. */
    bool terminal;
    bool open;                  /* Is an unfinished line on the terminal? */
    char text[160];             /* Of the step. */
    int percent;                /* Of the bar, as it is shown. */
};

void progress_init(struct progress *, FILE *stream);

/* Ends the line, if one is open. */
void progress_finish(struct progress *);

/* Begins the next step; the same text again changes nothing. */
void progress_step(struct progress *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How far the step is, 0..1, on a terminal only. */
void progress_bar(struct progress *, double fraction);

/* A line by itself. */
void progress_say(struct progress *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif /* base/progress.h */
