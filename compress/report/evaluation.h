/*
 * An evaluation as JSON: the members `metrics`, `outputs`, `layers`, `protocol`, `macs`,
 * `parameters`, `latency`, `memory` of an object that is open. Complete enough for a page to draw
 * its charts from without another request.
 *
 *   "metrics": {"accuracy": {"value": 0.98, "count": 1000, "unit": "", "higher_is_better": true,
 *                            "protocol": "fraction of ..."}, ...}
 *
 * Values without any error (PSNR, SQNR) are null beside "exact": true; a layer that the two models
 * do not share as floats of one shape is null beside "compared": false. Threads: any.
 */
#ifndef COMPRESS_REPORT_EVALUATION_H
#define COMPRESS_REPORT_EVALUATION_H

#include "compress/base/jbuf.h"
#include "compress/exec/evaluate.h"

/* One member of "metrics"; before: the original's, or NULL. Of token ids, the protocol of what
 * labels give says window and stride. */
void evaluation_print_metric(const struct evaluation *evaluation, enum metric_id id,
                             const struct evaluation_metric *metric,
                             const struct evaluation_metric *before, struct jbuf *out);
/* Infinitely good: no error at all. */
bool evaluation_is_exact(enum metric_id id, double value);
void evaluation_print(const struct evaluation *evaluation, struct jbuf *out);

#endif
