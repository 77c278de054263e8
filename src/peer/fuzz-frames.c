#include <config.h>

/* Fuzzing of the connections for frames: whatever the bytes, and wherever
 * they are cut, the same records come out. */

#include <stdlib.h>
#include <string.h>

#include "openvswitch/list.h"
#include "openvswitch/uuid.h"

#include "base/fuzz.h"
#include "peer/frames.h"

/* Parses an exact copy of 'data' and moves what comes out to 'records'. */
static long
parse(const uint8_t *data, size_t size, struct uuid *from,
      struct ovs_list *records)
{
    uint8_t *copy = malloc(size + !size);
    if (size) {
        memcpy(copy, data, size);
    }
    long used = frames_parse(copy, size, from, records);
    free(copy);
    if (used > (long) size || used < -1) {
        abort();
    }
    return used;
}

static void
compare(struct ovs_list *a, struct ovs_list *b)
{
    while (!ovs_list_is_empty(a) && !ovs_list_is_empty(b)) {
        struct relayed *x = CONTAINER_OF(ovs_list_pop_front(a),
                                         struct relayed, node);
        struct relayed *y = CONTAINER_OF(ovs_list_pop_front(b),
                                         struct relayed, node);

        if (x->len != y->len || x->relay.kind != y->relay.kind
            || x->relay.nic != y->relay.nic
            || x->relay.number != y->relay.number
            || x->len > FRAMES_MAX_LEN || memcmp(x->data, y->data, x->len)) {
            abort();
        }
        free(x);
        free(y);
    }
    if (!ovs_list_is_empty(a) || !ovs_list_is_empty(b)) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ovs_list whole = OVS_LIST_INITIALIZER(&whole);
    struct ovs_list split = OVS_LIST_INITIALIZER(&split);
    struct uuid from_whole = { { 0 } }, from_split = { { 0 } };

    long used = parse(data, size, &from_whole, &whole);
    long first = parse(data, size / 2, &from_split, &split);
    long second = first < 0 ? 0 : parse(data + first, size - first,
                                        &from_split, &split);

    if ((used < 0) != (first < 0 || second < 0)
        || (used >= 0 && used != first + second)) {
        abort();
    }
    compare(&whole, &split);
    return 0;
}
