/* Types, symbols and what is known of contents. See fact.h. */
#include "compress/graph/fact.h"

#include "compress/base/arena.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void symbols_init(struct symbols *symbols, struct arena *arena) {
    *symbols = (struct symbols){.arena = arena};
}

uint32_t symbols_get(struct symbols *symbols, const char *name) {
    bool anonymous = !name || !*name;
    for (size_t i = 1; i < symbols->count && !anonymous; i++) /* a model has a handful */
        if (symbols->names[i] && strcmp(symbols->names[i], name) == 0)
            return (uint32_t)i;
    size_t want = symbols->count ? symbols->count + 1 : 2;
    if (want > UINT32_MAX)
        return 0;
    const char **names = arena_grow(symbols->arena, symbols->names, &symbols->capacity, want,
                                    sizeof *symbols->names);
    if (!names)
        return 0;
    symbols->names = names;
    const char *copy = anonymous ? NULL : arena_strdup(symbols->arena, name);
    if (!anonymous && !copy)
        return 0;
    names[want - 1] = copy;
    symbols->count = want;
    return (uint32_t)(want - 1);
}

bool type_known(const struct type *type) {
    if (type->dtype == DTYPE_NONE || !type->ranked)
        return false;
    for (unsigned d = 0; d < type->rank; d++)
        if (!dim_known(type->dims[d]))
            return false;
    return true;
}

bool type_to_array(const struct type *type, struct array *ret) {
    uint64_t dims[LIMIT_RANK];
    if (!type_known(type))
        return false;
    for (unsigned d = 0; d < type->rank; d++)
        dims[d] = (uint64_t)type->dims[d].size;
    return array_shape(ret, type->dtype, type->rank, dims, NULL) == 0;
}

struct type type_of_array(const struct array *array) {
    struct type type = {.dtype = array->dtype, .ranked = true, .rank = array->rank};
    for (unsigned d = 0; d < array->rank; d++)
        type.dims[d] = DIM(array->dims[d]);
    return type;
}

bool fact_element(const struct fact *fact, uint64_t i, struct dim *ret) {
    if (fact->data && i < fact->data->elements && !dtype_row(fact->data->dtype)->is_float) {
        *ret = DIM(array_int(fact->data, i));
        return true;
    }
    if (fact->partial && !fact->data) {
        *ret = fact->partial[i];
        return true;
    }
    return false;
}

const char *type_describe(const struct type *type, const struct symbols *symbols, char *text,
                          size_t cap) {
    size_t used =
        (size_t)snprintf(text, cap, "%s%s", type->dtype ? dtype_row(type->dtype)->name : "unknown",
                         type->ranked ? "[" : "");
    for (unsigned d = 0; type->ranked && d < type->rank && used < cap; d++) {
        const struct dim *dim = &type->dims[d];
        const char *name =
            symbols && dim->symbol < symbols->count ? symbols->names[dim->symbol] : NULL;
        if (dim_known(*dim))
            used +=
                (size_t)snprintf(text + used, cap - used, "%s%" PRId64, d ? "," : "", dim->size);
        else
            used +=
                (size_t)snprintf(text + used, cap - used, "%s%s", d ? "," : "", name ? name : "?");
    }
    if (type->ranked && used < cap)
        snprintf(text + used, cap - used, "]");
    return text;
}
