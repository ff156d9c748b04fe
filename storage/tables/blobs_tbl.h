/* Statements on `blob` and `team_blob`. Writes only with the writer's connection, in a closure. */
#ifndef STORAGE_TABLES_BLOBS_TBL_H
#define STORAGE_TABLES_BLOBS_TBL_H

#include "compress/base/digest.h"
#include "storage/db/db.h"

/* Inserts or finds the blob, lets the team hold it, renews the lease. */
int blobs_tbl_hold(struct db_conn *conn, const struct digest *digest, uint64_t bytes,
                   const char *team, int64_t now_ms, struct err *err);
/* 1: the team holds it; 0: not (another team's digest counts as not there); -1: err. */
int blobs_tbl_find(struct db_conn *conn, const char *team, const struct digest *digest,
                   uint64_t *ret_bytes, struct err *err);
int blobs_tbl_renew(struct db_conn *conn, const struct digest *digest, int64_t now_ms,
                    struct err *err);
/* Has the lease run for BLOB_LEASE_STALE_MS, so that a call which names the blob must renew it
 * before it may say that the blob is here? Younger ones are left alone: no write for every HEAD. */
int blobs_tbl_lease_is_stale(struct db_conn *conn, const struct digest *digest, int64_t now_ms,
                             bool *ret, struct err *err);
/* Does any row know this blob? 1/0/-1. */
int blobs_tbl_exists(struct db_conn *conn, const struct digest *digest, struct err *err);
int blobs_tbl_delete(struct db_conn *conn, const struct digest *digest, struct err *err);
/* Unreferenced with a lease before now: up to max digests and sizes into the caller's arrays.
 * Count, or -1. */
int blobs_tbl_expired(struct db_conn *conn, int64_t now_ms, struct digest *ret, uint64_t *ret_bytes,
                      unsigned max, struct err *err);
/* fn for every row; non-zero stops and is returned. */
int blobs_tbl_each(struct db_conn *conn,
                   int (*fn)(void *ctx, const struct digest *digest, uint64_t bytes), void *ctx,
                   struct err *err);
/* Bytes that a team holds (distinct blobs). */
int blobs_tbl_team_bytes(struct db_conn *conn, const char *team, uint64_t *ret, struct err *err);

#endif
