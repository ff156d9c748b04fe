/* The table, how a row is found, and what rows share. See op.h. */
#include "compress/graph/op.h"

#include "compress/base/arena.h"
#include "compress/graph/op_rows.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OP_EXTERN(row) extern const struct op op_##row;
OP_ROWS(OP_EXTERN)
#undef OP_EXTERN

#define OP_ADDRESS(row) &op_##row,
static const struct op *const table[] = {OP_ROWS(OP_ADDRESS)};
#undef OP_ADDRESS

const struct op *op_at(size_t i) {
    return i < sizeof table / sizeof *table ? table[i] : NULL;
}

const struct op *op_find(const char *domain, const char *op_type, int64_t version,
                         struct arena *arena, const char **why_not) {
    const struct op *near = NULL;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct op *op = table[i];
        if (op->op_type[0] != op_type[0] || strcmp(op->op_type, op_type) != 0 ||
            strcmp(op->domain, domain) != 0)
            continue;
        if (version >= op->min_version && version <= op->max_version)
            return op;
        near = op;
    }
    const char *colons = *domain ? "::" : "";
    if (near)
        *why_not = arena_printf(arena, "%s%s%s of operator set %" PRId64 " is not executable",
                                domain, colons, op_type, version);
    else
        *why_not = arena_printf(arena, "%s%s%s is not executable", domain, colons, op_type);
    return NULL;
}

/* ---- for the rows ---- */

int(op_fail)(const struct node *node, struct err *err, const char *format, ...) {
    char what[384], name[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return err_set(err, ERR_BAD_MODEL, "%s: %s", node_describe(node, name, sizeof name), what);
}

int op_axis(const struct node *node, int64_t axis, unsigned rank, unsigned *ret, struct err *err) {
    int64_t positive = axis < 0 ? axis + rank : axis;
    if (positive < 0 || positive >= rank)
        return op_fail(node, err, "axis %" PRId64 " of a value of rank %u", axis, rank);
    *ret = (unsigned)positive;
    return 0;
}

int op_broadcast(struct op_infer *infer, const struct type *a, const struct type *b,
                 struct type *ret, struct err *err) {
    unsigned rank = a->rank > b->rank ? a->rank : b->rank;
    struct dim dims[LIMIT_RANK]; /* ret may be a or b: not written before both are read */
    if (!a->ranked || !b->ranked) {
        ret->ranked = false;
        return 0;
    }
    for (unsigned d = 0; d < rank; d++) {
        unsigned from_end = rank - d;
        struct dim x = from_end <= a->rank ? a->dims[a->rank - from_end] : DIM(1);
        struct dim y = from_end <= b->rank ? b->dims[b->rank - from_end] : DIM(1);
        if (dim_same(x, y) || (dim_known(y) && y.size == 1))
            dims[d] = x;
        else if (dim_known(x) && x.size == 1)
            dims[d] = y;
        else if (dim_known(x) && dim_known(y))
            return op_fail(infer->node, err,
                           "shapes do not broadcast: %" PRId64 " against %" PRId64 " in axis %u",
                           x.size, y.size, d);
        else if (dim_known(x) || dim_known(y))
            dims[d] = dim_known(x) ? x : y;
        else
            dims[d] = (struct dim){-1, symbols_get(infer->symbols, NULL)};
    }
    ret->ranked = true;
    ret->rank = rank;
    memcpy(ret->dims, dims, rank * sizeof *dims);
    return 0;
}

int op_infer_same(struct op_infer *infer, struct err *err) {
    infer->out[0].type = infer->in[0]->type;
    return 0;
}

/* ---- one node at a time ---- */

static bool is_narrowed(const struct op *op, const struct array *array) {
    return !(op->flags & OP_ANY_TYPE) && array && array->dtype != DTYPE_F32 &&
           dtype_row(array->dtype)->is_float;
}

/* The same shape as f32, malloc'd. */
static struct array *as_f32(const struct array *array, bool with_content, struct err *err) {
    struct array *copy = array_new(DTYPE_F32, array->rank, array->dims);
    if (!copy)
        err_set(err, ERR_NO_MEMORY, "no memory to convert a value to f32");
    else if (with_content && array_convert(array, copy, false, err) < 0) {
        array_free(copy);
        copy = NULL;
    }
    return copy;
}

int op_run_node(const struct node *node, const struct array *const *in, struct array *const *out,
                struct team *team, struct err *err) {
    const struct op *op = node->op;
    if (!op || !op->forward)
        return err_set(err, ERR_UNSUPPORTED, "%s",
                       node->why_not ? node->why_not : "the operator does not run by itself");
    size_t inputs = node->in_count, outputs = node->out_count;
    const struct array **from = calloc(inputs + outputs + 1, sizeof *from);
    struct array **to = calloc(outputs + inputs + 1, sizeof *to); /* behind: copies to free */
    void *scratch = NULL;
    int result = -1;
    if (!from || !to) {
        err_set(err, ERR_NO_MEMORY, "no memory to run a node");
        goto out;
    }
    for (size_t i = 0; i < inputs; i++) {
        from[i] = in[i];
        if (is_narrowed(op, in[i])) {
            from[i] = to[outputs + i] = as_f32(in[i], true, err);
            if (!from[i])
                goto out;
        }
    }
    for (size_t i = 0; i < outputs; i++) {
        to[i] = out[i];
        if (is_narrowed(op, out[i])) {
            to[i] = as_f32(out[i], false, err);
            if (!to[i])
                goto out;
        }
    }
    struct op_run run = {.node = node, .in = from, .out = to, .team = team};
    uint64_t scratch_bytes = op->scratch ? op->scratch(&run, false, team_threads(team)) : 0;
    if (scratch_bytes) {
        scratch = aligned_alloc(64, (size_t)(scratch_bytes + 63) / 64 * 64);
        if (!scratch) {
            err_set(err, ERR_NO_MEMORY, "no memory to run a node");
            goto out;
        }
        run.scratch = scratch;
    }
    result = op->forward(&run, err);
    for (size_t i = 0; i < outputs && result == 0; i++)
        if (to[i] != out[i])
            result = array_convert(to[i], out[i], false, err);
out:
    free(scratch);
    for (size_t i = 0; to && i < outputs; i++)
        if (to[i] != out[i])
            array_free(to[i]);
    for (size_t i = 0; to && i < inputs; i++)
        array_free(to[outputs + i]);
    free(to);
    free(from);
    return result;
}

/* All inputs known, outputs known and small: worth computing now. */
static bool can_fold(const struct op_infer *infer) {
    const struct node *node = infer->node;
    if (!node->op->forward || (node->op->flags & OP_NOT_FOLDED))
        return false;
    for (size_t i = 0; i < node->in_count; i++)
        if (node->in[i] && (!infer->in[i] || !infer->in[i]->data))
            return false;
    for (size_t i = 0; i < node->out_count; i++) {
        struct array shape;
        if (node->out[i] &&
            (infer->out[i].data || !type_to_array(&infer->out[i].type, &shape) ||
             shape.elements > LIMIT_FOLD_ELEMENTS || array_item_bytes(shape.dtype) == 0))
            return false;
    }
    return true;
}

static int fold(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    const struct array **in = ARENA_ARRAY(infer->arena, const struct array *, node->in_count + 1);
    struct array **out = ARENA_ARRAY(infer->arena, struct array *, node->out_count + 1);
    if (!in || !out)
        return err_set(err, ERR_NO_MEMORY, "no memory to fold a constant");
    for (size_t i = 0; i < node->in_count; i++)
        in[i] = node->in[i] ? infer->in[i]->data : NULL;
    for (size_t i = 0; i < node->out_count; i++) {
        struct array shape;
        if (!node->out[i])
            continue;
        if (!type_to_array(&infer->out[i].type, &shape))
            return 0;
        out[i] = array_in_arena(infer->arena, shape.dtype, shape.rank, shape.dims);
        if (!out[i])
            return err_set(err, ERR_NO_MEMORY, "no memory to fold a constant");
    }
    if (op_run_node(node, in, out, NULL, err) < 0)
        return -1;
    for (size_t i = 0; i < node->out_count; i++)
        if (out[i]) {
            infer->out[i].data = out[i];
            infer->out[i].partial = NULL;
        }
    return 0;
}

int op_infer_node(struct op_infer *infer, struct err *err) {
    const struct op *op = infer->node->op;
    if (!op)
        return 0;
    char text[256];
    if (op->infer(infer, err) < 0 || (can_fold(infer) && fold(infer, err) < 0)) {
        if (err && !strstr(err->text, infer->node->op_type))
            err_context(err, "%s", node_describe(infer->node, text, sizeof text));
        return -1;
    }
    return 0;
}
