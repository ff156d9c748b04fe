/* Relations of one node. See relate.h. */
#include "compress/graph/relate.h"

#include "compress/base/arena.h"

#include <string.h>

static const struct array *array_of(const struct relations *r, struct axis a) {
    const struct node *node = r->shapes->node;
    if (a.output)
        return a.slot < node->out_count ? r->shapes->out[a.slot] : NULL;
    return a.slot < node->in_count ? r->shapes->in[a.slot] : NULL;
}

static bool is_there(const struct relations *r, struct axis a) {
    const struct array *array = array_of(r, a);
    return array && a.axis < array->rank;
}

static int add(struct relations *r, const struct relation *relation) {
    struct relation *list = arena_grow(r->arena, r->list, &r->capacity, r->count + 1, sizeof *list);
    if (!list)
        return -1;
    r->list = list;
    list[r->count++] = *relation;
    return 0;
}

static int tie(struct relations *r, struct axis a, struct axis b, uint64_t div, uint64_t mod,
               uint64_t mul, uint64_t offset, bool contracted) {
    if (!is_there(r, a) || !is_there(r, b))
        return 0;
    return add(r, &(struct relation){.kind = RELATION_TIE,
                                     .contracted = contracted,
                                     .a = a,
                                     .b = b,
                                     .div = div,
                                     .mod = mod,
                                     .mul = mul,
                                     .offset = offset});
}

int relate_same(struct relations *r, struct axis a, struct axis b) {
    return tie(r, a, b, 1, 0, 1, 0, false);
}

int relate_contracted(struct relations *r, struct axis a, struct axis b) {
    return tie(r, a, b, 1, 0, 1, 0, true);
}

int relate_part(struct relations *r, struct axis part, struct axis whole, uint64_t offset) {
    return tie(r, part, whole, 1, 0, 1, offset, false);
}

int relate_mapped(struct relations *r, struct axis a, struct axis b, uint64_t div, uint64_t mod,
                  uint64_t offset) {
    return tie(r, a, b, div, mod, 1, offset, false);
}

int relate_contracted_groups(struct relations *r, struct axis a, struct axis b, uint64_t group) {
    return tie(r, a, b, 1, group, 1, 0, true);
}

int relate_blocks(struct relations *r, struct axis a, uint64_t len, struct axis other,
                  uint64_t other_len) {
    if (len == 0 || other_len == 0)
        return 0;
    if (tie(r, a, a, len, 0, len, 0, false) < 0 ||
        tie(r, other, other, other_len, 0, other_len, 0, false) < 0)
        return -1;
    return tie(r, a, other, len, 0, other_len, 0, false);
}

int relate_factored(struct relations *r, struct axis whole, const struct axis *factors,
                    unsigned count) {
    struct relation relation = {.kind = RELATION_FACTORED, .a = whole, .factor_count = count};
    if (!is_there(r, whole) || count > RELATION_FACTORS)
        return 0;
    memcpy(relation.factors, factors, count * sizeof *factors);
    return add(r, &relation);
}

int relate_fixed(struct relations *r, struct axis a) {
    if (!is_there(r, a))
        return 0;
    return add(r, &(struct relation){.kind = RELATION_FIXED, .a = a});
}

int relate_fixed_from(struct relations *r, struct axis a) {
    for (; is_there(r, a); a.axis++)
        if (relate_fixed(r, a) < 0)
            return -1;
    return 0;
}

int relate_axes(struct relations *r, struct axis a, struct axis b, unsigned count) {
    for (; count > 0; count--, a.axis++, b.axis++)
        if (relate_same(r, a, b) < 0)
            return -1;
    return 0;
}

int relate_same_or_one(struct relations *r, struct axis a, struct axis b) {
    if (!is_there(r, a) || !is_there(r, b))
        return 0;
    return array_of(r, a)->dims[a.axis] == array_of(r, b)->dims[b.axis] ? relate_same(r, a, b)
                                                                        : relate_fixed(r, a);
}

/* ---- ready-made ---- */

int relate_elementwise(struct relations *r, const struct op_run *shapes) {
    for (unsigned d = 0; d < shapes->in[0]->rank; d++)
        if (relate_same(r, AXIS_IN(0, d), AXIS_OUT(0, d)) < 0)
            return -1;
    return 0;
}

int relate_broadcast(struct relations *r, const struct op_run *shapes) {
    const struct array *out = shapes->out[0];
    for (size_t i = 0; i < shapes->node->in_count; i++) {
        const struct array *in = shapes->in[i];
        if (!in)
            continue;
        unsigned shift = out->rank - in->rank;
        for (unsigned d = 0; d < in->rank; d++) {
            /* A one that is stretched says nothing about what it is stretched to. */
            int done = in->dims[d] == out->dims[d + shift]
                           ? relate_same(r, AXIS_IN(i, d), AXIS_OUT(0, d + shift))
                           : relate_fixed(r, AXIS_IN(i, d));
            if (done < 0)
                return -1;
        }
    }
    return 0;
}

int relate_nothing(struct relations *r, const struct op_run *shapes) {
    for (size_t i = 0; i < shapes->node->in_count; i++)
        if (relate_fixed_from(r, AXIS_IN(i, 0)) < 0)
            return -1;
    for (size_t i = 0; i < shapes->node->out_count; i++)
        if (relate_fixed_from(r, AXIS_OUT(i, 0)) < 0)
            return -1;
    return 0;
}

int relate_matmul(struct relations *r, unsigned a, unsigned b, bool a_transposed,
                  bool b_transposed) {
    const struct op_run *shapes = r->shapes;
    const unsigned slots[] = {a, b};
    unsigned a_rank = shapes->in[a]->rank, b_rank = shapes->in[b]->rank;
    unsigned y_rank = shapes->out[0]->rank;
    bool row = a_rank == 1, column = b_rank == 1;
    unsigned a_inner = row ? 0 : a_rank - (a_transposed ? 2 : 1);
    unsigned b_inner = column ? 0 : b_rank - (b_transposed ? 1 : 2);
    if (relate_contracted(r, AXIS_IN(a, a_inner), AXIS_IN(b, b_inner)) < 0)
        return -1;
    if (!row && relate_same(r, AXIS_IN(a, a_rank - (a_transposed ? 1 : 2)),
                            AXIS_OUT(0, y_rank - (column ? 1 : 2))) < 0)
        return -1;
    if (!column &&
        relate_same(r, AXIS_IN(b, b_rank - (b_transposed ? 2 : 1)), AXIS_OUT(0, y_rank - 1)) < 0)
        return -1;
    unsigned batches = y_rank - !row - !column;
    for (size_t i = 0; i < 2; i++) {
        unsigned rank = shapes->in[slots[i]]->rank, own = rank < 2 ? 0 : rank - 2;
        for (unsigned d = 0; d < own; d++)
            if (relate_same_or_one(r, AXIS_IN(slots[i], d), AXIS_OUT(0, batches - own + d)) < 0)
                return -1;
    }
    return 0;
}

int relate_convolution(struct relations *r, unsigned x, unsigned w, uint64_t groups) {
    uint64_t of_group = r->shapes->in[w]->dims[1], outputs = r->shapes->in[w]->dims[0] / groups;
    if (relate_same(r, AXIS_IN(x, 0), AXIS_OUT(0, 0)) < 0 ||
        relate_same(r, AXIS_IN(w, 0), AXIS_OUT(0, 1)) < 0 ||
        relate_fixed_from(r, AXIS_IN(x, 2)) < 0 || relate_fixed_from(r, AXIS_IN(w, 2)) < 0 ||
        relate_fixed_from(r, AXIS_OUT(0, 2)) < 0)
        return -1;
    if (groups == 1)
        return relate_contracted(r, AXIS_IN(x, 1), AXIS_IN(w, 1));
    if (of_group == 1)
        return relate_fixed(r, AXIS_IN(w, 1)) < 0
                   ? -1
                   : relate_mapped(r, AXIS_IN(w, 0), AXIS_IN(x, 1), outputs, 0, 0);
    return relate_contracted_groups(r, AXIS_IN(x, 1), AXIS_IN(w, 1), of_group) < 0
               ? -1
               : relate_mapped(r, AXIS_IN(w, 0), AXIS_IN(w, 0), 1, outputs, 0);
}

/* A run of dimensions of one shape against a run of the other with the same product. One of the two
 * is a single dimension in all but odd cases; those are fixed. */
static int relate_runs(struct relations *r, const struct array *in, unsigned in_from,
                       unsigned in_to, const struct array *out, unsigned out_from,
                       unsigned out_to) {
    struct axis left[LIMIT_RANK], right[LIMIT_RANK];
    unsigned lefts = 0, rights = 0;
    for (unsigned d = in_from; d < in_to; d++)
        if (in->dims[d] != 1)
            left[lefts++] = AXIS_IN(0, d);
    for (unsigned d = out_from; d < out_to; d++)
        if (out->dims[d] != 1)
            right[rights++] = AXIS_OUT(0, d);
    if (lefts == 1 && rights == 1)
        return relate_same(r, left[0], right[0]);
    if (lefts == 1)
        return relate_factored(r, left[0], right, rights);
    if (rights == 1)
        return relate_factored(r, right[0], left, lefts);
    /* Many to many: the outermost are comparable when one divides the other (channels against
     * groups of channels); what is inside of them stays. */
    int done = 0;
    if (lefts && rights) {
        uint64_t a = in->dims[left[0].axis], b = out->dims[right[0].axis];
        if (a % b == 0)
            done = relate_mapped(r, left[0], right[0], a / b, 0, 0);
        else if (b % a == 0)
            done = relate_mapped(r, right[0], left[0], b / a, 0, 0);
        else
            done = relate_fixed(r, left[0]) < 0 ? -1 : relate_fixed(r, right[0]);
    }
    for (unsigned i = 1; i < lefts && done == 0; i++)
        done = relate_fixed(r, left[i]);
    for (unsigned i = 1; i < rights && done == 0; i++)
        done = relate_fixed(r, right[i]);
    return done;
}

int relate_reshaped(struct relations *r, const struct array *in, const struct array *out) {
    unsigned i = 0, o = 0;
    if (in->elements == 0)
        return 0;
    while (i < in->rank || o < out->rank) {
        unsigned in_from = i, out_from = o;
        uint64_t a = i < in->rank ? in->dims[i++] : 1, b = o < out->rank ? out->dims[o++] : 1;
        while (a != b) { /* the elements are as many, so the products meet */
            if (a < b)
                a *= in->dims[i++];
            else
                b *= out->dims[o++];
        }
        if (relate_runs(r, in, in_from, i, out, out_from, o) < 0)
            return -1;
    }
    return 0;
}
