#include <config.h>
#include "hypervisor/qemu-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

/* How the stream of a migration is encrypted.
 *
 * A QEMU does not get the key of its host: whoever broke out of a guest could
 * then speak as the host.  The destination's agent makes an authority for this
 * one migration, which certifies the two hosts, and sends the source its
 * ticket over the channel, where both have proved who they are.  So QEMU
 * gets a key that is good for nothing but the memory that it holds anyway.
 *
 * QEMU reads certificates and keys from files of fixed names, once, when it is
 * told to.  They are in the VM's folder, beside the one where QEMU is, for the
 * few milliseconds until it has answered. */

#define FOLDER "tls"
#define CREDENTIALS "tls0"
#define PEER "peer0"

/* What a ticket consists of, and its files; see pki_make_tickets(). */
enum { PART_CA, PART_CERTIFICATE, PART_KEY, N_PARTS };

static const char *const file_names[2][N_PARTS] = {
    { "ca-cert.pem", "server-cert.pem", "server-key.pem" },
    { "ca-cert.pem", "client-cert.pem", "client-key.pem" },
};

/* The group ffdhe2048 (RFC 7919, appendix A.1).  Nobody negotiates it, but
 * without this file QEMU 7.2 looks for a new group, which takes it seconds. */
#define GROUP_FILE "dh-params.pem"
static const char group[] =
    "-----BEGIN DH PARAMETERS-----\n"
    "MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz\n"
    "+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a\n"
    "87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7\n"
    "YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi\n"
    "7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD\n"
    "ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==\n"
    "-----END DH PARAMETERS-----\n";

static char *
file_of(const struct qemu_vm *vm, const char *name)
{
    return xasprintf("%s/"FOLDER"/%s", vm->folder, name);
}

/* Nobody but QEMU's user can read it. */
static int
write_file(const struct qemu_vm *vm, const char *name, const char *text,
           size_t n, struct err *err)
{
    const struct credentials *c = &vm->qemu->credentials;
    char *path = file_of(vm, name);
    int error = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0 || fchown(fd, c->uid, c->gid) || write(fd, text, n) != n) {
        error = err_set(err, errno, "%s: %s", path, ovs_strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    free(path);
    return error;
}

static int
write_ticket(struct qemu_vm *vm, bool source, const char *ticket,
             struct err *err)
{
    static const char mark[] = "-----BEGIN ";
    const char *parts[N_PARTS + 1];
    parts[0] = ticket;
    for (int i = 0; i < N_PARTS; i++) {
        if (strncmp(parts[i], mark, strlen(mark))) {
            return err_set(err, EPROTO, "its ticket is malformed");
        }
        const char *next = strstr(parts[i] + 1, mark);
        parts[i + 1] = next ? next : strchr(parts[i], '\0');
    }

    qemu_tls_end(vm);
    char *folder = file_of(vm, "");
    int error = mkdir(folder, 0711)
                ? err_set(err, errno, "%s: %s", folder, ovs_strerror(errno))
                : 0;
    free(folder);
    for (int i = 0; i < N_PARTS && !error; i++) {
        error = write_file(vm, file_names[source][i], parts[i],
                           parts[i + 1] - parts[i], err);
    }
    if (!source && !error) {
        error = write_file(vm, GROUP_FILE, group, strlen(group), err);
    }
    if (error) {
        qemu_tls_end(vm);
    }
    return error;
}

void
qemu_tls_end(struct qemu_vm *vm)
{
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < N_PARTS; i++) {
            char *path = file_of(vm, file_names[side][i]);
            unlink(path);
            free(path);
        }
    }
    char *path = file_of(vm, GROUP_FILE);
    unlink(path);
    free(path);
    char *folder = file_of(vm, "");
    rmdir(folder);
    free(folder);
}

/* What an earlier migration has left gives way. */
static void
add_object(struct qemu_vm *vm, enum call_id call, const char *type,
           const char *id, struct json *object)
{
    struct json *old = json_object_create();
    json_object_put_string(old, "id", id);
    call_add_tolerant(vm, call, "object-del", old);

    json_object_put_string(object, "qom-type", type);
    json_object_put_string(object, "id", id);
    call_add(vm, call, "object-add", object);
}

int
qemu_tls_add(struct qemu_vm *vm, enum call_id call, bool source,
             const char *ticket, const char *peer, struct json *parameters,
             struct err *err)
{
    if (!ticket) {
        json_object_put_string(parameters, "tls-creds", "");
        return 0;
    }
    int error = write_ticket(vm, source, ticket, err);
    if (error) {
        return error;
    }

    struct json *object = json_object_create();
    json_object_put_string(object, "dir", "../"FOLDER);
    json_object_put_string(object, "endpoint", source ? "client" : "server");
    json_object_put(object, "verify-peer", json_boolean_create(true));
    /* QEMU 7.2 believes that all keys are RSA's, which encipher others. */
    json_object_put(object, "sanity-check", json_boolean_create(false));
    add_object(vm, call, "tls-creds-x509", CREDENTIALS, object);
    json_object_put_string(parameters, "tls-creds", CREDENTIALS);

    if (source) {
        json_object_put_string(parameters, "tls-hostname", peer);
        return 0;
    }
    object = json_object_create();
    json_object_put_nocopy(object, xstrdup("identity"),
                           json_string_create_nocopy(xasprintf("CN=%s",
                                                               peer)));
    add_object(vm, call, "authz-simple", PEER, object);
    json_object_put_string(parameters, "tls-authz", PEER);
    return 0;
}
