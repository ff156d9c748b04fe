/*
 * Conversion between types of elements, by the rules of array_convert().
 *
 *   Cast      x → y, the type is attribute `to`
 *   CastLike  x, like → y, the type is like's
 *
 * Gradients flow between floats; those of the graph are of one width, so they are added as they
 * are.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/content.h"
#include "compress/graph/relate.h"
#include "compress/graph/strided.h"

/* Elements per tile: a conversion takes some nanoseconds each. */
enum { TILE = 4096 };

struct cast {
    enum dtype to;
    bool saturate; /* f8 alone; since version 19 */
};

static int cast_parse(const struct node *node, struct arena *arena, void **ret_params,
                      struct err *err) {
    struct cast *p = ARENA_NEW(arena, struct cast);
    if (!p)
        return err_set(err, ERR_NO_MEMORY, "no memory for an operator");
    *ret_params = p;
    p->saturate = node_int(node, "saturate", 1) != 0;
    if (node->op_type[4]) /* CastLike */
        return 0;
    const struct attr *to = node_attr(node, "to");
    if (!to || to->kind != ATTR_INT)
        return op_fail(node, err, "does not say what to cast to");
    p->to = dtype_by_onnx(to->i);
    if (array_item_bytes(p->to) == 0 || p->to == DTYPE_C64 || p->to == DTYPE_C128)
        return err_set(err, ERR_UNSUPPORTED, "Cast to %s (type %lld) is not executable",
                       p->to == DTYPE_NONE ? "an unknown type" : dtype_row(p->to)->name,
                       (long long)to->i);
    return 0;
}

static bool is_integer(enum dtype dtype) {
    return dtype == DTYPE_I64 || dtype == DTYPE_I32;
}

static int infer_as(struct op_infer *infer, enum dtype to) {
    const struct fact *x = infer->in[0];
    infer->out[0].type = x->type;
    infer->out[0].type.dtype = to;
    /* Sizes stay sizes in the types that sizes come in; whole contents are folded. */
    if (is_integer(x->type.dtype) && is_integer(to))
        content_keep(x, &infer->out[0]);
    return 0;
}

static int cast_infer(struct op_infer *infer, struct err *err) {
    const struct cast *p = infer->node->params;
    return content_need(infer, 1, err) != 0 ? -1 : infer_as(infer, p->to);
}

static int cast_like_infer(struct op_infer *infer, struct err *err) {
    return content_need(infer, 2, err) != 0 ? -1 : infer_as(infer, infer->in[1]->type.dtype);
}

struct conversion {
    const struct array *x, *y;
    bool saturate;
};

static struct array part_of(const struct array *whole, size_t tile) {
    uint64_t from = (uint64_t)tile * TILE, left = whole->elements - from;
    uint64_t count = left < TILE ? left : TILE;
    return (struct array){.dtype = whole->dtype,
                          .rank = 1,
                          .dims = {count},
                          .elements = count,
                          .data = (uint8_t *)whole->data + from * array_item_bytes(whole->dtype)};
}

static int convert_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct conversion *c = ctx;
    struct array x = part_of(c->x, tile), y = part_of(c->y, tile);
    return array_convert(&x, &y, c->saturate, err);
}

static int cast_forward(const struct op_run *run, struct err *err) {
    const struct cast *p = run->node->params;
    struct conversion c = {run->in[0], run->out[0], p->saturate};
    if (content_fits(run->node, c.x->elements, c.y, err) != 0)
        return -1;
    return loop_run(run->team, run->progress, (size_t)((c.x->elements + TILE - 1) / TILE),
                    convert_tile, &c, err);
}

static int cast_backward(const struct op_backward *back, struct err *err) {
    const struct array *dy = back->dout[0];
    struct array *dx = back->din[0];
    if (!dy || !dx)
        return 0;
    return strided_add_all(array_real(dy), array_real(dx), dx->elements, back->run.team,
                           back->run.progress, err);
}

const struct op op_cast = {
    .op_type = "Cast",
    .domain = "",
    .min_version = 6,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .parse = cast_parse,
    .infer = cast_infer,
    .forward = cast_forward,
    .backward = cast_backward,
    .dims = relate_elementwise,
    .tolerance = 1e-9,
    .doc = "the numbers in another type",
};

const struct op op_cast_like = {
    .op_type = "CastLike",
    .domain = "",
    .min_version = 15,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .parse = cast_parse,
    .infer = cast_like_infer,
    .forward = cast_forward,
    .backward = cast_backward,
    .dims = relate_elementwise,
    .tolerance = 1e-9,
    .doc = "the numbers in the type of another value",
};
