#ifndef HYPERVISOR_QEMU_WATCHDOG_H
#define HYPERVISOR_QEMU_WATCHDOG_H 1

/* The agent's end of watari-watchdog: a child that outlives us and cancels a
 * migration that nobody drives any more.  watchdog.c says when. */

#include <stdbool.h>

#include "base/err.h"
#include "openvswitch/list.h"

struct watchdog;

/* What the two say to each other, a line each. */
#define WATCHDOG_READY "ready"          /* It has its session. */
#define WATCHDOG_ASIDE "aside"          /* We go on; it looks only whether
                                         * we live. */

/* A guest must not stand still for longer, in ms. */
#define WATCHDOG_PATIENCE_MS 2000

/* Starts 'program' for the QEMU whose second QMP socket is 'path'. */
int watchdog_start(const char *program, const char *path, struct watchdog **,
                   struct err *);

/* 0 when it watches, EINPROGRESS before that, ECHILD if it has ended. */
int watchdog_status(struct watchdog *, struct err *);
void watchdog_wait(struct watchdog *);

/* From now on the migration can only go forward. */
void watchdog_stand_aside(struct watchdog *);

/* Lets go of it: it ends by itself when there is nothing to watch.  It is put
 * into 'old' until it can be reaped.  Accepts null. */
void watchdog_release(struct watchdog *, struct ovs_list *old);
void watchdogs_reap(struct ovs_list *old);

/* Forgets them all, ended or not. */
void watchdogs_forget(struct ovs_list *old);

#endif /* hypervisor/qemu-watchdog.h */
