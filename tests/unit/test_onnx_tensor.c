/* TensorProto: where the data lie in every form that they come in, and what does not add up. */
#include "compress/formats/onnx_tensor.h"

#include "compress/base/arena.h"
#include "compress/base/files.h"
#include "compress/formats/onnx_proto.h"
#include "tests/support/check.h"
#include "tests/support/tinyonnx.h"

#include <string.h>

struct rig {
    struct bytebuf b;
    struct arena *arena;
    struct source *source;
    struct pbwire *wire;
    struct onnx_tensor tensor;
    struct err err;
};

static int read_it(struct rig *r) {
    r->err = ERR_INIT;
    r->arena = arena_new(16 * MIB);
    r->source = source_over_memory(r->b.at, r->b.len, "m.onnx");
    r->wire = pbwire_new(r->source);
    return onnx_tensor_read(r->wire, pbwire_all(r->wire), r->arena, &r->tensor, &r->err);
}

static void done(struct rig *r) {
    pbwire_free(r->wire);
    source_close(r->source);
    arena_free(r->arena);
    bytebuf_free(&r->b);
}

static const struct array *array_of(struct rig *r) {
    const struct array *array = NULL;
    CHECK_OK(onnx_tensor_array(r->wire, &r->tensor, NULL, r->arena, &array, &r->err), &r->err);
    return array;
}

static void raw_bytes(void **state) {
    struct rig r = {0};
    static const float values[] = {1, 2, 3, 4, 5, 6};
    tinyonnx_tensor(&r.b, "w", 1, "2,3");
    tinyonnx_bytes(&r.b, ONNX_TENSOR_RAW_DATA, values, sizeof values);
    tinyonnx_text(&r.b, 12, "a note");
    CHECK_OK(read_it(&r), &r.err);
    CHECK_TEXT(r.tensor.name, "w");
    CHECK_INT(r.tensor.place, ONNX_PLACE_FILE);
    CHECK_UINT(r.tensor.rank, 2);
    CHECK_UINT(r.tensor.dims[1], 3);
    CHECK_UINT(r.tensor.bytes, 24);
    CHECK_BYTES(r.b.at + r.tensor.data.offset, values, 24);
    CHECK_NUM(array_number(array_of(&r), 5), 6, 0);
    done(&r);
}

static void packed_floats_stay(void **state) {
    struct rig r = {0};
    static const float values[] = {1, 2, 3};
    tinyonnx_bytes(&r.b, ONNX_TENSOR_FLOAT_DATA, values, sizeof values); /* before the type */
    tinyonnx_tensor(&r.b, "w", 1, "3");
    CHECK_OK(read_it(&r), &r.err);
    CHECK_INT(r.tensor.place, ONNX_PLACE_FILE);
    CHECK_BYTES(r.b.at + r.tensor.data.offset, values, 12);
    done(&r);
}

static void floats_one_by_one(void **state) {
    struct rig r = {0};
    static const float two[] = {2, 3};
    float got[3];
    tinyonnx_tensor(&r.b, "w", 1, "3");
    tinyonnx_fixed32(&r.b, ONNX_TENSOR_FLOAT_DATA, 1);
    tinyonnx_bytes(&r.b, ONNX_TENSOR_FLOAT_DATA, two, sizeof two);
    CHECK_OK(read_it(&r), &r.err);
    CHECK_INT(r.tensor.place, ONNX_PLACE_LIST);
    CHECK_OK(onnx_tensor_decode(r.wire, &r.tensor, got, &r.err), &r.err);
    CHECK_NUM(got[0], 1, 0);
    CHECK_NUM(got[2], 3, 0);
    done(&r);
}

static void integers_in_lists(void **state) {
    static const struct {
        int type;
        uint32_t field;
        int64_t values[3], want[3];
    } rows[] = {
        {7, ONNX_TENSOR_INT64_DATA, {-1, 0, INT64_MAX}, {-1, 0, INT64_MAX}},
        {6, ONNX_TENSOR_INT32_DATA, {-1, 5, INT32_MIN}, {-1, 5, INT32_MIN}},
        {3, ONNX_TENSOR_INT32_DATA, {-128, 0, 127}, {-128, 0, 127}},
        {2, ONNX_TENSOR_INT32_DATA, {255, 0, 7}, {255, 0, 7}},
        {5, ONNX_TENSOR_INT32_DATA, {-32768, 0, 7}, {-32768, 0, 7}},
        {9, ONNX_TENSOR_INT32_DATA, {1, 0, 1}, {1, 0, 1}},
        {12, ONNX_TENSOR_UINT64_DATA, {UINT32_MAX, 0, 1}, {UINT32_MAX, 0, 1}},
        {13, ONNX_TENSOR_UINT64_DATA, {9, 0, 1}, {9, 0, 1}},
        {10, ONNX_TENSOR_INT32_DATA, {0x3c00, 0xc000, 0}, {1, -2, 0}}, /* f16 bits */
        {16, ONNX_TENSOR_INT32_DATA, {0x3f80, 0xc000, 0}, {1, -2, 0}}, /* bf16 bits */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int as_one = 0; as_one < 2; as_one++) {
            struct rig r = {0};
            struct bytebuf list = {0};
            tinyonnx_tensor(&r.b, "i", rows[i].type, "3");
            for (int k = 0; k < 3; k++)
                if (as_one) { /* varints of one packed field: without their tags */
                    struct bytebuf one = {0};
                    tinyonnx_varint(&one, 1, (uint64_t)rows[i].values[k]);
                    bytebuf_raw(&list, one.at + 1, one.len - 1);
                    bytebuf_free(&one);
                } else {
                    tinyonnx_varint(&r.b, rows[i].field, (uint64_t)rows[i].values[k]);
                }
            if (as_one)
                tinyonnx_message(&r.b, rows[i].field, &list);
            CHECK_OK(read_it(&r), &r.err);
            CHECK_INT(r.tensor.place, ONNX_PLACE_LIST);
            const struct array *array = array_of(&r);
            for (int k = 0; k < 3; k++)
                CHECK_INT(dtype_row(array->dtype)->is_float ? (int64_t)array_number(array, k)
                                                            : array_int(array, k),
                          rows[i].want[k]);
            done(&r);
        }
}

static void half_bytes(void **state) {
    static const int64_t want[] = {-8, 7, -1};
    for (int list = 0; list < 2; list++) {
        struct rig r = {0};
        tinyonnx_tensor(&r.b, "q", 22, "3"); /* int4: low half first */
        if (list) {
            tinyonnx_varint(&r.b, ONNX_TENSOR_INT32_DATA, 0x78);
            tinyonnx_varint(&r.b, ONNX_TENSOR_INT32_DATA, 0x0f);
        } else {
            tinyonnx_bytes(&r.b, ONNX_TENSOR_RAW_DATA, "\x78\x0f", 2);
        }
        CHECK_OK(read_it(&r), &r.err);
        CHECK_UINT(r.tensor.bytes, 2);
        const struct array *array = array_of(&r);
        for (int k = 0; k < 3; k++)
            CHECK_INT(array_int(array, k), want[k]);
        done(&r);
    }
}

static void scalars_and_empties(void **state) {
    struct rig r = {0};
    tinyonnx_tensor(&r.b, "s", 7, "");
    tinyonnx_varint(&r.b, ONNX_TENSOR_INT64_DATA, 42);
    CHECK_OK(read_it(&r), &r.err);
    CHECK_UINT(r.tensor.rank, 0);
    CHECK_INT(array_int(array_of(&r), 0), 42);
    done(&r);
    tinyonnx_tensor(&r.b, "e", 1, "0,3"); /* no data at all */
    CHECK_OK(read_it(&r), &r.err);
    CHECK_UINT(r.tensor.elements, 0);
    CHECK_UINT(array_of(&r)->elements, 0);
    done(&r);
}

static void put_entry(struct bytebuf *b, const char *key, const char *value) {
    struct bytebuf entry = {0};
    tinyonnx_text(&entry, ONNX_ENTRY_KEY, key);
    tinyonnx_text(&entry, ONNX_ENTRY_VALUE, value);
    tinyonnx_message(b, ONNX_TENSOR_EXTERNAL_DATA, &entry);
}

static void external(void **state) {
    struct rig r = {0};
    tinyonnx_tensor(&r.b, "w", 1, "3");
    put_entry(&r.b, "location", "a/b.bin");
    put_entry(&r.b, "offset", "4096");
    put_entry(&r.b, "length", "12");
    put_entry(&r.b, "checksum", "0123");
    tinyonnx_varint(&r.b, ONNX_TENSOR_DATA_LOCATION, 1);
    CHECK_OK(read_it(&r), &r.err);
    CHECK_INT(r.tensor.place, ONNX_PLACE_EXTERNAL);
    CHECK_TEXT(r.tensor.location, "a/b.bin");
    CHECK_UINT(r.tensor.offset, 4096);
    CHECK_UINT(r.tensor.length, 12);
    done(&r);
}

static void odd_ones_are_carried(void **state) {
    static const struct {
        int type;
        const char *dims;
    } rows[] = {{8, "2"}, {23, "4"}, {99, "1"}, {1, "1,1,1,1,1,1,1,1,1"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r = {0};
        tinyonnx_tensor(&r.b, "odd", rows[i].type, rows[i].dims);
        tinyonnx_text(&r.b, ONNX_TENSOR_STRING_DATA, "x");
        CHECK_OK(read_it(&r), &r.err);
        CHECK_INT(r.tensor.place, ONNX_PLACE_ODD);
        done(&r);
    }
}

static void refusals(void **state) {
    static const struct {
        int type;
        const char *dims;
        size_t raw;
        const char *says;
        enum err_code code;
    } rows[] = {
        {1, "2,3", 23, "holds 23 bytes of data, its shape needs 24", ERR_BAD_MODEL},
        {1, "2,3", 28, "holds 28 bytes of data, its shape needs 24", ERR_BAD_MODEL},
        {1, "2,-3", 24, "negative dimension", ERR_BAD_MODEL},
        {1, "4611686018427387904,4", 0, "more than", ERR_TOO_LARGE},
        {1, "1099511627776,1099511627776,0", 0, "more than", ERR_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r = {0};
        struct bytebuf raw = {0};
        tinyonnx_tensor(&r.b, "bad", rows[i].type, rows[i].dims);
        bytebuf_fill(&raw, 0, rows[i].raw);
        tinyonnx_message(&r.b, ONNX_TENSOR_RAW_DATA, &raw);
        CHECK_INT(read_it(&r), -1);
        CHECK_INT(r.err.code, rows[i].code);
        CHECK_HOLDS(r.err.text, rows[i].says);
        CHECK_TEXT(r.err.tensor, "bad");
        done(&r);
    }
}

static void lists_of_another_length(void **state) {
    for (int count = 2; count <= 4; count += 2) {
        struct rig r = {0};
        int64_t got[3];
        tinyonnx_tensor(&r.b, "bad", 7, "3");
        for (int k = 0; k < count; k++)
            tinyonnx_varint(&r.b, ONNX_TENSOR_INT64_DATA, 1);
        CHECK_OK(read_it(&r), &r.err);
        CHECK_FAILS(onnx_tensor_decode(r.wire, &r.tensor, got, &r.err), &r.err, ERR_BAD_MODEL);
        done(&r);
    }
    struct rig r = {0}; /* the list of another type does not count */
    tinyonnx_tensor(&r.b, "bad", 7, "1");
    tinyonnx_varint(&r.b, ONNX_TENSOR_INT32_DATA, 1);
    CHECK_INT(read_it(&r), -1);
    CHECK_HOLDS(r.err.text, "holds 0 bytes");
    done(&r);
}

static void external_that_lies(void **state) {
    static const struct {
        const char *key, *value, *says;
    } rows[] = {
        {"length", "11", "its shape needs 12"},       {"offset", "-1", "offset '-1'"},
        {"offset", "99999999999999999999", "offset"}, {"length", "0x10", "length"},
        {"other", "x", "without a location"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r = {0};
        tinyonnx_tensor(&r.b, "bad", 1, "3");
        if (i + 1 < sizeof rows / sizeof *rows)
            put_entry(&r.b, "location", "b.bin");
        put_entry(&r.b, rows[i].key, rows[i].value);
        tinyonnx_varint(&r.b, ONNX_TENSOR_DATA_LOCATION, 1);
        CHECK_INT(read_it(&r), -1);
        CHECK_INT(r.err.code, ERR_BAD_MODEL);
        CHECK_HOLDS(r.err.text, rows[i].says);
        done(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_bytes),          cmocka_unit_test(packed_floats_stay),
        cmocka_unit_test(floats_one_by_one),  cmocka_unit_test(integers_in_lists),
        cmocka_unit_test(half_bytes),         cmocka_unit_test(scalars_and_empties),
        cmocka_unit_test(external),           cmocka_unit_test(odd_ones_are_carried),
        cmocka_unit_test(refusals),           cmocka_unit_test(lists_of_another_length),
        cmocka_unit_test(external_that_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
