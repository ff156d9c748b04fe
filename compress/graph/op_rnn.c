/*
 * Recurrent networks: one layer of LSTM, GRU or plain RNN, over time.
 *
 *   X [T,B,I], W [D,G*H,I], R [D,G*H,H], bias [D,2*G*H]?, lengths i32 [B]?, h0 [D,B,H]?,
 *   and for LSTM c0 [D,B,H]?, peepholes [D,3*H]?
 *   → Y [T,D,B,H], last h [D,B,H], and for LSTM last c [D,B,H]
 *
 * D: 2 when bidirectional. G gates: i o f c (LSTM), z r h (GRU), one (RNN). layout 1 puts the batch
 * first: X [B,T,I], Y [B,T,D,H], states [B,D,H].
 *
 *   LSTM  i = f(x_i + p_i c), f = f(x_f + p_f c), c' = f c + i g(x_c), o = f(x_o + p_o c'),
 *         h' = o h(c')
 *   GRU   z = f(x_z), r = f(x_r), n = g(x_h), h' = (1 - z) n + z h
 *   RNN   h' = f(x)
 *
 * where x is W X + R h + both biases; GRU's x_h takes R (r h), or with linear_before_reset
 * r (R h + its bias). What goes into an activation is clipped to [-clip, clip]. A sequence shorter
 * than T stops: its states stay, its outputs are 0, and backwards it begins at its own end.
 *
 * The products with W are one GEMM over all steps. Then a tile is a direction and a few sequences,
 * which it takes through all of time. Inference only.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/op.h"
#include "compress/graph/relate.h"
#include "compress/tensor/gemm.h"
#include "compress/tensor/vmath.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

/* Sequences of a tile. */
enum { ROWS = 16 };

enum cell { CELL_RNN, CELL_GRU, CELL_LSTM };

/* What differs between the three, besides the step. */
static const struct cell_row {
    size_t gates, activations;
    const char *defaults[3];
} cells[] = {
    [CELL_RNN] = {1, 1, {"Tanh"}},
    [CELL_GRU] = {3, 2, {"Sigmoid", "Tanh"}},
    [CELL_LSTM] = {4, 3, {"Sigmoid", "Tanh", "Tanh"}},
};

/* ---- activations ---- */

struct activation {
    void (*apply)(const struct activation *self, real *x, size_t n);
    real alpha, beta;
};

static void act_sigmoid(const struct activation *self, real *x, size_t n) {
    vmath_sigmoid(x, n, x);
}

static void act_tanh(const struct activation *self, real *x, size_t n) {
    vmath_tanh(x, n, x);
}

static void act_relu(const struct activation *self, real *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] < 0 ? 0 : x[i];
}

static void act_affine(const struct activation *self, real *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = self->alpha * x[i] + self->beta;
}

static void act_leaky_relu(const struct activation *self, real *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] < 0 ? self->alpha * x[i] : x[i];
}

static void act_thresholded_relu(const struct activation *self, real *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] < self->alpha ? 0 : x[i];
}

static void act_scaled_tanh(const struct activation *self, real *x, size_t n) {
    vmath_mul_scalar(x, self->beta, n, x);
    vmath_tanh(x, n, x);
    vmath_mul_scalar(x, self->alpha, n, x);
}

static void act_hard_sigmoid(const struct activation *self, real *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        real y = self->alpha * x[i] + self->beta;
        x[i] = y < 0 ? 0 : y > 1 ? 1 : y;
    }
}

static void act_elu(const struct activation *self, real *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] < 0 ? self->alpha * (real)expm1((double)x[i]) : x[i];
}

static void act_softsign(const struct activation *self, real *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] / (1 + (x[i] < 0 ? -x[i] : x[i]));
}

static void act_softplus(const struct activation *self, real *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double at = (double)x[i];
        x[i] = (real)((at > 0 ? at : 0) + log1p(exp(-fabs(at))));
    }
}

/* alpha and beta when the node gives none (those of the operators of the same name). */
static const struct activation_row {
    const char *name;
    void (*apply)(const struct activation *self, real *x, size_t n);
    bool takes_alpha, takes_beta;
    float alpha, beta;
} activations[] = {
    {"Sigmoid", act_sigmoid, false, false, 0, 0},
    {"Tanh", act_tanh, false, false, 0, 0},
    {"Relu", act_relu, false, false, 0, 0},
    {"Affine", act_affine, true, true, 1, 0},
    {"LeakyRelu", act_leaky_relu, true, false, 0.01F, 0},
    {"ThresholdedRelu", act_thresholded_relu, true, false, 1, 0},
    {"ScaledTanh", act_scaled_tanh, true, true, 1, 1},
    {"HardSigmoid", act_hard_sigmoid, true, true, 0.2F, 0.5F},
    {"Elu", act_elu, true, false, 1, 0},
    {"Softsign", act_softsign, false, false, 0, 0},
    {"Softplus", act_softplus, false, false, 0, 0},
};

static const struct activation_row *activation_by_name(const char *name, size_t len) {
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (strlen(activations[i].name) == len && strncasecmp(activations[i].name, name, len) == 0)
            return &activations[i];
    return NULL;
}

/* ---- parsing ---- */

struct rnn_params {
    enum cell cell;
    size_t gates;
    uint64_t hidden; /* 0: as R says */
    size_t directions;
    bool reverse[2];
    bool batch_first, input_forget, linear_before_reset;
    real clip; /* 0: none */
    struct activation activation[2][3];
};

/* The next value of a list that activations draw from in turn, or what is usual. */
static real drawn(const struct attr *list, size_t *at, bool takes, float usual) {
    if (!takes || !list || list->kind != ATTR_FLOATS || *at >= list->count)
        return (real)usual;
    return (real)list->floats[(*at)++];
}

static int parse_activations(const struct node *node, struct rnn_params *params, struct err *err) {
    const struct cell_row *cell = &cells[params->cell];
    const struct attr *names = node_attr(node, "activations");
    const struct attr *alphas = node_attr(node, "activation_alpha");
    const struct attr *betas = node_attr(node, "activation_beta");
    size_t wanted = cell->activations * params->directions, alpha_at = 0, beta_at = 0;
    if (names && (names->kind != ATTR_STRINGS || names->count != wanted))
        return op_fail(node, err, "wants %zu activations", wanted);
    for (size_t i = 0; i < wanted; i++) {
        size_t which = i % cell->activations;
        const char *name = names ? (const char *)names->strings[i].at : cell->defaults[which];
        size_t len = names ? names->strings[i].len : strlen(name);
        const struct activation_row *row = activation_by_name(name, len);
        if (!row)
            return err_set(err, ERR_UNSUPPORTED, "%s with activation '%.*s' is not executable",
                           node->op_type, (int)(len < 40 ? len : 40), name);
        params->activation[i / cell->activations][which] =
            (struct activation){.apply = row->apply,
                                .alpha = drawn(alphas, &alpha_at, row->takes_alpha, row->alpha),
                                .beta = drawn(betas, &beta_at, row->takes_beta, row->beta)};
    }
    return 0;
}

static int rnn_parse(const struct node *node, enum cell cell, struct arena *arena,
                     void **ret_params, struct err *err) {
    struct rnn_params *params = ARENA_NEW(arena, struct rnn_params);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for the attributes of %s", node->op_type);
    int64_t hidden = node_int(node, "hidden_size", 0), layout = node_int(node, "layout", 0);
    float clip = node_float(node, "clip", 0);
    const char *direction = node_string(node, "direction", "forward");
    if (hidden < 0 || hidden > INT32_MAX)
        return op_fail(node, err, "hidden_size %" PRId64, hidden);
    if (layout != 0 && layout != 1)
        return op_fail(node, err, "layout %" PRId64, layout);
    if (!(clip >= 0))
        return op_fail(node, err, "clip %g", (double)clip);
    params->cell = cell;
    params->gates = cells[cell].gates;
    params->hidden = (uint64_t)hidden;
    params->directions = 1;
    if (strcmp(direction, "bidirectional") == 0) {
        params->directions = 2;
        params->reverse[1] = true;
    } else if (strcmp(direction, "reverse") == 0) {
        params->reverse[0] = true;
    } else if (strcmp(direction, "forward") != 0) {
        return op_fail(node, err, "direction '%.40s'", direction);
    }
    params->batch_first = layout == 1;
    params->input_forget = node_int(node, "input_forget", 0) != 0;
    params->linear_before_reset = node_int(node, "linear_before_reset", 0) != 0;
    params->clip = (real)clip;
    *ret_params = params;
    return parse_activations(node, params, err);
}

static int plain_parse(const struct node *node, struct arena *arena, void **ret_params,
                       struct err *err) {
    return rnn_parse(node, CELL_RNN, arena, ret_params, err);
}

static int gru_parse(const struct node *node, struct arena *arena, void **ret_params,
                     struct err *err) {
    return rnn_parse(node, CELL_GRU, arena, ret_params, err);
}

static int lstm_parse(const struct node *node, struct arena *arena, void **ret_params,
                      struct err *err) {
    return rnn_parse(node, CELL_LSTM, arena, ret_params, err);
}

/* ---- inference ---- */

static struct dim times(struct dim dim, size_t n) {
    return dim_known(dim) ? DIM((uint64_t)dim.size * n) : dim;
}

/* Input `slot` is [dims...]; unknown dimensions say nothing. */
static int check_input(struct op_infer *infer, size_t slot, const char *what, unsigned rank,
                       const struct dim *dims, struct err *err) {
    if (slot >= infer->node->in_count || !infer->in[slot] || !infer->in[slot]->type.ranked)
        return 0;
    const struct type *type = &infer->in[slot]->type;
    bool fits = type->rank == rank;
    for (unsigned d = 0; fits && d < rank; d++)
        fits =
            !dim_known(dims[d]) || !dim_known(type->dims[d]) || dims[d].size == type->dims[d].size;
    char got[128];
    return fits ? 0
                : op_fail(infer->node, err, "%s is %s, which does not fit", what,
                          type_describe(type, infer->symbols, got, sizeof got));
}

static int rnn_infer(struct op_infer *infer, struct err *err) {
    const struct rnn_params *p = infer->node->params;
    const struct type *x = &infer->in[0]->type, *r = &infer->in[2]->type;
    const struct dim unknown = {-1, UINT32_MAX}; /* never leaves this function */
    if (x->ranked && x->rank != 3)
        return op_fail(infer->node, err, "X of rank %u, not 3", x->rank);
    if (r->ranked && r->rank != 3)
        return op_fail(infer->node, err, "R of rank %u, not 3", r->rank);
    struct dim h = p->hidden ? DIM(p->hidden) : r->ranked ? r->dims[2] : unknown;
    struct dim t = x->ranked ? x->dims[p->batch_first ? 1 : 0] : unknown;
    struct dim b = x->ranked ? x->dims[p->batch_first ? 0 : 1] : unknown;
    struct dim d = DIM(p->directions), gates = times(h, p->gates);
    if (!dim_known(h))
        gates = unknown; /* G*H is another number than H */
    struct dim w_dims[] = {d, gates, x->ranked ? x->dims[2] : unknown};
    struct dim r_dims[] = {d, gates, h};
    struct dim bias_dims[] = {d, times(gates, 2)}, peephole_dims[] = {d, times(h, 3)};
    struct dim state_dims[] = {p->batch_first ? b : d, p->batch_first ? d : b, h};
    if (check_input(infer, 1, "W", 3, w_dims, err) < 0 ||
        check_input(infer, 2, "R", 3, r_dims, err) < 0 ||
        check_input(infer, 3, "the bias", 2, bias_dims, err) < 0 ||
        check_input(infer, 4, "sequence_lens", 1, &b, err) < 0 ||
        check_input(infer, 5, "initial_h", 3, state_dims, err) < 0 ||
        check_input(infer, 6, "initial_c", 3, state_dims, err) < 0 ||
        check_input(infer, 7, "the peepholes", 2, peephole_dims, err) < 0)
        return -1;
    if (infer->node->in_count > 4 && infer->in[4] && infer->in[4]->type.dtype != DTYPE_NONE &&
        infer->in[4]->type.dtype != DTYPE_I32)
        return op_fail(infer->node, err, "sequence_lens are not i32");
    for (size_t i = 0; i < infer->node->out_count; i++)
        infer->out[i].type.dtype = x->dtype;
    if (!x->ranked)
        return 0;
    if (!dim_known(h) && !r->ranked)
        h = (struct dim){-1, symbols_get(infer->symbols, NULL)};
    struct type *y = &infer->out[0].type;
    *y = (struct type){.dtype = x->dtype, .ranked = true, .rank = 4, .dims = {t, d, b, h}};
    if (p->batch_first)
        *y = (struct type){.dtype = x->dtype, .ranked = true, .rank = 4, .dims = {b, t, d, h}};
    for (size_t i = 1; i < infer->node->out_count; i++)
        infer->out[i].type = (struct type){.dtype = x->dtype,
                                           .ranked = true,
                                           .rank = 3,
                                           .dims = {state_dims[0], state_dims[1], h}};
    return 0;
}

/* ---- running ---- */

struct rnn_job {
    const struct rnn_params *params;
    const struct node *node;
    size_t steps, batch, inputs, hidden; /* T B I H */
    const real *r, *peepholes;           /* peepholes NULL: none */
    const real *bias;                    /* as the node has it; NULL: none */
    const real *h0, *c0;                 /* NULL: 0 */
    const int32_t *lengths;              /* NULL: all T */
    real *projected;                     /* W X: [D][rows of X, G*H] */
    real *benches;                       /* per worker */
    real *y, *last_h, *last_c;           /* NULL: not wanted */
};

/* A worker's state of a tile; rows of H or G*H. */
struct bench {
    real *gates, *h, *c, *other, *act;
};

static size_t bench_elements(const struct rnn_job *job) {
    return ROWS * (job->params->gates + 4) * job->hidden;
}

static struct bench bench_of(const struct rnn_job *job, unsigned worker) {
    real *at = job->benches + worker * bench_elements(job);
    size_t rows = ROWS * job->hidden;
    return (struct bench){at + 4 * rows, at, at + rows, at + 2 * rows, at + 3 * rows};
}

static struct rnn_job rnn_sizes(const struct op_run *run) {
    const struct rnn_params *params = run->node->params;
    const struct array *x = run->in[0];
    return (struct rnn_job){.params = params,
                            .node = run->node,
                            .steps = (size_t)x->dims[params->batch_first ? 1 : 0],
                            .batch = (size_t)x->dims[params->batch_first ? 0 : 1],
                            .inputs = (size_t)x->dims[2],
                            .hidden = (size_t)run->in[2]->dims[2]};
}

static size_t projected_elements(const struct rnn_job *job) {
    return job->params->directions * job->steps * job->batch * job->params->gates * job->hidden;
}

/* Rows of X, and of what W makes of it. */
static size_t x_row(const struct rnn_job *job, size_t t, size_t b) {
    return job->params->batch_first ? b * job->steps + t : t * job->batch + b;
}

static size_t y_at(const struct rnn_job *job, size_t t, size_t d, size_t b) {
    size_t directions = job->params->directions;
    return (job->params->batch_first ? (b * job->steps + t) * directions + d
                                     : (t * directions + d) * job->batch + b) *
           job->hidden;
}

static size_t state_at(const struct rnn_job *job, size_t d, size_t b) {
    return (job->params->batch_first ? b * job->params->directions + d : d * job->batch + b) *
           job->hidden;
}

static size_t length_of(const struct rnn_job *job, size_t b) {
    return job->lengths ? (size_t)job->lengths[b] : job->steps;
}

static void clip(const struct rnn_job *job, real *x, size_t n) {
    real most = job->params->clip;
    for (size_t i = 0; most > 0 && i < n; i++)
        x[i] = x[i] > most ? most : x[i] < -most ? -most : x[i];
}

static void activate(const struct rnn_job *job, size_t d, size_t which, real *x, size_t n) {
    const struct activation *activation = &job->params->activation[d][which];
    clip(job, x, n);
    activation->apply(activation, x, n);
}

/* rows [m,H] times some gates' rows of R, added to `to` (rows `row` apart). */
static void add_recurrent(const struct rnn_job *job, size_t d, size_t gate, size_t gates,
                          const real *h, size_t rows, real *to, size_t row) {
    size_t hidden = job->hidden;
    gemm_tile(&(struct gemm){.b_transposed = true,
                             .m = rows,
                             .n = gates * hidden,
                             .k = hidden,
                             .alpha = 1,
                             .beta = 1,
                             .a = h,
                             .lda = hidden,
                             .b = job->r + (d * job->params->gates + gate) * hidden * hidden,
                             .ldb = hidden,
                             .c = to,
                             .ldc = row});
}

/* Bias of gate `gate`: W's (0) or R's (1). */
static const real *bias_at(const struct rnn_job *job, size_t d, size_t gate, int which) {
    size_t gates = job->params->gates;
    return job->bias + ((d * 2 + (size_t)which) * gates + gate) * job->hidden;
}

/* One row's new state in bench->h (and c) from its gates. */
static void lstm_row(const struct rnn_job *job, size_t d, size_t r, const struct bench *bench) {
    size_t n = job->hidden;
    real *i = bench->gates + r * 4 * n, *o = i + n, *f = i + 2 * n, *g = i + 3 * n;
    real *h = bench->h + r * n, *c = bench->c + r * n;
    const real *p = job->peepholes ? job->peepholes + d * 3 * n : NULL; /* i o f */
    if (p) {
        vmath_muladd(p, c, n, i);
        vmath_muladd(p + 2 * n, c, n, f);
    }
    activate(job, d, 0, i, n);
    activate(job, d, 0, f, n);
    activate(job, d, 1, g, n);
    for (size_t k = 0; k < n; k++)
        c[k] = (job->params->input_forget ? 1 - i[k] : f[k]) * c[k] + i[k] * g[k];
    if (p)
        vmath_muladd(p + n, c, n, o);
    activate(job, d, 0, o, n);
    memcpy(h, c, n * sizeof *h); /* the cell is not clipped again, as in ONNX Runtime */
    job->params->activation[d][2].apply(&job->params->activation[d][2], h, n);
    vmath_mul(h, o, n, h);
}

/* other: R h of the last gate, or R (r h). */
static void gru_row(const struct rnn_job *job, size_t d, size_t row, const struct bench *bench) {
    size_t n = job->hidden;
    real *z = bench->gates + row * 3 * n, *r = z + n, *x = z + 2 * n;
    real *h = bench->h + row * n, *other = bench->other + row * n;
    if (job->params->linear_before_reset)
        vmath_mul(other, r, n, other);
    vmath_add(x, other, n, x);
    activate(job, d, 1, x, n);
    for (size_t k = 0; k < n; k++)
        h[k] = (1 - z[k]) * x[k] + z[k] * h[k];
}

/* What GRU's last gate takes from h: needs r first. */
static void gru_recurrent(const struct rnn_job *job, size_t d, size_t rows,
                          const struct bench *bench) {
    size_t n = job->hidden;
    bool linear = job->params->linear_before_reset;
    add_recurrent(job, d, 0, 2, bench->h, rows, bench->gates, 3 * n);
    for (size_t row = 0; row < rows; row++) {
        real *z = bench->gates + row * 3 * n, *r = z + n;
        activate(job, d, 0, z, n);
        activate(job, d, 0, r, n);
        vmath_mul(r, bench->h + row * n, n, bench->act + row * n);
        memset(bench->other + row * n, 0, n * sizeof(real));
        if (job->bias)
            memcpy(bench->other + row * n, bias_at(job, d, 2, 1), n * sizeof(real));
    }
    add_recurrent(job, d, 2, 1, linear ? bench->h : bench->act, rows, bench->other, n);
}

/* Copies the projected inputs of a step and adds the biases; R's of GRU's last gate comes later. */
static void load_gates(const struct rnn_job *job, size_t d, size_t t, size_t b, real *to) {
    size_t gates = job->params->gates, n = gates * job->hidden;
    size_t own = job->params->cell == CELL_GRU ? 2 : gates;
    memcpy(to, job->projected + (d * job->steps * job->batch + x_row(job, t, b)) * n,
           n * sizeof *to);
    if (!job->bias)
        return;
    vmath_add(to, bias_at(job, d, 0, 0), n, to);
    vmath_add(to, bias_at(job, d, 0, 1), own * job->hidden, to);
}

static void load_state(const struct rnn_job *job, const real *from, size_t d, size_t b, real *to) {
    if (from)
        memcpy(to, from + state_at(job, d, b), job->hidden * sizeof *to);
    else
        memset(to, 0, job->hidden * sizeof *to);
}

/* One step of all rows of the tile. Rows whose sequence is over keep their state. */
static void step(const struct rnn_job *job, size_t d, size_t b0, size_t rows, size_t s,
                 const struct bench *bench) {
    size_t n = job->hidden, gates = job->params->gates;
    for (size_t r = 0; r < rows; r++) {
        size_t length = length_of(job, b0 + r);
        if (s < length)
            load_gates(job, d, job->params->reverse[d] ? length - 1 - s : s, b0 + r,
                       bench->gates + r * gates * n);
        else
            memset(bench->gates + r * gates * n, 0, gates * n * sizeof(real));
    }
    if (job->params->cell == CELL_GRU)
        gru_recurrent(job, d, rows, bench);
    else
        add_recurrent(job, d, 0, gates, bench->h, rows, bench->gates, gates * n);
    for (size_t r = 0; r < rows; r++) {
        size_t length = length_of(job, b0 + r), b = b0 + r;
        size_t t = job->params->reverse[d] && s < length ? length - 1 - s : s;
        if (s < length) {
            if (job->params->cell == CELL_LSTM)
                lstm_row(job, d, r, bench);
            else if (job->params->cell == CELL_GRU)
                gru_row(job, d, r, bench);
            else {
                memcpy(bench->h + r * n, bench->gates + r * n, n * sizeof(real));
                activate(job, d, 0, bench->h + r * n, n);
            }
        }
        if (job->y && s < length)
            memcpy(job->y + y_at(job, t, d, b), bench->h + r * n, n * sizeof(real));
        else if (job->y)
            memset(job->y + y_at(job, t, d, b), 0, n * sizeof(real));
    }
}

static int rnn_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct rnn_job *job = ctx;
    size_t blocks = (job->batch + ROWS - 1) / ROWS, d = tile / blocks, b0 = tile % blocks * ROWS;
    size_t rows = job->batch - b0 < ROWS ? job->batch - b0 : ROWS, n = job->hidden;
    struct bench bench = bench_of(job, worker);
    for (size_t r = 0; r < rows; r++) {
        load_state(job, job->h0, d, b0 + r, bench.h + r * n);
        load_state(job, job->c0, d, b0 + r, bench.c + r * n);
    }
    for (size_t s = 0; s < job->steps; s++)
        step(job, d, b0, rows, s, &bench);
    for (size_t r = 0; r < rows; r++) {
        if (job->last_h)
            memcpy(job->last_h + state_at(job, d, b0 + r), bench.h + r * n, n * sizeof(real));
        if (job->last_c)
            memcpy(job->last_c + state_at(job, d, b0 + r), bench.c + r * n, n * sizeof(real));
    }
    return 0;
}

static int check_lengths(const struct rnn_job *job, struct err *err) {
    char name[256];
    for (size_t b = 0; job->lengths && b < job->batch; b++)
        if (job->lengths[b] < 0 || (size_t)job->lengths[b] > job->steps)
            return err_set(
                err, ERR_BAD_FIELD, "%s: sequence %zu has length %" PRId32 ", there are %zu steps",
                node_describe(job->node, name, sizeof name), b, job->lengths[b], job->steps);
    return 0;
}

static const struct array *input(const struct op_run *run, size_t slot) {
    return slot < run->node->in_count ? run->in[slot] : NULL;
}

static const real *real_input(const struct op_run *run, size_t slot) {
    const struct array *array = input(run, slot);
    return array ? array_real(array) : NULL;
}

static real *real_output(const struct op_run *run, size_t slot) {
    const struct array *array = slot < run->node->out_count ? run->out[slot] : NULL;
    return array ? array_real(array) : NULL;
}

static int rnn_forward(const struct op_run *run, struct err *err) {
    struct rnn_job job = rnn_sizes(run);
    size_t width = job.params->gates * job.hidden, rows = job.steps * job.batch;
    job.r = array_real(run->in[2]);
    job.bias = real_input(run, 3);
    job.lengths = input(run, 4) ? input(run, 4)->data : NULL;
    job.h0 = real_input(run, 5);
    job.c0 = real_input(run, 6);
    job.peepholes = real_input(run, 7);
    job.y = real_output(run, 0);
    job.last_h = real_output(run, 1);
    job.last_c = real_output(run, 2);
    job.projected = run->scratch;
    job.benches = job.projected + projected_elements(&job);
    if (check_lengths(&job, err) < 0)
        return -1;
    struct gemm project = {.b_transposed = true,
                           .m = rows,
                           .n = width,
                           .k = job.inputs,
                           .alpha = 1,
                           .a = array_real(run->in[0]),
                           .lda = job.inputs,
                           .b = array_real(run->in[1]),
                           .ldb = job.inputs,
                           .c = job.projected,
                           .ldc = width,
                           .batches = job.params->directions,
                           .b_step = width * job.inputs,
                           .c_step = rows * width};
    if (gemm_run(&project, run->team, run->progress, err) < 0)
        return -1;
    return loop_run(run->team, run->progress,
                    job.params->directions * ((job.batch + ROWS - 1) / ROWS), rnn_tile, &job, err);
}

static uint64_t rnn_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    struct rnn_job job = rnn_sizes(shapes);
    return (projected_elements(&job) + threads * (uint64_t)bench_elements(&job)) * sizeof(real);
}

static uint64_t rnn_macs(const struct op_run *shapes) {
    struct rnn_job job = rnn_sizes(shapes);
    return (uint64_t)projected_elements(&job) * (job.inputs + job.hidden);
}

/* Inputs and the batch may be cut. The hidden size stays: it is laid out once per gate in W, R and
 * the biases, and hidden_size would have to follow; nothing outside asks for it. */
static int rnn_dims(struct relations *r, const struct op_run *shapes) {
    const struct rnn_params *p = shapes->node->params;
    unsigned batch = p->batch_first ? 0 : 1;
    if (relate_contracted(r, AXIS_IN(0, 2), AXIS_IN(1, 2)) < 0 ||
        relate_fixed(r, AXIS_IN(1, 0)) < 0 || relate_fixed(r, AXIS_IN(1, 1)) < 0 ||
        relate_fixed_from(r, AXIS_IN(2, 0)) < 0 || relate_fixed_from(r, AXIS_IN(3, 0)) < 0 ||
        relate_fixed_from(r, AXIS_IN(7, 0)) < 0 ||
        relate_same(r, AXIS_IN(4, 0), AXIS_IN(0, batch)) < 0 ||
        relate_fixed(r, AXIS_IN(0, 1 - batch)) < 0)
        return -1;
    for (unsigned d = 0; d < 3; d++)
        for (size_t i = 5; i < 7; i++)
            if ((d == batch ? relate_same(r, AXIS_IN(i, d), AXIS_IN(0, batch))
                            : relate_fixed(r, AXIS_IN(i, d))) < 0)
                return -1;
    for (size_t i = 0; i < shapes->node->out_count; i++)
        for (unsigned d = 0; d < 4; d++)
            if ((d == (p->batch_first ? 0
                       : i == 0       ? 2U
                                      : 1U)
                     ? relate_same(r, AXIS_OUT(i, d), AXIS_IN(0, batch))
                     : relate_fixed(r, AXIS_OUT(i, d))) < 0)
                return -1;
    return 0;
}

const struct op op_lstm = {
    .op_type = "LSTM",
    .domain = "",
    .min_version = 7,
    .max_version = OP_ONNX_VERSION,
    .min_in = 3,
    .max_in = 8,
    .min_out = 1,
    .max_out = 3,
    .parse = lstm_parse,
    .infer = rnn_infer,
    .forward = rnn_forward,
    .scratch = rnn_scratch,
    .macs = rnn_macs,
    .dims = rnn_dims,
    .doc = "long short-term memory",
};

const struct op op_gru = {
    .op_type = "GRU",
    .domain = "",
    .min_version = 7,
    .max_version = OP_ONNX_VERSION,
    .min_in = 3,
    .max_in = 6,
    .min_out = 1,
    .max_out = 2,
    .parse = gru_parse,
    .infer = rnn_infer,
    .forward = rnn_forward,
    .scratch = rnn_scratch,
    .macs = rnn_macs,
    .dims = rnn_dims,
    .doc = "gated recurrent unit",
};

const struct op op_rnn = {
    .op_type = "RNN",
    .domain = "",
    .min_version = 7,
    .max_version = OP_ONNX_VERSION,
    .min_in = 3,
    .max_in = 6,
    .min_out = 1,
    .max_out = 2,
    .parse = plain_parse,
    .infer = rnn_infer,
    .forward = rnn_forward,
    .scratch = rnn_scratch,
    .macs = rnn_macs,
    .dims = rnn_dims,
    .doc = "a recurrent layer of one gate",
};
