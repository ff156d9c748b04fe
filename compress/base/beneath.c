/* See beneath.h. openat2(RESOLVE_BENEATH) would do it in one call, but old container run times
 * refuse it, and the walk is needed anyway to make folders. */
#include "compress/base/beneath.h"

#include "compress/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct maker {
    int (*made)(void *ctx, const char *path, size_t len, struct err *err); /* NULL: make nothing */
    void *ctx;
};

enum err_code beneath_code(int errno_value) {
    if (errno_value == ENOENT || errno_value == ENOTDIR)
        return ERR_NOT_FOUND;
    return errno_value == EEXIST ? ERR_EXISTS : ERR_IO;
}

/* Makes the folder `name` in fd, called the first len bytes of path, unless it is there. */
static int make(int fd, const char *name, const char *path, size_t len, const struct maker *maker,
                struct err *err) {
    if (mkdirat(fd, name, 0777) < 0)
        return errno == EEXIST
                   ? 0
                   : err_set_errno(err, ERR_IO, errno, "cannot make the folder of %s", path);
    if (maker->made(maker->ctx, path, len, err) < 0) {
        unlinkat(fd, name, AT_REMOVEDIR);
        return -1;
    }
    fsync(fd); /* the new name; a failure shows when the file itself is synced */
    return 0;
}

static int descend(int dir_fd, const char *path, const struct maker *maker, const char **ret_name,
                   struct err *err) {
    int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot open the folder of %s", path);
    const char *at = path;
    for (const char *slash; (slash = strchr(at, '/')); at = slash + 1) {
        char name[LIMIT_PATH_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", (int)(slash - at), at);
        if (maker->made && make(fd, name, path, (size_t)(slash - path), maker, err) < 0) {
            close(fd);
            return -1;
        }
        int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        int saved = errno;
        close(fd);
        if (below < 0)
            return err_set_errno(err, beneath_code(saved), saved, "cannot open the folder of %s",
                                 path);
        fd = below;
    }
    *ret_name = at;
    return fd;
}

int beneath_open_parent(int dir_fd, const char *path, const char **ret_name, struct err *err) {
    return descend(dir_fd, path, &(struct maker){0}, ret_name, err);
}

int beneath_make_parent(int dir_fd, const char *path,
                        int (*made)(void *ctx, const char *path, size_t len, struct err *err),
                        void *ctx, const char **ret_name, struct err *err) {
    return descend(dir_fd, path, &(struct maker){made, ctx}, ret_name, err);
}
