/* Fuzzing of record_read(): what it takes can be analysed, and written and
 * read again.
 *
 *      clang -fsanitize=fuzzer,address,undefined ... fuzz-record.c
 *
 * With FUZZ_REPLAY it is a program that tries the seed below, with every byte
 * changed to every value. */
#include "probe/record.h"

#include <stdlib.h>
#include <string.h>

#include "probe/analysis.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check(const struct record *record)
{
    struct analysis_probes probes;
    struct analysis_first first;
    struct analysis_download download;
    struct record again;
    char *text;
    size_t size;

    if (!analysis_probes(record, 0, INT64_MAX, &probes, NULL)
        && probes.answered + probes.lost != probes.sent) {
        abort();
    }
    analysis_first_answered(record, 0, &first);
    analysis_download(record, 0, INT64_MAX, &download);

    FILE *out = open_memstream(&text, &size);
    record_write(record, out);
    fclose(out);

    FILE *in = fmemopen(text, size, "r");
    if (record_read(in, &again, NULL)
        || again.n_answers != record->n_answers) {
        abort();
    }
    fclose(in);
    record_finish(&again);
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FILE *in = size ? fmemopen((void *) data, size, "r") : NULL;
    struct record record;

    if (in) {
        if (!record_read(in, &record, NULL)) {
            check(&record);
            record_finish(&record);
        }
        fclose(in);
    }
    return 0;
}

#ifdef FUZZ_REPLAY
int
main(void)
{
    static const char seed[] =
        "watari-record 1 udp\nclock host\ntarget ::1 7\ninterval 1000\n"
        "s 10\ns 20\ns 30\na 0 12 0\na 2 35 1\na 1 36 2\nd 1 2 3 4\n"
        "d 5 6 7 8\nbroken 99 104\nend\n";
    uint8_t data[sizeof seed];

    for (size_t k = 0; k < sizeof seed; k++) {
        LLVMFuzzerTestOneInput((const uint8_t *) seed, k);
        for (int byte = 0; byte < 256; byte++) {
            memcpy(data, seed, sizeof seed);
            data[k] = byte;
            LLVMFuzzerTestOneInput(data, sizeof seed - 1);
        }
    }
    return 0;
}
#endif
