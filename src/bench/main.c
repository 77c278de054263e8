/* watari-bench: runs benchmarks, for "watari bench". */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/document.h"
#include "bench/html.h"
#include "bench/interrupt.h"
#include "openvswitch/util.h"
#include "openvswitch/vlog.h"
#include "util.h"

#define MAX_RUNS 10000

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

struct options {
    struct bench_options bench;
    const char *html;
    bool json;
};

enum { OPT_RUNS = 256, OPT_QUICK, OPT_ROWS, OPT_SEED, OPT_KEEP, OPT_HTML, OPT_JSON,
       OPT_FORMAT, OPT_HELP, OPT_VERSION, OPT_END };

static const struct option_row {
    const char *name, *argument, *help;
} option_rows[] = {
    { "runs", "N", "repeat each measurement N times" },
    { "quick", NULL, "fewer repetitions" },
    { "rows", "A,B", "measure only these rows" },
    { "seed", "N", "repeat what an earlier run drew (walk)" },
    { "keep", NULL, "leave everything to look at when it fails" },
    { "html", "FILE", "write a page with plots" },
    { "json", NULL, "print the document as JSON" },
    { "output", "FORMAT", "-o table or -o json" },
    { "help", NULL, "print this help" },
    { "version", NULL, "print the version" },
};
_Static_assert(ARRAY_SIZE(option_rows) == OPT_END - OPT_RUNS, "a row each");

static void
list(FILE *out)
{
    for (size_t i = 0; i < n_benches; i++) {
        const char *name;

        fprintf(out, "%-12s %s\n%12s rows:", benches[i].name,
                benches[i].help, "");
        for (size_t j = 0; (name = benches[i].row_name(j)); j++) {
            fprintf(out, " %s", name);
        }
        fputc('\n', out);
    }
}

static void
usage(FILE *out)
{
    fprintf(out, "usage: watari bench [NAME [OPTION]...]\n\n");
    list(out);
    fputc('\n', out);
    for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++) {
        char left[32];

        snprintf(left, sizeof left, "--%s %s", option_rows[i].name,
                 option_rows[i].argument ? option_rows[i].argument : "");
        fprintf(out, "  %-18s %s\n", left, option_rows[i].help);
    }
    fprintf(out, "\nThe exit status is 0 if all checks hold, 1 if not, and "
            "2 if the command line is wrong.\n");
}

static void __attribute__((noreturn, format(printf, 1, 2)))
refuse(const char *format, ...)
{
    va_list args;

    fputs("watari bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\nTry watari bench --help.\n", stderr);
    exit(EXIT_USAGE);
}

static unsigned int
parse_runs(const char *text)
{
    unsigned int runs;

    if (!str_to_uint(text, 10, &runs) || !runs || runs > MAX_RUNS) {
        refuse("--runs: \"%s\" is not a number from 1 to %d", text,
               MAX_RUNS);
    }
    return runs;
}

static uint64_t
parse_seed(const char *text)
{
    unsigned int seed;

    if (!str_to_uint(text, 10, &seed) || !seed) {
        refuse("--seed: \"%s\" is not a number above 0", text);
    }
    return seed;
}

static bool
parse_format(const char *text)
{
    if (strcmp(text, "table") && strcmp(text, "json")) {
        refuse("-o: \"%s\" is neither table nor json", text);
    }
    return !strcmp(text, "json");
}

static void
take_option(int opt, struct options *o)
{
    switch (opt) {
    case OPT_RUNS:
        o->bench.runs = parse_runs(optarg);
        break;
    case OPT_QUICK:
        o->bench.quick = true;
        break;
    case OPT_ROWS:
        o->bench.rows = optarg;
        break;
    case OPT_SEED:
        o->bench.seed = parse_seed(optarg);
        break;
    case OPT_KEEP:
        o->bench.keep = true;
        break;
    case OPT_HTML:
        o->html = optarg;
        break;
    case OPT_JSON:
        o->json = true;
        break;
    case 'o':
    case OPT_FORMAT:
        o->json = parse_format(optarg);
        break;
    case OPT_HELP:
        usage(stdout);
        exit(EXIT_OK);
    case OPT_VERSION:
        printf("watari-bench %s\n", WATARI_VERSION);
        exit(EXIT_OK);
    default:
        exit(EXIT_USAGE);
    }
}

/* Returns the benchmark, or null if only a list is wanted. */
static const struct bench *
parse(int argc, char *argv[], struct options *o)
{
    struct option longs[ARRAY_SIZE(option_rows) + 1] = { 0 };
    int opt;

    for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++) {
        longs[i].name = option_rows[i].name;
        longs[i].has_arg = option_rows[i].argument != NULL;
        longs[i].val = OPT_RUNS + i;
    }
    while ((opt = getopt_long(argc, argv, "o:", longs, NULL)) != -1) {
        take_option(opt, o);
    }
    if (argc - optind > 1) {
        refuse("\"%s\" is one argument too many", argv[optind + 1]);
    }
    if (optind == argc) {
        return NULL;
    }
    const struct bench *bench = bench_find(argv[optind]);
    if (!bench) {
        refuse("there is no benchmark \"%s\"; \"watari bench\" lists them",
               argv[optind]);
    }
    char *unknown = (o->bench.rows
                     ? bench_find_unknown_row(bench, o->bench.rows) : NULL);
    if (unknown) {
        refuse("--rows: %s has no row \"%s\"", bench->name, unknown);
    }
    return bench;
}

static void
print(const struct options *o, const struct document *d)
{
    if (o->json) {
        struct json *json = document_to_json(d);
        char *text = json_to_string(json, JSSF_PRETTY);

        puts(text);
        free(text);
        json_destroy(json);
    } else {
        document_print(d, stdout);
    }
}

/* Runs 'bench' and hands out what it found.  Returns an exit status. */
static int
run(const struct bench *bench, const struct options *o)
{
    struct err err = ERR_INIT;
    struct progress progress;
    struct document document;
    int lock;

    if (geteuid()) {
        fprintf(stderr, "watari bench: needs root: it makes network "
                "namespaces\n");
        return EXIT_FAILED;
    }
    int error = bench_lock(&lock, &err);
    if (error) {
        fprintf(stderr, "watari bench: %s\n", err.text);
        return EXIT_FAILED;
    }

    document_init(&document, bench->name);
    progress_init(&progress, stderr);
    interrupt_catch();
    error = bench->run(&o->bench, &document, &progress, &err);
    progress_finish(&progress);
    if (error) {
        fprintf(stderr, "watari bench: %s\n", err.text);
    }
    print(o, &document);
    bool ok = !error && document_ok(&document);
    if (o->html && html_save(&document, o->html, &err)) {
        fprintf(stderr, "watari bench: %s\n", err.text);
        ok = false;
    }
    document_finish(&document);
    close(lock);
    return ok ? EXIT_OK : EXIT_FAILED;
}

int
main(int argc, char *argv[])
{
    struct options options = { .json = false };

    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);

    const struct bench *bench = parse(argc, argv, &options);
    if (!bench) {
        list(stdout);
        return EXIT_OK;
    }
    return run(bench, &options);
}
