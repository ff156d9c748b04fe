/*
 * Writing is one pass with a hasher beside it. Reading is three: the digest over the whole file,
 * the description against what is expected, the elements.
 */
#include "compress/exec/checkpoint.h"

#include "compress/base/bytes.h"
#include "compress/base/digest.h"
#include "compress/base/fdsink.h"
#include "compress/base/fdsource.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = {'C', 'M', 'P', 'C', 'K', 'P', 'T', '1'};

enum { WINDOW_BYTES = 1 << 20, NAME_MAX_BYTES = 255 };

/* ---- writing ---- */

struct writer {
    struct sink *sink;
    struct hasher *hasher;
    struct err *err;
    bool failed;
};

static void put(struct writer *w, const void *data, uint64_t bytes) {
    if (w->failed || bytes == 0)
        return;
    hasher_update(w->hasher, data, (size_t)bytes);
    w->failed = sink_write(w->sink, data, (size_t)bytes, w->err) < 0;
}

static void put_u64(struct writer *w, uint64_t n) {
    uint8_t bytes[8];
    store_u64(bytes, n);
    put(w, bytes, sizeof bytes);
}

static void put_text(struct writer *w, const char *text) {
    put_u64(w, strlen(text));
    put(w, text, strlen(text));
}

int checkpoint_write(const struct checkpoint *c, struct sink *sink, struct err *err) {
    struct writer w = {.sink = sink, .hasher = hasher_new(), .err = err};
    if (!w.hasher)
        return err_set(err, ERR_NO_MEMORY, "no memory to write a checkpoint");
    put(&w, magic, sizeof magic);
    put_u64(&w, c->step);
    put_u64(&w, c->order.seed);
    put_u64(&w, c->order.epoch);
    put_u64(&w, c->order.position);
    put_text(&w, c->identity);
    put_u64(&w, c->array_count);
    for (size_t i = 0; i < c->array_count; i++) {
        const struct array *array = c->arrays[i].array;
        put_text(&w, c->arrays[i].name);
        put_u64(&w, (uint64_t)array->dtype);
        put_u64(&w, array->rank);
        for (unsigned d = 0; d < array->rank; d++)
            put_u64(&w, array->dims[d]);
        put(&w, array->data, array_bytes(array));
    }
    struct digest digest = hasher_final(w.hasher);
    hasher_free(w.hasher);
    if (!w.failed)
        w.failed = sink_write(sink, digest.bytes, sizeof digest.bytes, err) < 0;
    return w.failed ? -1 : 0;
}

uint64_t checkpoint_bytes(const struct checkpoint *c) {
    uint64_t bytes = sizeof magic + 6 * 8 + strlen(c->identity) + DIGEST_BYTES;
    for (size_t i = 0; i < c->array_count; i++)
        bytes += (3 + c->arrays[i].array->rank) * 8 + strlen(c->arrays[i].name) +
                 array_bytes(c->arrays[i].array);
    return bytes;
}

int checkpoint_save(const struct checkpoint *c, int dir_fd, const char *name, struct err *err) {
    char partial[NAME_MAX_BYTES + 1];
    struct sink *sink;
    struct digest digest;
    if ((size_t)snprintf(partial, sizeof partial, "%s.partial", name) >= sizeof partial)
        return err_set(err, ERR_BAD_NAME, "the name of a checkpoint is too long");
    int fd = openat(dir_fd, partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "a checkpoint cannot be written");
    if (sink_over_fd_take(fd, partial, &sink, err) < 0) {
        close(fd);
        goto failed;
    }
    if (checkpoint_write(c, sink, err) < 0) {
        sink_abort(sink);
        goto failed;
    }
    if (sink_finish(sink, &digest, err) < 0)
        goto failed;
    if (renameat(dir_fd, partial, dir_fd, name) < 0) {
        err_set_errno(err, ERR_IO, errno, "a checkpoint cannot be renamed");
        goto failed;
    }
    return fsync_dir(dir_fd, name, err);
failed:
    unlinkat(dir_fd, partial, 0);
    return -1;
}

/* ---- reading ---- */

static int damaged(const struct source *source, struct err *err) {
    err_set(err, ERR_BAD_DIGEST, "the checkpoint is damaged");
    return err_at_file(err, source->path, ERR_NO_OFFSET);
}

static int check_digest(struct source *source, struct err *err) {
    if (source->bytes < sizeof magic + DIGEST_BYTES)
        return damaged(source, err);
    uint64_t bytes = source->bytes - DIGEST_BYTES;
    struct hasher *hasher = hasher_new();
    uint8_t *window = malloc(WINDOW_BYTES);
    struct digest stated;
    int result = -1;
    if (!hasher || !window) {
        err_set(err, ERR_NO_MEMORY, "no memory to read a checkpoint");
        goto out;
    }
    for (uint64_t at = 0; at < bytes;) {
        size_t part = bytes - at < WINDOW_BYTES ? (size_t)(bytes - at) : WINDOW_BYTES;
        if (source_read(source, at, window, part, err) < 0)
            goto out;
        hasher_update(hasher, window, part);
        at += part;
    }
    if (source_read(source, bytes, stated.bytes, sizeof stated.bytes, err) < 0)
        goto out;
    struct digest found = hasher_final(hasher);
    result = digest_equal(&found, &stated) ? 0 : damaged(source, err);
out:
    hasher_free(hasher);
    free(window);
    return result;
}

struct reader {
    struct source *source;
    uint64_t at, end;
    struct err *err;
    bool failed;  /* to read, or short: err is set */
    bool misfits; /* what was read is not what was expected */
};

static void get(struct reader *r, void *data, uint64_t bytes) {
    if (r->failed || bytes == 0)
        return;
    if (bytes > r->end - r->at) {
        damaged(r->source, r->err);
        r->failed = true;
        return;
    }
    r->failed = source_read(r->source, r->at, data, (size_t)bytes, r->err) < 0;
    r->at += bytes;
}

static uint64_t get_u64(struct reader *r) {
    uint8_t bytes[8] = {0};
    get(r, bytes, sizeof bytes);
    return load_u64(bytes);
}

static void expect_u64(struct reader *r, uint64_t want) {
    r->misfits |= get_u64(r) != want;
}

static void expect_text(struct reader *r, const char *want) {
    char part[64];
    size_t left = strlen(want);
    expect_u64(r, left);
    while (left > 0 && !r->failed && !r->misfits) {
        size_t bytes = left < sizeof part ? left : sizeof part;
        get(r, part, bytes);
        r->misfits |= !r->failed && memcmp(part, want, bytes) != 0;
        want += bytes;
        left -= bytes;
    }
}

/* fill: take the elements; else pass over them. */
static void walk(struct checkpoint *c, struct reader *r, bool fill) {
    char found[sizeof magic] = {0};
    get(r, found, sizeof found);
    r->misfits |= memcmp(found, magic, sizeof magic) != 0;
    uint64_t step = get_u64(r);
    struct batches_state order;
    order.seed = get_u64(r);
    order.epoch = get_u64(r);
    order.position = get_u64(r);
    expect_text(r, c->identity);
    expect_u64(r, c->array_count);
    for (size_t i = 0; i < c->array_count && !r->failed && !r->misfits; i++) {
        struct array *array = c->arrays[i].array;
        uint64_t bytes = array_bytes(array);
        expect_text(r, c->arrays[i].name);
        expect_u64(r, (uint64_t)array->dtype);
        expect_u64(r, array->rank);
        for (unsigned d = 0; d < array->rank; d++)
            expect_u64(r, array->dims[d]);
        if (r->misfits || r->failed)
            return;
        if (fill) {
            get(r, array->data, bytes);
        } else if (bytes > r->end - r->at) {
            r->misfits = true;
        } else {
            r->at += bytes;
        }
    }
    r->misfits |= !r->failed && r->at != r->end;
    if (fill && !r->failed && !r->misfits) {
        c->step = step;
        c->order = order;
    }
}

int checkpoint_read(struct checkpoint *c, struct source *source, struct err *err) {
    if (check_digest(source, err) < 0)
        return -1;
    for (int fill = 0; fill < 2; fill++) {
        struct reader r = {.source = source, .end = source->bytes - DIGEST_BYTES, .err = err};
        walk(c, &r, fill);
        if (r.failed)
            return -1;
        if (r.misfits) {
            err_set(err, ERR_STATE, "the checkpoint is of another training");
            return err_at_file(err, source->path, ERR_NO_OFFSET);
        }
    }
    return 0;
}

int checkpoint_load(struct checkpoint *c, int dir_fd, const char *name, struct err *err) {
    struct source *source;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                             "there is no checkpoint to go on from");
    if (source_over_fd_take(fd, name, &source, err) < 0) {
        close(fd);
        return -1;
    }
    int result = checkpoint_read(c, source, err);
    source_close(source);
    return result;
}
