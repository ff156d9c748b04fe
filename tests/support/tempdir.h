/*
 * A fresh folder for a test, below $TMPDIR or /tmp, and small files in it. Everything here ends the
 * test on failure: a test without its files proves nothing.
 *
 * Owns: the folder; tempdir_free() removes it with all that is in it. Threads: one.
 */
#ifndef TESTS_SUPPORT_TEMPDIR_H
#define TESTS_SUPPORT_TEMPDIR_H

#include <stddef.h>

struct tempdir {
    char path[256];
};

void tempdir_make(struct tempdir *dir);
void tempdir_free(struct tempdir *dir); /* twice is fine */

/* "<folder>/<name>", valid until the eighth call after this one. */
const char *tempdir_path(const struct tempdir *dir, const char *name);

/* Writes <folder>/<name>, making the folders on the way. */
void tempdir_write(const struct tempdir *dir, const char *name, const void *data, size_t len);
/* The file's bytes, NUL-terminated, malloc'd. ret_len may be NULL. */
char *tempdir_read(const struct tempdir *dir, const char *name, size_t *ret_len);
/* How many entries <folder>/<name> has, hidden ones included. */
size_t tempdir_count(const struct tempdir *dir, const char *name);

#endif
