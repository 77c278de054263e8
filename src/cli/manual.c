#include <config.h>

#include "cli/manual.h"

#include <stdio.h>
#include <string.h>

#include "base/roff.h"
#include "cli/commands.h"
#include "lab/labfile.h"

static void
put_options(const struct option_row *row)
{
    for (; row && row->name; row++) {
        if (row->help) {
            printf(".TP\n.B ");
            roff_put(row->name[1] ? "--" : "-");
            roff_put(row->name);
            if (row->argument) {
                printf(" \\fI%s\\fP", row->argument);
            }
            putchar('\n');
            roff_put(row->help);
            putchar('\n');
        }
    }
}

static void
put_command(const struct command *c)
{
    printf(".SS \"watari %s%s%s", c->noun, c->verb ? " " : "",
           c->verb ? c->verb : "");
    if (c->args) {
        putchar(' ');
        roff_put(c->args);
    }
    printf("\"\n");
    roff_put(c->help);
    printf("\n");
    put_options(c->options);
    if (c->examples) {
        printf(".PP\n.nf\n");
        roff_put(c->examples);
        printf("\n.fi\n");
    }
}

void
manual_program(void)
{
    roff_put_heading("watari", 1, WATARI_VERSION,
                     "move running VMs between IP networks");
    printf(".SH SYNOPSIS\n.B watari\n\\fICOMMAND\\fP ...\n"
           ".SH DESCRIPTION\n");
    roff_put("Watari moves running virtual machines between IP networks, and "
             "nobody who talks to them notices.  This is its command line: "
             "it talks to a manager, and makes labs on one machine.\n");
    printf(".SH COMMANDS\n");
    for (const struct command *c = commands_next(NULL); c;
         c = commands_next(c)) {
        put_command(c);
    }
    printf(".SH OPTIONS\nOf every command:\n");
    put_options(command_common_options);
    printf(".SH ENVIRONMENT\n.TP\n.B WATARI\n");
    roff_put("The system that is meant, unix:PATH or https://HOST:PORT; "
             "without it and --lab, the only lab that is up, or this "
             "machine's manager.\n");
    printf(".TP\n.B WATARI_TOKEN\n");
    roff_put("The token for a system that is reached over TCP.\n");
    printf(".TP\n.B WATARI_CA\n");
    roff_put("The file ca.crt of the authority that certified the manager, as "
             "\"watari pki\" made it; without it the authorities that the "
             "system believes count.  HOST has to be the name in the "
             "manager's certificate, or an address: then the name is "
             "\"manager\".\n");
    printf(".SH \"EXIT STATUS\"\n");
    roff_put("0: done.  1: failed.  2: the command line is wrong.  \"watari "
             "lab exec\" has the status of its command.\n");
    printf(".SH \"SEE ALSO\"\n.BR watari\\-lab (5)\n");
}

static void
put_field(const struct yamlfile_field *field)
{
    printf(".TP\n.B ");
    roff_put(field->key);
    printf("\n");
    roff_put(field->help);
    printf(" (%s", yamlfile_type_name(field->type));
    for (size_t i = 0; field->choices && field->choices[i]; i++) {
        printf("%s %s", i ? "," : ":", field->choices[i]);
    }
    if (field->required) {
        printf("; required");
    }
    if (field->preset) {
        printf("; default ");
        roff_put(field->preset);
    }
    printf(")\n");
}

void
manual_labfile(void)
{
    roff_put_heading("watari-lab", 5, WATARI_VERSION,
                     "files for \"watari lab up\" and \"watari apply\"");
    printf(".SH DESCRIPTION\n");
    roff_put("A YAML file that says which sites, hosts, networks, VMs and "
             "endpoints there are.  Labs also know links between sites and "
             "the core, hosts outside, and where the store and the manager "
             "are.\n");
    printf(".SH KEYS\n");
    for (size_t i = 0; i < labfile_table.n_fields; i++) {
        put_field(&labfile_table.fields[i]);
    }
    for (size_t i = 0; i < labfile_table.n_fields; i++) {
        const struct yamlfile_field *field = &labfile_table.fields[i];

        if (field->table) {
            printf(".SS \"%s%s\"\n", field->key,
                   field->type == YAML_MAP ? ": NAME:" : ":");
            for (size_t j = 0; j < field->table->n_fields; j++) {
                put_field(&field->table->fields[j]);
            }
        }
    }
    printf(".SH NOTES\n");
    roff_put("Labs use 198.19.0.0/16 and fd77:6174:6172::/48 for themselves: "
             "198.19.N.0/24 is the management network of the N-th site, "
             "where the n-th host has .(1+n).  All names are different, also "
             "of things of different kinds.\n");
    printf(".SH \"SEE ALSO\"\n.BR watari (1)\n");
}
