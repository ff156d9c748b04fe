/* See sweep.h. */
#include "storage/blob/sweep.h"

#include "compress/base/counters.h"
#include "compress/base/log.h"
#include "storage/blob/blobs_private.h"
#include "storage/db/stmt.h"
#include "storage/tables/blobs_tbl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Calls fn for every regular name in a folder of the data directory. */
static int each_name(struct blobs *blobs, const char *folder,
                     int (*fn)(void *ctx, int dir_fd, const char *name, struct err *err), void *ctx,
                     struct err *err) {
    int fd = openat(blobs->dir_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        err_set_errno(err, ERR_IO, errno, "%s", folder);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    int result = 0;
    struct dirent *entry;
    while (result == 0 && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            result = fn(ctx, dirfd(dir), entry->d_name, err);
    closedir(dir);
    return result;
}

static int remove_name(void *ctx, int dir_fd, const char *name, struct err *err) {
    if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
        return err_set_errno(err, ERR_IO, errno, "removing %s", name);
    return 0;
}

static int remove_without_row(void *ctx, int dir_fd, const char *name, struct err *err) {
    struct db_conn *conn = ctx;
    struct digest digest;
    int known = digest_from_hex(name, &digest) ? blobs_tbl_exists(conn, &digest, err) : 0;
    if (known < 0)
        return -1;
    if (known)
        return 0;
    log_line(LOG_LEVEL_INFO, "removing a file without a row: %s", name);
    return remove_name(NULL, dir_fd, name, err);
}

struct missing {
    struct blobs *blobs;
    struct digest *digests;
    size_t count, capacity;
};

static int note_missing(void *ctx, const struct digest *digest, uint64_t bytes) {
    struct missing *missing = ctx;
    char path[BLOBS_PATH_LEN];
    blobs_path(digest, path);
    struct stat st;
    if (fstatat(missing->blobs->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(st.st_mode) && (uint64_t)st.st_size == bytes)
        return 0;
    if (missing->count == missing->capacity) {
        size_t capacity = missing->capacity ? missing->capacity * 2 : 16;
        struct digest *grown = realloc(missing->digests, capacity * sizeof *grown);
        if (!grown)
            return -1;
        missing->digests = grown;
        missing->capacity = capacity;
    }
    missing->digests[missing->count++] = *digest;
    return 0;
}

/* A row whose file is gone or has another length (a restored backup, a careless hand): what nothing
 * refers to is forgotten; what a model or artifact refers to stays, so that its owner is told
 * "not found" instead of silence, and is reported here. */
static int drop_missing(struct blobs *blobs, struct db_conn *conn, struct err *err) {
    struct missing missing = {.blobs = blobs};
    int result = blobs_tbl_each(conn, note_missing, &missing, err);
    if (result != 0 && err && err->code == ERR_OK)
        err_set(err, ERR_NO_MEMORY, "no memory to compare files and rows");
    for (size_t i = 0; result == 0 && i < missing.count; i++) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(&missing.digests[i], hex);
        struct err refused = ERR_INIT;
        if (blobs_tbl_delete(conn, &missing.digests[i], &refused) < 0)
            log_line(LOG_LEVEL_ERROR, "blob %s is referred to, but its file is missing", hex);
        else
            log_line(LOG_LEVEL_WARN, "blob %s had a row but no file: forgotten", hex);
    }
    free(missing.digests);
    return result == 0 ? 0 : -1;
}

int sweep_reconcile(struct blobs *blobs, struct db_conn *conn, struct err *err) {
    if (each_name(blobs, "staging", remove_name, NULL, err) < 0 ||
        each_name(blobs, "trash", remove_name, NULL, err) < 0)
        return -1;
    for (unsigned i = 0; i < 256; i++) {
        char folder[32];
        snprintf(folder, sizeof folder, "blobs/sha256/%02x", i);
        if (each_name(blobs, folder, remove_without_row, conn, err) < 0)
            return -1;
    }
    return drop_missing(blobs, conn, err);
}

struct trashed {
    struct blobs *blobs;
    char from[BLOBS_PATH_LEN];
    char to[64];
};

static void out_of_trash(void *ctx) {
    struct trashed *move = ctx;
    renameat(move->blobs->dir_fd, move->to, move->blobs->dir_fd, move->from);
}

#define SWEEP_BATCH 256

int sweep_run(struct blobs *blobs, struct db_conn *conn, int64_t now_ms, unsigned max_blobs,
              struct sweep_result *ret, struct err *err) {
    /* Undo records must outlive the group; one sweep runs at a time, on the one writer thread. */
    static struct trashed moves[SWEEP_BATCH];
    struct digest digests[SWEEP_BATCH];
    uint64_t bytes[SWEEP_BATCH];
    if (max_blobs > SWEEP_BATCH)
        max_blobs = SWEEP_BATCH;
    int count = blobs_tbl_expired(conn, now_ms, digests, bytes, max_blobs, err);
    if (count < 0)
        return -1;
    *ret = (struct sweep_result){0};
    for (int i = 0; i < count; i++) {
        if (blobs_tbl_delete(conn, &digests[i], err) < 0)
            return -1;
        struct trashed *move = &moves[i];
        move->blobs = blobs;
        blobs_path(&digests[i], move->from);
        blobs_random_name("trash", move->to, sizeof move->to);
        if (renameat(blobs->dir_fd, move->from, blobs->dir_fd, move->to) == 0)
            db_undo_push(conn, out_of_trash, move);
        else if (errno != ENOENT)
            return err_set_errno(err, ERR_IO, errno, "sweeping a blob");
        ret->blobs++;
        ret->bytes += bytes[i];
    }
    counter_add(COUNTER_BLOBS_SWEPT, ret->blobs);
    return 0;
}

void sweep_empty_trash(struct blobs *blobs) {
    each_name(blobs, "trash", remove_name, NULL, NULL);
}
