/*
 * TensorProto: a tensor of an ONNX file, its header read, its data left where they lie.
 *
 *   in the file    raw_data, or float_data / double_data packed in one run: the same little-endian
 *                  bytes
 *   external       location, offset, length: another file of the model
 *   a list         varints (int32_data, int64_data, uint64_data) or numbers in several runs: must
 *                  be decoded (onnx_tensor_decode)
 *   nowhere        texts, element types without a row in dtype.h, more than LIMIT_RANK dimensions:
 *                  "odd", carried but never looked into
 *
 * Owns: nothing. Threads: one per pbwire.
 * Expected failures: ERR_BAD_MODEL naming the tensor: data shorter or longer than its shape, a
 * negative dimension, a location that leaves the folder.
 * Source: onnx/onnx.in.proto (TensorProto).
 */
#ifndef COMPRESS_FORMATS_ONNX_TENSOR_H
#define COMPRESS_FORMATS_ONNX_TENSOR_H

#include "compress/formats/pbwire.h"
#include "compress/tensor/array.h"

struct arena;

enum onnx_place { ONNX_PLACE_FILE, ONNX_PLACE_EXTERNAL, ONNX_PLACE_LIST, ONNX_PLACE_ODD };

struct onnx_tensor {
    const char *name;  /* "" when it has none */
    int64_t data_type; /* TensorProto.DataType */
    enum dtype dtype;  /* NONE: a type that has no row here */
    unsigned rank;     /* 0 when there are more than LIMIT_RANK */
    bool is_too_deep;  /* more than LIMIT_RANK dimensions */
    uint64_t dims[LIMIT_RANK];
    uint64_t elements;
    uint64_t bytes; /* of the elements as a container holds them */
    enum onnx_place place;
    struct pbwire_span message; /* content of the TensorProto */
    struct pbwire_span data;    /* FILE; may be empty */
    uint32_t list;              /* LIST: the field that holds it */
    /* EXTERNAL */
    const char *location;
    uint64_t offset;
    uint64_t length; /* as stated; the tensor's own bytes when it is not */
};

/* Texts go into the arena. */
int onnx_tensor_read(struct pbwire *wire, struct pbwire_span message, struct arena *arena,
                     struct onnx_tensor *ret, struct err *err);
/* LIST: the elements as little-endian bytes; ret: tensor->bytes. */
int onnx_tensor_decode(struct pbwire *wire, const struct onnx_tensor *tensor, void *ret,
                       struct err *err);
/* The content of a tensor that is not ODD, in the arena. external: the file that holds it, when it
 * is EXTERNAL (the range was checked). NULL in *ret for types that no array holds. */
int onnx_tensor_array(struct pbwire *wire, const struct onnx_tensor *tensor,
                      struct source *external, struct arena *arena, const struct array **ret,
                      struct err *err);

#endif
