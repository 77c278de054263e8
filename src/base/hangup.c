#include <config.h>

#include "base/hangup.h"

#include <signal.h>

#include "latch.h"
#include "signals.h"

/* A signal is the process's, and so is this. */
static struct latch latch;

static void
handle(int signum OVS_UNUSED)
{
    latch_set(&latch);          /* Only writes to a pipe. */
}

void
hangup_init(void)
{
    struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };

    latch_init(&latch);
    sigemptyset(&action.sa_mask);
    xsigaction(SIGHUP, &action, NULL);
}

bool
hangup_poll(void)
{
    return latch_poll(&latch);
}

void
hangup_wait(void)
{
    latch_wait(&latch);
}
