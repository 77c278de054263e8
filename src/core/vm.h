#ifndef CORE_VM_H
#define CORE_VM_H 1

/* VMs and what belongs to them: interfaces, networks, bindings.
 *
 * These are values: no pointers, copied by assignment, compared by UUID.
 * The store's rows become such values where they enter the agent. */

#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/types.h"
#include "openvswitch/uuid.h"

#include "core/addr.h"
#include "core/generation.h"

#define NAME_LEN 63             /* Of everything that has a name. */
#define VM_MAX_NICS 8

enum network_mode { NETWORK_REWRITE, NETWORK_OVERLAY, NETWORK_ANCHOR,
                    NETWORK_READDRESS };

struct network {
    struct uuid uuid;
    char name[NAME_LEN + 1];
    uint32_t id;                /* 24 bits, not 0. */
    enum network_mode mode;
    struct prefix prefix[N_ADDR_FAMILIES];  /* 'addr' none: not this one. */
    struct addr_pair gateway;   /* What guests use as their router. */
};

struct interface {
    struct uuid uuid;
    struct uuid network;
    uint32_t network_id;
    struct eth_addr mac;
    struct addr_pair home;      /* What others use. */
    struct addr_pair inside;    /* What the guest has; same but for clones. */
};

/* (interface, generation) -> (host, mobile addresses).  Only its host writes
 * it.  A prepared binding says where packets may soon come from; an active
 * one also says where packets go. */
struct binding {
    struct uuid interface;
    struct generation generation;
    struct addr_pair mobile;
    bool active;
};

struct vm_nic {
    struct interface interface;
    struct in6_addr router[N_ADDR_FAMILIES];    /* For the guest. */
    uint8_t prefix_len[N_ADDR_FAMILIES];
    uint16_t mtu;
    char pci[16];               /* Pinned at creation, e.g. "0x3". */
};

/* A VM's record: what must not change under it is pinned at creation. */
struct vm {
    struct uuid uuid;
    char name[NAME_LEN + 1];
    uint64_t memory_kib;
    unsigned int vcpus;
    char image[256];            /* "mini", or an absolute path. */
    char machine[64];           /* Versioned machine type, "pc-q35-7.2". */
    char cpu[64];               /* CPU model, "qemu64". */
    struct vm_nic nics[VM_MAX_NICS];
    size_t n_nics;
};

enum vm_state {
    VM_ABSENT,                  /* No QEMU here. */
    VM_STARTING,                /* QEMU runs, its monitor does not yet. */
    VM_LISTENING,               /* Waits for, or receives, a migration. */
    VM_RUNNING,
    VM_PAUSED,                  /* Stopped, also at the switchover. */
    VM_SENT,                    /* Migration completed at the source. */
    VM_FAILED,                  /* QEMU ended, or its load failed. */
};

const char *vm_state_name(enum vm_state);
const char *network_mode_name(enum network_mode);
bool network_mode_from_name(const char *name, enum network_mode *);

#endif /* core/vm.h */
