/*
 * Staged files and blobs. See blobs.h.
 *
 * All paths are relative to the data directory's descriptor. A rename into blobs/ happens inside
 * the writer's transaction and is registered as an undo, so a commit that fails takes the file back
 * to staging/; a crash in between leaves a file without a row, which the next start removes.
 */
#include "storage/blob/blobs.h"

#include "compress/base/counters.h"
#include "compress/base/fdsink.h"
#include "compress/base/fdsource.h"
#include "compress/base/limits.h"
#include "storage/blob/blobs_private.h"
#include "storage/db/stmt.h"
#include "storage/tables/blobs_tbl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define WRITE_BACK_BYTES                                                     \
    (8 * MIB) /* start the disk this often, so that the final fsync is short \
               */

/* fsync() of a folder below the data directory, so that a rename into it survives a power loss. */
static int sync_folder(const struct blobs *blobs, const char *folder, struct err *err) {
    int fd = openat(blobs->dir_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot sync the folder %s", folder);
    int result = fsync_dir(fd, folder, err);
    close(fd);
    return result;
}

int blobs_open(const char *data_dir, struct blobs **ret, struct err *err) {
    struct blobs *blobs = calloc(1, sizeof *blobs);
    if (!blobs)
        return err_set(err, ERR_NO_MEMORY, "no memory for the blobs");
    blobs->dir_fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (blobs->dir_fd < 0) {
        err_set_errno(err, ERR_IO, errno, "%s", data_dir);
        free(blobs);
        return -1;
    }
    static const char *const folders[] = {"blobs", "blobs/sha256", "staging", "trash", "work"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (mkdirat(blobs->dir_fd, folders[i], 0700) < 0 && errno != EEXIST) {
            err_set_errno(err, ERR_IO, errno, "%s/%s", data_dir, folders[i]);
            blobs_close(blobs);
            return -1;
        }
    for (unsigned i = 0; i < 256; i++) {
        char name[32];
        snprintf(name, sizeof name, "blobs/sha256/%02x", i);
        if (mkdirat(blobs->dir_fd, name, 0700) < 0 && errno != EEXIST) {
            err_set_errno(err, ERR_IO, errno, "%s/%s", data_dir, name);
            blobs_close(blobs);
            return -1;
        }
    }
    if (sync_folder(blobs, "blobs/sha256", err) < 0 || sync_folder(blobs, "blobs", err) < 0 ||
        sync_folder(blobs, ".", err) < 0) {
        blobs_close(blobs);
        return -1;
    }
    *ret = blobs;
    return 0;
}

void blobs_close(struct blobs *blobs) {
    if (!blobs)
        return;
    close(blobs->dir_fd);
    free(blobs);
}

void blobs_set_low_water(struct blobs *blobs, uint64_t bytes) {
    blobs->low_water_bytes = bytes;
}

uint64_t blobs_free_bytes(const struct blobs *blobs) {
    struct statvfs fs;
    if (fstatvfs(blobs->dir_fd, &fs) < 0)
        return 0;
    uint64_t bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return bytes > blobs->low_water_bytes ? bytes - blobs->low_water_bytes : 0;
}

void blobs_path(const struct digest *digest, char ret[BLOBS_PATH_LEN]) {
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(digest, hex);
    snprintf(ret, BLOBS_PATH_LEN, "blobs/sha256/%.2s/%s", hex, hex);
}

void blobs_random_name(const char *folder, char *ret, size_t cap) {
    static _Atomic unsigned long counter;
    unsigned long word = 0;
    if (getrandom(&word, sizeof word, 0) != (ssize_t)sizeof word)
        word = (unsigned long)db_now_ms();
    snprintf(ret, cap, "%s/%016lx-%lx", folder, word, atomic_fetch_add(&counter, 1));
}

/* ---- publishing ---- */

static void take_back(void *ctx) {
    struct publication *move = ctx;
    renameat(move->blobs->dir_fd, move->to, move->blobs->dir_fd, move->from);
    move->moved = false;
}

/* Is the file of this blob in its place? A row may have lost it (a restored backup, a careless
 * hand); whoever brings the bytes again heals it. */
static bool in_place(const struct blobs *blobs, const char *path, uint64_t bytes) {
    struct stat st;
    return fstatat(blobs->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == bytes;
}

/* In a closure: makes the staging file `from` the blob of its digest, unless the blob is there
 * already, and lets the team hold it. */
int blobs_publish(struct blobs *blobs, struct publication *move, const char *from,
                  const struct digest *digest, uint64_t bytes, const char *team,
                  struct db_conn *conn, struct err *err) {
    int known = move->moved ? 1 : blobs_tbl_exists(conn, digest, err);
    if (known < 0)
        return -1;
    if (!move->moved)
        blobs_path(digest, move->to);
    if (!known || !in_place(blobs, move->to, bytes)) {
        move->blobs = blobs;
        snprintf(move->from, sizeof move->from, "%s", from);
        if (renameat(blobs->dir_fd, move->from, blobs->dir_fd, move->to) < 0)
            return err_set_errno(err, errno == ENOENT ? ERR_BUG : ERR_IO, errno,
                                 "publishing a blob"); /* no waiting brings a staged file back */
        move->moved = true;
        db_undo_push(conn, take_back, move);
        char folder[24];
        snprintf(folder, sizeof folder, "%.15s", move->to); /* blobs/sha256/ab */
        if (sync_folder(blobs, folder, err) < 0)
            return -1;
        counter_add(COUNTER_BLOBS_PUBLISHED, 1);
    }
    return blobs_tbl_hold(conn, digest, bytes, team, db_now_ms(), err);
}

/* ---- staged files ---- */

struct staged {
    struct blobs *blobs;
    int fd;
    char path[64];
    uint64_t bytes;
    uint64_t limit_bytes;
    uint64_t flushed_bytes;
    struct hasher *hasher;
    struct digest digest;
    bool sealed;
    struct publication move;
};

int blobs_reserve(struct blobs *blobs, int fd, uint64_t bytes, struct err *err) {
    uint64_t free_bytes = blobs_free_bytes(blobs);
    if (bytes > free_bytes)
        return err_set(err, ERR_NO_SPACE, "%llu bytes are needed, %llu are free",
                       (unsigned long long)bytes, (unsigned long long)free_bytes);
    if (bytes > 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) < 0 &&
        (errno == ENOSPC || errno == EDQUOT))
        return err_set_errno(err, ERR_NO_SPACE, errno, "%llu bytes could not be reserved",
                             (unsigned long long)bytes);
    return 0; /* a file system without fallocate finds out while writing */
}

int blobs_create_staging(struct blobs *blobs, char *path, size_t cap, struct err *err) {
    blobs_random_name("staging", path, cap);
    int fd = openat(blobs->dir_fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        err_set_errno(err, ERR_IO, errno, "a staging file could not be made");
    return fd;
}

int staged_new(struct blobs *blobs, uint64_t expected_bytes, uint64_t limit_bytes,
               struct staged **ret, struct err *err) {
    bool known = expected_bytes != UINT64_MAX;
    if (known && expected_bytes > limit_bytes)
        return err_set(err, ERR_TOO_LARGE, "%llu bytes are more than the limit of %llu",
                       (unsigned long long)expected_bytes, (unsigned long long)limit_bytes);
    struct staged *staged = calloc(1, sizeof *staged);
    if (!staged)
        return err_set(err, ERR_NO_MEMORY, "no memory for a staged file");
    staged->blobs = blobs;
    staged->limit_bytes = limit_bytes;
    staged->hasher = hasher_new();
    staged->fd = blobs_create_staging(blobs, staged->path, sizeof staged->path, err);
    if (staged->fd < 0 || !staged->hasher ||
        blobs_reserve(blobs, staged->fd, known ? expected_bytes : 0, err) < 0) {
        err_set(err, ERR_NO_MEMORY, "no memory for a hash");
        staged_discard(staged);
        return -1;
    }
    *ret = staged;
    return 0;
}

int staged_write(struct staged *staged, const void *data, size_t len, struct err *err) {
    if (len > staged->limit_bytes - staged->bytes)
        return err_set(err, ERR_TOO_LARGE, "the file is larger than the limit of %llu bytes",
                       (unsigned long long)staged->limit_bytes);
    const char *at = data;
    for (size_t left = len; left > 0;) {
        ssize_t n = write(staged->fd, at, left);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return err_set_errno(err, ERR_IO, errno, "writing a staged file");
        }
        at += n;
        left -= (size_t)n;
    }
    hasher_update(staged->hasher, data, len);
    staged->bytes += len;
    if (staged->bytes - staged->flushed_bytes >= WRITE_BACK_BYTES) {
        sync_file_range(staged->fd, (off_t)staged->flushed_bytes,
                        (off_t)(staged->bytes - staged->flushed_bytes), SYNC_FILE_RANGE_WRITE);
        staged->flushed_bytes = staged->bytes;
    }
    return 0;
}

uint64_t staged_bytes(const struct staged *staged) {
    return staged->bytes;
}

int staged_seal(struct staged *staged, struct digest *ret, struct err *err) {
    if (!staged->sealed) {
        /* Gives back what was reserved beyond the end. */
        if (ftruncate(staged->fd, (off_t)staged->bytes) < 0 || fsync(staged->fd) < 0)
            return err_set_errno(err, ERR_IO, errno, "syncing a staged file");
        staged->digest = hasher_final(staged->hasher);
        staged->sealed = true;
    }
    *ret = staged->digest;
    return 0;
}

static int source_at(struct blobs *blobs, const char *file, const char *path, struct source **ret,
                     struct err *err) {
    int fd = openat(blobs->dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", path);
    if (source_over_fd_take(fd, path, ret, err) == 0)
        return 0;
    close(fd);
    return -1;
}

int staged_source(struct staged *staged, const char *path, struct source **ret, struct err *err) {
    return source_at(staged->blobs, staged->path, path, ret, err);
}

int staged_publish(struct staged *staged, struct db_conn *conn, const char *team, struct err *err) {
    if (!staged->sealed)
        return err_set(err, ERR_BUG, "a staged file was published before it was sealed");
    return blobs_publish(staged->blobs, &staged->move, staged->path, &staged->digest, staged->bytes,
                         team, conn, err);
}

void staged_discard(struct staged *staged) {
    if (!staged)
        return;
    if (staged->fd >= 0) {
        close(staged->fd);
        if (!staged->move.moved)
            unlinkat(staged->blobs->dir_fd, staged->path, 0);
    }
    hasher_free(staged->hasher);
    free(staged);
}

/* ---- blobs ---- */

int blob_open_fd(struct blobs *blobs, const struct digest *digest, int *ret_fd, uint64_t *ret_bytes,
                 struct err *err) {
    char path[BLOBS_PATH_LEN];
    blobs_path(digest, path);
    int fd = openat(blobs->dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "blob %s",
                             path + sizeof "blobs/sha256/ab");
    struct stat st;
    if (fstat(fd, &st) < 0) {
        err_set_errno(err, ERR_IO, errno, "blob %s", path);
        close(fd);
        return -1;
    }
    *ret_fd = fd;
    *ret_bytes = (uint64_t)st.st_size;
    return 0;
}

int blob_source(struct blobs *blobs, const struct digest *digest, const char *path,
                struct source **ret, struct err *err) {
    char file[BLOBS_PATH_LEN];
    blobs_path(digest, file);
    return source_at(blobs, file, path, ret, err);
}

/* ---- files of the data directory as a resolver ---- */

struct files_resolver {
    struct resolver base;
    struct blobs *blobs;
    struct resolver_file *files;
    char (*where)[BLOBS_PATH_LEN]; /* below the data directory */
};

static int files_open(struct resolver *base, size_t index, struct source **ret, struct err *err) {
    struct files_resolver *self = (struct files_resolver *)base;
    return source_at(self->blobs, self->where[index], base->files[index].path, ret, err);
}

static void files_close(struct resolver *base) {
    struct files_resolver *self = (struct files_resolver *)base;
    for (size_t i = 0; i < base->count; i++)
        free((char *)(uintptr_t)self->files[i].path);
    free(self->files);
    free(self->where);
    free(self);
}

static const struct resolver_ops files_ops = {files_open, files_close};

int blobs_files_resolver(struct blobs *blobs, size_t count, bool lone, struct resolver **ret,
                         struct err *err) {
    struct files_resolver *self = calloc(1, sizeof *self);
    if (self) {
        self->files = calloc(count + 1, sizeof *self->files);
        self->where = calloc(count + 1, sizeof *self->where);
    }
    if (!self || !self->files || !self->where) {
        if (self) {
            free(self->files);
            free(self->where);
        }
        free(self);
        return err_set(err, ERR_NO_MEMORY, "no memory for a list of files");
    }
    self->base = (struct resolver){.ops = &files_ops, .files = self->files, .lone = lone};
    self->blobs = blobs;
    *ret = &self->base;
    return 0;
}

int blobs_files_add(struct resolver *base, const char *path, uint64_t bytes, const char *where,
                    struct err *err) {
    struct files_resolver *self = (struct files_resolver *)base;
    char *copy = strdup(path);
    if (!copy)
        return err_set(err, ERR_NO_MEMORY, "no memory for a path");
    self->files[base->count] = (struct resolver_file){copy, bytes};
    snprintf(self->where[base->count], BLOBS_PATH_LEN, "%s", where);
    base->count++;
    return 0;
}

int blob_resolver(struct blobs *blobs, const struct blob_entry *entries, size_t count, bool lone,
                  struct resolver **ret, struct err *err) {
    struct resolver *files;
    if (blobs_files_resolver(blobs, count, lone, &files, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        char where[BLOBS_PATH_LEN];
        blobs_path(&entries[i].digest, where);
        if (blobs_files_add(files, entries[i].path, entries[i].bytes, where, err) < 0) {
            resolver_close(files);
            return -1;
        }
    }
    *ret = files;
    return 0;
}

const char *staged_path(const struct staged *staged) {
    return staged->path;
}
