#ifndef MOBILITY_DATAPATH_H
#define MOBILITY_DATAPATH_H 1

/* What one switch is meant to do, and the flows that make it do so.
 *
 * A datapath holds an entry for each interface that its switch knows.  The
 * entry has three independent parts, because a handover changes them one by
 * one:
 *
 *   here   the interface (also) lives behind this switch: its port, the
 *          mobile addresses of this site that lead to it, and whether packets
 *          for it go to its port or are held by the agent;
 *   out    where packets to it go when they come from this switch's own
 *          ports: to 'here', or to mobile addresses elsewhere;
 *   from   the mobile addresses from which packets of it are believed.
 *
 * Setting a part recompiles the flows of that entry only, in the datapath's
 * flow table; the owner then synchronizes the table with the switch.  Pure:
 * no I/O, no clock. */

#include <stdbool.h>
#include <stddef.h>

#include "openvswitch/hmap.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/types.h"

#include "core/addr.h"
#include "core/generation.h"
#include "core/vm.h"

struct flow_table;

struct datapath;

/* The switch's own surroundings. */
struct datapath_uplink {
    ofp_port_t wan;             /* The site's network; OFPP_NONE: none yet. */
    ofp_port_t hold;            /* The agent's tap for held packets. */
    struct eth_addr mac;        /* Our MAC on the site's network. */
    struct eth_addr router[N_ADDR_FAMILIES];  /* Zero: not known yet. */
    struct addr_pair router_ip; /* Whose these are. */
};

struct datapath *datapath_create(void);
void datapath_destroy(struct datapath *);

/* The desired flows.  Owned by the datapath. */
struct flow_table *datapath_flows(struct datapath *);

void datapath_set_uplink(struct datapath *, const struct datapath_uplink *);
const struct datapath_uplink *datapath_get_uplink(const struct datapath *);

/* Networks come before their interfaces and go after them.  Removing one
 * that still has entries removes those.  So does a change of its id, and
 * another network with the same id: the newer one is right. */
void datapath_set_network(struct datapath *, const struct network *);
void datapath_remove_network(struct datapath *, const struct uuid *network);

/* Ports without a declared interface: what they send first is reported to
 * the agent, which may create an endpoint. */
void datapath_set_open_port(struct datapath *, ofp_port_t,
                            const struct uuid *network);
void datapath_remove_open_port(struct datapath *, ofp_port_t);

/* Makes an entry, without any part, or updates what the record says.  Does
 * nothing if its network is not there.  All functions below do nothing if
 * there is no entry: the store may have removed what a move is about.  Where
 * two interfaces claim the same port or address (home, or mobile), the one
 * that claimed it last has it. */
void datapath_set_interface(struct datapath *, const struct interface *);
void datapath_remove_interface(struct datapath *, const struct uuid *);
const struct interface *datapath_find_interface(const struct datapath *,
                                                const struct uuid *);

/* All of them, in no order: '*at' is zero at first; null at the end. */
const struct interface *datapath_next_interface(const struct datapath *,
                                                struct hmap_position *at);

/* By its home address, for packets that the agent sees. */
const struct interface *datapath_find_home(const struct datapath *,
                                           uint32_t network_id,
                                           const struct in6_addr *home);

/* The remote interface that is believed to send from 'mobile'. */
const struct interface *datapath_find_mobile(const struct datapath *,
                                             uint32_t network_id,
                                             const struct in6_addr *mobile);

enum datapath_delivery {
    DATAPATH_DIRECT,            /* To the port. */
    DATAPATH_HOLD,              /* To the agent, in order. */
};

#define DATAPATH_MAX_LATE 4

struct datapath_here {
    ofp_port_t port;            /* OFPP_NONE: only what arrives is handled. */
    struct addr_pair mobile;    /* Source of what it sends. */
    enum datapath_delivery delivery;

    /* Addresses that it had here before and that still lead to it. */
    struct addr_pair late[DATAPATH_MAX_LATE];
    size_t n_late;
};

/* 'here' null: it does not live here (any more). */
void datapath_set_here(struct datapath *, const struct uuid *interface,
                       const struct datapath_here *here);
const struct datapath_here *datapath_get_here(const struct datapath *,
                                              const struct uuid *interface);

enum datapath_out_kind { DATAPATH_NOWHERE, DATAPATH_HERE, DATAPATH_AWAY };

struct datapath_out {
    enum datapath_out_kind kind;
    struct generation generation;
    struct addr_pair mobile;    /* For DATAPATH_AWAY. */

    /* Also copy each packet to the hold port, as the proof that the switch
     * uses this mapping, see datapath_parse_held(). */
    bool witness;
};

/* Returns false, and changes nothing, if 'out' is of an older generation
 * than what is set. */
bool datapath_set_out(struct datapath *, const struct uuid *interface,
                      const struct datapath_out *out);
const struct datapath_out *datapath_get_out(const struct datapath *,
                                            const struct uuid *interface);

/* Believe packets of 'interface' that come from 'mobile', as of 'generation';
 * at most DATAPATH_MAX_FROM are kept, the newest. */
#define DATAPATH_MAX_FROM 4
void datapath_accept(struct datapath *, const struct uuid *interface,
                     const struct generation *, const struct addr_pair *);
void datapath_reject(struct datapath *, const struct uuid *interface,
                     const struct generation *);

/* The interface that a flow with 'cookie' belongs to; null if there is none.
 * For flows of PART_FROM in pipeline.h it is the one that was heard. */
const struct interface *datapath_cookie_interface(const struct datapath *,
                                                  uint64_t cookie);

/* The cookie of the flows that say what an interface may send, and by which
 * port; 0 if there is no entry. */
uint64_t datapath_here_cookie(const struct datapath *,
                              const struct uuid *interface);

/* What a frame read from the hold tap is about.  Flows mark frames that they
 * send there in the Ethernet source address, which nobody else needs. */
enum datapath_held_kind { DATAPATH_HELD, DATAPATH_WITNESS };

struct datapath_held {
    enum datapath_held_kind kind;
    const struct interface *to;         /* Whom the packet is for. */
    const struct interface *from;       /* Its sender; null if unknown. */
};

/* EINVAL if 'frame' is not one of ours.  For DATAPATH_HELD '*frame' is then as
 * the guest is to see it: the agent may inject it unchanged. */
int datapath_parse_held(const struct datapath *, void *frame, size_t len,
                        struct datapath_held *, struct err *);

/* The first bytes, Ethernet destination and source, of the frames that are
 * held for 'interface'.  False if it is not known, or if a held frame has to
 * be changed in more than its source before the guest may see it. */
bool datapath_held_key(const struct datapath *, const struct uuid *interface,
                       uint8_t key[2 * 6]);

/* A router on the way answered a packet with an ICMP error, which quotes it
 * with mobile addresses.  'frame' is the packet-in that a flow of PART_ERROR
 * made of it, 'network_id' its metadata.  Makes '*frame' what the guest is to
 * see, with the home addresses in the quote, for the port of '*to'.
 *
 * EINVAL if 'frame' is no such error; ENOENT if it does not concern a packet
 * that an interface behind this switch can have sent. */
int datapath_translate_error(const struct datapath *, uint32_t network_id,
                             void *frame, size_t len,
                             const struct interface **to, struct err *);

/* The same MAC is every network's router, everywhere, so that no neighbour
 * cache is ever stale after a move. */
extern const struct eth_addr datapath_router_mac;

#endif /* mobility/datapath.h */
