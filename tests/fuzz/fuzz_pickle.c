/* The pickle machine and the walk over its values, without the archive around them. */
#include "compress/formats/torch_pickle.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct torch_state state = {0};
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(64 * MIB);
    if (!arena)
        abort();
    int status = torch_pickle_read((struct bytes){data, len}, 0, "m.pt", arena, &state, &err);
    if (status < 0 && (err.code == ERR_OK || err_kind(err.code) == ERR_KIND_BUG))
        abort();
    for (size_t i = 0; status == 0 && i < state.count; i++)
        if (!state.tensors[i].name[0] ||
            state.tensors[i].offset + state.tensors[i].bytes > state.tensors[i].storage_bytes)
            abort();
    arena_free(arena);
    return 0;
}
