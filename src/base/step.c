#include <config.h>

#include "base/step.h"

#include <errno.h>

static void step_go(struct step_run *, enum step_mode, size_t at);
static void step_succeed(struct step_run *);
static void step_fail(struct step_run *, const struct err *, bool unknown);

bool
step_run(struct step_run *run, long long now)
{
    for (;;) {
        if (!run->saved) {
            run->saved = run->save(run->aux, run->mark);
            if (!run->saved) {
                return false;
            }
        }
        if (run->mark.mode > STEP_BACK) {
            return true;
        }

        const struct step *step = &run->steps[run->mark.at];
        bool forward = run->mark.mode == STEP_FORWARD;
        bool must_succeed = !forward || step_is_committed(run);
        step_func *func = forward ? step->run : step->undo;
        struct err err = ERR_INIT;

        if (!run->started) {
            run->started = now;
        }
        enum step_result result = func ? func(run->aux, &err) : STEP_DONE;
        if (result == STEP_DONE) {
            step_succeed(run);
            continue;
        }

        bool retry = (result == STEP_WAIT
                      || (result == STEP_FAILED && must_succeed));
        if (retry && now < run->started + step->timeout_ms) {
            return false;
        }
        if (!err.code) {
            err_set(&err, ETIMEDOUT, "%s: no result within %d ms",
                    step->name, step->timeout_ms);
        }
        step_fail(run, &err,
                  must_succeed || (step->commit && result != STEP_FAILED));
    }
}

bool
step_is_committed(const struct step_run *run)
{
    for (size_t i = 0; i < run->mark.at; i++) {
        if (run->steps[i].commit) {
            return true;
        }
    }
    return false;
}

bool
step_cancel(struct step_run *run, const struct err *cause)
{
    if (run->mark.mode != STEP_FORWARD || step_is_committed(run)
        || run->steps[run->mark.at].commit) {
        return false;
    }
    step_fail(run, cause, false);
    return true;
}

void
step_resolve(struct step_run *run, bool forward)
{
    if (run->mark.mode == STEP_STUCK) {
        step_go(run, forward ? STEP_FORWARD : STEP_BACK, run->mark.at);
    }
}

static void
step_fail(struct step_run *run, const struct err *err, bool unknown)
{
    if (!run->cause.code) {
        run->cause = *err;
    }
    step_go(run, unknown ? STEP_STUCK : STEP_BACK, run->mark.at);
}

static void
step_succeed(struct step_run *run)
{
    size_t at = run->mark.at;

    if (run->mark.mode == STEP_FORWARD) {
        bool last = at + 1 == run->n_steps;
        step_go(run, last ? STEP_FINISHED : STEP_FORWARD, at + !last);
    } else {
        step_go(run, at ? STEP_BACK : STEP_UNDONE, at - !!at);
    }
}

static void
step_go(struct step_run *run, enum step_mode mode, size_t at)
{
    run->mark = (struct step_mark) { mode, at };
    run->saved = false;
    run->started = 0;
}
