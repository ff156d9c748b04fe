/* Tiles: they cover a tensor once, in whole rows of every encoding. */
#include "compress/graph/tiling.h"
#include "tests/support/check.h"

static struct tensor tensor_of(unsigned rank, const uint64_t *dims) {
    struct tensor t = {.name = "t", .component = "", .rank = rank, .elements = 1};
    for (unsigned i = 0; i < rank; i++) {
        t.dims[i] = dims[i];
        t.elements *= dims[i];
    }
    return t;
}

static void check_tiling(unsigned rank, const uint64_t *dims, const struct encoding *a,
                         const struct encoding *b) {
    struct tensor t = tensor_of(rank, dims);
    struct tiling tiling = tiling_of(&t, a, b);
    const struct encoding *both[] = {a, b};
    uint64_t next = 0, rows_seen[2] = {0};
    for (size_t i = 0; i < tiling.count; i++) {
        CHECK_UINT(tiling_start(&tiling, i), next);
        uint64_t n = tiling_elements(&tiling, i);
        CHECK(n > 0);
        for (int k = 0; k < 2; k++) {
            struct tile_rows r = tiling_rows(&tiling, i, &t, both[k]);
            CHECK_UINT(r.rows * r.cols, n);
            CHECK_UINT(r.row0, rows_seen[k]);
            CHECK_UINT(r.row0 % codec_row_multiple(both[k]), 0);
            rows_seen[k] += r.rows;
        }
        next += n;
    }
    CHECK_UINT(next, t.elements);
}

static struct encoding int4_asymmetric(void) {
    return (struct encoding){.codec = codec_by_name("int4"),
                             .granularity = GRANULARITY_GROUP,
                             .group_len = 32,
                             .packing = PACKING_WORDS,
                             .scale_dtype = DTYPE_BF16};
}

static void covers_everything(void **state) {
    static const struct {
        unsigned rank;
        uint64_t dims[4];
    } shapes[] = {{0, {0}},          {1, {1}},          {1, {100000}},
                  {2, {1, 32}},      {2, {333, 64}},    {2, {5, 70016}},
                  {2, {2049, 4096}}, {3, {48, 32, 96}}, {4, {70, 3, 5, 32}}};
    struct encoding bf16 = encoding_plain(DTYPE_BF16), f32 = encoding_plain(DTYPE_F32);
    struct encoding q8_0 = {.codec = codec_by_name("q8_0")};
    struct encoding int4 = int4_asymmetric();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const uint64_t *dims = shapes[i].dims;
        check_tiling(shapes[i].rank, dims, &bf16, &f32);
        if (shapes[i].rank >= 2) { /* stored as blocks, wanted as floats, and the other way */
            check_tiling(shapes[i].rank, dims, &bf16, &q8_0);
            check_tiling(shapes[i].rank, dims, &q8_0, &f32);
            check_tiling(shapes[i].rank, dims, &bf16, &int4);
        }
    }
}

static void sizes(void **state) {
    struct encoding bf16 = encoding_plain(DTYPE_BF16);
    struct tensor big = tensor_of(2, (uint64_t[]){4096, 4096});
    struct tiling tiling = tiling_of(&big, &bf16, &bf16);
    CHECK_UINT(tiling.tile_elements, TILE_ELEMENTS);
    CHECK_UINT(tiling.count, 256);
    CHECK_UINT(tiling_data_bytes(&tiling, &big, &bf16), 2 * TILE_ELEMENTS);
    /* Plain numbers are cut anywhere, a row that shares a scale never; rows that share words of
     * zero points stay together. */
    struct tensor wide = tensor_of(2, (uint64_t[]){9, 3 * TILE_ELEMENTS});
    CHECK_UINT(tiling_of(&wide, &bf16, &bf16).tile_elements, TILE_ELEMENTS);
    struct encoding int8 = {.codec = codec_by_name("int8"),
                            .granularity = GRANULARITY_CHANNEL,
                            .symmetric = true,
                            .scale_dtype = DTYPE_BF16};
    CHECK_UINT(tiling_of(&wide, &bf16, &int8).tile_elements, 3 * TILE_ELEMENTS);
    struct encoding int4 = int4_asymmetric();
    CHECK_UINT(codec_row_multiple(&int4), 8);
    CHECK_UINT(tiling_of(&wide, &bf16, &int4).tile_elements, 8 * 3 * TILE_ELEMENTS);
    struct tensor empty = tensor_of(2, (uint64_t[]){0, 7});
    CHECK_UINT(tiling_of(&empty, &bf16, &bf16).count, 0);
}

/* Integers of half a byte: whole bytes are tiled, an odd one at the end has a byte of its own. */
static void half_bytes(void **state) {
    static const uint64_t shapes[][2] = {{3, 5}, {1, 1}, {333, 777}, {2, 70016}};
    struct encoding i4 = encoding_plain(DTYPE_I4);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct tensor t = tensor_of(2, shapes[i]);
        struct tiling tiling = tiling_of(&t, &i4, &i4);
        uint64_t bytes = 0, rows, cols;
        for (size_t k = 0; k < tiling.count; k++) {
            struct tile_rows r = tiling_rows(&tiling, k, &t, &i4);
            uint64_t row_bytes = encoding_size(&i4, r.rows, r.cols).row_bytes;
            CHECK_UINT(r.row0 * row_bytes, bytes);
            CHECK(r.rows * row_bytes <= tiling_data_bytes(&tiling, &t, &i4));
            bytes += r.rows * row_bytes;
        }
        CHECK_UINT(bytes, (t.elements + 1) / 2);
        tensor_matrix(&t, &i4, &rows, &cols);
        CHECK_UINT(encoding_size(&i4, rows, cols).data_bytes, bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_everything),
        cmocka_unit_test(half_bytes),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
