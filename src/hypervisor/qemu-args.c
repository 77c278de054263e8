#include <config.h>
#include "hypervisor/qemu-args.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/hypervisor.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "svec.h"
#include "util.h"
#include "uuid.h"

#define MEMORY_MIN_KIB (16 * 1024)
#define MEMORY_MAX_KIB (4ULL << 30)     /* 4 TiB. */
#define VCPUS_MAX 255
#define FIRST_PCI_SLOT 3                /* Of NICs that have none pinned. */
#define DISK_PCI_SLOT "0x1e"            /* Behind any NIC. */

/* Everything that would hand packets to a guest unfinished: the userspace
 * datapath moves them as they are.  The queue is long because the capture's
 * filter ignores that a guest is full. */
static const char nic_options[] =
    "romfile=,csum=off,gso=off,host_tso4=off,host_tso6=off,host_ufo=off,"
    "guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ufo=off,"
    "rx_queue_size=1024";

static const char sandbox_options[] =
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/* Words of QEMU's own: machine types, CPU models with their flags, PCI
 * addresses. */
static bool
is_word(const char *s, const char *also)
{
    if (!*s) {
        return false;
    }
    for (; *s; s++) {
        if (!isalnum((unsigned char) *s) && !strchr(also, *s)) {
            return false;
        }
    }
    return true;
}

static bool
is_printable(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char) *s < ' ' || *s == 0x7f) {
            return false;
        }
    }
    return true;
}

static int
check_nic(const struct vm *vm, const struct vm_nic *nic, struct err *err)
{
    if (*nic->pci && !is_word(nic->pci, ".")) {
        return err_set(err, EINVAL, "VM \"%s\": \"%s\" is no PCI address",
                       vm->name, nic->pci);
    }
    if (eth_addr_is_zero(nic->interface.mac)
        || eth_addr_is_multicast(nic->interface.mac)) {
        return err_set(err, EINVAL, "VM \"%s\": "ETH_ADDR_FMT" cannot be the "
                       "MAC of a NIC", vm->name,
                       ETH_ADDR_ARGS(nic->interface.mac));
    }
    return 0;
}

int
qemu_args_check(const struct vm *vm, struct err *err)
{
    if (!*vm->name || !is_printable(vm->name) || !is_printable(vm->image)) {
        return err_set(err, EINVAL, "a VM needs a printable name and image");
    }
    if (!is_word(vm->machine, "-._")) {
        return err_set(err, EINVAL, "VM \"%s\": \"%s\" is no machine type",
                       vm->name, vm->machine);
    }
    if (!is_word(vm->cpu, "-._+,=")) {
        return err_set(err, EINVAL, "VM \"%s\": \"%s\" is no CPU model",
                       vm->name, vm->cpu);
    }
    if (vm->memory_kib < MEMORY_MIN_KIB || vm->memory_kib > MEMORY_MAX_KIB) {
        return err_set(err, EINVAL, "VM \"%s\": memory must be %d MiB to %llu "
                       "GiB", vm->name, MEMORY_MIN_KIB / 1024,
                       MEMORY_MAX_KIB >> 20);
    }
    if (!vm->vcpus || vm->vcpus > VCPUS_MAX) {
        return err_set(err, EINVAL, "VM \"%s\": it needs 1 to %d CPUs",
                       vm->name, VCPUS_MAX);
    }
    if (strcmp(vm->image, "mini") && vm->image[0] != '/') {
        return err_set(err, EINVAL, "VM \"%s\": the image \"%s\" is neither "
                       "\"mini\" nor an absolute path", vm->name, vm->image);
    }
    if (vm->n_nics > VM_MAX_NICS) {
        return err_set(err, EINVAL, "VM \"%s\": it has more than %d NICs",
                       vm->name, VM_MAX_NICS);
    }
    int error = 0;
    for (size_t i = 0; i < vm->n_nics && !error; i++) {
        error = check_nic(vm, &vm->nics[i], err);
    }
    return error;
}

bool
qemu_args_has_disk(const struct vm *vm)
{
    return vm->image[0] == '/';
}

static void
add(struct svec *argv, const char *option, const char *value)
{
    svec_add(argv, option);
    svec_add(argv, value);
}

static void OVS_PRINTF_FORMAT(3, 4)
addf(struct svec *argv, const char *option, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    svec_add(argv, option);
    svec_add_nocopy(argv, xvasprintf(format, args));
    va_end(args);
}

/* Values in QEMU's option lists spell a comma as two. */
static char *
escape(const char *s)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    for (; *s; s++) {
        ds_put_char(&ds, *s);
        if (*s == ',') {
            ds_put_char(&ds, ',');
        }
    }
    return ds_steal_cstr(&ds);
}

/* ",ADDRESS/LENGTH,ROUTER", both parts empty where there is none. */
static void
put_addresses(const struct vm_nic *nic, struct ds *ds)
{
    for (int family = 0; family < N_ADDR_FAMILIES; family++) {
        const struct in6_addr *addr = &nic->interface.inside.of[family];
        const struct in6_addr *router = &nic->router[family];
        ds_put_char(ds, ',');
        if (ipv6_addr_is_set(addr)) {
            ipv6_format_mapped(addr, ds);
            ds_put_format(ds, "/%u", nic->prefix_len[family]);
        }
        ds_put_char(ds, ',');
        if (ipv6_addr_is_set(router)) {
            ipv6_format_mapped(router, ds);
        }
    }
}

/* What the image "mini" wants to know; see guest/README.md. */
static char *
kernel_command_line(const struct vm *vm)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    ds_put_cstr(&ds, "console=ttyS0 quiet");
    for (size_t i = 0; i < vm->n_nics; i++) {
        const struct vm_nic *nic = &vm->nics[i];
        ds_put_format(&ds, " watari.if="ETH_ADDR_FMT,
                      ETH_ADDR_ARGS(nic->interface.mac));
        put_addresses(nic, &ds);
        if (nic->mtu) {
            ds_put_format(&ds, ",%u", nic->mtu);
        }
    }
    return ds_steal_cstr(&ds);
}

static void
add_image(const struct vm *vm, const struct qemu_args *a, struct svec *argv)
{
    if (!qemu_args_has_disk(vm)) {
        addf(argv, "-kernel", "/proc/self/fd/%d", a->kernel_fd);
        addf(argv, "-initrd", "/proc/self/fd/%d", a->initrd_fd);
        svec_add(argv, "-append");
        svec_add_nocopy(argv, kernel_command_line(vm));
        return;
    }
    const char *suffix = strrchr(vm->image, '.');
    char *path = escape(vm->image);
    addf(argv, "-blockdev", "driver=%s,node-name=disk0,file.driver=file,"
         "file.filename=%s",
         suffix && !strcmp(suffix, ".qcow2") ? "qcow2" : "raw", path);
    add(argv, "-device", "virtio-blk-pci,id=vda,drive=disk0,romfile=,"
        "addr="DISK_PCI_SLOT);
    free(path);
}

static void
add_nics(const struct vm *vm, const struct qemu_args *a, struct svec *argv)
{
    for (size_t i = 0; i < vm->n_nics; i++) {
        const struct vm_nic *nic = &vm->nics[i];
        char slot[16];
        snprintf(slot, sizeof slot, "0x%zx", FIRST_PCI_SLOT + i);
        addf(argv, "-netdev", "tap,id=net%zu,fd=%d,vhost=off", i,
             a->tap_fds[i]);
        addf(argv, "-device", "virtio-net-pci,id=nic%zu,netdev=net%zu,"
             "mac="ETH_ADDR_FMT",addr=%s,%s", i, i,
             ETH_ADDR_ARGS(nic->interface.mac), *nic->pci ? nic->pci : slot,
             nic_options);
    }
}

void
qemu_args_make(const struct vm *vm, const struct qemu_args *a,
               struct svec *argv)
{
    char *name = escape(vm->name);
    svec_add(argv, QEMU_PROGRAM);
    svec_add(argv, "-no-user-config");
    svec_add(argv, "-nodefaults");
    addf(argv, "-name", "guest=%s", name);
    addf(argv, "-uuid", UUID_FMT, UUID_ARGS(&vm->uuid));
    add(argv, "-accel", a->kvm ? "kvm" : "tcg");
    add(argv, "-machine", vm->machine);
    add(argv, "-cpu", vm->cpu);
    addf(argv, "-smp", "%u", vm->vcpus);
    addf(argv, "-m", "%"PRIu64"K", hypervisor_pad_memory(vm->memory_kib));
    add(argv, "-display", "none");
    add(argv, "-sandbox", sandbox_options);
    add(argv, "-qmp", "unix:agent.qmp,server=on,wait=off");
    add(argv, "-qmp", "unix:watchdog.qmp,server=on,wait=off");
    add(argv, "-monitor", "unix:monitor,server=on,wait=off");
    add(argv, "-chardev", "socket,id=console,path=console,server=on,wait=off,"
        "logfile=console.log");
    add(argv, "-serial", "chardev:console");
    add_image(vm, a, argv);
    add_nics(vm, a, argv);
    if (a->incoming) {
        add(argv, "-incoming", "defer");
        svec_add(argv, "-S");
    }
    free(name);
}
