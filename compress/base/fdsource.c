/* See fdsource.h. */
#include "compress/base/fdsource.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fd_source {
    struct source base;
    int fd;
    char path[];
};

static int fd_read_at(struct source *base, uint64_t offset, void *buf, size_t len,
                      struct err *err) {
    struct fd_source *source = (struct fd_source *)base;
    char *at = buf;
    while (len) {
        ssize_t n = pread(source->fd, at, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n < 0)
                err_set_errno(err, ERR_IO, errno, "cannot read %s", source->path);
            else
                err_set(err, ERR_IO, "%s ends at offset %" PRIu64 ", it had %" PRIu64 " bytes",
                        source->path, offset, base->bytes);
            return err_at_file(err, source->path, offset);
        }
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static void fd_will_need(struct source *base, uint64_t offset, uint64_t len) {
    posix_fadvise(((struct fd_source *)base)->fd, (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED);
}

static void fd_done(struct source *base, uint64_t offset, uint64_t len) {
    posix_fadvise(((struct fd_source *)base)->fd, (off_t)offset, (off_t)len, POSIX_FADV_DONTNEED);
}

static void fd_close(struct source *base) {
    close(((struct fd_source *)base)->fd);
    free(base);
}

static const struct source_ops ops = {
    .read_at = fd_read_at, .will_need = fd_will_need, .done = fd_done, .close = fd_close};

int source_over_fd_take(int fd, const char *path, struct source **ret, struct err *err) {
    struct stat st;
    if (fstat(fd, &st) < 0) {
        err_set_errno(err, ERR_IO, errno, "cannot look at %s", path);
        return err_at_file(err, path, ERR_NO_OFFSET);
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_UNSUPPORTED, "%s is not a regular file", path);
        return err_at_file(err, path, ERR_NO_OFFSET);
    }
    size_t len = strlen(path);
    struct fd_source *source = calloc(1, sizeof *source + len + 1);
    if (!source)
        return err_set(err, ERR_NO_MEMORY, "no memory to open %s", path);
    memcpy(source->path, path, len);
    source->base =
        (struct source){.ops = &ops, .bytes = (uint64_t)st.st_size, .path = source->path};
    source->fd = fd;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    *ret = &source->base;
    return 0;
}
