#ifndef BENCH_ARENA_H
#define BENCH_ARENA_H 1

/* The lab in which VMs are moved for a benchmark.
 *
 *      tokyo: t1               osaka: o1               nagoya: n1
 *      web1 (at first)         (web2)                  (web3) store, manager
 *      near 10.255.0.21        far 10.255.0.22         third 10.255.0.23
 *         `----- DELAY ----- core ----- DELAY -----------'
 *
 * A correspondent is a namespace behind its host's switch. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/progress.h"
#include "bench/move.h"
#include "bench/watch.h"
#include "lab/plan.h"

struct arena;
struct json;

#define ARENA_VM "web1"         /* The first. */
#define ARENA_VM_ADDRESS "10.255.0.11"
#define ARENA_MAX_VMS 3
#define ARENA_N_CORRESPONDENTS 3
#define ARENA_N_HOSTS 3
#define ARENA_THIRD 2           /* The one whose site the VM never visits. */

extern const char *const arena_correspondents[ARENA_N_CORRESPONDENTS];
extern const char *const arena_addresses[ARENA_N_CORRESPONDENTS];
extern const char *const arena_hosts[ARENA_N_HOSTS];
extern const char *const arena_vms[ARENA_MAX_VMS];
extern const char *const arena_vm_addresses[ARENA_MAX_VMS];

struct arena_config {
    const char *lab;            /* Its name. */
    const char *folder;         /* For the lab file; exists. */
    double delay_ms;            /* Of each site's link, one way. */
    unsigned int memory_mib;    /* Of each VM. */
    size_t n_vms;               /* 0: only ARENA_VM. */
    bool test_faults;           /* Agents have fault points; see harm.h. */
    bool tls;                   /* Its programs have certificates. */
    bool store_cluster;         /* The store has a server at each site. */
    struct progress *progress;
};

/* Brings the lab up. */
int arena_create(const struct arena_config *, struct arena **, struct err *);

/* Takes it down, unless it is to be kept.  Accepts null. */
void arena_destroy(struct arena *, bool keep);

/* Takes down the lab of this name, if there is one. */
void arena_sweep(const char *lab, struct progress *);

/* Its lab's name. */
const char *arena_lab(const struct arena *);

/* The namespace of a correspondent or host; valid as long as the arena. */
const char *arena_netns(const struct arena *, const char *node);

/* The namespace of the router of the i-th host's site. */
char *arena_router_netns(const struct arena *, size_t host,
                         char buf[PLAN_NETNS_LEN]);

/* From where to watch the VM, with records in 'folder'. */
void arena_put_place(const struct arena *, const char *folder,
                     struct watch_place *);

/* The address of the i-th host for migration streams. */
const char *arena_stream_address(const struct arena *, size_t host);

/* Where a VM is, as the manager says: an index into arena_hosts.  VMs are
 * indexes into arena_vms. */
int arena_where(struct arena *, size_t vm, size_t *host, struct err *);

/* What a VM's QEMU has: machine type, CPU model, memory; and its "uuid". */
int arena_guest(struct arena *, size_t vm, struct json **, struct err *);

/* Does the VM run with KVM? */
bool arena_has_kvm(struct arena *);

/* Asks for a move of a VM to 'host' and stores its name in '*id', for the
 * caller to free. */
int arena_begin_move(struct arena *, size_t vm, const char *host,
                     const struct move_limits *, char **id, struct err *);

/* How it is now, or was at its end; '*migration' is the caller's. */
int arena_look(struct arena *, const char *id, struct json **migration,
               struct err *);
int arena_wait_move(struct arena *, const char *id, struct json **migration,
                    struct err *);

/* Waits until the copy is under way. */
int arena_wait_copy(struct arena *, const char *id, struct err *);
int arena_cancel_move(struct arena *, const char *id, struct err *);

/* Asks that ARENA_VM, which has ended, be started again. */
int arena_start_vm(struct arena *, struct err *);

/* A VM's QEMU on 'host'; 0 if there is none. */
pid_t arena_find_qemu(const struct arena *, size_t vm, const char *host);

/* Kills a VM's QEMU on 'host'. */
int arena_kill_qemu(struct arena *, size_t vm, const char *host,
                    struct err *);

/* Restarts a part of the lab and waits until the manager knows the VM. */
int arena_restart(struct arena *, const char *node, const char *part,
                  struct err *);

/* Drops of the switches' sockets so far, on all hosts. */
int arena_count_drops(struct arena *, uint64_t *, struct err *);

#endif /* bench/arena.h */
