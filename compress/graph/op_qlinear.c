/*
 * Quantized products.
 *
 *   MatMulInteger(A [...,M,K], B [...,K,N], a_zero?, b_zero?) → i32 [...,M,N]
 *   QLinearMatMul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero) → y [...,M,N]
 *     zero points and scales of A: one, or one per row; of B: one, or one per column
 *   ConvInteger(x [n,c,...], w [m,c/group,...], x_zero?, w_zero?) → i32 [n,m,...]
 *   QLinearConv(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias i32 [m]?) → y
 *     scale and zero point of w: one, or one per output channel m
 *
 * 8-bit products are exact, and yet made of floats: numbers less their zero point are whole and at
 * most 255 in magnitude, so 256 products of them sum up to less than 2^24 and every partial sum, in
 * whatever order, is a whole number that f32 holds. K is cut into such runs; the sums of runs are
 * added as i32 (which wraps, as the specification has it). A convolution is the same with windows
 * for columns; what lies in the padding is the zero point, that is 0.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/content.h"
#include "compress/graph/op.h"
#include "compress/graph/relate.h"
#include "compress/graph/window.h"
#include "compress/tensor/gemm.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* A tile of the product, and the run of K whose sums are exact. */
enum { TILE_ROWS = 128, TILE_COLUMNS = 128, RUN = 256 };
_Static_assert(RUN * 255 * 255 < 1 << 24, "sums of a run must be exact in f32");

static const struct array *input(const struct op_run *run, size_t slot) {
    return slot < run->node->in_count ? run->in[slot] : NULL;
}

static const struct type *type_at(const struct op_infer *infer, size_t slot) {
    return slot < infer->node->in_count && infer->in[slot] ? &infer->in[slot]->type : NULL;
}

static bool differ(struct dim a, struct dim b) {
    return dim_known(a) && dim_known(b) && a.size != b.size;
}

/* ---- exact products of small integers ---- */

/* Whole numbers of 8 bits, less their zero points. */
struct operand {
    const void *data;
    bool is_signed;
    const struct array *zero_point; /* NULL: 0; one for all, or one per row or column */
};

static struct operand operand_of(const struct array *data, const struct array *zero_point) {
    return (struct operand){data->data, data->dtype == DTYPE_I8, zero_point};
}

static int zero_point_at(const struct operand *x, size_t i) {
    if (!x->zero_point)
        return 0;
    return (int)array_int(x->zero_point, x->zero_point->elements == 1 ? 0 : i);
}

/* Elements [first, first + count) less the zero point. */
static void widen(const struct operand *x, size_t first, size_t count, int zero_point, real *ret) {
    if (x->is_signed) {
        const int8_t *from = (const int8_t *)x->data + first;
        for (size_t i = 0; i < count; i++)
            ret[i] = (real)(from[i] - zero_point);
    } else {
        const uint8_t *from = (const uint8_t *)x->data + first;
        for (size_t i = 0; i < count; i++)
            ret[i] = (real)(from[i] - zero_point);
    }
}

/* A product [M,K] [K,N] whose columns may be made on the way. */
struct integer_product {
    size_t m, n, k;
    struct operand a; /* rows of K, `a_first` elements into the data */
    size_t a_first, a_zero_first;
    /* Rows [k0, k0 + rows) of columns [n0, n0 + columns) of B, TILE_COLUMNS apart. */
    void (*columns)(const void *self, size_t k0, size_t rows, size_t n0, size_t columns, real *ret);
    const void *self;
};

struct tile {
    size_t m0, rows, n0, columns;
};

static size_t tiles_along(size_t n, size_t per_tile) {
    return (n + per_tile - 1) / per_tile;
}

static struct tile tile_at(const struct integer_product *p, size_t index) {
    size_t across = tiles_along(p->n, TILE_COLUMNS);
    struct tile t = {.m0 = index / across * TILE_ROWS, .n0 = index % across * TILE_COLUMNS};
    t.rows = p->m - t.m0 < TILE_ROWS ? p->m - t.m0 : TILE_ROWS;
    t.columns = p->n - t.n0 < TILE_COLUMNS ? p->n - t.n0 : TILE_COLUMNS;
    return t;
}

static size_t product_tiles(const struct integer_product *p) {
    return tiles_along(p->m, TILE_ROWS) * tiles_along(p->n, TILE_COLUMNS);
}

/* What a worker needs for a tile; sums are TILE_COLUMNS apart. */
struct workbench {
    real a[TILE_ROWS * RUN], b[RUN * TILE_COLUMNS], c[TILE_ROWS * TILE_COLUMNS];
    int32_t sums[TILE_ROWS * TILE_COLUMNS];
};

static uint64_t workbench_bytes(unsigned threads) {
    return threads * (uint64_t)sizeof(struct workbench);
}

static void integer_tile(const struct integer_product *p, const struct tile *t,
                         struct workbench *bench) {
    memset(bench->sums, 0, sizeof bench->sums);
    for (size_t k0 = 0; k0 < p->k; k0 += RUN) {
        size_t run = p->k - k0 < RUN ? p->k - k0 : RUN;
        for (size_t r = 0; r < t->rows; r++)
            widen(&p->a, p->a_first + (t->m0 + r) * p->k + k0, run,
                  zero_point_at(&p->a, p->a_zero_first + t->m0 + r), bench->a + r * RUN);
        p->columns(p->self, k0, run, t->n0, t->columns, bench->b);
        gemm_tile(&(struct gemm){.m = t->rows,
                                 .n = t->columns,
                                 .k = run,
                                 .alpha = 1,
                                 .a = bench->a,
                                 .lda = RUN,
                                 .b = bench->b,
                                 .ldb = TILE_COLUMNS,
                                 .c = bench->c,
                                 .ldc = TILE_COLUMNS});
        for (size_t r = 0; r < t->rows; r++)
            for (size_t c = 0; c < t->columns; c++) {
                size_t at = r * TILE_COLUMNS + c;
                bench->sums[at] =
                    (int32_t)((uint32_t)bench->sums[at] + (uint32_t)(int32_t)bench->c[at]);
            }
    }
}

/* ---- back to 8 bits ---- */

/* Sums times scale, rounded to even, moved by the zero point. */
struct requantize {
    const struct array *a_scale, *b_scale; /* one, or one per row or column */
    real y_scale;
    int zero_point;
    bool is_signed;
};

static real scale_at(const struct array *scale, size_t i) {
    return array_real(scale)[scale->elements == 1 ? 0 : i];
}

static uint8_t requantized(const struct requantize *q, int32_t sum, size_t row, size_t column) {
    real scale = scale_at(q->a_scale, row) * scale_at(q->b_scale, column) / q->y_scale;
    double low = q->is_signed ? -128 : 0, high = q->is_signed ? 127 : 255;
    double y = nearbyint((double)((real)sum * scale)) + q->zero_point;
    y = y >= low ? y : low; /* NaN too */
    y = y <= high ? y : high;
    return (uint8_t)(int)y;
}

static int check_8bit(struct op_infer *infer, size_t slot, const char *what, struct err *err) {
    const struct type *type = type_at(infer, slot);
    if (type && type->dtype != DTYPE_NONE && type->dtype != DTYPE_U8 && type->dtype != DTYPE_I8)
        return op_fail(infer->node, err, "%s of %s, not of 8 bits", what,
                       dtype_row(type->dtype)->name);
    return 0;
}

/* One element, or `count` of them along one axis; 8 bits like the values, or a float. */
static int check_per(struct op_infer *infer, size_t slot, struct dim count, const char *what,
                     struct err *err) {
    const struct type *type = type_at(infer, slot);
    if (!type || !type->ranked)
        return 0;
    uint64_t elements = 1;
    for (unsigned d = 0; d < type->rank; d++) {
        if (!dim_known(type->dims[d]))
            return 0;
        elements *= (uint64_t)type->dims[d].size;
    }
    if (elements != 1 && dim_known(count) && elements != (uint64_t)count.size)
        return op_fail(infer->node, err, "%" PRIu64 " of %s for %" PRId64, elements, what,
                       count.size);
    return 0;
}

static int check_one(struct op_infer *infer, size_t slot, const char *what, struct err *err) {
    return check_per(infer, slot, DIM(1), what, err);
}

static int check_zero_type(struct op_infer *infer, size_t value, size_t zero, struct err *err) {
    const struct type *x = type_at(infer, value), *z = type_at(infer, zero);
    if (z && x->dtype != DTYPE_NONE && z->dtype != DTYPE_NONE && x->dtype != z->dtype)
        return op_fail(infer->node, err, "values are %s, their zero point %s",
                       dtype_row(x->dtype)->name, dtype_row(z->dtype)->name);
    return 0;
}

/* ---- MatMulInteger, QLinearMatMul ---- */

/* Where inputs stand: QLinearMatMul has scales between. */
struct slots {
    size_t a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero;
};

static const struct slots plain_slots = {.a_zero = 2, .b = 1, .b_zero = 3};
static const struct slots linear_slots = {1, 2, 3, 4, 5, 6, 7};

/* [...,M,K] [...,K,N] → [...,M,N], as MatMul: vectors stand for a row or a column. */
static int matmul_type(struct op_infer *infer, const struct type *a, const struct type *b,
                       struct type *ret, struct err *err) {
    ret->ranked = false;
    if (!a->ranked || !b->ranked)
        return 0;
    if (a->rank == 0 || b->rank == 0)
        return op_fail(infer->node, err, "a scalar is no matrix");
    struct dim inner = b->dims[b->rank == 1 ? 0 : b->rank - 2];
    if (differ(a->dims[a->rank - 1], inner))
        return op_fail(infer->node, err, "%" PRId64 " columns times %" PRId64 " rows",
                       a->dims[a->rank - 1].size, inner.size);
    struct type a_batch = *a, b_batch = *b;
    a_batch.rank = a->rank > 2 ? a->rank - 2 : 0;
    b_batch.rank = b->rank > 2 ? b->rank - 2 : 0;
    if (op_broadcast(infer, &a_batch, &b_batch, ret, err) < 0)
        return -1;
    if (a->rank > 1)
        ret->dims[ret->rank++] = a->dims[a->rank - 2];
    if (b->rank > 1)
        ret->dims[ret->rank++] = b->dims[b->rank - 1];
    return 0;
}

static int check_operands(struct op_infer *infer, const struct slots *slots, struct err *err) {
    const struct type *a = &infer->in[0]->type, *b = &infer->in[slots->b]->type;
    struct dim unknown = {-1, 1};
    struct dim rows = a->ranked ? (a->rank > 1 ? a->dims[a->rank - 2] : DIM(1)) : unknown;
    struct dim columns = b->ranked ? (b->rank > 1 ? b->dims[b->rank - 1] : DIM(1)) : unknown;
    if (check_8bit(infer, 0, "A", err) < 0 || check_8bit(infer, slots->b, "B", err) < 0 ||
        check_zero_type(infer, 0, slots->a_zero, err) < 0 ||
        check_zero_type(infer, slots->b, slots->b_zero, err) < 0 ||
        check_per(infer, slots->a_zero, rows, "A's zero points", err) < 0 ||
        check_per(infer, slots->b_zero, columns, "B's zero points", err) < 0)
        return -1;
    if (!slots->y_scale)
        return 0;
    if (check_per(infer, slots->a_scale, rows, "A's scales", err) < 0 ||
        check_per(infer, slots->b_scale, columns, "B's scales", err) < 0 ||
        check_one(infer, slots->y_scale, "the output's scales", err) < 0 ||
        check_one(infer, slots->y_zero, "the output's zero points", err) < 0)
        return -1;
    return check_8bit(infer, slots->y_zero, "the output's zero point", err);
}

static int matmul_integer_infer(struct op_infer *infer, struct err *err) {
    infer->out[0].type.dtype = DTYPE_I32;
    if (check_operands(infer, &plain_slots, err) < 0)
        return -1;
    return matmul_type(infer, &infer->in[0]->type, &infer->in[1]->type, &infer->out[0].type, err);
}

static int qlinear_matmul_infer(struct op_infer *infer, struct err *err) {
    infer->out[0].type.dtype = infer->in[7]->type.dtype;
    if (check_operands(infer, &linear_slots, err) < 0)
        return -1;
    return matmul_type(infer, &infer->in[0]->type, &infer->in[3]->type, &infer->out[0].type, err);
}

struct matmul_job {
    size_t m, n, k;
    const struct array *a, *b, *y;
    struct operand left, right;
    const struct requantize *requantize; /* NULL: sums as they are */
    struct workbench *bench;
};

/* The columns of one of B's matrices. */
struct matmul_columns {
    const struct operand *b;
    size_t first, n;
};

static void matmul_columns(const void *self, size_t k0, size_t rows, size_t n0, size_t columns,
                           real *ret) {
    const struct matmul_columns *b = self;
    bool one = !b->b->zero_point || b->b->zero_point->elements == 1;
    for (size_t r = 0; r < rows; r++) {
        real *to = ret + r * TILE_COLUMNS;
        widen(b->b, b->first + (k0 + r) * b->n + n0, columns, one ? zero_point_at(b->b, 0) : 0, to);
        for (size_t c = 0; !one && c < columns; c++)
            to[c] -= (real)zero_point_at(b->b, n0 + c);
    }
}

/* Which matrix of x (rank - 2 batch axes) goes into batch `index` of y. */
static size_t batch_of(const struct array *y, unsigned y_batch, const struct array *x,
                       size_t index) {
    unsigned x_batch = x->rank > 2 ? x->rank - 2 : 0;
    size_t at = 0, step = 1;
    for (unsigned d = 0; d < y_batch; d++) {
        size_t coordinate = index % (size_t)y->dims[y_batch - 1 - d];
        index /= (size_t)y->dims[y_batch - 1 - d];
        if (d >= x_batch)
            continue;
        size_t dim = (size_t)x->dims[x_batch - 1 - d];
        at += (dim == 1 ? 0 : coordinate) * step;
        step *= dim;
    }
    return at;
}

static struct matmul_job matmul_job(const struct op_run *run, const struct slots *slots) {
    const struct array *a = run->in[0], *b = run->in[slots->b];
    struct matmul_job job = {.a = a, .b = b, .y = run->out[0], .bench = run->scratch};
    job.k = (size_t)a->dims[a->rank - 1];
    job.m = a->rank > 1 ? (size_t)a->dims[a->rank - 2] : 1;
    job.n = b->rank > 1 ? (size_t)b->dims[b->rank - 1] : 1;
    job.left = operand_of(a, input(run, slots->a_zero));
    job.right = operand_of(b, input(run, slots->b_zero));
    return job;
}

static unsigned matmul_batch_axes(const struct matmul_job *job) {
    return job->y->rank - (job->a->rank > 1) - (job->b->rank > 1);
}

static int matmul_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct matmul_job *job = ctx;
    struct integer_product p = {.m = job->m, .n = job->n, .k = job->k, .a = job->left};
    size_t per_batch = product_tiles(&p), batch = index / per_batch;
    unsigned axes = matmul_batch_axes(job);
    struct tile t = tile_at(&p, index % per_batch);
    struct workbench *bench = &job->bench[worker];
    struct matmul_columns columns = {
        &job->right, batch_of(job->y, axes, job->b, batch) * job->k * job->n, job->n};
    p.a_first = batch_of(job->y, axes, job->a, batch) * job->m * job->k;
    p.columns = matmul_columns;
    p.self = &columns;
    integer_tile(&p, &t, bench);
    for (size_t r = 0; r < t.rows; r++) {
        const int32_t *sums = bench->sums + r * TILE_COLUMNS;
        size_t to = (batch * job->m + t.m0 + r) * job->n + t.n0;
        if (!job->requantize)
            memcpy((int32_t *)job->y->data + to, sums, t.columns * sizeof *sums);
        for (size_t c = 0; job->requantize && c < t.columns; c++)
            ((uint8_t *)job->y->data)[to + c] =
                requantized(job->requantize, sums[c], t.m0 + r, t.n0 + c);
    }
    return 0;
}

static int matmul_run(const struct op_run *run, struct matmul_job *job, struct err *err) {
    struct integer_product p = {.m = job->m, .n = job->n};
    size_t batches = 1;
    for (unsigned d = 0; d < matmul_batch_axes(job); d++)
        batches *= (size_t)job->y->dims[d];
    return loop_run(run->team, run->progress, batches * product_tiles(&p), matmul_tile, job, err);
}

static int matmul_integer_forward(const struct op_run *run, struct err *err) {
    struct matmul_job job = matmul_job(run, &plain_slots);
    return matmul_run(run, &job, err);
}

static int qlinear_matmul_forward(const struct op_run *run, struct err *err) {
    struct matmul_job job = matmul_job(run, &linear_slots);
    struct requantize requantize = {.a_scale = run->in[1],
                                    .b_scale = run->in[4],
                                    .y_scale = array_real(run->in[6])[0],
                                    .zero_point = (int)array_int(run->in[7], 0),
                                    .is_signed = run->out[0]->dtype == DTYPE_I8};
    job.requantize = &requantize;
    return matmul_run(run, &job, err);
}

static uint64_t integer_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    return workbench_bytes(threads);
}

static uint64_t matmul_macs(const struct op_run *shapes) {
    const struct array *a = shapes->in[0];
    return shapes->out[0]->elements * a->dims[a->rank - 1];
}

/* Zero points and scales, one or one each, of rows or columns of the product. */
static int matmul_sides(struct relations *r, unsigned a, unsigned b, const unsigned *of_a,
                        const unsigned *of_b, size_t count) {
    const struct array *left = r->shapes->in[a], *right = r->shapes->in[b];
    if (relate_matmul(r, a, b, false, false) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if ((left->rank < 2
                 ? relate_fixed_from(r, AXIS_IN(of_a[i], 0))
                 : relate_same_or_one(r, AXIS_IN(of_a[i], 0), AXIS_IN(a, left->rank - 2))) < 0 ||
            (right->rank < 2
                 ? relate_fixed_from(r, AXIS_IN(of_b[i], 0))
                 : relate_same_or_one(r, AXIS_IN(of_b[i], 0), AXIS_IN(b, right->rank - 1))) < 0)
            return -1;
    }
    return 0;
}

static int matmul_integer_dims(struct relations *r, const struct op_run *shapes) {
    return matmul_sides(r, 0, 1, (const unsigned[]){2}, (const unsigned[]){3}, 1);
}

const struct op op_matmul_integer = {
    .op_type = "MatMulInteger",
    .domain = "",
    .min_version = 10,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .infer = matmul_integer_infer,
    .forward = matmul_integer_forward,
    .scratch = integer_scratch,
    .macs = matmul_macs,
    .dims = matmul_integer_dims,
    .doc = "matrix product of 8-bit integers, in 32 bits",
};

static int qlinear_matmul_dims(struct relations *r, const struct op_run *shapes) {
    if (relate_fixed_from(r, AXIS_IN(6, 0)) < 0 || relate_fixed_from(r, AXIS_IN(7, 0)) < 0)
        return -1;
    return matmul_sides(r, 0, 3, (const unsigned[]){1, 2}, (const unsigned[]){4, 5}, 2);
}

const struct op op_qlinear_matmul = {
    .op_type = "QLinearMatMul",
    .domain = "",
    .min_version = 10,
    .max_version = OP_ONNX_VERSION,
    .min_in = 8,
    .max_in = 8,
    .min_out = 1,
    .max_out = 1,
    .infer = qlinear_matmul_infer,
    .forward = qlinear_matmul_forward,
    .scratch = integer_scratch,
    .macs = matmul_macs,
    .dims = qlinear_matmul_dims,
    .doc = "matrix product of quantized values, quantized",
};

/* ---- ConvInteger, QLinearConv ---- */

struct qconv_params {
    struct window window;
    uint64_t groups;
    size_t w, x_zero, w_zero, bias; /* slots; x is 0 */
};

struct qconv_job {
    const struct qconv_params *params;
    size_t batch, channels, outputs; /* channels and outputs of one group */
    /* Three axes, the leading ones 1. */
    size_t in[3], out[3], kernel[3], stride[3], dilation[3], pad[3];
    size_t positions; /* of one output channel */
    struct operand x, w;
    const int32_t *bias;
    const struct requantize *requantize;
    const struct array *y;
    struct workbench *bench;
};

static int qconv_parse(const struct node *node, bool linear, struct arena *arena, void **ret_params,
                       struct err *err) {
    struct qconv_params *params = ARENA_NEW(arena, struct qconv_params);
    int64_t groups = node_int(node, "group", 1);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for the attributes of a convolution");
    if (groups < 1)
        return op_fail(node, err, "%" PRId64 " groups", groups);
    params->groups = (uint64_t)groups;
    params->w = linear ? 3 : 1;
    params->x_zero = 2;
    params->w_zero = linear ? 5 : 3;
    params->bias = linear ? 8 : SIZE_MAX;
    *ret_params = params;
    return window_parse(node, &params->window, err);
}

static int conv_integer_parse(const struct node *node, struct arena *arena, void **ret_params,
                              struct err *err) {
    return qconv_parse(node, false, arena, ret_params, err);
}

static int qlinear_conv_parse(const struct node *node, struct arena *arena, void **ret_params,
                              struct err *err) {
    return qconv_parse(node, true, arena, ret_params, err);
}

static int check_kernel(struct op_infer *infer, struct window *window, struct err *err) {
    const struct qconv_params *params = infer->node->params;
    const struct type *x = &infer->in[0]->type, *w = &infer->in[params->w]->type;
    if (x->rank < 3 || x->rank > 2 + WINDOW_AXES || w->rank != x->rank ||
        (window->axes && window->axes != x->rank - 2))
        return op_fail(infer->node, err, "an input of rank %u and a weight of rank %u", x->rank,
                       w->rank);
    struct dim c = x->dims[1], m = w->dims[0], k = w->dims[1];
    if ((dim_known(c) && dim_known(k) && (uint64_t)c.size != (uint64_t)k.size * params->groups) ||
        (dim_known(m) && (uint64_t)m.size % params->groups))
        return op_fail(infer->node, err, "channels do not fit %" PRIu64 " groups", params->groups);
    for (unsigned d = 2; d < x->rank; d++) {
        uint64_t kernel = dim_known(w->dims[d]) ? (uint64_t)w->dims[d].size : 1;
        if (kernel == 0)
            return op_fail(infer->node, err, "an empty kernel");
        if (window->has_kernel && dim_known(w->dims[d]) && kernel != window->kernel[d - 2])
            return op_fail(infer->node, err, "kernel_shape says %" PRIu64 ", the weight %" PRIu64,
                           window->kernel[d - 2], kernel);
        if (!window->has_kernel)
            window->kernel[d - 2] = kernel;
    }
    return 0;
}

static int qconv_infer(struct op_infer *infer, enum dtype dtype, struct err *err) {
    const struct qconv_params *params = infer->node->params;
    const struct type *x = &infer->in[0]->type, *w = &infer->in[params->w]->type;
    struct type *y = &infer->out[0].type;
    struct window window = params->window;
    y->dtype = dtype;
    if (check_8bit(infer, 0, "x", err) < 0 || check_8bit(infer, params->w, "w", err) < 0 ||
        check_zero_type(infer, 0, params->x_zero, err) < 0 ||
        check_zero_type(infer, params->w, params->w_zero, err) < 0 ||
        check_one(infer, params->x_zero, "x's zero points", err) < 0)
        return -1;
    if (!x->ranked || !w->ranked)
        return 0;
    if (check_kernel(infer, &window, err) < 0 ||
        check_per(infer, params->w_zero, w->dims[0], "w's zero points", err) < 0 ||
        window_infer(infer, &window, x, w->dims[0], y, err) < 0)
        return -1;
    y->dtype = dtype;
    for (unsigned d = 2; d < x->rank; d++)
        if (!window.has_kernel && !dim_known(w->dims[d]))
            y->dims[d] = (struct dim){-1, symbols_get(infer->symbols, NULL)};
    return 0;
}

static int conv_integer_infer(struct op_infer *infer, struct err *err) {
    return qconv_infer(infer, DTYPE_I32, err);
}

static int qlinear_conv_infer(struct op_infer *infer, struct err *err) {
    const struct type *w = &infer->in[3]->type, *bias = type_at(infer, 8);
    struct dim outputs = w->ranked && w->rank ? w->dims[0] : (struct dim){-1, 1};
    if (check_one(infer, 1, "x's scales", err) < 0 ||
        check_per(infer, 4, outputs, "w's scales", err) < 0 ||
        check_one(infer, 6, "the output's scales", err) < 0 ||
        check_one(infer, 7, "the output's zero points", err) < 0 ||
        check_8bit(infer, 7, "the output's zero point", err) < 0)
        return -1;
    if (bias && ((bias->dtype != DTYPE_NONE && bias->dtype != DTYPE_I32) ||
                 (bias->ranked && (bias->rank != 1 || differ(bias->dims[0], outputs)))))
        return op_fail(infer->node, err, "the bias is not one i32 per output");
    return qconv_infer(infer, infer->in[7]->type.dtype, err);
}

static struct qconv_job qconv_sizes(const struct op_run *run) {
    const struct qconv_params *params = run->node->params;
    const struct array *x = run->in[0], *w = run->in[params->w], *y = run->out[0];
    struct qconv_job job = {.params = params,
                            .batch = (size_t)x->dims[0],
                            .channels = (size_t)w->dims[1],
                            .outputs = (size_t)(w->dims[0] / params->groups),
                            .positions = 1,
                            .y = y};
    struct window window = params->window;
    unsigned axes = x->rank - 2, lead = 3 - axes;
    for (unsigned d = 0; d < 3; d++)
        job.in[d] = job.out[d] = job.kernel[d] = job.stride[d] = job.dilation[d] = 1;
    for (unsigned d = 0; d < axes; d++) {
        uint64_t out, begin = 0;
        window.kernel[d] = w->dims[d + 2];
        window_fit(&window, d, x->dims[d + 2], &out, &begin);
        job.in[lead + d] = (size_t)x->dims[d + 2];
        job.out[lead + d] = (size_t)y->dims[d + 2];
        job.kernel[lead + d] = (size_t)w->dims[d + 2];
        job.stride[lead + d] = (size_t)window.stride[d];
        job.dilation[lead + d] = (size_t)window.dilation[d];
        job.pad[lead + d] = (size_t)begin;
        job.positions *= (size_t)y->dims[d + 2];
    }
    return job;
}

/* The windows of one group of channels of one sample. */
struct qconv_columns {
    const struct qconv_job *job;
    size_t first; /* of the group's channels in x */
};

/* Where tap `tap` of the window at `position` lies along an axis; false in the padding. */
static bool tap_at(const struct qconv_job *job, unsigned axis, size_t position, size_t tap,
                   size_t *ret) {
    size_t at = position * job->stride[axis] + tap * job->dilation[axis];
    if (at < job->pad[axis] || at - job->pad[axis] >= job->in[axis])
        return false;
    *ret = at - job->pad[axis];
    return true;
}

/* Tap `tap` of the windows [from, from + count) along the last axis of one line of x. */
static void tap_line(const struct qconv_job *job, size_t line, size_t tap, size_t from,
                     size_t count, real *ret) {
    size_t stride = job->stride[2], ahead = tap * job->dilation[2], pad = job->pad[2];
    size_t limit = job->in[2] + pad; /* windows w with pad <= w * stride + ahead < limit */
    size_t low = ahead < pad ? (pad - ahead + stride - 1) / stride : 0;
    size_t high = ahead < limit ? (limit - ahead + stride - 1) / stride : 0;
    int zero_point = zero_point_at(&job->x, 0);
    low = low > from ? low : from;
    high = high < from + count ? high : from + count;
    if (low < high && stride == 1)
        widen(&job->x, line + low + ahead - pad, high - low, zero_point, ret + (low - from));
    for (size_t w = low; stride != 1 && w < high; w++)
        widen(&job->x, line + w * stride + ahead - pad, 1, zero_point, ret + (w - from));
}

/* Row k is a channel and a tap; column n is a position. */
static void qconv_columns(const void *self, size_t k0, size_t rows, size_t n0, size_t columns,
                          real *ret) {
    const struct qconv_columns *c = self;
    const struct qconv_job *job = c->job;
    const size_t *kernel = job->kernel, *out = job->out, *in = job->in;
    for (size_t r = 0; r < rows; r++) {
        size_t k = k0 + r, tap2 = k % kernel[2], tap1 = k / kernel[2] % kernel[1];
        size_t tap0 = k / kernel[2] / kernel[1] % kernel[0];
        size_t channel = k / kernel[2] / kernel[1] / kernel[0];
        size_t base = c->first + channel * in[0] * in[1] * in[2];
        real *to = ret + r * TILE_COLUMNS;
        memset(to, 0, columns * sizeof *to);
        for (size_t n = 0; n < columns;) {
            size_t p = n0 + n, o2 = p % out[2], i0, i1;
            size_t count = columns - n < out[2] - o2 ? columns - n : out[2] - o2;
            if (tap_at(job, 0, p / out[2] / out[1], tap0, &i0) &&
                tap_at(job, 1, p / out[2] % out[1], tap1, &i1))
                tap_line(job, base + (i0 * in[1] + i1) * in[2], tap2, o2, count, to + n);
            n += count;
        }
    }
}

static int qconv_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct qconv_job *job = ctx;
    size_t groups = (size_t)job->params->groups;
    size_t in_size = job->in[0] * job->in[1] * job->in[2];
    struct integer_product p = {.m = job->outputs,
                                .n = job->positions,
                                .k = job->channels * job->kernel[0] * job->kernel[1] *
                                     job->kernel[2],
                                .a = job->w};
    size_t per_group = product_tiles(&p), group = index / per_group % groups;
    size_t sample = index / per_group / groups;
    struct qconv_columns columns = {job, (sample * groups + group) * job->channels * in_size};
    struct tile t = tile_at(&p, index % per_group);
    struct workbench *bench = &job->bench[worker];
    p.a_zero_first = group * job->outputs;
    p.a_first = p.a_zero_first * p.k;
    p.columns = qconv_columns;
    p.self = &columns;
    integer_tile(&p, &t, bench);
    for (size_t r = 0; r < t.rows; r++) {
        int32_t *sums = bench->sums + r * TILE_COLUMNS;
        size_t channel = group * job->outputs + t.m0 + r;
        size_t to = (sample * groups * job->outputs + channel) * job->positions + t.n0;
        for (size_t c = 0; job->bias && c < t.columns; c++)
            sums[c] = (int32_t)((uint32_t)sums[c] + (uint32_t)job->bias[channel]);
        if (!job->requantize)
            memcpy((int32_t *)job->y->data + to, sums, t.columns * sizeof *sums);
        for (size_t c = 0; job->requantize && c < t.columns; c++)
            ((uint8_t *)job->y->data)[to + c] = requantized(job->requantize, sums[c], 0, channel);
    }
    return 0;
}

static int qconv_run(const struct op_run *run, const struct requantize *requantize,
                     struct err *err) {
    struct qconv_job job = qconv_sizes(run);
    const struct array *bias = input(run, job.params->bias);
    struct integer_product p = {.m = job.outputs, .n = job.positions};
    job.x = operand_of(run->in[0], input(run, job.params->x_zero));
    job.w = operand_of(run->in[job.params->w], input(run, job.params->w_zero));
    job.bias = bias ? bias->data : NULL;
    job.requantize = requantize;
    job.bench = run->scratch;
    return loop_run(run->team, run->progress,
                    job.batch * (size_t)job.params->groups * product_tiles(&p), qconv_tile, &job,
                    err);
}

static int conv_integer_forward(const struct op_run *run, struct err *err) {
    return qconv_run(run, NULL, err);
}

static int qlinear_conv_forward(const struct op_run *run, struct err *err) {
    struct requantize requantize = {.a_scale = run->in[1],
                                    .b_scale = run->in[4],
                                    .y_scale = array_real(run->in[6])[0],
                                    .zero_point = (int)array_int(run->in[7], 0),
                                    .is_signed = run->out[0]->dtype == DTYPE_I8};
    return qconv_run(run, &requantize, err);
}

static uint64_t qconv_macs(const struct op_run *shapes) {
    struct qconv_job job = qconv_sizes(shapes);
    return shapes->out[0]->elements * job.channels * job.kernel[0] * job.kernel[1] * job.kernel[2];
}

static int conv_integer_dims(struct relations *r, const struct op_run *shapes) {
    const struct qconv_params *params = shapes->node->params;
    return relate_convolution(r, 0, 1, params->groups) < 0 ||
                   relate_fixed_from(r, AXIS_IN(2, 0)) < 0 ||
                   relate_same_or_one(r, AXIS_IN(3, 0), AXIS_IN(1, 0)) < 0
               ? -1
               : 0;
}

static int qconv_cut(struct node *node, unsigned w, const struct op_run *before,
                     const struct op_run *after, struct err *err) {
    const struct qconv_params *params = node->params;
    if (params->groups == 1 || before->in[w]->dims[1] != 1)
        return 0;
    return content_set_int(node, "group", (int64_t)after->in[0]->dims[1], err);
}

static int conv_integer_cut(struct node *node, const struct op_run *before,
                            const struct op_run *after, struct err *err) {
    return qconv_cut(node, 1, before, after, err);
}

const struct op op_conv_integer = {
    .op_type = "ConvInteger",
    .domain = "",
    .min_version = 10,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .parse = conv_integer_parse,
    .infer = conv_integer_infer,
    .forward = conv_integer_forward,
    .scratch = integer_scratch,
    .macs = qconv_macs,
    .dims = conv_integer_dims,
    .cut = conv_integer_cut,
    .doc = "convolution of 8-bit integers, in 32 bits",
};

static int qlinear_conv_dims(struct relations *r, const struct op_run *shapes) {
    const struct qconv_params *params = shapes->node->params;
    const unsigned one[] = {1, 2, 6, 7}, each[] = {4, 5, 8};
    if (relate_convolution(r, 0, 3, params->groups) < 0)
        return -1;
    for (size_t i = 0; i < sizeof one / sizeof *one; i++)
        if (relate_fixed_from(r, AXIS_IN(one[i], 0)) < 0)
            return -1;
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        if (relate_same_or_one(r, AXIS_IN(each[i], 0), AXIS_IN(3, 0)) < 0)
            return -1;
    return 0;
}

static int qlinear_conv_cut(struct node *node, const struct op_run *before,
                            const struct op_run *after, struct err *err) {
    return qconv_cut(node, 3, before, after, err);
}

const struct op op_qlinear_conv = {
    .op_type = "QLinearConv",
    .domain = "",
    .min_version = 10,
    .max_version = OP_ONNX_VERSION,
    .min_in = 8,
    .max_in = 9,
    .min_out = 1,
    .max_out = 1,
    .parse = qlinear_conv_parse,
    .infer = qlinear_conv_infer,
    .forward = qlinear_conv_forward,
    .scratch = integer_scratch,
    .macs = qconv_macs,
    .dims = qlinear_conv_dims,
    .cut = qlinear_conv_cut,
    .doc = "convolution of quantized values, quantized",
};
