/* See indices.h. */
#include "compress/graph/indices.h"

#include "compress/base/arena.h"

#include <string.h>

int indices_parse(const struct node *node, struct arena *arena, void **ret_params,
                  struct err *err) {
    static const struct {
        const char *name;
        enum reduction how;
        int since;
    } reductions[] = {{"none", REDUCTION_NONE, 1},
                      {"add", REDUCTION_ADD, 16},
                      {"mul", REDUCTION_MUL, 16},
                      {"max", REDUCTION_MAX, 18},
                      {"min", REDUCTION_MIN, 18}};
    const char *name = node_string(node, "reduction", "none");
    enum reduction *how = ARENA_NEW(arena, enum reduction);
    if (!how)
        return err_set(err, ERR_NO_MEMORY, "no memory for an operator");
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++)
        if (strcmp(reductions[i].name, name) == 0 && node->version >= reductions[i].since) {
            *how = reductions[i].how;
            *ret_params = how;
            return 0;
        }
    return op_fail(node, err, "reduction is '%.20s'", name);
}

static double combine(enum reduction how, double a, double b) {
    if (how == REDUCTION_ADD)
        return a + b;
    if (how == REDUCTION_MUL)
        return a * b;
    if (how == REDUCTION_MAX)
        return a != a || a > b ? a : b;
    return a != a || a < b ? a : b;
}

static int64_t combine_int(enum reduction how, int64_t a, int64_t b) {
    if (how == REDUCTION_ADD)
        return (int64_t)((uint64_t)a + (uint64_t)b);
    if (how == REDUCTION_MUL)
        return (int64_t)((uint64_t)a * (uint64_t)b);
    return (how == REDUCTION_MAX) == (a > b) ? a : b;
}

/* Reductions of one element; types without a case of their own go through doubles. */
int indices_reduce(enum dtype dtype, enum reduction how, const void *from, void *to,
                   struct err *err) {
    if (dtype == DTYPE_F32) {
        const real *b = from;
        real *a = to;
        *a = (real)combine(how, (double)*a, (double)*b);
        return 0;
    }
    if (dtype == DTYPE_I64) {
        *(int64_t *)to = combine_int(how, *(int64_t *)to, *(const int64_t *)from);
        return 0;
    }
    double sum, b;
    struct array one = {.dtype = DTYPE_F64, .elements = 1, .data = &b};
    struct array place = {.dtype = dtype, .elements = 1, .data = to};
    struct array item = place;
    uint64_t copy[2];
    memcpy(copy, from, array_item_bytes(dtype));
    item.data = copy;
    b = array_number(&item, 0);
    sum = combine(how, array_number(&place, 0), b);
    one.data = &sum;
    return array_convert(&one, &place, false, err);
}
