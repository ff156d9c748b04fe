/* Tiles of runs. See op_map.h. */
#include "compress/graph/op_map.h"

#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/tensor/vmath.h"

/* Elements per tile: some microseconds of work, so that handing out tiles costs nothing. A run's
 * buffers stay in the L1 cache. */
enum { TILE = 8 * OP_MAP_RUN };

struct job {
    const struct op_map *map;
    const void *params;
    const struct array *from, *to;
    const real *x, *y, *dy;
    real *dx;
    uint64_t count;
};

static size_t tiles(uint64_t count) {
    return (size_t)((count + TILE - 1) / TILE);
}

static uint64_t tile_end(const struct job *job, size_t tile) {
    uint64_t begin = (uint64_t)tile * TILE;
    return job->count - begin < TILE ? job->count : begin + TILE;
}

static size_t run_length(uint64_t i, uint64_t end) {
    return (size_t)(end - i < OP_MAP_RUN ? end - i : OP_MAP_RUN);
}

static const real *at(const real *base, uint64_t i) {
    return base ? base + i : NULL;
}

static struct array slice(const struct array *array, uint64_t begin, size_t count) {
    return (struct array){array->dtype,
                          1,
                          {count},
                          count,
                          (char *)array->data + begin * array_item_bytes(array->dtype)};
}

static int real_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct job *job = ctx;
    for (uint64_t i = (uint64_t)tile * TILE, end = tile_end(job, tile); i < end; i += OP_MAP_RUN)
        job->map->real(job->params, job->x + i, run_length(i, end), job->dx + i);
    return 0;
}

static int ints_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct job *job = ctx;
    int64_t buffer[OP_MAP_RUN];
    for (uint64_t i = (uint64_t)tile * TILE, end = tile_end(job, tile); i < end; i += OP_MAP_RUN) {
        size_t n = run_length(i, end);
        struct array wide = {DTYPE_I64, 1, {n}, n, buffer};
        struct array from = slice(job->from, i, n), to = slice(job->to, i, n);
        if (array_convert(&from, &wide, false, err) < 0)
            return -1;
        job->map->ints(job->params, buffer, n, buffer);
        if (array_convert(&wide, &to, false, err) < 0)
            return -1;
    }
    return 0;
}

int op_map_forward_with(const struct op_run *run, const struct op_map *map, const void *params,
                        struct err *err) {
    const struct array *from = run->in[0], *to = run->out[0];
    struct job job = {
        .map = map, .params = params, .from = from, .to = to, .count = from->elements};
    if (from->dtype == DTYPE_F32) {
        job.x = array_real(from);
        job.dx = array_real(to);
        return loop_run(run->team, run->progress, tiles(job.count), real_tile, &job, err);
    }
    if (!map->ints || dtype_row(from->dtype)->is_float || array_item_bytes(from->dtype) == 0 ||
        from->dtype == DTYPE_C64 || from->dtype == DTYPE_C128)
        return err_set(err, ERR_UNSUPPORTED, "%s of %s is not executable", run->node->op_type,
                       dtype_row(from->dtype)->name);
    return loop_run(run->team, run->progress, tiles(job.count), ints_tile, &job, err);
}

static int grad_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct job *job = ctx;
    real g[OP_MAP_RUN];
    for (uint64_t i = (uint64_t)tile * TILE, end = tile_end(job, tile); i < end; i += OP_MAP_RUN) {
        struct op_map_run run = {at(job->x, i), at(job->y, i), job->dy + i, run_length(i, end)};
        job->map->grad(job->params, &run, g);
        vmath_add(job->dx + i, g, run.n, job->dx + i);
    }
    return 0;
}

int op_map_backward_with(const struct op_backward *back, const struct op_map *map,
                         const void *params, struct err *err) {
    if (!back->dout[0] || !back->din[0])
        return 0;
    unsigned flags = back->run.node->op->flags;
    struct job job = {.map = map,
                      .params = params,
                      .x = flags & OP_NEEDS_IN ? array_real(back->run.in[0]) : NULL,
                      .y = flags & OP_NEEDS_OUT ? array_real(back->run.out[0]) : NULL,
                      .dy = array_real(back->dout[0]),
                      .dx = array_real(back->din[0]),
                      .count = back->dout[0]->elements};
    return loop_run(back->run.team, back->run.progress, tiles(job.count), grad_tile, &job, err);
}

int op_map_forward(const struct op_run *run, const struct op_map *map, struct err *err) {
    return op_map_forward_with(run, map, run->node->params, err);
}

int op_map_backward(const struct op_backward *back, const struct op_map *map, struct err *err) {
    return op_map_backward_with(back, map, back->run.node->params, err);
}

int op_map_parse(const struct node *node, struct arena *arena, const char *alpha,
                 float alpha_default, const char *beta, float beta_default, void **ret_params,
                 struct err *err) {
    struct op_map_params *p = ARENA_NEW(arena, struct op_map_params);
    if (!p)
        return err_set(err, ERR_NO_MEMORY, "no memory for attributes");
    p->alpha = alpha ? (real)node_float(node, alpha, alpha_default) : 0;
    p->beta = beta ? (real)node_float(node, beta, beta_default) : 0;
    *ret_params = p;
    return 0;
}
