/* One error for the loop; the lowest index wins. Nothing is allocated: loops run inside of what
 * promises not to. */
#include "compress/base/loop.h"

#include <pthread.h>

struct loop_ctx {
    const struct progress *progress;
    loop_fn *fn;
    void *ctx;
    pthread_mutex_t lock; /* over the two below */
    struct err first;
    size_t first_index; /* valid when first.code is set */
};

static int run_index(void *ctx, size_t index, unsigned worker) {
    struct loop_ctx *loop = ctx;
    struct err err = ERR_INIT;
    if (progress_check(loop->progress, &err) == 0 && loop->fn(loop->ctx, index, worker, &err) == 0)
        return 0;
    pthread_mutex_lock(&loop->lock);
    if (err.code != ERR_OK && (loop->first.code == ERR_OK || index < loop->first_index)) {
        loop->first = err;
        loop->first_index = index;
    }
    pthread_mutex_unlock(&loop->lock);
    return -1;
}

int loop_run(struct team *team, const struct progress *progress, size_t count, loop_fn *fn,
             void *ctx, struct err *err) {
    struct loop_ctx loop = {.progress = progress, .fn = fn, .ctx = ctx, .first = ERR_INIT};
    pthread_mutex_init(&loop.lock, NULL);
    int result = team_run(team, count, run_index, &loop) == 0 ? 0 : -1;
    pthread_mutex_destroy(&loop.lock);
    if (loop.first.code != ERR_OK && err && err->code == ERR_OK)
        *err = loop.first;
    return result;
}
