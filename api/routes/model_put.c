/*
 * PUT /v1/models/{name} and /v1/datasets/{name}: one file, or a tar of a folder.
 *
 * A file goes to staging as it arrives. A tar is taken apart while it arrives: chunks go into a
 * bounded ring, a pool thread (one of the few for work that lasts as long as a client likes) pulls
 * them through libarchive into staged files, and when the ring is full the connection sleeps until
 * there is room.
 */
#include "api/routes/routes.h"

#include "api/routes/intake.h"
#include "compress/base/counters.h"

#include <string.h>
#include <strings.h>

static int start_untar(struct request *r, struct intake *in, struct err *err);
static int tar_ended(struct request *r, struct err *err);

static bool is_tar(const struct request *r) {
    const char *type = request_header(r, "Content-Type");
    size_t n = type ? strcspn(type, "; ") : 0;
    return (n == 17 && strncasecmp(type, "application/x-tar", n) == 0) ||
           (n == 15 && strncasecmp(type, "application/tar", n) == 0);
}

int model_put_begin(struct request *r, struct err *err) {
    struct intake *in;
    const char *filename = request_query(r, "filename");
    if (!r->has_body && r->content_length == UINT64_MAX)
        return err_set(err, ERR_NO_LENGTH, "send the bytes with a Content-Length, or chunked");
    if (filename && (!path_ok(filename) || strchr(filename, '/')))
        return err_set(err, ERR_BAD_QUERY, "filename: not the name of a file");
    if (intake_new(r, r->args[0], &in, err))
        return -1;
    struct blobs *blobs = r->service->store->blobs;
    if (!is_tar(r))
        return staged_new(blobs, r->content_length, r->service->options.max_upload_bytes,
                          &in->staged, err);
    if (filename)
        return err_set(err, ERR_BAD_QUERY, "filename: a tar names its files itself");
    if (r->content_length != UINT64_MAX && r->content_length > blobs_free_bytes(blobs))
        return err_set(err, ERR_NO_SPACE, "there is no room for %llu bytes",
                       (unsigned long long)r->content_length);
    return start_untar(r, in, err);
}

static void on_room(void *self) {
    struct request *r = self;
    suspend_wake(&r->suspend);
}

static void consume(void *self) {
    struct request *r = self;
    struct intake *in = r->state;
    untar_run(in->untar, &in->tar_err);
}

static void consumed(void *self) {
    struct request *r = self;
    struct intake *in = r->state;
    atomic_store(&in->tar_over, true);
    suspend_wake(&r->suspend);
    request_unref(r);
}

static void on_end(struct request *r) {
    struct intake *in = r->state;
    if (!atomic_load(&in->tar_over))
        untar_abort(in->untar);
}

static int start_untar(struct request *r, struct intake *in, struct err *err) {
    struct service *service = r->service;
    if (untar_new(service->store->blobs, service->options.max_upload_bytes, on_room, r, &in->untar,
                  err))
        return -1;
    in->tar_work = (struct offload){.run = consume, .done = consumed, .ctx = r, .slow = true};
    atomic_store(&in->tar_over, false);
    r->on_end = on_end;
    request_ref(r);
    if (engine_offload(service->engine, &in->tar_work, err)) {
        atomic_store(&in->tar_over, true);
        request_unref(r);
        return -1;
    }
    return 0;
}

static int tar_failed(struct intake *in, struct err *err) {
    if (!atomic_load(&in->tar_over) || in->tar_err.code == ERR_OK)
        return 0;
    if (err)
        *err = in->tar_err;
    return -1;
}

/* What does not fit stays with the library until there is room. */
static int tar_chunk(struct request *r, struct intake *in, const char *data, size_t len,
                     size_t *ret_taken, struct err *err) {
    if (tar_failed(in, err))
        return -1;
    *ret_taken = 0;
    for (;;) {
        *ret_taken += untar_feed(in->untar, data + *ret_taken, len - *ret_taken);
        if (*ret_taken == len)
            return 0;
        body_pause(r);
        if (request_suspend(r))
            return 0;
        body_continue(r);
        if (atomic_load(&r->service->draining))
            return err_set(err, ERR_DRAINING, "the server is shutting down");
    }
}

int model_put_chunk(struct request *r, const void *data, size_t len, size_t *ret_taken,
                    struct err *err) {
    struct intake *in = r->state;
    if (!in->staged) {
        int rc = tar_chunk(r, in, data, len, ret_taken, err);
        counter_add(COUNTER_UPLOAD_BYTES, (int64_t)(rc ? len : *ret_taken));
        return rc;
    }
    *ret_taken = len;
    counter_add(COUNTER_UPLOAD_BYTES, (int64_t)len);
    return staged_write(in->staged, data, len, err);
}

int model_put(struct request *r, struct err *err) {
    struct intake *in = r->state;
    if (in->staged)
        return intake_take(r, err);
    untar_end(in->untar);
    return tar_ended(r, err);
}

static int tar_ended(struct request *r, struct err *err) {
    struct intake *in = r->state;
    if (!atomic_load(&in->tar_over))
        return request_sleep(r, tar_ended, err);
    return tar_failed(in, err) ? -1 : intake_take(r, err);
}
