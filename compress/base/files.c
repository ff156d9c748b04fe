/* The vtables' shorthands, the path rule, and sources over memory. */
#include "compress/base/files.h"

#include "compress/base/limits.h"
#include "compress/base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_BUFFER_BYTES ((size_t)1 << 20)

int source_read(struct source *source, uint64_t offset, void *buf, size_t len, struct err *err) {
    if (offset > source->bytes || len > source->bytes - offset) {
        err_set(err, ERR_BAD_MODEL,
                "%s: %zu bytes at offset %" PRIu64 " lie beyond the end of the file (%" PRIu64
                " bytes)",
                source->path, len, offset, source->bytes);
        return err_at_file(err, source->path, offset);
    }
    return len ? source->ops->read_at(source, offset, buf, len, err) : 0;
}

void source_will_need(struct source *source, uint64_t offset, uint64_t len) {
    if (source->ops->will_need)
        source->ops->will_need(source, offset, len);
}

void source_done(struct source *source, uint64_t offset, uint64_t len) {
    if (source->ops->done)
        source->ops->done(source, offset, len);
}

void source_close(struct source *source) {
    if (source)
        source->ops->close(source);
}

int source_slurp(struct source *source, uint64_t limit_bytes, char **ret, struct err *err) {
    if (source->bytes > limit_bytes || source->bytes >= SIZE_MAX) {
        err_set(err, ERR_TOO_LARGE, "%s has %" PRIu64 " bytes; at most %" PRIu64 " are read here",
                source->path, source->bytes, limit_bytes);
        return err_at_file(err, source->path, ERR_NO_OFFSET);
    }
    size_t len = (size_t)source->bytes;
    char *text = malloc(len + 1);
    if (!text)
        return err_set(err, ERR_NO_MEMORY, "no memory to read %s", source->path);
    if (source_read(source, 0, text, len, err) < 0) {
        free(text);
        return -1;
    }
    text[len] = 0;
    *ret = text;
    return 0;
}

size_t resolver_find(const struct resolver *resolver, const char *path) {
    size_t low = 0, high = resolver->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(path, resolver->files[mid].path);
        if (order == 0)
            return mid;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return SIZE_MAX;
}

int resolver_open(struct resolver *resolver, const char *path, struct source **ret,
                  struct err *err) {
    size_t index = resolver_find(resolver, path);
    if (index == SIZE_MAX) {
        err_set(err, ERR_NOT_FOUND, "the model has no file %s", path);
        return err_at_file(err, path, ERR_NO_OFFSET);
    }
    return resolver->ops->open(resolver, index, ret, err);
}

int resolver_digest(struct resolver *resolver, size_t i, struct digest *ret, struct err *err) {
    struct source *source = NULL;
    struct hasher *hasher = hasher_new();
    char *buf = malloc(DIGEST_BUFFER_BYTES);
    int result = -1;
    if (!hasher || !buf)
        err_set(err, ERR_NO_MEMORY, "no memory for a digest");
    else
        result = resolver->ops->open(resolver, i, &source, err);
    for (uint64_t at = 0; result == 0 && at < source->bytes; at += DIGEST_BUFFER_BYTES) {
        uint64_t left = source->bytes - at;
        size_t len = left < DIGEST_BUFFER_BYTES ? (size_t)left : DIGEST_BUFFER_BYTES;
        result = source_read(source, at, buf, len, err);
        if (result == 0)
            hasher_update(hasher, buf, len);
    }
    if (result == 0)
        *ret = hasher_final(hasher);
    source_close(source);
    hasher_free(hasher);
    free(buf);
    return result;
}

void resolver_close(struct resolver *resolver) {
    if (resolver)
        resolver->ops->close(resolver);
}

int sink_write(struct sink *sink, const void *data, size_t len, struct err *err) {
    return len ? sink->ops->write(sink, data, len, err) : 0;
}

int sink_finish(struct sink *sink, struct digest *ret_sha256, struct err *err) {
    return sink->ops->finish(sink, ret_sha256, err);
}

void sink_abort(struct sink *sink) {
    if (sink)
        sink->ops->abort(sink);
}

static bool segment_ok(const char *at, size_t len) {
    return len > 0 && !(len == 1 && at[0] == '.') && !(len == 2 && at[0] == '.' && at[1] == '.');
}

bool path_ok(const char *path) {
    size_t len = strnlen(path, LIMIT_PATH_BYTES + 1);
    if (len == 0 || len > LIMIT_PATH_BYTES || !utf8_valid(path, len))
        return false;
    unsigned depth = 0;
    for (size_t start = 0, i = 0; i <= len; i++) {
        unsigned char c = (unsigned char)path[i];
        if (i == len || c == '/') {
            if (!segment_ok(path + start, i - start) || ++depth > LIMIT_PATH_DEPTH)
                return false;
            start = i + 1;
        } else if (c < 0x20 || c == 0x7f || c == '\\') {
            return false;
        }
    }
    return true;
}

struct memory_source {
    struct source base;
    const unsigned char *data;
};

static int memory_read_at(struct source *source, uint64_t offset, void *buf, size_t len,
                          struct err *err) {
    memcpy(buf, ((struct memory_source *)source)->data + offset, len);
    return 0;
}

static void memory_close(struct source *source) {
    free(source);
}

static const struct source_ops memory_ops = {.read_at = memory_read_at, .close = memory_close};

struct source *source_over_memory(const void *data, size_t len, const char *path) {
    struct memory_source *source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    source->base = (struct source){.ops = &memory_ops, .bytes = len, .path = path};
    source->data = data;
    return &source->base;
}

/* Rows are copied and sorted, so that a test may list its files in any order. */
struct memory_row {
    struct resolver_file file;
    const void *data;
};

struct memory_resolver {
    struct resolver base;
    struct resolver_file *files;
    struct memory_row *rows;
};

static int memory_open(struct resolver *resolver, size_t index, struct source **ret,
                       struct err *err) {
    struct memory_row *row = &((struct memory_resolver *)resolver)->rows[index];
    struct source *source = source_over_memory(row->data, (size_t)row->file.bytes, row->file.path);
    if (!source)
        return err_set(err, ERR_NO_MEMORY, "no memory to open %s", row->file.path);
    *ret = source;
    return 0;
}

static void memory_resolver_close(struct resolver *resolver) {
    struct memory_resolver *self = (struct memory_resolver *)resolver;
    free(self->files);
    free(self->rows);
    free(self);
}

static const struct resolver_ops memory_resolver_ops = {.open = memory_open,
                                                        .close = memory_resolver_close};

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct memory_row *)a)->file.path,
                  ((const struct memory_row *)b)->file.path);
}

struct resolver *resolver_over_memory(const struct resolver_file *files, const void *const *data,
                                      size_t count, bool lone) {
    struct memory_resolver *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->base.ops = &memory_resolver_ops;
    self->files = calloc(count + 1, sizeof *self->files);
    self->rows = calloc(count + 1, sizeof *self->rows);
    if (!self->files || !self->rows) {
        memory_resolver_close(&self->base);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        self->rows[i] = (struct memory_row){files[i], data[i]};
    qsort(self->rows, count, sizeof *self->rows, by_path);
    for (size_t i = 0; i < count; i++)
        self->files[i] = self->rows[i].file;
    self->base.files = self->files;
    self->base.count = count;
    self->base.lone = lone;
    return &self->base;
}
