/*
 * Rows of a stored tensor as f32: how passes, the writer and verification see weights.
 *
 * A reader keeps the small parts (scales, zero points) of one tensor in memory, so open one per
 * tensor; DATA is read in chunks of rows through source_read() and never kept – unless the tensor
 * is asked for from its other side: then it is decoded and transposed at open, and served from
 * memory. Owns: the small parts. Borrows: model and tensor. Threads: tensor_reader_rows() from as
 * many as you like, the rest from one.
 */
#ifndef COMPRESS_GRAPH_TENSOR_READER_H
#define COMPRESS_GRAPH_TENSOR_READER_H

#include "compress/graph/model.h"

struct tensor_reader;

/* transposed: rows and elements are those of the transposed tensor (2-D alone). */
int tensor_reader_open(const struct model *model, const struct tensor *tensor, bool transposed,
                       struct tensor_reader **ret, struct err *err);
/* What an open reader holds. */
uint64_t tensor_reader_memory_bytes(const struct tensor *tensor, bool transposed);

/* Rows [row0, row0+rows) of the matrix view of the stored encoding, from its own side only. Chunks
 * start at a multiple of codec_row_multiple(&tensor->stored). ret: [rows, cols] f32. raw: scratch
 * of at least rows * tensor_reader_row_bytes(). */
int tensor_reader_rows(struct tensor_reader *reader, uint64_t row0, uint64_t rows, void *raw,
                       float *ret, struct err *err);
/* The same by flat index: elements [first, first+count), whole rows of the stored encoding; any
 * elements at all where it is plain numbers, which nothing ties into rows. raw then holds the
 * stored bytes of just these elements. */
int tensor_reader_elements(struct tensor_reader *reader, uint64_t first, uint64_t count, void *raw,
                           float *ret, struct err *err);
/* Bytes of one stored row of DATA. */
uint64_t tensor_reader_row_bytes(const struct tensor_reader *reader);
/* Says that rows up to here will not be read again (drops them from the page cache). */
void tensor_reader_done(struct tensor_reader *reader, uint64_t rows);
void tensor_reader_close(struct tensor_reader *reader); /* NULL is fine */

#endif
