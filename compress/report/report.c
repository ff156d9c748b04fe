/* Printing the report: one function per part of it. */
#include "compress/report/report.h"

#include "compress/report/evaluation.h"

#include "compress/base/jbuf.h"
#include "compress/kernels/cpu.h"
#include "compress/kernels/kernels.h"
#include "compress/tensor/blas.h"
#include "compressd_version.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Rows of 200,000 tensors with their names. */
#define REPORT_ARENA_BYTES ((size_t)256 << 20)

struct report *report_new(void) {
    struct report *report = calloc(1, sizeof *report);
    if (!report)
        return NULL;
    report->arena = arena_new(REPORT_ARENA_BYTES);
    if (!report->arena) {
        free(report);
        return NULL;
    }
    report->worst_sqnr_db = INFINITY;
    violations_init(&report->warnings, report->arena);
    return report;
}

void report_free(struct report *report) {
    if (!report)
        return;
    evaluation_free(report->before);
    evaluation_free(report->after);
    arena_free(report->arena);
    free(report);
}

double report_sqnr_db(double sum_x2, double sum_e2) {
    return sum_e2 > 0 ? 10 * log10(sum_x2 / sum_e2) : INFINITY;
}

static double ratio_of(uint64_t a, uint64_t b) {
    return b ? (double)a / (double)b : 0;
}

static void print_size(const struct report *r, struct jbuf *b) {
    jbuf_key(b, "size");
    jbuf_object(b);
    jbuf_kv_uint(b, "bytes_in", r->bytes_in);
    jbuf_kv_uint(b, "bytes_out", r->bytes_out);
    jbuf_kv_number(b, "ratio", ratio_of(r->bytes_in, r->bytes_out));
    jbuf_kv_number(b, "fraction", ratio_of(r->bytes_out, r->bytes_in));
    jbuf_kv_number(b, "bits_per_weight", r->bits_per_weight);
    jbuf_object_end(b);
}

static void print_before_after(struct jbuf *b, const char *key, uint64_t before, uint64_t after) {
    jbuf_key(b, key);
    jbuf_object(b);
    jbuf_kv_uint(b, "before", before);
    jbuf_kv_uint(b, "after", after);
    jbuf_object_end(b);
}

static double sparsity(uint64_t nonzero, uint64_t parameters) {
    return parameters ? 1 - (double)nonzero / (double)parameters : 0;
}

static void print_counts(const struct report *r, struct jbuf *b) {
    print_before_after(b, "parameters", r->parameters_before, r->parameters_after);
    print_before_after(b, "nonzero", r->nonzero_before, r->nonzero_after);
    jbuf_key(b, "sparsity");
    jbuf_object(b);
    jbuf_kv_number(b, "before", sparsity(r->nonzero_before, r->parameters_before));
    jbuf_kv_number(b, "after", sparsity(r->nonzero_after, r->parameters_after));
    jbuf_object_end(b);
    if (r->before && r->after) {
        print_before_after(b, "macs", r->before->macs, r->after->macs);
    } else {
        jbuf_key(b, "macs");
        jbuf_null(b); /* no graph of the model is known, or nothing fed it */
    }
}

static void print_tensor(const struct report_tensor *t, struct jbuf *b) {
    jbuf_object(b);
    jbuf_kv_string(b, "name", t->name);
    jbuf_kv_string(b, "role", t->role);
    jbuf_kv_string(b, "source_scheme", t->source_scheme);
    jbuf_kv_string(b, "scheme", t->removed ? "removed" : t->scheme);
    jbuf_kv_uint(b, "elements", t->elements);
    if (!t->removed) {
        jbuf_kv_number(b, "bits_per_weight", t->bits_per_weight);
        jbuf_kv_uint(b, "bytes", t->bytes);
        jbuf_kv_bool(b, "copied", t->copied);
    }
    if (t->measured) {
        jbuf_kv_bool(b, "exact", t->max_error == 0);
        jbuf_kv_number(b, "sqnr_db", t->sqnr_db);
        jbuf_kv_number(b, "mse", t->mse);
        jbuf_kv_number(b, "max_error", t->max_error);
        jbuf_kv_uint(b, "nonzero", t->nonzero);
        jbuf_kv_uint(b, "overflow", t->overflow);
    }
    jbuf_object_end(b);
}

static void print_tensors(const struct report *r, struct jbuf *b) {
    jbuf_key(b, "worst");
    if (r->worst_tensor) {
        jbuf_object(b);
        jbuf_kv_string(b, "tensor", r->worst_tensor);
        jbuf_kv_number(b, "sqnr_db", r->worst_sqnr_db);
        jbuf_object_end(b);
    } else {
        jbuf_null(b);
    }
    jbuf_kv_string(b, "compared_with", r->requantized ? "decoded source" : "source");
    jbuf_key(b, "tensors");
    jbuf_array(b);
    for (size_t i = 0; i < r->tensor_count; i++)
        print_tensor(&r->tensors[i], b);
    jbuf_array_end(b);
}

static void print_files(struct jbuf *b, const char *key, const struct report_file *files,
                        size_t count) {
    jbuf_key(b, key);
    jbuf_array(b);
    for (size_t i = 0; i < count; i++) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(&files[i].sha256, hex);
        jbuf_object(b);
        jbuf_kv_string(b, "path", files[i].path);
        jbuf_kv_uint(b, "bytes", files[i].bytes);
        jbuf_kv_string(b, "sha256", files[i].digested ? hex : NULL);
        jbuf_object_end(b);
    }
    jbuf_array_end(b);
}

/* name → {value, before, ...}: what a table shows; `evaluation` has all of it. */
static void print_metrics(const struct report *r, struct jbuf *b) {
    jbuf_key(b, "metrics");
    jbuf_object(b);
    for (size_t id = 0; r->after && id < METRIC_COUNT; id++) {
        const struct evaluation_metric *before = &r->before->metrics[id];
        if (r->after->metrics[id].present)
            evaluation_print_metric(r->after, (enum metric_id)id, &r->after->metrics[id],
                                    before->present ? before : NULL, b);
    }
    jbuf_object_end(b);
    jbuf_key(b, "evaluation");
    if (!r->after) {
        jbuf_null(b);
        return;
    }
    jbuf_object(b);
    jbuf_kv_string(b, "dataset", r->evaluation_name);
    print_files(b, "files", r->evaluation_files, r->evaluation_file_count);
    jbuf_key(b, "before");
    jbuf_object(b);
    evaluation_print(r->before, b);
    jbuf_object_end(b);
    jbuf_key(b, "after");
    jbuf_object(b);
    evaluation_print(r->after, b);
    jbuf_object_end(b);
    jbuf_object_end(b);
}

static void print_range(const struct calibrate_range *range, struct jbuf *b) {
    jbuf_object(b);
    jbuf_kv_string(b, "value", range->value);
    jbuf_kv_number(b, "min", range->min);
    jbuf_kv_number(b, "max", range->max);
    jbuf_kv_number(b, "limit", range->limit);
    jbuf_kv_number(b, "scale", range->scale);
    jbuf_kv_int(b, "zero_point", range->zero_point);
    jbuf_kv_uint(b, "count", range->count);
    jbuf_kv_uint(b, "zeros", range->zeros);
    jbuf_kv_uint(b, "clamped", range->clamped);
    jbuf_key(b, "histogram");
    jbuf_object(b);
    jbuf_kv_number(b, "to", range->shown_from_zero_to);
    jbuf_key(b, "counts");
    jbuf_array(b);
    for (size_t i = 0; i < CALIBRATE_SHOWN; i++)
        jbuf_uint(b, range->shown[i]);
    jbuf_array_end(b);
    jbuf_object_end(b);
    jbuf_object_end(b);
}

static void print_calibration(const struct report *r, struct jbuf *b) {
    const struct calibrate_result *c = &r->calibration;
    jbuf_key(b, "calibration");
    if (!r->calibrated) {
        jbuf_null(b);
        return;
    }
    jbuf_object(b);
    jbuf_kv_string(b, "dataset", r->calibration_name);
    print_files(b, "files", r->calibration_files, r->calibration_file_count);
    jbuf_kv_string(b, "dataset_kind", c->dataset_kind);
    jbuf_kv_uint(b, "samples", c->samples);
    jbuf_kv_uint(b, "batch", c->batch);
    if (c->window)
        jbuf_kv_uint(b, "window", c->window);
    jbuf_kv_string(b, "method", calibrate_method_name(r->calibration_method));
    jbuf_kv_string(b, "protocol", calibrate_method_protocol(r->calibration_method));
    jbuf_key(b, "ranges");
    jbuf_array(b);
    for (size_t i = 0; i < c->range_count; i++)
        print_range(&c->ranges[i], b);
    jbuf_array_end(b);
    jbuf_object_end(b);
}

static void print_stages(const struct report *r, struct jbuf *b) {
    jbuf_key(b, "stages");
    jbuf_array(b);
    for (size_t i = 0; i < r->stage_count; i++) {
        jbuf_object(b);
        jbuf_kv_string(b, "name", r->stages[i].name);
        jbuf_kv_number(b, "seconds", r->stages[i].seconds);
        jbuf_kv_uint(b, "peak_bytes", r->stages[i].peak_bytes);
        jbuf_kv_uint(b, "predicted_bytes", r->stages[i].predicted_bytes);
        jbuf_object_end(b);
    }
    jbuf_array_end(b);
    jbuf_key(b, "warnings");
    jbuf_violations(b, &r->warnings);
}

static void print_environment(const struct report *r, struct jbuf *b) {
    char cpu[64];
    jbuf_key(b, "environment");
    jbuf_object(b);
    jbuf_kv_string(b, "version", COMPRESSD_VERSION);
    jbuf_kv_string(b, "cpu", cpu_name(cpu, sizeof cpu));
    jbuf_kv_string(b, "instruction_set", kernels_isa());
    jbuf_kv_string(b, "blas", blas_facts()->text);
    jbuf_kv_uint(b, "threads", r->threads);
    jbuf_object_end(b);
}

static void print_inputs(const struct report *r, struct jbuf *b) {
    jbuf_key(b, "inputs");
    jbuf_object(b);
    print_files(b, "files", r->inputs, r->input_count);
    jbuf_kv_string(b, "recipe_name", r->recipe_name);
    jbuf_kv_raw(b, "recipe", r->recipe_json);
    jbuf_kv_uint(b, "seed", r->seed);
    jbuf_object_end(b);
}

char *report_json(const struct report *report, size_t *ret_len) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    print_size(report, &b);
    print_counts(report, &b);
    print_tensors(report, &b);
    print_metrics(report, &b);
    print_calibration(report, &b);
    print_stages(report, &b);
    print_files(&b, "files", report->files, report->file_count);
    print_environment(report, &b);
    print_inputs(report, &b);
    jbuf_object_end(&b);
    return jbuf_take(&b, ret_len);
}

/* The one number people ask for: the first of these that was measured. */
static void print_quality(const struct report *r, struct jbuf *b) {
    static const enum metric_id order[] = {METRIC_ACCURACY, METRIC_PERPLEXITY, METRIC_KL,
                                           METRIC_PSNR,     METRIC_COSINE,     METRIC_SQNR};
    for (size_t i = 0; r->after && i < sizeof order / sizeof *order; i++) {
        enum metric_id id = order[i];
        const struct evaluation_metric *before = &r->before->metrics[id];
        const struct evaluation_metric *after = &r->after->metrics[id];
        if (!after->present)
            continue;
        jbuf_object(b);
        jbuf_kv_string(b, "metric", metric_at(id)->name);
        jbuf_kv_number(b, "value", after->value.value);
        jbuf_key(b, "before");
        if (before->present)
            jbuf_number(b, before->value.value);
        else
            jbuf_null(b);
        jbuf_object_end(b);
        return;
    }
    jbuf_null(b); /* needs data to be measured on */
}

char *report_summary_json(const struct report *report) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_uint(&b, "bytes_in", report->bytes_in);
    jbuf_kv_uint(&b, "bytes_out", report->bytes_out);
    jbuf_kv_number(&b, "ratio", ratio_of(report->bytes_in, report->bytes_out));
    jbuf_kv_number(&b, "bits_per_weight", report->bits_per_weight);
    jbuf_kv_number(&b, "worst_sqnr_db", report->worst_sqnr_db);
    jbuf_key(&b, "quality");
    print_quality(report, &b);
    jbuf_object_end(&b);
    return jbuf_take(&b, NULL);
}
