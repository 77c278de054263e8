#include <config.h>

#include "peer/message.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/shash.h"
#include "packets.h"
#include "util.h"
#include "uuid.h"

/* The record of a VM on the wire.  The destination takes nothing on trust:
 * each field is checked as if a stranger had sent it. */

static struct json *
nic_to_json(const struct vm_nic *nic)
{
    struct json *o = json_object_create();
    struct addr_pair router;

    memcpy(&router, nic->router, sizeof router);
    message_put_uuid(o, "interface", &nic->interface.uuid);
    message_put_uuid(o, "network", &nic->interface.network);
    json_object_put(o, "network_id",
                    json_integer_create(nic->interface.network_id));
    json_object_put_format(o, "mac", ETH_ADDR_FMT,
                           ETH_ADDR_ARGS(nic->interface.mac));
    message_put_addrs(o, "home", &nic->interface.home);
    message_put_addrs(o, "inside", &nic->interface.inside);
    message_put_addrs(o, "router", &router);
    json_object_put(o, "prefix4",
                    json_integer_create(nic->prefix_len[ADDR_V4]));
    json_object_put(o, "prefix6",
                    json_integer_create(nic->prefix_len[ADDR_V6]));
    json_object_put(o, "mtu", json_integer_create(nic->mtu));
    json_object_put_string(o, "pci", nic->pci);
    return o;
}

struct json *
message_from_vm(const struct vm *vm)
{
    struct json *o = json_object_create();

    message_put_uuid(o, "uuid", &vm->uuid);
    json_object_put_string(o, "name", vm->name);
    json_object_put(o, "memory_kib", json_integer_create(vm->memory_kib));
    json_object_put(o, "vcpus", json_integer_create(vm->vcpus));
    json_object_put_string(o, "image", vm->image);
    json_object_put_string(o, "machine", vm->machine);
    json_object_put_string(o, "cpu", vm->cpu);

    struct json *nics = message_put_list(o, "nics");
    for (size_t i = 0; i < vm->n_nics; i++) {
        json_array_add(nics, nic_to_json(&vm->nics[i]));
    }
    return o;
}

static const struct json *
find(const struct json *o, const char *key, enum json_type type,
     struct err *err)
{
    const struct json *value = shash_find_data(o->object, key);

    if (!value || value->type != type) {
        err_set(err, EBADMSG, "\"%s\" is missing or of a wrong type", key);
        return NULL;
    }
    return value;
}

static int
get_text(const struct json *o, const char *key, char *dst, size_t size,
         struct err *err)
{
    const struct json *value = find(o, key, JSON_STRING, err);

    if (!value) {
        return EBADMSG;
    }
    if (strlen(json_string(value)) >= size) {
        return err_set(err, EBADMSG, "\"%s\" is too long", key);
    }
    ovs_strlcpy(dst, json_string(value), size);
    return 0;
}

static int
get_uuid(const struct json *o, const char *key, struct uuid *uuid,
         struct err *err)
{
    const struct json *value = find(o, key, JSON_STRING, err);

    return (value && uuid_from_string(uuid, json_string(value))
            ? 0 : err_set(err, EBADMSG, "\"%s\" is not a UUID", key));
}

static int
get_number(const struct json *o, const char *key, long long min,
           long long max, long long *number, struct err *err)
{
    const struct json *value = find(o, key, JSON_INTEGER, err);

    if (!value || json_integer(value) < min || json_integer(value) > max) {
        return err_set(err, EBADMSG, "\"%s\" is not a number from %lld to "
                       "%lld", key, min, max);
    }
    *number = json_integer(value);
    return 0;
}

static int
get_addrs(const struct json *o, const char *key, struct addr_pair *pair,
          struct err *err)
{
    const struct json *value = find(o, key, JSON_ARRAY, err);

    for (size_t i = 0; value && i < value->array.n; i++) {
        const struct json *elem = value->array.elems[i];

        if (elem->type != JSON_STRING
            || addr_pair_add(pair, json_string(elem), err)) {
            return err_set(err, EBADMSG, "\"%s\" is not a list of addresses",
                           key);
        }
    }
    return value ? 0 : EBADMSG;
}

static int
nic_from_json(const struct json *o, struct vm_nic *nic, struct err *err)
{
    char mac[ETH_ADDR_STRLEN + 1];
    struct addr_pair router = { 0 };
    long long id, plen4, plen6, mtu;
    int error;

    if (o->type != JSON_OBJECT) {
        return err_set(err, EBADMSG, "not an object");
    }
    (void) ((error = get_uuid(o, "interface", &nic->interface.uuid, err))
            || (error = get_uuid(o, "network", &nic->interface.network, err))
            || (error = get_number(o, "network_id", 1, 0xffffff, &id, err))
            || (error = get_text(o, "mac", mac, sizeof mac, err))
            || (error = get_addrs(o, "home", &nic->interface.home, err))
            || (error = get_addrs(o, "inside", &nic->interface.inside, err))
            || (error = get_addrs(o, "router", &router, err))
            || (error = get_number(o, "prefix4", 0, 32, &plen4, err))
            || (error = get_number(o, "prefix6", 0, 128, &plen6, err))
            || (error = get_number(o, "mtu", 576, 65535, &mtu, err))
            || (error = get_text(o, "pci", nic->pci, sizeof nic->pci, err)));
    if (error) {
        return error;
    }
    if (!eth_addr_from_string(mac, &nic->interface.mac)
        || eth_addr_is_multicast(nic->interface.mac)) {
        return err_set(err, EBADMSG, "\"mac\" is not a station's address");
    }
    nic->interface.network_id = id;
    nic->prefix_len[ADDR_V4] = plen4;
    nic->prefix_len[ADDR_V6] = plen6;
    nic->mtu = mtu;
    memcpy(nic->router, &router, sizeof router);
    return 0;
}

int
message_to_vm(const struct json *o, struct vm *vmp, struct err *err)
{
    struct vm vm = { .n_nics = 0 };
    long long memory, vcpus;
    int error;

    (void) ((error = get_uuid(o, "uuid", &vm.uuid, err))
            || (error = get_text(o, "name", vm.name, sizeof vm.name, err))
            || (error = get_number(o, "memory_kib", 1, 1LL << 40, &memory,
                                   err))
            || (error = get_number(o, "vcpus", 1, 255, &vcpus, err))
            || (error = get_text(o, "image", vm.image, sizeof vm.image, err))
            || (error = get_text(o, "machine", vm.machine,
                                 sizeof vm.machine, err))
            || (error = get_text(o, "cpu", vm.cpu, sizeof vm.cpu, err)));
    if (error) {
        return err_add(err, error, "VM record");
    }
    vm.memory_kib = memory;
    vm.vcpus = vcpus;

    const struct json *nics = find(o, "nics", JSON_ARRAY, err);
    if (!nics || nics->array.n > VM_MAX_NICS) {
        return err_set(err, EBADMSG, "VM record: \"nics\" is not a list of at "
                       "most %d", VM_MAX_NICS);
    }
    for (; vm.n_nics < nics->array.n; vm.n_nics++) {
        error = nic_from_json(nics->array.elems[vm.n_nics],
                              &vm.nics[vm.n_nics], err);
        if (error) {
            return err_add(err, error, "VM record: NIC %"PRIuSIZE, vm.n_nics);
        }
    }
    *vmp = vm;
    return 0;
}
