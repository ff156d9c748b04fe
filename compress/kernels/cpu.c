/* CPU flags by the architecture's own means. See cpu.h. */
#include "compress/kernels/cpu.h"

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdint.h>

/* Extended control register 0: which register files the system saves. */
static uint64_t saved_state(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

unsigned cpu_flags(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    const unsigned osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
    if ((c & (osxsave | avx | f16c)) != (osxsave | avx | f16c))
        return 0;
    const uint64_t ymm = 0x06, zmm = 0xe6; /* SSE, AVX; opmask and both upper halves */
    uint64_t saved = saved_state();
    if ((saved & ymm) != ymm || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    const unsigned avx2 = 1u << 5;
    const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    unsigned flags = 0;
    if (b & avx2)
        flags |= CPU_AVX2;
    if (flags && (b & avx512) == avx512 && (saved & zmm) == zmm)
        flags |= CPU_AVX512;
    return flags;
}

/* The brand string: 48 bytes in three leaves, padded with spaces and NULs. */
const char *cpu_name(char *text, size_t cap) {
    unsigned brand[13] = {0};
    const char *name = (const char *)brand;
    for (unsigned i = 0; i < 3; i++) {
        unsigned *r = &brand[4 * i];
        if (!__get_cpuid(0x80000002 + i, &r[0], &r[1], &r[2], &r[3]))
            name = "x86-64";
    }
    name += strspn(name, " ");
    size_t len = strlen(name);
    while (len && name[len - 1] == ' ')
        len--;
    snprintf(text, cap, "%.*s", (int)len, name);
    return text;
}

#else

unsigned cpu_flags(void) {
#if defined(__aarch64__)
    return CPU_NEON; /* part of the base architecture */
#else
    return 0;
#endif
}

const char *cpu_name(char *text, size_t cap) {
#if defined(__aarch64__)
    snprintf(text, cap, "aarch64");
#else
    snprintf(text, cap, "unknown");
#endif
    return text;
}

#endif
