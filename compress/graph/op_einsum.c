/*
 * Einsum: products and sums over named axes, "bij,bjk->bik".
 *
 * Every label has a size and, in each array, a step: what its index adds to the offset there (0
 * where the array does not have it, or has it with size 1; the sum of two strides for a diagonal).
 * The product of two arrays a, b, added to a third c, is then known by its labels' steps alone:
 *
 *   in a, b, c   batch          in a only   summed first
 *   in a, c      rows of c      in b only   summed first
 *   in b, c      columns of c   in c only   the result is repeated (gradients of sums)
 *   in a, b      inner size
 *
 * That is a batched GEMM. Where the labels of a kind lie evenly, it reads and writes the arrays as
 * they are; an array that does not is packed in scratch before, or scattered after. The gradient of
 * a is the same contraction of dc and b into a. One array, and more than two, go element by
 * element.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/op.h"
#include "compress/graph/op_matmul.h"
#include "compress/graph/relate.h"

#include <inttypes.h>
#include <string.h>

enum {
    MOST_TERMS = 8,
    LETTERS = 52,                  /* A-Z, a-z: the order of implicit outputs */
    LABELS = LETTERS + LIMIT_RANK, /* and the axes of an ellipsis, from the last one */
    ELLIPSIS = 0xff,
    MOST_LABELS = MOST_TERMS * LIMIT_RANK,
    PACK_TILE = 8192,
};

struct term {
    unsigned count, letters; /* labels, and those that are no ellipsis */
    uint8_t label[LIMIT_RANK + 1];
};

struct einsum {
    unsigned terms;
    struct term term[MOST_TERMS], out;
    bool has_out;
};

/* ---- the equation ---- */

static int read_term(const struct node *node, const char **at, struct term *ret, struct err *err) {
    bool dots = false;
    *ret = (struct term){0};
    for (;; (*at)++) {
        char c = **at;
        uint8_t label;
        if (c == ' ')
            continue;
        if (c >= 'A' && c <= 'Z')
            label = (uint8_t)(c - 'A');
        else if (c >= 'a' && c <= 'z')
            label = (uint8_t)(c - 'a' + 26);
        else if (strncmp(*at, "...", 3) == 0 && !dots)
            label = ELLIPSIS;
        else
            return 0;
        if (ret->count == LIMIT_RANK + 1)
            return op_fail(node, err, "a term of more than %d labels", LIMIT_RANK);
        dots = dots || label == ELLIPSIS;
        *at += label == ELLIPSIS ? 2 : 0;
        ret->letters += label != ELLIPSIS;
        ret->label[ret->count++] = label;
    }
}

static int einsum_parse(const struct node *node, struct arena *arena, void **ret_params,
                        struct err *err) {
    struct einsum *params = ARENA_NEW(arena, struct einsum);
    const char *equation = node_string(node, "equation", ""), *at = equation;
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    do {
        if (params->terms == MOST_TERMS)
            return err_set(err, ERR_UNSUPPORTED, "Einsum of more than %d inputs is not executable",
                           MOST_TERMS);
        if (read_term(node, &at, &params->term[params->terms++], err) < 0)
            return -1;
    } while (*at++ == ',');
    at--;
    if (at[0] == '-' && at[1] == '>') {
        at += 2;
        params->has_out = true;
        if (read_term(node, &at, &params->out, err) < 0)
            return -1;
    }
    if (*at)
        return op_fail(node, err, "equation \"%.60s\" is not understood at \"%.20s\"", equation,
                       at);
    if (params->terms != node->in_count)
        return op_fail(node, err, "%u terms for %zu inputs", params->terms, node->in_count);
    *ret_params = params;
    return 0;
}

/* The labels of each axis, ellipsis written out. */
static int expand(const struct node *node, const struct term *term, unsigned rank, uint8_t *ret,
                  unsigned *ret_dots, struct err *err) {
    unsigned dots = rank - term->letters, axis = 0;
    bool any = term->count > term->letters;
    if (rank < term->letters || (!any && dots))
        return op_fail(node, err, "a term of %u labels for %u axes", term->letters, rank);
    for (unsigned i = 0; i < term->count; i++)
        if (term->label[i] != ELLIPSIS)
            ret[axis++] = term->label[i];
        else
            for (unsigned k = dots; k-- > 0;)
                ret[axis++] = (uint8_t)(LETTERS + k);
    *ret_dots = dots;
    return 0;
}

struct labels {
    unsigned in_rank[MOST_TERMS], out_rank;
    uint8_t in[MOST_TERMS][LIMIT_RANK], out[LIMIT_RANK];
};

static int implicit_out(const struct node *node, const unsigned *uses, unsigned dots,
                        struct labels *ret, struct err *err) {
    unsigned rank = 0;
    for (unsigned k = dots; k-- > 0;)
        ret->out[rank++] = (uint8_t)(LETTERS + k);
    for (unsigned l = 0; l < LETTERS; l++) {
        if (uses[l] != 1)
            continue;
        if (rank == LIMIT_RANK)
            return op_fail(node, err, "an output of more than %d axes", LIMIT_RANK);
        ret->out[rank++] = (uint8_t)l;
    }
    ret->out_rank = rank;
    return 0;
}

static int label_axes(const struct node *node, const unsigned *ranks, struct labels *ret,
                      struct err *err) {
    const struct einsum *params = node->params;
    unsigned uses[LABELS] = {0}, dots = 0, own = 0;
    for (unsigned t = 0; t < params->terms; t++) {
        if (expand(node, &params->term[t], ranks[t], ret->in[t], &own, err) < 0)
            return -1;
        ret->in_rank[t] = ranks[t];
        dots = own > dots ? own : dots;
        for (unsigned d = 0; d < ranks[t]; d++)
            uses[ret->in[t][d]]++;
    }
    if (!params->has_out)
        return implicit_out(node, uses, dots, ret, err);
    const struct term *out = &params->out;
    ret->out_rank = out->letters + (out->count > out->letters ? dots : 0);
    if (ret->out_rank > LIMIT_RANK)
        return op_fail(node, err, "an output of more than %d axes", LIMIT_RANK);
    if (expand(node, out, ret->out_rank, ret->out, &own, err) < 0)
        return -1;
    bool seen[LABELS] = {false};
    for (unsigned d = 0; d < ret->out_rank; d++) {
        uint8_t l = ret->out[d];
        if (seen[l] || uses[l] == 0)
            return op_fail(node, err, "an output label that %s",
                           seen[l] ? "comes twice" : "no input has");
        seen[l] = true;
    }
    return 0;
}

static int einsum_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    struct type *y = &infer->out[0].type;
    unsigned ranks[MOST_TERMS] = {0};
    bool ranked = true;
    for (size_t i = 0; i < node->in_count; i++) {
        const struct type *x = &infer->in[i]->type;
        y->dtype = y->dtype != DTYPE_NONE ? y->dtype : x->dtype;
        ranked = ranked && x->ranked;
        ranks[i] = x->rank;
    }
    struct labels labels = {0};
    if (!ranked)
        return 0;
    if (label_axes(node, ranks, &labels, err) < 0)
        return -1;
    struct type of[LABELS]; /* each label's size as a type of one axis, for op_broadcast() */
    for (unsigned l = 0; l < LABELS; l++)
        of[l] = (struct type){.ranked = true, .rank = 1, .dims = {DIM(1)}};
    for (size_t i = 0; i < node->in_count; i++)
        for (unsigned d = 0; d < ranks[i]; d++) {
            struct type one = {.ranked = true, .rank = 1, .dims = {infer->in[i]->type.dims[d]}};
            struct type *label = &of[labels.in[i][d]];
            if (op_broadcast(infer, label, &one, label, err) < 0)
                return -1;
        }
    y->ranked = true;
    y->rank = labels.out_rank;
    for (unsigned d = 0; d < labels.out_rank; d++)
        y->dims[d] = of[labels.out[d]].dims[0];
    return 0;
}

/* ---- steps ---- */

struct steps {
    unsigned labels; /* those of more than one index */
    size_t size[MOST_LABELS];
    size_t in[MOST_TERMS][MOST_LABELS], out[MOST_LABELS];
};

static void add_steps(const struct array *x, const uint8_t *label, const int *place,
                      size_t *ret_steps) {
    size_t step = 1;
    for (unsigned d = x->rank; d-- > 0; step *= (size_t)x->dims[d])
        if (x->dims[d] != 1)
            ret_steps[place[label[d]]] += step;
}

static void steps_of(const struct op_run *run, struct steps *ret) {
    const struct node *node = run->node;
    unsigned ranks[MOST_TERMS] = {0};
    struct labels labels = {0};
    int place[LABELS];
    *ret = (struct steps){0};
    for (size_t i = 0; i < node->in_count; i++)
        ranks[i] = run->in[i]->rank;
    struct err none = ERR_INIT;
    if (label_axes(node, ranks, &labels, &none) < 0)
        return; /* inference has refused it */
    memset(place, 0xff, sizeof place);
    for (size_t i = 0; i < node->in_count; i++)
        for (unsigned d = 0; d < ranks[i]; d++) {
            uint8_t l = labels.in[i][d];
            if (run->in[i]->dims[d] == 1 || place[l] >= 0)
                continue;
            place[l] = (int)ret->labels;
            ret->size[ret->labels++] = (size_t)run->in[i]->dims[d];
        }
    for (size_t i = 0; i < node->in_count; i++)
        add_steps(run->in[i], labels.in[i], place, ret->in[i]);
    add_steps(run->out[0], labels.out, place, ret->out);
}

/* ---- contraction of two ---- */

enum kind { BATCH, ROWS, COLS, INNER, ONLY_A, ONLY_B, ONLY_C, KINDS };

struct contraction {
    unsigned labels;
    const size_t *size, *a, *b, *c;
    unsigned count[KINDS];
    uint8_t list[KINDS][MOST_LABELS]; /* labels of each kind, farthest apart first */
    size_t extent[KINDS];             /* their indices */
    struct matmul_batched product;
    bool pack_a, pack_b, pack_c;
    size_t a_elements, b_elements, c_elements; /* of what is packed */
};

static enum kind kind_of(bool a, bool b, bool c) {
    if (c)
        return a ? (b ? BATCH : ROWS) : b ? COLS : ONLY_C;
    return a ? (b ? INNER : ONLY_A) : ONLY_B;
}

static void classify(struct contraction *x) {
    for (unsigned k = 0; k < KINDS; k++) {
        x->count[k] = 0;
        x->extent[k] = 1;
    }
    for (unsigned l = 0; l < x->labels; l++) {
        enum kind k = kind_of(x->a[l] != 0, x->b[l] != 0, x->c[l] != 0);
        const size_t *by = x->c[l] ? x->c : x->a[l] ? x->a : x->b;
        unsigned at = x->count[k]++;
        for (; at > 0 && by[x->list[k][at - 1]] < by[l]; at--)
            x->list[k][at] = x->list[k][at - 1];
        x->list[k][at] = (uint8_t)l;
        x->extent[k] *= x->size[l];
    }
}

/* Whether the labels of a kind lie evenly in an array, and then their common step. */
static bool even(const struct contraction *x, enum kind k, const size_t *steps, size_t *ret) {
    *ret = 0;
    for (unsigned i = 0; i < x->count[k]; i++) {
        unsigned l = x->list[k][i];
        if (i > 0 && *ret != steps[l] * x->size[l])
            return false;
        *ret = steps[l];
    }
    return true;
}

/* A matrix of these rows and columns as it lies: its row length, and whether it is transposed. */
static bool lies(const struct contraction *x, enum kind rows, enum kind cols, const size_t *steps,
                 bool may_transpose, bool *ret_transposed, size_t *ret_ld) {
    size_t r, c, m = x->extent[rows], n = x->extent[cols];
    if (!even(x, rows, steps, &r) || !even(x, cols, steps, &c))
        return false;
    if ((n == 1 || c == 1) && (m == 1 || r >= n)) {
        *ret_transposed = false;
        *ret_ld = m == 1 ? n : r;
        return true;
    }
    if (may_transpose && (m == 1 || r == 1) && (n == 1 || c >= m)) {
        *ret_transposed = true;
        *ret_ld = n == 1 ? m : c;
        return true;
    }
    return false;
}

/* Batch steps of an array as it lies, or packed in matrices of so many elements. */
static void batch_steps(const struct contraction *x, const size_t *steps, bool packed,
                        size_t matrix, size_t *ret) {
    for (unsigned i = x->count[BATCH]; i-- > 0;) {
        ret[i] = packed ? matrix : steps[x->list[BATCH][i]];
        matrix *= x->size[x->list[BATCH][i]];
    }
}

static void plan(struct contraction *x) {
    classify(x);
    size_t m = x->extent[ROWS], n = x->extent[COLS], k = x->extent[INNER];
    x->product =
        (struct matmul_batched){.g = {.m = m, .n = n, .k = k, .alpha = 1}, .rank = x->count[BATCH]};
    struct gemm *g = &x->product.g;
    bool no;
    x->pack_a = x->count[ONLY_A] || !lies(x, ROWS, INNER, x->a, true, &g->a_transposed, &g->lda);
    x->pack_b = x->count[ONLY_B] || !lies(x, INNER, COLS, x->b, true, &g->b_transposed, &g->ldb);
    x->pack_c = x->count[ONLY_C] || !lies(x, ROWS, COLS, x->c, false, &no, &g->ldc);
    if (x->pack_a) {
        g->a_transposed = false;
        g->lda = k;
    }
    if (x->pack_b) {
        g->b_transposed = false;
        g->ldb = n;
    }
    if (x->pack_c)
        g->ldc = n;
    x->a_elements = x->pack_a ? (x->extent[BATCH] * m * k + 15) / 16 * 16 : 0;
    x->b_elements = x->pack_b ? (x->extent[BATCH] * k * n + 15) / 16 * 16 : 0;
    x->c_elements = x->pack_c ? (x->extent[BATCH] * m * n + 15) / 16 * 16 : 0;
    for (unsigned i = 0; i < x->count[BATCH]; i++)
        x->product.dims[i] = x->size[x->list[BATCH][i]];
    batch_steps(x, x->a, x->pack_a, m * k, x->product.a);
    batch_steps(x, x->b, x->pack_b, k * n, x->product.b);
    batch_steps(x, x->c, x->pack_c, m * n, x->product.c);
}

/* c += a b. Sides are exchanged where that lets c be written as it lies. Returns whether. */
static bool plan_best(struct contraction *x, const struct steps *s, const size_t *a,
                      const size_t *b, const size_t *c) {
    *x = (struct contraction){.labels = s->labels, .size = s->size, .a = a, .b = b, .c = c};
    plan(x);
    if (!x->pack_c || x->count[ONLY_C])
        return false;
    struct contraction other = {.labels = s->labels, .size = s->size, .a = b, .b = a, .c = c};
    plan(&other);
    if (other.pack_c)
        return false;
    *x = other;
    return true;
}

static size_t scratch_elements(const struct contraction *x) {
    return x->a_elements + x->b_elements + x->c_elements;
}

/* Lists of labels, innermost last, as one counter. */
struct walk {
    const struct contraction *x;
    const enum kind *kinds;
    unsigned kind_count;
    enum kind also; /* summed over, or repeated */
    const size_t *steps;
    real *plain; /* packed */
    real *apart; /* the array */
    size_t count;
};

static size_t offset(const struct walk *w, const enum kind *kinds, unsigned kind_count, size_t i) {
    size_t at = 0;
    for (unsigned k = kind_count; k-- > 0;)
        for (unsigned j = w->x->count[kinds[k]]; j-- > 0;) {
            unsigned l = w->x->list[kinds[k]][j];
            at += i % w->x->size[l] * w->steps[l];
            i /= w->x->size[l];
        }
    return at;
}

static int pack_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct walk *w = ctx;
    size_t end = (tile + 1) * PACK_TILE < w->count ? (tile + 1) * PACK_TILE : w->count;
    for (size_t i = tile * PACK_TILE; i < end; i++) {
        const real *from = w->apart + offset(w, w->kinds, w->kind_count, i);
        double sum = 0;
        for (size_t j = 0; j < w->x->extent[w->also]; j++)
            sum += from[offset(w, &w->also, 1, j)];
        w->plain[i] = (real)sum;
    }
    return 0;
}

/* No two packed elements go to one place. */
static int scatter_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct walk *w = ctx;
    size_t end = (tile + 1) * PACK_TILE < w->count ? (tile + 1) * PACK_TILE : w->count;
    for (size_t i = tile * PACK_TILE; i < end; i++) {
        real *to = w->apart + offset(w, w->kinds, w->kind_count, i);
        for (size_t j = 0; j < w->x->extent[w->also]; j++)
            to[offset(w, &w->also, 1, j)] += w->plain[i];
    }
    return 0;
}

static int run_walk(struct walk *w, loop_fn *fn, const struct op_run *run, struct err *err) {
    for (unsigned k = 0; k < w->kind_count; k++)
        w->count *= w->x->extent[w->kinds[k]];
    return loop_run(run->team, run->progress, (w->count + PACK_TILE - 1) / PACK_TILE, fn, w, err);
}

/* Only read through `apart` by pack_tile(). */
static real *unconst(const real *x) {
    return (real *)(uintptr_t)x;
}

static int contract(struct contraction *x, const real *a, const real *b, real *c,
                    const struct op_run *run, struct err *err) {
    static const enum kind a_kinds[] = {BATCH, ROWS, INNER}, b_kinds[] = {BATCH, INNER, COLS},
                           c_kinds[] = {BATCH, ROWS, COLS};
    real *plain_a = run->scratch, *plain_b = plain_a + x->a_elements;
    real *plain_c = plain_b + x->b_elements;
    for (unsigned k = 0; k < KINDS; k++)
        if (x->extent[k] == 0)
            return 0; /* an empty sum adds nothing */
    struct walk walk_a = {x, a_kinds, 3, ONLY_A, x->a, plain_a, unconst(a), 1};
    struct walk walk_b = {x, b_kinds, 3, ONLY_B, x->b, plain_b, unconst(b), 1};
    struct walk walk_c = {x, c_kinds, 3, ONLY_C, x->c, plain_c, c, 1};
    if ((x->pack_a && run_walk(&walk_a, pack_tile, run, err) < 0) ||
        (x->pack_b && run_walk(&walk_b, pack_tile, run, err) < 0))
        return -1;
    x->product.g.a = x->pack_a ? plain_a : a;
    x->product.g.b = x->pack_b ? plain_b : b;
    x->product.g.c = x->pack_c ? plain_c : c;
    x->product.g.beta = x->pack_c ? 0 : 1;
    if (matmul_batched(&x->product, run->team, run->progress, err) < 0)
        return -1;
    return x->pack_c ? run_walk(&walk_c, scatter_tile, run, err) : 0;
}

static int contract_best(const struct steps *s, const size_t *a_steps, const size_t *b_steps,
                         const size_t *c_steps, const real *a, const real *b, real *c,
                         const struct op_run *run, struct err *err) {
    struct contraction x;
    bool swapped = plan_best(&x, s, a_steps, b_steps, c_steps);
    return contract(&x, swapped ? b : a, swapped ? a : b, c, run, err);
}

/* ---- any number, element by element: to[...] += product of from[...] ---- */

static void element_by_element(const struct steps *s, const real *const *from,
                               const size_t *const *from_steps, size_t count,
                               const size_t *to_steps, real *to) {
    size_t index[MOST_LABELS] = {0};
    for (unsigned l = 0; l < s->labels; l++)
        if (s->size[l] == 0)
            return;
    for (;;) {
        size_t at = 0;
        real product = 1;
        for (unsigned l = 0; l < s->labels; l++)
            at += index[l] * to_steps[l];
        for (size_t i = 0; i < count; i++) {
            size_t there = 0;
            for (unsigned l = 0; l < s->labels; l++)
                there += index[l] * from_steps[i][l];
            product *= from[i][there];
        }
        to[at] += product;
        unsigned l = s->labels;
        while (l > 0 && ++index[l - 1] == s->size[l - 1])
            index[--l] = 0;
        if (l == 0)
            return;
    }
}

/* ---- the row ---- */

static uint64_t einsum_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    struct steps s;
    struct contraction x;
    if (shapes->node->in_count != 2)
        return 0;
    steps_of(shapes, &s);
    if (!backward) {
        plan_best(&x, &s, s.in[0], s.in[1], s.out);
        return scratch_elements(&x) * sizeof(real);
    }
    plan_best(&x, &s, s.out, s.in[1], s.in[0]);
    size_t most = scratch_elements(&x);
    plan_best(&x, &s, s.in[0], s.out, s.in[1]);
    most = scratch_elements(&x) > most ? scratch_elements(&x) : most;
    return most * sizeof(real);
}

static int einsum_forward(const struct op_run *run, struct err *err) {
    const real *from[MOST_TERMS];
    const size_t *from_steps[MOST_TERMS];
    struct steps s;
    if (run->out[0]->dtype != DTYPE_F32)
        return err_set(err, ERR_UNSUPPORTED, "Einsum of integers is not executable");
    steps_of(run, &s);
    real *y = array_real(run->out[0]);
    memset(y, 0, (size_t)array_bytes(run->out[0]));
    if (run->node->in_count == 2)
        return contract_best(&s, s.in[0], s.in[1], s.out, array_real(run->in[0]),
                             array_real(run->in[1]), y, run, err);
    for (size_t i = 0; i < run->node->in_count; i++) {
        from[i] = array_real(run->in[i]);
        from_steps[i] = s.in[i];
    }
    element_by_element(&s, from, from_steps, run->node->in_count, s.out, y);
    return 0;
}

static int einsum_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    const real *from[MOST_TERMS], *dy = array_real(back->dout[0]);
    const size_t *from_steps[MOST_TERMS];
    struct steps s;
    steps_of(run, &s);
    if (run->node->in_count == 2) {
        if (back->din[0] && contract_best(&s, s.out, s.in[1], s.in[0], dy, array_real(run->in[1]),
                                          array_real(back->din[0]), run, err) < 0)
            return -1;
        return back->din[1] ? contract_best(&s, s.in[0], s.out, s.in[1], array_real(run->in[0]), dy,
                                            array_real(back->din[1]), run, err)
                            : 0;
    }
    for (size_t i = 0; i < run->node->in_count; i++) {
        if (!back->din[i])
            continue;
        for (size_t k = 0; k < run->node->in_count; k++) {
            from[k] = k == i ? dy : array_real(run->in[k]);
            from_steps[k] = k == i ? s.out : s.in[k];
        }
        element_by_element(&s, from, from_steps, run->node->in_count, s.in[i],
                           array_real(back->din[i]));
    }
    return 0;
}

static uint64_t einsum_macs(const struct op_run *shapes) {
    struct steps s;
    uint64_t macs = shapes->node->in_count > 1;
    steps_of(shapes, &s);
    for (unsigned l = 0; l < s.labels; l++)
        macs *= s.size[l];
    return macs;
}

/* A label's axes go together, wherever they are; what the output does not have is summed. */
static int einsum_dims(struct relations *r, const struct op_run *shapes) {
    unsigned ranks[MOST_TERMS] = {0};
    struct labels labels = {0};
    struct axis first[LABELS];
    bool seen[LABELS] = {false}, kept[LABELS] = {false};
    for (size_t i = 0; i < shapes->node->in_count; i++)
        ranks[i] = shapes->in[i]->rank;
    if (label_axes(shapes->node, ranks, &labels, NULL) < 0)
        return relate_nothing(r, shapes);
    for (unsigned d = 0; d < labels.out_rank; d++) {
        first[labels.out[d]] = AXIS_OUT(0, d);
        seen[labels.out[d]] = kept[labels.out[d]] = shapes->out[0]->dims[d] != 1;
    }
    for (size_t i = 0; i < shapes->node->in_count; i++)
        for (unsigned d = 0; d < labels.in_rank[i]; d++) {
            uint8_t l = labels.in[i][d];
            struct axis axis = AXIS_IN(i, d);
            if (shapes->in[i]->dims[d] == 1) {
                if (relate_fixed(r, axis) < 0)
                    return -1;
                continue;
            }
            if (!seen[l])
                first[l] = axis;
            seen[l] = true;
            if ((kept[l] ? relate_same(r, axis, first[l]) : relate_contracted(r, axis, first[l])) <
                0)
                return -1;
        }
    return 0;
}

const struct op op_einsum = {
    .op_type = "Einsum",
    .domain = "",
    .min_version = 12,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = MOST_TERMS,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = einsum_parse,
    .infer = einsum_infer,
    .forward = einsum_forward,
    .backward = einsum_backward,
    .scratch = einsum_scratch,
    .macs = einsum_macs,
    .dims = einsum_dims,
    .tolerance = 1e-6,
    .doc = "products and sums over named axes",
};
