/*
 * The same elements in another order, or more often: boxes of strides (strided.h). The gradient of
 * each is its box walked the other way, adding.
 *
 *   Transpose     x → y, y's axis i is x's axis perm[i]
 *   Expand        x, shape → y, both broadcast against each other
 *   Tile          x, repeats → y, y's axis i is x's repeats[i] times
 *   DepthToSpace  x [n, b*b*c, h, w] → y [n, c, h*b, w*b]
 *   SpaceToDepth  x [n, c, h*b, w*b] → y [n, b*b*c, h, w]
 */
#include "compress/base/arena.h"
#include "compress/graph/content.h"
#include "compress/graph/relate.h"
#include "compress/graph/strided.h"

#include <string.h>

static int run_box(const struct op_run *run, const struct strided *box, struct err *err) {
    return strided_move(box, run->in[0]->data, run->out[0]->data,
                        array_item_bytes(run->out[0]->dtype), run->team, run->progress, err);
}

static int add_box(const struct op_backward *back, const struct strided *box, struct err *err) {
    struct strided reverse = strided_reverse(box);
    return strided_add(&reverse, array_real(back->dout[0]), array_real(back->din[0]),
                       back->run.team, back->run.progress, err);
}

/* ---- Transpose ---- */

struct transpose {
    bool given;
    unsigned rank;
    unsigned perm[LIMIT_RANK];
};

static int transpose_parse(const struct node *node, struct arena *arena, void **ret_params,
                           struct err *err) {
    struct transpose *p = ARENA_NEW(arena, struct transpose);
    const int64_t *perm;
    size_t count;
    bool seen[LIMIT_RANK] = {false};
    if (!p)
        return err_set(err, ERR_NO_MEMORY, "no memory for an operator");
    p->given = node_ints(node, "perm", &perm, &count);
    *ret_params = p;
    if (!p->given)
        return 0;
    if (count > LIMIT_RANK)
        return op_fail(node, err, "a rank of %zu is above the limit of %d", count, LIMIT_RANK);
    p->rank = (unsigned)count;
    for (size_t i = 0; i < count; i++) {
        if (perm[i] < 0 || (uint64_t)perm[i] >= count || seen[perm[i]])
            return op_fail(node, err, "perm is no permutation");
        seen[perm[i]] = true;
        p->perm[i] = (unsigned)perm[i];
    }
    return 0;
}

static unsigned transpose_axis(const struct transpose *p, unsigned rank, unsigned i) {
    return p->given ? p->perm[i] : rank - 1 - i;
}

static int transpose_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 1, err) != 0)
        return -1;
    const struct transpose *p = infer->node->params;
    const struct type *x = &infer->in[0]->type;
    struct type *y = &infer->out[0].type;
    y->dtype = x->dtype;
    if (!x->ranked)
        return p->given ? content_ranked(infer, y, p->rank, err) : 0;
    if (p->given && content_rank(infer, x, p->rank, "the input", err) != 0)
        return -1;
    y->ranked = true;
    y->rank = x->rank;
    for (unsigned i = 0; i < x->rank; i++)
        y->dims[i] = x->dims[transpose_axis(p, x->rank, i)];
    return 0;
}

static struct strided transpose_box(const struct transpose *p, const struct array *x) {
    struct strided box = {0};
    uint64_t dims[LIMIT_RANK];
    int64_t from[LIMIT_RANK], to[LIMIT_RANK];
    for (unsigned i = 0; i < x->rank; i++)
        dims[i] = x->dims[transpose_axis(p, x->rank, i)];
    strided_steps(x->rank, x->dims, from);
    strided_steps(x->rank, dims, to);
    for (unsigned i = 0; i < x->rank; i++)
        strided_axis(&box, dims[i], from[transpose_axis(p, x->rank, i)], to[i]);
    return box;
}

static int transpose_forward(const struct op_run *run, struct err *err) {
    struct strided box = transpose_box(run->node->params, run->in[0]);
    if (content_fits(run->node, run->in[0]->elements, run->out[0], err) != 0)
        return -1;
    return run_box(run, &box, err);
}

static int transpose_backward(const struct op_backward *back, struct err *err) {
    struct strided box = transpose_box(back->run.node->params, back->run.in[0]);
    return add_box(back, &box, err);
}

static int transpose_dims(struct relations *r, const struct op_run *shapes) {
    unsigned rank = shapes->in[0]->rank;
    for (unsigned i = 0; i < rank; i++)
        if (relate_same(r, AXIS_IN(0, transpose_axis(shapes->node->params, rank, i)),
                        AXIS_OUT(0, i)) < 0)
            return -1;
    return 0;
}

const struct op op_transpose = {
    .op_type = "Transpose",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .parse = transpose_parse,
    .infer = transpose_infer,
    .forward = transpose_forward,
    .backward = transpose_backward,
    .dims = transpose_dims,
    .tolerance = 1e-9,
    .doc = "permutes the axes",
};

/* ---- Expand ---- */

static int expand_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 2, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type;
    struct type *y = &infer->out[0].type, shape = {.ranked = true};
    uint64_t length;
    size_t rank;
    y->dtype = x->dtype;
    if (!content_count(infer->in[1], &length))
        return 0;
    if (length > LIMIT_RANK)
        return op_fail(infer->node, err, "a rank of %llu is above the limit of %d",
                       (unsigned long long)length, LIMIT_RANK);
    if (content_read(infer->in[1], shape.dims, LIMIT_RANK, &rank)) {
        shape.rank = (unsigned)rank;
        for (unsigned i = 0; i < shape.rank; i++)
            if (dim_known(shape.dims[i]) && shape.dims[i].size < 0)
                return op_fail(infer->node, err, "%lld is no dimension",
                               (long long)shape.dims[i].size);
        return op_broadcast(infer, x, &shape, y, err);
    }
    if (!x->ranked)
        return 0;
    if (content_ranked(infer, y, length > x->rank ? length : x->rank, err) != 0)
        return -1;
    for (unsigned i = 0; i < x->rank; i++) /* nothing but 1 expands */
        if (dim_known(x->dims[i]) && x->dims[i].size != 1)
            y->dims[y->rank - x->rank + i] = x->dims[i];
    return 0;
}

static int expand_box(const struct node *node, const struct array *x, const struct array *y,
                      struct strided *ret, struct err *err) {
    struct strided box = {0};
    int64_t from[LIMIT_RANK], to[LIMIT_RANK];
    strided_steps(x->rank, x->dims, from);
    strided_steps(y->rank, y->dims, to);
    for (unsigned i = 0, lead = y->rank - x->rank; i < y->rank; i++) {
        bool stays = x->rank > y->rank || i < lead || x->dims[i - lead] == 1;
        if (x->rank > y->rank || (!stays && x->dims[i - lead] != y->dims[i])) {
            char text[128];
            return content_refuse(node, err, "the input does not broadcast to %s",
                                  array_describe(y, text, sizeof text));
        }
        strided_axis(&box, y->dims[i], stays ? 0 : from[i - lead], to[i]);
    }
    *ret = box;
    return 0;
}

static int expand_forward(const struct op_run *run, struct err *err) {
    struct strided box;
    if (expand_box(run->node, run->in[0], run->out[0], &box, err) != 0)
        return -1;
    return run_box(run, &box, err);
}

static int expand_backward(const struct op_backward *back, struct err *err) {
    struct strided box;
    if (expand_box(back->run.node, back->run.in[0], back->run.out[0], &box, err) != 0)
        return -1;
    return add_box(back, &box, err);
}

static int expand_dims(struct relations *r, const struct op_run *shapes) {
    const struct array *x = shapes->in[0], *y = shapes->out[0];
    unsigned lead = y->rank - x->rank;
    if (relate_fixed_from(r, AXIS_IN(1, 0)) < 0)
        return -1;
    for (unsigned i = 0; i < y->rank; i++)
        if ((i < lead || x->dims[i - lead] != y->dims[i]
                 ? relate_fixed(r, AXIS_OUT(0, i))
                 : relate_same(r, AXIS_IN(0, i - lead), AXIS_OUT(0, i))) < 0)
            return -1;
    for (unsigned i = 0; i < x->rank; i++)
        if (x->dims[i] != y->dims[i + lead] && relate_fixed(r, AXIS_IN(0, i)) < 0)
            return -1;
    return 0;
}

/* 1 keeps what the input has; only stretched axes, which are never cut, need their number. */
static int expand_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                      struct err *err) {
    const struct array *shape = node->in[1]->data;
    int64_t to[LIMIT_RANK];
    if (!shape) /* computed: follows, or refuses to be inferred */
        return 0;
    unsigned count = (unsigned)shape->elements, rank = before->out[0]->rank;
    for (unsigned i = 0; i < count; i++) {
        unsigned at = rank - count + i;
        to[i] = before->out[0]->dims[at] == after->out[0]->dims[at] ? array_int(shape, i) : 1;
    }
    return content_replace(node, 1, to, count, err);
}

const struct op op_expand = {
    .op_type = "Expand",
    .domain = "",
    .min_version = 8,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .infer = expand_infer,
    .forward = expand_forward,
    .backward = expand_backward,
    .dims = expand_dims,
    .cut = expand_cut,
    .tolerance = 1e-9,
    .doc = "broadcasts to a shape",
};

/* ---- Tile ---- */

static int tile_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 2, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type;
    struct type *y = &infer->out[0].type;
    struct dim repeats[LIMIT_RANK];
    uint64_t length;
    size_t count;
    y->dtype = x->dtype;
    bool counted = content_count(infer->in[1], &length);
    if (counted && x->ranked && length != x->rank)
        return op_fail(infer->node, err, "%llu repeats for %u dimensions",
                       (unsigned long long)length, x->rank);
    if (!x->ranked)
        return counted ? content_ranked(infer, y, length, err) : 0;
    if (!content_read(infer->in[1], repeats, LIMIT_RANK, &count))
        return content_ranked(infer, y, x->rank, err);
    y->ranked = true;
    y->rank = x->rank;
    for (unsigned i = 0; i < x->rank; i++) {
        if (dim_known(repeats[i]) && repeats[i].size < 0)
            return op_fail(infer->node, err, "%lld repeats", (long long)repeats[i].size);
        const struct dim both[] = {x->dims[i], repeats[i]};
        if (content_product(infer, both, 2, &y->dims[i], err) != 0)
            return -1;
    }
    return 0;
}

static int tile_box(const struct node *node, const struct array *x, const struct array *y,
                    struct strided *ret, struct err *err) {
    struct strided box = {0};
    int64_t from[LIMIT_RANK], to[LIMIT_RANK];
    strided_steps(x->rank, x->dims, from);
    strided_steps(y->rank, y->dims, to);
    for (unsigned i = 0; i < x->rank; i++) {
        if (x->rank != y->rank || (x->dims[i] ? y->dims[i] % x->dims[i] : y->dims[i]) != 0) {
            char text[128];
            return content_refuse(node, err, "the input does not repeat to %s",
                                  array_describe(y, text, sizeof text));
        }
        uint64_t repeats = x->dims[i] ? y->dims[i] / x->dims[i] : 1;
        strided_axis(&box, repeats, 0, to[i] * (int64_t)x->dims[i]);
        strided_axis(&box, x->dims[i], from[i], to[i]);
    }
    *ret = box;
    return 0;
}

static int tile_forward(const struct op_run *run, struct err *err) {
    struct strided box;
    const struct array *x = run->in[0], *repeats = run->in[1];
    uint64_t dims[LIMIT_RANK];
    if (repeats->elements != x->rank)
        return content_refuse(run->node, err, "%llu repeats for %u dimensions",
                              (unsigned long long)repeats->elements, x->rank);
    for (unsigned i = 0; i < x->rank; i++)
        dims[i] = x->dims[i] * (uint64_t)array_int(repeats, i);
    if (content_shaped(run->node, x->rank, dims, run->out[0], err) != 0 ||
        tile_box(run->node, x, run->out[0], &box, err) != 0)
        return -1;
    return run_box(run, &box, err);
}

static int tile_backward(const struct op_backward *back, struct err *err) {
    struct strided box;
    if (tile_box(back->run.node, back->run.in[0], back->run.out[0], &box, err) != 0)
        return -1;
    return add_box(back, &box, err);
}

/* All copies of an element go with it. */
static int tile_dims(struct relations *r, const struct op_run *shapes) {
    if (relate_fixed_from(r, AXIS_IN(1, 0)) < 0)
        return -1;
    for (unsigned i = 0; i < shapes->in[0]->rank; i++)
        if (relate_mapped(r, AXIS_OUT(0, i), AXIS_IN(0, i), 1, shapes->in[0]->dims[i], 0) < 0)
            return -1;
    return 0;
}

const struct op op_tile = {
    .op_type = "Tile",
    .domain = "",
    .min_version = 6,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .infer = tile_infer,
    .forward = tile_forward,
    .backward = tile_backward,
    .dims = tile_dims,
    .tolerance = 1e-9,
    .doc = "repeats along every axis",
};

/* ---- DepthToSpace and SpaceToDepth, with blocks of b x b: deep [n, b*b*c, h, w], wide [n, c, h*b,
 * w*b]. wide[n, k, h*b + i, w*b + j] is deep[n, (i*b + j)*c + k, h, w] (DCR; and SpaceToDepth), or
 * deep[n, (k*b + i)*b + j, h, w] (CRD). ---- */

struct blocks {
    int64_t side;
    bool depth_last; /* CRD */
};

static int blocks_parse(const struct node *node, struct arena *arena, void **ret_params,
                        struct err *err) {
    struct blocks *p = ARENA_NEW(arena, struct blocks);
    if (!p)
        return err_set(err, ERR_NO_MEMORY, "no memory for an operator");
    p->side = node_int(node, "blocksize", 0);
    if (p->side < 1 || p->side > INT32_MAX)
        return op_fail(node, err, "blocksize is %lld", (long long)p->side);
    const char *mode = node_string(node, "mode", "DCR");
    p->depth_last = strcmp(mode, "CRD") == 0;
    if (!p->depth_last && strcmp(mode, "DCR") != 0)
        return op_fail(node, err, "mode is '%.20s'", mode);
    *ret_params = p;
    return 0;
}

/* d divided by n. */
static int divide(struct op_infer *infer, struct dim d, int64_t n, struct dim *ret,
                  struct err *err) {
    if (!dim_known(d) && n != 1)
        return content_fresh(infer, ret, err);
    if (dim_known(d) && d.size % n != 0)
        return op_fail(infer->node, err, "a dimension of %lld is not cut by %lld",
                       (long long)d.size, (long long)n);
    *ret = dim_known(d) ? DIM(d.size / n) : d;
    return 0;
}

static int blocks_infer(struct op_infer *infer, bool to_space, struct err *err) {
    if (content_need(infer, 1, err) != 0)
        return -1;
    const struct blocks *p = infer->node->params;
    const struct type *x = &infer->in[0]->type;
    struct type *y = &infer->out[0].type;
    y->dtype = x->dtype;
    if (!x->ranked)
        return content_ranked(infer, y, 4, err);
    if (content_rank(infer, x, 4, "the input", err) != 0)
        return -1;
    y->ranked = true;
    y->rank = 4;
    y->dims[0] = x->dims[0];
    for (unsigned i = 1; i < 4; i++) {
        int64_t factor = i == 1 ? p->side * p->side : p->side;
        const struct dim both[] = {x->dims[i], DIM(factor)};
        if ((i == 1) == to_space ? divide(infer, x->dims[i], factor, &y->dims[i], err) != 0
                                 : content_product(infer, both, 2, &y->dims[i], err) != 0)
            return -1;
    }
    return 0;
}

/* From deep to wide. */
static struct strided blocks_box(const struct blocks *p, const struct array *deep) {
    struct strided box = {0};
    int64_t b = p->side, n = (int64_t)deep->dims[0], h = (int64_t)deep->dims[2],
            w = (int64_t)deep->dims[3], c = (int64_t)deep->dims[1] / (b * b), plane = h * w;
    int64_t step_k = p->depth_last ? b * b : 1, step_i = p->depth_last ? b : b * c;
    int64_t step_j = p->depth_last ? 1 : c;
    strided_axis(&box, (uint64_t)n, b * b * c * plane, b * b * c * plane);
    strided_axis(&box, (uint64_t)c, step_k * plane, b * b * plane);
    strided_axis(&box, (uint64_t)h, w, b * w * b);
    strided_axis(&box, (uint64_t)b, step_i * plane, w * b);
    strided_axis(&box, (uint64_t)w, 1, b);
    strided_axis(&box, (uint64_t)b, step_j * plane, 1);
    return box;
}

static int depth_to_space_infer(struct op_infer *infer, struct err *err) {
    return blocks_infer(infer, true, err);
}

static int depth_to_space_forward(const struct op_run *run, struct err *err) {
    struct strided box = blocks_box(run->node->params, run->in[0]);
    if (content_fits(run->node, run->in[0]->elements, run->out[0], err) != 0)
        return -1;
    return run_box(run, &box, err);
}

static int depth_to_space_backward(const struct op_backward *back, struct err *err) {
    struct strided box = blocks_box(back->run.node->params, back->run.in[0]);
    return add_box(back, &box, err);
}

/* All b x b deep channels of a wide one go together. */
static int blocks_dims(struct relations *r, const struct op_run *shapes, bool to_space) {
    const struct blocks *p = shapes->node->params;
    struct axis deep = to_space ? AXIS_IN(0, 1) : AXIS_OUT(0, 1);
    struct axis wide = to_space ? AXIS_OUT(0, 1) : AXIS_IN(0, 1);
    uint64_t square = (uint64_t)(p->side * p->side);
    uint64_t channels = (to_space ? shapes->out[0] : shapes->in[0])->dims[1];
    if (relate_same(r, AXIS_IN(0, 0), AXIS_OUT(0, 0)) < 0 ||
        relate_fixed_from(r, AXIS_IN(0, 2)) < 0 || relate_fixed_from(r, AXIS_OUT(0, 2)) < 0)
        return -1;
    return p->depth_last ? relate_mapped(r, deep, wide, square, 0, 0)
                         : relate_mapped(r, deep, wide, 1, channels, 0);
}

static int depth_to_space_dims(struct relations *r, const struct op_run *shapes) {
    return blocks_dims(r, shapes, true);
}

const struct op op_depth_to_space = {
    .op_type = "DepthToSpace",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .parse = blocks_parse,
    .infer = depth_to_space_infer,
    .forward = depth_to_space_forward,
    .backward = depth_to_space_backward,
    .dims = depth_to_space_dims,
    .tolerance = 1e-9,
    .doc = "moves channels into blocks of pixels",
};

static int space_to_depth_infer(struct op_infer *infer, struct err *err) {
    return blocks_infer(infer, false, err);
}

static int space_to_depth_forward(const struct op_run *run, struct err *err) {
    struct strided box = blocks_box(run->node->params, run->out[0]);
    box = strided_reverse(&box);
    if (content_fits(run->node, run->in[0]->elements, run->out[0], err) != 0)
        return -1;
    return run_box(run, &box, err);
}

static int space_to_depth_backward(const struct op_backward *back, struct err *err) {
    struct strided box = blocks_box(back->run.node->params, back->run.out[0]);
    box = strided_reverse(&box);
    return add_box(back, &box, err);
}

static int space_to_depth_dims(struct relations *r, const struct op_run *shapes) {
    return blocks_dims(r, shapes, false);
}

const struct op op_space_to_depth = {
    .op_type = "SpaceToDepth",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .parse = blocks_parse,
    .infer = space_to_depth_infer,
    .forward = space_to_depth_forward,
    .backward = space_to_depth_backward,
    .dims = space_to_depth_dims,
    .tolerance = 1e-9,
    .doc = "moves blocks of pixels into channels",
};
