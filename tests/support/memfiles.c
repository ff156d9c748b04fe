/* See the header. The writer is on purpose not the project's own. */
#include "tests/support/memfiles.h"

#include "compress/base/bytes.h"
#include "compress/base/jbuf.h"
#include "compress/codecs/codec.h"
#include "compress/graph/tensor_reader.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void encode(const struct model *model, const struct tensor *t, enum part_kind part, char *to,
                   uint64_t bytes);

void memfiles_free(struct memfiles *m) {
    for (size_t i = 0; i < m->count; i++) {
        free(m->data[i]);
        free((void *)(uintptr_t)m->files[i].path);
    }
    *m = (struct memfiles){0};
}

void memfiles_add(struct memfiles *m, const char *path, const void *data, size_t len) {
    CHECK(m->count < MEMFILES_MAX);
    char *copy = malloc(len + 1); /* exactly as long, so that a sanitizer sees a read too far */
    char *name = strdup(path);
    CHECK(copy && name);
    if (len)
        memcpy(copy, data, len);
    copy[len] = 0;
    m->files[m->count] = (struct resolver_file){name, len};
    m->data[m->count++] = copy;
}

void memfiles_text(struct memfiles *m, const char *path, const char *text) {
    memfiles_add(m, path, text, strlen(text));
}

void memfiles_tensors(struct memfiles *m, const char *path, const char *header, const void *data,
                      size_t len) {
    size_t json = strlen(header), padded = (json + 7) / 8 * 8;
    char *file = malloc(8 + padded + len);
    CHECK(file);
    store_u64(file, padded);
    memcpy(file + 8, header, json);
    memset(file + 8 + json, ' ', padded - json);
    if (len)
        memcpy(file + 8 + padded, data, len);
    memfiles_add(m, path, file, 8 + padded + len);
    free(file);
}

void memfiles_weights(struct memfiles *m, const char *path, const char *header, size_t len) {
    uint8_t *data = malloc(len + 2);
    CHECK(data);
    for (size_t i = 0; i + 1 < len + 1; i += 2) {
        /* bf16 and f16 alike: sign, a middling exponent, some fraction. */
        uint16_t bits = (uint16_t)((i * 2654435761u >> 7 & 0x83ff) | 0x3c00);
        store_u16(data + i, bits);
    }
    memfiles_tensors(m, path, header, data, len);
    free(data);
}

void memfiles_model(struct memfiles *m, const char *path, const char *lines, const char *notes) {
    struct jbuf b;
    uint64_t at = 0;
    jbuf_init(&b);
    jbuf_object(&b);
    if (notes)
        jbuf_kv_raw(&b, "__metadata__", notes);
    while (*lines) {
        char name[LIMIT_TENSOR_NAME_BYTES + 1], dtype[16], shape[100];
        int used = 0;
        CHECK(sscanf(lines, "%512s %15s %99s%n", name, dtype, shape, &used) == 3);
        lines += used;
        lines += strspn(lines, "\n ");
        enum dtype id = dtype_by_safetensors(dtype);
        CHECK(id != DTYPE_NONE);
        uint64_t bytes = dtype_row(id)->bytes;
        jbuf_key(&b, name);
        jbuf_object(&b);
        jbuf_kv_string(&b, "dtype", dtype);
        jbuf_key(&b, "shape");
        jbuf_array(&b);
        for (char *dim = strtok(shape, "x"); dim && strcmp(dim, "-") != 0;
             dim = strtok(NULL, "x")) {
            jbuf_uint(&b, strtoull(dim, NULL, 10));
            bytes *= strtoull(dim, NULL, 10);
        }
        jbuf_array_end(&b);
        jbuf_key(&b, "data_offsets");
        jbuf_array(&b);
        jbuf_uint(&b, at);
        jbuf_uint(&b, at += bytes);
        jbuf_array_end(&b);
        jbuf_object_end(&b);
    }
    jbuf_object_end(&b);
    char *header = jbuf_take(&b, NULL);
    CHECK(header);
    memfiles_weights(m, path, header, at);
    free(header);
}

const char *memfiles_get(const struct memfiles *m, const char *path, size_t *ret_len) {
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->files[i].path, path) == 0) {
            if (ret_len)
                *ret_len = (size_t)m->files[i].bytes;
            return m->data[i];
        }
    print_error("there is no file %s\n", path);
    CHECK(false);
    return NULL;
}

bool memfiles_has(const struct memfiles *m, const char *path) {
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->files[i].path, path) == 0)
            return true;
    return false;
}

struct resolver *memfiles_resolver(const struct memfiles *m) {
    struct resolver *resolver =
        resolver_over_memory(m->files, (const void *const *)m->data, m->count, m->lone);
    CHECK(resolver);
    return resolver;
}

void memfiles_emit(const struct model *model, const struct layout *layout, struct memfiles *ret) {
    struct err err = ERR_INIT;
    *ret = (struct memfiles){.lone = layout->lone};
    uint64_t total = 0;
    for (size_t f = 0; f < layout->count; f++) {
        const struct layout_file *file = &layout->files[f];
        char *bytes = calloc(1, file->bytes + 1);
        CHECK(bytes);
        uint64_t at = 0;
        for (size_t s = 0; s < file->count; s++) {
            const struct segment *segment = &file->segments[s];
            CHECK(segment->bytes <= file->bytes - at);
            if (segment->kind == SEGMENT_LITERAL)
                memcpy(bytes + at, segment->literal, segment->bytes);
            else if (segment->kind == SEGMENT_COPY) {
                struct source *source = NULL;
                CHECK_OK(model->resolver->ops->open(model->resolver, segment->resolver_index,
                                                    &source, &err),
                         &err);
                CHECK_OK(source_read(source, segment->offset, bytes + at, segment->bytes, &err),
                         &err);
                source_close(source);
            } else if (segment->kind == SEGMENT_PART)
                encode(model, segment->tensor, segment->part, bytes + at, segment->bytes);
            at += segment->bytes;
        }
        CHECK_UINT(at, file->bytes);
        total += at;
        memfiles_add(ret, file->path, bytes, at);
        free(bytes);
    }
    CHECK_UINT(total, layout->bytes);
}

/* Encodes the whole tensor and takes the one part that is asked for. */
static void encode(const struct model *model, const struct tensor *t, enum part_kind part, char *to,
                   uint64_t bytes) {
    struct err err = ERR_INIT;
    if (encoding_equal(&t->stored, &t->wanted)) {
        const struct part *p = &t->parts[part];
        CHECK_UINT(bytes, p->bytes);
        CHECK_OK(source_read(model->files[p->file].source, p->offset, to, p->bytes, &err), &err);
        return;
    }
    struct tensor_reader *reader = NULL;
    CHECK_OK(tensor_reader_open(model, t, t->wanted.transposed, &reader, &err), &err);
    uint64_t rows, cols;
    tensor_matrix(t, &t->stored, &rows, &cols);
    float *x = calloc(rows * cols + 1, sizeof *x);
    void *raw = malloc(rows * tensor_reader_row_bytes(reader) + 1);
    CHECK(x && raw);
    CHECK_OK(tensor_reader_elements(reader, 0, rows * cols, raw, x, &err), &err);
    tensor_reader_close(reader);
    free(raw);
    tensor_matrix(t, &t->wanted, &rows, &cols);
    struct encoded_size size = encoding_size(&t->wanted, rows, cols);
    char *data = calloc(1, size.data_bytes + 1);
    char *scale = calloc(1, size.scale_bytes + 1);
    char *zero_point = calloc(1, size.zero_point_bytes + 1);
    CHECK(data && scale && zero_point);
    struct encode_stats stats = {0};
    struct value_range *ranges = calloc(codec_range_count(&t->wanted, cols) + 1, sizeof *ranges);
    CHECK(ranges);
    if (codec_range_count(&t->wanted, cols))
        codec_find_ranges(&t->wanted, rows, cols, x, ranges);
    codec_encode(&t->wanted, &t->options, 0, rows, cols, x, ranges, data,
                 size.scale_bytes ? scale : NULL, size.zero_point_bytes ? zero_point : NULL,
                 &stats);
    CHECK_UINT(stats.non_finite, 0);
    free(ranges);
    const struct {
        const char *bytes;
        uint64_t len;
    } parts[] = {
        {data, size.data_bytes}, {scale, size.scale_bytes}, {zero_point, size.zero_point_bytes}};
    CHECK(part < 3);
    CHECK_UINT(bytes, parts[part].len);
    memcpy(to, parts[part].bytes, bytes);
    free(x);
    free(data);
    free(scale);
    free(zero_point);
}
