/*
 * What torch.save wrote into data.pkl: from inert pickle values to tensors.
 *
 * A state dictionary maps names to tensors. A checkpoint wraps it: when exactly one of
 * `state_dict`, `model_state_dict`, `model`, `module` in the outermost dictionary is a dictionary
 * that holds tensors, that one is taken, and `under` and `left_out` say so. (State dictionaries
 * themselves are flat, so none of them has such a key.) Else everything is taken. Below the state
 * dictionary, nested dictionaries and lists give dotted names ("a.b.0"); whatever is no tensor
 * (epochs, learning rates) is left out.
 *
 * A tensor is `_rebuild_tensor_v2(persistent id, offset, size, stride, ...)` or `_v3` (with the
 * element type behind), maybe inside `_rebuild_parameter...`. The persistent id is ("storage",
 * storage class, key, device, element count); the bytes are the zip entry `data/<key>`.
 *
 * Owns: nothing. Names live in the given arena. Threads: any.
 */
#ifndef COMPRESS_FORMATS_TORCH_PICKLE_H
#define COMPRESS_FORMATS_TORCH_PICKLE_H

#include "compress/base/limits.h"
#include "compress/formats/pickle.h"
#include "compress/tensor/dtype.h"

struct torch_tensor {
    const char *name;
    enum dtype dtype;
    unsigned rank;
    uint64_t dims[LIMIT_RANK];
    uint64_t elements;
    const char *storage_key;
    uint64_t storage_bytes; /* of the whole storage */
    uint64_t offset;        /* in the storage, bytes */
    uint64_t bytes;
};

struct torch_state {
    struct torch_tensor *tensors; /* in the dictionary's order */
    size_t count;
    size_t capacity;
    const char *under;    /* the key the state dictionary stood under, or NULL */
    const char *left_out; /* the keys beside it, "epoch, optimizer", cut when many; or NULL */
};

/* Runs the pickle in a scratch arena of its own. `file_offset` and `path`: for messages. */
int torch_pickle_read(struct bytes pickle, uint64_t file_offset, const char *path,
                      struct arena *arena, struct torch_state *ret, struct err *err);

#endif
