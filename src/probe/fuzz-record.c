/* Fuzzing of record_read(): what it takes can be analysed, and written and
 * read again. */
#include "probe/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/fuzz.h"
#include "probe/analysis.h"

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
