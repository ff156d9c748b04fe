/* See blob_outputs.h. Every file is written through a digesting, syncing sink into staging/. */
#include "storage/blob/blob_outputs.h"

#include "compress/base/fdsink.h"
#include "storage/blob/blobs_private.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct output_file {
    struct output_file *next;
    char *path;
    char staging[64];
    uint64_t bytes;
    struct digest digest;
    bool finished;
    struct publication move;
};

struct blob_outputs {
    struct outputs base;
    struct blobs *blobs;
    bool lone;
    struct output_file *newest;  /* in order of creation, newest first */
    struct output_file **sorted; /* finished ones by path; made on first use after a change */
    size_t count;
};

struct output_sink {
    struct sink base;
    struct sink *inner; /* digests and syncs */
    struct output_file *file;
    struct blob_outputs *outputs;
};

static int output_write(struct sink *base, const void *data, size_t len, struct err *err) {
    struct output_sink *self = (struct output_sink *)base;
    int result = sink_write(self->inner, data, len, err);
    base->written = self->inner->written;
    return result;
}

static int output_finish(struct sink *base, struct digest *ret, struct err *err) {
    struct output_sink *self = (struct output_sink *)base;
    struct output_file *file = self->file;
    file->bytes = self->inner->written;
    int result = sink_finish(self->inner, &file->digest, err);
    if (result == 0) {
        file->finished = true;
        self->outputs->count++;
        free(self->outputs->sorted);
        self->outputs->sorted = NULL;
        *ret = file->digest;
    }
    free(self);
    return result;
}

static void output_abort(struct sink *base) {
    struct output_sink *self = (struct output_sink *)base;
    sink_abort(self->inner);
    free(self);
}

static const struct sink_ops output_sink_ops = {output_write, output_finish, output_abort};

static int outputs_create(struct outputs *base, const char *path, uint64_t bytes, struct sink **ret,
                          struct err *err) {
    struct blob_outputs *self = (struct blob_outputs *)base;
    struct output_sink *sink = calloc(1, sizeof *sink);
    struct output_file *file = calloc(1, sizeof *file);
    char *copy = strdup(path);
    int fd = -1;
    if (!sink || !file || !copy) {
        err_set(err, ERR_NO_MEMORY, "no memory for an output file");
        goto fail;
    }
    fd = blobs_create_staging(self->blobs, file->staging, sizeof file->staging, err);
    if (fd < 0)
        goto fail;
    file->path = copy;
    file->next = self->newest;
    self->newest = file;
    if (blobs_reserve(self->blobs, fd, bytes, err) < 0) {
        close(fd);
        free(sink);
        return -1; /* the file is on the list: discarded with the outputs */
    }
    *sink = (struct output_sink){.base.ops = &output_sink_ops, .file = file, .outputs = self};
    if (sink_over_fd_take(fd, path, &sink->inner, err) < 0) {
        close(fd);
        free(sink);
        return -1;
    }
    *ret = &sink->base;
    return 0;
fail:
    free(sink);
    free(file);
    free(copy);
    return -1;
}

static int by_path(const void *a, const void *b) {
    const struct output_file *const *x = a;
    const struct output_file *const *y = b;
    return strcmp((*x)->path, (*y)->path);
}

static struct output_file **sorted(struct blob_outputs *self) {
    if (self->sorted)
        return self->sorted;
    struct output_file **list = calloc(self->count + 1, sizeof(struct output_file *));
    if (!list)
        return NULL;
    size_t n = 0;
    for (struct output_file *file = self->newest; file; file = file->next)
        if (file->finished)
            list[n++] = file;
    qsort(list, n, sizeof(struct output_file *), by_path);
    self->sorted = list;
    return list;
}

static int outputs_reopen(struct outputs *base, struct resolver **ret, struct err *err) {
    struct blob_outputs *self = (struct blob_outputs *)base;
    struct output_file **list = sorted(self);
    if (!list)
        return err_set(err, ERR_NO_MEMORY, "no memory for a list of files");
    struct resolver *files;
    if (blobs_files_resolver(self->blobs, self->count, self->lone, &files, err) < 0)
        return -1;
    for (size_t i = 0; i < self->count; i++)
        if (blobs_files_add(files, list[i]->path, list[i]->bytes, list[i]->staging, err) < 0) {
            resolver_close(files);
            return -1;
        }
    *ret = files;
    return 0;
}

static const struct outputs_ops outputs_ops = {outputs_create, outputs_reopen};

int blob_outputs_new(struct blobs *blobs, bool lone, struct blob_outputs **ret, struct err *err) {
    struct blob_outputs *self = calloc(1, sizeof *self);
    if (!self)
        return err_set(err, ERR_NO_MEMORY, "no memory for outputs");
    *self = (struct blob_outputs){.base.ops = &outputs_ops, .blobs = blobs, .lone = lone};
    *ret = self;
    return 0;
}

struct outputs *blob_outputs_base(struct blob_outputs *outputs) {
    return &outputs->base;
}

size_t blob_outputs_count(const struct blob_outputs *outputs) {
    return outputs->count;
}

int blob_outputs_entries(struct blob_outputs *outputs, struct arena *arena, struct blob_entry **ret,
                         struct err *err) {
    struct output_file **list = sorted(outputs);
    struct blob_entry *entries = ARENA_ARRAY(arena, struct blob_entry, outputs->count + 1);
    if (!list || !entries)
        return err_set(err, ERR_NO_MEMORY, "no memory for a list of files");
    for (size_t i = 0; i < outputs->count; i++)
        entries[i] = (struct blob_entry){list[i]->path, list[i]->digest, list[i]->bytes};
    *ret = entries;
    return 0;
}

int blob_outputs_publish(struct blob_outputs *outputs, struct db_conn *conn, const char *team,
                         struct err *err) {
    for (struct output_file *file = outputs->newest; file; file = file->next)
        if (file->finished && blobs_publish(outputs->blobs, &file->move, file->staging,
                                            &file->digest, file->bytes, team, conn, err) < 0)
            return -1;
    return 0;
}

void blob_outputs_discard(struct blob_outputs *outputs) {
    if (!outputs)
        return;
    for (struct output_file *next, *file = outputs->newest; file; file = next) {
        next = file->next;
        if (!file->move.moved)
            unlinkat(outputs->blobs->dir_fd, file->staging, 0);
        free(file->path);
        free(file);
    }
    free(outputs->sorted);
    free(outputs);
}

#ifdef COMPRESSD_TEST_HOOKS
void blob_outputs_test_flip(struct blob_outputs *outputs) {
    const struct output_file *largest = NULL;
    for (const struct output_file *file = outputs->newest; file; file = file->next)
        if (file->finished && (!largest || file->bytes > largest->bytes))
            largest = file;
    uint8_t byte;
    int fd = largest ? openat(outputs->blobs->dir_fd, largest->staging, O_RDWR | O_CLOEXEC) : -1;
    off_t at = largest ? (off_t)(largest->bytes / 2) : 0;
    if (fd < 0 || pread(fd, &byte, 1, at) != 1)
        abort();
    byte ^= 1;
    if (pwrite(fd, &byte, 1, at) != 1)
        abort();
    close(fd);
}
#endif
