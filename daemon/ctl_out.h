/*
 * What the tool says when something is wrong, and the code it leaves with.
 *
 * Exit codes are one table (documented in `compressctl --help`):
 *
 *   0 done · 2 usage · 3 refused before work · 4 job failed · 5 cancelled · 6 network ·
 *   7 verification mismatch
 *
 * A problem goes to standard error: one line per finding with its pointer, tensor, file and offset,
 * and the nearest value that would have worked. Under --json it is one line on standard output,
 * {"type":"error","problem":{...}} (see base/problemdoc.h). Threads: one.
 */
#ifndef DAEMON_CTL_OUT_H
#define DAEMON_CTL_OUT_H

#include "compress/base/err.h"
#include "compress/base/violations.h"

#include <stdbool.h>
#include <stdio.h>

enum ctl_exit {
    CTL_DONE = 0,
    CTL_USAGE = 2,
    CTL_REFUSED = 3,
    CTL_FAILED = 4,
    CTL_CANCELLED = 5,
    CTL_NETWORK = 6,
    CTL_MISMATCH = 7,
};

/* The code for an error; `working`: the work had begun. */
enum ctl_exit ctl_exit_of(enum err_code code, bool working);
/* Walk over the documented codes: the meaning of row i, NULL past the end. */
const char *ctl_exit_at(unsigned i, enum ctl_exit *ret_code);

/* Prints the problem and returns the exit code. list may be NULL or empty. */
int ctl_fail(const struct err *err, const struct violations *list, bool json, bool working);

/* One warning per line, to `out`. */
void ctl_print_violation(const char *kind, const struct violation *v, FILE *out);

/* All findings; of many that differ in the tensor and in numbers alone the first five. */
void ctl_print_findings(const struct violations *list, FILE *out);

#endif
