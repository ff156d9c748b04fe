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
               uint64_t offset, bool contracted) {
    if (!is_there(r, a) || !is_there(r, b))
        return 0;
    return add(r, &(struct relation){.kind = RELATION_TIE,
                                     .contracted = contracted,
                                     .a = a,
                                     .b = b,
                                     .div = div,
                                     .mod = mod,
                                     .offset = offset});
}

int relate_same(struct relations *r, struct axis a, struct axis b) {
    return tie(r, a, b, 1, 0, 0, false);
}

int relate_contracted(struct relations *r, struct axis a, struct axis b) {
    return tie(r, a, b, 1, 0, 0, true);
}

int relate_part(struct relations *r, struct axis part, struct axis whole, uint64_t offset) {
    return tie(r, part, whole, 1, 0, offset, false);
}

int relate_mapped(struct relations *r, struct axis a, struct axis b, uint64_t div, uint64_t mod,
                  uint64_t offset) {
    return tie(r, a, b, div, mod, offset, false);
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
