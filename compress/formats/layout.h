/*
 * A layout: every byte of every output file, described before the first is written.
 *
 * Formats only decide; recipe/emit writes. A file is a list of segments front to back. Because all
 * sizes are known, the plan's `bytes_out` is exact and a disk that is too small is refused before
 * the work. Segments of one tensor may stand anywhere in a file: the writer streams DATA when its
 * segment comes first and keeps the small parts until theirs; if a small part must come before its
 * DATA, the whole tensor is encoded in memory (it is the largest tensor that bounds memory, never
 * the file).
 *
 * All pointers live in the arena given to lay_out().
 */
#ifndef COMPRESS_FORMATS_LAYOUT_H
#define COMPRESS_FORMATS_LAYOUT_H

#include "compress/graph/model.h"

enum segment_kind {
    SEGMENT_LITERAL, /* bytes we made: headers, config, index, model card */
    SEGMENT_ZEROS,   /* padding */
    SEGMENT_COPY,    /* a byte range of an input file, verbatim */
    SEGMENT_PART, /* a part of a tensor, encoded as `wanted` (or copied when equal to `stored`) */
};

struct segment {
    enum segment_kind kind;
    uint64_t bytes;
    const void *literal;         /* LITERAL: also the SHAPE part, a constant */
    size_t resolver_index;       /* COPY: index into model->resolver->files */
    uint64_t offset;             /* COPY */
    const struct tensor *tensor; /* PART */
    enum part_kind part;         /* PART */
};

struct layout_file {
    const char *path;
    uint64_t bytes;
    struct segment *segments;
    size_t count;
    size_t capacity;
};

struct layout {
    struct arena *arena;
    struct layout_file *files; /* sorted by path when the format is done */
    size_t count;
    size_t capacity;
    uint64_t bytes;
    bool lone; /* one file out */
};

void layout_init(struct layout *layout, struct arena *arena);
/* NULL when the arena is exhausted. The pointer is good until the next file is added. */
struct layout_file *layout_add_file(struct layout *layout, const char *path);
/* Appends; adds to the byte counts. A segment of no bytes is left out. -1 with ERR_NO_MEMORY when
 * the arena is exhausted. */
int layout_add(struct layout *layout, struct layout_file *file, struct segment segment,
               struct err *err);
void layout_sort(struct layout *layout);

#endif
