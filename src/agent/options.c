#include <config.h>

#include "agent/options.h"

#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "command-line.h"
#include "daemon.h"
#include "openvswitch/vlog.h"
#include "stream-ssl.h"
#include "util.h"

#include "peer/channel.h"

enum option_type { TEXT, ADDRESSES, NUMBER };

/* An option of ours; those of the library follow in the help. */
struct option_row {
    const char *name;
    enum option_type type;
    size_t offset;
    bool required;
    const char *arg, *help;
};

#define ROW(MEMBER) offsetof(struct options, MEMBER)

static const struct option_row rows[] = {
    { "name", TEXT, ROW(name), true, "NAME",
      "this host's name, unique in the store" },
    { "site", TEXT, ROW(site), true, "SITE", "the site where it is" },
    { "store", TEXT, ROW(store), true, "REMOTE",
      "the store, as tcp:192.0.2.1:6640 or ssl:...; several with commas" },
    { "run-dir", TEXT, ROW(run_dir), false, "DIR",
      "journal, sockets and logs of VMs [/run/watari]" },
    { "bridge", TEXT, ROW(bridge), false, "NAME",
      "the Open vSwitch bridge that is ours alone [br0]" },
    { "switch-db", TEXT, ROW(switch_db), false, "REMOTE",
      "its database [unix:/run/openvswitch/db.sock]" },
    { "switch-mgmt", TEXT, ROW(switch_mgmt), false, "TARGET",
      "its OpenFlow socket [BRIDGE.mgmt beside the database's socket]" },
    { "address", TEXT, ROW(address), true, "ADDRESS",
      "where other agents and migrations reach this host" },
    { "channel", TEXT, ROW(channel), false, "LISTEN",
      "where to listen for other agents; frames on the next port "
      "[ptcp:6650:ADDRESS]" },
    { "wan-interface", TEXT, ROW(wan_interface), false, "PORT",
      "the bridge's port on the site's network [wan]" },
    { "wan-address", ADDRESSES, ROW(wan), true, "ADDRESS",
      "our address there; once for each family" },
    { "router", ADDRESSES, ROW(router), true, "ADDRESS",
      "the site's router; once for each family" },
    { "image-dir", TEXT, ROW(image_dir), false, "DIR",
      "the image mini: vmlinuz and initrd.gz [/usr/share/watari/mini]" },
    { "qemu-user", TEXT, ROW(qemu_user), false, "USER",
      "whom QEMU runs as, a name or UID:GID [watari-qemu]" },
    { "accel", TEXT, ROW(accel), false, "auto|kvm|tcg",
      "how QEMU runs guests; auto tries KVM with a tiny one [auto]" },
    { "watchdog", TEXT, ROW(watchdog), false, "FILE",
      "the program watari-watchdog [beside this one]" },
    { "memory", NUMBER, ROW(memory_mib), false, "MIB",
      "memory for VMs [nine tenths of the machine's]" },
    { "unixctl", TEXT, ROW(unixctl), false, "SOCKET",
      "control socket for ovs-appctl" },
};

enum {
    OPT_ROW = UCHAR_MAX + 1,    /* And ARRAY_SIZE(rows) more. */
    OPT_OWN_END = OPT_ROW + ARRAY_SIZE(rows),
    VLOG_OPTION_ENUMS,
    DAEMON_OPTION_ENUMS,
    SSL_OPTION_ENUMS,
};

static void
usage(void)
{
    printf("%s: Watari's agent, one for each host\n"
           "usage: %s [OPTION]...\n\n", program_name, program_name);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        printf("  --%s=%s%s\n        %s\n", rows[i].name, rows[i].arg,
               rows[i].required ? "  (required)" : "", rows[i].help);
    }
    daemon_usage();
    vlog_usage();
    printf("\nOther options:\n"
           "  -h, --help                  display this help message\n"
           "  -V, --version               display version information\n"
           "\nExample:\n"
           "  watari-agent --name=h1 --site=tokyo --store=tcp:192.0.2.9:6640 "
           "\\\n    --address=192.0.2.1 --wan-address=198.18.1.2 "
           "--router=198.18.1.1\n");
    exit(EXIT_SUCCESS);
}

static void OVS_NO_RETURN
wrong(const char *option, const char *why)
{
    fprintf(stderr, "%s: --%s: %s; see --help\n", program_name, option, why);
    exit(2);
}

static void
set(struct options *options, const struct option_row *row, const char *arg)
{
    char *member = (char *) options + row->offset;
    struct err err;

    switch (row->type) {
    case TEXT:
        *(const char **) member = arg;
        break;
    case ADDRESSES:
        if (addr_pair_add((struct addr_pair *) member, arg, &err)) {
            wrong(row->name, err.text);
        }
        break;
    case NUMBER: {
        char *end;
        unsigned long long n = strtoull(arg, &end, 10);

        if (!n || *end || arg[0] == '-') {
            wrong(row->name, "not a number");
        }
        *(uint64_t *) member = n;
        break;
    }
    }
}

static bool
is_set(const struct options *options, const struct option_row *row)
{
    const char *member = (const char *) options + row->offset;

    return (row->type == TEXT ? *(const char *const *) member != NULL
            : row->type == NUMBER ? *(const uint64_t *) member != 0
            : !addr_pair_is_none((const struct addr_pair *) member));
}

/* The watchdog of an installation, or of a build folder. */
static char *
find_watchdog(void)
{
    static const char *const places[] = {
        "/../libexec/watari/watari-watchdog", "/watari-watchdog",
        "/../hypervisor/watari-watchdog",
    };
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n > 0) {
        self[n] = '\0';
        *strrchr(self, '/') = '\0';
    }
    for (size_t i = 0; n > 0 && i < ARRAY_SIZE(places); i++) {
        char *file = xasprintf("%s%s", self, places[i]);
        if (!access(file, X_OK)) {
            return file;
        }
        free(file);
    }
    return xstrdup("/usr/libexec/watari/watari-watchdog");
}

static void
set_default(const char **member, const char *value)
{
    if (!*member) {
        *member = value;
    }
}

static void
fill_in(struct options *o)
{
    struct sysinfo info;

    set_default(&o->run_dir, "/run/watari");
    set_default(&o->bridge, "br0");
    set_default(&o->switch_db, "unix:/run/openvswitch/db.sock");
    if (!o->switch_mgmt) {
        const char *slash = strrchr(o->switch_db, '/');

        o->switch_mgmt = (slash
                          ? xasprintf("%.*s/%s.mgmt",
                                      (int) (slash - o->switch_db),
                                      o->switch_db, o->bridge)
                          : xasprintf("unix:/run/openvswitch/%s.mgmt",
                                      o->bridge));
    }
    if (!o->channel) {
        o->channel = xasprintf(strchr(o->address, ':') ? "ptcp:%d:[%s]"
                               : "ptcp:%d:%s", CHANNEL_PORT, o->address);
    }
    set_default(&o->wan_interface, "wan");
    set_default(&o->image_dir, "/usr/share/watari/mini");
    set_default(&o->qemu_user, "watari-qemu");
    set_default(&o->accel, "auto");
    if (!o->watchdog) {
        o->watchdog = find_watchdog();
    }
    if (!o->memory_mib && !sysinfo(&info)) {
        o->memory_mib = (uint64_t) info.totalram * info.mem_unit * 9 / 10
                        >> 20;
    }
}

void
options_parse(int argc, char *argv[], struct options *options)
{
    static const struct option library[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        VLOG_LONG_OPTIONS,
        DAEMON_LONG_OPTIONS,
        STREAM_SSL_LONG_OPTIONS,
        { NULL, 0, NULL, 0 },
    };
    struct option all[ARRAY_SIZE(rows) + ARRAY_SIZE(library)];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        all[i] = (struct option) { rows[i].name, required_argument, NULL,
                                   OPT_ROW + i };
    }
    memcpy(&all[ARRAY_SIZE(rows)], library, sizeof library);

    char *short_options = ovs_cmdl_long_options_to_short_options(all);

    memset(options, 0, sizeof *options);
    for (;;) {
        int c = getopt_long(argc, argv, short_options, all, NULL);

        if (c == -1) {
            break;
        } else if (c >= OPT_ROW && c < OPT_OWN_END) {
            set(options, &rows[c - OPT_ROW], optarg);
            continue;
        }
        switch (c) {
        case 'h':
            usage();
            break;
        case 'V':
            ovs_print_version(0, 0);
            exit(EXIT_SUCCESS);
        VLOG_OPTION_HANDLERS
        DAEMON_OPTION_HANDLERS
        STREAM_SSL_OPTION_HANDLERS
        default:
            exit(2);
        }
    }
    free(short_options);
    if (optind < argc) {
        fprintf(stderr, "%s: \"%s\" is no option; see --help\n",
                program_name, argv[optind]);
        exit(2);
    }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].required && !is_set(options, &rows[i])) {
            wrong(rows[i].name, "is required");
        }
    }
    fill_in(options);
}
