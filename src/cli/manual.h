#ifndef CLI_MANUAL_H
#define CLI_MANUAL_H 1

/* Manual pages, from the tables of commands and of lab files. */

void manual_program(void);      /* watari(1) */
void manual_labfile(void);      /* watari-lab(5) */

#endif /* cli/manual.h */
