#include <config.h>

/* Fuzzing of messages: what message_parse() accepts can be read.
 *
 * An input is a message's name, a newline, and its body in JSON. */

#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"

#include "base/fuzz.h"
#include "peer/message.h"

/* Whoever gets a message reads it without asking whether a field is there,
 * but only fields that the documentation of the message has. */
static void
read_interfaces(const struct json *body)
{
    const struct json_array *list = message_get_list(body, "interfaces");

    for (size_t i = 0; i < list->n; i++) {
        message_get_uuid(list->elems[i], "interface");
        message_get_addrs(list->elems[i], "mobile");
        message_get_addrs(list->elems[i], "old");
    }
}

static void
read_fences(const struct json *body)
{
    const struct json_array *list = message_get_list(body, "fences");

    for (size_t i = 0; i < list->n; i++) {
        message_get_uuid(list->elems[i], "from");
        message_get_uuid(list->elems[i], "to");
        message_get_integer(list->elems[i], "delay_ms");
    }
}

static void
read_integers(const struct message *m)
{
    static const char *const keys[N_MESSAGES][5] = {
        [MESSAGE_HELLO] = { "version", "oldest", "frames_port" },
        [MESSAGE_PING] = { "sent_us" },
        [MESSAGE_PONG] = { "sent_us", "clock_us" },
        [MESSAGE_DECLINED] = { "code" },
        [MESSAGE_RUNNING] = { "resumed_us" },
        [MESSAGE_SETTLED] = { "relayed", "held", "fences", "missed" },
    };

    for (size_t i = 0; keys[m->type][i]; i++) {
        message_get_integer(m->body, keys[m->type][i]);
    }
}

static void
read_message(const struct message *m)
{
    static const enum message_type without[] = {
        MESSAGE_HELLO, MESSAGE_PING, MESSAGE_PONG,
    };
    bool about_migration = true;
    struct vm vm;

    for (size_t i = 0; i < 3; i++) {
        about_migration = about_migration && m->type != without[i];
    }
    if (about_migration) {
        message_get_uuid(m->body, "migration");
    }
    read_integers(m);
    switch (m->type) {
    case MESSAGE_HELLO:
        message_get_uuid(m->body, "host");
        message_get_uuid(m->body, "boot");
        break;
    case MESSAGE_PREPARE:
        message_get_generation(m->body);
        if (!message_to_vm(message_get_object(m->body, "vm"), &vm, NULL)) {
            json_destroy(message_from_vm(&vm));
        }
        break;
    case MESSAGE_PREPARED:
        message_get_string(m->body, "uri");
        read_interfaces(m->body);
        break;
    case MESSAGE_EXPECT:
        read_fences(m->body);
        break;
    case MESSAGE_FLIP:
        read_fences(m->body);
        read_interfaces(m->body);
        message_get_generation(m->body);
        break;
    case MESSAGE_ACCEPT:
    case MESSAGE_FORGET:
        read_interfaces(m->body);
        message_get_generation(m->body);
        break;
    case MESSAGE_GRANT:
        message_get_generation(m->body);
        break;
    case MESSAGE_DECLINED:
    case MESSAGE_REFUSED:
        message_get_string(m->body, "text");
        break;
    case MESSAGE_PING:
    case MESSAGE_PONG:
    case MESSAGE_ACCEPTED:
    case MESSAGE_RUNNING:
    case MESSAGE_SETTLED:
    case MESSAGE_ABORT:
    case MESSAGE_ABORTED:
    case N_MESSAGES:
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct message *m;

    if (size) {
        memcpy(text, data, size);
    }
    text[size] = '\0';

    char *newline = strchr(text, '\n');
    if (newline) {
        *newline = '\0';
        if (!message_parse(text, json_from_string(newline + 1), &m, NULL)) {
            read_message(m);
            message_destroy(m);
        }
    }
    free(text);
    return 0;
}
