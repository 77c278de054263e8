#ifndef CORE_FRAME_H
#define CORE_FRAME_H 1

/* Ethernet frames: what the agent reads and writes itself.
 *
 * Pure functions over a buffer and its length; each length inside a frame is
 * checked against what is really there.  Builders write at most
 * FRAME_BUILT_MAX bytes and return how many. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/types.h"
#include "openvswitch/uuid.h"

#include "base/err.h"
#include "core/addr.h"

enum frame_kind {
    FRAME_OTHER,                /* Also what has a VLAN tag. */
    FRAME_IP,                   /* IPv4 or IPv6 except NS and NA. */
    FRAME_ARP_REQUEST,
    FRAME_ARP_REPLY,
    FRAME_ARP_PROBE,            /* Request from 0.0.0.0 (RFC 5227). */
    FRAME_ARP_GRATUITOUS,       /* Sender and target are the same. */
    FRAME_RARP,                 /* What hypervisors send after a move. */
    FRAME_NS,
    FRAME_NS_PROBE,             /* From "::" (RFC 4862, section 5.4). */
    FRAME_NA,
    FRAME_NA_UNSOLICITED,
};

struct frame {
    enum frame_kind kind;
    struct eth_addr eth_src, eth_dst;
    uint16_t eth_type;

    /* IP: source and destination.  ARP: sender and target.  None in RARP. */
    struct in6_addr src, dst;

    /* ARP, RARP: the sender's.  NS, NA: of the link-layer address option,
     * zero if there is none. */
    struct eth_addr lladdr;
    struct in6_addr target;     /* NS and NA; ARP: same as 'dst'. */

    /* IP only. */
    uint8_t ttl;
    uint8_t proto;              /* Behind IPv6 extension headers. */
    bool fragment;
    bool later_fragment;        /* Not the first: there is no L4 header. */
    size_t l4_ofs, l4_len;      /* Without Ethernet padding; may be 0. */
    uint16_t src_port, dst_port;        /* TCP, UDP, SCTP; else 0. */
};

/* EINVAL if something inside is cut off or contradicts itself. */
int frame_parse(const void *, size_t, struct frame *, struct err *);

#define FRAME_BUILT_MAX 128

/* "'ip' is at 'mac'", to whom 'request' came from: an ARP reply to an ARP
 * request, an NA to an NS. */
size_t frame_build_neighbor_reply(uint8_t buf[FRAME_BUILT_MAX],
                                  const struct frame *request,
                                  const struct eth_addr mac);

/* "Who has 'target'? Tell 'ip' at 'mac'": an ARP request or an NS, to all. */
size_t frame_build_neighbor_request(uint8_t buf[FRAME_BUILT_MAX],
                                    const struct eth_addr mac,
                                    const struct in6_addr *ip,
                                    const struct in6_addr *target);

/* A fence ends one path of a handover: who sees it knows that everything
 * that its sender sent down the same path before has arrived.
 *
 * It is an ordinary UDP datagram between the two home addresses, so that the
 * switches treat it as they treat the traffic that it follows:
 *
 *      Ethernet, IPv4 or IPv6, UDP with source and destination port 7482,
 *      payload, big-endian:
 *
 *       0  magic        8 bytes, "wtrfence"
 *       8  version      uint32, 1
 *      12  sequence     uint32, grows with each fence of one handover
 *      16  migration    UUID, 16 bytes
 *      32  from         UUID of the sending interface
 *      48  sender       uint64, of the agent that made it, new at each start
 *      56
 *
 * It is recognized by port and magic: addresses and TTL change on its way. */
#define FRAME_FENCE_PORT 7482

struct frame_fence {
    struct uuid migration;
    struct uuid from;
    uint64_t sender;
    uint32_t sequence;

    /* TTL or hop limit with which it begins; 0: 64.  Not read back.  A switch
     * treats packets of one sender alike, and in order, if they agree in all
     * that it matches on, and that includes the TTL that it decrements. */
    uint8_t ttl;
};

/* 'src' and 'dst' are of one family. */
size_t frame_build_fence(uint8_t buf[FRAME_BUILT_MAX],
                         const struct eth_addr eth_src,
                         const struct eth_addr eth_dst,
                         const struct in6_addr *src,
                         const struct in6_addr *dst,
                         const struct frame_fence *);

/* False if the frame is no whole and valid fence. */
bool frame_parse_fence(const void *, size_t, struct frame_fence *);

#endif /* core/frame.h */
