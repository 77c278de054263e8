#ifndef BENCH_MACHINE_INFO_H
#define BENCH_MACHINE_INFO_H 1

/* On what something was measured. */

struct json;

/* Puts "cores", "cpu", "memory_mib", "load_1min" and "versions". */
void machine_info_put(struct json *machine);

#endif /* bench/machine-info.h */
