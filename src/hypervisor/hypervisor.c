#include <config.h>
#include "hypervisor/hypervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/hypervisor-provider.h"
#include "openvswitch/util.h"
#include "util.h"

static const struct hypervisor_class *const classes[] = {
    &qemu_class,
};

const char *
migration_status_name(enum migration_status status)
{
    switch (status) {
#define MIGRATION_STATUS(ENUM, NAME) case MIGRATION_##ENUM: return NAME;
        MIGRATION_STATUSES
#undef MIGRATION_STATUS
    }
    OVS_NOT_REACHED();
}

uint64_t
hypervisor_pad_memory(uint64_t kib)
{
    return kib % 256 ? kib : kib + 8;
}

char *
hypervisor_tap_name(const struct uuid *vm, size_t nic,
                    char name[HYPERVISOR_TAP_LEN])
{
    /* 12 of the UUID's 32 digits: two VMs of one host share them as rarely as
     * any two MACs. */
    snprintf(name, HYPERVISOR_TAP_LEN, "wv%08"PRIx32"%04"PRIx32"%zx",
             vm->parts[0], vm->parts[3] & 0xffff, nic & 0xf);
    return name;
}

int
hypervisor_open(const char *type, const struct hypervisor_config *config,
                struct hypervisor **hvp, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
        if (!strcmp(classes[i]->type, type)) {
            int error = classes[i]->open(config, hvp, err);
            if (error) {
                return err_add(err, error, "hypervisor of %s", config->host);
            }
            (*hvp)->class = classes[i];
            (*hvp)->host = xstrdup(config->host);
            return 0;
        }
    }
    return err_set(err, EAFNOSUPPORT, "no hypervisor driver \"%s\"", type);
}

void
hypervisor_close(struct hypervisor *hv)
{
    if (hv) {
        char *host = hv->host;
        hv->class->close(hv);
        free(host);
    }
}

void
hypervisor_run(struct hypervisor *hv, long long now)
{
    hv->now = now;
    hv->class->run(hv);
}

void
hypervisor_wait(struct hypervisor *hv)
{
    hv->class->wait(hv);
}

/* Says what was tried, on what and where, in front of a failure. */
static int
result(const struct hypervisor *hv, int error, const char *what,
       const struct uuid *vm, struct err *err)
{
    if (!error || error == EINPROGRESS) {
        return error;
    }
    return err_add(err, error, "%s VM %08"PRIx32" on %s", what,
                   vm->parts[0], hv->host);
}

static int
result_named(const struct hypervisor *hv, int error, const char *what,
             const struct vm *vm, struct err *err)
{
    if (!error || error == EINPROGRESS) {
        return error;
    }
    return err_add(err, error, "%s \"%s\" on %s", what, vm->name, hv->host);
}

int
hypervisor_adopt(struct hypervisor *hv, struct err *err)
{
    int error = hv->class->adopt(hv, err);
    return (error && error != EINPROGRESS
            ? err_add(err, error, "looking for VMs on %s", hv->host)
            : error);
}

size_t
hypervisor_list(const struct hypervisor *hv, struct hypervisor_info **infos)
{
    return hv->class->list(hv, infos);
}

bool
hypervisor_next_event(struct hypervisor *hv, struct hypervisor_event *event)
{
    return hv->class->next_event(hv, event);
}

int
hypervisor_prepare(struct hypervisor *hv, const struct vm *vm,
                   struct err *err)
{
    return result_named(hv, hv->class->prepare(hv, vm, err), "preparing", vm,
                        err);
}

int
hypervisor_boot(struct hypervisor *hv, const struct vm *vm, struct err *err)
{
    return result_named(hv, hv->class->boot(hv, vm, err), "starting", vm,
                        err);
}

int
hypervisor_listen(struct hypervisor *hv, const struct vm *vm,
                  const char *source, unsigned int rtt_us,
                  struct migration_target *target, struct err *err)
{
    return result_named(hv, hv->class->listen(hv, vm, source, rtt_us, target,
                                              err), "expecting", vm, err);
}

int
hypervisor_set_capture(struct hypervisor *hv, const struct uuid *vm,
                       enum capture_mode mode, struct err *err)
{
    return result(hv, hv->class->set_capture(hv, vm, mode, err),
                  "capturing packets for", vm, err);
}

struct capture *
hypervisor_capture(struct hypervisor *hv, const struct uuid *vm)
{
    return hv->class->capture(hv, vm);
}

int
hypervisor_send(struct hypervisor *hv, const struct uuid *vm,
                const struct migration_target *target,
                const struct migration_limits *limits,
                struct copy_progress *progress, struct err *err)
{
    return result(hv, hv->class->send(hv, vm, target, limits, progress, err),
                  "sending", vm, err);
}

int
hypervisor_set_limits(struct hypervisor *hv, const struct uuid *vm,
                      const struct migration_limits *limits, struct err *err)
{
    return result(hv, hv->class->set_limits(hv, vm, limits, err),
                  "limiting the copy of", vm, err);
}

int
hypervisor_proceed(struct hypervisor *hv, const struct uuid *vm,
                   struct err *err)
{
    return result(hv, hv->class->proceed(hv, vm, err), "switching over", vm,
                  err);
}

int
hypervisor_grant(struct hypervisor *hv, const struct uuid *vm,
                 struct err *err)
{
    return result(hv, hv->class->grant(hv, vm, err), "granting", vm, err);
}

int
hypervisor_take_back(struct hypervisor *hv, const struct uuid *vm,
                     struct err *err)
{
    return result(hv, hv->class->take_back(hv, vm, err), "taking back", vm,
                  err);
}

int
hypervisor_cancel(struct hypervisor *hv, const struct uuid *vm,
                  struct err *err)
{
    return result(hv, hv->class->cancel(hv, vm, err),
                  "cancelling the migration of", vm, err);
}

int
hypervisor_stop(struct hypervisor *hv, const struct uuid *vm,
                unsigned int grace_ms, struct err *err)
{
    return result(hv, hv->class->stop(hv, vm, grace_ms, err), "stopping", vm,
                  err);
}

int
hypervisor_destroy(struct hypervisor *hv, const struct uuid *vm,
                   struct err *err)
{
    return result(hv, hv->class->destroy(hv, vm, err), "destroying", vm, err);
}

int
hypervisor_query(struct hypervisor *hv, const struct uuid *vm,
                 struct hypervisor_info *info, struct err *err)
{
    return result(hv, hv->class->query(hv, vm, info, err), "asking about", vm,
                  err);
}
