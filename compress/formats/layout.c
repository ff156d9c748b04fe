/* Layouts: lists of files and segments in an arena. */
#include "compress/formats/layout.h"

#include "compress/base/arena.h"
#include "compress/base/bytes.h"

#include <stdlib.h>
#include <string.h>

static int by_path(const void *a, const void *b);

void layout_init(struct layout *layout, struct arena *arena) {
    *layout = (struct layout){.arena = arena};
}

struct layout_file *layout_add_file(struct layout *layout, const char *path) {
    struct layout_file *files = (struct layout_file *)arena_grow(
        layout->arena, layout->files, &layout->capacity, layout->count + 1, sizeof *files);
    const char *copy = arena_strdup(layout->arena, path);
    if (!files || !copy)
        return NULL;
    layout->files = files;
    struct layout_file *file = &files[layout->count++];
    *file = (struct layout_file){.path = copy};
    return file;
}

int layout_add(struct layout *layout, struct layout_file *file, struct segment segment,
               struct err *err) {
    if (segment.bytes == 0)
        return 0;
    struct segment *segments = (struct segment *)arena_grow(
        layout->arena, file->segments, &file->capacity, file->count + 1, sizeof *segments);
    if (!segments)
        return err_set(err, ERR_NO_MEMORY, "the description of the output needs too much memory");
    file->segments = segments;
    uint64_t file_bytes, bytes;
    if (!add_u64(file->bytes, segment.bytes, &file_bytes) ||
        !add_u64(layout->bytes, segment.bytes, &bytes))
        return err_set(err, ERR_TOO_LARGE, "the output is larger than 2^64 bytes");
    segments[file->count++] = segment;
    file->bytes = file_bytes;
    layout->bytes = bytes;
    return 0;
}

void layout_sort(struct layout *layout) {
    if (layout->count > 1)
        qsort(layout->files, layout->count, sizeof *layout->files, by_path);
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct layout_file *)a)->path, ((const struct layout_file *)b)->path);
}
