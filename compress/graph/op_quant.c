/*
 * Quantized values: numbers as small integers (or FP8) times a scale.
 *
 *   QuantizeLinear(x, scale, zero_point?) → y = saturate(round(x / scale) + zero_point)
 *   DequantizeLinear(x, scale, zero_point?) → y = (x - zero_point) * scale
 *   DynamicQuantizeLinear(x) → y u8, scale, zero_point u8, from x's own range with 0 in it
 *
 * x: any shape, y the same. One scale for all; one per index of `axis` (operator set 13); or, with
 * a block_size (21), a scale of x's shape whose `axis` counts blocks. Rounding is to nearest, ties
 * to even; NaN becomes the smallest integer. Everything is computed in f32, whatever the types of x
 * and scale. Quantization jumps: there is no gradient.
 */
#include "compress/base/arena.h"
#include "compress/base/half.h"
#include "compress/base/loop.h"
#include "compress/graph/op.h"
#include "compress/graph/relate.h"

#include <assert.h>
#include <inttypes.h>

/* Elements per tile, and those that go through a buffer on the stack at a time. */
enum { TILE = 16384, PIECE = 512 };

/* Added and taken away again, it leaves whole numbers: one step of it is 1. */
#ifdef REAL_IS_DOUBLE
static const real rounder = 0x1.8p52;
#else
static const real rounder = 0x1.8p23F;
#endif

struct quant_params {
    int64_t axis;
    uint64_t block; /* 0: none */
    bool saturate;
    enum dtype dtype; /* of the output, as an attribute says; NONE: not said */
};

/* How x is cut along the axis: element (o, a, i) of [outer, along, inner]. */
struct cut {
    uint64_t along, inner;
    uint64_t block;  /* indices of the axis that share a scale, where scales are per block */
    uint64_t blocks; /* along the axis; 0: scales are not per block */
    bool single;     /* one scale for everything */
};

struct quant_job {
    const struct array *x, *scale, *zero_point; /* zero_point: NULL: 0 */
    struct array *y;
    struct cut cut;
    bool saturate;
    real low, high; /* of the integers */
};

/* The largest numbers of the integer types; false for others. */
static bool integer_range(enum dtype dtype, real *ret_low, real *ret_high) {
    static const struct {
        enum dtype dtype;
        int low, high;
    } table[] = {{DTYPE_U8, 0, 255},         {DTYPE_I8, -128, 127}, {DTYPE_U16, 0, 65535},
                 {DTYPE_I16, -32768, 32767}, {DTYPE_U4, 0, 15},     {DTYPE_I4, -8, 7}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].dtype == dtype) {
            *ret_low = (real)table[i].low;
            *ret_high = (real)table[i].high;
            return true;
        }
    return false;
}

static bool f8_type(enum dtype dtype, enum half_f8 *ret) {
    switch (dtype) {
    case DTYPE_F8_E4M3:
        *ret = HALF_E4M3FN;
        return true;
    case DTYPE_F8_E5M2:
        *ret = HALF_E5M2;
        return true;
    case DTYPE_F8_E4M3FNUZ:
        *ret = HALF_E4M3FNUZ;
        return true;
    case DTYPE_F8_E5M2FNUZ:
        *ret = HALF_E5M2FNUZ;
        return true;
    default:
        return false;
    }
}

static bool is_quantized(enum dtype dtype) {
    real low, high;
    enum half_f8 f8;
    return integer_range(dtype, &low, &high) || f8_type(dtype, &f8);
}

/* ---- parsing and inference ---- */

static int quant_parse(const struct node *node, struct arena *arena, void **ret_params,
                       struct err *err) {
    struct quant_params *params = ARENA_NEW(arena, struct quant_params);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for the attributes of quantization");
    int64_t block = node_int(node, "block_size", 0);
    int64_t dtype = node_int(node, "output_dtype", 0);
    int64_t precision = node_int(node, "precision", 0);
    if (block < 0)
        return op_fail(node, err, "block_size %" PRId64, block);
    if (precision != 0 && dtype_by_onnx(precision) != DTYPE_F32)
        return err_set(err, ERR_UNSUPPORTED, "%s in another precision than f32 is not executable",
                       node->op_type);
    params->axis = node_int(node, "axis", 1);
    params->block = (uint64_t)block;
    params->saturate = node_int(node, "saturate", 1) != 0;
    params->dtype = dtype ? dtype_by_onnx(dtype) : DTYPE_NONE;
    if (dtype && params->dtype == DTYPE_NONE)
        return err_set(err, ERR_UNSUPPORTED, "%s to ONNX type %" PRId64 " is not executable",
                       node->op_type, dtype);
    *ret_params = params;
    return 0;
}

/* The shape that scale and zero point must have, given x's and the attributes. */
static int check_scale(struct op_infer *infer, const struct type *x, const struct type *scale,
                       const char *what, struct err *err) {
    const struct quant_params *params = infer->node->params;
    unsigned axis;
    if (!scale->ranked || !x->ranked || scale->rank == 0 ||
        (scale->rank == 1 && dim_known(scale->dims[0]) && scale->dims[0].size == 1 &&
         !params->block))
        return 0;
    if (op_axis(infer->node, params->axis, x->rank, &axis, err) < 0)
        return -1;
    if (!params->block) {
        if (scale->rank != 1)
            return op_fail(infer->node, err, "%s of rank %u without a block size", what,
                           scale->rank);
        if (dim_known(scale->dims[0]) && dim_known(x->dims[axis]) &&
            scale->dims[0].size != x->dims[axis].size)
            return op_fail(infer->node, err, "%" PRId64 " of %s for %" PRId64 " indices of axis %u",
                           scale->dims[0].size, what, x->dims[axis].size, axis);
        return 0;
    }
    if (scale->rank != x->rank)
        return op_fail(infer->node, err, "%s of rank %u for blocks of a value of rank %u", what,
                       scale->rank, x->rank);
    for (unsigned d = 0; d < x->rank; d++) {
        if (!dim_known(scale->dims[d]) || !dim_known(x->dims[d]))
            continue;
        uint64_t want = (uint64_t)x->dims[d].size;
        if (d == axis)
            want = want / params->block + (want % params->block != 0);
        if ((uint64_t)scale->dims[d].size != want)
            return op_fail(infer->node, err, "%s has %" PRId64 " in axis %u, not %" PRIu64, what,
                           scale->dims[d].size, d, want);
    }
    return 0;
}

static const struct type *zero_point_type(const struct op_infer *infer) {
    return infer->node->in_count > 2 && infer->in[2] ? &infer->in[2]->type : NULL;
}

static int check_shapes(struct op_infer *infer, struct err *err) {
    const struct type *x = &infer->in[0]->type, *zero_point = zero_point_type(infer);
    if (check_scale(infer, x, &infer->in[1]->type, "scale", err) < 0)
        return -1;
    const struct type *scale = &infer->in[1]->type;
    if (scale->dtype != DTYPE_NONE && !dtype_row(scale->dtype)->is_float)
        return op_fail(infer->node, err, "a scale of %s", dtype_row(scale->dtype)->name);
    if (!zero_point)
        return 0;
    bool same = !scale->ranked || !zero_point->ranked || scale->rank == zero_point->rank;
    for (unsigned d = 0; same && scale->ranked && zero_point->ranked && d < scale->rank; d++)
        same = !dim_known(scale->dims[d]) || !dim_known(zero_point->dims[d]) ||
               scale->dims[d].size == zero_point->dims[d].size;
    bool both_one = scale->ranked && zero_point->ranked && scale->rank + zero_point->rank == 1 &&
                    (scale->rank ? scale : zero_point)->dims[0].size == 1;
    if (!same && !both_one)
        return op_fail(infer->node, err, "scale and zero point differ in shape");
    return check_scale(infer, x, zero_point, "zero point", err);
}

static int quantize_infer(struct op_infer *infer, struct err *err) {
    const struct quant_params *params = infer->node->params;
    const struct type *x = &infer->in[0]->type, *zero_point = zero_point_type(infer);
    enum dtype dtype = zero_point                    ? zero_point->dtype
                       : params->dtype != DTYPE_NONE ? params->dtype
                                                     : DTYPE_U8;
    if (zero_point && params->dtype != DTYPE_NONE && dtype != DTYPE_NONE && dtype != params->dtype)
        return op_fail(infer->node, err, "zero point is %s, output_dtype %s",
                       dtype_row(dtype)->name, dtype_row(params->dtype)->name);
    if (dtype != DTYPE_NONE && !is_quantized(dtype))
        return op_fail(infer->node, err, "no quantization to %s", dtype_row(dtype)->name);
    infer->out[0].type = *x;
    infer->out[0].type.dtype = dtype;
    return check_shapes(infer, err);
}

static int dequantize_infer(struct op_infer *infer, struct err *err) {
    const struct quant_params *params = infer->node->params;
    const struct type *x = &infer->in[0]->type, *zero_point = zero_point_type(infer);
    if (x->dtype != DTYPE_NONE && x->dtype != DTYPE_I32 && !is_quantized(x->dtype))
        return op_fail(infer->node, err, "no dequantization of %s", dtype_row(x->dtype)->name);
    if (zero_point && x->dtype != DTYPE_NONE && zero_point->dtype != DTYPE_NONE &&
        zero_point->dtype != x->dtype)
        return op_fail(infer->node, err, "values are %s, their zero point %s",
                       dtype_row(x->dtype)->name, dtype_row(zero_point->dtype)->name);
    infer->out[0].type = *x;
    infer->out[0].type.dtype =
        params->dtype != DTYPE_NONE ? params->dtype : infer->in[1]->type.dtype;
    return check_shapes(infer, err);
}

/* ---- running ---- */

static struct cut cut_of(const struct op_run *run) {
    const struct quant_params *params = run->node->params;
    const struct array *x = run->in[0], *scale = run->in[1];
    struct cut cut = {.along = 1, .inner = x->elements, .single = true};
    if (scale->elements == 1 && !(params->block && scale->rank))
        return cut;
    unsigned axis = (unsigned)(params->axis < 0 ? params->axis + x->rank : params->axis);
    cut = (struct cut){.along = x->dims[axis], .inner = 1};
    for (unsigned d = axis + 1; d < x->rank; d++)
        cut.inner *= x->dims[d];
    if (params->block) {
        cut.block = params->block;
        cut.blocks = cut.along / params->block + (cut.along % params->block != 0);
    }
    return cut;
}

/* Elements from `at` on that lie in one run: *ret_scale is the scale of the first, and that of the
 * k-th is k * *ret_step further. */
static uint64_t run_from(const struct cut *cut, uint64_t at, uint64_t *ret_scale,
                         uint64_t *ret_step) {
    *ret_scale = 0;
    *ret_step = 0;
    if (cut->single)
        return cut->inner - at;
    uint64_t i = at % cut->inner, a = at / cut->inner % cut->along;
    uint64_t o = at / cut->inner / cut->along, left = cut->along - a;
    if (cut->blocks) {
        uint64_t in_block = cut->block - a % cut->block;
        *ret_scale = (o * cut->blocks + a / cut->block) * cut->inner + i;
        *ret_step = cut->inner == 1 ? 0 : 1;
        return cut->inner > 1 ? cut->inner - i : in_block < left ? in_block : left;
    }
    *ret_scale = a;
    *ret_step = cut->inner == 1 ? 1 : 0;
    return cut->inner > 1 ? cut->inner - i : left;
}

/* Elements [first, first + count) as an array of their own. */
static struct array view(const struct array *array, uint64_t first, uint64_t count) {
    struct array part = {.dtype = array->dtype, .rank = 1, .dims = {count}, .elements = count};
    part.data = (char *)array->data + first * array_item_bytes(array->dtype);
    return part;
}

static struct array buffer(enum dtype dtype, uint64_t count, void *data) {
    return (struct array){
        .dtype = dtype, .rank = 1, .dims = {count}, .elements = count, .data = data};
}

/* Per element of a piece: the scale, and the zero point as an integer. */
struct steps {
    real scale[PIECE];
    int32_t zero_point[PIECE];
};

static void load_steps(const struct quant_job *job, uint64_t first, uint64_t step, size_t count,
                       struct steps *ret) {
    for (size_t k = 0; k < count; k++) {
        if (k && !step) {
            ret->scale[k] = ret->scale[0];
            ret->zero_point[k] = ret->zero_point[0];
            continue;
        }
        ret->scale[k] = (real)array_number(job->scale, first + k * step);
        ret->zero_point[k] =
            job->zero_point ? (int32_t)array_int(job->zero_point, first + k * step) : 0;
    }
}

typedef int piece_fn(const struct quant_job *job, uint64_t at, size_t count,
                     const struct steps *steps, struct err *err);

/* Calls fn for a tile in pieces that share no more than one run. */
static int in_pieces(const struct quant_job *job, size_t tile, piece_fn *fn, struct err *err) {
    struct steps steps;
    uint64_t end = (tile + 1) * TILE;
    uint64_t loaded = 0, loaded_count = 0; /* that many copies of this scale are in steps */
    if (end > job->x->elements)
        end = job->x->elements;
    for (uint64_t at = tile * TILE; at < end;) {
        uint64_t first, step, count = run_from(&job->cut, at, &first, &step);
        if (count > end - at)
            count = end - at;
        if (count > PIECE)
            count = PIECE;
        if (step || first != loaded || count > loaded_count) {
            load_steps(job, first, step, (size_t)count, &steps);
            loaded = first;
            loaded_count = step ? 0 : count;
        }
        if (fn(job, at, (size_t)count, &steps, err) < 0)
            return -1;
        at += count;
    }
    return 0;
}

static size_t tiles(const struct array *x) {
    return (size_t)((x->elements + TILE - 1) / TILE);
}

/* x / scale, rounded, moved by the zero point, within [low, high]. Clamping first is the same: the
 * bounds are whole numbers. */
static void to_integers(const real *x, const struct steps *steps, real low, real high, size_t count,
                        int32_t *ret) {
    for (size_t k = 0; k < count; k++) {
        real zero_point = (real)steps->zero_point[k];
        real q = x[k] / steps->scale[k];
        q = q >= low - zero_point ? q : low - zero_point;
        q = q <= high - zero_point ? q : high - zero_point;
        q = (q + rounder) - rounder;
        ret[k] = (int32_t)q + steps->zero_point[k];
    }
}

static int quantize_piece(const struct quant_job *job, uint64_t at, size_t count,
                          const struct steps *steps, struct err *err) {
    real x[PIECE];
    int32_t q[PIECE];
    struct array from = view(job->x, at, count), to = view(job->y, at, count);
    struct array wide = buffer(DTYPE_F32, count, x), integers = buffer(DTYPE_I32, count, q);
    enum half_f8 f8;
    if (array_convert(&from, &wide, false, err) < 0)
        return -1;
    if (f8_type(job->y->dtype, &f8)) {
        for (size_t k = 0; k < count; k++)
            ((uint8_t *)to.data)[k] =
                half_to_f8((double)(x[k] / steps->scale[k]), f8, job->saturate);
        return 0;
    }
    to_integers(x, steps, job->low, job->high, count, q);
    if (array_item_bytes(to.dtype) != 1)
        return array_convert(&integers, &to, false, err);
    for (size_t k = 0; k < count; k++)
        ((uint8_t *)to.data)[k] = (uint8_t)q[k];
    return 0;
}

static int quantize_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    return in_pieces(ctx, tile, quantize_piece, err);
}

static int dequantize_piece(const struct quant_job *job, uint64_t at, size_t count,
                            const struct steps *steps, struct err *err) {
    real y[PIECE];
    int32_t q[PIECE];
    struct array from = view(job->x, at, count), to = view(job->y, at, count);
    struct array wide = buffer(DTYPE_F32, count, y), integers = buffer(DTYPE_I32, count, q);
    if (dtype_row(from.dtype)->is_float) {
        if (array_convert(&from, &wide, false, err) < 0)
            return -1;
        for (size_t k = 0; k < count; k++)
            y[k] *= steps->scale[k];
    } else {
        if (array_convert(&from, &integers, false, err) < 0)
            return -1;
        for (size_t k = 0; k < count; k++)
            y[k] = (real)((int64_t)q[k] - steps->zero_point[k]) * steps->scale[k];
    }
    return array_convert(&wide, &to, false, err);
}

static int dequantize_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    return in_pieces(ctx, tile, dequantize_piece, err);
}

static struct quant_job quant_job(const struct op_run *run) {
    const struct quant_params *params = run->node->params;
    return (struct quant_job){.x = run->in[0],
                              .scale = run->in[1],
                              .zero_point = run->node->in_count > 2 ? run->in[2] : NULL,
                              .y = run->out[0],
                              .cut = cut_of(run),
                              .saturate = params->saturate};
}

static int quantize_forward(const struct op_run *run, struct err *err) {
    struct quant_job job = quant_job(run);
    integer_range(job.y->dtype, &job.low, &job.high);
    return loop_run(run->team, run->progress, tiles(job.x), quantize_tile, &job, err);
}

static int dequantize_forward(const struct op_run *run, struct err *err) {
    struct quant_job job = quant_job(run);
    return loop_run(run->team, run->progress, tiles(job.x), dequantize_tile, &job, err);
}

/* Scales along an axis go with it; blocks of it are not cut. */
static int quant_dims(struct relations *r, const struct op_run *shapes) {
    const struct quant_params *params = shapes->node->params;
    const struct array *x = shapes->in[0], *scale = shapes->in[1];
    unsigned axis = (unsigned)(params->axis < 0 ? params->axis + x->rank : params->axis);
    assert(scale); /* an input that must be there */
    if (relate_elementwise(r, shapes) < 0)
        return -1;
    for (size_t i = 1; i < shapes->node->in_count; i++)
        for (unsigned d = 0; shapes->in[i] && d < shapes->in[i]->rank; d++)
            if ((scale->elements == 1 || (params->block && d == axis)
                     ? relate_fixed(r, AXIS_IN(i, d))
                     : relate_same(r, AXIS_IN(i, d), AXIS_IN(0, params->block ? d : axis))) < 0)
                return -1;
    return params->block ? relate_fixed(r, AXIS_IN(0, axis)) : 0;
}

const struct op op_quantize_linear = {
    .op_type = "QuantizeLinear",
    .domain = "",
    .min_version = 10,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .parse = quant_parse,
    .infer = quantize_infer,
    .forward = quantize_forward,
    .dims = quant_dims,
    .doc = "numbers to small integers or FP8, by scale and zero point",
};

const struct op op_dequantize_linear = {
    .op_type = "DequantizeLinear",
    .domain = "",
    .min_version = 10,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .parse = quant_parse,
    .infer = dequantize_infer,
    .forward = dequantize_forward,
    .dims = quant_dims,
    .doc = "small integers or FP8 back to numbers",
};

/* ---- DynamicQuantizeLinear ---- */

struct range {
    real low, high;
};

struct dynamic_job {
    const real *x;
    uint64_t count;
    struct range *ranges; /* per tile */
    real scale;
    int32_t zero_point;
    uint8_t *y;
};

static uint64_t dynamic_end(const struct dynamic_job *job, size_t tile) {
    uint64_t end = (tile + 1) * TILE;
    return end < job->count ? end : job->count;
}

static int range_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct dynamic_job *job = ctx;
    struct range range = {0, 0};
    for (uint64_t i = tile * TILE, end = dynamic_end(job, tile); i < end; i++) {
        range.low = job->x[i] < range.low ? job->x[i] : range.low;
        range.high = job->x[i] > range.high ? job->x[i] : range.high;
    }
    job->ranges[tile] = range;
    return 0;
}

static int dynamic_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct dynamic_job *job = ctx;
    struct steps steps;
    int32_t q[PIECE];
    for (size_t k = 0; k < PIECE; k++) {
        steps.scale[k] = job->scale;
        steps.zero_point[k] = job->zero_point;
    }
    for (uint64_t i = tile * TILE, end = dynamic_end(job, tile); i < end; i += PIECE) {
        size_t count = (size_t)(end - i < PIECE ? end - i : PIECE);
        to_integers(job->x + i, &steps, 0, 255, count, q);
        for (size_t k = 0; k < count; k++)
            job->y[i + k] = (uint8_t)q[k];
    }
    return 0;
}

static int dynamic_infer(struct op_infer *infer, struct err *err) {
    infer->out[0].type = infer->in[0]->type;
    infer->out[0].type.dtype = DTYPE_U8;
    if (infer->node->out_count > 1)
        infer->out[1].type = (struct type){.dtype = infer->in[0]->type.dtype, .ranked = true};
    if (infer->node->out_count > 2)
        infer->out[2].type = (struct type){.dtype = DTYPE_U8, .ranked = true};
    return 0;
}

static int dynamic_forward(const struct op_run *run, struct err *err) {
    struct dynamic_job job = {
        .x = array_real(run->in[0]), .count = run->in[0]->elements, .ranges = run->scratch};
    struct range all = {0, 0};
    size_t count = tiles(run->in[0]);
    if (loop_run(run->team, run->progress, count, range_tile, &job, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        all.low = job.ranges[i].low < all.low ? job.ranges[i].low : all.low;
        all.high = job.ranges[i].high > all.high ? job.ranges[i].high : all.high;
    }
    /* Of zeros alone: 1, as in ONNX Runtime; the specification would divide by it. */
    job.scale = all.high == all.low ? 1 : (all.high - all.low) / 255;
    real zero_point = -all.low / job.scale;
    zero_point = zero_point < 255 ? zero_point : 255; /* 255 for NaN, of an infinite range, too */
    job.zero_point = (int32_t)((zero_point + rounder) - rounder);
    if (run->node->out_count > 1 && run->out[1])
        array_real(run->out[1])[0] = job.scale;
    if (run->node->out_count > 2 && run->out[2])
        ((uint8_t *)run->out[2]->data)[0] = (uint8_t)job.zero_point;
    if (!run->out[0])
        return 0;
    job.y = run->out[0]->data;
    return loop_run(run->team, run->progress, count, dynamic_tile, &job, err);
}

static uint64_t dynamic_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    return tiles(shapes->in[0]) * sizeof(struct range);
}

/* The range is taken over all of x. */
static int dynamic_dims(struct relations *r, const struct op_run *shapes) {
    for (unsigned d = 0; d < shapes->in[0]->rank; d++)
        if (relate_contracted(r, AXIS_IN(0, d), shapes->out[0] ? AXIS_OUT(0, d) : AXIS_IN(0, d)) <
            0)
            return -1;
    return 0;
}

const struct op op_dynamic_quantize_linear = {
    .op_type = "DynamicQuantizeLinear",
    .domain = "",
    .min_version = 11,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 3,
    .infer = dynamic_infer,
    .forward = dynamic_forward,
    .scratch = dynamic_scratch,
    .dims = dynamic_dims,
    .doc = "numbers to u8 by their own range",
};
