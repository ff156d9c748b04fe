/* The container: bad headers, each with its words and place, and the way there and back. */
#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/formats/safetensors.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_bytes(const void *bytes, size_t len, struct arena *arena,
                      struct safetensors_header *ret, struct err *err) {
    struct source *source = source_over_memory(bytes, len, "m.safetensors");
    CHECK(source);
    int rc = safetensors_read_header(source, arena, ret, err);
    source_close(source);
    return rc;
}

/* A header over `data` zero bytes; `extra` is added to the stated length. */
static int read_json(const char *json, size_t data, struct arena *arena,
                     struct safetensors_header *ret, struct err *err) {
    size_t len = strlen(json);
    char *file = calloc(1, 8 + len + data + 1);
    CHECK(file);
    store_u64(file, len);
    memcpy(file + 8, json, len);
    int rc = read_bytes(file, 8 + len + data, arena, ret, err);
    free(file);
    return rc;
}

#define T(dtype, shape, from, to) \
    "{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" #from "," #to "]}"

static void reads_a_good_header(void **state) {
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 << 20);
    struct safetensors_header h;
    CHECK_OK(read_json("{\"b\":" T("F32", "2,3", 8,
                                   32) ",\"__metadata__\":{\"format\":\"pt\","
                                       "\"x\":\"\"},\"a\":" T("I64", "", 0, 8) ",\"e\":" T(
                                           "BF16", "0,7", 32, 32) "}   ",
                       32, arena, &h, &err),
             &err);
    CHECK_UINT(h.count, 3);
    CHECK_TEXT(h.entries[0].name, "a"); /* in the order of the data */
    CHECK_UINT(h.entries[0].rank, 0);
    CHECK_TEXT(h.entries[1].name, "b");
    CHECK_INT(h.entries[1].dtype, DTYPE_F32);
    CHECK_UINT(h.entries[1].dims[1], 3);
    CHECK_UINT(h.entries[2].dims[0], 0);
    CHECK_UINT(h.note_count, 2);
    CHECK_TEXT(h.notes[0].value, "pt");

    /* And back: printed, padded to eight, read again. */
    const char *text;
    size_t len;
    CHECK_OK(safetensors_print_header(&h, arena, &text, &len, &err), &err);
    CHECK_UINT(len % 8, 0);
    CHECK_UINT(load_u64(text), len - 8);
    char *file = calloc(1, len + 32);
    memcpy(file, text, len);
    struct safetensors_header again;
    CHECK_OK(read_bytes(file, len + 32, arena, &again, &err), &err);
    CHECK_UINT(again.count, 3);
    CHECK_TEXT(again.entries[1].name, "b");
    CHECK_UINT(again.entries[1].end, 32);
    CHECK_TEXT(again.notes[1].key, "x");
    free(file);
    arena_free(arena);
}

static const struct bad_header {
    const char *json;
    size_t data;
    enum err_code code;
    const char *part;   /* of the text */
    const char *tensor; /* named; NULL: none */
} bad_headers[] = {
    {"[]", 0, ERR_BAD_MODEL, "does not begin with '{'", NULL},
    {" {}", 0, ERR_BAD_MODEL, "does not begin with '{'", NULL},
    {"{", 0, ERR_BAD_MODEL, "ends inside", NULL},
    {"{}x", 0, ERR_BAD_MODEL, "follow", NULL},
    {"{}", 5, ERR_BAD_MODEL, "5 bytes at offset 10 belong to no tensor", NULL},
    {"{\"a\":1}", 0, ERR_BAD_MODEL, "'{' was expected", "a"},
    {"{\"a\":{}}", 0, ERR_BAD_MODEL, "has no dtype", "a"},
    {"{\"a\":{\"dtype\":\"F32\"}}", 0, ERR_BAD_MODEL, "has no shape", "a"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, ERR_BAD_MODEL, "has no data_offsets", "a"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 0, ERR_BAD_MODEL, "dtype stands twice", "a"},
    {"{\"a\":{\"shape\":[],\"shape\":[]}}", 0, ERR_BAD_MODEL, "shape stands twice", "a"},
    {"{\"a\":{\"stride\":[1]}}", 0, ERR_BAD_MODEL, "unknown field", "a"},
    {"{\"a\":" T("F33", "1", 0, 4) "}", 4, ERR_UNSUPPORTED, "\"F33\" is not known", "a"},
    {"{\"a\":" T("", "1", 0, 4) "}", 4, ERR_UNSUPPORTED, "\"\" is not known", "a"},
    {"{\"a\":{\"dtype\":3}}", 0, ERR_BAD_MODEL, "a string was expected", "a"},
    {"{\"a\":{\"shape\":3}}", 0, ERR_BAD_MODEL, "'[' was expected", "a"},
    {"{\"a\":{\"shape\":[[1]]}}", 0, ERR_BAD_MODEL, "whole number", "a"},
    {"{\"a\":" T("F32", "-1", 0, 4) "}", 4, ERR_BAD_MODEL, "whole number", "a"},
    {"{\"a\":" T("F32", "1.5", 0, 4) "}", 4, ERR_BAD_MODEL, "whole number", "a"},
    {"{\"a\":" T("F32", "1,1,1,1,1,1,1,1,1", 0, 4) "}", 4, ERR_BAD_MODEL, "more than 8 dimensions",
     "a"},
    {"{\"a\":" T("F32", "18446744073709551616", 0, 4) "}", 4, ERR_BAD_MODEL, "64 bits", "a"},
    {"{\"a\":" T("F32", "9223372036854775808,2", 0, 0) "}", 0, ERR_BAD_MODEL, "overflows", "a"},
    {"{\"a\":" T("F32", "4294967296,4294967296", 0, 0) "}", 0, ERR_BAD_MODEL, "overflows", "a"},
    {"{\"a\":" T("F32", "0,9223372036854775807,9", 0, 0) "}", 0, ERR_BAD_MODEL, "overflows", "a"},
    {"{\"a\":" T("U8", "562949953421312", 0, 4) "}", 4, ERR_BAD_MODEL, "overflows", "a"},
    {"{\"a\":{\"data_offsets\":[0]}}", 0, ERR_BAD_MODEL, "fewer than two", "a"},
    {"{\"a\":{\"data_offsets\":[0,1,2]}}", 0, ERR_BAD_MODEL, "more than two", "a"},
    {"{\"a\":{\"data_offsets\":{}}}", 0, ERR_BAD_MODEL, "'[' was expected", "a"},
    {"{\"a\":" T("F32", "1", 4, 0) "}", 4, ERR_BAD_MODEL, "run backwards", "a"},
    {"{\"a\":" T("F32", "1", 0, 4) "}", 3, ERR_BAD_MODEL, "past the end of the data (3 bytes)",
     "a"},
    {"{\"a\":" T("F32", "1", 0, 18446744073709551615) "}", 4, ERR_BAD_MODEL, "past the end", "a"},
    {"{\"a\":" T("F32", "2", 0, 4) "}", 4, ERR_BAD_MODEL, "shape and dtype need 8", "a"},
    {"{\"a\":" T("F32", "1", 0, 8) "}", 8, ERR_BAD_MODEL, "shape and dtype need 4", "a"},
    {"{\"a\":" T("U8", "2", 0, 2) ",\"b\":" T("U8", "2", 3, 5) "}", 5, ERR_BAD_MODEL,
     "a gap before the tensor", "b"},
    {"{\"a\":" T("U8", "2", 1, 3) "}", 3, ERR_BAD_MODEL, "a gap before the tensor", "a"},
    {"{\"a\":" T("U8", "3", 0, 3) ",\"b\":" T("U8", "3", 2, 5) "}", 5, ERR_BAD_MODEL,
     "overlaps another", "b"},
    {"{\"a\":" T("U8", "3", 0, 3) ",\"b\":" T("U8", "3", 0, 3) "}", 3, ERR_BAD_MODEL,
     "overlaps another", "b"},
    {"{\"a\":" T("U8", "2", 0, 2) "}", 7, ERR_BAD_MODEL, "5 bytes at offset", NULL},
    {"{\"a\":" T("U8", "1", 0, 1) ",\"a\":" T("U8", "1", 1, 2) "}", 2, ERR_BAD_MODEL,
     "name stands twice", "a"},
    {"{\"a\":" T("U8", "1", 0, 1) ",\"\\u0061\":" T("U8", "1", 1, 2) "}", 2, ERR_BAD_MODEL,
     "name stands twice", "a"},
    {"{\"a\\u0000b\":" T("U8", "1", 0, 1) "}", 1, ERR_BAD_MODEL, "a NUL", NULL},
    {"{\"a\\nb\":" T("U8", "1", 0, 1) "}", 1, ERR_BAD_MODEL, "control byte", "a?b"},
    {"{\"a\\u007f\":" T("U8", "1", 0, 1) "}", 1, ERR_BAD_MODEL, "control byte", "a?"},
    {"{\"\":" T("U8", "1", 0, 1) "}", 1, ERR_BAD_MODEL, "name has 0 bytes", NULL},
    {"{\"__metadata__\":[]}", 0, ERR_BAD_MODEL, "'{' was expected", NULL},
    {"{\"__metadata__\":{\"a\":1}}", 0, ERR_BAD_MODEL, "a string was expected", NULL},
    {"{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", 0, ERR_BAD_MODEL, "a string was expected", NULL},
    {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, ERR_BAD_MODEL, "stands twice", NULL},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, ERR_BAD_MODEL, "__metadata__ stands twice",
     NULL},
};

static void bad_headers_are_named(void **state) {
    for (size_t i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
        const struct bad_header *row = &bad_headers[i];
        struct err err = ERR_INIT;
        struct arena *arena = arena_new(1 << 20);
        struct safetensors_header h = {.count = 77};
        int rc = read_json(row->json, row->data, arena, &h, &err);
        if (rc == 0 || err.code != row->code || !strstr(err.text, row->part) ||
            strcmp(err.tensor, row->tensor ? row->tensor : "") != 0) {
            print_error("%s: rc %d, %s, tensor \"%s\": %s\n", row->json, rc, err_name(err.code),
                        err.tensor, err.text);
            CHECK(false);
        }
        CHECK_TEXT(err.file, "m.safetensors");
        CHECK_HOLDS(err.text, "offset");
        CHECK(err.offset != ERR_NO_OFFSET);
        CHECK_UINT(h.count, 77); /* untouched */
        arena_free(arena);
    }
}

static void lengths_that_lie(void **state) {
    static const struct {
        uint64_t stated;
        size_t file;
        enum err_code code;
        const char *part;
    } rows[] = {
        {0, 0, ERR_BAD_MODEL, "truncated: 0 bytes"},
        {2, 7, ERR_BAD_MODEL, "truncated: 7 bytes"},
        {0, 8, ERR_BAD_MODEL, "does not begin"},
        {3, 10, ERR_BAD_MODEL, "claims 3 bytes at offset 0, only 2 follow"},
        {100 * MIB, 10, ERR_TOO_LARGE, "claims 104857600 bytes"},
        {UINT64_MAX, 10, ERR_TOO_LARGE, "claims 18446744073709551615 bytes"},
        {UINT64_C(1) << 63, 10, ERR_TOO_LARGE, "claims 9223372036854775808 bytes"},
        {UINT64_MAX - 7, 10, ERR_TOO_LARGE, "claims"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = ERR_INIT;
        struct arena *arena = arena_new(1 << 20);
        char file[16] = {0};
        store_u64(file, rows[i].stated);
        memcpy(file + 8, "{}", 2);
        struct safetensors_header h;
        CHECK(read_bytes(file, rows[i].file, arena, &h, &err) < 0);
        CHECK_INT(err.code, rows[i].code);
        CHECK_HOLDS(err.text, rows[i].part);
        CHECK_UINT(err.offset, rows[i].part[0] == 'd' ? 8 : 0);
        arena_free(arena);
    }
}

static void every_prefix_of_a_file_is_refused(void **state) {
    struct memfiles m = {0};
    memfiles_weights(&m, "x", "{\"a\":" T("F16", "4", 0, 8) ",\"b\":" T("F16", "4", 8, 16) "}", 16);
    size_t len;
    const char *bytes = memfiles_get(&m, "x", &len);
    struct arena *arena = arena_new(1 << 20);
    struct safetensors_header h;
    struct err err = ERR_INIT;
    CHECK_OK(read_bytes(bytes, len, arena, &h, &err), &err);
    for (size_t n = 0; n < len; n++) {
        char *cut = malloc(n ? n : 1);
        memcpy(cut, bytes, n);
        CHECK_FAILS(read_bytes(cut, n, arena, &h, &err), &err, ERR_BAD_MODEL);
        free(cut);
    }
    arena_free(arena);
    memfiles_free(&m);
}

static void long_names_and_memory(void **state) {
    char json[LIMIT_TENSOR_NAME_BYTES + 200];
    struct safetensors_header h;
    struct err err = ERR_INIT;
    char name[LIMIT_TENSOR_NAME_BYTES + 2];
    memset(name, 'n', sizeof name);
    for (size_t n = LIMIT_TENSOR_NAME_BYTES; n <= LIMIT_TENSOR_NAME_BYTES + 1; n++) {
        struct arena *arena = arena_new(1 << 20);
        snprintf(json, sizeof json, "{\"%.*s\":" T("U8", "1", 0, 1) "}", (int)n, name);
        int rc = read_json(json, 1, arena, &h, &err);
        if (n == LIMIT_TENSOR_NAME_BYTES)
            CHECK_OK(rc, &err);
        else
            CHECK_FAILS(rc, &err, ERR_BAD_MODEL);
        arena_free(arena);
    }
    /* A header that needs more than the arena gives. */
    struct arena *small = arena_new(16 * 1024);
    char *many = malloc(400000);
    char *at = many;
    at += sprintf(at, "{");
    for (int i = 0; i < 2000; i++)
        at += sprintf(at, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                      i ? "," : "", i, i, i + 1);
    sprintf(at, "}");
    CHECK_FAILS(read_json(many, 2000, small, &h, &err), &err, ERR_NO_MEMORY);
    arena_free(small);
    struct arena *large = arena_new(4 << 20);
    CHECK_OK(read_json(many, 2000, large, &h, &err), &err);
    CHECK_UINT(h.count, 2000);
    free(many);
    arena_free(large);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_good_header),
        cmocka_unit_test(bad_headers_are_named),
        cmocka_unit_test(lengths_that_lie),
        cmocka_unit_test(every_prefix_of_a_file_is_refused),
        cmocka_unit_test(long_names_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
