#include <config.h>
#include "bench/arena.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json-get.h"
#include "base/netns.h"
#include "base/problems.h"
#include "bench/drops.h"
#include "bench/interrupt.h"
#include "lab/client.h"
#include "lab/lab.h"
#include "lab/plan.h"
#include "lab/state.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#define POLL_MS 50
#define MOVE_TIMEOUT_MS 180000
#define RETURN_TIMEOUT_MS 60000 /* After the manager was restarted. */

const char *const arena_correspondents[] = { "near", "far", "third" };
const char *const arena_addresses[] = { "10.255.0.21", "10.255.0.22",
                                        "10.255.0.23" };
const char *const arena_hosts[] = { "t1", "o1", "n1" };
const char *const arena_vms[] = { ARENA_VM, "web2", "web3" };
const char *const arena_vm_addresses[] = { ARENA_VM_ADDRESS, "10.255.0.12",
                                           "10.255.0.13" };
static const char *const sites[] = { "tokyo", "osaka", "nagoya" };

struct arena {
    char *lab;
    struct client *client;
    struct progress *progress;
    char netns[ARENA_N_CORRESPONDENTS + ARENA_N_HOSTS][PLAN_NETNS_LEN];
    char streams[ARENA_N_HOSTS][ADDR_STRLEN];
};

static int
write_lab_file(const struct arena_config *config, const char *path,
               struct err *err)
{
    FILE *file = fopen(path, "w");

    if (!file) {
        return err_set(err, errno, "%s: %s", path, ovs_strerror(errno));
    }
    fprintf(file, "lab: %s\nsites:\n", config->lab);
    for (int i = 0; i < ARENA_N_HOSTS; i++) {
        fprintf(file, "  %s: { wan: 198.18.%d.0/24, pool: "
                "198.18.%d.100-198.18.%d.199, hosts: [%s] }\n", sites[i],
                i + 1, i + 1, i + 1, arena_hosts[i]);
    }
    if (config->delay_ms) {
        fprintf(file, "links:\n");
        for (int i = 0; i < ARENA_N_HOSTS; i++) {
            fprintf(file, "  %s: { delay: %gms }\n", sites[i],
                    config->delay_ms);
        }
    }
    fprintf(file, "networks:\n  blue: { prefix: 10.255.0.0/24, gateway: "
            "10.255.0.254, mode: rewrite }\nvms:\n");
    for (size_t i = 0; i < MAX(config->n_vms, 1); i++) {
        fprintf(file, "  %s: { host: %s, network: blue, address: %s, "
                "memory: %uM, image: mini }\n", arena_vms[i],
                arena_hosts[i], arena_vm_addresses[i], config->memory_mib);
    }
    fprintf(file, "endpoints:\n");
    for (int i = 0; i < ARENA_N_CORRESPONDENTS; i++) {
        fprintf(file, "  %s: { host: %s, network: blue, address: %s }\n",
                arena_correspondents[i], arena_hosts[i], arena_addresses[i]);
    }
    fprintf(file, "store: { %s }\nmanager: { site: nagoya }\n",
            config->store_cluster ? "sites: [nagoya, tokyo, osaka]"
            : "site: nagoya");
    return fclose(file) ? err_set(err, errno, "%s: %s", path,
                                  ovs_strerror(errno)) : 0;
}

static int
connect_manager(struct arena *arena, struct err *err)
{
    char *target = xasprintf("unix:" STATE_ROOT "/%s/manager/manager.sock",
                             arena->lab);
    int error = client_create(target, NULL, NULL, &arena->client, err);

    free(target);
    return error;
}

static int
bring_up(const struct arena_config *config, struct arena *arena,
         struct err *err)
{
    char *path = xasprintf("%s/%s.yaml", config->folder, config->lab);
    struct lab_up up = {
        .file = path,
        .test_faults = config->test_faults,
        .tls = config->tls,
        .progress = config->progress,
    };
    struct problems problems = PROBLEMS_INIT;

    int error = write_lab_file(config, path, err);
    error = error ? error : lab_up(&up, &problems, err);
    problems_finish(&problems);
    free(path);

    /* Bringing up a lab has its own way with signals. */
    interrupt_catch();
    return error;
}

int
arena_create(const struct arena_config *config, struct arena **arenap,
             struct err *err)
{
    struct arena *arena = xzalloc(sizeof *arena);

    arena->lab = xstrdup(config->lab);
    arena->progress = config->progress;
    for (int i = 0; i < ARENA_N_CORRESPONDENTS; i++) {
        plan_netns(arena->lab, arena_correspondents[i], arena->netns[i]);
    }
    for (int i = 0; i < ARENA_N_HOSTS; i++) {
        plan_netns(arena->lab, arena_hosts[i],
                   arena->netns[ARENA_N_CORRESPONDENTS + i]);
        plan_mgmt(i + 1, 2, arena->streams[i]);         /* Its first host. */
    }

    int error = bring_up(config, arena, err);
    error = error ? error : connect_manager(arena, err);
    if (error) {
        arena_destroy(arena, true);     /* A failed lab cleans up itself. */
        return err_add(err, error, "lab %s", config->lab);
    }
    *arenap = arena;
    return 0;
}

void
arena_destroy(struct arena *arena, bool keep)
{
    if (arena) {
        if (!keep) {
            lab_down(arena->lab, arena->progress, NULL);
        }
        client_destroy(arena->client);
        free(arena->lab);
        free(arena);
    }
}

void
arena_sweep(const char *lab, struct progress *progress)
{
    struct state *state;

    if (!state_load(lab, false, &state, NULL)) {
        state_destroy(state);
        lab_down(lab, progress, NULL);
    }
}

const char *
arena_lab(const struct arena *arena)
{
    return arena->lab;
}

const char *
arena_netns(const struct arena *arena, const char *node)
{
    for (int i = 0; i < ARENA_N_CORRESPONDENTS; i++) {
        if (!strcmp(node, arena_correspondents[i])) {
            return arena->netns[i];
        }
    }
    for (int i = 0; i < ARENA_N_HOSTS; i++) {
        if (!strcmp(node, arena_hosts[i])) {
            return arena->netns[ARENA_N_CORRESPONDENTS + i];
        }
    }
    OVS_NOT_REACHED();
}

char *
arena_router_netns(const struct arena *arena, size_t host,
                   char buf[PLAN_NETNS_LEN])
{
    char node[64];

    snprintf(node, sizeof node, "%s-router", sites[host]);
    return plan_netns(arena->lab, node, buf);
}

void
arena_put_place(const struct arena *arena, const char *folder,
                struct watch_place *place)
{
    ovs_strlcpy(place->folder, folder, sizeof place->folder);
    for (size_t i = 0; i < ARENA_N_CORRESPONDENTS; i++) {
        place->correspondents[i] = (struct prober_spec) {
            .name = arena_correspondents[i],
            .netns = arena->netns[i],
            .address = ARENA_VM_ADDRESS,
        };
    }
    place->guest.netns = arena->netns[ARENA_THIRD];
    place->guest.address = ARENA_VM_ADDRESS;
    place->echo = arena_addresses[ARENA_THIRD];
}

const char *
arena_stream_address(const struct arena *arena, size_t host)
{
    return arena->streams[host];
}

int
arena_guest(struct arena *arena, size_t vm, struct json **json,
            struct err *err)
{
    char *path = xasprintf("/vms/%s", arena_vms[vm]);
    int error = client_request(arena->client, "GET", path, NULL, json, err);

    free(path);
    return error;
}

int
arena_where(struct arena *arena, size_t vm, size_t *host, struct err *err)
{
    struct json *json;
    int error = arena_guest(arena, vm, &json, err);

    if (error) {
        return error;
    }
    const char *name = json_get_string(json, "host");
    size_t i = 0;
    while (i < ARENA_N_HOSTS && (!name || strcmp(name, arena_hosts[i]))) {
        i++;
    }
    if (i < ARENA_N_HOSTS) {
        *host = i;
    } else {
        error = err_set(err, ENOENT, "the manager does not know where %s is",
                        arena_vms[vm]);
    }
    json_destroy(json);
    return error;
}

int
arena_begin_move(struct arena *arena, size_t vm, const char *host,
                 const struct move_limits *limits, char **id,
                 struct err *err)
{
    char *path = xasprintf("/vms/%s/migrations", arena_vms[vm]);
    struct json *body = json_object_create(), *reply = NULL;
    struct json *options = json_object_create();

    json_object_put_string(body, "to", host);
    if (limits->bandwidth) {
        json_object_put(options, "bandwidth",
                        json_integer_create(limits->bandwidth));
    }
    if (limits->downtime_ms) {
        json_object_put(options, "downtime_ms",
                        json_integer_create(limits->downtime_ms));
    }
    json_object_put(body, "options", options);
    int error = client_request(arena->client, "POST", path, body, &reply,
                               err);
    const char *uuid = error ? NULL : json_get_string(reply, "uuid");
    if (!error && !uuid) {
        error = err_set(err, EPROTO, "the manager did not name the move");
    }
    if (!error) {
        *id = xstrdup(uuid);
    }
    json_destroy(reply);
    json_destroy(body);
    free(path);
    return error;
}

int
arena_look(struct arena *arena, const char *id, struct json **migration,
           struct err *err)
{
    char *path = xasprintf("/migrations/%s", id);
    int error = client_request(arena->client, "GET", path, NULL, migration,
                               err);

    free(path);
    return error;
}

int
arena_wait_move(struct arena *arena, const char *id, struct json **migration,
                struct err *err)
{
    for (int ms = 0; ms < MOVE_TIMEOUT_MS; ms += POLL_MS) {
        struct json *now;
        int error = arena_look(arena, id, &now, err);

        if (error) {
            return error;
        }
        if (json_get_string(now, "result")) {
            *migration = now;
            return 0;
        }
        json_destroy(now);
        error = interrupt_sleep(POLL_MS, err);
        if (error) {
            return error;
        }
    }
    return err_set(err, ETIMEDOUT, "the move did not end in %d s",
                   MOVE_TIMEOUT_MS / 1000);
}

int
arena_wait_copy(struct arena *arena, const char *id, struct err *err)
{
    for (int ms = 0; ms < MOVE_TIMEOUT_MS; ms += POLL_MS) {
        struct json *now;
        int error = arena_look(arena, id, &now, err);

        if (error) {
            return error;
        }
        bool copies = json_get_number(now, "copied", 0) > 0;
        bool ended = json_get_string(now, "result");
        json_destroy(now);
        if (copies && !ended) {
            return 0;
        }
        error = ended ? err_set(err, EIO, "the move ended before it copied")
                : interrupt_sleep(POLL_MS, err);
        if (error) {
            return error;
        }
    }
    return err_set(err, ETIMEDOUT, "the move did not begin to copy");
}

int
arena_cancel_move(struct arena *arena, const char *id, struct err *err)
{
    char *path = xasprintf("/migrations/%s/cancel", id);
    int error = client_request(arena->client, "POST", path, NULL, NULL, err);

    free(path);
    return error;
}

int
arena_start_vm(struct arena *arena, struct err *err)
{
    return client_request(arena->client, "POST", "/vms/" ARENA_VM "/start",
                          NULL, NULL, err);
}

/* The command line of 'pid', with a NUL behind each word. */
static size_t
read_command_line(pid_t pid, char *text, size_t size)
{
    char path[64];
    size_t length = 0;

    snprintf(path, sizeof path, "/proc/%ld/cmdline", (long) pid);
    FILE *file = fopen(path, "r");
    if (file) {
        length = fread(text, 1, size, file);
        fclose(file);
    }
    return length;
}

/* A VM's QEMU on 'host', with its command line; 0 if there is none. */
static pid_t
find_qemu(const struct arena *arena, size_t vm, const char *host, char *text,
          size_t size, size_t *length)
{
    char *name = xasprintf("guest=%s", arena_vms[vm]);
    pid_t *pids = NULL, found = 0;
    size_t n = netns_processes(arena_netns(arena, host), &pids);

    for (size_t i = 0; i < n && !found; i++) {
        *length = read_command_line(pids[i], text, size);
        found = memmem(text, *length, name, strlen(name) + 1) ? pids[i] : 0;
    }
    free(pids);
    free(name);
    return found;
}

pid_t
arena_find_qemu(const struct arena *arena, size_t vm, const char *host)
{
    char text[8192];
    size_t length;

    return find_qemu(arena, vm, host, text, sizeof text, &length);
}

int
arena_kill_qemu(struct arena *arena, size_t vm, const char *host,
                struct err *err)
{
    pid_t pid = arena_find_qemu(arena, vm, host);

    return pid && !kill(pid, SIGKILL) ? 0
           : err_set(err, ESRCH, "there is no QEMU on %s", host);
}

bool
arena_has_kvm(struct arena *arena)
{
    static const char kvm[] = "-accel\0kvm";
    char text[8192];
    size_t length;

    for (int i = 0; i < ARENA_N_HOSTS; i++) {
        if (find_qemu(arena, 0, arena_hosts[i], text, sizeof text, &length)) {
            return memmem(text, length, kvm, sizeof kvm);
        }
    }
    return false;
}

int
arena_restart(struct arena *arena, const char *node, const char *part,
              struct err *err)
{
    int error = lab_restart(arena->lab, node, part, err);

    for (int ms = 0; !error && ms < RETURN_TIMEOUT_MS; ms += POLL_MS) {
        size_t host;

        if (!arena_where(arena, 0, &host, NULL)) {
            return 0;
        }
        error = interrupt_sleep(POLL_MS, err);
    }
    return error ? error
           : err_set(err, ETIMEDOUT, "the manager does not answer after "
                     "%s on %s was restarted", part, node);
}

int
arena_count_drops(struct arena *arena, uint64_t *drops, struct err *err)
{
    uint64_t sum = 0;

    for (int i = 0; i < ARENA_N_HOSTS; i++) {
        uint64_t n;
        int error = drops_count(arena_netns(arena, arena_hosts[i]), &n, err);

        if (error) {
            return error;
        }
        sum += n;
    }
    *drops = sum;
    return 0;
}
