#include <config.h>

#include "hypervisor/qemu-args.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hypervisor/hypervisor.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "svec.h"
#include "util.h"
#include "uuid.h"

static struct vm
record(void)
{
    struct vm vm = {
        .name = "web1", .memory_kib = 262144, .vcpus = 2, .image = "mini",
        .machine = "pc-q35-7.2", .cpu = "qemu64,+ssse3", .n_nics = 2,
    };
    uuid_from_string(&vm.uuid, "0a1b2c3d-1111-2222-3333-444455556666");
    struct vm_nic *nic = &vm.nics[0];
    nic->interface.mac = (struct eth_addr) ETH_ADDR_C(52,54,00,00,00,0a);
    nic->interface.inside.of[ADDR_V4]
        = in6_addr_mapped_ipv4(htonl(0x0aff000b));
    inet_pton(AF_INET6, "fd00:255::11", &nic->interface.inside.of[ADDR_V6]);
    nic->router[ADDR_V4] = in6_addr_mapped_ipv4(htonl(0x0aff00fe));
    nic->prefix_len[ADDR_V4] = 24;
    nic->prefix_len[ADDR_V6] = 64;
    nic->mtu = 1450;
    ovs_strlcpy(nic->pci, "0x5", sizeof nic->pci);
    vm.nics[1].interface.mac = (struct eth_addr) ETH_ADDR_C(52,54,00,00,00,0b);
    return vm;
}

static const int fds[] = { 7, 9 };

/* The command line, an option a line. */
static char *
make(const struct vm *vm, struct qemu_args args)
{
    struct svec argv = SVEC_EMPTY_INITIALIZER;
    struct ds ds = DS_EMPTY_INITIALIZER;
    args.kernel_fd = 3;
    args.initrd_fd = 4;
    args.tap_fds = fds;
    assert_int_equal(qemu_args_check(vm, NULL), 0);
    qemu_args_make(vm, &args, &argv);
    for (size_t i = 0; i < argv.n; i++) {
        bool option = argv.names[i][0] == '-' && argv.names[i][1] != '-';
        ds_put_format(&ds, "%s%s", !i ? "" : option ? "\n" : " ",
                      argv.names[i]);
    }
    ds_put_char(&ds, '\n');
    svec_destroy(&argv);
    return ds_steal_cstr(&ds);
}

#define NIC_OPTIONS \
    "romfile=,csum=off,gso=off,host_tso4=off,host_tso6=off,host_ufo=off," \
    "guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ufo=off," \
    "rx_queue_size=1024\n"

static const char head[] =
    "qemu-system-x86_64\n"
    "-no-user-config\n"
    "-nodefaults\n"
    "-name guest=web1\n"
    "-uuid 0a1b2c3d-1111-2222-3333-444455556666\n"
    "-accel tcg\n"
    "-machine pc-q35-7.2\n"
    "-cpu qemu64,+ssse3\n"
    "-smp 2\n"
    "-m 262152K\n"
    "-display none\n"
    "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
    "resourcecontrol=deny\n"
    "-qmp unix:agent.qmp,server=on,wait=off\n"
    "-qmp unix:watchdog.qmp,server=on,wait=off\n"
    "-monitor unix:monitor,server=on,wait=off\n"
    "-chardev socket,id=console,path=console,server=on,wait=off,"
    "logfile=console.log\n"
    "-serial chardev:console\n";

static const char nics[] =
    "-netdev tap,id=net0,fd=7,vhost=off\n"
    "-device virtio-net-pci,id=nic0,netdev=net0,mac=52:54:00:00:00:0a,"
    "addr=0x5,"NIC_OPTIONS
    "-netdev tap,id=net1,fd=9,vhost=off\n"
    "-device virtio-net-pci,id=nic1,netdev=net1,mac=52:54:00:00:00:0b,"
    "addr=0x4,"NIC_OPTIONS;

static void
expect(char *actual, const char *image, const char *tail)
{
    char *expected = xasprintf("%s%s%s%s", head, image, nics, tail);
    assert_string_equal(actual, expected);
    free(expected);
    free(actual);
}

static void
test_mini(void **state)
{
    const char image[] =
        "-kernel /proc/self/fd/3\n"
        "-initrd /proc/self/fd/4\n"
        "-append console=ttyS0 quiet watari.if=52:54:00:00:00:0a,"
        "10.255.0.11/24,10.255.0.254,fd00:255::11/64,,1450 "
        "watari.if=52:54:00:00:00:0b,,,,\n";
    struct vm vm = record();
    expect(make(&vm, (struct qemu_args) { .kvm = false }), image, "");
    expect(make(&vm, (struct qemu_args) { .incoming = true }), image,
           "-incoming defer\n-S\n");
}

static void
test_disk(void **state)
{
    struct vm vm = record();
    ovs_strlcpy(vm.image, "/srv/a,b.qcow2", sizeof vm.image);
    assert_true(qemu_args_has_disk(&vm));
    expect(make(&vm, (struct qemu_args) { .kvm = false }),
           "-blockdev driver=qcow2,node-name=disk0,file.driver=file,"
           "file.filename=/srv/a,,b.qcow2\n"
           "-device virtio-blk-pci,id=vda,drive=disk0,romfile=,addr=0x1e\n",
           "");
}

/* A name may hold anything printable; none of it becomes an option. */
static void
test_name(void **state)
{
    struct vm vm = record();
    ovs_strlcpy(vm.name, "a,uuid=b c", sizeof vm.name);
    char *text = make(&vm, (struct qemu_args) { .kvm = true });
    assert_non_null(strstr(text, "\n-name guest=a,,uuid=b c\n"));
    assert_non_null(strstr(text, "\n-accel kvm\n"));
    free(text);
}

static void
test_check(void **state)
{
    struct vm vm = record();
#define BAD(MEMBER, VALUE)                                              \
    {                                                                   \
        struct err err = ERR_INIT;                                      \
        struct vm bad = vm;                                             \
        ovs_strlcpy(bad.MEMBER, VALUE, sizeof bad.MEMBER);              \
        assert_int_equal(qemu_args_check(&bad, &err), EINVAL);          \
        assert_int_equal(err.code, EINVAL);                             \
    }
    BAD(name, "");
    BAD(name, "a\nb");
    BAD(machine, "");
    BAD(machine, "pc,accel=kvm");
    BAD(cpu, "qemu64 -s");
    BAD(image, "");
    BAD(image, "disk.img");
    BAD(image, "/a\nb");
    BAD(nics[0].pci, "0x3,romfile=x");

    struct vm bad = vm;
    bad.memory_kib = 1024;
    assert_int_equal(qemu_args_check(&bad, NULL), EINVAL);
    bad.memory_kib = UINT64_MAX;
    assert_int_equal(qemu_args_check(&bad, NULL), EINVAL);
    bad = vm;
    bad.vcpus = 0;
    assert_int_equal(qemu_args_check(&bad, NULL), EINVAL);
    bad = vm;
    bad.n_nics = VM_MAX_NICS + 1;
    assert_int_equal(qemu_args_check(&bad, NULL), EINVAL);
    bad = vm;
    bad.n_nics = 3;             /* The third has no MAC. */
    assert_int_equal(qemu_args_check(&bad, NULL), EINVAL);
}

static void
test_pad_memory(void **state)
{
    assert_int_equal(hypervisor_pad_memory(131072), 131080);
    assert_int_equal(hypervisor_pad_memory(131080), 131080);
    assert_int_equal(hypervisor_pad_memory(131072 + 256), 131072 + 264);
    assert_int_equal(hypervisor_pad_memory(131071), 131071);
}

static void
test_tap_name(void **state)
{
    struct uuid uuid;
    char a[HYPERVISOR_TAP_LEN], b[HYPERVISOR_TAP_LEN];
    uuid_from_string(&uuid, "0a1b2c3d-1111-2222-3333-444455556666");
    assert_string_equal(hypervisor_tap_name(&uuid, 0, a), "wv0a1b2c3d66660");
    assert_string_equal(hypervisor_tap_name(&uuid, VM_MAX_NICS - 1, b),
                        "wv0a1b2c3d66667");
    assert_int_equal(strlen(b), HYPERVISOR_TAP_LEN - 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mini),
        cmocka_unit_test(test_disk),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_pad_memory),
        cmocka_unit_test(test_tap_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
