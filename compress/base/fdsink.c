/*
 * The sink is a ring of buffers with one producer (the caller) and one consumer (the hasher):
 *
 *   fill buffer -> give it to the hasher -> write(2) it -> next buffer, once the hasher is done
 *                                                          with what it held before
 *
 * Buffers are hashed in the order in which they were filled; `filled` and `hashed` count them from
 * the start of the file, so buffer i of the file lives in slot i % SLOTS and filled - hashed never
 * exceeds SLOTS. A file that fits one buffer never starts the thread: models hold many small files.
 */
#include "compress/base/fdsink.h"

#include "compress/base/worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 4
/* Write-back is started for every stretch of this length: long enough for a disk to stream. */
#define WRITE_BACK_BYTES (UINT64_C(8) << 20)

struct fd_sink {
    struct sink base;
    int fd;
    char *path;
    bool dead;
    struct hasher *hasher;
    uint8_t *slots[SLOTS]; /* allocated when first needed */
    size_t fill;           /* bytes in the buffer being filled */
    uint64_t filled;       /* buffers given to the hasher; the producer's own count */
    uint64_t on_disk;      /* bytes that write(2) took */
    uint64_t pushed;       /* bytes whose write-back was started */

    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    uint64_t given; /* = filled, as the hasher sees it */
    uint64_t hashed;
    size_t slot_len[SLOTS];
    bool stop;
};

static void *hash_buffers(void *arg) {
    struct fd_sink *sink = arg;
    pthread_setname_np(pthread_self(), "sink-hash");
    pthread_mutex_lock(&sink->lock);
    for (;;) {
        while (sink->hashed == sink->given && !sink->stop)
            pthread_cond_wait(&sink->changed, &sink->lock);
        if (sink->hashed == sink->given)
            break;
        unsigned slot = (unsigned)(sink->hashed % SLOTS);
        const uint8_t *data = sink->slots[slot];
        size_t len = sink->slot_len[slot];
        pthread_mutex_unlock(&sink->lock);
        hasher_update(sink->hasher, data, len);
        pthread_mutex_lock(&sink->lock);
        sink->hashed++;
        pthread_cond_signal(&sink->changed);
    }
    pthread_mutex_unlock(&sink->lock);
    return NULL;
}

/* Without a thread the sink still works: the caller hashes. */
static void start_thread(struct fd_sink *sink) {
    sink->threaded = worker_start(&sink->thread, hash_buffers, sink) == 0;
}

static void stop_thread(struct fd_sink *sink) {
    if (!sink->threaded)
        return;
    pthread_mutex_lock(&sink->lock);
    sink->stop = true;
    pthread_cond_signal(&sink->changed);
    pthread_mutex_unlock(&sink->lock);
    pthread_join(sink->thread, NULL);
    sink->threaded = false;
}

static void free_sink(struct fd_sink *sink) {
    stop_thread(sink);
    if (sink->fd >= 0)
        close(sink->fd);
    hasher_free(sink->hasher);
    for (unsigned i = 0; i < SLOTS; i++)
        free(sink->slots[i]);
    pthread_mutex_destroy(&sink->lock);
    pthread_cond_destroy(&sink->changed);
    free(sink->path);
    free(sink);
}

static int write_all(struct fd_sink *sink, const uint8_t *data, size_t len, struct err *err) {
    while (len) {
        ssize_t n = write(sink->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err_set_errno(err, ERR_IO, n < 0 ? errno : EIO, "cannot write %s", sink->path);
            return err_at_file(err, sink->path, sink->on_disk);
        }
        data += n;
        len -= (size_t)n;
        sink->on_disk += (uint64_t)n;
    }
    if (sink->on_disk - sink->pushed >= WRITE_BACK_BYTES) {
        /* A hint; descriptors that are not files refuse it. */
        sync_file_range(sink->fd, (off_t)sink->pushed, (off_t)(sink->on_disk - sink->pushed),
                        SYNC_FILE_RANGE_WRITE);
        sink->pushed = sink->on_disk;
    }
    return 0;
}

/* Makes the buffer that is filled next usable. */
static int next_slot(struct fd_sink *sink, struct err *err) {
    unsigned slot = (unsigned)(sink->filled % SLOTS);
    if (!sink->slots[slot]) {
        sink->slots[slot] = malloc(FDSINK_BUFFER_BYTES);
        if (!sink->slots[slot])
            return err_set(err, ERR_NO_MEMORY, "no memory for a buffer to write %s", sink->path);
    }
    if (sink->threaded) {
        pthread_mutex_lock(&sink->lock);
        while (sink->given - sink->hashed == SLOTS)
            pthread_cond_wait(&sink->changed, &sink->lock);
        pthread_mutex_unlock(&sink->lock);
    }
    sink->fill = 0;
    return 0;
}

/* Hashes and writes what the current buffer holds. */
static int flush(struct fd_sink *sink, struct err *err) {
    unsigned slot = (unsigned)(sink->filled % SLOTS);
    size_t len = sink->fill;
    if (sink->threaded) {
        pthread_mutex_lock(&sink->lock);
        sink->slot_len[slot] = len;
        sink->given++;
        pthread_cond_signal(&sink->changed);
        pthread_mutex_unlock(&sink->lock);
    } else {
        hasher_update(sink->hasher, sink->slots[slot], len);
    }
    if (write_all(sink, sink->slots[slot], len, err) < 0)
        return -1;
    sink->filled++;
    return 0;
}

static int append(struct fd_sink *sink, const uint8_t *data, size_t len, struct err *err) {
    while (len) {
        if (sink->fill == FDSINK_BUFFER_BYTES) {
            if (sink->filled == 0)
                start_thread(sink);
            if (flush(sink, err) < 0 || next_slot(sink, err) < 0)
                return -1;
        }
        size_t room = FDSINK_BUFFER_BYTES - sink->fill;
        size_t n = len < room ? len : room;
        memcpy(sink->slots[sink->filled % SLOTS] + sink->fill, data, n);
        sink->fill += n;
        data += n;
        len -= n;
        sink->base.written += n;
    }
    return 0;
}

static int fd_sink_write(struct sink *base, const void *data, size_t len, struct err *err) {
    struct fd_sink *sink = (struct fd_sink *)base;
    assert(!sink->dead);
    if (append(sink, data, len, err) == 0)
        return 0;
    sink->dead = true;
    return -1;
}

static int fd_sink_finish(struct sink *base, struct digest *ret_sha256, struct err *err) {
    struct fd_sink *sink = (struct fd_sink *)base;
    assert(!sink->dead);
    int rc = -1;
    if (sink->fill && flush(sink, err) < 0)
        goto out;
    /* The hasher works off its last buffers while the disk works off its own. EINVAL: not a file
     * that can be synced. */
    if (fdatasync(sink->fd) < 0 && errno != EINVAL && errno != EROFS) {
        err_set_errno(err, ERR_IO, errno, "cannot sync %s", sink->path);
        err_at_file(err, sink->path, ERR_NO_OFFSET);
        goto out;
    }
    int closed = close(sink->fd);
    sink->fd = -1;
    if (closed < 0 && errno != EINTR) {
        err_set_errno(err, ERR_IO, errno, "cannot close %s", sink->path);
        goto out;
    }
    stop_thread(sink);
    *ret_sha256 = hasher_final(sink->hasher);
    rc = 0;
out:
    free_sink(sink);
    return rc;
}

static void fd_sink_abort(struct sink *base) {
    free_sink((struct fd_sink *)base);
}

static const struct sink_ops ops = {
    .write = fd_sink_write, .finish = fd_sink_finish, .abort = fd_sink_abort};

int sink_over_fd_take(int fd, const char *path, struct sink **ret, struct err *err) {
    struct fd_sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return err_set(err, ERR_NO_MEMORY, "no memory to write %s", path);
    pthread_mutex_init(&sink->lock, NULL);
    pthread_cond_init(&sink->changed, NULL);
    sink->base.ops = &ops;
    sink->fd = -1;
    sink->path = strdup(path);
    sink->hasher = hasher_new();
    if (!sink->path || !sink->hasher) {
        free_sink(sink);
        return err_set(err, ERR_NO_MEMORY, "no memory to write %s", path);
    }
    if (next_slot(sink, err) < 0) {
        free_sink(sink);
        return -1;
    }
    sink->fd = fd;
    *ret = &sink->base;
    return 0;
}

int fsync_dir(int dir_fd, const char *name, struct err *err) {
    if (fsync(dir_fd) == 0)
        return 0;
    return err_set_errno(err, ERR_IO, errno, "cannot sync the folder %s", name);
}
