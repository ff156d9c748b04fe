/* mkdtemp, rename, remove. */
#include "daemon/beside.h"

#include "compress/base/fdsink.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct beside {
    char *out;
    char *parent;
    char *hidden; /* the folder; NULL while there is none */
    char *path;   /* in it */
    bool as_folder;
    bool replace;
};

/* asprintf() that leaves NULL behind when it fails. */
static char *__attribute__((format(printf, 1, 2))) text(const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *made;
    int len = vasprintf(&made, format, args);
    va_end(args);
    return len < 0 ? NULL : made;
}

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory for the output's name");
}

/* Without the slashes at its end; "/" stays. malloc'd. */
static char *without_slashes(const char *path) {
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    return strndup(path, len);
}

static int split(struct beside *b, const char *out, const char *name, char **ret_name,
                 struct err *err) {
    size_t len = strlen(out);
    bool into = !b->as_folder && len && out[len - 1] == '/';
    b->out = into ? text("%s%s", out, name) : without_slashes(out);
    if (!b->out)
        return no_memory(err);
    char *for_parent = strdup(b->out), *for_name = strdup(b->out);
    b->parent = for_parent ? strdup(dirname(for_parent)) : NULL;
    *ret_name = for_name ? strdup(basename(for_name)) : NULL;
    free(for_parent);
    free(for_name);
    return b->out && b->parent && *ret_name ? 0 : no_memory(err);
}

static int check_parent(const char *parent, struct err *err) {
    struct stat st;
    if (stat(parent, &st) < 0)
        return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "folder %s",
                             parent);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "%s is no folder", parent);
    if (access(parent, W_OK | X_OK) < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot write to %s", parent);
    return 0;
}

/* Is the folder `parent` the folder `source`, or within it? */
static bool lies_within(const char *parent, const char *source) {
    char *inner = realpath(parent, NULL), *outer = realpath(source, NULL);
    size_t len = outer ? strlen(outer) : 0;
    struct stat st;
    bool within = inner && outer && stat(outer, &st) == 0 && S_ISDIR(st.st_mode) &&
                  strncmp(inner, outer, len) == 0 && (!inner[len] || inner[len] == '/');
    free(inner);
    free(outer);
    return within;
}

int beside_check(const char *out, const char *source, bool replace, struct err *err) {
    if (strcmp(out, "-") == 0)
        return err_set(err, ERR_BAD_REQUEST,
                       "standard output cannot hold a model; name a file (./- is one)");
    size_t len = strlen(out);
    bool into = len && out[len - 1] == '/';
    char *bare = without_slashes(out);
    char *for_parent = bare ? strdup(bare) : NULL;
    int result = for_parent ? 0 : no_memory(err);
    const char *parent = for_parent ? dirname(for_parent) : "";
    struct stat st;
    bool there = result == 0 && lstat(bare, &st) == 0;
    if (there && !replace && !(into && S_ISDIR(st.st_mode)))
        result = err_set(err, ERR_EXISTS, "%s exists (--force replaces it)", bare);
    if (result == 0)
        result = check_parent(into && there ? bare : parent, err);
    if (result == 0 && source && lies_within(into && there ? bare : parent, source))
        result = err_set(err, ERR_EXISTS, "%s lies within the source %s", out, source);
    free(for_parent);
    free(bare);
    return result;
}

static int check_place(const struct beside *b, uint64_t bytes, struct err *err) {
    struct stat st;
    if (lstat(b->out, &st) == 0) {
        if (!b->replace)
            return err_set(err, ERR_EXISTS, "%s exists (--force replaces it)", b->out);
        if (b->as_folder != S_ISDIR(st.st_mode))
            return err_set(err, ERR_EXISTS, "%s is a %s and would become a %s; remove it first",
                           b->out, b->as_folder ? "file" : "folder",
                           b->as_folder ? "folder" : "file");
    }
    struct statvfs fs;
    if (check_parent(b->parent, err) < 0)
        return -1;
    if (statvfs(b->parent, &fs) < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot use %s", b->parent);
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (left < bytes)
        return err_set(err, ERR_NO_SPACE,
                       "%s has %" PRIu64 " MB left, the output needs %" PRIu64 " MB", b->parent,
                       left / 1000000, (bytes + 999999) / 1000000);
    return 0;
}

static int make_folder(struct beside *b, const char *out_name, const char *name, struct err *err) {
    char *hidden = text("%s/.%s.XXXXXX", b->parent, out_name);
    if (!hidden)
        return no_memory(err);
    if (!mkdtemp(hidden)) {
        err_set_errno(err, ERR_IO, errno, "cannot make a folder in %s", b->parent);
        free(hidden);
        return -1;
    }
    b->hidden = hidden;
    b->path = text("%s/%s", hidden, name);
    if (!b->path)
        return no_memory(err);
    if (b->as_folder && mkdir(b->path, 0777) < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot make %s", b->path);
    return 0;
}

int beside_new(const char *out, const char *name, bool as_folder, bool replace, uint64_t bytes,
               struct beside **ret, struct err *err) {
    struct beside *b = calloc(1, sizeof *b);
    char *out_name = NULL;
    if (!b)
        return no_memory(err);
    b->as_folder = as_folder;
    b->replace = replace;
    int result = split(b, out, name, &out_name, err);
    if (result == 0)
        result = check_place(b, bytes, err);
    if (result == 0)
        result = make_folder(b, out_name, name, err);
    free(out_name);
    if (result == 0)
        *ret = b;
    else
        beside_free(b);
    return result;
}

const char *beside_path(const struct beside *b) {
    return b->path;
}

const char *beside_out(const struct beside *b) {
    return b->out;
}

static int move(struct beside *b) {
    if (!b->replace) {
        if (renameat2(AT_FDCWD, b->path, AT_FDCWD, b->out, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EINVAL && errno != ENOSYS)
            return -1;
        if (access(b->out, F_OK) == 0) { /* a file system without it: nearly as good */
            errno = EEXIST;
            return -1;
        }
        return rename(b->path, b->out);
    }
    /* A folder that is not empty cannot be replaced by rename(); what stood there comes to lie in
     * the hidden folder and is removed with it. */
    if (b->as_folder && renameat2(AT_FDCWD, b->path, AT_FDCWD, b->out, RENAME_EXCHANGE) == 0)
        return 0;
    return rename(b->path, b->out);
}

int beside_publish(struct beside *b, struct err *err) {
    if (move(b) < 0)
        return err_set_errno(err, errno == EEXIST || errno == ENOTEMPTY ? ERR_EXISTS : ERR_IO,
                             errno, "cannot move the output to %s", b->out);
    int fd = open(b->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot sync %s", b->parent);
    int result = fsync_dir(fd, b->parent, err);
    close(fd);
    return result;
}

/* Everything below `at`/name, without following links; then name itself. */
static void remove_tree(int at, const char *name) {
    if (unlinkat(at, name, 0) == 0 || (errno != EISDIR && errno != EPERM))
        return;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove_tree(dirfd(dir), entry->d_name);
    closedir(dir);
    unlinkat(at, name, AT_REMOVEDIR);
}

void beside_free(struct beside *b) {
    if (!b)
        return;
    if (b->hidden)
        remove_tree(AT_FDCWD, b->hidden);
    free(b->out);
    free(b->parent);
    free(b->hidden);
    free(b->path);
    free(b);
}
