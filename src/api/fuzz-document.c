/* Fuzz target of documents: whatever somebody sends is either written as
 * values that hold together, or is a list of problems. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "util.h"

#include "api/document.h"
#include "api/fields.h"
#include "api/request.h"
#include "base/fuzz.h"
#include "base/problems.h"
#include "store/store.h"

static void
try_document(const struct store *store, const struct json *json,
             struct document *(*parse)(const struct json *,
                                       struct problems *))
{
    struct problems problems = PROBLEMS_INIT;
    struct document *document = parse(json, &problems);

    if (!problems.n) {
        document_check(store, document, &problems);
    }
    for (size_t i = 0; !problems.n && i < document->n_vms; i++) {
        const struct document_vm *vm = &document->vms[i];

        ovs_assert(fields_is_name(vm->name) && fields_is_name(vm->host));
        ovs_assert(vm->n_nics >= 1 && vm->n_nics <= VM_MAX_NICS);
        for (size_t j = 0; j < vm->n_nics; j++) {
            ovs_assert(!addr_pair_is_none(&vm->nics[j].home));
        }
    }
    document_destroy(document);
    problems_finish(&problems);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct store *store;
    char *text = xmemdup0((const char *) data, size);

    if (!store) {
        store = store_create("unix:/dev/null", NULL);   /* Stays empty. */
    }
    struct json *json = json_from_string(text);
    free(text);
    if (json->type == JSON_OBJECT
        && fields_depth_is_at_most(json, REQUEST_MAX_DEPTH)) {
        try_document(store, json, document_parse);
        try_document(store, json, document_parse_vm);
    }
    json_destroy(json);
    return 0;
}
