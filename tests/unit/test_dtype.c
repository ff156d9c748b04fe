/* The table of element types: rows stand at their ids, names find their rows and no other. */
#include "compress/tensor/dtype.h"

#include "tests/support/check.h"

#include <string.h>

static void rows_find_themselves(void **state) {
    for (int i = DTYPE_NONE + 1; i < DTYPE_COUNT; i++) {
        const struct dtype_row *row = dtype_row((enum dtype)i);
        CHECK_INT(row->id, i);
        CHECK_INT(dtype_by_name(row->name), i);
        if (row->safetensors)
            CHECK_INT(dtype_by_safetensors(row->safetensors), i);
        if (row->torch)
            CHECK_INT(dtype_by_torch(row->torch), i);
        if (row->torch_storage)
            CHECK_INT(dtype_by_torch_storage(row->torch_storage), i);
        if (row->gguf >= 0)
            CHECK_INT(dtype_by_gguf((uint32_t)row->gguf), i);
        CHECK((row->bytes == 0) == (i >= DTYPE_I4));
        CHECK(row->onnx < 0 || (int)dtype_by_onnx(row->onnx) == i);
    }
}

static void strangers_find_nothing(void **state) {
    CHECK_INT(dtype_by_name("none"), DTYPE_NONE);
    CHECK_INT(dtype_by_name(""), DTYPE_NONE);
    CHECK_INT(dtype_by_name(NULL), DTYPE_NONE);
    CHECK_INT(dtype_by_safetensors("bf16"), DTYPE_NONE); /* upper case there */
    CHECK_INT(dtype_by_torch("BF16"), DTYPE_NONE);
    CHECK_INT(dtype_by_torch_storage("QInt8Storage"), DTYPE_NONE);
    CHECK_INT(dtype_by_gguf(2), DTYPE_NONE); /* q4_0: a codec */
    CHECK_INT(dtype_by_gguf(UINT32_MAX), DTYPE_NONE);
    CHECK_INT(dtype_row((enum dtype)1000)->id, DTYPE_NONE);
}

static void facts(void **state) {
    CHECK_INT(dtype_by_safetensors("BF16"), DTYPE_BF16);
    CHECK_INT(dtype_by_torch("bfloat16"), DTYPE_BF16);
    CHECK_INT(dtype_by_torch_storage("HalfStorage"), DTYPE_F16);
    CHECK_INT(dtype_by_gguf(30), DTYPE_BF16);
    CHECK_UINT(dtype_row(DTYPE_BF16)->bytes, 2);
    CHECK_UINT(dtype_row(DTYPE_C64)->bytes, 8);
    CHECK(dtype_row(DTYPE_F8_E4M3)->is_float);
    CHECK(!dtype_row(DTYPE_I8)->is_float);
}

static void bytes_in_a_container(void **state) {
    CHECK_UINT(dtype_bytes(DTYPE_F32, 3), 12);
    CHECK_UINT(dtype_bytes(DTYPE_I4, 4), 2); /* two in a byte, the last perhaps alone */
    CHECK_UINT(dtype_bytes(DTYPE_U4, 5), 3);
    CHECK_UINT(dtype_bytes(DTYPE_I4, UINT64_MAX), UINT64_C(1) << 63);
    CHECK_UINT(dtype_bytes(DTYPE_STRING, 5), 0);
    CHECK_UINT(dtype_bytes(DTYPE_F64, UINT64_MAX / 4), UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_find_themselves),
        cmocka_unit_test(strangers_find_nothing),
        cmocka_unit_test(facts),
        cmocka_unit_test(bytes_in_a_container),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
