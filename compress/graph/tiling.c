/* Tiling: the unit is a row of the wider matrix, times the row multiple either codec asks for. */
#include "compress/graph/tiling.h"

#include <assert.h>

static void view(const struct tensor *tensor, const struct encoding *e, uint64_t *ret_rows,
                 uint64_t *ret_cols) {
    if (e->codec->family == CODEC_PLAIN) {
        /* Numbers of half a byte go in pairs, the last perhaps alone. */
        *ret_cols = e->dtype == DTYPE_I4 || e->dtype == DTYPE_U4 ? 2 : 1;
        *ret_rows = (tensor->elements + *ret_cols - 1) / *ret_cols;
    } else {
        tensor_matrix(tensor, e, ret_rows, ret_cols);
    }
}

struct tiling tiling_of(const struct tensor *tensor, const struct encoding *a,
                        const struct encoding *b) {
    uint64_t rows, cols_a, cols_b;
    view(tensor, a, &rows, &cols_a);
    view(tensor, b, &rows, &cols_b);
    if (a->transposed != b->transposed)
        cols_a = 1;
    struct tiling t = {.elements = tensor->elements};
    if (!t.elements)
        return t;
    uint64_t wide = cols_a > cols_b ? cols_a : cols_b;
    /* Columns are products of the last dimensions, so the narrower divide the wider. */
    assert(cols_a > 0 && cols_b > 0); /* no dimension is 0 where there are elements */
    assert(wide % cols_a == 0 && wide % cols_b == 0);
    uint32_t multiple_a = a->transposed == b->transposed ? codec_row_multiple(a) : 1;
    uint32_t multiple_b = codec_row_multiple(b);
    uint64_t unit = wide * (multiple_a > multiple_b ? multiple_a : multiple_b);
    t.tile_elements = unit >= TILE_ELEMENTS ? unit : TILE_ELEMENTS / unit * unit;
    if (t.tile_elements > t.elements)
        t.tile_elements = t.elements;
    t.count = (size_t)((t.elements + t.tile_elements - 1) / t.tile_elements);
    return t;
}

uint64_t tiling_start(const struct tiling *tiling, size_t tile) {
    return tile * tiling->tile_elements;
}

uint64_t tiling_elements(const struct tiling *tiling, size_t tile) {
    uint64_t start = tiling_start(tiling, tile);
    uint64_t left = tiling->elements - start;
    return left < tiling->tile_elements ? left : tiling->tile_elements;
}

struct tile_rows tiling_rows(const struct tiling *tiling, size_t tile, const struct tensor *tensor,
                             const struct encoding *e) {
    uint64_t rows, cols;
    view(tensor, e, &rows, &cols);
    return (struct tile_rows){
        .row0 = tiling_start(tiling, tile) / cols,
        .rows = (tiling_elements(tiling, tile) + cols - 1) / cols, /* exact but for half bytes */
        .cols = cols,
    };
}

uint64_t tiling_data_bytes(const struct tiling *tiling, const struct tensor *tensor,
                           const struct encoding *e) {
    uint64_t rows, cols;
    view(tensor, e, &rows, &cols);
    return cols ? (tiling->tile_elements + cols - 1) / cols * encoding_size(e, rows, cols).row_bytes
                : 0;
}
