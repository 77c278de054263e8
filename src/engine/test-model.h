#ifndef ENGINE_TEST_MODEL_H
#define ENGINE_TEST_MODEL_H 1

/* The model: two real engines in a stepwise world (test-world.h), and every
 * order in which things can happen to them.
 *
 *      test-model.c          what can happen next, what must hold, options
 *      test-model-state.c    when are two states the same?
 *      test-model-search.c   every path, once for each state
 *      test-model-seeds.c    the journal, and bugs to be found
 *
 * A state is what the engines, the QEMUs, the journals, the channel and the
 * store are in.  What happens next is an action: a message arrives, the store
 * does a write, QEMU goes on, an agent dies.  Then each agent that has
 * something to look at runs, until it has nothing more to do; before anything
 * that it does to others its death is another path. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/compiler.h"

enum model_seed {
    SEED_NONE,
    SEED_EARLY_GRANT,           /* Grants before 'completed'. */
    SEED_NO_GRANT,              /* D runs what it has loaded. */
    SEED_TAKES_BACK,            /* S takes back what nobody refused. */
    SEED_FORGETS_MARK,          /* A restarted agent. */
    SEED_LATE_MARK,             /* Of 'move', not saved before it runs. */
    SEED_ABORTS_GRANTED,        /* A restarted D ends what it was granted. */
    N_SEEDS
};

/* How often things may go wrong on a path. */
struct model_bound {
    int faults;
    int delays;                 /* Something takes longer than somebody
                                 * waits for it. */
};

struct model {
    enum model_seed seed;
    struct model_bound left;
    bool dead[2];               /* S, D: the agent. */
    bool gone;                  /* D's whole host, for good. */
    bool person;                /* Has said where the guest runs. */
    bool lost;                  /* The guest itself, perhaps: its QEMU was
                                 * killed. */
    int ticks;
};

extern struct model model;

/* test-model-state.c */

/* Of everything that matters for what follows. */
uint64_t model_hash(void);

/* The state in a line, for people. */
#define MODEL_LINE 200
void model_format(char buf[MODEL_LINE]);

/* test-model-search.c */

struct model_result {
    uint64_t n_states, n_actions, n_ends;
    int deepest;
    const char *wrong;          /* Null: nothing. */
};

/* Explores everything from where the world is.  'shortest': looks on after
 * something wrong for a shorter path to it. */
struct model_result model_explore(bool shortest);

/* The path to what was wrong, to stdout. */
void model_print_path(void);

/* Another path begins here, in which the agent of 'host' dies now.  Called
 * while an agent runs. */
void model_may_die(int host, const char *before);

/* Ends the whole search with the present path. */
void model_give_up(const char *why) OVS_NO_RETURN;

/* What happens, as the next line of the path. */
void model_note(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* test-model.c */

#define MODEL_MAX_ACTIONS 40

enum model_kind {
    DO_MESSAGE,                 /* To 'host', from the other one. */
    DO_QEMU,
    DO_ANSWER,                  /* 'arg': a call of the hypervisor. */
    DO_WRITE,
    DO_TICK,                    /* A short while. */
    DO_RESTART,
    DO_MEND,
    DO_RESOLVE,                 /* A person: it runs on 'host'. */

    /* Only as often as the bound allows. */
    DO_CRASH,
    DO_BREAK,                   /* The connection. */
    DO_CANCEL,
    DO_KILL_QEMU,
    DO_BREAK_STREAM,
    DO_BAD_LOAD,
    DO_REFUSE,                  /* The store, a write. */
    DO_LOSE_HOST,               /* D's, for good. */
    DO_DELAY,                   /* 'arg': seconds. */
};

struct model_action {
    enum model_kind kind;
    int host;
    int arg;
};

size_t model_actions(struct model_action list[MODEL_MAX_ACTIONS],
                     bool faults_too);
void model_do(const struct model_action *);
void model_die(int host);
void model_settle(void);

/* Lets time go by until there is something to do.  False: there never is. */
bool model_wait(void);

/* What must always hold, and what at the end of a path; null if it does. */
const char *model_check(void);
const char *model_check_end(void);

#endif /* engine/test-model.h */
