#ifndef WIRE_CONTROL_H
#define WIRE_CONTROL_H 1

/* Orders for a running wire, as lines in datagrams to a unix socket:
 *
 *      there SPEC          shape the first direction anew (see shaper.h)
 *      back SPEC           shape the second direction anew
 *      cut [there|back]    drop all frames, also those under way
 *      heal [there|back]   end of the cut
 *      stats               say the counters
 *
 * Each line is answered with a datagram if its sender has an address: "ok",
 * the counters, or a sentence that says what is wrong. */

#include "base/err.h"
#include "wire/lane.h"

#define CONTROL_MAX_DATAGRAM 1024

struct control;

/* Opens the socket at 'path', replacing a socket that is there already. */
int control_open(const char *path, struct control **, struct err *);
void control_close(struct control *);

int control_fd(const struct control *);

/* Obeys what has arrived.  'lanes' are there and back. */
void control_run(struct control *, struct lane *lanes[2]);

/* Writes the counters of 'lanes' into 'buf', a line each. */
void control_format_counters(struct lane *lanes[2], char *buf, size_t size);

#endif /* wire/control.h */
