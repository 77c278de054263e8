#ifndef LAB_DOWN_H
#define LAB_DOWN_H 1

/* Taking a lab down. */

#include "base/err.h"
#include "lab/state.h"

/* Ends and removes everything that 'state' records, and whatever runs in its
 * namespaces. */
int down_all(struct state *, struct err *);

#endif /* lab/down.h */
