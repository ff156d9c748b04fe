/*
 * Cutting and joining along axes: boxes of strides (strided.h) between a whole and its parts.
 *
 *   Slice   x → y, of every axis named the elements start, start + step ..
 *   Split   x → y0, y1 .., parts one after the other along an axis
 *   Concat  x0, x1 .. → y
 *
 * Contents that are partly known (shapes) are cut and joined like the values.
 */
#include "compress/base/arena.h"
#include "compress/graph/content.h"
#include "compress/graph/relate.h"
#include "compress/graph/strided.h"

#include <assert.h>

/* ---- Slice: starts, ends, axes are attributes before version 10, then inputs, steps too ---- */

enum { STARTS = 1, ENDS, AXES, STEPS };

/* What is cut of every axis. */
struct cut {
    bool cut, known; /* !cut: all of it; cut && !known: nobody knows what */
    struct dim start, end;
    int64_t step;
};

/* List `slot` as dims: from its fact, its array, or the attribute. False: not known. */
static bool slice_list(const struct node *node, const struct fact *const *facts,
                       const struct array *const *arrays, size_t slot, struct dim *ret,
                       size_t *ret_count) {
    static const char *const names[] = {"", "starts", "ends", "axes"};
    const int64_t *ints;
    if (node->version < 10) {
        if (slot == STEPS || !node_ints(node, names[slot], &ints, ret_count) ||
            *ret_count > LIMIT_RANK)
            return false;
        for (size_t i = 0; i < *ret_count; i++)
            ret[i] = DIM(ints[i]);
        return true;
    }
    if (facts)
        return content_read(facts[slot], ret, LIMIT_RANK, ret_count);
    if (!arrays[slot] || arrays[slot]->elements > LIMIT_RANK)
        return false;
    *ret_count = (size_t)arrays[slot]->elements;
    for (size_t i = 0; i < *ret_count; i++)
        ret[i] = DIM(array_int(arrays[slot], i));
    return true;
}

static bool slice_given(const struct node *node, size_t slot) {
    const int64_t *ints;
    size_t count;
    if (node->version < 10)
        return slot != AXES || node_ints(node, "axes", &ints, &count);
    return node_has(node, slot);
}

/* The cuts of `rank` axes. When axes or steps are not known, all of them are unknown. */
static int slice_cuts(const struct node *node, const struct fact *const *facts,
                      const struct array *const *arrays, unsigned rank, struct cut *ret,
                      struct err *err) {
    struct dim starts[LIMIT_RANK], ends[LIMIT_RANK], axes[LIMIT_RANK], steps[LIMIT_RANK];
    size_t count = 0, end_count = 0, axis_count = 0, step_count = 0;
    bool has_axes = slice_given(node, AXES), has_steps = node->version >= 10 && node_has(node, 4);
    bool values = slice_list(node, facts, arrays, STARTS, starts, &count) &&
                  slice_list(node, facts, arrays, ENDS, ends, &end_count);
    bool known = (!has_axes || slice_list(node, facts, arrays, AXES, axes, &axis_count)) &&
                 (!has_steps || slice_list(node, facts, arrays, STEPS, steps, &step_count));
    for (size_t i = 0; i < axis_count; i++)
        known = known && dim_known(axes[i]);
    for (unsigned i = 0; i < rank; i++)
        ret[i] = (struct cut){.cut = !known || (!values && !has_axes), .step = 1};
    if (!known || (!values && !has_axes))
        return 0;
    if (!values)
        count = end_count = axis_count;
    if (count != end_count || count > rank || (has_axes && axis_count != count) ||
        (has_steps && step_count != count))
        return op_fail(node, err, "%zu starts, %zu ends, %zu axes, %zu steps for a rank of %u",
                       count, end_count, axis_count, step_count, rank);
    for (size_t i = 0; i < count; i++) {
        unsigned axis = (unsigned)i;
        if (has_axes && op_axis(node, axes[i].size, rank, &axis, err) != 0)
            return -1;
        if (has_steps && dim_known(steps[i]) && steps[i].size == 0)
            return op_fail(node, err, "a step is 0");
        if (ret[axis].cut)
            return op_fail(node, err, "axis %u is named twice", axis);
        ret[axis].cut = true;
        ret[axis].known = values && (!has_steps || dim_known(steps[i]));
        if (!ret[axis].known)
            continue;
        ret[axis].start = starts[i];
        ret[axis].end = ends[i];
        ret[axis].step = has_steps ? steps[i].size : 1;
    }
    return 0;
}

/* Of n elements: the first, how far to go, how many. Steps back run from n-1 at most to 0 at
 * least. */
static void slice_range(const struct cut *cut, int64_t n, int64_t *ret_start, int64_t *ret_step,
                        int64_t *ret_count) {
    int64_t start = 0, end = n, step = 1;
    assert(n >= 0 && (!cut->cut || cut->step != 0)); /* refused where it is read */
    if (cut->cut) {
        int64_t low = cut->step < 0 ? -1 : 0, high = cut->step < 0 ? n - 1 : n;
        start = cut->start.size < 0 ? cut->start.size + n : cut->start.size;
        end = cut->end.size < 0 ? cut->end.size + n : cut->end.size;
        start = start < 0 ? 0 : start > high ? high : start;
        end = end < low ? low : end > high ? high : end;
        step = cut->step > n ? n + 1 : cut->step < -n ? -n - 1 : cut->step;
    }
    *ret_start = start;
    *ret_step = step;
    int64_t span = step > 0 ? end - start : start - end, size = step > 0 ? step : -step;
    *ret_count = span > 0 && n > 0 ? (span + size - 1) / size : 0;
}

/* The cut of a dimension that may be a symbol. */
static int slice_dim(struct op_infer *infer, const struct cut *cut, struct dim n, struct dim *ret,
                     struct err *err) {
    const int64_t far = INT32_MAX; /* what exporters write for "to the end" */
    if (!cut->cut) {
        *ret = n;
        return 0;
    }
    if (!cut->known)
        return content_fresh(infer, ret, err);
    bool numbers = dim_known(cut->start) && dim_known(cut->end);
    if (dim_known(n) && numbers) {
        int64_t start, step, count;
        slice_range(cut, n.size, &start, &step, &count);
        *ret = DIM(count);
        return 0;
    }
    bool to_end = dim_known(cut->end) ? cut->end.size >= far : dim_same(cut->end, n);
    bool forth = cut->step == 1 && dim_same(cut->start, DIM(0)) && to_end;
    bool back = cut->step == -1 && dim_same(cut->start, DIM(-1)) && numbers && cut->end.size < -far;
    if (!forth && !back)
        return content_fresh(infer, ret, err);
    *ret = n;
    return 0;
}

static int slice_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    if (content_need(infer, node->version < 10 ? 1 : 3, err) != 0)
        return -1;
    const struct fact *x = infer->in[0];
    struct fact *out = &infer->out[0];
    struct cut cuts[LIMIT_RANK];
    out->type.dtype = x->type.dtype;
    if (!x->type.ranked)
        return 0;
    if (slice_cuts(node, infer->in, NULL, x->type.rank, cuts, err) != 0)
        return -1;
    for (unsigned i = 0; i < x->type.rank; i++)
        if (slice_dim(infer, &cuts[i], x->type.dims[i], &out->type.dims[i], err) != 0)
            return -1;
    out->type.ranked = true;
    out->type.rank = x->type.rank;
    struct dim from[CONTENT_MAX], to[CONTENT_MAX];
    size_t count;
    if (x->type.rank == 1 && dim_known(out->type.dims[0]) &&
        content_read(x, from, CONTENT_MAX, &count)) {
        int64_t start, step, taken;
        if (cuts[0].cut && !(cuts[0].known && dim_known(cuts[0].start) && dim_known(cuts[0].end)))
            return 0;
        slice_range(&cuts[0], (int64_t)count, &start, &step, &taken);
        for (int64_t i = 0; i < taken; i++)
            to[i] = from[start + i * step];
        return content_set(infer, out, to, (size_t)taken, err);
    }
    return 0;
}

static int slice_box(const struct op_run *run, struct strided *ret, struct err *err) {
    const struct array *x = run->in[0], *y = run->out[0];
    struct strided box = {0};
    struct cut cuts[LIMIT_RANK];
    uint64_t dims[LIMIT_RANK];
    int64_t from[LIMIT_RANK], to[LIMIT_RANK];
    if (slice_cuts(run->node, NULL, run->in, x->rank, cuts, err) != 0)
        return -1;
    strided_steps(x->rank, x->dims, from);
    strided_steps(y->rank, y->dims, to);
    for (unsigned i = 0; i < x->rank; i++) {
        int64_t start, step, count;
        if (cuts[i].cut && !cuts[i].known)
            return content_refuse(run->node, err, "starts and ends are not lists of this rank");
        slice_range(&cuts[i], (int64_t)x->dims[i], &start, &step, &count);
        dims[i] = (uint64_t)count;
        box.from_start += count ? start * from[i] : 0;
        strided_axis(&box, dims[i], from[i] * step, i < y->rank ? to[i] : 0);
    }
    *ret = box;
    return content_shaped(run->node, x->rank, dims, y, err);
}

static int slice_forward(const struct op_run *run, struct err *err) {
    struct strided box;
    if (slice_box(run, &box, err) != 0)
        return -1;
    return strided_move(&box, run->in[0]->data, run->out[0]->data,
                        array_item_bytes(run->out[0]->dtype), run->team, run->progress, err);
}

static int slice_backward(const struct op_backward *back, struct err *err) {
    struct strided box;
    if (slice_box(&back->run, &box, err) != 0)
        return -1;
    box = strided_reverse(&box);
    return strided_add(&box, array_real(back->dout[0]), array_real(back->din[0]), back->run.team,
                       back->run.progress, err);
}

/* The part of every axis that is taken. False when it is not known. */
static bool slice_parts(const struct op_run *shapes, int64_t *ret_start, int64_t *ret_step) {
    const struct array *x = shapes->in[0];
    struct cut cuts[LIMIT_RANK];
    for (size_t i = 1; shapes->node->version >= 10 && i < shapes->node->in_count; i++)
        if (shapes->in[i] && !shapes->in[i]->data)
            return false;
    if (slice_cuts(shapes->node, NULL, shapes->in, x->rank, cuts, NULL) != 0)
        return false;
    for (unsigned i = 0; i < x->rank; i++) {
        int64_t count;
        if (cuts[i].cut && !cuts[i].known)
            return false;
        slice_range(&cuts[i], (int64_t)x->dims[i], &ret_start[i], &ret_step[i], &count);
    }
    return true;
}

/* A part at either end may lose elements: how many tells where it begins. One in the middle could
 * not say what was lost before and what behind it. */
static int slice_dims(struct relations *r, const struct op_run *shapes) {
    const struct array *x = shapes->in[0], *y = shapes->out[0];
    int64_t start[LIMIT_RANK], step[LIMIT_RANK];
    if (!slice_parts(shapes, start, step))
        return relate_nothing(r, shapes);
    for (size_t i = 1; i < shapes->node->in_count; i++)
        if (relate_fixed_from(r, AXIS_IN(i, 0)) < 0)
            return -1;
    for (unsigned d = 0; d < x->rank; d++) {
        bool ends = start[d] == 0 || (uint64_t)start[d] + y->dims[d] == x->dims[d];
        if ((step[d] == 1 && ends
                 ? relate_part(r, AXIS_OUT(0, d), AXIS_IN(0, d), (uint64_t)start[d])
             : relate_fixed(r, AXIS_IN(0, d)) < 0 ? -1
                                                  : relate_fixed(r, AXIS_OUT(0, d))) < 0)
            return -1;
    }
    return 0;
}

static int slice_set(struct node *node, const char *name, size_t slot, const int64_t *values,
                     size_t count, struct err *err) {
    if (node->version >= 10)
        return content_replace(node, slot, values, count, err);
    int64_t *ints = ARENA_ARRAY(node->graph->arena, int64_t, count + 1);
    if (!ints)
        return err_set(err, ERR_NO_MEMORY, "no memory for an attribute");
    memcpy(ints, values, count * sizeof *values);
    return graph_set_attr(
        node, &(struct attr){.name = name, .kind = ATTR_INTS, .count = count, .ints = ints}, err);
}

static int slice_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                     struct err *err) {
    const struct array *x = before->in[0];
    struct dim starts[LIMIT_RANK] = {{0}}, ends[LIMIT_RANK] = {{0}}, axes[LIMIT_RANK] = {{0}};
    size_t count = 0, end_count = 0, axis_count = 0;
    int64_t first[LIMIT_RANK] = {0}, last[LIMIT_RANK] = {0}, start[LIMIT_RANK] = {0},
            step[LIMIT_RANK] = {0};
    if (!slice_parts(before, start, step) ||
        !slice_list(node, NULL, before->in, STARTS, starts, &count) ||
        !slice_list(node, NULL, before->in, ENDS, ends, &end_count))
        return 0; /* nothing was related */
    bool has_axes =
        slice_given(node, AXES) && slice_list(node, NULL, before->in, AXES, axes, &axis_count);
    for (size_t i = 0; i < count; i++) {
        unsigned axis = (unsigned)i;
        if (has_axes && op_axis(node, axes[i].size, x->rank, &axis, err) != 0)
            return -1;
        first[i] = starts[i].size;
        last[i] = ends[i].size;
        if (x->dims[axis] == after->in[0]->dims[axis])
            continue;
        uint64_t left = after->out[0]->dims[axis], of = after->in[0]->dims[axis];
        first[i] = start[axis] == 0 ? 0 : (int64_t)(of - left);
        last[i] = first[i] + (int64_t)left;
    }
    return slice_set(node, "starts", STARTS, first, count, err) < 0
               ? -1
               : slice_set(node, "ends", ENDS, last, count, err);
}

const struct op op_slice = {
    .op_type = "Slice",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 5,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_NEEDS_IN | OP_NEEDS_REST,
    .infer = slice_infer,
    .forward = slice_forward,
    .backward = slice_backward,
    .dims = slice_dims,
    .cut = slice_cut,
    .tolerance = 1e-9,
    .doc = "every step-th element from start to end",
};

/* ---- a part of a whole: both row-major, the part `offset` into the whole's axis ---- */

/* From whole to part. */
static struct strided part_box(const struct array *whole, const struct array *part, unsigned axis,
                               uint64_t offset) {
    struct strided box = {0};
    int64_t from[LIMIT_RANK], to[LIMIT_RANK];
    strided_steps(whole->rank, whole->dims, from);
    strided_steps(part->rank, part->dims, to);
    for (unsigned i = 0; i < whole->rank; i++)
        strided_axis(&box, part->dims[i], from[i], to[i]);
    box.from_start = (int64_t)offset * from[axis];
    return box;
}

/* The part lies within the whole. */
static int part_check(const struct node *node, const struct array *whole, const struct array *part,
                      unsigned axis, uint64_t offset, struct err *err) {
    bool fits = part->rank == whole->rank && axis < whole->rank && offset <= whole->dims[axis] &&
                part->dims[axis] <= whole->dims[axis] - offset;
    for (unsigned i = 0; fits && i < whole->rank; i++)
        fits = i == axis || part->dims[i] == whole->dims[i];
    return fits ? 0 : content_refuse(node, err, "a part does not fit into the whole");
}

/* ---- Split: sizes are an attribute before version 13, then an input; else equal parts, the last
 * smaller since version 18 ---- */

/* Size of part i of n elements. False: not known. */
static bool split_size(const struct node *node, const struct fact *fact, const struct array *array,
                       int64_t n, size_t i, struct dim *ret) {
    const int64_t *sizes;
    size_t count;
    if (node->version < 13 && node_ints(node, "split", &sizes, &count)) {
        *ret = DIM(i < count ? sizes[i] : -1);
        return i < count;
    }
    if (node->version >= 13 && node_has(node, 1)) {
        if (fact)
            return fact_element(fact, i, ret);
        if (!array || i >= array->elements)
            return false;
        *ret = DIM(array_int(array, i));
        return true;
    }
    int64_t parts = (int64_t)node->out_count, chunk = (n + parts - 1) / parts;
    if (n < 0)
        return false;
    *ret = DIM(i + 1 < node->out_count ? chunk : n - chunk * (parts - 1));
    return node->version >= 18 || n % parts == 0;
}

static bool split_given(const struct node *node) {
    const int64_t *sizes;
    size_t count;
    return node->version < 13 ? node_ints(node, "split", &sizes, &count) : node_has(node, 1);
}

static int split_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    if (content_need(infer, 1, err) != 0)
        return -1;
    const struct fact *x = infer->in[0];
    unsigned axis;
    for (size_t i = 0; i < node->out_count; i++)
        infer->out[i].type.dtype = x->type.dtype;
    if (node->version >= 18 && node_attr(node, "num_outputs") &&
        (node_int(node, "num_outputs", 0) != (int64_t)node->out_count || split_given(node)))
        return op_fail(node, err, "num_outputs is %lld, outputs are %zu, and sizes are %sgiven",
                       (long long)node_int(node, "num_outputs", 0), node->out_count,
                       split_given(node) ? "" : "not ");
    if (!x->type.ranked)
        return 0;
    if (op_axis(node, node_int(node, "axis", 0), x->type.rank, &axis, err) != 0)
        return -1;
    struct dim n = x->type.dims[axis], from[CONTENT_MAX];
    int64_t total = 0;
    bool all = true;
    size_t count = 0;
    bool content = x->type.rank == 1 && content_read(x, from, CONTENT_MAX, &count);
    uint64_t sizes;
    if (node->version >= 13 && node_has(node, 1) && content_count(infer->in[1], &sizes) &&
        sizes != node->out_count)
        return op_fail(node, err, "%llu sizes for %zu outputs", (unsigned long long)sizes,
                       node->out_count);
    for (size_t i = 0; i < node->out_count; i++) {
        struct fact *out = &infer->out[i];
        struct dim size;
        out->type = x->type;
        bool known = split_size(node, infer->in[1 < node->in_count ? 1 : 0], NULL,
                                dim_known(n) ? n.size : -1, i, &size);
        if (!known && dim_known(n) && !split_given(node))
            return op_fail(node, err, "%lld elements do not divide into %zu", (long long)n.size,
                           node->out_count);
        if (known && dim_known(size) && size.size < 0)
            return op_fail(node, err, "part %zu would have %lld elements", i, (long long)size.size);
        if (!known && node->out_count == 1 && !split_given(node))
            size = n;
        else if (!known && content_fresh(infer, &size, err) != 0)
            return -1;
        out->type.dims[axis] = size;
        all = all && dim_known(size);
        if (content && all && size.size <= (int64_t)count - total &&
            content_set(infer, out, from + total, (size_t)size.size, err) != 0)
            return -1;
        if (dim_known(size) && __builtin_add_overflow(total, size.size, &total))
            return op_fail(node, err, "the parts are too large");
    }
    if (all && dim_known(n) && total != n.size)
        return op_fail(node, err, "parts of %lld elements together, of %lld", (long long)total,
                       (long long)n.size);
    return 0;
}

/* Calls for every part that is there: forward moves out of x, backward adds into dx. */
static int split_parts(const struct op_run *run, const struct array *const *dout, real *dx,
                       struct err *err) {
    const struct node *node = run->node;
    const struct array *x = run->in[0];
    unsigned axis;
    uint64_t offset = 0;
    if (op_axis(node, node_int(node, "axis", 0), x->rank, &axis, err) != 0)
        return -1;
    for (size_t i = 0; i < node->out_count; i++) {
        const struct array *part = dx ? dout[i] : run->out[i];
        struct dim size;
        if (!split_size(node, NULL, node->in_count > 1 ? run->in[1] : NULL, (int64_t)x->dims[axis],
                        i, &size) ||
            size.size < 0)
            return content_refuse(node, err, "part %zu has no size", i);
        if (part) {
            if (part_check(node, x, part, axis, offset, err) != 0)
                return -1;
            if (part->dims[axis] != (uint64_t)size.size)
                return content_refuse(node, err, "part %zu has another size than planned", i);
            struct strided box = part_box(x, part, axis, offset);
            struct strided reverse = strided_reverse(&box);
            if (dx ? strided_add(&reverse, array_real(part), dx, run->team, run->progress, err) != 0
                   : strided_move(&box, x->data, part->data, array_item_bytes(x->dtype), run->team,
                                  run->progress, err) != 0)
                return -1;
        }
        offset += (uint64_t)size.size;
    }
    return 0;
}

static int split_forward(const struct op_run *run, struct err *err) {
    return split_parts(run, NULL, NULL, err);
}

static int split_backward(const struct op_backward *back, struct err *err) {
    return split_parts(&back->run, back->dout, array_real(back->din[0]), err);
}

/* Equal parts stay equal: they lose the same positions. */
static int split_dims(struct relations *r, const struct op_run *shapes) {
    const struct node *node = shapes->node;
    const struct array *x = shapes->in[0];
    unsigned axis;
    uint64_t offset = 0;
    bool equal = !split_given(node), all = true;
    assert(node->out_count > 0); /* min_out */
    if (op_axis(node, node_int(node, "axis", 0), x->rank, &axis, NULL) != 0 ||
        relate_fixed_from(r, AXIS_IN(1, 0)) < 0)
        return -1;
    for (size_t i = 0; i < node->out_count; i++)
        all = all && shapes->out[i];
    bool fixed = !all || (equal && x->dims[axis] % node->out_count != 0);
    if (fixed && relate_fixed(r, AXIS_IN(0, axis)) < 0)
        return -1;
    for (size_t i = 0; i < node->out_count; i++) {
        for (unsigned d = 0; d < x->rank; d++)
            if (d != axis && relate_same(r, AXIS_IN(0, d), AXIS_OUT(i, d)) < 0)
                return -1;
        if ((fixed ? relate_fixed(r, AXIS_OUT(i, axis))
                   : relate_part(r, AXIS_OUT(i, axis), AXIS_IN(0, axis), offset)) < 0 ||
            (equal && !fixed && relate_same(r, AXIS_OUT(0, axis), AXIS_OUT(i, axis)) < 0))
            return -1;
        offset += shapes->out[i] ? shapes->out[i]->dims[axis] : 0;
    }
    return 0;
}

static int split_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                     struct err *err) {
    const struct array *x = before->in[0];
    unsigned axis;
    if (op_axis(node, node_int(node, "axis", 0), x->rank, &axis, err) != 0)
        return -1;
    if (!split_given(node) || x->dims[axis] == after->in[0]->dims[axis])
        return 0;
    int64_t *sizes = ARENA_ARRAY(node->graph->arena, int64_t, node->out_count);
    if (!sizes)
        return err_set(err, ERR_NO_MEMORY, "no memory for the sizes of parts");
    for (size_t i = 0; i < node->out_count; i++)
        sizes[i] = (int64_t)after->out[i]->dims[axis];
    return node->version >= 13 ? content_replace(node, 1, sizes, node->out_count, err)
                               : graph_set_attr(node,
                                                &(struct attr){.name = "split",
                                                               .kind = ATTR_INTS,
                                                               .count = node->out_count,
                                                               .ints = sizes},
                                                err);
}

const struct op op_split = {
    .op_type = "Split",
    .domain = "",
    .min_version = 2,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = OP_MANY,
    .flags = OP_ANY_TYPE | OP_NEEDS_IN | OP_NEEDS_REST,
    .infer = split_infer,
    .forward = split_forward,
    .backward = split_backward,
    .dims = split_dims,
    .cut = split_cut,
    .tolerance = 1e-9,
    .doc = "parts along an axis",
};

/* ---- Concat ---- */

/* The content of joined vectors, as far as all of them are known. */
static int concat_content(struct op_infer *infer, struct err *err) {
    struct dim to[CONTENT_MAX];
    size_t total = 0;
    for (size_t i = 0; i < infer->node->in_count; i++) {
        size_t count;
        if (!content_read(infer->in[i], to + total, CONTENT_MAX - total, &count))
            return 0;
        total += count;
    }
    return content_set(infer, &infer->out[0], to, total, err);
}

static int concat_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    if (content_need(infer, node->in_count, err) != 0)
        return -1;
    struct type y = {0};
    unsigned axis = 0;
    bool all = true;
    for (size_t i = 0; i < node->in_count; i++) {
        const struct type *x = &infer->in[i]->type;
        if (y.dtype == DTYPE_NONE)
            y.dtype = x->dtype;
        if (!x->ranked) {
            all = false;
        } else if (!y.ranked) {
            enum dtype dtype = y.dtype;
            y = *x;
            y.dtype = dtype;
            if (op_axis(node, node_int(node, "axis", 1), x->rank, &axis, err) != 0)
                return -1;
        } else {
            if (content_rank(infer, x, y.rank, "an input", err) != 0)
                return -1;
            for (unsigned d = 0; d < y.rank; d++)
                if (d == axis ? content_sum(infer, y.dims[d], x->dims[d], &y.dims[d], err) != 0
                              : content_agree(infer, y.dims[d], x->dims[d],
                                              "dimensions beside the axis", &y.dims[d], err) != 0)
                    return -1;
        }
    }
    if (!all && y.ranked && content_fresh(infer, &y.dims[axis], err) != 0)
        return -1;
    infer->out[0].type = y;
    return y.ranked && y.rank == 1 ? concat_content(infer, err) : 0;
}

/* Forward moves every input into y, backward adds every part of dy into its gradient. */
static int concat_parts(const struct op_run *run, const struct array *dy, struct array *const *din,
                        struct err *err) {
    const struct node *node = run->node;
    const struct array *y = dy ? dy : run->out[0];
    unsigned axis;
    uint64_t offset = 0;
    if (op_axis(node, node_int(node, "axis", 1), y->rank, &axis, err) != 0)
        return -1;
    for (size_t i = 0; i < node->in_count; i++) {
        const struct array *part = run->in[i];
        if (part_check(node, y, part, axis, offset, err) != 0)
            return -1;
        struct strided box = part_box(y, part, axis, offset);
        struct strided reverse = strided_reverse(&box);
        if (!dy && strided_move(&reverse, part->data, y->data, array_item_bytes(y->dtype),
                                run->team, run->progress, err) != 0)
            return -1;
        if (dy && din[i] &&
            strided_add(&box, array_real(dy), array_real(din[i]), run->team, run->progress, err) !=
                0)
            return -1;
        offset += part->dims[axis];
    }
    if (offset != y->dims[axis])
        return content_refuse(node, err, "the parts do not fill the whole");
    return 0;
}

static int concat_forward(const struct op_run *run, struct err *err) {
    return concat_parts(run, NULL, NULL, err);
}

static int concat_backward(const struct op_backward *back, struct err *err) {
    return concat_parts(&back->run, back->dout[0], back->din, err);
}

static int concat_dims(struct relations *r, const struct op_run *shapes) {
    const struct array *y = shapes->out[0];
    unsigned axis;
    uint64_t offset = 0;
    if (op_axis(shapes->node, node_int(shapes->node, "axis", 1), y->rank, &axis, NULL) != 0)
        return -1;
    for (size_t i = 0; i < shapes->node->in_count; i++) {
        for (unsigned d = 0; d < y->rank; d++)
            if (relate_part(r, AXIS_IN(i, d), AXIS_OUT(0, d), d == axis ? offset : 0) < 0)
                return -1;
        offset += shapes->in[i]->dims[axis];
    }
    return 0;
}

const struct op op_concat = {
    .op_type = "Concat",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = OP_MANY,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .infer = concat_infer,
    .forward = concat_forward,
    .backward = concat_backward,
    .dims = concat_dims,
    .tolerance = 1e-9,
    .doc = "joins along an axis",
};
