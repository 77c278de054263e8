#ifndef BENCH_DROPS_H
#define BENCH_DROPS_H 1

/* What switches lost by themselves: Open vSwitch's userspace datapath reads a
 * port through a packet socket, which overflows when the switch does not get
 * a processor in time.  "ss" counts these drops. */

#include <stdint.h>

#include "base/err.h"

/* Drops of all packet sockets in the output of "ss -0 -m -a", except those on
 * interfaces whose name is "mgmt" or "lo", which carry no probes.  Pure. */
uint64_t drops_parse(const char *text);

/* Counts them in 'netns'. */
int drops_count(const char *netns, uint64_t *, struct err *);

#endif /* bench/drops.h */
