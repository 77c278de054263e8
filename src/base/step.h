#ifndef BASE_STEP_H
#define BASE_STEP_H 1

/* Step tables: long procedures, written as data.
 *
 * A procedure that takes longer than one turn of the main loop and that can
 * be interrupted anywhere is an array of steps.  A step function never
 * blocks.  It looks at the world, does what is missing, and answers
 * STEP_WAIT until the world is as the step promises.  Waiting, retrying and
 * resuming after a crash are the same thing: it is called again.
 *
 * Up to the commit step a failure runs the undo functions backwards, first
 * the failed step's own, because it may have done half of its work.  Behind
 * the commit step, and in undo, a failure is retried until the timeout.  Who
 * runs out of time there, or in the commit step itself, cannot know which
 * side holds the truth: the procedure is stuck and waits for a person.
 *
 *      FORWARD 0 -> FORWARD 1 -> ... -> FORWARD n-1 -> FINISHED
 *          |            |   \
 *          v            v    `-> STUCK (commit step or later)
 *      BACK 0    <- BACK 1 <- ...
 *          |            \
 *          v             `-> STUCK (undo gave up)
 *      UNDONE
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum step_result {
    STEP_DONE,
    STEP_WAIT,                  /* Not yet; call again. */
    STEP_FAILED,                /* '*err' says why. */
    STEP_UNKNOWN,               /* Nobody can tell (any more): stuck. */
};

typedef enum step_result step_func(void *aux, struct err *err);

struct step {
    const char *name;           /* In the store, the log and the display. */
    step_func *run;
    step_func *undo;            /* Null if there is nothing to undo. */
    int timeout_ms;             /* For 'run', and again for 'undo'. */
    bool commit;                /* True for exactly one step. */
};

enum step_mode {
    STEP_FORWARD,               /* Running 'steps[at]'. */
    STEP_BACK,                  /* Undoing 'steps[at]'. */
    STEP_FINISHED,              /* Everything is done. */
    STEP_UNDONE,                /* Back where it began; see 'cause'. */
    STEP_STUCK,                 /* A person has to decide; see 'cause'. */
};

/* The part of a run that survives a crash. */
struct step_mark {
    enum step_mode mode;
    size_t at;
};

struct step_run {
    const struct step *steps;
    size_t n_steps;
    void *aux;                  /* For the functions. */

    /* Makes 'mark' durable and returns true once it is; called again until
     * then.  No step function runs before its mark is durable. */
    bool (*save)(void *aux, struct step_mark mark);

    struct step_mark mark;
    bool saved;                 /* Is 'mark' durable? */
    long long started;          /* Of the current step, in ms; 0: not yet. */
    struct err cause;           /* What went wrong first. */
};

/* Takes 'run' as far as it goes without waiting, at time 'now' in ms.
 * Returns true once it has ended, in one of the last three modes. */
bool step_run(struct step_run *run, long long now);

/* Has 'run' passed its commit step? */
bool step_is_committed(const struct step_run *run);

/* Fails the current step for 'cause' from outside, as a user who cancels.
 * Only before the commit step: returns false, and changes nothing, from the
 * commit step on and while undoing. */
bool step_cancel(struct step_run *run, const struct err *cause);

/* It is known now how to go on with a 'run' that is stuck: with its current
 * step, or with undoing that.  Nothing happens to one that is not stuck. */
void step_resolve(struct step_run *run, bool forward);

#endif /* base/step.h */
