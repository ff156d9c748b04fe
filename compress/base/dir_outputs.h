/*
 * Outputs over a directory: files that appear whole or not at all.
 *
 * A file is written to "<path>.partial", digested on the way, synced and renamed without replacing
 * anything; the directory is synced after the rename. No link below the folder is followed.
 *
 * Owns: one descriptor, and one per sink. Threads: one.
 */
#ifndef COMPRESS_BASE_DIR_OUTPUTS_H
#define COMPRESS_BASE_DIR_OUTPUTS_H

#include "compress/base/files.h"

/* Outputs below an existing empty folder (lone = false) or as exactly one file that must not exist
 * (lone = true; `target` is that file and create()'s path is ignored). Expected failures:
 * ERR_NOT_FOUND, ERR_EXISTS, ERR_IO, ERR_NO_SPACE. Sinks must be finished or aborted before the
 * outputs are discarded or freed. */
struct dir_outputs;
int dir_outputs_new(const char *target, bool lone, struct dir_outputs **ret, struct err *err);
struct outputs *dir_outputs_base(struct dir_outputs *outputs);
/* Removes what was written and forgets it; the outputs may be used again. */
void dir_outputs_discard(struct dir_outputs *outputs);
void dir_outputs_free(struct dir_outputs *outputs);

#endif
