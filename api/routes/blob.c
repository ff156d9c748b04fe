/*
 * PUT, GET and HEAD /v1/blobs/sha256:{hex}.
 *
 * An upload is written and hashed as it arrives, sealed (fsync) on a pool thread, compared with the
 * digest in its address, and published by the writer; nothing of it stays when any of that fails.
 */
#include "api/routes/routes.h"

#include "api/http/request.h"
#include "api/json/views.h"
#include "api/routes/discard.h"
#include "compress/base/counters.h"
#include "storage/tables/blobs_tbl.h"

#include <stdlib.h>
#include <string.h>

struct blob_upload {
    struct service *service;
    struct staged *staged;
    struct digest stated;
    bool was_here;
};

static void blob_upload_free(void *state) {
    struct blob_upload *upload = state;
    discard_staged(upload->service, upload->staged);
    free(upload);
}

static bool parse_digest(const char *text, struct digest *ret) {
    return strncmp(text, "sha256:", 7) == 0 && digest_from_hex(text + 7, ret);
}

static int reply_stored(struct request *r, const struct digest *digest, uint64_t bytes,
                        unsigned status, struct err *err) {
    struct jbuf b;
    jbuf_init(&b);
    view_blob(&b, digest, bytes);
    reply_headerf(r, "Location", "/v1/blobs/%s", r->args[0]);
    return reply_json(r, status, &b, err);
}

/* Does the team hold it, and must its lease be renewed before anybody is told so? As
 * blobs_tbl_find(). */
static int find_blob(struct request *r, const struct digest *digest, uint64_t *ret_bytes,
                     bool *ret_stale, struct err *err) {
    struct db_conn *conn = request_read(r, err);
    int found = conn ? blobs_tbl_find(conn, r->principal.team, digest, ret_bytes, err) : -1;
    if (found > 0 && blobs_tbl_lease_is_stale(conn, digest, db_now_ms(), ret_stale, err))
        found = -1;
    request_read_end(r, conn);
    return found;
}

int blob_put_begin(struct request *r, struct err *err) {
    struct digest digest;
    if (!parse_digest(r->args[0], &digest))
        return err_set(err, ERR_BAD_REQUEST, "the address of a blob is sha256: and 64 hex digits");
    if (!r->has_body && r->content_length == UINT64_MAX)
        return err_set(err, ERR_NO_LENGTH, "send the bytes with a Content-Length, or chunked");
    uint64_t bytes = 0;
    bool stale = false;
    int found = find_blob(r, &digest, &bytes, &stale, err);
    if (found < 0)
        return -1;
    /* A client that waits to be asked need not send what is already here and will stay. */
    if (found && !stale && r->expects_continue)
        return reply_stored(r, &digest, bytes, 200, err);
    struct blob_upload *upload = calloc(1, sizeof *upload);
    if (!upload)
        return err_set(err, ERR_NO_MEMORY, "no memory for the upload");
    r->state = upload;
    r->state_free = blob_upload_free;
    upload->service = r->service;
    upload->stated = digest;
    return staged_new(r->service->store->blobs, r->content_length,
                      r->service->options.max_upload_bytes, &upload->staged, err);
}

int blob_put_chunk(struct request *r, const void *data, size_t len, size_t *ret_taken,
                   struct err *err) {
    struct blob_upload *upload = r->state;
    *ret_taken = len;
    counter_add(COUNTER_UPLOAD_BYTES, (int64_t)len);
    return staged_write(upload->staged, data, len, err);
}

static int seal(struct request *r, struct err *err) {
    struct blob_upload *upload = r->state;
    struct digest digest;
    if (staged_seal(upload->staged, &digest, err))
        return -1;
    if (!digest_equal(&digest, &upload->stated)) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(&digest, hex);
        return err_set(err, ERR_BAD_DIGEST, "the %llu bytes received have the digest sha256:%s",
                       (unsigned long long)staged_bytes(upload->staged), hex);
    }
    return 0;
}

static int publish(struct db_conn *conn, struct request *r, struct err *err) {
    struct blob_upload *upload = r->state;
    uint64_t bytes;
    int found = blobs_tbl_find(conn, r->principal.team, &upload->stated, &bytes, err);
    if (found < 0)
        return -1;
    upload->was_here = found > 0;
    return staged_publish(upload->staged, conn, r->principal.team, err);
}

static int published(struct request *r, struct err *err) {
    struct blob_upload *upload = r->state;
    return reply_stored(r, &upload->stated, staged_bytes(upload->staged),
                        upload->was_here ? 200 : 201, err);
}

static int sealed(struct request *r, struct err *err) {
    return request_write(r, publish, published, err);
}

int blob_put(struct request *r, struct err *err) {
    return request_offload(r, seal, sealed, err);
}

static int send_blob(struct request *r, struct err *err) {
    struct digest digest;
    uint64_t bytes;
    int fd;
    parse_digest(r->args[0], &digest);
    if (blob_open_fd(r->service->store->blobs, &digest, &fd, &bytes, err))
        return -1;
    return reply_content(r,
                         &(struct reply_content){.type = "application/octet-stream",
                                                 .bytes = bytes,
                                                 .digest = &digest,
                                                 .filename = r->args[0] + 7,
                                                 .fd = fd},
                         err);
}

static int renew(struct db_conn *conn, struct request *r, struct err *err) {
    struct digest digest;
    parse_digest(r->args[0], &digest);
    return blobs_tbl_renew(conn, &digest, db_now_ms(), err);
}

int blob_get(struct request *r, struct err *err) {
    struct digest digest;
    uint64_t bytes = 0;
    bool stale = false;
    if (!parse_digest(r->args[0], &digest))
        return err_set(err, ERR_NOT_FOUND, "the address of a blob is sha256: and 64 hex digits");
    int found = find_blob(r, &digest, &bytes, &stale, err);
    if (found < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "there is no blob %s", r->args[0]);
    return stale ? request_write(r, renew, send_blob, err) : send_blob(r, err);
}
