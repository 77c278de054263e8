#include <config.h>

/* ICMP errors about rewritten packets: datapath_translate_error().
 *
 *      Ethernet | IP router -> home | ICMP, 8 bytes | quote: IP mobile ->
 *      mobile | first bytes of L4
 *
 * The flows have already made the destination of the outer header a home
 * address. */

#include "mobility/datapath.h"

#include <errno.h>
#include <string.h>

#include "core/frame.h"
#include "csum.h"
#include "packets.h"
#include "unaligned.h"

#define ICMP_LEN 8
#define IP4_LEN 20
#define IP6_LEN_ 40

/* A quoted packet.  Lengths were checked. */
struct quote {
    uint8_t *ip;
    uint8_t *l4;                /* Null if it is a later fragment. */
    size_t l4_len;              /* Of what was quoted. */
    uint8_t proto;
    struct in6_addr src, dst;
};

static struct in6_addr
read_addr(const uint8_t *p, enum addr_family family)
{
    struct in6_addr a = IN6ADDR_ANY_INIT;

    if (family == ADDR_V6) {
        memcpy(&a, p, sizeof a);
    } else {
        memset(&a.s6_addr[10], 0xff, 2);
        memcpy(&a.s6_addr[12], p, 4);
    }
    return a;
}

/* IPv6 extension headers hide the L4 header; its checksum then stays as it
 * is, which no host looks at. */
static bool
parse_quote(uint8_t *p, size_t len, enum addr_family family, struct quote *q)
{
    size_t header_len = family == ADDR_V6 ? IP6_LEN_ : IP4_LEN;
    bool later = false;

    if (len < header_len || p[0] >> 4 != (family == ADDR_V6 ? 6 : 4)) {
        return false;
    }
    if (family == ADDR_V4) {
        header_len = (p[0] & 15) * 4;
        later = (p[6] & 0x1f) || p[7];
        if (header_len < IP4_LEN || header_len > len) {
            return false;
        }
    }
    *q = (struct quote) {
        .ip = p,
        .l4 = later ? NULL : p + header_len,
        .l4_len = len - header_len,
        .proto = family == ADDR_V6 ? p[6] : p[9],
        .src = read_addr(p + (family == ADDR_V6 ? 8 : 12), family),
        .dst = read_addr(p + (family == ADDR_V6 ? 24 : 16), family),
    };
    return true;
}

/* Adapts the checksum at 'sum' to a change of 'n' bytes. */
static void
adapt_checksum(uint8_t *sum, const uint8_t *before, const uint8_t *after,
               size_t n)
{
    ovs_be16 old, new, c;

    memcpy(&c, sum, sizeof c);
    for (size_t i = 0; i < n; i += 2) {
        memcpy(&old, before + i, sizeof old);
        memcpy(&new, after + i, sizeof new);
        c = recalc_csum16(c, old, new);
    }
    memcpy(sum, &c, sizeof c);
}

/* Where the checksum of the quoted L4 header is, if it was quoted. */
static uint8_t *
quoted_checksum(const struct quote *q)
{
    size_t at;

    switch (q->proto) {
    case IPPROTO_TCP:
        at = 16;
        break;
    case IPPROTO_UDP:
        at = 6;
        break;
    case IPPROTO_ICMPV6:
        at = 2;
        break;
    default:
        return NULL;
    }
    if (!q->l4 || q->l4_len < at + 2
        || (q->proto == IPPROTO_UDP && !q->l4[at] && !q->l4[at + 1])) {
        return NULL;
    }
    return q->l4 + at;
}

/* Writes 'addr' at 'p', and adapts the checksums that cover it. */
static void
write_addr(uint8_t *p, const struct in6_addr *addr, uint8_t *ip4_checksum,
           uint8_t *l4_checksum)
{
    bool v6 = addr_family(addr) == ADDR_V6;
    const uint8_t *new = v6 ? &addr->s6_addr[0] : &addr->s6_addr[12];
    size_t n = v6 ? 16 : 4;

    if (!v6 && ip4_checksum) {
        adapt_checksum(ip4_checksum, p, new, n);
    }
    if (l4_checksum) {
        adapt_checksum(l4_checksum, p, new, n);
    }
    memcpy(p, new, n);
}

/* The quote as the guest sent it. */
static void
restore_quote(const struct quote *q, const struct in6_addr *src,
              const struct in6_addr *dst)
{
    bool v6 = addr_family(src) == ADDR_V6;
    uint8_t *l4_checksum = quoted_checksum(q);

    write_addr(q->ip + (v6 ? 8 : 12), src, q->ip + 10, l4_checksum);
    write_addr(q->ip + (v6 ? 24 : 16), dst, q->ip + 10, l4_checksum);
}

/* The ICMP checksum of the whole error, which covers the quote. */
static void
finish_icmp(uint8_t *ip, uint8_t *icmp, size_t len, enum addr_family family)
{
    ovs_be16 checksum;

    memset(icmp + 2, 0, 2);
    if (family == ADDR_V4) {
        checksum = csum(icmp, len);
    } else {
        uint8_t tail[8] = { len >> 24, len >> 16, len >> 8, len,
                            [7] = IPPROTO_ICMPV6 };
        uint32_t sum = csum_continue(0, ip + 8, 32);

        sum = csum_continue(sum, tail, sizeof tail);
        checksum = csum_finish(csum_continue(sum, icmp, len));
    }
    memcpy(icmp + 2, &checksum, sizeof checksum);
}

static bool
is_icmp_error(const struct frame *f, const uint8_t *icmp)
{
    if (f->kind != FRAME_IP || f->fragment || f->l4_len < ICMP_LEN) {
        return false;
    }
    if (addr_family(&f->dst) == ADDR_V4) {
        return f->proto == IPPROTO_ICMP
               && (icmp[0] == 3 || icmp[0] == 11 || icmp[0] == 12);
    }
    return f->proto == IPPROTO_ICMPV6 && icmp[0] >= 1 && icmp[0] <= 4;
}

int
datapath_translate_error(const struct datapath *dp, uint32_t network_id,
                         void *frame, size_t len,
                         const struct interface **to_, struct err *err)
{
    struct frame f;
    int error = frame_parse(frame, len, &f, err);

    if (error) {
        return err_add(err, error, "parsing an ICMP error");
    }

    enum addr_family family = addr_family(&f.dst);
    uint8_t *ip = (uint8_t *) frame + ETH_HEADER_LEN;
    uint8_t *icmp = (uint8_t *) frame + f.l4_ofs;
    struct quote q;
    if (!is_icmp_error(&f, icmp)
        || !parse_quote(icmp + ICMP_LEN, f.l4_len - ICMP_LEN, family, &q)) {
        return err_set(err, EINVAL, "no ICMP error with a quote");
    }

    const struct interface *to = datapath_find_home(dp, network_id, &f.dst);
    const struct interface *remote = datapath_find_mobile(dp, network_id,
                                                          &q.dst);
    const struct datapath_here *here
        = to ? datapath_get_here(dp, &to->uuid) : NULL;
    if (!here || !remote || !addr_equals(&here->mobile.of[family], &q.src)
        || addr_is_none(&remote->home.of[family])) {
        return err_set(err, ENOENT, "an ICMP error about nobody's packet");
    }

    struct eth_header *eth = frame;
    eth->eth_src = datapath_router_mac;
    eth->eth_dst = to->mac;
    write_addr(ip + (family == ADDR_V6 ? 24 : 16), &to->inside.of[family],
               ip + 10, NULL);
    restore_quote(&q, &to->inside.of[family], &remote->home.of[family]);
    finish_icmp(ip, icmp, f.l4_len, family);
    *to_ = to;
    return 0;
}
