/*
 * Every kernel of every instruction set this CPU has against the reference, bit by bit.
 *
 *     check_kernels            compare; the exit status says whether all agree
 *     check_kernels --bench    GB/s of each kernel and instruction set, counted on its f32 side
 *
 * Inputs end at an unreadable page, outputs lie between canaries, counts are odd and start wherever
 * they fall. Values: Gaussian, every exponent, ties, zeros of both signs, subnormals, infinities
 * and NaNs with payloads (the last two only for kernels that are promised to take them).
 */
#include "compress/kernels/kernels.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 4096, MARGIN = 64, CANARY = 0xa5 };

static unsigned failures, comparisons;
static const char *isa;

/* SplitMix64. */
static uint64_t state = 1;
static uint64_t next(void) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static float gauss(void) {
    float sum = -6;
    for (int i = 0; i < 12; i++)
        sum += (float)(next() >> 40) * 0x1p-24f;
    return sum;
}

static float from_bits(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

enum flavour {
    GAUSS,
    POSITIVE,
    TIES,
    NEAR_TIES,        /* halves and their neighbours, up to 127 at the most */
    WIDE,             /* every exponent */
    TINY,             /* subnormals and the smallest normal numbers */
    SPARSE,           /* mostly zeros, of both signs */
    HALVES,           /* what f16 and bf16 round: near their ties, their limits, their subnormals */
    FINITE,           /* as many flavours as come before */
    SPECIAL = FINITE, /* infinities and NaNs among Gaussian values */
    ANYTHING,         /* arbitrary bits */
    FLAVOURS,
};

static float value(enum flavour flavour) {
    uint32_t r = (uint32_t)next();
    switch (flavour) {
    case GAUSS:
        return gauss() * 0.02f;
    case POSITIVE:
        return fabsf(gauss()) + 1;
    case TIES:
        return (float)((int)(r % 513) - 256) * 0.5f;
    case NEAR_TIES: {
        float half = (float)(r % 127) + 0.5f;
        uint32_t bits;
        memcpy(&bits, &half, sizeof bits);
        return r >> 8 & 7 ? from_bits((bits + (r >> 16) % 3 - 1) | (r & 0x80000000)) : 127.0f;
    }
    case WIDE:
        return from_bits((r & 0x80000000) | (r % 0x7f800000));
    case TINY:
        return from_bits((r & 0x80000000) | (r & 0x1ffffff));
    case SPARSE:
        return r % 5 ? (r & 32 ? 0.0f : -0.0f) : gauss();
    case HALVES: {
        static const uint32_t around[] = {0x477fe000, 0x477ff000, 0x38800000, 0x33000000,
                                          0x33800000, 0x7f7f8000, 0x43e00000, 0x3c800000,
                                          0x3a800000, 0x3f801000, 0x3f808000, 0x3f880000};
        return from_bits((around[r % 12] + (r >> 8) % 5 - 2) | (r & 0x80000000));
    }
    case SPECIAL:
        return r % 7 ? gauss() : from_bits(0x7f800000 | (r & 0x80000000) | (r & 8 ? r >> 9 : 0));
    case ANYTHING:
    case FLAVOURS:
        break;
    }
    return from_bits(r);
}

/* A buffer whose last byte is the last before an unreadable page. */
static void *guarded(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), span = (bytes + page - 1) / page * page;
    uint8_t *at =
        mmap(NULL, span + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || mprotect(at + span, page, PROT_NONE))
        abort();
    return at + span;
}

static uint8_t *input_end[2];
static uint8_t got_buffer[2 * MARGIN + 4 * MOST + 64], want_buffer[sizeof got_buffer];

static float *input_floats(int which, size_t n, enum flavour flavour) {
    float *x = (float *)(void *)(input_end[which] - n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = value(flavour);
    return x;
}

static uint8_t *input_bytes(size_t n) {
    uint8_t *x = input_end[0] - n;
    for (size_t i = 0; i < n; i++)
        x[i] = (uint8_t)next();
    return x;
}

static void fail(const char *name, size_t n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(const char *name, size_t n, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (failures++ < 20) {
        printf("FAIL %s_%s, n = %zu: ", name, isa, n);
        vprintf(format, args);
        printf("\n");
    }
    va_end(args);
}

/* The outputs, one after the other: at an odd place, between canaries. */
static void *output(uint8_t *buffer, size_t align) {
    memset(buffer, CANARY, sizeof got_buffer);
    return buffer + MARGIN + align * (next() % 8);
}

static void compare(const char *name, size_t n, size_t bytes, const uint8_t *got,
                    const uint8_t *want) {
    comparisons++;
    for (size_t i = 0; i < MARGIN; i++)
        if (got[-1 - (ptrdiff_t)i] != CANARY || got[bytes + i] != CANARY) {
            fail(name, n, "wrote outside its %zu bytes", bytes);
            return;
        }
    for (size_t i = 0; i < bytes; i++)
        if (got[i] != want[i]) {
            fail(name, n, "byte %zu is %02x, the reference has %02x", i, got[i], want[i]);
            return;
        }
}

static void compare_struct(const char *name, size_t n, const void *got, const void *want,
                           size_t bytes) {
    comparisons++;
    if (memcmp(got, want, bytes) != 0)
        fail(name, n, "results differ");
}

/* Every count up to 130, then some around powers of two. */
static size_t next_count(size_t n) {
    return n < 130 ? n + 1 : n < 300 ? n + 61 : n < 1100 ? n * 2 + 1 : n < MOST ? MOST : MOST + 1;
}

#define EACH_COUNT(n) for (size_t n = 0; n <= MOST; n = next_count(n))
#define EACH_FLAVOUR(f, end) for (enum flavour f = 0; f < (end); f++)

static float scale_of(enum flavour f) {
    static const float scales[] = {0.00043f, 1.0f, 0x1p-24f, 65504.0f, 0x1p-133f, 0.0078125f, 3.1f};
    return f == GAUSS ? 0.0008f : f == TIES || f == NEAR_TIES ? 1.0f : scales[next() % 7];
}

static void check_kernel_widen(const char *name, kernel_widen *want, kernel_widen *got) {
    EACH_COUNT(n) {
        const uint8_t *x = input_bytes(2 * n);
        size_t at = next() % 8;
        float *a = (float *)output(want_buffer, 0) + at, *b = (float *)output(got_buffer, 0) + at;
        want(x, n, a);
        got(x, n, b);
        compare(name, n, 4 * n, (uint8_t *)b, (uint8_t *)a);
    }
    /* All 65,536 of them. */
    for (uint32_t high = 0; high < 65536; high += MOST) {
        uint16_t *x = (uint16_t *)(void *)(input_end[0] - 2 * MOST);
        for (uint32_t i = 0; i < MOST; i++)
            x[i] = (uint16_t)(high + i);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4);
        want(x, MOST, a);
        got(x, MOST, b);
        compare(name, MOST, 4 * MOST, (uint8_t *)b, (uint8_t *)a);
    }
}

static void check_kernel_narrow(const char *name, kernel_narrow *want, kernel_narrow *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f);
        uint8_t *a = output(want_buffer, 1), *b = output(got_buffer, 1);
        want(x, n, a);
        got(x, n, b);
        compare(name, n, 2 * n, b, a);
    }
}

static void check_kernel_range(const char *name, kernel_range *want, kernel_range *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f);
        struct float_range a, b;
        want(x, n, &a);
        got(x, n, &b);
        compare_struct(name, n, &b, &a, sizeof a);
    }
}

static void check_kernel_error(const char *name, kernel_error *want, kernel_error *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f), *y = input_floats(1, n, next() % 2 ? f : SPARSE);
        struct error_stats a, b;
        want(x, y, n, &a);
        got(x, y, n, &b);
        compare_struct(name, n, &b, &a, sizeof a);
    }
}

static struct affine some_grid(enum flavour f) {
    int half = next() % 2 ? 128 : 8;
    int zero = next() % 2 ? 0 : (int)(next() % (2 * (unsigned)half)) - half;
    return (struct affine){scale_of(f), zero, -half, half - 1, next() % 2 ? 0x80 : 0};
}

static void check_kernel_quantize(const char *name, kernel_quantize *want, kernel_quantize *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f);
        struct affine grid = some_grid(f);
        uint8_t *a = output(want_buffer, 1), *b = output(got_buffer, 1);
        want(x, n, &grid, a);
        got(x, n, &grid, b);
        compare(name, n, n, b, a);
    }
}

static void check_kernel_dequantize(const char *name, kernel_dequantize *want,
                                    kernel_dequantize *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const uint8_t *codes = input_bytes(n);
        struct affine grid = some_grid(f);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4);
        want(codes, n, &grid, a);
        got(codes, n, &grid, b);
        compare(name, n, 4 * n, (uint8_t *)b, (uint8_t *)a);
    }
}

static void check_kernel_pack(const char *name, kernel_pack *want, kernel_pack *got) {
    bool packs = name[0] == 'p';
    EACH_COUNT(n) {
        const uint8_t *x = input_bytes(packs ? n : (n + 1) / 2);
        uint8_t *a = output(want_buffer, 1), *b = output(got_buffer, 1);
        want(x, n, a);
        got(x, n, b);
        compare(name, n, packs ? (n + 1) / 2 : n, b, a);
    }
}

static void check_kernel_fit(const char *name, kernel_fit *want, kernel_fit *got) {
    EACH_FLAVOUR(f, FINITE) EACH_COUNT(n) {
        if (f == WIDE)
            continue; /* its products overflow to infinities of both signs, whose sum is a NaN */
        const float *x = input_floats(0, n, f);
        struct affine grid = some_grid(f);
        double a[2], b[2];
        float inverse = f == TINY ? 0x1p120f : 1 / grid.scale;
        want(x, n, inverse, (float)grid.lo, (float)grid.hi, a);
        got(x, n, inverse, (float)grid.lo, (float)grid.hi, b);
        compare_struct(name, n, b, a, sizeof a);
        want(x, n, inverse, 3, 5, a);
        got(x, n, inverse, 3, 5, b);
        compare_struct(name, n, b, a, sizeof a);
    }
}

static void check_kernel_to_fp8(const char *name, kernel_to_fp8 *want, kernel_to_fp8 *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f);
        float scale = f == HALVES ? 1.0f : scale_of(f);
        uint8_t *a = output(want_buffer, 1), *b = output(got_buffer, 1);
        want(x, n, scale, a);
        got(x, n, scale, b);
        compare(name, n, n, b, a);
    }
}

static void check_kernel_from_fp8(const char *name, kernel_from_fp8 *want, kernel_from_fp8 *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const uint8_t *codes = input_bytes(n);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4), scale = scale_of(f);
        want(codes, n, scale, a);
        got(codes, n, scale, b);
        compare(name, n, 4 * n, (uint8_t *)b, (uint8_t *)a);
    }
}

/* Bytes of a block of "encode_q4_1" or "decode_q4_1". */
static size_t block_bytes(const char *name) {
    const char *type = strchr(name, '_') + 2;
    return type[0] == '8' ? 34 : (type[0] == '5' ? 22u : 18u) + (type[2] == '1' ? 2u : 0u);
}

static void check_kernel_encode_block(const char *name, kernel_encode_block *want,
                                      kernel_encode_block *got) {
    EACH_FLAVOUR(f, FINITE) for (size_t blocks = 0; blocks <= MOST / 32; blocks += 1 + blocks / 2) {
        for (int turn = 0; turn < 20; turn++) {
            const float *x = input_floats(0, 32 * blocks, f);
            uint8_t *a = output(want_buffer, 1), *b = output(got_buffer, 1);
            want(x, blocks, a);
            got(x, blocks, b);
            compare(name, 32 * blocks, blocks * block_bytes(name), b, a);
        }
    }
}

static void check_kernel_decode_block(const char *name, kernel_decode_block *want,
                                      kernel_decode_block *got) {
    for (size_t blocks = 0; blocks <= MOST / 32; blocks++) {
        uint8_t *data = input_bytes(blocks * block_bytes(name));
        for (size_t b = 0; b < blocks; b++)
            for (size_t i = 1; i < 4; i += 2)
                if ((data[b * block_bytes(name) + i] & 0x7c) == 0x7c)
                    data[b * block_bytes(name) + i] ^= 0x40; /* neither Inf nor NaN */
        float *x = output(want_buffer, 4), *y = output(got_buffer, 4);
        want(data, blocks, x);
        got(data, blocks, y);
        compare(name, 32 * blocks, 128 * blocks, (uint8_t *)y, (uint8_t *)x);
    }
}

static void check_kernel_map(const char *name, kernel_map *want, kernel_map *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        float *x = input_floats(0, n, f);
        for (size_t i = 0; i < n && next() % 2; i++)
            x[i] *= 50; /* gaussian values that leave the middle of exp and tanh */
        uint8_t *a = output(want_buffer, 4), *b = output(got_buffer, 4);
        want(x, n, (float *)(void *)a);
        got(x, n, (float *)(void *)b);
        compare(name, n, 4 * n, b, a);
        memcpy(b, x, 4 * n);
        got((float *)(void *)b, n, (float *)(void *)b);
        compare(name, n, 4 * n, b, a);
    }
}

/* Which of two NaN operands an instruction returns is the compiler's choice. */
static void canonical(float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] == x[i] ? x[i] : from_bits(0x7fc00000);
}

static void check_kernel_map2(const char *name, kernel_map2 *want, kernel_map2 *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f), *y = input_floats(1, n, f);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4);
        want(x, y, n, a);
        got(x, y, n, b);
        canonical(a, n);
        canonical(b, n);
        compare(name, n, 4 * n, (uint8_t *)b, (uint8_t *)a);
        memcpy(b, y, 4 * n);
        got(x, b, n, b);
        canonical(b, n);
        compare(name, n, 4 * n, (uint8_t *)b, (uint8_t *)a);
    }
}

static void check_kernel_map_scalar(const char *name, kernel_map_scalar *want,
                                    kernel_map_scalar *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4), s = value(f);
        want(x, s, n, a);
        got(x, s, n, b);
        canonical(a, n);
        canonical(b, n);
        compare(name, n, 4 * n, (uint8_t *)b, (uint8_t *)a);
    }
}

static void check_kernel_axpy(const char *name, kernel_axpy *want, kernel_axpy *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f), *y = input_floats(1, n, f);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4), s = value(f);
        memcpy(a, y, 4 * n);
        memcpy(b, y, 4 * n);
        want(s, x, n, a);
        got(s, x, n, b);
        canonical(a, n);
        canonical(b, n);
        compare(name, n, 4 * n, (uint8_t *)b, (uint8_t *)a);
    }
}

static void check_kernel_muladd(const char *name, kernel_muladd *want, kernel_muladd *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f), *y = input_floats(1, n, f);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4);
        memcpy(a, y, 4 * n);
        memcpy(b, y, 4 * n);
        want(x, y, n, a);
        got(x, y, n, b);
        canonical(a, n);
        canonical(b, n);
        compare(name, n, 4 * n, (uint8_t *)b, (uint8_t *)a);
    }
}

static void compare_sums(const char *name, size_t n, double got, double want) {
    if (got != got && want != want)
        got = want;
    compare_struct(name, n, &got, &want, sizeof got);
}

static void check_kernel_sum(const char *name, kernel_sum *want, kernel_sum *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f);
        compare_sums(name, n, got(x, n), want(x, n));
    }
}

static void check_kernel_dot(const char *name, kernel_dot *want, kernel_dot *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f), *y = input_floats(1, n, f);
        compare_sums(name, n, got(x, y, n), want(x, y, n));
    }
}

static void check_kernel_sum_squares(const char *name, kernel_sum_squares *want,
                                     kernel_sum_squares *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f);
        double mean = (double)value(f) * 0.7;
        compare_sums(name, n, got(x, mean, n), want(x, mean, n));
    }
}

static void check_kernel_max(const char *name, kernel_max *want, kernel_max *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f);
        float a = want(x, n), b = got(x, n);
        compare_struct(name, n, &b, &a, sizeof a);
    }
}

static void check_kernel_exp_sum(const char *name, kernel_exp_sum *want, kernel_exp_sum *got) {
    EACH_FLAVOUR(f, FLAVOURS) EACH_COUNT(n) {
        const float *x = input_floats(0, n, f);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4), shift = value(f);
        compare_sums(name, n, got(x, shift, n, b), want(x, shift, n, a));
        canonical(a, n);
        canonical(b, n);
        compare(name, n, 4 * n, (uint8_t *)b, (uint8_t *)a);
    }
}

/* Taps start anywhere in one run of floats, as the rows of a plane do. */
enum { TAPS = 9 };

static size_t some_taps(const float *x, size_t n, size_t step, const float *ret[TAPS]) {
    size_t need = n ? (n - 1) * step + 1 : 0, taps = next() % (TAPS + 1);
    for (size_t t = 0; t < taps; t++)
        ret[t] =
            x + (t == 0 ? MOST - need : next() % (MOST - need + 1)); /* one ends at the guard */
    return taps;
}

static void check_kernel_taps_sum(const char *name, kernel_taps_sum *want, kernel_taps_sum *got) {
    for (size_t step = 1; step <= 3; step++)
        EACH_FLAVOUR(f, FINITE) for (size_t n = 0; n * step <= MOST; n = next_count(n)) {
            const float *x = input_floats(0, MOST, f), *w = input_floats(1, MOST, f), *at[TAPS];
            size_t taps = some_taps(x, n, step, at);
            float *a = output(want_buffer, 4), *b = output(got_buffer, 4);
            for (size_t i = 0; i < n; i++)
                a[i] = b[i] = gauss();
            want(at, w, taps, step, n, a);
            got(at, w, taps, step, n, b);
            compare(name, n, 4 * n, (uint8_t *)b, (uint8_t *)a);
        }
}

static void check_kernel_taps_max(const char *name, kernel_taps_max *want, kernel_taps_max *got) {
    for (size_t step = 1; step <= 3; step++)
        EACH_FLAVOUR(f, FLAVOURS) for (size_t n = 0; n * step <= MOST; n = next_count(n)) {
            const float *x = input_floats(0, MOST, f), *at[TAPS];
            size_t taps = some_taps(x, n, step, at);
            float *a = output(want_buffer, 4), *b = output(got_buffer, 4);
            for (size_t i = 0; i < n; i++)
                a[i] = b[i] = i % 3 ? gauss() : -INFINITY;
            want(at, taps, step, n, a);
            got(at, taps, step, n, b);
            compare(name, n, 4 * n, (uint8_t *)b, (uint8_t *)a);
        }
}

/* Planes of tiles, the last of which ends at the guard. */
enum { PLANES = 36, MOST_TILES = MOST / PLANES };

static void check_kernel_tiles(const char *name, kernel_tiles *want, kernel_tiles *got) {
    EACH_FLAVOUR(f, FINITE) for (size_t n = 0; n <= MOST_TILES; n++) {
        size_t step = n + next() % (MOST_TILES - n + 1);
        const float *x = input_floats(0, n ? (PLANES - 1) * step + n : 0, f);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4);
        want(x, step, n, a, step);
        got(x, step, n, b, step);
        compare(name, n, 4 * PLANES * step, (uint8_t *)b, (uint8_t *)a);
    }
}

static void check_kernel_tile_weights(const char *name, kernel_tile_weights *want,
                                      kernel_tile_weights *got) {
    EACH_FLAVOUR(f, FINITE) for (size_t n = 0; n <= MOST_TILES; n++) {
        size_t step = n + next() % (MOST_TILES - n + 1);
        const float *w = input_floats(0, 9 * n, f);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4);
        want(w, n, a, step);
        got(w, n, b, step);
        compare(name, n, 4 * PLANES * step, (uint8_t *)b, (uint8_t *)a);
    }
}

static void check_kernel_deal(const char *name, kernel_deal *want, kernel_deal *got) {
    EACH_FLAVOUR(f, FLAVOURS) for (size_t n = 0; n <= MOST_TILES; n++) {
        size_t step = n + next() % (MOST_TILES - n + 1), rows = next() % 7;
        size_t len = n ? 4 * n + 2 : 0, before = next() % 3 * (len > 0);
        size_t inside = len - before - next() % 5 * (n > 1), row_step = inside + next() % 9;
        const float *x = input_floats(0, rows ? (rows - 1) * row_step + inside : 0, f);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4);
        want(x, row_step, rows, before, inside, n, a, step);
        got(x, row_step, rows, before, inside, n, b, step);
        compare(name, n, 4 * PLANES * step, (uint8_t *)b, (uint8_t *)a);
    }
}

static void check_kernel_collect(const char *name, kernel_collect *want, kernel_collect *got) {
    EACH_FLAVOUR(f, FINITE) for (size_t n = 0; n <= 4 * MOST_TILES; n++) {
        size_t tiles = (n + 3) / 4, step = tiles + next() % 5, rows = next() % 5;
        size_t row_step = n + next() % 3;
        const float *x = input_floats(0, n && rows ? (4 * rows - 1) * step + tiles : 0, f);
        float *a = output(want_buffer, 4), *b = output(got_buffer, 4);
        want(x, step, rows, n, 0.25f, a, row_step);
        got(x, step, rows, n, 0.25f, b, row_step);
        compare(name, n, 4 * rows * row_step, (uint8_t *)b, (uint8_t *)a);
    }
}

/* The benchmark's one call on n values: every type of kernel in its own way. */
static float bench_x[MOST], bench_y[MOST];
static uint8_t bench_bytes[4 * MOST];
static const struct affine bench_grid = {0.0005f, 0, -128, 127, 0};
static double bench_sink[8];

#define BENCH(type, call)                              \
    static void bench_##type(type *kernel, size_t n) { \
        call;                                          \
    }
BENCH(kernel_widen, kernel(bench_bytes, n, bench_y))
BENCH(kernel_narrow, kernel(bench_x, n, bench_bytes))
BENCH(kernel_range, kernel(bench_x, n, (void *)bench_sink))
BENCH(kernel_error, kernel(bench_x, bench_y, n, (void *)bench_sink))
BENCH(kernel_quantize, kernel(bench_x, n, &bench_grid, bench_bytes))
BENCH(kernel_dequantize, kernel(bench_bytes, n, &bench_grid, bench_y))
BENCH(kernel_pack, kernel(bench_bytes, n, (uint8_t *)bench_y))
BENCH(kernel_fit, kernel(bench_x, n, 2000, -8, 7, bench_sink))
BENCH(kernel_to_fp8, kernel(bench_x, n, 0.0002f, bench_bytes))
BENCH(kernel_from_fp8, kernel(bench_bytes, n, 0.0002f, bench_y))
BENCH(kernel_encode_block, kernel(bench_x, n / 32, bench_bytes))
BENCH(kernel_decode_block, kernel(bench_bytes, n / 32, bench_y))
BENCH(kernel_map, kernel(bench_x, n, bench_y))
BENCH(kernel_map2, kernel(bench_x, bench_x, n, bench_y))
BENCH(kernel_map_scalar, kernel(bench_x, 1.5f, n, bench_y))
BENCH(kernel_axpy, kernel(1e-6f, bench_x, n, bench_y))
BENCH(kernel_muladd, kernel(bench_x, bench_x, n, bench_y))
BENCH(kernel_sum, bench_sink[0] = kernel(bench_x, n))
BENCH(kernel_dot, bench_sink[0] = kernel(bench_x, bench_y, n))
BENCH(kernel_sum_squares, bench_sink[0] = kernel(bench_x, 0.01, n))
BENCH(kernel_max, bench_sink[0] = (double)kernel(bench_x, n))
BENCH(kernel_exp_sum, bench_sink[0] = kernel(bench_x, 0.01f, n, bench_y))

static const float *const bench_taps[3] = {bench_x, bench_x + 1, bench_x + 2};
BENCH(kernel_taps_sum, kernel(bench_taps, bench_x, 3, 1, n - 2, bench_y))
BENCH(kernel_taps_max, kernel(bench_taps, 3, 1, n - 2, bench_y))
BENCH(kernel_tiles, kernel(bench_x, n / 36, n / 36, bench_y, n / 36))
BENCH(kernel_tile_weights, kernel(bench_x, n / 36, bench_y, n / 36))
BENCH(kernel_deal, kernel(bench_x, 256, n / 256, 1, 255, 64, bench_y, 64))
BENCH(kernel_collect, kernel(bench_x, 64, n / 256, 256, 1, bench_y, 256))

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The best of ten rounds of 200 calls. */
#define BENCH_ROW(name, type)                                         \
    printf("%-21s", #name);                                           \
    for (size_t i = 0; kernels_isa_at(i); i++) {                      \
        struct kernels k;                                             \
        if (kernels_fill(kernels_isa_at(i), &k) != 0)                 \
            continue;                                                 \
        double best = 1e9;                                            \
        for (int round = 0; round < 10; round++) {                    \
            double start = seconds();                                 \
            for (int call = 0; call < 200; call++)                    \
                bench_##type(k.name, MOST);                           \
            best = fmin(best, seconds() - start);                     \
        }                                                             \
        printf("%12.2f", 200.0 * MOST * sizeof(float) / best * 1e-9); \
    }                                                                 \
    printf("\n");

static void bench(void) {
    for (size_t i = 0; i < MOST; i++) {
        bench_x[i] = gauss() * 0.02f;
        bench_y[i] = bench_x[i] + gauss() * 1e-4f;
    }
    /* Small f16, bf16 and block scales alike. */
    for (size_t i = 0; i < sizeof bench_bytes; i++)
        bench_bytes[i] = (uint8_t)(next() & 0xbf);
    printf("%-21s", "GB/s of f32");
    for (size_t i = 0; kernels_isa_at(i); i++) {
        struct kernels k;
        if (kernels_fill(kernels_isa_at(i), &k) == 0)
            printf("%12s", kernels_isa_at(i));
    }
    printf("\n");
    KERNELS(BENCH_ROW)
}

#define CHECK_ROW(name, type) check_##type(#name, reference.name, k.name);

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench();
        return 0;
    }
    for (int i = 0; i < 2; i++)
        input_end[i] = guarded(4 * MOST);
    struct kernels reference;
    if (kernels_fill(kernels_isa_at(0), &reference) != 0)
        return 1;
    for (size_t i = 1; kernels_isa_at(i); i++) {
        struct kernels k;
        isa = kernels_isa_at(i);
        if (kernels_fill(isa, &k) != 0) {
            printf("%s: not on this CPU\n", isa);
            continue;
        }
        unsigned before = comparisons;
        KERNELS(CHECK_ROW)
        printf("%s: %u comparisons\n", isa, comparisons - before);
    }
    printf("%u failed\n", failures);
    return failures != 0;
}
