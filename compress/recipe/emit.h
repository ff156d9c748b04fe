/*
 * Emit: writes what a layout describes, streaming tensors through their codecs into sinks.
 *
 *   tiles of the tensor ──pread, f32, encode──▶ chunk buffer A ─┐   one of two; while the team
 *                                               chunk buffer B ─┴─▶ fills one, a worker of the same
 *                                                                   team writes the other
 *
 * Small parts (scales, zero points) are kept until their segment comes; when it comes before its
 * DATA, the tensor is encoded twice, once for the small parts alone. So memory follows the chunk
 * and one tensor's small parts, never the tensor or the file. Verbatim segments go through the same
 * two buffers.
 *
 * Expected failures: ERR_NON_FINITE (tensor, flat index), ERR_CANCELLED (asked between tiles),
 * whatever sources and sinks report. The output's bytes do not depend on the number of threads.
 */
#ifndef COMPRESS_RECIPE_EMIT_H
#define COMPRESS_RECIPE_EMIT_H

#include "compress/base/files.h"
#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/formats/layout.h"

struct emit_env {
    struct team *team; /* NULL: the calling thread alone */
    const struct progress *progress;
    struct progress_state at; /* stage, stage_index, stages; the rest is filled in */
};

/* Finite values that an encoding clamped or turned infinite. */
struct emit_overflow {
    uint64_t count;
    uint64_t first; /* flat index; valid when count > 0 */
};

struct emit_result {
    struct digest *digests;          /* one per file of the layout */
    struct emit_overflow *overflows; /* one per tensor of the model */
    uint64_t peak_bytes;             /* of all buffers together, as allocated */
};

/* ret lives in the arena. Files that were finished before a failure stay; the caller discards. */
int emit_run(const struct model *model, const struct layout *layout, struct outputs *outputs,
             const struct emit_env *env, struct arena *arena, struct emit_result *ret,
             struct err *err);

/* What all parts of a tensor weigh in the output. */
uint64_t emit_tensor_bytes(const struct tensor *tensor);

struct emit_prediction {
    uint64_t memory_bytes; /* what emit_run() will hold at most: emit_result.peak_bytes */
    uint64_t work_bytes;   /* of input that will go through; what progress counts */
};

/* With a team of that many threads. Scratch comes from the layout's arena. */
int emit_predict(const struct model *model, const struct layout *layout, unsigned threads,
                 struct emit_prediction *ret, struct err *err);

#endif
