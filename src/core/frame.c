#include <config.h>

#include "core/frame.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <string.h>

#include "csum.h"
#include "packets.h"
#include "unaligned.h"

#define ETH_LEN 14
#define IP6_LEN 40
#define UDP_LEN_ 8
#define ND_LEN 24               /* NS and NA without options. */
#define FENCE_LEN 56
#define FENCE_VERSION 1
static const char fence_magic[8] = "wtrfence";

/* A chain of extension headers longer than this is no honest packet. */
#define MAX_IP6_EXTENSIONS 8

/* What of a frame was not parsed yet. */
struct cursor {
    const uint8_t *start, *at, *end;
};

static int parse_arp(struct cursor, struct frame *, struct err *);
static int parse_ip4(struct cursor, struct frame *, struct err *);
static int parse_ip6(struct cursor, struct frame *, struct err *);
static int parse_l4(struct cursor, struct frame *, struct err *);
static int parse_nd(struct cursor, struct frame *, struct err *);

/* Null if less than 'n' bytes are left. */
static const uint8_t *
take(struct cursor *c, size_t n)
{
    const uint8_t *p = c->at;

    if (c->end - c->at < n) {
        return NULL;
    }
    c->at += n;
    return p;
}

static uint16_t
get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static struct eth_addr
get_mac(const uint8_t *p)
{
    struct eth_addr mac;

    memcpy(&mac, p, sizeof mac);
    return mac;
}

/* 0.0.0.0 is none. */
static struct in6_addr
get_ip4(const uint8_t *p)
{
    struct in6_addr a = IN6ADDR_ANY_INIT;

    if (p[0] || p[1] || p[2] || p[3]) {
        memset(&a.s6_addr[10], 0xff, 2);
        memcpy(&a.s6_addr[12], p, 4);
    }
    return a;
}

static struct in6_addr
get_ip6(const uint8_t *p)
{
    struct in6_addr a;

    memcpy(&a, p, sizeof a);
    return a;
}

int
frame_parse(const void *data, size_t len, struct frame *frame,
            struct err *err)
{
    struct cursor c = { data, data, (const uint8_t *) data + len };
    struct frame f = { .kind = FRAME_OTHER };
    const uint8_t *eth = take(&c, ETH_LEN);
    int error = 0;

    if (!eth) {
        return err_set(err, EINVAL, "frame of %zu bytes", len);
    }
    f.eth_dst = get_mac(eth);
    f.eth_src = get_mac(eth + 6);
    f.eth_type = get16(eth + 12);
    switch (f.eth_type) {
    case ETH_TYPE_ARP:
    case ETH_TYPE_RARP:
        error = parse_arp(c, &f, err);
        break;
    case ETH_TYPE_IP:
        error = parse_ip4(c, &f, err);
        break;
    case ETH_TYPE_IPV6:
        error = parse_ip6(c, &f, err);
        break;
    }
    if (!error) {
        *frame = f;
    }
    return error;
}

static int
parse_arp(struct cursor c, struct frame *f, struct err *err)
{
    const uint8_t *arp = take(&c, 28);

    if (!arp) {
        return err_set(err, EINVAL, "ARP is cut off");
    }
    if (get16(arp) != 1 || get16(arp + 2) != ETH_TYPE_IP || arp[4] != 6
        || arp[5] != 4) {
        return err_set(err, EINVAL, "ARP is not for IPv4 on Ethernet");
    }

    uint16_t op = get16(arp + 6);
    f->lladdr = get_mac(arp + 8);
    if (f->eth_type == ETH_TYPE_RARP) {
        f->kind = FRAME_RARP;
        return 0;
    }
    f->src = get_ip4(arp + 14);
    f->dst = f->target = get_ip4(arp + 24);
    if (op != ARP_OP_REQUEST && op != ARP_OP_REPLY) {
        return err_set(err, EINVAL, "ARP with operation %u", op);
    }
    f->kind = (addr_equals(&f->src, &f->dst) ? FRAME_ARP_GRATUITOUS
               : op == ARP_OP_REPLY ? FRAME_ARP_REPLY
               : addr_is_none(&f->src) ? FRAME_ARP_PROBE
               : FRAME_ARP_REQUEST);
    return 0;
}

static int
parse_ip4(struct cursor c, struct frame *f, struct err *err)
{
    const uint8_t *ip = take(&c, 20);

    if (!ip || ip[0] >> 4 != 4) {
        return err_set(err, EINVAL, "IPv4 header is cut off or wrong");
    }

    size_t header_len = (ip[0] & 15) * 4;
    size_t total_len = get16(ip + 2);
    if (header_len < 20 || !take(&c, header_len - 20)
        || total_len < header_len || total_len > c.end - ip) {
        return err_set(err, EINVAL, "IPv4 with a wrong length");
    }
    c.end = ip + total_len;     /* The rest is padding. */

    uint16_t fragment = get16(ip + 6);
    f->kind = FRAME_IP;
    f->ttl = ip[8];
    f->proto = ip[9];
    f->src = get_ip4(ip + 12);
    f->dst = get_ip4(ip + 16);
    f->later_fragment = fragment & 0x1fff;
    f->fragment = fragment & 0x3fff;
    return parse_l4(c, f, err);
}

/* Moves behind the extension headers.  Sets 'f->proto' and the fragment
 * flags. */
static int
skip_extensions(struct cursor *c, uint8_t next, struct frame *f,
                struct err *err)
{
    for (int i = 0; i < MAX_IP6_EXTENSIONS; i++) {
        const uint8_t *extension;

        switch (next) {
        case IPPROTO_HOPOPTS:
        case IPPROTO_ROUTING:
        case IPPROTO_DSTOPTS:
            extension = take(c, 8);
            if (!extension || !take(c, extension[1] * 8)) {
                return err_set(err, EINVAL, "IPv6 extension is cut off");
            }
            next = extension[0];
            break;

        case IPPROTO_FRAGMENT:
            extension = take(c, 8);
            if (!extension) {
                return err_set(err, EINVAL, "IPv6 fragment is cut off");
            }
            f->later_fragment = get16(extension + 2) & 0xfff8;
            f->fragment = get16(extension + 2) & 0xfff9;
            next = extension[0];
            if (f->later_fragment) {
                f->proto = next;
                return 0;
            }
            break;

        default:
            f->proto = next;
            return 0;
        }
    }
    return err_set(err, EINVAL, "IPv6 with more than %d extensions",
                   MAX_IP6_EXTENSIONS);
}

static int
parse_ip6(struct cursor c, struct frame *f, struct err *err)
{
    const uint8_t *ip = take(&c, IP6_LEN);

    if (!ip || ip[0] >> 4 != 6) {
        return err_set(err, EINVAL, "IPv6 header is cut off or wrong");
    }
    if (get16(ip + 4) > c.end - c.at) {
        return err_set(err, EINVAL, "IPv6 with a wrong length");
    }
    c.end = c.at + get16(ip + 4);

    f->kind = FRAME_IP;
    f->ttl = ip[7];
    f->src = get_ip6(ip + 8);
    f->dst = get_ip6(ip + 24);

    int error = skip_extensions(&c, ip[6], f, err);
    return error ? error : parse_l4(c, f, err);
}

static int
parse_l4(struct cursor c, struct frame *f, struct err *err)
{
    f->l4_ofs = c.at - c.start;
    f->l4_len = c.end - c.at;
    if (f->later_fragment) {
        return 0;
    }
    switch (f->proto) {
    case IPPROTO_TCP:
    case IPPROTO_UDP:
    case IPPROTO_SCTP:
        if (f->l4_len < UDP_LEN_) {
            return err_set(err, EINVAL, "L4 header is cut off");
        }
        f->src_port = get16(c.at);
        f->dst_port = get16(c.at + 2);
        return 0;

    case IPPROTO_ICMPV6:
        if (f->eth_type == ETH_TYPE_IPV6 && !f->fragment && f->l4_len
            && (c.at[0] == ND_NEIGHBOR_SOLICIT
                || c.at[0] == ND_NEIGHBOR_ADVERT)) {
            return parse_nd(c, f, err);
        }
        return 0;

    default:
        return 0;
    }
}

/* RFC 4861, sections 7.1.1 and 7.1.2. */
static int
parse_nd(struct cursor c, struct frame *f, struct err *err)
{
    const uint8_t *nd = take(&c, ND_LEN);

    if (!nd || f->ttl != 255 || nd[1] != 0) {
        return err_set(err, EINVAL, "neighbor discovery is cut off or forged");
    }

    bool solicit = nd[0] == ND_NEIGHBOR_SOLICIT;
    f->target = get_ip6(nd + 8);
    if (IN6_IS_ADDR_MULTICAST(&f->target)) {
        return err_set(err, EINVAL, "neighbor discovery of a multicast group");
    }
    while (c.at < c.end) {
        const uint8_t *option = take(&c, 8);

        if (!option || !option[1] || !take(&c, (option[1] - 1) * 8)) {
            return err_set(err, EINVAL, "neighbor option is cut off");
        }
        if (option[0] == (solicit ? ND_OPT_SOURCE_LINKADDR
                                  : ND_OPT_TARGET_LINKADDR)) {
            f->lladdr = get_mac(option + 2);
        }
    }
    if (solicit) {
        f->kind = addr_is_none(&f->src) ? FRAME_NS_PROBE : FRAME_NS;
    } else {
        f->kind = nd[4] & 0x40 ? FRAME_NA : FRAME_NA_UNSOLICITED;
    }
    return 0;
}

/* Builders.  Each put_*() writes at 'p' and returns what follows. */

static uint8_t *
put(uint8_t *p, const void *data, size_t n)
{
    memcpy(p, data, n);
    return p + n;
}

static uint8_t *
put16(uint8_t *p, uint16_t x)
{
    p[0] = x >> 8;
    p[1] = x;
    return p + 2;
}

static uint8_t *
put32(uint8_t *p, uint32_t x)
{
    return put16(put16(p, x >> 16), x);
}

static uint8_t *
put_eth(uint8_t *p, const struct eth_addr dst, const struct eth_addr src,
        uint16_t type)
{
    p = put(p, &dst, sizeof dst);
    p = put(p, &src, sizeof src);
    return put16(p, type);
}

static uint8_t *
put_ip4(uint8_t *p, const struct in6_addr *ip)
{
    return put(p, &ip->s6_addr[12], 4);
}

static uint8_t *
put_arp(uint8_t *p, uint16_t op, const struct eth_addr sha,
        const struct in6_addr *spa, const struct eth_addr tha,
        const struct in6_addr *tpa)
{
    p = put16(p, 1);
    p = put16(p, ETH_TYPE_IP);
    *p++ = 6;
    *p++ = 4;
    p = put16(p, op);
    p = put(p, &sha, sizeof sha);
    p = put_ip4(p, spa);
    p = put(p, &tha, sizeof tha);
    return put_ip4(p, tpa);
}

/* An IP header without options, of the family of 'src'. */
static uint8_t *
put_ip(uint8_t *p, const struct in6_addr *src, const struct in6_addr *dst,
       uint8_t proto, uint8_t ttl, uint16_t payload_len)
{
    uint8_t *ip = p;

    if (addr_family(src) == ADDR_V6) {
        p = put32(p, 6u << 28);
        p = put16(p, payload_len);
        *p++ = proto;
        *p++ = ttl;
        p = put(p, src, sizeof *src);
        return put(p, dst, sizeof *dst);
    }
    p = put16(p, 0x4500);
    p = put16(p, 20 + payload_len);
    p = put32(p, 0x00004000);   /* Do not fragment. */
    *p++ = ttl;
    *p++ = proto;
    p = put16(p, 0);
    p = put_ip4(p, src);
    p = put_ip4(p, dst);

    ovs_be16 checksum = csum(ip, 20);
    memcpy(ip + 10, &checksum, sizeof checksum);
    return p;
}

/* The checksum of an L4 message under its pseudo header. */
static ovs_be16
l4_checksum(const struct in6_addr *src, const struct in6_addr *dst,
            uint8_t proto, const uint8_t *l4, size_t len)
{
    uint8_t pseudo[IP6_LEN], *p = pseudo;

    if (addr_family(src) == ADDR_V6) {
        p = put(p, src, sizeof *src);
        p = put(p, dst, sizeof *dst);
    } else {
        p = put_ip4(p, src);
        p = put_ip4(p, dst);
    }
    p = put32(p, len);
    p = put32(p, proto);
    return csum_finish(csum_continue(csum_continue(0, pseudo, p - pseudo),
                                     l4, len));
}

/* An NS or NA of 'target', with the option that tells 'mac'. */
static size_t
build_nd(uint8_t *buf, uint8_t type, uint32_t flags,
         const struct eth_addr eth_dst, const struct eth_addr mac,
         const struct in6_addr *src, const struct in6_addr *dst,
         const struct in6_addr *target)
{
    uint8_t *p = put_eth(buf, eth_dst, mac, ETH_TYPE_IPV6);
    p = put_ip(p, src, dst, IPPROTO_ICMPV6, 255, ND_LEN + 8);

    uint8_t *nd = p;
    p = put32(p, (uint32_t) type << 24);
    p = put32(p, flags);
    p = put(p, target, sizeof *target);
    *p++ = (type == ND_NEIGHBOR_SOLICIT ? ND_OPT_SOURCE_LINKADDR
                                        : ND_OPT_TARGET_LINKADDR);
    *p++ = 1;
    p = put(p, &mac, sizeof mac);

    ovs_be16 checksum = l4_checksum(src, dst, IPPROTO_ICMPV6, nd, p - nd);
    memcpy(nd + 2, &checksum, sizeof checksum);
    return p - buf;
}

size_t
frame_build_neighbor_reply(uint8_t buf[FRAME_BUILT_MAX],
                           const struct frame *request,
                           const struct eth_addr mac)
{
    static const struct in6_addr all_nodes
        = { { { 0xff, 2, [15] = 1 } } };

    if (request->eth_type == ETH_TYPE_ARP) {
        uint8_t *p = put_eth(buf, request->eth_src, mac, ETH_TYPE_ARP);

        p = put_arp(p, ARP_OP_REPLY, mac, &request->target, request->lladdr,
                    &request->src);
        return p - buf;
    }

    /* A probe's sender has no address yet: all are told (RFC 4861, section
     * 7.2.4). */
    bool solicited = !addr_is_none(&request->src);
    return build_nd(buf, ND_NEIGHBOR_ADVERT,
                    solicited ? 0x60000000 : 0x20000000, request->eth_src,
                    mac, &request->target,
                    solicited ? &request->src : &all_nodes,
                    &request->target);
}

size_t
frame_build_neighbor_request(uint8_t buf[FRAME_BUILT_MAX],
                             const struct eth_addr mac,
                             const struct in6_addr *ip,
                             const struct in6_addr *target)
{
    if (addr_family(target) == ADDR_V4) {
        uint8_t *p = put_eth(buf, eth_addr_broadcast, mac, ETH_TYPE_ARP);

        p = put_arp(p, ARP_OP_REQUEST, mac, ip, eth_addr_zero, target);
        return p - buf;
    }

    struct in6_addr group;
    struct eth_addr group_mac;

    in6_addr_solicited_node(&group, target);
    ipv6_multicast_to_ethernet(&group_mac, &group);
    return build_nd(buf, ND_NEIGHBOR_SOLICIT, 0, group_mac, mac, ip, &group,
                    target);
}

static uint8_t *
put_uuid(uint8_t *p, const struct uuid *uuid)
{
    for (int i = 0; i < 4; i++) {
        p = put32(p, uuid->parts[i]);
    }
    return p;
}

static uint32_t
get32(const uint8_t *p)
{
    return (uint32_t) get16(p) << 16 | get16(p + 2);
}

static struct uuid
get_uuid(const uint8_t *p)
{
    struct uuid uuid;

    for (int i = 0; i < 4; i++) {
        uuid.parts[i] = get32(p + 4 * i);
    }
    return uuid;
}

size_t
frame_build_fence(uint8_t buf[FRAME_BUILT_MAX], const struct eth_addr eth_src,
                  const struct eth_addr eth_dst, const struct in6_addr *src,
                  const struct in6_addr *dst, const struct frame_fence *fence)
{
    uint8_t *p = put_eth(buf, eth_dst, eth_src,
                         addr_family(src) == ADDR_V4 ? ETH_TYPE_IP
                                                     : ETH_TYPE_IPV6);
    p = put_ip(p, src, dst, IPPROTO_UDP, fence->ttl ? fence->ttl : 64,
               UDP_LEN_ + FENCE_LEN);

    uint8_t *udp = p;
    p = put16(p, FRAME_FENCE_PORT);
    p = put16(p, FRAME_FENCE_PORT);
    p = put16(p, UDP_LEN_ + FENCE_LEN);
    p = put16(p, 0);
    p = put(p, fence_magic, sizeof fence_magic);
    p = put32(p, FENCE_VERSION);
    p = put32(p, fence->sequence);
    p = put_uuid(p, &fence->migration);
    p = put_uuid(p, &fence->from);
    p = put32(p, fence->sender >> 32);
    p = put32(p, fence->sender);

    ovs_be16 checksum = l4_checksum(src, dst, IPPROTO_UDP, udp, p - udp);
    if (!checksum) {
        checksum = OVS_BE16_MAX;        /* Zero would mean: none. */
    }
    memcpy(udp + 6, &checksum, sizeof checksum);
    return p - buf;
}

bool
frame_parse_fence(const void *data, size_t len, struct frame_fence *fence)
{
    struct frame f;

    if (frame_parse(data, len, &f, NULL) || f.kind != FRAME_IP
        || f.proto != IPPROTO_UDP || f.fragment
        || f.src_port != FRAME_FENCE_PORT || f.dst_port != FRAME_FENCE_PORT
        || f.l4_len != UDP_LEN_ + FENCE_LEN) {
        return false;
    }

    const uint8_t *udp = (const uint8_t *) data + f.l4_ofs;
    const uint8_t *payload = udp + UDP_LEN_;
    if (get16(udp + 4) != f.l4_len
        || memcmp(payload, fence_magic, sizeof fence_magic)
        || get32(payload + 8) != FENCE_VERSION
        || addr_is_none(&f.src) || addr_is_none(&f.dst)
        || l4_checksum(&f.src, &f.dst, IPPROTO_UDP, udp, f.l4_len)) {
        return false;
    }
    fence->sequence = get32(payload + 12);
    fence->migration = get_uuid(payload + 16);
    fence->from = get_uuid(payload + 32);
    fence->sender = (uint64_t) get32(payload + 48) << 32
                    | get32(payload + 52);
    return true;
}
