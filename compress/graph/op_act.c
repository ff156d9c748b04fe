/* Activations: elementwise functions of one value. x, y: any shape, the same. */
#include "compress/base/loop.h"
#include "compress/graph/op.h"

/* Elements per tile: some microseconds of work, and a tile's input and output stay in the L1 cache.
 */
enum { TILE = 4096 };

struct span {
    const real *x, *y, *dy;
    real *to;
    uint64_t count;
};

static size_t tiles(uint64_t count) {
    return (size_t)((count + TILE - 1) / TILE);
}

static size_t tile_end(const struct span *s, size_t tile) {
    return (size_t)(s->count - tile * TILE < TILE ? s->count : (tile + 1) * TILE);
}

/* ---- Relu: y = max(x, 0); dx = dy where y > 0. NaN stays. ---- */

static int relu_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct span *s = ctx;
    for (size_t i = tile * TILE, end = tile_end(s, tile); i < end; i++)
        s->to[i] = s->x[i] < 0 ? 0 : s->x[i];
    return 0;
}

static int relu_forward(const struct op_run *run, struct err *err) {
    struct span s = {
        .x = array_real(run->in[0]), .to = array_real(run->out[0]), .count = run->in[0]->elements};
    return loop_run(run->team, run->progress, tiles(s.count), relu_tile, &s, err);
}

static int relu_backward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct span *s = ctx;
    for (size_t i = tile * TILE, end = tile_end(s, tile); i < end; i++)
        s->to[i] += s->y[i] > 0 ? s->dy[i] : 0;
    return 0;
}

static int relu_backward(const struct op_backward *back, struct err *err) {
    struct span s = {.y = array_real(back->run.out[0]),
                     .dy = array_real(back->dout[0]),
                     .to = array_real(back->din[0]),
                     .count = back->dout[0]->elements};
    return loop_run(back->run.team, back->run.progress, tiles(s.count), relu_backward_tile, &s,
                    err);
}

const struct op op_relu = {
    .op_type = "Relu",
    .domain = "",
    .min_version = 6,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_IN_PLACE | OP_NEEDS_OUT,
    .infer = op_infer_same,
    .forward = relu_forward,
    .backward = relu_backward,
    .tolerance = 1e-6,
    .doc = "max(x, 0)",
};
