/*
 * An evaluation as JSON: the members `metrics`, `outputs`, `layers`, `protocol`, `macs`,
 * `parameters`, `latency`, `memory` of an object that is open. Complete enough for a page to draw
 * its charts from without another request.
 *
 *   "metrics": {"accuracy": {"value": 0.98, "count": 1000, "unit": "", "higher_is_better": true,
 *                            "protocol": "fraction of ..."}, ...}
 *
 * Infinite values (no error at all) are null beside "exact": true. Threads: any.
 */
#ifndef COMPRESS_REPORT_EVALUATION_H
#define COMPRESS_REPORT_EVALUATION_H

#include "compress/base/jbuf.h"
#include "compress/exec/evaluate.h"

/* One member of "metrics"; before: the original's, or NULL. */
void evaluation_print_metric(enum metric_id id, const struct evaluation_metric *metric,
                             const struct evaluation_metric *before, struct jbuf *out);
void evaluation_print(const struct evaluation *evaluation, struct jbuf *out);
/* {"metrics": {...}, ...}: malloc'd; NULL when out of memory. */
char *evaluation_json(const struct evaluation *evaluation, size_t *ret_len);

#endif
