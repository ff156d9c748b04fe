/*
 * Content-addressed files, and files on their way to become such.
 *
 *   staging/<random>                       being written
 *   blobs/sha256/ab/abcdef…                whole, durable, has a row in `blob`
 *   trash/<hex>.<random>                   swept; unlinked when the last reader is gone
 *
 * The life of a file: staged_new → staged_write … → staged_seal (fsync; slow, never on an HTTP or
 * the writer thread) → staged_publish (inside a writer closure: rename, fsync of the directory,
 * rows). Anything not published is removed by staged_discard(), and at the next start.
 *
 * Owns: a staged file owns its descriptor and hasher. Threads: one at a time per staged file;
 * blob_open from any.
 */
#ifndef STORAGE_BLOB_BLOBS_H
#define STORAGE_BLOB_BLOBS_H

#include "compress/base/arena.h"
#include "compress/base/digest.h"
#include "compress/base/files.h"
#include "storage/db/db.h"

struct blobs;

int blobs_open(const char *data_dir, struct blobs **ret, struct err *err);
void blobs_close(struct blobs *blobs);
/* Free bytes on the file system of the data directory, minus the low-water mark; 0 when below it.
 */
uint64_t blobs_free_bytes(const struct blobs *blobs);
void blobs_set_low_water(struct blobs *blobs, uint64_t bytes);

struct staged;
/* expected_bytes: reserved on disk when known (ERR_NO_SPACE now, not after 40 GB); UINT64_MAX
 * unknown. limit_bytes: ERR_TOO_LARGE beyond. */
int staged_new(struct blobs *blobs, uint64_t expected_bytes, uint64_t limit_bytes,
               struct staged **ret, struct err *err);
int staged_write(struct staged *staged, const void *data, size_t len, struct err *err);
uint64_t staged_bytes(const struct staged *staged);
/* Digest of everything written; fsyncs. No more writes. */
int staged_seal(struct staged *staged, struct digest *ret, struct err *err);
/* A source over the staged file (after seal). */
int staged_source(struct staged *staged, const char *path, struct source **ret, struct err *err);
/* In a writer closure, after seal: makes it the blob of its digest for `team` (rows blob and
 * team_blob with a fresh lease). If the blob exists already the staged copy is dropped. Idempotent.
 */
int staged_publish(struct staged *staged, struct db_conn *conn, const char *team, struct err *err);
/* Frees; removes the file unless it was published. NULL is fine. */
void staged_discard(struct staged *staged);

/* An open descriptor of a blob (the caller closes), e.g. for sendfile. ERR_NOT_FOUND. */
int blob_open_fd(struct blobs *blobs, const struct digest *digest, int *ret_fd, uint64_t *ret_bytes,
                 struct err *err);
int blob_source(struct blobs *blobs, const struct digest *digest, const char *path,
                struct source **ret, struct err *err);

/* The files of a model or artifact as a resolver. Entries are copied. */
struct blob_entry {
    const char *path;
    struct digest digest;
    uint64_t bytes;
};
int blob_resolver(struct blobs *blobs, const struct blob_entry *entries, size_t count, bool lone,
                  struct resolver **ret, struct err *err);

#endif
