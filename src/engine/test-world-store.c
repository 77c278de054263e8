#include <config.h>

/* The fake of the store: one for all hosts.  Reads see at once what has been
 * written; a write takes WRITE_US. */

#include "engine/test-world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util.h"
#include "uuid.h"

#include "store/bindings.h"
#include "store/claims.h"
#include "store/hosts.h"
#include "store/migrations.h"
#include "store/networks.h"
#include "store/store.h"
#include "store/vms.h"

#define WRITE_US 4000

struct world_write {
    struct ovs_list node;
    write_ticket ticket;
    int by;                     /* Which host. */
    enum { W_ADVANCE, W_RESERVE, W_UNRESERVE, W_MOVED, W_BIND, W_UNBIND,
           W_MIGRATION, W_OTHER } kind;
    bool refuse;
    long long at_us;
    enum write_result result;
    uint64_t counter;
    struct uuid migration, host;
    struct binding binding;
    struct migration row;
};

static struct world_host *
host_of(const void *object)
{
    return CONST_CAST(struct world_host *, object);
}

/* Writes. */

static const char *const write_names[] = {
    [W_ADVANCE] = "advance", [W_RESERVE] = "reserve",
    [W_UNRESERVE] = "unreserve", [W_MOVED] = "moved", [W_BIND] = "bind",
    [W_UNBIND] = "unbind", [W_MIGRATION] = "migration", [W_OTHER] = "other",
};

static struct world_write *
find_write_of(int host, int kind)
{
    struct world_write *w;

    LIST_FOR_EACH (w, node, &world.writes) {
        if (w->by == host && w->kind == kind && w->result == WRITE_PENDING) {
            return w;
        }
    }
    return NULL;
}

/* As in the real queue, a report replaces one that waits. */
static write_ticket
add(const struct world_write *template)
{
    const struct weather *w;
    struct world_write *write;

    world_effect(world.current, write_names[template->kind]);
    if (template->kind == W_MIGRATION
        && (write = find_write_of(world.current->index, W_MIGRATION))) {
        write->row = template->row;
        return write->ticket;
    }
    write = xmalloc(sizeof *write);
    *write = *template;
    write->by = world.current->index;
    write->ticket = ++world.n_writes;
    write->at_us = world_later(WRITE_US);
    write->result = WRITE_PENDING;
    /* Progress may be written freely, and a migration can always end its own
     * reservation. */
    if (world.requested && write->kind != W_MIGRATION) {
        int n = world.n_counted++;

        write->refuse = (write->kind != W_MOVED && write->kind != W_UNRESERVE
                         && world_strikes(WRITE_IS_REFUSED, n));
        w = world_strikes(STORE_AWAY, n);
        if (w) {
            world.store_back_us = world.now_us + w->ms * 1000LL;
        }
    }
    ovs_list_push_back(&world.writes, &write->node);
    return write->ticket;
}

static struct world_binding *
find_binding(const struct uuid *interface, const struct generation *g)
{
    for (size_t i = 0; i < world.n_bindings; i++) {
        struct world_binding *b = &world.bindings[i];

        if (!b->gone && uuid_equals(&b->binding.interface, interface)
            && !generation_compare(&b->binding.generation, g)) {
            return b;
        }
    }
    return NULL;
}

static void
do_bind(const struct binding *binding)
{
    struct world_binding *b = find_binding(&binding->interface,
                                           &binding->generation);

    if (!b) {
        ovs_assert(world.n_bindings < ARRAY_SIZE(world.bindings));
        b = &world.bindings[world.n_bindings++];
        b->gone = false;
    }
    b->binding = *binding;
}

static enum write_result
do_write(const struct world_write *w)
{
    struct vm_order *order = &world.order;
    struct world_binding *b;

    if (w->refuse) {
        return WRITE_REFUSED;
    }
    switch (w->kind) {
    case W_ADVANCE:
        if (order->counter != w->counter) {
            return WRITE_REFUSED;
        }
        order->counter = w->counter + 1;
        break;
    case W_RESERVE:
        if (order->counter != w->counter
            || !uuid_is_zero(&order->migration)) {
            return WRITE_REFUSED;
        }
        order->counter = w->counter + VM_MOVE_GENERATIONS;
        order->migration = w->migration;
        break;
    case W_UNRESERVE:
    case W_MOVED:
        if (uuid_equals(&order->migration, &w->migration)) {
            order->migration = UUID_ZERO;
            if (w->kind == W_MOVED) {
                order->host = w->host;
            }
        } else if (w->kind == W_MOVED && !uuid_is_zero(&order->migration)) {
            return WRITE_REFUSED;
        }
        break;
    case W_BIND:
        do_bind(&w->binding);
        world.store_seqno++;
        break;
    case W_UNBIND:
        b = find_binding(&w->binding.interface, &w->binding.generation);
        if (b) {
            b->gone = true;
            world.store_seqno++;
        }
        break;
    case W_MIGRATION: {
        bool cancel = world.migration.cancel;
        struct uuid runs_on = world.migration.runs_on;

        world.migration = w->row;
        world.migration.cancel = cancel;
        world.migration.runs_on = runs_on;
        break;
    }
    case W_OTHER:
        break;
    }
    return WRITE_DONE;
}

void
world_run_store(void)
{
    struct world_write *w;

    if (world.now_us < world.store_back_us) {
        return;
    }
    LIST_FOR_EACH (w, node, &world.writes) {
        if (w->result == WRITE_PENDING && world.now_us >= w->at_us) {
            w->result = do_write(w);
            world.n_done++;
        }
    }
}

/* Stepwise. */

static struct world_write *
find_write(int host, size_t i)
{
    struct world_write *w;

    LIST_FOR_EACH (w, node, &world.writes) {
        if (w->by == host && w->result == WRITE_PENDING && !i--) {
            return w;
        }
    }
    return NULL;
}

size_t
world_n_writes(int host)
{
    size_t n = 0;

    while (find_write(host, n)) {
        n++;
    }
    return n;
}

void
world_write_name(int host, size_t i, char buf[24])
{
    const struct world_write *w = find_write(host, i);
    const char *state = (w->kind == W_MIGRATION
                         ? migration_state_name(w->row.state) : "");

    snprintf(buf, 24, "%s%s%s", write_names[w->kind], *state ? " " : "",
             state);
}

void
world_do_write(int host, bool refuse)
{
    struct world_write *w = find_write(host, 0);

    w->refuse = refuse;
    w->result = do_write(w);
    world.n_done++;
}

void
world_drop_writes(int host)
{
    struct world_write *w;

    while ((w = find_write(host, 0))) {
        ovs_list_remove(&w->node);
        free(w);
    }
}

void
world_clear_store(void)
{
    struct world_write *w;

    LIST_FOR_EACH_POP (w, node, &world.writes) {
        free(w);
    }
}

enum write_result
write_result(const struct store *store OVS_UNUSED, write_ticket ticket,
             struct err *err)
{
    const struct world_write *w;

    LIST_FOR_EACH (w, node, &world.writes) {
        if (w->ticket == ticket) {
            if (w->result > WRITE_DONE) {
                err_set(err, EPERM, "the store refused it");
            }
            return w->result;
        }
    }
    OVS_NOT_REACHED();
}

/* The store itself. */

uint32_t
store_epoch(const struct store *store OVS_UNUSED)
{
    return 1;
}

bool
store_is_ready(const struct store *store OVS_UNUSED)
{
    return true;
}

unsigned int
store_seqno(const struct store *store OVS_UNUSED)
{
    return 1 + world.n_done + world.requested + world.migration.cancel;
}

void
store_watch_network(struct store *store OVS_UNUSED,
                    const struct uuid *network OVS_UNUSED)
{
}

int
hosts_get(const struct store *store OVS_UNUSED, const struct uuid *uuid,
          struct host *host, struct err *err OVS_UNUSED)
{
    const struct world_host *h = world_host(uuid);

    *host = (struct host) { .uuid = *uuid };
    ovs_strlcpy(host->name, h->name, sizeof host->name);
    ovs_strlcpy(host->channel, "tcp:192.0.2.1:6650", sizeof host->channel);
    return 0;
}

int
networks_get(const struct store *store OVS_UNUSED, const struct uuid *uuid,
             struct network *network, struct err *err OVS_UNUSED)
{
    *network = (struct network) { .uuid = *uuid, .name = "blue", .id = 7 };
    prefix_parse("10.0.0.0/24", &network->prefix[ADDR_V4], NULL);
    addr_parse("10.0.0.254", &network->gateway.of[ADDR_V4], NULL);
    return 0;
}

bool
interfaces_admit(const struct store *store OVS_UNUSED,
                 const struct uuid *interface OVS_UNUSED,
                 const struct uuid *host)
{
    return !uuid_equals(host, &world.stranger);
}

int
interfaces_get(const struct store *store OVS_UNUSED, const struct uuid *uuid,
               struct interface *interface, struct err *err)
{
    if (!uuid_equals(uuid, &world.vm.nics[0].interface.uuid)) {
        return err_set(err, ENOENT, "no such interface");
    }
    *interface = world.vm.nics[0].interface;
    return 0;
}

/* VMs. */

int
vms_get(const struct store *store OVS_UNUSED, const struct uuid *uuid,
        struct vm_order *order, struct err *err)
{
    if (!uuid_equals(uuid, &world.vm.uuid)) {
        return err_set(err, ENOENT, "no such VM");
    }
    *order = world.order;
    return 0;
}

size_t
vms_list_here(const struct store *store, struct uuid **uuids)
{
    *uuids = xmemdup(&world.vm.uuid, sizeof **uuids);
    return uuid_equals(&world.order.host, &host_of(store)->uuid);
}

write_ticket
vms_advance(struct store *store OVS_UNUSED, const struct uuid *vm OVS_UNUSED,
            uint64_t counter)
{
    return add(&(struct world_write) { .kind = W_ADVANCE,
                                       .counter = counter });
}

write_ticket
vms_reserve(struct store *store OVS_UNUSED, const struct uuid *vm OVS_UNUSED,
            const struct uuid *migration, uint64_t counter)
{
    return add(&(struct world_write) { .kind = W_RESERVE,
                                       .migration = *migration,
                                       .counter = counter });
}

write_ticket
vms_unreserve(struct store *store OVS_UNUSED,
              const struct uuid *vm OVS_UNUSED, const struct uuid *migration)
{
    return add(&(struct world_write) { .kind = W_UNRESERVE,
                                       .migration = *migration });
}

write_ticket
vms_moved(struct store *store OVS_UNUSED, const struct uuid *vm OVS_UNUSED,
          const struct uuid *migration, const struct uuid *host)
{
    return add(&(struct world_write) { .kind = W_MOVED, .host = *host,
                                       .migration = *migration });
}

write_ticket
instances_put(struct store *store OVS_UNUSED, const struct instance *instance)
{
    world.instance = *instance;
    return add(&(struct world_write) { .kind = W_OTHER });
}

write_ticket
instances_delete(struct store *store OVS_UNUSED,
                 const struct uuid *vm OVS_UNUSED,
                 const struct generation *generation OVS_UNUSED)
{
    return add(&(struct world_write) { .kind = W_OTHER });
}

/* Bindings. */

static int
compare_newest(const void *a_, const void *b_)
{
    const struct binding *a = a_, *b = b_;

    return -generation_compare(&a->generation, &b->generation);
}

size_t
bindings_list(const struct store *store OVS_UNUSED,
              const struct uuid *interface, struct binding *list, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < world.n_bindings && n < max; i++) {
        const struct world_binding *b = &world.bindings[i];

        if (!b->gone && uuid_equals(&b->binding.interface, interface)) {
            list[n++] = b->binding;
        }
    }
    qsort(list, n, sizeof *list, compare_newest);
    return n;
}

bool
bindings_find_newest(const struct store *store, const struct uuid *interface,
                     bool active, struct binding *binding)
{
    struct binding list[ARRAY_SIZE(world.bindings)];
    size_t n = bindings_list(store, interface, list, ARRAY_SIZE(list));

    for (size_t i = 0; i < n; i++) {
        if (list[i].active || !active) {
            *binding = list[i];
            return true;
        }
    }
    return false;
}

write_ticket
bindings_put(struct store *store, const struct binding *binding)
{
    ovs_assert(uuid_equals(&binding->generation.host, &host_of(store)->uuid));
    return add(&(struct world_write) { .kind = W_BIND,
                                       .binding = *binding });
}

write_ticket
bindings_delete(struct store *store OVS_UNUSED, const struct uuid *interface,
                const struct generation *generation)
{
    return add(&(struct world_write) {
        .kind = W_UNBIND,
        .binding = { .interface = *interface, .generation = *generation },
    });
}

/* Mobile addresses. */

int
claims_take(struct store *store, enum addr_family family,
            long long wall_now OVS_UNUSED, struct in6_addr *addr,
            struct err *err)
{
    struct world_host *h = host_of(store);

    for (int i = 100; i < 200 && family == ADDR_V4; i++) {
        if (!h->used[i]) {
            char buf[32];

            h->used[i] = true;
            snprintf(buf, sizeof buf, "198.18.%d.%d", h->index + 1, i);
            return addr_parse(buf, addr, err);
        }
    }
    return err_set(err, ENOENT, "none is free");
}

size_t
claims_n_available(const struct store *store OVS_UNUSED,
                   enum addr_family family OVS_UNUSED)
{
    return 0;
}

/* This store is never restored from a backup. */
write_ticket
claims_keep(struct store *store OVS_UNUSED,
            const struct addr_pair *pair OVS_UNUSED,
            long long wall_now OVS_UNUSED)
{
    OVS_NOT_REACHED();
}

write_ticket
claims_rest(struct store *store, const struct addr_pair *pair,
            long long wall_now OVS_UNUSED)
{
    struct world_host *h = host_of(store);
    const uint8_t *bytes = pair->of[ADDR_V4].s6_addr;

    ovs_assert(bytes[14] == h->index + 1 && h->used[bytes[15]]);
    h->rested[bytes[15]] = true;
    return add(&(struct world_write) { .kind = W_OTHER });
}

/* Migrations. */

int
migrations_get(const struct store *store OVS_UNUSED, const struct uuid *uuid,
               struct migration *row, struct err *err)
{
    if (!world.requested || !uuid_equals(uuid, &world.migration.uuid)) {
        return err_set(err, ENOENT, "no such migration");
    }
    *row = world.migration;
    return 0;
}

const char *
migrations_option(const struct store *store OVS_UNUSED,
                  const struct uuid *uuid OVS_UNUSED,
                  const char *name OVS_UNUSED, char *buf, size_t size)
{
    ovs_strlcpy(buf, "", size);
    return buf;
}

size_t
migrations_list_here(const struct store *store, struct migration **list)
{
    *list = xmemdup(&world.migration, sizeof **list);
    return (world.requested
            && uuid_equals(&world.migration.source, &host_of(store)->uuid)
            && world.migration.state <= MOVE_RUNNING);
}

write_ticket
migrations_put(struct store *store OVS_UNUSED, const struct migration *row)
{
    return add(&(struct world_write) { .kind = W_MIGRATION, .row = *row });
}

const char *
migration_state_name(enum migration_state state)
{
    static const char *const names[] = {
        "requested", "running", "completed", "rolled-back", "failed",
        "stuck",
    };

    return names[state];
}

bool
migration_state_is_final(enum migration_state state)
{
    return state > MOVE_RUNNING;
}
