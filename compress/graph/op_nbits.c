/*
 * Products with weights of few bits.
 *
 *   com.microsoft::MatMulNBits(A [...,K], B u8 [N,blocks,bytes], scales, zero_points?, -, bias?)
 *     → [...,N]: B is a matrix by columns, each cut into blocks of K; it holds 4- or 8-bit numbers,
 *     a scale for every block of a column
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/content.h"
#include "compress/graph/op.h"
#include "compress/graph/relate.h"
#include "compress/tensor/gemm.h"

#include <inttypes.h>

static const struct array *optional(const struct op_run *run, size_t slot) {
    return slot < run->node->in_count ? run->in[slot] : NULL;
}

static const struct type *type_at(const struct op_infer *infer, size_t slot) {
    return slot < infer->node->in_count && infer->in[slot] ? &infer->in[slot]->type : NULL;
}

enum { NBITS_COLUMNS = 64, NBITS_RUN = 512 };

struct nbits_params {
    size_t k, n, bits, block, blocks;
};

struct nbits_job {
    const struct nbits_params *params;
    size_t rows;
    const real *a, *scales, *bias;
    const uint8_t *b;
    const struct array *zero_points; /* NULL: the middle */
    real *y, *panels;
};

static int nbits_parse(const struct node *node, struct arena *arena, void **ret_params,
                       struct err *err) {
    struct nbits_params *params = ARENA_NEW(arena, struct nbits_params);
    int64_t k = node_int(node, "K", 0), n = node_int(node, "N", 0);
    int64_t bits = node_int(node, "bits", 4), block = node_int(node, "block_size", 0);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for the attributes of MatMulNBits");
    if (k < 1 || n < 1 || k > INT32_MAX || n > INT32_MAX)
        return op_fail(node, err, "K is %" PRId64 ", N is %" PRId64, k, n);
    if (block < 16 || block > INT32_MAX || (block & (block - 1)))
        return op_fail(node, err, "block_size %" PRId64 " is no power of two from 16 on", block);
    if ((bits != 4 && bits != 8) || node_has(node, 4))
        return err_set(err, ERR_UNSUPPORTED, "MatMulNBits of %" PRId64 " bits%s is not executable",
                       bits, node_has(node, 4) ? " with g_idx" : "");
    *params = (struct nbits_params){.k = (size_t)k,
                                    .n = (size_t)n,
                                    .bits = (size_t)bits,
                                    .block = (size_t)block,
                                    .blocks = (size_t)((k + block - 1) / block)};
    *ret_params = params;
    return 0;
}

/* A value of so many elements, whatever its shape. */
static int check_elements(struct op_infer *infer, size_t slot, uint64_t want, const char *what,
                          struct err *err) {
    const struct type *type = type_at(infer, slot);
    struct array shape;
    if (!type || !type_to_array(type, &shape) || shape.elements == want)
        return 0;
    return op_fail(infer->node, err, "%s has %" PRIu64 " elements, not %" PRIu64, what,
                   shape.elements, want);
}

static int nbits_infer(struct op_infer *infer, struct err *err) {
    const struct nbits_params *p = infer->node->params;
    const struct type *a = &infer->in[0]->type, *b = &infer->in[1]->type;
    const struct type *zero_points = type_at(infer, 3);
    bool packed = zero_points && zero_points->dtype == DTYPE_U8;
    size_t zeros = packed ? (p->blocks * p->bits + 7) / 8 : p->blocks;
    infer->out[0].type = *a;
    if (b->dtype != DTYPE_NONE && b->dtype != DTYPE_U8)
        return op_fail(infer->node, err, "B is %s, not u8", dtype_row(b->dtype)->name);
    if (zero_points && zero_points->dtype != DTYPE_NONE && !packed &&
        !dtype_row(zero_points->dtype)->is_float)
        return op_fail(infer->node, err, "zero points of %s", dtype_row(zero_points->dtype)->name);
    if (check_elements(infer, 1, p->n * p->blocks * (p->block * p->bits / 8), "B", err) < 0 ||
        check_elements(infer, 2, p->n * p->blocks, "scales", err) < 0 ||
        (zero_points && zero_points->dtype != DTYPE_NONE &&
         check_elements(infer, 3, p->n * zeros, "zero_points", err) < 0) ||
        check_elements(infer, 5, p->n, "bias", err) < 0)
        return -1;
    if (!a->ranked)
        return 0;
    if (a->rank == 0 ||
        (dim_known(a->dims[a->rank - 1]) && a->dims[a->rank - 1].size != (int64_t)p->k))
        return op_fail(infer->node, err, "A does not have K = %zu columns", p->k);
    infer->out[0].type.dims[a->rank - 1] = DIM(p->n);
    return 0;
}

static unsigned nbits_code(const uint8_t *bytes, size_t bits, size_t i) {
    return bits == 8 ? bytes[i] : bytes[i / 2] >> (i % 2 * 4) & 15U;
}

static real nbits_zero_point(const struct nbits_job *job, size_t column, size_t block) {
    const struct nbits_params *p = job->params;
    if (!job->zero_points)
        return (real)(1U << (p->bits - 1));
    if (job->zero_points->dtype != DTYPE_U8)
        return array_real(job->zero_points)[column * p->blocks + block];
    size_t bytes = (p->blocks * p->bits + 7) / 8;
    return (real)nbits_code((const uint8_t *)job->zero_points->data + column * bytes, p->bits,
                            block);
}

/* Blocks hold a multiple of these. */
enum { NBITS_STEP = 16 };

static void sixteen_of_4_bits(const uint8_t *bytes, real zero_point, real scale, real *ret) {
    for (size_t j = 0; j < NBITS_STEP / 2; j++) {
        ret[2 * j] = ((real)(bytes[j] & 15) - zero_point) * scale;
        ret[2 * j + 1] = ((real)(bytes[j] >> 4) - zero_point) * scale;
    }
}

static void sixteen_of_8_bits(const uint8_t *bytes, real zero_point, real scale, real *ret) {
    for (size_t j = 0; j < NBITS_STEP; j++)
        ret[j] = ((real)bytes[j] - zero_point) * scale;
}

/* Elements [k0, k0 + count) of a column; k0 is a multiple of NBITS_RUN. */
static void nbits_column(const struct nbits_job *job, size_t column, size_t k0, size_t count,
                         real *ret) {
    const struct nbits_params *p = job->params;
    for (size_t i = 0; i < count;) {
        size_t block = (k0 + i) / p->block, within = (k0 + i) % p->block, j = 0;
        size_t left = p->block - within, part = count - i < left ? count - i : left;
        const uint8_t *bytes =
            job->b + ((column * p->blocks + block) * p->block + within) * p->bits / 8;
        real scale = job->scales[column * p->blocks + block];
        real zero_point = nbits_zero_point(job, column, block);
        for (; j + NBITS_STEP <= part; j += NBITS_STEP)
            if (p->bits == 4)
                sixteen_of_4_bits(bytes + j / 2, zero_point, scale, ret + i + j);
            else
                sixteen_of_8_bits(bytes + j, zero_point, scale, ret + i + j);
        for (; j < part; j++)
            ret[i + j] = ((real)nbits_code(bytes, p->bits, j) - zero_point) * scale;
        i += part;
    }
}

/* A block of columns for all rows of A: decoded once, run by run. */
static int nbits_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct nbits_job *job = ctx;
    const struct nbits_params *p = job->params;
    real *panel = job->panels + (size_t)worker * NBITS_COLUMNS * NBITS_RUN;
    size_t n0 = index * NBITS_COLUMNS, columns = p->n - n0;
    if (columns > NBITS_COLUMNS)
        columns = NBITS_COLUMNS;
    for (size_t r = 0; r < job->rows; r++)
        for (size_t c = 0; c < columns; c++)
            job->y[r * p->n + n0 + c] = job->bias ? job->bias[n0 + c] : 0;
    for (size_t k0 = 0; k0 < p->k; k0 += NBITS_RUN) {
        size_t run = p->k - k0 < NBITS_RUN ? p->k - k0 : NBITS_RUN;
        for (size_t c = 0; c < columns; c++)
            nbits_column(job, n0 + c, k0, run, panel + c * NBITS_RUN);
        gemm_tile(&(struct gemm){.b_transposed = true,
                                 .m = job->rows,
                                 .n = columns,
                                 .k = run,
                                 .alpha = 1,
                                 .beta = 1,
                                 .a = job->a + k0,
                                 .lda = p->k,
                                 .b = panel,
                                 .ldb = NBITS_RUN,
                                 .c = job->y + n0,
                                 .ldc = p->n});
    }
    return 0;
}

static int nbits_forward(const struct op_run *run, struct err *err) {
    const struct nbits_params *p = run->node->params;
    const struct array *bias = optional(run, 5);
    struct nbits_job job = {.params = p,
                            .rows = (size_t)(run->in[0]->elements / p->k),
                            .a = array_real(run->in[0]),
                            .b = run->in[1]->data,
                            .scales = array_real(run->in[2]),
                            .zero_points = optional(run, 3),
                            .bias = bias ? array_real(bias) : NULL,
                            .y = array_real(run->out[0]),
                            .panels = run->scratch};
    size_t tiles = job.rows ? (p->n + NBITS_COLUMNS - 1) / NBITS_COLUMNS : 0;
    return loop_run(run->team, run->progress, tiles, nbits_tile, &job, err);
}

static uint64_t nbits_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    return (uint64_t)threads * NBITS_COLUMNS * NBITS_RUN * sizeof(real);
}

static uint64_t nbits_macs(const struct op_run *shapes) {
    const struct nbits_params *p = shapes->node->params;
    return shapes->in[0]->elements * p->n;
}

/* Columns may be cut; K lies in blocks. Scales and zero points may be flat. */
static int nbits_dims(struct relations *r, const struct op_run *shapes) {
    const struct nbits_params *p = shapes->node->params;
    const struct array *a = shapes->in[0];
    struct axis column = AXIS_IN(1, 0);
    if (relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(0, 0), a->rank - 1) < 0 ||
        relate_fixed(r, AXIS_IN(0, a->rank - 1)) < 0 || relate_fixed_from(r, AXIS_IN(1, 1)) < 0 ||
        relate_fixed_from(r, AXIS_IN(4, 0)) < 0 ||
        relate_same(r, column, AXIS_OUT(0, a->rank - 1)) < 0 ||
        relate_same(r, AXIS_IN(5, 0), column) < 0)
        return -1;
    if (shapes->in[1]->dims[0] != p->n)
        return relate_nothing(r, shapes);
    for (size_t i = 2; i < 4; i++) {
        const struct array *side = node_has(shapes->node, i) ? shapes->in[i] : NULL;
        if (!side || side->rank == 0)
            continue;
        if (relate_mapped(r, AXIS_IN(i, 0), column, side->dims[0] / p->n, 0, 0) < 0 ||
            relate_fixed_from(r, AXIS_IN(i, 1)) < 0)
            return -1;
    }
    return 0;
}

static int nbits_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                     struct err *err) {
    return content_set_int(node, "N", (int64_t)after->in[1]->dims[0], err);
}

const struct op op_matmul_nbits = {
    .op_type = "MatMulNBits",
    .domain = "com.microsoft",
    .min_version = 1,
    .max_version = 1,
    .min_in = 3,
    .max_in = 6,
    .min_out = 1,
    .max_out = 1,
    .parse = nbits_parse,
    .infer = nbits_infer,
    .forward = nbits_forward,
    .scratch = nbits_scratch,
    .macs = nbits_macs,
    .dims = nbits_dims,
    .cut = nbits_cut,
    .doc = "matrix product with weights of 4 or 8 bits",
};
