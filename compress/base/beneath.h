/*
 * Opening things below a folder, component by component and through no link: a path is resolved
 * once, against a descriptor, and nothing that is put in a folder's place leads out of it.
 *
 * Threads: any.
 */
#ifndef COMPRESS_BASE_BENEATH_H
#define COMPRESS_BASE_BENEATH_H

#include "compress/base/err.h"

#include <stddef.h>

/* A descriptor of the folder that holds `path` below dir_fd (yours to close), and in ret_name the
 * path's last name, borrowed from path. path has passed path_ok(). -1 with ERR_NOT_FOUND (a folder
 * on the way is missing or is none), ERR_IO. */
int beneath_open_parent(int dir_fd, const char *path, const char **ret_name, struct err *err);

/* The same, and makes the folders that are missing; made(ctx, path, len) hears of each: it is the
 * first len bytes of path. When made() fails the folder is removed again and -1 is returned. */
int beneath_make_parent(int dir_fd, const char *path,
                        int (*made)(void *ctx, const char *path, size_t len, struct err *err),
                        void *ctx, const char **ret_name, struct err *err);

/* The code for an errno of open(), mkdir() or rename(): ERR_NOT_FOUND, ERR_EXISTS or ERR_IO. */
enum err_code beneath_code(int errno_value);

#endif
