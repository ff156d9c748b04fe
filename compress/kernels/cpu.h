/*
 * What the processor we run on can do, as bits. Includes the operating system's consent (it must
 * save the wide registers), so a set bit means: may be used.
 */
#ifndef COMPRESS_KERNELS_CPU_H
#define COMPRESS_KERNELS_CPU_H

#include <stddef.h>

enum cpu_flag {
    CPU_AVX2 = 1 << 0,   /* AVX2 and F16C */
    CPU_AVX512 = 1 << 1, /* AVX-512 F, BW, DQ, VL, and all of CPU_AVX2 */
    CPU_NEON = 1 << 2,
};

unsigned cpu_flags(void);

/* What the processor calls itself, for reports: "AMD EPYC 9B14"; the architecture where it does not
 * say. Returns text. */
const char *cpu_name(char *text, size_t cap);

#endif
