/* Names of split files, choosing the files of a folder, and the split.* keys. */
#include "compress/formats/gguf_split.h"

#include "compress/base/limits.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"
#include "tests/support/tinygguf.h"

#include <string.h>

static void names(void **state) {
    static const struct {
        const char *path;
        bool is_part;
        size_t prefix_len;
        unsigned part, parts;
    } rows[] = {
        {"big-00002-of-00003.gguf", true, 3, 2, 3},
        {"sub/a-b-00001-of-00001.gguf", true, 7, 1, 1},
        {"big-00002-of-00003.GGUF", true, 3, 2, 3},
        {"big-99999-of-99999.gguf", true, 3, 99999, 99999},
        {"big-00004-of-00003.gguf", false, 0, 0, 0},
        {"big-00000-of-00003.gguf", false, 0, 0, 0},
        {"big-0002-of-00003.gguf", false, 0, 0, 0},
        {"big-00002-of-0000x.gguf", false, 0, 0, 0},
        {"big-0000x-of-00003.gguf", false, 0, 0, 0},
        {"big-00002_of_00003.gguf", false, 0, 0, 0},
        {"big_00002-of-00003.gguf", false, 0, 0, 0},
        {"-00002-of-00003.gguf", false, 0, 0, 0},
        {"big-00002-of-00003.bin", false, 0, 0, 0},
        {"big.gguf", false, 0, 0, 0},
        {"", false, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t prefix_len = 0;
        unsigned part = 0, parts = 0;
        if (gguf_split_name(rows[i].path, &prefix_len, &part, &parts) != rows[i].is_part)
            fail_msg("%s: is wrongly %s a part", rows[i].path, rows[i].is_part ? "not" : "");
        CHECK_UINT(prefix_len, rows[i].prefix_len);
        CHECK_UINT(part, rows[i].part);
        CHECK_UINT(parts, rows[i].parts);
    }
    CHECK(gguf_split_is_gguf("x.gguf"));
    CHECK(!gguf_split_is_gguf(".gguf"));
    CHECK(!gguf_split_is_gguf("gguf"));
}

static int find(const char *const *paths, bool lone, size_t *ret_count, struct err *err) {
    struct memfiles files = {.lone = lone};
    struct arena *arena = arena_new(1 * MIB);
    size_t *indices;
    for (; *paths; paths++)
        memfiles_text(&files, *paths, "x");
    struct resolver *resolver = memfiles_resolver(&files);
    int status = gguf_split_find(resolver, arena, &indices, ret_count, err);
    for (size_t i = 0; status == 0 && i + 1 < *ret_count; i++)
        CHECK(indices[i] < indices[i + 1]);
    resolver_close(resolver);
    memfiles_free(&files);
    arena_free(arena);
    return status;
}

#define FIND(...) find((const char *const[]){__VA_ARGS__, NULL}, false, &count, &err)

static void finds_the_files(void **state) {
    struct err err = ERR_INIT;
    size_t count;
    CHECK_OK(FIND("README.md", "a.gguf"), &err);
    CHECK_UINT(count, 1);
    CHECK_OK(FIND("a-00001-of-00002.gguf", "a-00002-of-00002.gguf", "b.txt"), &err);
    CHECK_UINT(count, 2);
    CHECK_OK(find((const char *const[]){"blob", NULL}, true, &count, &err), &err);
    CHECK_UINT(count, 1);
    CHECK_FAILS(FIND("README.md"), &err, ERR_NOT_FOUND);
    CHECK_FAILS(FIND("a.gguf", "b.gguf"), &err, ERR_UNSUPPORTED);
    CHECK_FAILS(FIND("a-00001-of-00001.gguf", "mmproj.gguf"), &err, ERR_UNSUPPORTED);
    CHECK_FAILS(FIND("a-00001-of-00002.gguf", "a-00001-of-00003.gguf"), &err, ERR_UNSUPPORTED);
    CHECK_INT(FIND("a-00001-of-00003.gguf", "a-00003-of-00003.gguf"), -1);
    CHECK_HOLDS(err.text, "part 2 of the 3 of \"a\" is missing");
    CHECK_FAILS(-1, &err, ERR_BAD_MODEL);
    CHECK_FAILS(FIND("a-00001-of-00003.gguf", "a-00002-of-00003.gguf"), &err, ERR_BAD_MODEL);
    CHECK_FAILS(FIND("a-00002-of-00002.gguf"), &err, ERR_BAD_MODEL);
}

/* One part without tensors; no and count and tensors as given, -1 leaves the key out. */
static void build_part(struct gguf_file *ret, struct arena *arena, int no, int parts, int tensors) {
    struct bytebuf b = {0};
    struct err err = ERR_INIT;
    tinygguf_start(&b, 3, 0, (uint64_t)(no >= 0) + (parts >= 0) + (tensors >= 0));
    if (no >= 0)
        tinygguf_u16(&b, "split.no", (uint16_t)no);
    if (parts >= 0)
        tinygguf_u16(&b, "split.count", (uint16_t)parts);
    if (tensors >= 0)
        tinygguf_u32(&b, "split.tensors.count", (uint32_t)tensors);
    struct source *source = source_over_memory(b.at, b.len, "x.gguf");
    CHECK_OK(gguf_file_read(source, arena, ret, &err), &err);
    source_close(source);
    bytebuf_free(&b);
}

static void keys_agree(void **state) {
    static const struct {
        int count, no0, parts0, tensors0, no1, parts1, tensors1;
        const char *says; /* NULL: they do */
    } rows[] = {
        {1, -1, -1, -1, 0, 0, 0, NULL},
        {1, 0, 1, 0, 0, 0, 0, NULL},
        {1, 0, 2, 0, 0, 0, 0, "one part of a split model"},
        {2, 0, 2, 0, 1, 2, 0, NULL},
        {2, 0, 2, 0, 0, 2, 0, "split.no is 0, but should be 1"},
        {2, 0, 2, 0, 1, 3, 0, "split.count is 3, but should be 2"},
        {2, 0, 2, 5, 1, 2, 5, "split.tensors.count is 5, but should be 0"},
        {2, 0, 2, 0, -1, 2, 0, "no key split.no"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static const char *const paths[] = {"first.gguf", "second.gguf"};
        struct err err = ERR_INIT;
        struct arena *arena = arena_new(1 * MIB);
        struct gguf_file files[2];
        struct gguf_split split = {files, (size_t)rows[i].count};
        build_part(&files[0], arena, rows[i].no0, rows[i].parts0, rows[i].tensors0);
        build_part(&files[1], arena, rows[i].no1, rows[i].parts1, rows[i].tensors1);
        int status = gguf_split_check(&split, paths, &err);
        CHECK_INT(status, rows[i].says ? -1 : 0);
        if (rows[i].says) {
            CHECK_HOLDS(err.text, rows[i].says);
            CHECK_INT(err.code, ERR_BAD_MODEL);
            CHECK(err.file[0] && err.offset != ERR_NO_OFFSET);
        }
        arena_free(arena);
    }
}

static void keys_of_other_types(void **state) {
    static const char *const paths[] = {"first.gguf", "second.gguf"};
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 * MIB);
    struct gguf_file files[2];
    struct bytebuf b = {0};
    tinygguf_start(&b, 3, 0, 1);
    tinygguf_text(&b, "split.count", "two");
    struct source *source = source_over_memory(b.at, b.len, "x.gguf");
    CHECK_OK(gguf_file_read(source, arena, &files[0], &err), &err);
    source_close(source);
    bytebuf_free(&b);
    files[1] = files[0];
    CHECK_FAILS(gguf_split_check(&(struct gguf_split){files, 1}, paths, &err), &err, ERR_BAD_MODEL);
    CHECK_FAILS(gguf_split_check(&(struct gguf_split){files, 2}, paths, &err), &err, ERR_BAD_MODEL);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(finds_the_files),
        cmocka_unit_test(keys_agree),
        cmocka_unit_test(keys_of_other_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
