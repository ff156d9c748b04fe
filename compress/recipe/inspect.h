/*
 * What a model or a dataset is, as JSON: the inspection that PUT /v1/models answers and
 * `compressctl inspect` prints.
 *
 * {format, architecture, parameters, dtypes: {bf16: bytes…}, bytes, quantization, facts, files,
 * tensors?: [{name, dtype, shape, bytes, role, nodes?}]}; macs only when known, nodes (the names of
 * those that read the tensor: what `node:` selects by; the first few) only of a graph.
 */
#ifndef COMPRESS_RECIPE_INSPECT_H
#define COMPRESS_RECIPE_INSPECT_H

#include "compress/exec/dataset.h"
#include "compress/graph/model.h"

#define INSPECT_NODES_MAX 4

/* The number formats of a model's tensors. */
struct inspect_format {
    char name[80]; /* encoding_describe() */
    uint64_t tensors;
    uint64_t bytes;
};

#define INSPECT_FORMATS_MAX 32

/* In order of first appearance; what is beyond the ceiling is added to the last. */
size_t inspect_formats(const struct model *model, struct inspect_format ret[INSPECT_FORMATS_MAX]);

/* {kind, samples, bytes, arrays: [{name, file, dtype, shape}]}; malloc'd; NULL when out of memory.
 */
char *inspect_dataset_json(const struct dataset *dataset, size_t *ret_len);

/* malloc'd; NULL when out of memory. */
char *inspect_json(const struct model *model, bool with_tensors, size_t *ret_len);

#endif
