/* NPZ archives: whatever an archive says, its arrays read without harm, in any order, and the same
 * bytes come each time. */
#include "compress/formats/npz.h"

#include <stdlib.h>
#include <string.h>

#define READ_BYTES_MAX (4 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_reason(const struct err *err) {
    if (err->code == ERR_OK || err_kind(err->code) == ERR_KIND_BUG)
        abort();
}

/* Whole from the front, then the last byte and the first half again. */
static void read_entry(struct source *archive, const struct npz_array *array, bool keep) {
    struct err err = ERR_INIT;
    struct source *entry = NULL;
    if (array->npy.data_offset > array->entry->bytes || array->entry->bytes > READ_BYTES_MAX)
        return;
    size_t len = (size_t)array->entry->bytes;
    uint8_t *once = malloc(len), *twice = malloc(len);
    if (!once || !twice || zip_entry_open(archive, array->entry, keep, &entry, &err) < 0)
        abort();
    if (source_read(entry, 0, once, len, &err) < 0)
        check_reason(&err);
    else if (source_read(entry, len - 1, twice, 1, &err) < 0 || twice[0] != once[len - 1] ||
             source_read(entry, 0, twice, len / 2, &err) < 0 || memcmp(once, twice, len / 2) != 0)
        abort();
    source_close(entry);
    free(once);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct npz npz = {0};
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(64 * MIB);
    struct source *source = source_over_memory(data, len, "a.npz");
    if (!arena || !source)
        abort();
    if (npz_read(source, arena, &npz, &err) < 0)
        check_reason(&err);
    for (size_t i = 0; i < npz.count; i++)
        read_entry(source, &npz.arrays[i], len % 2);
    source_close(source);
    arena_free(arena);
    return 0;
}
