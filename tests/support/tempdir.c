/* See tempdir.h. */
#include "tests/support/tempdir.h"

#include "tests/support/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void tempdir_make(struct tempdir *dir) {
    const char *base = getenv("TMPDIR");
    snprintf(dir->path, sizeof dir->path, "%s/compressd-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(dir->path))
        fail_msg("cannot make %s: %s", dir->path, strerror(errno));
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at) {
    return remove(path);
}

static int open_up(const char *path, const struct stat *st, int kind, struct FTW *at) {
    if (kind == FTW_D || kind == FTW_DNR)
        chmod(path, 0700); /* a test may have locked it */
    return 0;
}

void tempdir_free(struct tempdir *dir) {
    if (!dir->path[0])
        return;
    nftw(dir->path, open_up, 16, FTW_PHYS);
    nftw(dir->path, remove_entry, 16, FTW_PHYS | FTW_DEPTH);
    dir->path[0] = 0;
}

const char *tempdir_path(const struct tempdir *dir, const char *name) {
    static char paths[8][1024];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", dir->path, name);
    return path;
}

void tempdir_write(const struct tempdir *dir, const char *name, const void *data, size_t len) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir->path, name);
    for (char *slash = path + strlen(dir->path) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        if (mkdir(path, 0777) < 0 && errno != EEXIST)
            fail_msg("cannot make %s: %s", path, strerror(errno));
        *slash = '/';
    }
    FILE *file = fopen(path, "wb");
    if (!file)
        fail_msg("cannot write %s: %s", path, strerror(errno));
    size_t put = len ? fwrite(data, 1, len, file) : 0;
    if (fclose(file) != 0 || put != len)
        fail_msg("cannot write %s: %s", path, strerror(errno));
}

char *tempdir_read(const struct tempdir *dir, const char *name, size_t *ret_len) {
    const char *path = tempdir_path(dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st = {0};
    if (fd < 0 || fstat(fd, &st) < 0)
        fail_msg("cannot read %s: %s", path, strerror(errno));
    size_t len = (size_t)st.st_size, at = 0;
    char *text = malloc(len + 1);
    assert_non_null(text);
    while (at < len) {
        ssize_t n = read(fd, text + at, len - at);
        if (n <= 0)
            fail_msg("cannot read %s: %s", path, strerror(errno));
        at += (size_t)n;
    }
    close(fd);
    text[len] = 0;
    if (ret_len)
        *ret_len = len;
    return text;
}

size_t tempdir_count(const struct tempdir *dir, const char *name) {
    const char *path = tempdir_path(dir, name);
    DIR *list = opendir(path);
    if (!list)
        fail_msg("cannot list %s: %s", path, strerror(errno));
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(list));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(list);
    return count;
}
