/* The transforms of minimal filtering, 16 tiles at a time (see filtering_lane.h). Rows go to tiles
 * and back by shuffles, what is outside of them under a mask. */
#define FILTERING_WIDTH 16
#include "compress/kernels/filtering_lane.h"

#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <immintrin.h>

enum { LANES = 16 };

/* Lanes [from, to) of a register whose first lane is number `first`. */
static __mmask16 lanes_between(size_t from, size_t to, size_t first) {
    size_t low = from > first ? from - first : 0, high = to > first ? to - first : 0;
    uint32_t below = low < LANES ? (1u << low) - 1 : 0xffff;
    return (__mmask16)((high < LANES ? (1u << high) - 1 : 0xffff) & ~below);
}

/* 64 numbers of a row and the two behind them to 16 tiles; ret + step * j is theirs. */
FILTERING_INLINE void deal_tiles(const float *row, const __mmask16 inside[5], __mmask16 tiles,
                                 float *ret, size_t step) {
    /* Of two registers every fourth lane from 0 on, then from 1 on; from 2, from 3. */
    const __m512i even = _mm512_set_epi32(29, 25, 21, 17, 13, 9, 5, 1, 28, 24, 20, 16, 12, 8, 4, 0);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(2));
    __m512 v0 = _mm512_maskz_loadu_ps(inside[0], row);
    __m512 v1 = _mm512_maskz_loadu_ps(inside[1], row + LANES);
    __m512 v2 = _mm512_maskz_loadu_ps(inside[2], row + 2 * LANES);
    __m512 v3 = _mm512_maskz_loadu_ps(inside[3], row + 3 * LANES);
    __m512i next = _mm512_castps_si512(_mm512_maskz_loadu_ps(inside[4], row + 4 * LANES));
    __m512 low = _mm512_permutex2var_ps(v0, even, v1), high = _mm512_permutex2var_ps(v2, even, v3);
    __m512 a = _mm512_shuffle_f32x4(low, high, 0x44), b = _mm512_shuffle_f32x4(low, high, 0xee);
    low = _mm512_permutex2var_ps(v0, odd, v1);
    high = _mm512_permutex2var_ps(v2, odd, v3);
    __m512 c = _mm512_shuffle_f32x4(low, high, 0x44), d = _mm512_shuffle_f32x4(low, high, 0xee);
    __m512i e = _mm512_alignr_epi32(next, _mm512_castps_si512(a), 1);
    __m512i f = _mm512_alignr_epi32(_mm512_alignr_epi32(next, next, 1), _mm512_castps_si512(b), 1);
    _mm512_mask_storeu_ps(ret, tiles, a);
    _mm512_mask_storeu_ps(ret + step, tiles, b);
    _mm512_mask_storeu_ps(ret + 2 * step, tiles, c);
    _mm512_mask_storeu_ps(ret + 3 * step, tiles, d);
    _mm512_mask_storeu_ps(ret + 4 * step, tiles, _mm512_castsi512_ps(e));
    _mm512_mask_storeu_ps(ret + 5 * step, tiles, _mm512_castsi512_ps(f));
}

static void filtering_deal_f32_avx512(const float *x, size_t row_step, size_t rows, size_t before,
                                      size_t inside, size_t n, float *ret, size_t step) {
    for (size_t t = 0; t < n; t += LANES) {
        size_t at = LINE_OUT * t;
        __mmask16 lanes[5], tiles = lanes_between(0, n, t);
        for (size_t k = 0; k < 5; k++)
            lanes[k] = lanes_between(before, before + inside, at + k * LANES);
        for (size_t row = 0; row < rows; row++) {
            /* What is before x is masked and not read. */
            uintptr_t from = (uintptr_t)(x + row * row_step) + (at - before) * sizeof *x;
            deal_tiles((const float *)from, lanes, tiles, ret + row * LINE_IN * step + t, step);
        }
    }
}

/* 16 tiles to 64 numbers of a row. */
FILTERING_INLINE void collect_tiles(const float *x, size_t step, __mmask16 tiles, __m512 more,
                                    const __mmask16 wanted[4], float *ret) {
    __m512 a = _mm512_add_ps(_mm512_maskz_loadu_ps(tiles, x), more);
    __m512 b = _mm512_add_ps(_mm512_maskz_loadu_ps(tiles, x + step), more);
    __m512 c = _mm512_add_ps(_mm512_maskz_loadu_ps(tiles, x + 2 * step), more);
    __m512 d = _mm512_add_ps(_mm512_maskz_loadu_ps(tiles, x + 3 * step), more);
    /* Tile 4 l + k to the l-th quarter of the k-th register ... */
    __m512 ab = _mm512_unpacklo_ps(a, b), cd = _mm512_unpacklo_ps(c, d);
    __m512 r0 = _mm512_shuffle_ps(ab, cd, 0x44), r1 = _mm512_shuffle_ps(ab, cd, 0xee);
    ab = _mm512_unpackhi_ps(a, b);
    cd = _mm512_unpackhi_ps(c, d);
    __m512 r2 = _mm512_shuffle_ps(ab, cd, 0x44), r3 = _mm512_shuffle_ps(ab, cd, 0xee);
    /* ... and in order. */
    __m512 p0 = _mm512_shuffle_f32x4(r0, r1, 0x44), p1 = _mm512_shuffle_f32x4(r2, r3, 0x44);
    __m512 q0 = _mm512_shuffle_f32x4(r0, r1, 0xee), q1 = _mm512_shuffle_f32x4(r2, r3, 0xee);
    _mm512_mask_storeu_ps(ret, wanted[0], _mm512_shuffle_f32x4(p0, p1, 0x88));
    _mm512_mask_storeu_ps(ret + LANES, wanted[1], _mm512_shuffle_f32x4(p0, p1, 0xdd));
    _mm512_mask_storeu_ps(ret + 2 * LANES, wanted[2], _mm512_shuffle_f32x4(q0, q1, 0x88));
    _mm512_mask_storeu_ps(ret + 3 * LANES, wanted[3], _mm512_shuffle_f32x4(q0, q1, 0xdd));
}

static void filtering_collect_f32_avx512(const float *x, size_t step, size_t rows, size_t n,
                                         float add, float *ret, size_t row_step) {
    for (size_t i = 0; i < n; i += LINE_OUT * LANES) {
        size_t t = i / LINE_OUT;
        __mmask16 wanted[4], tiles = lanes_between(0, (n + LINE_OUT - 1) / LINE_OUT, t);
        for (size_t k = 0; k < 4; k++)
            wanted[k] = lanes_between(0, n, i + k * LANES);
        for (size_t row = 0; row < rows; row++)
            collect_tiles(x + row * LINE_OUT * step + t, step, tiles, _mm512_set1_ps(add), wanted,
                          ret + row * row_step + i);
    }
}

void filtering_fill_avx512(struct kernels *k) {
    k->filtering_in_f32 = each_in;
    k->filtering_weight_f32 = each_weight;
    k->filtering_out_f32 = each_out;
    k->filtering_deal_f32 = filtering_deal_f32_avx512;
    k->filtering_collect_f32 = filtering_collect_f32_avx512;
}
