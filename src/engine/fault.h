#ifndef ENGINE_FAULT_H
#define ENGINE_FAULT_H 1

/* Fault points: named places in a migration at which a test can hold or kill
 * its source's agent.
 *
 * A point is a question that a step asks each time it comes by: may I go on?
 * Without faults, that is, with a null pointer, the answer is always yes.
 *
 *      nothing --set hold--> set --comes by--> held --release--> nothing
 *      nothing --set kill--> set --comes by--> SIGKILL
 *
 * What holds is the agent's step only: QEMU, other agents and the rest of the
 * agent go on.  A guest that stands still before the switchover is let run
 * again, by the watchdog of its QEMU, after 2 s. */

#include <stdbool.h>

#include "base/err.h"

struct ds;
struct fault;

/* To add a point, write its row and ask fault_pass() where it is. */
#define FAULT_POINTS \
    POINT(COPY, "copy", "memory is being copied, the guest runs") \
    POINT(STOP, "stop", \
          "the guest has stopped, its correspondents have been told") \
    POINT(PRE_SWITCHOVER, "pre-switchover", \
          "the guest has stopped, migrate-continue has not been sent") \
    POINT(CONTINUED, "continued", \
          "migrate-continue has been sent, its end has not been seen") \
    POINT(GRANTED, "granted", \
          "the grant has been sent, its answer has not been seen")

enum fault_point {
#define POINT(POINT, NAME, HELP) FAULT_##POINT,
    FAULT_POINTS
#undef POINT
    N_FAULT_POINTS
};

struct fault *fault_create(void);
void fault_destroy(struct fault *);

/* What is to happen at 'point': "hold", "kill", or "off".  EINVAL, with the
 * names that there are, if one of the two is unknown. */
int fault_set(struct fault *, const char *point, const char *action,
              struct err *);

/* Lets go what is held, which is "off" from then on.  False if nothing is. */
bool fault_release(struct fault *);

/* A line for each point: its name, its state ("off", "hold", "kill", or
 * "held") and what it is. */
void fault_format(const struct fault *, struct ds *);

/* A step has come to 'point': may it go on?  If not, it is to answer
 * STEP_WAIT.  True for a null pointer. */
bool fault_pass(struct fault *, enum fault_point);

#endif /* engine/fault.h */
