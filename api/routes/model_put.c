/*
 * PUT /v1/models/{name}: one model file, or a tar of a folder.
 *
 * A file goes to staging as it arrives. A tar is taken apart while it arrives: chunks go into a
 * bounded ring, a pool thread (one of the few for work that lasts as long as a client likes) pulls
 * them through libarchive into staged files, and when the ring is full the connection sleeps until
 * there is room. What a chunk leaves over is kept beside the ring, because
 * the library wants a chunk taken whole.
 */
#include "api/routes/routes.h"

#include "api/routes/intake.h"
#include "compress/base/counters.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int start_untar(struct request *r, struct intake *in, struct err *err);
static int flush_tar(struct request *r, struct err *err);

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

/* Feeds what is left over; true when nothing is. */
static bool feed_rest(struct intake *in) {
    if (!in->rest_len)
        return true;
    size_t taken = untar_feed(in->untar, in->rest, in->rest_len);
    in->rest_len -= taken;
    memmove(in->rest, in->rest + taken, in->rest_len);
    return in->rest_len == 0;
}

static int tar_chunk(struct request *r, struct intake *in, const void *data, size_t len,
                     struct err *err) {
    if (tar_failed(in, err))
        return -1;
    size_t taken = feed_rest(in) ? untar_feed(in->untar, data, len) : 0;
    if (taken < len) {
        char *grown = realloc(in->rest, in->rest_len + (len - taken));
        if (!grown)
            return err_set(err, ERR_NO_MEMORY, "no memory for the upload");
        in->rest = grown;
        memcpy(in->rest + in->rest_len, (const char *)data + taken, len - taken);
        in->rest_len += len - taken;
    }
    while (in->rest_len) {
        body_pause(r);
        if (request_suspend(r))
            return 0;
        body_continue(r);
        if (atomic_load(&r->service->draining))
            return err_set(err, ERR_DRAINING, "the server is shutting down");
        feed_rest(in);
    }
    return 0;
}

int model_put_chunk(struct request *r, const void *data, size_t len, struct err *err) {
    struct intake *in = r->state;
    counter_add(COUNTER_UPLOAD_BYTES, (int64_t)len);
    return in->staged ? staged_write(in->staged, data, len, err) : tar_chunk(r, in, data, len, err);
}

int model_put(struct request *r, struct err *err) {
    struct intake *in = r->state;
    return in->staged ? intake_take(r, err) : flush_tar(r, err);
}

static int tar_ended(struct request *r, struct err *err) {
    struct intake *in = r->state;
    if (!atomic_load(&in->tar_over))
        return request_sleep(r, tar_ended, err);
    return tar_failed(in, err) ? -1 : intake_take(r, err);
}

static int flush_tar(struct request *r, struct err *err) {
    struct intake *in = r->state;
    if (!feed_rest(in))
        return request_sleep(r, flush_tar, err);
    untar_end(in->untar);
    return tar_ended(r, err);
}
