/*
 * A tar taken apart while it arrives: entries become staged files, the whole tar is never on disk.
 *
 * The producer (an HTTP thread) puts bytes into a bounded ring and is told when it is full; the
 * consumer (untar_run on a pool thread) pulls them through libarchive (tar formats only, no
 * filters). Refused, naming the entry: absolute paths, "..", links, devices, duplicate paths
 * (ignoring case too), more than LIMIT_MODEL_FILES files, more than the byte limit, a truncated
 * archive. Directories are ignored. A single common top folder ("mymodel/…") is stripped.
 */
#ifndef STORAGE_BLOB_UNTAR_H
#define STORAGE_BLOB_UNTAR_H

#include "storage/blob/blobs.h"

struct untar;

/* `on_room` is called (from the consumer's thread) when a full ring has room again or the consumer
 * ended early. */
int untar_new(struct blobs *blobs, uint64_t limit_bytes, void (*on_room)(void *self), void *self,
              struct untar **ret, struct err *err);
/* Puts what fits; returns how much was taken (all of it once the consumer has failed: the rest is
 * dropped). After a return short of len, wait for on_room before the next call. */
size_t untar_feed(struct untar *untar, const void *data, size_t len);
void untar_end(struct untar *untar);   /* no more bytes: the archive is complete */
void untar_abort(struct untar *untar); /* no more bytes: the client is gone */

/* Consumer: runs to the end of the archive. Files come out sealed. */
int untar_run(struct untar *untar, struct err *err);
size_t untar_count(const struct untar *untar);
const char *untar_path(const struct untar *untar, size_t i); /* sorted by path */
struct staged *untar_file(struct untar *untar, size_t i);    /* borrowed */
const struct digest *untar_digest(const struct untar *untar, size_t i);
/* A resolver over the staged files, for inspection before they are published. */
int untar_resolver(struct untar *untar, struct resolver **ret, struct err *err);
/* Frees; discards what was not published. Only when untar_run has returned or never ran. */
void untar_free(struct untar *untar);

#endif
