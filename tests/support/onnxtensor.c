/* See onnxtensor.h. */
#include "tests/support/onnxtensor.h"

#include "compress/base/arena.h"
#include "compress/base/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Fields of TensorProto. */
enum {
    DIMS = 1,
    DATA_TYPE = 2,
    FLOAT_DATA = 4,
    INT32_DATA = 5,
    INT64_DATA = 7,
    RAW_DATA = 9,
    DOUBLE_DATA = 10,
    UINT64_DATA = 11
};
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

struct field {
    uint64_t number, type, value; /* value: of a number */
    struct bytes content;         /* of BYTES */
};

static uint64_t varint(struct cursor *c) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        struct bytes b = cursor_take(c, 1);
        if (!b.at)
            break;
        value |= (uint64_t)(*b.at & 0x7f) << shift;
        if (!(*b.at & 0x80))
            break;
    }
    return value;
}

static uint64_t fixed(struct cursor *c, size_t bytes) {
    uint64_t value = 0;
    struct bytes b = cursor_take(c, bytes);
    for (size_t i = 0; i < b.len; i++)
        value |= (uint64_t)b.at[i] << 8 * i;
    return value;
}

static bool next_field(struct cursor *c, struct field *f) {
    if (c->failed || c->left == 0)
        return false;
    uint64_t tag = varint(c);
    *f = (struct field){.number = tag >> 3, .type = tag & 7};
    if (f->type == VARINT)
        f->value = varint(c);
    else if (f->type == FIXED64)
        f->value = fixed(c, 8);
    else if (f->type == FIXED32)
        f->value = fixed(c, 4);
    else if (f->type == BYTES)
        f->content = cursor_take(c, varint(c));
    else
        c->failed = true;
    return !c->failed;
}

/* Numbers as they stand in the message, one 64-bit word each. */
struct words {
    uint64_t *at;
    size_t count, capacity;
};

static int add_word(struct arena *arena, struct words *w, uint64_t value) {
    uint64_t *grown = arena_grow(arena, w->at, &w->capacity, w->count + 1, sizeof *grown);
    if (!grown)
        return -1;
    w->at = grown;
    grown[w->count++] = value;
    return 0;
}

/* A repeated number, packed or not. width 0: varints. */
static int add_words(struct arena *arena, struct words *w, const struct field *f, size_t width) {
    if (f->type != BYTES)
        return add_word(arena, w, f->value);
    struct cursor c = cursor_over(f->content.at, f->content.len, 0);
    while (!c.failed && c.left)
        if (add_word(arena, w, width ? fixed(&c, width) : varint(&c)) < 0)
            return -1;
    return c.failed ? -1 : 0;
}

/* The low bytes of a word are the element, whatever its type: that is how int32_data holds halves
 * and how two's complement works. The machines we build for are little-endian. */
static void store(struct array *array, uint64_t i, uint64_t word) {
    unsigned bytes = dtype_row(array->dtype)->bytes;
    if (array->dtype == DTYPE_F32) {
        float f;
        uint32_t bits = (uint32_t)word;
        memcpy(&f, &bits, sizeof f);
        array_real(array)[i] = (real)f;
    } else {
        memcpy((uint8_t *)array->data + i * bytes, &word, bytes);
    }
}

/* Two to a byte in the message, the first in the low half. */
static void store_nibble(struct array *array, uint64_t i, uint64_t byte) {
    int nibble = (int)(byte >> (i % 2 ? 4 : 0) & 15);
    ((uint8_t *)array->data)[i] =
        (uint8_t)(array->dtype == DTYPE_I4 && nibble > 7 ? nibble - 16 : nibble);
}

static int fill(struct array *array, const struct words *words, struct bytes raw) {
    bool packed = array->dtype == DTYPE_I4 || array->dtype == DTYPE_U4;
    size_t bytes = packed ? 1 : dtype_row(array->dtype)->bytes;
    uint64_t want = packed ? (array->elements + 1) / 2 : array->elements;
    if (raw.at ? raw.len != want * bytes : words->count != want || !words->at)
        return -1;
    struct cursor c = cursor_over(raw.at, raw.len, 0);
    uint64_t word = 0;
    for (uint64_t i = 0; i < array->elements; i++) {
        if (!packed || i % 2 == 0)
            word = raw.at ? fixed(&c, bytes) : words->at[packed ? i / 2 : i];
        if (packed)
            store_nibble(array, i, word);
        else
            store(array, i, word);
    }
    return 0;
}

static int parse(struct cursor *c, struct arena *arena, struct array **ret, struct err *err) {
    struct words dims = {0}, data = {0};
    struct bytes raw = {0};
    struct field f;
    int64_t type = 0;
    int rc = 0;
    while (rc == 0 && next_field(c, &f)) {
        if (f.number == DIMS)
            rc = add_words(arena, &dims, &f, 0);
        else if (f.number == DATA_TYPE)
            type = (int64_t)f.value;
        else if (f.number == FLOAT_DATA)
            rc = add_words(arena, &data, &f, 4);
        else if (f.number == DOUBLE_DATA)
            rc = add_words(arena, &data, &f, 8);
        else if (f.number == INT32_DATA || f.number == INT64_DATA || f.number == UINT64_DATA)
            rc = add_words(arena, &data, &f, 0);
        else if (f.number == RAW_DATA)
            raw = f.content;
    }
    if (rc < 0 || c->failed || dims.count > LIMIT_RANK)
        return err_set(err, ERR_BAD_MODEL, "this is no TensorProto");
    enum dtype dtype = dtype_by_onnx(type);
    if (array_item_bytes(dtype) == 0)
        return err_set(err, ERR_UNSUPPORTED, "a tensor of type %lld, or no tensor",
                       (long long)type);
    *ret = array_in_arena(arena, dtype, (unsigned)dims.count, dims.at);
    if (!*ret)
        return err_set(err, ERR_NO_MEMORY, "no memory for a tensor");
    if ((*ret)->elements && fill(*ret, &data, raw) < 0)
        return err_set(err, ERR_BAD_MODEL, "the tensor's data does not fit its shape");
    return 0;
}

int onnxtensor_read(const char *path, struct arena *arena, struct array **ret, struct err *err) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return err_set_errno(err, ERR_IO, errno, "%s", path);
    int rc = -1;
    uint8_t *data = NULL;
    long bytes = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (bytes >= 0 && fseek(file, 0, SEEK_SET) == 0)
        data = arena_alloc(arena, (size_t)bytes + 1);
    if (!data || fread(data, 1, (size_t)bytes, file) != (size_t)bytes) {
        err_set(err, ERR_IO, "%s cannot be read", path);
    } else {
        struct cursor c = cursor_over(data, (size_t)bytes, 0);
        rc = parse(&c, arena, ret, err);
    }
    fclose(file);
    return rc;
}
