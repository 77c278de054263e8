#include <config.h>

#include "hypervisor/shortcut.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netlink-socket.h"
#include "netlink.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "util.h"

struct shortcuts {
    int map;
};

static int
sys_bpf(int command, union bpf_attr *attr)
{
    return syscall(SYS_bpf, command, attr, sizeof *attr);
}

/* The program. */

#define INSN(CODE, DST, SRC, OFF, IMM)                                  \
    ((struct bpf_insn) { .code = (CODE), .dst_reg = (DST),              \
                         .src_reg = (SRC), .off = (OFF), .imm = (IMM) })
#define MOV_REG(DST, SRC) INSN(BPF_ALU64 | BPF_MOV | BPF_X, DST, SRC, 0, 0)
#define MOV_IMM(DST, IMM) INSN(BPF_ALU64 | BPF_MOV | BPF_K, DST, 0, 0, IMM)
#define ADD_IMM(DST, IMM) INSN(BPF_ALU64 | BPF_ADD | BPF_K, DST, 0, 0, IMM)
#define CALL(FUNC) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, FUNC)
#define JNE0(REG, OFF) INSN(BPF_JMP | BPF_JNE | BPF_K, REG, 0, OFF, 0)
#define JEQ0(REG, OFF) INSN(BPF_JMP | BPF_JEQ | BPF_K, REG, 0, OFF, 0)
#define STORE32(DST, OFF, IMM) \
    INSN(BPF_ST | BPF_MEM | BPF_W, DST, 0, OFF, IMM)
#define STORE16(DST, OFF, IMM) \
    INSN(BPF_ST | BPF_MEM | BPF_H, DST, 0, OFF, IMM)
#define LOAD32(DST, SRC, OFF) \
    INSN(BPF_LDX | BPF_MEM | BPF_W, DST, SRC, OFF, 0)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* On the stack, from its end. */
#define KEY (-16)
#define SOURCE (-24)

static int
load_program(int map, struct eth_addr source, int *prog, struct err *err)
{
    uint32_t head;
    uint16_t tail;

    memcpy(&head, source.ea, 4);
    memcpy(&tail, source.ea + 4, 2);

    const struct bpf_insn insns[] = {
        MOV_REG(6, 1),                          /* The packet. */

        MOV_IMM(2, 0),                          /* Its first bytes... */
        MOV_REG(3, 10),
        ADD_IMM(3, KEY),
        MOV_IMM(4, SHORTCUT_KEY_LEN),
        CALL(BPF_FUNC_skb_load_bytes),
        JNE0(0, 20),

        INSN(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map),
        INSN(0, 0, 0, 0, 0),                    /* ...in the map? */
        MOV_REG(2, 10),
        ADD_IMM(2, KEY),
        CALL(BPF_FUNC_map_lookup_elem),
        JEQ0(0, 14),
        LOAD32(7, 0, 0),                        /* The device. */

        STORE32(10, SOURCE, head),              /* Set the source. */
        STORE16(10, SOURCE + 4, tail),
        MOV_REG(1, 6),
        MOV_IMM(2, ETH_ADDR_LEN),
        MOV_REG(3, 10),
        ADD_IMM(3, SOURCE),
        MOV_IMM(4, ETH_ADDR_LEN),
        MOV_IMM(5, 0),
        CALL(BPF_FUNC_skb_store_bytes),

        MOV_REG(1, 7),
        MOV_IMM(2, 0),                          /* Egress. */
        CALL(BPF_FUNC_redirect),
        EXIT(),

        MOV_IMM(0, TC_ACT_OK),                  /* To the agent. */
        EXIT(),
    };
    char log[4096] = "";
    union bpf_attr attr = {
        .prog_type = BPF_PROG_TYPE_SCHED_CLS,
        .insns = (uintptr_t) insns,
        .insn_cnt = ARRAY_SIZE(insns),
        .license = (uintptr_t) "Apache-2.0",
        .log_buf = (uintptr_t) log,
        .log_size = sizeof log,
        .log_level = 1,
    };

    *prog = sys_bpf(BPF_PROG_LOAD, &attr);
    return (*prog >= 0 ? 0
            : err_set(err, errno, "cannot load a BPF program: %s",
                      ovs_strerror(errno)));
}

static int
create_map(int *map, struct err *err)
{
    union bpf_attr attr = {
        .map_type = BPF_MAP_TYPE_HASH,
        .key_size = SHORTCUT_KEY_LEN,
        .value_size = sizeof(uint32_t),
        .max_entries = SHORTCUT_MAX,
    };

    *map = sys_bpf(BPF_MAP_CREATE, &attr);
    return (*map >= 0 ? 0
            : err_set(err, errno, "cannot make a BPF map: %s",
                      ovs_strerror(errno)));
}

/* Where it stands. */

#define FILTER_HANDLE 1         /* The only one. */

static void
put_tc_header(struct ofpbuf *request, int ifindex, int type, int flags,
              uint32_t parent, uint32_t handle, uint32_t info)
{
    ofpbuf_init(request, 512);
    nl_msg_put_nlmsghdr(request, sizeof(struct tcmsg), type,
                        NLM_F_REQUEST | NLM_F_ACK | flags);

    struct tcmsg *tc = ofpbuf_put_zeros(request, sizeof *tc);
    tc->tcm_ifindex = ifindex;
    tc->tcm_parent = parent;
    tc->tcm_handle = handle;
    tc->tcm_info = info;
}

static int
transact(struct ofpbuf *request)
{
    int error = nl_transact(NETLINK_ROUTE, request, NULL);

    ofpbuf_uninit(request);
    return error;
}

static int
attach(int ifindex, int prog, struct err *err)
{
    struct ofpbuf request;
    int error;

    /* What an earlier process left stays until there is ours: the kernel drops
     * the device's packets for some ms when clsact comes or goes. */
    put_tc_header(&request, ifindex, RTM_NEWQDISC,
                  NLM_F_CREATE | NLM_F_EXCL, TC_H_CLSACT,
                  TC_H_MAKE(TC_H_CLSACT, 0), 0);
    nl_msg_put_string(&request, TCA_KIND, "clsact");
    error = transact(&request);
    if (error && error != EEXIST) {
        return err_set(err, error, "cannot add clsact: %s",
                       ovs_strerror(error));
    }

    put_tc_header(&request, ifindex, RTM_NEWTFILTER,
                  NLM_F_CREATE | NLM_F_REPLACE,
                  TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), FILTER_HANDLE,
                  TC_H_MAKE(1u << 16, (OVS_FORCE uint16_t)
                            htons(ETH_P_ALL)));
    nl_msg_put_string(&request, TCA_KIND, "bpf");
    size_t offset = nl_msg_start_nested(&request, TCA_OPTIONS);
    nl_msg_put_u32(&request, TCA_BPF_FD, prog);
    nl_msg_put_string(&request, TCA_BPF_NAME, "watari-shortcut");
    nl_msg_put_u32(&request, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    nl_msg_end_nested(&request, offset);
    error = transact(&request);
    return (error ? err_set(err, error, "cannot attach a BPF program: %s",
                            ovs_strerror(error)) : 0);
}

int
shortcuts_open(const char *hold, struct eth_addr source,
               struct shortcuts **sp, struct err *err)
{
    int ifindex = if_nametoindex(hold);
    int map, prog;
    int error;

    if (!ifindex) {
        return err_set(err, ENODEV, "no device \"%s\"", hold);
    }
    error = create_map(&map, err);
    if (error) {
        return err_add(err, error, "shortcuts");
    }
    error = load_program(map, source, &prog, err);
    if (!error) {
        error = attach(ifindex, prog, err);
        close(prog);            /* The filter keeps it. */
    }
    if (error) {
        close(map);
        return err_add(err, error, "shortcuts");
    }

    struct shortcuts *s = xmalloc(sizeof *s);
    s->map = map;
    *sp = s;
    return 0;
}

void
shortcuts_close(struct shortcuts *s)
{
    if (s) {
        close(s->map);
        free(s);
    }
}

int
shortcuts_add(struct shortcuts *s, const uint8_t key[SHORTCUT_KEY_LEN],
              const char *tap, struct err *err)
{
    uint32_t ifindex = if_nametoindex(tap);
    union bpf_attr attr = {
        .map_fd = s->map,
        .key = (uintptr_t) key,
        .value = (uintptr_t) &ifindex,
    };

    if (!ifindex) {
        return err_set(err, ENODEV, "no device \"%s\"", tap);
    }
    return (sys_bpf(BPF_MAP_UPDATE_ELEM, &attr)
            ? err_set(err, errno, "shortcut to %s: %s", tap,
                      ovs_strerror(errno)) : 0);
}

void
shortcuts_remove(struct shortcuts *s, const uint8_t key[SHORTCUT_KEY_LEN])
{
    union bpf_attr attr = {
        .map_fd = s->map,
        .key = (uintptr_t) key,
    };

    sys_bpf(BPF_MAP_DELETE_ELEM, &attr);
}
