#include <config.h>

#include "core/vm.h"

#include <string.h>

#include "util.h"

static const char *const vm_state_names[] = {
    [VM_ABSENT] = "absent",
    [VM_STARTING] = "starting",
    [VM_LISTENING] = "listening",
    [VM_RUNNING] = "running",
    [VM_PAUSED] = "paused",
    [VM_SENT] = "sent",
    [VM_FAILED] = "failed",
};

static const char *const network_mode_names[] = {
    [NETWORK_REWRITE] = "rewrite",
    [NETWORK_OVERLAY] = "overlay",
    [NETWORK_ANCHOR] = "anchor",
    [NETWORK_READDRESS] = "readdress",
};

const char *
vm_state_name(enum vm_state state)
{
    return vm_state_names[state];
}

const char *
network_mode_name(enum network_mode mode)
{
    return network_mode_names[mode];
}

bool
network_mode_from_name(const char *name, enum network_mode *mode)
{
    for (size_t i = 0; i < ARRAY_SIZE(network_mode_names); i++) {
        if (!strcmp(name, network_mode_names[i])) {
            *mode = i;
            return true;
        }
    }
    return false;
}
