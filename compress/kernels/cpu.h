/*
 * What the processor we run on can do, as bits. Includes the operating system's consent (it must
 * save the wide registers), so a set bit means: may be used.
 */
#ifndef COMPRESS_KERNELS_CPU_H
#define COMPRESS_KERNELS_CPU_H

enum cpu_flag {
    CPU_AVX2 = 1 << 0,   /* AVX2 and F16C */
    CPU_AVX512 = 1 << 1, /* AVX-512 F, BW, DQ, VL, and all of CPU_AVX2 */
    CPU_NEON = 1 << 2,
};

unsigned cpu_flags(void);

#endif
