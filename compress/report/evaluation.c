/* Evaluations as JSON. See evaluation.h. */
#include "compress/report/evaluation.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

bool evaluation_is_exact(enum metric_id id, double value) {
    return isinf(value) && value > 0 && metric_at(id)->higher_is_better;
}

static void print_metric_protocol(const struct evaluation *e, const struct metric *metric,
                                  struct jbuf *b) {
    char text[400];
    int used = snprintf(text, sizeof text, "%s", metric->protocol);
    if (e->window && metric->needs & METRIC_NEEDS_LABELS)
        snprintf(text + used, sizeof text - (size_t)used,
                 "; token ids in windows of %" PRIu64 ", stride %" PRIu64
                 ", every token but the first of the text scored given those before it in its "
                 "window",
                 e->window, e->window);
    jbuf_kv_string(b, "protocol", text);
}

static void print_histogram(const struct metric_value *value, struct jbuf *b) {
    jbuf_key(b, "histogram");
    jbuf_object(b);
    jbuf_kv_int(b, "log10_from", METRIC_SHOWN_LOG10_FROM);
    jbuf_kv_int(b, "log10_to", METRIC_SHOWN_LOG10_TO);
    jbuf_key(b, "counts");
    jbuf_array(b);
    for (size_t i = 0; i < METRIC_SHOWN; i++)
        jbuf_uint(b, value->shown[i]);
    jbuf_array_end(b);
    jbuf_object_end(b);
}

void evaluation_print_metric(const struct evaluation *e, enum metric_id id,
                             const struct evaluation_metric *m,
                             const struct evaluation_metric *before, struct jbuf *b) {
    const struct metric *metric = metric_at(id);
    jbuf_key(b, metric->name);
    jbuf_object(b);
    jbuf_kv_number(b, "value", m->value.value); /* infinite: null */
    if (before)
        jbuf_kv_number(b, "before", before->value.value);
    if (evaluation_is_exact(id, m->value.value))
        jbuf_kv_bool(b, "exact", true);
    jbuf_kv_uint(b, "count", m->value.count);
    if (m->value.has_quantiles) {
        jbuf_kv_number(b, "median", m->value.median);
        jbuf_kv_number(b, "p99_9", m->value.p999);
        jbuf_kv_number(b, "max", m->value.max);
        print_histogram(&m->value, b);
    }
    jbuf_kv_string(b, "unit", metric->unit);
    jbuf_kv_bool(b, "higher_is_better", metric->higher_is_better);
    print_metric_protocol(e, metric, b);
    jbuf_object_end(b);
}

static void print_metrics(const struct evaluation *e, const struct evaluation_metric *metrics,
                          struct jbuf *b) {
    jbuf_key(b, "metrics");
    jbuf_object(b);
    for (size_t id = 0; id < METRIC_COUNT; id++)
        if (metrics[id].present)
            evaluation_print_metric(e, (enum metric_id)id, &metrics[id], NULL, b);
    jbuf_object_end(b);
}

static void print_outputs(const struct evaluation *e, struct jbuf *b) {
    jbuf_key(b, "outputs");
    jbuf_array(b);
    for (size_t i = 0; i < e->output_count; i++) {
        jbuf_object(b);
        jbuf_kv_string(b, "name", e->outputs[i].name);
        jbuf_kv_bool(b, "scores", e->outputs[i].scores);
        print_metrics(e, e->outputs[i].metrics, b);
        jbuf_object_end(b);
    }
    jbuf_array_end(b);
}

static void print_layers(const struct evaluation *e, struct jbuf *b) {
    jbuf_key(b, "layers");
    jbuf_array(b);
    for (size_t i = 0; i < e->layer_count; i++) {
        const struct evaluation_layer *layer = &e->layers[i];
        jbuf_object(b);
        jbuf_kv_string(b, "name", layer->name);
        jbuf_kv_string(b, "node", layer->node);
        jbuf_kv_string(b, "op_type", layer->op_type);
        jbuf_kv_bool(b, "compared", layer->compared);
        jbuf_kv_number(b, "sqnr_db", layer->compared ? layer->sqnr_db : (double)NAN);
        jbuf_kv_bool(b, "exact", layer->compared && isinf(layer->sqnr_db) && layer->sqnr_db > 0);
        jbuf_kv_number(b, "max_error", layer->compared ? layer->max_error : (double)NAN);
        jbuf_object_end(b);
    }
    jbuf_array_end(b);
}

static void print_protocol(const struct evaluation *e, struct jbuf *b) {
    jbuf_key(b, "protocol");
    jbuf_object(b);
    jbuf_kv_string(b, "dataset_kind", e->dataset_kind);
    jbuf_kv_uint(b, "samples", e->samples);
    jbuf_kv_uint(b, "left_out", e->left_out);
    jbuf_kv_uint(b, "batch", e->batch);
    if (e->window) {
        jbuf_kv_uint(b, "window", e->window);
        jbuf_kv_uint(b, "stride", e->window);
    }
    jbuf_kv_string(b, "labels", e->labels);
    jbuf_kv_bool(b, "against_original", e->against_original);
    jbuf_object_end(b);
}

static void print_latency(const struct evaluation *e, struct jbuf *b) {
    jbuf_key(b, "latency");
    if (!e->latency_runs) {
        jbuf_null(b);
        return;
    }
    jbuf_object(b);
    jbuf_kv_number(b, "median_ms", e->latency_ms[1]);
    jbuf_kv_number(b, "p10_ms", e->latency_ms[0]);
    jbuf_kv_number(b, "p90_ms", e->latency_ms[2]);
    jbuf_kv_uint(b, "runs", e->latency_runs);
    jbuf_kv_uint(b, "batch", e->latency_batch);
    jbuf_kv_uint(b, "threads", e->threads);
    jbuf_kv_string(b, "protocol",
                   "wall time of a run in this executor after three to warm up, same batch");
    jbuf_object_end(b);
}

void evaluation_print(const struct evaluation *e, struct jbuf *b) {
    print_metrics(e, e->metrics, b);
    print_outputs(e, b);
    print_layers(e, b);
    print_protocol(e, b);
    jbuf_kv_uint(b, "parameters", e->parameters);
    jbuf_kv_uint(b, "macs", e->macs);
    print_latency(e, b);
    jbuf_key(b, "memory");
    jbuf_object(b);
    jbuf_kv_uint(b, "workspace_bytes", e->workspace_bytes);
    jbuf_kv_uint(b, "weight_bytes", e->weight_bytes);
    jbuf_object_end(b);
}
