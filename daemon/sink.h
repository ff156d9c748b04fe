/*
 * Where log lines go: standard error, with time and level; under systemd with a priority prefix
 * instead, because the journal keeps the time itself. One write() a line, so lines of threads do
 * not mix.
 */
#ifndef DAEMON_SINK_H
#define DAEMON_SINK_H

#include "compress/base/err.h"

/* level: "error", "warn", "info", "debug". */
int sink_install(const char *level, struct err *err);

#endif
