#ifndef BASE_HANGUP_H
#define BASE_HANGUP_H 1

/* SIGHUP, for a loop. */

#include <stdbool.h>

/* From now on the signal ends the process no more.  Once for a process. */
void hangup_init(void);

/* Has it come since the last call? */
bool hangup_poll(void);
void hangup_wait(void);

#endif /* base/hangup.h */
