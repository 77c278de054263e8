#ifndef BENCH_PROBER_H
#define BENCH_PROBER_H 1

/* Runs watari-probe in the namespaces of correspondents, and reads what it
 * recorded.  Probes run at a raised priority: one that has to wait for a
 * processor measures its own waiting. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "bench/child.h"
#include "probe/record.h"

#define PROBER_NICE (-10)
#define PROBER_MAX 8

enum prober_kind { PROBER_UDP, PROBER_DOWNLOAD, PROBER_IDLE };

struct prober_spec {
    const char *name;           /* Also of its files. */
    const char *netns;
    enum prober_kind kind;
    const char *address;        /* Whom it asks. */
    unsigned int rate;          /* Download: bytes a second. */
    unsigned int interval_ms;   /* Of others; 0: UDP 1, idle 20. */
};

struct prober;

/* Starts 'n' probes, which write to 'folder', and returns when they ask. */
int prober_start(const struct prober_spec *, size_t n, const char *folder,
                 struct prober **, struct err *);

/* Ends them and loads their records. */
int prober_stop(struct prober *, struct err *);

/* Does the i-th still ask?  It ends by itself when its connection breaks. */
bool prober_is_alive(struct prober *, size_t i);

/* Accepts null; ends probes that still run. */
void prober_destroy(struct prober *);

/* The record of the i-th, after prober_stop(). */
const struct record *prober_record(const struct prober *, size_t i);

/* An echo on UDP port 7 in 'netns', for probes of guests. */
int prober_start_echo(const char *netns, const char *folder, struct child *,
                      struct err *);

#endif /* bench/prober.h */
