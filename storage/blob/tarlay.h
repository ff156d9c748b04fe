/*
 * A virtual tar: the layout of a tar over blobs, without a second copy on disk.
 *
 * ustar with pax headers where a path or size needs them (POSIX.1-2017 pax interchange); members in
 * path order, mode 0644, uid/gid 0, mtime 0, two zero blocks at the end. The same files give the
 * same bytes, so length, SHA-256, ETag and ranges are known before the first byte is sent.
 */
#ifndef STORAGE_BLOB_TARLAY_H
#define STORAGE_BLOB_TARLAY_H

#include "compress/base/progress.h"
#include "storage/blob/blobs.h"

struct tarlay;

int tarlay_new(const struct blob_entry *entries, size_t count, struct tarlay **ret,
               struct err *err);
uint64_t tarlay_bytes(const struct tarlay *tar);
/* SHA-256 of the whole tar; reads every file once through the resolver of the same entries.
 * `progress` (may be NULL) is asked every megabyte whether to go on: ERR_CANCELLED. */
int tarlay_digest(const struct tarlay *tar, struct resolver *files, const struct progress *progress,
                  struct digest *ret, struct err *err);
/* Bytes [offset, offset+len) of the tar; the reader opens blobs as it comes to them and keeps one
 * open. */
struct tarlay_reader;
int tarlay_reader_new(const struct tarlay *tar, struct blobs *blobs, struct tarlay_reader **ret,
                      struct err *err);
int tarlay_read(struct tarlay_reader *reader, uint64_t offset, void *buf, size_t len,
                struct err *err);
void tarlay_reader_free(struct tarlay_reader *reader);
void tarlay_free(struct tarlay *tar);

#endif
