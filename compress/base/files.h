/*
 * How models cross the layers: three small vtables.
 *
 *   source    bytes of known size, readable at any offset, from any thread at once
 *   resolver  the files of one model: paths and sizes, path → source
 *   sink      one file being written, front to back, digested as it goes, visible only when
 *             finished
 *   outputs   where a job's files go: path → sink, and afterwards the same files as a resolver
 *
 * base/dirfiles implements them over directories, storage/ over blobs; formats and passes see only
 * these. Paths are relative, '/'-separated, without "." and "..", checked by path_ok(). Nothing
 * that came from a client is ever mapped.
 */
#ifndef COMPRESS_BASE_FILES_H
#define COMPRESS_BASE_FILES_H

#include "compress/base/digest.h"
#include "compress/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source {
    const struct source_ops *ops;
    uint64_t bytes;
    const char *path; /* inside the model; lives as long as the source */
};

struct source_ops {
    /* Reads exactly len bytes at offset. Safe from several threads. Called through source_read(),
     * which has checked that the range lies inside the file and is not empty. */
    int (*read_at)(struct source *source, uint64_t offset, void *buf, size_t len, struct err *err);
    /* Hints; may be NULL. `done` says the range will not be read again. */
    void (*will_need)(struct source *source, uint64_t offset, uint64_t len);
    void (*done)(struct source *source, uint64_t offset, uint64_t len);
    void (*close)(struct source *source);
};

struct resolver_file {
    const char *path;
    uint64_t bytes;
};

struct resolver {
    const struct resolver_ops *ops;
    const struct resolver_file *files; /* sorted by path, byte order */
    size_t count;
    bool lone; /* one file, not a folder of one: a lone file in gives a lone file out */
};

struct resolver_ops {
    int (*open)(struct resolver *resolver, size_t index, struct source **ret, struct err *err);
    void (*close)(struct resolver *resolver);
};

struct sink {
    const struct sink_ops *ops;
    uint64_t written;
};

struct sink_ops {
    /* Appends. On failure the sink is dead; abort it. */
    int (*write)(struct sink *sink, const void *data, size_t len, struct err *err);
    /* Makes the file whole and durable and gives its SHA-256. Frees the sink, success or not. */
    int (*finish)(struct sink *sink, struct digest *ret_sha256, struct err *err);
    void (*abort)(struct sink *sink);
};

struct outputs {
    const struct outputs_ops *ops;
};

struct outputs_ops {
    /* A new file of exactly `bytes` bytes (the space may be reserved). */
    int (*create)(struct outputs *outputs, const char *path, uint64_t bytes, struct sink **ret,
                  struct err *err);
    /* The finished files, for verification. The caller closes it. */
    int (*reopen)(struct outputs *outputs, struct resolver **ret, struct err *err);
};

/* Shorthands. Closers accept NULL. A range beyond the end fails with ERR_BAD_MODEL naming path and
 * offset. */
int source_read(struct source *source, uint64_t offset, void *buf, size_t len, struct err *err);
void source_will_need(struct source *source, uint64_t offset, uint64_t len);
void source_done(struct source *source, uint64_t offset, uint64_t len);
void source_close(struct source *source);
/* The whole file, NUL-terminated behind its end, malloc'd; refuses above limit_bytes. */
int source_slurp(struct source *source, uint64_t limit_bytes, char **ret, struct err *err);

size_t resolver_find(const struct resolver *resolver, const char *path); /* SIZE_MAX: none */
int resolver_open(struct resolver *resolver, const char *path, struct source **ret,
                  struct err *err); /* missing: ERR_NOT_FOUND */
/* SHA-256 of file i: reads all of it. */
int resolver_digest(struct resolver *resolver, size_t i, struct digest *ret, struct err *err);
void resolver_close(struct resolver *resolver);

int sink_write(struct sink *sink, const void *data, size_t len, struct err *err);
int sink_finish(struct sink *sink, struct digest *ret_sha256, struct err *err);
void sink_abort(struct sink *sink);

/* Is this a path we let into a model: 1..LIMIT_PATH_BYTES bytes of valid UTF-8, no control bytes,
 * no backslash, relative, no empty, "." or ".." segment, at most LIMIT_PATH_DEPTH segments? */
bool path_ok(const char *path);

/* A source over memory that the caller keeps alive (tests, fuzzers, literal files). */
struct source *source_over_memory(const void *data, size_t len, const char *path);
/* A lone-file or many-file resolver over memory; rows in any order, their paths and data borrowed.
 * NULL when out of memory. */
struct resolver *resolver_over_memory(const struct resolver_file *files, const void *const *data,
                                      size_t count, bool lone);

#endif
