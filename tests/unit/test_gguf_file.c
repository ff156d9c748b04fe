/* Reading one GGUF file: what a good one says, and a table of everything that is refused. */
#include "compress/formats/gguf_file.h"

#include "compress/base/limits.h"
#include "tests/support/check.h"
#include "tests/support/tinygguf.h"

#include <stdlib.h>
#include <string.h>

#define DIMS(...)         \
    (const uint64_t[9]) { \
        __VA_ARGS__       \
    }

static struct arena *arena;
static struct gguf_file file;

static int set_up(void **state) {
    arena = arena_new(LIMIT_MODEL_ARENA_BYTES);
    return arena ? 0 : -1;
}

static int tear_down(void **state) {
    arena_free(arena);
    return 0;
}

static int read_bytes(const void *data, size_t len, struct err *err) {
    struct source *source = source_over_memory(data, len, "m.gguf");
    int status = gguf_file_read(source, arena, &file, err);
    source_close(source);
    return status;
}

/* Two tensors, keys of every type, alignment 64. */
static void build_good(struct bytebuf *b, uint32_t version) {
    tinygguf_start(b, version, 2, 15);
    tinygguf_text(b, "general.architecture", "llama");
    tinygguf_u32(b, "general.alignment", 64);
    tinygguf_key(b, "k.u8", GGUF_U8);
    bytebuf_u8(b, 200);
    tinygguf_key(b, "k.i8", GGUF_I8);
    bytebuf_u8(b, 0xff);
    tinygguf_u16(b, "k.u16", 60000);
    tinygguf_key(b, "k.i16", GGUF_I16);
    bytebuf_u16(b, 17);
    tinygguf_key(b, "k.i32", GGUF_I32);
    bytebuf_u32(b, 0x80000000);
    tinygguf_key(b, "k.f32", GGUF_F32);
    bytebuf_u32(b, 0x3f800000);
    tinygguf_key(b, "k.bool", GGUF_BOOL);
    bytebuf_u8(b, 1);
    tinygguf_key(b, "k.u64", GGUF_U64);
    bytebuf_u64(b, UINT64_C(1) << 40);
    tinygguf_key(b, "k.i64", GGUF_I64);
    bytebuf_u64(b, 5);
    tinygguf_key(b, "k.f64", GGUF_F64);
    bytebuf_u64(b, 0);
    tinygguf_tokens(b, "tokenizer.ggml.tokens", 3);
    tinygguf_key(b, "k.scores", GGUF_ARRAY);
    bytebuf_u32(b, GGUF_F32);
    bytebuf_u64(b, 3);
    bytebuf_fill(b, 1, 12);
    tinygguf_key(b, "k.long", GGUF_TEXT);
    bytebuf_u64(b, 100000);
    bytebuf_fill(b, 'x', 100000);
    tinygguf_info(b, "a.weight", DIMS(32, 3), 8, 0);
    tinygguf_info(b, "b.weight", DIMS(5, 2, 3), 0, 128);
    bytebuf_align(b, 64);
    bytebuf_fill(b, 7, 102);
    bytebuf_align(b, 64);
    bytebuf_fill(b, 8, 120);
}

static void says_what_is_there(void **state) {
    for (uint32_t version = 2; version <= 3; version++) {
        struct bytebuf b = {0};
        struct err err = ERR_INIT;
        uint64_t value;
        build_good(&b, version);
        CHECK_OK(read_bytes(b.at, b.len, &err), &err);
        CHECK_UINT(file.version, version);
        CHECK_UINT(file.alignment, 64);
        CHECK_UINT(file.key_count, 15);
        CHECK_TEXT(gguf_file_text(&file, "general.architecture"), "llama");
        CHECK(gguf_file_text(&file, "k.long") == NULL);
        CHECK(gguf_file_text(&file, "k.none") == NULL);
        CHECK_UINT(gguf_file_key(&file, "k.long")->count, 100000);
        CHECK_UINT(gguf_file_key(&file, "tokenizer.ggml.tokens")->count, 3);
        CHECK_INT(gguf_file_key(&file, "k.scores")->element_type, GGUF_F32);
        CHECK(gguf_file_uint(&file, "k.u8", &value) && value == 200);
        CHECK(gguf_file_uint(&file, "k.u16", &value) && value == 60000);
        CHECK(gguf_file_uint(&file, "k.i16", &value) && value == 17);
        CHECK(gguf_file_uint(&file, "k.u64", &value) && value == UINT64_C(1) << 40);
        CHECK(gguf_file_uint(&file, "k.i64", &value) && value == 5);
        CHECK(!gguf_file_uint(&file, "k.i8", &value));
        CHECK(!gguf_file_uint(&file, "k.i32", &value));
        CHECK(!gguf_file_uint(&file, "k.f32", &value));
        CHECK(!gguf_file_uint(&file, "k.bool", &value));
        CHECK(!gguf_file_uint(&file, "k.none", &value));
        /* Keys tile the space between header and infos. */
        uint64_t at = GGUF_HEADER_BYTES;
        for (size_t i = 0; i < file.key_count; i++) {
            CHECK_UINT(file.keys[i].offset, at);
            at += file.keys[i].bytes;
        }
        CHECK_UINT(file.info_count, 2);
        CHECK_TEXT(file.infos[0].name, "a.weight");
        CHECK_UINT(file.infos[0].rank, 2);
        CHECK_UINT(file.infos[0].dims[0], 3);
        CHECK_UINT(file.infos[0].dims[1], 32);
        CHECK_TEXT(file.infos[0].stored.codec->name, "q8_0");
        CHECK_UINT(file.infos[0].bytes, 102);
        CHECK_UINT(file.infos[1].dims[0], 3);
        CHECK_UINT(file.infos[1].dims[2], 5);
        CHECK_UINT(file.infos[1].elements, 30);
        CHECK_UINT(file.infos[1].offset, file.data_offset + 128);
        CHECK_UINT(b.at[file.infos[1].offset], 8);
        CHECK_UINT(b.at[file.infos[1].offset - 1], 0);
        bytebuf_free(&b);
    }
}

/* A file cut anywhere is refused, and says where. Every cut within the first and last bytes, and
 * some between. */
static void cut_short(void **state) {
    struct bytebuf b = {0};
    build_good(&b, 3);
    for (size_t len = 0; len < b.len; len += len < 900 || b.len - len < 700 ? 1 : 997) {
        struct err err = ERR_INIT;
        struct arena_mark mark = arena_mark(arena);
        CHECK_INT(read_bytes(b.at, len, &err), -1);
        CHECK_INT(err.code, ERR_BAD_MODEL);
        CHECK(err.offset < b.len);
        CHECK_TEXT(err.file, "m.gguf");
        arena_rewind(arena, mark);
    }
    bytebuf_free(&b);
}

/* One row of the table of bad files: writes the file, from a fresh buffer. */
struct bad {
    const char *name;
    void (*build)(struct bytebuf *b);
    enum err_code code;
    const char *says;
    int64_t offset; /* that the error names; -1: whatever */
};

static void no_magic(struct bytebuf *b) {
    bytebuf_text(b, "GGUX");
    bytebuf_fill(b, 0, 40);
}
static void ggjt(struct bytebuf *b) {
    bytebuf_text(b, "tjgg");
    bytebuf_fill(b, 0, 40);
}
static void version_1(struct bytebuf *b) {
    tinygguf_start(b, 1, 0, 0);
}
static void version_4(struct bytebuf *b) {
    tinygguf_start(b, 4, 0, 0);
}
static void big_endian(struct bytebuf *b) {
    tinygguf_start(b, 0x03000000, 0, 0);
}
static void tensors_2_63(struct bytebuf *b) {
    tinygguf_start(b, 3, UINT64_C(1) << 63, 0);
    bytebuf_fill(b, 0, 100);
}
static void keys_2_63(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, UINT64_C(1) << 63);
    bytebuf_fill(b, 0, 100);
}
static void keys_70000(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 70000);
    bytebuf_fill(b, 0, 70000 * 14);
}
static void key_2_63(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    bytebuf_u64(b, UINT64_C(1) << 63);
    bytebuf_fill(b, 'a', 100);
}
static void key_empty(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_u32(b, "", 1);
    bytebuf_fill(b, 'a', 100);
}
static void key_70000(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    bytebuf_u64(b, 70000);
    bytebuf_fill(b, 'a', 80000);
}
static void key_nul(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    bytebuf_u64(b, 3);
    bytebuf_raw(b, "a\0b", 3);
    bytebuf_fill(b, 0, 100);
}
static void key_latin1(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_u32(b, "caf\xe9", 1);
    bytebuf_fill(b, 0, 100);
}
static void key_twice(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 2);
    tinygguf_u32(b, "general.file_type", 1);
    tinygguf_u32(b, "general.file_type", 1);
}
static void value_type_13(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_key(b, "k", 13);
    bytebuf_u64(b, 0);
}
static void element_type_99(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_key(b, "k", GGUF_ARRAY);
    bytebuf_u32(b, 99);
    bytebuf_u64(b, 0);
}
static void nested_array(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_key(b, "k", GGUF_ARRAY);
    bytebuf_u32(b, GGUF_ARRAY);
    bytebuf_u64(b, 1);
    bytebuf_u32(b, GGUF_U8);
    bytebuf_u64(b, 1);
    bytebuf_u8(b, 1);
}
static void array_2_63(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_key(b, "k", GGUF_ARRAY);
    bytebuf_u32(b, GGUF_F64);
    bytebuf_u64(b, UINT64_C(1) << 63);
    bytebuf_fill(b, 0, 100);
}
static void texts_2_61(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_key(b, "k", GGUF_ARRAY);
    bytebuf_u32(b, GGUF_TEXT);
    bytebuf_u64(b, UINT64_C(1) << 61);
    bytebuf_fill(b, 0, 100);
}
static void array_17_million(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_key(b, "k", GGUF_ARRAY);
    bytebuf_u32(b, GGUF_U8);
    bytebuf_u64(b, 17000000);
    bytebuf_fill(b, 0, 17000000);
}
static void text_in_array_too_long(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_key(b, "k", GGUF_ARRAY);
    bytebuf_u32(b, GGUF_TEXT);
    bytebuf_u64(b, 2);
    bytebuf_u64(b, 1);
    bytebuf_text(b, "a");
    bytebuf_u64(b, UINT64_MAX);
    bytebuf_fill(b, 0, 100);
}
static void text_2_64(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_key(b, "k", GGUF_TEXT);
    bytebuf_u64(b, UINT64_MAX);
    bytebuf_fill(b, 0, 100);
}
static void aligned_to(struct bytebuf *b, uint32_t alignment) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_u32(b, "general.alignment", alignment);
}
static void alignment_0(struct bytebuf *b) {
    aligned_to(b, 0);
}
static void alignment_3(struct bytebuf *b) {
    aligned_to(b, 3);
}
static void alignment_4(struct bytebuf *b) {
    aligned_to(b, 4);
}
static void alignment_48(struct bytebuf *b) {
    aligned_to(b, 48);
}
static void alignment_2_31(struct bytebuf *b) {
    aligned_to(b, UINT32_C(1) << 31);
}
static void alignment_text(struct bytebuf *b) {
    tinygguf_start(b, 3, 0, 1);
    tinygguf_text(b, "general.alignment", "32");
}
static void one_tensor(struct bytebuf *b, const char *name, const uint64_t *dims, uint32_t type,
                       uint64_t offset, size_t data) {
    tinygguf_start(b, 3, 1, 0);
    tinygguf_info(b, name, dims, type, offset);
    bytebuf_align(b, 32);
    bytebuf_fill(b, 0, data);
}
static void name_empty(struct bytebuf *b) {
    one_tensor(b, "", DIMS(4), 0, 0, 16);
}
static void name_nul(struct bytebuf *b) {
    tinygguf_start(b, 3, 1, 0);
    bytebuf_u64(b, 3);
    bytebuf_raw(b, "a\0b", 3);
    bytebuf_fill(b, 0, 200);
}
static void name_600(struct bytebuf *b) {
    tinygguf_start(b, 3, 1, 0);
    bytebuf_u64(b, 600);
    bytebuf_fill(b, 'a', 700);
}
static void name_twice(struct bytebuf *b) {
    tinygguf_start(b, 3, 2, 0);
    tinygguf_info(b, "a.weight", DIMS(8), 0, 0);
    tinygguf_info(b, "a.weight", DIMS(8), 0, 32);
    bytebuf_align(b, 32);
    bytebuf_fill(b, 0, 64);
}
static void five_dims(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(2, 2, 2, 2, 2), 0, 0, 128);
}
static void no_dims(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(0), 0, 0, 128);
}
static void dim_0(struct bytebuf *b) {
    tinygguf_start(b, 3, 1, 0);
    bytebuf_u64(b, 1);
    bytebuf_text(b, "a");
    bytebuf_u32(b, 2);
    bytebuf_u64(b, 4);
    bytebuf_u64(b, 0);
    bytebuf_fill(b, 0, 100);
}
static void dims_overflow(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(UINT64_C(1) << 32, UINT64_C(1) << 32, 1), 0, 0, 128);
}
static void dims_2_49(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(UINT64_C(1) << 49), 0, 0, 128);
}
static void type_4(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(32), 4, 0, 128);
}
static void type_max(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(32), UINT32_MAX, 0, 128);
}
static void row_of_33(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(33, 32), 2, 0, 1024);
}
static void offset_misaligned(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(4), 0, 16, 128);
}
static void offset_gap(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(4), 0, 64, 128);
}
static void offset_overlap(struct bytebuf *b) {
    tinygguf_start(b, 3, 2, 0);
    tinygguf_info(b, "a.weight", DIMS(16), 0, 0);
    tinygguf_info(b, "b.weight", DIMS(16), 0, 32);
    bytebuf_align(b, 32);
    bytebuf_fill(b, 0, 128);
}
static void offset_past_end(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(16), 0, 0, 63);
}
static void too_much_data(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(UINT64_C(1) << 40), 0, 0, 63);
}
static void trailing_bytes(struct bytebuf *b) {
    one_tensor(b, "a.weight", DIMS(4), 0, 0, 33);
}

static const struct bad bad_files[] = {
    {"no magic", no_magic, ERR_BAD_MODEL, "does not start with \"GGUF\"", 0},
    {"before GGUF", ggjt, ERR_UNSUPPORTED, "older than GGUF", 0},
    {"version 1", version_1, ERR_UNSUPPORTED, "version 1", 4},
    {"version 4", version_4, ERR_UNSUPPORTED, "version 4", 4},
    {"big-endian", big_endian, ERR_UNSUPPORTED, "big-endian", 4},
    {"2^63 tensors", tensors_2_63, ERR_BAD_MODEL, "9223372036854775808 tensors", 8},
    {"2^63 keys", keys_2_63, ERR_BAD_MODEL, "9223372036854775808 keys", 16},
    {"70000 keys", keys_70000, ERR_TOO_LARGE, "70000 keys", 16},
    {"key of 2^63 bytes", key_2_63, ERR_BAD_MODEL, "9223372036854775808 bytes", 24},
    {"key without name", key_empty, ERR_BAD_MODEL, "0 bytes", 24},
    {"key of 70000 bytes", key_70000, ERR_BAD_MODEL, "70000 bytes", 24},
    {"NUL in a key", key_nul, ERR_BAD_MODEL, "NUL", 32},
    {"key in Latin-1", key_latin1, ERR_BAD_MODEL, "UTF-8", 32},
    {"key twice", key_twice, ERR_BAD_MODEL, "\"general.file_type\" appears twice", 57},
    {"unknown value type", value_type_13, ERR_BAD_MODEL, "unknown value type 13", 33},
    {"unknown element type", element_type_99, ERR_BAD_MODEL, "unknown value type 99", 37},
    {"array of arrays", nested_array, ERR_UNSUPPORTED, "array of arrays", 37},
    {"array of 2^63", array_2_63, ERR_BAD_MODEL, "9223372036854775808 array elements", 41},
    {"2^61 texts", texts_2_61, ERR_BAD_MODEL, "2305843009213693952 array elements", 41},
    {"17 million elements", array_17_million, ERR_TOO_LARGE, "17000000 array elements", 41},
    {"text in an array too long", text_in_array_too_long, ERR_BAD_MODEL, "element 1", 66},
    {"text of 2^64 bytes", text_2_64, ERR_BAD_MODEL, "key \"k\"", 45},
    {"alignment 0", alignment_0, ERR_BAD_MODEL, "general.alignment is 0", 24},
    {"alignment 3", alignment_3, ERR_BAD_MODEL, "general.alignment is 3", 24},
    {"alignment 4", alignment_4, ERR_BAD_MODEL, "general.alignment is 4", 24},
    {"alignment 48", alignment_48, ERR_BAD_MODEL, "general.alignment is 48", 24},
    {"alignment 2^31", alignment_2_31, ERR_BAD_MODEL, "general.alignment is 2147483648", 24},
    {"alignment as text", alignment_text, ERR_BAD_MODEL, "general.alignment is not a u32", 24},
    {"tensor without name", name_empty, ERR_BAD_MODEL, "0 bytes", 24},
    {"NUL in a tensor name", name_nul, ERR_BAD_MODEL, "NUL", 32},
    {"tensor name of 600 bytes", name_600, ERR_BAD_MODEL, "600 bytes", 24},
    {"tensor name twice", name_twice, ERR_BAD_MODEL, "appears twice", 64},
    {"five dimensions", five_dims, ERR_BAD_MODEL, "5 dimensions", 40},
    {"no dimensions", no_dims, ERR_BAD_MODEL, "0 dimensions", 40},
    {"a dimension of 0", dim_0, ERR_BAD_MODEL, "dimension of the tensor is 0", 45},
    {"dimensions overflow", dims_overflow, ERR_BAD_MODEL, "2^48", 52},
    {"2^49 elements", dims_2_49, ERR_BAD_MODEL, "2^48", 44},
    {"ggml type 4", type_4, ERR_UNSUPPORTED, "unknown ggml type 4", 52},
    {"ggml type 2^32-1", type_max, ERR_UNSUPPORTED, "unknown ggml type 4294967295", 52},
    {"row of 33 in blocks", row_of_33, ERR_BAD_MODEL, "rows of 33", 60},
    {"offset not aligned", offset_misaligned, ERR_BAD_MODEL, "not a multiple", 56},
    {"gap", offset_gap, ERR_BAD_MODEL, "leaves a gap", 56},
    {"overlap", offset_overlap, ERR_BAD_MODEL, "overlaps", 96},
    {"data past the end", offset_past_end, ERR_BAD_MODEL, "ends at byte 128", 64},
    {"more data than file", too_much_data, ERR_BAD_MODEL, "do not fit", 56},
    {"bytes behind the last tensor", trailing_bytes, ERR_BAD_MODEL, "1 bytes follow", 96},
};

static void bad_files_are_refused(void **state) {
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        const struct bad *row = &bad_files[i];
        struct bytebuf b = {0};
        struct err err = ERR_INIT;
        row->build(&b);
        if (read_bytes(b.at, b.len, &err) == 0)
            fail_msg("%s: was accepted", row->name);
        if (err.code != row->code || !strstr(err.text, row->says) ||
            err.offset != (uint64_t)row->offset || strcmp(err.file, "m.gguf") != 0)
            fail_msg("%s: %s at %s:%lld: %s", row->name, err_name(err.code), err.file,
                     (long long)err.offset, err.text);
        bytebuf_free(&b);
    }
}

static void names_the_tensor(void **state) {
    struct bytebuf b = {0};
    struct err err = ERR_INIT;
    five_dims(&b);
    CHECK_INT(read_bytes(b.at, b.len, &err), -1);
    CHECK_TEXT(err.tensor, "a.weight");
    bytebuf_free(&b);
}

/* A header beyond the ceiling is refused before it is walked through. */
static int read_zeros(struct source *source, uint64_t offset, void *buf, size_t len,
                      struct err *err) {
    static const char start[] = "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
                                "\1\0\0\0\0\0\0\0k\x8\0\0\0\0\0\0\x11";
    memset(buf, 0, len);
    if (offset < sizeof start)
        memcpy(buf, start + offset, len < sizeof start - offset ? len : sizeof start - offset);
    return 0;
}

static void header_beyond_the_ceiling(void **state) {
    static const struct source_ops ops = {.read_at = read_zeros};
    struct source source = {.ops = &ops, .bytes = 100 * GIB, .path = "m.gguf"};
    struct err err = ERR_INIT;
    CHECK_FAILS(gguf_file_read(&source, arena, &file, &err), &err, ERR_TOO_LARGE);
}

/* Every type number we know comes back from its encoding. */
static void types_there_and_back(void **state) {
    size_t known = 0;
    for (uint32_t type = 0; type < 64; type++) {
        struct encoding e;
        if (!gguf_file_encoding_of(type, &e))
            continue;
        known++;
        CHECK_INT(gguf_file_type_of(&e), type);
    }
    CHECK_UINT(known, 8 + 12 + 12); /* plain, decoded and carried */
    struct encoding int8 = {.codec = codec_by_name("int8")};
    CHECK_INT(gguf_file_type_of(&int8), -1);
    struct encoding c64 = encoding_plain(DTYPE_C64);
    CHECK_INT(gguf_file_type_of(&c64), -1);
}

static void little_memory(void **state) {
    struct bytebuf b = {0};
    struct err err = ERR_INIT;
    build_good(&b, 3);
    struct source *source = source_over_memory(b.at, b.len, "m.gguf");
    int status = -1, failures = 0;
    for (size_t cap = 64; status < 0; cap += 64, failures++) {
        struct arena *small = arena_new(cap);
        status = gguf_file_read(source, small, &file, &err);
        if (status < 0)
            CHECK_FAILS(status, &err, ERR_NO_MEMORY);
        arena_free(small);
    }
    CHECK(failures > 10);
    source_close(source);
    bytebuf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_there),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(names_the_tensor),
        cmocka_unit_test(header_beyond_the_ceiling),
        cmocka_unit_test(types_there_and_back),
        cmocka_unit_test(little_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
