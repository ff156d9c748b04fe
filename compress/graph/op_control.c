/*
 * Control flow. These rows only infer: the executor knows how to run If (exec/plan.h), and carries
 * what it does not run.
 *
 *   If(condition bool[]) → the outputs of then_branch or of else_branch
 */
#include "compress/graph/op.h"

static int if_parse(const struct node *node, struct arena *arena, void **ret_params,
                    struct err *err) {
    static const char *const names[] = {"then_branch", "else_branch"};
    for (int i = 0; i < 2; i++) {
        const struct attr *attr = node_attr(node, names[i]);
        if (!attr || attr->kind != ATTR_GRAPH)
            return op_fail(node, err, "has no '%s'", names[i]);
        if (attr->body->output_count != node->out_count)
            return op_fail(node, err, "'%s' has %zu outputs, the node %zu", names[i],
                           attr->body->output_count, node->out_count);
    }
    return 0;
}

/* What both branches say; where they differ, nothing is known. */
static int if_infer(struct op_infer *infer, struct err *err) {
    const struct graph *a = node_attr(infer->node, "then_branch")->body;
    const struct graph *b = node_attr(infer->node, "else_branch")->body;
    for (size_t i = 0; i < infer->node->out_count; i++) {
        const struct type *x = &a->outputs[i]->type, *y = &b->outputs[i]->type;
        struct type *type = &infer->out[i].type;
        if (x->dtype != y->dtype)
            continue;
        *type = *x;
        type->ranked = x->ranked && y->ranked && x->rank == y->rank;
        for (unsigned d = 0; type->ranked && d < type->rank; d++)
            if (!dim_same(x->dims[d], y->dims[d]))
                type->dims[d] = (struct dim){-1, symbols_get(infer->symbols, NULL)};
    }
    return 0;
}

const struct op op_if = {
    .op_type = "If",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = OP_MANY,
    .flags = OP_ANY_TYPE | OP_NOT_FOLDED,
    .parse = if_parse,
    .infer = if_infer,
    .doc = "one of two bodies",
};
