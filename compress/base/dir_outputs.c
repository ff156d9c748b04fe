/* See dir_outputs.h. The target is held as a descriptor, so that it may be renamed meanwhile. */
#include "compress/base/dir_outputs.h"

#include "compress/base/arena.h"
#include "compress/base/beneath.h"
#include "compress/base/dirfiles.h"
#include "compress/base/fdsink.h"
#include "compress/base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define PARTIAL ".partial"
/* Paths of at most LIMIT_MODEL_FILES files, and the lists that grew on the way. */
#define LIST_ARENA_BYTES (8 * MIB)

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

static void close_fd(int fd) {
    if (fd >= 0)
        close(fd);
}

static int note_folder(void *ctx, const char *path, size_t len, struct err *err) {
    struct dir_outputs *outputs = ctx;
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
        err_set_errno(err, beneath_code(errno), errno, "cannot finish %s", path);
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
    sink->parent_fd = beneath_make_parent(outputs->dir_fd, path, note_folder, outputs, &name, err);
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
        err_set_errno(err, beneath_code(errno), errno, "cannot create %s", path);
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
    struct resolver_file *files = calloc(outputs->files_count + 1, sizeof *files);
    if (!files)
        return err_set(err, ERR_NO_MEMORY, "no memory to reopen %s", outputs->target);
    size_t count = 0;
    for (size_t i = 0; i < outputs->files_count; i++)
        if (outputs->sizes[i] != UINT64_MAX)
            files[count++] = (struct resolver_file){outputs->files[i], outputs->sizes[i]};
    int rc = count ? dirfiles_over(outputs->dir_fd, outputs->target, files, count, outputs->lone,
                                   ret, err)
                   : err_set(err, ERR_BUG, "%s: nothing was written", outputs->target);
    free(files);
    return rc;
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
        outputs->dir_fd = dirfiles_open_folder_of(target, outputs->arena, &outputs->lone_name);
    else
        outputs->dir_fd = open(target, FOLDER_FLAGS);
    if (outputs->dir_fd < 0)
        return err_set_errno(err, beneath_code(errno), errno, "cannot open the folder of %s",
                             target);
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
    int parent = beneath_open_parent(dir_fd, path, &name, NULL);
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
