/* The codec table: unique names, sizes, what fits and what is said when it does not, and a round
 * trip of every row under its own bound at odd sizes. */
#include "compress/codecs/codec.h"

#include "tests/support/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct encoding affine(const char *name, enum granularity granularity, uint32_t group_len,
                              bool symmetric, enum packing packing) {
    return (struct encoding){.codec = codec_by_name(name),
                             .granularity = granularity,
                             .group_len = group_len,
                             .symmetric = symmetric,
                             .packing = packing,
                             .scale_dtype = DTYPE_BF16};
}

static void rows_are_whole(void **state) {
    for (size_t i = 0; codec_at(i); i++) {
        const struct codec *c = codec_at(i);
        CHECK(codec_by_name(c->name) == c);
        CHECK(c->doc && strlen(c->doc) > 5);
        CHECK(codec_can_decode(c) || (c->family == CODEC_BLOCK && !c->can_encode));
        if (c->gguf_type >= 0)
            CHECK(codec_by_gguf_type((uint32_t)c->gguf_type) == c);
        if (c->family == CODEC_BLOCK)
            CHECK_NUM(c->bits_per_weight, 8.0 * c->block_bytes / c->block_len, 0);
        CHECK(c->can_encode == (c->error_ceiling > 0 || strcmp(c->name, "f32") == 0));
    }
    CHECK(codec_by_name("int7") == NULL);
    CHECK(codec_by_gguf_type(4) == NULL);
    CHECK(codec_by_gguf_type(UINT32_MAX) == NULL);
}

static void sizes(void **state) {
    struct encoding e = affine("int4", GRANULARITY_GROUP, 64, false, PACKING_WORDS);
    struct encoded_size s = encoding_size(&e, 9, 192);
    CHECK_UINT(s.row_bytes, 96);
    CHECK_UINT(s.data_bytes, 9 * 96);
    CHECK_UINT(s.groups, 3);
    CHECK_UINT(s.scale_count, 27);
    CHECK_UINT(s.scale_bytes, 54);
    CHECK_UINT(s.zero_point_bytes, 2 * 4 * 3); /* nine rows: two words of eight */
    CHECK_UINT(codec_row_multiple(&e), 8);
    e.symmetric = true;
    CHECK_UINT(encoding_size(&e, 9, 192).zero_point_bytes, 0);
    CHECK_UINT(codec_row_multiple(&e), 1);
    e = affine("int8", GRANULARITY_CHANNEL, 0, false, PACKING_WORDS);
    s = encoding_size(&e, 5, 10);
    CHECK_UINT(s.row_bytes, 12);
    CHECK_UINT(s.zero_point_bytes, 8);
    CHECK_UINT(codec_row_multiple(&e), 4);
    e = affine("int8", GRANULARITY_TENSOR, 0, false, PACKING_BYTES);
    s = encoding_size(&e, 5, 10);
    CHECK_UINT(s.row_bytes, 10);
    CHECK_UINT(s.scale_count, 1);
    CHECK_UINT(s.zero_point_bytes, 1);
    CHECK_UINT(s.groups, 0);
    CHECK_UINT(codec_range_count(&e, 64), 1);
    /* More groups than 32 bits count: a part too small would be read past its end. */
    e = affine("int8", GRANULARITY_GROUP, 1, false, PACKING_BYTES);
    s = encoding_size(&e, 1, (UINT64_C(1) << 32) + 7);
    CHECK_UINT(s.groups, (UINT64_C(1) << 32) + 7);
    CHECK_UINT(s.scale_bytes, 2 * ((UINT64_C(1) << 32) + 7));
    e = (struct encoding){.codec = codec_by_name("q5_1")};
    CHECK_UINT(encoding_size(&e, 3, 64).data_bytes, 3 * 48);
    CHECK_NUM(encoding_bits_per_weight(&e, 3, 64), 6, 0);
    e = encoding_plain(DTYPE_I64);
    CHECK_UINT(encoding_size(&e, 2, 3).data_bytes, 48);
    e = affine("int4", GRANULARITY_GROUP, 128, true, PACKING_WORDS);
    CHECK_NUM(encoding_bits_per_weight(&e, 256, 256), 4.125, 0);
}

static void misfits_name_the_nearest(void **state) {
    struct err err = ERR_INIT;
    struct encoding e = affine("int4", GRANULARITY_GROUP, 128, true, PACKING_WORDS);
    CHECK_OK(encoding_check(&e, 3, 256, &err), &err);
    CHECK_INT(encoding_check(&e, 3, 576, &err), -1);
    CHECK_TEXT(err.nearest, "144"); /* 16 away; 96 is 32 away */
    CHECK_FAILS(encoding_check(&e, 3, 576, NULL), &err, ERR_MISFIT);
    e.padded = true;
    CHECK_OK(encoding_check(&e, 3, 576, &err), &err);
    CHECK_UINT(encoding_size(&e, 3, 576).scale_count, 3 * 5);
    CHECK_UINT(encoding_size(&e, 3, 576).row_bytes, 5 * 64);
    e.padded = false;
    e.group_len = 1000;
    CHECK_INT(encoding_check(&e, 3, 576, &err), -1);
    CHECK_TEXT(err.nearest, "576");
    CHECK_FAILS(-1, &err, ERR_MISFIT);
    e.group_len = 0;
    CHECK_FAILS(encoding_check(&e, 3, 576, &err), &err, ERR_MISFIT);
    e = affine("int8", GRANULARITY_NONE, 0, true, PACKING_BYTES);
    CHECK_FAILS(encoding_check(&e, 3, 576, &err), &err, ERR_MISFIT);
    e = affine("fp8_e4m3", GRANULARITY_GROUP, 64, true, PACKING_BYTES);
    CHECK_FAILS(encoding_check(&e, 3, 576, &err), &err, ERR_MISFIT);
    e = affine("int8", GRANULARITY_CHANNEL, 0, true, PACKING_BYTES);
    e.scale_dtype = DTYPE_I8;
    CHECK_FAILS(encoding_check(&e, 3, 576, &err), &err, ERR_BUG);
    e = (struct encoding){.codec = codec_by_name("q4_k")};
    CHECK_INT(encoding_check(&e, 3, 576, &err), -1);
    CHECK_TEXT(err.nearest, "q8_0");
    CHECK_FAILS(-1, &err, ERR_MISFIT);
    e = (struct encoding){.codec = codec_by_name("q4_0")};
    CHECK_INT(encoding_check(&e, 3, 100, &err), -1);
    CHECK_TEXT(err.nearest, "f16");
    CHECK_FAILS(-1, &err, ERR_MISFIT);
    e = encoding_plain(DTYPE_F16);
    CHECK_OK(encoding_check(&e, 0, 0, &err), &err);
    CHECK_FAILS(encoding_check(&e, UINT64_C(1) << 40, UINT64_C(1) << 40, &err), &err,
                ERR_TOO_LARGE);
    e = encoding_plain(DTYPE_NONE);
    CHECK_FAILS(encoding_check(&e, 1, 1, &err), &err, ERR_BUG);
}

static void words_and_equality(void **state) {
    char text[64];
    struct encoding a = affine("int4", GRANULARITY_GROUP, 128, false, PACKING_WORDS), b = a;
    CHECK_TEXT(encoding_describe(&a, text, sizeof text), "int4 group 128 asymmetric");
    CHECK(encoding_equal(&a, &b));
    b.group_len = 64;
    CHECK(!encoding_equal(&a, &b));
    a = b = affine("int8", GRANULARITY_CHANNEL, 0, true, PACKING_BYTES);
    b.group_len = 77; /* means nothing here */
    CHECK(encoding_equal(&a, &b));
    b.packing = PACKING_WORDS;
    CHECK(!encoding_equal(&a, &b));
    CHECK_TEXT(encoding_describe(&a, text, sizeof text), "int8 channel symmetric");
    a = affine("fp8_e4m3", GRANULARITY_TENSOR, 0, true, PACKING_BYTES);
    CHECK_TEXT(encoding_describe(&a, text, sizeof text), "fp8_e4m3 tensor");
    a = encoding_plain(DTYPE_U8);
    b = encoding_plain(DTYPE_BOOL);
    CHECK_TEXT(encoding_describe(&a, text, sizeof text), "u8");
    CHECK(!encoding_equal(&a, &b));
    a = encoding_plain(DTYPE_BF16);
    CHECK(a.codec == codec_by_name("bf16"));
    CHECK_TEXT(encoding_describe(&a, text, 4), "bf1");
}

/* One encoding over one matrix, in two chunks; every value within the row's bound. */
static void round_trip(const struct encoding *e, enum scale_search search, uint64_t rows,
                       uint64_t cols) {
    struct encode_options options = {search};
    struct encoded_size size = encoding_size(e, rows, cols);
    size_t n = (size_t)(rows * cols);
    float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
    uint8_t *data = malloc(size.data_bytes + 1), *scale = malloc(size.scale_bytes + 1);
    uint8_t *zero = malloc(size.zero_point_bytes + 1);
    data[size.data_bytes] = scale[size.scale_bytes] = zero[size.zero_point_bytes] = 0xa5;
    for (size_t i = 0; i < n; i++)
        x[i] = sinf((float)(i * i + 3)) * (i % 17 == 3 ? 4.0f : 0.6f) + 0.1f;
    struct value_range range = codec_value_range(x, n);
    uint64_t multiple = codec_row_multiple(e), half = rows / 2 / multiple * multiple;
    struct encode_stats stats = {0};
    codec_encode(e, &options, 0, half, cols, x, &range, data, scale, zero, &stats);
    codec_encode(e, &options, half, rows - half, cols, x + half * cols, &range,
                 data + half * size.row_bytes, scale, zero, &stats);
    CHECK_UINT(stats.overflow + stats.non_finite, 0);
    CHECK_INT(data[size.data_bytes], 0xa5);
    CHECK_INT(scale[size.scale_bytes], 0xa5);
    CHECK_INT(zero[size.zero_point_bytes], 0xa5);
    codec_decode(e, 0, rows, cols, data, scale, zero, y);
    double amax = fmax(-(double)range.min, range.max);
    double bound = encoding_error_bound(e, &options, amax);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)x[i] - y[i]) <= bound)) {
            char text[64];
            fail_msg("%s, %llu x %llu: value %zu is %g, came back as %g, bound %g",
                     encoding_describe(e, text, sizeof text), (unsigned long long)rows,
                     (unsigned long long)cols, i, x[i], y[i], bound);
        }
    free(zero);
    free(scale);
    free(data);
    free(y);
    free(x);
}

static void round_trip_affine(const struct codec *codec) {
    static const enum dtype scales[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    for (int variant = 0; variant < 4 * 3 * 3 * 2; variant++) {
        struct encoding e = affine(codec->name, GRANULARITY_TENSOR + variant / 4 % 3, 0,
                                   variant & 1, variant & 2 ? PACKING_WORDS : PACKING_BYTES);
        e.scale_dtype = scales[variant / 12 % 3];
        if (codec->family == CODEC_SCALED && e.granularity == GRANULARITY_GROUP)
            continue;
        for (uint64_t cols = 1; cols < 40; cols += 1 + cols / 7)
            for (uint32_t group = 1; group <= cols; group += 2 + (uint32_t)cols / 5) {
                e.group_len = group;
                e.padded = e.granularity == GRANULARITY_GROUP && cols % group;
                round_trip(&e, variant / 36, 1 + cols % 19, cols);
                if (e.granularity != GRANULARITY_GROUP)
                    break;
            }
        e.group_len = 35;
        e.padded = false;
        round_trip(&e, variant / 36, 3, 2100); /* more than one piece */
    }
}

static void round_trips(void **state) {
    for (size_t i = 0; codec_at(i); i++) {
        const struct codec *codec = codec_at(i);
        if (!codec->can_encode)
            continue;
        if (codec->family == CODEC_AFFINE || codec->family == CODEC_SCALED) {
            round_trip_affine(codec);
            continue;
        }
        struct encoding e = codec->family == CODEC_PLAIN
                                ? encoding_plain(dtype_by_name(codec->name))
                                : (struct encoding){.codec = codec};
        for (uint64_t units = 1; units < 70; units += 1 + units / 4)
            round_trip(&e, SEARCH_MINMAX, 1 + units % 5, units * codec->block_len);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_whole),     cmocka_unit_test(sizes),
        cmocka_unit_test(words_and_equality), cmocka_unit_test(misfits_name_the_nearest),
        cmocka_unit_test(round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
