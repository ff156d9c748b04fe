/* Arrays and the conversion of their elements. See array.h. */
#include "compress/tensor/array.h"

#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/base/half.h"
#include "compress/kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN_BYTES = 64 };

unsigned array_item_bytes(enum dtype dtype) {
    switch (dtype) {
    case DTYPE_F32:
        return sizeof(real);
    case DTYPE_I4:
    case DTYPE_U4:
        return 1;
    default:
        return dtype_row(dtype)->bytes;
    }
}

uint64_t array_bytes(const struct array *array) {
    return array->elements * array_item_bytes(array->dtype);
}

int array_shape(struct array *ret, enum dtype dtype, unsigned rank, const uint64_t *dims,
                struct err *err) {
    struct array shape = {.dtype = dtype, .rank = rank, .elements = 1};
    if (rank > LIMIT_RANK)
        return err_set(err, ERR_TOO_LARGE, "%u dimensions; at most %d are supported", rank,
                       LIMIT_RANK);
    for (unsigned d = 0; d < rank; d++) {
        shape.dims[d] = dims[d];
        if (!mul_u64(shape.elements, dims[d], &shape.elements) || shape.elements > LIMIT_ELEMENTS ||
            dims[d] > LIMIT_ELEMENTS)
            return err_set(err, ERR_TOO_LARGE, "a shape of more than 2^48 elements");
    }
    *ret = shape;
    return 0;
}

struct array *array_new(enum dtype dtype, unsigned rank, const uint64_t *dims) {
    struct array *array = malloc(sizeof *array);
    if (!array)
        return NULL;
    if (array_shape(array, dtype, rank, dims, NULL) < 0) {
        free(array);
        return NULL;
    }
    size_t bytes = (size_t)array_bytes(array);
    bytes = bytes / ALIGN_BYTES * ALIGN_BYTES + ALIGN_BYTES;
    array->data = aligned_alloc(ALIGN_BYTES, bytes);
    if (!array->data) {
        free(array);
        return NULL;
    }
    memset(array->data, 0, bytes);
    return array;
}

void array_free(struct array *array) {
    if (!array)
        return;
    free(array->data);
    free(array);
}

struct array *array_in_arena(struct arena *arena, enum dtype dtype, unsigned rank,
                             const uint64_t *dims) {
    struct array *array = ARENA_NEW(arena, struct array);
    if (!array || array_shape(array, dtype, rank, dims, NULL) < 0)
        return NULL;
    size_t bytes = (size_t)array_bytes(array);
    array->data = arena_alloc(arena, bytes ? bytes : 1);
    return array->data ? array : NULL;
}

bool array_same_shape(const struct array *a, const struct array *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]) == 0;
}

const char *array_describe(const struct array *array, char *text, size_t cap) {
    size_t used = (size_t)snprintf(text, cap, "%s[", dtype_row(array->dtype)->name);
    for (unsigned d = 0; d < array->rank && used < cap; d++)
        used += (size_t)snprintf(text + used, cap - used, "%s%llu", d ? "," : "",
                                 (unsigned long long)array->dims[d]);
    if (used < cap)
        snprintf(text + used, cap - used, "]");
    return text;
}

/* ---- one element ---- */

static double load_float(enum dtype dtype, const void *data, uint64_t i) {
    switch (dtype) {
    case DTYPE_F32:
        return (double)((const real *)data)[i];
    case DTYPE_F64:
        return ((const double *)data)[i];
    case DTYPE_F16:
        return (double)half_from_f16(((const uint16_t *)data)[i]);
    case DTYPE_BF16:
        return (double)half_from_bf16(((const uint16_t *)data)[i]);
    case DTYPE_F8_E4M3:
        return (double)half_from_e4m3(((const uint8_t *)data)[i]);
    case DTYPE_F8_E5M2:
        return (double)half_from_e5m2(((const uint8_t *)data)[i]);
    case DTYPE_F8_E4M3FNUZ:
        return half_from_fnuz(((const uint8_t *)data)[i], 3);
    case DTYPE_F8_E5M2FNUZ:
        return half_from_fnuz(((const uint8_t *)data)[i], 2);
    default:
        return 0;
    }
}

static int64_t load_integer(enum dtype dtype, const void *data, uint64_t i) {
    switch (dtype) {
    case DTYPE_I64:
    case DTYPE_U64: /* reinterpreted; who must tell looks at the type */
        return ((const int64_t *)data)[i];
    case DTYPE_I32:
        return ((const int32_t *)data)[i];
    case DTYPE_U32:
        return ((const uint32_t *)data)[i];
    case DTYPE_I16:
        return ((const int16_t *)data)[i];
    case DTYPE_U16:
        return ((const uint16_t *)data)[i];
    case DTYPE_I8:
    case DTYPE_I4:
        return ((const int8_t *)data)[i];
    case DTYPE_U8:
    case DTYPE_U4:
        return ((const uint8_t *)data)[i];
    case DTYPE_BOOL:
        return ((const uint8_t *)data)[i] != 0;
    default:
        return 0;
    }
}

/* Saturating; NaN is 0. */
static int64_t truncate_double(double x) {
    if (!(x > -0x1p63))
        return isnan(x) ? 0 : INT64_MIN;
    return x >= 0x1p63 ? INT64_MAX : (int64_t)x;
}

double array_number(const struct array *array, uint64_t i) {
    if (dtype_row(array->dtype)->is_float)
        return load_float(array->dtype, array->data, i);
    int64_t n = load_integer(array->dtype, array->data, i);
    return array->dtype == DTYPE_U64 ? (double)(uint64_t)n : (double)n;
}

int64_t array_int(const struct array *array, uint64_t i) {
    if (dtype_row(array->dtype)->is_float)
        return truncate_double(load_float(array->dtype, array->data, i));
    return load_integer(array->dtype, array->data, i);
}

static void store_float(enum dtype dtype, void *data, uint64_t i, double x, bool saturate) {
    switch (dtype) {
    case DTYPE_F32:
        ((real *)data)[i] = (real)x;
        break;
    case DTYPE_F64:
        ((double *)data)[i] = x;
        break;
    case DTYPE_F16:
        ((uint16_t *)data)[i] = half_to_f16((float)x);
        break;
    case DTYPE_BF16:
        ((uint16_t *)data)[i] = half_to_bf16((float)x);
        break;
    case DTYPE_F8_E4M3:
        ((uint8_t *)data)[i] = half_to_f8(x, HALF_E4M3FN, saturate);
        break;
    case DTYPE_F8_E5M2:
        ((uint8_t *)data)[i] = half_to_f8(x, HALF_E5M2, saturate);
        break;
    case DTYPE_F8_E4M3FNUZ:
        ((uint8_t *)data)[i] = half_to_f8(x, HALF_E4M3FNUZ, saturate);
        break;
    case DTYPE_F8_E5M2FNUZ:
        ((uint8_t *)data)[i] = half_to_f8(x, HALF_E5M2FNUZ, saturate);
        break;
    default:
        break;
    }
}

/* Wraps around, as a C cast does. */
static void store_integer(enum dtype dtype, void *data, uint64_t i, int64_t n) {
    switch (dtype) {
    case DTYPE_I64:
    case DTYPE_U64:
        ((int64_t *)data)[i] = n;
        break;
    case DTYPE_I32:
    case DTYPE_U32:
        ((uint32_t *)data)[i] = (uint32_t)n;
        break;
    case DTYPE_I16:
    case DTYPE_U16:
        ((uint16_t *)data)[i] = (uint16_t)n;
        break;
    case DTYPE_I8:
    case DTYPE_U8:
        ((uint8_t *)data)[i] = (uint8_t)n;
        break;
    case DTYPE_I4:
        ((int8_t *)data)[i] = (int8_t)(((n & 15) ^ 8) - 8);
        break;
    case DTYPE_U4:
        ((uint8_t *)data)[i] = (uint8_t)(n & 15);
        break;
    default:
        break;
    }
}

static bool convertible(enum dtype dtype) {
    switch (dtype) {
    case DTYPE_NONE:
    case DTYPE_STRING:
    case DTYPE_C64:
    case DTYPE_C128:
    case DTYPE_GGUF_BLOCK:
    case DTYPE_COUNT:
        return false;
    default:
        return true;
    }
}

/* The pairs that models of half precision are run through, by vector kernels. */
static bool convert_fast(const struct array *from, struct array *to) {
#ifndef REAL_IS_DOUBLE
    const struct kernels *k = kernels_get();
    size_t n = (size_t)from->elements;
    kernel_widen *widen = from->dtype == DTYPE_F16    ? k->f32_from_f16
                          : from->dtype == DTYPE_BF16 ? k->f32_from_bf16
                                                      : NULL;
    kernel_narrow *narrow = to->dtype == DTYPE_F16    ? k->f16_from_f32
                            : to->dtype == DTYPE_BF16 ? k->bf16_from_f32
                                                      : NULL;
    if (to->dtype == DTYPE_F32 && widen)
        widen(from->data, n, to->data);
    else if (from->dtype == DTYPE_F32 && narrow)
        narrow(from->data, n, to->data);
    else
        return false;
    return true;
#else
    return false;
#endif
}

int array_convert(const struct array *from, struct array *to, bool saturate, struct err *err) {
    if (!convertible(from->dtype) || !convertible(to->dtype))
        return err_set(err, ERR_UNSUPPORTED, "no conversion from %s to %s",
                       dtype_row(from->dtype)->name, dtype_row(to->dtype)->name);
    uint64_t n = from->elements;
    bool from_float = dtype_row(from->dtype)->is_float;
    bool to_float = dtype_row(to->dtype)->is_float;
    if (from->dtype == to->dtype)
        memmove(to->data, from->data, (size_t)array_bytes(from));
    else if (convert_fast(from, to))
        return 0;
    else if (to->dtype == DTYPE_BOOL)
        for (uint64_t i = 0; i < n; i++)
            ((uint8_t *)to->data)[i] = from_float ? load_float(from->dtype, from->data, i) != 0
                                                  : load_integer(from->dtype, from->data, i) != 0;
    else if (from_float && to_float)
        for (uint64_t i = 0; i < n; i++)
            store_float(to->dtype, to->data, i, load_float(from->dtype, from->data, i), saturate);
    else if (to_float)
        for (uint64_t i = 0; i < n; i++)
            store_float(to->dtype, to->data, i, array_number(from, i), saturate);
    else if (from_float && to->dtype == DTYPE_U64)
        for (uint64_t i = 0; i < n; i++) {
            double x = load_float(from->dtype, from->data, i);
            ((uint64_t *)to->data)[i] =
                x >= 0x1p63 && x < 0x1p64 ? (uint64_t)x : (uint64_t)truncate_double(x);
        }
    else if (from_float)
        for (uint64_t i = 0; i < n; i++)
            store_integer(to->dtype, to->data, i,
                          truncate_double(load_float(from->dtype, from->data, i)));
    else
        for (uint64_t i = 0; i < n; i++)
            store_integer(to->dtype, to->data, i, load_integer(from->dtype, from->data, i));
    return 0;
}
