#ifndef LAB_LABFILE_CHECK_H
#define LAB_LABFILE_CHECK_H 1

/* What a lab file's tables cannot say: that names exist and differ, that
 * addresses lie where they may. */

#include <stdbool.h>

struct labfile;
struct problems;

/* Adds all that is wrong with 'file', read from 'name', to 'problems'. */
void labfile_check(const char *name, bool is_lab, const struct labfile *file,
                   struct problems *);

#endif /* lab/labfile-check.h */
