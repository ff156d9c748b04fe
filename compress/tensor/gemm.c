/*
 * Products on the team. See gemm.h.
 *
 * How C is cut. Every tile is one call of single-threaded OpenBLAS, which packs its own copy of A's
 * rows and B's columns: (m k + k n) copied for m n k multiplied, so tiles must be wide both ways,
 * and yet there must be several for each thread, of one size, so that nobody waits for a last one.
 * Of the ways to cut that give tiles of a sensible size, the one is taken that four threads would
 * end first with, copying and the kernel's rounding up of edges included. (Four, whatever the team:
 * what is good for four is good for one and two, and the tiles must not depend on it.) Small
 * products of a batch are taken several at a time.
 *
 * A product with one row or one column is a gemv; OpenBLAS's gemm is up to four times slower there.
 */
#include "compress/tensor/gemm.h"

#include "compress/base/loop.h"
#include "compress/base/size.h"
#include "compress/tensor/blas.h"

#include <assert.h>
#include <cblas.h>
#include <limits.h>
#include <stdint.h>

#ifdef REAL_IS_DOUBLE
#define BLAS_GEMM cblas_dgemm
#define BLAS_GEMV cblas_dgemv
#else
#define BLAS_GEMM cblas_sgemm
#define BLAS_GEMV cblas_sgemv
#endif

/* Measured on one core (Zen 5, OpenBLAS 0.3.21, SkylakeX kernels): see the table of
 * tests/bench/bench_ops.c. A tile of 2^19 multiply-adds takes about 5 us, ten times what handing it
 * out costs; copying a number of A costs what six multiply-adds do, one of B (which is read across
 * its rows, and seldom lies in the L2 cache) what sixteen do. Units are those of the kernel's
 * register block, so that only last pieces have edges. */
enum {
    TILE_ROWS = 384,
    ROW_UNIT = 8,
    COL_UNIT = 16,
    TILE_COLS_LEAST = 48,
    MOST_ROW_TILES = 8, /* beyond those that TILE_ROWS asks for */
    PACKING_A = 6,
    PACKING_B = 16,
    WORKERS = 4,
    GEMV_LEAST = 64,
    GEMV_ELEMENTS = 1 << 16, /* of the matrix: 256 KiB read */
};
#define TILE_MACS ((size_t)3 << 23)
#define TILE_MACS_LEAST ((size_t)1 << 19)
#define BATCH_MACS ((size_t)1 << 22)

struct grid {
    const struct gemm *g;
    size_t rows, cols;              /* of a tile */
    size_t row_tiles, col_tiles;    /* of one product */
    size_t batches, batches_a_tile; /* the latter is 1 unless a product is one tile */
};

/* The length of equal pieces of at most about `most`, a multiple of unit. */
static size_t piece_len(size_t len, size_t most, size_t unit) {
    size_t count = size_pieces(len, most);
    return count <= 1 ? len : size_pieces(size_pieces(len, count), unit) * unit;
}

static void cut_vector(const struct gemm *g, struct grid *ret) {
    size_t len = g->m == 1 ? g->n : g->m;
    size_t most = GEMV_ELEMENTS / (g->k ? g->k : 1);
    size_t piece = piece_len(len, most < GEMV_LEAST ? GEMV_LEAST : most, GEMV_LEAST);
    ret->rows = g->m == 1 ? 1 : piece;
    ret->cols = g->m == 1 ? piece : 1;
}

/* What WORKERS need for it, in multiply-adds by k. */
static size_t makespan(const struct gemm *g, size_t rows, size_t cols) {
    size_t tiles = size_pieces(g->m, rows) * size_pieces(g->n, cols);
    size_t computed =
        size_pieces(rows, ROW_UNIT) * ROW_UNIT * (size_pieces(cols, COL_UNIT) * COL_UNIT);
    return size_pieces(tiles, WORKERS) * (computed + PACKING_A * rows + PACKING_B * cols);
}

static void cut_matrix(const struct gemm *g, struct grid *ret) {
    size_t k = g->k ? g->k : 1, least_rows = size_pieces(g->m, TILE_ROWS), best = SIZE_MAX;
    for (size_t r = least_rows; r < least_rows + MOST_ROW_TILES; r++) {
        size_t rows = piece_len(g->m, size_pieces(g->m, r), ROW_UNIT);
        size_t few = size_pieces(g->n, TILE_MACS / rows / k + 1);
        size_t many = rows * g->n * k / TILE_MACS_LEAST;
        if (rows * g->n * k < TILE_MACS_LEAST && r > least_rows)
            break;
        many = size_min(many, size_pieces(g->n, TILE_COLS_LEAST));
        for (size_t c = few; c == few || (c <= many && c < few + 2 * WORKERS); c++) {
            size_t cols = piece_len(g->n, size_pieces(g->n, c), COL_UNIT);
            size_t cost = makespan(g, rows, cols);
            if (cost >= best)
                continue;
            best = cost;
            ret->rows = rows;
            ret->cols = cols;
        }
    }
}

static void cut(const struct gemm *g, struct grid *ret) {
    *ret = (struct grid){.g = g, .batches = g->batches ? g->batches : 1, .batches_a_tile = 1};
    size_t macs = g->m * g->n * (g->k ? g->k : 1);
    if (g->m == 1 || g->n == 1) {
        cut_vector(g, ret);
    } else if (ret->batches >= WORKERS && macs <= TILE_MACS) {
        ret->rows = g->m;
        ret->cols = g->n;
    } else {
        cut_matrix(g, ret);
    }
    assert(ret->rows && ret->cols);
    ret->row_tiles = size_pieces(g->m, ret->rows);
    ret->col_tiles = size_pieces(g->n, ret->cols);
    if (ret->row_tiles * ret->col_tiles == 1)
        ret->batches_a_tile = macs >= BATCH_MACS ? 1 : BATCH_MACS / macs;
}

static void gemv(const struct gemm *g, bool one_row) {
    /* y = alpha op(M) x + y, M the matrix that is no vector. */
    size_t len = one_row ? g->n : g->m;
    const real *matrix = one_row ? g->b : g->a, *x = one_row ? g->a : g->b;
    size_t ld = one_row ? g->ldb : g->lda;
    size_t x_step = one_row ? (g->a_transposed ? g->lda : 1) : (g->b_transposed ? 1 : g->ldb);
    size_t y_step = one_row ? 1 : g->ldc;
    /* As stored: M for a row vector is B, read down its columns. */
    bool transposed = one_row ? !g->b_transposed : g->a_transposed;
    /* Scaling y is ours: whether 0 * NaN is 0 there differs between versions of OpenBLAS. */
    if (g->beta != 1)
        for (size_t i = 0; i < len; i++)
            g->c[i * y_step] = g->beta == 0 ? 0 : g->beta * g->c[i * y_step];
    size_t rows = transposed ? g->k : len, cols = transposed ? len : g->k;
    BLAS_GEMV(CblasRowMajor, transposed ? CblasTrans : CblasNoTrans, (int)rows, (int)cols, g->alpha,
              matrix, (int)ld, x, (int)x_step, 1, g->c, (int)y_step);
}

static void add_bias(const struct gemm *g) {
    for (size_t i = 0; i < g->m; i++)
        if (g->n == 1)
            g->c[i * g->ldc] += g->row_bias[i];
        else
            vmath_add_scalar(g->c + i * g->ldc, g->row_bias[i], g->n, g->c + i * g->ldc);
}

void gemm_tile(const struct gemm *g) {
    blas_facts(); /* sets BLAS to one thread: tiles are the team's */
    assert(g->batches <= 1 && g->m <= INT_MAX && g->n <= INT_MAX && g->k <= INT_MAX);
    assert(g->lda <= INT_MAX && g->ldb <= INT_MAX && g->ldc <= INT_MAX);
    if (g->m == 0 || g->n == 0)
        return;
    if (g->k == 0) {
        for (size_t i = 0; i < g->m; i++)
            for (size_t j = 0; j < g->n; j++)
                g->c[i * g->ldc + j] = g->beta == 0 ? 0 : g->beta * g->c[i * g->ldc + j];
    } else if (g->m == 1 || g->n == 1) {
        gemv(g, g->m == 1);
    } else {
        BLAS_GEMM(CblasRowMajor, g->a_transposed ? CblasTrans : CblasNoTrans,
                  g->b_transposed ? CblasTrans : CblasNoTrans, (int)g->m, (int)g->n, (int)g->k,
                  g->alpha, g->a, (int)g->lda, g->b, (int)g->ldb, g->beta, g->c, (int)g->ldc);
    }
    if (g->row_bias)
        add_bias(g);
    for (size_t i = 0; g->clamp && i < g->m; i++)
        vmath_clamp(g->c + i * g->ldc, *g->clamp, g->n, g->c + i * g->ldc);
}

static int run_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct grid *grid = ctx;
    const struct gemm *g = grid->g;
    size_t col_tile = index % grid->col_tiles;
    size_t row_tile = index / grid->col_tiles % grid->row_tiles;
    size_t first = index / grid->col_tiles / grid->row_tiles * grid->batches_a_tile;
    size_t last = size_min(first + grid->batches_a_tile, grid->batches);
    size_t row0 = row_tile * grid->rows, col0 = col_tile * grid->cols;
    struct gemm tile = *g;
    tile.batches = 1;
    tile.m = size_min(grid->rows, g->m - row0);
    tile.n = size_min(grid->cols, g->n - col0);
    tile.row_bias = g->row_bias ? g->row_bias + row0 : NULL;
    for (size_t i = first; i < last; i++) {
        tile.a = g->a + i * g->a_step + (g->a_transposed ? row0 : row0 * g->lda);
        tile.b = g->b + i * g->b_step + (g->b_transposed ? col0 * g->ldb : col0);
        tile.c = g->c + i * g->c_step + row0 * g->ldc + col0;
        gemm_tile(&tile);
    }
    return 0;
}

int gemm_check(size_t k, size_t lda, size_t ldb, size_t ldc, struct err *err) {
    if (k > INT_MAX || lda > INT_MAX || ldb > INT_MAX || ldc > INT_MAX)
        return err_set(
            err, ERR_TOO_LARGE,
            "a matrix product with rows of %zu, %zu and %zu numbers and an inner size of "
            "%zu is more than BLAS can take (%d)",
            lda, ldb, ldc, k, INT_MAX);
    blas_facts();
    return 0;
}

int gemm_run(const struct gemm *g, struct team *team, const struct progress *progress,
             struct err *err) {
    if (gemm_check(g->k, g->lda, g->ldb, g->ldc, err) < 0)
        return -1;
    if (g->m == 0 || g->n == 0)
        return 0;
    struct grid grid;
    cut(g, &grid);
    size_t count = grid.row_tiles * grid.col_tiles * size_pieces(grid.batches, grid.batches_a_tile);
    return loop_run(team, progress, count, run_tile, &grid, err);
}
