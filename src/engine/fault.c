#include <config.h>

#include "engine/fault.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "util.h"

enum fault_action { ACTION_OFF, ACTION_HOLD, ACTION_KILL, N_ACTIONS };

static const char *const actions[N_ACTIONS] = {
    [ACTION_OFF] = "off", [ACTION_HOLD] = "hold", [ACTION_KILL] = "kill",
};

static const struct {
    const char *name, *help;
} points[N_FAULT_POINTS] = {
#define POINT(POINT, NAME, HELP) [FAULT_##POINT] = { NAME, HELP },
    FAULT_POINTS
#undef POINT
};

struct fault {
    enum fault_action at[N_FAULT_POINTS];
    bool held[N_FAULT_POINTS];
};

struct fault *
fault_create(void)
{
    return xzalloc(sizeof(struct fault));
}

void
fault_destroy(struct fault *f)
{
    free(f);
}

static void
list_points(struct ds *s)
{
    for (size_t i = 0; i < N_FAULT_POINTS; i++) {
        ds_put_format(s, "%s%s", i ? ", " : "", points[i].name);
    }
}

int
fault_set(struct fault *f, const char *point_name, const char *action_name,
          struct err *err)
{
    enum fault_action action = 0;
    enum fault_point point = 0;

    while (point < N_FAULT_POINTS && strcmp(points[point].name, point_name)) {
        point++;
    }
    if (point == N_FAULT_POINTS) {
        struct ds names = DS_EMPTY_INITIALIZER;

        list_points(&names);
        err_set(err, EINVAL, "\"%s\" is not one of the points %s",
                point_name, ds_cstr(&names));
        ds_destroy(&names);
        return EINVAL;
    }
    while (action < N_ACTIONS && strcmp(actions[action], action_name)) {
        action++;
    }
    if (action == N_ACTIONS) {
        return err_set(err, EINVAL, "\"%s\" is not \"hold\", \"kill\" or "
                       "\"off\"", action_name);
    }
    f->at[point] = action;
    f->held[point] = false;
    return 0;
}

bool
fault_release(struct fault *f)
{
    bool any = false;

    for (size_t i = 0; i < N_FAULT_POINTS; i++) {
        if (f->held[i]) {
            f->held[i] = false;
            f->at[i] = ACTION_OFF;
            any = true;
        }
    }
    return any;
}

void
fault_format(const struct fault *f, struct ds *s)
{
    for (size_t i = 0; i < N_FAULT_POINTS; i++) {
        ds_put_format(s, "%s %s: %s\n", points[i].name,
                      f->held[i] ? "held" : actions[f->at[i]],
                      points[i].help);
    }
}

bool
fault_pass(struct fault *f, enum fault_point point)
{
    if (!f || f->at[point] == ACTION_OFF) {
        return true;
    }
    if (f->at[point] == ACTION_KILL) {
        raise(SIGKILL);
    }
    f->held[point] = true;
    return false;
}
