#ifndef BENCH_MONITOR_H
#define BENCH_MONITOR_H 1

/* A QEMU's monitor, for code that has nothing else to do meanwhile: each
 * function waits, for at most MONITOR_TIMEOUT_MS, and returns ETIMEDOUT, or
 * EINTR if the benchmark is to end. */

#include <stdint.h>

#include "base/err.h"

#define MONITOR_TIMEOUT_MS 60000

struct json;
struct monitor;

/* Connects to the unix socket 'path' of a QEMU that may still be starting. */
int monitor_open(const char *path, struct monitor **, struct err *);
void monitor_close(struct monitor *);

/* Takes 'arguments', which may be null.  '*result' is the caller's; 'result'
 * may be null. */
int monitor_call(struct monitor *, const char *command,
                 struct json *arguments, struct json **result, struct err *);

/* The time (wall clock, in us) of the next event 'name'; others before it are
 * dropped. */
int monitor_wait_event(struct monitor *, const char *name,
                       long long *timestamp_us, struct err *);

#endif /* bench/monitor.h */
