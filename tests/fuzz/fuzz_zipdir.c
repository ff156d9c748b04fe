/* The zip directory alone: entries within the file, no two in one place. */
#include "compress/formats/zipdir.h"

#include "compress/base/limits.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct zipdir dir = {0};
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(64 * MIB);
    struct source *source = source_over_memory(data, len, "m.zip");
    if (!arena || !source)
        abort();
    int status = zipdir_read(source, arena, &dir, &err);
    if (status < 0 && (err.code == ERR_OK || err_kind(err.code) == ERR_KIND_BUG))
        abort();
    for (size_t i = 0; status == 0 && i < dir.count; i++) {
        const struct zipdir_entry *entry = &dir.entries[i];
        if (entry->offset > len || entry->packed_bytes > len - entry->offset ||
            zipdir_find(&dir, entry->name) != entry)
            abort();
    }
    source_close(source);
    arena_free(arena);
    return 0;
}
