#include <config.h>

/* Frames of the hold port. */

#include "mobility/datapath.h"

#include <errno.h>
#include <string.h>

#include "core/frame.h"
#include "dp-packet.h"
#include "flow.h"
#include "mobility/pipeline.h"
#include "packets.h"

/* Gives a clone the address that it has inside. */
static void
restore_inside(const struct interface *to, const struct frame *f,
               void *frame, size_t len)
{
    const struct in6_addr *inside = &to->inside.of[addr_family(&f->dst)];
    struct dp_packet packet;
    struct flow flow;

    if (addr_equals(inside, &f->dst)) {
        return;
    }
    dp_packet_use_const(&packet, frame, len);
    flow_extract(&packet, &flow);
    if (addr_family(inside) == ADDR_V4) {
        packet_set_ipv4(&packet, flow.nw_src, in6_addr_get_mapped_ipv4(inside),
                        flow.nw_tos, flow.nw_ttl);
    } else {
        packet_set_ipv6(&packet, &flow.ipv6_src, inside, flow.nw_tos,
                        flow.ipv6_label, flow.nw_ttl);
    }
}

int
datapath_parse_held(const struct datapath *dp, void *frame, size_t len,
                    struct datapath_held *held, struct err *err)
{
    struct frame f;
    int error = frame_parse(frame, len, &f, err);

    if (error) {
        return err_add(err, error, "parsing a held frame");
    }

    uint64_t mark = eth_addr_to_uint64(f.eth_src);
    uint32_t network_id = mark & 0xffffff;
    uint8_t kind = mark >> 24;
    if (mark >> 32 != PIPELINE_MARK_OUI
        || (kind != PIPELINE_MARK_HELD && kind != PIPELINE_MARK_WITNESS)) {
        return err_set(err, EINVAL, "a frame without a mark was held");
    }

    const struct interface *to = datapath_find_home(dp, network_id, &f.dst);
    if (!to) {
        return err_set(err, EINVAL, "a held frame is for nobody");
    }
    held->kind = (kind == PIPELINE_MARK_HELD ? DATAPATH_HELD
                                             : DATAPATH_WITNESS);
    held->to = to;
    held->from = datapath_find_home(dp, network_id, &f.src);
    if (held->kind == DATAPATH_HELD) {
        struct eth_header *eth = frame;

        eth->eth_src = datapath_router_mac;
        restore_inside(to, &f, frame, len);
    }
    return 0;
}

bool
datapath_held_key(const struct datapath *dp, const struct uuid *uuid,
                  uint8_t key[2 * ETH_ADDR_LEN])
{
    const struct interface *interface = datapath_find_interface(dp, uuid);
    struct eth_addr mark;

    if (!interface
        || !addr_pair_equals(&interface->home, &interface->inside)) {
        return false;
    }
    eth_addr_from_uint64((uint64_t) PIPELINE_MARK_OUI << 32
                         | PIPELINE_MARK_HELD << 24 | interface->network_id,
                         &mark);
    memcpy(key, interface->mac.ea, ETH_ADDR_LEN);
    memcpy(key + ETH_ADDR_LEN, mark.ea, ETH_ADDR_LEN);
    return true;
}
