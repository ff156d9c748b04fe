/* GGUF's blocks of 32: byte-identical to ggml's quantizer, bit-identical to its reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/codecs/codec.h"
#include "tests/support/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"q8_0", "q5_1", "q5_0", "q4_1", "q4_0"};
enum { NAMES = sizeof names / sizeof names[0], ROW = 256 };

static void encodes_ggmls_bytes(void **state) {
    size_t bytes;
    float *x = golden_read("ggml/rows.in.f32", &bytes);
    uint64_t rows = bytes / sizeof(float) / ROW;
    for (int i = 0; i < NAMES; i++) {
        struct encoding e = {.codec = codec_by_name(names[i])};
        size_t want_bytes;
        uint8_t *want = golden_read(golden_name("ggml/%s.bytes", names[i]), &want_bytes);
        assert_int_equal(encoding_size(&e, rows, ROW).data_bytes, want_bytes);
        uint8_t *got = calloc(1, want_bytes);
        struct encode_stats stats = {0};
        codec_encode(&e, NULL, 0, rows, ROW, x, NULL, got, NULL, NULL, &stats);
        for (size_t b = 0; b < want_bytes; b++)
            if (got[b] != want[b])
                fail_msg("%s: byte %zu (row %zu) is %02x, ggml wrote %02x", names[i], b,
                         b / (want_bytes / rows), got[b], want[b]);
        assert_int_equal(stats.non_finite, 0);
        assert_int_equal(stats.overflow, 0);
        free(got);
        free(want);
    }
    free(x);
}

static void decodes_ggmls_values(void **state) {
    static const char *const cases[] = {"", ".raw"};
    for (int i = 0; i < 2 * NAMES; i++) {
        const char *name = names[i / 2], *kind = cases[i % 2];
        struct encoding e = {.codec = codec_by_name(name)};
        golden_check_decode(&e, golden_name("ggml/%s%s.bytes", name, kind),
                            golden_name("ggml/%s%s.out.f32", name, kind));
    }
}

/* Blocks whose scale does not fit f16 are counted, all their values; their neighbours are not. */
static void counts_overflow(void **state) {
    float x[96] = {0};
    uint8_t data[3 * 34];
    for (int i = 0; i < NAMES; i++) {
        struct encoding e = {.codec = codec_by_name(names[i])};
        for (int k = 0; k < 96; k++)
            x[k] = k % 7 - 3.0f;
        x[40] = -1e8f;
        struct encode_stats stats = {0};
        codec_encode(&e, NULL, 0, 1, 96, x, NULL, data, NULL, NULL, &stats);
        assert_int_equal(stats.overflow, 32);
        assert_int_equal(stats.first_overflow, 32);
        x[40] = 65000;
        stats = (struct encode_stats){0};
        codec_encode(&e, NULL, 0, 1, 96, x, NULL, data, NULL, NULL, &stats);
        assert_int_equal(stats.overflow, 0);
    }
}

/* NaN and Inf are named, and encoded as if they were zero. */
static void non_finite_becomes_zero(void **state) {
    float x[64], clean[64];
    uint8_t data[2 * 34], want[2 * 34];
    for (int k = 0; k < 64; k++)
        x[k] = clean[k] = (float)(k % 13) - 6;
    x[9] = NAN;
    x[50] = -INFINITY;
    clean[9] = clean[50] = 0;
    for (int i = 0; i < NAMES; i++) {
        struct encoding e = {.codec = codec_by_name(names[i])};
        struct encode_stats stats = {0};
        codec_encode(&e, NULL, 0, 1, 64, x, NULL, data, NULL, NULL, &stats);
        assert_int_equal(stats.non_finite, 2);
        assert_int_equal(stats.first_non_finite, 9);
        codec_encode(&e, NULL, 0, 1, 64, clean, NULL, want, NULL, NULL, NULL);
        assert_memory_equal(data, want, encoding_size(&e, 1, 64).data_bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_ggmls_bytes),
        cmocka_unit_test(decodes_ggmls_values),
        cmocka_unit_test(counts_overflow),
        cmocka_unit_test(non_finite_becomes_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
