/*
 * What every row of the operator table says of its axes (dims, cut), by cutting: of a case
 * (op_cases.c), units that the tracer found are removed from all inputs that they touch, the node
 * is fitted to it (cut) and run again on what is left. It must still infer and run, its outputs
 * must have lost exactly what the units say, and where the units touch no contracted axis they must
 * hold the same numbers as the full result without them.
 *
 *     check_dims [-v] [OPERATOR...]      -v: how many units each case has, and how many were cut
 *
 * Each row runs in a process of its own: one that crashes hides no other.
 */
#include "compress/base/arena.h"
#include "compress/graph/dims.h"
#include "compress/graph/relate.h"
#include "tests/numeric/op_cases.h"
#include "tests/support/opcase.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_PORTS = 64, ROW_SECONDS = 120 };
/* Sums over fewer or other tiles are rounded otherwise. */
static const double apart_at_most = 1e-5;

#define ROW(row) extern const struct op op_##row;
OP_ROWS(ROW)
#undef ROW

static const struct row {
    const struct op *op;
    const char *const *cases;
} rows[] = {
#define ROW(row) {&op_##row, op_cases_##row},
    OP_ROWS(ROW)
#undef ROW
};
enum { ROWS = sizeof rows / sizeof rows[0] };

struct counts {
    unsigned cases, cuts, compared, contracted, failures;
    bool contracts; /* the row has a contraction */
};

static struct counts counts;
static bool verbose;
static const char *current = "";

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
    va_list args;
    counts.failures++;
    fflush(stdout);
    fprintf(stderr, "FAILED: %s\n        ", current);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ---- what is removed ---- */

/* Of one value: lost[axis][index]. */
struct loss {
    bool *lost[LIMIT_RANK]; /* NULL: nothing */
};

/* Of a node's values; inputs first. */
struct losses {
    struct loss in[MAX_PORTS], out[MAX_PORTS];
};

static int lose(struct loss *loss, const struct array *array, unsigned axis, uint64_t index,
                struct arena *arena) {
    if (!loss->lost[axis])
        loss->lost[axis] = ARENA_ARRAY(arena, bool, array->dims[axis] + 1);
    if (!loss->lost[axis])
        return -1;
    loss->lost[axis][index] = true;
    return 0;
}

/* What the unit takes from this node's values. */
static int losses_of(const struct opcase *c, const struct dims *dims, uint32_t unit,
                     struct losses *ret) {
    size_t count;
    const struct dims_member *members = dims_members(dims, unit, &count);
    for (size_t m = 0; m < count; m++) {
        for (size_t i = 0; i < c->in_count; i++)
            if (c->node->in[i] == members[m].value &&
                lose(&ret->in[i], c->in[i], members[m].axis, members[m].index, c->arena) < 0)
                return -1;
        for (size_t i = 0; i < c->out_count; i++)
            if (c->out[i] && c->node->out[i] == members[m].value &&
                lose(&ret->out[i], c->out[i], members[m].axis, members[m].index, c->arena) < 0)
                return -1;
    }
    return 0;
}

/* The shape that is left; false when an axis loses everything. */
static bool shape_left(const struct array *full, const struct loss *loss, struct array *ret) {
    uint64_t dims[LIMIT_RANK];
    for (unsigned d = 0; d < full->rank; d++) {
        dims[d] = full->dims[d];
        for (uint64_t i = 0; loss->lost[d] && i < full->dims[d]; i++)
            dims[d] -= loss->lost[d][i];
        if (dims[d] == 0 && full->dims[d])
            return false;
    }
    return array_shape(ret, full->dtype, full->rank, dims, NULL) == 0;
}

static bool is_left(const struct array *full, const struct loss *loss, uint64_t element) {
    for (unsigned d = full->rank; d-- > 0; element /= full->dims[d])
        if (loss->lost[d] && loss->lost[d][element % full->dims[d]])
            return false;
    return true;
}

static struct array *slice(const struct array *full, const struct loss *loss, struct arena *arena) {
    struct array shape;
    if (!shape_left(full, loss, &shape))
        return NULL;
    struct array *left = array_in_arena(arena, full->dtype, full->rank, shape.dims);
    size_t item = array_item_bytes(full->dtype);
    uint8_t *to = left ? left->data : NULL;
    for (uint64_t i = 0; left && i < full->elements; i++)
        if (is_left(full, loss, i)) {
            memcpy(to, (const uint8_t *)full->data + i * item, item);
            to += item;
        }
    return left;
}

/* ---- cutting ---- */

/* Does the row say of this case that an axis is contracted? */
static bool has_contraction(const struct opcase *c) {
    struct op_run shapes = {
        .node = c->node, .in = (const struct array *const *)c->in, .out = c->out};
    struct relations relations = {.shapes = &shapes, .arena = c->arena};
    bool found = c->node->op->dims(&relations, &shapes) < 0;
    for (size_t i = 0; i < relations.count; i++)
        found = found || relations.list[i].contracted;
    return found;
}

/* Does a contracted axis lose something? Then the results of other axes change. */
static bool is_contracted(const struct opcase *c, const struct losses *losses) {
    struct op_run shapes = {
        .node = c->node, .in = (const struct array *const *)c->in, .out = c->out};
    struct relations relations = {.shapes = &shapes, .arena = c->arena};
    bool found = c->node->op->dims(&relations, &shapes) < 0;
    for (size_t i = 0; i < relations.count && !found; i++) {
        const struct relation *r = &relations.list[i];
        for (int side = 0; side < 2 && r->contracted; side++) {
            struct axis a = side ? r->b : r->a;
            found = found || (a.output ? losses->out : losses->in)[a.slot].lost[a.axis];
        }
    }
    return found;
}

/* Takes what is lost from the inputs of `narrow`, a second copy of the case. False when nothing
 * would be left. */
static bool cut_inputs(const struct opcase *full, const struct losses *losses,
                       struct opcase *narrow) {
    for (size_t i = 0; i < full->in_count; i++) {
        if (!full->in[i])
            continue;
        narrow->in[i] = slice(full->in[i], &losses->in[i], narrow->arena);
        if (!narrow->in[i])
            return false;
        struct value *value = narrow->node->in[i];
        value->type = type_of_array(narrow->in[i]);
        if (value->kind == VALUE_CONSTANT)
            value->data = narrow->in[i];
    }
    return true;
}

/* Lets the row fit its attributes and small constants to the new shapes. */
static int fit(const struct opcase *full, const struct losses *losses, struct opcase *narrow,
               struct err *err) {
    struct array *out[MAX_PORTS] = {NULL}, shapes[MAX_PORTS];
    struct op_run before = {
        .node = narrow->node, .in = (const struct array *const *)full->in, .out = full->out};
    for (size_t i = 0; i < full->out_count; i++)
        if (full->out[i] && shape_left(full->out[i], &losses->out[i], &shapes[i]))
            out[i] = &shapes[i];
    struct op_run after = {
        .node = narrow->node, .in = (const struct array *const *)narrow->in, .out = out};
    if (narrow->node->op->cut && narrow->node->op->cut(narrow->node, &before, &after, err) < 0)
        return -1;
    for (size_t i = 0; i < narrow->in_count; i++) { /* it may have given constants new contents */
        const struct value *value = narrow->node->in[i];
        if (!value || !value->data || value->data == narrow->in[i])
            continue;
        narrow->in[i] =
            array_in_arena(narrow->arena, value->data->dtype, value->data->rank, value->data->dims);
        if (!narrow->in[i])
            return err_set(err, ERR_NO_MEMORY, "no memory for a constant");
        memcpy(narrow->in[i]->data, value->data->data, array_bytes(value->data));
    }
    return 0;
}

/* ---- what counts for nothing ---- */

enum neutral { ZERO, ONE, LOWEST, HIGHEST, NONE };

static const struct {
    const char *op_type;
    enum neutral neutral;
} neutrals[] = {
    {"ReduceProd", ONE},
    {"ReduceMax", LOWEST},
    {"ReduceMin", HIGHEST},
    {"ReduceLogSumExp", LOWEST},
    {"Softmax", LOWEST},
    {"LogSoftmax", LOWEST},
    {"Hardmax", LOWEST},
    {"ReduceMean", NONE},
    {"LayerNormalization", NONE},
    {"RMSNormalization", NONE},
    {"SimplifiedLayerNormalization", NONE},
    {"GroupNormalization", NONE},
    {"MeanVarianceNormalization", NONE},
    {"Shape", NONE},
    {"Size", NONE},
};

static enum neutral neutral_of(const struct node *node) {
    for (size_t i = 0; i < sizeof neutrals / sizeof *neutrals; i++)
        if (strcmp(neutrals[i].op_type, node->op_type) == 0)
            return neutrals[i].neutral;
    return ZERO;
}

/* The zero point of element i of an integer product's input. */
static double zero_point(const struct opcase *c, size_t input, uint64_t i) {
    static const struct {
        const char *op_type;
        size_t a, a_zero, b, b_zero;
    } all[] = {{"MatMulInteger", 0, 2, 1, 3},
               {"ConvInteger", 0, 2, 1, 3},
               {"QLinearMatMul", 0, 2, 3, 5},
               {"QLinearConv", 0, 2, 3, 5}};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        if (strcmp(all[k].op_type, c->node->op_type) != 0)
            continue;
        size_t slot = input == all[k].a ? all[k].a_zero : all[k].b_zero;
        const struct array *x = c->in[input], *zero = slot < c->in_count ? c->in[slot] : NULL;
        if (!zero)
            return 0;
        if (zero->elements == 1)
            return array_number(zero, 0);
        /* one for each row of A, column of B, output of a convolution's weight */
        uint64_t columns = x->dims[x->rank - 1];
        if (strstr(c->node->op_type, "Conv"))
            return array_number(zero, i / (x->elements / x->dims[0]));
        return array_number(zero, input == all[k].a ? i / columns % zero->elements : i % columns);
    }
    return 0;
}

static double nothing(const struct opcase *c, size_t input, uint64_t i) {
    bool is_float = dtype_row(c->in[input]->dtype)->is_float;
    bool is_unsigned = c->in[input]->dtype == DTYPE_U8;
    switch (neutral_of(c->node)) {
    case ONE:
        return 1;
    case LOWEST:
        return is_float ? -HUGE_VAL : is_unsigned ? 0 : -128;
    case HIGHEST:
        return is_float ? HUGE_VAL : is_unsigned ? 255 : 127;
    case ZERO:
    case NONE:
        break;
    }
    return zero_point(c, input, i);
}

static bool is_contracted_axis(const struct relations *relations, size_t input, unsigned axis) {
    for (size_t i = 0; i < relations->count; i++)
        for (int side = 0; side < 2 && relations->list[i].contracted; side++) {
            struct axis a = side ? relations->list[i].b : relations->list[i].a;
            if (!a.output && a.slot == input && a.axis == axis)
                return true;
        }
    return false;
}

/* Of the copy's inputs, what is lost along contracted axes becomes nothing. */
static int fill_lost(struct opcase *copy, const struct losses *losses, struct err *err) {
    struct op_run shapes = {
        .node = copy->node, .in = (const struct array *const *)copy->in, .out = copy->out};
    struct relations relations = {.shapes = &shapes, .arena = copy->arena};
    if (copy->node->op->dims(&relations, &shapes) < 0)
        return err_set(err, ERR_NO_MEMORY, "no memory for relations");
    for (size_t input = 0; input < copy->in_count; input++) {
        struct array *x = copy->in[input];
        struct loss loss = losses->in[input];
        for (unsigned d = 0; x && d < x->rank; d++)
            if (!is_contracted_axis(&relations, input, d))
                loss.lost[d] = NULL;
        for (uint64_t i = 0; x && i < x->elements; i++) {
            if (is_left(x, &loss, i))
                continue;
            double value = nothing(copy, input, i);
            unsigned item = array_item_bytes(x->dtype);
            struct array from = {.dtype = DTYPE_F64, .elements = 1, .data = &value};
            struct array to = {.dtype = x->dtype, .elements = 1};
            to.data = (uint8_t *)x->data + i * item;
            if (array_convert(&from, &to, false, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* ---- references of what no filling can tell: outputs of `c`, in double ---- */

/* Statistics of x over groups: group_of says which group an element is of. */
struct groups {
    size_t count;
    uint64_t *of;
    double *mean, *variance;
};

static void statistics(const struct array *x, struct groups *g, struct arena *arena) {
    double *terms = ARENA_ARRAY(arena, double, g->count + 1);
    g->mean = ARENA_ARRAY(arena, double, g->count + 1);
    g->variance = ARENA_ARRAY(arena, double, g->count + 1);
    if (!terms || !g->mean || !g->variance)
        abort();
    for (uint64_t i = 0; i < x->elements; i++) {
        g->mean[g->of[i]] += array_number(x, i);
        terms[g->of[i]]++;
    }
    for (size_t k = 0; k < g->count; k++)
        g->mean[k] /= terms[k];
    for (uint64_t i = 0; i < x->elements; i++) {
        double d = array_number(x, i) - g->mean[g->of[i]];
        g->variance[g->of[i]] += d * d / terms[g->of[i]];
    }
}

/* Elements that share their indices along `kept` axes are one group, in order of these. */
static void group_by_axes(const struct array *x, unsigned kept, struct groups *g,
                          struct arena *arena) {
    g->of = ARENA_ARRAY(arena, uint64_t, x->elements + 1);
    g->count = 1;
    if (!g->of)
        abort();
    for (unsigned d = 0; d < x->rank; d++)
        g->count *= kept >> d & 1 ? x->dims[d] : 1;
    for (uint64_t i = 0; i < x->elements; i++) {
        uint64_t rest = i, step = 1;
        for (unsigned d = x->rank; d-- > 0; rest /= x->dims[d])
            if (kept >> d & 1) {
                g->of[i] += rest % x->dims[d] * step;
                step *= x->dims[d];
            }
    }
}

static unsigned axis_bit(int64_t axis, unsigned rank) {
    return 1U << (unsigned)(axis < 0 ? axis + rank : axis);
}

/* The axes that statistics are not taken over. */
static unsigned kept_axes(const struct opcase *c) {
    const struct node *node = c->node;
    unsigned rank = c->in[0]->rank, all = (1U << rank) - 1, over = 0;
    const int64_t standard[] = {0, 2, 3}, *axes = standard;
    size_t count = 3;
    if (strcmp(node->op_type, "ReduceMean") == 0) {
        count = 0;
        bool given = node_ints(node, "axes", &axes, &count);
        for (size_t i = 0; i < count; i++)
            over |= axis_bit(axes[i], rank);
        for (uint64_t i = 0; c->in_count > 1 && c->in[1] && i < c->in[1]->elements; i++)
            over |= axis_bit(array_int(c->in[1], i), rank);
        return all & ~(given || over ? over : all);
    }
    if (strcmp(node->op_type, "MeanVarianceNormalization") == 0) {
        node_ints(node, "axes", &axes, &count);
        for (size_t i = 0; i < count; i++)
            over |= axis_bit(axes[i], rank);
        return all & ~over;
    }
    return axis_bit(node_int(node, "axis", -1), rank) - 1;
}

static void reference(const struct opcase *c, size_t which, double *ret) {
    const struct node *node = c->node;
    const struct array *x = c->in[0], *scale = c->in_count > 1 ? c->in[1] : NULL;
    const struct array *bias = c->in_count > 2 ? c->in[2] : NULL;
    const char *type = node->op_type;
    if (strcmp(type, "Shape") == 0) {
        int64_t start = node_int(node, "start", 0);
        for (uint64_t i = 0; i < c->out[0]->elements; i++)
            ret[i] = (double)x->dims[(start < 0 ? start + x->rank : start) + (int64_t)i];
        return;
    }
    if (strcmp(type, "Size") == 0) {
        ret[0] = 1;
        for (unsigned d = 0; d < x->rank; d++)
            ret[0] *= (double)x->dims[d];
        return;
    }
    struct groups g = {0};
    uint64_t plane = 1, groups = (uint64_t)node_int(node, "num_groups", 1), of_group = 1;
    bool by_group = strcmp(type, "GroupNormalization") == 0;
    bool rms =
        strcmp(type, "RMSNormalization") == 0 || strcmp(type, "SimplifiedLayerNormalization") == 0;
    bool deviation = strcmp(type, "MeanVarianceNormalization") == 0;
    if (by_group) {
        for (unsigned d = 2; d < x->rank; d++)
            plane *= x->dims[d];
        of_group = x->dims[1] / groups;
        g.count = x->dims[0] * groups;
        g.of = ARENA_ARRAY(c->arena, uint64_t, x->elements + 1);
        if (!g.of)
            abort();
        for (uint64_t i = 0; i < x->elements; i++)
            g.of[i] = i / (plane * of_group);
    } else {
        group_by_axes(x, kept_axes(c), &g, c->arena);
    }
    statistics(x, &g, c->arena);
    double epsilon = (double)node_float(node, "epsilon", 1e-5F);
    for (size_t k = 0; k < g.count && (which > 0 || strcmp(type, "ReduceMean") == 0); k++)
        ret[k] = which == 2 ? 1 / sqrt(g.variance[k] + epsilon) : g.mean[k];
    if (which > 0 || strcmp(type, "ReduceMean") == 0)
        return;
    for (uint64_t i = 0; i < x->elements; i++) {
        double mean = g.mean[g.of[i]], variance = g.variance[g.of[i]];
        if (rms) {
            variance += mean * mean;
            mean = 0;
        }
        double y = (array_number(x, i) - mean) /
                   (deviation ? sqrt(variance) + 1e-9 : sqrt(variance + epsilon));
        uint64_t channel = by_group ? i / plane % x->dims[1] : i;
        if (by_group && scale && scale->elements != x->dims[1])
            channel /= of_group;
        if (scale)
            y *= array_number(scale, channel % scale->elements);
        if (bias)
            y += array_number(bias, channel % bias->elements);
        ret[i] = y;
    }
}

/* ---- comparing ---- */

static bool same_number(double x, double y, double scale) {
    return x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= apart_at_most * scale;
}

static bool same_shape(const struct array *full, const struct loss *loss, const struct array *got,
                       size_t which, uint32_t unit) {
    struct array want;
    char a[128], b[128];
    if (!shape_left(full, loss, &want))
        return false;
    want.dtype = got->dtype;
    if (!array_same_shape(&want, got))
        fail("without unit %u, output %zu is %s, not %s", (unsigned)unit, which,
             array_describe(got, a, sizeof a), array_describe(&want, b, sizeof b));
    return array_same_shape(&want, got);
}

/* want: one number for each element of `got`. */
static void compare(const struct array *got, const double *want, size_t which, uint32_t unit) {
    double scale = 1e-3;
    for (uint64_t i = 0; i < got->elements; i++)
        scale = isfinite(want[i]) ? fmax(scale, fabs(want[i])) : scale;
    for (uint64_t i = 0; i < got->elements; i++)
        if (!same_number(want[i], array_number(got, i), scale)) {
            fail("without unit %u, element %llu of output %zu is %.9g, not %.9g", (unsigned)unit,
                 (unsigned long long)i, which, array_number(got, i), want[i]);
            return;
        }
}

/* What the outputs of `narrow` must hold; `filled` is the full case, or one with lost elements that
 * count for nothing. */
static void compare_all(const struct opcase *filled, const struct losses *losses,
                        const struct opcase *narrow, bool by_reference, uint32_t unit) {
    for (size_t o = 0; o < narrow->out_count; o++) {
        const struct array *full = filled->out[o], *got = narrow->out[o];
        if (!full || !same_shape(full, &losses->out[o], got, o, unit))
            continue;
        double *want = ARENA_ARRAY(narrow->arena, double, got->elements + 1);
        uint64_t k = 0;
        if (!want)
            abort();
        if (by_reference)
            reference(narrow, o, want);
        else
            for (uint64_t i = 0; i < full->elements; i++)
                if (is_left(full, &losses->out[o], i))
                    want[k++] = array_number(full, i);
        compare(got, want, o, unit);
    }
}

/* True when it was possible to cut. */
static bool cut_unit(const struct opcase *full, const char *text, uint64_t seed,
                     const struct dims *dims, uint32_t unit) {
    struct losses *losses = ARENA_NEW(full->arena, struct losses);
    struct opcase narrow = {0}, filled = {0};
    struct err err = ERR_INIT;
    bool possible = false;
    if (!losses || losses_of(full, dims, unit, losses) < 0 ||
        opcase_new(text, seed, &narrow, &err) < 0)
        abort();
    for (size_t i = 0; i < full->out_count; i++) {
        struct array left;
        if (full->out[i] && !shape_left(full->out[i], &losses->out[i], &left))
            goto out;
    }
    if (!cut_inputs(full, losses, &narrow))
        goto out;
    possible = true;
    if (fit(full, losses, &narrow, &err) < 0 || opcase_infer(&narrow, &err) < 0 ||
        op_run_node(narrow.node, (const struct array *const *)narrow.in, narrow.out, NULL, &err) <
            0) {
        fail("without unit %u: %s", (unsigned)unit, err.text);
        goto out;
    }
    counts.compared++;
    if (!is_contracted(full, losses)) {
        compare_all(full, losses, &narrow, false, unit);
        goto out;
    }
    counts.contracted++;
    bool by_reference = neutral_of(full->node) == NONE;
    if (by_reference) {
        compare_all(full, losses, &narrow, true, unit);
        goto out;
    }
    if (opcase_new(text, seed, &filled, &err) < 0 || opcase_infer(&filled, &err) < 0 ||
        fill_lost(&filled, losses, &err) < 0 ||
        op_run_node(filled.node, (const struct array *const *)filled.in, filled.out, NULL, &err) <
            0)
        fail("without unit %u, filled: %s", (unsigned)unit, err.text);
    else
        compare_all(&filled, losses, &narrow, false, unit);
out:
    opcase_free(&filled);
    opcase_free(&narrow);
    return possible;
}

/* ---- a case, a row ---- */

static int trace(struct opcase *c, struct dims **ret, struct err *err) {
    struct binding bindings[MAX_PORTS];
    struct dims_options options = {.open_ends = true};
    struct fact *facts;
    size_t count = 0;
    for (size_t i = 0; i < c->in_count; i++)
        if (c->in[i] && c->node->in[i]->kind == VALUE_INPUT)
            bindings[count++] = (struct binding){c->node->in[i], {.type = type_of_array(c->in[i])}};
    return infer_graph(c->graph, bindings, count, c->arena, &facts, err) < 0 ||
                   dims_trace(c->graph, facts, &options, c->arena, ret, err) < 0
               ? -1
               : 0;
}

static void check_case(const char *text) {
    struct opcase c = {0};
    struct err err = ERR_INIT;
    struct dims *dims = NULL;
    uint64_t seed = ++counts.cases;
    unsigned cuts = 0;
    current = text;
    if (opcase_run(text, seed, &c, &err) < 0 || trace(&c, &dims, &err) < 0) {
        fail("%s", err.text);
        opcase_free(&c);
        return;
    }
    counts.contracts = counts.contracts || has_contraction(&c);
    /* The first and the last unit of every group: offsets and groups show at the ends. */
    uint32_t units = dims_units(dims);
    for (uint32_t u = 0; u < units; u++)
        if (u == 0 || u + 1 == units || dims_group(dims, u) != dims_group(dims, u - 1) ||
            dims_group(dims, u) != dims_group(dims, u + 1))
            cuts += cut_unit(&c, text, seed, dims, u);
    counts.cuts += cuts;
    if (verbose)
        printf("%4u units in %u groups, %u cut  %s\n", units, dims_groups(dims), cuts, text);
    opcase_free(&c);
}

static void check_row(const struct row *row) {
    for (size_t i = 0; row->cases[i]; i++)
        check_case(row->cases[i]);
    current = row->op->op_type;
    if (counts.compared == 0)
        fail("no case has an axis that can be cut and was");
    if (counts.contracts && counts.contracted == 0)
        fail("no case has a contraction that was cut");
}

static void run_row(const struct row *row) {
    int ends[2], status = 0;
    struct counts child = {0};
    fflush(NULL);
    if (pipe(ends) < 0)
        abort();
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        close(ends[0]);
        alarm(ROW_SECONDS);
        memset(&counts, 0, sizeof counts);
        check_row(row);
        if (write(ends[1], &counts, sizeof counts) != sizeof counts)
            abort();
        exit(0); /* not _exit(): leaks are looked for */
    }
    close(ends[1]);
    bool told = read(ends[0], &child, sizeof child) == sizeof child;
    close(ends[0]);
    waitpid(pid, &status, 0);
    counts.cases += child.cases;
    counts.cuts += child.cuts;
    counts.compared += child.compared;
    counts.contracted += child.contracted;
    counts.failures += child.failures;
    current = row->op->op_type;
    if (!told || status != 0)
        fail("its process ended with status 0x%x", (unsigned)status);
}

int main(int argc, char **argv) {
    unsigned count = 0, without = 0;
    if (argc > 1 && strcmp(argv[1], "-v") == 0) {
        verbose = true;
        argc--, argv++;
    }
    for (size_t i = 0; i < ROWS; i++) {
        bool wanted = argc == 1;
        for (int a = 1; a < argc; a++)
            wanted = wanted || strcmp(argv[a], rows[i].op->op_type) == 0;
        if (!wanted || !rows[i].op->forward)
            continue;
        if (rows[i].op->dims) {
            run_row(&rows[i]);
            count++;
        } else {
            without++;
        }
    }
    printf("%u rows, %u cases, %u cuts, %u of them of contractions, %u failures; %u rows are never "
           "cut\n",
           count, counts.cases, counts.cuts, counts.contracted, counts.failures, without);
    return counts.failures || counts.cuts == 0;
}
