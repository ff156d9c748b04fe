/* Folders and lone files as models. The top folder is held as a descriptor; files are opened
 * beneath it. See dirfiles.h. */
#include "compress/base/dirfiles.h"

#include "compress/base/beneath.h"
#include "compress/base/fdsource.h"
#include "compress/base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
/* Paths of at most LIMIT_MODEL_FILES files, and the lists that grew on the way. */
#define LIST_ARENA_BYTES (8 * MIB)

struct dir_resolver {
    struct resolver base;
    struct arena *arena;
    struct resolver_file *files;
    size_t capacity;
    int dir_fd;
    bool follow_links;
    const char *shown; /* the path as given, for messages */
};

static void close_fd(int fd) {
    if (fd >= 0)
        close(fd);
}

static int resolver_open_file(struct resolver *base, size_t index, struct source **ret,
                              struct err *err) {
    struct dir_resolver *self = (struct dir_resolver *)base;
    const struct resolver_file *file = &base->files[index];
    const char *name;
    int parent = beneath_open_parent(self->dir_fd, file->path, &name, err);
    if (parent < 0)
        return err_at_file(err, file->path, ERR_NO_OFFSET);
    /* O_NONBLOCK: a FIFO put in the file's place must not hang us. */
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = openat(parent, name, self->follow_links ? flags : flags | O_NOFOLLOW);
    int saved = errno;
    close(parent);
    if (fd < 0) {
        err_set_errno(err, beneath_code(saved), saved, "cannot open %s", file->path);
        return err_at_file(err, file->path, ERR_NO_OFFSET);
    }
    struct source *source;
    if (source_over_fd_take(fd, file->path, &source, err) < 0) {
        close(fd);
        return -1;
    }
    if (source->bytes != file->bytes) {
        err_set(err, ERR_IO, "%s changed from %" PRIu64 " to %" PRIu64 " bytes while it was in use",
                file->path, file->bytes, source->bytes);
        source_close(source);
        return err_at_file(err, file->path, ERR_NO_OFFSET);
    }
    *ret = source;
    return 0;
}

static void dir_resolver_close(struct resolver *base) {
    struct dir_resolver *self = (struct dir_resolver *)base;
    close_fd(self->dir_fd);
    arena_free(self->arena);
    free(self);
}

static const struct resolver_ops resolver_ops = {.open = resolver_open_file,
                                                 .close = dir_resolver_close};

static struct dir_resolver *new_resolver(const char *shown, bool follow_links, struct err *err) {
    struct dir_resolver *self = calloc(1, sizeof *self);
    if (self) {
        self->base.ops = &resolver_ops;
        self->dir_fd = -1;
        self->follow_links = follow_links;
        self->arena = arena_new(LIST_ARENA_BYTES);
        self->shown = self->arena ? arena_strdup(self->arena, shown) : NULL;
        if (self->shown)
            return self;
        dir_resolver_close(&self->base);
    }
    err_set(err, ERR_NO_MEMORY, "no memory to open %s", shown);
    return NULL;
}

static int add_file(struct dir_resolver *self, const char *path, uint64_t bytes, struct err *err) {
    if (!path_ok(path)) {
        err_set(err, ERR_BAD_NAME, "%s: the path is too long, too deep or holds odd bytes", path);
        return err_at_file(err, path, ERR_NO_OFFSET);
    }
    if (self->base.count == LIMIT_MODEL_FILES)
        return err_set(err, ERR_TOO_LARGE, "%s holds more than %d files", self->shown,
                       LIMIT_MODEL_FILES);
    struct resolver_file *files =
        arena_grow(self->arena, self->files, &self->capacity, self->base.count + 1, sizeof *files);
    char *kept = files ? arena_strdup(self->arena, path) : NULL;
    if (!kept)
        return err_set(err, ERR_NO_MEMORY, "no memory to list %s", self->shown);
    files[self->base.count++] = (struct resolver_file){kept, bytes};
    self->base.files = self->files = files;
    return 0;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct resolver_file *)a)->path, ((const struct resolver_file *)b)->path);
}

static int walk(struct dir_resolver *self, int dir_fd, const char *prefix, struct err *err);

/* A download that was broken off leaves such in a cache. */
static int broken_link(int dir_fd, const char *name, const char *path, int errno_value,
                       struct err *err) {
    char target[LIMIT_PATH_BYTES];
    ssize_t len = readlinkat(dir_fd, name, target, sizeof target);
    if (errno_value == ELOOP)
        err_set(err, ERR_UNSUPPORTED, "%s is a link that leads in a circle", path);
    else
        err_set(err, ERR_NOT_FOUND, "%s is a link to what is not there: %.*s", path,
                (int)(len > 0 ? len : 0), target);
    return err_at_file(err, path, ERR_NO_OFFSET);
}

/* One entry of a folder; path is what it is called below the top. */
static int visit(struct dir_resolver *self, int dir_fd, const char *name, const char *path,
                 struct err *err) {
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        goto unreadable;
    if (S_ISLNK(st.st_mode)) {
        if (!self->follow_links) {
            err_set(err, ERR_UNSUPPORTED, "%s is a link; links are not followed here", path);
            return err_at_file(err, path, ERR_NO_OFFSET);
        }
        if (fstatat(dir_fd, name, &st, 0) < 0 && (errno == ENOENT || errno == ELOOP))
            return broken_link(dir_fd, name, path, errno, err);
        if (S_ISLNK(st.st_mode)) /* nothing was found out */
            goto unreadable;
        if (S_ISDIR(st.st_mode)) {
            err_set(err, ERR_UNSUPPORTED, "%s is a link to a folder", path);
            return err_at_file(err, path, ERR_NO_OFFSET);
        }
    }
    if (S_ISDIR(st.st_mode)) {
        if (!path_ok(path)) /* also what bounds the recursion */
            return add_file(self, path, 0, err);
        int below = openat(dir_fd, name, FOLDER_FLAGS | O_NOFOLLOW);
        return below < 0 ? err_set_errno(err, beneath_code(errno), errno, "cannot open %s", path)
                         : walk(self, below, path, err);
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_UNSUPPORTED, "%s is neither a file nor a folder", path);
        return err_at_file(err, path, ERR_NO_OFFSET);
    }
    return add_file(self, path, (uint64_t)st.st_size, err);

unreadable:
    err_set_errno(err, beneath_code(errno), errno, "cannot look at %s", path);
    return err_at_file(err, path, ERR_NO_OFFSET);
}

/* Lists a folder and what lies below it. Takes dir_fd over. */
static int walk(struct dir_resolver *self, int dir_fd, const char *prefix, struct err *err) {
    const char *shown = *prefix ? prefix : self->shown;
    DIR *dir = fdopendir(dir_fd);
    if (!dir) {
        err_set_errno(err, ERR_IO, errno, "cannot list %s", shown);
        close(dir_fd);
        return -1;
    }
    int rc = -1;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        if (entry->d_name[0] == '.')
            continue;
        char path[LIMIT_PATH_BYTES + 258]; /* one byte too many shows as a path that is not ok */
        snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "/" : "", entry->d_name);
        if (visit(self, dirfd(dir), entry->d_name, path, err) < 0)
            goto out;
    }
    if (errno)
        err_set_errno(err, ERR_IO, errno, "cannot list %s", shown);
    else
        rc = 0;
out:
    closedir(dir);
    return rc;
}

static int list_folder(struct dir_resolver *self, int fd, struct err *err) {
    self->dir_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (self->dir_fd < 0) {
        err_set_errno(err, ERR_IO, errno, "cannot open %s", self->shown);
        close(fd);
        return -1;
    }
    if (walk(self, fd, "", err) < 0)
        return -1;
    if (self->base.count == 0)
        return err_set(err, ERR_NOT_FOUND, "%s holds no files", self->shown);
    qsort(self->files, self->base.count, sizeof *self->files, by_path);
    return 0;
}

/* The folder of a path that was named from outside, and the last name in it. */
int dirfiles_open_folder_of(const char *path, struct arena *arena, const char **ret_name) {
    /* dirname() and basename() may write into their argument. */
    char *for_name = arena_strdup(arena, path);
    char *for_folder = arena_strdup(arena, path);
    if (!for_name || !for_folder) {
        errno = ENOMEM;
        return -1;
    }
    *ret_name = basename(for_name);
    return open(dirname(for_folder), FOLDER_FLAGS);
}

static int list_lone(struct dir_resolver *self, const char *path, uint64_t bytes, struct err *err) {
    const char *name;
    self->dir_fd = dirfiles_open_folder_of(path, self->arena, &name);
    if (self->dir_fd < 0)
        return err_set_errno(err, beneath_code(errno), errno, "cannot open the folder of %s", path);
    self->base.lone = true;
    return add_file(self, name, bytes, err);
}

int dirfiles_open(const char *path, bool follow_links, struct resolver **ret, struct err *err) {
    struct dir_resolver *self = new_resolver(path, follow_links, err);
    if (!self)
        return -1;
    struct stat st;
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, follow_links ? flags : flags | O_NOFOLLOW);
    if (fd < 0 && errno == ELOOP && !follow_links) {
        err_set(err, ERR_UNSUPPORTED, "%s is a link; links are not followed here", path);
        goto fail;
    }
    if (fd < 0 || fstat(fd, &st) < 0) {
        err_set_errno(err, beneath_code(errno), errno, "cannot open %s", path);
        goto fail;
    }
    int rc;
    if (S_ISDIR(st.st_mode)) {
        rc = list_folder(self, fd, err);
        fd = -1;
    } else if (S_ISREG(st.st_mode)) {
        rc = list_lone(self, path, (uint64_t)st.st_size, err);
    } else {
        rc = err_set(err, ERR_UNSUPPORTED, "%s is neither a file nor a folder", path);
    }
    if (rc < 0)
        goto fail;
    close_fd(fd);
    *ret = &self->base;
    return 0;

fail:
    close_fd(fd);
    dir_resolver_close(&self->base);
    return -1;
}

int dirfiles_over(int dir_fd, const char *shown, const struct resolver_file *files, size_t count,
                  bool lone, struct resolver **ret, struct err *err) {
    struct dir_resolver *self = new_resolver(shown, false, err);
    if (!self)
        return -1;
    self->base.lone = lone;
    self->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    if (self->dir_fd < 0) {
        err_set_errno(err, ERR_IO, errno, "cannot open %s", shown);
        goto fail;
    }
    for (size_t i = 0; i < count; i++)
        if (add_file(self, files[i].path, files[i].bytes, err) < 0)
            goto fail;
    if (count)
        qsort(self->files, self->base.count, sizeof *self->files, by_path);
    *ret = &self->base;
    return 0;

fail:
    dir_resolver_close(&self->base);
    return -1;
}
