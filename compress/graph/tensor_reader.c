/*
 * Reading weights: the small parts once, DATA in chunks of rows.
 *
 * Formats have checked at open that every part has the size its encoding prescribes; it is checked
 * here again, because a decoder that trusts a wrong size reads out of bounds.
 */
#include "compress/graph/tensor_reader.h"

#include "compress/base/bytes.h"
#include "compress/base/counters.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct tensor_reader {
    const struct tensor *tensor;
    struct source *source; /* of DATA */
    uint64_t rows, cols;
    uint64_t row_bytes;
    void *scale;
    void *zero_point;
    float *turned; /* the whole tensor, transposed, when that was asked for; else NULL */
    _Atomic uint64_t done_rows;
};

static int check_part(const struct model *model, const struct tensor *tensor, enum part_kind kind,
                      uint64_t want, struct err *err);
static int load_part(const struct model *model, const struct tensor *tensor, enum part_kind kind,
                     uint64_t want, void **ret, struct err *err);

static int turn(struct tensor_reader *reader, struct err *err);

int tensor_reader_open(const struct model *model, const struct tensor *tensor, bool transposed,
                       struct tensor_reader **ret, struct err *err) {
    uint64_t rows, cols;
    tensor_matrix(tensor, &tensor->stored, &rows, &cols);
    struct encoded_size size = encoding_size(&tensor->stored, rows, cols);
    struct tensor_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return err_set(err, ERR_NO_MEMORY, "no memory to read a tensor");
    reader->tensor = tensor;
    reader->rows = rows;
    reader->cols = cols;
    reader->row_bytes = size.row_bytes;
    if (check_part(model, tensor, PART_DATA, size.data_bytes, err) < 0 ||
        load_part(model, tensor, PART_SCALE, size.scale_bytes, &reader->scale, err) < 0 ||
        load_part(model, tensor, PART_ZERO_POINT, size.zero_point_bytes, &reader->zero_point, err) <
            0) {
        tensor_reader_close(reader);
        return err_at_tensor(err, tensor->name);
    }
    reader->source = model->files[tensor->parts[PART_DATA].file].source;
    if (transposed != tensor->stored.transposed && turn(reader, err) < 0) {
        tensor_reader_close(reader);
        return err_at_tensor(err, tensor->name);
    }
    *ret = reader;
    return 0;
}

/* Strips of rows that stay in the L2 cache while they are scattered. */
enum { STRIP_ROWS = 16 };

static int turn(struct tensor_reader *reader, struct err *err) {
    uint64_t rows = reader->rows, cols = reader->cols;
    uint64_t strip = STRIP_ROWS * codec_row_multiple(&reader->tensor->stored);
    if (reader->tensor->rank != 2)
        return err_set(err, ERR_BUG, "a tensor of rank %u has no other side", reader->tensor->rank);
    float *turned = malloc((size_t)(rows * cols) * sizeof *turned + 1);
    float *values = malloc((size_t)(strip * cols) * sizeof *values + 1);
    void *raw = malloc((size_t)(strip * reader->row_bytes) + 1);
    int result = turned && values && raw
                     ? 0
                     : err_set(err, ERR_NO_MEMORY, "no memory to transpose a tensor");
    for (uint64_t row0 = 0; result == 0 && row0 < rows; row0 += strip) {
        uint64_t n = rows - row0 < strip ? rows - row0 : strip;
        result = tensor_reader_rows(reader, row0, n, raw, values, err);
        for (uint64_t c = 0; result == 0 && c < cols; c++)
            for (uint64_t r = 0; r < n; r++)
                turned[c * rows + row0 + r] = values[r * cols + c];
    }
    free(values);
    free(raw);
    if (result < 0) {
        free(turned);
        return -1;
    }
    reader->turned = turned;
    return 0;
}

uint64_t tensor_reader_memory_bytes(const struct tensor *tensor, bool transposed) {
    uint64_t small = tensor->parts[PART_SCALE].bytes + tensor->parts[PART_ZERO_POINT].bytes;
    if (transposed == tensor->stored.transposed)
        return small;
    uint64_t rows, cols;
    tensor_matrix(tensor, &tensor->stored, &rows, &cols);
    uint64_t strip = STRIP_ROWS * codec_row_multiple(&tensor->stored);
    return small + tensor->elements * sizeof(float) +
           strip * (cols * sizeof(float) + encoding_size(&tensor->stored, 1, cols).row_bytes);
}

int tensor_reader_rows(struct tensor_reader *reader, uint64_t row0, uint64_t rows, void *raw,
                       float *ret, struct err *err) {
    if (row0 > reader->rows || rows > reader->rows - row0)
        return err_set(err, ERR_BUG, "rows %" PRIu64 "+%" PRIu64 " of %" PRIu64 " were asked for",
                       row0, rows, reader->rows);
    const struct part *data = &reader->tensor->parts[PART_DATA];
    uint64_t bytes = rows * reader->row_bytes; /* within DATA, whose size was checked */
    if (source_read(reader->source, data->offset + row0 * reader->row_bytes, raw, (size_t)bytes,
                    err) < 0)
        return err_at_tensor(err, reader->tensor->name);
    counter_add(COUNTER_MODEL_BYTES_READ, (int64_t)bytes);
    codec_decode(&reader->tensor->stored, row0, rows, reader->cols, raw, reader->scale,
                 reader->zero_point, ret);
    return 0;
}

int tensor_reader_elements(struct tensor_reader *reader, uint64_t first, uint64_t count, void *raw,
                           float *ret, struct err *err) {
    const struct tensor *tensor = reader->tensor;
    if (reader->turned) {
        if (first > tensor->elements || count > tensor->elements - first)
            return err_set(err, ERR_BUG, "elements %" PRIu64 "+%" PRIu64 " were asked for", first,
                           count);
        memcpy(ret, reader->turned + first, (size_t)count * sizeof *ret);
        return 0;
    }
    if (tensor->stored.codec->family != CODEC_PLAIN) {
        if (first % reader->cols || count % reader->cols)
            return err_set(err, ERR_BUG, "elements %" PRIu64 "+%" PRIu64 " are not whole rows",
                           first, count);
        return tensor_reader_rows(reader, first / reader->cols, count / reader->cols, raw, ret,
                                  err);
    }
    if (first > tensor->elements || count > tensor->elements - first)
        return err_set(err, ERR_BUG, "elements %" PRIu64 "+%" PRIu64 " were asked for", first,
                       count);
    unsigned each = dtype_row(tensor->stored.dtype)->bytes;
    uint64_t bytes = count * each;
    if (source_read(reader->source, tensor->parts[PART_DATA].offset + first * each, raw,
                    (size_t)bytes, err) < 0)
        return err_at_tensor(err, tensor->name);
    counter_add(COUNTER_MODEL_BYTES_READ, (int64_t)bytes);
    codec_decode(&tensor->stored, 0, 1, count, raw, NULL, NULL, ret);
    return 0;
}

uint64_t tensor_reader_row_bytes(const struct tensor_reader *reader) {
    return reader->row_bytes;
}

void tensor_reader_done(struct tensor_reader *reader, uint64_t rows) {
    if (rows > reader->rows)
        rows = reader->rows;
    uint64_t before = atomic_load(&reader->done_rows);
    while (before < rows && !atomic_compare_exchange_weak(&reader->done_rows, &before, rows))
        ;
    if (before < rows)
        source_done(reader->source,
                    reader->tensor->parts[PART_DATA].offset + before * reader->row_bytes,
                    (rows - before) * reader->row_bytes);
}

void tensor_reader_close(struct tensor_reader *reader) {
    if (!reader)
        return;
    free(reader->turned);
    free(reader->scale);
    free(reader->zero_point);
    free(reader);
}

static int check_part(const struct model *model, const struct tensor *tensor, enum part_kind kind,
                      uint64_t want, struct err *err) {
    const struct part *part = &tensor->parts[kind];
    uint64_t end;
    if (!part->name || part->file >= model->file_count || !model->files[part->file].source)
        return err_set(err, ERR_BUG, "a part of the tensor was not found at open");
    if (part->bytes != want || !add_u64(part->offset, part->bytes, &end) ||
        end > model->files[part->file].source->bytes) {
        err_set(err, ERR_BAD_MODEL, "%s has %" PRIu64 " bytes, its encoding needs %" PRIu64,
                part->name, part->bytes, want);
        return err_at_file(err, model->files[part->file].path, part->offset);
    }
    return 0;
}

static int load_part(const struct model *model, const struct tensor *tensor, enum part_kind kind,
                     uint64_t want, void **ret, struct err *err) {
    if (want == 0)
        return 0;
    if (check_part(model, tensor, kind, want, err) < 0)
        return -1;
    const struct part *part = &tensor->parts[kind];
    void *bytes = malloc((size_t)want);
    if (!bytes)
        return err_set(err, ERR_NO_MEMORY, "no memory for %s (%" PRIu64 " bytes)", part->name,
                       want);
    if (source_read(model->files[part->file].source, part->offset, bytes, (size_t)want, err) < 0) {
        free(bytes);
        return -1;
    }
    *ret = bytes;
    return 0;
}
