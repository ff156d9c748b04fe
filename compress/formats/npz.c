/* See the header. */
#include "compress/formats/npz.h"

#include "compress/base/limits.h"

#include <string.h>

#define ENDING ".npy"

static int read_array(struct source *archive, const struct zipdir_entry *entry, struct arena *arena,
                      struct npz_array *ret, struct err *err);

int npz_read(struct source *archive, struct arena *arena, struct npz *ret, struct err *err) {
    struct npz npz = {0};
    if (zipdir_read(archive, arena, &npz.dir, err) < 0)
        return -1;
    if (npz.dir.count > LIMIT_DATASET_ARRAYS) {
        err_set(err, ERR_TOO_LARGE, "the archive holds %zu arrays; at most %d are allowed",
                npz.dir.count, LIMIT_DATASET_ARRAYS);
        return err_at_file(err, archive->path, ERR_NO_OFFSET);
    }
    npz.arrays = ARENA_ARRAY(arena, struct npz_array, npz.dir.count + 1);
    if (!npz.arrays)
        return err_set(err, ERR_NO_MEMORY, "the list of arrays needs too much memory");
    for (size_t i = 0; i < npz.dir.count; i++)
        if (read_array(archive, &npz.dir.entries[i], arena, &npz.arrays[npz.count++], err) < 0)
            return err_at_tensor(err, npz.dir.entries[i].name);
    *ret = npz;
    return 0;
}

static int read_array(struct source *archive, const struct zipdir_entry *entry, struct arena *arena,
                      struct npz_array *ret, struct err *err) {
    size_t len = strlen(entry->name), tail = strlen(ENDING);
    if (len <= tail || strcmp(entry->name + len - tail, ENDING) != 0 ||
        len - tail > LIMIT_TENSOR_NAME_BYTES) {
        err_set(err, ERR_BAD_DATASET, "the archive's entry \"%.100s\" is no array NAME.npy",
                entry->name);
        return err_at_file(err, archive->path, entry->offset);
    }
    struct source *source;
    if (zip_entry_open(archive, entry, false, &source, err) < 0)
        return -1;
    *ret =
        (struct npz_array){.name = arena_strndup(arena, entry->name, len - tail), .entry = entry};
    int status = npy_read_header(source, &ret->npy, err);
    source_close(source);
    if (status == 0 && !ret->name)
        return err_set(err, ERR_NO_MEMORY, "the list of arrays needs too much memory");
    return status;
}
