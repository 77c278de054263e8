#include <config.h>

#include "api/document.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "packets.h"
#include "util.h"
#include "uuid.h"

#include "api/fields.h"
#include "base/problems.h"

#define DEFAULT_MEMORY_KIB (256 * 1024)
#define MIN_MEMORY_KIB (16 * 1024)
#define MAX_MEMORY_KIB (16ULL * 1024 * 1024 * 1024)

/* Without KVM, QEMU 7.2 loses pages of a VM that it migrates when its memory
 * is a multiple of 256 KiB (fixed upstream by 03bfc2188f).  A little more
 * memory avoids that; it is part of the record, since it must be the same
 * wherever the VM goes. */
#define MEMORY_GRAIN_KIB 256
#define MEMORY_PADDING_KIB 8

static const struct field host_fields[] = {
    { "site", FIELD_NAME, true, "site where it is" },
    { "address", FIELD_STRING, false, "IPv4 address on the site's network" },
    { "address6", FIELD_STRING, false, "IPv6 address" },
    { "memory", FIELD_SIZE, false, "for VMs; default: what its agent says" },
    { NULL },
};

static const struct field site_fields[] = {
    { "wan", FIELD_STRING, false, "IPv4 prefix of its own network" },
    { "wan6", FIELD_STRING, false, "IPv6 prefix of its own network" },
    { "router", FIELD_STRING, false, "default: the first address of wan" },
    { "router6", FIELD_STRING, false, "default: the first of wan6" },
    { "pool", FIELD_STRINGS, false, "mobile IPv4 addresses, FIRST-LAST" },
    { "pool6", FIELD_STRINGS, false, "mobile IPv6 addresses, FIRST-LAST" },
    { "hosts", FIELD_STRINGS, false, "names of its hosts" },
    { NULL },
};

static const struct field network_fields[] = {
    { "id", FIELD_INTEGER, false, "default: a free one", 1, 0xffffff },
    { "prefix", FIELD_STRING, false, "IPv4 prefix of home addresses" },
    { "prefix6", FIELD_STRING, false, "IPv6 prefix of home addresses" },
    { "gateway", FIELD_STRING, false, "default: the last usable address" },
    { "gateway6", FIELD_STRING, false, "default: PREFIX::fffe" },
    { "mode", FIELD_STRING, false, "rewrite (the default)" },
    { "encap", FIELD_STRING, false, "for mode overlay" },
    { "mtu", FIELD_INTEGER, false, "default: 1500", 576, 65535 },
    { "gateways", FIELD_STRINGS, false, "hosts that speak for it outside" },
    { NULL },
};

static const struct field nic_fields[] = {
    { "network", FIELD_NAME, true, "network" },
    { "address", FIELD_STRING, false, "IPv4 home address" },
    { "address6", FIELD_STRING, false, "IPv6 home address" },
    { "mac", FIELD_STRING, false, "default: made of name and number" },
    { NULL },
};

/* With "name" for a single VM, without it as part of a document. */
#define ENDPOINT_FIELDS \
    { "host", FIELD_NAME, true, "host where it begins" }, \
    { "network", FIELD_NAME, false, "network of its only interface" }, \
    { "address", FIELD_STRING, false, "IPv4 home address" }, \
    { "address6", FIELD_STRING, false, "IPv6 home address" }, \
    { "mac", FIELD_STRING, false, "default: made of name and number" }, \
    { "nics", FIELD_LIST, false, "several interfaces, instead of network", \
      .members = nic_fields }
#define VM_FIELDS \
    ENDPOINT_FIELDS, \
    { "memory", FIELD_SIZE, false, "default: 256M" }, \
    { "vcpus", FIELD_INTEGER, false, "default: 1", 1, 255 }, \
    { "image", FIELD_STRING, false, "mini (the default), or a path" }, \
    { "machine", FIELD_STRING, false, "default: what its host has" }, \
    { "cpu", FIELD_STRING, false, "default: what its host has" }, \
    { "power", FIELD_STRING, false, "running (the default) or stopped" }

static const struct field endpoint_fields[] = { ENDPOINT_FIELDS, { NULL } };
static const struct field member_vm_fields[] = { VM_FIELDS, { NULL } };
const struct field document_vm_fields[] = {
    { "name", FIELD_NAME, true, "unique" }, VM_FIELDS, { NULL },
};

const struct field document_fields[] = {
    { "sites", FIELD_MAP, false, "by name", .members = site_fields },
    { "hosts", FIELD_MAP, false, "by name", .members = host_fields },
    { "networks", FIELD_MAP, false, "by name", .members = network_fields },
    { "vms", FIELD_MAP, false, "by name", .members = member_vm_fields },
    { "endpoints", FIELD_MAP, false, "by name", .members = endpoint_fields },
    { "services", FIELD_ANY, false, "not available in this version" },
    { "lab", FIELD_ANY, false, "left alone" },
    { "links", FIELD_ANY, false, "left alone" },
    { "outside", FIELD_ANY, false, "left alone" },
    { "store", FIELD_ANY, false, "left alone" },
    { "manager", FIELD_ANY, false, "left alone" },
    { NULL },
};

/* FNV-1a, which is the same everywhere (Open vSwitch's hashes are not). */
struct eth_addr
document_default_mac(const char *name, unsigned int index)
{
    uint32_t hash = 2166136261u;

    for (const char *p = name; *p; p++) {
        hash = (hash ^ (uint8_t) *p) * 16777619;
    }
    hash = (hash ^ '/') * 16777619;
    hash = (hash ^ index) * 16777619;
    hash ^= hash >> 24;

    struct eth_addr mac = ETH_ADDR_C(52,54,00,00,00,00);
    mac.ea[3] = hash >> 16;
    mac.ea[4] = hash >> 8;
    mac.ea[5] = hash;
    return mac;
}

static void
add_err(struct problems *problems, const char *where, const char *member,
        const struct err *err)
{
    problems_add(problems, "%s.%s: %s", where, member, err->text);
}

/* Parses an address of 'family', if there is one. */
static void
parse_address(const struct json *json, const char *where, const char *member,
              enum addr_family family, struct addr_pair *pair,
              struct problems *problems)
{
    const char *text = fields_string(json, member);
    struct in6_addr address;
    struct err err;

    if (!text) {
        return;
    }
    if (addr_parse(text, &address, &err)) {
        add_err(problems, where, member, &err);
    } else if (addr_family(&address) != family) {
        problems_add(problems, "%s.%s: \"%s\" is not an IPv%d address",
                     where, member, text, family == ADDR_V4 ? 4 : 6);
    } else {
        pair->of[family] = address;
    }
}

static void
parse_prefix(const struct json *json, const char *where, const char *member,
             enum addr_family family, struct prefix out[N_ADDR_FAMILIES],
             struct problems *problems)
{
    const char *text = fields_string(json, member);
    struct prefix prefix;
    struct err err;

    if (!text) {
        return;
    }
    if (prefix_parse(text, &prefix, &err)) {
        add_err(problems, where, member, &err);
    } else if (addr_family(&prefix.addr) != family) {
        problems_add(problems, "%s.%s: \"%s\" is not an IPv%d prefix",
                     where, member, text, family == ADDR_V4 ? 4 : 6);
    } else if (prefix.len > (family == ADDR_V4 ? 30 : 126)) {
        problems_add(problems, "%s.%s: \"%s\" has no room for a router and a "
                     "host", where, member, text);
    } else {
        out[family] = prefix;
    }
}

static bool
has(const struct prefix *prefix)
{
    return !addr_is_none(&prefix->addr);
}

/* The last address of a prefix that a machine can have. */
static struct in6_addr
default_gateway(const struct prefix *prefix, enum addr_family family)
{
    unsigned int host_bits = (family == ADDR_V4 ? 32 : 128) - prefix->len;

    if (family == ADDR_V4) {
        return addr_plus(&prefix->addr, (1ULL << host_bits) - 2);
    }
    return addr_plus(&prefix->addr,
                     host_bits >= 16 ? 0xfffe : (1ULL << host_bits) - 2);
}

static void
parse_pools(const struct json *json, const char *where, const char *member,
            enum addr_family family, struct document_site *site,
            struct problems *problems)
{
    const char *text;

    for (size_t i = 0; (text = fields_nth_string(json, member, i)); i++) {
        struct addr_range range;
        struct err err;

        if (i >= DOCUMENT_MAX_RANGES) {
            problems_add(problems, "%s.%s: more than %d ranges", where,
                         member, DOCUMENT_MAX_RANGES);
            return;
        }
        if (addr_range_parse(text, &range, &err)) {
            add_err(problems, where, member, &err);
        } else if (addr_family(&range.first) != family) {
            problems_add(problems, "%s.%s: \"%s\" is not of IPv%d", where,
                         member, text, family == ADDR_V4 ? 4 : 6);
        } else {
            site->pools[site->n_pools++] = range;
        }
    }
}

static void
copy_string(const struct json *json, const char *member, char *out,
            size_t size, const char *where, struct problems *problems)
{
    const char *text = fields_string(json, member);

    if (text && strlen(text) >= size) {
        problems_add(problems, "%s.%s: is longer than %"PRIuSIZE" bytes",
                     where, member, size - 1);
    } else if (text) {
        ovs_strlcpy(out, text, size);
    }
}

/* As copy_string(), for what becomes part of an option of QEMU. */
static void
copy_word(const struct json *json, const char *member, char *out,
          size_t size, const char *where, struct problems *problems)
{
    copy_string(json, member, out, size, where, problems);
    for (const char *p = out; *p; p++) {
        if ((unsigned char) *p <= ' ' || *p == ',' || *p == 0x7f) {
            problems_add(problems, "%s.%s: must not have commas, spaces or "
                         "control characters", where, member);
            return;
        }
    }
}

static struct document_host *
add_host(struct document *document, const char *name, const char *site)
{
    for (size_t i = 0; i < document->n_hosts; i++) {
        if (!strcmp(document->hosts[i].name, name)
            && !strcmp(document->hosts[i].site, site)) {
            return &document->hosts[i];
        }
    }
    document->hosts = xrealloc(document->hosts, (document->n_hosts + 1)
                               * sizeof *document->hosts);
    struct document_host *host = &document->hosts[document->n_hosts++];
    memset(host, 0, sizeof *host);
    ovs_strlcpy(host->name, name, sizeof host->name);
    ovs_strlcpy(host->site, site, sizeof host->site);
    return host;
}

/* The n-th host of a site has the address n+1 places behind the router's
 * usual one. */
static void
parse_site_hosts(const struct json *json, const char *where,
                 const struct document_site *site, struct document *document,
                 struct problems *problems)
{
    const char *name;

    for (size_t i = 0; (name = fields_nth_string(json, "hosts", i)); i++) {
        if (!fields_is_name(name)) {
            problems_add(problems, "%s.hosts: \"%.70s\" is not a name",
                         where, name);
            continue;
        }
        struct document_host *host = add_host(document, name, site->name);
        ADDR_FOR_EACH_FAMILY (f) {
            if (has(&site->prefix[f])) {
                host->addresses.of[f] = addr_plus(&site->prefix[f].addr,
                                                  i + 2);
            }
        }
    }
}

static void
parse_site(const char *name, const struct json *json, const char *where,
           struct document *document, struct problems *problems)
{
    struct document_site site = { .n_pools = 0 };

    ovs_strlcpy(site.name, name, sizeof site.name);
    parse_prefix(json, where, "wan", ADDR_V4, site.prefix, problems);
    parse_prefix(json, where, "wan6", ADDR_V6, site.prefix, problems);
    ADDR_FOR_EACH_FAMILY (f) {
        if (has(&site.prefix[f])) {
            site.router.of[f] = addr_plus(&site.prefix[f].addr, 1);
        }
    }
    parse_address(json, where, "router", ADDR_V4, &site.router, problems);
    parse_address(json, where, "router6", ADDR_V6, &site.router, problems);
    parse_pools(json, where, "pool", ADDR_V4, &site, problems);
    parse_pools(json, where, "pool6", ADDR_V6, &site, problems);
    parse_site_hosts(json, where, &site, document, problems);

    document->sites = xrealloc(document->sites, (document->n_sites + 1)
                               * sizeof *document->sites);
    document->sites[document->n_sites++] = site;
}

static void
parse_host(const char *name, const struct json *json, const char *where,
           struct document *document, struct problems *problems)
{
    const char *site = fields_string(json, "site");
    uint64_t kib;

    if (!site) {
        return;                 /* Reported already. */
    }
    struct document_host *host = add_host(document, name, site);
    parse_address(json, where, "address", ADDR_V4, &host->addresses,
                  problems);
    parse_address(json, where, "address6", ADDR_V6, &host->addresses,
                  problems);
    if (fields_size(json, "memory", &kib)) {
        host->memory_mib = kib / 1024;
    }
}

static void
parse_mode(const struct json *json, const char *where,
           struct problems *problems)
{
    const char *text = fields_string(json, "mode");
    const char *encap = fields_string(json, "encap");
    enum network_mode mode;

    if (encap && strcmp(encap, "gre") && strcmp(encap, "vxlan")
        && strcmp(encap, "geneve")) {
        problems_add(problems, "%s.encap: must be gre, vxlan or geneve",
                     where);
    }
    if (!text) {
        return;
    }
    if (!network_mode_from_name(text, &mode)) {
        problems_add(problems, "%s.mode: must be rewrite, overlay, anchor or "
                     "readdress", where);
    } else if (mode != NETWORK_REWRITE) {
        problems_add(problems, "%s.mode: mode %s is not available in this "
                     "version", where, text);
    }
}

static void
parse_network(const char *name, const struct json *json, const char *where,
              struct document *document, struct problems *problems)
{
    struct document_network network = { .mtu = 1500 };
    long long value;

    ovs_strlcpy(network.name, name, sizeof network.name);
    if (fields_integer(json, "id", &value)) {
        network.id = value;
    }
    if (fields_integer(json, "mtu", &value)) {
        network.mtu = value;
    }
    parse_prefix(json, where, "prefix", ADDR_V4, network.prefix, problems);
    parse_prefix(json, where, "prefix6", ADDR_V6, network.prefix, problems);
    ADDR_FOR_EACH_FAMILY (f) {
        if (has(&network.prefix[f])) {
            network.gateway.of[f] = default_gateway(&network.prefix[f], f);
        }
    }
    parse_address(json, where, "gateway", ADDR_V4, &network.gateway,
                  problems);
    parse_address(json, where, "gateway6", ADDR_V6, &network.gateway,
                  problems);
    parse_mode(json, where, problems);
    for (size_t i = 0; fields_nth_string(json, "gateways", i); i++) {
        if (i >= DOCUMENT_MAX_GATEWAYS) {
            problems_add(problems, "%s.gateways: more than %d", where,
                         DOCUMENT_MAX_GATEWAYS);
            break;
        }
        ovs_strlcpy(network.gateways[network.n_gateways++],
                    fields_nth_string(json, "gateways", i),
                    DOCUMENT_NAME_LEN);
    }

    document->networks = xrealloc(document->networks,
                                  (document->n_networks + 1)
                                  * sizeof *document->networks);
    document->networks[document->n_networks++] = network;
}

static void
parse_nic(const struct json *json, const char *where, struct document_vm *vm,
          struct problems *problems)
{
    struct document_nic *nic = &vm->nics[vm->n_nics];
    const char *network = fields_string(json, "network");
    const char *mac = fields_string(json, "mac");

    nic->mac = document_default_mac(vm->name, vm->n_nics);
    vm->n_nics++;
    if (network) {
        ovs_strlcpy(nic->network, network, sizeof nic->network);
    }
    parse_address(json, where, "address", ADDR_V4, &nic->home, problems);
    parse_address(json, where, "address6", ADDR_V6, &nic->home, problems);
    if (mac) {
        if (!eth_addr_from_string(mac, &nic->mac)
            || eth_addr_is_multicast(nic->mac)
            || eth_addr_is_zero(nic->mac)) {
            problems_add(problems, "%s.mac: \"%.40s\" is not a unicast MAC "
                         "address", where, mac);
        }
        nic->has_mac = true;
    }
}

/* Either "nics", or one interface beside the other members. */
static void
parse_nics(const struct json *json, const char *where,
           struct document_vm *vm, struct problems *problems)
{
    const struct json *nics = fields_find(json, "nics");

    if (!nics) {
        if (!fields_find(json, "network")) {
            problems_add(problems, "%s.network: is missing (or \"nics\", "
                         "for several)", where);
        }
        parse_nic(json, where, vm, problems);
        return;
    }
    if (fields_find(json, "network") || fields_find(json, "address")
        || fields_find(json, "address6") || fields_find(json, "mac")) {
        problems_add(problems, "%s.nics: network, address, address6 and mac "
                     "belong into its members", where);
    }
    if (nics->type != JSON_ARRAY) {
        return;                 /* Reported already. */
    }
    if (!json_array(nics)->n || json_array(nics)->n > VM_MAX_NICS) {
        problems_add(problems, "%s.nics: must be between 1 and %d", where,
                     VM_MAX_NICS);
        return;
    }
    for (size_t i = 0; i < json_array(nics)->n; i++) {
        char *at = xasprintf("%s.nics[%"PRIuSIZE"]", where, i);

        parse_nic(json_array(nics)->elems[i], at, vm, problems);
        free(at);
    }
}

static void
parse_vm_members(const struct json *json, const char *where,
                 struct document_vm *vm, struct problems *problems)
{
    const char *power = fields_string(json, "power");
    long long value;

    vm->memory_kib = DEFAULT_MEMORY_KIB;
    fields_size(json, "memory", &vm->memory_kib);
    if (vm->memory_kib < MIN_MEMORY_KIB || vm->memory_kib > MAX_MEMORY_KIB) {
        problems_add(problems, "%s.memory: must be between 16M and 16384G",
                     where);
    }
    if (vm->memory_kib % MEMORY_GRAIN_KIB == 0) {
        vm->memory_kib += MEMORY_PADDING_KIB;
    }
    vm->vcpus = fields_integer(json, "vcpus", &value) ? value : 1;
    ovs_strlcpy(vm->image, "mini", sizeof vm->image);
    copy_word(json, "image", vm->image, sizeof vm->image, where, problems);
    if (strcmp(vm->image, "mini") && vm->image[0] != '/') {
        problems_add(problems, "%s.image: must be \"mini\" or an absolute "
                     "path", where);
    }
    copy_word(json, "machine", vm->machine, sizeof vm->machine, where,
              problems);
    copy_word(json, "cpu", vm->cpu, sizeof vm->cpu, where, problems);
    if (power && strcmp(power, "running") && strcmp(power, "stopped")) {
        problems_add(problems, "%s.power: must be running or stopped", where);
    }
    vm->stopped = power && !strcmp(power, "stopped");
}

static void
parse_vm(const char *name, const struct json *json, const char *where,
         bool is_endpoint, struct document *document,
         struct problems *problems)
{
    const char *host = fields_string(json, "host");

    document->vms = xrealloc(document->vms, (document->n_vms + 1)
                             * sizeof *document->vms);
    struct document_vm *vm = &document->vms[document->n_vms++];
    memset(vm, 0, sizeof *vm);
    vm->is_endpoint = is_endpoint;
    ovs_strlcpy(vm->name, name, sizeof vm->name);
    if (host) {
        ovs_strlcpy(vm->host, host, sizeof vm->host);
    }
    parse_nics(json, where, vm, problems);
    if (!is_endpoint) {
        parse_vm_members(json, where, vm, problems);
    }
}

static void
parse_endpoint(const char *name, const struct json *json, const char *where,
               struct document *document, struct problems *problems)
{
    parse_vm(name, json, where, true, document, problems);
}

static void
parse_member_vm(const char *name, const struct json *json, const char *where,
                struct document *document, struct problems *problems)
{
    parse_vm(name, json, where, false, document, problems);
}

static void
parse_map(const struct json *json, const char *section,
          void (*parse)(const char *name, const struct json *,
                        const char *where, struct document *,
                        struct problems *),
          struct document *document, struct problems *problems)
{
    const struct json *map = fields_find(json, section);

    if (!map || map->type != JSON_OBJECT) {
        return;
    }
    const struct shash_node **sorted = shash_sort(json_object(map));
    for (size_t i = 0; i < shash_count(json_object(map)); i++) {
        const struct json *member = sorted[i]->data;

        if (member->type == JSON_OBJECT) {
            char *where = xasprintf("%s.%.80s", section, sorted[i]->name);

            parse(sorted[i]->name, member, where, document, problems);
            free(where);
        }
    }
    free(sorted);
}

struct document *
document_parse(const struct json *json, struct problems *problems)
{
    struct document *document = xzalloc(sizeof *document);

    if (fields_check(document_fields, json, "", problems)) {
        if (fields_find(json, "services")) {
            problems_add(problems, "services: services are not available in "
                         "this version");
        }
        parse_map(json, "sites", parse_site, document, problems);
        parse_map(json, "hosts", parse_host, document, problems);
        parse_map(json, "networks", parse_network, document, problems);
        parse_map(json, "vms", parse_member_vm, document, problems);
        parse_map(json, "endpoints", parse_endpoint, document, problems);
    }
    return document;
}

struct document *
document_parse_vm(const struct json *json, struct problems *problems)
{
    struct document *document = xzalloc(sizeof *document);

    document->create_only = true;
    uuid_generate(&document->insert);
    if (fields_check(document_vm_fields, json, "", problems)) {
        const char *name = fields_string(json, "name");

        if (name) {
            parse_vm(name, json, name, false, document, problems);
        }
    }
    return document;
}

void
document_destroy(struct document *document)
{
    if (document) {
        free(document->sites);
        free(document->hosts);
        free(document->networks);
        free(document->vms);
        free(document);
    }
}

/* Functions that find an object by its name. */
#define DEFINE_FIND(KIND) \
    const struct document_##KIND * \
    document_find_##KIND(const struct document *document, const char *name) \
    { \
        for (size_t i = 0; i < document->n_##KIND##s; i++) { \
            if (!strcmp(document->KIND##s[i].name, name)) { \
                return &document->KIND##s[i]; \
            } \
        } \
        return NULL; \
    }
DEFINE_FIND(site)
DEFINE_FIND(host)
DEFINE_FIND(network)
