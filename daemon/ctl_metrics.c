/* See ctl_metrics.h. */
#include "daemon/ctl_metrics.h"

#include <math.h>
#include <stdio.h>

void ctl_metrics_head(FILE *out, const char *indent, const char *set, unsigned long long samples) {
    fprintf(out, "%smeasured on %s (%llu samples)\n", indent, set ? set : "a dataset", samples);
    fprintf(out, "%s%-16s %14s %14s\n", indent, "metric", "original", "result");
}

static const char *text_of(double value, char *text, size_t size) {
    snprintf(text, size, isinf(value) && value > 0 ? "exact" : "%.6g", value);
    return text;
}

void ctl_metrics_row(FILE *out, const char *indent, const char *name, const char *unit,
                     const double *before, double after) {
    char a[32], b[32];
    fprintf(out, "%s%-16s %14s %14s%s%s\n", indent, name,
            before ? text_of(*before, a, sizeof a) : "", text_of(after, b, sizeof b),
            *unit ? " " : "", unit);
}
