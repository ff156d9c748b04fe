/*
 * What is known about a value before anything runs: its type, and sometimes its content.
 *
 * A dimension is a number or a *symbol* ("batch", or one nobody named); equal symbols are equal
 * sizes. The same shape inference therefore works on a model as it was published, with symbols, and
 * on a binding to real inputs, where every dimension is a number.
 *
 * Content matters because exported models compute their shapes: Shape → Gather → Mul → Concat →
 * Reshape. `data` is a whole constant; `partial` are the elements of a small integer vector (or
 * scalar) of which some are only symbols. At most one of the two is set.
 */
#ifndef COMPRESS_GRAPH_FACT_H
#define COMPRESS_GRAPH_FACT_H

#include "compress/base/limits.h"
#include "compress/tensor/array.h"

struct dim {
    int64_t size;    /* >= 0 when symbol is 0, else -1 */
    uint32_t symbol; /* 0: the size is known; else an index into the graph's symbols */
};

#define DIM(n) ((struct dim){.size = (int64_t)(n), .symbol = 0})

struct type {
    enum dtype dtype; /* DTYPE_NONE: unknown */
    bool ranked;      /* rank and dims hold */
    unsigned rank;
    struct dim dims[LIMIT_RANK];
};

struct fact {
    struct type type;
    const struct array *data;
    const struct dim *partial; /* as many as the value has elements */
};

/* Symbols of one graph. Grows only. */
struct symbols {
    struct arena *arena;
    const char **names; /* [0] unused */
    size_t count;
    size_t capacity;
};

void symbols_init(struct symbols *symbols, struct arena *arena);
/* The symbol of that name, made when it is new; NULL or "": one that nobody else has. 0 when out of
 * memory. */
uint32_t symbols_get(struct symbols *symbols, const char *name);

static inline bool dim_known(struct dim d) {
    return d.symbol == 0;
}
static inline bool dim_same(struct dim a, struct dim b) {
    return a.symbol == b.symbol && (a.symbol != 0 || a.size == b.size);
}
/* All dimensions are numbers. */
bool type_known(const struct type *type);
/* A shape without data; false when type_known() is not. */
bool type_to_array(const struct type *type, struct array *ret);
struct type type_of_array(const struct array *array);
/* Element i of a known or partly known integer value; false when nothing is known. */
bool fact_element(const struct fact *fact, uint64_t i, struct dim *ret);
/* "f32[batch,3,224,224]", for messages. Returns text. */
const char *type_describe(const struct type *type, const struct symbols *symbols, char *text,
                          size_t cap);

#endif
