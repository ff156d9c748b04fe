/*
 * Reading an ONNX graph: what the parts of the reader (onnx_read.c, onnx_attr.c, onnx_inline.c)
 * share. Private to them.
 *
 * Names are found through *scopes*. The model's graph is one; every body is one; and every call of
 * a function is one, whose names are renamed on the way into the graph around the call:
 *
 *   scope of the model's graph          "x" → "x"
 *     └ scope of a call that makes "y"  "t" → "y/t", formal input "a" → what the caller gave
 *          └ scope of a body therein    "u" → "y/u", else as the call's scope says
 *     └ scope of a body                 "v" → "v", else as the graph around says
 */
#ifndef COMPRESS_FORMATS_ONNX_READER_H
#define COMPRESS_FORMATS_ONNX_READER_H

#include "compress/formats/onnx.h"
#include "compress/formats/onnx_tensor.h"
#include "compress/graph/graph.h"

/* Names in graphs that are no tensors'. The longest seen (tf2onnx) have some 300 bytes. */
#define ONNX_NAME_BYTES_MAX 4096
/* Attributes whose bytes are more stay in the file: trees of ai.onnx.ml, tables. */
#define ONNX_ATTR_BYTES_MAX (1 * MIB)

struct onnx_spans {
    struct pbwire_span *list;
    size_t count, capacity;
};

struct onnx_names {
    const char **list;
    size_t count, capacity;
};

/* NodeProto, before it is a node. */
struct onnx_node {
    struct pbwire_span whole;
    const char *name, *op_type, *domain, *overload;
    struct onnx_names in, out;
    struct onnx_spans attrs;        /* contents */
    struct onnx_function *function; /* the model's own that it calls, or NULL */
    bool is_settled;                /* a Constant that became a value */
};

struct onnx_function {
    const char *name, *domain, *overload;
    struct onnx_names in, out;
    struct onnx_spans nodes;    /* fields */
    struct onnx_spans defaults; /* contents of AttributeProtos */
    struct onnx_opset *opsets;
    size_t opset_count, opset_capacity;
    bool is_open;            /* being inlined: a call from within is recursion */
    struct strmap constants; /* local name → place in constant_names */
    struct onnx_names constant_names;
};

/* ValueInfoProtos by name. */
struct onnx_types {
    struct strmap by_name; /* → place in spans */
    struct onnx_spans spans;
};

/* A tensor that is a list and waits for onnx_reader_decode(). */
struct onnx_waiting {
    size_t tensor; /* index */
    struct onnx_tensor from;
    uint64_t offset;
};

struct onnx_reader {
    struct model *model;
    struct onnx *onnx;
    struct pbwire *wire;
    struct arena *scratch; /* rewound when a call or a body was read */
    struct arena *lasting; /* for the length of the opening */
    const char *folder;    /* of the .onnx file: "" or "onnx/" */
    size_t nodes;          /* NodeProtos read, functions as often as they are called */
    size_t tensor_capacity;
    struct strmap tensor_names;
    /* Names of tensors that several wanted, and how many had to take another. */
    struct strmap shared_names;
    uint32_t *shared_counts;
    size_t shared_capacity;
    uint32_t *external_files; /* by resolver index: file of the model + 1 */
    struct onnx_waiting *waiting;
    size_t waiting_count, waiting_capacity;
    uint64_t waiting_bytes;
    struct onnx_function *functions;
    size_t function_count, function_capacity;
    struct strmap functions_by_key;
};

struct onnx_scope {
    struct onnx_reader *reader;
    struct graph *graph;
    const struct onnx_scope *around; /* of a body within a function: where to look next */
    /* Within functions: local name → place in `to`, whose NULLs are inputs that the caller did not
     * give. Outside: unused, names are the graph's. */
    bool renames;
    struct strmap map;
    struct onnx_names *to;
    const char *prefix; /* of new names, "y/" */
    /* Of a call: the function, and the graph's names of its outputs (NULL: nobody wants it). */
    struct onnx_function *function;
    const char **outputs;
    const struct attr *given; /* attributes of the call, defaults filled in */
    size_t given_count;
    const struct onnx_opset *opsets;
    size_t opset_count;
    uint32_t call;
    unsigned depth;   /* of bodies and calls */
    const char *path; /* in front of a tensor's name: "" or "if1.then_branch." */
};

int onnx_no_memory(struct err *err);
int onnx_spans_add(struct onnx_spans *spans, struct arena *arena, struct pbwire_span span,
                   struct err *err);
int onnx_names_add(struct onnx_names *names, struct arena *arena, const char *name,
                   struct err *err);

/* The GraphProto into scope->graph, which must be empty. */
int onnx_read_graph(struct onnx_scope *scope, struct pbwire_span message, struct err *err);
/* NodeProtos (fields) into scope->graph: all their outputs are declared before the first input is
 * looked up. `types` may be NULL. */
int onnx_read_nodes(struct onnx_scope *scope, const struct onnx_spans *nodes,
                    const struct onnx_types *types, struct err *err);
/* A name's value in scope->graph; *ret NULL: an input that the caller did not give. */
int onnx_scope_find(const struct onnx_scope *scope, const char *name, struct value **ret,
                    struct err *err);
/* The name under which a local name goes into the graph. */
int onnx_scope_declare(struct onnx_scope *scope, const char *local, const char **ret,
                       struct err *err);
/* A text of the field, which must be length-delimited; in the scratch arena. */
int onnx_read_name(const struct onnx_reader *reader, const struct pbwire_field *field,
                   const char **ret, struct err *err);
/* ValueInfoProto; ret_type may be NULL: the name alone. Dimensions become symbols of the graph. */
int onnx_read_value_info(const struct onnx_scope *scope, struct pbwire_span message,
                         const char **ret_name, struct type *ret_type, struct err *err);
/* A weight of `graph`. */
int onnx_add_weight(struct onnx_reader *reader, struct graph *graph, const char *path,
                    const char *name, struct onnx_tensor *tensor, struct value **ret,
                    struct err *err);
/* The content of a small tensor, in the model's arena. */
int onnx_read_small(struct onnx_reader *reader, const struct onnx_tensor *tensor,
                    const struct array **ret, struct err *err);
/* The next number for a name that is taken; 0 when out of memory. Counting on from the last one
 * keeps many bodies of one name from being tried against each other. */
uint32_t onnx_next_number(struct onnx_reader *reader, const char *base);
/* NULL: the domain is not imported; its version then is 0. */
const struct onnx_opset *onnx_opset_of(const struct onnx_opset *opsets, size_t count,
                                       const char *domain);
int64_t onnx_version_of(const struct onnx_opset *opsets, size_t count, const char *domain);
int onnx_read_opset(struct pbwire *wire, struct pbwire_span message, struct arena *arena,
                    struct onnx_opset **list, size_t *count, size_t *capacity, struct err *err);

/* An AttributeProto. *ret_given false: it refers to an attribute that the caller did not give.
 * `owner` names the node in the names of a body's tensors. */
int onnx_read_attr(const struct onnx_scope *scope, struct pbwire_span message, const char *owner,
                   struct attr *ret, bool *ret_given, struct err *err);

/* FunctionProto, into reader->functions. */
int onnx_read_function(struct onnx_reader *reader, struct pbwire_span message, struct err *err);
struct onnx_function *onnx_function_of(const struct onnx_reader *reader,
                                       const struct onnx_node *node);
/* The nodes of node->function instead of the node; its outputs are declared. *ret_done false: it
 * has a body among its attributes and is carried as it is. */
int onnx_inline(const struct onnx_scope *scope, const struct onnx_node *node, bool *ret_done,
                struct err *err);

#endif
