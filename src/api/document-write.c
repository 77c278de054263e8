#include <config.h>

#include "api/document.h"

#include <errno.h>
#include <string.h>

#include "ovsdb-idl.h"
#include "packets.h"
#include "smap.h"
#include "util.h"

#include "base/problems.h"
#include "store/rows.h"
#include "store/session.h"

#define DEFAULT_MACHINE "pc-q35-7.2"
#define DEFAULT_CPU "qemu64"
#define FIRST_PCI_SLOT 3
#define MAX_EVENTS 10           /* For more VMs there is one event. */

/* Rows that the transaction has made, which no index finds yet, are found by
 * their place in the document. */
struct writer {
    struct store *store;
    struct ovsdb_idl_txn *txn;
    const struct document *document;
    const struct dbrec_site **sites;
    const struct dbrec_host **hosts;
    const struct dbrec_network **networks;
    size_t n_created;           /* VMs. */
};

/* Functions that find a row by its name, the document's or the store's. */
#define DEFINE_FIND(KIND) \
    static const struct dbrec_##KIND * \
    find_##KIND(const struct writer *writer, const char *name) \
    { \
        const struct document_##KIND *object \
            = document_find_##KIND(writer->document, name); \
        \
        return (object ? writer->KIND##s[object - writer->document->KIND##s] \
                : session_##KIND(writer->store, name)); \
    }
DEFINE_FIND(site)
DEFINE_FIND(host)
DEFINE_FIND(network)

static size_t
format_prefixes(const struct prefix prefix[N_ADDR_FAMILIES],
                char bufs[N_ADDR_FAMILIES][PREFIX_STRLEN],
                const char *strings[N_ADDR_FAMILIES])
{
    size_t n = 0;

    ADDR_FOR_EACH_FAMILY (f) {
        if (!addr_is_none(&prefix[f].addr)) {
            strings[n] = prefix_format(&prefix[f], bufs[n]);
            n++;
        }
    }
    return n;
}

/* Makes the site's pools those of the document. */
static void
write_pools(struct writer *writer, const struct document_site *site,
            const struct dbrec_site *row)
{
    bool exists[ARRAY_SIZE(site->pools)] = { false };
    const struct dbrec_pool *pool, *next;

    DBREC_POOL_FOR_EACH_SAFE (pool, next, writer->store->idl) {
        bool wanted = false;

        if (pool->site != row) {
            continue;
        }
        for (size_t i = 0; i < site->n_pools; i++) {
            char first[ADDR_STRLEN], last[ADDR_STRLEN];

            if (!strcmp(pool->first,
                        addr_format(&site->pools[i].first, first))
                && !strcmp(pool->last,
                           addr_format(&site->pools[i].last, last))) {
                exists[i] = wanted = true;
            }
        }
        if (!wanted) {
            dbrec_pool_delete(pool);
        }
    }
    for (size_t i = 0; i < site->n_pools; i++) {
        char text[ADDR_STRLEN];

        if (!exists[i]) {
            pool = dbrec_pool_insert(writer->txn);
            dbrec_pool_set_site(pool, row);
            dbrec_pool_set_first(pool, addr_format(&site->pools[i].first,
                                                   text));
            dbrec_pool_set_last(pool, addr_format(&site->pools[i].last,
                                                  text));
        }
    }
}

static const struct dbrec_site *
write_site(struct writer *writer, const struct document_site *site)
{
    const struct dbrec_site *row = session_site(writer->store, site->name);
    char prefixes[N_ADDR_FAMILIES][PREFIX_STRLEN];
    char addresses[N_ADDR_FAMILIES][ADDR_STRLEN];
    const char *strings[N_ADDR_FAMILIES];

    if (!row) {
        row = dbrec_site_insert(writer->txn);
        dbrec_site_set_name(row, site->name);
    }
    size_t n = format_prefixes(site->prefix, prefixes, strings);
    dbrec_site_set_prefixes(row, strings, n);
    n = rows_format_pair(&site->router, addresses, strings);
    dbrec_site_set_routers(row, strings, n);
    write_pools(writer, site, row);
    return row;
}

static const struct dbrec_host *
write_host(struct writer *writer, const struct document_host *host)
{
    const struct dbrec_host *row = session_host(writer->store, host->name);
    char addresses[N_ADDR_FAMILIES][ADDR_STRLEN];
    const char *strings[N_ADDR_FAMILIES];

    if (!row) {
        row = dbrec_host_insert(writer->txn);
        dbrec_host_set_name(row, host->name);
        dbrec_host_set_site(row, find_site(writer, host->site));
        dbrec_host_set_cn(row, host->name);
    }
    size_t n = rows_format_pair(&host->addresses, addresses, strings);
    if (n) {
        dbrec_host_set_addresses(row, strings, n);
    }
    if (host->memory_mib) {
        dbrec_host_set_memory_mib(row, host->memory_mib);
    }
    return row;
}

static bool
id_is_free(const struct writer *writer, int64_t id)
{
    const struct dbrec_network *row;

    for (size_t i = 0; i < writer->document->n_networks; i++) {
        if (writer->document->networks[i].id == id) {
            return false;
        }
    }
    DBREC_NETWORK_FOR_EACH (row, writer->store->idl) {
        if (row->id == id) {
            return false;
        }
    }
    return true;
}

static const struct dbrec_network *
write_network(struct writer *writer, const struct document_network *network)
{
    const struct dbrec_network *row = session_network(writer->store,
                                                      network->name);
    char prefixes[N_ADDR_FAMILIES][PREFIX_STRLEN];
    char addresses[N_ADDR_FAMILIES][ADDR_STRLEN];
    const char *strings[N_ADDR_FAMILIES];

    if (!row) {
        int64_t id = network->id;

        for (int64_t i = 1; !id; i++) {
            id = id_is_free(writer, i) ? i : 0;
        }
        row = dbrec_network_insert(writer->txn);
        dbrec_network_set_name(row, network->name);
        dbrec_network_set_id(row, id);
        dbrec_network_set_mode(row, "rewrite");
    }
    size_t n = format_prefixes(network->prefix, prefixes, strings);
    dbrec_network_set_prefixes(row, strings, n);
    n = rows_format_pair(&network->gateway, addresses, strings);
    dbrec_network_set_routers(row, strings, n);
    dbrec_network_set_mtu(row, network->mtu);

    struct dbrec_host *gateways[DOCUMENT_MAX_GATEWAYS];
    for (size_t i = 0; i < network->n_gateways; i++) {
        gateways[i] = CONST_CAST(struct dbrec_host *,
                                 find_host(writer, network->gateways[i]));
    }
    dbrec_network_set_gateways(row, gateways, network->n_gateways);
    return row;
}

/* Only the agent of 'host' may write of it, and say where it is. */
static void
give_nic(const struct writer *writer, const struct dbrec_interface *row,
         const struct dbrec_host *host)
{
    const struct dbrec_global *global = session_global(writer->store);
    struct dbrec_host *hosts = CONST_CAST(struct dbrec_host *, host);

    dbrec_interface_set_writer(row, session_writer(host));
    if (global && global->n_connections) {
        dbrec_interface_set_hosts(row, &hosts, 1);
    }
}

/* Makes the interfaces of a new VM, which is on 'host', or of an endpoint,
 * which may be anywhere. */
static void
write_nics(struct writer *writer, const struct document_vm *vm,
           const struct dbrec_host *host,
           struct dbrec_interface *interfaces[VM_MAX_NICS],
           struct dbrec_network *networks[VM_MAX_NICS])
{
    for (size_t i = 0; i < vm->n_nics; i++) {
        const struct document_nic *nic = &vm->nics[i];
        const struct dbrec_network *network = find_network(writer,
                                                           nic->network);
        const struct dbrec_interface *row
            = dbrec_interface_insert(writer->txn);
        char addresses[N_ADDR_FAMILIES][ADDR_STRLEN];
        const char *strings[N_ADDR_FAMILIES];
        char text[ETH_ADDR_STRLEN + 1];

        snprintf(text, sizeof text, ETH_ADDR_FMT, ETH_ADDR_ARGS(nic->mac));
        dbrec_interface_set_mac(row, text);
        dbrec_interface_set_network(row, network);
        size_t n = rows_format_pair(&nic->home, addresses, strings);
        dbrec_interface_set_home(row, strings, n);
        snprintf(text, sizeof text, "0x%"PRIxSIZE, FIRST_PCI_SLOT + i);
        dbrec_interface_set_pci(row, text);
        if (host) {
            give_nic(writer, row, host);
        }
        interfaces[i] = CONST_CAST(struct dbrec_interface *, row);
        networks[i] = CONST_CAST(struct dbrec_network *, network);
    }
}

static void
write_endpoint(struct writer *writer, const struct document_vm *vm)
{
    struct dbrec_interface *interfaces[VM_MAX_NICS];
    struct dbrec_network *networks[VM_MAX_NICS];
    const struct dbrec_endpoint *row = session_endpoint(writer->store,
                                                        vm->name);

    if (!row) {
        row = dbrec_endpoint_insert(writer->txn);
        write_nics(writer, vm, NULL, interfaces, networks);
        dbrec_endpoint_set_name(row, vm->name);
        dbrec_endpoint_set_kind(row, "declared");
        dbrec_endpoint_set_interfaces(row, interfaces, vm->n_nics);
        dbrec_endpoint_set_networks(row, networks, vm->n_nics);
    }
    dbrec_endpoint_set_host(row, find_host(writer, vm->host));
}

static void
write_vm(struct writer *writer, const struct document_vm *vm)
{
    const struct dbrec_host *host = find_host(writer, vm->host);
    struct dbrec_interface *interfaces[VM_MAX_NICS];
    struct dbrec_network *networks[VM_MAX_NICS];

    const struct dbrec_vm *row = session_vm(writer->store, vm->name);
    if (row) {
        if (!row->host) {       /* The store was restored, see docs. */
            dbrec_vm_verify_host(row);
            dbrec_vm_set_host(row, host);
            dbrec_vm_set_power(row, "stopped");
        }
        return;                 /* All else is pinned. */
    }

    row = (writer->document->create_only
           ? dbrec_vm_insert_persist_uuid(writer->txn,
                                          &writer->document->insert)
           : dbrec_vm_insert(writer->txn));
    write_nics(writer, vm, host, interfaces, networks);
    dbrec_vm_set_name(row, vm->name);
    dbrec_vm_set_memory_kib(row, vm->memory_kib);
    dbrec_vm_set_vcpus(row, vm->vcpus);
    dbrec_vm_set_image(row, vm->image);
    dbrec_vm_set_machine(row, vm->machine[0] ? vm->machine
                         : smap_get_def(&host->facts, "machine",
                                        DEFAULT_MACHINE));
    dbrec_vm_set_cpu(row, vm->cpu[0] ? vm->cpu
                     : smap_get_def(&host->facts, "cpu", DEFAULT_CPU));
    dbrec_vm_set_interfaces(row, interfaces, vm->n_nics);
    dbrec_vm_set_networks(row, networks, vm->n_nics);
    dbrec_vm_set_host(row, host);
    dbrec_vm_set_writer(row, session_writer(host));
    dbrec_vm_set_power(row, vm->stopped ? "stopped" : "running");
    if (++writer->n_created <= MAX_EVENTS) {
        session_add_event(writer->store, writer->txn, "vm", vm->name,
                          writer->document->now, "created on %s", vm->host);
    }
}

/* Checks again, since the store may have changed while this waited. */
static int
check_again(const struct store *store, const struct document *document,
            struct err *err)
{
    struct problems problems = PROBLEMS_INIT;
    int error = 0;

    document_check(store, document, &problems);
    if (problems.n) {
        error = err_set(err, EINVAL, "%s", problems.texts[0]);
    }
    problems_finish(&problems);
    if (!error && document->create_only
        && session_vm(store, document->vms[0].name)) {
        error = err_set(err, EEXIST, "there is a VM \"%s\" already",
                        document->vms[0].name);
    }
    return error;
}

static int
build_document(struct store *store, struct ovsdb_idl_txn *txn,
               const void *data, struct err *err)
{
    const struct document *document = *(const struct document *const *) data;
    struct writer writer = {
        .store = store, .txn = txn, .document = document,
    };

    if (document->create_only && SESSION_ROW(store, vm, &document->insert)) {
        return 0;               /* Done before the connection broke. */
    }
    int error = check_again(store, document, err);
    if (error) {
        return error;
    }
    if (!session_global(store)) {
        dbrec_global_set_epoch(dbrec_global_insert(txn), 1);
    }
    writer.sites = xcalloc(document->n_sites, sizeof *writer.sites);
    writer.hosts = xcalloc(document->n_hosts, sizeof *writer.hosts);
    writer.networks = xcalloc(document->n_networks, sizeof *writer.networks);
    for (size_t i = 0; i < document->n_sites; i++) {
        writer.sites[i] = write_site(&writer, &document->sites[i]);
    }
    for (size_t i = 0; i < document->n_hosts; i++) {
        writer.hosts[i] = write_host(&writer, &document->hosts[i]);
    }
    for (size_t i = 0; i < document->n_networks; i++) {
        writer.networks[i] = write_network(&writer, &document->networks[i]);
    }
    for (size_t i = 0; i < document->n_vms; i++) {
        if (document->vms[i].is_endpoint) {
            write_endpoint(&writer, &document->vms[i]);
        } else {
            write_vm(&writer, &document->vms[i]);
        }
    }
    if (writer.n_created > MAX_EVENTS) {
        session_add_event(store, txn, "vm", "", document->now,
                          "%"PRIuSIZE" more were created",
                          writer.n_created - MAX_EVENTS);
    }
    free(writer.sites);
    free(writer.hosts);
    free(writer.networks);
    return 0;
}

static void
destroy_document(void *data)
{
    document_destroy(*(struct document **) data);
}

write_ticket
document_write(struct store *store, struct document *document)
{
    static const struct write_class class = {
        .what = "writing what was asked for",
        .build = build_document,
        .destroy = destroy_document,
    };

    return write_queue(store, &class, &UUID_ZERO, &document,
                       sizeof document);
}
