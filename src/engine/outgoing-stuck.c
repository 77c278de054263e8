#include <config.h>

#include "engine/outgoing-private.h"

#include <errno.h>

#include "util.h"
#include "uuid.h"

#include "engine/engine-private.h"
#include "engine/move.h"
#include "engine/outgoing.h"
#include "hypervisor/hypervisor.h"
#include "store/migrations.h"

/* A migration that is stuck: the grant has gone, and the destination has not
 * said what became of it, so the guest may run there.  It waits for whoever
 * knows: the destination, if it is there again, or a person. */

static void
go_on(struct outgoing *o, bool forward)
{
    step_resolve(&o->run, forward);
    o->over = false;
    o->row.finished = 0;
}

/* QEMU has sent everything, whatever we have forgotten in a crash. */
static void
set_sent(struct outgoing *o)
{
    o->armed = o->opened = o->flipped = o->paused = true;
    o->proceeded = o->granted = true;
}

/* It runs there. */
static void
go_forward(struct outgoing *o)
{
    set_sent(o);
    o->running = true;
    o->run.cause = (struct err) ERR_INIT;
    go_on(o, true);
}

/* It does not: what 'move' does about a refusal. */
static void
go_back(struct outgoing *o)
{
    struct hypervisor_info info;

    if (outgoing_steps[o->run.mark.at].run == move_run
        && engine_find_info(o->engine, &o->vm.uuid, &info)
        && info.state == VM_SENT) {
        set_sent(o);
        go_on(o, true);
    } else {
        o->flipped = true;      /* Perhaps; taking it back does no harm. */
        go_on(o, false);
    }
}

static void
decide(struct outgoing *o, const struct uuid *runs_on)
{
    struct engine *e = o->engine;
    bool left = (step_is_committed(&o->run)
                 || outgoing_steps[o->run.mark.at].run == move_run);

    o->decided = *runs_on;
    if (uuid_equals(runs_on, &e->c.host) && !step_is_committed(&o->run)) {
        engine_note(e, "migration", o->vm.name, false,
                    "somebody has said that \"%s\" runs on %s", o->vm.name,
                    e->c.name);
        err_set(&o->refused, ECANCELED, "somebody has said that it does not "
                "run on %s", o->destination_name);
        go_back(o);
    } else if (uuid_equals(runs_on, &o->destination) && left) {
        engine_note(e, "migration", o->vm.name, false,
                    "somebody has said that \"%s\" runs on %s", o->vm.name,
                    o->destination_name);
        go_forward(o);
    } else {
        engine_note(e, "migration", o->vm.name, true,
                    "\"%s\" cannot run where somebody has said: it has %s",
                    o->vm.name, left ? "arrived" : "not left");
    }
}

void
outgoing_run_stuck(struct outgoing *o)
{
    struct engine *e = o->engine;
    bool in_move = outgoing_steps[o->run.mark.at].run == move_run;
    struct migration row;

    if (in_move) {
        /* It may have been lost, or what we did about the answer failed.  Who
         * has it already answers again. */
        if (e->now_ms >= o->asked_ms + OUTGOING_ASK_MS) {
            o->asked_ms = e->now_ms;
            o->said_grant = 0;
        }
        move_say_grant(o);
    }
    if (in_move && o->running) {
        go_forward(o);
    } else if (in_move && o->refused.code) {
        go_back(o);
    } else if (!migrations_get(e->c.store, &o->migration, &row, NULL)
               && !uuid_is_zero(&row.runs_on)
               && !uuid_equals(&row.runs_on, &o->decided)) {
        decide(o, &row.runs_on);
    }
}
