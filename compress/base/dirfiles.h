/*
 * Sources, resolvers and outputs over directories: what compressctl works on, and the file
 * primitives that storage/ builds its blobs from (the sink over a descriptor is in fdsink.h).
 *
 * Reads use pread() with read-ahead hints; nothing is mapped. An output file is written to
 * "<path>.partial", digested on the way, synced and renamed without replacing anything; the
 * directory is synced after the rename. Below the folder that was named, every path component is
 * opened by itself and no link to a folder is ever followed.
 *
 * Owns: descriptors. Threads: sources may be read from several at once, everything else from one.
 */
#ifndef COMPRESS_BASE_DIRFILES_H
#define COMPRESS_BASE_DIRFILES_H

#include "compress/base/files.h"

/* A file (lone) or a folder. Hidden files and folders are left out; what is neither file nor folder
 * is refused by name, and so are links, unless follow_links says that the path was named by the
 * user of this machine: then a link to a file is read (a Hugging Face cache is made of them).
 * Expected failures: ERR_NOT_FOUND (no such path, or no file in the folder), ERR_UNSUPPORTED (a
 * link or irregular file), ERR_BAD_NAME (a path that path_ok() refuses), ERR_TOO_LARGE (more than
 * LIMIT_MODEL_FILES), ERR_IO. A file whose size changes between listing and opening: ERR_IO. */
int dirfiles_open(const char *path, bool follow_links, struct resolver **ret, struct err *err);

/* A source over the regular file behind an open descriptor, which it takes over on success. path is
 * copied. */
int source_over_fd_take(int fd, const char *path, struct source **ret, struct err *err);

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

/* fsync() of the directory itself, so that a rename in it survives a power loss. */
int fsync_dir(int dir_fd, const char *name, struct err *err);

#endif
