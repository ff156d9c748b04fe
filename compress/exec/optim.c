/*
 * All parameters are one list of tiles, so that a step is two loops over the team: the norm, then
 * the update.
 */
#include "compress/exec/optim.h"

#include "compress/base/loop.h"
#include "compress/tensor/vmath.h"

#include <math.h>
#include <stdlib.h>

/* 64 KiB each of weight, gradient and moments: inside the L2 cache, some 20 us of work. */
enum { TILE = 16384 };

struct tile {
    const struct optim_param *param;
    size_t index; /* of the param */
    size_t first, count;
};

struct optim {
    struct optim_options options;
    struct optim_param *params;
    size_t count;
    unsigned moments;
    struct array **state; /* count * moments */
    struct tile *tiles;
    double *squares; /* per tile */
    size_t tile_count;
    uint64_t steps;
};

/* One step's numbers, as the tiles take them. */
struct update {
    const struct optim *optim;
    real scale;  /* of gradients: the caller's, and clipping */
    real rate;   /* adamw: with the first moment's correction */
    real shrink; /* adamw: 1 - rate * decay */
    real second; /* adamw: 1 / sqrt(1 - b2^t) */
};

static loop_fn square_tile, sgd_tile, adamw_tile;

static const struct {
    const char *name;
    loop_fn *tile;
} kinds[OPTIM_KINDS] = {[OPTIM_SGD] = {"sgd", sgd_tile}, [OPTIM_ADAMW] = {"adamw", adamw_tile}};

static int make_tiles(struct optim *o, struct err *err);

int optim_new(const struct optim_param *params, size_t count, const struct optim_options *options,
              struct optim **ret, struct err *err) {
    struct optim *o = calloc(1, sizeof *o);
    if (!o)
        goto no_memory;
    o->options = *options;
    if (o->options.kind == OPTIM_ADAMW && o->options.beta1 == 0 && o->options.beta2 == 0) {
        o->options.beta1 = 0.9;
        o->options.beta2 = 0.999;
    }
    if (o->options.epsilon == 0)
        o->options.epsilon = 1e-8;
    o->moments = options->kind == OPTIM_ADAMW ? 2 : options->momentum != 0;
    o->params = calloc(count + 1, sizeof *o->params);
    o->state = calloc(count * o->moments + 1, sizeof(struct array *));
    if (!o->params || !o->state)
        goto no_memory;
    o->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct optim_param *p = &params[i];
        if (p->weight->dtype != DTYPE_F32 || p->gradient->dtype != DTYPE_F32 ||
            p->gradient->elements != p->weight->elements ||
            (p->mask &&
             (p->mask->dtype != DTYPE_BOOL || p->mask->elements != p->weight->elements))) {
            optim_free(o);
            return err_set(err, ERR_BUG, "parameter %zu, its gradient and its mask do not agree",
                           i);
        }
        o->params[i] = *p;
        for (uint64_t k = 0; p->mask && k < p->weight->elements; k++)
            if (!((const uint8_t *)p->mask->data)[k])
                array_real(p->weight)[k] = 0;
        for (unsigned m = 0; m < o->moments; m++) {
            struct array *moment = array_new(DTYPE_F32, p->weight->rank, p->weight->dims);
            if (!moment)
                goto no_memory;
            o->state[i * o->moments + m] = moment;
        }
    }
    if (make_tiles(o, err) < 0) {
        optim_free(o);
        return -1;
    }
    *ret = o;
    return 0;
no_memory:
    optim_free(o);
    return err_set(err, ERR_NO_MEMORY, "no memory for an optimiser");
}

static int make_tiles(struct optim *o, struct err *err) {
    size_t count = 0;
    for (size_t i = 0; i < o->count; i++)
        count += (size_t)((o->params[i].weight->elements + TILE - 1) / TILE);
    o->tiles = calloc(count + 1, sizeof *o->tiles);
    o->squares = calloc(count + 1, sizeof *o->squares);
    if (!o->tiles || !o->squares)
        return err_set(err, ERR_NO_MEMORY, "no memory for an optimiser");
    for (size_t i = 0; i < o->count; i++) {
        size_t elements = (size_t)o->params[i].weight->elements;
        for (size_t first = 0; first < elements; first += TILE)
            o->tiles[o->tile_count++] =
                (struct tile){.param = &o->params[i],
                              .index = i,
                              .first = first,
                              .count = elements - first < TILE ? elements - first : TILE};
    }
    return 0;
}

void optim_free(struct optim *o) {
    if (!o)
        return;
    for (size_t i = 0; o->state && i < o->count * o->moments; i++)
        array_free(o->state[i]);
    free(o->state);
    free(o->params);
    free(o->tiles);
    free(o->squares);
    free(o);
}

static double gradient_norm(struct optim *o) {
    double sum = 0;
    for (size_t i = 0; i < o->tile_count; i++)
        sum += o->squares[i];
    return sqrt(sum);
}

int optim_step(struct optim *o, double rate, double scale, struct team *team,
               const struct progress *progress, double *ret_norm, struct err *err) {
    const struct optim_options *options = &o->options;
    if (loop_run(team, progress, o->tile_count, square_tile, o, err) < 0)
        return -1;
    double norm = gradient_norm(o) * scale;
    if (!isfinite(norm))
        return err_set(err, ERR_DIVERGED, "the gradients are not finite");
    if (ret_norm)
        *ret_norm = norm;
    if (options->clip_norm > 0 && norm > options->clip_norm)
        scale *= options->clip_norm / norm;
    double t = (double)(o->steps + 1);
    struct update u = {.optim = o, .scale = (real)scale, .rate = (real)rate};
    if (options->kind == OPTIM_ADAMW) {
        u.rate = (real)(rate / (1 - pow(options->beta1, t)));
        u.shrink = (real)(1 - rate * options->decay);
        u.second = (real)(1 / sqrt(1 - pow(options->beta2, t)));
    }
    if (loop_run(team, progress, o->tile_count, kinds[options->kind].tile, &u, err) < 0)
        return -1;
    o->steps++;
    return 0;
}

uint64_t optim_steps(const struct optim *o) {
    return o->steps;
}

void optim_set_steps(struct optim *o, uint64_t steps) {
    o->steps = steps;
}

unsigned optim_moments(const struct optim *o) {
    return o->moments;
}

struct array *optim_moment(const struct optim *o, size_t param, unsigned moment) {
    return o->state[param * o->moments + moment];
}

const char *optim_name(unsigned kind) {
    return kind < OPTIM_KINDS ? kinds[kind].name : NULL;
}

/* ---- tiles ---- */

static const uint8_t *mask_of(const struct tile *t) {
    return t->param->mask ? (const uint8_t *)t->param->mask->data + t->first : NULL;
}

static int square_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    struct optim *o = ctx;
    const struct tile *t = &o->tiles[index];
    const real *g = array_real(t->param->gradient) + t->first;
    const uint8_t *mask = mask_of(t);
    double sum = 0;
    if (!mask)
        sum = vmath_dot(g, g, t->count);
    else
        for (size_t i = 0; i < t->count; i++)
            sum += mask[i] ? (double)g[i] * (double)g[i] : 0;
    o->squares[index] = sum;
    return 0;
}

static int sgd_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct update *u = ctx;
    const struct optim *o = u->optim;
    const struct tile *t = &o->tiles[index];
    const real *g = array_real(t->param->gradient) + t->first;
    real *w = array_real(t->param->weight) + t->first;
    real *m = o->moments ? array_real(o->state[t->index]) + t->first : NULL;
    const uint8_t *mask = mask_of(t);
    real decay = t->param->undecayed ? 0 : (real)o->options.decay;
    real momentum = (real)o->options.momentum;
    for (size_t i = 0; i < t->count; i++) {
        if (mask && !mask[i]) {
            w[i] = 0;
            if (m)
                m[i] = 0;
            continue;
        }
        real step = g[i] * u->scale + decay * w[i];
        if (m) {
            m[i] = momentum * m[i] + step;
            step = o->options.nesterov ? step + momentum * m[i] : m[i];
        }
        w[i] -= u->rate * step;
    }
    return 0;
}

static int adamw_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct update *u = ctx;
    const struct optim *o = u->optim;
    const struct tile *t = &o->tiles[index];
    const real *g = array_real(t->param->gradient) + t->first;
    real *w = array_real(t->param->weight) + t->first;
    real *m = array_real(o->state[2 * t->index]) + t->first;
    real *v = array_real(o->state[2 * t->index + 1]) + t->first;
    const uint8_t *mask = mask_of(t);
    real shrink = t->param->undecayed ? 1 : u->shrink;
    real b1 = (real)o->options.beta1, b2 = (real)o->options.beta2;
    real epsilon = (real)o->options.epsilon;
    for (size_t i = 0; i < t->count; i++) {
        if (mask && !mask[i]) {
            w[i] = m[i] = v[i] = 0;
            continue;
        }
        real step = g[i] * u->scale;
        m[i] = b1 * m[i] + (1 - b1) * step;
        v[i] = b2 * v[i] + (1 - b2) * step * step;
        w[i] = w[i] * shrink - u->rate * m[i] / ((real)sqrt((double)v[i]) * u->second + epsilon);
    }
    return 0;
}
