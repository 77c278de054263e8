#include <config.h>

/* Golden tests of the compilers: bindings in, flows out, as text.
 *
 * A golden file holds commands, comments (#), and what the commands print,
 * each such line behind "| ".  The test runs the commands and compares.  With
 * GOLDEN_WRITE=1 it writes the file anew: look at the difference.
 *
 *      uplink wan=PORT hold=PORT mac=MAC router=MAC router6=MAC
 *      network NAME id=N prefix=P,P6 gateway=A,A6 [mode=MODE]
 *      interface NAME network=NAME mac=MAC home=A,A6 [inside=A,A6]
 *      here NAME [port=PORT] [mobile=A,A6] [hold]
 *      gone NAME
 *      out NAME here|away|nowhere gen=N [mobile=A,A6] [witness]
 *      accept NAME gen=N mobile=A,A6
 *      reject NAME gen=N
 *      open PORT network=NAME
 *      close PORT
 *      remove NAME                  an interface or a network
 *      show [WORD...]               flows of objects; lines with all words
 *      count                        all flows, the fixed ones included
 *      dump FILE                    all flows, as ovs-ofctl reads them
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/flow-table.h"
#include "flow.h"
#include "hash.h"
#include "mobility/datapath.h"
#include "mobility/pipeline.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-port.h"
#include "util.h"
#include "uuid.h"

#define MAX_WORDS 16

struct run {
    struct datapath *dp;
    struct ds out;
    const char *path;
    int line;
    char *words[MAX_WORDS];
    size_t n_words;
};

static void OVS_NO_RETURN
fail(const struct run *run, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", run->path, run->line, what);
    exit(EXIT_FAILURE);
}

/* Names are enough for the tests: UUIDs are made of them. */
static struct uuid
uuid_of(const char *name)
{
    struct uuid uuid = { { hash_string(name, 1), hash_string(name, 2),
                           hash_string(name, 3), hash_string(name, 4) } };

    return uuid;
}

/* The value of "key=value"; "" if there is none. */
static const char *
value(const struct run *run, const char *key)
{
    size_t n = strlen(key);

    for (size_t i = 1; i < run->n_words; i++) {
        if (!strncmp(run->words[i], key, n) && run->words[i][n] == '=') {
            return run->words[i] + n + 1;
        }
    }
    return "";
}

static bool
has(const struct run *run, const char *word)
{
    for (size_t i = 1; i < run->n_words; i++) {
        if (!strcmp(run->words[i], word)) {
            return true;
        }
    }
    return false;
}

static const char *
name(const struct run *run)
{
    if (run->n_words < 2) {
        fail(run, "a name is missing");
    }
    return run->words[1];
}

static ofp_port_t
port_value(const struct run *run, const char *key)
{
    const char *text = value(run, key);

    return *text ? u16_to_ofp(atoi(text)) : OFPP_NONE;
}

static struct eth_addr
mac_value(const struct run *run, const char *key)
{
    struct eth_addr mac = eth_addr_zero;

    eth_addr_from_string(value(run, key), &mac);
    return mac;
}

static struct addr_pair
pair_value(const struct run *run, const char *key)
{
    struct addr_pair pair = { 0 };
    char *text = xstrdup(value(run, key)), *save = NULL;
    struct err err;

    for (char *item = strtok_r(text, ",", &save); item;
         item = strtok_r(NULL, ",", &save)) {
        if (addr_pair_add(&pair, item, &err)) {
            fail(run, err.text);
        }
    }
    free(text);
    return pair;
}

static struct generation
generation_value(const struct run *run)
{
    return (struct generation) { .counter = atoi(value(run, "gen")) };
}

static void
do_uplink(struct run *run)
{
    struct datapath_uplink uplink = {
        .wan = port_value(run, "wan"), .hold = port_value(run, "hold"),
        .mac = mac_value(run, "mac"),
        .router = { mac_value(run, "router"), mac_value(run, "router6") },
    };

    datapath_set_uplink(run->dp, &uplink);
}

static void
do_network(struct run *run)
{
    struct network network = {
        .uuid = uuid_of(name(run)), .id = atoi(value(run, "id")),
        .gateway = pair_value(run, "gateway"),
    };
    char *text = xstrdup(value(run, "prefix")), *save = NULL;
    const char *mode = value(run, "mode");
    struct err err;

    ovs_strlcpy(network.name, name(run), sizeof network.name);
    if (*mode && !network_mode_from_name(mode, &network.mode)) {
        fail(run, "unknown mode");
    }
    for (char *item = strtok_r(text, ",", &save); item;
         item = strtok_r(NULL, ",", &save)) {
        struct prefix prefix;

        if (prefix_parse(item, &prefix, &err)) {
            fail(run, err.text);
        }
        network.prefix[addr_family(&prefix.addr)] = prefix;
    }
    free(text);
    datapath_set_network(run->dp, &network);
}

static void
do_interface(struct run *run)
{
    struct interface interface = {
        .uuid = uuid_of(name(run)), .network = uuid_of(value(run, "network")),
        .mac = mac_value(run, "mac"), .home = pair_value(run, "home"),
        .inside = pair_value(run, "inside"),
    };

    datapath_set_interface(run->dp, &interface);
}

static void
do_here(struct run *run)
{
    struct uuid uuid = uuid_of(name(run));
    struct datapath_here here = {
        .port = port_value(run, "port"), .mobile = pair_value(run, "mobile"),
        .delivery = has(run, "hold") ? DATAPATH_HOLD : DATAPATH_DIRECT,
    };

    datapath_set_here(run->dp, &uuid, &here);
}

static void
do_gone(struct run *run)
{
    struct uuid uuid = uuid_of(name(run));

    datapath_set_here(run->dp, &uuid, NULL);
}

static void
do_out(struct run *run)
{
    struct uuid uuid = uuid_of(name(run));
    struct datapath_out out = {
        .kind = (has(run, "here") ? DATAPATH_HERE
                 : has(run, "away") ? DATAPATH_AWAY : DATAPATH_NOWHERE),
        .generation = generation_value(run),
        .mobile = pair_value(run, "mobile"), .witness = has(run, "witness"),
    };

    if (!datapath_set_out(run->dp, &uuid, &out)) {
        ds_put_cstr(&run->out, "| refused\n");
    }
}

static void
do_accept(struct run *run)
{
    struct uuid uuid = uuid_of(name(run));
    struct generation generation = generation_value(run);
    struct addr_pair mobile = pair_value(run, "mobile");

    datapath_accept(run->dp, &uuid, &generation, &mobile);
}

static void
do_reject(struct run *run)
{
    struct uuid uuid = uuid_of(name(run));
    struct generation generation = generation_value(run);

    datapath_reject(run->dp, &uuid, &generation);
}

static void
do_open(struct run *run)
{
    struct uuid network = uuid_of(value(run, "network"));

    datapath_set_open_port(run->dp, u16_to_ofp(atoi(name(run))), &network);
}

static void
do_close(struct run *run)
{
    datapath_remove_open_port(run->dp, u16_to_ofp(atoi(name(run))));
}

static void
do_remove(struct run *run)
{
    struct uuid uuid = uuid_of(name(run));

    datapath_remove_interface(run->dp, &uuid);
    datapath_remove_network(run->dp, &uuid);
}

static const char *
part_name(enum pipeline_part part)
{
    switch (part) {
    case PART_DROP: return "drop";
    case PART_UPLINK: return "uplink";
    case PART_NETWORK: return "network";
    case PART_OPEN: return "open";
    case PART_REPLY: return "reply";
    case PART_ERROR: return "error";
    case PART_HERE: return "here";
    case PART_OUT: return "out";
    case PART_FROM: return "from";
    case PART_SPOOFED: return "spoofed";
    }
    return "?";
}

/* "cookie=C, table=T, REST" as "| TABLE PART REST". */
static void
do_show(struct run *run)
{
    struct ds flows = DS_EMPTY_INITIALIZER;
    char *save = NULL;

    flow_table_format(datapath_flows(run->dp), &flows);
    for (char *line = strtok_r(ds_cstr(&flows), "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        unsigned long long cookie;
        unsigned int table;
        int n = 0;

        if (sscanf(line, "cookie=0x%llx, table=%u, %n", &cookie, &table, &n)
            < 2) {
            fail(run, "cannot read a flow");
        }
        enum pipeline_part part = pipeline_cookie_part(cookie);
        if (part == PART_DROP || part == PART_REPLY || part == PART_ERROR) {
            continue;
        }
        char *text = xasprintf("| %s %s %s\n", pipeline_table_name(table),
                               part_name(part), line + n);
        size_t i = 1;
        while (i < run->n_words && strstr(text, run->words[i])) {
            i++;
        }
        if (i == run->n_words) {
            ds_put_cstr(&run->out, text);
        }
        free(text);
    }
    ds_destroy(&flows);
}

static void
do_count(struct run *run)
{
    ds_put_format(&run->out, "| %"PRIuSIZE" flows\n",
                  flow_table_count(datapath_flows(run->dp)));
}

/* For tests/test_pipeline.py. */
static void
do_dump(struct run *run)
{
    struct ds flows = DS_EMPTY_INITIALIZER;
    FILE *file = fopen(name(run), "w");

    flow_table_format(datapath_flows(run->dp), &flows);
    if (!file || fputs(ds_cstr(&flows), file) < 0 || fclose(file)) {
        fail(run, "cannot write");
    }
    ds_destroy(&flows);
}

static const struct {
    const char *name;
    void (*run)(struct run *);
} commands[] = {
    { "uplink", do_uplink }, { "network", do_network },
    { "interface", do_interface }, { "here", do_here }, { "gone", do_gone },
    { "out", do_out }, { "accept", do_accept }, { "reject", do_reject },
    { "open", do_open }, { "close", do_close }, { "remove", do_remove },
    { "show", do_show }, { "count", do_count },
    { "dump", do_dump },
};

static void
run_line(struct run *run, char *line)
{
    char *save = NULL;

    run->n_words = 0;
    for (char *word = strtok_r(line, " \n", &save); word;
         word = strtok_r(NULL, " \n", &save)) {
        if (run->n_words == MAX_WORDS) {
            fail(run, "too many words");
        }
        run->words[run->n_words++] = word;
    }
    if (!run->n_words || run->words[0][0] == '#') {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!strcmp(run->words[0], commands[i].name)) {
            commands[i].run(run);
            return;
        }
    }
    fail(run, "unknown command");
}

int
main(int argc, char *argv[])
{
    struct run run = { .out = DS_EMPTY_INITIALIZER };
    struct ds old = DS_EMPTY_INITIALIZER;
    char line[512];

    if (argc != 2) {
        fprintf(stderr, "usage: test-golden FILE\n");
        return 2;
    }
    run.path = argv[1];
    run.dp = datapath_create();
    FILE *file = fopen(run.path, "r");
    if (!file) {
        fail(&run, ovs_strerror(errno));
    }
    while (fgets(line, sizeof line, file)) {
        run.line++;
        ds_put_cstr(&old, line);
        if (line[0] != '|') {
            ds_put_cstr(&run.out, line);
            run_line(&run, line);
        }
    }
    fclose(file);
    datapath_destroy(run.dp);

    bool same = !strcmp(ds_cstr(&old), ds_cstr(&run.out));
    if (!same && getenv("GOLDEN_WRITE")) {
        file = fopen(run.path, "w");
        if (!file || fputs(ds_cstr(&run.out), file) < 0 || fclose(file)) {
            fail(&run, "cannot write");
        }
    } else if (!same) {
        printf("%s differs; it is now:\n%s", run.path, ds_cstr(&run.out));
        printf("GOLDEN_WRITE=1 accepts that.\n");
    }
    ds_destroy(&old);
    ds_destroy(&run.out);
    return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
