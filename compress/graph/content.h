/*
 * Contents that inference follows: small integer vectors, of which some elements are only symbols.
 *
 * What the rows of shape arithmetic share: reading a fact's elements, making the facts of outputs,
 * and arithmetic on dimensions that keeps symbols as long as it can.
 *
 * Threads: as the arena and symbols of the inference. Expected failures: ERR_NO_MEMORY.
 */
#ifndef COMPRESS_GRAPH_CONTENT_H
#define COMPRESS_GRAPH_CONTENT_H

#include "compress/graph/op.h"

/* Elements of a vector that is followed symbolically: shapes have 8, tables of them some more. */
enum { CONTENT_MAX = 256 };

/* Number of elements of a fact; false when its type does not say. */
bool content_count(const struct fact *fact, uint64_t *ret);
/* The elements themselves, when there are at most cap and something is known of each. fact may be
 * NULL. */
bool content_read(const struct fact *fact, struct dim *ret, size_t cap, size_t *ret_count);
/* The same when all are numbers. */
bool content_ints(const struct fact *fact, int64_t *ret, size_t cap, size_t *ret_count);
/* The content of a fact whose type is set and known: `data` when all elements are numbers, else
 * `partial`. More than CONTENT_MAX elements, or a type that is no integer: nothing is set. */
int content_set(struct op_infer *infer, struct fact *out, const struct dim *elements, size_t count,
                struct err *err);
/* out holds what `in` holds, element by element, under another shape (already set). */
void content_keep(const struct fact *in, struct fact *out);

/* A dimension nobody knows. */
int content_fresh(struct op_infer *infer, struct dim *ret, struct err *err);
/* Sets `type` to a rank of unknown dimensions. */
int content_ranked(struct op_infer *infer, struct type *type, uint64_t rank, struct err *err);
/* Product of dimensions: a number, one symbol times 1, 0 times anything, or a fresh symbol. */
int content_product(struct op_infer *infer, const struct dim *dims, size_t count, struct dim *ret,
                    struct err *err);
/* a + b; a symbol unless both are numbers or one is 0. */
int content_sum(struct op_infer *infer, struct dim a, struct dim b, struct dim *ret,
                struct err *err);
/* Fails, naming the node, when a known a and b differ; *ret (may be a or b) is the better known. */
int content_agree(const struct op_infer *infer, struct dim a, struct dim b, const char *what,
                  struct dim *ret, struct err *err);

/* ERR_BAD_MODEL unless inputs 0 .. count-1 are given. */
int content_need(const struct op_infer *infer, size_t count, struct err *err);
/* ERR_BAD_MODEL when the type is ranked otherwise. */
int content_rank(const struct op_infer *infer, const struct type *type, unsigned rank,
                 const char *what, struct err *err);

/* While running. ERR_BAD_FIELD, "Gather 'x': <text>": what the data says cannot be done. */
int content_refuse(const struct node *node, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define content_refuse(...) (content_refuse(__VA_ARGS__), err_failed()) /* see base/err.h */
/* Refuses unless out has that many elements: its shape is the file's word where inference could not
 * know better. */
int content_fits(const struct node *node, uint64_t elements, const struct array *out,
                 struct err *err);
/* The same for every dimension. */
int content_shaped(const struct node *node, unsigned rank, const uint64_t *dims,
                   const struct array *out, struct err *err);

/* ---- cutting ---- */

/* Gives input `slot` a constant of its own, a vector of its old type. */
int content_replace(struct node *node, size_t slot, const int64_t *values, size_t count,
                    struct err *err);
/* Sets an integer attribute. */
int content_set_int(struct node *node, const char *name, int64_t value, struct err *err);

#endif
