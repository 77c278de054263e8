#include <config.h>

#include "lab/plan.h"

#include <stdio.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/util.h"
#include "util.h"

void
plan_prefix(enum addr_family family, struct prefix *prefix)
{
    int error = prefix_parse(family == ADDR_V4 ? "198.19.0.0/16"
                             : "fd77:6174:6172::/48", prefix, NULL);
    ovs_assert(!error);
}

char *
plan_mgmt(unsigned int site, unsigned int n, char buf[ADDR_STRLEN])
{
    snprintf(buf, ADDR_STRLEN, "198.19.%u.%u", site, n);
    return buf;
}

size_t
plan_n_stores(const struct labfile *file)
{
    const struct labfile_store *store = &file->store;

    return store->sites.n ? store->sites.n : MAX(store->nodes, 1);
}

char *
plan_store(size_t i, char buf[PLAN_STORE_LEN])
{
    if (i) {
        snprintf(buf, PLAN_STORE_LEN, "store%"PRIuSIZE, i + 1);
    } else {
        ovs_strlcpy(buf, "store", PLAN_STORE_LEN);
    }
    return buf;
}

const char *
plan_store_site(const struct labfile *file, size_t i)
{
    const struct labfile_store *store = &file->store;

    return (!store->sites.n ? store->place.site
            : strcmp(store->sites.items[i], "core") ? store->sites.items[i]
            : NULL);
}

char *
plan_store_address(const struct labfile *file, size_t i,
                   char buf[ADDR_STRLEN])
{
    return plan_mgmt(plan_site_number(file, plan_store_site(file, i)),
                     PLAN_STORE - i, buf);
}

char *
plan_transit(unsigned int site, enum addr_family family, int end,
             char buf[ADDR_STRLEN])
{
    if (family == ADDR_V4) {
        snprintf(buf, ADDR_STRLEN, "198.19.255.%u", 4 * site + 1 + end);
    } else {
        snprintf(buf, ADDR_STRLEN, "fd77:6174:6172:%x::%d", site, 1 + end);
    }
    return buf;
}

unsigned int
plan_site_number(const struct labfile *file, const char *name)
{
    const struct labfile_site *first = file->sites.items;

    return name ? labfile_find_site(file, name) - first + 1 : 0;
}

char *
plan_netns(const char *lab, const char *node, char buf[PLAN_NETNS_LEN])
{
    snprintf(buf, PLAN_NETNS_LEN, "watari-%s-%s", lab, node);
    return buf;
}

char *
plan_ifname(const char *prefix, const char *name, char buf[PLAN_IFNAME_LEN])
{
    int room = PLAN_IFNAME_LEN - 1 - strlen(prefix);

    if (strlen(name) <= room) {
        snprintf(buf, PLAN_IFNAME_LEN, "%s%s", prefix, name);
    } else {
        snprintf(buf, PLAN_IFNAME_LEN, "%s%.*s%06x", prefix, room - 6, name,
                 hash_string(name, 0) & 0xffffff);
    }
    return buf;
}
