/* Groups of axes, runs, and sums over what was broadcast. See broadcast.h. */
#include "compress/graph/broadcast.h"

#include "compress/base/loop.h"
#include "compress/tensor/vmath.h"

#include <assert.h>
#include <string.h>

enum { OUT = BROADCAST_INPUTS, OPERANDS = BROADCAST_INPUTS + 1 };
/* Elements per forward tile and about as many per item of a gradient. */
enum { TILE = 16 * BROADCAST_RUN, ITEM = 16384 };
/* Rows that are added up in f32 before their sum goes to the f64 partial sums. */
enum { ROWS = 256 };

/* A set of index variables, fastest first, and how far each moves every operand. */
struct space {
    unsigned groups;
    uint64_t size[LIMIT_RANK];
    uint64_t step[OPERANDS][LIMIT_RANK]; /* elements */
    uint64_t count;                      /* product of sizes */
};

static bool advances(const struct array *operand, const struct array *out, unsigned from_end) {
    return from_end <= operand->rank && operand->dims[operand->rank - from_end] != 1;
}

/* Collapses axes. */
static void space_init(struct space *s, const struct broadcast *b) {
    uint64_t stride[OPERANDS] = {1, 1, 1, 1};
    unsigned last = ~0u;
    *s = (struct space){.count = b->out->elements};
    for (unsigned from_end = 1; from_end <= b->out->rank; from_end++) {
        uint64_t size = b->out->dims[b->out->rank - from_end];
        unsigned pattern = 1u << OUT;
        if (size == 1)
            continue;
        for (size_t k = 0; k < b->count; k++)
            pattern |= (unsigned)advances(b->in[k], b->out, from_end) << k;
        if (pattern == last) {
            s->size[s->groups - 1] *= size;
        } else {
            for (unsigned k = 0; k < OPERANDS; k++)
                s->step[k][s->groups] = pattern >> k & 1 ? stride[k] : 0;
            s->size[s->groups++] = size;
            last = pattern;
        }
        for (unsigned k = 0; k < OPERANDS; k++)
            stride[k] *= pattern >> k & 1 ? size : 1;
    }
}

static void seek(const struct space *s, uint64_t index, uint64_t *offset) {
    for (unsigned g = 0; g < s->groups; g++) {
        uint64_t i = index % s->size[g];
        index /= s->size[g];
        for (unsigned k = 0; k < OPERANDS; k++)
            offset[k] += i * s->step[k][g];
    }
}

static size_t shorter(uint64_t a, uint64_t b) {
    uint64_t n = a < b ? a : b;
    return (size_t)(n < BROADCAST_RUN ? n : BROADCAST_RUN);
}

/* Elements from `index` to where the fastest variable starts anew. */
static uint64_t left_in_row(const struct space *s, uint64_t index) {
    return s->groups ? s->size[0] - index % s->size[0] : 1;
}

struct job {
    struct broadcast b;
    struct space space;
    size_t item[OPERANDS]; /* bytes of an element */
    broadcast_fn *fn;
    void *ctx;
    /* gradients */
    struct space kept, summed;
    bool row_is_kept; /* the fastest variable of all is one of the operand's */
    uint64_t kept_tile, summed_part, parts;
    broadcast_grad *grad;
    const void *grad_ctx;
    const real *dy;
    real *dx;
    double *partial; /* [parts][kept.count] when parts > 1 */
};

static void make_run(const struct job *job, const uint64_t *offset, size_t n,
                     struct broadcast_run *ret) {
    *ret = (struct broadcast_run){.n = n};
    for (size_t k = 0; k < job->b.count; k++) {
        char *data = job->b.in[k]->data;
        ret->in[k] = data ? data + offset[k] * job->item[k] : NULL;
        ret->step[k] = job->space.groups && job->space.step[k][0] ? 1 : 0;
    }
    char *out = job->b.out->data;
    ret->out = out ? out + offset[OUT] * job->item[OUT] : NULL;
}

static void job_init(struct job *job, const struct broadcast *b) {
    *job = (struct job){.b = *b};
    space_init(&job->space, b);
    for (size_t k = 0; k < b->count; k++)
        job->item[k] = array_item_bytes(b->in[k]->dtype);
    job->item[OUT] = array_item_bytes(b->out->dtype);
}

/* ---- forward ---- */

static int forward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct job *job = ctx;
    const struct space *s = &job->space;
    uint64_t i = (uint64_t)tile * TILE, end = s->count - i < TILE ? s->count : i + TILE;
    while (i < end) {
        uint64_t offset[OPERANDS] = {0};
        size_t n = shorter(left_in_row(s, i), end - i);
        struct broadcast_run run;
        seek(s, i, offset);
        make_run(job, offset, n, &run);
        if (job->fn(job->ctx, &run, err) < 0)
            return -1;
        i += n;
    }
    return 0;
}

int broadcast_forward(const struct op_run *run, const struct broadcast *b, broadcast_fn *fn,
                      void *ctx, struct err *err) {
    struct job job;
    job_init(&job, b);
    job.fn = fn;
    job.ctx = ctx;
    return loop_run(run->team, run->progress, (size_t)((job.space.count + TILE - 1) / TILE),
                    forward_tile, &job, err);
}

/* ---- gradients ---- */

static void add_group(struct space *to, const struct space *from, unsigned g) {
    for (unsigned k = 0; k < OPERANDS; k++)
        to->step[k][to->groups] = from->step[k][g];
    to->size[to->groups++] = from->size[g];
    to->count *= from->size[g];
}

static uint64_t parts_of(uint64_t count, uint64_t part) {
    return (count + part - 1) / part;
}

/* Splits the axes into those of the operand and those that are summed, and the work into items. */
static void grad_init(struct job *job, const struct broadcast *b, size_t which) {
    job_init(job, b);
    const struct space *s = &job->space;
    job->kept.count = job->summed.count = 1;
    for (unsigned g = 0; g < s->groups; g++)
        add_group(s->step[which][g] ? &job->kept : &job->summed, s, g);
    job->row_is_kept = s->groups == 0 || s->step[which][0];
    uint64_t most = job->row_is_kept ? ROWS : ITEM, sums = job->summed.count;
    job->summed_part = sums < most ? sums : most;
    job->summed_part += job->summed_part == 0; /* an empty array has no items */
    job->parts = parts_of(sums, job->summed_part);
    job->kept_tile = ITEM / job->summed_part;
    if (job->row_is_kept && job->kept_tile < BROADCAST_RUN)
        job->kept_tile = BROADCAST_RUN;
}

uint64_t broadcast_scratch(const struct broadcast *b, size_t which) {
    struct job job;
    grad_init(&job, b, which);
    return job.parts > 1 ? job.parts * job.kept.count * sizeof(double) : 0;
}

/* Sums of n elements of the operand from `at` on. */
static void deliver(const struct job *job, uint64_t part, uint64_t at, const real *sum, size_t n) {
    if (job->parts == 1) {
        vmath_add(job->dx + at, sum, n, job->dx + at);
        return;
    }
    double *to = job->partial + part * job->kept.count + at;
    for (size_t i = 0; i < n; i++)
        to[i] = (double)sum[i];
}

/* Rows of the operand under each other. */
static void sum_rows(const struct job *job, uint64_t part, uint64_t e, size_t n, uint64_t from,
                     uint64_t to) {
    real sum[BROADCAST_RUN], g[BROADCAST_RUN];
    assert(from < to); /* no items without rows */
    for (uint64_t r = from; r < to; r++) {
        uint64_t offset[OPERANDS] = {0};
        struct broadcast_run run;
        seek(&job->kept, e, offset);
        seek(&job->summed, r, offset);
        make_run(job, offset, n, &run);
        job->grad(job->grad_ctx, &run, job->dy + offset[OUT], r == from ? sum : g);
        if (r > from)
            vmath_add(sum, g, n, sum);
    }
    deliver(job, part, e, sum, n);
}

/* One element of the operand that stays while its row runs. */
static void sum_along(const struct job *job, uint64_t part, uint64_t e, uint64_t from,
                      uint64_t to) {
    real g[BROADCAST_RUN];
    double sum = 0;
    for (uint64_t r = from; r < to;) {
        uint64_t offset[OPERANDS] = {0};
        size_t n = shorter(left_in_row(&job->summed, r), to - r);
        struct broadcast_run run;
        seek(&job->kept, e, offset);
        seek(&job->summed, r, offset);
        make_run(job, offset, n, &run);
        job->grad(job->grad_ctx, &run, job->dy + offset[OUT], g);
        sum += vmath_sum(g, n);
        r += n;
    }
    if (job->parts > 1)
        job->partial[part * job->kept.count + e] = sum;
    else
        job->dx[e] += (real)sum;
}

static int grad_item(void *ctx, size_t item, unsigned worker, struct err *err) {
    const struct job *job = ctx;
    uint64_t part = item % job->parts, e = item / job->parts * job->kept_tile;
    uint64_t e_end = job->kept.count - e < job->kept_tile ? job->kept.count : e + job->kept_tile;
    uint64_t from = part * job->summed_part, sums = job->summed.count;
    uint64_t to = sums - from < job->summed_part ? sums : from + job->summed_part;
    while (e < e_end) {
        size_t n = job->row_is_kept ? shorter(left_in_row(&job->kept, e), e_end - e) : 1;
        if (job->row_is_kept)
            sum_rows(job, part, e, n, from, to);
        else
            sum_along(job, part, e, from, to);
        e += n;
    }
    return 0;
}

static int meet_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct job *job = ctx;
    uint64_t count = job->kept.count, e = (uint64_t)tile * TILE;
    uint64_t end = count - e < TILE ? count : e + TILE;
    for (; e < end; e++) {
        double sum = 0;
        for (uint64_t part = 0; part < job->parts; part++)
            sum += job->partial[part * count + e];
        job->dx[e] += (real)sum;
    }
    return 0;
}

int broadcast_backward(const struct op_run *run, const struct broadcast *b, size_t which,
                       broadcast_grad *fn, const void *ctx, const struct array *dout,
                       struct array *din, struct err *err) {
    struct job job;
    if (b->out->elements == 0)
        return 0;
    grad_init(&job, b, which);
    job.grad = fn;
    job.grad_ctx = ctx;
    job.dy = array_real(dout);
    job.dx = array_real(din);
    job.partial = run->scratch;
    uint64_t tiles = parts_of(job.kept.count, job.kept_tile);
    if (loop_run(run->team, run->progress, (size_t)(tiles * job.parts), grad_item, &job, err) < 0)
        return -1;
    if (job.parts == 1)
        return 0;
    return loop_run(run->team, run->progress, (size_t)parts_of(job.kept.count, TILE), meet_tile,
                    &job, err);
}

uint64_t broadcast_index(const struct array *operand, const struct array *out, uint64_t i) {
    uint64_t at = 0, stride = 1;
    for (unsigned from_end = 1; from_end <= out->rank; from_end++) {
        uint64_t size = out->dims[out->rank - from_end];
        if (advances(operand, out, from_end)) {
            at += i % size * stride;
            stride *= size;
        }
        i /= size;
    }
    return at;
}
