/* Arrays: shapes that fit, and every conversion that ONNX Cast knows. */
#include "compress/tensor/array.h"
#include "tests/support/check.h"

#include <math.h>
#include <string.h>

static void shapes_are_bounded(void **state) {
    struct err err = ERR_INIT;
    struct array a;
    CHECK_OK(array_shape(&a, DTYPE_F32, 0, NULL, &err), &err);
    CHECK_UINT(a.elements, 1);
    uint64_t dims[LIMIT_RANK + 1] = {2, 0, 3, 1, 1, 1, 1, 1, 1};
    CHECK_OK(array_shape(&a, DTYPE_I64, 3, dims, &err), &err);
    CHECK_UINT(array_bytes(&a), 0);
    CHECK_FAILS(array_shape(&a, DTYPE_F32, LIMIT_RANK + 1, dims, &err), &err, ERR_TOO_LARGE);
    uint64_t huge[2] = {UINT64_C(1) << 40, UINT64_C(1) << 40};
    CHECK_FAILS(array_shape(&a, DTYPE_F32, 2, huge, &err), &err, ERR_TOO_LARGE);
    uint64_t hidden[2] = {UINT64_MAX, 0}; /* no elements, but no such dimension either */
    CHECK_FAILS(array_shape(&a, DTYPE_F32, 2, hidden, &err), &err, ERR_TOO_LARGE);
}

static void text(void **state) {
    char buffer[64];
    struct array *a = array_new(DTYPE_BF16, 2, (uint64_t[]){2, 3});
    CHECK_TEXT(array_describe(a, buffer, sizeof buffer), "bf16[2,3]");
    CHECK_UINT((uintptr_t)a->data % 64, 0);
    array_free(a);
    array_free(NULL);
}

/* x through type `to`; what comes out as a number. */
static double through(enum dtype from, double x, enum dtype to, bool saturate) {
    struct err err = ERR_INIT;
    struct array *wide = array_new(DTYPE_F64, 0, NULL), *a = array_new(from, 0, NULL);
    struct array *b = array_new(to, 0, NULL);
    memcpy(wide->data, &x, sizeof x);
    CHECK_OK(array_convert(wide, a, saturate, &err), &err);
    CHECK_OK(array_convert(a, b, saturate, &err), &err);
    double out = array_number(b, 0);
    array_free(wide);
    array_free(a);
    array_free(b);
    return out;
}

static void casts(void **state) {
    CHECK_NUM(through(DTYPE_F32, -2.7, DTYPE_I32, false), -2, 0); /* toward zero */
    CHECK_NUM(through(DTYPE_F32, 300, DTYPE_F16, false), 300, 0);
    CHECK_NUM(through(DTYPE_F32, 1.001, DTYPE_BF16, false), 1, 0);
    CHECK_NUM(through(DTYPE_F32, 0.25, DTYPE_BOOL, false), 1, 0);
    CHECK_NUM(through(DTYPE_F32, -0.0, DTYPE_BOOL, false), 0, 0);
    CHECK_NUM(through(DTYPE_I32, -1, DTYPE_U8, false), 255, 0); /* wraps */
    CHECK_NUM(through(DTYPE_I32, 9, DTYPE_I4, false), -7, 0);
    CHECK_NUM(through(DTYPE_I32, 17, DTYPE_U4, false), 1, 0);
    CHECK_NUM(through(DTYPE_F64, 0x1p63, DTYPE_U64, false), 0x1p63, 0);
    CHECK_NUM(through(DTYPE_F64, 1e30, DTYPE_I64, false), (double)INT64_MAX, 0);
    CHECK_NUM(through(DTYPE_F64, NAN, DTYPE_I64, false), 0, 0);
    CHECK_NUM(through(DTYPE_F64, 1e-9, DTYPE_F64, false), 1e-9, 0);
}

/* The table of ONNX's float8 page: what the four types make of the same numbers. */
static void small_floats(void **state) {
    CHECK_NUM(through(DTYPE_F32, 1000, DTYPE_F8_E4M3, true), 448, 0);
    CHECK(isnan(through(DTYPE_F32, 1000, DTYPE_F8_E4M3, false)));
    CHECK_NUM(through(DTYPE_F32, 1e6, DTYPE_F8_E5M2, true), 57344, 0);
    CHECK(isinf(through(DTYPE_F32, -1e6, DTYPE_F8_E5M2, false)));
    CHECK_NUM(through(DTYPE_F32, INFINITY, DTYPE_F8_E5M2, true), 57344, 0);
    CHECK_NUM(through(DTYPE_F32, 1000, DTYPE_F8_E4M3FNUZ, true), 240, 0);
    CHECK(isnan(through(DTYPE_F32, 1000, DTYPE_F8_E4M3FNUZ, false)));
    CHECK_NUM(through(DTYPE_F32, -1e6, DTYPE_F8_E5M2FNUZ, true), -57344, 0);
    CHECK(!signbit(through(DTYPE_F32, -0.0, DTYPE_F8_E5M2FNUZ, true)));
    CHECK_NUM(through(DTYPE_F32, 0x1p-9, DTYPE_F8_E4M3, true), 0x1p-9, 0); /* least subnormal */
    CHECK_NUM(through(DTYPE_F32, 0x1p-10, DTYPE_F8_E4M3, true), 0, 0);     /* tie to even */
    CHECK_NUM(through(DTYPE_F32, 0x1p-10, DTYPE_F8_E4M3FNUZ, true), 0x1p-10, 0);
    CHECK_NUM(through(DTYPE_F32, 0x1p-17, DTYPE_F8_E5M2FNUZ, true), 0x1p-17, 0);
}

/* Every code of the four types comes back as itself. */
static void codes_come_back(void **state) {
    const enum dtype types[] = {DTYPE_F8_E4M3, DTYPE_F8_E5M2, DTYPE_F8_E4M3FNUZ, DTYPE_F8_E5M2FNUZ};
    struct err err = ERR_INIT;
    for (int t = 0; t < 4; t++) {
        struct array *codes = array_new(types[t], 1, (uint64_t[]){256});
        struct array *wide = array_new(DTYPE_F32, 1, (uint64_t[]){256});
        struct array *back = array_new(types[t], 1, (uint64_t[]){256});
        for (int i = 0; i < 256; i++)
            ((uint8_t *)codes->data)[i] = (uint8_t)i;
        CHECK_OK(array_convert(codes, wide, false, &err), &err);
        CHECK_OK(array_convert(wide, back, false, &err), &err);
        for (int i = 0; i < 256; i++) {
            if (isnan(array_real(wide)[i]))
                continue;
            CHECK_UINT(((uint8_t *)back->data)[i], i);
        }
        array_free(codes);
        array_free(wide);
        array_free(back);
    }
}

static void no_numbers_no_conversion(void **state) {
    struct err err = ERR_INIT;
    struct array c = {.dtype = DTYPE_C64, .elements = 1}, f = {.dtype = DTYPE_F32, .elements = 1};
    CHECK_FAILS(array_convert(&c, &f, false, &err), &err, ERR_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_are_bounded),
        cmocka_unit_test(text),
        cmocka_unit_test(casts),
        cmocka_unit_test(small_floats),
        cmocka_unit_test(codes_come_back),
        cmocka_unit_test(no_numbers_no_conversion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
