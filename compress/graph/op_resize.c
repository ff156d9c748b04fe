/*
 * Resampling: x → y, axis by axis (resample.h).
 *
 *   Resize    x, roi, scales, sizes → y (before version 11: x, scales)
 *   Upsample  x, scales → y (before version 9 scales are an attribute)
 *
 * Scales or sizes are those of `axes`, or of all. Axes that keep their size cost nothing; the
 * others are a pass each, those that shrink first (so that nothing between is larger than both x
 * and y), the last axis before those in front of it; through buffers in scratch:
 *
 *   scratch   tables of the axes | buffers between passes | dy without what lies outside
 * (backward), or x and y as reals (integers, not nearest)
 */
#include "compress/base/arena.h"
#include "compress/graph/content.h"
#include "compress/graph/indices.h"
#include "compress/graph/relate.h"
#include "compress/graph/resample.h"
#include "compress/graph/strided.h"

#include <math.h>
#include <string.h>

enum policy { POLICY_STRETCH, POLICY_NOT_LARGER, POLICY_NOT_SMALLER };

struct resize {
    struct resample how;
    enum policy policy;
    real extrapolation;
    size_t roi_slot, scales_slot, sizes_slot; /* 0: there is no such input */
    const float *scales;                      /* Upsample before 9: as an attribute */
    size_t scale_count;
    bool has_axes;
    const int64_t *axes;
    size_t axis_count;
};

/* ---- attributes ---- */

/* Index of an attribute's word in a list; -1 with err set. */
static int word(const struct node *node, const char *name, const char *const *words,
                struct err *err) {
    const char *text = node_string(node, name, words[0]);
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return op_fail(node, err, "%s is '%.40s'", name, text);
}

static const char *const mode_words[] = {"nearest", "linear", "cubic", NULL};
static const char *const coordinate_words[] = {"half_pixel",
                                               "half_pixel_symmetric",
                                               "pytorch_half_pixel",
                                               "align_corners",
                                               "asymmetric",
                                               "tf_crop_and_resize",
                                               NULL};
static const char *const nearest_words[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                            "ceil", NULL};
static const char *const policy_words[] = {"stretch", "not_larger", "not_smaller", NULL};

static int resize_parse(const struct node *node, struct arena *arena, void **ret_params,
                        struct err *err) {
    struct resize *p = ARENA_NEW(arena, struct resize);
    if (!p)
        return err_set(err, ERR_NO_MEMORY, "no memory for an operator");
    *ret_params = p;
    int mode = word(node, "mode", mode_words, err);
    if (mode < 0)
        return -1;
    p->how.mode = (enum resample_mode)mode;
    if (node->version < 11) { /* Upsample, and Resize by its first definition */
        const struct attr *scales = node_attr(node, "scales");
        if (mode == RESAMPLE_CUBIC)
            return op_fail(node, err, "mode is 'cubic' before version 11");
        p->how.coordinates = RESAMPLE_ASYMMETRIC;
        p->how.nearest = RESAMPLE_SIMPLE;
        p->scales_slot = node->version >= 9 ? 1 : 0;
        if (p->scales_slot)
            return 0;
        if (!scales || scales->kind != ATTR_FLOATS)
            return op_fail(node, err, "has no scales");
        p->scales = scales->floats;
        p->scale_count = scales->count;
        return 0;
    }
    if (strcmp(node_string(node, "coordinate_transformation_mode", ""), "tf_half_pixel_for_nn") ==
        0) /* of version 11 alone */
        return err_set(err, ERR_UNSUPPORTED, "tf_half_pixel_for_nn is not supported");
    int coordinates = word(node, "coordinate_transformation_mode", coordinate_words, err);
    int nearest = word(node, "nearest_mode", nearest_words, err);
    int policy = word(node, "keep_aspect_ratio_policy", policy_words, err);
    if (coordinates < 0 || nearest < 0 || policy < 0)
        return -1;
    p->how.coordinates = (enum resample_coordinates)coordinates;
    p->how.nearest = (enum resample_nearest)nearest;
    p->policy = (enum policy)policy;
    p->how.antialias = node_int(node, "antialias", 0) != 0;
    p->how.exclude_outside = node_int(node, "exclude_outside", 0) != 0;
    p->how.cubic_a = (double)node_float(node, "cubic_coeff_a", -0.75f);
    p->extrapolation = (real)node_float(node, "extrapolation_value", 0);
    p->has_axes = node_ints(node, "axes", &p->axes, &p->axis_count);
    p->roi_slot = 1;
    p->scales_slot = 2;
    p->sizes_slot = 3;
    return 0;
}

/* ---- scales and sizes ---- */

/* What is asked of an axis, and what it becomes. */
struct side {
    double scale; /* 0: not known */
    struct dim out;
};

static int resolve_axes(const struct node *node, unsigned rank, unsigned *ret, size_t *ret_count,
                        struct err *err) {
    const struct resize *p = node->params;
    bool named[LIMIT_RANK] = {false};
    *ret_count = p->has_axes ? p->axis_count : rank;
    if (*ret_count > rank)
        return op_fail(node, err, "%zu axes for a rank of %u", *ret_count, rank);
    for (size_t i = 0; i < *ret_count; i++) {
        ret[i] = (unsigned)i;
        if (p->has_axes && op_axis(node, p->axes[i], rank, &ret[i], err) != 0)
            return -1;
        if (named[ret[i]])
            return op_fail(node, err, "axis %u is named twice", ret[i]);
        named[ret[i]] = true;
    }
    return 0;
}

/* One scale for all axes: the largest that no size exceeds, or the smallest that all reach. False
 * when a dimension or size is a symbol. */
static bool one_scale(enum policy policy, const struct dim *in, const struct dim *sizes,
                      const unsigned *axes, size_t count, double *ret) {
    for (size_t i = 0; i < count; i++) {
        if (!dim_known(in[axes[i]]) || !dim_known(sizes[i]) || in[axes[i]].size == 0)
            return false;
        double scale = (double)sizes[i].size / (double)in[axes[i]].size;
        if (i == 0 || (policy == POLICY_NOT_LARGER ? scale < *ret : scale > *ret))
            *ret = scale;
    }
    return count > 0;
}

/* From scales (an array, or the attribute) or sizes, either of which may be missing. Sides of
 * unknown size get a dimension of -1 and no symbol. */
static int resolve(const struct node *node, unsigned rank, const struct dim *in,
                   const struct array *scales, const struct dim *sizes, size_t size_count,
                   struct side *ret, struct err *err) {
    const struct resize *p = node->params;
    unsigned axes[LIMIT_RANK];
    size_t count, given = scales      ? (size_t)scales->elements
                          : p->scales ? p->scale_count
                                      : size_count;
    if (resolve_axes(node, rank, axes, &count, err) != 0)
        return -1;
    for (unsigned d = 0; d < rank; d++)
        ret[d] = (struct side){.scale = 1, .out = in[d]};
    if (given != count)
        return op_fail(node, err, "%zu scales or sizes for %zu axes", given, count);
    double shared = 0;
    bool is_shared = !scales && !p->scales && p->policy != POLICY_STRETCH;
    if (is_shared && !one_scale(p->policy, in, sizes, axes, count, &shared))
        shared = 0;
    for (size_t i = 0; i < count; i++) {
        struct side *side = &ret[axes[i]];
        struct dim n = in[axes[i]];
        if (scales || p->scales) {
            side->scale = scales ? array_number(scales, i) : (double)p->scales[i];
            if (!(side->scale > 0) || !(side->scale < 0x1p40))
                return op_fail(node, err, "a scale is %g", side->scale);
            /* In single precision, as exporters and runtimes compute it. */
            if (dim_known(n))
                side->out = DIM((int64_t)floorf((float)n.size * (float)side->scale));
            else if (side->scale != 1)
                side->out = (struct dim){.size = -1};
        } else if (is_shared) {
            side->scale = shared;
            side->out = shared > 0 ? DIM((int64_t)floor(shared * (double)n.size + 0.5))
                                   : (struct dim){.size = -1};
        } else {
            if (dim_known(sizes[i]) && sizes[i].size < 0)
                return op_fail(node, err, "a size is %lld", (long long)sizes[i].size);
            side->out = sizes[i];
            side->scale = dim_known(sizes[i]) && dim_known(n) && n.size > 0
                              ? (double)sizes[i].size / (double)n.size
                              : 0;
        }
    }
    return 0;
}

static bool is_empty(const struct fact *fact) {
    uint64_t count;
    return !fact || (content_count(fact, &count) && count == 0);
}

static int resize_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    const struct resize *p = node->params;
    if (content_need(infer, 1, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type;
    struct type *y = &infer->out[0].type;
    struct dim sizes[LIMIT_RANK];
    size_t size_count = 0;
    struct side sides[LIMIT_RANK] = {{0}};
    y->dtype = x->dtype;
    if (!x->ranked)
        return 0;
    const struct fact *scales_fact =
        p->scales_slot && node_has(node, p->scales_slot) ? infer->in[p->scales_slot] : NULL;
    const struct fact *sizes_fact =
        p->sizes_slot && node_has(node, p->sizes_slot) ? infer->in[p->sizes_slot] : NULL;
    const struct array *scales = is_empty(scales_fact) ? NULL : scales_fact->data;
    if (!p->scales && is_empty(scales_fact) == is_empty(sizes_fact))
        return op_fail(node, err, "wants either scales or sizes");
    bool known = p->scales || scales || content_read(sizes_fact, sizes, LIMIT_RANK, &size_count);
    if (!known) {
        unsigned axes[LIMIT_RANK];
        size_t count;
        if (resolve_axes(node, x->rank, axes, &count, err) != 0)
            return -1;
        *y = *x;
        for (size_t i = 0; i < count; i++)
            if (content_fresh(infer, &y->dims[axes[i]], err) != 0)
                return -1;
        return 0;
    }
    if (resolve(node, x->rank, x->dims, scales, sizes, size_count, sides, err) != 0)
        return -1;
    y->ranked = true;
    y->rank = x->rank;
    for (unsigned d = 0; d < x->rank; d++) {
        y->dims[d] = sides[d].out;
        if (dim_known(y->dims[d]) && y->dims[d].size < 0 &&
            content_fresh(infer, &y->dims[d], err) != 0)
            return -1;
    }
    return 0;
}

/* ---- running ---- */

struct passes {
    const struct resize *resize;
    const struct array *x, *y;
    unsigned count;          /* of passes, in their order */
    unsigned at[LIMIT_RANK]; /* axis */
    struct resample_axis axes[LIMIT_RANK];
    uint64_t elements[LIMIT_RANK];                 /* after pass i */
    uint64_t outer[LIMIT_RANK], inner[LIMIT_RANK]; /* around the axis, in pass i */
    uint8_t *free;                                 /* of scratch */
};

static uint64_t round64(uint64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* Whether an axis changes, from shapes alone: in doubt it does. */
static bool changes(const struct op_run *shapes, unsigned d) {
    const struct resize *p = shapes->node->params;
    return shapes->in[0]->dims[d] != shapes->out[0]->dims[d] ||
           p->how.coordinates == RESAMPLE_TF_CROP || p->policy != POLICY_STRETCH ||
           !p->scales_slot || node_has(shapes->node, p->scales_slot);
}

static bool converts(const struct op_run *shapes) {
    const struct resize *p = shapes->node->params;
    return p->how.mode != RESAMPLE_NEAREST && shapes->in[0]->dtype != DTYPE_F32;
}

/* The axes in the order of their passes. */
static void pass_order(const struct array *x, const struct array *y, unsigned *ret) {
    unsigned count = 0;
    for (int grows = 0; grows < 2; grows++)
        for (unsigned d = x->rank; d-- > 0;)
            if ((x->dims[d] <= y->dims[d]) == grows)
                ret[count++] = d;
}

static uint64_t resize_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    const struct resize *p = shapes->node->params;
    const struct array *x = shapes->in[0], *y = shapes->out[0];
    uint64_t bytes = 64, elements = x->elements;
    unsigned item = sizeof(real), order[LIMIT_RANK] = {0};
    if (x->elements == 0 || y->elements == 0)
        return bytes;
    if (p->how.mode == RESAMPLE_NEAREST && array_item_bytes(x->dtype) > item)
        item = array_item_bytes(x->dtype);
    pass_order(x, y, order);
    for (unsigned i = 0; i < x->rank; i++) {
        unsigned d = order[i];
        if (!changes(shapes, d))
            continue;
        bytes += resample_bytes(&p->how, x->dims[d], y->dims[d]);
        elements = elements / x->dims[d] * y->dims[d];
        bytes += round64(elements * item);
    }
    if (backward || converts(shapes))
        bytes += round64(y->elements * sizeof(real)) + round64(x->elements * sizeof(real));
    return bytes;
}

static void *take(struct passes *passes, uint64_t bytes) {
    void *memory = passes->free;
    passes->free += round64(bytes);
    return memory;
}

/* Resolves scales against the data and makes the tables. */
static int prepare(const struct op_run *run, struct passes *ret, struct err *err) {
    const struct node *node = run->node;
    const struct resize *p = node->params;
    const struct array *x = run->in[0], *y = run->out[0], *scales = NULL, *roi = NULL;
    struct side sides[LIMIT_RANK] = {{0}};
    struct dim in[LIMIT_RANK], sizes[LIMIT_RANK];
    size_t size_count = 0;
    unsigned axes[LIMIT_RANK], order[LIMIT_RANK] = {0};
    size_t count = 0;
    uint64_t dims[LIMIT_RANK] = {0};
    if (p->scales_slot && node_has(node, p->scales_slot) && run->in[p->scales_slot]->elements)
        scales = run->in[p->scales_slot];
    if (p->sizes_slot && node_has(node, p->sizes_slot)) {
        const struct array *list = run->in[p->sizes_slot];
        for (; size_count < list->elements && size_count < LIMIT_RANK; size_count++)
            sizes[size_count] = DIM(array_int(list, size_count));
    }
    for (unsigned d = 0; d < x->rank; d++)
        in[d] = DIM(x->dims[d]);
    if (resolve(node, x->rank, in, scales, sizes, size_count, sides, err) != 0 ||
        resolve_axes(node, x->rank, axes, &count, err) != 0)
        return -1;
    for (unsigned d = 0; d < x->rank; d++)
        dims[d] = (uint64_t)sides[d].out.size;
    if (content_shaped(node, x->rank, dims, y, err) != 0)
        return -1;
    *ret = (struct passes){.resize = p, .x = x, .y = y, .free = run->scratch};
    if (x->elements == 0 || y->elements == 0)
        return y->elements ? content_refuse(node, err, "nothing to resample") : 0;
    if (p->how.coordinates == RESAMPLE_TF_CROP) {
        roi = node_has(node, p->roi_slot) ? run->in[p->roi_slot] : NULL;
        if (!roi || roi->elements != 2 * count)
            return content_refuse(node, err, "wants a region of %zu numbers", 2 * count);
    }
    uint64_t elements = x->elements;
    struct array now = *x;
    pass_order(x, y, order);
    for (unsigned k = 0; k < x->rank; k++) {
        unsigned d = order[k];
        struct resample_axis *a = &ret->axes[ret->count];
        *a = (struct resample_axis){
            .in = x->dims[d], .out = y->dims[d], .scale = sides[d].scale, .roi = {0, 1}};
        for (size_t i = 0; roi && i < count; i++)
            if (axes[i] == d) {
                a->roi[0] = array_number(roi, i);
                a->roi[1] = array_number(roi, count + i);
            }
        bool whole = a->roi[0] == 0 && a->roi[1] == 1;
        if (a->in == a->out && a->scale == 1 && whole)
            continue;
        void *memory = take(ret, resample_bytes(&p->how, a->in, a->out));
        if (!resample_table(&p->how, memory, a))
            return content_refuse(node, err, "a scale of %g does not make %llu of %llu elements",
                                  a->scale, (unsigned long long)a->out, (unsigned long long)a->in);
        elements = elements / a->in * a->out;
        now.dims[d] = a->out;
        ret->outer[ret->count] = indices_span(&now, 0, d);
        ret->inner[ret->count] = indices_span(&now, d + 1, now.rank);
        ret->at[ret->count] = d;
        ret->elements[ret->count++] = elements;
    }
    return 0;
}

/* Sets every element of y that lies outside in some axis. */
static void fill_outside(const struct passes *passes, real *y, real value) {
    for (unsigned i = 0; i < passes->count; i++) {
        const struct resample_axis *a = &passes->axes[i];
        uint64_t inner = indices_span(passes->y, passes->at[i] + 1, passes->y->rank);
        for (uint64_t row = 0; a->some_outside && row < passes->y->elements / inner; row++)
            for (uint64_t k = 0; a->outside[row % a->out] && k < inner; k++)
                y[row * inner + k] = value;
    }
}

static int run_passes(const struct op_run *run, struct passes *passes, const void *from, void *to,
                      unsigned item, struct err *err) {
    unsigned bytes = item ? item : (unsigned)sizeof(real);
    if (passes->count == 0)
        return strided_copy(from, to, passes->x->elements * bytes, run->team, run->progress, err);
    for (unsigned i = 0; i < passes->count; i++) {
        void *next = i + 1 == passes->count ? to : take(passes, passes->elements[i] * bytes);
        if (resample_pass(&passes->axes[i], passes->outer[i], passes->inner[i], from, next, item,
                          run->team, run->progress, err) != 0)
            return -1;
        from = next;
    }
    return 0;
}

static int resize_forward(const struct op_run *run, struct err *err) {
    struct passes passes;
    struct array *y = run->out[0];
    const struct array *x = run->in[0];
    const struct resize *p = run->node->params;
    if (prepare(run, &passes, err) != 0)
        return -1;
    if (y->elements == 0)
        return 0;
    bool some_outside = false;
    for (unsigned i = 0; i < passes.count; i++)
        some_outside = some_outside || passes.axes[i].some_outside;
    if (some_outside && x->dtype != DTYPE_F32)
        return content_refuse(run->node, err, "extrapolates floats only");
    if (p->how.mode == RESAMPLE_NEAREST &&
        run_passes(run, &passes, x->data, y->data, array_item_bytes(x->dtype), err) != 0)
        return -1;
    if (p->how.mode != RESAMPLE_NEAREST && !converts(run) &&
        run_passes(run, &passes, x->data, y->data, 0, err) != 0)
        return -1;
    if (converts(run)) {
        struct array wide = *x, result = *y;
        wide.dtype = result.dtype = DTYPE_F32;
        wide.data = take(&passes, x->elements * sizeof(real));
        result.data = take(&passes, y->elements * sizeof(real));
        if (array_convert(x, &wide, false, err) != 0 ||
            run_passes(run, &passes, wide.data, result.data, 0, err) != 0)
            return -1;
        return array_convert(&result, y, false, err);
    }
    if (some_outside)
        fill_outside(&passes, array_real(y), p->extrapolation);
    return 0;
}

static int resize_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    struct passes passes;
    if (!back->din[0])
        return 0;
    if (prepare(run, &passes, err) != 0)
        return -1;
    const struct array *dy = back->dout[0];
    real *dx = array_real(back->din[0]), *from = array_real(dy);
    bool some_outside = false;
    for (unsigned i = 0; i < passes.count; i++)
        some_outside = some_outside || passes.axes[i].some_outside;
    if (passes.count == 0)
        return strided_add_all(from, dx, dy->elements, run->team, run->progress, err);
    if (some_outside) {
        real *inside = take(&passes, dy->elements * sizeof(real));
        memcpy(inside, from, (size_t)dy->elements * sizeof(real));
        fill_outside(&passes, inside, 0);
        from = inside;
    }
    for (unsigned i = passes.count; i-- > 0;) {
        real *to = dx;
        if (i > 0) {
            to = take(&passes, passes.elements[i - 1] * sizeof(real));
            memset(to, 0, (size_t)passes.elements[i - 1] * sizeof(real));
        }
        if (resample_back(&passes.axes[i], passes.outer[i], passes.inner[i], from, to, run->team,
                          run->progress, err) != 0)
            return -1;
        from = to;
    }
    return 0;
}

/* ---- axes: those that stay as they are may be cut ---- */

static int resize_dims(struct relations *r, const struct op_run *shapes) {
    const struct resize *p = shapes->node->params;
    const struct array *x = shapes->in[0], *y = shapes->out[0];
    if (p->how.coordinates == RESAMPLE_TF_CROP || p->policy != POLICY_STRETCH)
        return relate_nothing(r, shapes);
    for (size_t i = 1; i < shapes->node->in_count; i++)
        if (relate_fixed_from(r, AXIS_IN(i, 0)) < 0)
            return -1;
    for (unsigned d = 0; d < x->rank; d++)
        if ((x->dims[d] == y->dims[d]             ? relate_same(r, AXIS_IN(0, d), AXIS_OUT(0, d))
             : relate_fixed(r, AXIS_IN(0, d)) < 0 ? -1
                                                  : relate_fixed(r, AXIS_OUT(0, d))) < 0)
            return -1;
    return 0;
}

static int resize_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                      struct err *err) {
    const struct resize *p = node->params;
    unsigned axes[LIMIT_RANK];
    int64_t sizes[LIMIT_RANK];
    size_t count;
    if (!p->sizes_slot || !node_has(node, p->sizes_slot) || !node->in[p->sizes_slot]->data)
        return 0;
    if (resolve_axes(node, before->in[0]->rank, axes, &count, err) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        sizes[i] = (int64_t)after->out[0]->dims[axes[i]];
    return content_replace(node, p->sizes_slot, sizes, count, err);
}

const struct op op_resize = {
    .op_type = "Resize",
    .domain = "",
    .min_version = 10,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN | OP_NEEDS_REST,
    .parse = resize_parse,
    .infer = resize_infer,
    .forward = resize_forward,
    .backward = resize_backward,
    .scratch = resize_scratch,
    .dims = resize_dims,
    .cut = resize_cut,
    .tolerance = 1e-6,
    .doc = "resamples by scales or to sizes: nearest, linear, cubic",
};

const struct op op_upsample = {
    .op_type = "Upsample",
    .domain = "",
    .min_version = 7,
    .max_version = 9,
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN | OP_NEEDS_REST,
    .parse = resize_parse,
    .infer = resize_infer,
    .forward = resize_forward,
    .backward = resize_backward,
    .scratch = resize_scratch,
    .dims = resize_dims,
    .cut = resize_cut,
    .tolerance = 1e-6,
    .doc = "Resize by its first name",
};
