#include "bench/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#define TICK_MS 20

static volatile sig_atomic_t interrupted;

static void
on_signal(int sig)
{
    interrupted = 1;
}

void
interrupt_catch(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

bool
interrupt_pending(void)
{
    return interrupted;
}

int
interrupt_check(struct err *err)
{
    return interrupted ? err_set(err, EINTR, "interrupted") : 0;
}

int
interrupt_sleep(int ms, struct err *err)
{
    for (; ms > 0 && !interrupted; ms -= TICK_MS) {
        int tick = ms < TICK_MS ? ms : TICK_MS;
        struct timespec t = { 0, tick * 1000000L };

        nanosleep(&t, NULL);
    }
    return interrupt_check(err);
}
