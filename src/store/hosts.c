#include <config.h>

#include "store/hosts.h"

#include <errno.h>
#include <string.h>

#include "smap.h"
#include "util.h"

#include "store/rows.h"
#include "store/session.h"

#define MAX_FACTS 32
#define FACT_LEN 127

struct fact {
    char key[FACT_LEN + 1];
    char value[FACT_LEN + 1];
};

struct host_write {
    struct host host;
    struct uuid insert;         /* The row's UUID if it is new. */
    struct fact facts[MAX_FACTS];
    size_t n_facts;
};

int
hosts_get(const struct store *store, const struct uuid *uuid,
          struct host *host, struct err *err)
{
    const struct dbrec_host *row = SESSION_ROW(store, host, uuid);

    return (row ? rows_host(row, host, err)
            : err_set(err, ENOENT, "no host "UUID_FMT, UUID_ARGS(uuid)));
}

size_t
hosts_list(const struct store *store, struct host **hosts)
{
    const struct dbrec_host *row;
    size_t n = 0, allocated = 0;

    *hosts = NULL;
    DBREC_HOST_FOR_EACH (row, store->idl) {
        if (n >= allocated) {
            *hosts = x2nrealloc(*hosts, &allocated, sizeof **hosts);
        }
        n += !rows_host(row, &(*hosts)[n], NULL);
    }
    return n;
}

static int
build_host(struct store *store, struct ovsdb_idl_txn *txn, const void *data_,
           struct err *err)
{
    const struct host_write *data = data_;
    const struct host *host = &data->host;
    const struct dbrec_host *row = session_host(store, host->name);
    char bufs[N_ADDR_FAMILIES][ADDR_STRLEN];
    const char *addresses[N_ADDR_FAMILIES];

    if (!row) {
        const struct dbrec_site *site = session_site(store, host->site_name);
        if (!site) {
            return err_set(err, ENOENT, "no host \"%s\", and no site \"%s\" "
                           "to make it at", host->name, host->site_name);
        }
        row = dbrec_host_insert_persist_uuid(txn, &data->insert);
        dbrec_host_set_name(row, host->name);
        dbrec_host_set_site(row, site);
        dbrec_host_set_cn(row, host->name);
    }

    size_t n = rows_format_pair(&host->addresses, bufs, addresses);
    if (n) {
        dbrec_host_set_addresses(row, addresses, n);
    }
    if (host->channel[0]) {
        dbrec_host_set_channel(row, host->channel);
    }
    if (host->memory_mib) {
        dbrec_host_set_memory_mib(row, host->memory_mib);
    }
    if (data->n_facts) {
        struct smap facts = SMAP_INITIALIZER(&facts);

        for (size_t i = 0; i < data->n_facts; i++) {
            smap_replace(&facts, data->facts[i].key, data->facts[i].value);
        }
        dbrec_host_set_facts(row, &facts);
        smap_destroy(&facts);
    }
    return 0;
}

write_ticket
hosts_put(struct store *store, const struct host *host,
          const struct smap *facts)
{
    static const struct write_class class = {
        .what = "registering this host",
        .build = build_host,
        .replace = true,
    };
    struct host_write data = { .host = *host };
    const struct smap_node *node;

    uuid_generate(&data.insert);
    if (facts) {
        SMAP_FOR_EACH (node, facts) {
            if (data.n_facts < MAX_FACTS) {
                struct fact *fact = &data.facts[data.n_facts++];

                ovs_strlcpy(fact->key, node->key, sizeof fact->key);
                ovs_strlcpy(fact->value, node->value, sizeof fact->value);
            }
        }
    }
    return write_queue(store, &class, &UUID_ZERO, &data, sizeof data);
}
