#include <config.h>

#include "agent/options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "stream.h"
#include "util.h"

#include "base/units.h"
#include "core/vm.h"
#include "hypervisor/qemu-process.h"
#include "openflow/bridge.h"
#include "peer/channel.h"

static yamlfile_check_func check_name, check_address, check_channel,
    check_port, check_folder, check_user, check_program;
static yamlfile_parse_func add_address, parse_memory;

const char *const options_accels[] = { "auto", "kvm", "tcg", NULL };

#define ROW(MEMBER, ...) SETTING(options, MEMBER, __VA_ARGS__)

static const struct setting rows[] = {
    ROW(name, "name", YAML_TEXT, "NAME",
        "this host's name, unique in the store", .field.required = true,
        .field.check = check_name),
    ROW(site, "site", YAML_TEXT, "SITE", "the site where it is",
        .field.required = true, .field.check = check_name),
    ROW(store, "store", YAML_TEXT, "REMOTE",
        "the store, as tcp:192.0.2.1:6640 or ssl:...; several with commas",
        .field.required = true, .field.check = settings_check_remotes),
    ROW(run_dir, "run-dir", YAML_TEXT, "DIR",
        "journal, sockets and logs of VMs [/run/watari/agent]",
        .field.preset = "/run/watari/agent",
        .field.check = settings_check_path),
    ROW(bridge, "bridge", YAML_TEXT, "NAME",
        "the Open vSwitch bridge that is ours alone [br0]",
        .field.preset = "br0", .field.check = check_port),
    ROW(switch_db, "switch-db", YAML_TEXT, "REMOTE",
        "its database [unix:/run/openvswitch/db.sock]",
        .field.preset = "unix:/run/openvswitch/db.sock",
        .field.check = settings_check_remotes),
    ROW(switch_mgmt, "switch-mgmt", YAML_TEXT, "TARGET",
        "its OpenFlow socket [BRIDGE.mgmt beside the database's socket]",
        .field.check = settings_check_remotes),
    ROW(address, "address", YAML_TEXT, "ADDRESS",
        "where other agents and migrations reach this host",
        .field.required = true, .field.check = check_address),
    ROW(channel, "channel", YAML_TEXT, "LISTEN",
        "where to listen for other agents; frames on the next port "
        "[ptcp:6650:ADDRESS; pssl:... with a certificate]",
        .field.check = check_channel),
    ROW(wan_interface, "wan-interface", YAML_TEXT, "PORT",
        "the bridge's port on the site's network [wan]",
        .field.preset = "wan", .field.check = check_port),
    ROW(wan, "wan-address", YAML_EACH, "ADDRESS",
        "our address there; once for each family", .field.required = true,
        .field.parse = add_address),
    ROW(router, "router", YAML_EACH, "ADDRESS",
        "the site's router; once for each family", .field.required = true,
        .field.parse = add_address),
    ROW(image_dir, "image-dir", YAML_TEXT, "DIR",
        "the image mini: vmlinuz and initrd.gz [/usr/share/watari/mini]",
        .field.preset = "/usr/share/watari/mini",
        .field.check = check_folder),
    ROW(qemu_user, "qemu-user", YAML_TEXT, "USER",
        "whom QEMU runs as, a name or UID:GID [watari-qemu]",
        .field.preset = "watari-qemu", .field.check = check_user),
    ROW(accel, "accel", YAML_CHOICE, "auto|kvm|tcg",
        "how QEMU runs guests; auto tries KVM with a tiny one [auto]",
        .field.preset = "auto", .field.choices = options_accels),
    ROW(watchdog, "watchdog", YAML_TEXT, "FILE",
        "the program watari-watchdog [beside this one]",
        .field.check = check_program),
    ROW(keeper, "keeper", YAML_TEXT, "FILE",
        "the program watari-keeper [beside this one]",
        .field.check = check_program),
    ROW(memory_mib, "memory", YAML_PARSED, "SIZE",
        "memory for VMs, as 48G or in MiB [nine tenths of the machine's]",
        .field.parse = parse_memory, .live = true),
    ROW(unixctl, "unixctl", YAML_TEXT, "SOCKET",
        "control socket for ovs-appctl [agent.ctl in run-dir]"),
    ROW(test_faults, "test-faults", YAML_BOOL, NULL,
        "tests may hold or kill this agent by watari/fault; never on a real "
        "host", .where = SETTING_OPTION),
    SETTINGS_TLS(options),
    SETTINGS_LOG(options),
};

/* A program that the agent needs, of an installation or of a build folder. */
static char *
find_program(const char *name)
{
    static const char *const places[] = {
        "/../libexec/watari/", "/", "/../hypervisor/",
    };
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n > 0) {
        self[n] = '\0';
        *strrchr(self, '/') = '\0';
    }
    for (size_t i = 0; n > 0 && i < ARRAY_SIZE(places); i++) {
        char *file = xasprintf("%s%s%s", self, places[i], name);
        if (!access(file, X_OK)) {
            return file;
        }
        free(file);
    }
    return xasprintf("/usr/libexec/watari/%s", name);
}

static void
fill_in(void *options_)
{
    struct options *o = options_;
    struct sysinfo info;

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
        o->channel = xasprintf(strchr(o->address, ':') ? "%s:%d:[%s]"
                               : "%s:%d:%s",
                               tls_is_on(&o->tls) ? "pssl" : "ptcp",
                               CHANNEL_PORT, o->address);
    }
    if (!o->watchdog) {
        o->watchdog = find_program("watari-watchdog");
    }
    if (!o->keeper) {
        o->keeper = find_program("watari-keeper");
    }
    if (!o->memory_mib && !sysinfo(&info)) {
        o->memory_mib = (uint64_t) info.totalram * info.mem_unit * 9 / 10
                        >> 20;
    }
    if (!o->unixctl) {
        o->unixctl = xasprintf("%s/agent.ctl", o->run_dir);
    }
}

static void
check(const void *options_, struct problems *problems)
{
    const struct options *o = options_;

    if (!strcmp(o->name, o->site)) {
        problems_add(problems, "host and site are both called \"%s\"; names "
                     "of hosts and sites are different", o->name);
    }
    tls_check(&o->tls, o->name, problems);
    tls_check_remote(&o->tls, "store", o->store, problems);
    if (o->channel && tls_is_on(&o->tls) != !strncmp(o->channel, "pssl:", 5)) {
        problems_add(problems, tls_is_on(&o->tls)
                     ? "\"channel\" is %s; with a certificate it is pssl:..."
                     : "\"channel\" is %s, which needs \"private-key\", "
                     "\"certificate\" and \"ca-cert\"", o->channel);
    }
    ADDR_FOR_EACH_FAMILY (family) {
        if (addr_is_none(&o->wan.of[family])
            != addr_is_none(&o->router.of[family])) {
            problems_add(problems, "\"wan-address\" and \"router\" need an "
                         "IPv%d address both, or neither",
                         family == ADDR_V4 ? 4 : 6);
        }
    }
}

static int
check_name(const char *text, struct err *err)
{
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "abcdefghijklmnopqrstuvwxyz0123456789._-");

    return (n && n <= NAME_LEN && !text[n] && isalnum((unsigned char) *text)
            ? 0 : err_set(err, EINVAL, "\"%.70s\" is not a name: letters, "
                          "digits, \".\", \"_\" and \"-\", at most %d", text,
                          NAME_LEN));
}

static int
check_address(const char *text, struct err *err)
{
    struct in6_addr addr;

    return (inet_pton(AF_INET, text, &addr) == 1
            || inet_pton(AF_INET6, text, &addr) == 1 ? 0
            : err_set(err, EINVAL, "\"%.50s\" is not an IP address", text));
}

static int
check_channel(const char *text, struct err *err)
{
    const char *colon = strchr(text, ':');
    int port = colon ? atoi(colon + 1) : 0;

    return (pstream_verify_name(text) || strncmp(text, "p", 1)
            || port < 1 || port >= UINT16_MAX
            ? err_set(err, EINVAL, "\"%.60s\" is not like "
                      "ptcp:%d:192.0.2.1", text, CHANNEL_PORT) : 0);
}

/* Of bridges, too. */
static int
check_port(const char *text, struct err *err)
{
    return (*text && strlen(text) < BRIDGE_PORT_NAME_LEN
            && !strpbrk(text, "/ ") ? 0
            : err_set(err, EINVAL, "\"%.40s\" cannot be the name of a bridge "
                      "or port", text));
}

static int
check_folder(const char *text, struct err *err)
{
    struct stat st;

    if (stat(text, &st)) {
        return err_set(err, errno, "%s: %s", text, ovs_strerror(errno));
    }
    return (S_ISDIR(st.st_mode) ? 0
            : err_set(err, ENOTDIR, "%s is not a folder", text));
}

static int
check_user(const char *text, struct err *err)
{
    struct credentials credentials;

    return credentials_parse(text, &credentials, err);
}

static int
check_program(const char *text, struct err *err)
{
    return (!access(text, X_OK) ? 0
            : err_set(err, errno, "%s: %s", text, ovs_strerror(errno)));
}

static int
add_address(const char *text, void *pair, struct err *err)
{
    return addr_pair_add(pair, text, err);
}

/* The option was in MiB before there were files. */
static int
parse_memory(const char *text, void *mib_, struct err *err)
{
    uint64_t *mib = mib_, bytes;
    bool bare = *text && !text[strspn(text, "0123456789")];
    char *with_unit = xasprintf("%s%s", text, bare ? "M" : "");
    int error = units_parse_size(with_unit, &bytes, err);

    free(with_unit);
    if (!error && bytes < 1 << 20) {
        error = err_set(err, EINVAL, "\"%.40s\" is less than 1 MiB", text);
    }
    if (!error) {
        *mib = bytes >> 20;
    }
    return error;
}

const struct settings_class options_class = {
    .program = "watari-agent",
    .version = WATARI_VERSION,
    .what = "the agent's configuration",
    .summary = "Watari's agent, one for each host",
    .text = "The agent is the controller of its host's Open vSwitch bridge "
        "and the keeper of its VMs.  VMs and their traffic go on while it is "
        "not there; when it is back, it finds them and goes on with what it "
        "was doing.",
    .example = "watari-agent --name=h1 --site=tokyo "
        "--store=tcp:192.0.2.9:6640 \\\n    --address=192.0.2.1 "
        "--wan-address=198.18.1.2 --router=198.18.1.1",
    .file = "/etc/watari/agent.yaml",
    .unless = "store",
    .rows = rows,
    .n_rows = ARRAY_SIZE(rows),
    .size = sizeof(struct options),
    .log = offsetof(struct options, log),
    .tls = offsetof(struct options, tls),
    .check = check,
    .fill_in = fill_in,
};
