/*
 * Output that appears whole or not at all: it grows in a hidden folder beside the place where it
 * shall stand, and is renamed there when it is finished.
 *
 *   OUT's folder/
 *     .OUT.XXXXXX/      made by beside_new(), removed by beside_free()
 *       NAME            the file or folder that is being written
 *     OUT               by beside_publish(), in one step
 *
 * Owns: the hidden folder and what is in it. Threads: one.
 */
#ifndef DAEMON_BESIDE_H
#define DAEMON_BESIDE_H

#include "compress/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct beside;

/* What can be said of OUT before any work: ERR_EXISTS when it is there (unless `replace`) or lies
 * within `source` (NULL: do not ask), ERR_NOT_FOUND without its folder, ERR_IO when that cannot be
 * written to, ERR_BAD_REQUEST for "-". */
int beside_check(const char *out, const char *source, bool replace, struct err *err);

/* "OUT/" names a folder: a lone file goes into it under `name`; the folder must be there.
 *
 * ERR_EXISTS when OUT exists, unless `replace`; even then a folder is only replaced by a folder and
 * a file by a file. ERR_NO_SPACE when fewer than `bytes` are free there. `name` is what the output
 * is called until it is published; as_folder: an empty folder is made for it. */
int beside_new(const char *out, const char *name, bool as_folder, bool replace, uint64_t bytes,
               struct beside **ret, struct err *err);
/* Path of the file to write, or of the folder to fill. Borrowed. */
const char *beside_path(const struct beside *beside);
/* Where it will stand: OUT, or OUT/name. Borrowed. */
const char *beside_out(const struct beside *beside);
/* Moves it to OUT and makes the rename durable. */
int beside_publish(struct beside *beside, struct err *err);
/* Removes what was not published, and what was replaced. NULL is fine. */
void beside_free(struct beside *beside);

#endif
