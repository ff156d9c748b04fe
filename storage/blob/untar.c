/*
 * A tar taken apart while it arrives. See untar.h.
 *
 * One ring under one mutex between the producer and libarchive's read callback. The consumer copies
 * out of the ring into a block of its own, so the producer can go on while libarchive parses.
 */
#include "storage/blob/untar.h"

#include "compress/base/limits.h"
#include "compress/base/pathset.h"
#include "storage/blob/blobs_private.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RING_BYTES (1 * MIB)
#define BLOCK_BYTES (128 * KIB)
#define ENTRIES_MAX (4 * LIMIT_MODEL_FILES) /* directories count too */

struct untar_file {
    char *path;
    struct staged *staged;
    struct digest digest;
};

struct untar {
    struct blobs *blobs;
    uint64_t limit_bytes;
    void (*on_room)(void *self);
    void *self;

    pthread_mutex_t lock;
    pthread_cond_t more;
    /* Guarded by lock: */
    uint8_t *ring;
    size_t start, len;
    bool ended, aborted, consumer_done, producer_waits;

    uint8_t *block;
    uint64_t taken_bytes; /* of file contents */
    struct untar_file *files;
    size_t count, capacity;
};

int untar_new(struct blobs *blobs, uint64_t limit_bytes, void (*on_room)(void *self), void *self,
              struct untar **ret, struct err *err) {
    struct untar *tar = calloc(1, sizeof *tar);
    if (tar) {
        tar->ring = malloc(RING_BYTES);
        tar->block = malloc(BLOCK_BYTES);
    }
    if (!tar || !tar->ring || !tar->block) {
        if (tar) {
            free(tar->ring);
            free(tar->block);
        }
        free(tar);
        return err_set(err, ERR_NO_MEMORY, "no memory to unpack a tar");
    }
    tar->blobs = blobs;
    tar->limit_bytes = limit_bytes;
    tar->on_room = on_room;
    tar->self = self;
    pthread_mutex_init(&tar->lock, NULL);
    pthread_cond_init(&tar->more, NULL);
    *ret = tar;
    return 0;
}

size_t untar_feed(struct untar *tar, const void *data, size_t len) {
    pthread_mutex_lock(&tar->lock);
    size_t taken = len;
    if (!tar->consumer_done) {
        size_t room = RING_BYTES - tar->len;
        taken = len < room ? len : room;
        size_t at = (tar->start + tar->len) % RING_BYTES;
        size_t first = taken < RING_BYTES - at ? taken : RING_BYTES - at;
        memcpy(tar->ring + at, data, first);
        memcpy(tar->ring, (const uint8_t *)data + first, taken - first);
        tar->len += taken;
        tar->producer_waits = taken < len;
        pthread_cond_signal(&tar->more);
    }
    pthread_mutex_unlock(&tar->lock);
    return taken;
}

static void finish_feeding(struct untar *tar, bool aborted) {
    pthread_mutex_lock(&tar->lock);
    tar->ended = true;
    tar->aborted = tar->aborted || aborted;
    pthread_cond_signal(&tar->more);
    pthread_mutex_unlock(&tar->lock);
}

void untar_end(struct untar *tar) {
    finish_feeding(tar, false);
}

void untar_abort(struct untar *tar) {
    finish_feeding(tar, true);
}

/* Tells a waiting producer; called without the lock, because on_room may take others. */
static void tell_room(struct untar *tar, bool consumer_done) {
    pthread_mutex_lock(&tar->lock);
    if (consumer_done)
        tar->consumer_done = true;
    bool tell = tar->producer_waits && (consumer_done || tar->len <= RING_BYTES / 2);
    if (tell)
        tar->producer_waits = false;
    pthread_mutex_unlock(&tar->lock);
    if (tell)
        tar->on_room(tar->self);
}

static la_ssize_t read_ring(struct archive *archive, void *ctx, const void **ret) {
    struct untar *tar = ctx;
    pthread_mutex_lock(&tar->lock);
    while (tar->len == 0 && !tar->ended)
        pthread_cond_wait(&tar->more, &tar->lock);
    if (tar->aborted) {
        pthread_mutex_unlock(&tar->lock);
        archive_set_error(archive, ECANCELED, "the upload was broken off");
        return -1;
    }
    size_t n = tar->len < BLOCK_BYTES ? tar->len : BLOCK_BYTES;
    if (n > RING_BYTES - tar->start)
        n = RING_BYTES - tar->start;
    memcpy(tar->block, tar->ring + tar->start, n);
    tar->start = (tar->start + n) % RING_BYTES;
    tar->len -= n;
    pthread_mutex_unlock(&tar->lock);
    tell_room(tar, false);
    *ret = tar->block;
    return (la_ssize_t)n;
}

static const char *entry_path(struct archive_entry *entry) {
    const char *path = archive_entry_pathname_utf8(entry);
    if (!path)
        path = archive_entry_pathname(entry);
    while (path && path[0] == '.' && path[1] == '/')
        path += 2;
    return path;
}

static int check_entry(struct untar *tar, struct archive_entry *entry, const char *path,
                       struct err *err) {
    if (!path)
        return err_set(err, ERR_BAD_ARCHIVE, "an entry has no readable name");
    if (archive_entry_hardlink(entry) || archive_entry_symlink(entry))
        err_set(err, ERR_BAD_ARCHIVE,
                "entry '%s' is a link; only files are allowed ('tar ch' packs what links point to)",
                path);
    else if (archive_entry_filetype(entry) != AE_IFREG)
        err_set(err, ERR_BAD_ARCHIVE, "entry '%s' is not a regular file", path);
    else if (path[0] == '/')
        err_set(err, ERR_BAD_ARCHIVE, "entry '%s' has an absolute path", path);
    else if (!path_ok(path))
        err_set(err, ERR_BAD_ARCHIVE, "entry '%s' has a path that is not allowed", path);
    else if (tar->count >= LIMIT_MODEL_FILES)
        err_set(err, ERR_TOO_LARGE, "the archive has more than %d files", LIMIT_MODEL_FILES);
    else
        return 0;
    return err_at_file(err, path, ERR_NO_OFFSET);
}

static int unpack_entry(struct untar *tar, struct archive *archive, struct archive_entry *entry,
                        const char *path, struct err *err) {
    if (tar->count == tar->capacity) {
        size_t capacity = tar->capacity ? tar->capacity * 2 : 32;
        struct untar_file *grown = realloc(tar->files, capacity * sizeof *grown);
        if (!grown)
            return err_set(err, ERR_NO_MEMORY, "no memory to unpack a tar");
        tar->files = grown;
        tar->capacity = capacity;
    }
    struct untar_file *file = &tar->files[tar->count];
    *file = (struct untar_file){.path = strdup(path)};
    if (!file->path)
        return err_set(err, ERR_NO_MEMORY, "no memory to unpack a tar");
    tar->count++;
    uint64_t left = tar->limit_bytes - tar->taken_bytes;
    uint64_t expected =
        archive_entry_size_is_set(entry) ? (uint64_t)archive_entry_size(entry) : UINT64_MAX;
    if (staged_new(tar->blobs, expected, left, &file->staged, err) < 0)
        return -1;
    const void *data;
    size_t len;
    la_int64_t offset;
    int rc;
    while ((rc = archive_read_data_block(archive, &data, &len, &offset)) == ARCHIVE_OK) {
        /* A hole of a sparse entry: weights are never sparse, and holes would defeat the byte
         * limit. */
        if ((uint64_t)offset != staged_bytes(file->staged))
            return err_set(err, ERR_BAD_ARCHIVE, "entry '%s' is sparse", path);
        if (staged_write(file->staged, data, len, err) < 0)
            return -1;
    }
    if (rc != ARCHIVE_EOF)
        return err_set(err, ERR_BAD_ARCHIVE, "entry '%s': %s", path, archive_error_string(archive));
    if (expected != UINT64_MAX && staged_bytes(file->staged) != expected)
        return err_set(err, ERR_BAD_ARCHIVE, "entry '%s' is truncated", path);
    tar->taken_bytes += staged_bytes(file->staged);
    return staged_seal(file->staged, &file->digest, err);
}

static int unpack(struct untar *tar, struct archive *archive, struct err *err) {
    struct archive_entry *entry;
    for (unsigned entries = 0;; entries++) {
        int rc = archive_read_next_header(archive, &entry);
        if (rc == ARCHIVE_EOF)
            return 0;
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
            return err_set(err, ERR_BAD_ARCHIVE, "%s", archive_error_string(archive));
        if (entries >= ENTRIES_MAX)
            return err_set(err, ERR_TOO_LARGE, "the archive has more than %d entries", ENTRIES_MAX);
        const char *path = entry_path(entry);
        if (archive_entry_filetype(entry) == AE_IFDIR && !archive_entry_hardlink(entry))
            continue;
        if (check_entry(tar, entry, path, err) < 0)
            return -1;
        if (unpack_entry(tar, archive, entry, path, err) < 0)
            return err_at_file(err, path, ERR_NO_OFFSET);
    }
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct untar_file *)a)->path, ((const struct untar_file *)b)->path);
}

/* "mymodel/config.json", "mymodel/model.safetensors" → without "mymodel/". */
static void strip_common_folder(struct untar *tar) {
    if (tar->count == 0)
        return;
    const char *slash = strchr(tar->files[0].path, '/');
    if (!slash)
        return;
    size_t len = (size_t)(slash - tar->files[0].path) + 1;
    for (size_t i = 1; i < tar->count; i++)
        if (strncmp(tar->files[i].path, tar->files[0].path, len) != 0)
            return;
    for (size_t i = 0; i < tar->count; i++)
        memmove(tar->files[i].path, tar->files[i].path + len, strlen(tar->files[i].path + len) + 1);
}

/* Can the files lie in one folder? */
static int check_clashes(const struct untar *tar, struct err *err) {
    struct pathset set;
    struct arena *arena = arena_new(16 * MIB);
    int added = arena ? 1 : -1;
    const char *path = NULL;
    if (arena)
        pathset_init(&set, arena);
    for (size_t i = 0; added == 1 && i < tar->count; i++) {
        path = tar->files[i].path;
        added = pathset_add(&set, path);
    }
    arena_free(arena);
    if (added < 0)
        return err_set(err, ERR_NO_MEMORY, "no memory to unpack a tar");
    if (added == 1)
        return 0;
    err_set(err, ERR_BAD_ARCHIVE, "'%s' stands in the archive twice, or is a folder as well", path);
    return err_at_file(err, path, ERR_NO_OFFSET);
}

static int put_in_order(struct untar *tar, struct err *err) {
    if (tar->count == 0)
        return err_set(err, ERR_BAD_ARCHIVE, "the archive holds no files");
    strip_common_folder(tar);
    if (check_clashes(tar, err) < 0)
        return -1;
    qsort(tar->files, tar->count, sizeof *tar->files, by_path);
    return 0;
}

int untar_run(struct untar *tar, struct err *err) {
    int result = -1;
    struct archive *archive = archive_read_new();
    if (!archive) {
        err_set(err, ERR_NO_MEMORY, "no memory to unpack a tar");
    } else if (archive_read_support_filter_none(archive) != ARCHIVE_OK ||
               archive_read_support_format_tar(archive) != ARCHIVE_OK ||
               archive_read_set_options(archive, "hdrcharset=UTF-8") < ARCHIVE_WARN ||
               archive_read_open2(archive, tar, NULL, read_ring, NULL, NULL) != ARCHIVE_OK) {
        err_set(err, ERR_BAD_ARCHIVE, "%s",
                archive_error_string(archive) ? archive_error_string(archive)
                                              : "this is not a tar");
    } else if (unpack(tar, archive, err) == 0 && put_in_order(tar, err) == 0) {
        result = 0;
    }
    archive_read_free(archive);
    tell_room(tar, true);
    return result;
}

size_t untar_count(const struct untar *tar) {
    return tar->count;
}

const char *untar_path(const struct untar *tar, size_t i) {
    return tar->files[i].path;
}

struct staged *untar_file(struct untar *tar, size_t i) {
    return tar->files[i].staged;
}

const struct digest *untar_digest(const struct untar *tar, size_t i) {
    return &tar->files[i].digest;
}

int untar_resolver(struct untar *tar, struct resolver **ret, struct err *err) {
    struct resolver *files;
    if (blobs_files_resolver(tar->blobs, tar->count, false, &files, err) < 0)
        return -1;
    for (size_t i = 0; i < tar->count; i++)
        if (blobs_files_add(files, tar->files[i].path, staged_bytes(tar->files[i].staged),
                            staged_path(tar->files[i].staged), err) < 0) {
            resolver_close(files);
            return -1;
        }
    *ret = files;
    return 0;
}

void untar_free(struct untar *tar) {
    if (!tar)
        return;
    for (size_t i = 0; i < tar->count; i++) {
        staged_discard(tar->files[i].staged);
        free(tar->files[i].path);
    }
    free(tar->files);
    free(tar->ring);
    free(tar->block);
    pthread_mutex_destroy(&tar->lock);
    pthread_cond_destroy(&tar->more);
    free(tar);
}
