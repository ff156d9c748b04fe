/*
 * ONNX: a graph of operators and its weights in one protobuf message (onnx_proto.h), big weights
 * perhaps in files beside it.
 *
 * Opening fills both the model's tensors and its graph. What becomes what:
 *
 *   initializer, Constant node      a tensor of the model (its bytes stay in the file) and a value
 *     of rank >= 1                  of kind WEIGHT by the same name; in a body the tensor's name
 *                                   has the node and attribute in front
 *   Constant node with a scalar,    a value of kind CONSTANT
 *     a number or a list
 *   node                            a node; unknown operators are carried, not refused
 *   call of a model's function      the function's nodes (node_origin.call), as deep as needed
 *   texts, sparse tensors, element  WEIGHT with VALUE_NO_TENSOR: carried in their bytes
 *     types without a row
 *
 * Writing is a walk over the original's fields: what nobody changed is copied byte for byte, known
 * or not.
 *
 * A lone file or a folder; in a folder the one .onnx file, or the one called model.onnx.
 *
 * Source: the ONNX specification (IR.md, ExternalData.md), IR versions 3 to 14.
 */
#ifndef COMPRESS_FORMATS_ONNX_H
#define COMPRESS_FORMATS_ONNX_H

#include "compress/formats/format.h"
#include "compress/formats/pbwire.h"

/* What protobuf takes in one file. */
#define ONNX_FILE_BYTES_MAX INT32_MAX

struct onnx_opset {
    const char *domain; /* "" is ONNX's own */
    int64_t version;
};

/* A call that was replaced by the function's nodes. */
struct onnx_call {
    struct pbwire_span whole; /* the field of the calling node */
    struct graph *graph;      /* that the nodes went into */
    size_t nodes;             /* how many, those in bodies not counted */
};

/* The model's private index. */
struct onnx {
    uint32_t file; /* of model->files: the .onnx file */
    int64_t ir_version;
    const char *producer, *producer_version;
    const struct onnx_opset *opsets;
    size_t opset_count;
    bool can_be_raised;       /* onnx_raise.h, when it was opened; and */
    bool is_raised;           /* the list is no longer the file's */
    struct pbwire_span graph; /* content of the GraphProto */
    struct onnx_call *calls;  /* [0] unused */
    size_t call_count, call_capacity;
    /* Something that is only carried (an odd type, a function's constant, an attribute) names data
     * in another file: such files must stay as they are. */
    bool has_fixed_external;
};

/* Do the first bytes of a file look like a ModelProto's? A guess: nothing marks one. */
bool onnx_begins(const void *head, size_t len);
bool onnx_sniff(struct resolver *files, struct err *err);
int onnx_open(struct resolver *files, struct model *model, struct err *err);
int onnx_lay_out(const struct model *model, const struct output_facts *facts, struct layout *layout,
                 struct violations *warnings, struct err *err);
/* The same with another ceiling on the .onnx file: above it, weights move to a file beside it. */
int onnx_lay_out_within(const struct model *model, const struct output_facts *facts,
                        uint64_t limit_bytes, struct layout *layout, struct violations *warnings,
                        struct err *err);

#endif
