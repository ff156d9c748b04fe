/*
 * Every row of the operator table on every one of its cases (op_cases.c). The same source is two
 * programs:
 *
 *     check_grad   `real` is double: gradients against central finite differences of a random
 *                  projection of the outputs, within the row's tolerance
 *     check_rows   `real` is float, as shipped: outputs and gradients against those of the other
 *                  program, which is what vector code is measured by; and everything else
 *
 * and everything else is: results do not depend on what memory held before, nor on the number of
 * threads; in place gives what out of place gives; scratch is respected; inputs stay as they are;
 * shapes are inferred from symbols without contradiction, contents are folded to the same bits;
 * backward adds, reads only what the row's flags name, gives the same for one input at a time, and
 * is linear in the gradients of the outputs.
 *
 *     check_grad [-v] [OPERATOR...]             -v: the largest deviation of every case
 *     check_rows [-v] -a CHECK_GRAD [OPERATOR...]
 *
 * Each row runs in a process of its own: one that crashes hides no other.
 */
#include "compress/base/arena.h"
#include "tests/numeric/op_cases.h"
#include "tests/support/opcase.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Elements of an input whose gradient is looked at: all of small ones, a spread of large ones. */
enum { PROBES = 97 };
enum { THREADS = 3, ROW_SECONDS = 300 };
/* Gradients that must agree but are summed in another order. */
static const double close_enough = 1e4 * (double)REAL_EPSILON;

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
    unsigned cases, gradients, failures;
};

static struct counts counts;
static bool verbose;
static struct team *team;
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

/* ---- memory with guards on both sides ---- */

enum { GUARD = 64 };

struct guarded {
    uint8_t *block;
    size_t bytes;
};

static void *guarded_data(const struct guarded *g) {
    return g->block + GUARD;
}

static struct guarded guarded_new(size_t bytes, int fill) {
    size_t whole = (bytes + 2 * GUARD + 63) / 64 * 64;
    struct guarded g = {aligned_alloc(64, whole), bytes};
    if (!g.block)
        abort();
    memset(g.block, 0x5a, whole);
    memset(guarded_data(&g), fill, bytes);
    return g;
}

/* False when something wrote beside it. Frees it. */
static bool guarded_free(struct guarded *g) {
    bool intact = true;
    for (size_t i = 0; i < GUARD; i++)
        intact = intact && g->block[i] == 0x5a && g->block[GUARD + g->bytes + i] == 0x5a;
    free(g->block);
    return intact;
}

/* A list of arrays like another one, over guarded memory. */
struct arrays {
    size_t count;
    struct array **at; /* NULL where the model is */
    struct array *items;
    struct guarded *guards;
};

static struct arrays arrays_like(struct array *const *like, size_t count, int fill) {
    struct arrays a = {count, calloc(count + 1, sizeof *a.at), calloc(count + 1, sizeof *a.items),
                       calloc(count + 1, sizeof *a.guards)};
    if (!a.at || !a.items || !a.guards)
        abort();
    for (size_t i = 0; i < count; i++) {
        if (!like[i])
            continue;
        a.items[i] = *like[i];
        a.guards[i] = guarded_new(array_bytes(like[i]), fill);
        a.items[i].data = guarded_data(&a.guards[i]);
        a.at[i] = &a.items[i];
    }
    return a;
}

static void arrays_copy(const struct arrays *to, struct array *const *from) {
    for (size_t i = 0; i < to->count; i++)
        if (to->at[i] && array_bytes(from[i]))
            memcpy(to->at[i]->data, from[i]->data, array_bytes(from[i]));
}

static void arrays_drop(struct arrays *a, size_t i) {
    if (a->at[i] && !guarded_free(&a->guards[i]))
        fail("%zu was written beside its memory", i);
    a->at[i] = NULL;
}

static void arrays_free(struct arrays *a) {
    for (size_t i = 0; i < a->count; i++)
        arrays_drop(a, i);
    free(a->at);
    free(a->items);
    free(a->guards);
}

static void same_bits(const struct array *a, const struct array *b, size_t which,
                      const char *what) {
    size_t item = array_item_bytes(a->dtype);
    for (uint64_t k = 0; k < a->elements; k++)
        if (memcmp((char *)a->data + k * item, (char *)b->data + k * item, item) != 0) {
            fail("%s: element %llu of %zu is %.9g, not %.9g", what, (unsigned long long)k, which,
                 array_number(b, k), array_number(a, k));
            return;
        }
}

static void arrays_same(struct array *const *a, struct array *const *b, size_t count,
                        const char *what) {
    for (size_t i = 0; i < count; i++)
        if (a[i] && b[i])
            same_bits(a[i], b[i], i, what);
}

/* ---- running one node with memory of our own ---- */

static const struct array *const *constant(struct array *const *arrays) {
    return (const struct array *const *)arrays;
}

/* Shapes alone, as scratch() and macs() are asked. */
static struct array **without_data(struct array *const *from, size_t count) {
    struct array **at = calloc(count + 1, sizeof *at + sizeof **at);
    if (!at)
        abort();
    struct array *items = (struct array *)(at + count);
    for (size_t i = 0; i < count; i++) {
        if (!from[i])
            continue;
        items[i] = *from[i];
        items[i].data = NULL;
        at[i] = &items[i];
    }
    return at;
}

static uint64_t scratch_bytes(const struct opcase *c, bool backward, unsigned threads) {
    const struct op *op = c->node->op;
    struct array **in = without_data(c->in, c->in_count);
    struct array **out = without_data(c->out, c->out_count);
    struct op_run shapes = {.node = c->node, .in = constant(in), .out = out};
    if (op->macs)
        op->macs(&shapes);
    uint64_t bytes = op->scratch ? op->scratch(&shapes, backward, threads) : 0;
    free(in);
    free(out);
    return bytes;
}

/* Returns 0, or -1 after a failure has been told. */
static int forward(const struct opcase *c, struct array *const *in, struct array *const *out,
                   struct team *with) {
    struct err err = ERR_INIT;
    struct guarded scratch = guarded_new(scratch_bytes(c, false, team_threads(with)), 0xff);
    struct op_run run = {.node = c->node,
                         .in = constant(in),
                         .out = out,
                         .scratch = guarded_data(&scratch),
                         .team = with};
    int rc = c->node->op->forward(&run, &err);
    if (!guarded_free(&scratch))
        fail("forward wrote beside its scratch of %zu bytes", scratch.bytes);
    if (rc < 0)
        fail("forward: %s", err.text);
    return rc;
}

/* What backward may read: inputs and outputs as far as the flags say, else bytes of 0xff: NaN, and
 * -1. */
struct state {
    const struct opcase *c;
    struct arrays in, out, dout;
};

static int backward(const struct state *s, struct array *const *dout, struct array *const *din,
                    struct team *with) {
    struct err err = ERR_INIT;
    const struct opcase *c = s->c;
    struct guarded scratch = guarded_new(scratch_bytes(c, true, team_threads(with)), 0xff);
    struct op_backward back = {{.node = c->node,
                                .in = constant(s->in.at),
                                .out = s->out.at,
                                .scratch = guarded_data(&scratch),
                                .team = with},
                               constant(dout),
                               din};
    int rc = c->node->op->backward(&back, &err);
    if (!guarded_free(&scratch))
        fail("backward wrote beside its scratch of %zu bytes", scratch.bytes);
    if (rc < 0)
        fail("backward: %s", err.text);
    return rc;
}

/* ---- the two programs against each other ---- */

/* What the double program writes for the float one: records of a head and doubles. */
struct record {
    uint32_t of_case, which, is_gradient;
    uint64_t elements;
};

static FILE *twin; /* NULL: nobody to compare with */

#ifdef REAL_IS_DOUBLE
static void meet_twin(const struct array *array, size_t which, bool is_gradient) {
    struct record record = {counts.cases, (uint32_t)which, is_gradient, array->elements};
    if (twin && (fwrite(&record, sizeof record, 1, twin) != 1 ||
                 fwrite(array->data, sizeof(double), array->elements, twin) != array->elements))
        abort();
}
#else
/* Inputs were rounded to float once, every step after that a few times more; sums of a thousand
 * terms and quotients lose what is left. */
static const double apart_at_most = 2e-4;

static void meet_twin(const struct array *array, size_t which, bool is_gradient) {
    struct record record;
    double *want = malloc((array->elements + 1) * sizeof *want), most = 1e-3, apart = 0;
    if (!want)
        abort();
    if (twin && (fread(&record, sizeof record, 1, twin) != 1 || record.of_case != counts.cases ||
                 record.which != which || record.is_gradient != is_gradient ||
                 record.elements != array->elements ||
                 fread(want, sizeof *want, array->elements, twin) != array->elements)) {
        fail("the double program has something else to say here");
        pclose(twin);
        twin = NULL;
    }
    uint64_t where = 0;
    for (uint64_t i = 0; twin && i < array->elements; i++) {
        double got = (double)array_real(array)[i];
        if ((isnan(got) && isnan(want[i])) || got == want[i])
            continue;
        most = isfinite(want[i]) ? fmax(most, fabs(want[i])) : most;
        if (!(fabs(got - want[i]) <= apart)) {
            apart = fabs(got - want[i]);
            where = i;
        }
    }
    if (twin && !(apart <= apart_at_most * most))
        fail("%s %zu, element %llu: %.9g in float, %.9g in double",
             is_gradient ? "gradient of input" : "output", which, (unsigned long long)where,
             (double)array_real(array)[where], want[where]);
    if (twin && verbose)
        printf("%9.2e  %s\n", apart / most, current);
    free(want);
}
#endif

/* ---- inference ---- */

/* Is that what was said? A symbol nobody knows says nothing. */
static bool says(const struct opcase *c, struct dim dim, int64_t number) {
    int64_t said = dim_known(dim) ? dim.size : opcase_size(c, dim.symbol);
    return (!dim_known(dim) && said < 0) || said == number;
}

static void check_facts(struct opcase *c, enum opcase_telling telling, const char *told) {
    struct err err = ERR_INIT;
    struct fact *facts;
    if (opcase_facts(c, telling, &facts, &err) < 0) {
        fail("inference from %s: %s", told, err.text);
        return;
    }
    for (size_t i = 0; i < c->out_count; i++) {
        const struct array *out = c->out[i];
        const struct type *type = &facts[i].type;
        char is[128], said[128];
        if (!out)
            continue;
        bool fits = (type->dtype == DTYPE_NONE || type->dtype == out->dtype) &&
                    (!type->ranked || type->rank == out->rank);
        for (unsigned d = 0; fits && type->ranked && d < out->rank; d++)
            fits = says(c, type->dims[d], (int64_t)out->dims[d]);
        if (!fits)
            fail("inference from %s: output %zu is %s, not %s", told, i,
                 array_describe(out, is, sizeof is),
                 type_describe(type, c->graph->symbols, said, sizeof said));
        if (facts[i].data && (c->node->op->flags & OP_NOT_FOLDED))
            fail("output %zu was folded and must not be", i);
        if (facts[i].data)
            same_bits(out, facts[i].data, i, "folded");
        for (uint64_t k = 0; fits && facts[i].partial && k < out->elements; k++)
            if (!says(c, facts[i].partial[k], array_int(out, k)))
                fail("inference from %s: element %llu is not %lld", told, (unsigned long long)k,
                     (long long)facts[i].partial[k].size);
    }
}

/* ---- forward ---- */

/* c->out holds what op_run_node() gives. */
static void check_forward(const struct opcase *c) {
    const struct op *op = c->node->op;
    struct arrays in = arrays_like(c->in, c->in_count, 0);
    arrays_copy(&in, c->in);
    for (int threads = 0; threads < 2; threads++) {
        struct arrays out = arrays_like(c->out, c->out_count, threads ? 0x11 : 0xff);
        if (forward(c, in.at, out.at, threads ? team : NULL) == 0)
            arrays_same(c->out, out.at, c->out_count,
                        threads ? "forward on a team" : "forward over other memory");
        arrays_free(&out);
    }
    arrays_same(c->in, in.at, c->in_count, "an input after forward");

    bool alias = op->flags & OP_ALIAS;
    if ((op->flags & (OP_IN_PLACE | OP_ALIAS)) && c->in[0] && c->out[0]) {
        bool one_size = array_bytes(c->in[0]) == array_bytes(c->out[0]);
        if (alias && !one_size)
            fail("output 0 cannot be the bytes of input 0: they differ in size");
        if (alias && one_size && array_bytes(c->in[0]) &&
            memcmp(c->in[0]->data, c->out[0]->data, array_bytes(c->in[0])) != 0)
            fail("output 0 is not the bytes of input 0");
        if (one_size) {
            struct arrays out = arrays_like(c->out, c->out_count, 0xff);
            void *own = out.at[0]->data;
            out.at[0]->data = in.at[0]->data;
            if (forward(c, in.at, out.at, team) == 0)
                arrays_same(c->out, out.at, c->out_count, "forward in place");
            out.at[0]->data = own;
            arrays_free(&out);
        }
    }
    arrays_free(&in);
}

/* ---- backward ---- */

static uint64_t noise;

/* In (-1, 1). */
static real next_noise(void) {
    uint64_t z = noise += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (real)((double)(int64_t)(z ^ z >> 31) * 0x1p-63);
}

static double largest(const struct array *array) {
    double most = 0;
    for (uint64_t i = 0; i < array->elements; i++)
        most = fmax(most, fabs((double)array_real(array)[i]));
    return most;
}

/* got = factor * want, up to rounding. */
static void check_multiple(const struct arrays *got, const struct arrays *want, double factor,
                           const char *what) {
    for (size_t i = 0; i < got->count; i++) {
        if (!got->at[i] || !want->at[i])
            continue;
        double scale = fmax(largest(want->at[i]), 1e-3);
        for (uint64_t k = 0; k < got->at[i]->elements; k++) {
            double g = (double)array_real(got->at[i])[k];
            double w = factor * (double)array_real(want->at[i])[k];
            if (fabs(g - w) <= close_enough * scale)
                continue;
            fail("%s: element %llu of the gradient of input %zu is %.9g, not %.9g", what,
                 (unsigned long long)k, i, g, w);
            break;
        }
    }
}

/* Zeroed gradients for the inputs that get one. */
static struct arrays gradients(const struct opcase *c) {
    struct arrays din = arrays_like(c->in, c->in_count, 0);
    for (size_t i = 0; i < c->in_count; i++)
        if (din.at[i] && (c->in_known[i] || din.at[i]->dtype != DTYPE_F32))
            arrays_drop(&din, i);
    return din;
}

#ifdef REAL_IS_DOUBLE
/* Its own error is h^2 f'''/6 + eps |f| / h: some 1e-10. */
static const double step = 1e-5;

/* dout . (above - below): differences first, so that what did not move leaves no rounding behind.
 */
static double projection(const struct arrays *above, const struct arrays *below,
                         const struct arrays *dout) {
    double sum = 0;
    for (size_t i = 0; i < dout->count; i++)
        for (uint64_t k = 0; dout->at[i] && k < dout->at[i]->elements; k++)
            sum += array_real(dout->at[i])[k] *
                   (array_real(above->at[i])[k] - array_real(below->at[i])[k]);
    return sum;
}

/* The gradient of every input against finite differences. */
static void check_differences(const struct opcase *c, const struct arrays *dout,
                              const struct arrays *din) {
    struct arrays in = arrays_like(c->in, c->in_count, 0);
    struct arrays above = arrays_like(c->out, c->out_count, 0);
    struct arrays below = arrays_like(c->out, c->out_count, 0);
    arrays_copy(&in, c->in);
    double worst = 0;
    for (size_t i = 0; i < c->in_count; i++) {
        if (!din->at[i] || din->at[i]->elements == 0)
            continue;
        real *x = array_real(in.at[i]), *dx = array_real(din->at[i]);
        uint64_t elements = din->at[i]->elements, count = elements < PROBES ? elements : PROBES;
        double apart = 0, got = 0, want = 0, scale = fmax(largest(din->at[i]), 1e-3);
        uint64_t where = 0;
        for (uint64_t p = 0; p < count; p++) {
            uint64_t k = count == elements ? p : p * (elements - 1) / (PROBES - 1);
            double at = x[k], h = step * fmax(1, fabs(at));
            x[k] = at + h;
            double span = x[k];
            int rc = forward(c, in.at, above.at, NULL);
            x[k] = at - h;
            span -= x[k];
            rc |= forward(c, in.at, below.at, NULL);
            x[k] = at;
            double slope = rc == 0 ? projection(&above, &below, dout) / span : NAN;
            scale = fmax(scale, fabs(slope));
            if (!(fabs(slope - dx[k]) <= apart)) {
                apart = fabs(slope - dx[k]);
                where = k, got = dx[k], want = slope;
            }
        }
        counts.gradients++;
        worst = fmax(worst, apart / scale);
        if (!(apart / scale <= c->node->op->tolerance))
            fail("input %zu, element %llu: gradient %.9g, finite difference %.9g (%.2g of the "
                 "largest, tolerance %.2g)",
                 i, (unsigned long long)where, got, want, apart / scale, c->node->op->tolerance);
    }
    if (verbose)
        printf("%9.2e  %s\n", worst, current);
    arrays_free(&in);
    arrays_free(&above);
    arrays_free(&below);
}
#else
static void check_differences(const struct opcase *c, const struct arrays *dout,
                              const struct arrays *din) {
    for (size_t i = 0; i < c->in_count; i++)
        counts.gradients += din->at[i] != NULL;
}
#endif

/* Inputs one at a time, and outputs one at a time, must add up to all of them together. */
static void check_parts(const struct state *s, const struct arrays *all) {
    const struct opcase *c = s->c;
    struct arrays din = gradients(c);
    for (size_t i = 0; i < c->in_count; i++) {
        struct array **one = calloc(c->in_count + 1, sizeof *one);
        if (!one)
            abort();
        one[i] = din.at[i];
        if (one[i])
            backward(s, s->dout.at, one, NULL);
        free(one);
    }
    check_multiple(&din, all, 1, "one input at a time");
    arrays_free(&din);

    din = gradients(c);
    for (size_t i = 0; i < c->out_count; i++) {
        struct array **one = calloc(c->out_count + 1, sizeof *one);
        if (!one)
            abort();
        one[i] = s->dout.at[i];
        if (one[i])
            backward(s, one, din.at, NULL);
        free(one);
    }
    check_multiple(&din, all, 1, "one output at a time");
    arrays_free(&din);
}

static void check_backward(const struct opcase *c) {
    const struct op *op = c->node->op;
    struct state s = {.c = c,
                      .in = arrays_like(c->in, c->in_count, 0xff),
                      .out = arrays_like(c->out, c->out_count, 0xff),
                      .dout = arrays_like(c->out, c->out_count, 0)};
    if (op->flags & OP_NEEDS_IN)
        arrays_copy(&s.in, c->in);
    if (op->flags & OP_NEEDS_OUT)
        arrays_copy(&s.out, c->out);
    bool flows = false;
    for (size_t i = 0; i < c->out_count; i++) {
        if (s.dout.at[i] && s.dout.at[i]->dtype != DTYPE_F32)
            arrays_drop(&s.dout, i);
        flows = flows || s.dout.at[i];
        for (uint64_t k = 0; s.dout.at[i] && k < s.dout.at[i]->elements; k++)
            array_real(s.dout.at[i])[k] = next_noise();
    }
    struct arrays din = gradients(c), again = gradients(c);
    if (flows && backward(&s, s.dout.at, din.at, NULL) == 0) {
        for (size_t i = 0; i < c->in_count; i++)
            if (din.at[i])
                meet_twin(din.at[i], i, true);
        if (twin == stdout)
            goto out;
        check_differences(c, &s.dout, &din);
        if (backward(&s, s.dout.at, again.at, team) == 0)
            arrays_same(din.at, again.at, c->in_count, "backward on a team");
        if (backward(&s, s.dout.at, again.at, NULL) == 0)
            check_multiple(&again, &din, 2, "backward twice");
        check_parts(&s, &din);
    }
out:
    arrays_free(&din);
    arrays_free(&again);
    arrays_free(&s.in);
    arrays_free(&s.out);
    arrays_free(&s.dout);
}

/* ---- a case, a row ---- */

/* Floats of other widths go through conversions that only op_run_node() makes. */
static bool runs_as_it_is(const struct opcase *c) {
    bool plain = true;
    for (size_t i = 0; i < c->in_count + c->out_count; i++) {
        const struct array *a = i < c->in_count ? c->in[i] : c->out[i - c->in_count];
        plain = plain && (!a || a->dtype == DTYPE_F32 || !dtype_row(a->dtype)->is_float);
    }
    return plain || (c->node->op->flags & OP_ANY_TYPE);
}

static void check_case(const struct row *row, const char *text) {
    struct opcase c = {0};
    struct err err = ERR_INIT;
    current = text;
    counts.cases++;
    noise = counts.cases;
    if (opcase_new(text, counts.cases, &c, &err) < 0) {
        fail("%s", err.text);
        return;
    }
    if (opcase_infer(&c, &err) < 0) {
        fail("%s", err.text);
    } else if (c.node->op != row->op) {
        fail("this is not the row's operator and version");
    } else if (op_run_node(c.node, constant(c.in), c.out, NULL, &err) < 0) {
        fail("op_run_node: %s", err.text);
    } else {
        for (size_t i = 0; i < c.out_count; i++)
            if (c.out[i] && c.out[i]->dtype == DTYPE_F32)
                meet_twin(c.out[i], i, false);
        check_facts(&c, OPCASE_SHAPES, "shapes");
        check_facts(&c, OPCASE_CONTENTS, "contents");
        check_facts(&c, OPCASE_SYMBOLS, "symbols");
        check_facts(&c, OPCASE_NOTHING, "nothing");
        if (runs_as_it_is(&c)) {
            check_forward(&c);
            if (row->op->backward)
                check_backward(&c);
        }
    }
    opcase_free(&c);
}

static void check_row(const struct row *row) {
    const struct op *op = row->op;
    if (!op->forward) /* the executor's own: its tests */
        return;
    current = op->op_type;
    if (op->backward && !(op->tolerance > 0))
        fail("there is no tolerance for its gradient");
    if (!row->cases[0])
        fail("versions %d to %d have no case in op_cases.c", op->min_version, op->max_version);
    for (size_t i = 0; row->cases[i]; i++)
        check_case(row, row->cases[i]);
    current = op->op_type;
    if (op->backward && counts.gradients == 0)
        fail("no case asks for a gradient");
}

/* Starts the double program on the same row. */
static void open_twin(const char *program, size_t row) {
    char command[4096];
    snprintf(command, sizeof command, "'%s' --twin %zu", program, row);
    twin = popen(command, "r");
    if (!twin)
        abort();
}

/* The row in a process of its own. */
static void run_row(const struct row *row, const char *twin_program) {
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
        if (twin_program && row->op->forward)
            open_twin(twin_program, (size_t)(row - rows));
        team = team_new(THREADS, 0);
        check_row(row);
        team_free(team);
        if (twin)
            pclose(twin);
        if (write(ends[1], &counts, sizeof counts) != sizeof counts)
            abort();
        exit(0); /* not _exit(): leaks are looked for */
    }
    close(ends[1]);
    bool told = read(ends[0], &child, sizeof child) == sizeof child;
    close(ends[0]);
    waitpid(pid, &status, 0);
    counts.cases += child.cases;
    counts.gradients += child.gradients;
    counts.failures += child.failures;
    current = row->op->op_type;
    if (!told || status != 0)
        fail("its process ended with status 0x%x", (unsigned)status);
}

/* Outputs and gradients of a row to stdout. What is wrong with it is said when nobody listens. */
static int be_twin(size_t row) {
    twin = stdout;
    signal(SIGPIPE, SIG_DFL);
    if (row >= ROWS || !freopen("/dev/null", "w", stderr))
        return 1;
    check_row(&rows[row]);
    return 0;
}

int main(int argc, char **argv) {
    unsigned count = 0;
    const char *twin_program = NULL;
    if (argc == 3 && strcmp(argv[1], "--twin") == 0)
        return be_twin(strtoul(argv[2], NULL, 10));
    if (argc > 1 && strcmp(argv[1], "-v") == 0) {
        verbose = true;
        argc--, argv++;
    }
    if (argc > 2 && strcmp(argv[1], "-a") == 0) {
        twin_program = argv[2];
        argc -= 2, argv += 2;
    }
    for (size_t i = 0; i < ROWS; i++) {
        bool wanted = argc == 1;
        for (int a = 1; a < argc; a++)
            wanted = wanted || strcmp(argv[a], rows[i].op->op_type) == 0;
        if (!wanted)
            continue;
        run_row(&rows[i], twin_program);
        count++;
    }
    printf("%u rows, %u cases, %u gradients, %u failures\n", count, counts.cases, counts.gradients,
           counts.failures);
    return counts.failures || count == 0 || counts.cases == 0;
}
