/*
 * The graph of a model: operators and the values between them.
 *
 *   value   a name, a type, and where it comes from: an input of the graph, a weight (a tensor of
 *           the model, its bytes still in the file), a constant in memory, an output of a node, or
 *           – in the body of If or Loop – a value of the graph around it
 *   node    an operator (a row of op.h, or none: then it is carried, not run), its inputs and
 *           outputs, its attributes; and the bytes it came as, so that what nobody changed goes out
 *           as it came in
 *
 * Nodes are kept in topological order. Importers build graphs; passes change them only through the
 * functions below, which keep uses, producers and order true; graph_verify() proves it and names
 * the broken edge. Names are unique within a graph.
 *
 * Owns: nothing but what lives in its arena (the model's). Threads: read from many, change from
 * one.
 *
 * Source of the semantics: the ONNX specification (IR.md, Operators.md).
 */
#ifndef COMPRESS_GRAPH_GRAPH_H
#define COMPRESS_GRAPH_GRAPH_H

#include "compress/base/bytes.h"
#include "compress/base/err.h"
#include "compress/base/strmap.h"
#include "compress/graph/fact.h"

struct graph;
struct node;
struct op;

enum value_kind {
    VALUE_NODE,     /* output of a node */
    VALUE_INPUT,    /* fed by the caller */
    VALUE_WEIGHT,   /* tensor `tensor` of the model */
    VALUE_CONSTANT, /* `data` */
    VALUE_OUTER,    /* `outer`, of the graph around this body */
};

#define VALUE_NO_TENSOR UINT32_MAX

struct use {
    struct node *node;
    size_t slot; /* node->in[slot] */
};

struct value {
    uint32_t id; /* index into graph->values; stable */
    const char *name;
    enum value_kind kind;
    struct type type;         /* declared by the file, or inferred; dtype NONE when unknown */
    uint32_t tensor;          /* WEIGHT: index into model->tensors; VALUE_NO_TENSOR: carried in the
                                 file's own bytes alone (texts, sparse tensors, odd types) */
    unsigned part;            /* WEIGHT: enum part_kind. A tensor that is encoded is several values:
                                 its codes, its scales; `type` is then what the file says */
    const struct array *data; /* CONSTANT; WEIGHT: the content too, when it is small (integers,
                                 scalars) and was read with the header */
    struct value *outer;      /* OUTER */
    struct node *producer;    /* NODE */
    size_t producer_slot;     /* producer->out[slot] */
    struct use *uses;         /* in no particular order */
    size_t use_count;
    size_t use_capacity;
    size_t body_uses; /* OUTER values of bodies that stand for it: it is read there */
    bool is_output;   /* of the graph: may be more than one of its outputs */
    bool dead;        /* removed; keeps its id */
};

enum attr_kind {
    ATTR_INT,
    ATTR_FLOAT,
    ATTR_STRING, /* bytes, not NUL-terminated by right, but they are here */
    ATTR_INTS,
    ATTR_FLOATS,
    ATTR_STRINGS,
    ATTR_TENSOR, /* as an array */
    ATTR_GRAPH,
    ATTR_OTHER, /* sparse tensors, types, lists of graphs or tensors, very long lists: carried in
                   the file's bytes (origin) */
};

struct attr {
    const char *name;
    enum attr_kind kind;
    size_t count; /* INTS, FLOATS, STRINGS */
    union {
        int64_t i;
        float f;
        struct bytes s;
        const int64_t *ints;
        const float *floats;
        const struct bytes *strings;
        const struct array *tensor;
        struct graph *body;
    };
    /* Where its bytes stand in the model's file; bytes 0: nowhere, the writer makes them. Whoever
     * changes an attribute sets it to 0. */
    struct {
        uint64_t offset, bytes;
    } origin;
};

/* Where a node's bytes stand in the file that it came from. */
struct node_origin {
    uint64_t offset; /* stays when the node is changed; 0: there never were any */
    uint64_t bytes;  /* 0: there are none that hold, the writer makes them */
    uint32_t call;   /* inlined: number of the function call it belongs to, from 1; else 0 */
};

struct node {
    uint32_t id;      /* stable */
    const char *name; /* "" when the file gives none */
    const char *op_type;
    const char *domain;  /* "" is ONNX's own */
    int64_t version;     /* of the domain's operator set that it was written for */
    const struct op *op; /* NULL: cannot be run, `why_not` says why */
    const char *why_not;
    void *params;      /* what op->parse made of the attributes */
    struct value **in; /* NULL: an optional input that is not given */
    size_t in_count;
    struct value **out; /* NULL: an optional output that nobody wants */
    size_t out_count;
    struct attr *attrs;
    size_t attr_count;
    struct node_origin origin; /* bytes become 0 when the node is changed */
    struct graph *graph;
    struct node *prev, *next; /* topological order */
    bool dead;
};

struct graph {
    struct arena *arena;
    struct graph *parent; /* of a body; NULL for the model's own */
    const char *name;
    struct symbols *symbols; /* shared with bodies */
    struct value **values;
    size_t value_count, value_capacity;
    struct strmap by_name;
    struct node *first, *last;
    size_t node_count;     /* living ones */
    uint32_t next_node_id; /* ids are below it */
    struct value **inputs; /* in the file's order, without weights */
    size_t input_count, input_capacity;
    struct value **outputs;
    size_t output_count, output_capacity;
    size_t body_count; /* graphs that were made with this one as their parent */
    uint64_t serial;   /* for fresh names; the model's own graph counts for its bodies too */
};

/* ---- building ---- */

struct graph *graph_new(struct arena *arena, struct graph *parent); /* NULL when out of memory */

/* The value of that name in this graph, or NULL. graph_resolve() also looks around a body, and then
 * makes (once) the OUTER value that stands for it. */
struct value *graph_value(const struct graph *graph, const char *name);
int graph_resolve(struct graph *graph, const char *name, struct value **ret, struct err *err);

/* A new value of kind VALUE_NODE without a producer; name NULL: a fresh one. The name is copied.
 * ERR_BAD_MODEL when the name is taken. */
int graph_add_value(struct graph *graph, const char *name, struct value **ret, struct err *err);
int graph_add_input(struct graph *graph, const char *name, const struct type *type,
                    struct value **ret, struct err *err);
int graph_add_weight(struct graph *graph, const char *name, uint32_t tensor,
                     const struct type *type, struct value **ret, struct err *err);
/* data lives as long as the graph. */
int graph_add_constant(struct graph *graph, const char *name, const struct array *data,
                       struct value **ret, struct err *err);
int graph_add_output(struct graph *graph, struct value *value, struct err *err);

struct node_spec {
    const char *name; /* NULL: none */
    const char *op_type, *domain;
    int64_t version;
    struct value *const *in;
    size_t in_count;
    struct value *const *out; /* must be VALUE_NODE without a producer; NULL entries allowed */
    size_t out_count;
    const struct attr *attrs; /* copied, their contents borrowed for the graph's life */
    size_t attr_count;
    struct node_origin origin;
};

/* Before `before`, or at the end when that is NULL. Looks the operator up and parses its
 * attributes; what cannot be run is no failure. Everything in the spec is copied. */
int graph_add_node(struct graph *graph, struct node *before, const struct node_spec *spec,
                   struct node **ret, struct err *err);

/* ---- safe rewriting ---- */

int graph_set_input(struct node *node, size_t slot, struct value *value, struct err *err);
/* Every use of `from`, in bodies too, and its place among the graph's outputs, becomes `to`. */
int graph_replace_value(struct graph *graph, struct value *from, struct value *to, struct err *err);
/* The node must have no uses left of any output, in bodies neither. */
void graph_remove_node(struct node *node);
/* Takes a node's edges away, both ways, and kills its outputs (for graph.c). */
void graph_unhook(struct node *node);
/* A new value of `value`'s type that `value` flows into: uses for which `wants` says yes (NULL:
 * all) read *ret instead, bodies still read `value`; the caller adds the node between the two. The
 * graph's outputs keep `value`. */
int graph_split_value(struct graph *graph, struct value *value,
                      bool (*wants)(void *self, const struct use *use), void *self,
                      struct value **ret, struct err *err);
/* The producer makes *ret instead, a new value of the same type. `value` keeps its name, its
 * readers and its place among the outputs, and waits for the node that the caller adds to make it.
 */
int graph_take_over(struct graph *graph, struct value *value, struct value **ret, struct err *err);
/* A weight or constant that nothing reads goes; false: something does. */
bool graph_remove_unread(struct value *value);
/* Nodes none of whose outputs lead to an output of the graph, and values that nothing uses (inputs
 * stay). Returns how many nodes went. */
size_t graph_remove_dead(struct graph *graph);
/* Marks the node as changed, so that the writer makes its bytes anew, and parses its attributes
 * again. */
int graph_node_changed(struct node *node, struct err *err);

/* Gives the node an attribute, in place of the one of that name, and parses anew. Contents are
 * borrowed for the graph's life. */
int graph_set_attr(struct node *node, const struct attr *attr, struct err *err);

/* Puts nodes in topological order (stable where it already is). ERR_BAD_MODEL naming a node of the
 * cycle. */
int graph_sort(struct graph *graph, struct err *err);
/* Every edge both ways, every name, the order, arities against the operator table, types where both
 * ends state one; bodies too. ERR_BAD_MODEL naming node and value. */
int graph_verify(const struct graph *graph, struct err *err);

/* ---- asking ---- */

#define GRAPH_NODES(graph, node) for (struct node *node = (graph)->first; node; node = node->next)

const struct attr *node_attr(const struct node *node, const char *name); /* NULL: not given */
int64_t node_int(const struct node *node, const char *name, int64_t otherwise);
float node_float(const struct node *node, const char *name, float otherwise);
/* NUL-terminated; `otherwise` when not given. */
const char *node_string(const struct node *node, const char *name, const char *otherwise);
/* False when not given; *ret borrowed. */
bool node_ints(const struct node *node, const char *name, const int64_t **ret, size_t *ret_count);
/* "Conv 'features/0' (conv1_out)": how messages call a node. Returns text. */
const char *node_describe(const struct node *node, char *text, size_t cap);
static inline bool node_has(const struct node *node, size_t slot) {
    return slot < node->in_count && node->in[slot];
}

#endif
