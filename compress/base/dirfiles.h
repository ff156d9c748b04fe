/*
 * A file or a folder of this machine as the files of a model: what compressctl reads.
 *
 * Below the folder that was named no link to a folder is ever followed; files are opened when they
 * are asked for, and must still have the size they were listed with.
 *
 * Owns: one descriptor; a source is independent of its resolver. Threads: sources may be read from
 * several at once, everything else from one.
 */
#ifndef COMPRESS_BASE_DIRFILES_H
#define COMPRESS_BASE_DIRFILES_H

#include "compress/base/arena.h"
#include "compress/base/files.h"

/* A file (lone) or a folder. Hidden files and folders are left out; what is neither file nor folder
 * is refused by name, and so are links, unless follow_links says that the path was named by the
 * user of this machine: then a link to a file is read as that file, wherever it leads (a Hugging
 * Face cache is made of links out of the folder). That gives nobody what they could not read
 * themselves, but the file's bytes go where the model goes; a server opens nothing so. Links to
 * folders are never followed.
 * Expected failures: ERR_NOT_FOUND (no such path, no file in the folder, a link to nothing),
 * ERR_UNSUPPORTED (a link, a circle of links, an irregular file), ERR_BAD_NAME (a path that
 * path_ok() refuses), ERR_TOO_LARGE (more than LIMIT_MODEL_FILES), ERR_IO. A file whose size
 * changes between listing and opening: ERR_IO. */
int dirfiles_open(const char *path, bool follow_links, struct resolver **ret, struct err *err);

/* The same over files that are known already: below dir_fd (not taken over), in any order, copied.
 * `shown` is what the folder is called in messages. */
int dirfiles_over(int dir_fd, const char *shown, const struct resolver_file *files, size_t count,
                  bool lone, struct resolver **ret, struct err *err);

/* The folder that holds a path named by the user of this machine, opened (yours), and the path's
 * last name, in the arena. -1 with errno. */
int dirfiles_open_folder_of(const char *path, struct arena *arena, const char **ret_name);

#endif
