/*
 * A plan: a recipe applied to a model's headers. Says exactly which bytes will come out, what
 * memory, disk and time it will take, and everything that does not fit – before any work.
 *
 * Under a second for a model of a thousand tensors; reads headers only, and of the data what
 * batches_glance() looks at. A plan owns the model it
 * was made on (whose tensors now carry `wanted`), and the layout of the output. A plan is run once.
 */
#ifndef COMPRESS_RECIPE_PLAN_H
#define COMPRESS_RECIPE_PLAN_H

#include "compress/base/violations.h"
#include "compress/exec/evaluate.h"
#include "compress/formats/layout.h"
#include "compress/graph/model.h"
#include "compress/passes/calibrate.h"
#include "compress/recipe/recipe.h"

struct plan_limits {
    uint64_t memory_bytes; /* the whole budget; 0 = none. Above it: ERR_OVER_BUDGET */
    unsigned threads;      /* that will run it, for the estimate */
    /* What the evaluation reads: the set that the recipe names, or the job's. Borrowed, must
     * outlive the plan. Without one, a recipe with an evaluation is a violation; with one and no
     * evaluation in the recipe, models that have a graph are measured all the same. */
    struct resolver *evaluation;
    /* The same for calibration. Without one, static activations are a violation. */
    struct resolver *calibration;
};

struct plan {
    struct arena *arena;         /* owned */
    struct model *model;         /* owned */
    const struct recipe *recipe; /* borrowed */
    struct layout layout;
    uint64_t bytes_in;
    uint64_t bytes_out;          /* exact */
    double ratio;                /* bytes_in / bytes_out */
    unsigned threads;            /* that predictions count with */
    uint64_t peak_bytes;         /* predicted: the largest of the next four */
    uint64_t emit_bytes;         /* predicted while the artifact is written */
    uint64_t verify_bytes;       /* predicted while it is verified */
    uint64_t evaluate_bytes;     /* predicted while it is measured; 0: it is not */
    uint64_t calibrate_bytes;    /* predicted while ranges are found; 0: none are */
    struct dataset *calibration; /* owned; NULL: nothing is calibrated, or it is done */
    const struct resolver *calibration_files; /* borrowed: its files */
    uint64_t disk_bytes;                      /* needed while running */
    double seconds;                           /* estimate */
    struct dataset *evaluation;               /* owned; NULL: nothing is measured */
    const struct resolver *evaluation_files;  /* borrowed: its files */
    struct recipe_data measures; /* how; the recipe's, or defaults when only the job has data */
    struct violations warnings;
};

/* Opens the model from the resolver (borrowed, must outlive the plan), applies the recipe, lays out
 * the output. On failure `list` holds every violation and err the summary; `list` lives in its own
 * arena. */
int plan_new(struct resolver *files, const struct recipe *recipe, const char *source_name,
             const struct plan_limits *limits, struct violations *list, struct plan **ret,
             struct err *err);
void plan_free(struct plan *plan);

/* How the pipeline measures; original NULL: alone. */
struct evaluate_options plan_evaluate_options(const struct plan *plan,
                                              const struct model *original);

/* How it finds ranges. */
struct calibrate_options plan_calibrate_options(const struct plan *plan);

/* The answer of POST /v1/plan: {bytes_in, bytes_out, ratio, peak_bytes, disk_bytes, seconds,
 * tensors: [{name, role, scheme, bytes}], warnings}. malloc'd. */
char *plan_json(const struct plan *plan, size_t *ret_len);

#endif
