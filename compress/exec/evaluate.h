/*
 * Evaluation: runs a model over a dataset and measures it, alone or against the original.
 *
 * What applies follows from the data: labels (or tokens) score the first output whose shape fits
 * them, targets are compared with the outputs they are named like, and with an original every
 * output is compared with the original's on the same batches; KL and agreement where an output is
 * scores. Layers are compared where both graphs have a value of the same name that a weighted
 * operator made: their SQNR shows where a loss comes from.
 *
 * What cannot be measured is refused before anything runs: shapes alone say which metrics there can
 * be, and evaluate_check() reads the set to its end without running the model. Labels must be
 * classes of the output that they score, numbers that rows of a table are taken by (ids, positions)
 * must be its rows: either is found in the graph. A metric is never NaN: a NaN in the data or in an
 * output fails, and names array or output, and sample.
 *
 * Peak memory: two workspaces, the weights of both models, and the original's layer outputs of one
 * batch. Sums do not depend on threads or on the batch size.
 *
 * Owns: its arena. Threads: one evaluation at a time per model (planning grows a graph's symbols).
 * Expected failures: ERR_UNSUPPORTED (no graph; an operator that is not executable), ERR_MISFIT
 * (the dataset does not feed the graph; a metric was asked for that nothing gives, naming what it
 * needs, with the nearest that can be had), ERR_BAD_DATASET (labels, ids, NaN), ERR_NON_FINITE (the
 * model gives a NaN), ERR_OVER_BUDGET, ERR_CANCELLED, what sources report.
 */
#ifndef COMPRESS_EXEC_EVALUATE_H
#define COMPRESS_EXEC_EVALUATE_H

#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/exec/dataset.h"
#include "compress/exec/metrics.h"
#include "compress/graph/model.h"

struct evaluate_options {
    const struct model *original; /* NULL: none */
    unsigned metrics;             /* bits 1 << metric_id; 0: all that apply */
    bool where_possible;          /* leave out what was asked for and nothing gives */
    bool inputs_only;             /* of a check: nobody will ask what labels mean */
    uint64_t samples;             /* at most so many, chosen by the seed; 0: all */
    uint64_t batch;               /* 0: the graph's own, else 32 */
    uint64_t window;              /* token ids; 0: the graph's own, else 512 */
    uint64_t seed;
    unsigned latency_runs; /* timed after the first batch; 0: none */
    bool layers;           /* with an original */
    uint64_t memory_bytes; /* ceiling of all workspaces and weights; 0: none */
    struct team *team;     /* NULL: the calling thread alone */
    unsigned threads;      /* of the team that will be there, for the prediction; 0: one */
    const struct progress *progress;
    struct progress_state at; /* stage, stage_index, stages; the rest is filled in */
};

struct evaluation_metric {
    bool present;
    struct metric_value value;
};

struct evaluation_output {
    const char *name;
    bool scores;        /* an output over classes */
    bool probabilities; /* it has been through a softmax */
    struct evaluation_metric metrics[METRIC_COUNT];
};

struct evaluation_layer {
    const char *name; /* of the value */
    const char *node; /* that makes it, in the original */
    const char *op_type;
    bool compared;  /* both gave floats of one shape */
    double sqnr_db; /* +inf: equal; of those compared */
    double max_error;
};

struct evaluation {
    struct arena *arena;
    const char *dataset_kind; /* "arrays", "tokens" */
    const char *labels;       /* of the set: "none", "scored", "unused" (they fit no output) */
    uint64_t samples, batch, window; /* window: 0 for arrays */
    uint64_t left_out;               /* samples of a last batch that the graph cannot take */
    bool against_original;
    /* Of the first output that has each: what a table shows. */
    struct evaluation_metric metrics[METRIC_COUNT];
    struct evaluation_output *outputs;
    size_t output_count;
    struct evaluation_layer *layers; /* in the order of the graph */
    size_t layer_count;
    uint64_t parameters;
    uint64_t macs; /* of one sample */
    unsigned threads;
    unsigned latency_runs;
    uint64_t latency_batch; /* samples of the timed run */
    double latency_ms[3];   /* 10 %, median, 90 % */
    uint64_t workspace_bytes, weight_bytes;
};

int evaluate_run(const struct model *model, const struct dataset *dataset,
                 const struct evaluate_options *options, struct evaluation **ret, struct err *err);
/* Reads all that evaluate_run() will read, as stage `at` of the options, and fails as it would for
 * the data's sake; runs nothing. ret_bytes, unless NULL: what it held. */
int evaluate_check(const struct model *model, const struct dataset *dataset,
                   const struct evaluate_options *options, uint64_t *ret_bytes, struct err *err);

struct evaluate_prediction {
    uint64_t bytes;    /* held at most, beyond the headers of the models; an original counts as
                          large as the model */
    unsigned possible; /* metrics that there can be: bits 1 << metric_id */
};

/* From shapes, and from a glance at labels and ids (batches.h). Metrics that were asked for and are
 * not possible are no failure here; evaluate_refuse() says it of one. */
int evaluate_predict(const struct model *model, const struct dataset *dataset,
                     const struct evaluate_options *options, struct evaluate_prediction *ret,
                     struct err *err);
/* ERR_MISFIT: what the metric needs, what can be had, the nearest. Always -1. */
int evaluate_refuse(enum metric_id id, unsigned possible, bool has_original, struct err *err);
void evaluation_free(struct evaluation *evaluation);

#endif
