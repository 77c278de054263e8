#include <config.h>

#include "lab/down.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/netns.h"
#include "base/process.h"
#include "lab/lab.h"
#include "lab/machine.h"

/* A process that we end may have begun another one meanwhile. */
#define ROUNDS 50

/* Ends everything that runs inside 'netns': what the lab started is there,
 * and so is what that started, such as QEMU. */
static int
end_inside(const char *netns, struct err *err)
{
    for (int round = 0; round < ROUNDS; round++) {
        bool any = false;
        pid_t *pids;

        size_t n = netns_processes(netns, &pids);
        for (size_t i = 0; i < n; i++) {
            struct process_id id = process_identify(pids[i]);

            if (pids[i] != getpid() && process_is_alive(&id)) {
                any = true;
                int error = process_end(&id, 0, err);
                if (error) {
                    free(pids);
                    return error;
                }
            }
        }
        free(pids);
        if (!any) {
            return 0;
        }
    }
    return err_set(err, EBUSY, "processes in namespace %s do not end",
                   netns);
}

int
down_all(struct state *state, struct err *err)
{
    int error = 0;

    /* Who would notice that the others go, goes first. */
    for (size_t i = state->n_processes; !error && i-- > 0; ) {
        error = process_end(&state->processes[i]->id, 0, err);
    }
    for (size_t i = 0; !error && i < state->netns.n; i++) {
        error = end_inside(state->netns.names[i], err);
    }
    for (size_t i = 0; !error && i < state->netns.n; i++) {
        error = netns_delete(state->netns.names[i], err);
    }
    error = error ? error : state_remove(state, err);
    return error ? error : machine_restore(err);
}

int
lab_down(const char *lab, struct progress *progress, struct err *err)
{
    struct state *state;
    char *only = NULL;

    if (geteuid()) {
        return err_set(err, EPERM, "labs need root; try sudo");
    }
    if (!lab) {
        int error = state_find_only(&only, err);
        if (error) {
            return error;
        }
        lab = only;
    }

    int error = state_load(lab, true, &state, err);
    if (!error) {
        progress_step(progress, "taking down lab %s", lab);
        error = down_all(state, err);
        state_destroy(state);
    }
    free(only);
    return error;
}
