/*
 * A source over an open descriptor: what folders and blobs are read through.
 *
 * Reads are pread() calls with read-ahead hints; nothing is mapped.
 *
 * Owns: the descriptor. Threads: any number at once.
 */
#ifndef COMPRESS_BASE_FDSOURCE_H
#define COMPRESS_BASE_FDSOURCE_H

#include "compress/base/files.h"

/* Over the regular file behind fd, which is taken over on success; path is copied. Expected
 * failures: ERR_UNSUPPORTED (no regular file), ERR_IO; reading fails with ERR_IO naming path and
 * offset, also when the file has become shorter. */
int source_over_fd_take(int fd, const char *path, struct source **ret, struct err *err);

#endif
