/* Fuzz target of documents: whatever somebody sends is either written as
 * values that hold together, or is a list of problems. */

#include <config.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "util.h"

#include "api/document.h"
#include "api/fields.h"
#include "api/request.h"
#include "base/problems.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

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

#ifdef FUZZ_REPLAY
#include <dirent.h>
#include <libgen.h>
#include <stdio.h>

/* Also the file with each of its bytes left out: seldom JSON, but then
 * often with a member that is not what it was. */
static size_t
replay(const char *path)
{
    static uint8_t data[65536], less[65536];
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(data, 1, sizeof data, file) : 0;

    if (file) {
        fclose(file);
    }
    LLVMFuzzerTestOneInput(data, n);
    for (size_t i = 0; i < n; i++) {
        memcpy(less, data, i);
        memcpy(less + i, data + i + 1, n - i - 1);
        LLVMFuzzerTestOneInput(less, n - 1);
    }
    return n;
}

int
main(int argc, char *argv[])
{
    const char *name = argc > 1 ? dirname(argv[1]) : ".";
    DIR *dir = opendir(name);
    struct dirent *entry;
    int n = 0;

    while (dir && (entry = readdir(dir))) {
        char path[4096];

        snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        n += entry->d_name[0] != '.' && replay(path) > 0;
    }
    if (dir) {
        closedir(dir);
    }
    printf("%d inputs\n", n);
    return n > 1 ? 0 : 1;       /* One of them is the README. */
}
#endif
