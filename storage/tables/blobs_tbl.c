/* See blobs_tbl.h. */
#include "storage/tables/blobs_tbl.h"

#include "storage/blob/sweep.h"
#include "storage/db/stmt.h"

struct hex {
    char text[DIGEST_HEX_LEN + 1];
};

static struct hex hex_of(const struct digest *digest) {
    struct hex hex;
    digest_hex(digest, hex.text);
    return hex;
}

int blobs_tbl_hold(struct db_conn *conn, const struct digest *digest, uint64_t bytes,
                   const char *team, int64_t now_ms, struct err *err) {
    struct hex hex = hex_of(digest);
    if (stmt_run(
            conn,
            "INSERT INTO blob (digest, bytes, created_ms, lease_until_ms) VALUES (?1, ?2, ?3, ?4) "
            "ON CONFLICT (digest) DO UPDATE SET lease_until_ms = "
            "max(lease_until_ms, excluded.lease_until_ms)",
            ARGS(ARG_TEXT(hex.text), ARG_INT(bytes), ARG_INT(now_ms),
                 ARG_INT(now_ms + BLOB_LEASE_MS)),
            err) < 0)
        return -1;
    return stmt_run(conn,
                    "INSERT INTO team_blob (team, digest, since_ms) VALUES (?1, ?2, ?3) "
                    "ON CONFLICT DO NOTHING",
                    ARGS(ARG_TEXT(team), ARG_TEXT(hex.text), ARG_INT(now_ms)), err) < 0
               ? -1
               : 0;
}

int blobs_tbl_find(struct db_conn *conn, const char *team, const struct digest *digest,
                   uint64_t *ret_bytes, struct err *err) {
    struct hex hex = hex_of(digest);
    int64_t bytes;
    int found = stmt_number(conn,
                            "SELECT b.bytes FROM team_blob t JOIN blob b ON b.digest = t.digest "
                            "WHERE t.team = ?1 AND t.digest = ?2",
                            ARGS(ARG_TEXT(team), ARG_TEXT(hex.text)), &bytes, err);
    if (found == 1)
        *ret_bytes = (uint64_t)bytes;
    return found;
}

int blobs_tbl_renew(struct db_conn *conn, const struct digest *digest, int64_t now_ms,
                    struct err *err) {
    struct hex hex = hex_of(digest);
    return stmt_run(conn,
                    "UPDATE blob SET lease_until_ms = max(lease_until_ms, ?2) WHERE digest = ?1",
                    ARGS(ARG_TEXT(hex.text), ARG_INT(now_ms + BLOB_LEASE_MS)), err) < 0
               ? -1
               : 0;
}

int blobs_tbl_lease_is_stale(struct db_conn *conn, const struct digest *digest, int64_t now_ms,
                             bool *ret, struct err *err) {
    struct hex hex = hex_of(digest);
    int64_t until = INT64_MAX; /* not here: nothing to renew */
    if (stmt_number(conn, "SELECT lease_until_ms FROM blob WHERE digest = ?1",
                    ARGS(ARG_TEXT(hex.text)), &until, err) < 0)
        return -1;
    *ret = until < now_ms + BLOB_LEASE_MS - BLOB_LEASE_STALE_MS;
    return 0;
}

int blobs_tbl_exists(struct db_conn *conn, const struct digest *digest, struct err *err) {
    struct hex hex = hex_of(digest);
    int64_t one;
    return stmt_number(conn, "SELECT 1 FROM blob WHERE digest = ?1", ARGS(ARG_TEXT(hex.text)), &one,
                       err);
}

int blobs_tbl_delete(struct db_conn *conn, const struct digest *digest, struct err *err) {
    struct hex hex = hex_of(digest);
    return stmt_run(conn, "DELETE FROM blob WHERE digest = ?1", ARGS(ARG_TEXT(hex.text)), err) < 0
               ? -1
               : 0;
}

struct blob_line {
    struct digest digest;
    int64_t bytes;
};

static const struct stmt_field blob_fields[] = {
    {STMT_DIGEST, offsetof(struct blob_line, digest)},
    {STMT_INT, offsetof(struct blob_line, bytes)},
};

int blobs_tbl_expired(struct db_conn *conn, int64_t now_ms, struct digest *ret, uint64_t *ret_bytes,
                      unsigned max, struct err *err) {
    struct arena *arena = arena_new(1 << 20);
    if (!arena)
        return err_set(err, ERR_NO_MEMORY, "no memory to sweep");
    void *rows = NULL;
    size_t count = 0;
    int result =
        stmt_list(conn,
                  "SELECT digest, bytes FROM blob WHERE lease_until_ms < ?1 "
                  "AND NOT EXISTS (SELECT 1 FROM model_file f WHERE f.digest = blob.digest) "
                  "AND NOT EXISTS (SELECT 1 FROM job_file f WHERE f.digest = blob.digest) "
                  "LIMIT ?2",
                  ARGS(ARG_INT(now_ms), ARG_INT(max)), blob_fields, 2, sizeof(struct blob_line),
                  arena, &rows, &count, err);
    const struct blob_line *lines = rows;
    for (size_t i = 0; result == 0 && i < count; i++) {
        ret[i] = lines[i].digest;
        ret_bytes[i] = (uint64_t)lines[i].bytes;
    }
    arena_free(arena);
    return result < 0 ? -1 : (int)count;
}

/* Pages of rows, so that no statement is left stepping while fn works on the same connection. */
int blobs_tbl_each(struct db_conn *conn,
                   int (*fn)(void *ctx, const struct digest *digest, uint64_t bytes), void *ctx,
                   struct err *err) {
    char after[DIGEST_HEX_LEN + 1] = "";
    for (;;) {
        struct arena *arena = arena_new(4 << 20);
        if (!arena)
            return err_set(err, ERR_NO_MEMORY, "no memory to read blobs");
        void *rows = NULL;
        size_t count = 0;
        int result = stmt_list(conn,
                               "SELECT digest, bytes FROM blob WHERE digest > ?1 ORDER BY digest "
                               "LIMIT 1000",
                               ARGS(ARG_TEXT(after)), blob_fields, 2, sizeof(struct blob_line),
                               arena, &rows, &count, err);
        const struct blob_line *lines = rows;
        for (size_t i = 0; result == 0 && i < count; i++) {
            digest_hex(&lines[i].digest, after);
            result = fn(ctx, &lines[i].digest, (uint64_t)lines[i].bytes);
        }
        arena_free(arena);
        if (result != 0 || count == 0)
            return result;
    }
}

int blobs_tbl_team_bytes(struct db_conn *conn, const char *team, uint64_t *ret, struct err *err) {
    int64_t bytes = 0;
    int found = stmt_number(conn,
                            "SELECT coalesce(sum(b.bytes), 0) FROM team_blob t "
                            "JOIN blob b ON b.digest = t.digest WHERE t.team = ?1",
                            ARGS(ARG_TEXT(team)), &bytes, err);
    if (found < 0)
        return -1;
    *ret = (uint64_t)bytes;
    return 0;
}
