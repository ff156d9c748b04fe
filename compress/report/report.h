/*
 * The report of a job: sizes, one row per source tensor, stages, environment, inputs. Filled by the
 * pipeline, printed as the JSON of GET /v1/jobs/{id}/report and of `compressctl compress --report`.
 *
 * Owns: its arena. Threads: one at a time.
 */
#ifndef COMPRESS_REPORT_REPORT_H
#define COMPRESS_REPORT_REPORT_H

#include "compress/base/arena.h"
#include "compress/base/digest.h"
#include "compress/base/violations.h"
#include "compress/exec/evaluate.h"
#include "compress/passes/calibrate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct report_tensor {
    const char *name; /* component/name when it has a component */
    const char *role;
    const char *source_scheme; /* encoding_describe() of what it was */
    const char *scheme;        /* encoding_describe(); "removed" */
    bool removed;
    bool copied; /* bytes are the source's */
    double bits_per_weight;
    uint64_t bytes; /* all its parts, in the artifact */
    uint64_t elements;
    bool measured;  /* its values are weights: the numbers below hold */
    double sqnr_db; /* +inf when exact (printed as null with "exact": true) */
    double mse;
    double max_error;
    uint64_t overflow; /* finite values clamped or turned infinite */
    uint64_t nonzero;  /* of the artifact's decoded values */
};

struct report_stage {
    const char *name; /* "quantize", "verify" */
    double seconds;
    uint64_t peak_bytes; /* measured, of the process's own accounting for this job */
    uint64_t predicted_bytes;
};

struct report_file {
    const char *path;
    uint64_t bytes;
    struct digest sha256;
    bool digested; /* sha256 is known */
};

struct report {
    struct arena *arena;
    uint64_t bytes_in, bytes_out;
    uint64_t parameters_before, parameters_after;
    uint64_t nonzero_before, nonzero_after;
    struct report_tensor *tensors;
    size_t tensor_count;
    struct report_stage stages[16];
    size_t stage_count;
    struct report_file *files; /* the artifact's */
    size_t file_count;
    struct report_file *inputs; /* the source's */
    size_t input_count;
    double worst_sqnr_db;     /* of the tensors that were quantized; +inf when none */
    const char *worst_tensor; /* or NULL */
    double bits_per_weight;   /* over all parameters */
    bool requantized;         /* errors are against the decoded source */
    const char *recipe_name, *recipe_json;
    uint64_t seed;
    unsigned threads;
    /* On the evaluation set: the original alone, and the artifact against it. Owned; NULL: not
     * measured. */
    struct evaluation *before, *after;
    const char *evaluation_name; /* of the set; NULL: it has none */
    struct report_file *evaluation_files;
    size_t evaluation_file_count;
    bool calibrated; /* the rest of these hold */
    struct calibrate_result calibration;
    enum calibrate_method calibration_method;
    const char *calibration_name; /* of the set; NULL: it has none */
    struct report_file *calibration_files;
    size_t calibration_file_count;
    struct violations warnings;
};

struct report *report_new(void);
void report_free(struct report *report);

/* SQNR in dB of sums of squares: 10 log10(sum_x2 / sum_e2); +inf when there is no error. */
double report_sqnr_db(double sum_x2, double sum_e2);

/* malloc'd; NULL when out of memory. */
char *report_json(const struct report *report, size_t *ret_len);
/* The `summary` object of a job: bytes_in, bytes_out, ratio, bits_per_weight, worst_sqnr_db,
 * quality. */
char *report_summary_json(const struct report *report);

#endif
