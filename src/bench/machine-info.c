#include <config.h>
#include "bench/machine-info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/process.h"
#include "bench/document.h"
#include "hypervisor/qemu-args.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#define TOOL_TIMEOUT_MS 5000

/* Puts what follows 'before' in the first line that "PROGRAM --version"
 * prints, up to a space. */
static void
put_version(struct json *versions, const char *name, const char *program,
            const char *before)
{
    char *argv[] = { CONST_CAST(char *, program), "--version", NULL };
    struct process_spec spec = { .argv = argv };
    struct ds text = DS_EMPTY_INITIALIZER;

    if (!process_run(&spec, NULL, TOOL_TIMEOUT_MS, &text, NULL)) {
        const char *version = strstr(ds_cstr(&text), before);

        if (version) {
            version += strlen(before);
            json_object_put_format(versions, name, "%.*s",
                                   (int) strcspn(version, " \n"), version);
        }
    }
    ds_destroy(&text);
}

static void
put_cpu(struct json *machine)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");

    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');

        if (!strncmp(line, "model name", 10) && colon) {
            line[strcspn(line, "\n")] = '\0';
            json_object_put_string(machine, "cpu", colon + 2);
            break;
        }
    }
    if (file) {
        fclose(file);
    }
}

void
machine_info_put(struct json *machine)
{
    struct json *versions = json_object_create();
    double load[1] = { 0 };
    struct utsname name;
    struct sysinfo info;

    json_object_put(machine, "cores",
                    json_integer_create(sysconf(_SC_NPROCESSORS_ONLN)));
    put_cpu(machine);
    if (!sysinfo(&info)) {
        json_object_put(machine, "memory_mib", json_integer_create(
            (uint64_t) info.totalram * info.mem_unit >> 20));
    }
    if (getloadavg(load, 1) == 1) {
        document_put_number(machine, "load_1min", load[0]);
    }
    json_object_put_string(versions, "watari", WATARI_VERSION);
    put_version(versions, "qemu", QEMU_PROGRAM, "version ");
    put_version(versions, "openvswitch", "ovs-vswitchd", ") ");
    if (!uname(&name)) {
        json_object_put_string(versions, "linux", name.release);
    }
    json_object_put(machine, "versions", versions);
}
