/*
 * The verbs of the tool, one file each (ctl_<verb>.c), one row each in compressctl.c's table.
 */
#ifndef DAEMON_CTL_VERBS_H
#define DAEMON_CTL_VERBS_H

#include "daemon/ctl_args.h"

/* Work here, on files of this machine. */
extern const struct ctl_verb ctl_inspect;
extern const struct ctl_verb ctl_compress;
extern const struct ctl_verb ctl_evaluate;
extern const struct ctl_verb ctl_recipes;

/* Work of a server. */
extern const struct ctl_verb ctl_push;
extern const struct ctl_verb ctl_models;
extern const struct ctl_verb ctl_datasets;
extern const struct ctl_verb ctl_rm;
extern const struct ctl_verb ctl_plan;
extern const struct ctl_verb ctl_submit;
extern const struct ctl_verb ctl_watch;
extern const struct ctl_verb ctl_jobs;
extern const struct ctl_verb ctl_cancel;
extern const struct ctl_verb ctl_retry;
extern const struct ctl_verb ctl_pull;
extern const struct ctl_verb ctl_report;
extern const struct ctl_verb ctl_log;
extern const struct ctl_verb ctl_run;
extern const struct ctl_verb ctl_doctor;

#endif
