/*
 * Verification: a job never ships what it has not re-read.
 *
 * The written artifact is opened again by its own reader and
 *
 *   1. every byte of every file is hashed again; the SHA-256 must be what the sink said when it
 *      wrote the file. So a byte that changed anywhere – a header, a copied file, a scale – between
 *      the worker that made it and the reader that finds it fails the job;
 *   2. every tensor is decoded and compared with its decoded source: no NaN or infinity that the
 *      source does not have (finite values that overflowed are counted when they are encoded, and
 *      allowed), no all-zero tensor that was not zero, no error above what the format's arithmetic
 *      allows for the largest value of its group (encoding_error_bound()). A tensor that was copied
 *      must be equal byte for byte.
 *
 * Both run as one sequential pass: the files are hashed in pieces, each as one index of the
 * team_run() whose other indices compare the tiles that lie about there; the artifact is then read
 * twice, the second time from memory. A full second SHA-256 was chosen over a quick checksum of
 * chunks: it costs a fifth of the comparison on a machine with SHA instructions, says exactly what
 * the artifact's name says, and needs no trust in anything that the writer remembered.
 *
 * The same pass measures the report's numbers. Sums are kept per tile and added in tile order, so
 * they do not depend on the number of threads.
 *
 * Expected failures: ERR_VERIFY (tensor or file), ERR_NON_FINITE (NaN in a tensor that was copied,
 * tensor and flat index), ERR_CANCELLED, what sources report.
 */
#ifndef COMPRESS_REPORT_VERIFY_H
#define COMPRESS_REPORT_VERIFY_H

#include "compress/base/files.h"
#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/graph/model.h"

/* A file as the writer left it. */
struct verify_file {
    const char *path;
    struct digest sha256;
};

struct verify_env {
    struct team *team; /* NULL: the calling thread alone */
    const struct progress *progress;
    struct progress_state at; /* stage, stage_index, stages; the rest is filled in */
};

/* What was measured of one tensor. */
struct verify_tensor {
    uint64_t elements; /* 0 for tensors whose numbers are not weights (removed, whole numbers) */
    double sum_x2, sum_e2;   /* of the source and of the difference */
    double max_x, max_e;     /* largest magnitudes */
    uint64_t nonzero_before; /* of the source's decoded values */
    uint64_t nonzero;        /* of the artifact's */
    uint64_t infinite;       /* artifact values that overflow turned infinite */
    bool source_infinite;    /* a copied tensor that holds infinities (a mask, most likely) */
    bool copied;             /* equal byte for byte */
};

struct verify_result {
    struct verify_tensor *tensors; /* one per tensor of the source */
    uint64_t peak_bytes;           /* of all buffers together, as allocated */
};

/* source: the model whose tensors carry `wanted`. overflows: how many values of each tensor its
 * encoding clamped or turned infinite. ret lives in the arena. */
int verify_run(const struct model *source, struct outputs *outputs, const struct verify_file *files,
               size_t file_count, const uint64_t *overflows, const struct verify_env *env,
               struct arena *arena, struct verify_result *ret, struct err *err);

/* What verify_run() will allocate with a team of that many threads, without the headers of the
 * artifact (about those of the source). */
uint64_t verify_memory_bytes(const struct model *source, unsigned threads);

#endif
