/* See content.h. */
#include "compress/graph/content.h"

#include "compress/base/arena.h"

#include <stdarg.h>
#include <stdio.h>

bool content_count(const struct fact *fact, uint64_t *ret) {
    if (!fact)
        return false;
    if (fact->data) {
        *ret = fact->data->elements;
        return true;
    }
    uint64_t count = 1;
    if (!fact->type.ranked)
        return false;
    for (unsigned i = 0; i < fact->type.rank; i++) {
        if (!dim_known(fact->type.dims[i]) || fact->type.dims[i].size < 0 ||
            !mul_u64(count, (uint64_t)fact->type.dims[i].size, &count))
            return false;
    }
    *ret = count;
    return true;
}

bool content_read(const struct fact *fact, struct dim *ret, size_t cap, size_t *ret_count) {
    uint64_t count;
    if (!content_count(fact, &count) || count > cap || (!fact->data && !fact->partial))
        return false;
    for (uint64_t i = 0; i < count; i++)
        if (!fact_element(fact, i, &ret[i]))
            return false;
    *ret_count = (size_t)count;
    return true;
}

bool content_ints(const struct fact *fact, int64_t *ret, size_t cap, size_t *ret_count) {
    uint64_t count;
    if (!content_count(fact, &count) || count > cap || (!fact->data && !fact->partial))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        struct dim d;
        if (!fact_element(fact, i, &d) || !dim_known(d))
            return false;
        ret[i] = d.size;
    }
    *ret_count = (size_t)count;
    return true;
}

static struct array *numbers(struct op_infer *infer, const struct type *type,
                             const struct dim *elements, size_t count, struct err *err) {
    uint64_t dims[LIMIT_RANK];
    for (unsigned i = 0; i < type->rank; i++)
        dims[i] = (uint64_t)type->dims[i].size;
    struct array *array = array_in_arena(infer->arena, type->dtype, type->rank, dims);
    if (!array) {
        err_set(err, ERR_NO_MEMORY, "no memory for a constant");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (type->dtype == DTYPE_I64)
            ((int64_t *)array->data)[i] = elements[i].size;
        else
            ((int32_t *)array->data)[i] = (int32_t)elements[i].size;
    }
    return array;
}

int content_set(struct op_infer *infer, struct fact *out, const struct dim *elements, size_t count,
                struct err *err) {
    uint64_t wanted;
    if (count > CONTENT_MAX || (out->type.dtype != DTYPE_I64 && out->type.dtype != DTYPE_I32) ||
        !content_count(out, &wanted) || wanted != count)
        return 0;
    bool all = true;
    for (size_t i = 0; i < count; i++)
        all = all && dim_known(elements[i]);
    if (all) {
        out->data = numbers(infer, &out->type, elements, count, err);
        return out->data ? 0 : -1;
    }
    struct dim *partial = ARENA_ARRAY(infer->arena, struct dim, count);
    if (!partial)
        return err_set(err, ERR_NO_MEMORY, "no memory for a partly known value");
    for (size_t i = 0; i < count; i++)
        partial[i] = elements[i];
    out->partial = partial;
    return 0;
}

void content_keep(const struct fact *in, struct fact *out) {
    uint64_t before, after;
    if (!in->data && in->partial && content_count(in, &before) && content_count(out, &after) &&
        before == after)
        out->partial = in->partial;
}

int content_fresh(struct op_infer *infer, struct dim *ret, struct err *err) {
    uint32_t symbol = symbols_get(infer->symbols, NULL);
    if (!symbol)
        return err_set(err, ERR_NO_MEMORY, "no memory for a symbol");
    *ret = (struct dim){.size = -1, .symbol = symbol};
    return 0;
}

int content_ranked(struct op_infer *infer, struct type *type, uint64_t rank, struct err *err) {
    if (rank > LIMIT_RANK)
        return op_fail(infer->node, err, "a rank of %llu is above the limit of %d",
                       (unsigned long long)rank, LIMIT_RANK);
    type->ranked = true;
    type->rank = (unsigned)rank;
    for (unsigned i = 0; i < rank; i++)
        if (content_fresh(infer, &type->dims[i], err) != 0)
            return -1;
    return 0;
}

int content_product(struct op_infer *infer, const struct dim *dims, size_t count, struct dim *ret,
                    struct err *err) {
    int64_t product = 1;
    struct dim symbol = DIM(1);
    size_t symbols = 0;
    for (size_t i = 0; i < count; i++) {
        if (!dim_known(dims[i])) {
            symbol = dims[i];
            symbols++;
        } else if (__builtin_mul_overflow(product, dims[i].size, &product)) {
            return op_fail(infer->node, err, "a product of dimensions is too large");
        }
    }
    if (symbols == 0 || product == 0)
        *ret = DIM(product);
    else if (symbols == 1 && product == 1)
        *ret = symbol;
    else
        return content_fresh(infer, ret, err);
    return 0;
}

int content_sum(struct op_infer *infer, struct dim a, struct dim b, struct dim *ret,
                struct err *err) {
    int64_t sum;
    if (dim_known(a) && dim_known(b)) {
        if (__builtin_add_overflow(a.size, b.size, &sum))
            return op_fail(infer->node, err, "a sum of dimensions is too large");
        *ret = DIM(sum);
    } else if (dim_known(a) && a.size == 0) {
        *ret = b;
    } else if (dim_known(b) && b.size == 0) {
        *ret = a;
    } else {
        return content_fresh(infer, ret, err);
    }
    return 0;
}

int content_agree(const struct op_infer *infer, struct dim a, struct dim b, const char *what,
                  struct dim *ret, struct err *err) {
    if (dim_known(a) && dim_known(b) && a.size != b.size)
        return op_fail(infer->node, err, "%s do not agree: %lld and %lld", what, (long long)a.size,
                       (long long)b.size);
    *ret = dim_known(b) ? b : a;
    return 0;
}

int content_need(const struct op_infer *infer, size_t count, struct err *err) {
    for (size_t i = 0; i < count; i++)
        if (i >= infer->node->in_count || !infer->in[i])
            return op_fail(infer->node, err, "input %zu is not given", i);
    return 0;
}

int content_rank(const struct op_infer *infer, const struct type *type, unsigned rank,
                 const char *what, struct err *err) {
    if (type->ranked && type->rank != rank)
        return op_fail(infer->node, err, "%s has %u dimensions, not %u", what, type->rank, rank);
    return 0;
}

int(content_refuse)(const struct node *node, struct err *err, const char *format, ...) {
    char who[160], text[320];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(err, ERR_BAD_FIELD, "%s: %s", node_describe(node, who, sizeof who), text);
}

int content_fits(const struct node *node, uint64_t elements, const struct array *out,
                 struct err *err) {
    if (out->elements != elements)
        return content_refuse(node, err, "makes %llu elements, where the graph has room for %llu",
                              (unsigned long long)elements, (unsigned long long)out->elements);
    return 0;
}

int content_shaped(const struct node *node, unsigned rank, const uint64_t *dims,
                   const struct array *out, struct err *err) {
    bool same = out->rank == rank;
    for (unsigned i = 0; same && i < rank; i++)
        same = out->dims[i] == dims[i];
    if (same)
        return 0;
    char text[128];
    return content_refuse(node, err, "makes another shape than %s, which the graph has room for",
                          array_describe(out, text, sizeof text));
}

/* ---- cutting ---- */

int content_replace(struct node *node, size_t slot, const int64_t *values, size_t count,
                    struct err *err) {
    enum dtype dtype = node->in[slot]->type.dtype == DTYPE_I32 ? DTYPE_I32 : DTYPE_I64;
    uint64_t dims[] = {count};
    struct array *array = array_in_arena(node->graph->arena, dtype, 1, dims);
    struct value *value;
    if (!array)
        return err_set(err, ERR_NO_MEMORY, "no memory for a constant");
    for (size_t i = 0; i < count; i++)
        if (dtype == DTYPE_I32)
            ((int32_t *)array->data)[i] = (int32_t)values[i];
        else
            ((int64_t *)array->data)[i] = values[i];
    if (graph_add_constant(node->graph, NULL, array, &value, err) < 0 ||
        graph_set_input(node, slot, value, err) < 0)
        return -1;
    return graph_node_changed(node, err);
}

int content_set_int(struct node *node, const char *name, int64_t value, struct err *err) {
    struct attr attr = {.name = name, .kind = ATTR_INT, .i = value};
    return graph_set_attr(node, &attr, err);
}
