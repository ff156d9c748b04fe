/*
 * A digesting, syncing sink over an open descriptor: what directories and blobs write through.
 *
 * Bytes are gathered into buffers of FDSINK_BUFFER_BYTES, written by the caller's thread, and
 * hashed by a thread of the sink's own as soon as there is more than one buffer's worth, so that
 * SHA-256 (about 1.5 GB/s) runs beside encoding and beside the copy into the page cache. Write-back
 * is started early, so that the final fdatasync() finds little to do.
 *
 * Owns: the descriptor, four buffers, at most one thread. Threads: one at a time.
 */
#ifndef COMPRESS_BASE_FDSINK_H
#define COMPRESS_BASE_FDSINK_H

#include "compress/base/files.h"

#define FDSINK_BUFFER_BYTES ((size_t)512 * 1024)

/* Appends at the descriptor's own position, which should be the start of an empty file; path is
 * copied and only named in errors. finish() syncs and closes; nothing is renamed. The descriptor is
 * taken over on success only. */
int sink_over_fd_take(int fd, const char *path, struct sink **ret, struct err *err);

/* fsync() of the directory itself, so that a rename in it survives a power loss. */
int fsync_dir(int dir_fd, const char *name, struct err *err);

#endif
