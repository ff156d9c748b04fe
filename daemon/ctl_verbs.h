/*
 * The verbs of the tool, one file each (ctl_<verb>.c), one row each in compressctl.c's table.
 */
#ifndef DAEMON_CTL_VERBS_H
#define DAEMON_CTL_VERBS_H

#include "daemon/ctl_args.h"

/* Work here, on files of this machine. */
extern const struct ctl_verb ctl_inspect;
extern const struct ctl_verb ctl_compress;
extern const struct ctl_verb ctl_recipes;

#endif
