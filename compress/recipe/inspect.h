/*
 * What a model is, as JSON: the inspection that PUT /v1/models answers and `compressctl inspect`
 * prints.
 *
 * {format, architecture, parameters, dtypes: {bf16: bytes…}, bytes, quantization, facts, files,
 * tensors?:
 * [{name, dtype, shape, bytes, role}]}; macs only when known.
 */
#ifndef COMPRESS_RECIPE_INSPECT_H
#define COMPRESS_RECIPE_INSPECT_H

#include "compress/graph/model.h"

/* malloc'd; NULL when out of memory. */
char *inspect_json(const struct model *model, bool with_tensors, size_t *ret_len);

#endif
