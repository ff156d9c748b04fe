/*
 * Housekeeping of blobs: reconciliation at start, and the sweep of what nothing refers to.
 *
 * A blob is referred to by the files of a model version or by the artifact files of a job. One that
 * is not carries a lease; when it has run out the sweep deletes the rows and then moves the file to
 * trash/, both on the writer thread – where publishing runs too, so a sweep can never eat a file
 * that has just come back.
 */
#ifndef STORAGE_BLOB_SWEEP_H
#define STORAGE_BLOB_SWEEP_H

#include "storage/blob/blobs.h"

#define BLOB_LEASE_MS (24 * 60 * 60 * 1000LL)
#define BLOB_LEASE_STALE_MS (60 * 60 * 1000LL) /* renewed at most this often */

struct sweep_result {
    unsigned blobs;
    uint64_t bytes;
};

/* At start, before the writer runs: empties staging/ and trash/, removes blob files without a row,
 * and drops rows whose file is missing (reporting each through the log). */
int sweep_reconcile(struct blobs *blobs, struct db_conn *conn, struct err *err);
/* In a writer closure. At most max_blobs at once, so that a group stays short. */
int sweep_run(struct blobs *blobs, struct db_conn *conn, int64_t now_ms, unsigned max_blobs,
              struct sweep_result *ret, struct err *err);
/* Outside the closure: unlinks what lies in trash/. */
void sweep_empty_trash(struct blobs *blobs);

#endif
