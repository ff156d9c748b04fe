/*
 * Arithmetic, comparison and logic of two values that broadcast, and Where.
 *
 *   a, b    any shapes that broadcast by NumPy's rules, of one type     y    their broadcast shape
 *
 * Max, Min, Sum and Mean take any number of inputs: the first two are joined, then each further one
 * with what there is.
 *
 * An operator is a struct binary: a function of runs of `real`, one of runs of 64-bit integers that
 * integers of every width are widened to (results wrap around when they are narrowed again), and
 * the derivatives by both operands. Contents of small integer values that are only partly known –
 * shapes – go through at the end of inference: see partial().
 */
#include "compress/base/arena.h"
#include "compress/graph/broadcast.h"
#include "compress/graph/relate.h"
#include "compress/tensor/vmath.h"

#include <math.h>
#include <string.h>

/* The types an operator takes. */
enum takes { NUMBERS, ORDERED, ANYTHING, INTEGERS, BOOLEANS };

struct ints {
    const int64_t *a, *b;
    int64_t *y;
    size_t n;
    bool is_u64; /* the bits are those of unsigned numbers */
};

struct binary {
    enum takes takes;
    bool to_bool;
    void (*reals)(const struct broadcast_run *run);
    /* -1: division by zero */
    int (*ints)(const struct ints *run);
    broadcast_grad *grad[2];
    /* What is known of f(x, y) when one of them is a symbol; false: nothing. NULL: never anything.
     */
    bool (*symbolic)(struct dim x, struct dim y, const struct symbols *symbols, struct dim *ret);
};

/* ---- how runs of reals are written ---- */

/* Vector mathematics where both advance; `scalar(x, s)` where one side stays, if there is such. */
#define REALS(name, T, expression)                              \
    static void name##_reals(const struct broadcast_run *run) { \
        const real *pa = run->in[0], *pb = run->in[1];          \
        const size_t sa = run->step[0], sb = run->step[1];      \
        T *y = run->out;                                        \
        for (size_t i = 0; i < run->n; i++) {                   \
            const real a = pa[i * sa], b = pb[i * sb];          \
            y[i] = (T)(expression);                             \
        }                                                       \
    }
#define INTS(name, expression)                          \
    static int name##_ints(const struct ints *run) {    \
        for (size_t i = 0; i < run->n; i++) {           \
            const int64_t a = run->a[i], b = run->b[i]; \
            run->y[i] = (int64_t)(expression);          \
        }                                               \
        return 0;                                       \
    }
#define GRAD(name, expression)                                                                    \
    static void name(const void *ctx, const struct broadcast_run *run, const real *dy, real *g) { \
        const real *pa = run->in[0], *pb = run->in[1], *py = run->out;                            \
        for (size_t i = 0; i < run->n; i++) {                                                     \
            const real a = pa[i * run->step[0]], b = pb[i * run->step[1]];                        \
            (void)a, (void)b, (void)py;                                                           \
            g[i] = (expression);                                                                  \
        }                                                                                         \
    }

static void grad_one(const void *ctx, const struct broadcast_run *run, const real *dy, real *g) {
    memcpy(g, dy, run->n * sizeof *g);
}

static void grad_minus_one(const void *ctx, const struct broadcast_run *run, const real *dy,
                           real *g) {
    vmath_mul_scalar(dy, -1, run->n, g);
}

static bool less_int(const struct ints *run, int64_t a, int64_t b) {
    return run->is_u64 ? (uint64_t)a < (uint64_t)b : a < b;
}

static bool is_number(struct dim d, int64_t n) {
    return dim_known(d) && d.size == n;
}

/* ---- Add, Sub, Mul, Div ---- */

static void add_reals(const struct broadcast_run *r) {
    const real *a = r->in[0], *b = r->in[1];
    if (r->step[0] && r->step[1])
        vmath_add(a, b, r->n, r->out);
    else
        vmath_add_scalar(r->step[0] ? a : b, r->step[0] ? *b : *a, r->n, r->out);
}
INTS(add, (uint64_t)a + (uint64_t)b)
static bool add_symbolic(struct dim x, struct dim y, const struct symbols *symbols,
                         struct dim *ret) {
    *ret = is_number(x, 0) ? y : x;
    return is_number(x, 0) || is_number(y, 0);
}
static const struct binary add_rule = {
    NUMBERS, false, add_reals, add_ints, {grad_one, grad_one}, add_symbolic};

static void sub_reals(const struct broadcast_run *r) {
    const real *a = r->in[0], *b = r->in[1];
    real *y = r->out;
    if (r->step[0] && r->step[1])
        vmath_sub(a, b, r->n, y);
    else if (r->step[0])
        vmath_add_scalar(a, -*b, r->n, y);
    else
        for (size_t i = 0, step = r->step[1]; i < r->n; i++)
            y[i] = *a - b[i * step];
}
INTS(sub, (uint64_t)a - (uint64_t)b)
static bool sub_symbolic(struct dim x, struct dim y, const struct symbols *symbols,
                         struct dim *ret) {
    *ret = is_number(y, 0) ? x : DIM(0);
    return is_number(y, 0) || dim_same(x, y);
}
static const struct binary sub_rule = {
    NUMBERS, false, sub_reals, sub_ints, {grad_one, grad_minus_one}, sub_symbolic};

static void mul_reals(const struct broadcast_run *r) {
    const real *a = r->in[0], *b = r->in[1];
    if (r->step[0] && r->step[1])
        vmath_mul(a, b, r->n, r->out);
    else
        vmath_mul_scalar(r->step[0] ? a : b, r->step[0] ? *b : *a, r->n, r->out);
}
INTS(mul, (uint64_t)a *(uint64_t)b)
/* dy times the other operand */
static void times(const struct broadcast_run *run, size_t other, const real *dy, real *g) {
    const real *x = run->in[other];
    if (run->step[other])
        vmath_mul(dy, x, run->n, g);
    else
        vmath_mul_scalar(dy, *x, run->n, g);
}
static void mul_grad_a(const void *ctx, const struct broadcast_run *run, const real *dy, real *g) {
    times(run, 1, dy, g);
}
static void mul_grad_b(const void *ctx, const struct broadcast_run *run, const real *dy, real *g) {
    times(run, 0, dy, g);
}
static bool mul_symbolic(struct dim x, struct dim y, const struct symbols *symbols,
                         struct dim *ret) {
    bool zero = is_number(x, 0) || is_number(y, 0);
    *ret = zero ? DIM(0) : is_number(x, 1) ? y : x;
    return zero || is_number(x, 1) || is_number(y, 1);
}
static const struct binary mul_rule = {
    NUMBERS, false, mul_reals, mul_ints, {mul_grad_a, mul_grad_b}, mul_symbolic};

static void div_reals(const struct broadcast_run *r) {
    const real *a = r->in[0], *b = r->in[1];
    real *y = r->out;
    if (r->step[0] && r->step[1])
        vmath_div(a, b, r->n, y);
    else
        for (size_t i = 0; i < r->n; i++)
            y[i] = a[i * r->step[0]] / b[i * r->step[1]];
}
/* Toward zero; the smallest number by -1 wraps around. */
static int div_ints(const struct ints *run) {
    for (size_t i = 0; i < run->n; i++) {
        int64_t a = run->a[i], b = run->b[i];
        if (b == 0)
            return -1;
        run->y[i] = run->is_u64 ? (int64_t)((uint64_t)a / (uint64_t)b)
                    : b == -1   ? (int64_t) - (uint64_t)a
                                : a / b;
    }
    return 0;
}
GRAD(div_grad_a, dy[i] / b)
GRAD(div_grad_b, -dy[i] * a / (b * b))
static bool div_symbolic(struct dim x, struct dim y, const struct symbols *symbols,
                         struct dim *ret) {
    *ret = x;
    return is_number(y, 1);
}
static const struct binary div_rule = {
    NUMBERS, false, div_reals, div_ints, {div_grad_a, div_grad_b}, div_symbolic};

/* ---- Max, Min: the gradient goes to the one that is taken, halves to equal ones. NaN in, NaN out.
 * ---- */

REALS(max, real, a != a ? a : b != b ? b : a > b ? a : b)
INTS(max, less_int(run, a, b) ? b : a)
REALS(min, real, a != a ? a : b != b ? b : a < b ? a : b)
INTS(min, less_int(run, a, b) ? a : b)
static bool same_symbolic(struct dim x, struct dim y, const struct symbols *symbols,
                          struct dim *ret) {
    *ret = x;
    return dim_same(x, y);
}
static const struct binary max_rule = {NUMBERS,  false,        max_reals,
                                       max_ints, {NULL, NULL}, same_symbolic};
static const struct binary min_rule = {NUMBERS,  false,        min_reals,
                                       min_ints, {NULL, NULL}, same_symbolic};

/* ---- Mod: the sign of the divisor (Python), or with fmod the sign of the dividend (C) ---- */

static double floor_mod(double a, double b) {
    double m = fmod(a, b);
    return m != 0 && (m < 0) != (b < 0) ? m + b : m;
}
REALS(mod, real, floor_mod((double)a, (double)b))
REALS(fmod, real, fmod((double)a, (double)b))
static int mod_of(const struct ints *run, bool sign_of_divisor) {
    for (size_t i = 0; i < run->n; i++) {
        int64_t a = run->a[i], b = run->b[i], m = 0;
        if (b == 0)
            return -1;
        if (run->is_u64)
            m = (int64_t)((uint64_t)a % (uint64_t)b);
        else if (b != -1)
            m = a % b;
        if (sign_of_divisor && !run->is_u64 && m != 0 && (m < 0) != (b < 0))
            m += b;
        run->y[i] = m;
    }
    return 0;
}
static int mod_ints(const struct ints *run) {
    return mod_of(run, true);
}
static int fmod_ints(const struct ints *run) {
    return mod_of(run, false);
}
GRAD(mod_grad_b, -dy[i] * (real)floor((double)a / (double)b))
GRAD(fmod_grad_b, -dy[i] * (real)trunc((double)a / (double)b))
static bool mod_symbolic(struct dim x, struct dim y, const struct symbols *symbols,
                         struct dim *ret) {
    *ret = DIM(0);
    return is_number(y, 1);
}
static const struct binary mod_rule = {
    NUMBERS, false, mod_reals, mod_ints, {grad_one, mod_grad_b}, mod_symbolic};
static const struct binary fmod_rule = {
    NUMBERS, false, fmod_reals, fmod_ints, {grad_one, fmod_grad_b}, mod_symbolic};

/* ---- comparison, logic, bits ---- */

REALS(equal, uint8_t, a == b)
INTS(equal, a == b)
/* A named symbol is the size of an axis: never negative. */
static bool equal_symbolic(struct dim x, struct dim y, const struct symbols *symbols,
                           struct dim *ret) {
    struct dim symbol = dim_known(x) ? y : x, number = dim_known(x) ? x : y;
    bool named = symbol.symbol && symbol.symbol < symbols->count && symbols->names[symbol.symbol];
    bool apart = named && dim_known(number) && number.size < 0;
    *ret = DIM(!apart);
    return apart || dim_same(x, y);
}
REALS(less, uint8_t, a < b)
INTS(less, less_int(run, a, b))
REALS(less_or_equal, uint8_t, a <= b)
INTS(less_or_equal, !less_int(run, b, a))
REALS(greater, uint8_t, a > b)
INTS(greater, less_int(run, b, a))
REALS(greater_or_equal, uint8_t, a >= b)
INTS(greater_or_equal, !less_int(run, a, b))
INTS(and, a &b)
INTS(or, a | b)
INTS(xor, a ^ b)
/* By 64 and more nothing is left. Narrow types lose what leaves them when they are narrowed. */
INTS(shift_left, (uint64_t)b < 64 ? (uint64_t)a << b : 0)
INTS(shift_right, (uint64_t)b < 64 ? (uint64_t)a >> b : 0)

#define COMPARES(name, takes, symbolic)                                                \
    static const struct binary name##_rule = {takes,       true,         name##_reals, \
                                              name##_ints, {NULL, NULL}, symbolic}
COMPARES(equal, ANYTHING, equal_symbolic);
COMPARES(less, ORDERED, NULL);
COMPARES(less_or_equal, ORDERED, NULL);
COMPARES(greater, ORDERED, NULL);
COMPARES(greater_or_equal, ORDERED, NULL);
#define BITS(name, function, takes)                                                \
    static const struct binary name##_rule = {takes,           false,        NULL, \
                                              function##_ints, {NULL, NULL}, NULL}
BITS(and, and, BOOLEANS);
BITS(or, or, BOOLEANS);
BITS(xor, xor, BOOLEANS);
BITS(bitwise_and, and, INTEGERS);
BITS(bitwise_or, or, INTEGERS);
BITS(bitwise_xor, xor, INTEGERS);
BITS(shift_left, shift_left, INTEGERS);
BITS(shift_right, shift_right, INTEGERS);

/* ---- inference ---- */

static bool taken(enum takes takes, enum dtype dtype) {
    bool is_float = dtype_row(dtype)->is_float;
    switch (takes) {
    case BOOLEANS:
        return dtype == DTYPE_BOOL;
    case INTEGERS:
        return !is_float && dtype != DTYPE_BOOL && dtype != DTYPE_STRING;
    case NUMBERS:
    case ORDERED:
        return dtype != DTYPE_BOOL && dtype != DTYPE_STRING;
    case ANYTHING:
        break;
    }
    return true;
}

/* Small values of integers are worth following element by element. */
enum { PARTIAL_ELEMENTS = 64 };

static bool followed(const struct type *type, struct array *ret) {
    return type_to_array(type, ret) && ret->elements <= PARTIAL_ELEMENTS &&
           !dtype_row(type->dtype)->is_float;
}

static struct dim anything(struct symbols *symbols) {
    return (struct dim){-1, symbols_get(symbols, NULL)};
}

/* Element by element: numbers are computed, symbols survive where the rule knows how, else nobody
 * knows. */
static int partial(struct op_infer *infer, const struct binary *rule, struct err *err) {
    struct array a, b, y;
    struct fact *out = &infer->out[0];
    if (infer->node->in_count != 2 || !rule->ints || !followed(&infer->in[0]->type, &a) ||
        !followed(&infer->in[1]->type, &b) || !followed(&out->type, &y))
        return 0;
    struct dim *dims = ARENA_ARRAY(infer->arena, struct dim, y.elements + 1);
    if (!dims)
        return err_set(err, ERR_NO_MEMORY, "no memory for shape inference");
    for (uint64_t i = 0; i < y.elements; i++) {
        struct dim p, q;
        if (!fact_element(infer->in[0], broadcast_index(&a, &y, i), &p) ||
            !fact_element(infer->in[1], broadcast_index(&b, &y, i), &q))
            return 0;
        int64_t result;
        struct ints one = {&p.size, &q.size, &result, 1, a.dtype == DTYPE_U64};
        if (dim_known(p) && dim_known(q) && rule->ints(&one) == 0)
            dims[i] = DIM(result);
        else if (!rule->symbolic || !rule->symbolic(p, q, infer->symbols, &dims[i]))
            dims[i] = anything(infer->symbols);
    }
    out->partial = dims;
    return 0;
}

static int infer_rule(struct op_infer *infer, const struct binary *rule, struct err *err) {
    const struct node *node = infer->node;
    struct type type = {0};
    for (size_t k = 0; k < node->in_count; k++) {
        if (!infer->in[k])
            return op_fail(node, err, "input %zu is not given", k);
        const struct type *next = &infer->in[k]->type;
        if (k == 0)
            type = *next;
        if (next->dtype && !taken(rule->takes, next->dtype))
            return op_fail(node, err, "input %zu is %s", k, dtype_row(next->dtype)->name);
        if (next->dtype && type.dtype && next->dtype != type.dtype)
            return op_fail(node, err, "inputs are %s and %s", dtype_row(type.dtype)->name,
                           dtype_row(next->dtype)->name);
        if (next->dtype)
            type.dtype = next->dtype;
        if (k && op_broadcast(infer, &type, next, &type, err) < 0)
            return -1;
    }
    if (rule->to_bool)
        type.dtype = DTYPE_BOOL;
    infer->out[0].type = type;
    return partial(infer, rule, err);
}

/* ---- forward ---- */

struct call {
    const struct binary *rule;
    const struct array *in[2];
    const struct array *out;
};

static int reals_run(void *ctx, const struct broadcast_run *run, struct err *err) {
    const struct call *call = ctx;
    call->rule->reals(run);
    return 0;
}

/* A run's operand as 64-bit integers. */
static int widen(const struct array *from, const void *data, size_t step, size_t n, int64_t *ret,
                 struct err *err) {
    size_t count = step ? n : 1;
    struct array narrow = *from, wide = {DTYPE_I64, 1, {count}, count, ret};
    memcpy(&narrow.data, &data, sizeof data);
    narrow.rank = 1;
    narrow.dims[0] = narrow.elements = count;
    if (array_convert(&narrow, &wide, false, err) < 0)
        return -1;
    for (size_t i = count; i < n; i++)
        ret[i] = ret[0];
    return 0;
}

static int ints_run(void *ctx, const struct broadcast_run *run, struct err *err) {
    const struct call *call = ctx;
    int64_t a[BROADCAST_RUN], b[BROADCAST_RUN];
    struct ints ints = {a, b, a, run->n, call->in[0]->dtype == DTYPE_U64};
    if (widen(call->in[0], run->in[0], run->step[0], run->n, a, err) < 0 ||
        widen(call->in[1], run->in[1], run->step[1], run->n, b, err) < 0)
        return -1;
    if (call->rule->ints(&ints) < 0)
        return err_set(err, ERR_BAD_FIELD, "an integer is divided by zero");
    struct array wide = {DTYPE_I64, 1, {run->n}, run->n, a};
    struct array narrow = {call->out->dtype, 1, {run->n}, run->n, run->out};
    return array_convert(&wide, &narrow, false, err);
}

/* out = a (rule) b */
static int join(const struct op_run *run, const struct binary *rule, const struct array *a,
                const struct array *b, const struct array *out, struct err *err) {
    struct call call = {rule, {a, b}, out};
    const struct broadcast two = {call.in, 2, out};
    const struct dtype_row *type = dtype_row(a->dtype);
    bool can = a->dtype == DTYPE_F32
                   ? rule->reals != NULL
                   : rule->ints && !type->is_float && array_item_bytes(a->dtype) > 0 &&
                         a->dtype != DTYPE_C64 && a->dtype != DTYPE_C128;
    if (!can)
        return err_set(err, ERR_UNSUPPORTED, "%s of %s is not executable", run->node->op_type,
                       type->name);
    return broadcast_forward(run, &two, a->dtype == DTYPE_F32 ? reals_run : ints_run, &call, err);
}

static int two_forward(const struct op_run *run, const struct binary *rule, struct err *err) {
    return join(run, rule, run->in[0], run->in[1], run->out[0], err);
}

/* ---- backward ---- */

static struct broadcast all_two(const struct op_run *run) {
    return (struct broadcast){run->in, 2, run->out[0]};
}

static int two_backward(const struct op_backward *back, const struct binary *rule,
                        struct err *err) {
    const struct broadcast b = all_two(&back->run);
    for (size_t k = 0; k < 2 && back->dout[0]; k++)
        if (back->din[k] && broadcast_backward(&back->run, &b, k, rule->grad[k], NULL,
                                               back->dout[0], back->din[k], err) < 0)
            return -1;
    return 0;
}

static uint64_t two_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    const struct broadcast b = all_two(shapes);
    uint64_t most = 0;
    for (size_t k = 0; k < 2 && backward; k++) {
        uint64_t bytes = broadcast_scratch(&b, k);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* ---- rows of two operands ---- */

#define ROW_FIELDS(row, type, since, row_flags, text)                                    \
    .op_type = type, .domain = "", .min_version = since, .max_version = OP_ONNX_VERSION, \
    .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .flags = row_flags,            \
    .infer = row##_infer, .forward = row##_forward, .dims = relate_broadcast, .doc = text
#define TWO(row)                                                          \
    static int row##_infer(struct op_infer *infer, struct err *err) {     \
        return infer_rule(infer, &row##_rule, err);                       \
    }                                                                     \
    static int row##_forward(const struct op_run *run, struct err *err) { \
        return two_forward(run, &row##_rule, err);                        \
    }
#define ROW(row, type, since, row_flags, text) \
    TWO(row)                                   \
    const struct op op_##row = {ROW_FIELDS(row, type, since, row_flags, text)};
#define ROW_BACKWARD(row, type, since, row_flags, text)                             \
    TWO(row)                                                                        \
    static int row##_backward(const struct op_backward *back, struct err *err) {    \
        return two_backward(back, &row##_rule, err);                                \
    }                                                                               \
    const struct op op_##row = {ROW_FIELDS(row, type, since, row_flags, text),      \
                                .backward = row##_backward, .scratch = two_scratch, \
                                .tolerance = 1e-6};

ROW_BACKWARD(add, "Add", 7, OP_IN_PLACE, "a + b")
ROW_BACKWARD(sub, "Sub", 7, OP_IN_PLACE, "a - b")
ROW_BACKWARD(mul, "Mul", 7, OP_IN_PLACE | OP_NEEDS_IN, "a b")
ROW_BACKWARD(div, "Div", 7, OP_IN_PLACE | OP_NEEDS_IN, "a / b")
ROW(equal, "Equal", 7, 0, "whether a is b")
ROW(less, "Less", 7, 0, "whether a is below b")
ROW(less_or_equal, "LessOrEqual", 12, 0, "whether a is at most b")
ROW(greater, "Greater", 7, 0, "whether a is above b")
ROW(greater_or_equal, "GreaterOrEqual", 12, 0, "whether a is at least b")
ROW(and, "And", 7, OP_IN_PLACE, "logical and")
ROW(or, "Or", 7, OP_IN_PLACE, "logical or")
ROW(xor, "Xor", 7, OP_IN_PLACE, "logical exclusive or")
ROW(bitwise_and, "BitwiseAnd", 18, OP_IN_PLACE, "and of the bits")
ROW(bitwise_or, "BitwiseOr", 18, OP_IN_PLACE, "or of the bits")
ROW(bitwise_xor, "BitwiseXor", 18, OP_IN_PLACE, "exclusive or of the bits")

/* ---- BitShift: unsigned integers ---- */

static const struct binary *shift_rule(const struct node *node) {
    return node_string(node, "direction", "")[0] == 'L' ? &shift_left_rule : &shift_right_rule;
}

static int bit_shift_parse(const struct node *node, struct arena *arena, void **ret_params,
                           struct err *err) {
    const char *direction = node_string(node, "direction", "");
    if (strcmp(direction, "LEFT") != 0 && strcmp(direction, "RIGHT") != 0)
        return op_fail(node, err, "direction '%.32s' is neither LEFT nor RIGHT", direction);
    return 0;
}

static int bit_shift_infer(struct op_infer *infer, struct err *err) {
    enum dtype dtype = infer->in[0] ? infer->in[0]->type.dtype : DTYPE_NONE;
    if (dtype == DTYPE_I8 || dtype == DTYPE_I16 || dtype == DTYPE_I32 || dtype == DTYPE_I64)
        return op_fail(infer->node, err, "of %s, not an unsigned integer", dtype_row(dtype)->name);
    return infer_rule(infer, shift_rule(infer->node), err);
}

static int bit_shift_forward(const struct op_run *run, struct err *err) {
    return two_forward(run, shift_rule(run->node), err);
}

const struct op op_bit_shift = {
    ROW_FIELDS(bit_shift, "BitShift", 11, OP_IN_PLACE, "a shifted by b bits"),
    .parse = bit_shift_parse,
};

/* ---- Mod ---- */

static int mod_parse(const struct node *node, struct arena *arena, void **ret_params,
                     struct err *err) {
    int64_t is_fmod = node_int(node, "fmod", 0);
    if (is_fmod != 0 && is_fmod != 1)
        return op_fail(node, err, "fmod is neither 0 nor 1");
    return 0;
}

static const struct binary *mod_rule_of(const struct node *node) {
    return node_int(node, "fmod", 0) ? &fmod_rule : &mod_rule;
}

static int mod_infer(struct op_infer *infer, struct err *err) {
    return infer_rule(infer, mod_rule_of(infer->node), err);
}

static int mod_forward(const struct op_run *run, struct err *err) {
    return two_forward(run, mod_rule_of(run->node), err);
}

static int mod_backward(const struct op_backward *back, struct err *err) {
    return two_backward(back, mod_rule_of(back->run.node), err);
}

const struct op op_mod = {
    ROW_FIELDS(mod, "Mod", 10, OP_IN_PLACE | OP_NEEDS_IN, "remainder of a / b"),
    .parse = mod_parse,
    .backward = mod_backward,
    .scratch = two_scratch,
    .tolerance = 1e-6,
};

/* ---- Pow: y = a^b, of a's type; b may have another. da = dy b a^(b-1), db = dy y log a ----
 * Integers are computed in f64, and exactly where the exponent is a whole number. */

static int pow_infer(struct op_infer *infer, struct err *err) {
    const struct type *a = &infer->in[0]->type, *b = &infer->in[1]->type;
    for (size_t k = 0; k < 2; k++) {
        enum dtype dtype = infer->in[k]->type.dtype;
        if (dtype && !taken(NUMBERS, dtype))
            return op_fail(infer->node, err, "input %zu is %s", k, dtype_row(dtype)->name);
    }
    infer->out[0].type.dtype = a->dtype;
    return op_broadcast(infer, a, b, &infer->out[0].type, err);
}

static real pow_real(real a, double b) {
    return b == 2 ? a * a : b == 1 ? a : (real)pow((double)a, b);
}

static int64_t pow_int(int64_t a, int64_t b) {
    uint64_t result = 1, base = (uint64_t)a;
    if (b < 0)
        return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
    for (; b; b >>= 1, base *= base)
        result *= b & 1 ? base : 1;
    return (int64_t)result;
}

static int pow_run(void *ctx, const struct broadcast_run *run, struct err *err) {
    const struct call *call = ctx;
    double exponent[BROADCAST_RUN];
    int64_t base[BROADCAST_RUN], whole[BROADCAST_RUN];
    bool a_real = call->in[0]->dtype == DTYPE_F32, b_real = call->in[1]->dtype == DTYPE_F32;
    const real *pa = run->in[0], *pb = run->in[1];
    if (!b_real && widen(call->in[1], run->in[1], run->step[1], run->n, whole, err) < 0)
        return -1;
    if (!a_real && widen(call->in[0], run->in[0], run->step[0], run->n, base, err) < 0)
        return -1;
    for (size_t i = 0; i < run->n; i++)
        exponent[i] = b_real                            ? (double)pb[i * run->step[1]]
                      : call->in[1]->dtype == DTYPE_U64 ? (double)(uint64_t)whole[i]
                                                        : (double)whole[i];
    if (a_real && run->step[1] == 0 && run->n > 0 && exponent[0] == 2) {
        for (size_t i = 0; i < run->n; i++)
            ((real *)run->out)[i] = pa[i * run->step[0]] * pa[i * run->step[0]];
        return 0;
    }
    if (a_real) {
        for (size_t i = 0; i < run->n; i++)
            ((real *)run->out)[i] = pow_real(pa[i * run->step[0]], exponent[i]);
        return 0;
    }
    for (size_t i = 0; i < run->n; i++) {
        double b = exponent[i];
        if (b == trunc(b) && fabs(b) < 0x1p62) {
            base[i] = pow_int(base[i], (int64_t)b);
        } else {
            double y = pow((double)base[i], b);
            base[i] = !(y > -0x1p63) ? INT64_MIN : y >= 0x1p63 ? INT64_MAX : (int64_t)y;
        }
    }
    struct array wide = {DTYPE_I64, 1, {run->n}, run->n, base};
    struct array narrow = {call->out->dtype, 1, {run->n}, run->n, run->out};
    return array_convert(&wide, &narrow, false, err);
}

static int pow_forward(const struct op_run *run, struct err *err) {
    struct call call = {NULL, {run->in[0], run->in[1]}, run->out[0]};
    const struct broadcast two = {call.in, 2, run->out[0]};
    for (size_t k = 0; k < 2; k++)
        if (!taken(NUMBERS, call.in[k]->dtype) || array_item_bytes(call.in[k]->dtype) == 0 ||
            call.in[k]->dtype == DTYPE_C64 || call.in[k]->dtype == DTYPE_C128)
            return err_set(err, ERR_UNSUPPORTED, "Pow of %s is not executable",
                           dtype_row(call.in[k]->dtype)->name);
    return broadcast_forward(run, &two, pow_run, &call, err);
}

/* The exponent of a run: ctx is in[1]. */
static double exponent_at(const struct array *b, const struct broadcast_run *run, size_t i) {
    if (b->dtype == DTYPE_F32)
        return (double)((const real *)run->in[1])[i * run->step[1]];
    size_t base = (size_t)((const char *)run->in[1] - (const char *)b->data);
    return array_number(b, base / array_item_bytes(b->dtype) + i * run->step[1]);
}

static void pow_grad_a(const void *ctx, const struct broadcast_run *run, const real *dy, real *g) {
    const real *a = run->in[0];
    for (size_t i = 0; i < run->n; i++) {
        double b = exponent_at(ctx, run, i);
        g[i] = b == 0 ? 0 : dy[i] * (real)b * pow_real(a[i * run->step[0]], b - 1);
    }
}

static void pow_grad_b(const void *ctx, const struct broadcast_run *run, const real *dy, real *g) {
    const real *a = run->in[0];
    for (size_t i = 0; i < run->n; i++) {
        double x = (double)a[i * run->step[0]], b = exponent_at(ctx, run, i);
        g[i] = x == 0 && b >= 0 ? 0 : dy[i] * (real)(pow(x, b) * log(x));
    }
}

static int pow_backward(const struct op_backward *back, struct err *err) {
    const struct broadcast b = all_two(&back->run);
    broadcast_grad *const grads[2] = {pow_grad_a, pow_grad_b};
    for (size_t k = 0; k < 2 && back->dout[0]; k++)
        if (back->din[k] && broadcast_backward(&back->run, &b, k, grads[k], back->run.in[1],
                                               back->dout[0], back->din[k], err) < 0)
            return -1;
    return 0;
}

const struct op op_pow = {
    ROW_FIELDS(pow, "Pow", 7, OP_IN_PLACE | OP_NEEDS_IN, "a to the b"),
    .backward = pow_backward,
    .scratch = two_scratch,
    .tolerance = 1e-6,
};

/* ---- Max, Min, Sum, Mean of any number of inputs ---- */

static int many_forward(const struct op_run *run, const struct binary *rule, struct err *err) {
    const struct array *out = run->out[0], *so_far = run->in[0];
    size_t count = run->node->in_count;
    if (count == 1) {
        memmove(out->data, so_far->data, (size_t)array_bytes(out));
        return 0;
    }
    for (size_t k = 1; k < count; k++) {
        if (join(run, rule, so_far, run->in[k], out, err) < 0)
            return -1;
        so_far = out;
    }
    return 0;
}

/* ctx: what dy is multiplied by. */
static void grad_scaled(const void *ctx, const struct broadcast_run *run, const real *dy, real *g) {
    const real *scale = ctx;
    vmath_mul_scalar(dy, *scale, run->n, g);
}

/* One input against the result. */
static void grad_taken(const void *ctx, const struct broadcast_run *run, const real *dy, real *g) {
    const real *x = run->in[0], *y = run->out;
    for (size_t i = 0; i < run->n; i++)
        g[i] = x[i * run->step[0]] == y[i] ? dy[i] : 0;
}

/* One of two against the other: equal ones share. */
static void grad_taken_of_two(const void *ctx, const struct broadcast_run *run, const real *dy,
                              real *g) {
    const size_t *which = ctx;
    const real *x = run->in[*which], *other = run->in[1 - *which], *y = run->out;
    for (size_t i = 0; i < run->n; i++) {
        real v = x[i * run->step[*which]];
        g[i] = v != y[i] ? 0 : v == other[i * run->step[1 - *which]] ? dy[i] / 2 : dy[i];
    }
}

static int taken_backward(const struct op_backward *back, struct err *err) {
    size_t count = back->run.node->in_count;
    for (size_t k = 0; k < count && back->dout[0]; k++) {
        const struct broadcast two = all_two(&back->run);
        const struct broadcast one = {&back->run.in[k], 1, back->run.out[0]};
        if (!back->din[k])
            continue;
        if (count == 2 ? broadcast_backward(&back->run, &two, k, grad_taken_of_two, &k,
                                            back->dout[0], back->din[k], err) < 0
                       : broadcast_backward(&back->run, &one, 0, grad_taken, NULL, back->dout[0],
                                            back->din[k], err) < 0)
            return -1;
    }
    return 0;
}

static int scaled_backward(const struct op_backward *back, real scale, struct err *err) {
    for (size_t k = 0; k < back->run.node->in_count && back->dout[0]; k++) {
        const struct broadcast one = {&back->run.in[k], 1, back->run.out[0]};
        if (back->din[k] && broadcast_backward(&back->run, &one, 0, grad_scaled, &scale,
                                               back->dout[0], back->din[k], err) < 0)
            return -1;
    }
    return 0;
}

static uint64_t many_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    uint64_t most = 0;
    if (backward && shapes->node->in_count == 2)
        return two_scratch(shapes, backward, threads);
    for (size_t k = 0; k < shapes->node->in_count && backward; k++) {
        const struct broadcast one = {&shapes->in[k], 1, shapes->out[0]};
        uint64_t bytes = broadcast_scratch(&one, 0);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static int max_infer(struct op_infer *infer, struct err *err) {
    return infer_rule(infer, &max_rule, err);
}

static int max_forward(const struct op_run *run, struct err *err) {
    return many_forward(run, &max_rule, err);
}

static int min_infer(struct op_infer *infer, struct err *err) {
    return infer_rule(infer, &min_rule, err);
}

static int min_forward(const struct op_run *run, struct err *err) {
    return many_forward(run, &min_rule, err);
}

static int sum_infer(struct op_infer *infer, struct err *err) {
    return infer_rule(infer, &add_rule, err);
}

static int sum_forward(const struct op_run *run, struct err *err) {
    return many_forward(run, &add_rule, err);
}

static int sum_backward(const struct op_backward *back, struct err *err) {
    return scaled_backward(back, 1, err);
}

static int mean_infer(struct op_infer *infer, struct err *err) {
    enum dtype dtype = infer->in[0] ? infer->in[0]->type.dtype : DTYPE_NONE;
    if (dtype && !dtype_row(dtype)->is_float)
        return op_fail(infer->node, err, "of %s, not a float", dtype_row(dtype)->name);
    return infer_rule(infer, &add_rule, err);
}

/* The sum has been written: what is read and written is one element. */
static int scale_run(void *ctx, const struct broadcast_run *run, struct err *err) {
    vmath_mul_scalar(run->in[0], *(const real *)ctx, run->n, run->out);
    return 0;
}

static int mean_forward(const struct op_run *run, struct err *err) {
    real scale = 1 / (real)run->node->in_count;
    const struct array *sum = run->out[0];
    const struct broadcast one = {&sum, 1, sum};
    if (many_forward(run, &add_rule, err) < 0)
        return -1;
    return broadcast_forward(run, &one, scale_run, &scale, err);
}

static int mean_backward(const struct op_backward *back, struct err *err) {
    return scaled_backward(back, 1 / (real)back->run.node->in_count, err);
}

/* Not in place: a later input may be the same value as the first. */
#define ROW_MANY(row, type, row_backward, row_flags, text)      \
    const struct op op_##row = {.op_type = type,                \
                                .domain = "",                   \
                                .min_version = 6,               \
                                .max_version = OP_ONNX_VERSION, \
                                .min_in = 1,                    \
                                .max_in = OP_MANY,              \
                                .min_out = 1,                   \
                                .max_out = 1,                   \
                                .flags = row_flags,             \
                                .infer = row##_infer,           \
                                .forward = row##_forward,       \
                                .backward = row_backward,       \
                                .scratch = many_scratch,        \
                                .dims = relate_broadcast,       \
                                .tolerance = 1e-6,              \
                                .doc = text};
ROW_MANY(max, "Max", taken_backward, OP_NEEDS_IN | OP_NEEDS_OUT, "the largest of all inputs")
ROW_MANY(min, "Min", taken_backward, OP_NEEDS_IN | OP_NEEDS_OUT, "the smallest of all inputs")
ROW_MANY(sum, "Sum", sum_backward, 0, "sum of all inputs")
ROW_MANY(mean, "Mean", mean_backward, 0, "mean of all inputs")

/* ---- Where: y = c ? a : b, a and b of any one type ---- */

static int where_infer(struct op_infer *infer, struct err *err) {
    const struct type *c = &infer->in[0]->type, *a = &infer->in[1]->type, *b = &infer->in[2]->type;
    struct fact *out = &infer->out[0];
    struct array sc, sa, sb, sy;
    if (c->dtype && c->dtype != DTYPE_BOOL)
        return op_fail(infer->node, err, "the condition is %s, not bool",
                       dtype_row(c->dtype)->name);
    if (a->dtype && b->dtype && a->dtype != b->dtype)
        return op_fail(infer->node, err, "inputs are %s and %s", dtype_row(a->dtype)->name,
                       dtype_row(b->dtype)->name);
    if (op_broadcast(infer, a, b, &out->type, err) < 0 ||
        op_broadcast(infer, &out->type, c, &out->type, err) < 0)
        return -1;
    out->type.dtype = a->dtype ? a->dtype : b->dtype;
    if (!followed(c, &sc) || !followed(a, &sa) || !followed(b, &sb) || !followed(&out->type, &sy))
        return 0;
    struct dim *dims = ARENA_ARRAY(infer->arena, struct dim, sy.elements + 1);
    if (!dims)
        return err_set(err, ERR_NO_MEMORY, "no memory for shape inference");
    for (uint64_t i = 0; i < sy.elements; i++) {
        struct dim when, yes, no;
        if (!fact_element(infer->in[0], broadcast_index(&sc, &sy, i), &when) ||
            !fact_element(infer->in[1], broadcast_index(&sa, &sy, i), &yes) ||
            !fact_element(infer->in[2], broadcast_index(&sb, &sy, i), &no))
            return 0;
        dims[i] = dim_known(when)     ? (when.size ? yes : no)
                  : dim_same(yes, no) ? yes
                                      : anything(infer->symbols);
    }
    out->partial = dims;
    return 0;
}

/* Both sides are read, so that nothing branches on the condition. */
#define PICK(bytes, T)                                             \
    case bytes:                                                    \
        for (size_t i = 0; i < run->n; i++) {                      \
            const T a = ((const T *)run->in[1])[i * run->step[1]]; \
            const T b = ((const T *)run->in[2])[i * run->step[2]]; \
            ((T *)run->out)[i] = c[i * run->step[0]] ? a : b;      \
        }                                                          \
        break

static int where_run(void *ctx, const struct broadcast_run *run, struct err *err) {
    const unsigned *item = ctx;
    const uint8_t *c = run->in[0];
    switch (*item) {
        PICK(1, uint8_t);
        PICK(2, uint16_t);
        PICK(4, uint32_t);
        PICK(8, uint64_t);
    }
    return 0;
}

static int where_forward(const struct op_run *run, struct err *err) {
    const struct broadcast b = {run->in, 3, run->out[0]};
    unsigned item = array_item_bytes(run->out[0]->dtype);
    if (item != 1 && item != 2 && item != 4 && item != 8)
        return err_set(err, ERR_UNSUPPORTED, "Where of %s is not executable",
                       dtype_row(run->out[0]->dtype)->name);
    return broadcast_forward(run, &b, where_run, &item, err);
}

/* ctx: whether it is the side taken when the condition holds. */
static void where_grad(const void *ctx, const struct broadcast_run *run, const real *dy, real *g) {
    const bool *side = ctx;
    const uint8_t *c = run->in[0];
    for (size_t i = 0; i < run->n; i++)
        g[i] = (c[i * run->step[0]] != 0) == *side ? dy[i] : 0;
}

static int where_backward(const struct op_backward *back, struct err *err) {
    const struct broadcast b = {back->run.in, 3, back->run.out[0]};
    for (size_t k = 1; k < 3 && back->dout[0]; k++) {
        const bool side = k == 1;
        if (back->din[k] && broadcast_backward(&back->run, &b, k, where_grad, &side, back->dout[0],
                                               back->din[k], err) < 0)
            return -1;
    }
    return 0;
}

static uint64_t where_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    const struct broadcast b = {shapes->in, 3, shapes->out[0]};
    uint64_t most = 0;
    for (size_t k = 1; k < 3 && backward; k++) {
        uint64_t bytes = broadcast_scratch(&b, k);
        most = bytes > most ? bytes : most;
    }
    return most;
}

const struct op op_where = {
    .op_type = "Where",
    .domain = "",
    .min_version = 9,
    .max_version = OP_ONNX_VERSION,
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_NEEDS_IN,
    .infer = where_infer,
    .forward = where_forward,
    .backward = where_backward,
    .scratch = where_scratch,
    .dims = relate_broadcast,
    .tolerance = 1e-6,
    .doc = "a where c holds, else b",
};
