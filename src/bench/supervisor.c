#include <config.h>
#include "bench/supervisor.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/lab.h"
#include "lab/state.h"
#include "openvswitch/util.h"
#include "probe/clock.h"
#include "util.h"

#define RESTART_NS INT64_C(1000000000)
#define MAX_PARTS 64

struct part {
    bool expected;              /* It will be killed, or it was. */
    int64_t dead;               /* Since when; 0: it lives. */
};

/* The state's processes, which keep their places, and what is known of
 * each. */
struct supervisor {
    char *lab;
    struct state *state;
    struct part parts[MAX_PARTS];
    size_t crashes;
    char crashed[64];
};

int
supervisor_create(const char *lab, struct supervisor **supervisorp,
                  struct err *err)
{
    struct supervisor *s = xzalloc(sizeof *s);

    int error = state_load(lab, false, &s->state, err);
    if (error) {
        free(s);
        return error;
    }
    s->lab = xstrdup(lab);
    ovs_assert(s->state->n_processes <= MAX_PARTS);
    *supervisorp = s;
    return 0;
}

void
supervisor_destroy(struct supervisor *s)
{
    if (s) {
        state_destroy(s->state);
        free(s->lab);
        free(s);
    }
}

void
supervisor_expect(struct supervisor *s, const char *node, const char *part)
{
    for (size_t i = 0; i < s->state->n_processes; i++) {
        const struct state_process *p = s->state->processes[i];

        if (!strcmp(p->node, node) && !strcmp(p->part, part)) {
            s->parts[i].expected = true;
        }
    }
}

static int
start(struct supervisor *s, size_t i, struct err *err)
{
    const struct state_process *p = s->state->processes[i];
    struct state *state;

    int error = lab_restart(s->lab, p->node, p->part, err);
    error = error ? error : state_load(s->lab, false, &state, err);
    if (!error) {
        state_destroy(s->state);
        s->state = state;
        s->parts[i] = (struct part) { .dead = 0 };
    }
    return error;
}

int
supervisor_run(struct supervisor *s, struct err *err)
{
    int64_t now = clock_now();
    int error = 0;

    for (size_t i = 0; i < s->state->n_processes && !error; i++) {
        const struct state_process *p = s->state->processes[i];
        struct part *part = &s->parts[i];

        if (!part->dead && p->id.pid && !process_is_alive(&p->id)) {
            part->dead = now;
            if (!part->expected) {
                s->crashes++;
                snprintf(s->crashed, sizeof s->crashed, "%s of %s", p->part,
                         p->node);
            }
        } else if (part->dead && now - part->dead >= RESTART_NS) {
            error = start(s, i, err);
        }
    }
    return error;
}

bool
supervisor_is_content(const struct supervisor *s)
{
    for (size_t i = 0; i < s->state->n_processes; i++) {
        if (s->parts[i].dead) {
            return false;
        }
    }
    return true;
}

size_t
supervisor_take_crashes(struct supervisor *s, char name[64])
{
    size_t n = s->crashes;

    ovs_strlcpy(name, s->crashed, 64);
    s->crashes = 0;
    return n;
}
