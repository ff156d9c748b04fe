/* Sources, resolvers and outputs over directories, one descriptor per folder, never a path that is
 * resolved twice: see dirfiles.h. */
#include "compress/base/dirfiles.h"

#include "compress/base/arena.h"
#include "compress/base/fdsink.h"
#include "compress/base/limits.h"

#include <assert.h>
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
#define PARTIAL ".partial"
/* Paths of at most LIMIT_MODEL_FILES files, and the lists that grew on the way. */
#define LIST_ARENA_BYTES (8 * MIB)

struct fd_source {
    struct source base;
    int fd;
    char path[];
};

struct dir_resolver {
    struct resolver base;
    struct arena *arena;
    struct resolver_file *files;
    size_t capacity;
    int dir_fd;
    bool follow_links;
    const char *shown; /* the path as given, for messages */
};

struct dir_outputs {
    struct outputs base;
    int dir_fd;
    char *target;
    bool lone;
    struct arena *arena;
    const char *lone_name;
    const char **files; /* finished or in progress, in order of creation */
    uint64_t *sizes;    /* UINT64_MAX: in progress */
    size_t files_count, files_capacity, sizes_capacity;
    const char **folders; /* made below target, parents first */
    size_t folders_count, folders_capacity;
};

struct dir_sink {
    struct sink base;
    struct dir_outputs *outputs;
    struct sink *inner;
    size_t index; /* in outputs->files */
    uint64_t bytes;
    int parent_fd;
    char name[LIMIT_PATH_BYTES + 1];
    char partial[LIMIT_PATH_BYTES + sizeof PARTIAL];
};

/* ---- descriptors ---- */

static enum err_code code_of(int errno_value) {
    if (errno_value == ENOENT || errno_value == ENOTDIR)
        return ERR_NOT_FOUND;
    return errno_value == EEXIST ? ERR_EXISTS : ERR_IO;
}

static void close_fd(int fd) {
    if (fd >= 0)
        close(fd);
}

/* The folder that holds `path` below dir_fd, component by component and through no link; its last
 * name in ret_name. make: missing folders are created and noted in the outputs. */
static int note_folder(struct dir_outputs *outputs, const char *path, size_t len, struct err *err);

static int open_parent(int dir_fd, const char *path, struct dir_outputs *make,
                       const char **ret_name, struct err *err) {
    int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot open the folder of %s", path);
    const char *at = path;
    for (const char *slash; (slash = strchr(at, '/')); at = slash + 1) {
        char name[LIMIT_PATH_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", (int)(slash - at), at);
        if (make && mkdirat(fd, name, 0777) == 0) {
            if (note_folder(make, path, (size_t)(slash - path), err) < 0) {
                unlinkat(fd, name, AT_REMOVEDIR);
                close(fd);
                return -1;
            }
            fsync(fd); /* the new name; a failure shows when the file itself is synced */
        } else if (make && errno != EEXIST) {
            err_set_errno(err, ERR_IO, errno, "cannot make the folder of %s", path);
            close(fd);
            return -1;
        }
        int below = openat(fd, name, FOLDER_FLAGS | O_NOFOLLOW);
        int saved = errno;
        close(fd);
        if (below < 0)
            return err_set_errno(err, code_of(saved), saved, "cannot open the folder of %s", path);
        fd = below;
    }
    *ret_name = at;
    return fd;
}

int fsync_dir(int dir_fd, const char *name, struct err *err) {
    if (fsync(dir_fd) == 0)
        return 0;
    return err_set_errno(err, ERR_IO, errno, "cannot sync the folder %s", name);
}

/* ---- sources ---- */

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

static const struct source_ops fd_source_ops = {
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
        (struct source){.ops = &fd_source_ops, .bytes = (uint64_t)st.st_size, .path = source->path};
    source->fd = fd;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    *ret = &source->base;
    return 0;
}

/* ---- resolver ---- */

static int resolver_open_file(struct resolver *base, size_t index, struct source **ret,
                              struct err *err) {
    struct dir_resolver *self = (struct dir_resolver *)base;
    const struct resolver_file *file = &base->files[index];
    const char *name;
    int parent = open_parent(self->dir_fd, file->path, NULL, &name, err);
    if (parent < 0)
        return err_at_file(err, file->path, ERR_NO_OFFSET);
    /* O_NONBLOCK: a FIFO put in the file's place must not hang us. */
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = openat(parent, name, self->follow_links ? flags : flags | O_NOFOLLOW);
    int saved = errno;
    close(parent);
    if (fd < 0) {
        err_set_errno(err, code_of(saved), saved, "cannot open %s", file->path);
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
        if (fstatat(dir_fd, name, &st, 0) < 0)
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
        return below < 0 ? err_set_errno(err, code_of(errno), errno, "cannot open %s", path)
                         : walk(self, below, path, err);
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_UNSUPPORTED, "%s is neither a file nor a folder", path);
        return err_at_file(err, path, ERR_NO_OFFSET);
    }
    return add_file(self, path, (uint64_t)st.st_size, err);

unreadable:
    err_set_errno(err, code_of(errno), errno, "cannot look at %s", path);
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
static int open_folder_of(const char *path, struct arena *arena, const char **ret_name) {
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
    self->dir_fd = open_folder_of(path, self->arena, &name);
    if (self->dir_fd < 0)
        return err_set_errno(err, code_of(errno), errno, "cannot open the folder of %s", path);
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
        err_set_errno(err, code_of(errno), errno, "cannot open %s", path);
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

/* ---- outputs ---- */

static int note_folder(struct dir_outputs *outputs, const char *path, size_t len, struct err *err) {
    const char **folders = arena_grow(outputs->arena, outputs->folders, &outputs->folders_capacity,
                                      outputs->folders_count + 1, sizeof *folders);
    char *kept = folders ? arena_strndup(outputs->arena, path, len) : NULL;
    if (!kept)
        return err_set(err, ERR_NO_MEMORY, "no memory to create %s", path);
    folders[outputs->folders_count++] = kept;
    outputs->folders = folders;
    return 0;
}

static int note_file(struct dir_outputs *outputs, const char *path, size_t *ret_index,
                     struct err *err) {
    size_t want = outputs->files_count + 1;
    if (want > LIMIT_MODEL_FILES)
        return err_set(err, ERR_TOO_LARGE, "a model has at most %d files", LIMIT_MODEL_FILES);
    const char **files =
        arena_grow(outputs->arena, outputs->files, &outputs->files_capacity, want, sizeof *files);
    if (files)
        outputs->files = files;
    uint64_t *sizes =
        arena_grow(outputs->arena, outputs->sizes, &outputs->sizes_capacity, want, sizeof *sizes);
    if (sizes)
        outputs->sizes = sizes;
    char *kept = arena_strdup(outputs->arena, path);
    if (!files || !sizes || !kept)
        return err_set(err, ERR_NO_MEMORY, "no memory to create %s", path);
    files[want - 1] = kept;
    sizes[want - 1] = UINT64_MAX;
    outputs->files_count = want;
    *ret_index = want - 1;
    return 0;
}

static int dir_sink_write(struct sink *base, const void *data, size_t len, struct err *err) {
    struct dir_sink *sink = (struct dir_sink *)base;
    if (sink->inner->ops->write(sink->inner, data, len, err) < 0)
        return -1;
    base->written += len;
    return 0;
}

static void drop_dir_sink(struct dir_sink *sink) {
    sink_abort(sink->inner);
    unlinkat(sink->parent_fd, sink->partial, 0);
    close_fd(sink->parent_fd);
    free(sink);
}

static void dir_sink_abort(struct sink *base) {
    drop_dir_sink((struct dir_sink *)base);
}

/* rename() that never replaces: not every file system can do it in one step. */
static int rename_new(int dir_fd, const char *from, const char *to) {
    if (renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (faccessat(dir_fd, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return renameat(dir_fd, from, dir_fd, to);
}

static int dir_sink_finish(struct sink *base, struct digest *ret_sha256, struct err *err) {
    struct dir_sink *sink = (struct dir_sink *)base;
    struct dir_outputs *outputs = sink->outputs;
    const char *path = outputs->files[sink->index];
    struct digest digest;
    struct sink *inner = sink->inner;
    sink->inner = NULL;
    if (base->written != sink->bytes) {
        err_set(err, ERR_BUG, "%s was announced with %" PRIu64 " bytes and got %" PRIu64, path,
                sink->bytes, base->written);
        sink_abort(inner);
        goto fail;
    }
    if (sink_finish(inner, &digest, err) < 0)
        goto fail;
    if (rename_new(sink->parent_fd, sink->partial, sink->name) < 0) {
        err_set_errno(err, code_of(errno), errno, "cannot finish %s", path);
        goto fail;
    }
    outputs->sizes[sink->index] = sink->bytes;
    int rc = fsync_dir(sink->parent_fd, path, err);
    close(sink->parent_fd);
    free(sink);
    if (rc == 0)
        *ret_sha256 = digest;
    return rc;

fail:
    drop_dir_sink(sink);
    return -1;
}

static const struct sink_ops dir_sink_ops = {
    .write = dir_sink_write, .finish = dir_sink_finish, .abort = dir_sink_abort};

static int outputs_create(struct outputs *base, const char *path, uint64_t bytes, struct sink **ret,
                          struct err *err) {
    struct dir_outputs *outputs = (struct dir_outputs *)base;
    if (outputs->lone)
        path = outputs->lone_name;
    if (!path_ok(path))
        return err_set(err, ERR_BAD_NAME, "%s is not a path for a model's file", path);
    struct dir_sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return err_set(err, ERR_NO_MEMORY, "no memory to create %s", path);
    sink->base.ops = &dir_sink_ops;
    sink->outputs = outputs;
    sink->bytes = bytes;
    const char *name = path;
    int fd = -1;
    sink->parent_fd = open_parent(outputs->dir_fd, path, outputs, &name, err);
    if (sink->parent_fd < 0)
        goto fail;
    snprintf(sink->name, sizeof sink->name, "%s", name);
    snprintf(sink->partial, sizeof sink->partial, "%s" PARTIAL, name);
    if (outputs->lone) /* what a run that was killed left behind */
        unlinkat(sink->parent_fd, sink->partial, 0);
    if (faccessat(sink->parent_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        err_set(err, ERR_EXISTS, "%s exists", path);
        goto fail;
    }
    fd = openat(sink->parent_fd, sink->partial,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) {
        err_set_errno(err, code_of(errno), errno, "cannot create %s", path);
        goto fail;
    }
    if (sink_over_fd_take(fd, path, &sink->inner, err) < 0)
        goto fail_created;
    fd = -1;
    if (note_file(outputs, path, &sink->index, err) < 0)
        goto fail_created;
    *ret = &sink->base;
    return 0;

fail_created:
    sink_abort(sink->inner);
    unlinkat(sink->parent_fd, sink->partial, 0);
fail:
    close_fd(fd);
    close_fd(sink->parent_fd);
    free(sink);
    return -1;
}

static int outputs_reopen(struct outputs *base, struct resolver **ret, struct err *err) {
    struct dir_outputs *outputs = (struct dir_outputs *)base;
    struct dir_resolver *self = new_resolver(outputs->target, false, err);
    if (!self)
        return -1;
    self->base.lone = outputs->lone;
    self->dir_fd = fcntl(outputs->dir_fd, F_DUPFD_CLOEXEC, 0);
    if (self->dir_fd < 0) {
        err_set_errno(err, ERR_IO, errno, "cannot open %s", outputs->target);
        goto fail;
    }
    for (size_t i = 0; i < outputs->files_count; i++)
        if (outputs->sizes[i] != UINT64_MAX &&
            add_file(self, outputs->files[i], outputs->sizes[i], err) < 0)
            goto fail;
    if (self->base.count == 0) {
        err_set(err, ERR_BUG, "%s: nothing was written", outputs->target);
        goto fail;
    }
    qsort(self->files, self->base.count, sizeof *self->files, by_path);
    *ret = &self->base;
    return 0;

fail:
    dir_resolver_close(&self->base);
    return -1;
}

static const struct outputs_ops outputs_ops = {.create = outputs_create, .reopen = outputs_reopen};

static int folder_is_empty(int dir_fd, bool *ret) {
    int fd = openat(dir_fd, ".", FOLDER_FLAGS);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        close_fd(fd);
        return -1;
    }
    *ret = true;
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            *ret = false;
    closedir(dir);
    return 0;
}

static int open_target(struct dir_outputs *outputs, const char *target, struct err *err) {
    if (outputs->lone)
        outputs->dir_fd = open_folder_of(target, outputs->arena, &outputs->lone_name);
    else
        outputs->dir_fd = open(target, FOLDER_FLAGS);
    if (outputs->dir_fd < 0)
        return err_set_errno(err, code_of(errno), errno, "cannot open the folder of %s", target);
    bool is_free = outputs->lone &&
                   faccessat(outputs->dir_fd, outputs->lone_name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    if (!outputs->lone && folder_is_empty(outputs->dir_fd, &is_free) < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot list %s", target);
    if (!is_free)
        return err_set(err, ERR_EXISTS, outputs->lone ? "%s exists" : "%s is not empty", target);
    if (outputs->lone && !path_ok(outputs->lone_name))
        return err_set(err, ERR_BAD_NAME, "%s is not a name for a file", target);
    return 0;
}

int dir_outputs_new(const char *target, bool lone, struct dir_outputs **ret, struct err *err) {
    struct dir_outputs *outputs = calloc(1, sizeof *outputs);
    if (!outputs)
        return err_set(err, ERR_NO_MEMORY, "no memory to open %s", target);
    outputs->base.ops = &outputs_ops;
    outputs->dir_fd = -1;
    outputs->lone = lone;
    outputs->target = strdup(target);
    outputs->arena = arena_new(LIST_ARENA_BYTES);
    if (!outputs->target || !outputs->arena)
        err_set(err, ERR_NO_MEMORY, "no memory to open %s", target);
    else if (open_target(outputs, target, err) == 0) {
        *ret = outputs;
        return 0;
    }
    dir_outputs_free(outputs);
    return -1;
}

struct outputs *dir_outputs_base(struct dir_outputs *outputs) {
    return &outputs->base;
}

static void remove_at(int dir_fd, const char *path, int flags) {
    const char *name;
    int parent = open_parent(dir_fd, path, NULL, &name, NULL);
    if (parent < 0)
        return;
    unlinkat(parent, name, flags);
    close(parent);
}

void dir_outputs_discard(struct dir_outputs *outputs) {
    for (size_t i = 0; i < outputs->files_count; i++)
        if (outputs->sizes[i] != UINT64_MAX)
            remove_at(outputs->dir_fd, outputs->files[i], 0);
    for (size_t i = outputs->folders_count; i-- > 0;)
        remove_at(outputs->dir_fd, outputs->folders[i], AT_REMOVEDIR);
    outputs->files_count = 0;
    outputs->folders_count = 0;
}

void dir_outputs_free(struct dir_outputs *outputs) {
    if (!outputs)
        return;
    close_fd(outputs->dir_fd);
    arena_free(outputs->arena);
    free(outputs->target);
    free(outputs);
}
