/* One error slot per worker; the lowest index wins. */
#include "compress/base/loop.h"

#include <stdlib.h>

struct slot {
    struct err err;
    size_t index;
};

struct loop_ctx {
    const struct progress *progress;
    loop_fn *fn;
    void *ctx;
    struct slot *slots; /* one per thread of the team */
};

static int run_index(void *ctx, size_t index, unsigned worker) {
    const struct loop_ctx *loop = ctx;
    struct slot *slot = &loop->slots[worker];
    struct err err = ERR_INIT;
    if (progress_check(loop->progress, &err) == 0 && loop->fn(loop->ctx, index, worker, &err) == 0)
        return 0;
    /* A worker takes no index after its first failure. */
    *slot = (struct slot){err, index};
    return -1;
}

int loop_run(struct team *team, const struct progress *progress, size_t count, loop_fn *fn,
             void *ctx, struct err *err) {
    unsigned threads = team_threads(team);
    struct slot *slots = malloc(threads * sizeof *slots);
    if (!slots)
        return err_set(err, ERR_NO_MEMORY, "no memory to run a loop");
    for (unsigned i = 0; i < threads; i++)
        slots[i].err = ERR_INIT;
    struct loop_ctx loop = {progress, fn, ctx, slots};
    int result = team_run(team, count, run_index, &loop) == 0 ? 0 : -1;
    const struct slot *first = NULL;
    for (unsigned i = 0; i < threads; i++)
        if (slots[i].err.code != ERR_OK && (!first || slots[i].index < first->index))
            first = &slots[i];
    if (first && err && err->code == ERR_OK)
        *err = first->err;
    free(slots);
    return result;
}
