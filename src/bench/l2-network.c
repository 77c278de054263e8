#include <config.h>
#include "bench/l2-network.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/netns.h"
#include "base/process.h"
#include "bench/l2.h"
#include "hypervisor/tap.h"
#include "openvswitch/util.h"
#include "util.h"

#define IP_TIMEOUT_MS 10000

const char *const l2_network_sides[] = { "watari-bench-a", "watari-bench-b" };
const char *const l2_network_addresses[] = { "192.0.2.1", "192.0.2.2" };
static const char *const taps[] = { "tap-a", "tap-b" };

/* Runs "ip -batch" in 'netns'. */
static int
ip(const char *netns, const char *batch, struct err *err)
{
    char *argv[] = { "ip", "-batch", "-", NULL };
    struct process_spec spec = { .argv = argv, .netns = netns };
    int error = process_run(&spec, batch, IP_TIMEOUT_MS, NULL, err);

    return error ? err_add(err, error, "%s", netns) : 0;
}

/* The same as a lab does to its cables. */
static void
disable_offloads(const char *device)
{
    static const uint32_t commands[] = {
        ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO,
    };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(commands); i++) {
        struct ethtool_value value = { .cmd = commands[i] };
        struct ifreq ifr = { .ifr_data = (void *) &value };

        ovs_strzcpy(ifr.ifr_name, device, sizeof ifr.ifr_name);
        ignore(ioctl(fd, SIOCETHTOOL, &ifr));
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* Taps of the guest and the correspondent's cable, all on one bridge. */
static int
make_bridge(struct err *err)
{
    static const char bridge[] =
        "link add name br type bridge forward_delay 0 mcast_snooping 0\n"
        "link set dev br up\n"
        "link add name near type veth peer name eth0 netns " L2_NEAR_NETNS "\n"
        "link set dev near master br up\n"
        "link set dev tap-a master br\n"
        "link set dev tap-b master br\n";
    static const char near[] =
        "link set dev lo up\n"
        "addr add " L2_NEAR "/24 dev eth0\n"
        "link set dev eth0 up\n";
    int saved;

    int error = netns_push(L2_NETWORK_NETNS, &saved, err);
    if (error) {
        return error;
    }
    netns_write_sysctl("net/ipv6/conf/default/disable_ipv6", "1", NULL);
    for (int i = 0; i < ARRAY_SIZE(taps) && !error; i++) {
        error = tap_create(taps[i], 1500, err);
    }
    error = error ? error : ip(L2_NETWORK_NETNS, bridge, err);
    disable_offloads("near");
    netns_pop(saved);

    error = error ? error : netns_push(L2_NEAR_NETNS, &saved, err);
    if (!error) {
        disable_offloads("eth0");
        netns_pop(saved);
        error = ip(L2_NEAR_NETNS, near, err);
    }
    return error;
}

/* The way of the migration stream. */
static int
make_sides(struct err *err)
{
    int error = 0;

    for (int side = 0; side < 2 && !error; side++) {
        error = netns_create(l2_network_sides[side], err);
    }
    error = error ? error : ip(l2_network_sides[0], "link add name stream "
                               "type veth peer name stream netns "
                               "watari-bench-b\n", err);
    for (int side = 0; side < 2 && !error; side++) {
        char batch[200];

        snprintf(batch, sizeof batch, "link set dev lo up\n"
                 "addr add %s/30 dev stream\n"
                 "link set dev stream up\n", l2_network_addresses[side]);
        error = ip(l2_network_sides[side], batch, err);
    }
    return error;
}

int
l2_network_create(bool sides, struct err *err)
{
    int error = netns_create(L2_NETWORK_NETNS, err);

    error = error ? error : netns_create(L2_NEAR_NETNS, err);
    error = error || !sides ? error : make_sides(err);
    return error ? error : make_bridge(err);
}

void
l2_network_destroy(void)
{
    netns_delete(L2_NETWORK_NETNS, NULL);
    netns_delete(L2_NEAR_NETNS, NULL);
    for (int side = 0; side < 2; side++) {
        netns_delete(l2_network_sides[side], NULL);
    }
}

int
l2_network_attach(int side, int *fd, struct err *err)
{
    int saved;
    int error = netns_push(L2_NETWORK_NETNS, &saved, err);

    if (!error) {
        error = tap_attach(taps[side], fd, err);
        netns_pop(saved);
    }
    return error;
}
