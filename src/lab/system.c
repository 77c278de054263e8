#include <config.h>

#include "lab/system.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/json-get.h"
#include "lab/client.h"
#include "lab/network.h"
#include "lab/parts.h"

#define POLL_MS 100
#define VMS_TIMEOUT_MS 180000
#define CONFIG_TIMEOUT_MS 30000

/* What the image "mini" prints when its servers listen. */
#define READY_MARK "WATARI-GUEST-READY"

static void
put_address(struct json *json, const char *name, const struct in6_addr *addr)
{
    char text[ADDR_STRLEN];

    if (!addr_is_none(addr)) {
        json_object_put_string(json, name, addr_format(addr, text));
    }
}

static void
put_prefix(struct json *json, const char *name, const struct prefix *prefix)
{
    char text[PREFIX_STRLEN];

    if (!addr_is_none(&prefix->addr)) {
        json_object_put_string(json, name, prefix_format(prefix, text));
    }
}

static struct json *
texts_to_json(const struct yamlfile_texts *texts)
{
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < texts->n; i++) {
        json_array_add(array, json_string_create(texts->items[i]));
    }
    return array;
}

static struct json *
site_to_json(const struct labfile_site *site)
{
    struct json *json = json_object_create();
    static const char *const wans[] = { "wan", "wan6" };
    static const char *const pools[] = { "pool", "pool6" };

    ADDR_FOR_EACH_FAMILY (family) {
        put_prefix(json, wans[family], &site->wan[family]);
        if (!addr_is_none(&site->pool[family].first)) {
            char first[ADDR_STRLEN], last[ADDR_STRLEN];

            addr_format(&site->pool[family].first, first);
            addr_format(&site->pool[family].last, last);
            json_object_put_format(json, pools[family], "%s-%s", first,
                                   last);
        }
    }
    json_object_put(json, "hosts", texts_to_json(&site->hosts));
    return json;
}

static struct json *
network_to_json(const struct labfile_network *network)
{
    struct json *json = json_object_create();

    put_prefix(json, "prefix", &network->prefix[ADDR_V4]);
    put_prefix(json, "prefix6", &network->prefix[ADDR_V6]);
    put_address(json, "gateway", &network->gateway[ADDR_V4]);
    put_address(json, "gateway6", &network->gateway[ADDR_V6]);
    json_object_put_string(json, "mode", network_mode_name(network->mode));
    if (network->encap) {
        json_object_put_string(json, "encap", network->encap);
    }
    json_object_put(json, "gateways", texts_to_json(&network->gateways));
    return json;
}

static struct json *
vm_to_json(const struct labfile_vm *vm)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "host", vm->host);
    json_object_put_string(json, "network", vm->network);
    put_address(json, "address", &vm->address[ADDR_V4]);
    put_address(json, "address6", &vm->address[ADDR_V6]);
    json_object_put_format(json, "memory", "%"PRIu64"K", vm->memory / 1024);
    json_object_put(json, "vcpus", json_integer_create(vm->vcpus));
    json_object_put_string(json, "image", vm->image);
    return json;
}

static struct json *
endpoint_to_json(const struct labfile_endpoint *endpoint)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "host", endpoint->host);
    json_object_put_string(json, "network", endpoint->network);
    put_address(json, "address", &endpoint->address[ADDR_V4]);
    put_address(json, "address6", &endpoint->address[ADDR_V6]);
    return json;
}

struct json *
system_config(const struct labfile *file)
{
    struct json *config = json_object_create();
    struct json *sites = json_object_create();
    struct json *networks = json_object_create();
    struct json *vms = json_object_create();
    struct json *endpoints = json_object_create();
    const struct labfile_endpoint *endpoint;
    const struct labfile_network *network;
    const struct labfile_site *site;
    const struct labfile_vm *vm;

    YAML_MAP_FOR_EACH (site, &file->sites) {
        json_object_put(sites, site->item.name, site_to_json(site));
    }
    YAML_MAP_FOR_EACH (network, &file->networks) {
        json_object_put(networks, network->item.name,
                        network_to_json(network));
    }
    YAML_MAP_FOR_EACH (vm, &file->vms) {
        json_object_put(vms, vm->item.name, vm_to_json(vm));
    }
    YAML_MAP_FOR_EACH (endpoint, &file->endpoints) {
        json_object_put(endpoints, endpoint->item.name,
                        endpoint_to_json(endpoint));
    }
    json_object_put(config, "sites", sites);
    json_object_put(config, "networks", networks);
    json_object_put(config, "vms", vms);
    json_object_put(config, "endpoints", endpoints);
    return config;
}

static int
connect_manager(const struct state *state, struct client **client,
                struct err *err)
{
    char *target = xasprintf("unix:%s/manager/manager.sock", state->dir);
    int error = client_create(target, NULL, NULL, client, err);

    free(target);
    return error;
}

int
system_configure(const struct labfile *file, const struct state *state,
                 struct err *err)
{
    struct json *config = system_config(file);
    struct client *client;

    int error = connect_manager(state, &client, err);
    if (!error) {
        /* A manager that has not seen the store yet says "not now". */
        for (int ms = 0; ms < CONFIG_TIMEOUT_MS; ms += POLL_MS) {
            error = client_request(client, "PUT", "/config", config, NULL,
                                   err);
            if (error != EAGAIN) {
                break;
            }
            usleep(POLL_MS * 1000);
        }
        client_destroy(client);
    }
    json_destroy(config);
    return error;
}

/* The object called 'name' in a list. */
static const struct json *
find_named(const struct json *list, const char *name)
{
    for (size_t i = 0; i < json_length(list); i++) {
        const char *this = json_get_string(json_at(list, i), "name");
        if (this && !strcmp(this, name)) {
            return json_at(list, i);
        }
    }
    return NULL;
}

/* Puts one endpoint behind its switch. */
static int
add_endpoint(const struct labfile *file, const struct state *state,
             struct client *client, const struct labfile_endpoint *endpoint,
             struct err *err)
{
    char *path = xasprintf("/endpoints/%s", endpoint->item.name);
    struct json *reply = NULL;

    int error = client_request(client, "GET", path, NULL, &reply, err);
    const struct json *nics = json_get(reply, "nics");
    const struct json *nic = json_length(nics) ? json_at(nics, 0) : NULL;
    const char *interface = json_get_string(nic, "uuid");
    const char *mac = json_get_string(nic, "mac");

    if (!error && (!interface || !mac)) {
        error = err_set(err, EIO, "the manager does not say which interface "
                        "%s has", endpoint->item.name);
    }
    error = error ? error : parts_add_port(state, endpoint, interface, err);
    error = error ? error : network_set_endpoint(file, state, endpoint, mac,
                                                 err);
    json_destroy(reply);
    free(path);
    return error;
}

int
system_add_endpoints(const struct labfile *file, const struct state *state,
                     struct err *err)
{
    const struct labfile_endpoint *endpoint;
    struct client *client;

    int error = connect_manager(state, &client, err);
    if (error) {
        return error;
    }
    YAML_MAP_FOR_EACH (endpoint, &file->endpoints) {
        error = error ? error : add_endpoint(file, state, client, endpoint,
                                             err);
    }
    client_destroy(client);
    return error;
}

/* Has the guest of VM 'uuid', which runs on 'host', finished booting? */
static bool
guest_is_ready(const struct state *state, const char *host, const char *uuid)
{
    char *path = xasprintf("%s/%s/vms/%s/io/console.log", state->dir, host,
                           uuid);
    FILE *stream = fopen(path, "re");
    bool ready = false;
    char line[512];

    while (stream && !ready && fgets(line, sizeof line, stream)) {
        ready = strstr(line, READY_MARK) != NULL;
    }
    if (stream) {
        fclose(stream);
    }
    free(path);
    return ready;
}

/* Counts the VMs in 'list' that answer.  EIO once one of them has failed. */
static int
count_ready(const struct labfile *file, const struct state *state,
            const struct json *list, size_t *n, struct err *err)
{
    const struct labfile_vm *vm;

    *n = 0;
    YAML_MAP_FOR_EACH (vm, &file->vms) {
        const struct json *found = find_named(list, vm->item.name);
        const char *uuid = json_get_string(found, "uuid");
        const char *host = json_get_string(found, "host");
        const char *status = json_get_string(found, "state");

        if (status && !strcmp(status, "failed")) {
            const char *reason = json_get_string(found, "reason");
            return err_set(err, EIO, "VM %s on %s: %s", vm->item.name,
                           host ? host : vm->host,
                           reason && *reason ? reason : "failed");
        }
        *n += (status && uuid && host && !strcmp(status, "running")
               && (strcmp(vm->image, "mini")
                   || guest_is_ready(state, host, uuid)));
    }
    return 0;
}

int
system_wait_vms(const struct labfile *file, const struct state *state,
                struct progress *progress,
                const volatile sig_atomic_t *interrupted, struct err *err)
{
    struct client *client;
    size_t ready = 0;

    if (!file->vms.n) {
        return 0;
    }
    int error = connect_manager(state, &client, err);
    if (error) {
        return error;
    }
    for (int ms = 0; !error; ms += POLL_MS) {
        const struct state_process *dead = parts_find_dead(state);
        struct json *list = NULL;

        error = client_request(client, "GET", "/vms", NULL, &list, err);
        error = error ? error : count_ready(file, state, list, &ready, err);
        json_destroy(list);
        if (error || ready == file->vms.n) {
            break;
        }
        progress_bar(progress, (double) ready / file->vms.n);
        if (*interrupted) {
            error = err_set(err, EINTR, "interrupted");
        } else if (dead) {
            error = err_set(err, ECHILD, "%s on %s has ended", dead->part,
                            dead->node);
        } else if (ms >= VMS_TIMEOUT_MS) {
            error = err_set(err, ETIMEDOUT, "%zu of %zu VMs answer after "
                            "%d s", ready, file->vms.n,
                            VMS_TIMEOUT_MS / 1000);
        } else {
            usleep(POLL_MS * 1000);
        }
    }
    client_destroy(client);
    return error;
}
