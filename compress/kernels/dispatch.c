/*
 * Fill with the reference, overwrite upward: the one place that knows which instruction sets this
 * build has (KERNELS_HAVE_* come from meson.build) and in which order they replace each other.
 */
#include "compress/kernels/cpu.h"
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void fill_reference(struct kernels *k) {
    convert_fill_ref(k);
    stats_fill_ref(k);
    affine_fill_ref(k);
    filtering_fill_ref(k);
    fp8_fill_ref(k);
    legacy_fill_ref(k);
    taps_fill_ref(k);
    vmath_fill_ref(k);
}

#ifdef KERNELS_HAVE_AVX2
static void fill_avx2(struct kernels *k) {
    convert_fill_avx2(k);
    stats_fill_avx2(k);
    affine_fill_avx2(k);
    filtering_fill_avx2(k);
    fp8_fill_avx2(k);
    legacy_fill_avx2(k);
    taps_fill_avx2(k);
    vmath_fill_avx2(k);
}
#endif

#ifdef KERNELS_HAVE_AVX512
static void fill_avx512(struct kernels *k) {
    convert_fill_avx512(k);
    stats_fill_avx512(k);
    affine_fill_avx512(k);
    filtering_fill_avx512(k);
    fp8_fill_avx512(k);
    taps_fill_avx512(k);
    vmath_fill_avx512(k);
}
#endif

#ifdef KERNELS_HAVE_NEON
static void fill_neon(struct kernels *k) {
    convert_fill_neon(k);
    stats_fill_neon(k);
    affine_fill_neon(k);
    filtering_fill_neon(k);
    vmath_fill_neon(k);
}
#endif

/* Lowest first; a row builds on all rows before it. */
static const struct {
    const char *name;
    unsigned needs; /* cpu_flag bits */
    void (*fill)(struct kernels *k);
} table[] = {
    {"reference", 0, fill_reference},
#ifdef KERNELS_HAVE_AVX2
    {"avx2", CPU_AVX2, fill_avx2},
#endif
#ifdef KERNELS_HAVE_AVX512
    {"avx512", CPU_AVX512, fill_avx512},
#endif
#ifdef KERNELS_HAVE_NEON
    {"neon", CPU_NEON, fill_neon},
#endif
};

static const size_t table_len = sizeof table / sizeof table[0];

static struct kernels active;
static const char *active_isa;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Fills up to and including row `cap`, as far as the CPU goes; the last row used. */
static size_t fill_up_to(size_t cap, struct kernels *k) {
    unsigned flags = cpu_flags();
    size_t last = 0;
    memset(k, 0, sizeof *k);
    for (size_t i = 0; i <= cap; i++) {
        if ((table[i].needs & flags) != table[i].needs)
            break;
        table[i].fill(k);
        last = i;
    }
    return last;
}

static void init(void) {
    size_t cap = table_len - 1;
    const char *wish = getenv("COMPRESSD_CPU");
    for (size_t i = 0; wish && i < table_len; i++)
        if (strcmp(wish, table[i].name) == 0)
            cap = i;
    active_isa = table[fill_up_to(cap, &active)].name;
}

void kernels_init(void) {
    pthread_once(&once, init);
}

const struct kernels *kernels_get(void) {
    kernels_init();
    return &active;
}

const char *kernels_isa(void) {
    kernels_init();
    return active_isa;
}

const char *kernels_isa_at(size_t i) {
    return i < table_len ? table[i].name : NULL;
}

int kernels_fill(const char *isa, struct kernels *ret) {
    for (size_t i = 0; i < table_len; i++)
        if (strcmp(isa, table[i].name) == 0)
            return fill_up_to(i, ret) == i ? 0 : -1;
    return -1;
}
