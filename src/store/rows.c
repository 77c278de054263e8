#include <config.h>

#include "store/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "packets.h"
#include "util.h"

#include "store/session.h"

/* What a reference says, also if the replica lacks the row. */
static struct uuid
datum_uuid(const struct ovsdb_datum *datum)
{
    return datum->n ? datum->keys[0].uuid : UUID_ZERO;
}

static int
copy_name(const char *what, const char *name, char out[NAME_LEN + 1],
          struct err *err)
{
    if (!name[0] || strlen(name) > NAME_LEN) {
        return err_set(err, EINVAL, "%s \"%.70s\": its name is not between 1 "
                       "and %d bytes long", what, name, NAME_LEN);
    }
    ovs_strlcpy(out, name, NAME_LEN + 1);
    return 0;
}

/* Parses a set of addresses, at most one of each family. */
static int
parse_pair(char **strings, size_t n, struct addr_pair *pair, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        int error = addr_pair_add(pair, strings[i], err);

        if (error) {
            return error;
        }
    }
    return 0;
}

/* Parses a set of prefixes, at most one of each family. */
static int
parse_prefixes(char **strings, size_t n, struct prefix out[N_ADDR_FAMILIES],
               struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct prefix prefix;
        int error = prefix_parse(strings[i], &prefix, err);

        if (error) {
            return error;
        }
        enum addr_family family = addr_family(&prefix.addr);
        if (!addr_is_none(&out[family].addr)) {
            return err_set(err, EEXIST, "%s: second prefix of its family",
                           strings[i]);
        }
        out[family] = prefix;
    }
    return 0;
}

int
rows_site(const struct dbrec_site *row, struct site *out, struct err *err)
{
    struct site site = { .uuid = row->header_.uuid };
    int error;

    if ((error = copy_name("site", row->name, site.name, err)) != 0) {
        return error;
    }
    if (parse_prefixes(row->prefixes, row->n_prefixes, site.prefix, err)
        || parse_pair(row->routers, row->n_routers, &site.router, err)) {
        return err_add(err, EINVAL, "site \"%s\"", row->name);
    }
    *out = site;
    return 0;
}

int
rows_host(const struct dbrec_host *row, struct host *out, struct err *err)
{
    struct host host = {
        .uuid = row->header_.uuid,
        .site = *ROW_UUID(row->site),
        .memory_mib = MAX(row->memory_mib, 0),
    };
    int error;

    if ((error = copy_name("host", row->name, host.name, err)) != 0) {
        return error;
    }
    if (!row->site) {
        return err_set(err, EAGAIN, "host \"%s\": its site is not known",
                       row->name);
    }
    if (copy_name("site", row->site->name, host.site_name, err)
        || parse_pair(row->addresses, row->n_addresses, &host.addresses,
                      err)) {
        return err_add(err, EINVAL, "host \"%s\"", row->name);
    }
    if (strlen(row->channel) > HOST_CHANNEL_LEN) {
        return err_set(err, EINVAL, "host \"%s\": its channel's address is "
                       "too long", row->name);
    }
    ovs_strlcpy(host.channel, row->channel, sizeof host.channel);
    *out = host;
    return 0;
}

int
rows_network(const struct dbrec_network *row, struct network *out,
             struct err *err)
{
    struct network network = { .uuid = row->header_.uuid, .id = row->id };
    int error;

    if ((error = copy_name("network", row->name, network.name, err)) != 0) {
        return error;
    }
    if (!network_mode_from_name(row->mode, &network.mode)) {
        return err_set(err, EINVAL, "network \"%s\": mode \"%s\" is not "
                       "known", row->name, row->mode);
    }
    if (parse_prefixes(row->prefixes, row->n_prefixes, network.prefix, err)
        || parse_pair(row->routers, row->n_routers, &network.gateway, err)) {
        return err_add(err, EINVAL, "network \"%s\"", row->name);
    }
    ADDR_FOR_EACH_FAMILY (f) {
        if (!addr_is_none(&network.gateway.of[f])
            && (addr_is_none(&network.prefix[f].addr)
                || !prefix_contains(&network.prefix[f],
                                    &network.gateway.of[f]))) {
            return err_set(err, EINVAL, "network \"%s\": its gateway is not "
                           "in its prefix", row->name);
        }
    }
    *out = network;
    return 0;
}

int
rows_interface(const struct dbrec_interface *row, struct interface *out,
               struct err *err)
{
    struct interface interface = { .uuid = row->header_.uuid };

    if (!row->network) {
        return err_set(err, EAGAIN, "interface "UUID_FMT": its network is "
                       "not known", UUID_ARGS(&interface.uuid));
    }
    interface.network = row->network->header_.uuid;
    interface.network_id = row->network->id;
    if (!eth_addr_from_string(row->mac, &interface.mac)
        || eth_addr_is_multicast(interface.mac)
        || eth_addr_is_zero(interface.mac)) {
        return err_set(err, EINVAL, "interface "UUID_FMT": \"%.40s\" is not "
                       "a MAC address of a host", UUID_ARGS(&interface.uuid),
                       row->mac);
    }
    if (parse_pair(row->home, row->n_home, &interface.home, err)
        || parse_pair(row->inside, row->n_inside, &interface.inside, err)) {
        return err_add(err, EINVAL, "interface "UUID_FMT,
                       UUID_ARGS(&interface.uuid));
    }
    if (addr_pair_is_none(&interface.inside)) {
        interface.inside = interface.home;
    }
    *out = interface;
    return 0;
}

/* A network's part of what a guest must know. */
static int
fill_nic(const struct dbrec_interface *row, struct vm_nic *nic,
         struct err *err)
{
    struct network network;
    int error;

    if ((error = rows_interface(row, &nic->interface, err)) != 0
        || (error = rows_network(row->network, &network, err)) != 0) {
        return error;
    }
    ADDR_FOR_EACH_FAMILY (f) {
        nic->router[f] = network.gateway.of[f];
        nic->prefix_len[f] = network.prefix[f].len;
    }
    nic->mtu = row->network->mtu;
    if (strlen(row->pci) >= sizeof nic->pci) {
        return err_set(err, EINVAL, "\"%.40s\" is not a PCI slot", row->pci);
    }
    ovs_strlcpy(nic->pci, row->pci, sizeof nic->pci);
    return 0;
}

static int
compare_nics(const void *a_, const void *b_)
{
    const struct vm_nic *a = a_, *b = b_;
    return rows_compare_interfaces(a->pci, &a->interface.uuid,
                                   b->pci, &b->interface.uuid);
}

static int
copy_word(const char *what, const char *word, char *out, size_t size,
          struct err *err)
{
    if (strlen(word) >= size || strpbrk(word, ", \t\r\n")) {
        return err_set(err, EINVAL, "its %s \"%.70s\" is too long, or has a "
                       "comma or space", what, word);
    }
    ovs_strlcpy(out, word, size);
    return 0;
}

struct uuid
rows_vm_migration(const struct dbrec_vm *row)
{
    return datum_uuid(dbrec_vm_get_migration(row, OVSDB_TYPE_UUID));
}

int
rows_compare_interfaces(const char *a_pci, const struct uuid *a,
                        const char *b_pci, const struct uuid *b)
{
    unsigned long a_slot = strtoul(a_pci, NULL, 0);
    unsigned long b_slot = strtoul(b_pci, NULL, 0);

    return (a_slot != b_slot ? (a_slot < b_slot ? -1 : 1)
            : uuid_compare_3way(a, b));
}

int
rows_vm(const struct dbrec_vm *row, struct vm_order *out, struct err *err)
{
    struct vm_order order = {
        .vm.uuid = row->header_.uuid,
        .vm.memory_kib = row->memory_kib,
        .vm.vcpus = row->vcpus,
        .host = *ROW_UUID(row->host),
        .power = !strcmp(row->power, "running"),
        .counter = row->generation,
        .migration = rows_vm_migration(row),
    };
    struct vm *vm = &order.vm;
    int error;

    if ((error = copy_name("VM", row->name, vm->name, err)) != 0) {
        return error;
    }
    if (copy_word("image", row->image, vm->image, sizeof vm->image, err)
        || copy_word("machine type", row->machine, vm->machine,
                     sizeof vm->machine, err)
        || copy_word("CPU model", row->cpu, vm->cpu, sizeof vm->cpu, err)) {
        return err_add(err, EINVAL, "VM \"%s\"", vm->name);
    }

    /* References to rows that have not arrived are left out by the IDL. */
    const struct ovsdb_datum *wanted
        = dbrec_vm_get_interfaces(row, OVSDB_TYPE_UUID);
    if (row->n_interfaces != wanted->n) {
        return err_set(err, EAGAIN, "VM \"%s\": its interfaces are not known "
                       "yet", vm->name);
    }
    for (size_t i = 0; i < row->n_interfaces && i < VM_MAX_NICS; i++) {
        error = fill_nic(row->interfaces[i], &vm->nics[vm->n_nics++], err);
        if (error) {
            return err_add(err, error, "VM \"%s\"", vm->name);
        }
    }
    qsort(vm->nics, vm->n_nics, sizeof vm->nics[0], compare_nics);
    *out = order;
    return 0;
}

struct generation
rows_generation(int64_t epoch, int64_t counter,
                const struct dbrec_host *host)
{
    return (struct generation) {
        .epoch = epoch,
        .counter = counter,
        .host = *ROW_UUID(host),
    };
}

bool
rows_is_written_by(const char *writer, const struct dbrec_host *host)
{
    return !writer[0] || !strcmp(writer, host->cn);
}

bool
rows_interface_admits(const struct dbrec_interface *row,
                      const struct uuid *host)
{
    bool found = !row->n_hosts;

    for (size_t i = 0; i < row->n_hosts && !found; i++) {
        found = uuid_equals(ROW_UUID(row->hosts[i]), host);
    }
    return found;
}

bool
rows_binding_is_honest(const struct dbrec_binding *row)
{
    return (rows_is_written_by(row->writer, row->host)
            && (!row->interface
                || rows_interface_admits(row->interface,
                                         ROW_UUID(row->host))));
}

bool
rows_instance_is_honest(const struct dbrec_instance *row)
{
    return (rows_is_written_by(row->writer, row->host)
            && (!row->vm || !row->vm->n_interfaces
                || rows_interface_admits(row->vm->interfaces[0],
                                         ROW_UUID(row->host))));
}

int
rows_binding(const struct dbrec_binding *row, struct binding *out,
             struct err *err)
{
    struct binding binding = {
        .interface = *session_binding_interface(row),
        .generation = rows_generation(row->epoch, row->counter, row->host),
        .active = !strcmp(row->state, "active"),
    };

    if (!row->host) {
        return err_set(err, EAGAIN, "binding of interface "UUID_FMT": its "
                       "host is not known", UUID_ARGS(&binding.interface));
    }
    if (!rows_binding_is_honest(row)) {
        return err_set(err, EPERM, "binding of interface "UUID_FMT": host "
                       "\"%s\" may not have it, or did not write it",
                       UUID_ARGS(&binding.interface), row->host->name);
    }
    if (parse_pair(row->mobile, row->n_mobile, &binding.mobile, err)) {
        return err_add(err, EINVAL, "binding of interface "UUID_FMT,
                       UUID_ARGS(&binding.interface));
    }
    *out = binding;
    return 0;
}

const char *
rows_instance_state_name(enum vm_state state)
{
    switch (state) {
    case VM_ABSENT:
    case VM_SENT: return "stopped";
    case VM_STARTING: return "starting";
    case VM_LISTENING: return "listening";
    case VM_RUNNING: return "running";
    case VM_PAUSED: return "paused";
    case VM_FAILED: return "failed";
    }
    OVS_NOT_REACHED();
}

static size_t
copy_figures(char **names, const double *values, size_t n,
             struct migration_figure out[MIGRATION_MAX_FIGURES])
{
    n = MIN(n, MIGRATION_MAX_FIGURES);
    for (size_t i = 0; i < n; i++) {
        ovs_strlcpy(out[i].name, names[i], sizeof out[i].name);
        out[i].value = values[i];
    }
    return n;
}

static bool
migration_state_from_name(const char *name, enum migration_state *state)
{
    for (enum migration_state s = 0; s <= MOVE_STUCK; s++) {
        if (!strcmp(migration_state_name(s), name)) {
            *state = s;
            return true;
        }
    }
    return false;
}

bool
rows_migration_has_ended(const struct dbrec_migration *row)
{
    enum migration_state state;

    return (!migration_state_from_name(row->state, &state)
            || migration_state_is_final(state));
}

int
rows_migration(const struct dbrec_migration *row, struct migration *out,
               struct err *err)
{
    struct migration m = {
        .uuid = row->header_.uuid,
        .vm = datum_uuid(dbrec_migration_get_vm(row, OVSDB_TYPE_UUID)),
        .source = *ROW_UUID(row->source),
        .destination = *ROW_UUID(row->destination),
        .counter = row->counter,
        .cancel = row->cancel,
        .runs_on = *ROW_UUID(row->runs_on),
        .copied = MAX(row->copied, 0),
        .total = MAX(row->total, 0),
        .created = row->created,
        .finished = row->finished,
    };

    if (!migration_state_from_name(row->state, &m.state)) {
        return err_set(err, EINVAL, "migration "UUID_FMT": state \"%s\" is "
                       "not known", UUID_ARGS(&m.uuid), row->state);
    }
    ovs_strlcpy(m.vm_name, row->vm_name, sizeof m.vm_name);
    ovs_strlcpy(m.source_name, row->source_name, sizeof m.source_name);
    ovs_strlcpy(m.destination_name, row->destination_name,
                sizeof m.destination_name);
    ovs_strlcpy(m.step, row->step, sizeof m.step);
    ovs_strlcpy(m.error, row->error, sizeof m.error);
    m.n_figures = copy_figures(row->key_figures, row->value_figures,
                               row->n_figures, m.figures);
    m.n_phases = copy_figures(row->key_phases, row->value_phases,
                              row->n_phases, m.phases);
    *out = m;
    return 0;
}

size_t
rows_format_pair(const struct addr_pair *pair,
                 char bufs[N_ADDR_FAMILIES][ADDR_STRLEN],
                 const char *strings[N_ADDR_FAMILIES])
{
    size_t n = 0;

    ADDR_FOR_EACH_FAMILY (f) {
        if (!addr_is_none(&pair->of[f])) {
            strings[n] = addr_format(&pair->of[f], bufs[n]);
            n++;
        }
    }
    return n;
}
