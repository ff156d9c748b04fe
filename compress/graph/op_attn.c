/*
 * Attention: softmax(scale Q Kᵀ + mask) V, head by head.
 *
 *   Attention (ONNX 23)                          com.microsoft::MultiHeadAttention
 *   Q [B,H,T,D] or [B,T,H*D]                     query [B,T,H*D]
 *   K [B,G,S,D] or [B,S,G*D]                     key [B,S,H*D] or [B,H,S,D]
 *   V [B,G,S,E] or [B,S,G*E]                     value [B,S,H*E] or [B,H,S,E]
 *   mask, broadcast to [B,H,T,L]                 attention bias, the same
 *   past key [B,G,P,D], past value [B,G,P,E]     the same
 *   → Y like Q with E for D, present key [B,G,P+S,D], present value [B,G,P+S,E],
 *     and Attention's scores [B,H,T,L]: scaled (mode 0), capped (1), masked (2), softmax of them
 * (3)
 *
 * L = P + S keys. Query head h reads key head h / (H / G). Scores are scaled, capped
 * (softcap · tanh(score / softcap)), then masked: a float mask is added, a false one is -inf, a
 * mask shorter than L is -inf behind its end; causal: query t sees keys up to t + P. A query that
 * sees no key gives 0 (onnx/reference/ops/op_attention.py of ONNX 1.20 and later).
 *
 * Forward: a tile is a block of queries of one head; keys come by in blocks, and the softmax is
 * carried along with a running maximum (Milakov, Gimelshein 2018; Dao et al. 2022,
 * "FlashAttention"), so that no more than BLOCK x KEYS scores exist at once.
 * Backward: a tile is a key head, so that what flows into a key is added by one thread in a fixed
 * order; the scores of a block of queries are computed anew. With P = softmax(S):
 *   dV = Pᵀ dY, dP = dY Vᵀ, dS = P ∘ (dP - rowsum(P ∘ dP)), dQ = scale dS K, dK = scale dSᵀ Q
 * A mask that wants its gradient has tiles of its own, one per block of its own rows.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/content.h"
#include "compress/graph/op.h"
#include "compress/graph/relate.h"
#include "compress/tensor/gemm.h"
#include "compress/tensor/vmath.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Queries and keys of a block: its scores (64 KiB) stay in the L2 cache beside its keys. */
enum { BLOCK = 64, KEYS = 256 };

enum { NO_SLOT = 64 }; /* beyond any input or output */

struct attn_params {
    uint64_t q_heads, kv_heads; /* 0: as the shapes say */
    double scale;               /* 0: 1 / sqrt(D) */
    double softcap;             /* 0: none */
    bool causal;
    int scores_mode;
    /* where things stand */
    size_t mask, past_key, past_value;
    size_t present_key, present_value, scores;
};

/* Where a head's rows lie: element d of row t of head h of batch b is at
 * b * batch + h * head + t * row + d. */
struct layout {
    size_t batch, head, row;
};

/* Keys and values in a row: those of the past, or the new ones. */
struct segment {
    const real *k, *v;
    real *dk, *dv;
    size_t k_row, v_row;
    size_t first, count; /* among all L */
};

struct attn_job {
    const struct attn_params *params;
    size_t batches, heads, groups, queries, past, keys, width, value_width; /* B H G T P L D E */
    real scale;
    const real *q, *k, *v, *past_k, *past_v;
    struct layout q_at, k_at, v_at, y_at;
    /* mask */
    const struct array *mask;
    size_t mask_dims[4]; /* as [B,H,T,L], 1 where it is broadcast */
    size_t mask_step[3]; /* elements from one b, h, t to the next; 0 where it is broadcast */
    real *y, *scores;
    real *scratch;
    size_t panel; /* elements of one of a worker's panels */
    /* backward */
    const real *dy, *dscores, *dpresent_k, *dpresent_v; /* NULL: none flows */
    real *dq, *dk, *dv, *dpast_k, *dpast_v, *dmask;     /* NULL: not wanted */
};

static const struct array *input(const struct op_run *run, size_t slot) {
    return slot < run->node->in_count ? run->in[slot] : NULL;
}

static struct array *output(const struct op_run *run, size_t slot) {
    return slot < run->node->out_count ? run->out[slot] : NULL;
}

/* ---- parsing ---- */

static struct attn_params *new_params(const struct node *node, struct arena *arena,
                                      struct err *err) {
    struct attn_params *params = ARENA_NEW(arena, struct attn_params);
    if (!params) {
        err_set(err, ERR_NO_MEMORY, "no memory for the attributes of attention");
        return NULL;
    }
    params->scale = (double)node_float(node, "scale", 0);
    if (!isfinite(params->scale)) {
        op_fail(node, err, "scale %g", params->scale);
        return NULL;
    }
    return params;
}

static int attention_parse(const struct node *node, struct arena *arena, void **ret_params,
                           struct err *err) {
    struct attn_params *params = new_params(node, arena, err);
    if (!params)
        return -1;
    int64_t q_heads = node_int(node, "q_num_heads", 0);
    int64_t kv_heads = node_int(node, "kv_num_heads", 0);
    int64_t mode = node_int(node, "qk_matmul_output_mode", 0);
    int64_t precision = node_int(node, "softmax_precision", 1);
    if (q_heads < 0 || kv_heads < 0)
        return op_fail(node, err, "a negative number of heads");
    if (mode < 0 || mode > 3)
        return op_fail(node, err, "qk_matmul_output_mode %" PRId64, mode);
    if (node_has(node, 6)) /* nonpad_kv_seqlen, since version 24 */
        return err_set(err, ERR_UNSUPPORTED,
                       "Attention over keys of several lengths is not executable");
    /* The softmax is in f32; narrower types are no better, f64 would be. */
    if (dtype_by_onnx(precision) == DTYPE_F64)
        return err_set(err, ERR_UNSUPPORTED, "Attention with a softmax in f64 is not executable");
    params->q_heads = (uint64_t)q_heads;
    params->kv_heads = (uint64_t)kv_heads;
    params->softcap = (double)node_float(node, "softcap", 0);
    if (!(params->softcap >= 0) || !isfinite(params->softcap))
        return op_fail(node, err, "softcap %g", params->softcap);
    params->causal = node_int(node, "is_causal", 0) != 0;
    params->scores_mode = (int)mode;
    params->mask = 3;
    params->past_key = 4;
    params->past_value = 5;
    params->present_key = 1;
    params->present_value = 2;
    params->scores = 3;
    *ret_params = params;
    return 0;
}

/* Packed projections, biases and padding masks are other forms of the same: carried. */
static int mha_parse(const struct node *node, struct arena *arena, void **ret_params,
                     struct err *err) {
    struct attn_params *params = new_params(node, arena, err);
    if (!params)
        return -1;
    int64_t heads = node_int(node, "num_heads", 0);
    if (heads <= 0)
        return op_fail(node, err, "num_heads %" PRId64, heads);
    if (!node_has(node, 1) || !node_has(node, 2) || node_has(node, 3) || node_has(node, 4) ||
        node_has(node, 8) || node_has(node, 9) || (node->out_count > 3 && node->out[3]))
        return err_set(err, ERR_UNSUPPORTED,
                       "MultiHeadAttention with packed projections, bias, padding mask, cache "
                       "indirection or output of scores is not executable");
    const struct type *type = &node->in[0]->type;
    if (type->ranked && type->rank != 3)
        return err_set(err, ERR_UNSUPPORTED,
                       "MultiHeadAttention of a query of rank %u is not executable", type->rank);
    params->q_heads = params->kv_heads = (uint64_t)heads;
    params->causal = node_int(node, "unidirectional", 0) != 0;
    params->mask = 5;
    params->past_key = 6;
    params->past_value = 7;
    params->present_key = 1;
    params->present_value = 2;
    params->scores = NO_SLOT;
    *ret_params = params;
    return 0;
}

/* ---- inference ---- */

struct head_dims {
    bool known;
    struct dim batch, heads, rows, width;
};

static bool differ(struct dim a, struct dim b) {
    return dim_known(a) && dim_known(b) && a.size != b.size;
}

static struct dim fresh(struct op_infer *infer) {
    return (struct dim){-1, symbols_get(infer->symbols, NULL)};
}

/* [B,N,T,D], or [B,T,N*D] and the number of heads from the attribute. */
static int head_dims(struct op_infer *infer, size_t slot, uint64_t heads, struct head_dims *ret,
                     struct err *err) {
    const struct type *type = &infer->in[slot]->type;
    *ret = (struct head_dims){.known = type->ranked};
    if (!type->ranked)
        return 0;
    ret->batch = type->dims[0];
    if (type->rank == 4) {
        ret->heads = type->dims[1];
        ret->rows = type->dims[2];
        ret->width = type->dims[3];
        if (heads && differ(ret->heads, DIM(heads)))
            return op_fail(infer->node, err, "input %zu has %" PRId64 " heads, not %" PRIu64, slot,
                           ret->heads.size, heads);
        return 0;
    }
    if (type->rank != 3)
        return op_fail(infer->node, err, "input %zu is of rank %u, neither 3 nor 4", slot,
                       type->rank);
    if (!heads)
        return op_fail(infer->node, err, "inputs of rank 3 do not say how many heads there are");
    ret->heads = DIM(heads);
    ret->rows = type->dims[1];
    struct dim hidden = type->dims[2];
    if (dim_known(hidden) && (uint64_t)hidden.size % heads)
        return op_fail(infer->node, err,
                       "%" PRId64 " columns of input %zu are no %" PRIu64 " heads", hidden.size,
                       slot, heads);
    ret->width = dim_known(hidden) ? DIM((uint64_t)hidden.size / heads) : fresh(infer);
    return 0;
}

static int check_heads(struct op_infer *infer, const struct head_dims *q, const struct head_dims *k,
                       const struct head_dims *v, struct err *err) {
    const struct node *node = infer->node;
    if (q->known && k->known) {
        if (differ(q->batch, k->batch))
            return op_fail(node, err, "queries and keys are of different batches");
        if (differ(q->width, k->width))
            return op_fail(node, err, "queries of %" PRId64 " columns, keys of %" PRId64,
                           q->width.size, k->width.size);
        if (dim_known(q->heads) && dim_known(k->heads) &&
            (k->heads.size == 0 || q->heads.size % k->heads.size))
            return op_fail(node, err, "%" PRId64 " heads of queries for %" PRId64 " of keys",
                           q->heads.size, k->heads.size);
    }
    if (k->known && v->known &&
        (differ(k->batch, v->batch) || differ(k->heads, v->heads) || differ(k->rows, v->rows)))
        return op_fail(node, err, "keys and values disagree in batch, heads or length");
    return 0;
}

static const struct type *type_at(const struct op_infer *infer, size_t slot) {
    return slot < infer->node->in_count && infer->in[slot] ? &infer->in[slot]->type : NULL;
}

/* The past's length; DIM(0) when there is none. */
static int past_length(struct op_infer *infer, const struct head_dims *k, const struct head_dims *v,
                       struct dim *ret, struct err *err) {
    const struct attn_params *params = infer->node->params;
    const struct type *past[2] = {type_at(infer, params->past_key),
                                  type_at(infer, params->past_value)};
    const struct head_dims *now[2] = {k, v};
    *ret = DIM(0);
    if (!past[0] != !past[1])
        return op_fail(infer->node, err, "past keys and past values come together");
    for (int i = 0; i < 2; i++) {
        if (!past[i])
            return 0;
        if (!past[i]->ranked) {
            if (i == 0)
                *ret = fresh(infer);
            continue;
        }
        const struct dim *dims = past[i]->dims;
        if (past[i]->rank != 4 ||
            (now[i]->known && (differ(dims[0], now[i]->batch) || differ(dims[1], now[i]->heads) ||
                               differ(dims[3], now[i]->width))))
            return op_fail(infer->node, err, "the past does not fit keys and values");
        if (i == 1 && differ(*ret, dims[2]))
            return op_fail(infer->node, err, "past keys and past values differ in length");
        if (i == 0 || !dim_known(*ret))
            *ret = dims[2];
    }
    return 0;
}

static int check_mask(struct op_infer *infer, const struct head_dims *q, struct dim keys,
                      struct err *err) {
    const struct attn_params *params = infer->node->params;
    const struct type *mask = type_at(infer, params->mask);
    if (!mask)
        return 0;
    if (mask->dtype != DTYPE_NONE && mask->dtype != DTYPE_BOOL && !dtype_row(mask->dtype)->is_float)
        return op_fail(infer->node, err, "a mask of %s", dtype_row(mask->dtype)->name);
    if (!mask->ranked)
        return 0;
    if (mask->rank < 1 || mask->rank > 4)
        return op_fail(infer->node, err, "a mask of rank %u", mask->rank);
    struct dim want[4] = {q->batch, q->heads, q->rows, keys};
    for (unsigned d = 4 - mask->rank; d < 3; d++) {
        struct dim dim = mask->dims[d - (4 - mask->rank)];
        if (q->known && differ(dim, want[d]) && dim.size != 1)
            return op_fail(infer->node, err, "a mask of %" PRId64 " where there are %" PRId64,
                           dim.size, want[d].size);
    }
    struct dim last = mask->dims[mask->rank - 1];
    if (dim_known(last) && dim_known(keys) && last.size > keys.size)
        return op_fail(infer->node, err, "a mask of %" PRId64 " keys where there are %" PRId64,
                       last.size, keys.size);
    return 0;
}

static void four(struct op_infer *infer, size_t slot, enum dtype dtype, bool known, struct dim a,
                 struct dim b, struct dim c, struct dim d) {
    if (slot < infer->node->out_count)
        infer->out[slot].type =
            (struct type){.dtype = dtype, .ranked = known, .rank = 4, .dims = {a, b, c, d}};
}

static int attn_infer(struct op_infer *infer, struct err *err) {
    const struct attn_params *params = infer->node->params;
    struct head_dims q, k, v;
    struct dim past;
    if (head_dims(infer, 0, params->q_heads, &q, err) < 0 ||
        head_dims(infer, 1, params->kv_heads, &k, err) < 0 ||
        head_dims(infer, 2, params->kv_heads, &v, err) < 0 ||
        check_heads(infer, &q, &k, &v, err) < 0 || past_length(infer, &k, &v, &past, err) < 0)
        return -1;
    struct dim keys = k.known ? k.rows : fresh(infer);
    if (!dim_known(past) || past.size != 0)
        keys = dim_known(past) && dim_known(keys) ? DIM(past.size + keys.size) : fresh(infer);
    if (check_mask(infer, &q, keys, err) < 0)
        return -1;
    enum dtype dtype = infer->in[0]->type.dtype;
    struct type *y = &infer->out[0].type;
    y->dtype = dtype;
    y->ranked = q.known && v.known;
    y->rank = infer->in[0]->type.rank;
    y->dims[0] = q.batch;
    if (y->rank == 3) {
        bool whole = dim_known(q.heads) && dim_known(v.width);
        y->dims[1] = q.rows;
        y->dims[2] = whole ? DIM(q.heads.size * v.width.size) : fresh(infer);
    } else {
        y->dims[1] = q.heads;
        y->dims[2] = q.rows;
        y->dims[3] = v.width;
    }
    four(infer, params->present_key, infer->in[1]->type.dtype, k.known, k.batch, k.heads, keys,
         k.width);
    four(infer, params->present_value, infer->in[2]->type.dtype, v.known, v.batch, v.heads, keys,
         v.width);
    four(infer, params->scores, dtype, q.known, q.batch, q.heads, q.rows, keys);
    return 0;
}

/* ---- the job ---- */

static size_t dim_at(const struct array *x, unsigned d) {
    return (size_t)x->dims[d];
}

static struct layout layout_of(const struct array *x, size_t heads) {
    if (x->rank == 4)
        return (struct layout){(size_t)(x->dims[1] * x->dims[2] * x->dims[3]),
                               (size_t)(x->dims[2] * x->dims[3]), (size_t)x->dims[3]};
    return (struct layout){(size_t)(x->dims[1] * x->dims[2]), heads ? dim_at(x, 2) / heads : 0,
                           dim_at(x, 2)};
}

/* Numbers alone: what scratch and MACs need. */
static struct attn_job attn_sizes(const struct op_run *run) {
    const struct attn_params *params = run->node->params;
    const struct array *q = run->in[0], *k = run->in[1], *v = run->in[2];
    const struct array *past = input(run, params->past_key);
    struct attn_job job = {.params = params, .batches = dim_at(q, 0)};
    job.heads = q->rank == 4 ? dim_at(q, 1) : (size_t)params->q_heads;
    job.groups = k->rank == 4 ? dim_at(k, 1) : (size_t)params->kv_heads;
    job.queries = dim_at(q, q->rank == 4 ? 2 : 1);
    job.past = past ? dim_at(past, 2) : 0;
    job.keys = job.past + dim_at(k, k->rank == 4 ? 2 : 1);
    job.width = q->rank == 4 ? dim_at(q, 3) : dim_at(q, 2) / job.heads;
    job.value_width = v->rank == 4 ? dim_at(v, 3) : dim_at(v, 2) / job.groups;
    job.q_at = layout_of(q, job.heads);
    job.k_at = layout_of(k, job.groups);
    job.v_at = layout_of(v, job.groups);
    job.y_at = q->rank == 4 ? (struct layout){job.heads * job.queries * job.value_width,
                                              job.queries * job.value_width, job.value_width}
                            : (struct layout){job.heads * job.queries * job.value_width,
                                              job.value_width, job.heads * job.value_width};
    return job;
}

static struct attn_job attn_job(const struct op_run *run) {
    struct attn_job job = attn_sizes(run);
    const struct attn_params *params = job.params;
    const struct array *past_k = input(run, params->past_key);
    const struct array *past_v = input(run, params->past_value);
    job.scale = (real)(params->scale != 0 ? params->scale : 1 / sqrt((double)job.width));
    job.q = array_real(run->in[0]);
    job.k = array_real(run->in[1]);
    job.v = array_real(run->in[2]);
    job.past_k = past_k ? array_real(past_k) : NULL;
    job.past_v = past_v ? array_real(past_v) : NULL;
    job.scratch = run->scratch;
    job.mask = input(run, params->mask);
    if (job.mask) {
        unsigned skip = 4 - job.mask->rank;
        for (unsigned d = 0; d < 4; d++)
            job.mask_dims[d] = d < skip ? 1 : dim_at(job.mask, d - skip);
        size_t step = job.mask_dims[3];
        for (unsigned d = 3; d-- > 0;) {
            job.mask_step[d] = job.mask_dims[d] == 1 ? 0 : step;
            step *= job.mask_dims[d];
        }
    }
    return job;
}

static size_t query_blocks(const struct attn_job *job) {
    return (job->queries + BLOCK - 1) / BLOCK;
}

/* How many keys the queries [first, first + rows) see at most. */
static size_t seen(const struct attn_job *job, size_t first, size_t rows) {
    size_t limit = job->past + first + rows;
    return job->params->causal && limit < job->keys ? limit : job->keys;
}

static void *moved(const real *base, size_t by) {
    return base ? (void *)(uintptr_t)(base + by) : NULL;
}

/* Past and present of a key head; counts may be 0. */
static void segments(const struct attn_job *job, size_t b, size_t g, struct segment *ret) {
    size_t past_k = (b * job->groups + g) * job->past * job->width;
    size_t past_v = (b * job->groups + g) * job->past * job->value_width;
    size_t k = b * job->k_at.batch + g * job->k_at.head;
    size_t v = b * job->v_at.batch + g * job->v_at.head;
    ret[0] = (struct segment){.k = moved(job->past_k, past_k),
                              .v = moved(job->past_v, past_v),
                              .dk = moved(job->dpast_k, past_k),
                              .dv = moved(job->dpast_v, past_v),
                              .k_row = job->width,
                              .v_row = job->value_width,
                              .count = job->past};
    ret[1] = (struct segment){.k = job->k + k,
                              .v = job->v + v,
                              .dk = moved(job->dk, k),
                              .dv = moved(job->dv, v),
                              .k_row = job->k_at.row,
                              .v_row = job->v_at.row,
                              .first = job->past,
                              .count = job->keys - job->past};
}

/* A part of a segment, [from, from + count) counted within it. */
static struct segment part(const struct segment *s, size_t from, size_t count) {
    return (struct segment){.k = s->k + from * s->k_row,
                            .v = s->v + from * s->v_row,
                            .dk = moved(s->dk, from * s->k_row),
                            .dv = moved(s->dv, from * s->v_row),
                            .k_row = s->k_row,
                            .v_row = s->v_row,
                            .first = s->first + from,
                            .count = count};
}

/* ---- scores of some queries and keys: s[row * step + column] ---- */

struct block {
    size_t b, h, first, rows; /* queries */
};

static void scaled_scores(const struct attn_job *job, const struct block *at,
                          const struct segment *keys, real *s, size_t step) {
    gemm_tile(&(struct gemm){.b_transposed = true,
                             .m = at->rows,
                             .n = keys->count,
                             .k = job->width,
                             .alpha = job->scale,
                             .a = job->q + at->b * job->q_at.batch + at->h * job->q_at.head +
                                  at->first * job->q_at.row,
                             .lda = job->q_at.row,
                             .b = keys->k,
                             .ldb = keys->k_row,
                             .c = s,
                             .ldc = step});
}

static void cap_scores(const struct attn_job *job, size_t rows, size_t columns, real *s,
                       size_t step) {
    real cap = (real)job->params->softcap;
    for (size_t r = 0; cap > 0 && r < rows; r++) {
        real *row = s + r * step;
        vmath_mul_scalar(row, 1 / cap, columns, row);
        vmath_tanh(row, columns, row);
        vmath_mul_scalar(row, cap, columns, row);
    }
}

/* Columns are the keys [first, first + columns). */
static void mask_scores(const struct attn_job *job, const struct block *at, size_t first,
                        size_t columns, real *s, size_t step) {
    for (size_t r = 0; r < at->rows; r++) {
        real *row = s + r * step;
        size_t t = at->first + r, end = columns;
        if (job->mask) {
            size_t start = at->b * job->mask_step[0] + at->h * job->mask_step[1] +
                           t * job->mask_step[2] + first;
            size_t given = job->mask_dims[3] > first ? job->mask_dims[3] - first : 0;
            if (given < end)
                end = given;
            if (job->mask->dtype == DTYPE_BOOL) {
                const uint8_t *allowed = (const uint8_t *)job->mask->data + start;
                for (size_t c = 0; c < end; c++)
                    if (!allowed[c])
                        row[c] = -(real)INFINITY;
            } else {
                vmath_add(row, array_real(job->mask) + start, end, row);
            }
        }
        size_t sees = job->past + t + 1;
        if (job->params->causal && sees < first + end)
            end = sees > first ? sees - first : 0;
        for (size_t c = end; c < columns; c++)
            row[c] = -(real)INFINITY;
    }
}

/* ---- forward ---- */

static void keep_scores(const struct attn_job *job, const struct block *at,
                        const struct segment *keys, const real *s) {
    for (size_t r = 0; r < at->rows; r++) {
        size_t row = (at->b * job->heads + at->h) * job->queries + at->first + r;
        memcpy(job->scores + row * job->keys + keys->first, s + r * KEYS, keys->count * sizeof *s);
    }
}

static void key_scores(const struct attn_job *job, const struct block *at,
                       const struct segment *keys, real *s) {
    int keep = job->scores ? job->params->scores_mode : -1;
    scaled_scores(job, at, keys, s, KEYS);
    if (keep == 0)
        keep_scores(job, at, keys, s);
    cap_scores(job, at->rows, keys->count, s, KEYS);
    if (keep == 1)
        keep_scores(job, at, keys, s);
    mask_scores(job, at, keys->first, keys->count, s, KEYS);
    if (keep >= 2)
        keep_scores(job, at, keys, s);
}

/* The running softmax of a query. */
struct running {
    real top;   /* largest score so far */
    double sum; /* of exp(score - top) */
};

/* Turns scores into exp(score - top), and what y holds already into terms of the new top. */
static void carry_softmax(real *s, size_t columns, struct running *run, real *y, size_t y_width) {
    real top = vmath_max(s, columns);
    if (top < run->top)
        top = run->top;
    if (top == -(real)INFINITY) {
        /* Nothing is seen yet; but NaN (which is no maximum) must come through. */
        for (size_t c = 0; c < columns; c++)
            s[c] = isnan(s[c]) ? s[c] : 0;
        return;
    }
    double old = run->top == -(real)INFINITY ? 0 : exp((double)run->top - (double)top);
    if (run->sum != 0 && old != 1)
        vmath_mul_scalar(y, (real)old, y_width, y);
    run->sum = run->sum * old + vmath_exp_sum(s, top, columns, s);
    run->top = top;
}

static void finish_scores(const struct attn_job *job, size_t row, const struct running *run) {
    real *s = job->scores + row * job->keys;
    if (run->sum == 0) {
        memset(s, 0, job->keys * sizeof *s);
        return;
    }
    vmath_exp_sum(s, run->top, job->keys, s);
    vmath_mul_scalar(s, (real)(1 / run->sum), job->keys, s);
}

static int forward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct attn_job *job = ctx;
    size_t blocks = query_blocks(job), head = tile / blocks;
    struct block at = {head / job->heads, head % job->heads, tile % blocks * BLOCK, BLOCK};
    if (at.rows > job->queries - at.first)
        at.rows = job->queries - at.first;
    real *s = job->scratch + worker * job->panel;
    real *y = job->y + at.b * job->y_at.batch + at.h * job->y_at.head + at.first * job->y_at.row;
    struct running run[BLOCK];
    for (size_t r = 0; r < at.rows; r++) {
        run[r] = (struct running){-(real)INFINITY, 0};
        memset(y + r * job->y_at.row, 0, job->value_width * sizeof *y);
    }
    struct segment both[2];
    segments(job, at.b, at.h / (job->heads / job->groups), both);
    size_t limit = job->scores ? job->keys : seen(job, at.first, at.rows);
    for (int i = 0; i < 2; i++)
        for (size_t from = 0; from < both[i].count && both[i].first + from < limit; from += KEYS) {
            size_t left = both[i].count - from, below = limit - both[i].first - from;
            size_t count = left < below ? left : below;
            struct segment keys = part(&both[i], from, count < KEYS ? count : KEYS);
            key_scores(job, &at, &keys, s);
            for (size_t r = 0; r < at.rows; r++)
                carry_softmax(s + r * KEYS, keys.count, &run[r], y + r * job->y_at.row,
                              job->value_width);
            gemm_tile(&(struct gemm){.m = at.rows,
                                     .n = job->value_width,
                                     .k = keys.count,
                                     .alpha = 1,
                                     .beta = 1,
                                     .a = s,
                                     .lda = KEYS,
                                     .b = keys.v,
                                     .ldb = keys.v_row,
                                     .c = y,
                                     .ldc = job->y_at.row});
        }
    for (size_t r = 0; r < at.rows; r++) {
        real *row = y + r * job->y_at.row;
        if (run[r].sum != 0)
            vmath_mul_scalar(row, (real)(1 / run[r].sum), job->value_width, row);
        if (job->scores && job->params->scores_mode == 3)
            finish_scores(job, head * job->queries + at.first + r, &run[r]);
    }
    return 0;
}

/* present = past, then what is new: heads are rows of it. */
static void join(const struct attn_job *job, const real *past, const real *now, struct layout at,
                 size_t width, real *to) {
    size_t fresh_rows = job->keys - job->past;
    for (size_t b = 0; b < job->batches; b++)
        for (size_t g = 0; g < job->groups; g++) {
            size_t head = b * job->groups + g;
            real *rows = to + head * job->keys * width;
            if (job->past)
                memcpy(rows, past + head * job->past * width, job->past * width * sizeof *rows);
            for (size_t t = 0; t < fresh_rows; t++)
                memcpy(rows + (job->past + t) * width,
                       now + b * at.batch + g * at.head + t * at.row, width * sizeof *rows);
        }
}

static int attn_forward(const struct op_run *run, struct err *err) {
    struct attn_job job = attn_job(run);
    struct array *present_k = output(run, job.params->present_key);
    struct array *present_v = output(run, job.params->present_value);
    struct array *scores = output(run, job.params->scores);
    if (present_k)
        join(&job, job.past_k, job.k, job.k_at, job.width, array_real(present_k));
    if (present_v)
        join(&job, job.past_v, job.v, job.v_at, job.value_width, array_real(present_v));
    if (!run->out[0])
        return 0;
    job.y = array_real(run->out[0]);
    job.scores = scores ? array_real(scores) : NULL;
    job.panel = BLOCK * KEYS;
    return loop_run(run->team, run->progress, job.batches * job.heads * query_blocks(&job),
                    forward_tile, &job, err);
}

/* ---- backward ---- */

/* A worker's three panels of one block of queries: BLOCK rows of L. */
struct panels {
    real *p;      /* softmax */
    real *d;      /* gradient of the masked scores, then of the scaled ones */
    real *capped; /* capped scores, where there is a cap */
};

static struct panels panels_of(const struct attn_job *job, unsigned worker) {
    real *p = job->scratch + worker * 3 * job->panel;
    return (struct panels){p, p + job->panel, p + 2 * job->panel};
}

static void add_scores(const struct attn_job *job, const struct block *at, size_t limit, real *d) {
    for (size_t r = 0; r < at->rows; r++) {
        size_t row = (at->b * job->heads + at->h) * job->queries + at->first + r;
        real *to = d + r * job->keys;
        vmath_add(to, job->dscores + row * job->keys, limit, to);
    }
}

/* Keys that matter to a block's gradients: those it sees, or all when scores have their own. */
static size_t reach(const struct attn_job *job, const struct block *at) {
    return job->dscores ? job->keys : seen(job, at->first, at->rows);
}

static const real *dy_of(const struct attn_job *job, const struct block *at) {
    return job->dy + at->b * job->y_at.batch + at->h * job->y_at.head + at->first * job->y_at.row;
}

/* panels.p and panels.d, the latter for the masked scores. */
static void masked_gradient(const struct attn_job *job, const struct block *at,
                            const struct panels *panels) {
    size_t limit = reach(job, at), step = job->keys;
    int mode = job->dscores ? job->params->scores_mode : -1;
    struct segment both[2];
    segments(job, at->b, at->h / (job->heads / job->groups), both);
    for (size_t r = 0; r < at->rows; r++)
        memset(panels->d + r * step, 0, limit * sizeof(real));
    for (int i = 0; i < 2; i++) {
        if (both[i].count == 0 || both[i].first >= limit)
            continue;
        size_t below = limit - both[i].first;
        struct segment keys = part(&both[i], 0, both[i].count < below ? both[i].count : below);
        scaled_scores(job, at, &keys, panels->p + keys.first, step);
        if (job->dy)
            gemm_tile(&(struct gemm){.b_transposed = true,
                                     .m = at->rows,
                                     .n = keys.count,
                                     .k = job->value_width,
                                     .alpha = 1,
                                     .a = dy_of(job, at),
                                     .lda = job->y_at.row,
                                     .b = keys.v,
                                     .ldb = keys.v_row,
                                     .c = panels->d + keys.first,
                                     .ldc = step});
    }
    cap_scores(job, at->rows, limit, panels->p, step);
    for (size_t r = 0; job->params->softcap > 0 && r < at->rows; r++)
        memcpy(panels->capped + r * step, panels->p + r * step, limit * sizeof(real));
    mask_scores(job, at, 0, limit, panels->p, step);
    if (mode == 3)
        add_scores(job, at, limit, panels->d);
    for (size_t r = 0; r < at->rows; r++) {
        real *p = panels->p + r * step, *d = panels->d + r * step;
        real top = vmath_max(p, limit);
        if (top == -(real)INFINITY) {
            memset(p, 0, limit * sizeof *p);
            memset(d, 0, limit * sizeof *d);
            continue;
        }
        double sum = vmath_exp_sum(p, top, limit, p);
        vmath_mul_scalar(p, (real)(1 / sum), limit, p);
        vmath_add_scalar(d, -(real)vmath_dot(p, d, limit), limit, d);
        vmath_mul(d, p, limit, d);
    }
    if (mode == 2)
        add_scores(job, at, limit, panels->d);
}

/* From the masked scores back to the scaled ones. */
static void scaled_gradient(const struct attn_job *job, const struct block *at,
                            const struct panels *panels) {
    size_t limit = reach(job, at);
    int mode = job->dscores ? job->params->scores_mode : -1;
    real cap = (real)job->params->softcap;
    if (mode == 1)
        add_scores(job, at, limit, panels->d);
    for (size_t r = 0; cap > 0 && r < at->rows; r++)
        for (size_t c = 0; c < limit; c++) {
            real tanh_of = panels->capped[r * job->keys + c] / cap;
            panels->d[r * job->keys + c] *= 1 - tanh_of * tanh_of;
        }
    if (mode == 0)
        add_scores(job, at, limit, panels->d);
}

static void add_gradients(const struct attn_job *job, const struct block *at,
                          const struct segment *keys, const struct panels *panels) {
    const real *d = panels->d + keys->first, *p = panels->p + keys->first;
    size_t q = at->b * job->q_at.batch + at->h * job->q_at.head + at->first * job->q_at.row;
    if (job->dq)
        gemm_tile(&(struct gemm){.m = at->rows,
                                 .n = job->width,
                                 .k = keys->count,
                                 .alpha = job->scale,
                                 .beta = 1,
                                 .a = d,
                                 .lda = job->keys,
                                 .b = keys->k,
                                 .ldb = keys->k_row,
                                 .c = job->dq + q,
                                 .ldc = job->q_at.row});
    if (keys->dk)
        gemm_tile(&(struct gemm){.a_transposed = true,
                                 .m = keys->count,
                                 .n = job->width,
                                 .k = at->rows,
                                 .alpha = job->scale,
                                 .beta = 1,
                                 .a = d,
                                 .lda = job->keys,
                                 .b = job->q + q,
                                 .ldb = job->q_at.row,
                                 .c = keys->dk,
                                 .ldc = keys->k_row});
    if (keys->dv && job->dy)
        gemm_tile(&(struct gemm){.a_transposed = true,
                                 .m = keys->count,
                                 .n = job->value_width,
                                 .k = at->rows,
                                 .alpha = 1,
                                 .beta = 1,
                                 .a = p,
                                 .lda = job->keys,
                                 .b = dy_of(job, at),
                                 .ldb = job->y_at.row,
                                 .c = keys->dv,
                                 .ldc = keys->v_row});
}

static void add_rows(const real *from, size_t rows, size_t width, real *to, size_t row) {
    for (size_t t = 0; to && t < rows; t++)
        vmath_add(to + t * row, from + t * width, width, to + t * row);
}

/* What flows back through the present goes to past and new keys. */
static void add_present(const struct attn_job *job, size_t head, const struct segment *both) {
    for (int i = 0; i < 2; i++) {
        size_t first = head * job->keys + both[i].first;
        if (job->dpresent_k)
            add_rows(job->dpresent_k + first * job->width, both[i].count, job->width, both[i].dk,
                     both[i].k_row);
        if (job->dpresent_v)
            add_rows(job->dpresent_v + first * job->value_width, both[i].count, job->value_width,
                     both[i].dv, both[i].v_row);
    }
}

static struct block block_at(const struct attn_job *job, size_t b, size_t h, size_t block) {
    struct block at = {b, h, block * BLOCK, BLOCK};
    if (at.rows > job->queries - at.first)
        at.rows = job->queries - at.first;
    return at;
}

/* A key head: all query heads that read it, all their queries. */
static int backward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct attn_job *job = ctx;
    size_t b = tile / job->groups, g = tile % job->groups, share = job->heads / job->groups;
    struct panels panels = panels_of(job, worker);
    struct segment both[2];
    segments(job, b, g, both);
    add_present(job, tile, both);
    if (!job->dy && !job->dscores)
        return 0;
    for (size_t h = g * share; h < (g + 1) * share; h++)
        for (size_t block = 0; block < query_blocks(job); block++) {
            struct block at = block_at(job, b, h, block);
            size_t limit = reach(job, &at);
            masked_gradient(job, &at, &panels);
            scaled_gradient(job, &at, &panels);
            for (int i = 0; i < 2; i++) {
                if (both[i].count == 0 || both[i].first >= limit)
                    continue;
                size_t below = limit - both[i].first;
                struct segment keys =
                    part(&both[i], 0, both[i].count < below ? both[i].count : below);
                add_gradients(job, &at, &keys, &panels);
            }
        }
    return 0;
}

/* A row of blocks of the mask: all batches, heads and queries that read it. */
static int mask_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct attn_job *job = ctx;
    const size_t *dims = job->mask_dims;
    bool own_rows = dims[2] != 1;
    size_t blocks = query_blocks(job), tiles = own_rows ? blocks : 1;
    size_t mask_h = tile / tiles % dims[1], mask_b = tile / tiles / dims[1];
    struct panels panels = panels_of(job, worker);
    for (size_t b = 0; b < job->batches; b++)
        for (size_t h = 0; h < job->heads; h++)
            for (size_t block = 0; block < blocks; block++) {
                if ((dims[0] != 1 && b != mask_b) || (dims[1] != 1 && h != mask_h) ||
                    (own_rows && block != tile % tiles))
                    continue;
                struct block at = block_at(job, b, h, block);
                size_t limit = reach(job, &at);
                masked_gradient(job, &at, &panels);
                for (size_t r = 0; r < at.rows; r++) {
                    size_t start = b * job->mask_step[0] + h * job->mask_step[1] +
                                   (at.first + r) * job->mask_step[2];
                    real *to = job->dmask + start;
                    vmath_add(to, panels.d + r * job->keys, limit < dims[3] ? limit : dims[3], to);
                }
            }
    return 0;
}

static const real *gradient_out(const struct op_backward *back, size_t slot) {
    const struct array *array = slot < back->run.node->out_count ? back->dout[slot] : NULL;
    return array ? array_real(array) : NULL;
}

static real *gradient_in(const struct op_backward *back, size_t slot) {
    struct array *array = slot < back->run.node->in_count ? back->din[slot] : NULL;
    return array ? array_real(array) : NULL;
}

static int attn_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    struct attn_job job = attn_job(run);
    job.dy = gradient_out(back, 0);
    job.dpresent_k = gradient_out(back, job.params->present_key);
    job.dpresent_v = gradient_out(back, job.params->present_value);
    job.dscores = gradient_out(back, job.params->scores);
    job.dq = gradient_in(back, 0);
    job.dk = gradient_in(back, 1);
    job.dv = gradient_in(back, 2);
    job.dmask = gradient_in(back, job.params->mask);
    job.dpast_k = gradient_in(back, job.params->past_key);
    job.dpast_v = gradient_in(back, job.params->past_value);
    job.panel = BLOCK * job.keys;
    if ((job.dq || job.dk || job.dv || job.dpast_k || job.dpast_v) &&
        loop_run(run->team, run->progress, job.batches * job.groups, backward_tile, &job, err) < 0)
        return -1;
    if (!job.dmask || (!job.dy && !job.dscores))
        return 0;
    size_t tiles = job.mask_dims[2] != 1 ? query_blocks(&job) : 1;
    return loop_run(run->team, run->progress, job.mask_dims[0] * job.mask_dims[1] * tiles,
                    mask_tile, &job, err);
}

static uint64_t attn_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    struct attn_job job = attn_sizes(shapes);
    uint64_t elements = backward ? 3 * (uint64_t)BLOCK * job.keys : BLOCK * KEYS;
    return elements * threads * sizeof(real);
}

/* Scores and their product with the values; what a causal mask hides is counted too. */
static uint64_t attn_macs(const struct op_run *shapes) {
    struct attn_job job = attn_sizes(shapes);
    return (uint64_t)job.batches * job.heads * job.queries * job.keys *
           (job.width + job.value_width);
}

/* ---- axes: the query heads of a key head go with it; the size of heads may be cut where it has an
 * axis of its own ---- */

/* Where heads are, in an input or output of rank 3 or 4, and how many of its indices are one. */
struct heads {
    struct axis axis;
    uint64_t len;
};

static struct heads heads_of(struct axis value, const struct array *x, uint64_t width) {
    value.axis = x->rank == 4 ? 1 : 2;
    return (struct heads){value, x->rank == 4 ? 1 : width};
}

static int relate_heads(struct relations *r, struct heads a, struct heads b, uint64_t times) {
    return relate_blocks(r, a.axis, a.len * times, b.axis, b.len);
}

static int relate_mask(struct relations *r, const struct op_run *shapes, struct heads query) {
    const struct attn_params *params = shapes->node->params;
    const struct array *mask = input(shapes, params->mask);
    for (unsigned d = 0; mask && d < mask->rank; d++) {
        struct axis axis = AXIS_IN(params->mask, d);
        unsigned at = 4 - mask->rank + d;
        if (mask->dims[d] == 1 || at >= 2) {
            if (relate_fixed(r, axis) < 0)
                return -1;
        } else if (at == 0) {
            if (relate_same(r, axis, AXIS_IN(0, 0)) < 0)
                return -1;
        } else if (relate_heads(r, (struct heads){axis, 1}, query, 1) < 0) {
            return -1;
        }
    }
    return 0;
}

static int attn_dims(struct relations *r, const struct op_run *shapes) {
    const struct attn_params *params = shapes->node->params;
    struct attn_job job = attn_sizes(shapes);
    if (job.groups == 0 || job.heads % job.groups || job.width == 0 || job.value_width == 0)
        return relate_nothing(r, shapes);
    uint64_t times = job.heads / job.groups;
    struct heads query = heads_of(AXIS_IN(0, 0), shapes->in[0], job.width);
    struct heads key = heads_of(AXIS_IN(1, 0), shapes->in[1], job.width);
    struct heads value = heads_of(AXIS_IN(2, 0), shapes->in[2], job.value_width);
    /* a value's batch and heads; its rows stay, and so do the parts of a head in rank 3 */
    struct {
        struct axis at;
        const struct array *x;
        struct heads like;
        uint64_t times; /* heads of `like` to one of a key */
        bool is_query, is_scores;
    } all[] = {
        {AXIS_IN(0, 0), shapes->in[0], query, times, true, false},
        {AXIS_OUT(0, 0), output(shapes, 0),
         output(shapes, 0) ? heads_of(AXIS_OUT(0, 0), shapes->out[0], job.value_width) : query,
         times, true, false},
        {AXIS_IN(1, 0), shapes->in[1], key, 1, false, false},
        {AXIS_IN(2, 0), shapes->in[2], value, 1, false, false},
        {AXIS_IN(params->past_key, 0),
         input(shapes, params->past_key),
         {AXIS_IN(params->past_key, 1), 1},
         1,
         false,
         false},
        {AXIS_IN(params->past_value, 0),
         input(shapes, params->past_value),
         {AXIS_IN(params->past_value, 1), 1},
         1,
         false,
         false},
        {AXIS_OUT(params->present_key, 0),
         output(shapes, params->present_key),
         {AXIS_OUT(params->present_key, 1), 1},
         1,
         false,
         false},
        {AXIS_OUT(params->present_value, 0),
         output(shapes, params->present_value),
         {AXIS_OUT(params->present_value, 1), 1},
         1,
         false,
         false},
        {AXIS_OUT(params->scores, 0),
         output(shapes, params->scores),
         {AXIS_OUT(params->scores, 1), 1},
         times,
         true,
         true},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!all[i].x)
            continue;
        struct axis rows = all[i].at;
        rows.axis = all[i].x->rank == 4 ? 2 : 1;
        if (relate_same(r, all[i].at, AXIS_IN(0, 0)) < 0 || relate_fixed(r, rows) < 0 ||
            relate_heads(r, all[i].like, key, all[i].times) < 0)
            return -1;
        rows.axis = 3;
        if (all[i].is_scores && relate_fixed(r, rows) < 0)
            return -1;
    }
    /* Sizes of heads. Values of rank 3 among others of rank 4 hold them where they cannot be cut.
     */
    bool key_open = shapes->in[0]->rank == 4 && shapes->in[1]->rank == 4;
    bool value_open = shapes->in[2]->rank == 4 && shapes->in[0]->rank == 4;
    struct axis ends[] = {AXIS_IN(0, 3), AXIS_IN(1, 3), AXIS_IN(params->past_key, 3),
                          AXIS_OUT(params->present_key, 3)};
    struct axis value_ends[] = {AXIS_IN(2, 3), AXIS_OUT(0, 3), AXIS_IN(params->past_value, 3),
                                AXIS_OUT(params->present_value, 3)};
    for (size_t i = 0; i < 4; i++)
        if ((key_open ? relate_contracted(r, ends[i], ends[0]) : relate_fixed(r, ends[i])) < 0 ||
            (value_open ? relate_same(r, value_ends[i], value_ends[0])
                        : relate_fixed(r, value_ends[i])) < 0)
            return -1;
    return relate_mask(r, shapes, query);
}

/* Scores keep the scale that they had. */
static int keep_scale(struct node *node, const struct op_run *before, const struct op_run *after,
                      struct err *err) {
    const struct attn_params *params = node->params;
    struct attn_job had = attn_sizes(before);
    if (params->scale != 0 || after->in[0]->rank != 4 || after->in[0]->dims[3] == had.width)
        return 0;
    return graph_set_attr(node,
                          &(struct attr){.name = "scale",
                                         .kind = ATTR_FLOAT,
                                         .f = (float)(1 / sqrt((double)had.width))},
                          err);
}

static uint64_t heads_left(const struct array *x, uint64_t width) {
    return x->rank == 4 ? x->dims[1] : x->dims[2] / width;
}

static int attention_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                         struct err *err) {
    const struct attn_params params = *(const struct attn_params *)node->params;
    struct attn_job had = attn_sizes(before);
    uint64_t heads = heads_left(after->in[0], had.width);
    uint64_t groups = heads_left(after->in[1], had.width);
    if (keep_scale(node, before, after, err) < 0)
        return -1;
    if (params.q_heads && content_set_int(node, "q_num_heads", (int64_t)heads, err) < 0)
        return -1;
    return params.kv_heads ? content_set_int(node, "kv_num_heads", (int64_t)groups, err) : 0;
}

static int mha_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                   struct err *err) {
    struct attn_job had = attn_sizes(before);
    return content_set_int(node, "num_heads", (int64_t)heads_left(after->in[0], had.width), err);
}

const struct op op_attention = {
    .op_type = "Attention",
    .domain = "",
    .min_version = 23,
    .max_version = OP_ONNX_VERSION,
    .min_in = 3,
    .max_in = 7,
    .min_out = 1,
    .max_out = 4,
    .flags = OP_NEEDS_IN,
    .parse = attention_parse,
    .infer = attn_infer,
    .forward = attn_forward,
    .backward = attn_backward,
    .scratch = attn_scratch,
    .macs = attn_macs,
    .dims = attn_dims,
    .cut = attention_cut,
    .tolerance = 1e-6,
    .doc = "softmax(scale Q K' + mask) V, head by head",
};

const struct op op_multi_head_attention = {
    .op_type = "MultiHeadAttention",
    .domain = "com.microsoft",
    .min_version = 1,
    .max_version = 1,
    .min_in = 1,
    .max_in = 10,
    .min_out = 1,
    .max_out = 4,
    .flags = OP_NEEDS_IN,
    .parse = mha_parse,
    .infer = attn_infer,
    .forward = attn_forward,
    .backward = attn_backward,
    .scratch = attn_scratch,
    .macs = attn_macs,
    .dims = attn_dims,
    .cut = mha_cut,
    .tolerance = 1e-6,
    .doc = "attention of separate projections, as ONNX Runtime's optimiser writes it",
};
