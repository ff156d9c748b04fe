/*
 * Reductions over axes.
 *
 *   x    any shape          y    x's with the axes 1 (keepdims) or gone
 *
 * Axes are an attribute, and from version 13 (ReduceSum) or 18 (the others) on a second input. Axes
 * of x are two spaces, the kept and the summed ones, with neighbours joined; y's elements are cut
 * into tiles, so that every element is made by one thread, in f64. Where the fastest axis is kept,
 * rows are added under each other, else runs along it.
 *
 * The rows differ in a line of a switch each and share everything else.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/broadcast.h"
#include "compress/graph/relate.h"
#include "compress/tensor/vmath.h"

#include <math.h>
#include <string.h>

enum kind {
    SUM,
    MEAN,
    MAX,
    MIN,
    PROD,
    L1,
    L2,
    SUM_SQUARE,
    LOG_SUM,
    LOG_SUM_EXP,
    /* for backward */
    TIES,         /* how many are the result */
    ZEROS,        /* how many are 0 */
    NONZERO_PROD, /* product of the others */
};

struct reduce {
    enum kind kind;
    bool keepdims, noop;
    bool axes_given; /* by attribute */
    unsigned axis_count;
    int64_t axes[LIMIT_RANK];
};

/* ---- attributes ---- */

static int reduce_parse(const struct node *node, struct arena *arena, enum kind kind,
                        void **ret_params, struct err *err) {
    struct reduce *p = ARENA_NEW(arena, struct reduce);
    const int64_t *axes;
    size_t count;
    if (!p)
        return err_set(err, ERR_NO_MEMORY, "no memory for attributes");
    *p = (struct reduce){.kind = kind,
                         .keepdims = node_int(node, "keepdims", 1) != 0,
                         .noop = node_int(node, "noop_with_empty_axes", 0) != 0};
    bool by_input = node->version >= (kind == SUM ? 13 : 18);
    if (!by_input && node->in_count > 1)
        return op_fail(node, err, "axes are an attribute before version %d", kind == SUM ? 13 : 18);
    if (!by_input && node_ints(node, "axes", &axes, &count)) {
        if (count > LIMIT_RANK)
            return op_fail(node, err, "%zu axes", count);
        p->axes_given = true;
        p->axis_count = (unsigned)count;
        memcpy(p->axes, axes, count * sizeof *axes);
    }
    *ret_params = p;
    return 0;
}

/* The axes as bits. input: the second one, NULL when it is not given. */
static int axes_of(const struct node *node, const struct array *input, unsigned rank, unsigned *ret,
                   struct err *err) {
    const struct reduce *p = node->params;
    unsigned mask = 0;
    uint64_t count = p->axes_given ? p->axis_count : input ? input->elements : 0;
    for (uint64_t i = 0; i < count; i++) {
        unsigned axis;
        if (op_axis(node, p->axes_given ? p->axes[i] : array_int(input, i), rank, &axis, err) < 0)
            return -1;
        mask |= 1u << axis;
    }
    *ret = count || p->noop ? mask : (1u << rank) - 1;
    return 0;
}

/* backward may not read inputs that the row does not ask for: axes are a constant of the model. */
static int constant_axes(const struct op_run *run, unsigned *ret, struct err *err) {
    const struct node *node = run->node;
    bool given = node_has(node, 1);
    if (given && !node->in[1]->data && !(node->op->flags & OP_NEEDS_IN))
        return err_set(err, ERR_UNSUPPORTED, "%s: no gradient over axes that are computed",
                       node->op_type);
    const struct array *axes = !given ? NULL : node->in[1]->data ? node->in[1]->data : run->in[1];
    return axes_of(node, axes, run->in[0]->rank, ret, err);
}

static int reduce_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    const struct reduce *p = node->params;
    const struct type *x = &infer->in[0]->type;
    struct type *y = &infer->out[0].type;
    const struct fact *axes = node_has(node, 1) ? infer->in[1] : NULL;
    unsigned mask;
    y->dtype = x->dtype;
    if (x->dtype == DTYPE_STRING)
        return op_fail(node, err, "of strings");
    if (axes && axes->type.dtype && axes->type.dtype != DTYPE_I64)
        return op_fail(node, err, "axes are %s, not i64", dtype_row(axes->type.dtype)->name);
    if (!x->ranked)
        return 0;
    if (axes && !axes->data) { /* any axis may become 1 */
        bool none = axes->type.ranked && axes->type.rank == 1 && dim_known(axes->type.dims[0]) &&
                    axes->type.dims[0].size == 0;
        if (!none) {
            y->ranked = p->keepdims;
            y->rank = x->rank;
            for (unsigned d = 0; d < x->rank; d++)
                y->dims[d] = (struct dim){-1, symbols_get(infer->symbols, NULL)};
            return 0;
        }
    }
    if (axes_of(node, axes ? axes->data : NULL, x->rank, &mask, err) < 0)
        return -1;
    y->ranked = true;
    for (unsigned d = 0; d < x->rank; d++)
        if (!(mask >> d & 1))
            y->dims[y->rank++] = x->dims[d];
        else if (p->keepdims)
            y->dims[y->rank++] = DIM(1);
    return 0;
}

/* ---- the walk ---- */

struct space {
    unsigned groups; /* fastest first */
    uint64_t size[LIMIT_RANK], step[LIMIT_RANK];
    uint64_t count;
};

static uint64_t seek(const struct space *s, uint64_t index) {
    uint64_t at = 0;
    for (unsigned g = 0; g < s->groups; g++) {
        at += index % s->size[g] * s->step[g];
        index /= s->size[g];
    }
    return at;
}

enum { ROW = 512, WORK = 16384 };

struct job {
    enum kind kind;
    bool is_u64;
    struct space kept, summed;
    bool row_is_kept;
    uint64_t tile;
    const struct array *x, *y;
    const real *result; /* TIES: y of the forward pass */
    real *to;
};

static void job_init(struct job *job, const struct array *x, unsigned mask) {
    uint64_t stride = 1;
    int last = -1;
    job->x = x;
    job->is_u64 = x->dtype == DTYPE_U64;
    job->kept.count = job->summed.count = 1;
    job->row_is_kept = true;
    for (unsigned d = x->rank; d-- > 0;) {
        int reduced = (int)(mask >> d & 1);
        struct space *s = reduced ? &job->summed : &job->kept;
        if (x->dims[d] == 1)
            continue;
        if (last < 0)
            job->row_is_kept = !reduced;
        if (reduced == last) {
            s->size[s->groups - 1] *= x->dims[d];
        } else {
            s->step[s->groups] = stride;
            s->size[s->groups++] = x->dims[d];
        }
        s->count *= x->dims[d];
        stride *= x->dims[d];
        last = reduced;
    }
    uint64_t each = job->summed.count ? job->summed.count : 1;
    job->tile = each < WORK ? WORK / each : 1;
    if (job->row_is_kept && job->tile < ROW)
        job->tile = ROW;
}

static size_t tiles_of(const struct job *job) {
    return (size_t)((job->kept.count + job->tile - 1) / job->tile);
}

/* What the sum begins with. */
static double neutral(enum kind kind) {
    switch (kind) {
    case MAX:
        return -INFINITY;
    case MIN:
        return INFINITY;
    case PROD:
    case NONZERO_PROD:
        return 1;
    default:
        return 0;
    }
}

static double joined(enum kind kind, double sum, double x, double result) {
    switch (kind) {
    case MAX:
        return x > sum || x != x ? x : sum;
    case MIN:
        return x < sum || x != x ? x : sum;
    case PROD:
        return sum * x;
    case L1:
        return sum + fabs(x);
    case L2:
    case SUM_SQUARE:
        return sum + x * x;
    case TIES:
        return sum + (x == result);
    case ZEROS:
        return sum + (x == 0);
    case NONZERO_PROD:
        return x == 0 ? sum : sum * x;
    case LOG_SUM_EXP: /* result is the largest */
        return sum + exp(x - result);
    default:
        return sum + x;
    }
}

static double finished(enum kind kind, double sum, double largest, uint64_t count) {
    switch (kind) {
    case MEAN:
        return sum / (double)count;
    case L2:
        return sqrt(sum);
    case LOG_SUM:
        return log(sum);
    case LOG_SUM_EXP:
        return largest + log(sum);
    default:
        return sum;
    }
}

/* exp(x - largest) must not be exp(inf - inf). */
static double shift_by(double largest) {
    return isinf(largest) ? 0 : largest;
}

/* n elements of y next to each other, rows of x under each other. */
static void reduce_rows(const struct job *job, uint64_t e, size_t n) {
    const real *x = array_real(job->x);
    double sum[ROW], largest[ROW] = {0};
    uint64_t base = seek(&job->kept, e);
    if (job->kind == LOG_SUM_EXP) {
        for (size_t i = 0; i < n; i++)
            largest[i] = -INFINITY;
        for (uint64_t r = 0; r < job->summed.count; r++) {
            const real *row = x + base + seek(&job->summed, r);
            for (size_t i = 0; i < n; i++)
                largest[i] = joined(MAX, largest[i], (double)row[i], 0);
        }
        for (size_t i = 0; i < n; i++)
            largest[i] = shift_by(largest[i]);
    } else if (job->kind == TIES) {
        for (size_t i = 0; i < n; i++)
            largest[i] = (double)job->result[e + i];
    }
    for (size_t i = 0; i < n; i++)
        sum[i] = neutral(job->kind);
    for (uint64_t r = 0; r < job->summed.count; r++) {
        const real *row = x + base + seek(&job->summed, r);
        if (job->kind == SUM || job->kind == MEAN)
            for (size_t i = 0; i < n; i++)
                sum[i] += (double)row[i];
        else
            for (size_t i = 0; i < n; i++)
                sum[i] = joined(job->kind, sum[i], (double)row[i], largest[i]);
    }
    for (size_t i = 0; i < n; i++)
        job->to[e + i] = (real)finished(job->kind, sum[i], largest[i], job->summed.count);
}

/* Of MAX or MIN, in lanes that do not wait for each other; NaN, if there is one. */
static double run_extreme(enum kind kind, double so_far, const real *x, size_t n) {
    enum { LANES = 16 };
    real lane[LANES];
    int nan = 0;
    size_t i = 0;
    for (size_t j = 0; j < LANES; j++)
        lane[j] = (real)neutral(kind);
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            const real v = x[i + j];
            nan |= v != v;
            lane[j] = (kind == MAX ? v > lane[j] : v < lane[j]) ? v : lane[j];
        }
    for (size_t j = 0; j < LANES; j++)
        so_far = joined(kind, so_far, (double)lane[j], 0);
    for (; i < n; i++)
        so_far = joined(kind, so_far, (double)x[i], 0);
    return nan ? (double)NAN : so_far;
}

static double run_sum(enum kind kind, double sum, const real *x, size_t n, double result) {
    switch (kind) {
    case SUM:
    case MEAN:
    case LOG_SUM:
        return sum + vmath_sum(x, n);
    case L2:
    case SUM_SQUARE:
        return sum + vmath_sum_squares(x, 0, n);
    case MAX:
    case MIN:
        return sum != sum ? sum : run_extreme(kind, sum, x, n);
    default:
        for (size_t i = 0; i < n; i++)
            sum = joined(kind, sum, (double)x[i], result);
        return sum;
    }
}

/* One element of y, runs of x. */
static void reduce_runs(const struct job *job, uint64_t e) {
    const real *x = array_real(job->x) + seek(&job->kept, e);
    double sum = neutral(job->kind), result = 0;
    uint64_t row = job->summed.groups ? job->summed.size[0] : 1;
    if (job->kind == LOG_SUM_EXP) {
        result = -INFINITY;
        for (uint64_t r = 0; r < job->summed.count; r += row)
            result = run_sum(MAX, result, x + seek(&job->summed, r), (size_t)row, 0);
        result = shift_by(result);
    } else if (job->kind == TIES) {
        result = (double)job->result[e];
    }
    for (uint64_t r = 0; r < job->summed.count; r += row)
        sum = run_sum(job->kind, sum, x + seek(&job->summed, r), (size_t)row, result);
    job->to[e] = (real)finished(job->kind, sum, result, job->summed.count);
}

static int real_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct job *job = ctx;
    uint64_t e = tile * job->tile,
             end = job->kept.count - e < job->tile ? job->kept.count : e + job->tile;
    while (e < end) {
        uint64_t left =
            job->row_is_kept && job->kept.groups ? job->kept.size[0] - e % job->kept.size[0] : 1;
        size_t n = (size_t)(left < end - e ? left : end - e);
        n = n < ROW ? n : ROW;
        if (job->row_is_kept)
            reduce_rows(job, e, n);
        else
            reduce_runs(job, e);
        e += n;
    }
    return 0;
}

/* ---- integers: one at a time, in 64 bits that wrap around ---- */

static int64_t least_of(enum dtype dtype) {
    switch (dtype) {
    case DTYPE_I64:
        return INT64_MIN;
    case DTYPE_I32:
        return INT32_MIN;
    case DTYPE_I16:
        return INT16_MIN;
    case DTYPE_I8:
        return INT8_MIN;
    case DTYPE_I4:
        return -8;
    default:
        return 0;
    }
}

static int64_t most_of(enum dtype dtype) {
    switch (dtype) {
    case DTYPE_BOOL:
        return 1;
    case DTYPE_U64:
        return -1;
    case DTYPE_U32:
        return UINT32_MAX;
    case DTYPE_U16:
        return UINT16_MAX;
    case DTYPE_U8:
        return UINT8_MAX;
    case DTYPE_U4:
        return 15;
    default:
        return ~least_of(dtype);
    }
}

static bool int_less(const struct job *job, int64_t a, int64_t b) {
    return job->is_u64 ? (uint64_t)a < (uint64_t)b : a < b;
}

static int64_t joined_int(const struct job *job, int64_t sum, int64_t x) {
    switch (job->kind) {
    case MAX:
        return int_less(job, sum, x) ? x : sum;
    case MIN:
        return int_less(job, x, sum) ? x : sum;
    case PROD:
        return (int64_t)((uint64_t)sum * (uint64_t)x);
    case L1:
        return (int64_t)((uint64_t)sum + (x < 0 && !job->is_u64 ? -(uint64_t)x : (uint64_t)x));
    case SUM_SQUARE:
        return (int64_t)((uint64_t)sum + (uint64_t)x * (uint64_t)x);
    default:
        return (int64_t)((uint64_t)sum + (uint64_t)x);
    }
}

static int64_t truncated(double x) {
    return !(x >= -0x1p63) ? (x != x ? 0 : INT64_MIN) : x >= 0x1p63 ? INT64_MAX : (int64_t)x;
}

static int64_t reduced_int(const struct job *job, uint64_t e) {
    uint64_t base = seek(&job->kept, e), count = job->summed.count;
    bool by_float = job->kind == L2 || job->kind == LOG_SUM || job->kind == LOG_SUM_EXP;
    double sum = neutral(job->kind), largest = -INFINITY;
    int64_t whole = job->kind == MAX   ? least_of(job->x->dtype)
                    : job->kind == MIN ? most_of(job->x->dtype)
                                       : job->kind == PROD;
    for (uint64_t r = 0; r < count && job->kind == LOG_SUM_EXP; r++)
        largest = fmax(largest, array_number(job->x, base + seek(&job->summed, r)));
    for (uint64_t r = 0; r < count; r++) {
        uint64_t at = base + seek(&job->summed, r);
        if (by_float)
            sum = joined(job->kind, sum, array_number(job->x, at), shift_by(largest));
        else
            whole = joined_int(job, whole, array_int(job->x, at));
    }
    if (by_float)
        return truncated(finished(job->kind, sum, shift_by(largest), count));
    if (job->kind == MEAN && count)
        return job->is_u64 ? (int64_t)((uint64_t)whole / count) : whole / (int64_t)count;
    return whole;
}

static int int_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct job *job = ctx;
    unsigned item = array_item_bytes(job->y->dtype);
    uint64_t e = tile * job->tile,
             end = job->kept.count - e < job->tile ? job->kept.count : e + job->tile;
    for (; e < end; e++) {
        int64_t value = reduced_int(job, e);
        struct array wide = {DTYPE_I64, 0, {0}, 1, &value};
        struct array to = {job->y->dtype, 0, {0}, 1, (char *)job->y->data + e * item};
        if (array_convert(&wide, &to, false, err) < 0)
            return -1;
    }
    return 0;
}

static int reduce_forward(const struct op_run *run, struct err *err) {
    const struct reduce *p = run->node->params;
    const struct array *x = run->in[0], *y = run->out[0];
    unsigned mask;
    bool is_float = dtype_row(x->dtype)->is_float;
    if (axes_of(run->node, node_has(run->node, 1) ? run->in[1] : NULL, x->rank, &mask, err) < 0)
        return -1;
    if ((is_float && x->dtype != DTYPE_F32) || array_item_bytes(x->dtype) == 0 ||
        x->dtype == DTYPE_C64 || x->dtype == DTYPE_C128)
        return err_set(err, ERR_UNSUPPORTED, "%s of %s is not executable", run->node->op_type,
                       dtype_row(x->dtype)->name);
    if (mask == 0 && p->noop) {
        memmove(y->data, x->data, (size_t)array_bytes(x));
        return 0;
    }
    struct job job = {.kind = p->kind, .y = y, .to = is_float ? array_real(y) : NULL};
    job_init(&job, x, mask);
    if (job.kept.count != y->elements) /* axes that inference did not know */
        return op_fail(run->node, err, "the result has %llu elements, not %llu",
                       (unsigned long long)job.kept.count, (unsigned long long)y->elements);
    return loop_run(run->team, run->progress, tiles_of(&job), is_float ? real_tile : int_tile, &job,
                    err);
}

/* ---- backward: x, y and dy side by side, y and dy with their axes back ---- */

struct slope {
    enum kind kind;
    real count;                       /* MEAN */
    const real *extra, *more, *start; /* TIES; or NONZERO_PROD and ZEROS; of y's first element */
};

/* in: x, y, dy; out: dx */
static int slope_run(void *ctx, const struct broadcast_run *run, struct err *err) {
    const struct slope *s = ctx;
    const real *x = run->in[0], *py = run->in[1], *pdy = run->in[2];
    const size_t sy = run->step[1], at = s->start ? (size_t)(py - s->start) : 0;
    real *dx = run->out;
    for (size_t i = 0; i < run->n; i++) {
        const real dy = pdy[i * run->step[2]];
        real g = 0;
        switch (s->kind) {
        case SUM:
            g = dy;
            break;
        case MEAN:
            g = dy / s->count;
            break;
        case L1:
            g = x[i] > 0 ? dy : x[i] < 0 ? -dy : 0;
            break;
        case L2:
            g = py[i * sy] > 0 ? dy * x[i] / py[i * sy] : 0;
            break;
        case SUM_SQUARE:
            g = 2 * x[i] * dy;
            break;
        case LOG_SUM:
            g = dy * (real)exp(-(double)py[i * sy]);
            break;
        case LOG_SUM_EXP:
            g = dy * (real)exp((double)x[i] - (double)py[i * sy]);
            break;
        case MAX:
        case MIN:
            g = x[i] == py[i * sy] ? dy / s->extra[at + i * sy] : 0;
            break;
        case PROD: {
            real zeros = s->more[at + i * sy], product = s->extra[at + i * sy];
            g = zeros == 0 ? dy * product / x[i] : zeros == 1 && x[i] == 0 ? dy * product : 0;
            break;
        }
        default:
            break;
        }
        dx[i] += g;
    }
    return 0;
}

/* An extra reduction of x into scratch. */
static int also(const struct op_run *run, enum kind kind, unsigned mask, real *to,
                struct err *err) {
    struct job job = {.kind = kind, .result = array_real(run->out[0]), .to = to};
    job_init(&job, run->in[0], mask);
    return loop_run(run->team, run->progress, tiles_of(&job), real_tile, &job, err);
}

static int identity_run(void *ctx, const struct broadcast_run *run, struct err *err) {
    vmath_add(run->out, run->in[0], run->n, run->out);
    return 0;
}

static int reduce_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    const struct reduce *p = run->node->params;
    unsigned mask;
    if (!back->dout[0] || !back->din[0])
        return 0;
    if (constant_axes(run, &mask, err) < 0)
        return -1;
    struct array dx = *back->din[0], dy = *back->dout[0], y = *run->out[0];
    if (mask == 0 && p->noop) {
        const struct array *one = &dy;
        return broadcast_forward(run, &(struct broadcast){&one, 1, &dx}, identity_run, NULL, err);
    }
    uint64_t count = 1;
    for (unsigned d = 0; d < dx.rank; d++) {
        y.dims[d] = mask >> d & 1 ? 1 : dx.dims[d];
        count *= mask >> d & 1 ? dx.dims[d] : 1;
    }
    y.rank = dy.rank = dx.rank;
    memcpy(dy.dims, y.dims, sizeof dy.dims);
    struct slope slope = {.kind = p->kind, .count = (real)count};
    real *scratch = run->scratch;
    if (p->kind == MAX || p->kind == MIN) {
        if (also(run, TIES, mask, scratch, err) < 0)
            return -1;
        slope.extra = scratch;
    } else if (p->kind == PROD) {
        if (also(run, NONZERO_PROD, mask, scratch, err) < 0 ||
            also(run, ZEROS, mask, scratch + y.elements, err) < 0)
            return -1;
        slope.extra = scratch;
        slope.more = scratch + y.elements;
    }
    slope.start = array_real(&y);
    const struct array *all[3] = {run->in[0], &y, &dy};
    return broadcast_forward(run, &(struct broadcast){all, 3, &dx}, slope_run, &slope, err);
}

static uint64_t reduce_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    const struct reduce *p = shapes->node->params;
    uint64_t each = p->kind == MAX || p->kind == MIN ? 1 : p->kind == PROD ? 2 : 0;
    return backward ? each * shapes->out[0]->elements * sizeof(real) : 0;
}

/* ---- axes: what is reduced may be cut, and changes the result ---- */

static int reduce_dims(struct relations *r, const struct op_run *shapes) {
    const struct reduce *p = shapes->node->params;
    const struct array *x = shapes->in[0];
    const struct array *axes = node_has(shapes->node, 1) ? shapes->in[1] : NULL;
    unsigned mask = 0, out = 0;
    bool known = !axes || axes->data;
    if (known && axes_of(shapes->node, axes, x->rank, &mask, NULL) < 0)
        return -1;
    int done = relate_fixed(r, AXIS_IN(1, 0)); /* ignored where axes are an attribute */
    for (unsigned d = 0; d < x->rank && done == 0 && !known; d++)
        done = relate_fixed(r, AXIS_IN(0, d));
    for (unsigned d = 0; d < shapes->out[0]->rank && done == 0 && !known; d++)
        done = relate_fixed(r, AXIS_OUT(0, d));
    for (unsigned d = 0; d < x->rank && done == 0 && known; d++) {
        bool reduced = mask >> d & 1;
        if (!reduced)
            done = relate_same(r, AXIS_IN(0, d), AXIS_OUT(0, out));
        else if (x->dims[d] > 1)
            done = relate_contracted(r, AXIS_IN(0, d), AXIS_IN(0, d));
        else
            done = relate_fixed(r, AXIS_IN(0, d));
        if (done == 0 && reduced && p->keepdims)
            done = relate_fixed(r, AXIS_OUT(0, out));
        out += !reduced || p->keepdims;
    }
    return done;
}

#define REDUCE_ROW(row, type, of_kind, row_flags, text)                                     \
    static int row##_parse(const struct node *node, struct arena *arena, void **ret_params, \
                           struct err *err) {                                               \
        return reduce_parse(node, arena, of_kind, ret_params, err);                         \
    }                                                                                       \
    const struct op op_##row = {.op_type = type,                                            \
                                .domain = "",                                               \
                                .min_version = 1,                                           \
                                .max_version = OP_ONNX_VERSION,                             \
                                .min_in = 1,                                                \
                                .max_in = 2,                                                \
                                .min_out = 1,                                               \
                                .max_out = 1,                                               \
                                .flags = row_flags,                                         \
                                .parse = row##_parse,                                       \
                                .infer = reduce_infer,                                      \
                                .forward = reduce_forward,                                  \
                                .backward = reduce_backward,                                \
                                .scratch = reduce_scratch,                                  \
                                .dims = reduce_dims,                                        \
                                .tolerance = 1e-6,                                          \
                                .doc = text};
REDUCE_ROW(reduce_sum, "ReduceSum", SUM, 0, "sum over axes")
REDUCE_ROW(reduce_mean, "ReduceMean", MEAN, 0, "mean over axes")
REDUCE_ROW(reduce_max, "ReduceMax", MAX, OP_NEEDS_IN | OP_NEEDS_OUT, "largest over axes")
REDUCE_ROW(reduce_min, "ReduceMin", MIN, OP_NEEDS_IN | OP_NEEDS_OUT, "smallest over axes")
REDUCE_ROW(reduce_prod, "ReduceProd", PROD, OP_NEEDS_IN, "product over axes")
REDUCE_ROW(reduce_l1, "ReduceL1", L1, OP_NEEDS_IN, "sum of magnitudes")
REDUCE_ROW(reduce_l2, "ReduceL2", L2, OP_NEEDS_IN | OP_NEEDS_OUT, "root of the sum of squares")
REDUCE_ROW(reduce_sum_square, "ReduceSumSquare", SUM_SQUARE, OP_NEEDS_IN, "sum of squares")
REDUCE_ROW(reduce_log_sum, "ReduceLogSum", LOG_SUM, OP_NEEDS_OUT, "logarithm of the sum")
REDUCE_ROW(reduce_log_sum_exp, "ReduceLogSumExp", LOG_SUM_EXP, OP_NEEDS_IN | OP_NEEDS_OUT,
           "logarithm of the sum of exponentials")
