/*
 * Small ONNX models for tests: protobuf fields by hand, and on top of them a graph from lines of
 * text. Nothing is checked, so that everything can be wrong.
 *
 *   input x f32[batch,4]         output y f32[batch,3]      info t f32[batch,3]
 *   weight w f32[4,3]            an initializer with a fixed pattern, raw_data
 *   floats k 1 2.5               initializers by value: f32[2]
 *   ints s 0 3                   i64[2]
 *   int n 3                      i64[]
 *   MatMul x w -> t              a node; "com.x.Op" has a domain, "-" is an input that is not given
 *   Softmax t -> y axis=1        attributes: 1 int, 1.5 float, 1,0 ints ("1," one), word string,
 *                                @a the function's float attribute a, @@a an int
 *   MatMul x w -> t #up          the node's name
 *
 * The pattern: element i is (i * 37 % 101 - 50) / 64.
 *
 * Owns: what the bytebufs own. A failed line ends the test program.
 */
#ifndef TESTS_SUPPORT_TINYONNX_H
#define TESTS_SUPPORT_TINYONNX_H

#include "compress/base/err.h"
#include "tests/support/bytebuf.h"
#include "tests/support/memfiles.h"

#include <stddef.h>
#include <stdint.h>

struct model;

/* ---- fields ---- */

void tinyonnx_varint(struct bytebuf *b, uint32_t field, uint64_t value);
void tinyonnx_fixed32(struct bytebuf *b, uint32_t field, float value);
void tinyonnx_bytes(struct bytebuf *b, uint32_t field, const void *data, size_t len);
void tinyonnx_text(struct bytebuf *b, uint32_t field, const char *text);
/* Frees the child. */
void tinyonnx_message(struct bytebuf *b, uint32_t field, struct bytebuf *child);

/* ---- messages ---- */

/* A TensorProto's name, type (TensorProto.DataType) and dimensions ("4,3" or ""); the data are the
 * caller's to append. */
void tinyonnx_tensor(struct bytebuf *tensor, const char *name, int type, const char *dims);
float tinyonnx_pattern(size_t i);
/* Lines of a graph, as above. */
void tinyonnx_graph(struct bytebuf *graph, const char *lines);
/* A NodeProto as in a line. */
void tinyonnx_node(struct bytebuf *node, const char *line);
/* An attribute with a body. */
void tinyonnx_body(struct bytebuf *node, const char *name, const char *lines);
/* A function of the model: "d.F a b -> y", then lines of nodes. Its operator set is 17. */
void tinyonnx_function(struct bytebuf *model, const char *head, const char *lines);
void tinyonnx_opset(struct bytebuf *model, uint32_t field, const char *domain, uint64_t version);
/* ir_version, opset and the graph, which is freed. */
void tinyonnx_model(struct bytebuf *model, uint64_t ir_version, uint64_t opset,
                    struct bytebuf *graph);
/* All at once, IR version 8. */
void tinyonnx_lines(struct bytebuf *model, uint64_t opset, const char *lines);

/* ---- opened ---- */

struct tinyonnx {
    struct memfiles files;
    struct resolver *resolver;
    struct model *model;
};

/* As the lone file m.onnx; frees the bytes. -1 with err set: there is nothing to close. */
int tinyonnx_open(struct tinyonnx *t, struct bytebuf *model, struct err *err);
/* The files that t->files holds, which go on failure. */
int tinyonnx_open_files(struct tinyonnx *t, struct err *err);
void tinyonnx_close(struct tinyonnx *t);
/* What the model would be written as: a layout with all defaults, emitted. Ends the test on
 * failure. limit_bytes 0: the usual one. */
void tinyonnx_write(const struct tinyonnx *t, uint64_t limit_bytes, struct memfiles *ret);

#endif
