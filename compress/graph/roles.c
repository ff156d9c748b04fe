/*
 * Three walks. Forwards: what every value is (struct tag), and with it the products, attention,
 * norms. Then residuals, in order, so that inner blocks come before what lies around them: what is
 * between a value and the sum that adds it again is a block. Backwards: behind which products there
 * are others.
 *
 * Longer than most files because the walks share what they know.
 */
#include "compress/graph/roles.h"

#include "compress/base/arena.h"
#include "compress/graph/role_ops.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NO_PRODUCT UINT32_MAX

/* Nodes of a residual's branch; what is longer is no block. All branches together. */
enum { BRANCH_NODES = 4096, BRANCHES_NODES = 4 * 1024 * 1024 };

enum { ORIGINS = 8 };

/* The products that a value comes from without another between. */
struct origins {
    unsigned count;
    uint32_t products[ORIGINS];
};

/* Of several things, as the values on a residual stream. */
static const struct origins mixed;

struct tag {
    const struct origins *from; /* NULL: of none */
    uint32_t weight;            /* tensor that it is, or VALUE_NO_TENSOR */
    bool varies;                /* with the data that the graph is given */
    bool above, below;          /* products towards the inputs, the outputs */
    bool leads;                 /* to an output */
    bool scores, probs;         /* of attention: before and behind the Softmax */
    bool context;               /* of attention: its result */
    bool moment, deviation;     /* a mean or sum, its root or one over that */
    bool normal;                /* something over its deviation */
};

struct product {
    const struct node *node;
    const struct tag *data; /* NULL: both operands are weights */
    uint32_t tensor;
    unsigned role;
    bool is_linear; /* no convolution */
};

/* One graph or body. */
struct scope {
    const struct graph *graph;
    struct scope *parent, *bodies, *next; /* bodies: the last first */
    struct tag *tags;                     /* by value id; these by node id: */
    const struct role_op **ops;
    uint32_t *order;   /* from 1 */
    uint32_t *product; /* NO_PRODUCT */
    uint32_t *stamp;   /* of the branch that saw it last */
    bool *on_way;      /* from the residual, in that branch */
    bool *is_traced;   /* from probabilities */
};

struct reader {
    const struct node *node;
    struct reader *next;
};

struct step {
    const struct node *node;
    uint32_t order;
};

struct roles {
    struct model *model;
    struct arena *arena;
    struct product *products;
    size_t count, capacity;
    struct reader **readers; /* by tensor, the last first */
    bool has_attention;
    /* the branch at hand */
    struct step *branch;
    size_t branch_count;
    uint32_t stamp;
    uint64_t visited;
};

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "the roles of the model's weights need too much memory");
}

static struct tag *tag_of(const struct scope *s, const struct value *value) {
    return &s->tags[value->id];
}

static const struct tag *input_tag(const struct scope *s, const struct node *node, int slot) {
    static const struct tag none = {.weight = VALUE_NO_TENSOR};
    return slot >= 0 && node_has(node, (size_t)slot) ? tag_of(s, node->in[slot]) : &none;
}

static const struct tensor *weight_of(const struct roles *r, const struct tag *tag) {
    return tag->weight == VALUE_NO_TENSOR ? NULL : &r->model->tensors[tag->weight];
}

static void add_role(struct roles *r, const struct tag *tag, unsigned role) {
    if (tag->weight != VALUE_NO_TENSOR)
        r->model->tensors[tag->weight].role |= role;
}

static bool is_vector(const struct tensor *tensor) {
    for (unsigned d = 0; d < tensor->rank; d++)
        if (tensor->dims[d] == tensor->elements)
            return true;
    return false;
}

/* ---- origins ---- */

static const struct origins *from_product(struct roles *r, uint32_t product) {
    struct origins *from = ARENA_NEW(r->arena, struct origins);
    if (from)
        *from = (struct origins){1, {product}};
    return from;
}

static bool same_origins(const struct origins *a, const struct origins *b) {
    return a == b || (a && b && a->count == b->count &&
                      memcmp(a->products, b->products, a->count * sizeof *a->products) == 0);
}

/* Elementwise: of the one that is of something, or of the same. */
static const struct origins *combined(const struct origins *a, const struct origins *b) {
    if (!a || !b)
        return a ? a : b;
    return same_origins(a, b) ? a : &mixed;
}

static int joined(struct roles *r, const struct origins *a, const struct origins *b,
                  const struct origins **ret, struct err *err) {
    if (!a || !b || same_origins(a, b)) {
        *ret = a ? a : b;
        return 0;
    }
    *ret = &mixed;
    if (a->count == 0 || b->count == 0 || a->count + b->count > ORIGINS)
        return 0;
    struct origins *both = ARENA_NEW(r->arena, struct origins);
    if (!both)
        return no_memory(err);
    *both = *a;
    for (unsigned i = 0; i < b->count; i++) {
        bool is_there = false;
        for (unsigned k = 0; k < both->count; k++)
            is_there = is_there || both->products[k] == b->products[i];
        if (!is_there)
            both->products[both->count++] = b->products[i];
    }
    *ret = both;
    return 0;
}

static void mark(struct roles *r, const struct origins *from, unsigned role) {
    for (unsigned i = 0; from && i < from->count; i++)
        r->products[from->products[i]].role |= role;
}

/* ---- attention ---- */

/* Probabilities come of scores, these of a product of queries and keys. Recursion is as deep as a
 * chain of operators that only move and combine scores, and ends at a limit. */
static void trace_scores(struct roles *r, const struct scope *s, const struct value *value,
                         unsigned depth) {
    enum { DEPTH = 200 };
    while (value && value->kind == VALUE_OUTER) {
        value = value->outer;
        s = s->parent;
    }
    const struct node *node = value ? value->producer : NULL;
    if (!node || s->is_traced[node->id] || depth > DEPTH)
        return;
    s->is_traced[node->id] = true;
    const struct role_op *op = s->ops[node->id];
    if (op->kind == ROLE_OP_PRODUCT) {
        if (s->product[node->id] != NO_PRODUCT)
            r->products[s->product[node->id]].role |= ROLE_ATTN_QKV;
        for (size_t i = 0; i < node->in_count; i++)
            mark(r, input_tag(s, node, (int)i)->from, ROLE_ATTN_QKV);
        return;
    }
    for (size_t i = 0; i < node->in_count; i++)
        if (node->in[i] && (tag_of(s, node->in[i])->scores || tag_of(s, node->in[i])->probs))
            trace_scores(r, s, node->in[i], depth + 1);
}

/* A product of two computed operands. */
static void mix(struct roles *r, struct scope *s, const struct node *node, int a, int b,
                struct tag *out) {
    const struct tag *ta = input_tag(s, node, a), *tb = input_tag(s, node, b);
    out->scores = true;
    if (ta->probs == tb->probs)
        return;
    mark(r, (ta->probs ? tb : ta)->from, ROLE_ATTN_QKV);
    trace_scores(r, s, node->in[ta->probs ? a : b], 0);
    out->context = true;
    r->has_attention = true;
}

/* ---- products ---- */

static int add_product(struct roles *r, struct scope *s, const struct node *node, int data,
                       int weight, unsigned role, struct tag *out, struct err *err) {
    struct product *grown =
        arena_grow(r->arena, r->products, &r->capacity, r->count + 1, sizeof *grown);
    const struct tag *tag = input_tag(s, node, data);
    if (!grown)
        return no_memory(err);
    r->products = grown;
    if (tag->context)
        role |= ROLE_ATTN_OUT;
    r->products[r->count] = (struct product){
        .node = node,
        .data = node_has(node, (size_t)data) ? tag : NULL,
        .tensor = input_tag(s, node, weight)->weight,
        .role = role,
        .is_linear = !(role & ROLE_CONV),
    };
    s->product[node->id] = (uint32_t)r->count;
    out->above = true;
    out->from = from_product(r, (uint32_t)r->count++);
    return out->from ? 0 : no_memory(err);
}

/* A column by a row makes a table of angles, say: no layer. */
static bool is_outer_product(const struct roles *r, const struct tag *left) {
    const struct tensor *tensor = weight_of(r, left);
    return tensor && tensor->rank >= 2 && tensor->dims[tensor->rank - 1] == 1;
}

static int see_product(struct roles *r, struct scope *s, const struct node *node,
                       const struct role_op *op, struct tag *out, struct err *err) {
    int right = op->weight, left = 0;
    const struct tensor *r_weight = weight_of(r, input_tag(s, node, right));
    const struct tensor *l_weight = op->swaps ? weight_of(r, input_tag(s, node, left)) : NULL;
    add_role(r, input_tag(s, node, op->bias), ROLE_BIAS);
    if (r_weight && r_weight->rank > 1 &&
        (r_weight->rank == 2 || r_weight->stored.codec->is_quantized || !is_vector(r_weight)))
        return add_product(r, s, node, left, right, 0, out, err);
    if (l_weight && !r_weight && l_weight->rank > 1 &&
        !is_outer_product(r, input_tag(s, node, left))) {
        out->scores = true; /* queries may be constant */
        return add_product(r, s, node, right, left, 0, out, err);
    }
    if (!r_weight && !l_weight && op->swaps && node_has(node, (size_t)right))
        mix(r, s, node, left, right, out);
    return 0;
}

static int see_attention(struct roles *r, struct scope *s, const struct node *node,
                         const struct role_op *op, struct tag *out, struct err *err) {
    for (int i = op->data; i < op->end; i++)
        if (op->weight == ROLE_OP_NONE)
            mark(r, input_tag(s, node, i)->from, ROLE_ATTN_QKV);
    if (weight_of(r, input_tag(s, node, op->weight)) &&
        add_product(r, s, node, 0, op->weight, ROLE_ATTN_QKV, out, err) < 0)
        return -1;
    add_role(r, input_tag(s, node, op->bias), ROLE_BIAS);
    out->from = NULL;
    out->context = true;
    r->has_attention = true;
    return 0;
}

/* ---- what moves, and elementwise ---- */

static void keep(const struct tag *in, struct tag *out) {
    struct tag was = *out;
    *out = *in;
    out->varies = was.varies;
    out->above = was.above;
    out->below = out->leads = false;
}

/* A table of floats whose rows are picked by more than one fixed number. */
static bool looks_up(const struct roles *r, const struct scope *s, const struct node *node) {
    const struct tensor *table = weight_of(r, input_tag(s, node, 0));
    if (!table || table->rank != 2 || table->dims[0] < 2 || node_int(node, "axis", 0) != 0 ||
        !node_has(node, 1))
        return false;
    const struct type *type = &node->in[1]->type;
    bool is_float =
        table->stored.codec->is_quantized ||
        (table->stored.codec->family == CODEC_PLAIN && dtype_row(table->stored.dtype)->is_float);
    return is_float && (tag_of(s, node->in[1])->varies || !type->ranked || type->rank > 0);
}

static void combine(struct roles *r, const struct scope *s, const struct node *node,
                    const struct role_op *op, struct tag *out) {
    bool moments = false, deviations = false, normals = false, others = false;
    size_t weights = 0, computed = 0, contexts = 0, varying = 0;
    const struct tag *weight = NULL, *main = NULL;
    for (size_t i = (size_t)op->data; i < node->in_count; i++) {
        const struct tag *in = input_tag(s, node, (int)i);
        out->from = combined(out->from, in->from);
        out->scores = out->scores || in->scores;
        out->probs = out->probs || (in->probs && !op->adds);
        moments = moments || in->moment;
        deviations = deviations || in->deviation;
        normals = normals || in->normal;
        contexts += in->context;
        varying += in->varies;
        if (in->varies && !in->moment && !in->deviation) {
            others = true;
            main = in;
        }
        if (in->weight != VALUE_NO_TENSOR) {
            weights++;
            weight = in;
        }
        computed++;
    }
    out->moment = moments && !others;
    out->deviation = deviations && !others && varying == 1;
    out->normal = (op->scales && deviations && others) || (normals && op->scales && varying == 1);
    out->context = contexts > 0 && (!op->adds || contexts == varying);
    if (weights != 1)
        return;
    if (varying == 0) { /* 1 + w, and the like */
        if (computed == 2)
            out->weight = weight->weight;
        return;
    }
    const struct tensor *tensor = weight_of(r, weight);
    if (!is_vector(tensor) || !main)
        return;
    if (main->normal && tensor->elements > 1 && (op->adds || op->scales))
        add_role(r, weight, ROLE_NORM);
    else if (op->adds && main->from && main->from->count == 1)
        add_role(r, weight, ROLE_BIAS);
}

static int concat(struct roles *r, const struct scope *s, const struct node *node, struct tag *out,
                  struct err *err) {
    for (size_t i = 0; i < node->in_count; i++) {
        const struct tag *in = input_tag(s, node, (int)i);
        if (joined(r, out->from, in->from, &out->from, err) < 0)
            return -1;
        out->scores = out->scores || in->scores;
        out->probs = out->probs || in->probs;
        out->context = out->context || in->context;
    }
    return 0;
}

static void see_norm(struct roles *r, const struct scope *s, const struct node *node,
                     const struct role_op *op, struct tag *out) {
    const struct tag *in = input_tag(s, node, 0);
    for (int i = op->weight; i < op->bias; i++)
        add_role(r, input_tag(s, node, i), ROLE_NORM);
    for (int i = op->data; i < op->end; i++)
        add_role(r, input_tag(s, node, i), ROLE_EMBED);
    out->from = op->adds ? combined(in->from, input_tag(s, node, 1)->from) : in->from;
    out->context = in->context && !op->adds;
    out->normal = true;
}

/* ---- forwards ---- */

/* What output 0 is; `varies` and `above` are set. */
static int see(struct roles *r, struct scope *s, const struct node *node, const struct role_op *op,
               struct tag *out, struct err *err) {
    const struct tag *in = input_tag(s, node, 0);
    switch (op->kind) {
    case ROLE_OP_GATHER:
        if (looks_up(r, s, node)) {
            add_role(r, in, ROLE_EMBED);
            return 0;
        }
        keep(in, out);
        return 0;
    case ROLE_OP_MOVE:
        keep(in, out);
        return 0;
    case ROLE_OP_COMBINE:
        combine(r, s, node, op, out);
        return 0;
    case ROLE_OP_CONCAT:
        return concat(r, s, node, out, err);
    case ROLE_OP_REDUCE:
        out->moment = in->varies;
        out->deviation = in->varies && strcmp(node->op_type, "ReduceL2") == 0;
        return 0;
    case ROLE_OP_ROOT:
        out->deviation = in->moment || in->deviation;
        return 0;
    case ROLE_OP_SOFTMAX:
        out->probs = in->scores;
        return 0;
    case ROLE_OP_SQUASH:
        out->scores = in->scores;
        return 0;
    case ROLE_OP_PRODUCT:
        return see_product(r, s, node, op, out, err);
    case ROLE_OP_CONV:
        add_role(r, input_tag(s, node, op->bias), ROLE_BIAS);
        return weight_of(r, input_tag(s, node, op->weight))
                   ? add_product(r, s, node, 0, op->weight, ROLE_CONV, out, err)
                   : 0;
    case ROLE_OP_NORM:
        see_norm(r, s, node, op, out);
        return 0;
    case ROLE_OP_ATTENTION:
        return see_attention(r, s, node, op, out, err);
    case ROLE_OP_RNN:
        add_role(r, input_tag(s, node, op->bias), ROLE_BIAS);
        out->above = true;
        return 0;
    case ROLE_OP_BIASED:
        add_role(r, input_tag(s, node, op->bias), ROLE_BIAS);
        return 0;
    case ROLE_OP_SHAPE:
        out->varies = out->above = false;
        return 0;
    case ROLE_OP_OTHER:
        break;
    }
    return 0;
}

static int add_reader(struct roles *r, const struct node *node, uint32_t tensor, struct err *err) {
    struct reader **first = &r->readers[tensor];
    if (!node->name[0] || (*first && (*first)->node == node) ||
        strnlen(node->name, LIMIT_TENSOR_NAME_BYTES + 1) > LIMIT_TENSOR_NAME_BYTES)
        return 0;
    struct reader *reader = ARENA_NEW(r->arena, struct reader);
    if (!reader)
        return no_memory(err);
    *reader = (struct reader){node, *first};
    *first = reader;
    return 0;
}

static struct scope *enter(struct roles *r, const struct graph *graph, struct scope *parent,
                           const struct tag *given, struct err *err) {
    struct scope *s = ARENA_NEW(r->arena, struct scope);
    size_t values = graph->value_count + 1, nodes = (size_t)graph->next_node_id + 1;
    if (!s) {
        no_memory(err);
        return NULL;
    }
    *s = (struct scope){
        .graph = graph,
        .parent = parent,
        .tags = ARENA_ARRAY(r->arena, struct tag, values),
        .ops = ARENA_ARRAY(r->arena, const struct role_op *, nodes),
        .order = ARENA_ARRAY(r->arena, uint32_t, nodes),
        .product = ARENA_ARRAY(r->arena, uint32_t, nodes),
        .stamp = ARENA_ARRAY(r->arena, uint32_t, nodes),
        .on_way = ARENA_ARRAY(r->arena, bool, nodes),
        .is_traced = ARENA_ARRAY(r->arena, bool, nodes),
    };
    if (!s->tags || !s->ops || !s->order || !s->product || !s->stamp || !s->on_way ||
        !s->is_traced) {
        no_memory(err);
        return NULL;
    }
    for (size_t i = 0; i < nodes; i++)
        s->product[i] = NO_PRODUCT;
    GRAPH_NODES(graph, node) {
        s->ops[node->id] = role_op_of(node);
    }
    for (size_t i = 0; i < graph->value_count; i++) {
        const struct value *value = graph->values[i];
        struct tag *tag = &s->tags[i];
        tag->weight = VALUE_NO_TENSOR;
        if (value->kind == VALUE_WEIGHT && value->part == PART_DATA)
            tag->weight = value->tensor;
        if (value->kind == VALUE_INPUT) {
            tag->varies = true;
            tag->above = given && given->above;
        }
        if (value->kind == VALUE_OUTER && parent)
            *tag = *tag_of(parent, value->outer);
    }
    if (parent) {
        s->next = parent->bodies;
        parent->bodies = s;
    }
    return s;
}

static bool has_product(const struct scope *s) {
    GRAPH_NODES(s->graph, node) {
        if (s->product[node->id] != NO_PRODUCT || s->ops[node->id]->kind == ROLE_OP_RNN)
            return true;
    }
    for (const struct scope *body = s->bodies; body; body = body->next)
        if (has_product(body))
            return true;
    return false;
}

static int forwards(struct roles *r, struct scope *s, struct err *err) {
    uint32_t order = 0;
    GRAPH_NODES(s->graph, node) {
        const struct role_op *op = s->ops[node->id];
        struct tag out = {.weight = VALUE_NO_TENSOR};
        s->order[node->id] = ++order;
        for (size_t i = 0; i < node->in_count; i++) {
            const struct tag *in = input_tag(s, node, (int)i);
            out.varies = out.varies || in->varies;
            out.above = out.above || in->above;
            if (in->weight != VALUE_NO_TENSOR && add_reader(r, node, in->weight, err) < 0)
                return -1;
        }
        for (size_t a = 0; a < node->attr_count; a++) {
            if (node->attrs[a].kind != ATTR_GRAPH)
                continue;
            struct scope *body = enter(r, node->attrs[a].body, s, &out, err);
            if (!body || forwards(r, body, err) < 0)
                return -1;
            out.varies = true;
            out.above = out.above || has_product(body);
        }
        if (see(r, s, node, op, &out, err) < 0)
            return -1;
        for (size_t i = 0; i < node->out_count; i++) {
            static const struct tag nothing = {.weight = VALUE_NO_TENSOR};
            if (!node->out[i])
                continue;
            struct tag *tag = tag_of(s, node->out[i]);
            *tag = i == 0 || strcmp(op->op_type, "Split") == 0 ? out : nothing;
            tag->varies = out.varies;
            tag->above = out.above;
        }
    }
    return 0;
}

/* ---- blocks ---- */

static uint32_t order_of(const struct scope *s, const struct value *value) {
    return value->producer ? s->order[value->producer->id] : 0;
}

/* Puts what leads to `end` and was made after `start` into the branch; false: no block. */
static bool collect(struct roles *r, struct scope *s, const struct value *start,
                    const struct value *end) {
    uint32_t first = order_of(s, start);
    r->branch_count = 0;
    r->stamp++;
    if (!end->producer || order_of(s, end) <= first)
        return false;
    s->stamp[end->producer->id] = r->stamp;
    r->branch[r->branch_count++] = (struct step){end->producer, order_of(s, end)};
    for (size_t at = 0; at < r->branch_count; at++) {
        const struct node *node = r->branch[at].node;
        s->on_way[node->id] = false;
        for (size_t i = 0; i < node->in_count; i++) {
            const struct node *producer = node->in[i] ? node->in[i]->producer : NULL;
            if (!producer || s->order[producer->id] <= first || s->stamp[producer->id] == r->stamp)
                continue;
            if (r->branch_count == BRANCH_NODES) {
                r->visited += r->branch_count;
                return false;
            }
            s->stamp[producer->id] = r->stamp;
            r->branch[r->branch_count++] = (struct step){producer, s->order[producer->id]};
        }
    }
    r->visited += r->branch_count;
    return true;
}

static int by_order(const void *a, const void *b) {
    const struct step *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

static bool is_in_branch(const struct roles *r, const struct scope *s, const struct node *node) {
    return node && s->stamp[node->id] == r->stamp && s->on_way[node->id];
}

static struct product *product_of(struct roles *r, const struct scope *s, const struct node *node) {
    uint32_t product = s->product[node->id];
    return product == NO_PRODUCT ? NULL : &r->products[product];
}

/* What is in front of queries, keys or values in the branch belongs to them. */
static void mark_before_queries(struct roles *r, struct scope *s) {
    for (size_t at = r->branch_count; at-- > 0;) {
        const struct product *to = product_of(r, s, r->branch[at].node);
        if (!s->on_way[r->branch[at].node->id] || !to || !(to->role & ROLE_ATTN_QKV) || !to->data)
            continue;
        const struct origins *from = to->data->from;
        for (unsigned i = 0; from && i < from->count; i++) {
            struct product *before = &r->products[from->products[i]];
            if (before->node->graph == s->graph && is_in_branch(r, s, before->node) &&
                before->is_linear && !before->role)
                before->role = ROLE_ATTN_QKV;
        }
    }
}

/* Is `end` made from `start`? Then the products on the way have their role. */
static bool see_branch(struct roles *r, struct scope *s, const struct value *start,
                       const struct value *end) {
    bool arrives = false;
    if (r->visited > BRANCHES_NODES || !collect(r, s, start, end))
        return false;
    qsort(r->branch, r->branch_count, sizeof *r->branch, by_order);
    for (size_t at = 0; at < r->branch_count; at++) {
        const struct node *node = r->branch[at].node;
        for (size_t i = 0; i < node->in_count; i++)
            if (node->in[i] && (node->in[i] == start || is_in_branch(r, s, node->in[i]->producer)))
                s->on_way[node->id] = true;
        arrives = s->on_way[node->id]; /* the last one is what makes `end` */
    }
    if (!arrives)
        return false;
    mark_before_queries(r, s);
    for (size_t at = 0; at < r->branch_count; at++) {
        struct product *product = product_of(r, s, r->branch[at].node);
        if (product && s->on_way[product->node->id] && product->is_linear && !product->role)
            product->role = ROLE_MLP;
    }
    return true;
}

/* x + f(x), or (x + f(x)) + g(x): blocks side by side. */
static void see_sum(struct roles *r, struct scope *s, const struct node *sum) {
    const struct value *x = sum->in[0], *y = sum->in[1];
    if (order_of(s, x) > order_of(s, y)) {
        x = sum->in[1];
        y = sum->in[0];
    }
    if (see_branch(r, s, x, y))
        return;
    const struct value *const sides[] = {x, y};
    for (size_t side = 0; side < 2; side++) {
        const struct node *inner = sides[side]->producer;
        if (!inner || !s->ops[inner->id]->adds || inner->in_count < 2)
            continue;
        for (size_t i = 0; i < 2; i++)
            if (inner->in[i] && tag_of(s, inner->in[i])->varies &&
                see_branch(r, s, inner->in[i], sides[!side]))
                return;
    }
}

static void see_blocks(struct roles *r, struct scope *s) {
    GRAPH_NODES(s->graph, node) {
        if (s->ops[node->id]->adds && node_has(node, 0) && node_has(node, 1) &&
            tag_of(s, node->in[0])->varies && tag_of(s, node->in[1])->varies)
            see_sum(r, s, node);
    }
    for (struct scope *body = s->bodies; body; body = body->next)
        see_blocks(r, body);
}

/* ---- backwards ---- */

static void backwards(struct scope *s, bool below, bool leads) {
    for (size_t i = 0; i < s->graph->output_count; i++) {
        struct tag *tag = tag_of(s, s->graph->outputs[i]);
        tag->below = tag->below || below;
        tag->leads = tag->leads || leads;
    }
    struct scope *body = s->bodies;
    for (const struct node *node = s->graph->last; node; node = node->prev) {
        below = leads = false;
        for (size_t i = 0; i < node->out_count; i++) {
            below = below || (node->out[i] && tag_of(s, node->out[i])->below);
            leads = leads || (node->out[i] && tag_of(s, node->out[i])->leads);
        }
        for (size_t a = 0; a < node->attr_count; a++) {
            if (node->attrs[a].kind != ATTR_GRAPH)
                continue;
            const struct scope *inner = body;
            assert(body);
            backwards(body, below, leads);
            body = body->next;
            for (size_t v = 0; v < inner->graph->value_count; v++) {
                const struct value *value = inner->graph->values[v];
                if (value->kind != VALUE_OUTER)
                    continue;
                struct tag *outer = tag_of(s, value->outer);
                outer->below = outer->below || inner->tags[v].below;
                outer->leads = outer->leads || inner->tags[v].leads;
            }
        }
        bool stands = s->product[node->id] != NO_PRODUCT || s->ops[node->id]->kind == ROLE_OP_RNN;
        for (size_t i = 0; i < node->in_count; i++) {
            struct tag *in = node->in[i] ? tag_of(s, node->in[i]) : NULL;
            if (!in)
                continue;
            in->below = in->below || below || stands;
            in->leads = in->leads || leads;
        }
    }
}

static void end_products(struct roles *r, const struct scope *s) {
    GRAPH_NODES(s->graph, node) {
        struct product *product = product_of(r, s, node);
        const struct tag *out =
            product && node->out_count && node->out[0] ? tag_of(s, node->out[0]) : NULL;
        if (!out || !out->leads)
            continue;
        if (product->data && product->data->varies && !product->data->above)
            product->role |= ROLE_FIRST;
        if (!out->below && !(product->role & ~(unsigned)ROLE_FIRST))
            product->role |= ROLE_HEAD;
        if (!out->below)
            product->role |= ROLE_LAST;
    }
    for (const struct scope *body = s->bodies; body; body = body->next)
        end_products(r, body);
}

/* ---- the model ---- */

static int settle(struct roles *r, struct err *err) {
    struct model *model = r->model;
    for (size_t i = 0; i < r->count; i++)
        model->tensors[r->products[i].tensor].role |= r->products[i].role;
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor *tensor = &model->tensors[i];
        if (!(tensor->role & ~(unsigned)(ROLE_FIRST | ROLE_LAST)))
            tensor->role |= ROLE_OTHER;
        tensor->is_embedding = (tensor->role & ROLE_EMBED) && tensor->rank == 2;
        for (const struct reader *reader = r->readers[i]; reader; reader = reader->next)
            tensor->reader_count++;
        const char **names = ARENA_ARRAY(model->arena, const char *, tensor->reader_count);
        if (!names && tensor->reader_count)
            return no_memory(err);
        tensor->readers = names;
        size_t at = tensor->reader_count;
        for (const struct reader *reader = r->readers[i]; reader; reader = reader->next)
            names[--at] = reader->node->name;
    }
    return 0;
}

static int assign(struct roles *r, struct err *err) {
    r->readers = ARENA_ARRAY(r->arena, struct reader *, r->model->tensor_count + 1);
    r->branch = ARENA_ARRAY(r->arena, struct step, BRANCH_NODES);
    if (!r->readers || !r->branch)
        return no_memory(err);
    struct scope *s = enter(r, r->model->graph, NULL, NULL, err);
    if (!s || forwards(r, s, err) < 0)
        return -1;
    if (r->has_attention)
        see_blocks(r, s);
    backwards(s, false, true);
    end_products(r, s);
    return settle(r, err);
}

int roles_assign(struct model *model, struct err *err) {
    struct roles r = {.model = model, .arena = arena_new(LIMIT_MODEL_ARENA_BYTES)};
    if (!r.arena)
        return no_memory(err);
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor *tensor = &model->tensors[i];
        tensor->role = ROLE_NONE;
        tensor->is_linear = tensor->is_embedding = false;
        tensor->readers = NULL;
        tensor->reader_count = 0;
    }
    int result = assign(&r, err);
    arena_free(r.arena);
    return result;
}
