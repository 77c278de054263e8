#include <config.h>

/* Every path.  Where it parts, the process does: each child goes on with the
 * whole world as it is, its parent waits and takes the next way.  A table
 * that all of them share says which states have been seen. */

#include "engine/test-model.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

#include "engine/test-world.h"

#define TABLE_BITS 24           /* A state takes 8 bytes. */
#define MAX_DEPTH 250           /* Nothing takes so long. */
#define MAX_PROBES 10000
#define LINE 120

struct line {
    char what[LINE];            /* Happened... */
    char state[MODEL_LINE];     /* ...and led to this; "": to no rest. */
};

static struct shared {
    struct model_result result;
    int depth;                  /* Of the path to what is wrong; 0: none. */
    struct line path[MAX_DEPTH];
    char wrong[LINE];
    bool stop;
    uint64_t table[1 << TABLE_BITS];    /* Hash, and the depth below. */
} *shared;

static struct line path[MAX_DEPTH];
static int depth;
static bool is_child, wants_shortest;
static jmp_buf next_state;      /* The agent that ran is dead. */

static void report(const char *wrong);

/* An assertion does not hold, or worse. */
static void
crashed(int signal_number)
{
    signal(signal_number, SIG_DFL);
    report(strsignal(signal_number));
    shared->stop = true;
    _exit(0);
}

void
model_give_up(const char *why)
{
    report(why);
    shared->stop = true;
    _exit(0);
}

/* One way ends; its parent knows the next. */
static void
end(void)
{
    if (is_child) {
        _exit(0);
    }
}

/* True in a new process, for another way; false, later, in this one. */
static bool
part(void)
{
    pid_t pid = fork();

    if (pid < 0) {
        perror("fork");
        _exit(2);
    } else if (!pid) {
        is_child = true;
        return true;
    }
    waitpid(pid, NULL, 0);
    if (shared->stop && is_child) {
        _exit(0);
    }
    return false;
}

/* Is it new, or, if the shortest way is wanted, nearer than before? */
static bool
visit(uint64_t hash)
{
    uint64_t tag = hash | 0xff;
    uint64_t *slot = &shared->table[(hash >> 8) & ((1 << TABLE_BITS) - 1)];

    for (size_t n = 0; *slot; n++) {
        if ((*slot | 0xff) == tag) {
            if (!wants_shortest || (*slot & 0xff) <= depth) {
                return false;
            }
            *slot = (hash & ~UINT64_C(0xff)) | depth;
            return true;
        }
        if (n > MAX_PROBES) {
            model_give_up("the table of states is full");
        }
        slot = slot + 1 < &shared->table[1 << TABLE_BITS] ? slot + 1
               : shared->table;
    }
    *slot = (hash & ~UINT64_C(0xff)) | depth;
    shared->result.n_states++;
    return true;
}

void
model_note(const char *format, ...)
{
    va_list args;

    if (depth == MAX_DEPTH) {
        depth--;
        model_give_up("a path does not end");
    }
    path[depth].state[0] = '\0';
    va_start(args, format);
    vsnprintf(path[depth].what, LINE, format, args);
    va_end(args);
    depth++;
    shared->result.deepest = MAX(shared->result.deepest, depth);
}

static void
describe(void)
{
    if (depth) {
        model_format(path[depth - 1].state);
    }
}

static void
report(const char *wrong)
{
    if (shared->depth && shared->depth <= depth) {
        return;
    }
    shared->depth = MAX(1, depth);
    memcpy(shared->path, path, depth * sizeof path[0]);
    ovs_strlcpy(shared->wrong, wrong, LINE);
    shared->stop = !wants_shortest;
}

void
model_may_die(int host, const char *before)
{
    if (model.left.faults && part()) {
        model.left.faults--;
        model_note("the agent of %s dies before \"%s\"",
                   host == HOST_S ? "S" : "D", before);
        model_die(host);
        longjmp(next_state, 1);
    }
}

/* From a state to the next one, in this process; false at the end of a
 * path. */
static bool
step(void)
{
    struct model_action list[MODEL_MAX_ACTIONS];
    const char *wrong = model_check();

    describe();
    if (wrong) {
        report(wrong);
        return false;
    }
    if (!visit(model_hash())
        || (wants_shortest && shared->depth && depth >= shared->depth)) {
        return false;
    }

    size_t n_forced = model_actions(list, false);
    size_t n = model_actions(list, true);
    for (size_t i = 0; i < n && !shared->stop; i++) {
        bool last = n_forced && i == n - 1;

        if (last || part()) {
            shared->result.n_actions++;
            model_do(&list[i]);
            return true;
        }
    }
    if (shared->stop) {
        return false;
    }
    if (!n_forced && !model_wait()) {
        shared->result.n_ends++;
        wrong = model_check_end();
        if (wrong) {
            report(wrong);
        }
        return false;
    }
    return true;
}

struct model_result
model_explore(bool shortest)
{
    struct model_result result;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        abort();
    }
    depth = 0;
    wants_shortest = shortest;
    fflush(NULL);
    if (part()) {               /* The caller's world stays as it is. */
        signal(SIGABRT, crashed);
        signal(SIGSEGV, crashed);
        setjmp(next_state);
        model_settle();
        while (step()) {
            continue;
        }
        end();
    }

    result = shared->result;
    memcpy(path, shared->path, sizeof path);
    depth = shared->depth;
    if (depth) {
        static char wrong[LINE];

        ovs_strlcpy(wrong, shared->wrong, LINE);
        result.wrong = wrong;
    }
    munmap(shared, sizeof *shared);
    return result;
}

void
model_print_path(void)
{
    const char *state = "";

    for (int i = 0; i < depth; i++) {
        printf("%3d  %s\n", i + 1, path[i].what);
        if (path[i].state[0] && strcmp(path[i].state, state)) {
            printf("     -> %s\n", path[i].state);
            state = path[i].state;
        }
    }
}
