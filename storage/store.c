/* See store.h. */
#include "storage/store.h"

#include "storage/blob/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Makes the directory and its parents, private to the user. */
static int make_folders(const char *path, struct err *err) {
    char *copy = strdup(path);
    if (!copy)
        return err_set(err, ERR_NO_MEMORY, "no memory for a path");
    for (char *at = copy + 1;; at++) {
        char was = *at;
        if (was != '/' && was != 0)
            continue;
        *at = 0;
        if (mkdir(copy, 0700) < 0 && errno != EEXIST) {
            err_set_errno(err, ERR_IO, errno, "making %s", copy);
            free(copy);
            return -1;
        }
        *at = was;
        if (!was)
            break;
    }
    free(copy);
    return 0;
}

/* The lock dies with the process, so it cannot go stale; the file holds the owner's number for
 * people. */
static int lock_folder(int dir_fd, const char *data_dir, struct err *err) {
    int fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "%s/lock", data_dir);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int why = errno;
        char owner[32] = "";
        ssize_t n = pread(fd, owner, sizeof owner - 1, 0);
        owner[n > 0 ? n : 0] = 0;
        owner[strcspn(owner, "\n")] = 0;
        close(fd);
        if (why != EWOULDBLOCK)
            return err_set_errno(err, ERR_IO, why, "locking %s/lock", data_dir);
        return err_set(err, ERR_LOCKED, "%s is in use by process %s", data_dir,
                       owner[0] ? owner : "(unknown)");
    }
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) != len) {
        err_set_errno(err, ERR_IO, errno, "writing %s/lock", data_dir);
        close(fd);
        return -1;
    }
    return fd;
}

int store_open(const char *data_dir, struct store **ret, struct err *err) {
    char path[4096];
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        return err_set(err, ERR_NO_MEMORY, "no memory for the store");
    store->lock_fd = store->data_fd = -1;
    if (make_folders(data_dir, err) < 0)
        goto fail;
    store->data_dir = strdup(data_dir);
    store->data_fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->data_fd < 0 || !store->data_dir) {
        err_set_errno(err, ERR_IO, errno, "%s", data_dir);
        goto fail;
    }
    store->lock_fd = lock_folder(store->data_fd, data_dir, err);
    if (store->lock_fd < 0)
        goto fail;
    if (snprintf(path, sizeof path, "%s/compressd.db", data_dir) >= (int)sizeof path) {
        err_set(err, ERR_BAD_REQUEST, "the path of the data directory is too long");
        goto fail;
    }
    if (blobs_open(data_dir, &store->blobs, err) < 0 || db_open(path, &store->db, err) < 0 ||
        sweep_reconcile(store->blobs, db_writer_conn(store->db), err) < 0 ||
        writer_start(store->db, &store->writer, err) < 0)
        goto fail;
    *ret = store;
    return 0;
fail:
    store_close(store);
    return -1;
}

void store_close(struct store *store) {
    if (!store)
        return;
    writer_stop(store->writer);
    db_close(store->db);
    blobs_close(store->blobs);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    if (store->data_fd >= 0)
        close(store->data_fd);
    free((char *)(uintptr_t)store->data_dir);
    free(store);
}
