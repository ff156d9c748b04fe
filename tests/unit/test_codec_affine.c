/* int8 and int4: compressed-tensors' own words for a small matrix, degenerate groups, scales at the
 * ends of their types. */
#include "compress/codecs/codec.h"

#include "tests/support/check.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { ROWS = 9, COLS = 12 };

static struct encoding encoding(const char *name, enum granularity granularity, bool symmetric,
                                enum packing packing, enum dtype scale_dtype) {
    return (struct encoding){.codec = codec_by_name(name),
                             .granularity = granularity,
                             .group_len = 6,
                             .symmetric = symmetric,
                             .packing = packing,
                             .scale_dtype = scale_dtype};
}

/* ((37 r + 11 c) mod 41 - 17) / 16 for 9 x 12 in f32, groups of 6: what compressed-tensors 0.20
 * makes of it (calculate_qparams, quantize, pack_to_int32). */
static const struct {
    const char *name;
    bool symmetric;
    int row_words;
    uint32_t data[3 * ROWS], zeros[6];
    float first_scales[4];
} cases[] = {
    {"int4",
     false,
     2,
     {0xe972fa50, 0xfa50, 0xe92fa50e, 0xfa50, 0xa41fa50d, 0xb60f, 0xa40c83fb, 0xb60f, 0xa4fa50e9,
      0xb60f, 0x50fa50e9, 0x61fa, 0x50b60fa4, 0x61fa, 0x3fb60fa4, 0x50c8, 0xeb60fa4, 0x1fa5},
     {0x64756658, 0x77586475, 0x8, 0x6},
     {0x1.19999ap-3f, 0x1.19999ap-3f, 0x1.19999ap-3f, 0x1.19999ap-3f}},
    {"int4",
     true,
     2,
     {0xeb72fa50, 0xfc84, 0xea6fc85f, 0xfb62, 0xc84fb72e, 0xd95f, 0xb63d96fc, 0xc83f, 0x94fc84eb,
      0xb61f, 0x84fb62ea, 0x95fc, 0x61d95fc8, 0x72fb, 0x5fc83fb6, 0x62d9, 0x3eb61f94, 0x4fb7},
     {0},
     {0x1.222222p-3f, 0x1.777778p-3f, 0x1.888888p-3f, 0x1.333334p-3f}},
    {"int8",
     false,
     3,
     {0xffaa5500, 0xe8936c17, 0xffaa5500, 0xaa5500e8, 0xe89317ff, 0xffaa5500, 0xaa5500e8,
      0xa24417ff, 0xbb5e00ff, 0x8036ffb6, 0xa24400ca, 0xbb5e00ff, 0x5500e893, 0xa244ffaa,
      0xbb5e00ff, 0x5500e893, 0x5500ffaa, 0x6c17ffaa, 0xffa244,   0x5500bb5e, 0x6d18ffaa,
      0xffa244,   0x36ffbb5e, 0x4a00c97f, 0xffa244,   0xe7bb5e,   0x17ffaa55},
     {0x656c4d83, 0x66447455, 0x66447455, 0x727c5d88, 0x88, 0x64},
     {0x1.09090ap-7f, 0x1.09090ap-7f, 0x1.09090ap-7f, 0x1.09090ap-7f}},
};

static void fill(float x[ROWS * COLS]) {
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++)
            x[r * COLS + c] = (float)((37 * r + 11 * c) % 41 - 17) / 16;
}

static void writes_compressed_tensors_words(void **state) {
    float x[ROWS * COLS];
    fill(x);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct encoding e = encoding(cases[i].name, GRANULARITY_GROUP, cases[i].symmetric,
                                     PACKING_WORDS, DTYPE_F32);
        uint32_t data[3 * ROWS], zeros[6];
        float scales[2 * ROWS];
        struct encoded_size size = encoding_size(&e, ROWS, COLS);
        CHECK_UINT(size.row_bytes, 4 * (uint64_t)cases[i].row_words);
        /* The rows of the last chunk share no word of zero points with the first. */
        codec_encode(&e, NULL, 8, 1, COLS, x + 8 * COLS, NULL, (uint8_t *)data + 8 * size.row_bytes,
                     scales, zeros, NULL);
        codec_encode(&e, NULL, 0, 8, COLS, x, NULL, data, scales, zeros, NULL);
        CHECK_BYTES(data, cases[i].data, size.data_bytes);
        CHECK_BYTES(zeros, cases[i].zeros, size.zero_point_bytes);
        for (int s = 0; s < 4; s++)
            CHECK_NUM(scales[s], cases[i].first_scales[s], 0);
    }
}

/* Bytes and words are two ways to write the same codes. */
static void packings_agree(void **state) {
    float x[ROWS * COLS], y[2][ROWS * COLS];
    fill(x);
    for (int v = 0; v < 12; v++) {
        const char *name = v & 1 ? "int4" : "int8";
        for (int p = 0; p < 2; p++) {
            struct encoding e = encoding(name, GRANULARITY_TENSOR + v / 4, v & 2,
                                         p ? PACKING_WORDS : PACKING_BYTES, DTYPE_BF16);
            uint8_t data[ROWS * COLS], scale[256], zero[256];
            struct value_range range = codec_value_range(x, ROWS * COLS);
            codec_encode(&e, NULL, 0, ROWS, COLS, x, &range, data, scale, zero, NULL);
            codec_decode(&e, 0, ROWS, COLS, data, scale, zero, y[p]);
        }
        CHECK_BYTES(y[0], y[1], sizeof y[0]);
    }
}

/* Zeros get compressed-tensors' epsilon as their scale, and come back as zeros. */
static void zeros_have_a_usable_scale(void **state) {
    static const struct {
        enum dtype dtype;
        double epsilon;
    } types[] = {{DTYPE_F32, 0x1p-23}, {DTYPE_F16, 0x1p-10}, {DTYPE_BF16, 0x1p-7}};
    const float x[6] = {0, -0.0f, 0, 0, 0, 0};
    for (int v = 0; v < 12; v++) {
        struct encoding e = encoding(v & 1 ? "int4" : "int8", GRANULARITY_GROUP, v & 2,
                                     PACKING_BYTES, types[v / 4].dtype);
        struct encode_options options = {SEARCH_MSE};
        uint8_t data[6], scale[4], zero[1];
        float y[6], stored;
        codec_encode(&e, &options, 0, 1, 6, x, NULL, data, scale, zero, NULL);
        codec_decode(&e, 0, 1, 6, data, scale, zero, y);
        for (int i = 0; i < 6; i++)
            CHECK_NUM(y[i], 0, 0);
        struct encoding plain = encoding_plain(types[v / 4].dtype);
        codec_decode(&plain, 0, 1, 1, scale, NULL, NULL, &stored);
        CHECK_NUM(stored, types[v / 4].epsilon, 0);
    }
}

/* Values far below what an f16 scale can express do not vanish, and keep the bound. */
static void small_values_round_the_scale_up(void **state) {
    for (int v = 0; v < 4; v++) {
        struct encoding e =
            encoding(v & 1 ? "int4" : "int8", GRANULARITY_GROUP, v & 2, PACKING_BYTES, DTYPE_F16);
        float amax = 1e-2f;
        for (int step = 0; step < 117; step++, amax *= 0.9f) { /* down to 4e-8 */
            const float x[6] = {amax, -amax / 2, amax / 3, 0, -amax / 7, amax / 5};
            uint8_t data[6], scale[2], zero[1];
            float y[6];
            codec_encode(&e, NULL, 0, 1, 6, x, NULL, data, scale, zero, NULL);
            codec_decode(&e, 0, 1, 6, data, scale, zero, y);
            double bound = encoding_error_bound(&e, NULL, amax);
            for (int i = 0; i < 6; i++)
                CHECK(fabs((double)x[i] - y[i]) <= bound);
            CHECK(y[0] > 0);
        }
    }
}

/* A scale that does not fit f16 stays finite; what it cannot reach is counted. */
static void large_values_are_counted(void **state) {
    const float x[12] = {1e9f, -1e9f, 3, 4, 5e6f, 6, 7, 8, 9, 10, 11, 12};
    for (int v = 0; v < 4; v++) {
        struct encoding e =
            encoding(v & 1 ? "int4" : "int8", GRANULARITY_GROUP, v & 2, PACKING_BYTES, DTYPE_F16);
        uint8_t data[12], zero[2];
        uint16_t scale[2];
        struct encode_stats stats = {0};
        codec_encode(&e, NULL, 0, 1, 12, x, NULL, data, scale, zero, &stats);
        CHECK_UINT(scale[0], 0x7bff);
        CHECK(stats.overflow >= 2 && stats.overflow <= 3);
        CHECK_UINT(stats.first_overflow, 0);
        CHECK_UINT(stats.non_finite, 0);
    }
    /* The whole range of f32 has a scale in f32 and bf16. */
    const float wide[6] = {FLT_MAX, -FLT_MAX, 1, 0, 0, 0};
    struct encoding e = encoding("int8", GRANULARITY_GROUP, false, PACKING_BYTES, DTYPE_BF16);
    uint8_t data[6], scale[2], zero[1];
    float y[6];
    struct encode_stats stats = {0};
    codec_encode(&e, NULL, 0, 1, 6, wide, NULL, data, scale, zero, &stats);
    codec_decode(&e, 0, 1, 6, data, scale, zero, y);
    CHECK_UINT(stats.overflow, 0);
    for (int i = 0; i < 6; i++)
        CHECK(fabs((double)wide[i] - y[i]) <= encoding_error_bound(&e, NULL, FLT_MAX));
}

static void non_finite_values_spoil_nothing_else(void **state) {
    float x[12] = {1, 2, 3, NAN, 5, 6, -7, 8, INFINITY, 10, 11, 12}, clean[12];
    memcpy(clean, x, sizeof x);
    clean[3] = clean[8] = 0;
    for (int v = 0; v < 8; v++) {
        struct encoding e = encoding(v & 1 ? "int4" : "int8", GRANULARITY_GROUP, v & 2,
                                     v & 4 ? PACKING_WORDS : PACKING_BYTES, DTYPE_BF16);
        uint8_t data[2][12] = {{0}}, scale[2][4], zero[2][8] = {{0}};
        struct encode_stats stats = {0};
        codec_encode(&e, NULL, 0, 1, 12, x, NULL, data[0], scale[0], zero[0], &stats);
        CHECK_UINT(stats.non_finite, 2);
        CHECK_UINT(stats.first_non_finite, 3);
        codec_encode(&e, NULL, 0, 1, 12, clean, NULL, data[1], scale[1], zero[1], NULL);
        CHECK_BYTES(data[0], data[1], 12);
        CHECK_BYTES(scale[0], scale[1], 4);
        CHECK_BYTES(zero[0], zero[1], 8);
    }
}

/* A scale per column is a scale per row of the transposed matrix, whatever chunks it comes in. */
static void columns_are_rows_of_the_transposed(void **state) {
    float x[ROWS * COLS], turned[COLS * ROWS], back[ROWS * COLS];
    struct encoding by_row = encoding("int8", GRANULARITY_CHANNEL, true, PACKING_BYTES, DTYPE_F32);
    struct encoding by_column =
        encoding("int8", GRANULARITY_COLUMN, true, PACKING_BYTES, DTYPE_F32);
    uint8_t want[COLS * ROWS], got[ROWS * COLS];
    float want_scales[COLS], got_scales[COLS];
    struct value_range ranges[COLS] = {{0, 0}};
    struct err err = ERR_INIT;
    fill(x);
    x[5] = NAN; /* row 0, column 5 */
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++)
            turned[c * ROWS + r] = x[r * COLS + c];
    CHECK_OK(encoding_check(&by_column, ROWS, COLS, &err), &err);
    CHECK_UINT(encoding_size(&by_column, ROWS, COLS).scale_bytes, 4 * COLS);
    CHECK_UINT(codec_range_count(&by_column, COLS), COLS);
    struct encode_stats stats = {0}, turned_stats = {0};
    codec_encode(&by_row, NULL, 0, COLS, ROWS, turned, NULL, want, want_scales, NULL,
                 &turned_stats);
    codec_find_ranges(&by_column, 4, COLS, x, ranges);
    codec_find_ranges(&by_column, ROWS - 4, COLS, x + 4 * COLS, ranges);
    codec_encode(&by_column, NULL, 0, 4, COLS, x, ranges, got, got_scales, NULL, &stats);
    codec_encode(&by_column, NULL, 4, ROWS - 4, COLS, x + 4 * COLS, ranges, got + 4 * COLS,
                 got_scales, NULL, &stats);
    CHECK_UINT(stats.non_finite, 1);
    CHECK_UINT(stats.first_non_finite, 5);
    CHECK_BYTES(got_scales, want_scales, sizeof got_scales);
    codec_decode(&by_column, 0, ROWS, COLS, got, got_scales, NULL, back);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++) {
            CHECK_UINT(got[r * COLS + c], want[c * ROWS + r]);
            CHECK_NUM(back[r * COLS + c], (int8_t)got[r * COLS + c] * got_scales[c], 0);
        }
    by_column.symmetric = false;
    CHECK_FAILS(encoding_check(&by_column, ROWS, COLS, &err), &err, ERR_MISFIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_compressed_tensors_words),
        cmocka_unit_test(packings_agree),
        cmocka_unit_test(zeros_have_a_usable_scale),
        cmocka_unit_test(small_values_round_the_scale_up),
        cmocka_unit_test(large_values_are_counted),
        cmocka_unit_test(non_finite_values_spoil_nothing_else),
        cmocka_unit_test(columns_are_rows_of_the_transposed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
