#ifndef HYPERVISOR_PROVIDER_H
#define HYPERVISOR_PROVIDER_H 1

/* What a hypervisor driver implements.  Only implementers include this; the
 * rest of the tree uses hypervisor/hypervisor.h, which also says what each
 * function promises.
 *
 * Life cycle
 * ==========
 *
 * A driver embeds 'struct hypervisor' and gets back to itself with
 * CONTAINER_OF.  open() allocates it and may fail; close() may not.  Between
 * the two, run() is called in each turn of the main loop, with the time, and
 * wait() in each turn before the loop sleeps; the driver must register there
 * whatever would let one of its EINPROGRESS answers change.  A driver never
 * reads a clock: 'now' is what run() was told.
 *
 * adopt() is called until it returns 0 before any of the functions on VMs.
 *
 * A VM is in a driver's list from prepare(), boot(), listen() or adopt() to
 * destroy(), whatever becomes of its process meanwhile.  Each function on a VM
 * may be called at any time and in any order; one that makes no sense where
 * the VM is returns an error and changes nothing.  Functions on different VMs
 * do not disturb each other.  Several functions on one VM may be in progress
 * at once, as cancel() during send().
 *
 * Drivers survive the death of their process: whatever they need afterwards
 * is in the hypervisor or in the VM's folder before it is needed. */

#include "hypervisor/hypervisor.h"

struct hypervisor {
    const struct hypervisor_class *class;
    char *host;                 /* Name, for messages. */
    long long now;              /* Monotonic, in ms. */
};

struct hypervisor_class {
    const char *type;

    int (*open)(const struct hypervisor_config *, struct hypervisor **,
                struct err *);
    void (*close)(struct hypervisor *);
    void (*run)(struct hypervisor *);
    void (*wait)(struct hypervisor *);

    int (*adopt)(struct hypervisor *, struct err *);
    size_t (*list)(const struct hypervisor *, struct hypervisor_info **);
    bool (*next_event)(struct hypervisor *, struct hypervisor_event *);
    int (*query)(struct hypervisor *, const struct uuid *,
                 struct hypervisor_info *, struct err *);

    int (*prepare)(struct hypervisor *, const struct vm *, struct err *);
    int (*boot)(struct hypervisor *, const struct vm *, struct err *);
    int (*stop)(struct hypervisor *, const struct uuid *,
                unsigned int grace_ms, struct err *);
    int (*destroy)(struct hypervisor *, const struct uuid *, struct err *);

    /* Migration, the source's side. */
    int (*set_capture)(struct hypervisor *, const struct uuid *,
                       enum capture_mode, struct err *);
    struct capture *(*capture)(struct hypervisor *, const struct uuid *);
    int (*send)(struct hypervisor *, const struct uuid *,
                const struct migration_target *,
                const struct migration_limits *, struct copy_progress *,
                struct err *);
    int (*set_limits)(struct hypervisor *, const struct uuid *,
                      const struct migration_limits *, struct err *);
    int (*proceed)(struct hypervisor *, const struct uuid *, struct err *);
    int (*take_back)(struct hypervisor *, const struct uuid *, struct err *);
    int (*cancel)(struct hypervisor *, const struct uuid *, struct err *);

    /* The destination's. */
    int (*listen)(struct hypervisor *, const struct vm *, const char *source,
                  unsigned int rtt_us, struct migration_target *,
                  struct err *);
    int (*grant)(struct hypervisor *, const struct uuid *, struct err *);
};

extern const struct hypervisor_class qemu_class;

#endif /* hypervisor/hypervisor-provider.h */
