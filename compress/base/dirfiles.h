/*
 * Sources, resolvers and outputs over directories: what compressctl works on, and the file
 * primitives that storage/ builds its blobs from.
 *
 * Reads use pread() in bounded pieces with read-ahead hints; nothing is mapped. An output file is
 * written to "<path>.partial", digested on the way, synced and renamed; the directory is synced
 * after the rename. Threads: sources may be read from several at once, everything else from one.
 */
#ifndef COMPRESS_BASE_DIRFILES_H
#define COMPRESS_BASE_DIRFILES_H

#include "compress/base/files.h"

/* A file or a folder. Folders are walked beneath without following links out of them (a link to a
 * file, as in a Hugging Face cache, is followed when it is named on the command line's behalf:
 * follow_links); hidden files and folders are left out; irregular files refused. */
int dirfiles_open(const char *path, bool follow_links, struct resolver **ret, struct err *err);

/* A source over an open descriptor, which it takes over. path is copied. */
int source_over_fd_take(int fd, const char *path, struct source **ret, struct err *err);

/* Outputs below an existing empty folder (lone = false) or as exactly one file (lone = true;
 * `target` is that file and create()'s path is ignored). */
struct dir_outputs;
int dir_outputs_new(const char *target, bool lone, struct dir_outputs **ret, struct err *err);
struct outputs *dir_outputs_base(struct dir_outputs *outputs);
/* Removes what was written and forgets it. */
void dir_outputs_discard(struct dir_outputs *outputs);
void dir_outputs_free(struct dir_outputs *outputs);

/* A digesting, syncing sink over an open descriptor, which it takes over; no rename. When data is
 * written faster than it can be hashed, hashing runs in a thread of its own beside the disk. */
int sink_over_fd_take(int fd, const char *path, struct sink **ret, struct err *err);

/* fsync() of the directory itself, so that a rename in it survives a power loss. */
int fsync_dir(int dir_fd, const char *name, struct err *err);

#endif
