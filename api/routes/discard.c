/* See discard.h. */
#include "api/routes/discard.h"

#include <stdlib.h>

struct later {
    struct offload work;
    struct staged *staged;
};

static void throw_away(void *ctx) {
    struct later *later = ctx;
    staged_discard(later->staged);
}

void discard_staged(struct service *service, struct staged *staged) {
    if (!staged)
        return;
    struct later *later = staged_bytes(staged) < 1024 * 1024 ? NULL : calloc(1, sizeof *later);
    if (later) {
        later->staged = staged;
        later->work = (struct offload){.run = throw_away, .done = free, .ctx = later};
        if (engine_offload(service->engine, &later->work, NULL) == 0)
            return;
        free(later);
    }
    staged_discard(staged);
}
