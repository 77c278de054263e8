/* Fuzz target of lab files: nothing may crash, and a file is either good or
 * has problems. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "openvswitch/util.h"
#include "util.h"

#include "base/fuzz.h"
#include "base/yamlfile.h"

struct thing {
    struct yamlfile_item item;
    char *text;
    uint64_t size, rate;
    int64_t number;
    bool flag;
    struct yamlfile_texts texts;
};

static const struct yamlfile_field thing_fields[] = {
    { "text", YAML_TEXT, offsetof(struct thing, text), .required = true,
      .help = "text" },
    { "size", YAML_SIZE, offsetof(struct thing, size) },
    { "rate", YAML_RATE, offsetof(struct thing, rate) },
    { "number", YAML_INT, offsetof(struct thing, number), .max = 9 },
    { "flag", YAML_BOOL, offsetof(struct thing, flag) },
    { "texts", YAML_TEXTS, offsetof(struct thing, texts) },
};
static const struct yamlfile_table thing_table = {
    "a thing", thing_fields, ARRAY_SIZE(thing_fields), sizeof(struct thing)
};

struct root {
    struct yamlfile_map things;
    struct thing one;
};

static const struct yamlfile_field root_fields[] = {
    { "things", YAML_MAP, offsetof(struct root, things),
      .table = &thing_table },
    { "one", YAML_STRUCT, offsetof(struct root, one),
      .table = &thing_table },
};
static const struct yamlfile_table root_table = {
    "the file", root_fields, ARRAY_SIZE(root_fields), sizeof(struct root)
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct problems problems = PROBLEMS_INIT;
    struct root root;

    memset(&root, 0, sizeof root);
    yamlfile_read("fuzz", (const char *) data, size, &root_table, &root,
                  &problems);
    free(problems_format(&problems));
    problems_finish(&problems);
    yamlfile_free(&root_table, &root);
    return 0;
}
