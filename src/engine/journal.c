#include <config.h>

#include "engine/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "util.h"
#include "uuid.h"

#include "peer/message.h"

#define MAX_FILE (256 * 1024)
#define MAX_TOMBSTONES_FILE (512 * JOURNAL_MAX_TOMBSTONES)
#define TOMBSTONES "tombstones"

int
journal_init(const char *dir, struct err *err)
{
    if (mkdir(dir, 0700) && errno != EEXIST) {
        int error = errno;

        return err_set(err, error, "cannot make %s: %s", dir,
                       ovs_strerror(error));
    }
    return 0;
}

static char *
file_name(const char *dir, const struct uuid *migration)
{
    return xasprintf("%s/"UUID_FMT, dir, UUID_ARGS(migration));
}

static char *
entry_to_string(const struct journal_entry *entry)
{
    struct json *o = json_object_create();

    message_put_uuid(o, "migration", &entry->migration);
    message_put_uuid(o, "source", &entry->source);
    message_put_uuid(o, "destination", &entry->destination);
    message_put_generation(o, &entry->generation);
    json_object_put(o, "vm", message_from_vm(&entry->vm));
    struct json *mobile = message_put_list(o, "mobile");
    for (size_t i = 0; i < entry->vm.n_nics; i++) {
        struct json *nic = json_object_create();

        message_put_addrs(nic, "mobile", &entry->mobile[i]);
        json_array_add(mobile, nic);
    }
    json_object_put(o, "mode", json_integer_create(entry->mark.mode));
    json_object_put(o, "at", json_integer_create(entry->mark.at));
    json_object_put_string(o, "cause", entry->cause);

    char *s = json_to_string(o, 0);
    json_destroy(o);
    return s;
}

/* Whoever reads 'name' sees the old text or the new one. */
static int
write_file(const char *name, const char *text, struct err *err)
{
    char *temp = xasprintf("%s.new", name);
    size_t n = strlen(text);
    int error = 0;

    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        error = errno;
    } else {
        if (write(fd, text, n) != n) {
            error = errno ? errno : ENOSPC;
        }
        close(fd);
        if (!error && rename(temp, name)) {
            error = errno;
        }
    }
    if (error) {
        err_set(err, error, "cannot write %s: %s", temp,
                ovs_strerror(error));
        unlink(temp);
    }
    free(temp);
    return error;
}

int
journal_save(const char *dir, const struct journal_entry *entry,
             struct err *err)
{
    char *name = file_name(dir, &entry->migration);
    char *text = entry_to_string(entry);
    int error = write_file(name, text, err);

    free(text);
    free(name);
    return error;
}

void
journal_remove(const char *dir, const struct uuid *migration)
{
    char *name = file_name(dir, migration);

    unlink(name);
    free(name);
}

static bool
get_uuid(const struct json *o, const char *key, struct uuid *uuid)
{
    const struct json *value = shash_find_data(o->object, key);

    return (value && value->type == JSON_STRING
            && uuid_from_string(uuid, json_string(value)));
}

static bool
get_number(const struct json *o, const char *key, long long max,
           long long *number)
{
    const struct json *value = shash_find_data(o->object, key);

    if (!value || value->type != JSON_INTEGER || json_integer(value) < 0
        || json_integer(value) > max) {
        return false;
    }
    *number = json_integer(value);
    return true;
}

static bool
get_addrs(const struct json *o, const char *key, struct addr_pair *pair)
{
    const struct json *addrs
        = (o->type == JSON_OBJECT ? shash_find_data(o->object, key) : NULL);

    if (!addrs || addrs->type != JSON_ARRAY) {
        return false;
    }
    for (size_t i = 0; i < addrs->array.n; i++) {
        if (addrs->array.elems[i]->type != JSON_STRING
            || addr_pair_add(pair, json_string(addrs->array.elems[i]),
                             NULL)) {
            return false;
        }
    }
    return true;
}

static bool
get_mobile(const struct json *o, struct journal_entry *entry)
{
    const struct json *list = shash_find_data(o->object, "mobile");

    if (!list || list->type != JSON_ARRAY
        || list->array.n != entry->vm.n_nics) {
        return false;
    }
    for (size_t i = 0; i < list->array.n; i++) {
        if (!get_addrs(list->array.elems[i], "mobile", &entry->mobile[i])) {
            return false;
        }
    }
    return true;
}

static bool
entry_from_json(const struct json *o, struct journal_entry *entry)
{
    const struct json *vm, *cause;
    long long mode, at, epoch, counter;

    if (o->type != JSON_OBJECT
        || !get_uuid(o, "migration", &entry->migration)
        || !get_uuid(o, "source", &entry->source)
        || !get_uuid(o, "destination", &entry->destination)
        || !get_uuid(o, "host", &entry->generation.host)
        || !get_number(o, "epoch", UINT32_MAX, &epoch)
        || !get_number(o, "counter", LLONG_MAX, &counter)
        || !get_number(o, "mode", STEP_STUCK, &mode)
        || !get_number(o, "at", 100, &at)) {
        return false;
    }
    vm = shash_find_data(o->object, "vm");
    if (!vm || vm->type != JSON_OBJECT
        || message_to_vm(vm, &entry->vm, NULL)) {
        return false;
    }
    if (!get_mobile(o, entry)) {
        return false;
    }
    entry->generation.epoch = epoch;
    entry->generation.counter = counter;
    entry->mark = (struct step_mark) { mode, at };
    cause = shash_find_data(o->object, "cause");
    if (cause && cause->type == JSON_STRING) {
        ovs_strlcpy(entry->cause, json_string(cause), sizeof entry->cause);
    }
    return true;
}

static struct json *
read_file(const char *name, off_t max)
{
    struct stat s;

    if (stat(name, &s) || !S_ISREG(s.st_mode) || s.st_size > max) {
        return NULL;
    }
    return json_from_file(name);
}

size_t
journal_load(const char *dir, struct ovs_list *entries)
{
    DIR *stream = opendir(dir);
    struct dirent *d;
    size_t n_bad = 0;

    while (stream && (d = readdir(stream))) {
        struct uuid uuid;

        if (!uuid_from_string(&uuid, d->d_name)) {
            continue;           /* A ".new" that was never done, and so on. */
        }

        char *name = xasprintf("%s/%s", dir, d->d_name);
        struct json *json = read_file(name, MAX_FILE);
        struct journal_entry *entry = xzalloc(sizeof *entry);
        if (json && entry_from_json(json, entry)) {
            ovs_list_push_back(entries, &entry->node);
        } else {
            free(entry);
            n_bad++;
        }
        json_destroy(json);
        free(name);
    }
    if (stream) {
        closedir(stream);
    }
    return n_bad;
}

/* Tombstones. */

int
journal_save_tombstones(const char *dir, const struct journal_tombstone *list,
                        size_t n, struct err *err)
{
    struct json *array = json_array_create_empty();
    char *name = xasprintf("%s/"TOMBSTONES, dir);

    for (size_t i = 0; i < MIN(n, JOURNAL_MAX_TOMBSTONES); i++) {
        struct json *o = json_object_create();

        message_put_uuid(o, "interface", &list[i].interface);
        message_put_uuid(o, "network", &list[i].network);
        message_put_uuid(o, "host", &list[i].host);
        message_put_addrs(o, "mobile", &list[i].mobile);
        json_object_put(o, "returned", json_boolean_create(list[i].returned));
        json_object_put(o, "until", json_integer_create(list[i].until));
        json_array_add(array, o);
    }

    char *text = json_to_string(array, 0);
    int error = write_file(name, text, err);
    free(text);
    free(name);
    json_destroy(array);
    return error;
}

static bool
tombstone_from_json(const struct json *o, struct journal_tombstone *t)
{
    const struct json *returned;

    *t = (struct journal_tombstone) { .until = 0 };
    if (o->type != JSON_OBJECT
        || !get_uuid(o, "interface", &t->interface)
        || !get_uuid(o, "network", &t->network)
        || !get_uuid(o, "host", &t->host)
        || !get_addrs(o, "mobile", &t->mobile)
        || addr_pair_is_none(&t->mobile)
        || !get_number(o, "until", LLONG_MAX, &t->until)) {
        return false;
    }
    returned = shash_find_data(o->object, "returned");
    t->returned = returned && returned->type == JSON_TRUE;
    return true;
}

int
journal_load_tombstones(const char *dir, struct journal_tombstone **list,
                        size_t *n, struct err *err)
{
    char *name = xasprintf("%s/"TOMBSTONES, dir);
    struct json *json = read_file(name, MAX_TOMBSTONES_FILE);
    bool bad = !access(name, F_OK);

    *list = NULL;
    *n = 0;
    if (json && json->type == JSON_ARRAY) {
        size_t max = MIN(json->array.n, JOURNAL_MAX_TOMBSTONES);

        *list = xcalloc(max + 1, sizeof **list);
        for (size_t i = 0; i < max; i++) {
            *n += tombstone_from_json(json->array.elems[i], &(*list)[*n]);
        }
        bad = *n < json->array.n;
    }
    if (bad) {
        err_set(err, EBADMSG, "%s is damaged: late packets for VMs that have "
                "moved away may be lost", name);
    }
    json_destroy(json);
    free(name);
    return bad ? EBADMSG : 0;
}
