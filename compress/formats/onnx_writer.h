/*
 * Writing an ONNX model: what the parts of the writer (onnx_write.c, onnx_write_graph.c,
 * onnx_encode.c) share. Private to them.
 *
 * The writer walks over the original's fields and copies; `edits` counts what it did not copy. A
 * part without edits comes out byte for byte, and a message within which nothing was edited is
 * copied whole.
 */
#ifndef COMPRESS_FORMATS_ONNX_WRITER_H
#define COMPRESS_FORMATS_ONNX_WRITER_H

#include "compress/formats/onnx.h"
#include "compress/formats/onnx_tensor.h"
#include "compress/formats/pbout.h"
#include "compress/graph/graph.h"

/* Where the bytes of a tensor's part go. */
struct onnx_put {
    bool is_kept;         /* some value stands for it */
    bool is_moved;        /* its place or its content is another than the original says */
    const char *location; /* external: the file, as the model names it; NULL: inside */
    uint64_t offset;
};

struct onnx_writer {
    const struct model *model;
    const struct onnx *onnx;
    struct arena *arena; /* the layout's */
    struct pbwire *wire; /* over the original */
    size_t main;         /* its resolver index */
    uint64_t edits;
    bool *is_call_open;    /* by call: must be written as the nodes it became */
    struct onnx_put *puts; /* by tensor and part */
    /* Operator sets that made or changed nodes need and the model does not import. */
    struct onnx_opset *opsets;
    size_t opset_count, opset_capacity;
    bool has_new_initializers;
};

int onnx_writer_no_memory(struct err *err);
/* Of a weight that has a tensor. */
struct onnx_put *onnx_put_of(const struct onnx_writer *w, const struct value *value);
uint64_t onnx_part_bytes(const struct tensor *tensor, unsigned part);

/* The GraphProto whose original content is `original` (bytes 0: there is none) at the end of out.
 */
int onnx_write_graph(struct onnx_writer *w, const struct graph *graph, struct pbwire_span original,
                     struct pbout *out, struct err *err);
/* Which calls of functions were touched. */
int onnx_find_open_calls(struct onnx_writer *w, const struct graph *graph, struct err *err);

/* What a node's input is called where it is written: a body reads the graph around it by that
 * graph's names, which may have changed. */
const char *onnx_name_of(const struct value *value);
/* Does the node read something whose name changed since it was read? */
bool onnx_reads_renamed(const struct node *node);
/* A node from its fields, as a field of a GraphProto. */
int onnx_encode_node(struct onnx_writer *w, const struct node *node, struct pbout *out,
                     struct err *err);
/* A node that may be copied, but for its bodies: copies it when they are untouched. */
int onnx_encode_kept_node(struct onnx_writer *w, const struct node *node, struct pbout *out,
                          struct err *err);
/* A ValueInfoProto made from what is known, as field `number`. */
int onnx_encode_value_info(struct onnx_writer *w, const struct graph *graph, const char *name,
                           const struct type *type, uint32_t number, struct pbout *out,
                           struct err *err);
/* Does the ValueInfoProto still say the truth about a value of this type? */
int onnx_value_info_holds(struct onnx_writer *w, struct pbwire_span message,
                          const struct type *type, bool *ret, struct err *err);
/* A weight or constant as field `initializer`. `original`: content of the TensorProto it was, whose
 * other fields are kept (bytes 0: none). */
int onnx_encode_initializer(struct onnx_writer *w, const struct value *value,
                            struct pbwire_span original, struct pbout *out, struct err *err);
/* An initializer that was not touched, its data as a part of the tensor. */
int onnx_encode_kept_initializer(struct onnx_writer *w, const struct value *value,
                                 const struct pbwire_field *field, struct pbout *out,
                                 struct err *err);

/* A text of a message's field `number`, "" when it has none; the last one counts. */
int onnx_text_of(struct onnx_writer *w, struct pbwire_span message, uint32_t number,
                 const char **ret, struct err *err);

#endif
