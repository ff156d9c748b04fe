/* The weight_map is scanned, not made into a tree: it has a line per tensor. */
#include "compress/formats/st_index.h"

#include "compress/base/limits.h"
#include "compress/formats/json_scan.h"
#include "compress/formats/st_open.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_map(struct st_index *index, struct json_scan *scan, const char *folder,
                    struct arena *arena, struct err *err);
static int wrong(const struct st_index *index, const char *tensor, struct err *err,
                 const char *text, const char *shard);

int st_index_read(struct resolver *files, const char *folder, const char *suffix,
                  struct arena *arena, struct st_index *ret, struct err *err) {
    struct st_index out = {.files = files};
    size_t file;
    if (st_index_find(files, folder, suffix, &file, err) < 0)
        return -1;
    if (files->lone || file == SIZE_MAX) {
        *ret = out;
        return 0;
    }
    out.present = true;
    out.path = files->files[file].path;
    strmap_init(&out.names, arena);
    struct source *source;
    if (files->ops->open(files, file, &source, err) < 0)
        return -1;
    char *text = NULL;
    int rc = source_slurp(source, LIMIT_JSON_FILE_BYTES, &text, err);
    struct json_scan scan = json_scan_over(text, (size_t)source->bytes, out.path, 0);
    source_close(source);
    bool mapped = false;
    int more = 0;
    const char *key;
    if (rc == 0)
        rc = json_scan_enter(&scan, '{', err);
    while (rc == 0 && (more = json_scan_member(&scan, arena, &key, err)) == 1) {
        if (strcmp(key, "weight_map") != 0)
            rc = json_scan_skip(&scan, err);
        else if (mapped)
            rc = json_scan_fail(&scan, err, "weight_map stands twice");
        else {
            mapped = true;
            rc = read_map(&out, &scan, folder, arena, err);
        }
    }
    if (rc == 0)
        rc = more < 0 ? -1 : json_scan_end(&scan, err);
    if (rc == 0 && !mapped)
        rc = json_scan_fail(&scan, err, "the index has no weight_map");
    free(text);
    if (rc == 0)
        *ret = out;
    return rc;
}

void st_index_mark(const struct st_index *index, bool *chosen) {
    for (size_t i = 0; i < index->count; i++)
        chosen[index->entries[i].shard] = true;
}

int st_index_take(struct st_index *index, const char *name, size_t resolver_index,
                  struct err *err) {
    if (!index->present)
        return 0;
    const char *here = index->files->files[resolver_index].path;
    uint32_t i = strmap_get(&index->names, name);
    if (i == STRMAP_NONE)
        return wrong(index, name, err, "the index does not know a tensor of", here);
    if (index->entries[i].shard != resolver_index)
        return wrong(index, name, err, "the index puts elsewhere a tensor of", here);
    index->entries[i].seen = true;
    return 0;
}

int st_index_check_complete(const struct st_index *index, struct err *err) {
    for (size_t i = 0; i < index->count; i++)
        if (!index->entries[i].seen)
            return wrong(index, index->entries[i].name, err,
                         "the index names a tensor that is not in",
                         index->files->files[index->entries[i].shard].path);
    return 0;
}

/* The canonical one, else the only one. */
int st_index_find(struct resolver *files, const char *folder, const char *suffix, size_t *ret_file,
                  struct err *err) {
    static const char *const stems[] = {"model", "diffusion_pytorch_model", "pytorch_model"};
    char path[LIMIT_PATH_BYTES + 64];
    size_t len = strlen(folder), only = SIZE_MAX;
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        snprintf(path, sizeof path, "%s%s%s.index.json", folder, stems[i], suffix);
        *ret_file = resolver_find(files, path);
        if (*ret_file != SIZE_MAX)
            return 0;
    }
    snprintf(path, sizeof path, "%s.index.json", suffix);
    for (size_t i = 0; i < files->count; i++) {
        const char *at = files->files[i].path;
        if (strncmp(at, folder, len) != 0 || strchr(at + len, '/') || !st_has_suffix(at, path))
            continue;
        if (only != SIZE_MAX) {
            err_set(err, ERR_BAD_MODEL, "%s and %s: which of the two indexes is meant?",
                    files->files[only].path, at);
            return err_at_file(err, at, ERR_NO_OFFSET);
        }
        only = i;
    }
    *ret_file = only;
    return 0;
}

static int read_map(struct st_index *index, struct json_scan *scan, const char *folder,
                    struct arena *arena, struct err *err) {
    struct st_index_entry entry = {0};
    const char *shard;
    size_t last = SIZE_MAX;
    char path[LIMIT_PATH_BYTES + 1];
    int more;
    if (json_scan_enter(scan, '{', err) < 0)
        return -1;
    while ((more = json_scan_member(scan, arena, &entry.name, err)) == 1) {
        if (json_scan_string(scan, arena, &shard, err) < 0)
            return err_at_tensor(err, entry.name);
        int len = snprintf(path, sizeof path, "%s%s", folder, shard);
        if (len < 0 || (size_t)len >= sizeof path || !path_ok(shard) || strchr(shard, '/'))
            return wrong(index, entry.name, err,
                         "the index names a shard that is no file name:", shard);
        /* Neighbours mostly share their shard. */
        if (last == SIZE_MAX || strcmp(index->files->files[last].path, path) != 0)
            last = resolver_find(index->files, path);
        if (last == SIZE_MAX)
            return wrong(index, entry.name, err, "the index names a shard that is missing:", shard);
        if (index->count == LIMIT_TENSORS) {
            err_set(err, ERR_TOO_LARGE, "%s: more than %d tensors", index->path, LIMIT_TENSORS);
            return err_at_file(err, index->path, scan->base_offset + scan->at);
        }
        entry.shard = (uint32_t)last;
        struct st_index_entry *entries = (struct st_index_entry *)arena_grow(
            arena, index->entries, &index->capacity, index->count + 1, sizeof *entries);
        int put = entries ? strmap_put(&index->names, entry.name, (uint32_t)index->count) : -1;
        if (put < 0)
            return err_set(err, ERR_NO_MEMORY, "%s needs too much memory", index->path);
        if (put == 0)
            return wrong(index, entry.name, err, "the index names a tensor twice, again in", shard);
        index->entries = entries;
        index->entries[index->count++] = entry;
    }
    return more;
}

static int wrong(const struct st_index *index, const char *tensor, struct err *err,
                 const char *text, const char *shard) {
    err_set(err, ERR_BAD_MODEL, "%s: %s %s", index->path, text, shard);
    err_at_file(err, index->path, ERR_NO_OFFSET);
    return err_at_tensor(err, tensor);
}
