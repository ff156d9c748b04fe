/*
 * Matrix products over any number of batches.
 *
 *   MatMul  a [..., m, k], b [..., k, n] → y [..., m, n]; batches broadcast; [k] is a row or column
 *           that vanishes again
 *   Gemm    a [m, k] or [k, m], b [k, n] or [n, k], c broadcast to [m, n] → y = alpha a b + beta c
 *
 * A batched product is a GEMM with a step per batch axis for each of its three matrices. Axes over
 * which one matrix is shared fold into a dimension of the product (the usual linear layer: all
 * batches and tokens are the rows of one GEMM; its weight's gradient: one long inner dimension);
 * what remains is the batches of gemm_run(), and a loop around it where even those do not lie
 * evenly or the result is summed over them.
 */
#include "compress/graph/op_matmul.h"
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/op.h"
#include "compress/graph/relate.h"
#include "compress/tensor/gemm.h"

#include <inttypes.h>
#include <string.h>

/* ---- batched products ---- */

/* Axes of size 1 vanish, neighbours that lie evenly in all three become one. */
static void coalesce(struct matmul_batched *p) {
    unsigned rank = 0;
    for (unsigned d = 0; d < p->rank; d++) {
        if (p->dims[d] == 1)
            continue;
        uint64_t size = p->dims[d];
        if (rank > 0 && p->a[rank - 1] == p->a[d] * size && p->b[rank - 1] == p->b[d] * size &&
            p->c[rank - 1] == p->c[d] * size) {
            p->dims[rank - 1] *= size;
        } else {
            p->dims[rank] = size;
            rank++;
        }
        p->a[rank - 1] = p->a[d];
        p->b[rank - 1] = p->b[d];
        p->c[rank - 1] = p->c[d];
    }
    p->rank = rank;
}

/* The innermost axis becomes more rows, or more of the inner dimension, where it can. */
static void fold(struct matmul_batched *p) {
    while (p->rank > 0) {
        unsigned d = p->rank - 1;
        struct gemm *g = &p->g;
        if (p->c[d] == g->m * g->ldc && p->b[d] == 0 && !g->a_transposed &&
            p->a[d] == g->m * g->lda)
            g->m *= p->dims[d];
        else if (p->c[d] == 0 && g->a_transposed && p->a[d] == g->k * g->lda && !g->b_transposed &&
                 p->b[d] == g->k * g->ldb)
            g->k *= p->dims[d];
        else
            return;
        p->rank--;
    }
}

int matmul_batched(const struct matmul_batched *product, struct team *team,
                   const struct progress *progress, struct err *err) {
    struct matmul_batched p = *product;
    for (unsigned d = 0; d < p.rank; d++)
        if (p.dims[d] == 0)
            return 0;
    coalesce(&p);
    fold(&p);
    if (p.rank > 0 && p.c[p.rank - 1] != 0) {
        p.rank--;
        p.g.batches = p.dims[p.rank];
        p.g.a_step = p.a[p.rank];
        p.g.b_step = p.b[p.rank];
        p.g.c_step = p.c[p.rank];
    }
    uint64_t count = 1;
    for (unsigned d = 0; d < p.rank; d++)
        count *= p.dims[d];
    for (uint64_t i = 0; i < count; i++) {
        struct gemm g = p.g;
        uint64_t rest = i;
        for (unsigned d = p.rank; d-- > 0; rest /= p.dims[d]) {
            size_t at = (size_t)(rest % p.dims[d]);
            g.a += at * p.a[d];
            g.b += at * p.b[d];
            g.c += at * p.c[d];
        }
        if (gemm_run(&g, team, progress, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- MatMul, and FusedMatMul: y = alpha op(a) op(b) ---- */

struct matmul {
    bool a_transposed, b_transposed;
    float alpha;
};

static const struct matmul plain = {.alpha = 1};

static const struct matmul *matmul_params(const struct node *node) {
    return node->params ? node->params : &plain;
}

static int fused_parse(const struct node *node, struct arena *arena, void **ret_params,
                       struct err *err) {
    if (node_int(node, "transBatchA", 0) || node_int(node, "transBatchB", 0))
        return err_set(err, ERR_UNSUPPORTED,
                       "transposed batches of FusedMatMul are not executable");
    struct matmul *params = ARENA_NEW(arena, struct matmul);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    params->a_transposed = node_int(node, "transA", 0) != 0;
    params->b_transposed = node_int(node, "transB", 0) != 0;
    params->alpha = node_float(node, "alpha", 1);
    *ret_params = params;
    return 0;
}

/* Last two axes of an operand as a matrix; the rest in ret_batch. A vector is a row (a) or a
 * column (b). */
static void split_type(const struct type *type, bool is_a, bool transposed,
                       struct dim ret_matrix[2], struct type *ret_batch) {
    *ret_batch = *type;
    if (type->rank == 1) {
        ret_batch->rank = 0;
        ret_matrix[is_a] = type->dims[0];
        ret_matrix[!is_a] = DIM(1);
        return;
    }
    ret_batch->rank = type->rank - 2;
    ret_matrix[transposed] = type->dims[type->rank - 2];
    ret_matrix[!transposed] = type->dims[type->rank - 1];
}

static int check_types(const struct node *node, const struct type *a, const struct type *b,
                       struct err *err) {
    if (a->dtype != DTYPE_NONE && b->dtype != DTYPE_NONE && a->dtype != b->dtype)
        return op_fail(node, err, "%s times %s", dtype_row(a->dtype)->name,
                       dtype_row(b->dtype)->name);
    switch (a->dtype) {
    case DTYPE_NONE:
    case DTYPE_I32:
    case DTYPE_I64:
    case DTYPE_U32:
    case DTYPE_U64:
        return 0;
    default:
        if (dtype_row(a->dtype)->is_float)
            return 0;
        return op_fail(node, err, "no products of %s", dtype_row(a->dtype)->name);
    }
}

static int check_inner(const struct node *node, struct dim a, struct dim b, struct err *err) {
    if (dim_known(a) && dim_known(b) && a.size != b.size)
        return op_fail(node, err, "inner sizes differ: %" PRId64 " and %" PRId64, a.size, b.size);
    return 0;
}

static int matmul_infer(struct op_infer *infer, struct err *err) {
    const struct type *a = &infer->in[0]->type, *b = &infer->in[1]->type;
    struct type *y = &infer->out[0].type;
    y->dtype = a->dtype != DTYPE_NONE ? a->dtype : b->dtype;
    if (check_types(infer->node, a, b, err) < 0)
        return -1;
    if (!a->ranked || !b->ranked)
        return 0;
    if (a->rank == 0 || b->rank == 0)
        return op_fail(infer->node, err, "a scalar is no matrix");
    const struct matmul *params = matmul_params(infer->node);
    struct type a_batch, b_batch;
    struct dim left[2], right[2];
    split_type(a, true, params->a_transposed, left, &a_batch);
    split_type(b, false, params->b_transposed, right, &b_batch);
    if (check_inner(infer->node, left[1], right[0], err) < 0 ||
        op_broadcast(infer, &a_batch, &b_batch, y, err) < 0)
        return -1;
    if (a->rank > 1)
        y->dims[y->rank++] = left[0];
    if (b->rank > 1)
        y->dims[y->rank++] = right[1];
    return 0;
}

/* Steps of an operand's batch axes, aligned at the end with those of the result. */
static void batch_steps(const struct array *x, unsigned rank, size_t *ret) {
    unsigned own = x->rank > 2 ? x->rank - 2 : 0;
    size_t step = x->rank >= 2 ? (size_t)(x->dims[x->rank - 1] * x->dims[x->rank - 2]) : 0;
    for (unsigned d = rank; d-- > 0;) {
        bool has = rank - d <= own;
        uint64_t size = has ? x->dims[own - (rank - d)] : 1;
        ret[d] = size == 1 ? 0 : step;
        step *= (size_t)size;
    }
}

/* y = op(a) op(b) as a batched product without data. */
static void matmul_shapes(const struct op_run *run, struct matmul_batched *ret) {
    const struct matmul *params = matmul_params(run->node);
    const struct array *a = run->in[0], *b = run->in[1], *y = run->out[0];
    *ret = (struct matmul_batched){0};
    struct gemm *g = &ret->g;
    g->a_transposed = params->a_transposed && a->rank > 1;
    g->b_transposed = params->b_transposed && b->rank > 1;
    size_t a_rows = a->rank == 1 ? 1 : (size_t)a->dims[a->rank - 2];
    size_t a_cols = (size_t)a->dims[a->rank - 1];
    size_t b_rows = b->rank == 1 ? (size_t)b->dims[0] : (size_t)b->dims[b->rank - 2];
    size_t b_cols = b->rank == 1 ? 1 : (size_t)b->dims[b->rank - 1];
    g->m = g->a_transposed ? a_cols : a_rows;
    g->k = g->a_transposed ? a_rows : a_cols;
    g->n = g->b_transposed ? b_rows : b_cols;
    g->alpha = params->alpha;
    g->lda = a_cols;
    g->ldb = b_cols;
    g->ldc = g->n;
    ret->rank = y->rank - (a->rank > 1) - (b->rank > 1);
    size_t step = g->m * g->n;
    for (unsigned d = ret->rank; d-- > 0;) {
        ret->dims[d] = y->dims[d];
        ret->c[d] = step;
        step *= (size_t)y->dims[d];
    }
    batch_steps(a, ret->rank, ret->a);
    batch_steps(b, ret->rank, ret->b);
}

static void store_int(const struct array *y, size_t i, uint64_t value) {
    if (array_item_bytes(y->dtype) == 8)
        ((uint64_t *)y->data)[i] = value;
    else
        ((uint32_t *)y->data)[i] = (uint32_t)value;
}

static uint64_t load_int(const struct array *x, size_t i) {
    return array_item_bytes(x->dtype) == 8 ? ((const uint64_t *)x->data)[i]
                                           : ((const uint32_t *)x->data)[i];
}

/* Integers wrap, so products of signed and unsigned ones are the same bits. Shape arithmetic and
 * the like: small. */
static void matmul_integers(const struct op_run *run, const struct matmul_batched *p) {
    const struct gemm *g = &p->g;
    const struct array *y = run->out[0];
    for (uint64_t i = 0; i < y->elements; i++) {
        size_t row = (size_t)(i / g->n) % g->m, col = (size_t)(i % g->n);
        size_t a = g->a_transposed ? row : row * g->lda, b = g->b_transposed ? col * g->ldb : col;
        uint64_t rest = i / g->n / g->m, sum = 0;
        for (unsigned d = p->rank; d-- > 0; rest /= p->dims[d]) {
            a += (size_t)(rest % p->dims[d]) * p->a[d];
            b += (size_t)(rest % p->dims[d]) * p->b[d];
        }
        for (size_t k = 0; k < g->k; k++)
            sum += load_int(run->in[0], a + k * (g->a_transposed ? g->lda : 1)) *
                   load_int(run->in[1], b + k * (g->b_transposed ? 1 : g->ldb));
        store_int(y, (size_t)i, sum);
    }
}

static int matmul_forward(const struct op_run *run, struct err *err) {
    struct matmul_batched p;
    matmul_shapes(run, &p);
    if (run->out[0]->elements == 0)
        return 0;
    if (run->out[0]->dtype != DTYPE_F32) {
        matmul_integers(run, &p);
        return 0;
    }
    p.g.a = array_real(run->in[0]);
    p.g.b = array_real(run->in[1]);
    p.g.c = array_real(run->out[0]);
    return matmul_batched(&p, run->team, run->progress, err);
}

/* The gradients of y = alpha op(a) op(b), for the matrices as they are stored, added to da, db. */
static void gradient_a(const struct gemm *y, struct gemm *ret) {
    *ret = (struct gemm){.alpha = y->alpha, .beta = 1, .ldc = y->lda};
    ret->a_transposed = y->a_transposed && y->b_transposed;
    ret->b_transposed = y->a_transposed || !y->b_transposed;
    ret->m = y->a_transposed ? y->k : y->m;
    ret->n = y->a_transposed ? y->m : y->k;
    ret->k = y->n;
    ret->lda = y->a_transposed ? y->ldb : y->ldc;
    ret->ldb = y->a_transposed ? y->ldc : y->ldb;
}

static void gradient_b(const struct gemm *y, struct gemm *ret) {
    *ret = (struct gemm){.alpha = y->alpha, .beta = 1, .ldc = y->ldb};
    ret->a_transposed = y->b_transposed || !y->a_transposed;
    ret->b_transposed = y->b_transposed && y->a_transposed;
    ret->m = y->b_transposed ? y->n : y->k;
    ret->n = y->b_transposed ? y->k : y->n;
    ret->k = y->m;
    ret->lda = y->b_transposed ? y->ldc : y->lda;
    ret->ldb = y->b_transposed ? y->lda : y->ldc;
}

int matmul_gradient_a(const struct matmul_batched *y, const real *b, const real *dy, real *da,
                      struct team *team, const struct progress *progress, struct err *err) {
    struct matmul_batched p = *y;
    bool swap = y->g.a_transposed; /* da is stored transposed: op(b) dy^T */
    gradient_a(&y->g, &p.g);
    p.g.a = swap ? b : dy;
    p.g.b = swap ? dy : b;
    p.g.c = da;
    memcpy(p.a, swap ? y->b : y->c, sizeof p.a);
    memcpy(p.b, swap ? y->c : y->b, sizeof p.b);
    memcpy(p.c, y->a, sizeof p.c);
    return matmul_batched(&p, team, progress, err);
}

int matmul_gradient_b(const struct matmul_batched *y, const real *a, const real *dy, real *db,
                      struct team *team, const struct progress *progress, struct err *err) {
    struct matmul_batched p = *y;
    bool swap = y->g.b_transposed; /* db is stored transposed: dy^T op(a) */
    gradient_b(&y->g, &p.g);
    p.g.a = swap ? dy : a;
    p.g.b = swap ? a : dy;
    p.g.c = db;
    memcpy(p.a, swap ? y->c : y->a, sizeof p.a);
    memcpy(p.b, swap ? y->a : y->c, sizeof p.b);
    memcpy(p.c, y->b, sizeof p.c);
    return matmul_batched(&p, team, progress, err);
}

static int matmul_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    struct matmul_batched p;
    matmul_shapes(run, &p);
    const real *dy = array_real(back->dout[0]);
    if (back->din[0] && matmul_gradient_a(&p, array_real(run->in[1]), dy, array_real(back->din[0]),
                                          run->team, run->progress, err) < 0)
        return -1;
    return back->din[1] ? matmul_gradient_b(&p, array_real(run->in[0]), dy,
                                            array_real(back->din[1]), run->team, run->progress, err)
                        : 0;
}

static uint64_t matmul_macs(const struct op_run *shapes) {
    struct matmul_batched p;
    matmul_shapes(shapes, &p);
    return shapes->out[0]->elements * p.g.k;
}

static int matmul_dims(struct relations *r, const struct op_run *shapes) {
    const struct matmul *params = matmul_params(shapes->node);
    return relate_matmul(r, 0, 1, params->a_transposed, params->b_transposed);
}

const struct op op_matmul = {
    .op_type = "MatMul",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .infer = matmul_infer,
    .forward = matmul_forward,
    .backward = matmul_backward,
    .macs = matmul_macs,
    .dims = matmul_dims,
    .tolerance = 1e-6,
    .doc = "product of matrices, over batches",
};

const struct op op_fused_matmul = {
    .op_type = "FusedMatMul",
    .domain = "com.microsoft",
    .min_version = 1,
    .max_version = 1,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = fused_parse,
    .infer = matmul_infer,
    .forward = matmul_forward,
    .backward = matmul_backward,
    .macs = matmul_macs,
    .dims = matmul_dims,
    .tolerance = 1e-6,
    .doc = "product of matrices that may be stored transposed, times a number",
};

/* ---- Gemm ---- */

struct gemm_params {
    bool a_transposed, b_transposed;
    float alpha, beta;
};

static int gemm_parse(const struct node *node, struct arena *arena, void **ret_params,
                      struct err *err) {
    struct gemm_params *params = ARENA_NEW(arena, struct gemm_params);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    params->a_transposed = node_int(node, "transA", 0) != 0;
    params->b_transposed = node_int(node, "transB", 0) != 0;
    params->alpha = node_float(node, "alpha", 1);
    params->beta = node_float(node, "beta", 1);
    *ret_params = params;
    return 0;
}

static int gemm_infer(struct op_infer *infer, struct err *err) {
    const struct gemm_params *params = infer->node->params;
    const struct type *a = &infer->in[0]->type, *b = &infer->in[1]->type;
    struct type *y = &infer->out[0].type;
    y->dtype = a->dtype != DTYPE_NONE ? a->dtype : b->dtype;
    if (check_types(infer->node, a, b, err) < 0)
        return -1;
    y->ranked = true; /* 2 whatever the inputs are */
    y->rank = 2;
    if ((a->ranked && a->rank != 2) || (b->ranked && b->rank != 2))
        return op_fail(infer->node, err, "inputs of rank %u and %u, not 2", a->ranked ? a->rank : 2,
                       b->ranked ? b->rank : 2);
    struct dim unknown = {-1, symbols_get(infer->symbols, NULL)};
    struct dim other = {-1, symbols_get(infer->symbols, NULL)};
    y->dims[0] = a->ranked ? a->dims[params->a_transposed] : unknown;
    y->dims[1] = b->ranked ? b->dims[!params->b_transposed] : other;
    if (a->ranked && b->ranked &&
        check_inner(infer->node, a->dims[!params->a_transposed], b->dims[params->b_transposed],
                    err) < 0)
        return -1;
    if (!node_has(infer->node, 2) || !infer->in[2]->type.ranked)
        return 0;
    const struct type *c = &infer->in[2]->type;
    struct type wide;
    if (c->rank > 2)
        return op_fail(infer->node, err, "a third input of rank %u, above 2", c->rank);
    if (op_broadcast(infer, y, c, &wide, err) < 0)
        return -1;
    for (unsigned d = 0; d < 2; d++)
        if (dim_known(y->dims[d]) && dim_known(wide.dims[d]) &&
            wide.dims[d].size != y->dims[d].size)
            return op_fail(infer->node, err,
                           "the third input does not broadcast: %" PRId64 " in axis %u, the result "
                           "has %" PRId64,
                           wide.dims[d].size, d, y->dims[d].size);
    return 0;
}

static void gemm_shapes(const struct op_run *run, struct matmul_batched *ret) {
    const struct gemm_params *params = run->node->params;
    const struct array *a = run->in[0], *b = run->in[1], *y = run->out[0];
    *ret = (struct matmul_batched){.g = {.a_transposed = params->a_transposed,
                                         .b_transposed = params->b_transposed,
                                         .m = (size_t)y->dims[0],
                                         .n = (size_t)y->dims[1],
                                         .k = (size_t)a->dims[!params->a_transposed],
                                         .alpha = params->alpha,
                                         .lda = (size_t)a->dims[1],
                                         .ldb = (size_t)b->dims[1],
                                         .ldc = (size_t)y->dims[1]}};
}

/* c [rows or 1, cols or 1] over y [m, n]. */
struct spread {
    const real *c;
    real *y;
    size_t m, n, row_step, col_step;
    size_t rows_a_tile, cols_a_tile;
    real beta;
};

enum { SPREAD_TILE = 16384, SUM_COLS = 128 };

static struct spread spread_of(const struct array *c, const struct array *y, float beta) {
    uint64_t cols = c->rank >= 1 ? c->dims[c->rank - 1] : 1;
    uint64_t rows = c->rank == 2 ? c->dims[0] : 1;
    size_t n = (size_t)y->dims[1];
    return (struct spread){.m = (size_t)y->dims[0],
                           .n = n,
                           .row_step = rows == 1 ? 0 : (size_t)cols,
                           .col_step = cols == 1 ? 0 : 1,
                           .rows_a_tile = n < SPREAD_TILE ? SPREAD_TILE / (n ? n : 1) : 1,
                           .cols_a_tile = SUM_COLS,
                           .beta = beta};
}

static int spread_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct spread *s = ctx;
    size_t end = (tile + 1) * s->rows_a_tile < s->m ? (tile + 1) * s->rows_a_tile : s->m;
    for (size_t row = tile * s->rows_a_tile; row < end; row++) {
        const real *c = s->c + row * s->row_step;
        real *y = s->y + row * s->n;
        if (s->col_step)
            for (size_t i = 0; i < s->n; i++)
                y[i] = s->beta * c[i];
        else
            for (size_t i = 0; i < s->n; i++)
                y[i] = s->beta * *c;
    }
    return 0;
}

static int gemm_forward(const struct op_run *run, struct err *err) {
    const struct gemm_params *params = run->node->params;
    if (run->out[0]->dtype != DTYPE_F32)
        return err_set(err, ERR_UNSUPPORTED, "Gemm of integers is not executable");
    struct matmul_batched p;
    gemm_shapes(run, &p);
    p.g.a = array_real(run->in[0]);
    p.g.b = array_real(run->in[1]);
    p.g.c = array_real(run->out[0]);
    if (node_has(run->node, 2)) {
        struct spread s = spread_of(run->in[2], run->out[0], params->beta);
        s.c = array_real(run->in[2]);
        s.y = array_real(run->out[0]);
        size_t tiles = s.n ? (s.m + s.rows_a_tile - 1) / s.rows_a_tile : 0;
        if (loop_run(run->team, run->progress, tiles, spread_tile, &s, err) < 0)
            return -1;
        p.g.beta = 1;
    }
    return gemm_run(&p.g, run->team, run->progress, err);
}

/* One tile is SUM_COLS columns of dy, all rows: dc = beta times the sum over what c was spread
 * over. Sums over rows are kept in double: rows are the batch, and may be many. */
static int spread_back_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct spread *s = ctx;
    size_t col0 = tile * SUM_COLS, cols = s->n - col0 < SUM_COLS ? s->n - col0 : SUM_COLS;
    real *dc = s->y + col0;
    const real *dy = s->c + col0;
    if (s->row_step) {
        for (size_t row = 0; row < s->m; row++)
            for (size_t i = 0; i < cols; i++)
                dc[row * s->n + i] += s->beta * dy[row * s->n + i];
        return 0;
    }
    double sums[SUM_COLS] = {0};
    for (size_t row = 0; row < s->m; row++)
        for (size_t i = 0; i < cols; i++)
            sums[i] += dy[row * s->n + i];
    for (size_t i = 0; i < cols; i++)
        dc[i] += (real)(s->beta * sums[i]);
    return 0;
}

static int spread_back(struct spread *s, struct team *team, const struct progress *progress,
                       struct err *err) {
    if (s->col_step)
        return loop_run(team, progress, (s->n + SUM_COLS - 1) / SUM_COLS, spread_back_tile, s, err);
    /* A number per row, or one for all: rare, and cheap beside the products. */
    double all = 0;
    for (size_t row = 0; row < s->m; row++) {
        double sum = 0;
        for (size_t i = 0; i < s->n; i++)
            sum += s->c[row * s->n + i];
        if (s->row_step)
            s->y[row] += (real)(s->beta * sum);
        all += sum;
    }
    if (!s->row_step)
        *s->y += (real)(s->beta * all);
    return 0;
}

static int gemm_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    const struct gemm_params *params = run->node->params;
    const real *dy = array_real(back->dout[0]);
    struct matmul_batched p;
    gemm_shapes(run, &p);
    if (back->din[0] && matmul_gradient_a(&p, array_real(run->in[1]), dy, array_real(back->din[0]),
                                          run->team, run->progress, err) < 0)
        return -1;
    if (back->din[1] && matmul_gradient_b(&p, array_real(run->in[0]), dy, array_real(back->din[1]),
                                          run->team, run->progress, err) < 0)
        return -1;
    if (run->node->in_count < 3 || !back->din[2])
        return 0;
    struct spread s = spread_of(back->din[2], back->dout[0], params->beta);
    s.c = dy;
    s.y = array_real(back->din[2]);
    return spread_back(&s, run->team, run->progress, err);
}

static uint64_t gemm_macs(const struct op_run *shapes) {
    struct matmul_batched p;
    gemm_shapes(shapes, &p);
    return (uint64_t)p.g.m * p.g.n * p.g.k;
}

static int gemm_dims(struct relations *r, const struct op_run *shapes) {
    const struct gemm_params *params = shapes->node->params;
    if (relate_matmul(r, 0, 1, params->a_transposed, params->b_transposed) < 0)
        return -1;
    const struct array *c = node_has(shapes->node, 2) ? shapes->in[2] : NULL;
    for (unsigned d = 0; c && d < c->rank; d++)
        if (relate_same_or_one(r, AXIS_IN(2, d), AXIS_OUT(0, 2 - c->rank + d)) < 0)
            return -1;
    return 0;
}

const struct op op_gemm = {
    .op_type = "Gemm",
    .domain = "",
    .min_version = 7,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = gemm_parse,
    .infer = gemm_infer,
    .forward = gemm_forward,
    .backward = gemm_backward,
    .macs = gemm_macs,
    .dims = gemm_dims,
    .tolerance = 1e-6,
    .doc = "alpha a b + beta c of plain matrices, each stored either way",
};
