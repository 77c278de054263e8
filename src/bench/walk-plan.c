#include <config.h>
#include "bench/walk-plan.h"

#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

/* A copy takes some 3 s, a whole round rarely less than 5. */
#define MAX_TIME_MS 5000
#define MAX_COPY_HOLD_MS 2500   /* The guest runs meanwhile. */
#define MAX_CUT_MS 3000

/* Points at which moves can be held; see engine/fault.h.  From the last one on
 * there is no way back. */
static const char *const points[] = {
    "copy", "stop", "pre-switchover", "continued", "granted",
};
#define N_BEFORE_CONTINUE 3
#define N_BEFORE_GRANT 4

static const char *const kinds[] = {
    [WALK_AGENT] = "agent", [WALK_MANAGER] = "manager",
    [WALK_STORE] = "store", [WALK_CHANNEL] = "channel",
    [WALK_QEMU] = "destination-qemu", [WALK_CANCEL] = "cancel",
};

/* Out of 16, what it is: agents most of all. */
static const enum walk_kind lots[16] = {
    WALK_AGENT, WALK_AGENT, WALK_AGENT, WALK_AGENT, WALK_AGENT, WALK_AGENT,
    WALK_MANAGER, WALK_STORE, WALK_STORE, WALK_CHANNEL, WALK_CHANNEL,
    WALK_CHANNEL, WALK_QEMU, WALK_QEMU, WALK_CANCEL, WALK_CANCEL,
};

/* SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014). */
static uint64_t
draw(uint64_t *state, uint64_t below)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static size_t
n_points(enum walk_kind kind)
{
    switch (kind) {
    case WALK_AGENT:
    case WALK_CHANNEL:
        return ARRAY_SIZE(points);
    case WALK_QEMU:
        return N_BEFORE_GRANT;
    case WALK_CANCEL:
        return N_BEFORE_CONTINUE;
    case WALK_MANAGER:
    case WALK_STORE:
        return N_BEFORE_CONTINUE;
    case WALK_N_KINDS:
        break;
    }
    OVS_NOT_REACHED();
}

/* Draws as many numbers whatever they say. */
static void
plan_harm(uint64_t *state, struct walk_harm *harm)
{
    harm->kind = lots[draw(state, ARRAY_SIZE(lots))];
    harm->vm = draw(state, WALK_N_VMS);
    harm->role = draw(state, WALK_N_ROLES);

    /* While a QEMU may be the one that runs the guest, it is none to kill:
     * only where its move is held is that known. */
    bool held = draw(state, 2) || harm->kind == WALK_QEMU;
    size_t point = draw(state, n_points(harm->kind));
    unsigned int copied = draw(state, MAX_COPY_HOLD_MS);
    unsigned int time = draw(state, MAX_TIME_MS);

    harm->point = held ? points[point] : NULL;
    harm->delay_ms = !held ? time : !point ? copied : 0;
    harm->lasts_ms = 1 + draw(state, MAX_CUT_MS);
}

void
walk_plan(uint64_t seed, unsigned int round, struct walk_plan *plan)
{
    uint64_t state = seed;

    state = draw(&state, UINT64_MAX) + round;
    for (size_t i = 0; i < WALK_N_VMS; i++) {
        plan->turns[i] = 1 + draw(&state, 2);
    }
    plan->n_harms = 1 + draw(&state, WALK_MAX_HARMS);
    for (size_t i = 0; i < WALK_MAX_HARMS; i++) {
        plan_harm(&state, &plan->harms[i]);
    }
}

const char *
walk_kind_name(enum walk_kind kind)
{
    return kinds[kind];
}

struct json *
walk_harm_to_json(const struct walk_harm *harm)
{
    static const char *const roles[] = { "source", "destination", "third" };
    struct json *json = json_object_create();

    json_object_put_string(json, "kind", kinds[harm->kind]);
    json_object_put(json, "vm", json_integer_create(harm->vm + 1));
    if (harm->kind == WALK_AGENT) {
        json_object_put_string(json, "role", roles[harm->role]);
    } else if (harm->kind == WALK_CHANNEL) {
        json_object_put_string(json, "without", roles[harm->role]);
        json_object_put(json, "lasts_ms",
                        json_integer_create(harm->lasts_ms));
    }
    if (harm->point) {
        json_object_put_string(json, "point", harm->point);
    }
    json_object_put(json, "delay_ms", json_integer_create(harm->delay_ms));
    return json;
}
