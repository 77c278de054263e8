#ifndef ENGINE_GUEST_H
#define ENGINE_GUEST_H 1

/* A guest: a VM on this host.
 *
 * A guest is here because the store wants its VM here, because a migration
 * brings it, or because it was found running at the start.  Whoever makes one
 * owns it until it says otherwise:
 *
 *      (none) --the store wants it--> OWN <--moved in-- INCOMING
 *                                      |
 *                                      `--moves out--> LEAVING --> (none)
 */

#include "openvswitch/hmap.h"
#include "openvswitch/ofp-port.h"

#include "core/vm.h"
#include "mobility/datapath.h"
#include "store/write.h"

struct dp_packet;
struct engine;
struct injector;
struct listener;

enum guest_role { GUEST_OWN, GUEST_INCOMING, GUEST_LEAVING };

struct guest_nic {
    struct addr_pair mobile;    /* Of this host's site. */
    struct injector *injector;  /* Towards the guest; made when needed. */
    struct listener *listener;  /* Null: it is awake. */
};

struct guest {
    struct hmap_node node;
    struct vm vm;
    enum guest_role role;
    struct generation generation;       /* Counter 0: none yet. */
    struct guest_nic nics[VM_MAX_NICS];
    uint64_t ticket;            /* The switch knows its ports. */
    write_ticket advance;       /* Of a start that takes a generation... */
    uint64_t advance_counter;   /* ...this one. */
    bool lost;                  /* The store knows nothing of it. */
    unsigned int bridge_seqno;  /* When it was presented. */
    long long retry_at;         /* guest_present() failed; 0: it did not. */
    bool present;               /* guest_present() is done. */
    bool bound;                 /* Bindings are in the write queue. */
    bool ended;                 /* It ran, and ended by itself. */
    bool stopping;              /* The store wants it to stop. */
    enum vm_state told;         /* What the store was last told. */
};

struct guest *guest_find(const struct engine *, const struct uuid *vm);
struct guest *guest_find_interface(const struct engine *,
                                   const struct uuid *interface, size_t *nic);
struct guest *guest_add(struct engine *, const struct vm *, enum guest_role);

/* The same for one that an earlier process had, with what the store knows. */
struct guest *guest_adopt(struct engine *, const struct vm *,
                          enum guest_role);

/* Takes mobile addresses, makes taps and ports, and tells the switch where
 * packets for the guest go.  As the hypervisor's functions: 0, EINPROGRESS or
 * failed.  Done again with another 'delivery' it only changes that. */
int guest_present(struct engine *, struct guest *, enum datapath_delivery,
                  struct err *);

/* From now on 'delivery' is how its packets come; returns the ticket. */
uint64_t guest_set_delivery(struct engine *, struct guest *,
                            enum datapath_delivery);

/* Does the kernel pass on to its taps what the switch holds for it?  Not
 * before the hold passes everything, and not once it has left. */
void guest_set_shortcuts(struct engine *, const struct guest *, bool);

/* The store's bindings and instance say that it is here, or is expected. */
write_ticket guest_bind(struct engine *, struct guest *, bool active);
write_ticket guest_tell(struct engine *, struct guest *, enum vm_state,
                        const char *reason);

/* Gives a frame to the guest, behind the switch's back. */
void guest_inject(struct engine *, struct guest *, size_t nic,
                  const struct dp_packet *);

/* Begins to listen whether the guest sends anything.  guest_is_awake() then
 * says whether it has, once; without the first it is always awake. */
void guest_listen(struct engine *, struct guest *);
bool guest_is_awake(struct engine *, struct guest *);
void guest_wait_awake(const struct guest *);

/* Ends its hypervisor process, removes ports and taps.  EINPROGRESS until
 * then.  Its addresses still lead here. */
int guest_dismantle(struct engine *, struct guest *, struct err *);

/* Forgets it, and changes nothing: it runs on without us. */
void guest_forget(struct engine *, struct guest *);

/* Takes back what it says in the store, gives up its addresses and forgets
 * it. */
void guest_remove(struct engine *, struct guest *, bool keep_here);

#endif /* engine/guest.h */
