/* Reading weights in chunks: the same numbers whatever the chunks, and no trust in part sizes. */
#include "compress/base/bytes.h"
#include "compress/codecs/codec.h"
#include "compress/graph/tensor_reader.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 24, COLS = 64 };

struct fixture {
    struct memfiles m;
    struct resolver *files;
    struct model *model;
    struct tensor tensor;
    float want[ROWS * COLS];
};

/* A matrix under an encoding, its parts one behind the other in one file behind 3 bytes. */
static void build(struct fixture *f, struct encoding e) {
    struct err err = ERR_INIT;
    *f = (struct fixture){.tensor = {.name = "w", .component = "", .rank = 2, .stored = e}};
    f->tensor.dims[0] = ROWS;
    f->tensor.dims[1] = COLS;
    f->tensor.elements = ROWS * COLS;
    float x[ROWS * COLS];
    for (size_t i = 0; i < ROWS * COLS; i++)
        x[i] = (float)((double)(i * 2654435761u % 2001) / 1000 - 1);
    struct encoded_size size = encoding_size(&e, ROWS, COLS);
    char *file = calloc(1, 3 + size.data_bytes + size.scale_bytes + size.zero_point_bytes);
    char *data = file + 3, *scale = data + size.data_bytes, *zero = scale + size.scale_bytes;
    struct encode_options options = {0};
    struct encode_stats stats = {0};
    struct value_range range = codec_value_range(x, ROWS * COLS);
    codec_encode(&e, &options, 0, ROWS, COLS, x, &range, data, size.scale_bytes ? scale : NULL,
                 size.zero_point_bytes ? zero : NULL, &stats);
    codec_decode(&e, 0, ROWS, COLS, data, size.scale_bytes ? scale : NULL,
                 size.zero_point_bytes ? zero : NULL, f->want);
    const uint64_t lengths[] = {size.data_bytes, size.scale_bytes, size.zero_point_bytes};
    uint64_t at = 3;
    for (size_t i = 0; i < 3; at += lengths[i++])
        if (lengths[i])
            f->tensor.parts[i] = (struct part){"part", DTYPE_U8, 0, at, lengths[i]};
    memfiles_add(&f->m, "file", file, at);
    free(file);
    f->files = memfiles_resolver(&f->m);
    f->model = model_new(f->files);
    uint32_t index;
    CHECK_OK(model_add_file(f->model, 0, &index, &err), &err);
}

static void drop(struct fixture *f) {
    model_free(f->model);
    resolver_close(f->files);
    memfiles_free(&f->m);
}

static void chunks_agree(void **state) {
    const struct codec *int4 = codec_by_name("int4"), *int8 = codec_by_name("int8");
    const struct encoding encodings[] = {
        encoding_plain(DTYPE_BF16),
        {.codec = int4,
         .granularity = GRANULARITY_GROUP,
         .group_len = 32,
         .packing = PACKING_WORDS,
         .scale_dtype = DTYPE_F16},
        {.codec = int8,
         .granularity = GRANULARITY_CHANNEL,
         .symmetric = true,
         .packing = PACKING_BYTES,
         .scale_dtype = DTYPE_F32},
        {.codec = codec_by_name("fp8_e4m3"),
         .granularity = GRANULARITY_TENSOR,
         .symmetric = true,
         .scale_dtype = DTYPE_BF16},
        {.codec = codec_by_name("q4_1")},
    };
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++) {
        struct fixture f;
        struct err err = ERR_INIT;
        build(&f, encodings[i]);
        struct tensor_reader *reader = NULL;
        CHECK_OK(tensor_reader_open(f.model, &f.tensor, false, &reader, &err), &err);
        uint64_t row_bytes = tensor_reader_row_bytes(reader);
        CHECK_UINT(row_bytes, encoding_size(&encodings[i], ROWS, COLS).row_bytes);
        void *raw = malloc(ROWS * row_bytes);
        float got[ROWS * COLS];
        for (uint64_t step = 8; step <= ROWS; step += 8) {
            memset(got, 0, sizeof got);
            for (uint64_t row = 0; row < ROWS; row += step) {
                uint64_t rows = ROWS - row < step ? ROWS - row : step;
                CHECK_OK(tensor_reader_rows(reader, row, rows, raw, got + row * COLS, &err), &err);
                tensor_reader_done(reader, row + rows);
            }
            CHECK_BYTES(got, f.want, sizeof got);
        }
        memset(got, 0, sizeof got);
        CHECK_OK(tensor_reader_elements(reader, 0, ROWS * COLS, raw, got, &err), &err);
        CHECK_BYTES(got, f.want, sizeof got);
        if (i == 0) { /* plain numbers: any elements */
            CHECK_OK(tensor_reader_elements(reader, COLS + 5, 2 * COLS - 1, raw, got, &err), &err);
            CHECK_BYTES(got, f.want + COLS + 5, (2 * COLS - 1) * sizeof *got);
            CHECK_FAILS(tensor_reader_elements(reader, 1, ROWS * COLS, raw, got, &err), &err,
                        ERR_BUG);
        } else {
            CHECK_FAILS(tensor_reader_elements(reader, 5, COLS, raw, got, &err), &err, ERR_BUG);
        }
        tensor_reader_done(reader, 1000);
        CHECK_FAILS(tensor_reader_rows(reader, ROWS, 1, raw, got, &err), &err, ERR_BUG);
        CHECK_FAILS(tensor_reader_rows(reader, 1, UINT64_MAX, raw, got, &err), &err, ERR_BUG);
        tensor_reader_close(reader);
        /* from the other side */
        CHECK_OK(tensor_reader_open(f.model, &f.tensor, true, &reader, &err), &err);
        CHECK_UINT(tensor_reader_memory_bytes(&f.tensor, true) > ROWS * COLS * sizeof(float), 1);
        CHECK_OK(tensor_reader_elements(reader, 0, ROWS * COLS, NULL, got, &err), &err);
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLS; c++)
                CHECK_NUM(got[c * ROWS + r], f.want[r * COLS + c], 0);
        CHECK_OK(tensor_reader_elements(reader, 7, 5, NULL, got + 1, &err), &err);
        CHECK_NUM(got[1], f.want[7 % ROWS * COLS + 7 / ROWS], 0);
        CHECK_FAILS(tensor_reader_elements(reader, 1, ROWS * COLS, NULL, got, &err), &err, ERR_BUG);
        free(raw);
        tensor_reader_close(reader);
        drop(&f);
    }
    tensor_reader_close(NULL);
}

static void wrong_parts_are_refused(void **state) {
    struct fixture f;
    struct err err = ERR_INIT;
    build(&f, (struct encoding){.codec = codec_by_name("int4"),
                                .granularity = GRANULARITY_GROUP,
                                .group_len = 32,
                                .packing = PACKING_WORDS,
                                .scale_dtype = DTYPE_F16});
    struct tensor_reader *reader = NULL;
    struct part good[PART_KINDS];
    memcpy(good, f.tensor.parts, sizeof good);
    for (int part = PART_DATA; part <= PART_ZERO_POINT; part++) {
        f.tensor.parts[part].bytes--;
        CHECK(tensor_reader_open(f.model, &f.tensor, false, &reader, &err) < 0);
        CHECK_INT(err.code, ERR_BAD_MODEL);
        CHECK_TEXT(err.tensor, "w");
        CHECK_TEXT(err.file, "file");
        err_clear(&err);
        f.tensor.parts[part] = good[part];
        f.tensor.parts[part].offset = UINT64_MAX - 3;
        CHECK_FAILS(tensor_reader_open(f.model, &f.tensor, false, &reader, &err), &err,
                    ERR_BAD_MODEL);
        f.tensor.parts[part].offset = 1 << 20;
        CHECK_FAILS(tensor_reader_open(f.model, &f.tensor, false, &reader, &err), &err,
                    ERR_BAD_MODEL);
        f.tensor.parts[part] = (struct part){0};
        CHECK_FAILS(tensor_reader_open(f.model, &f.tensor, false, &reader, &err), &err, ERR_BUG);
        f.tensor.parts[part] = good[part];
        f.tensor.parts[part].file = 7;
        CHECK_FAILS(tensor_reader_open(f.model, &f.tensor, false, &reader, &err), &err, ERR_BUG);
        f.tensor.parts[part] = good[part];
    }
    CHECK_OK(tensor_reader_open(f.model, &f.tensor, false, &reader, &err), &err);
    tensor_reader_close(reader);
    drop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_agree),
        cmocka_unit_test(wrong_parts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
