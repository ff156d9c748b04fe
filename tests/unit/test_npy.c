/* NPY headers: what numpy writes, and each way in which one can lie. One is
 * numpy's own. */
#include "compress/formats/npy.h"

#include "compress/base/bytes.h"
#include "tests/support/check.h"
#include "tests/support/tinynpy.h"

#include <stdio.h>
#include <string.h>

static int read_npy(const struct bytebuf *b, struct npy *ret, struct err *err) {
    struct source *source = source_over_memory(b->at, b->len, "a.npy");
    int status = npy_read_header(source, ret, err);
    source_close(source);
    return status;
}

/* numpy 2.4's numpy.save of numpy.arange(3, dtype='<i4'). */
static const char arange[] = "\x93NUMPY\1\0v\0"
                             "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }"
                             "                                                            \n"
                             "\0\0\0\0\1\0\0\0\2\0\0";

static void numpys_own(void **state) {
    struct bytebuf b = {0};
    struct npy npy;
    struct err err = ERR_INIT;
    bytebuf_raw(&b, arange, sizeof arange);
    CHECK_OK(read_npy(&b, &npy, &err), &err);
    CHECK_INT(npy.dtype, DTYPE_I32);
    CHECK_UINT(npy.rank, 1);
    CHECK_UINT(npy.dims[0], 3);
    CHECK_UINT(npy.elements, 3);
    CHECK_UINT(npy.data_offset, 128);
    CHECK(npy_sniff(b.at, b.len));
    CHECK(!npy_sniff(b.at, 5));
    bytebuf_free(&b);
}

static void every_version_and_type(void **state) {
    static const struct {
        const char *descr;
        enum dtype dtype;
    } rows[] = {{"<f8", DTYPE_F64}, {"<f4", DTYPE_F32},  {"<f2", DTYPE_F16}, {"<i8", DTYPE_I64},
                {"<i4", DTYPE_I32}, {"<i2", DTYPE_I16},  {"|i1", DTYPE_I8},  {"<u8", DTYPE_U64},
                {"<u4", DTYPE_U32}, {"<u2", DTYPE_U16},  {"|u1", DTYPE_U8},  {"|b1", DTYPE_BOOL},
                {"<c8", DTYPE_C64}, {"<c16", DTYPE_C128}};
    uint8_t zeros[6 * 16] = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (unsigned version = 1; version <= 3; version++) {
            struct bytebuf b = {0};
            struct npy npy;
            struct err err = ERR_INIT;
            char text[128];
            snprintf(text, sizeof text, "{\"shape\":(2,3),'fortran_order' : False,'descr':'%s'}",
                     rows[i].descr);
            tinynpy_header(&b, version, text, zeros, 6 * (size_t)dtype_row(rows[i].dtype)->bytes);
            CHECK_OK(read_npy(&b, &npy, &err), &err);
            CHECK_INT(npy.dtype, rows[i].dtype);
            CHECK_UINT(npy.rank, 2);
            CHECK_UINT(npy.dims[0], 2);
            CHECK_UINT(npy.dims[1], 3);
            CHECK_UINT(npy.data_offset % 64, 0);
            bytebuf_free(&b);
        }
}

static void scalars_and_nothing(void **state) {
    struct bytebuf b = {0};
    struct npy npy;
    struct err err = ERR_INIT;
    tinynpy(&b, "<f4", "()", "\0\0\0\0", 4);
    CHECK_OK(read_npy(&b, &npy, &err), &err);
    CHECK_UINT(npy.rank, 0);
    CHECK_UINT(npy.elements, 1);
    bytebuf_free(&b);
    tinynpy(&b, "<f4", "(281474976710656, 281474976710656, 0)", "", 0);
    CHECK_OK(read_npy(&b, &npy, &err), &err);
    CHECK_UINT(npy.elements, 0);
    bytebuf_free(&b);
    /* One dimension lies the same way in either order. */
    tinynpy_header(&b, 1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2L,)}", "ab", 2);
    CHECK_OK(read_npy(&b, &npy, &err), &err);
    CHECK_UINT(npy.dims[0], 2);
    bytebuf_free(&b);
}

static const struct {
    const char *header;
    size_t data;
    enum err_code code;
    const char *says;
} bad[] = {
    {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", 24, ERR_UNSUPPORTED,
     "ascontiguousarray"},
    {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", 8, ERR_UNSUPPORTED,
     "big-endian (>f4): save a.astype('<f4')"},
    {"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", 8, ERR_FORBIDDEN_PICKLE, "objects"},
    {"{'descr': '<U5', 'fortran_order': False, 'shape': (2,)}", 8, ERR_UNSUPPORTED, "<U5"},
    {"{'descr': '|V2', 'fortran_order': False, 'shape': (2,)}", 4, ERR_UNSUPPORTED, "|V2"},
    {"{'descr': '', 'fortran_order': False, 'shape': (2,)}", 4, ERR_UNSUPPORTED, "no plain"},
    {"{'descr': 'f4', 'fortran_order': False, 'shape': (2,)}", 8, ERR_UNSUPPORTED, "f4"},
    {"{'descr': '|f4', 'fortran_order': False, 'shape': (2,)}", 8, ERR_BAD_DATASET, "byte order"},
    {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", 8, ERR_UNSUPPORTED,
     "fields"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 8, ERR_BAD_DATASET,
     "cut short: 8 bytes of 12"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 9, ERR_BAD_DATASET,
     "1 bytes follow"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3)}", 12, ERR_BAD_DATASET, "no tuple"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}", 12, ERR_BAD_DATASET, "no tuple"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3 4)}", 12, ERR_BAD_DATASET, "no tuple"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': 3}", 12, ERR_BAD_DATASET, "no tuple"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,", 12, ERR_BAD_DATASET, "no tuple"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,)}", 12,
     ERR_TOO_LARGE, "dimension"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (16777216, 16777216, 2)}", 12,
     ERR_TOO_LARGE, "elements"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4, ERR_TOO_LARGE,
     "dimensions"},
    {"{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}", 12, ERR_BAD_DATASET, "True nor False"},
    {"{'descr': '<f4', 'shape': (3,)}", 12, ERR_BAD_DATASET, "misses one of"},
    {"{'descr': '<f4', 'descr': '<f4', 'shape': (3,)}", 12, ERR_BAD_DATASET, "twice"},
    {"{'descr': '<f4', 'order': 'C', 'shape': (3,)}", 12, ERR_BAD_DATASET, "a key"},
    {"{'descr' '<f4'}", 12, ERR_BAD_DATASET, "colon"},
    {"{'descr': '<f4' 'shape': (3,)}", 12, ERR_BAD_DATASET, "comma"},
    {"{'descr': '<f4", 12, ERR_BAD_DATASET, "a text that no array has"}, /* the newline */
    {"{'descr': '\\x3cf4'}", 12, ERR_BAD_DATASET, "a text that no array has"},
    {"{descr: '<f4'}", 12, ERR_BAD_DATASET, "quotes"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} + 1", 12, ERR_BAD_DATASET, "goes on"},
    {"[]", 12, ERR_BAD_DATASET, "no dictionary"},
    {"", 12, ERR_BAD_DATASET, "no dictionary"},
};

static void lies_are_refused(void **state) {
    static const char zeros[64];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bytebuf b = {0};
        struct npy npy;
        struct err err = ERR_INIT;
        tinynpy_header(&b, 1, bad[i].header, zeros, bad[i].data);
        if (read_npy(&b, &npy, &err) == 0)
            fail_msg("%s: was accepted", bad[i].header);
        if (err.code != bad[i].code || !strstr(err.text, bad[i].says) ||
            strcmp(err.file, "a.npy") != 0 || err.offset == ERR_NO_OFFSET)
            fail_msg("%s: %s at %s:%lld: %s", bad[i].header, err_name(err.code), err.file,
                     (long long)err.offset, err.text);
        bytebuf_free(&b);
    }
}

static void cut_anywhere(void **state) {
    struct bytebuf b = {0};
    struct npy npy;
    struct err err = ERR_INIT;
    for (bytebuf_raw(&b, arange, sizeof arange); b.len > 0;) {
        b.len--;
        CHECK_FAILS(read_npy(&b, &npy, &err), &err, ERR_BAD_DATASET);
    }
    bytebuf_free(&b);
}

static void strange_beginnings(void **state) {
    struct bytebuf b = {0};
    struct npy npy;
    struct err err = ERR_INIT;
    bytebuf_raw(&b, arange, sizeof arange);
    b.at[6] = 4;
    CHECK_FAILS(read_npy(&b, &npy, &err), &err, ERR_UNSUPPORTED);
    b.at[6] = 2;
    store_u32(b.at + 8, LIMIT_NPY_HEADER_BYTES + 1);
    CHECK_FAILS(read_npy(&b, &npy, &err), &err, ERR_TOO_LARGE);
    b.at[0] = 'x';
    CHECK_FAILS(read_npy(&b, &npy, &err), &err, ERR_BAD_DATASET);
    bytebuf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numpys_own),          cmocka_unit_test(every_version_and_type),
        cmocka_unit_test(scalars_and_nothing), cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(cut_anywhere),        cmocka_unit_test(strange_beginnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
