/*
 * Metrics for people: a table of what the original and the result measure, the same for a report of
 * the server and for one made here. Threads: one.
 */
#ifndef DAEMON_CTL_METRICS_H
#define DAEMON_CTL_METRICS_H

#include <stdio.h>

/* "measured on digits (8 samples)", and the head of the table. set NULL: it has no name. */
void ctl_metrics_head(FILE *out, const char *indent, const char *set, unsigned long long samples);
/* An infinite value is printed as "exact"; before NULL: the metric is a comparison. */
void ctl_metrics_row(FILE *out, const char *indent, const char *name, const char *unit,
                     const double *before, double after);

#endif
